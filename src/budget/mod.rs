//! Budgets of namespaces and applications: what follows when they have cost so much (docs/decisions/0037-budgets.md).
//!
//! ```text
//! records of groups that are over ─┐
//! prices, pods that have a group ──┴─► look (every 2 s) ─► book ─► Events, figures, deletions (stop)
//! create ─► ask ─► go | wait (hold, stop) ◄─ woken by the next look that finds money
//! ```
//!
//! [`terms`] is what a budget is, [`book`] the arithmetic, [`look`] the rounds and their effects, [`namespaces`] what Namespaces say
//! of themselves; [`Budgets`] is the handle that creates ask, shared by all nodes of the process.
//!
//! # Guarantees
//! - What is spent counts at its upper bound, and never goes down within a period.
//! - Under `hold` and `stop` no group is made for a scope whose budget is reached, nor before what it has spent is counted.
//! - Without a budget nothing is counted, nothing waits, and no record is read; whether a namespace has one is known first.

pub mod book;
pub mod look;
#[cfg(test)]
mod model;
pub mod namespaces;
pub mod terms;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use provider::annotations;
use tokio::sync::{Notify, mpsc};

use book::{Answer, Book, Scope, Spending};
use look::Hand;
use namespaces::Namespaces;
use terms::{ACTIONS, Action, Budget, FORMS, Limit, Period};

use crate::cost::record::CostRecord;
use crate::pods::record::Uid;

/// What is said of a budget of a month that sees less than one.
const FORGETFUL: &str = "records of cost are kept for less than a month, and what is older does not count: --cost-max-age must be 744h or more";

/// Budgets by the agent's settings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BudgetSettings {
    /// Of each application that has none of its own.
    pub application: Option<Limit>,
    /// Of each namespace whose annotations say nothing else.
    pub namespace: Option<Limit>,
    /// What follows when one is reached, where no annotation says so.
    pub action: Action,
    /// Records of cost are kept for less than a month, so that a budget of one sees only what is left of it.
    pub forgets_months: bool,
}

/// Handle to the budgets; cheap to clone.
#[derive(Clone, Default)]
pub struct Budgets {
    inner: Option<Arc<Inner>>,
}

struct Inner {
    settings: BudgetSettings,
    /// How many nodes there are to look at.
    nodes: usize,
    state: Mutex<State>,
    /// Somebody waits for a look.
    asked: Notify,
}

#[derive(Default)]
struct State {
    book: Book,
    /// Budgets by annotations, as of the last look.
    own: HashMap<Scope, Budget>,
    namespaces: Namespaces,
    /// Whether groups that end are counted.
    armed: bool,
    /// Whether those that ended before this agent began are.
    read_back: bool,
    hands: Vec<Arc<Hand>>,
    listeners: Vec<mpsc::UnboundedSender<Uid>>,
}

/// Whose group is to be made.
#[derive(Clone, Debug)]
pub struct Asking {
    /// Its application.
    pub scope: Scope,
    /// The budget that the pod's own annotations give its application.
    pub own: Option<Budget>,
}

impl Asking {
    /// A pod of `application` in `namespace`.
    pub fn new(namespace: &str, application: &str, own: Option<Budget>) -> Self {
        let [scope, _] = scopes(namespace, application);
        Self { scope, own }
    }
}

/// Why a pod has to wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wait {
    /// It is not known yet which namespaces have budgets.
    NotListed,
    /// What was spent is not counted yet.
    NotCounted(Scope),
    /// Nothing is left.
    Reached {
        /// Of what.
        scope: Scope,
        /// The budget.
        limit: Limit,
        /// When the next period begins.
        next: Option<Timestamp>,
    },
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.application {
            Some(application) => write!(f, "application {application}"),
            None => write!(f, "namespace {}", self.namespace),
        }
    }
}

impl fmt::Display for Wait {
    /// Says no figure that changes while a pod waits: each text is an Event and a write of the pod's status.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotListed => write!(
                f,
                "waits until the agent has listed the namespaces, which may have budgets"
            ),
            Self::NotCounted(scope) => write!(f, "waits until what {scope} has cost on virtual nodes is counted"),
            Self::Reached { scope, limit, next } => {
                write!(
                    f,
                    "{scope} has spent its budget of {limit} on virtual nodes: waits until it is raised"
                )?;
                match next {
                    Some(next) => write!(f, ", or for the next period, from {next}"),
                    None => Ok(()),
                }
            }
        }
    }
}

