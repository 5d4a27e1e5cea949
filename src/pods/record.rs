//! One record per pod UID: what Kubernetes wants, what the cloud shows, and how far we are.
//!
//! A record is small (a Spark executor's is under 2 kB) and is the whole memory of the agent; after a restart it is
//! rebuilt from the watch and the cloud's tags. Nothing outside [`crate::pods`] writes one.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use provider::group::{ContainerState, GroupStatus, ObservedContainer, ObservedGroup};
use provider::mapping::{FailStrategy, LifeOptions};
use provider::request::RestartPolicy;
use provider::sizes::Size;
use provider::status::{PodFacts, reasons};
use provider::units::{MiB, MilliCpu};
use provider::written_back::Whereabouts;

use crate::budget::terms::Budget;
use crate::cost::meter::{Meter, Spot};
use crate::pods::trouble::Trouble;

/// Identity of a pod. Names are reused, UIDs never are: everything is keyed by this.
pub type Uid = Arc<str>;

/// A pod of this node.
#[derive(Debug)]
pub struct PodRecord {
    /// What status and life cycle need of the pod.
    pub facts: Box<PodFacts>,
    /// What Kubernetes wants.
    pub desired: Desired,
    /// What is known of its group.
    pub group: GroupState,
    /// The group as last seen.
    pub observed: Option<Observed>,
    /// Why it has no group yet, or cannot have one.
    pub trouble: Option<Box<Trouble>>,
    /// The last status known to be at the API server.
    pub published: Published,
    /// Whether an effect for this pod is under way. One at a time: its result is an input like any other.
    pub busy: bool,
    /// Back-off after a failed effect other than a create, whose reasons are in `trouble`.
    pub hold: Option<Hold>,
    /// When the agent first saw the pod.
    pub first_seen: Timestamp,
    /// Where its group is, until that was written back to the pod that runs.
    pub placed: Option<Box<Placed>>,
    /// UID of the pod's controller: what is announced, is announced once per owner.
    pub owner: Option<Box<str>>,
    /// CPU its containers request, as the scheduler counts.
    pub requested: MilliCpu,
    /// vCPU of its group, as bought; 0 = not known.
    pub bought: MilliCpu,
    /// Its ReplicaSet may be told that it goes before those on workers: nobody has said what its deletion costs.
    pub cost_unset: bool,
    /// What is known of its bill, if records of cost are kept.
    pub meter: Option<Box<Meter>>,
    /// What few pods have.
    pub rare: Option<Box<Rare>>,
}

/// What few pods have: apart, so that the others pay eight bytes for it.
#[derive(Debug, Default)]
pub struct Rare {
    /// ECI has announced that it takes the group's spot resources back.
    pub release: Option<Release>,
    /// The files of its group, if its user lets us renew them.
    pub files: Option<Files>,
    /// Its logs, if they are kept beyond its group.
    pub logs: Option<KeptLogs>,
    /// What its annotations say that its application may cost.
    pub budget: Option<Budget>,
}

/// Logs that are kept beyond their group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeptLogs {
    /// All is kept, or nothing can be kept at present: nothing is waited for.
    pub settled: bool,
    /// Once the pod is to go: until when a group that has ended is left to be read.
    pub until: Option<Timestamp>,
}

/// The files of a group that may be renewed while it runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// Digest of what the group has; none = not known.
    pub digest: Option<Box<str>>,
    /// When its tokens are to be renewed.
    pub renew_at: Option<Timestamp>,
    /// When it is looked next whether what they come from has changed.
    pub look_at: Option<Timestamp>,
    /// Whether the pod's annotation says so.
    pub written: bool,
}

impl Files {
    /// What the annotation of a pod says of its group's files.
    pub fn parse(annotation: &str) -> Self {
        let (digest, renew_at) = annotation.split_once('/').unwrap_or((annotation, ""));
        Self {
            digest: Some(digest.into()),
            renew_at: renew_at.parse().ok(),
            look_at: None,
            written: true,
        }
    }

