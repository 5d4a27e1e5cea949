//! Whose the Lease is, as far as one process can tell. Pure: time comes in as an argument.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use tokio::time::Instant;

use super::LeaderSettings;

/// What may be done about a Lease that was read.
#[derive(Debug, PartialEq)]
pub(super) enum Move {
    /// Somebody else holds it.
    Wait {
        /// Who.
        holder: String,
    },
    /// It is free, has run out, or is ours: write this, on the `resourceVersion` that was read.
    Take(Box<Lease>),
}

/// Follows one Lease.
#[derive(Debug)]
pub(super) struct Election {
    settings: LeaderSettings,
    /// The spec that was seen last, and since when it is as it is.
    seen: Option<(LeaseSpec, Instant)>,
}

impl Election {
    pub(super) fn new(settings: LeaderSettings) -> Self {
        Self { settings, seen: None }
    }

    /// What follows from `lease`, read at `now`, the time of day being `wall`.
    pub(super) fn consider(&mut self, lease: Lease, now: Instant, wall: MicroTime) -> Move {
        let spec = lease.spec.clone().unwrap_or_default();
        let since = match &self.seen {
            Some((seen, since)) if *seen == spec => *since,
            _ => {
                self.seen = Some((spec.clone(), now));
                now
            }
        };
        let holder = spec.holder_identity.clone().unwrap_or_default();
        let ours = holder == self.settings.identity;
        if !holder.is_empty() && !ours && now < since + lasts(&spec, self.settings.times.duration) {
            return Move::Wait { holder };
        }
        let transitions = spec.lease_transitions.unwrap_or_default();
        Move::Take(Box::new(Lease {
            spec: Some(LeaseSpec {
                acquire_time: if ours {
                    spec.acquire_time.clone()
                } else {
                    Some(wall.clone())
                },
                lease_transitions: Some(if ours {
                    transitions
                } else {
                    transitions.saturating_add(1)
                }),
                ..self.held(wall)
            }),
            ..lease
        }))
    }

    /// The Lease of a cluster that has none yet.
    pub(super) fn first(&self, wall: MicroTime) -> Lease {
        let mut lease = Lease {
            spec: Some(LeaseSpec {
                acquire_time: Some(wall.clone()),
                lease_transitions: Some(0),
                ..self.held(wall)
            }),
            ..Lease::default()
        };
        lease.metadata.name = Some(self.settings.name.clone());
        lease
    }

    /// `lease`, which is ours, given back: free for others at once.
    pub(super) fn released(lease: Lease, wall: MicroTime) -> Lease {
        let spec = lease.spec.unwrap_or_default();
        Lease {
            spec: Some(LeaseSpec {
                // As client-go leaves it: an empty holder is free whatever the times say.
                holder_identity: Some(String::new()),
                lease_duration_seconds: Some(1),
                renew_time: Some(wall),
                ..spec
            }),
            ..lease
        }
    }

    fn held(&self, wall: MicroTime) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(self.settings.identity.clone()),
            lease_duration_seconds: Some(whole_seconds(self.settings.times.duration)),
            renew_time: Some(wall),
            ..LeaseSpec::default()
        }
    }
}

/// How long the holder may be silent: what it promised itself, since replicas of two versions may have other times.
fn lasts(spec: &LeaseSpec, ours: Duration) -> Duration {
    match spec.lease_duration_seconds {
        Some(seconds) if seconds > 0 => Duration::from_secs(u64::from(seconds.unsigned_abs())).max(ours),
        _ => ours,
    }
}