impl Wait {
    /// Reason of the Event.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotListed | Self::NotCounted(_) => "BudgetNotCounted",
            Self::Reached { .. } => look::REACHED,
        }
    }
}

/// The budget that a pod's annotations give its application, and what is wrong with them. With a mistake in the amount they give none;
/// with one in the action, that of the settings.
pub fn of_annotations<'a>(
    text: impl Fn(&str) -> Option<&'a str>,
    settings: &BudgetSettings,
) -> (Option<Budget>, Vec<String>) {
    let (limit, action, wrong) = read_annotations(text, Limit::parse, FORMS, settings);
    let action = action.unwrap_or(settings.action);
    (limit.map(|limit| Budget { limit, action }), wrong)
}

/// What annotations say of amount and action, and what is wrong with them; `forms` are those that `limit` takes.
fn read_annotations<'a>(
    text: impl Fn(&str) -> Option<&'a str>,
    limit: impl Fn(&str) -> Option<Limit>,
    forms: &str,
    settings: &BudgetSettings,
) -> (Option<Limit>, Option<Action>, Vec<String>) {
    let mut wrong = Vec::new();
    let mut bad = |name: &str, text: &str, why: &str| {
        wrong.push(format!("metadata.annotations[{name}] is `{text}`: {why}"));
    };
    let must_be = |wanted: &str| format!("it must be {wanted}; the agent's setting holds");
    let action = text(annotations::BUDGET_ACTION).and_then(|text| {
        let action = Action::parse(text);
        if action.is_none() {
            bad(annotations::BUDGET_ACTION, text, &must_be(ACTIONS));
        }
        action
    });
    let limit = text(annotations::BUDGET).and_then(|text| {
        let limit = limit(text);
        match limit {
            None => bad(annotations::BUDGET, text, &must_be(forms)),
            Some(limit) if limit.period == Period::Month && settings.forgets_months => {
                bad(annotations::BUDGET, text, FORGETFUL);
            }
            Some(_) => {}
        }
        limit
    });
    (limit, action, wrong)
}

impl Budgets {
    /// Budgets by these settings and by annotations, of the pods of so many nodes.
    pub fn new(settings: BudgetSettings, nodes: usize) -> Self {
        Self {
            inner: Some(Arc::new(Inner {
                settings,
                nodes,
                state: Mutex::default(),
                asked: Notify::new(),
            })),
        }
    }

    /// No budgets, and nothing that could set one.
    pub fn none() -> Self {
        Self::default()
    }

    /// What holds where no annotation says anything else.
    pub fn settings(&self) -> BudgetSettings {
        self.inner.as_ref().map(|inner| inner.settings).unwrap_or_default()
    }

    /// Who may go now is sent here.
    pub fn listen(&self) -> mpsc::UnboundedReceiver<Uid> {
        let (sender, receiver) = mpsc::unbounded_channel();
        if let Some((_, mut state)) = self.lock() {
            state.listeners.push(sender);
        }
        receiver
    }

    /// The pods of a node are looked at from here on.
    pub fn join(&self, hand: Hand) {
        if let Some((_, mut state)) = self.lock() {
            state.hands.push(Arc::new(hand));
        }
    }

    /// A group is over.
    pub fn ended(&self, record: &CostRecord) {
        if let Some((inner, mut state)) = self.lock()
            && (state.armed || inner.settings.are_set())
        {
            state.take(record);
        }
    }

    /// Whether a group may be made now.
    ///
    /// # Errors
    /// Why not; the pod is woken when it may.
    pub fn ask(&self, asking: &Asking, now: Timestamp) -> Result<(), Wait> {
        let answer = self.judge(asking, now);
        if let (Err(Wait::NotCounted(_)), Some(inner)) = (&answer, &self.inner) {
            inner.asked.notify_one();
        }
        answer
    }