    /// The annotation.
    pub fn to_annotation(&self) -> String {
        let digest = self.digest.as_deref().unwrap_or_default();
        let renew_at = self.renew_at.map(|at| at.to_string()).unwrap_or_default();
        format!("{digest}/{renew_at}")
    }

    /// When something is to be done about them.
    pub fn due(&self) -> Option<Timestamp> {
        [self.look_at, self.renew_at].into_iter().flatten().min()
    }
}

/// An announced release of spot resources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// ECI's words.
    pub message: Box<str>,
    /// When the pod's eviction is asked for next; none = it was accepted, and the pod's deletion is on its way.
    pub evict_at: Option<Timestamp>,
}

/// A pause after failed effects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Until when.
    pub until: Timestamp,
    tries: u32,
}

impl Hold {
    /// The pause after one more failure: half a second, doubling to ten.
    pub fn after(previous: Option<Self>, now: Timestamp) -> Self {
        let tries = previous.map_or(0, |p| p.tries + 1);
        let pause = Duration::from_millis(500)
            .saturating_mul(1 << tries.min(8))
            .min(Duration::from_secs(10));
        Self {
            until: now + pause,
            tries,
        }
    }
}

/// What Kubernetes wants of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Desired {
    /// The pod's phase at the API server is Succeeded or Failed.
    pub finished: bool,
    /// The phase at the API server is Running.
    pub was_running: bool,
    /// Its deletion, once asked for.
    pub deletion: Option<Deletion>,
    /// The object is gone from the API server.
    pub gone: bool,
    /// `restartPolicy: Never` and no owner that would make a next one: such a pod may be failed.
    pub may_fail: bool,
    /// What its annotations say about its life.
    pub options: LifeOptions,
    /// In how many ways its group can be bought; none counts as one. The attempt's number says which is used.
    pub candidates: u16,
    /// How many of them, in a row, differ in the vSwitch that ECI tries first alone; none counts as one.
    pub turns: u16,
    /// How many such rows differ in the place alone; none counts as one.
    pub places: u16,
    /// Whether it asks for spot resources.
    pub spot: bool,
    /// `terminationGracePeriodSeconds`.
    pub grace_seconds: u32,
    /// After how many seconds of an outage of the agent it is evicted; none = never.
    pub evicted_after: Option<u32>,
    /// Hash of what the mapping reads of the pod itself: what it refused once is tried again when this has changed.
    pub inputs: u64,
}

/// A deletion that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deletion {
    /// When the grace period ends.
    pub deadline: Timestamp,
    /// Whether the grace period is zero.
    pub forced: bool,
}

/// What is known of a pod's container group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupState {
    /// Not known before the first trusted list.
    Unknown,
    /// There is none; the next create carries this attempt.
    Absent {
        /// Number of the next create.
        attempt: u32,
    },
    /// A create was sent and its outcome is not known, or ECI says that it was accepted: wait for the tag, and adopt.
    Accepted {
        /// Its attempt.
        attempt: u32,
        /// When it was sent first: the group can have been made from then on.
        first: Timestamp,
        /// When it was sent last.
        since: Timestamp,
        /// When the tag is looked for next.
        look_at: Timestamp,
        /// Whether sending the same request again can tell (the outcome was unknown, rather than "accepted").
        resend: bool,
    },
    /// There is one.
    Present {
        /// Its id.
        id: Arc<str>,
        /// The attempt that made it.
        attempt: u32,
        /// Its deletion, once accepted.
        delete: Option<DeleteAccepted>,
        /// Since when it is known: a list that began before says nothing about it.
        since: Timestamp,
        /// In how many answers that should have shown it, it was missing, in a row.
        missing: u8,
    },
    /// There was one; it is known to be gone.
    Gone,
}

