//! What must hold whatever happened, from the cloud's ledger and the API server's log.

use std::collections::BTreeMap;

use jiff::Timestamp;
use mock_eci::domain::ledger::Bill;
use mock_eci::domain::lifecycle::Status;

use super::world::World;

/// Status writes that a pod may cost when nothing goes wrong: what it waits for, Running, its end.
const WRITES: usize = 4;
/// And when something does: each start of the agent and each fault may cost some more.
const WRITES_IN_TROUBLE: usize = 12;

/// Checks all of them; all pods are gone by now.
pub fn check(world: &World, quiet: bool) {
    let bills = world.sim.cloud.app().ledger();
    let mut by_pod: BTreeMap<&str, Vec<&Bill>> = BTreeMap::new();
    for bill in bills
        .iter()
        .filter(|bill| bill.container_group_id.as_str() != world.foreign())
    {
        by_pod
            .entry(bill.tags.get("UID").map_or("", String::as_str))
            .or_default()
            .push(bill);
    }
    for (uid, groups) in &by_pod {
        one_at_a_time(uid, groups);
        nothing_leaked(uid, groups);
    }
    let foreign = bills
        .iter()
        .find(|bill| bill.container_group_id.as_str() == world.foreign());
    assert_eq!(
        foreign.expect("it was made").billing_end,
        None,
        "a group of another node was ended"
    );
    removals(world, &by_pod);
    writes(world, quiet);
}

/// When a group stopped living: it ended, or never got its resources, or was removed.
fn end(bill: &Bill) -> Timestamp {
    let is_over = |status: Status| {
        matches!(
            status,
            Status::Succeeded | Status::Failed | Status::Expired | Status::ScheduleFailed
        )
    };
    let over = bill
        .states
        .iter()
        .find(|state| is_over(state.status))
        .map(|state| state.since);
    over.or(bill.removal_time).unwrap_or(Timestamp::MAX)
}

/// Another group is made for a pod only after one that never got its resources.
fn one_at_a_time(uid: &str, groups: &[&Bill]) {
    let mut groups = groups.to_vec();
    groups.sort_by_key(|bill| bill.creation_time);
    for pair in groups.windows(2) {
        let never_ran = pair[0].billing_start.is_none();
        assert!(
            never_ran && end(pair[0]) <= pair[1].creation_time,
            "two groups for pod {uid}: {:#?}",
            pair.iter()
                .map(|b| (&b.container_group_id, b.creation_time, &b.states))
                .collect::<Vec<_>>()
        );
    }
}

fn nothing_leaked(uid: &str, groups: &[&Bill]) {
    for bill in groups {
        assert!(
            bill.removal_time.is_some(),
            "group {} of pod {uid} was left behind: {:?}",
            bill.container_group_id,
            bill.states
        );
    }
}

/// The agent removes the objects of pods that are to go, and only when their groups have ended.
fn removals(world: &World, by_pod: &BTreeMap<&str, Vec<&Bill>>) {
    for removal in world
        .sim
        .api
        .log()
        .iter()
        .filter(|e| e.what == "delete pods" && e.who == "agent" && e.code == 200)
    {
        assert!(
            world.was_deleted(&removal.uid),
            "the agent removed {}, which nobody deleted",
            removal.name
        );
        for bill in by_pod.get(removal.uid.as_str()).into_iter().flatten() {
            assert!(
                end(bill) <= removal.at,
                "{} was removed at {} while its group {} lived: {:?}",
                removal.name,
                removal.at,
                bill.container_group_id,
                bill.states
            );
        }
    }
}

fn writes(world: &World, quiet: bool) {
    let bound = if quiet {
        WRITES
    } else {
        WRITES_IN_TROUBLE + world.starts() as usize
    };
    let mut writes: BTreeMap<(String, String), usize> = BTreeMap::new();
    for write in world
        .sim
        .api
        .log()
        .into_iter()
        .filter(|e| e.what == "patch pods/status" && e.code == 200)
    {
        *writes.entry((write.name, write.uid)).or_default() += 1;
    }
    for ((name, uid), count) in writes {
        assert!(
            count <= bound,
            "{count} status writes for {name} ({uid}), at most {bound} expected"
        );
    }
}
