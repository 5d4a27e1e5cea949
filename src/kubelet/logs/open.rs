//! Which log a request means, and where it is: at ECI, or in the archive.
//!
//! What ECI has of a log is its end. So the archive comes first where it has all of a run that is over; ECI where it has not;
//! and once more the archive, for what it has of a run that ECI has forgotten. Refusals are worded as a kubelet's.

use std::time::Duration;

use tokio::time::timeout;

use super::archive::{Archive, ArchivedLog, ContainerKey, Run};
use super::query::LogOptions;
use super::source::LogError;
use super::stream::{LogAccess, LogStream, Target};
use crate::kubelet::lookup::{ContainerEntry, ContainerRun, PodEntry, Stage};

/// How long the archive may take to say what it has.
const ARCHIVE_PATIENCE: Duration = Duration::from_secs(5);

/// HTTP status and text of a refusal.
pub type Refusal = (u16, String);

/// Opens the log that a client asks for.
///
/// # Errors
/// What a kubelet would answer.
pub async fn open(
    access: &LogAccess,
    namespace: &str,
    pod: &str,
    container: &str,
    options: LogOptions,
) -> Result<LogStream, Refusal> {
    let Some(entry) = access.pods.group_of(namespace, pod, None) else {
        return Err((404, format!("pod {pod:?} does not exist")));
    };
    let stage = access.pods.stage(&entry.uid);
    let restart_count = which_run(&entry, pod, container, options.previous, stage)?;
    if let Some(stream) = &options.one_stream {
        // ECI does not tell one from the other. So says a kubelet that is not to.
        let text = format!(
            "unable to return the given log stream: {stream:?}. Please enable PodLogsQuerySplitStreams feature gate in kubelet"
        );
        return Err((400, text));
    }
    let is_over = options.previous
        || stage == Stage::Over
        || entry
            .container(container)
            .is_some_and(|found| found.state != ContainerRun::Running);
    let key = ContainerKey {
        namespace: namespace.to_owned(),
        pod: pod.to_owned(),
        uid: entry.uid.clone(),
        container: container.to_owned(),
    };
    let archived = match &access.archive {
        Some(archive) if is_over => look(archive, &key, restart_count).await,
        _ => Ok(None),
    };
    if let (Some(archive), Ok(Some(run))) = (&access.archive, &archived)
        && run.ended
        && let Ok(stream) = from_archive(archive, key.clone(), restart_count, run, options.clone()).await
    {
        return Ok(stream);
    }
    let gone = match entry.group_id {
        Some(group_id) => {
            let target = Target {
                namespace: namespace.to_owned(),
                pod: pod.to_owned(),
                uid: entry.uid,
                group_id: group_id.clone(),
                container: container.to_owned(),
                restart_count,
            };
            match LogStream::open(access.clone(), target, options.clone()).await {
                Ok(stream) => return Ok(stream),
                Err(LogError::NotFound(_)) => format!("eci://{group_id}/{container}"),
                Err(error @ LogError::Refused(_)) => return Err((400, error.to_string())),
                Err(error @ LogError::Passing(_)) => return Err((500, error.to_string())),
            }
        }
        None if stage != Stage::Over => {
            let text = format!("container {container:?} in pod {pod:?} is waiting to start: ContainerCreating");
            return Err((400, text));
        }
        None => format!("container {container:?} in pod {pod:?}"),
    };
    let why = match (&access.archive, archived) {
        (Some(archive), Ok(Some(run))) => match from_archive(archive, key, restart_count, &run, options).await {
            Ok(stream) => return Ok(stream),
            Err(why) => why,
        },
        (Some(archive), Ok(None)) => format!("the log archive {} has nothing of it", archive.place()),
        (Some(_), Err(why)) => why,
        (None, _) => "logs that shall be there for longer can be kept with --log-archive".to_owned(),
    };
    let text = format!(
        "unable to retrieve container logs for {gone}: its container group is gone (ECI keeps those that have ended for an hour, and no \
         more than 100); {why}"
    );
    Err((400, text))
}

/// The run whose log is meant, by its restart count.
fn which_run(entry: &PodEntry, pod: &str, name: &str, previous: bool, stage: Stage) -> Result<i32, Refusal> {
    let Some(container) = entry.container(name) else {
        return Err((404, format!("container {name:?} not found in pod {pod:?}")));
    };
    if previous {
        if !container.has_previous {
            let text = format!("previous terminated container {name:?} in pod {pod:?} not found");
            return Err((400, text));
        }
        return Ok((container.restart_count - 1).max(0));
    }
    match waiting(container) {
        // Of a pod that is over, containers that nobody saw start may have run all the same.
        Some(waiting) if stage != Stage::Over || entry.group_id.is_some() => {
            Err((400, format!("container {name:?} in pod {pod:?} is {waiting}")))
        }
        _ => Ok(container.restart_count),
    }
}

/// Why a container that never ran has no log.
fn waiting(container: &ContainerEntry) -> Option<String> {
    match &container.state {
        ContainerRun::Waiting { reason } if !container.has_previous => Some(match reason.as_str() {
            "ErrImagePull" => "waiting to start: image can't be pulled".to_owned(),
            "ImagePullBackOff" => "waiting to start: trying and failing to pull image".to_owned(),
            "" => "waiting to start - no logs yet".to_owned(),
            reason => format!("waiting to start: {reason}"),
        }),
        _ => None,
    }
}

/// What the archive has of a run.
async fn look(archive: &Archive, key: &ContainerKey, restart: i32) -> Result<Option<Run>, String> {
    match timeout(ARCHIVE_PATIENCE, archive.runs(key)).await {
        Ok(Ok(mut runs)) => Ok(runs.remove(&restart).filter(|run| run.ended || !run.parts.is_empty())),
        Ok(Err(error)) => Err(unreadable(archive, &error)),
        Err(_) => Err(unreadable(archive, &format!("no answer within {ARCHIVE_PATIENCE:?}"))),
    }
}

async fn from_archive(
    archive: &Archive,
    key: ContainerKey,
    restart: i32,
    run: &Run,
    options: LogOptions,
) -> Result<LogStream, String> {
    let tail = options
        .tail_lines
        .map(|tail| usize::try_from(tail).unwrap_or(usize::MAX));
    match ArchivedLog::open(archive, key, restart, run, tail).await {
        Ok(log) => Ok(LogStream::archived(log, &options)),
        Err(error) => Err(unreadable(archive, &error)),
    }
}

fn unreadable(archive: &Archive, why: &dyn std::fmt::Display) -> String {
    format!("the log archive {} cannot be read: {why}", archive.place())
}
