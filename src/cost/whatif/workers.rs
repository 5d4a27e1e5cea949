//! (pure) The same pods on workers that are bought for them.

use provider::pricing::PriceList;
use provider::sizes::{self, Size};
use provider::units::{MiB, MilliCpu};

use crate::cost::record::CostRecord;

/// A kind of worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerType {
    /// Name of the instance type.
    pub name: String,
    /// What it has.
    pub size: Size,
    /// Nano of the currency's unit for an hour.
    pub per_hour: i128,
    /// Whether somebody said so; else it is what ECI's list says of that size.
    pub is_given: bool,
}

/// Types that are shown where none is asked for.
pub(super) const USUAL: [&str; 3] = ["ecs.c7.xlarge", "ecs.g7.xlarge", "ecs.g7.2xlarge"];

impl WorkerType {
    /// The type called `name`; none where its name does not say what it has.
    pub fn named(name: &str, per_hour: Option<i128>, prices: &PriceList) -> Option<Self> {
        let size = sizes::of_instance_type(name)?;
        Some(Self {
            name: name.to_owned(),
            size,
            per_hour: per_hour.unwrap_or_else(|| prices.cost(size, 3_600).0),
            is_given: per_hour.is_some(),
        })
    }

    /// What is left of it for pods: the system and kubelet keep something.
    fn room(&self) -> (u64, u64) {
        let memory = self.size.memory.0;
        (
            self.size.cpu.0.saturating_sub(100),
            memory.saturating_sub((memory / 10).max(512)),
        )
    }

    /// How many of them hold `pods` at once, put in one after the other, the largest first; none where one of them is too large.
    fn count(&self, pods: &[(u64, u64)]) -> Option<usize> {
        let room = self.room();
        let mut pods = pods.to_vec();
        pods.sort_unstable_by(|a, b| b.cmp(a));
        let mut left: Vec<(u64, u64)> = Vec::new();
        for (cpu, memory) in pods {
            if cpu > room.0 || memory > room.1 {
                return None;
            }
            match left.iter_mut().find(|free| free.0 >= cpu && free.1 >= memory) {
                Some(free) => *free = (free.0 - cpu, free.1 - memory),
                None => left.push((room.0 - cpu, room.1 - memory)),
            }
        }
        Some(left.len())
    }

    /// How many of them, and what they cost for `millis`.
    pub(super) fn bill(&self, records: &[&CostRecord], millis: i64) -> Option<(usize, i128)> {
        let count = self.count(&at_most(records))?;
        let hour = self.per_hour.saturating_mul(i128::try_from(count).unwrap_or(i128::MAX));
        Some((count, super::baseline::proportion(hour, millis, 3_600_000)))
    }
}

/// What the pods ask for that ran together when most vCPU were asked for.
fn at_most(records: &[&CostRecord]) -> Vec<(u64, u64)> {
    let asked = |record: &CostRecord| {
        let size = record.asked.or(record.bought).map_or(sizes::DEFAULT, Into::into);
        let Size {
            cpu: MilliCpu(cpu),
            memory: MiB(memory),
        } = size;
        (cpu, memory)
    };
    let mut changes: Vec<(i64, bool, u64)> = Vec::new();
    for record in records {
        let (from, to) = record.billed.likely();
        if from < to {
            changes.push((from.as_second(), true, asked(record).0));
            changes.push((to.as_second(), false, asked(record).0));
        }
    }
    changes.sort_unstable();
    let (mut now, mut most, mut when) = (0_u64, 0_u64, 0_i64);
    for (at, begins, cpu) in changes {
        now = if begins {
            now.saturating_add(cpu)
        } else {
            now.saturating_sub(cpu)
        };
        if now > most {
            (most, when) = (now, at);
        }
    }
    let there = |record: &&&CostRecord| {
        let (from, to) = record.billed.likely();
        from.as_second() <= when && when < to.as_second()
    };
    records.iter().filter(there).map(|record| asked(record)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_are_packed() {
        let worker = WorkerType::named("ecs.g7.xlarge", Some(1_000_000_000), &PriceList::CNY).expect("known");
        // 3.9 vCPU and 14.4 GiB are left.
        assert_eq!(worker.room(), (3_900, 14_746));
        assert_eq!(worker.count(&[(1_000, 4_096); 3]), Some(1));
        assert_eq!(worker.count(&[(1_000, 4_096); 4]), Some(2));
        assert_eq!(worker.count(&[(4_000, 4_096)]), None);
        assert_eq!(worker.count(&[]), Some(0));
        assert!(WorkerType::named("ecs.gn7.huge", None, &PriceList::CNY).is_none());
    }
}
