//! (pure) Which status a pod should have at the API server, and whether that is worth a write.
//!
//! No write without difference: the wanted status is compared, by fingerprint, with what the watch showed last, so that a
//! restart with 10,000 pods writes nothing, and a Ready=False written by others is put right.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::PodStatus;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use provider::annotations;
use provider::group::{ContainerState, GroupStatus, ObservedGroup};
use provider::mapping::Settings;
use provider::status::{self, Phase, reasons};
use provider::written_back::{self, Known};
use serde_json::{Map, Value, json};

use crate::cost::prices::Prices;
use crate::pods::absorb::why_not_started;
use crate::pods::billed;
use crate::pods::conditions;
use crate::pods::record::{GroupState, PodRecord, Published, failed_to_start};
use crate::pods::trouble::QUIET_PERIOD;
use crate::pods::watch::NodePod;

/// What the deletion of a pod here costs; of those on workers it is 0, so they stay.
const DELETION_COST: &str = "-100";

/// Whether to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Publish {
    /// The API server holds what we would write.
    Nothing,
    /// Write now.
    Now,
    /// Write then, if it is still true.
    At(Timestamp),
}

/// A status to write.
#[derive(Clone, Debug, PartialEq)]
pub struct Write {
    /// Namespace of the pod.
    pub namespace: String,
    /// Name of the pod.
    pub name: String,
    /// Strategic-merge patch of `pods/status`; carries the UID, so that another pod of the same name is not touched.
    pub body: Value,
    /// The status in it.
    pub status: PodStatus,
    /// Attempt number in its annotations.
    pub attempt: u32,
    /// Whether the annotations of the group are in it.
    pub annotated: bool,
    /// Whether the annotation of its files is.
    pub files: bool,
}

/// What the API server holds, as the watch shows it.
pub fn published(pod: &NodePod) -> Published {
    Published {
        fingerprint: pod.status.fingerprint,
        resource_version: pod.resource_version(),
        attempt: pod
            .annotation(annotations::CREATE_ATTEMPT)
            .and_then(|v| v.parse().ok())
            .unwrap_or_default(),
        annotated: pod.annotation(annotations::INSTANCE_ID).is_some(),
    }
}

/// The status `record` should have; none = leave it as it is.
pub fn wanted(record: &PodRecord, now: Timestamp) -> Option<PodStatus> {
    let mut status = of_kubelet(record, now)?;
    let over = status
        .phase
        .as_deref()
        .and_then(Phase::parse)
        .is_some_and(Phase::is_terminal);
    if over && record.desired.deletion.is_none() && record.is_overdue(now) {
        // However its containers took it.
        status.phase = Some(Phase::Failed.as_str().to_owned());
        status.reason = Some(reasons::DEADLINE_EXCEEDED.to_owned());
        status.message = Some(reasons::DEADLINE_MESSAGE.to_owned());
    }
    conditions::add(&mut status, record, now);
    Some(status)
}

/// The status but for the conditions that a kubelet does not have.
fn of_kubelet(record: &PodRecord, now: Timestamp) -> Option<PodStatus> {
    // A terminal phase is the last word, and the containers' ends were written with it.
    if record.desired.finished || record.desired.gone {
        return None;
    }
    let facts = &record.facts;
    let trouble = record.news(now);
    let waiting = || {
        let (reason, message) = trouble.map_or((reasons::CONTAINER_CREATING, ""), |t| {
            (t.kind.waiting_reason(), &*t.message)
        });
        let mut status = status::pending_status(facts, reason, message);
        // As with a kubelet, a pod begins when its node knows of it; its deadline counts from there.
        let start = Timestamp::from_second(record.first_seen.as_second()).unwrap_or(record.first_seen);
        status.start_time.get_or_insert(Time(start));
        status
    };
    match (&record.group, &record.observed) {
        (GroupState::Unknown, _) => None,
        (GroupState::Absent { .. }, _) if record.is_overdue(now) => Some(status::refused_status(
            facts,
            reasons::DEADLINE_EXCEEDED,
            reasons::DEADLINE_MESSAGE,
            now,
        )),
        (GroupState::Absent { .. }, _) if let Some(reason) = record.given_up() => {
            let message = record.trouble.as_deref().map_or("", |t| &*t.message);
            Some(status::refused_status(facts, reason, message, now))
        }
        // In the queue for its group: a burst of thousands would cost a write each, to say what everybody sees.
        (GroupState::Absent { attempt }, _) if record.trouble.is_none() && *attempt <= record.published.attempt => None,
        (GroupState::Absent { .. } | GroupState::Accepted { .. }, _) => Some(waiting()),
        // A group in which nothing ran is made again: the pod waits.
        (GroupState::Present { .. }, Some(o)) if record.is_replaced() => {
            let (_, message) = why_not_started(&o.group);
            Some(status::pending_status(facts, reasons::CONTAINER_CREATING, message))
        }
        (GroupState::Present { .. }, Some(o)) if failed_to_start(&o.group, facts) => {
            let mut status = status::to_pod_status(&o.group, facts, now);
            if status.reason.is_none() {
                let (_, message) = why_not_started(&o.group);
                status.reason = Some(reasons::SCHEDULE_FAILED.to_owned());
                status.message = Some(message.to_owned());
            }
            Some(status)
        }
        (GroupState::Present { .. }, Some(o)) => Some(status::to_pod_status(&o.group, facts, now)),
        // After a restart, before the first observation: what is published stands.
        (GroupState::Present { .. }, None) if facts.previous.phase.is_some_and(|p| p != Phase::Pending) => None,
        (GroupState::Present { .. }, None) => Some(waiting()),
        (GroupState::Gone, Some(o)) if let Some(ended) = ended(&o.group) => {
            Some(status::to_pod_status(&ended, facts, now))
        }
        (GroupState::Gone, _) => {
            let ending = record.desired.deletion.is_some();
            if ending && facts.previous.phase.is_none_or(|p| p == Phase::Pending) && record.observed.is_none() {
                // It never ran and is about to vanish: nobody learns anything from one more write.
                return None;
            }
            let (reason, message) = if ending {
                ("", "")
            } else {
                (
                    reasons::GROUP_LOST,
                    "The container group is gone although nobody deleted the pod; its exit codes are not known.",
                )
            };
            Some(status::terminal_status(facts, reason, message, now))
        }
    }
}

