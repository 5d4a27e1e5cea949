//! What groups used: which times a question about them means.

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};

use super::cloud::Cloud;
use crate::{
    runtime::metrics::{SAMPLE_PERIOD, Sample, floor},
    spec::GroupSpec,
};

/// Most samples that are given at once.
pub const MAX_SAMPLES: usize = 50;
/// A newest sample may be this old: two were missed.
const NEWEST: Duration = Duration::from_secs(45);

/// Why there are no samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoSamples {
    /// No such group.
    Group,
    /// The times would give more than [`MAX_SAMPLES`].
    TooMany,
}

/// A group's samples, with what it asked for: limits follow from that.
#[derive(Clone, Debug)]
pub struct Used {
    /// What it asked for.
    pub spec: Arc<GroupSpec>,
    /// What it used, oldest first.
    pub samples: Vec<Sample>,
}

impl Cloud {
    /// What a group used at the multiples of `period` from `from` to `to`, both included, as far as it ran then.
    ///
    /// # Errors
    /// [`NoSamples`].
    pub fn used(&self, id: &str, from: Timestamp, to: Timestamp, period: Duration) -> Result<Used, NoSamples> {
        let times = times(from, to.min(self.clock().now()), period).ok_or(NoSamples::TooMany)?;
        let (id, spec) = {
            let state = self.state();
            let group = state.group(id).ok_or(NoSamples::Group)?;
            (group.id.clone(), group.spec.clone())
        };
        // A runtime that does not know the group has nothing to say of it: its launch failed.
        let samples = self.runtime().samples(&id, &times, period).unwrap_or_default();
        Ok(Used { spec, samples })
    }

    /// The newest sample of a group, if it runs; none = no such group, or not one of this resource group.
    pub fn newest_used(&self, id: &str, resource_group: Option<&str>) -> Option<Used> {
        let (id, spec) = {
            let state = self.state();
            let group = state.group(id).filter(|_| state.may_list)?;
            (group.id.clone(), group.spec.clone())
        };
        if resource_group.is_some_and(|wanted| wanted != spec.resource_group_id) {
            return None;
        }
        let now = floor(self.clock().now(), SAMPLE_PERIOD);
        let samples = self.runtime().samples(&id, &[now], NEWEST).unwrap_or_default();
        Some(Used { spec, samples })
    }
}

/// The multiples of `period` from `from` to `to`; none = too many.
fn times(from: Timestamp, to: Timestamp, period: Duration) -> Option<Vec<Timestamp>> {
    let step = SignedDuration::try_from(period).unwrap_or(SignedDuration::MAX);
    let mut times = Vec::new();
    let mut at = floor(to, period);
    while at >= from {
        if times.len() == MAX_SAMPLES {
            return None;
        }
        times.push(at);
        at = at.checked_sub(step).ok()?;
    }
    times.reverse();
    Some(times)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_multiples_and_bounded() {
        let at = |second| Timestamp::from_second(second).expect("in range");
        let seconds = |from, to, period| {
            let times = times(at(from), at(to), Duration::from_secs(period));
            times.map(|times| times.into_iter().map(|t| t.as_second()).collect::<Vec<_>>())
        };
        assert_eq!(seconds(1_000, 1_060, 30), Some(vec![1_020, 1_050]));
        assert_eq!(seconds(1_020, 1_050, 30), Some(vec![1_020, 1_050]));
        assert_eq!(seconds(1_001, 1_004, 15), Some(vec![]));
        assert_eq!(seconds(1_060, 1_000, 15), Some(vec![]));
        assert_eq!(seconds(15, 750, 15).map(|times| times.len()), Some(50));
        assert_eq!(seconds(0, 750, 15), None);
        assert_eq!(seconds(-900_000_000, 1_000_000_000, 600), None);
    }
}