/// A DeleteContainerGroup that ECI accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeleteAccepted {
    /// Whether the grace period was skipped.
    pub force: bool,
    /// When.
    pub at: Timestamp,
}

/// A group as last seen.
#[derive(Debug)]
pub struct Observed {
    /// Hash of the record on the wire, so that an unchanged one is not decoded.
    pub hash: u64,
    /// The group, less what is not needed again.
    pub group: ObservedGroup,
    /// When it last differed from the time before.
    pub changed: Timestamp,
}

/// What the API server is known to hold.
#[derive(Clone, Debug, Default)]
pub struct Published {
    /// [`provider::status::fingerprint`] of the status.
    pub fingerprint: u64,
    /// Resource version of our last write: older events of the watch say nothing about it.
    pub resource_version: u64,
    /// Attempt number on the pod.
    pub attempt: u32,
    /// Whether the written-back annotations are there.
    pub annotated: bool,
}

/// Where and in which size a group was placed, for the annotations that users of ACK know.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Placed {
    /// The size that is billed.
    pub size: Size,
    /// `RequestId` of the call that made it; empty = not known.
    pub request_id: Box<str>,
    /// Where it is.
    pub at: Whereabouts,
    /// Terms of a spot group; none = pay-as-you-go, or not known.
    pub spot: Option<Spot>,
}

impl Placed {
    /// What the full record of a group says; none where there was no such record.
    pub fn of(group: &ObservedGroup) -> Option<Box<Self>> {
        Some(Box::new(Self {
            size: size_of(group.size?),
            request_id: Box::default(),
            at: Whereabouts::default().updated(group.whereabouts.as_deref()?),
            spot: None,
        }))
    }
}

/// vCPU and GiB as a size.
pub fn size_of((cpu, memory): (f64, f64)) -> Size {
    Size {
        cpu: MilliCpu((cpu * 1000.0).round() as u64),
        memory: MiB((memory * 1024.0).round() as u64),
    }
}

impl PodRecord {
    /// A record of a pod just seen.
    pub fn new(facts: PodFacts, desired: Desired, group: GroupState, now: Timestamp) -> Self {
        Self {
            facts: Box::new(facts),
            desired,
            group,
            observed: None,
            trouble: None,
            published: Published::default(),
            busy: false,
            hold: None,
            first_seen: now,
            placed: None,
            owner: None,
            requested: MilliCpu::default(),
            bought: MilliCpu::default(),
            cost_unset: false,
            meter: None,
            rare: None,
        }
    }

    /// Its group is known from here on: a new one, of which nothing was seen yet, and which was not made before `made`.
    pub fn has_group(&mut self, id: Arc<str>, attempt: u32, made: Timestamp, now: Timestamp) {
        if let Some(meter) = &mut self.meter {
            meter.begins(id.clone(), attempt, made);
        }
        self.group = GroupState::Present {
            id,
            attempt,
            delete: None,
            since: now,
            missing: 0,
        };
        // What was seen belongs to an earlier attempt's group.
        self.observed = None;
        self.published.annotated = false;
        self.trouble = None;
        self.rare = None;
    }

    /// The id of its group, if there is one.
    pub fn group_id(&self) -> Option<&Arc<str>> {
        match &self.group {
            GroupState::Present { id, .. } => Some(id),
            _ => None,
        }
    }

    /// How many of the ways to buy its group the attempts before `attempt` have been through, and whether the next begins a
    /// new round.
    pub fn rounds(&self, attempt: u32) -> (u32, bool) {
        let ways = u32::from(self.desired.candidates.max(1));
        (attempt / ways, attempt.is_multiple_of(ways))
    }

