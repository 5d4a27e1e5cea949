//! (pure) How the result of an effect changes a pod's record, and what was learned from it.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use provider::error::ErrorClass;
use provider::group::{ObservedCondition, ObservedGroup};
use provider::mapping::{Rejections, Warning, Weakened};
use provider::sizes::Size;
use provider::status::reasons;

use crate::pods::decide::LOG_PATIENCE;
use crate::pods::input::{
    CreateOutcome, Created, DeleteOutcome, EvictOutcome, Failure, FilesOutcome, FilesSent, FindOutcome, Outcome,
    PublishOutcome,
};
use crate::pods::metering;
use crate::pods::record::{DeleteAccepted, Files, GroupState, Hold, KeptLogs, PodRecord, Release};
use crate::pods::trouble::{Trouble, TroubleKind, What};

/// First look for a group whose create's outcome is not known.
const FIRST_LOOK: Duration = Duration::from_millis(500);
/// Looks after that.
const NEXT_LOOK: Duration = Duration::from_secs(2);
/// A create that ECI "accepted" and that no answer shows for so long is sent again, with the same token: whether the group
/// exists or not, and whether the answers lied or not, there is exactly one after that.
const SEND_AGAIN: SignedDuration = SignedDuration::from_secs(180);

/// An eviction that a disruption budget does not allow now is asked for again.
const EVICT_AGAIN: Duration = Duration::from_secs(5);

/// From a change of a ConfigMap or Secret to the look at the files made of it: longer than one read of it serves others.
const LOOK_AT_FILES: Duration = Duration::from_secs(6);
/// From a failure to the next look.
const LOOK_AT_FILES_AGAIN: Duration = Duration::from_secs(30);

/// A create of unknown outcome is believed possible for so long after it was sent, where it cannot be sent again because the
/// pod, or what it names, is gone. Should a group appear after all, nobody owns it, and it is deleted as such.
const UNHEARD: SignedDuration = SignedDuration::from_secs(60);

