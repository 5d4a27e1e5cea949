//! What stands between a caller and an action, and can be steered: call rates, rights, and an account in arrears.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use jiff::Timestamp;

use crate::api::{
    error::ApiError,
    rates::{Meter, Rate},
    table::{ACTIONS, Action},
};

/// Actions that are refused while the account is in arrears: those that make something that is billed. ECI lists the error
/// for CreateContainerGroup and, oddly, DescribeImageCaches; for the others it is **unconfirmed**.
fn costs(action: &str) -> bool {
    action.starts_with("Create") || action.starts_with("Copy") || action == "DescribeImageCaches"
}

/// Lets calls pass, or not.
#[derive(Debug)]
pub(crate) struct Gate {
    meter: Meter,
    rules: RwLock<Rules>,
}

/// What is in force.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rules {
    /// Whether call rates are.
    pub(crate) rates: bool,
    /// Rates that are not the documented ones.
    pub(crate) own_rates: BTreeMap<&'static str, Rate>,
    /// Actions the caller has no right to.
    pub(crate) denied: BTreeSet<&'static str>,
    /// Whether the account is in arrears.
    pub(crate) arrears: bool,
}

impl Rules {
    /// How often an action may be called; none = as often as one likes.
    pub(crate) fn rate(&self, action: &Action) -> Option<Rate> {
        let rate = self.own_rates.get(action.name).copied().unwrap_or(action.rate);
        (self.rates && rate != Rate::Free).then_some(rate)
    }
}

impl Gate {
    pub(crate) fn new(rates: bool) -> Self {
        let rules = Rules {
            rates,
            ..Rules::default()
        };
        Self {
            meter: Meter::default(),
            rules: RwLock::new(rules),
        }
    }

    pub(crate) fn rules(&self) -> RwLockReadGuard<'_, Rules> {
        self.rules.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn rules_mut(&self) -> RwLockWriteGuard<'_, Rules> {
        self.rules.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a call and says whether it may pass. Rates come first, as a gateway's do: whoever has no right is throttled too.
    pub(crate) fn admit(&self, action: &'static Action, now: Timestamp) -> Result<(), ApiError> {
        let rules = self.rules();
        if rules
            .rate(action)
            .is_some_and(|rate| !self.meter.admit(action.name, rate, now))
        {
            return Err(ApiError::throttling());
        }
        if rules.denied.contains(action.name) {
            return Err(ApiError::no_right(action.name));
        }
        if rules.arrears && costs(action.name) {
            return Err(ApiError::arrearage());
        }
        Ok(())
    }

    /// Turns call rates on or off.
    pub(crate) fn set_rates(&self, on: bool) {
        self.rules_mut().rates = on;
        self.meter.clear();
    }

    /// Sets the rate of an action; none = the documented one.
    pub(crate) fn set_rate(&self, action: &'static Action, rate: Option<Rate>) {
        let mut rules = self.rules_mut();
        match rate {
            Some(rate) => drop(rules.own_rates.insert(action.name, rate)),
            None => drop(rules.own_rates.remove(action.name)),
        }
        drop(rules);
        self.meter.clear();
    }

    /// Takes the right to an action away, or gives it back.
    pub(crate) fn set_right(&self, action: &'static Action, may: bool) {
        let mut rules = self.rules_mut();
        match may {
            true => drop(rules.denied.remove(action.name)),
            false => drop(rules.denied.insert(action.name)),
        }
    }

    pub(crate) fn set_arrears(&self, arrears: bool) {
        self.rules_mut().arrears = arrears;
    }

    /// All rights, no arrears, documented rates, nothing used up; whether rates are in force stays.
    pub(crate) fn reset(&self) {
        let mut rules = self.rules_mut();
        *rules = Rules {
            rates: rules.rates,
            ..Rules::default()
        };
        drop(rules);
        self.meter.clear();
    }
}

/// The actions that a word means: one by its name, or `*` for all.
pub(crate) fn actions(word: &str) -> Vec<&'static Action> {
    match word {
        "*" => ACTIONS.iter().collect(),
        name => Action::find(name).into_iter().collect(),
    }
}
