//! Ends a group whose EmptyDir volumes on disk outgrow their limits. As with the kubelet that is noticed now and then, not
//! at the write that does it (volumes in memory are full at their limit, see [`files`]).

use std::{sync::Arc, time::Duration};

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::{files, group::Group, names};
use crate::{runtime::RuntimeEventKind, spec::GroupSpec};

/// Between looks, as with the kubelet.
const PERIOD: Duration = Duration::from_secs(10);

/// Whether there is anything to look at.
pub(super) fn is_limited(spec: &GroupSpec) -> bool {
    files::limited_volumes(spec).next().is_some()
}

/// Looks until the group is stopped.
pub(super) async fn run(group: Arc<Group>, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        if let Some(message) = excess(&group).await {
            return group.emit(RuntimeEventKind::Evicted { message });
        }
    }
}

/// What to say about a volume that is larger than it may be.
async fn excess(group: &Group) -> Option<String> {
    let mut command: Vec<String> = ["/bin/busybox", "du", "-s", "-k"].map(str::to_owned).to_vec();
    command.extend(files::limited_volumes(&group.spec).map(|(path, ..)| path));
    // What cannot be read is counted as far as it can be: the exit code says nothing that matters here.
    let (_, output) = match group.engine().exec(&names::pause(&group.id), command).await {
        Ok(done) => done,
        Err(error) => {
            tracing::debug!(group = %group.id, %error, "volumes not measured");
            return None;
        }
    };
    let used = parse(&output);
    files::limited_volumes(&group.spec).find_map(|(path, name, limit, text)| {
        let (_, kib) = used.iter().find(|(known, _)| *known == path)?;
        (kib.saturating_mul(1024) > limit)
            .then(|| format!("Usage of EmptyDir volume {name:?} exceeds the limit {text:?}. "))
    })
}

/// `12<tab>/path` per line: paths and KiB.
fn parse(output: &str) -> Vec<(&str, u64)> {
    let line = |line: &'_ str| -> Option<(usize, u64)> {
        let (kib, _) = line.split_once('\t')?;
        Some((kib.len() + 1, kib.trim().parse().ok()?))
    };
    output
        .lines()
        .filter_map(|text| line(text).map(|(start, kib)| (&text[start..], kib)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_from_du() {
        let output = "4096\t/group/volumes/0\ndu: /x: Permission denied\n12\t/group/volumes/3";
        assert_eq!(parse(output), [("/group/volumes/0", 4096), ("/group/volumes/3", 12)]);
    }
}
