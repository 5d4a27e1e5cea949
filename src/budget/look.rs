//! The rounds: who has which budget, what was spent of it, and what follows.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt as _, stream};
use jiff::Timestamp;
use kube::Api;
use kube::api::{DeleteParams, Preconditions};
use provider::mapping::Settings;
use tokio::time::{Instant, sleep};

use crate::budget::book::{Level, Scope, Spending, State as Spent};
use crate::budget::terms::{Action, Budget, Period};
use crate::budget::{Asking, BudgetSettings, Budgets, scopes};
use crate::chain::chain;
use crate::clock;
use crate::cost::application::Role;
use crate::cost::live::MOST_NAMESPACES;
use crate::cost::prices::Prices;
use crate::cost::recorder::Recorder;
use crate::metrics::Metrics;
use crate::pods::bill;
use crate::pods::events::{Notices, Weight};
use crate::pods::record::{GroupState, PodRecord, Uid};
use crate::pods::store::Store;
use crate::pods::trouble::TroubleKind;
use crate::pods::watch::NodePod;
use crate::shutdown::Shutdown;

/// Reason: a budget is reached.
pub const REACHED: &str = "BudgetReached";
/// Reason: four fifths of it are spent.
pub const NEAR: &str = "BudgetNearlyReached";
/// Reason: an annotation about a budget has a mistake.
pub const IGNORED: &str = "BudgetIgnored";

/// Between two looks.
pub const PERIOD: Duration = Duration::from_secs(2);
/// Between two looks that somebody waits for.
const SOON: Duration = Duration::from_millis(100);
/// How long reading the records back may take, and when it is tried again.
const READ_PATIENCE: Duration = Duration::from_secs(60);
const READ_AGAIN: Duration = Duration::from_secs(10);
/// Deletions at a time.
const DELETES: usize = 16;

/// What is needed to look at the pods of one node, and to act on them.
pub struct Hand {
    /// The pods.
    pub store: Store,
    /// The API server, as the node.
    pub kube: kube::Client,
    /// Where Events are put.
    pub notices: Notices,
    /// The node's settings.
    pub settings: Arc<Settings>,
}

/// A pod that is to be deleted.
struct Condemned {
    role: Role,
    namespace: String,
    name: String,
    uid: Uid,
    kube: kube::Client,
}

/// What a pass over the pods found.
#[derive(Default)]
struct Survey {
    budgets: HashMap<Scope, Budget>,
    own: HashMap<Scope, Budget>,
    here: Vec<(Spending, [Scope; 2])>,
}

/// Looks until shutdown.
pub async fn run(budgets: Budgets, recorder: Recorder, metrics: Metrics, shutdown: Shutdown) {
    let mut rounds = Rounds {
        budgets,
        recorder,
        metrics,
        read_at: clock::monotonic(),
        measured: BTreeSet::new(),
    };
    let Some(inner) = rounds.budgets.inner.clone() else {
        return;
    };
    let rounds = async {
        loop {
            rounds.look().await;
            sleep(SOON).await;
            let _ = tokio::time::timeout(PERIOD - SOON, inner.asked.notified()).await;
        }
    };
    let _: Option<()> = shutdown.race(rounds).await;
}

struct Rounds {
    budgets: Budgets,
    recorder: Recorder,
    metrics: Metrics,
    /// When the records are read back next.
    read_at: Instant,
    /// Namespaces that have a figure.
    measured: BTreeSet<Arc<str>>,
}

