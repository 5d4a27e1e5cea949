//! (pure) What is known of a pod's group for its bill, while it lives.
//!
//! A meter takes in every observation, and can tell at any time from when to when its group is billed, as far as that is known.
//! ECI's own times are exact. Where there is none, the bounds are what the agent saw, by its own clock, with [`SKEW`] to spare.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use provider::billing::{Charge, Moment, Usage};
use provider::group::{ContainerState, GroupStatus, ObservedContainer, ObservedGroup};
use provider::sizes::Size;
use provider::status::PodFacts;
use provider::units::NanoMoney;

use crate::cost::application::{Application, Role};
use crate::cost::prices::Product;
use crate::cost::record::{Doubt, Exit};

/// How long the removal of a pod's object, or the deletion of a group that nothing else tells of, waits for its record to be kept.
pub const PATIENCE: Duration = Duration::from_secs(3);
/// How far the agent's clock may be from the cloud's.
const SKEW: SignedDuration = SignedDuration::from_secs(1);
/// A group that is deleted now is gone then, unless its containers are given longer: their grace, if nobody says how much, and as much
/// again for the delete to be sent.
const GONE_WITHIN: SignedDuration = SignedDuration::from_secs(60);

/// What is known of a pod's group for its bill.
#[derive(Clone, Debug)]
pub struct Meter {
    /// Whose the pod is.
    pub application: Arc<Application>,
    /// Its part in that.
    pub role: Role,
    /// Spark's number of the executor.
    pub executor: Option<Box<str>>,
    /// What the pod asks for.
    pub asked: Option<Size>,
    /// What was bought.
    pub bought: Option<Size>,
    /// What few groups have.
    pub special: Option<Box<Special>>,
    /// Its group; none = it has none yet.
    pub group: Option<Box<GroupMeter>>,
    /// Held, so that its prices are asked for.
    pub watched: Option<Arc<Product>>,
}

/// How a group was bought, where not by size and pay-as-you-go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Special {
    /// Zone; empty = the node's.
    pub zone: Box<str>,
    /// Instance type; empty = by size.
    pub instance_type: Box<str>,
    /// `economy`; empty = general.
    pub compute_category: Box<str>,
    /// Image cache; empty = none is known of.
    pub image_cache: Box<str>,
    /// Terms of a spot group.
    pub spot: Option<Spot>,
}

/// Terms of a spot group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spot {
    /// For how many hours its price stays.
    pub protected_hours: u32,
    /// When ECI made it.
    pub created: Option<Timestamp>,
    /// What an hour cost then.
    pub bought_for: Option<NanoMoney>,
}

/// One group.
#[derive(Clone, Debug)]
pub struct GroupMeter {
    /// Its id.
    pub id: Arc<str>,
    /// Number of the create attempt.
    pub attempt: u32,
    /// It was not made before: its creation by ECI, or when it was asked for.
    pub known: Timestamp,
    /// ECI's time at which billing starts.
    pub billed_from: Option<Timestamp>,
    /// It will never be billed: it was ended while it looked for resources.
    pub never_billed: bool,
    /// When its first container started.
    pub started: Option<Timestamp>,
    /// The newest moment of which an answer says that it was not over, by the agent's clock.
    pub alive: Timestamp,
    /// When a delete was accepted.
    pub deleted: Option<Timestamp>,
    /// When it ended.
    pub end: Option<End>,
    /// When it ended by what an earlier agent wrote to the pod, should ECI have forgotten it.
    pub end_written: Option<Timestamp>,
    /// How its containers ended.
    pub exit: Option<Box<Exit>>,
    /// Its full record was asked for, as its end or its terms are not in the cheap one.
    pub full_record_asked: bool,
    /// What became of its record.
    pub kept: Kept,
    /// What it costs, once that is known: apart, as those that run are many.
    pub charge: Option<Box<Charge>>,
}

/// How a group came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// ECI said when.
    Told(Timestamp),
    /// It was seen to be over, at this time.
    Seen(Timestamp),
    /// It was found to be gone, at this time.
    Gone(Timestamp),
}

/// What became of a group's record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kept {
    /// Its end is not known.
    #[default]
    Open,
    /// A record that foresees its end was handed over; the deletion of the group waits for it until then.
    Foreseeing(Timestamp),
    /// That record is kept, or cannot be kept at present: the one of its end is still to come.
    Foreseen,
    /// It was handed over; the removal of the pod's object waits for it until then.
    Asked(Timestamp),
    /// It is kept, or cannot be kept at present, or there is nothing to keep: nobody waits.
    Settled,
}

