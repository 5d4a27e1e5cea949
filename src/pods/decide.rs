//! (pure) What to do next for one pod.
//!
//! # Flow
//! Every input (an event of the watch, an observation, the result of an effect, a timer) changes the pod's [`PodRecord`];
//! then [`decide`] is asked again. It looks at the record alone, so it does not matter which input came first or was lost.
//!
//! # Guarantees
//! - At most one effect per pod is under way, so a decision is never made on a state that is about to change.
//! - Delete wins: once a pod is to go, nothing is created for it, and its group is deleted as soon as it is known.
//! - A pod object is removed only when its group is known to be absent, gone or ended and deleted.
//! - A second create for a pod is decided only when its group is known to be absent; the number of any attempt but the
//!   first is on the pod before it is used.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use provider::group::GroupStatus;

use crate::pods::publish::{self, Publish};
use crate::pods::record::{GroupState, PodRecord};

/// A delete that seems to have had no effect is repeated after this long: its answer then says what became of the group.
const REPEAT_DELETE: Duration = Duration::from_secs(2);

/// How long after a pod's deadline ECI is given to end the group by itself: it keeps the logs then.
const DEADLINE_MARGIN: Duration = Duration::from_secs(10);
/// How long a group that has ended is left to be read when its pod is to go and its logs are kept. It is not paid for any more.
pub const LOG_PATIENCE: Duration = Duration::from_secs(30);
/// How long after a grace period ECI is given to end the group by itself.
const GRACE_MARGIN: Duration = Duration::from_secs(5);

/// The next step for a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing until an input arrives, or until the time given.
    Wait(Option<Timestamp>),
    /// Create its group.
    Create {
        /// Part of the idempotency token.
        attempt: u32,
    },
    /// Look for its group by tag; when there is none and `resend`, send the same create again.
    Find {
        /// Of the create whose outcome is not known.
        attempt: u32,
        /// See [`GroupState::Accepted`].
        resend: bool,
    },
    /// Delete its group.
    DeleteGroup {
        /// The group.
        id: Arc<str>,
        /// Skip the grace period.
        force: bool,
    },
    /// See whether the files of its group are still what they come from, and renew them if not.
    RenewFiles {
        /// The group.
        id: Arc<str>,
        /// Digest of what it has; none = not known.
        known: Option<Box<str>>,
        /// Renew them in any case, because a token in them ends.
        tokens: bool,
    },
    /// Ask the API server to evict it: a deletion that respects disruption budgets.
    Evict,
    /// Write its status.
    Publish,
    /// Remove the object from the API server, which waits for us.
    RemoveObject,
    /// All is done: drop the record.
    Forget,
}

/// Decides the next step for `record` at `now`.
pub fn decide(record: &PodRecord, now: Timestamp) -> Decision {
    if record.busy {
        return Decision::Wait(None);
    }
    if let Some(hold) = record.hold.filter(|h| h.until > now) {
        return Decision::Wait(Some(hold.until));
    }
    if record.desired.gone || record.desired.deletion.is_some() {
        return decide_ending(record, now);
    }
    match &record.group {
        GroupState::Unknown => Decision::Wait(None),
        GroupState::Absent { .. } if record.desired.finished => Decision::Wait(None),
        GroupState::Absent { attempt } => decide_create(record, *attempt, now),
        GroupState::Accepted {
            attempt,
            look_at,
            resend,
            ..
        } => {
            if *look_at <= now {
                Decision::Find {
                    attempt: *attempt,
                    resend: *resend,
                }
            } else {
                publish_or_wait(record, now, Some(*look_at))
            }
        }
        GroupState::Present { id, delete, .. } => match delete {
            // A group in which nothing ran is replaced: the next attempt may find another zone, another size or better times.
            None if record.is_replaced() => Decision::DeleteGroup {
                id: id.clone(),
                force: true,
            },
            None => decide_running(record, id, now),
            Some(accepted) => {
                // Its pod stays: nobody waits for the rest of the grace period but the group itself.
                let over = accepted.at + Duration::from_secs(record.desired.grace_seconds.into()) + GRACE_MARGIN;
                let repeat_at = accepted.at + REPEAT_DELETE;
                let force = accepted.force || (record.is_overdue(now) && over <= now);
                if now >= repeat_at {
                    Decision::DeleteGroup { id: id.clone(), force }
                } else {
                    publish_or_wait(record, now, Some(repeat_at))
                }
            }
        },
        GroupState::Gone => publish_or_wait(record, now, None),
    }
}

