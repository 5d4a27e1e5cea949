//! (pure) How the result of an effect changes a pod's record, and what was learned from it.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use provider::error::ErrorClass;
use provider::group::GroupStatus;
use provider::mapping::{Rejections, Warning, Weakened};
use provider::sizes::Size;

use crate::pods::input::{CreateOutcome, Created, DeleteOutcome, Failure, FindOutcome, Outcome, PublishOutcome};
use crate::pods::record::{DeleteAccepted, GroupState, Hold, Placed, PodRecord};
use crate::pods::trouble::{Trouble, TroubleKind};

/// First look for a group whose create's outcome is not known.
const FIRST_LOOK: Duration = Duration::from_millis(500);
/// Looks after that.
const NEXT_LOOK: Duration = Duration::from_secs(2);
/// A create that ECI "accepted" and that no answer shows for so long is sent again, with the same token: whether the group
/// exists or not, and whether the answers lied or not, there is exactly one after that.
const SEND_AGAIN: SignedDuration = SignedDuration::from_secs(180);

/// What an effect's result taught, for logs, metrics and Events.
#[derive(Clone, Debug, PartialEq)]
pub enum Lesson {
    /// Nothing worth telling.
    Nothing,
    /// A group was made.
    Created {
        /// Its id.
        id: Arc<str>,
        /// The size bought.
        size: Size,
        /// The size asked for.
        asked: Size,
        /// What is weaker than the pod asks.
        weakened: Vec<Weakened>,
        /// What may go wrong.
        warnings: Vec<Warning>,
    },
    /// The group of a create whose answer was lost is known now.
    Adopted {
        /// Its id.
        id: Arc<str>,
    },
    /// ECI took a delete.
    DeleteAccepted {
        /// Without grace.
        force: bool,
    },
    /// ECI knows the group no more.
    GroupGone,
    /// A status was written.
    Published {
        /// The pod was not Running before and is now.
        began_to_run: bool,
    },
    /// The record's `trouble` is new or has lasted.
    Trouble {
        /// It was news before already.
        told_before: bool,
    },
    /// An effect failed and will be repeated.
    Failed {
        /// Which, in words.
        what: &'static str,
        /// Why.
        failure: String,
    },
}

/// Takes `outcome` into `record`; `jitter` in 0..=1 spreads retries.
pub fn absorb(record: &mut PodRecord, outcome: Outcome, now: Timestamp, jitter: f64) -> Lesson {
    record.busy = false;
    match outcome {
        Outcome::Created(outcome) => absorb_create(record, outcome, now, jitter),
        Outcome::Found(outcome) => absorb_find(record, outcome, now, jitter),
        Outcome::GroupDeleted(result) => absorb_delete(record, result, now),
        Outcome::Published(outcome) => absorb_publish(record, outcome, now),
        Outcome::ObjectRemoved(Ok(())) => {
            // Its DELETED event may come first, late or never; the answer is proof enough.
            record.hold = None;
            record.desired.gone = true;
            Lesson::Nothing
        }
        Outcome::ObjectRemoved(Err(failure)) => hold(record, "removing the pod object", failure, now),
    }
}

fn hold(record: &mut PodRecord, what: &'static str, failure: String, now: Timestamp) -> Lesson {
    record.hold = Some(Hold::after(record.hold, now));
    Lesson::Failed { what, failure }
}

fn absorb_create(record: &mut PodRecord, outcome: CreateOutcome, now: Timestamp, jitter: f64) -> Lesson {
    let attempt = match record.group {
        GroupState::Absent { attempt } | GroupState::Accepted { attempt, .. } => attempt,
        _ => record.published.attempt,
    };
    let (kind, message) = match outcome {
        CreateOutcome::Created(Created {
            id,
            size,
            asked,
            weakened,
            warnings,
        }) => {
            record.has_group(id.clone(), attempt, now);
            record.placed = Some(Placed { size });
            return Lesson::Created {
                id,
                size,
                asked,
                weakened,
                warnings,
            };
        }
        CreateOutcome::Unneeded => return Lesson::Nothing,
        CreateOutcome::Rejected(rejections) => (kind_of(&rejections), rejections.to_string()),
        CreateOutcome::ApiServer(failure) => (TroubleKind::ApiServer, failure),
        CreateOutcome::Cloud(Failure { class, .. })
            if matches!(class, ErrorClass::UnknownOutcome | ErrorClass::AlreadyAccepted) =>
        {
            let since = match record.group {
                GroupState::Accepted { since, .. } => since,
                _ => now,
            };
            let resend = class == ErrorClass::UnknownOutcome;
            record.group = GroupState::Accepted {
                attempt,
                since,
                look_at: now + FIRST_LOOK,
                resend,
            };
            return Lesson::Nothing;
        }
        CreateOutcome::Cloud(Failure { class, message }) => (TroubleKind::Cloud(class), format!("ECI: {message}")),
    };
    let told_before = record
        .trouble
        .as_ref()
        .is_some_and(|t| t.kind == kind && t.is_news(now));
    record.trouble = Some(Trouble::next(record.trouble.as_ref(), kind, message, now, jitter));
    Lesson::Trouble { told_before }
}