impl Kept {
    /// Whether the record of the group's end was handed over, or there is none to come.
    pub fn is_told(self) -> bool {
        matches!(self, Self::Asked(_) | Self::Settled)
    }

    /// Whether a record has foreseen its end.
    pub fn is_foreseen(self) -> bool {
        matches!(self, Self::Foreseeing(_) | Self::Foreseen)
    }

    /// Until when something waits for a record.
    pub fn awaited(self) -> Option<Timestamp> {
        match self {
            Self::Foreseeing(until) | Self::Asked(until) => Some(until),
            Self::Open | Self::Foreseen | Self::Settled => None,
        }
    }
}

impl Meter {
    /// Of a pod without a group.
    pub fn new(application: Arc<Application>, role: Role, executor: Option<Box<str>>) -> Self {
        Self {
            application,
            role,
            executor,
            asked: None,
            bought: None,
            special: None,
            group: None,
            watched: None,
        }
    }

    /// Its group was not made before `made`.
    pub fn begins(&mut self, id: Arc<str>, attempt: u32, made: Timestamp) {
        if self.group.as_ref().is_some_and(|group| group.id == id) {
            return;
        }
        self.group = Some(Box::new(GroupMeter {
            id,
            attempt,
            known: made,
            billed_from: None,
            never_billed: false,
            started: None,
            alive: made,
            deleted: None,
            end: None,
            end_written: None,
            exit: None,
            full_record_asked: false,
            kept: Kept::Open,
            charge: None,
        }));
    }

    /// Takes in what an answer says of the group.
    pub fn see(&mut self, seen: &ObservedGroup, facts: &PodFacts, now: Timestamp) {
        if let Some(created) = seen.created
            && let Some(spot) = self.special.as_mut().and_then(|special| special.spot.as_mut())
        {
            spot.created = Some(created);
        }
        if let Some(at) = seen.whereabouts.as_deref() {
            let filled = |text: &str| !text.is_empty();
            if filled(&at.zone_id) || self.special.is_some() {
                let special = self.special.get_or_insert_default();
                for (mine, theirs) in [
                    (&mut special.zone, &at.zone_id),
                    (&mut special.compute_category, &at.compute_category),
                    (&mut special.image_cache, &at.image_cache_id),
                ] {
                    if filled(theirs) {
                        *mine = theirs.as_str().into();
                    }
                }
            }
        }
        if let Some(group) = &mut self.group {
            group.see(seen, facts, now);
        }
    }

    /// The group is known to be gone.
    pub fn gone(&mut self, now: Timestamp) {
        let Some(group) = &mut self.group else { return };
        // Nobody can be asked for it any more.
        group.full_record_asked = true;
        if !matches!(group.end, Some(End::Told(_) | End::Gone(_))) {
            group.end = Some(group.end_written.map_or(End::Gone(now), End::Told));
        }
    }

    /// A delete of the group was accepted; `confirmed` is the newest moment of which it is known that nothing had changed.
    pub fn deleted(&mut self, now: Timestamp, confirmed: Timestamp) {
        if let Some(group) = &mut self.group {
            group.deleted.get_or_insert(now);
            group.alive_at(confirmed.min(now));
        }
    }

    /// Whether the full record of the group is worth a call: only it has what the bill needs.
    pub fn needs_full_record(&self) -> bool {
        let Some(group) = &self.group else { return false };
        let spot = self.special.as_ref().and_then(|special| special.spot);
        let spot_terms = spot.is_some_and(|spot| spot.created.is_none()) && group.billed_from.is_some();
        let end_not_told = matches!(group.end, Some(End::Seen(_))) && !group.never_billed;
        (spot_terms || end_not_told) && !group.full_record_asked
    }
}

impl GroupMeter {
    /// An answer that is not older than `at` says that it was not over.
    pub fn alive_at(&mut self, at: Timestamp) {
        if self.end.is_none() {
            self.alive = self.alive.max(at);
        }
    }

