//! What is kept of a container group's cost.

use jiff::Timestamp;
use provider::billing::{Charge, Tariff, Usage};
use provider::pricing::Currency;
use provider::sizes::Size;
use provider::units::{MiB, MilliCpu, NanoMoney};
use serde::{Deserialize, Serialize};

use crate::cost::application::{Application, Role};

/// Version of the layout; readers skip records of a newer one, and say so.
pub const VERSION: u32 = 1;

/// One container group, from its creation to its end. A pod whose group was made again has a record for each.
///
/// Amounts are whole 10⁻⁹ of the currency's unit, times are UTC.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CostRecord {
    /// [`VERSION`].
    pub version: u32,
    /// Id of the group: what makes a record one of its kind.
    pub group: String,
    /// Id of the cluster.
    pub cluster: String,
    /// Virtual node.
    pub node: String,
    /// Region.
    pub region: String,
    /// Zone; empty = not known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub zone: String,
    /// Namespace of the pod.
    pub namespace: String,
    /// Name of the pod.
    pub pod: String,
    /// UID of the pod.
    pub uid: String,
    /// Whose it is.
    pub application: Application,
    /// Its part in that.
    pub role: Role,
    /// Spark's number of the executor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executor: Option<String>,
    /// Number of the create attempt that made the group.
    #[serde(default)]
    pub attempt: u32,
    /// What the pod asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<RecordedSize>,
    /// What was bought: the next size that is sold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bought: Option<RecordedSize>,
    /// Instance type, where it was bought by that.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub instance_type: String,
    /// `economy`, where it is that.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub compute_category: String,
    /// Image cache that was used; empty = none is known of.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub image_cache: String,
    /// The agent knew that the group exists.
    pub created: Timestamp,
    /// From when to when it was billed.
    pub billed: Usage,
    /// Its first container ran: what was paid before went into pulling images and starting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Timestamp>,
    /// The agent knew that the group was gone, where it saw that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed: Option<Timestamp>,
    /// How its first container that failed, or its last, ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<Exit>,
    /// By which prices it is paid; none = its price is not known, and so is its charge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tariff: Option<Tariff>,
    /// Currency of the prices.
    pub currency: Currency,
    /// Where the prices are from.
    pub prices: PriceSource,
    /// What it costs. Of a price that is not known: nothing, and nobody knows how much.
    pub charge: Charge,
    /// Why the charge is a guess; empty = it is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub doubts: Vec<Doubt>,
}

/// Sizes as records have them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordedSize {
    /// vCPU, in thousandths.
    pub milli_cpu: u64,
    /// MiB.
    pub memory_mib: u64,
}

impl From<Size> for RecordedSize {
    fn from(size: Size) -> Self {
        Self {
            milli_cpu: size.cpu.0,
            memory_mib: size.memory.0,
        }
    }
}

impl From<RecordedSize> for Size {
    fn from(size: RecordedSize) -> Self {
        Self {
            cpu: MilliCpu(size.milli_cpu),
            memory: MiB(size.memory_mib),
        }
    }
}

/// How a container ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Exit {
    /// Exit code.
    pub code: i32,
    /// ECI's word.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// Where prices are from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PriceSource {
    /// The file that the agent was given.
    Table,
    /// `DescribeContainerGroupPrice`.
    Api,
    /// The list prices that this program knows.
    List,
}

/// Why a charge is a guess.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Doubt {
    /// The group was deleted while it ran: ECI tells no end of such a one, only that it is gone.
    DeletedWhileRunning,
    /// It was gone before anybody saw how it ended.
    EndNotSeen,
    /// The record was made right before the group was deleted, and no agent has told of its end since.
    EndForeseen,
    /// It was not seen to begin to be billed.
    StartNotSeen,
    /// A spot price of an hour in which no agent asked for it.
    SpotPriceNotAsked,
    /// Nothing says what its size or instance type costs.
    PriceNotKnown,
}

impl Doubt {
    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DeletedWhileRunning => "deleted while it ran: ECI does not say when such a group ended",
            Self::EndNotSeen => "gone before the agent saw how it ended",
            Self::EndForeseen => "told right before it was deleted, and no agent has told of its end since",
            Self::StartNotSeen => "the agent did not see when billing began",
            Self::SpotPriceNotAsked => "spot prices of hours in which no agent asked for them",
            Self::PriceNotKnown => "no price is known for its size or instance type",
        }
    }
}

impl CostRecord {
    /// What of the charge went into pulling images and starting, and what into running; together they are the charge.
    pub fn split(&self) -> Split {
        let Some(tariff) = &self.tariff else {
            return Split::default();
        };
        let (start, end) = self.billed.likely();
        // A group in which nothing ran was pulling all the time.
        let started = self.started.unwrap_or(end).clamp(start, end);
        Split {
            pulling: self.billed.part(tariff, start, started),
            pulling_seconds: started.as_second() - start.as_second(),
            running: self.billed.part(tariff, started, end),
            running_seconds: end.as_second() - started.as_second(),
        }
    }

    /// What the same time would have cost by the list price, without spot.
    pub fn list_amount(&self) -> NanoMoney {
        let list = self.tariff.as_ref().map(|tariff| Tariff::pay_as_you_go(tariff.list));
        list.map_or(NanoMoney::default(), |list| self.billed.charge(&list).amount)
    }

    /// What of the charge paid for more than the pod asked for: the charge less its share by list price of what was asked. None
    /// where a size or price is not known, or where it was bought by instance type.
    pub fn rounding(&self) -> Option<NanoMoney> {
        let (asked, bought) = (self.asked?, self.bought?);
        if !self.instance_type.is_empty() {
            return None;
        }
        let prices = provider::pricing::PriceList::by_currency(self.currency.as_str())?;
        let second = |size: RecordedSize| prices.cost(size.into(), 1_000_000).0;
        let (asked, bought) = (second(asked).min(second(bought)), second(bought));
        if bought == 0 {
            return None;
        }
        let used = self.charge.amount.0.saturating_mul(asked) / bought;
        Some(NanoMoney(self.charge.amount.0 - used))
    }

