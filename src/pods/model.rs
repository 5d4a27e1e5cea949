//! Property test: a pod's record against a small model of the cloud, with lost answers, refusals and lying lists.
//!
//! The record and the two pure functions around it ([`decide`], [`absorb`]) are the real ones; the world is the smallest that
//! can break them: at most a few groups, each known by its token.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;
use provider::error::ErrorClass;
use provider::group::{ContainerState, GroupStatus, ObservedContainer, ObservedGroup};
use provider::mapping::{FailStrategy, LifeOptions};
use provider::request::RestartPolicy;
use provider::sizes::Size;
use provider::status::{ContainerFacts, PodFacts, Previous};
use provider::units::MilliCpu;

use crate::caps::{Cap, Caps, Claim};
use crate::pods::absorb::{absorb, absorb_ending, absorb_logs_kept, absorb_release, absorb_source_change};
use crate::pods::claims;
use crate::pods::decide::{Decision, decide};
use crate::pods::input::{
    CreateOutcome, Created, DeleteOutcome, EvictOutcome, Failure, FilesOutcome, FilesSent, FindOutcome, Outcome,
    PublishOutcome, Written,
};
use crate::pods::publish::{self, Write};
use crate::pods::record::{Deletion, Desired, GroupState, KeptLogs, Observed, PodRecord};

/// What happens next in the world.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Time passes.
    Wait(u16),
    /// The effect under way takes place, and this becomes of its answer.
    Answer(Answer),
    /// The user deletes the pod, with or without grace.
    Delete { forced: bool },
    /// The object vanishes from the API server.
    Vanish,
    /// The cloud gives the group its resources, or has none.
    Schedule { stock: bool },
    /// ECI gives up starting a group's containers.
    GiveUp,
    /// The pod is changed in a way that the mapping sees.
    Change,
    /// Something that the files of the group come from changes.
    ChangeSource,
    /// The pod's logs are kept to their end.
    KeepLogs,
    /// ECI announces that it takes the group's resources back.
    Announce,
    /// ECI takes them back.
    Reclaim,
    /// Another pod takes the room that the namespace has, or gives it back.
    Rival { takes: bool },
    /// The poller sees the truth about the group.
    Poll,
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug)]
enum Answer {
    /// It takes effect and says so.
    Ok,
    /// It takes effect, and the answer is lost.
    Lost,
    /// It does not take effect, and nobody knows.
    NeverSent,
    /// Refused for now.
    Throttled,
    /// Refused: no stock.
    NoStock,
    /// Refused for good.
    Refused,
    /// The caller has no rights: reading calls answer with nothing.
    Blind,
}

fn step() -> impl Strategy<Value = Step> {
    let answer = prop_oneof![
        4 => Just(Answer::Ok),
        1 => Just(Answer::Lost),
        1 => Just(Answer::NeverSent),
        1 => Just(Answer::Throttled),
        1 => Just(Answer::NoStock),
        1 => Just(Answer::Refused),
        1 => Just(Answer::Blind),
    ];
    prop_oneof![
        4 => (1u16..400).prop_map(Step::Wait),
        8 => answer.prop_map(Step::Answer),
        1 => any::<bool>().prop_map(|forced| Step::Delete { forced }),
        1 => Just(Step::Vanish),
        2 => prop::bool::weighted(0.7).prop_map(|stock| Step::Schedule { stock }),
        1 => Just(Step::GiveUp),
        1 => Just(Step::Change),
        1 => Just(Step::Announce),
        1 => Just(Step::KeepLogs),
        1 => Just(Step::ChangeSource),
        1 => Just(Step::Reclaim),
        1 => any::<bool>().prop_map(|takes| Step::Rival { takes }),
        3 => Just(Step::Poll),
    ]
}

#[derive(Clone, Debug, PartialEq)]
struct Group {
    attempt: u32,
    status: GroupStatus,
    /// DeleteContainerGroup was accepted; it ends at the next look.
    deleted: bool,
    alive: bool,
}

/// The pod.
const UID: &str = "u";