    fn see(&mut self, seen: &ObservedGroup, facts: &PodFacts, now: Timestamp) {
        if let Some(start) = seen.start_time {
            self.billed_from.get_or_insert(start);
        }
        let starts = seen.containers.iter().chain(seen.init_containers.iter().flatten());
        if let Some(started) = starts.flat_map(starts_of).min() {
            self.started = Some(self.started.map_or(started, |known| known.min(started)));
        }
        if let Some(exit) = exit_of(&seen.containers) {
            self.exit = Some(Box::new(exit));
        }
        let scheduling = self.billed_from.is_none() && self.started.is_none();
        match &seen.status {
            // Deleted or given up while it looked for resources: it gets none any more.
            GroupStatus::ScheduleFailed | GroupStatus::Terminating if scheduling => self.never_billed = true,
            _ => {}
        }
        if !seen.status.is_terminal() {
            return self.alive_at(now);
        }
        self.end = match (told_end(seen, facts), self.end) {
            (Some(at), _) => Some(End::Told(at)),
            (None, None) => Some(End::Seen(now)),
            (None, known) => known,
        };
    }

    /// From when to when it is billed, as far as that is known, and why it is not. None = it is not over, or was never billed.
    pub fn usage(&self) -> Option<(Usage, Vec<Doubt>)> {
        let end = self.end?;
        if self.never_billed {
            return None;
        }
        let mut doubts = Vec::new();
        let seen = match end {
            End::Told(at) => Moment::at(at),
            End::Seen(at) | End::Gone(at) => {
                doubts.push(match end {
                    End::Gone(_) if self.deleted.is_some() => Doubt::DeletedWhileRunning,
                    _ => Doubt::EndNotSeen,
                });
                let bounds = Moment::between(self.alive - SKEW, at + SKEW);
                // Whoever is deleted while it runs is taken to have run until then.
                let from = self.alive.max(self.deleted.unwrap_or(self.alive)).min(at);
                bounds.likely_at(from + at.duration_since(from) / 2)
            }
        };
        self.billed(seen, doubts)
    }

    /// The same, if the group is deleted now, is gone by `deadline` or soon, and no agent sees that.
    pub fn foreseen(&self, now: Timestamp, deadline: Option<Timestamp>) -> Option<(Usage, Vec<Doubt>)> {
        if self.never_billed {
            return None;
        }
        let earliest = (self.alive - SKEW).min(now);
        let end = match self.end {
            Some(End::Told(at)) => Moment::at(at),
            Some(End::Seen(at) | End::Gone(at)) => Moment::between(earliest, at + SKEW).likely_at(at),
            None => {
                let latest = deadline.unwrap_or(now).max(now) + GONE_WITHIN;
                Moment::between(earliest, latest).likely_at(now)
            }
        };
        self.billed(end, vec![Doubt::EndForeseen])
    }

    fn billed(&self, end: Moment, mut doubts: Vec<Doubt>) -> Option<(Usage, Vec<Doubt>)> {
        let start = match (self.billed_from, self.started) {
            (Some(at), _) => Moment::at(at),
            (None, started) => {
                doubts.push(Doubt::StartNotSeen);
                let latest = started.unwrap_or_else(|| end.latest());
                Moment::between((self.known - SKEW).min(latest), latest)
            }
        };
        let end = end.not_before(start.earliest());
        let usage = Usage { start, end };
        (!usage.is_nothing()).then_some((usage, doubts))
    }
}

/// When `group` ended, by ECI's own times.
fn told_end(group: &ObservedGroup, facts: &PodFacts) -> Option<Timestamp> {
    if group.finished.is_some() {
        return group.finished;
    }
    // Its last container ended the group, unless something else did: what is not in the record is not guessed from it.
    let by_itself = match group.status {
        GroupStatus::Succeeded => true,
        GroupStatus::Failed => facts.active_deadline_seconds.is_none(),
        _ => false,
    };
    let end = |container: &ObservedContainer| match container.state {
        ContainerState::Terminated { finished_at, .. } => finished_at,
        _ => None,
    };
    let ends: Option<Vec<Timestamp>> = group.containers.iter().map(end).collect();
    ends.filter(|_| by_itself)?.into_iter().max()
}

/// When the runs of `container` that are known started.
fn starts_of(container: &ObservedContainer) -> impl Iterator<Item = Timestamp> {
    let start = |state: &ContainerState| match state {
        ContainerState::Running { started_at } | ContainerState::Terminated { started_at, .. } => *started_at,
        ContainerState::Waiting { .. } => None,
    };
    let last = container.last_state.as_ref().and_then(start);
    start(&container.state).into_iter().chain(last)
}

