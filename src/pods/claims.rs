//! What a pod's record means for the cap of its namespace.

use jiff::Timestamp;
use provider::units::MilliCpu;

use crate::caps::{Caps, Claim};
use crate::pods::record::{GroupState, PodRecord, Uid};
use crate::pods::trouble::TroubleKind;

/// Brings the books up to date with `record`. Who is in line and may go now gets its next try at once.
pub fn settle(caps: &Caps, uid: &Uid, record: &mut PodRecord, now: Timestamp) {
    if !caps.are_set() {
        return;
    }
    match &record.group {
        // Not known yet whether it has one.
        GroupState::Unknown | GroupState::Accepted { .. } => hold(caps, uid, record),
        GroupState::Present { .. } if !record.group_ended() => hold(caps, uid, record),
        // A create may be under way that was granted room.
        GroupState::Absent { .. } if record.busy => return,
        GroupState::Absent { .. } | GroupState::Present { .. } | GroupState::Gone => caps.release(uid),
    }
    let ending = record.desired.gone || record.desired.deletion.is_some() || record.desired.finished;
    let capped = record
        .trouble
        .as_mut()
        .filter(|t| t.kind == TroubleKind::Cap && !ending);
    match capped {
        None => caps.leave(uid),
        Some(trouble) if trouble.retry_at.is_none() && caps.would_go(uid) => trouble.retry_at = Some(now),
        Some(_) => {}
    }
}

fn hold(caps: &Caps, uid: &Uid, record: &PodRecord) {
    let bought = Some(record.bought).filter(|cpu| *cpu > MilliCpu(0));
    let cpu = bought.unwrap_or(record.requested);
    if caps.held_by(uid) != Some(cpu) {
        caps.hold(&Claim {
            uid: uid.clone(),
            namespace: record.facts.namespace.as_ref().into(),
            cpu,
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use provider::status::PodFacts;

    use super::*;
    use crate::caps::Cap;
    use crate::pods::record::Desired;
    use crate::pods::trouble::{Trouble, What};

    fn record(name: &str, group: GroupState) -> PodRecord {
        let facts = PodFacts {
            uid: name.into(),
            namespace: "a".into(),
            name: name.into(),
            ..PodFacts::default()
        };
        PodRecord::new(facts, Desired::default(), group, Timestamp::UNIX_EPOCH)
    }

    fn present() -> GroupState {
        GroupState::Present {
            id: Arc::from("eci-1"),
            attempt: 0,
            delete: None,
            since: Timestamp::UNIX_EPOCH,
            missing: 0,
        }
    }

    fn one_pod() -> Caps {
        let cap = Cap {
            pods: Some(1),
            cpu: None,
        };
        Caps::new(cap, [])
    }

    #[test]
    fn whatever_may_have_a_group_counts_and_what_has_none_does_not() {
        let now = Timestamp::UNIX_EPOCH;
        let accepted = GroupState::Accepted {
            attempt: 0,
            first: now,
            since: now,
            look_at: now,
            resend: true,
        };
        for (state, counts) in [
            (GroupState::Unknown, true),
            (accepted, true),
            (present(), true),
            (GroupState::Absent { attempt: 0 }, false),
            (GroupState::Gone, false),
        ] {
            let (caps, uid) = (one_pod(), Uid::from("1"));
            settle(&caps, &uid, &mut record("1", state.clone()), now);
            assert_eq!(caps.held_by(&uid).is_some(), counts, "{state:?}");
        }
    }

    #[test]
    fn a_create_under_way_keeps_its_room_and_a_refused_one_gives_it_back() {
        let now = Timestamp::UNIX_EPOCH;
        let (caps, uid) = (one_pod(), Uid::from("1"));
        let claim = Claim {
            uid: uid.clone(),
            namespace: "a".into(),
            cpu: MilliCpu(1),
        };
        caps.reserve(&claim, now).expect("room");
        let mut record = record("1", GroupState::Absent { attempt: 0 });
        record.busy = true;
        settle(&caps, &uid, &mut record, now);
        assert!(caps.held_by(&uid).is_some());
        record.busy = false;
        settle(&caps, &uid, &mut record, now);
        assert!(caps.held_by(&uid).is_none());
    }

    #[test]
    fn who_waits_is_tried_again_when_there_is_room_and_leaves_the_line_when_it_goes() {
        let now = Timestamp::UNIX_EPOCH;
        let (caps, first, second) = (one_pod(), Uid::from("1"), Uid::from("2"));
        let mut running = record("1", present());
        settle(&caps, &first, &mut running, now);
        let mut waiting = record("2", GroupState::Absent { attempt: 0 });
        let claim = Claim {
            uid: second.clone(),
            namespace: "a".into(),
            cpu: MilliCpu(1),
        };
        let wait = caps.reserve(&claim, now).expect_err("no room");
        let what = What::new(TroubleKind::Cap, wait.to_string());
        waiting.trouble = Some(Box::new(Trouble::next(None, what, now, 0.0)));
        settle(&caps, &second, &mut waiting, now);
        assert_eq!(waiting.trouble.as_ref().and_then(|t| t.retry_at), None);
        running.group = GroupState::Gone;
        settle(&caps, &first, &mut running, now);
        settle(&caps, &second, &mut waiting, now);
        assert_eq!(waiting.trouble.as_ref().and_then(|t| t.retry_at), Some(now));
        waiting.desired.gone = true;
        settle(&caps, &second, &mut waiting, now);
        assert_eq!(caps.waiting(), 0);
    }
}