    /// The attempt after one whose call was refused for want of stock: ECI has looked in all vSwitches of the call, so further turns of
    /// them are left out, and with `everywhere` (the account's quota, say) other places, too. None = there is no other way, and as
    /// nothing was created the same attempt is made again.
    pub fn after_refusal(&self, attempt: u32, everywhere: bool) -> Option<u32> {
        let places = if everywhere { self.desired.places.max(1) } else { 1 };
        let skipped = u32::from(self.desired.turns.max(1)) * u32::from(places);
        let others = u32::from(self.desired.candidates.max(1)) / skipped > 1;
        let next = (attempt / skipped).saturating_add(1).saturating_mul(skipped);
        (others || !attempt.is_multiple_of(skipped)).then_some(next)
    }

    /// Whether no other try is made for a pod without a group, and the reason its status gives: because it can never run here
    /// and nothing would make the next pod, or because its user wants failures fast.
    pub fn given_up(&self) -> Option<&'static str> {
        let GroupState::Absent { attempt } = self.group else {
            return None;
        };
        let trouble = self.trouble.as_ref()?;
        let fail_fast = self.desired.options.fail_strategy == FailStrategy::FailFast;
        if trouble.kind.is_permanent() {
            (fail_fast || self.desired.may_fail).then_some(reasons::PROVIDER_FAILED)
        } else {
            let everywhere = self.rounds(attempt).1;
            (fail_fast && trouble.kind.is_refusal() && everywhere).then_some(reasons::SCHEDULE_FAILED)
        }
    }

    /// The announced release of its group's spot resources.
    pub fn release(&self) -> Option<&Release> {
        self.rare.as_deref()?.release.as_ref()
    }

    /// What is known of its group's files, if its user lets us renew them.
    pub fn files(&self) -> Option<&Files> {
        self.rare.as_deref()?.files.as_ref()
    }

    /// Whether files of its group are renewed while it runs: its user allows what that may do to its containers, and they may be
    /// started again.
    pub fn renews_files(&self) -> bool {
        self.desired.options.live_update && self.facts.restart_policy != RestartPolicy::Never
    }

    /// When `activeDeadlineSeconds` are over, counted as a kubelet does: from the pod's start on the node, whatever it waits for.
    pub fn deadline(&self) -> Option<Timestamp> {
        let seconds = SignedDuration::from_secs(self.facts.active_deadline_seconds?);
        let start = self.facts.previous.start_time.unwrap_or(self.first_seen);
        start.checked_add(seconds).ok()
    }

    /// Whether the pod is over, or is to end, because its deadline has passed and it had not ended before.
    pub fn is_overdue(&self, now: Timestamp) -> bool {
        let Some(deadline) = self.deadline() else { return false };
        let Some(seen) = self.observed.as_ref().filter(|o| self.is_over(&o.group)) else {
            return deadline <= now;
        };
        let containers = seen.group.containers.iter();
        let last = containers.filter_map(|c| match &c.state {
            ContainerState::Terminated { finished_at, .. } => *finished_at,
            _ => None,
        });
        let end = seen.group.finished.or(last.max()).unwrap_or(seen.changed);
        // Times of the cloud are whole seconds.
        end.as_second() + 1 >= deadline.as_second()
    }

    /// Whether nothing of the pod will run in `group` any more, even if ECI has not said so yet.
    fn is_over(&self, group: &ObservedGroup) -> bool {
        let done = |c: &ObservedContainer| match (&c.state, self.facts.restart_policy) {
            (ContainerState::Terminated { exit_code, .. }, RestartPolicy::OnFailure) => *exit_code == 0,
            (ContainerState::Terminated { .. }, policy) => policy == RestartPolicy::Never,
            _ => false,
        };
        group.status.is_terminal() || (!group.containers.is_empty() && group.containers.iter().all(done))
    }

    /// The trouble that people should hear of: it has lasted, or it is final.
    pub fn news(&self, now: Timestamp) -> Option<&Trouble> {
        let final_ = self.given_up().is_some();
        self.trouble.as_deref().filter(|t| final_ || t.is_news(now))
    }

    /// Whether its group ended before anything of the pod ran, and another one is made: the pod waits. Who wants failures fast is
    /// told instead, once every way was tried.
    pub fn is_replaced(&self) -> bool {
        let GroupState::Present { attempt, since, .. } = &self.group else {
            return false;
        };
        let Some(seen) = &self.observed else { return false };
        let last = self.desired.options.fail_strategy == FailStrategy::FailFast && self.rounds(attempt + 1).1;
        let lasted = seen.changed.duration_since(*since).as_secs();
        let deadline_over = self.facts.active_deadline_seconds.is_some_and(|s| lasted + 1 >= s);
        !last && !deadline_over && !self.desired.finished && failed_to_start(&seen.group, &self.facts)
    }

    /// Until when its group, which has ended, is left to be read.
    pub fn is_read_until(&self, now: Timestamp) -> Option<Timestamp> {
        let logs = self.rare.as_deref()?.logs.filter(|logs| !logs.settled)?;
        logs.until.filter(|until| *until > now && self.group_ended())
    }

    /// Until when what destroys the last that tells of its group waits for the record of what that cost.
    pub fn is_recorded_until(&self, now: Timestamp) -> Option<Timestamp> {
        let kept = self.meter.as_ref()?.group.as_ref()?.kept;
        kept.awaited().filter(|until| *until > now)
    }

    /// Whether its group is to be deleted and nothing else will tell of it then: the pod is gone or about to be (a forced deletion is
    /// shown once before its object goes), or was never told of it. An agent that dies after the delete leaves nothing behind by
    /// which the next one could know what was paid for.
    pub fn leaves_no_trace(&self) -> bool {
        let deletion = self.desired.deletion;
        let going = deletion.is_some_and(|deletion| deletion.forced || !self.published.annotated);
        (self.desired.gone || going) && matches!(self.group, GroupState::Present { .. })
    }

    /// Whether its group was seen in a final state.
    pub fn group_ended(&self) -> bool {
        self.observed.as_ref().is_some_and(|o| o.group.status.is_terminal())
    }

    /// Whether the group's state may change soon, so that it is asked for by id.
    pub fn in_motion(&self) -> bool {
        match &self.group {
            GroupState::Present { delete: Some(_), .. } => !self.group_ended(),
            GroupState::Present { .. } => match &self.observed {
                None => true,
                Some(o) => !o.group.status.is_terminal() && !is_settled(&o.group),
            },
            _ => false,
        }
    }
}