/// Reason of a refusal that has nothing to do with a zone.
const QUOTA_EXCEEDED: &str = "QuotaExceeded";

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
        /// Where it is, if that is another zone than the node's.
        elsewhere: Option<Box<str>>,
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
    /// Files of the group were renewed.
    FilesRenewed,
    /// They could not be renewed: the group keeps the old ones for now.
    FilesKept {
        /// Why.
        message: String,
    },
    /// The pod is evicted, because its spot resources are taken back.
    Evicted,
    /// It cannot be evicted now.
    EvictionBlocked {
        /// Why, in the API server's words.
        message: String,
    },
    /// A status was written.
    Published {
        /// The pod was not Running before and is now.
        began_to_run: bool,
    },
    /// There is a new `trouble`, or the same once more.
    Trouble,
    /// There is no stock in this way to buy the group, and there is another one.
    NoStock {
        /// ECI's words, and where it was.
        message: Box<str>,
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
        Outcome::GroupDeleted(result) => absorb_delete(record, result, now, jitter),
        Outcome::FilesRenewed(outcome) => absorb_files(record, outcome, now),
        Outcome::Evicted(outcome) => absorb_eviction(record, outcome, now),
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
    // One that was sent before, and whose answer was lost, can have made the group.
    let first_of = |sent| match record.group {
        GroupState::Accepted { first, .. } => first,
        _ => sent,
    };
    let what = match outcome {
        CreateOutcome::Created(Created {
            id,
            placed,
            asked,
            sent,
            weakened,
            warnings,
            files,
            elsewhere,
        }) => {
            let first = first_of(sent);
            record.has_group(id.clone(), attempt, first, now);
            metering::bought(record, &placed, asked);
            if let Some(FilesSent { digest, renew_at, .. }) = files {
                record.rare.get_or_insert_default().files = Some(Files {
                    digest: Some(digest),
                    renew_at,
                    ..Files::default()
                });
            }
            let size = placed.size;
            record.bought = size.cpu;
            record.placed = Some(placed);
            return Lesson::Created {
                id,
                size,
                asked,
                weakened,
                warnings,
                elsewhere,
            };
        }
        CreateOutcome::Unneeded => return Lesson::Nothing,
        CreateOutcome::Rejected(rejections) => What::new(kind_of(&rejections), rejections.to_string()),
        CreateOutcome::ApiServer(failure) => What::new(TroubleKind::ApiServer, failure),
        CreateOutcome::OverBudget(wait) => What {
            reason: Cow::Borrowed(wait.reason()),
            ..What::new(TroubleKind::Budget, wait.to_string())
        },
        CreateOutcome::Capped(wait) => What::new(TroubleKind::Cap, wait.to_string()),
        CreateOutcome::Unclear(Failure { class, .. }, sought) => {
            let first = first_of(sought.sent);
            metering::bought(record, &sought.placed, sought.asked);
            let resend = class == ErrorClass::UnknownOutcome;
            record.group = GroupState::Accepted {
                attempt,
                first,
                since: now,
                look_at: now + FIRST_LOOK,
                resend,
            };
            return Lesson::Nothing;
        }
        CreateOutcome::Cloud(Failure { class, reason, message }) => What {
            kind: TroubleKind::Cloud(class),
            reason: Cow::Borrowed(reason),
            message: format!("ECI: {message}"),
        },
    };
    let trouble = Trouble::next(record.trouble.as_deref(), what, now, jitter);
    let no_stock = trouble.kind == TroubleKind::Cloud(ErrorClass::Stock);
    let everywhere = trouble.reason == QUOTA_EXCEEDED;
    match record.after_refusal(attempt, everywhere).filter(|_| no_stock) {
        Some(next) => {
            let message = trouble.message.clone();
            next_attempt(record, next, trouble, now, jitter);
            Lesson::NoStock { message }
        }
        None => {
            record.trouble = Some(Box::new(trouble));
            Lesson::Trouble
        }
    }
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
        attempt,
        first,
        since,
        resend,
        ..
    } = record.group
    else {
        return Lesson::Nothing;
    };
    let look_again = GroupState::Accepted {
        attempt,
        first,
        since,
        look_at: now + NEXT_LOOK,
        resend,
    };
    match outcome {
        FindOutcome::Found(id) => {
            record.has_group(id.clone(), attempt, first, now);
            Lesson::Adopted { id }
        }
        FindOutcome::NotThere => {
            let resend = resend || now.duration_since(since) >= SEND_AGAIN;
            record.group = GroupState::Accepted {
                attempt,
                first,
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
            let ending = record.desired.gone || record.desired.deletion.is_some();
            let unheard = matches!(&outcome, CreateOutcome::Unneeded | CreateOutcome::Rejected(_))
                && ending
                && now.duration_since(since) >= UNHEARD;
            record.group = if refused || unheard {
                GroupState::Absent { attempt }
            } else {
                look_again
            };
            absorb_create(record, outcome, now, jitter)
        }
    }
}

fn absorb_delete(
    record: &mut PodRecord,
    result: Result<DeleteOutcome, Failure>,
    now: Timestamp,
    jitter: f64,
) -> Lesson {
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
            group_gone(record, now, jitter);
            Lesson::GroupGone
        }
        Err(Failure { message, .. }) => hold(record, "deleting the pod's group", message, now),
    }
}

/// The group of `record` is gone. If nothing ran in it, the pod's next attempt is due.
pub fn group_gone(record: &mut PodRecord, now: Timestamp, jitter: f64) {
    let ending = record.desired.gone || record.desired.deletion.is_some();
    let GroupState::Present { attempt, .. } = record.group else {
        return;
    };
    if let Some(meter) = &mut record.meter {
        meter.gone(now);
    }
    if ending || !record.is_replaced() {
        record.group = GroupState::Gone;
        return;
    }
    let (reason, message) = record.observed.as_ref().map_or(("", ""), |o| why_not_started(&o.group));
    let what = What {
        kind: TroubleKind::Cloud(ErrorClass::Stock),
        reason: Cow::Owned(reason.to_owned()),
        message: message.to_owned(),
    };
    let trouble = Trouble::next(None, what, now, jitter);
    next_attempt(record, attempt.saturating_add(1), trouble, now, jitter);
}