struct World {
    now: Timestamp,
    groups: Vec<Group>,
    /// Attempt number on the pod.
    attempt_on_pod: u32,
    removed: bool,
    record: PodRecord,
    /// The namespace may have one pod here.
    caps: Caps,
    /// The effect under way, with the status it writes: like the loop, it is prepared at once.
    pending: Option<(Decision, Option<Write>)>,
    forgotten: bool,
    reclaimed: bool,
}

/// What the pod is like.
#[derive(Clone, Copy, Debug)]
struct Kind {
    fail_fast: bool,
    may_fail: bool,
    candidates: u16,
    turns: u16,
    deadline: Option<u16>,
    live: bool,
    never: bool,
    /// Whether its logs are kept.
    kept: bool,
}

fn kind() -> impl Strategy<Value = Kind> {
    let deadline = prop::option::weighted(0.3, 1u16..300);
    let flags = (
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
    );
    (flags, 1u16..4, 1u16..4, deadline).prop_map(|((fail_fast, may_fail, live, never, kept), ways, turns, deadline)| {
        Kind {
            fail_fast,
            may_fail: may_fail && never,
            candidates: ways * turns,
            turns,
            deadline,
            live,
            never,
            kept,
        }
    })
}

impl World {
    fn new(kind: Kind) -> Self {
        let now = Timestamp::from_second(1_000_000).expect("in range");
        let facts = PodFacts {
            uid: "u".into(),
            namespace: "n".into(),
            name: "p".into(),
            node_ip: Arc::from("10.0.0.1"),
            generation: None,
            created: Some(now),
            deletion_requested: false,
            restart_policy: if kind.never {
                RestartPolicy::Never
            } else {
                RestartPolicy::Always
            },
            active_deadline_seconds: kind.deadline.map(i64::from),
            containers: vec![ContainerFacts {
                name: "c".into(),
                image: "i".into(),
                readiness_probe: false,
                sidecar: false,
            }],
            init_containers: Vec::new(),
            readiness_gates: Vec::new(),
            previous: Previous::default(),
        };
        let desired = Desired {
            may_fail: kind.may_fail,
            candidates: kind.candidates,
            turns: kind.turns,
            places: 1,
            options: LifeOptions {
                fail_strategy: if kind.fail_fast {
                    FailStrategy::FailFast
                } else {
                    FailStrategy::FailBack
                },
                live_update: kind.live,
                ..LifeOptions::default()
            },
            ..Desired::default()
        };
        let mut record = PodRecord::new(facts, desired, GroupState::Absent { attempt: 0 }, now);
        if kind.kept {
            record.rare.get_or_insert_default().logs = Some(KeptLogs::default());
        }
        let (attempt_on_pod, groups) = (0, Vec::new());
        Self {
            now,
            groups,
            attempt_on_pod,
            removed: false,
            record,
            caps: Caps::new(
                Cap {
                    pods: Some(1),
                    cpu: None,
                },
                [],
            ),
            pending: None,
            forgotten: false,
            reclaimed: false,
        }
    }

    /// Groups that run or may run, and so cost money.
    fn alive(&self) -> usize {
        self.groups
            .iter()
            .filter(|g| g.alive && !g.status.is_terminal())
            .count()
    }

    /// The pod is to go.
    fn is_ending(&self) -> bool {
        self.record.desired.gone || self.record.desired.deletion.is_some()
    }

    /// Nothing is under way and nothing is waited for.
    fn is_at_rest(&self) -> bool {
        self.pending.is_none()
            && decide(&self.record, self.now) == Decision::Wait(None)
            && self.record.observed.is_some()
    }

    /// What a pod of the namespace takes.
    fn claim(name: &str) -> Claim {
        Claim {
            uid: Arc::from(name),
            namespace: Arc::from("n"),
            cpu: MilliCpu(1),
        }
    }

    /// A group that lives is counted, but for one of a pod that is to go and that nobody ever heard of: that is an orphan.
    fn is_counted(&self) -> bool {
        let orphan = self.is_ending() && matches!(self.record.group, GroupState::Absent { .. });
        self.alive() == 0 || orphan || self.caps.held_by(UID).is_some()
    }

    fn id(attempt: u32) -> Arc<str> {
        Arc::from(format!("eci-{attempt}"))
    }

