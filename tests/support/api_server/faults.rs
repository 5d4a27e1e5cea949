//! What goes wrong with requests, counted or by chance of a seed.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::refusal::Refusal;

/// What happens to a request.
#[derive(Clone, Debug)]
pub enum Fault {
    /// It is refused, without effect.
    Refused(Refusal),
    /// Its connection is cut.
    Cut(When),
    /// It is answered late; it takes effect at once.
    Slow(Duration),
}

/// Where on its way a request is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Before it takes effect.
    Before,
    /// After it: only the answer is lost.
    After,
}

/// Requests that meet a fault.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Such as `patch pods/status`; empty = all but watches.
    pub what: &'static str,
    /// How many.
    pub times: u32,
    /// How many of 1,000 that fit are hit; the others are not counted.
    pub per_mille: u16,
    pub fault: Fault,
}

impl Plan {
    /// The next `times` requests of that kind.
    pub fn new(what: &'static str, times: u32, fault: Fault) -> Self {
        Self {
            what,
            times,
            per_mille: 1_000,
            fault,
        }
    }

    fn fits(&self, what: &str) -> bool {
        self.what == what || (self.what.is_empty() && !what.starts_with("watch "))
    }
}

/// All plans; of those that fit a request the oldest counts.
#[derive(Debug)]
pub struct Faults {
    chance: StdRng,
    plans: Vec<Plan>,
}

impl Faults {
    pub fn new(seed: u64) -> Self {
        Self {
            chance: StdRng::seed_from_u64(seed),
            plans: Vec::new(),
        }
    }

    pub fn add(&mut self, plan: Plan) {
        self.plans.push(plan);
    }

    pub fn clear(&mut self) {
        self.plans.clear();
    }

    /// The fault that a request meets.
    pub fn take(&mut self, what: &str) -> Option<Fault> {
        let at = self.plans.iter().position(|plan| {
            plan.fits(what) && (plan.per_mille >= 1_000 || self.chance.random_range(0..1_000) < plan.per_mille)
        })?;
        let plan = &mut self.plans[at];
        plan.times -= 1;
        let fault = plan.fault.clone();
        if plan.times == 0 {
            self.plans.remove(at);
        }
        Some(fault)
    }
}