impl Rounds {
    async fn look(&mut self) {
        let now = clock::now();
        let Some((settings, nodes, hands, namespaces)) = self.budgets.lock().map(|(inner, state)| {
            let namespaces = state.namespaces.are_known().then(|| state.namespaces.own.clone());
            (inner.settings, inner.nodes, state.hands.clone(), namespaces)
        }) else {
            return;
        };
        self.tell_mistakes(&hands);
        // Before it is known what they may cost, nothing is reached, and nobody may go.
        let Some(namespaces) = namespaces else { return };
        let survey = survey(&hands, &settings, &namespaces, self.recorder.prices(), now);
        if !survey.budgets.is_empty() && self.is_to_read_back() {
            // Who has no budget that holds need not wait for that.
            self.wake(&hands, now);
            self.read_back().await;
        }
        // Before the groups here are known, what they have cost is not.
        let listed = hands.len() >= nodes
            && hands.iter().all(|hand| {
                let records = hand.store.lock();
                records.pods_listed && records.groups_listed()
            });
        let crossed = {
            let Some((_, mut state)) = self.budgets.lock() else {
                return;
            };
            state.own = survey.own;
            let countable = listed && (state.read_back || survey.budgets.is_empty());
            countable.then(|| state.book.look(now, &survey.budgets, &survey.here))
        };
        let Some(crossed) = crossed else {
            self.wake(&hands, now);
            return;
        };
        for (scope, spent) in crossed {
            self.tell(&hands, &scope, &spent);
        }
        self.measure();
        self.stop(&hands).await;
        self.wake(&hands, now);
    }

    /// Whether what had ended before this agent began is to be counted now; what ends from here on is.
    fn is_to_read_back(&self) -> bool {
        let due = self.budgets.lock().is_some_and(|(_, mut state)| {
            state.armed = true;
            !state.read_back
        });
        due && clock::monotonic() >= self.read_at
    }

