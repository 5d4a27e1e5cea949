//! What a pod's annotations say about its life: not what its group is, but what is done when there is no stock, when spot
//! resources are taken back, and when files change.

use std::collections::BTreeMap;

use super::annotated::Annotated;
use super::annotations as ours;
use super::rejection::Findings;
use crate::request::ScheduleStrategy;

/// The annotations [`LifeOptions::of`] reads. All of them hold for a pod's whole life.
pub const LIFE_ANNOTATIONS: [&str; 6] = [
    ours::FAIL_STRATEGY,
    ours::SPOT_FALLBACK,
    ours::SPOT_RELEASE_STRATEGY,
    ours::MAX_PENDING_MINUTE,
    ours::SCHEDULE_STRATEGY,
    ours::LIVE_UPDATE,
];

/// Choices that steer a pod's life. A pod without annotations has the default ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LifeOptions {
    /// What becomes of a pod for which there is no stock.
    pub fail_strategy: FailStrategy,
    /// Whether pay-as-you-go will do where spot has no stock. Already part of [`super::candidates`].
    pub spot_fallback: bool,
    /// What is done on the notice that spot resources will be taken back.
    pub spot_release: SpotRelease,
    /// How long the group may be Pending (images being pulled; time is billed) before ECI gives up; unset = ECI's own 240
    /// minutes. Already part of the request.
    pub max_pending_minutes: Option<u16>,
    /// In which order vSwitches are tried; unset = as the node's settings say. Already part of [`super::candidates`].
    pub schedule_strategy: Option<ScheduleStrategy>,
    /// Whether files of a running group may be renewed although that may restart its containers.
    pub live_update: bool,
}

/// `k8s.aliyun.com/eci-fail-strategy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FailStrategy {
    /// `fail-back`: the pod stays Pending, and every way is tried again and again.
    #[default]
    FailBack,
    /// `fail-over`: documented the same.
    FailOver,
    /// `fail-fast`: when every way was tried once, the pod is Failed, so that its controller may try elsewhere.
    FailFast,
}

/// `k8s.aliyun.com/eci-spot-release-strategy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SpotRelease {
    /// Nothing was chosen.
    #[default]
    Unset,
    /// `api-evict`: through the eviction API, so that disruption budgets are respected while there is time.
    ApiEvict,
}

impl LifeOptions {
    /// Reads a pod's annotations. Values that are wrong count as absent here, and are refused by [`super::map`].
    pub fn of(annotations: &BTreeMap<String, String>) -> Self {
        Self::read(Annotated(annotations), &mut Findings::default())
    }

    /// As [`Self::of`], and says what is wrong.
    pub(super) fn read(annotated: Annotated<'_>, findings: &mut Findings) -> Self {
        let fail_strategy = [
            ("fail-back", FailStrategy::FailBack),
            ("fail-over", FailStrategy::FailOver),
            ("fail-fast", FailStrategy::FailFast),
        ];
        let schedule_strategy = [
            ("VSwitchOrdered", ScheduleStrategy::VSwitchOrdered),
            ("VSwitchRandom", ScheduleStrategy::VSwitchRandom),
        ];
        Self {
            fail_strategy: annotated
                .word(ours::FAIL_STRATEGY, &fail_strategy, findings)
                .unwrap_or_default(),
            spot_fallback: annotated.flag(ours::SPOT_FALLBACK, findings).unwrap_or_default(),
            spot_release: annotated
                .word(
                    ours::SPOT_RELEASE_STRATEGY,
                    &[("api-evict", SpotRelease::ApiEvict)],
                    findings,
                )
                .unwrap_or_default(),
            max_pending_minutes: annotated
                .number(ours::MAX_PENDING_MINUTE, 10..=1440, findings)
                .and_then(|minutes| u16::try_from(minutes).ok()),
            schedule_strategy: annotated.word(ours::SCHEDULE_STRATEGY, &schedule_strategy, findings),
            live_update: annotated.flag(ours::LIVE_UPDATE, findings).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&str, &str)]) -> LifeOptions {
        LifeOptions::of(&pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
    }

    #[test]
    fn all_of_them() {
        let options = of(&[
            (ours::FAIL_STRATEGY, "fail-fast"),
            (ours::SPOT_FALLBACK, "true"),
            (ours::SPOT_RELEASE_STRATEGY, "api-evict"),
            (ours::MAX_PENDING_MINUTE, " 10 "),
            (ours::SCHEDULE_STRATEGY, "VSwitchRandom"),
            (ours::LIVE_UPDATE, "True"),
        ]);
        let expected = LifeOptions {
            fail_strategy: FailStrategy::FailFast,
            spot_fallback: true,
            spot_release: SpotRelease::ApiEvict,
            max_pending_minutes: Some(10),
            schedule_strategy: Some(ScheduleStrategy::VSwitchRandom),
            live_update: true,
        };
        assert_eq!(options, expected);
    }

    #[test]
    fn what_is_wrong_counts_as_absent() {
        let wrong: Vec<_> = LIFE_ANNOTATIONS.iter().map(|name| (*name, "9")).collect();
        assert_eq!(of(&wrong), LifeOptions::default());
    }
}