fn whole_seconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_secs().max(1)).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::super::Times;
    use super::*;

    fn settings(identity: &str) -> LeaderSettings {
        LeaderSettings {
            namespace: "virtual-node".to_owned(),
            name: "virtual-node".to_owned(),
            identity: identity.to_owned(),
            times: Times::default(),
        }
    }

    fn wall() -> MicroTime {
        MicroTime(Timestamp::UNIX_EPOCH)
    }

    fn held_by(identity: &str) -> Lease {
        Election::new(settings(identity)).first(wall())
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_of_another_is_waited_for_by_our_own_clock() {
        let mut election = Election::new(settings("b"));
        let start = Instant::now();
        // The holder's clock may be years behind: only what we see counts.
        let lease = held_by("a");
        for second in 0..10 {
            let now = start + Duration::from_secs(second);
            assert_eq!(
                election.consider(lease.clone(), now, wall()),
                Move::Wait { holder: "a".to_owned() }
            );
        }
        let Move::Take(taken) = election.consider(lease, start + Duration::from_secs(10), wall()) else {
            panic!("it was silent for its whole duration");
        };
        let spec = taken.spec.expect("is written");
        assert_eq!(spec.holder_identity.as_deref(), Some("b"));
        assert_eq!(spec.lease_transitions, Some(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_renewal_starts_the_wait_anew_and_a_released_lease_is_free_at_once() {
        let mut election = Election::new(settings("b"));
        let start = Instant::now();
        assert!(matches!(
            election.consider(held_by("a"), start, wall()),
            Move::Wait { .. }
        ));
        let mut renewed = held_by("a");
        renewed.spec.get_or_insert_default().renew_time = Some(MicroTime(Timestamp::MAX));
        let later = start + Duration::from_secs(11);
        assert!(matches!(
            election.consider(renewed.clone(), later, wall()),
            Move::Wait { .. }
        ));
        let free = Election::released(renewed, wall());
        assert!(matches!(election.consider(free, later, wall()), Move::Take(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_ours_is_renewed_without_counting_as_a_transition() {
        let mut election = Election::new(settings("a"));
        let Move::Take(lease) = election.consider(held_by("a"), Instant::now(), MicroTime(Timestamp::MAX)) else {
            panic!("ours");
        };
        let spec = lease.spec.expect("is written");
        assert_eq!(spec.lease_transitions, Some(0));
        assert_eq!(spec.acquire_time, Some(wall()));
        assert_eq!(spec.renew_time, Some(MicroTime(Timestamp::MAX)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_holder_that_promised_more_is_given_more() {
        let mut election = Election::new(settings("b"));
        let start = Instant::now();
        let mut lease = held_by("a");
        lease.spec.get_or_insert_default().lease_duration_seconds = Some(60);
        assert!(matches!(
            election.consider(lease.clone(), start, wall()),
            Move::Wait { .. }
        ));
        let before = start + Duration::from_secs(59);
        assert!(matches!(
            election.consider(lease.clone(), before, wall()),
            Move::Wait { .. }
        ));
        assert!(matches!(
            election.consider(lease, start + Duration::from_secs(60), wall()),
            Move::Take(_)
        ));
    }

    /// What a replica does in a step of a history.
    #[derive(Clone, Debug)]
    enum Step {
        /// Reads, and writes if it may.
        Act(usize),
        /// Reads now and writes later, on what it read.
        Read(usize),
        Write(usize),
        /// Time passes, in milliseconds.
        Pass(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0..3_usize).prop_map(Step::Act),
            1 => (0..3_usize).prop_map(Step::Read),
            1 => (0..3_usize).prop_map(Step::Write),
            3 => (1..6_000_u64).prop_map(Step::Pass),
        ]
    }

    proptest! {
        /// With writes that name the version they are based on, at no moment do two replicas believe they lead, if each stops
        /// believing so when `deadline` has passed since it *began* its last write that succeeded.
        #[test]
        fn never_two_leaders(steps in proptest::collection::vec(step(), 1..200)) {
            let times = Times::default();
            let start = Instant::now();
            let mut now = start;
            let mut stored = (0_u64, Election::new(settings("nobody")).first(wall()));
            let mut replicas: Vec<Election> = (0..3).map(|n| Election::new(settings(&format!("replica-{n}")))).collect();
            let mut leads_until: BTreeMap<usize, Instant> = BTreeMap::new();
            let mut pending: BTreeMap<usize, (u64, Instant, Lease)> = BTreeMap::new();
            let mut tick = 0_i64;
            for step in steps {
                tick += 1;
                let wall = MicroTime(Timestamp::from_second(tick).expect("small"));
                let write = |n: usize, (version, began, lease): (u64, Instant, Lease), stored: &mut (u64, Lease), leads: &mut BTreeMap<usize, Instant>| {
                    if version == stored.0 {
                        *stored = (version + 1, lease);
                        leads.insert(n, began + times.deadline);
                    }
                };
                match step {
                    Step::Pass(milliseconds) => now += Duration::from_millis(milliseconds),
                    Step::Act(n) => {
                        if let Move::Take(lease) = replicas[n].consider(stored.1.clone(), now, wall) {
                            write(n, (stored.0, now, *lease), &mut stored, &mut leads_until);
                        }
                    }
                    Step::Read(n) => {
                        if let Move::Take(lease) = replicas[n].consider(stored.1.clone(), now, wall) {
                            pending.insert(n, (stored.0, now, *lease));
                        }
                    }
                    Step::Write(n) => {
                        if let Some(taken) = pending.remove(&n) {
                            write(n, taken, &mut stored, &mut leads_until);
                        }
                    }
                }
                let leaders = leads_until.values().filter(|until| now < **until).count();
                prop_assert!(leaders <= 1, "{leads_until:?} at {:?}", now - start);
            }
        }
    }
}
