//! The laws of the table.

use proptest::prelude::*;

use super::*;

fn any_event() -> impl Strategy<Value = Event> {
    prop::sample::select(Event::ALL.to_vec())
}

/// How far a status is on a group's way; a restart and an update alone lead back.
fn rank(status: Status) -> u8 {
    match status {
        Status::Scheduling => 0,
        Status::Restarting | Status::Updating => 1,
        Status::Pending => 2,
        Status::Running => 3,
        Status::Terminating => 4,
        Status::ScheduleFailed | Status::Succeeded | Status::Failed | Status::Expired => 5,
    }
}

proptest! {
    /// Whatever happens in whatever order: final statuses stay, only a restart or an update leads back, each group is removed
    /// once and only after a delete, and billing never starts after the end.
    #[test]
    fn laws(events in prop::collection::vec(any_event(), 0..60)) {
        let mut status = Status::Scheduling;
        let (mut deleted, mut ended) = (false, false);
        for event in events {
            deleted |= event == Event::DeleteRequested;
            let step = step(status, event);
            for effect in step.effects {
                match effect {
                    Effect::StartBilling => prop_assert!(!ended && status.is_billed()),
                    Effect::EndBilling => ended = true,
                    Effect::Remove => prop_assert!(deleted && step.next.is_none()),
                    Effect::StartContainers => {
                        prop_assert!(matches!(status, Status::Pending | Status::Restarting | Status::Updating));
                    }
                    Effect::Replace => {
                        prop_assert!(matches!(status, Status::Pending | Status::Running));
                        prop_assert!(matches!(step.next, Some(Status::Restarting | Status::Updating)));
                    }
                    Effect::Stop => prop_assert!(step.next == Some(Status::Terminating)),
                    Effect::Kill => prop_assert!(step.next.is_some_and(Status::is_final)),
                }
            }
            let Some(next) = step.next else {
                prop_assert!(step.effects.contains(&Effect::Remove));
                break;
            };
            if status.is_final() {
                prop_assert_eq!(next, status);
            }
            let leads_back = matches!(event, Event::RestartRequested | Event::UpdateRequested);
            prop_assert!(leads_back || rank(next) >= rank(status), "{:?} -> {:?}", status, next);
            prop_assert!(!(status == Status::Terminating && next != Status::Terminating));
            status = next;
        }
    }
}

#[test]
fn a_delete_ends_every_group() {
    for status in Status::ALL {
        let deleted = step(status, Event::DeleteRequested);
        let end = match deleted.next {
            None => None,
            Some(next) => step(next, Event::Stopped).next,
        };
        assert_eq!(end, None, "{status:?}");
    }
}

#[test]
fn billing_ends_wherever_billed_statuses_are_left() {
    for (status, event) in Status::ALL.iter().flat_map(|s| Event::ALL.map(|e| (*s, e))) {
        let step = step(status, event);
        let left = status.is_billed() && step.next.is_none_or(|next| !next.is_billed());
        assert!(
            !left || step.effects.contains(&Effect::EndBilling),
            "{status:?} {event:?}"
        );
    }
}

#[test]
fn only_pending_and_running_groups_are_restarted_and_updated() {
    for status in Status::ALL {
        let may = matches!(status, Status::Pending | Status::Running);
        for event in [Event::RestartRequested, Event::UpdateRequested] {
            assert_eq!(step(status, event).next != Some(status), may, "{status:?}");
        }
    }
}
