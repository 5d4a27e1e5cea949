//! (pure) The conditions that ACK's users know, beside a kubelet's: what stands between a pod and its group, and what is about
//! to befall the group. A pod that runs without trouble carries none of them.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{PodCondition, PodStatus};
use provider::group::GroupStatus;
use provider::status::conditions::{Kind, extra};
use provider::status::reasons;

use crate::pods::absorb::why_not_started;
use crate::pods::record::{GroupState, PodRecord};
use crate::pods::trouble::TroubleKind;

/// Reason while nothing is known to stand in the way.
const CREATING: &str = "Creating";

/// Reason of condition and Event: ECI takes the group's spot resources back, in minutes.
pub const SPOT_TO_BE_RELEASED: &str = "SpotToBeReleased";

/// Adds them to `status`, where there is something to say or something said before to be put right.
pub fn add(status: &mut PodStatus, record: &PodRecord, now: Timestamp) {
    let conditions = [created(record, now), expired(record, now)];
    status
        .conditions
        .get_or_insert_default()
        .extend(conditions.into_iter().flatten());
}

/// Whether the group exists, and why not.
fn created(record: &PodRecord, now: Timestamp) -> Option<PodCondition> {
    let condition = |met, reason: &str, message: &str| {
        extra(&record.facts, Kind::ContainerInstanceCreated, met, reason, message, now)
    };
    let group = record.observed.as_ref().map(|o| &o.group);
    match (&record.group, group) {
        (GroupState::Absent { .. } | GroupState::Accepted { .. }, _) => {
            let said = said(record);
            let trouble = if said {
                record.trouble.as_deref()
            } else {
                record.news(now)
            };
            match trouble.filter(|t| matches!(t.kind, TroubleKind::Cloud(_))) {
                Some(trouble) => Some(condition(false, &trouble.reason, &trouble.message)),
                // The cloud is not what is waited for.
                None => said.then(|| condition(false, CREATING, "")),
            }
        }
        (GroupState::Present { .. }, Some(group)) if group.status == GroupStatus::ScheduleFailed => {
            let (reason, message) = why_not_started(group);
            Some(condition(false, reason, message))
        }
        (GroupState::Present { .. }, Some(group)) if group.status == GroupStatus::Scheduling => {
            // What keeps ECI from finding resources, while it goes on looking.
            let why = group.conditions.iter().find(|c| {
                c.type_ == Kind::ContainerInstanceCreated.as_str() && c.status == "False" && !c.reason.is_empty()
            });
            match why {
                Some(why) => Some(condition(false, &why.reason, &why.message)),
                None => said(record).then(|| condition(false, CREATING, "")),
            }
        }
        (GroupState::Present { .. }, _) if let Some(release) = record.release() => {
            Some(condition(true, SPOT_TO_BE_RELEASED, &release.message))
        }
        _ => said(record).then(|| condition(true, "", "")),
    }
}

fn expired(record: &PodRecord, now: Timestamp) -> Option<PodCondition> {
    let over = record
        .observed
        .as_ref()
        .is_some_and(|o| o.group.status == GroupStatus::Expired);
    over.then(|| {
        let message = "the group's spot resources were taken back";
        extra(
            &record.facts,
            Kind::ContainerInstanceExpired,
            true,
            reasons::BID_FAILED,
            message,
            now,
        )
    })
}

/// Whether the pod's status speaks of it already.
fn said(record: &PodRecord) -> bool {
    let mut published = record.facts.previous.conditions.iter();
    published.any(|c| c.kind == Kind::ContainerInstanceCreated)
}