/// Waiting can help where only references are missing; a kubelet words it by whether volumes alone wait.
fn kind_of(rejections: &Rejections) -> TroubleKind {
    let kind = if rejections.event_reason() == TroubleKind::MissingVolume.event_reason() {
        TroubleKind::MissingVolume
    } else {
        TroubleKind::MissingReference
    };
    if rejections.is_retryable() {
        kind
    } else {
        TroubleKind::Refused
    }
}

fn absorb_find(record: &mut PodRecord, outcome: FindOutcome, now: Timestamp, jitter: f64) -> Lesson {
    let GroupState::Accepted {
        attempt, since, resend, ..
    } = record.group
    else {
        return Lesson::Nothing;
    };
    let look_again = GroupState::Accepted {
        attempt,
        since,
        look_at: now + NEXT_LOOK,
        resend,
    };
    match outcome {
        FindOutcome::Found(id) => {
            record.has_group(id.clone(), attempt, now);
            Lesson::Adopted { id }
        }
        FindOutcome::NotThere => {
            let resend = resend || now.duration_since(since) >= SEND_AGAIN;
            record.group = GroupState::Accepted {
                attempt,
                since,
                look_at: now + NEXT_LOOK,
                resend,
            };
            Lesson::Nothing
        }
        FindOutcome::Failed(Failure { message, .. }) => {
            record.group = look_again;
            Lesson::Failed {
                what: "looking for the pod's group",
                failure: message,
            }
        }
        FindOutcome::Resent(outcome) => {
            // ECI answers a token it knows with the first result, so a refusal of this kind says that there was none.
            let refused = matches!(&outcome, CreateOutcome::Cloud(failure)
                if matches!(failure.class, ErrorClass::Permanent | ErrorClass::Stock));
            record.group = if refused {
                GroupState::Absent { attempt }
            } else {
                look_again
            };
            absorb_create(record, outcome, now, jitter)
        }
    }
}

fn absorb_delete(record: &mut PodRecord, result: Result<DeleteOutcome, Failure>, now: Timestamp) -> Lesson {
    match result {
        Ok(DeleteOutcome::Accepted { force }) => {
            if let GroupState::Present { delete, missing, .. } = &mut record.group {
                *delete = Some(DeleteAccepted { force, at: now });
                *missing = 0;
            }
            record.hold = None;
            Lesson::DeleteAccepted { force }
        }
        Ok(DeleteOutcome::NotFound) => {
            record.hold = None;
            record.group = after_gone(record);
            Lesson::GroupGone
        }
        Err(Failure { message, .. }) => hold(record, "deleting the pod's group", message, now),
    }
}

/// What a group that is gone leaves behind: a group that never got its resources is tried again as the next attempt.
pub fn after_gone(record: &PodRecord) -> GroupState {
    let never_scheduled = record
        .observed
        .as_ref()
        .is_some_and(|o| o.group.status == GroupStatus::ScheduleFailed);
    let ending = record.desired.gone || record.desired.deletion.is_some();
    match record.group {
        GroupState::Present { attempt, .. } if never_scheduled && !ending => {
            GroupState::Absent { attempt: attempt + 1 }
        }
        _ => GroupState::Gone,
    }
}

fn absorb_publish(record: &mut PodRecord, outcome: PublishOutcome, now: Timestamp) -> Lesson {
    match outcome {
        PublishOutcome::Written(written) => {
            let began_to_run = written.running && !record.desired.was_running;
            record.published.fingerprint = written.fingerprint;
            record.published.resource_version = written.resource_version;
            record.published.attempt = written.attempt;
            record.published.annotated |= written.annotated;
            record.facts.previous = written.previous;
            record.desired.finished |= written.finished;
            record.desired.was_running = written.running;
            record.hold = None;
            Lesson::Published { began_to_run }
        }
        PublishOutcome::Gone => {
            record.desired.gone = true;
            Lesson::Nothing
        }
        PublishOutcome::Failed(failure) => hold(record, "writing the pod's status", failure, now),
    }
}
