//! Groups and what their pods' status says. A case has `pod`, and either `record` (a member of the cheap call's `Data`),
//! `group` (a member of the full call's `ContainerGroups`) or, in `case`, what to publish without a group; expected is
//! `status.json`. The pod's own `status` is what was published before.

mod golden_support;

use std::path::Path;
use std::sync::Arc;

use golden_support::{cases, compare, read};
use jiff::{Timestamp, ToSpan};
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use provider::group::ObservedGroup;
use provider::response::{ContainerGroup, StatusRecord};
use provider::status::{self, PodFacts, Previous};
use serde::Deserialize;

/// What a case says besides its inputs.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct Case {
    /// Publish that the pod waits.
    pending: Option<Why>,
    /// Publish that the pod is over although no group says how.
    terminal: Option<Why>,
    /// Whether the full call is needed.
    needs_full: bool,
}

#[derive(Deserialize)]
struct Why {
    reason: String,
    message: String,
}

#[test]
fn groups_become_the_status_that_is_expected() {
    let failures: Vec<String> = cases("status").iter().filter_map(|dir| run(dir)).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn run(dir: &Path) -> Option<String> {
    let pod: Pod = read(dir, "pod").unwrap_or_else(|| panic!("{}: no pod", dir.display()));
    let case: Case = read(dir, "case").unwrap_or_default();
    let group = read::<StatusRecord>(dir, "record")
        .map(ObservedGroup::from)
        .or_else(|| read::<ContainerGroup>(dir, "group").map(ObservedGroup::from));
    let mut facts = PodFacts::of(&pod, Arc::from("10.0.0.10"));
    let now: Timestamp = "2026-11-23T02:00:00Z".parse().expect("an instant");
    let publish = |facts: &PodFacts, now: Timestamp| match (&case.pending, &case.terminal, &group) {
        (Some(why), _, _) => status::pending_status(facts, &why.reason, &why.message),
        (_, Some(why), _) => status::terminal_status(facts, &why.reason, &why.message, now),
        (None, None, Some(group)) => status::to_pod_status(group, facts, now),
        (None, None, None) => panic!("{}: nothing to publish", dir.display()),
    };
    let first = publish(&facts, now);
    if let Some(group) = &group {
        assert_eq!(
            status::needs_full_observation(group, &facts),
            case.needs_full,
            "{}",
            dir.display()
        );
    }
    assert_complete(&first, dir);

    // Stored and watched, it is the same; and seen again an hour later, nothing has changed.
    let stored = serde_json::to_value(&first).expect("a status renders");
    let watched: PodStatus = serde_json::from_value(stored.clone()).expect("a status reads");
    assert_eq!(
        status::fingerprint(&watched),
        status::fingerprint(&first),
        "{}",
        dir.display()
    );
    facts.previous = Previous::of(&watched);
    let again = publish(&facts, now + 1.hour());
    assert_eq!(
        again,
        first,
        "{}: the same observation gives another status later",
        dir.display()
    );
    compare(dir, "status.json", &[], &stored)
}

/// Spark dereferences the state of every container, and the exit code of every ended one.
fn assert_complete(status: &PodStatus, dir: &Path) {
    let lists = [&status.container_statuses, &status.init_container_statuses];
    for container in lists.into_iter().flatten().flatten() {
        let state = container
            .state
            .as_ref()
            .unwrap_or_else(|| panic!("{}: no state", dir.display()));
        let set = [
            state.waiting.is_some(),
            state.running.is_some(),
            state.terminated.is_some(),
        ];
        assert_eq!(
            set.iter().filter(|set| **set).count(),
            1,
            "{}: {}",
            dir.display(),
            container.name
        );
    }
}