    /// What the loop does between inputs: decides, and starts the effect.
    fn consider(&mut self) {
        absorb_ending(&mut self.record, self.now);
        claims::settle(&self.caps, &Arc::from(UID), &mut self.record, self.now);
        match decide(&self.record, self.now) {
            Decision::Wait(_) => {}
            // Nobody ever heard of that create: what it may have made is an orphan, and deleted as one.
            Decision::Forget if matches!(self.record.group, GroupState::Absent { .. }) => {
                for group in &mut self.groups {
                    group.alive = false;
                }
                self.forgotten = true;
            }
            Decision::Forget => {
                assert_eq!(
                    self.alive(),
                    0,
                    "forgot a pod whose group lives: {:?}",
                    self.record.group
                );
                self.forgotten = true;
            }
            effect => {
                let write = publish::prepare(&self.record, None, self.now).filter(|_| effect == Decision::Publish);
                assert_eq!(
                    write.is_some(),
                    effect == Decision::Publish,
                    "nothing to write: {:?}",
                    self.record
                );
                self.record.busy = true;
                self.pending = Some((effect, write));
            }
        }
    }

    /// `again`: the same was sent before, and its outcome is not known.
    fn create(&mut self, attempt: u32, again: bool, answer: Answer) -> CreateOutcome {
        // As the effect does.
        let desired = &self.record.desired;
        if desired.gone || (desired.deletion.is_some() && !again) {
            return CreateOutcome::Unneeded;
        }
        if let Err(wait) = self.caps.reserve(&Self::claim(UID), self.now) {
            assert!(!again, "one that was sent has its room");
            return CreateOutcome::Capped(wait);
        }
        let failure = |class| {
            let failure = Failure {
                class,
                reason: class.reason(),
                message: String::new(),
            };
            match class {
                ErrorClass::UnknownOutcome | ErrorClass::AlreadyAccepted => {
                    CreateOutcome::Unclear(failure, Box::default())
                }
                _ => CreateOutcome::Cloud(failure),
            }
        };
        let known = self.groups.iter().any(|g| g.attempt == attempt);
        let make = |world: &mut Self| {
            if !known {
                assert!(
                    attempt <= world.attempt_on_pod,
                    "attempt {attempt} was used before it was on the pod"
                );
                assert_eq!(world.alive(), 0, "a second group was made");
                world.groups.push(Group {
                    attempt,
                    status: GroupStatus::Scheduling,
                    deleted: false,
                    alive: true,
                });
            }
        };
        match answer {
            // The request cannot be rebuilt byte for byte.
            Answer::Ok | Answer::Blind if known => failure(ErrorClass::AlreadyAccepted),
            Answer::Ok => {
                make(self);
                CreateOutcome::Created(Created {
                    elsewhere: None,
                    id: Self::id(attempt),
                    placed: Box::default(),
                    asked: Size::default(),
                    sent: self.now,
                    weakened: Vec::new(),
                    warnings: Vec::new(),
                    files: self.record.renews_files().then(|| files("0")),
                })
            }
            Answer::Lost => {
                make(self);
                failure(ErrorClass::UnknownOutcome)
            }
            Answer::NeverSent => failure(ErrorClass::UnknownOutcome),
            Answer::Throttled => failure(ErrorClass::Throttle),
            Answer::NoStock if known => failure(ErrorClass::AlreadyAccepted),
            Answer::NoStock => failure(ErrorClass::Stock),
            Answer::Refused if known => failure(ErrorClass::AlreadyAccepted),
            Answer::Refused => failure(ErrorClass::Permanent),
            Answer::Blind => failure(ErrorClass::Credentials),
        }
    }