/// The next way to buy the group is the attempt `next`; after each round through all of them there is a pause.
fn next_attempt(record: &mut PodRecord, next: u32, mut trouble: Trouble, now: Timestamp, jitter: f64) {
    match record.rounds(next) {
        (round, true) => {
            let pause = trouble.kind.backoff(round.saturating_sub(1)).unwrap_or_default();
            trouble.retry_after(pause, now, jitter);
        }
        _ => trouble.retry_at = Some(now),
    }
    record.group = GroupState::Absent { attempt: next };
    record.observed = None;
    record.trouble = Some(Box::new(trouble));
}

/// Reason and message of a group that never started, in ECI's words where it has some.
pub fn why_not_started(group: &ObservedGroup) -> (&str, &str) {
    let says = |c: &&ObservedCondition| {
        let usual = ["", "ContainersNotReady", "ContainersNotInitialized"];
        c.status == "False" && !usual.contains(&&*c.reason)
    };
    let named = group.conditions.iter().filter(says);
    let best = named.min_by_key(|c| c.type_ != "ContainerInstanceCreated");
    best.map_or(
        (reasons::SCHEDULE_FAILED, "ECI could not start the container group"),
        |c| (&*c.reason, &*c.message),
    )
}

/// ECI has announced that it takes the spot resources of the pod's group back. Tells whether that is news.
pub fn absorb_release(record: &mut PodRecord, message: Box<str>, now: Timestamp) -> bool {
    if record.release().is_some() || !matches!(record.group, GroupState::Present { .. }) || record.group_ended() {
        return false;
    }
    record.rare.get_or_insert_default().release = Some(Release {
        message,
        evict_at: Some(now),
    });
    true
}

/// A pod that is to go: from now on it counts how long its group is left to be read.
pub fn absorb_ending(record: &mut PodRecord, now: Timestamp) {
    let ending = record.desired.gone || record.desired.deletion.is_some();
    if let Some(logs) = kept_logs(record).filter(|logs| ending && logs.until.is_none()) {
        logs.until = Some(now + LOG_PATIENCE);
    }
}

/// There may be money again for a pod that waits for it.
pub fn absorb_money(record: &mut PodRecord, now: Timestamp) {
    if let Some(trouble) = record.trouble.as_mut().filter(|t| t.kind == TroubleKind::Budget) {
        trouble.retry_at = Some(now);
    }
}

/// The logs of the pod were kept to their end, or cannot be kept at present: nobody waits for them.
pub fn absorb_logs_kept(record: &mut PodRecord) {
    if let Some(logs) = kept_logs(record) {
        logs.settled = true;
    }
}

fn kept_logs(record: &mut PodRecord) -> Option<&mut KeptLogs> {
    record.rare.as_deref_mut()?.logs.as_mut()
}

fn absorb_files(record: &mut PodRecord, outcome: FilesOutcome, now: Timestamp) -> Lesson {
    let files = record.rare.get_or_insert_default().files.get_or_insert_default();
    let again = Some(now + LOOK_AT_FILES_AGAIN);
    match outcome {
        FilesOutcome::Unneeded => {
            files.look_at = None;
            Lesson::Nothing
        }
        FilesOutcome::Current {
            files: FilesSent { digest, renew_at, .. },
            sent,
        } => {
            files.look_at = None;
            // Tokens that were only minted to look are not those in the group.
            if sent || files.digest.is_none() {
                files.renew_at = renew_at;
            }
            files.written &= files.digest.as_deref() == Some(&*digest) && !sent;
            files.digest = Some(digest);
            if sent { Lesson::FilesRenewed } else { Lesson::Nothing }
        }
        FilesOutcome::Unreadable(failure) => {
            files.look_at = again;
            files.renew_at = files.renew_at.map(|at| at.max(now + LOOK_AT_FILES_AGAIN));
            let what = "reading what the group's files come from";
            Lesson::Failed { what, failure }
        }
        FilesOutcome::Cloud(Failure { message, .. }) => {
            files.look_at = again;
            files.renew_at = files.renew_at.map(|at| at.max(now + LOOK_AT_FILES_AGAIN));
            Lesson::FilesKept { message }
        }
    }
}