/// How the first container that failed ended, else the last one.
fn exit_of(containers: &[ObservedContainer]) -> Option<Exit> {
    let mut exits = containers.iter().filter_map(|container| match &container.state {
        ContainerState::Terminated { exit_code, reason, .. } => Some((*exit_code, reason)),
        _ => None,
    });
    let first = exits.clone().find(|(code, _)| *code != 0);
    first.or_else(|| exits.next_back()).map(|(code, reason)| Exit {
        code,
        reason: reason.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pods::record::PodRecord;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    /// Of ten thousand pods that run, each byte is ten kilobytes: what is added here belongs behind a box if few have it
    /// (docs/decisions/0039-records-in-memory.md).
    #[test]
    fn what_every_pod_has_is_small() {
        let sizes = (size_of::<Meter>(), size_of::<GroupMeter>());
        assert!(sizes.0 <= 104 && sizes.1 <= 216, "{sizes:?}");
        assert!(size_of::<PodRecord>() <= 656, "{}", size_of::<PodRecord>());
    }

    fn meter() -> Meter {
        let mut meter = Meter::new(Arc::default(), Role::Pod, None);
        meter.begins(Arc::from("eci-1"), 0, at(100));
        meter
    }

    fn container(state: ContainerState) -> ObservedContainer {
        ObservedContainer {
            name: "main".to_owned(),
            image: String::new(),
            image_id: String::new(),
            ready: false,
            started: None,
            restart_count: 0,
            state,
            last_state: None,
        }
    }

    fn runs() -> ContainerState {
        ContainerState::Running {
            started_at: Some(at(110)),
        }
    }

    fn over(finished: Option<i64>) -> ContainerState {
        ContainerState::Terminated {
            exit_code: 3,
            signal: 0,
            reason: "Error".to_owned(),
            message: String::new(),
            started_at: Some(at(110)),
            finished_at: finished.map(at),
        }
    }

    fn seen(status: GroupStatus, start: Option<i64>, state: ContainerState) -> ObservedGroup {
        ObservedGroup {
            id: "eci-1".to_owned(),
            name: String::new(),
            status,
            pod_ip: None,
            zone_id: None,
            whereabouts: None,
            size: None,
            tags: Vec::new(),
            uuid: None,
            created: None,
            start_time: start.map(at),
            finished: None,
            containers: vec![container(state)],
            init_containers: None,
            conditions: Vec::new(),
        }
    }

    fn waits() -> ContainerState {
        ContainerState::Waiting {
            reason: String::new(),
            message: String::new(),
        }
    }

    fn facts() -> PodFacts {
        PodFacts::default()
    }

    fn usage(meter: &Meter) -> Option<(Usage, Vec<Doubt>)> {
        meter.group.as_ref()?.usage()
    }

    #[test]
    fn a_group_that_ends_by_itself_is_billed_by_ecis_own_times() {
        let mut meter = meter();
        meter.see(&seen(GroupStatus::Scheduling, None, waits()), &facts(), at(101));
        assert_eq!(usage(&meter), None, "it is not over");
        meter.see(&seen(GroupStatus::Pending, Some(103), waits()), &facts(), at(105));
        meter.see(&seen(GroupStatus::Running, Some(103), runs()), &facts(), at(111));
        meter.see(
            &seen(GroupStatus::Failed, Some(103), over(Some(150))),
            &facts(),
            at(151),
        );
        assert_eq!(usage(&meter), Some((Usage::exact(at(103), at(150)), Vec::new())));
        let group = meter.group.as_ref().expect("a group");
        assert_eq!(group.started, Some(at(110)));
        assert_eq!(group.exit.as_ref().map(|exit| exit.code), Some(3));
        meter.gone(at(4_000));
        assert_eq!(
            usage(&meter),
            Some((Usage::exact(at(103), at(150)), Vec::new())),
            "ECI forgets it later"
        );
    }

    #[test]
    fn an_end_that_is_no_containers_is_asked_for() {
        for (facts, status) in [
            (facts(), GroupStatus::Expired),
            (
                PodFacts {
                    active_deadline_seconds: Some(9),
                    ..facts()
                },
                GroupStatus::Failed,
            ),
        ] {
            let mut meter = meter();
            meter.see(&seen(GroupStatus::Running, Some(103), runs()), &facts, at(111));
            let last = seen(status.clone(), Some(103), over(Some(160)));
            meter.see(&last, &facts, at(151));
            assert!(meter.needs_full_record(), "{status:?}");
            let told = ObservedGroup {
                finished: Some(at(150)),
                ..last
            };
            meter.see(&told, &facts, at(152));
            assert!(!meter.needs_full_record());
            assert_eq!(usage(&meter), Some((Usage::exact(at(103), at(150)), Vec::new())));
        }
    }

    #[test]
    fn a_group_deleted_while_it_runs_ended_between_two_looks() {
        let mut meter = meter();
        meter.see(&seen(GroupStatus::Running, Some(103), runs()), &facts(), at(111));
        meter.deleted(at(130), at(128));
        meter.group.as_mut().expect("a group").alive_at(at(132));
        meter.gone(at(134));
        let (usage, doubts) = usage(&meter).expect("billed");
        assert_eq!(doubts, [Doubt::DeletedWhileRunning]);
        assert_eq!(usage.start, Moment::at(at(103)));
        assert_eq!(
            (usage.end.earliest(), usage.end.likely(), usage.end.latest()),
            (at(131), at(133), at(135))
        );
    }

    #[test]
    fn a_group_that_is_gone_waits_for_no_record_of_ecis() {
        let mut meter = meter();
        meter.special.get_or_insert_default().spot = Some(Spot::default());
        meter.see(&seen(GroupStatus::Running, Some(103), runs()), &facts(), at(111));
        assert!(meter.needs_full_record(), "when its hours begin");
        meter.gone(at(134));
        assert!(!meter.needs_full_record());
    }

    #[test]
    fn what_was_confirmed_before_the_delete_narrows_its_end() {
        let mut meter = meter();
        meter.see(&seen(GroupStatus::Running, Some(103), runs()), &facts(), at(111));
        meter.deleted(at(130), at(128));
        meter.gone(at(131));
        let (usage, _) = usage(&meter).expect("billed");
        assert_eq!((usage.end.earliest(), usage.end.latest()), (at(127), at(132)));
    }

    #[test]
    fn an_end_is_foreseen_from_the_last_look_to_when_its_containers_must_be_gone() {
        let mut meter = meter();
        meter.see(&seen(GroupStatus::Running, Some(103), runs()), &facts(), at(111));
        let foreseen =
            |meter: &Meter, deadline| meter.group.as_ref().and_then(|group| group.foreseen(at(130), deadline));
        for (deadline, latest) in [(None, 190), (Some(at(120)), 190), (Some(at(430)), 490)] {
            let (usage, doubts) = foreseen(&meter, deadline).expect("billed");
            assert_eq!(doubts, [Doubt::EndForeseen]);
            assert_eq!(usage.start, Moment::at(at(103)));
            assert_eq!(
                (usage.end.earliest(), usage.end.likely(), usage.end.latest()),
                (at(110), at(130), at(latest))
            );
        }
        meter.see(&seen(GroupStatus::Terminating, None, waits()), &facts(), at(140));
        assert!(foreseen(&meter, None).is_some(), "it was billed before");
        let mut meter = self::meter();
        meter.see(&seen(GroupStatus::Terminating, None, waits()), &facts(), at(102));
        assert_eq!(foreseen(&meter, None), None, "it never was");
    }

    #[test]
    fn a_group_that_never_got_resources_is_never_billed() {
        for status in [GroupStatus::ScheduleFailed, GroupStatus::Terminating] {
            let mut meter = meter();
            meter.see(&seen(GroupStatus::Scheduling, None, waits()), &facts(), at(101));
            meter.see(&seen(status, None, waits()), &facts(), at(102));
            meter.gone(at(103));
            assert_eq!(usage(&meter), None);
        }
    }

    #[test]
    fn what_nobody_saw_lies_between_its_creation_and_its_absence() {
        let mut meter = meter();
        meter.gone(at(200));
        let (usage, doubts) = usage(&meter).expect("perhaps billed");
        assert_eq!(doubts, [Doubt::EndNotSeen, Doubt::StartNotSeen]);
        assert_eq!((usage.start.earliest(), usage.end.latest()), (at(99), at(201)));
        assert_eq!(usage.start.latest(), at(201), "or not at all");
    }

    #[test]
    fn the_next_attempt_has_a_meter_of_its_own() {
        let mut meter = meter();
        meter.see(&seen(GroupStatus::Running, Some(103), runs()), &facts(), at(111));
        meter.begins(Arc::from("eci-1"), 0, at(120));
        assert!(
            meter.group.as_ref().is_some_and(|group| group.billed_from.is_some()),
            "the same group"
        );
        meter.begins(Arc::from("eci-2"), 1, at(120));
        let group = meter.group.as_ref().expect("a group");
        assert_eq!((group.attempt, group.billed_from), (1, None));
    }
}