    /// Counts what had ended before this agent began: once, when the first budget is seen.
    async fn read_back(&mut self) {
        // Counted as they come: all of them at once are a hundred megabytes. Read again after a failure, they still count once.
        let reading = self.recorder.read_back(|record| {
            if let Some((_, mut state)) = self.budgets.lock() {
                state.take(&record);
            }
        });
        let failure = match tokio::time::timeout(READ_PATIENCE, reading).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(chain(&error).to_string()),
            Err(_) => Some("the API server did not answer in time".to_owned()),
        };
        if let Some(error) = failure {
            self.read_at = clock::monotonic() + READ_AGAIN;
            tracing::warn!(
                error,
                "records of cost cannot be read back: pods whose budget says hold or stop wait"
            );
            return;
        }
        if let Some((_, mut state)) = self.budgets.lock() {
            state.read_back = true;
        }
    }

    /// Says what is wrong with annotations of Namespaces, by whichever node is there.
    fn tell_mistakes(&self, hands: &[Arc<Hand>]) {
        let (Some(hand), Some((_, mut state))) = (hands.first(), self.budgets.lock()) else {
            return;
        };
        for (on, note) in state.namespaces.mistakes.drain(..) {
            tracing::warn!(namespace = on.name, note, "an annotation about a budget has no effect");
            hand.notices.about_once(on, Weight::Warning, IGNORED, note);
        }
    }

    /// Says that a budget is nearly or wholly spent: on the driver if it is here, else on the oldest pod that is.
    fn tell(&self, hands: &[Arc<Hand>], scope: &Scope, spent: &Spent) {
        let Spent { budget, level, .. } = spent;
        let limit = match budget.limit.period {
            Period::Whole => budget.limit.to_string(),
            // Each period has Events of its own.
            Period::Day | Period::Month => format!("{} (since {})", budget.limit, spent.since),
        };
        let (reason, note, label) = match level {
            Level::Within => return,
            Level::Near => (
                NEAR,
                format!("{scope} has spent four fifths of its budget of {limit}"),
                "warned",
            ),
            Level::Reached => {
                let what = match budget.action {
                    Action::Warn => "nothing is done about it",
                    Action::Hold => "no more container groups are made for it",
                    Action::Stop => "no more container groups are made for it, and those it has are ended",
                };
                (
                    REACHED,
                    format!("{scope} has spent its budget of {limit}: {what}"),
                    "reached",
                )
            }
        };
        tracing::warn!(%scope, namespace = %scope.namespace, spent = %spent.spent, %limit, "{reason}");
        self.metrics.budget_actions.with_label_values(&[label]).inc();
        let mut best: Option<(bool, Timestamp, usize, Uid)> = None;
        for (index, hand) in hands.iter().enumerate() {
            for (uid, record) in hand.store.lock().iter().filter(|(_, record)| is_of(record, scope)) {
                let driver = record.meter.as_ref().is_some_and(|meter| meter.role == Role::Driver);
                let key = (
                    !driver,
                    record.facts.created.unwrap_or(record.first_seen),
                    index,
                    uid.clone(),
                );
                if best.as_ref().is_none_or(|best| key < *best) {
                    best = Some(key);
                }
            }
        }
        if let Some((_, _, index, uid)) = best
            && let Some(hand) = hands.get(index)
            && let Some(record) = hand.store.lock().get(&uid)
        {
            hand.notices.budget(record, reason, note);
        }
    }

    /// Sets the figures of namespaces. None is without a value in between: somebody may scrape.
    fn measure(&mut self) {
        let Some((_, state)) = self.budgets.lock() else { return };
        let mut spent: Vec<_> = state.book.states().filter(|(s, _)| s.application.is_none()).collect();
        spent.sort_by_key(|(scope, _)| *scope);
        spent.truncate(MOST_NAMESPACES);
        let gauge = &self.metrics.budget_spent_ratio;
        let before = std::mem::take(&mut self.measured);
        for (scope, spent) in spent {
            let ratio = spent.spent.0 as f64 / spent.budget.limit.amount.0.max(1) as f64;
            gauge.with_label_values(&[&*scope.namespace]).set(ratio);
            self.measured.insert(scope.namespace.clone());
        }
        for namespace in before.difference(&self.measured) {
            // It was set before, so that it can only be gone already.
            let _ = gauge.remove_label_values(&[&**namespace]);
        }
    }

    /// Deletes the pods that have a group where a budget that says so is reached: executors first, so that no driver sees
    /// its work fail and starts it anew.
    async fn stop(&self, hands: &[Arc<Hand>]) {
        let stopped: Vec<Scope> = {
            let Some((_, state)) = self.budgets.lock() else { return };
            let reached = state
                .book
                .states()
                .filter(|(_, s)| s.level == Level::Reached && s.budget.action == Action::Stop);
            reached.map(|(scope, _)| scope.clone()).collect()
        };
        if stopped.is_empty() {
            return;
        }
        let mut condemned = Vec::new();
        for hand in hands {
            let records = hand.store.lock();
            for (uid, record) in records.iter().filter(|(_, record)| may_have_a_group(record)) {
                let of = stopped.iter().find(|scope| is_of(record, scope));
                let (Some(scope), Some(meter)) = (of, &record.meter) else {
                    continue;
                };
                if meter.role != Role::Executor {
                    let note = format!("deleted, as the budget of {scope} is spent");
                    hand.notices.budget(record, REACHED, note);
                }
                condemned.push(Condemned {
                    role: meter.role,
                    namespace: record.facts.namespace.to_string(),
                    name: record.facts.name.to_string(),
                    uid: uid.clone(),
                    kube: hand.kube.clone(),
                });
            }
        }
        let (drivers, others): (Vec<_>, Vec<_>) = condemned.into_iter().partition(|pod| pod.role == Role::Driver);
        for pods in [others, drivers] {
            stream::iter(pods)
                .for_each_concurrent(DELETES, |pod| self.delete(pod))
                .await;
        }
    }

    async fn delete(&self, pod: Condemned) {
        let api: Api<NodePod> = Api::namespaced(pod.kube, &pod.namespace);
        let params = DeleteParams {
            preconditions: Some(Preconditions {
                uid: Some(pod.uid.to_string()),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        match api.delete(&pod.name, &params).await {
            Ok(_) => {
                tracing::info!(pod = pod.name, namespace = pod.namespace, uid = %pod.uid, "deleted a pod whose budget is spent");
                self.metrics.budget_actions.with_label_values(&["stopped"]).inc();
            }
            // Gone, or another pod's name by now.
            Err(kube::Error::Api(answer)) if matches!(answer.code, 404 | 409) => {}
            Err(error) => {
                tracing::warn!(
                    pod = pod.name,
                    namespace = pod.namespace,
                    error = chain(&error),
                    "deleting a pod whose budget is spent failed; will retry"
                );
            }
        }
    }

    /// Wakes the pods that waited for money and may go now, and those that wait for something else by now.
    fn wake(&self, hands: &[Arc<Hand>], now: Timestamp) {
        let mut waiting = Vec::new();
        for hand in hands {
            for (uid, record) in hand.store.lock().iter() {
                let trouble = record.trouble.as_ref().filter(|t| t.kind == TroubleKind::Budget);
                if let Some(trouble) = trouble
                    && let Some(asking) = asking(record)
                {
                    waiting.push((uid.clone(), asking, trouble.message.clone()));
                }
            }
        }
        waiting.retain(|(_, asking, said)| match self.budgets.judge(asking, now) {
            Ok(()) => true,
            Err(wait) => wait.to_string() != **said,
        });
        let Some((_, mut state)) = self.budgets.lock() else {
            return;
        };
        for (uid, ..) in waiting {
            state.listeners.retain(|listener| listener.send(uid.clone()).is_ok());
        }
    }
}

/// What `record` has to ask before it gets a group; none = its cost is not counted.
pub fn asking(record: &PodRecord) -> Option<Asking> {
    let meter = record.meter.as_ref()?;
    let own = record.rare.as_ref().and_then(|rare| rare.budget);
    Some(Asking::new(&record.facts.namespace, &meter.application.id, own))
}

fn is_of(record: &PodRecord, scope: &Scope) -> bool {
    let application = record.meter.as_ref().map(|meter| meter.application.id.as_str());
    *record.facts.namespace == *scope.namespace && scope.application.as_deref().is_none_or(|id| Some(id) == application)
}

fn may_have_a_group(record: &PodRecord) -> bool {
    let desired = &record.desired;
    let group = matches!(record.group, GroupState::Accepted { .. } | GroupState::Present { .. });
    group && !desired.finished && !desired.gone && desired.deletion.is_none() && !record.group_ended()
}

/// Which budgets there are, and what the groups of their scopes have been billed.
fn survey(
    hands: &[Arc<Hand>],
    settings: &BudgetSettings,
    namespaces: &HashMap<Arc<str>, Budget>,
    prices: &Prices,
    now: Timestamp,
) -> Survey {
    let mut own: HashMap<Scope, (bool, Budget)> = HashMap::new();
    for hand in hands {
        for (_, record) in hand.store.lock().iter() {
            let Some(Asking {
                scope,
                own: Some(budget),
            }) = record.rare.as_ref().and_then(|_| asking(record))
            else {
                continue;
            };
            let driver = record.meter.as_ref().is_some_and(|meter| meter.role == Role::Driver);
            let known = own.entry(scope).or_insert((driver, budget));
            // The driver's word beats the executors'; of several, the smallest amount.
            let smaller = driver == known.0 && budget.limit.amount < known.1.limit.amount;
            if (driver && !known.0) || smaller {
                *known = (driver, budget);
            }
        }
    }
    let own: HashMap<Scope, Budget> = own.into_iter().map(|(scope, (_, budget))| (scope, budget)).collect();
    let mut found = Survey::default();
    if !own.is_empty() || !namespaces.is_empty() || settings.are_set() {
        for hand in hands {
            for (_, record) in hand.store.lock().iter() {
                let Some(meter) = &record.meter else { continue };
                let [application, namespace] = scopes(&record.facts.namespace, &meter.application.id);
                let of_application = own.get(&application).copied().or_else(|| settings.of_application());
                let of_namespace = namespaces.get(&*record.facts.namespace).copied();
                let of_namespace = of_namespace.or_else(|| settings.of_namespace());
                let budgets = [(of_application, &application), (of_namespace, &namespace)];
                for (budget, scope) in budgets {
                    if let Some(budget) = budget {
                        found.budgets.entry(scope.clone()).or_insert(budget);
                    }
                }
                if budgets.iter().any(|(budget, _)| budget.is_some())
                    && let Some(spending) = bill::spending(record, prices, &hand.settings, now)
                {
                    found.here.push((spending, [application, namespace]));
                }
            }
        }
    }
    found.own = own;
    found
}