/// Something that its files come from has changed: they are looked at once whoever reads it sees the change.
pub fn absorb_source_change(record: &mut PodRecord, now: Timestamp) {
    let files = record.rare.as_deref_mut().and_then(|rare| rare.files.as_mut());
    if let Some(files) = files {
        files.look_at = Some(now + LOOK_AT_FILES);
    }
}

fn absorb_eviction(record: &mut PodRecord, outcome: EvictOutcome, now: Timestamp) -> Lesson {
    let release = record.rare.as_deref_mut().and_then(|rare| rare.release.as_mut());
    let again = Some(now + EVICT_AGAIN);
    let (evict_at, lesson) = match outcome {
        EvictOutcome::Accepted => (None, Lesson::Evicted),
        EvictOutcome::Gone => {
            record.desired.gone = true;
            return Lesson::Nothing;
        }
        EvictOutcome::Blocked(message) => (again, Lesson::EvictionBlocked { message }),
        EvictOutcome::Failed(failure) => {
            let what = "evicting the pod";
            (again, Lesson::Failed { what, failure })
        }
    };
    if let Some(release) = release {
        release.evict_at = evict_at;
    }
    lesson
}

fn absorb_publish(record: &mut PodRecord, outcome: PublishOutcome, now: Timestamp) -> Lesson {
    match outcome {
        PublishOutcome::Written(written) => {
            let began_to_run = written.running && !record.desired.was_running;
            record.published.fingerprint = written.fingerprint;
            record.published.resource_version = written.resource_version;
            record.published.attempt = written.attempt;
            record.published.annotated |= written.annotated;
            if written.running {
                record.placed = None;
            }
            if written.files
                && let Some(files) = record.rare.as_deref_mut().and_then(|rare| rare.files.as_mut())
            {
                files.written = true;
            }
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use provider::sizes::Size;
    use provider::status::PodFacts;

    use super::*;
    use crate::cost::application::Role;
    use crate::cost::meter::Meter;
    use crate::pods::input::Sought;
    use crate::pods::record::Desired;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    fn created(sent: i64) -> CreateOutcome {
        CreateOutcome::Created(Created {
            id: Arc::from("eci-1"),
            placed: Box::default(),
            asked: Size::default(),
            sent: at(sent),
            weakened: Vec::new(),
            warnings: Vec::new(),
            files: None,
            elsewhere: None,
        })
    }

    fn lost(sent: i64) -> CreateOutcome {
        let failure = Failure {
            class: ErrorClass::UnknownOutcome,
            reason: "",
            message: String::new(),
        };
        let sought = Sought {
            sent: at(sent),
            ..Sought::default()
        };
        CreateOutcome::Unclear(failure, Box::new(sought))
    }

    #[test]
    fn a_group_may_be_as_old_as_the_first_create_that_can_have_made_it() {
        let waiting = || {
            let absent = GroupState::Absent { attempt: 0 };
            let mut record = PodRecord::new(PodFacts::default(), Desired::default(), absent, at(0));
            record.meter = Some(Box::new(Meter::new(Arc::default(), Role::Pod, None)));
            record
        };
        let made = |record: &PodRecord| {
            let group = record.meter.as_ref()?.group.as_ref()?;
            Some(group.known.as_second())
        };
        let mut late = waiting();
        absorb(&mut late, Outcome::Created(created(10)), at(25), 0.0);
        assert_eq!(made(&late), Some(10), "its answer came late");

        let resent = FindOutcome::Resent(created(40));
        let there = FindOutcome::Found(Arc::from("eci-1"));
        for outcome in [resent, there] {
            let mut record = waiting();
            absorb(&mut record, Outcome::Created(lost(10)), at(25), 0.0);
            absorb(&mut record, Outcome::Found(FindOutcome::NotThere), at(30), 0.0);
            absorb(&mut record, Outcome::Found(outcome), at(41), 0.0);
            assert_eq!(made(&record), Some(10), "the lost one may have made it");
        }
    }
}
