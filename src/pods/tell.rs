//! What was learned from an effect, for logs, metrics and Events.

use jiff::Timestamp;
use provider::error::ErrorClass;

use crate::pods::absorb::Lesson;
use crate::pods::events::Notices;
use crate::pods::figures::Figures;
use crate::pods::record::{PodRecord, Uid};
use crate::pods::trouble::TroubleKind;

/// Tells people what `lesson` means for the pod of `record`.
pub(super) fn tell(
    lesson: Lesson,
    record: &PodRecord,
    uid: &Uid,
    now: Timestamp,
    figures: &Figures,
    notices: &Notices,
) {
    let facts = &record.facts;
    match lesson {
        Lesson::Nothing => {}
        Lesson::Created {
            id,
            size,
            asked,
            weakened,
            warnings,
            elsewhere,
        } => {
            tracing::info!(pod = %facts.name, namespace = %facts.namespace, uid = %uid, group = %id, "created the pod's container group");
            figures.decision("create");
            notices.created(record, size, asked, &weakened, &warnings);
            if let Some(place) = elsewhere {
                notices.elsewhere(record, &place);
            }
        }
        Lesson::Adopted { id } => {
            tracing::info!(pod = %facts.name, namespace = %facts.namespace, uid = %uid, group = %id, "found the group of a create whose answer was lost");
            figures.decision("adopt");
        }
        Lesson::DeleteAccepted { force } => {
            figures.decision(if force { "delete-force" } else { "delete" });
            if record.is_replaced() {
                notices.not_started(record);
            }
        }
        Lesson::GroupGone => {
            tracing::info!(pod = %facts.name, namespace = %facts.namespace, uid = %uid, "the pod's container group is gone");
        }
        Lesson::FilesRenewed => {
            figures.decision("renew-files");
            notices.files_renewed(record);
        }
        Lesson::FilesKept { message } => {
            tracing::warn!(pod = %facts.name, namespace = %facts.namespace, uid = %uid, error = message, "renewing the group's files failed; will retry");
            notices.files_kept(record, &message);
        }
        Lesson::Evicted => {
            tracing::info!(pod = %facts.name, namespace = %facts.namespace, uid = %uid, "evicted a pod whose spot resources are taken back");
            figures.decision("evict");
        }
        Lesson::EvictionBlocked { message } => {
            figures.decision("evict-blocked");
            notices.eviction_blocked(record, message);
        }
        Lesson::Published { began_to_run } => {
            figures.status_patch("written");
            // What keeps it waiting is told with the status that says so: once, and not when it was over in a moment.
            notices.trouble(record, now);
            notices.start_problems(record);
            if began_to_run {
                figures.running(facts.created, now);
            }
        }
        Lesson::NoStock { message } => {
            figures.trouble(TroubleKind::Cloud(ErrorClass::Stock).label());
            notices.no_stock(record, &message);
        }
        Lesson::Trouble => {
            if let Some(trouble) = &record.trouble {
                figures.trouble(trouble.kind.label());
            }
        }
        Lesson::Failed { what, failure } => {
            tracing::warn!(pod = %facts.name, namespace = %facts.namespace, uid = %uid, error = failure, "{what} failed; will retry");
            figures.trouble(what);
        }
    }
}