    /// The same of a pod that waits already: nobody has to look sooner for it.
    fn judge(&self, asking: &Asking, now: Timestamp) -> Result<(), Wait> {
        let Some((inner, state)) = self.lock() else {
            return Ok(());
        };
        if !state.namespaces.are_known() {
            return Err(Wait::NotListed);
        }
        let own = state.own.get(&asking.scope).copied().or(asking.own);
        let application = own.or_else(|| inner.settings.of_application());
        let namespace = Scope {
            application: None,
            ..asking.scope.clone()
        };
        let of_namespace = state.namespaces.budget(&namespace.namespace);
        let budgets = [
            (&asking.scope, application),
            (&namespace, of_namespace.or_else(|| inner.settings.of_namespace())),
        ];
        let mut not_counted = None;
        for (scope, budget) in budgets {
            let Some(budget) = budget.filter(|budget| budget.action != Action::Warn) else {
                continue;
            };
            let answer = match state.book.ask(scope, &budget, now) {
                _ if !state.read_back => Answer::NotCounted,
                answer => answer,
            };
            match answer {
                Answer::Go => {}
                Answer::NotCounted => {
                    not_counted.get_or_insert(scope);
                }
                Answer::Reached => {
                    return Err(Wait::Reached {
                        scope: scope.clone(),
                        limit: budget.limit,
                        next: budget.limit.period.next(now),
                    });
                }
            }
        }
        not_counted.map_or(Ok(()), |scope| Err(Wait::NotCounted(scope.clone())))
    }

    fn lock(&self) -> Option<(&Inner, MutexGuard<'_, State>)> {
        let inner = self.inner.as_deref()?;
        // A panic while holding the lock leaves sums that lack one group at worst, and looks make the rest anew.
        Some((inner, inner.state.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl BudgetSettings {
    /// Whether there is a budget by them.
    pub fn are_set(&self) -> bool {
        self.application.is_some() || self.namespace.is_some()
    }

    /// Whether they keep groups from being made.
    pub fn hold(&self) -> bool {
        self.are_set() && self.action != Action::Warn
    }

    fn of_application(&self) -> Option<Budget> {
        self.application.map(|limit| self.with_action(limit))
    }

    fn of_namespace(&self) -> Option<Budget> {
        self.namespace.map(|limit| self.with_action(limit))
    }

    fn with_action(&self, limit: Limit) -> Budget {
        Budget {
            limit,
            action: self.action,
        }
    }
}

impl State {
    fn take(&mut self, record: &CostRecord) {
        let Some(tariff) = record.tariff.clone() else { return };
        let spending = Spending {
            group: record.group.as_str().into(),
            from: record.billed.start.earliest(),
            to: record.billed.end.latest(),
            tariff,
            over: true,
        };
        self.book
            .ended(&spending, &scopes(&record.namespace, &record.application.id));
    }
}

/// The scopes of a pod: its application, and its namespace.
fn scopes(namespace: &str, application: &str) -> [Scope; 2] {
    let namespace: Arc<str> = namespace.into();
    let of = |application| Scope {
        namespace: namespace.clone(),
        application,
    };
    [of(Some(application.into())), of(None)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(limit: &str, action: Option<&str>) -> (Option<Budget>, Vec<String>) {
        of_annotations(
            |name| match name {
                annotations::BUDGET => Some(limit),
                annotations::BUDGET_ACTION => action,
                _ => None,
            },
            &BudgetSettings::default(),
        )
    }

    #[test]
    fn mistakes_in_annotations_are_named_with_the_forms_that_are_accepted() {
        let (budget, wrong) = read("12.50", Some("stop"));
        assert_eq!(
            budget.map(|b| (b.limit.to_string(), b.action)),
            Some(("12.5".to_owned(), Action::Stop))
        );
        assert!(wrong.is_empty());
        let (budget, wrong) = read("ten", Some("explode"));
        assert_eq!(budget, None);
        assert_eq!(wrong.len(), 2);
        assert!(
            wrong[0].contains("eci-budget-action") && wrong[0].contains("warn, hold or stop"),
            "{wrong:?}"
        );
        assert!(
            wrong[1].contains("eci-budget]") && wrong[1].contains("100/day"),
            "{wrong:?}"
        );
    }

    #[test]
    fn nobody_waits_without_a_budget_that_holds_and_everybody_does_before_it_is_counted() {
        let asking = |own| Asking {
            scope: scopes("a", "app")[0].clone(),
            own,
        };
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(Budgets::none().ask(&asking(None), now), Ok(()));
        let budgets = Budgets::new(BudgetSettings::default(), 1);
        assert_eq!(budgets.ask(&asking(None), now), Err(Wait::NotListed));
        budgets.namespaces_are(|_| true);
        assert_eq!(budgets.ask(&asking(None), now), Ok(()));
        let (warns, _) = read("1", None);
        assert_eq!(budgets.ask(&asking(warns), now), Ok(()));
        let (holds, _) = read("1", Some("hold"));
        let refused = budgets.ask(&asking(holds), now);
        assert_eq!(
            refused.map_err(|wait| wait.to_string()),
            Err("waits until what application app has cost on virtual nodes is counted".to_owned())
        );
    }
}