/// A group that nobody asked to end.
fn decide_running(record: &PodRecord, id: &Arc<str>, now: Timestamp) -> Decision {
    if record.group_ended() || record.desired.finished {
        return publish_or_wait(record, now, None);
    }
    // ECI ends the group by itself when the deadline is over; if it does not, we do.
    let end_at = record.deadline().map(|at| at + DEADLINE_MARGIN);
    if end_at.is_some_and(|at| at <= now) {
        return Decision::DeleteGroup {
            id: id.clone(),
            force: false,
        };
    }
    // What is about to happen is written before it happens.
    if publish::due(record, now) == Publish::Now {
        return Decision::Publish;
    }
    let evict_at = record.release().and_then(|release| release.evict_at);
    if evict_at.is_some_and(|at| at <= now) {
        return Decision::Evict;
    }
    let runs = record
        .observed
        .as_ref()
        .is_some_and(|o| o.group.status == GroupStatus::Running);
    let files_due = match record.files() {
        _ if !runs || !record.renews_files() => None,
        // An earlier agent made the group and did not get to say with what.
        None => Some(now),
        Some(files) => files.due(),
    };
    if files_due.is_some_and(|at| at <= now) {
        let files = record.files();
        return Decision::RenewFiles {
            id: id.clone(),
            known: files.and_then(|f| f.digest.clone()),
            tokens: files.and_then(|f| f.renew_at).is_some_and(|at| at <= now),
        };
    }
    publish_or_wait(record, now, [end_at, evict_at, files_due].into_iter().flatten().min())
}

fn decide_create(record: &PodRecord, attempt: u32, now: Timestamp) -> Decision {
    if record.given_up().is_some() || record.is_overdue(now) {
        return publish_or_wait(record, now, None);
    }
    let deadline = record.deadline();
    if let Some(trouble) = &record.trouble {
        match trouble.retry_at {
            None => return publish_or_wait(record, now, deadline),
            Some(at) if at > now => return publish_or_wait(record, now, Some(deadline.map_or(at, |d| d.min(at)))),
            Some(_) => {}
        }
    }
    if attempt > record.published.attempt {
        Decision::Publish
    } else {
        Decision::Create { attempt }
    }
}

/// The pod is to go, or its object is gone already.
fn decide_ending(record: &PodRecord, now: Timestamp) -> Decision {
    let gone = record.desired.gone;
    let finish = match record.is_recorded_until(now) {
        _ if gone => Decision::Forget,
        // An agent that is killed before the record is kept makes it anew, from the pod.
        Some(until) => Decision::Wait(Some(until)),
        None => Decision::RemoveObject,
    };
    let forced = record.desired.deletion.is_some_and(|d| d.forced);
    match &record.group {
        GroupState::Unknown => Decision::Wait(None),
        GroupState::Absent { .. } => finish,
        GroupState::Gone => publish_last_or(record, now, finish),
        GroupState::Accepted {
            attempt,
            look_at,
            resend,
            ..
        } => {
            if *look_at <= now {
                Decision::Find {
                    attempt: *attempt,
                    resend: *resend,
                }
            } else {
                Decision::Wait(Some(*look_at))
            }
        }
        GroupState::Present { delete: None, .. } if let Some(until) = record.is_read_until(now) => {
            publish_last_or(record, now, Decision::Wait(Some(until)))
        }
        // The record of what it costs is all that will tell of it.
        GroupState::Present { delete, .. }
            if (delete.is_none() || !record.group_ended())
                && let Some(until) = record.is_recorded_until(now)
                && record.leaves_no_trace() =>
        {
            Decision::Wait(Some(until))
        }
        GroupState::Present { id, delete: None, .. } => Decision::DeleteGroup {
            id: id.clone(),
            force: forced,
        },
        GroupState::Present {
            id,
            delete: Some(accepted),
            missing,
            ..
        } => {
            if record.group_ended() {
                return publish_last_or(record, now, finish);
            }
            let deadline = record.desired.deletion.map(|d| d.deadline).filter(|_| !accepted.force);
            if deadline.is_some_and(|at| at <= now) {
                return Decision::DeleteGroup {
                    id: id.clone(),
                    force: true,
                };
            }
            // Where an answer lacked the group but proves nothing by itself, and where no deadline is left to wait for, the
            // same call is sent again: NotFound is the proof that it is gone.
            let repeat_at = accepted.at + REPEAT_DELETE;
            let repeat = deadline.is_none() || *missing > 0;
            if repeat && repeat_at <= now {
                return Decision::DeleteGroup {
                    id: id.clone(),
                    force: accepted.force,
                };
            }
            let wake = if repeat {
                deadline.map_or(repeat_at, |d| d.min(repeat_at))
            } else {
                deadline.unwrap_or(repeat_at)
            };
            // What its containers do on the way out is told once, with the last status.
            Decision::Wait(Some(wake))
        }
    }
}

/// The last status goes out before the object does: controllers read exit codes from it.
fn publish_last_or(record: &PodRecord, now: Timestamp, then: Decision) -> Decision {
    let owed = !record.desired.gone && publish::due(record, now) == Publish::Now;
    if owed { Decision::Publish } else { then }
}

fn publish_or_wait(record: &PodRecord, now: Timestamp, wake: Option<Timestamp>) -> Decision {
    match publish::due(record, now) {
        Publish::Now => Decision::Publish,
        Publish::At(at) => Decision::Wait(Some(wake.map_or(at, |w| w.min(at)))),
        Publish::Nothing => Decision::Wait(wake),
    }
}