    fn answer(&mut self, answer: Answer) {
        let Some((effect, write)) = self.pending.take() else {
            return;
        };
        let failed = || Failure {
            class: ErrorClass::Transient,
            reason: "",
            message: String::new(),
        };
        let outcome = match effect {
            Decision::Create { attempt } => Outcome::Created(self.create(attempt, false, answer)),
            Decision::Find { attempt, resend } => {
                let there = self.groups.iter().find(|g| g.alive).map(|g| Self::id(g.attempt));
                Outcome::Found(match (answer, there) {
                    (Answer::Lost | Answer::NeverSent | Answer::Throttled, _) => FindOutcome::Failed(failed()),
                    (Answer::Ok | Answer::NoStock | Answer::Refused, Some(id)) => FindOutcome::Found(id),
                    (_, _) if resend => FindOutcome::Resent(self.create(attempt, true, answer)),
                    _ => FindOutcome::NotThere,
                })
            }
            Decision::RenewFiles { .. } => {
                assert!(self.record.renews_files(), "its containers may not be restarted");
                let running = self.groups.iter().any(|g| g.alive && g.status == GroupStatus::Running);
                Outcome::FilesRenewed(match answer {
                    Answer::Ok => FilesOutcome::Current {
                        files: files("1"),
                        sent: running,
                    },
                    Answer::Blind => FilesOutcome::Unreadable(String::new()),
                    _ => FilesOutcome::Cloud(failed()),
                })
            }
            Decision::Evict => {
                assert!(self.record.release().is_some(), "evicted without a reason");
                if matches!(answer, Answer::Ok | Answer::Lost) {
                    self.delete_pod(false);
                }
                Outcome::Evicted(match answer {
                    Answer::Ok => EvictOutcome::Accepted,
                    Answer::NoStock | Answer::Refused => EvictOutcome::Blocked(String::new()),
                    _ => EvictOutcome::Failed(String::new()),
                })
            }
            Decision::DeleteGroup { id, force } => Outcome::GroupDeleted(self.delete(&id, force, answer)),
            Decision::Publish => Outcome::Published(match (answer, write) {
                (Answer::Ok, Some(write)) => {
                    self.attempt_on_pod = self.attempt_on_pod.max(write.attempt);
                    PublishOutcome::Written(Written {
                        fingerprint: provider::status::fingerprint(&write.status),
                        resource_version: 1,
                        attempt: write.attempt,
                        annotated: write.annotated,
                        files: write.files,
                        previous: Previous::of(&write.status),
                        finished: matches!(write.status.phase.as_deref(), Some("Succeeded" | "Failed")),
                        running: write.status.phase.as_deref() == Some("Running"),
                    })
                }
                _ => PublishOutcome::Failed(String::new()),
            }),
            Decision::RemoveObject => {
                assert_eq!(self.alive(), 0, "removed the object of a pod whose group lives");
                self.removed |= matches!(answer, Answer::Ok | Answer::Lost);
                Outcome::ObjectRemoved(if matches!(answer, Answer::Ok) {
                    Ok(())
                } else {
                    Err(String::new())
                })
            }
            Decision::Wait(_) | Decision::Forget => return,
        };
        absorb(&mut self.record, outcome, self.now, 0.5);
    }

    fn delete(&mut self, id: &str, force: bool, answer: Answer) -> Result<DeleteOutcome, Failure> {
        if !matches!(answer, Answer::Ok | Answer::Lost) {
            return Err(Failure {
                class: ErrorClass::Transient,
                reason: "",
                message: String::new(),
            });
        }
        let group = self.groups.iter_mut().find(|g| g.alive && *Self::id(g.attempt) == *id);
        let found = group.is_some();
        if let Some(group) = group {
            group.deleted = true;
        }
        match answer {
            Answer::Lost => Err(Failure {
                class: ErrorClass::UnknownOutcome,
                reason: "",
                message: String::new(),
            }),
            _ if found => Ok(DeleteOutcome::Accepted { force }),
            _ => Ok(DeleteOutcome::NotFound),
        }
    }

    fn delete_pod(&mut self, forced: bool) {
        let deadline = self.now + Duration::from_secs(if forced { 0 } else { 30 });
        let deletion = &mut self.record.desired.deletion;
        deletion.get_or_insert(Deletion { deadline, forced });
    }

