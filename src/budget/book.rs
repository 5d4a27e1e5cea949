//! (pure) The books: what each scope has spent, and which budgets are reached.
//!
//! What groups that are over have cost is kept as a sum for each scope and UTC day; what the others have cost so far is told
//! anew with every look. A group counts once, whichever way it is told.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use jiff::Timestamp;
use provider::billing::{Tariff, Usage};
use provider::units::NanoMoney;

use crate::budget::terms::{self, Budget};

/// For how many days sums are kept: a month and the one before.
const DAYS: i64 = 62;
/// From which part of a budget on its owner is warned: four fifths.
const NEAR: (i128, i128) = (4, 5);

/// What a budget is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope {
    /// A namespace.
    pub namespace: Arc<str>,
    /// One application in it; none = all of it.
    pub application: Option<Arc<str>>,
}

/// What a group is billed, to its end or to now.
#[derive(Clone, Debug)]
pub struct Spending {
    /// Its id.
    pub group: Arc<str>,
    /// Billing begins, at the earliest.
    pub from: Timestamp,
    /// It ends, at the latest, or now.
    pub to: Timestamp,
    /// By which prices.
    pub tariff: Tariff,
    /// It is over, and what is told of it is final.
    pub over: bool,
}

impl Spending {
    /// The most that falls between two moments.
    pub fn between(&self, from: Timestamp, to: Timestamp) -> NanoMoney {
        let (from, to) = (self.from.max(from), self.to.min(to));
        if from < to {
            Usage::exact(from, to).charge(&self.tariff).most
        } else {
            NanoMoney::default()
        }
    }
}

/// How far a budget is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Less than four fifths.
    #[default]
    Within,
    /// Four fifths.
    Near,
    /// All of it.
    Reached,
}

/// What may be done under a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// There is money left.
    Go,
    /// It is not known yet.
    NotCounted,
    /// All is spent.
    Reached,
}

/// A budget with what is spent of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// The budget.
    pub budget: Budget,
    /// The beginning of the period that is counted.
    pub since: Timestamp,
    /// What is spent of it since then; never goes down within a period.
    pub spent: NanoMoney,
    /// How far it is used.
    pub level: Level,
}

/// The books.
#[derive(Debug, Default)]
pub struct Book {
    /// Groups that are over and counted, with the day of their end.
    counted: HashMap<u64, i64>,
    ended: HashMap<Scope, BTreeMap<i64, NanoMoney>>,
    states: HashMap<Scope, State>,
    trimmed: i64,
}

impl Book {
    /// A group of these scopes is over.
    pub fn ended(&mut self, spending: &Spending, scopes: &[Scope; 2]) {
        let last = terms::day(spending.to);
        if self.counted.insert(hash(&spending.group), last).is_some() {
            return;
        }
        for day in terms::day(spending.from)..=last {
            let part = spending.between(terms::begin(day), terms::begin(day + 1));
            for scope in scopes {
                *self.ended.entry(scope.clone()).or_default().entry(day).or_default() += part;
            }
        }
    }

    /// Takes in which budgets there are and what the groups that are here have been billed; tells which budgets were crossed.
    pub fn look(
        &mut self,
        now: Timestamp,
        budgets: &HashMap<Scope, Budget>,
        here: &[(Spending, [Scope; 2])],
    ) -> Vec<(Scope, State)> {
        self.trim(now, budgets);
        // A record that was made before anybody counted, and is not written yet, is known by its pod alone.
        for (spending, scopes) in here.iter().filter(|(spending, _)| spending.over) {
            self.ended(spending, scopes);
        }
        let mut running: HashMap<&Scope, NanoMoney> = HashMap::new();
        // What ended so long ago is in the sums, or nowhere any more.
        let oldest = terms::begin(terms::day(now) - DAYS);
        let open = here
            .iter()
            .filter(|(s, _)| s.to >= oldest && !self.counted.contains_key(&hash(&s.group)));
        for (spending, scopes) in open {
            for scope in scopes {
                if let Some(budget) = budgets.get(scope) {
                    let since = budget.limit.period.first(now);
                    *running.entry(scope).or_default() += spending.between(since, Timestamp::MAX);
                }
            }
        }
        let mut crossed = Vec::new();
        let mut states = HashMap::with_capacity(budgets.len());
        for (scope, budget) in budgets {
            let since = budget.limit.period.first(now);
            let over = self
                .ended
                .get(scope)
                .into_iter()
                .flat_map(|days| days.range(terms::day(since)..));
            let mut spent: NanoMoney = over.map(|(_, amount)| *amount).sum();
            spent += running.get(scope).copied().unwrap_or_default();
            let before = self.states.get(scope).filter(|state| state.since == since);
            spent = spent.max(before.map(|state| state.spent).unwrap_or_default());
            let state = State {
                budget: *budget,
                since,
                spent,
                level: level(spent, budget.limit.amount),
            };
            let news = state.level
                > before
                    .filter(|b| b.budget == *budget)
                    .map(|b| b.level)
                    .unwrap_or_default();
            if news {
                crossed.push((scope.clone(), state));
            }
            states.insert(scope.clone(), state);
        }
        self.states = states;
        crossed.sort_by(|(a, _), (b, _)| a.cmp(b));
        crossed
    }

    /// Whether there is money left of the budget of `scope`.
    pub fn ask(&self, scope: &Scope, budget: &Budget, now: Timestamp) -> Answer {
        match self.states.get(scope) {
            Some(state) if state.since == budget.limit.period.first(now) => {
                if state.spent >= budget.limit.amount {
                    Answer::Reached
                } else {
                    Answer::Go
                }
            }
            _ => Answer::NotCounted,
        }
    }

    /// All budgets.
    pub fn states(&self) -> impl Iterator<Item = (&Scope, &State)> {
        self.states.iter()
    }

    /// Once a day: what no period needs any more goes, and so do the applications that are over.
    fn trim(&mut self, now: Timestamp, budgets: &HashMap<Scope, Budget>) {
        let today = terms::day(now);
        if std::mem::replace(&mut self.trimmed, today) == today {
            return;
        }
        let oldest = today - DAYS;
        self.counted.retain(|_, day| *day >= oldest);
        self.ended.retain(|scope, days| {
            // An application that is still there keeps its whole sum.
            budgets.contains_key(scope) || days.last_key_value().is_some_and(|(day, _)| *day >= oldest)
        });
    }
}

fn level(spent: NanoMoney, amount: NanoMoney) -> Level {
    let (part, whole) = NEAR;
    if spent >= amount {
        Level::Reached
    } else if spent.0.saturating_mul(whole) >= amount.0.saturating_mul(part) {
        Level::Near
    } else {
        Level::Within
    }
}

fn hash(group: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    group.hash(&mut hasher);
    hasher.finish()
}
