//! How often each followed log may be read, so that all of them together stay within ECI's limit.
//!
//! A log says how often it would like to be read ([`Pace`]); what all of them would like is compared with what there is. Logs
//! that have just brought lines come first, but a fifth of the calls is kept for the others, so that a log that was quiet for long
//! is noticed when it speaks again: of `n` quiet logs each is read every `0.75 n` seconds at the latest.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Of the calls that are allowed, the part that followers may use; the rest is for requests without follow, and for exec,
/// should ECI count both together.
const OUR_SHARE: f64 = 0.8;
/// The part of that which is kept for logs that have brought nothing lately.
const PATIENT_SHARE: f64 = 0.2;

/// How often a log is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// It brings lines: so often, before the others.
    Eager(Duration),
    /// It does not: so often, if there are calls left.
    Patient(Duration),
}

impl Pace {
    /// Calls it would like, in thousandths a minute.
    fn demand(self) -> u64 {
        let (Self::Eager(pause) | Self::Patient(pause)) = self;
        let milliseconds = pause.as_millis().max(1);
        u64::try_from(60_000_000 / milliseconds).unwrap_or(u64::MAX)
    }
}

/// Shares the calls for following logs among all logs that this process follows.
#[derive(Clone, Debug)]
pub struct LogBudget {
    shared: Arc<Mutex<Demand>>,
    /// Calls a minute; `None` = no limit.
    per_minute: Option<f64>,
    /// In tests, the pause whatever the pace.
    #[cfg(test)]
    always: Option<Duration>,
}

/// What the logs would like together, in thousandths of calls a minute.
#[derive(Debug, Default)]
struct Demand {
    eager: u64,
    patient: u64,
}

impl Demand {
    fn of(&mut self, pace: Pace) -> &mut u64 {
        match pace {
            Pace::Eager(_) => &mut self.eager,
            Pace::Patient(_) => &mut self.patient,
        }
    }

    fn add(&mut self, pace: Pace) {
        let sum = self.of(pace);
        *sum = sum.saturating_add(pace.demand());
    }

    fn remove(&mut self, pace: Pace) {
        let sum = self.of(pace);
        *sum = sum.saturating_sub(pace.demand());
    }
}

/// A log's place in the budget; it ends when dropped.
#[derive(Debug)]
pub(super) struct Share {
    budget: LogBudget,
    pace: Pace,
}

impl LogBudget {
    /// A budget within so many calls a minute of the account, or none at all.
    pub fn new(allowed_per_minute: Option<u32>) -> Self {
        Self {
            shared: Arc::default(),
            per_minute: allowed_per_minute.map(|calls| f64::from(calls.max(1)) * OUR_SHARE),
            #[cfg(test)]
            always: None,
        }
    }

    /// A budget that lets tests run fast.
    #[cfg(test)]
    pub(crate) fn hasty() -> Self {
        Self {
            always: Some(Duration::from_millis(1)),
            ..Self::new(None)
        }
    }

    /// Adds a log.
    pub(super) fn join(&self, pace: Pace) -> Share {
        self.lock().add(pace);
        Share {
            budget: self.clone(),
            pace,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Demand> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Share {
    /// The pause before this log is read next, given how often it would like to be. The pauses of all logs are such that
    /// their calls together stay within the budget.
    pub(super) fn pause(&mut self, pace: Pace) -> Duration {
        #[cfg(test)]
        if let Some(always) = self.budget.always {
            return always;
        }
        let mut demand = self.budget.lock();
        demand.remove(self.pace);
        demand.add(pace);
        self.pace = pace;
        let (Pace::Eager(wish) | Pace::Patient(wish)) = pace;
        let Some(all) = self.budget.per_minute else {
            return wish;
        };
        let (eager, patient) = (demand.eager as f64 / 1000.0, demand.patient as f64 / 1000.0);
        let for_eager = all - patient.min(all * PATIENT_SHARE);
        let (wanted, granted) = match pace {
            Pace::Eager(_) => (eager, for_eager),
            Pace::Patient(_) => (patient, all - eager.min(for_eager)),
        };
        wish.mul_f64((wanted / granted).max(1.0))
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.lock().remove(self.pace);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EAGER: Pace = Pace::Eager(Duration::from_millis(500));
    const PATIENT: Pace = Pace::Patient(Duration::from_secs(2));

    /// Calls a minute of `logs` when each pauses as told.
    fn calls(logs: &mut [(Share, Pace)]) -> f64 {
        // Twice, because the first to ask does not know yet what the others will be.
        for (share, pace) in logs.iter_mut() {
            share.pause(*pace);
        }
        logs.iter_mut()
            .map(|(share, pace)| 60.0 / share.pause(*pace).as_secs_f64())
            .sum()
    }

    fn logs(budget: &LogBudget, eager: usize, patient: usize) -> Vec<(Share, Pace)> {
        let paces = std::iter::repeat_n(EAGER, eager).chain(std::iter::repeat_n(PATIENT, patient));
        paces.map(|pace| (budget.join(pace), pace)).collect()
    }

    #[test]
    fn few_logs_are_read_as_often_as_they_like() {
        let budget = LogBudget::new(Some(500));
        let mut share = budget.join(EAGER);
        assert_eq!(share.pause(EAGER), Duration::from_millis(500));
        assert_eq!(share.pause(PATIENT), Duration::from_secs(2));
    }

    #[test]
    fn many_logs_stay_within_the_budget_and_quiet_ones_wait() {
        for (eager, patient) in [(50, 450), (0, 500), (500, 0), (1, 20), (3, 2_000), (2_000, 3)] {
            let budget = LogBudget::new(Some(500));
            let mut logs = logs(&budget, eager, patient);
            let sum = calls(&mut logs);
            assert!(sum <= 400.001, "{eager} {patient}: {sum}");
            for (share, pace) in logs.iter_mut().filter(|(_, pace)| *pace == PATIENT) {
                let bound = Duration::from_secs_f64(0.751 * patient as f64).max(Duration::from_secs(2));
                let pause = share.pause(*pace);
                assert!(pause <= bound, "{eager} {patient}: {pause:?}");
            }
        }
    }

    #[test]
    fn what_the_eager_leave_is_for_the_patient() {
        let budget = LogBudget::new(Some(500));
        let mut logs = logs(&budget, 1, 20);
        calls(&mut logs);
        assert_eq!(logs[0].0.pause(EAGER), Duration::from_millis(500));
        let patient = logs[1].0.pause(PATIENT);
        assert!(
            patient < Duration::from_secs(5),
            "280 calls a minute for 20: {patient:?}"
        );
        logs.truncate(1);
        assert_eq!(
            logs[0].0.pause(PATIENT),
            Duration::from_secs(2),
            "ended logs no longer count"
        );
    }

    #[test]
    fn equal_logs_are_read_equally_often() {
        let budget = LogBudget::new(Some(500));
        let mut logs = logs(&budget, 200, 0);
        calls(&mut logs);
        let pauses: Vec<Duration> = logs.iter_mut().map(|(share, pace)| share.pause(*pace)).collect();
        assert!(pauses.iter().all(|pause| *pause == pauses[0]), "{pauses:?}");
    }
}