/// Whether `group` is over and nothing of the pod ran in it: it got no resources, or ECI gave up starting it.
pub fn failed_to_start(group: &ObservedGroup, facts: &PodFacts) -> bool {
    if group.status == GroupStatus::ScheduleFailed {
        return true;
    }
    fn is(list: &[ObservedContainer], name: &str, what: impl Fn(&ObservedContainer) -> bool) -> bool {
        list.iter().find(|c| *c.name == *name).is_some_and(what)
    }
    let never = |c: &ObservedContainer| matches!(c.state, ContainerState::Waiting { .. }) && c.last_state.is_none();
    // An init container that failed is the pod's own failure; one that nobody reported may have.
    let harmless = |c: &ObservedContainer| match c.state {
        ContainerState::Waiting { .. } => c.last_state.is_none(),
        ContainerState::Running { .. } => false,
        ContainerState::Terminated { exit_code, .. } => exit_code == 0,
    };
    let init = group.init_containers.as_deref().unwrap_or_default();
    group.status == GroupStatus::Failed
        && facts.containers.iter().all(|c| is(&group.containers, &c.name, never))
        && facts.init_containers.iter().all(|c| is(init, &c.name, harmless))
}

/// Whether nothing is about to change in `group`: it runs, and each container runs ready or is done.
fn is_settled(group: &ObservedGroup) -> bool {
    group.status == GroupStatus::Running
        && group.containers.iter().all(|container| match container.state {
            ContainerState::Waiting { .. } => false,
            ContainerState::Running { .. } => container.ready,
            ContainerState::Terminated { .. } => true,
        })
}