    fn poll(&mut self) {
        for group in &mut self.groups {
            group.alive &= !group.deleted;
        }
        let GroupState::Present { id, .. } = &self.record.group else {
            return;
        };
        let group = self.groups.iter().find(|g| g.alive && Self::id(g.attempt) == *id);
        if let Some(group) = group {
            let changed = self.now;
            let group = observed(id, group.status.clone());
            self.record.observed = Some(Observed {
                hash: 1,
                group,
                changed,
            });
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Wait(seconds) => self.now += Duration::from_secs(seconds.into()),
            Step::Answer(answer) => self.answer(answer),
            Step::Delete { forced } => self.delete_pod(forced),
            Step::Vanish => self.record.desired.gone = true,
            Step::Schedule { stock } => {
                for group in self.groups.iter_mut().filter(|g| g.status == GroupStatus::Scheduling) {
                    group.status = if stock {
                        GroupStatus::Running
                    } else {
                        GroupStatus::ScheduleFailed
                    };
                }
            }
            Step::GiveUp => {
                for group in self.groups.iter_mut().filter(|g| g.status == GroupStatus::Scheduling) {
                    group.status = GroupStatus::Failed;
                }
            }
            Step::Change => {
                if self.record.trouble.as_ref().is_some_and(|t| t.kind.is_permanent()) {
                    self.record.trouble = None;
                }
            }
            Step::ChangeSource => absorb_source_change(&mut self.record, self.now),
            Step::KeepLogs => absorb_logs_kept(&mut self.record),
            Step::Announce => {
                absorb_release(&mut self.record, "soon".into(), self.now);
            }
            Step::Reclaim => {
                for group in self.groups.iter_mut().filter(|g| g.status == GroupStatus::Running) {
                    group.status = GroupStatus::Expired;
                    self.reclaimed = true;
                }
            }
            Step::Rival { takes: true } => {
                let _ = self.caps.reserve(&Self::claim("rival"), Timestamp::UNIX_EPOCH);
            }
            Step::Rival { takes: false } => {
                self.caps.release("rival");
                self.caps.leave("rival");
            }
            Step::Poll => self.poll(),
        }
        if !self.forgotten {
            self.consider();
        }
        assert!(self.alive() <= 1);
        assert!(self.is_counted(), "lives uncounted: {:?}", self.record);
    }
}

fn files(digest: &str) -> FilesSent {
    FilesSent {
        digest: digest.into(),
        renew_at: None,
        sources: Vec::new(),
    }
}

fn observed(id: &str, status: GroupStatus) -> ObservedGroup {
    let waiting = ContainerState::Waiting {
        reason: String::new(),
        message: String::new(),
    };
    let running = ContainerState::Running { started_at: None };
    let container = ObservedContainer {
        name: "c".to_owned(),
        image: String::new(),
        image_id: String::new(),
        ready: false,
        started: None,
        restart_count: 0,
        state: if status == GroupStatus::Running {
            running
        } else {
            waiting
        },
        last_state: None,
    };
    ObservedGroup {
        id: id.to_owned(),
        name: String::new(),
        status,
        pod_ip: None,
        zone_id: None,
        whereabouts: None,
        size: None,
        tags: Vec::new(),
        uuid: None,
        created: None,
        start_time: None,
        finished: None,
        containers: vec![container],
        init_containers: None,
        conditions: Vec::new(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Whatever is lost, refused or hidden: never two groups, no object removed before its group; and once the world
    /// behaves, a pod that stays has its group or was given up for a reason, and of a pod that goes nothing is left.
    #[test]
    fn one_group_while_it_lives_and_none_after(kind in kind(), steps in prop::collection::vec(step(), 1..60)) {
        let mut world = World::new(kind);
        world.consider();
        for step in steps {
            world.step(step);
        }
        for _ in 0..120 {
            for step in [Step::Rival { takes: false }, Step::Answer(Answer::Ok), Step::Schedule { stock: true }, Step::Change, Step::Wait(4), Step::Poll] {
                world.step(step);
            }
            if world.forgotten || (world.is_at_rest() && !world.is_ending()) {
                break;
            }
        }
        let desired = &world.record.desired;
        if world.is_ending() {
            prop_assert!(world.groups.iter().all(|g| !g.alive), "leaked: {:?}", world.record);
            prop_assert!(world.forgotten, "stuck: {:?}", world.record);
        } else if desired.finished {
            // Nothing of it ended by itself: it was given up.
            let why = kind.fail_fast || kind.may_fail || kind.deadline.is_some() || world.reclaimed;
            prop_assert!(why, "failed: {:?}", world.record);
            prop_assert_eq!(world.alive(), 0, "paid for although it is over: {:?}", world.record);
        } else {
            prop_assert!(kind.deadline.is_none(), "runs beyond its deadline: {:?}", world.record);
            prop_assert_eq!(world.alive(), 1, "lost: {:?}", world.record);
        }
    }
}