    /// Whether it was made before its group was deleted, so that another is to come.
    pub fn is_foreseen(&self) -> bool {
        self.doubts.contains(&Doubt::EndForeseen)
    }

    /// Which of two records of one group to believe: one of its end before one that foresees it; of its end the one that leaves
    /// less open; of those that foresee it the one that is good for longer, as the group was still there after the other; and
    /// of equals the later one.
    #[must_use]
    pub fn better_of(self, later: Self) -> Self {
        let foreseen = |record: &Self| record.is_foreseen().then(|| record.billed.end.latest());
        let open = |record: &Self| record.charge.most - record.charge.least;
        let self_is_better = match (foreseen(&self), foreseen(&later)) {
            (None, None) => open(&self) < open(&later),
            (Some(until), Some(later)) => until > later,
            (one, _) => one.is_none(),
        };
        if self_is_better { self } else { later }
    }
}

/// Two parts of a charge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Split {
    /// Before the first container ran.
    pub pulling: NanoMoney,
    /// Seconds of it.
    pub pulling_seconds: i64,
    /// From then on.
    pub running: NanoMoney,
    /// Seconds of it.
    pub running_seconds: i64,
}

#[cfg(test)]
pub(crate) mod tests {
    use provider::billing::{Moment, Rate};

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    /// A record of a group that was billed for a hundred seconds, twenty of them before it ran.
    pub(crate) fn record(group: &str) -> CostRecord {
        let asked = RecordedSize {
            milli_cpu: 1_000,
            memory_mib: 3_072,
        };
        let bought = RecordedSize {
            milli_cpu: 1_000,
            memory_mib: 4_096,
        };
        let list = provider::pricing::PriceList::CNY;
        let tariff = Tariff::pay_as_you_go(Rate::of_size(&list, bought.into()));
        let billed = Usage::exact(at("2026-01-01T00:00:00Z"), at("2026-01-01T00:01:40Z"));
        CostRecord {
            version: VERSION,
            group: group.to_owned(),
            cluster: "cluster".to_owned(),
            node: "virtual-kubelet".to_owned(),
            region: "cn-hangzhou".to_owned(),
            zone: "cn-hangzhou-h".to_owned(),
            namespace: "default".to_owned(),
            pod: format!("pod-of-{group}"),
            uid: format!("uid-of-{group}"),
            application: Application {
                id: "spark-1".to_owned(),
                name: "word-count".to_owned(),
                submission: String::new(),
            },
            role: Role::Executor,
            executor: Some("1".to_owned()),
            attempt: 0,
            asked: Some(asked),
            bought: Some(bought),
            instance_type: String::new(),
            compute_category: String::new(),
            image_cache: String::new(),
            created: at("2025-12-31T23:59:58Z"),
            billed,
            started: Some(at("2026-01-01T00:00:20Z")),
            removed: None,
            exit: Some(Exit {
                code: 0,
                reason: "Completed".to_owned(),
            }),
            charge: billed.charge(&tariff),
            tariff: Some(tariff),
            currency: Currency::Cny,
            prices: PriceSource::List,
            doubts: Vec::new(),
        }
    }

    #[test]
    fn the_layout_is_what_readers_of_other_versions_know() {
        let text = serde_json::to_string_pretty(&record("eci-1")).expect("writes");
        let golden = include_str!("testdata/record.json");
        assert_eq!(text.trim(), golden.trim());
        assert_eq!(
            serde_json::from_str::<CostRecord>(golden).expect("reads"),
            record("eci-1")
        );
    }

    #[test]
    fn the_split_adds_up() {
        let record = record("eci-1");
        let split = record.split();
        assert_eq!((split.pulling_seconds, split.running_seconds), (20, 80));
        assert_eq!(split.pulling + split.running, record.charge.amount);
        let mut never_ran = record.clone();
        never_ran.started = None;
        assert_eq!(never_ran.split().pulling, record.charge.amount);
    }

    #[test]
    fn rounding_is_what_was_bought_beyond_what_was_asked() {
        let record = record("eci-1");
        // 1 GiB of 1 vCPU / 4 GiB, for a hundred seconds.
        assert_eq!(record.rounding(), Some(NanoMoney(613_000)));
        let mut by_type = record.clone();
        by_type.instance_type = "ecs.c6.large".to_owned();
        assert_eq!(by_type.rounding(), None);
    }

    #[test]
    fn the_record_that_leaves_less_open_is_believed() {
        let (exact, mut guess) = (record("eci-1"), record("eci-1"));
        guess.charge.most += NanoMoney(1);
        assert_eq!(exact.clone().better_of(guess.clone()), exact);
        assert_eq!(guess.clone().better_of(exact.clone()), exact);
    }

    #[test]
    fn what_was_foreseen_is_believed_until_the_end_is_told() {
        let (mut told, mut foreseen) = (record("eci-1"), record("eci-1"));
        told.charge.most += NanoMoney(1_000_000);
        foreseen.doubts = vec![Doubt::EndForeseen];
        assert_eq!(foreseen.clone().better_of(told.clone()), told);
        assert_eq!(told.clone().better_of(foreseen.clone()), told);
        let mut again = foreseen.clone();
        again.billed.end = Moment::at(again.billed.end.latest() + jiff::SignedDuration::from_secs(60));
        assert_eq!(foreseen.clone().better_of(again.clone()), again, "it was still there");
        assert_eq!(again.clone().better_of(foreseen), again);
    }
}