/// `group` in its final state, if the last look saw all of its containers end: a deleted group may vanish right after.
fn ended(group: &ObservedGroup) -> Option<ObservedGroup> {
    if group.status.is_terminal() {
        return Some(group.clone());
    }
    let mut succeeded = true;
    for container in &group.containers {
        match container.state {
            ContainerState::Terminated { exit_code, .. } => succeeded &= exit_code == 0,
            _ => return None,
        }
    }
    let status = if succeeded {
        GroupStatus::Succeeded
    } else {
        GroupStatus::Failed
    };
    Some(ObservedGroup {
        status,
        ..group.clone()
    })
}

/// Whether the wanted status is to be written.
pub fn due(record: &PodRecord, now: Timestamp) -> Publish {
    if let GroupState::Absent { attempt } = record.group
        && attempt > record.published.attempt
        && !record.desired.finished
    {
        return Publish::Now;
    }
    let Some(want) = wanted(record, now) else {
        return Publish::Nothing;
    };
    if status::fingerprint(&want) == record.published.fingerprint {
        // What its files are is needed by the next agent.
        let files = record.files().is_some_and(|files| !files.written) && record.group_id().is_some();
        return if files { Publish::Now } else { Publish::Nothing };
    }
    if want.phase.as_deref() != Some(Phase::Pending.as_str()) || record.news(now).is_some() {
        return Publish::Now;
    }
    // Most waits are over before anyone could read of them.
    let quiet = SignedDuration::try_from(QUIET_PERIOD).unwrap_or_default();
    let since = match (&record.trouble, &record.group) {
        (Some(trouble), _) => trouble.since,
        (None, GroupState::Present { since, .. }) => *since,
        (None, _) => record.first_seen,
    };
    let at = since + quiet;
    if at <= now { Publish::Now } else { Publish::At(at) }
}

/// The write that is due.
pub fn prepare(record: &PodRecord, prices: Option<(&Prices, &Settings)>, now: Timestamp) -> Option<Write> {
    let status = wanted(record, now)?;
    let mut body = status::patch(&record.facts.uid, &status);
    let running = status.phase.as_deref() == Some(Phase::Running.as_str());
    let (mut map, attempt, annotated) = annotate(record, running);
    billed::annotate(record, prices, running, &mut map);
    let files = record
        .files()
        .filter(|files| !files.written && record.group_id().is_some());
    if let Some(files) = files {
        map.insert(annotations::LIVE_FILES.to_owned(), json!(files.to_annotation()));
    }
    if !map.is_empty() {
        body["metadata"]["annotations"] = Value::Object(map);
    }
    Some(Write {
        namespace: record.facts.namespace.to_string(),
        name: record.facts.name.to_string(),
        body,
        status,
        attempt,
        annotated,
        files: files.is_some(),
    })
}

/// Annotations that ride along: where the pod's group is, once more when it runs, and the attempt number before it is used.
fn annotate(record: &PodRecord, running: bool) -> (Map<String, Value>, u32, bool) {
    let mut map = Map::new();
    let attempt = match record.group {
        GroupState::Absent { attempt } if attempt > record.published.attempt => {
            map.insert(annotations::CREATE_ATTEMPT.to_owned(), json!(attempt.to_string()));
            attempt
        }
        _ => record.published.attempt,
    };
    let placed = record.placed.as_deref();
    let news = !record.published.annotated || (running && placed.is_some());
    let annotate = record.group_id().filter(|_| news);
    if let Some(id) = annotate {
        let mut at = placed.map(|placed| placed.at.clone()).unwrap_or_default();
        if let Some(seen) = record.observed.as_ref().and_then(|o| o.group.whereabouts.as_deref()) {
            at = at.updated(seen);
        }
        let known = Known {
            group_id: id,
            request_id: placed.map_or("", |placed| &placed.request_id),
            size: placed.map(|placed| placed.size),
            whereabouts: &at,
            running,
        };
        let written = written_back::annotations(known).into_iter();
        map.extend(written.map(|(name, value)| (name.to_owned(), json!(value))));
        // It rides along, and only here: who takes it away again does not get it back.
        if record.cost_unset && !record.published.annotated {
            map.insert(annotations::POD_DELETION_COST.to_owned(), json!(DELETION_COST));
        }
    }
    (map, attempt, annotate.is_some() || record.published.annotated)
}
