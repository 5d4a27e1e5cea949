//! What can be bought where: stock by zone and instance type, the zones of vSwitches and their free addresses, and where a
//! group goes. Nothing is short until steering says so.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Most zones, instance types and vSwitches that steering may name.
const MAX_STEERED: usize = 1_000;

/// When a caller learns that there is no stock. ECI does it either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Told {
    /// In the call: `OperationDenied.NoStock`.
    #[default]
    Call,
    /// After it: the group becomes ScheduleFailed.
    Later,
}

/// How much of something there is from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "Amount")]
pub enum Supply {
    /// As much as anybody wants.
    Enough,
    /// So many thousandths of a vCPU more than live groups have.
    More(u64),
    /// Nothing: what spot groups have is wanted back, too.
    None,
}

/// A supply as it is written.
#[derive(Deserialize)]
#[serde(untagged)]
enum Amount {
    MilliCpu(u64),
    Word(Word),
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Word {
    Enough,
    None,
}

impl From<Amount> for Supply {
    fn from(amount: Amount) -> Self {
        match amount {
            Amount::MilliCpu(left) => Self::More(left),
            Amount::Word(Word::Enough) => Self::Enough,
            Amount::Word(Word::None) => Self::None,
        }
    }
}

/// How much there is of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// vCPU in thousandths that live groups may have in all: what they had when it was set, and what was left then.
    pub milli_cpu: u64,
    /// When callers learn that nothing is left.
    pub told: Told,
}

/// What steering knows of a vSwitch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VSwitch {
    /// Its zone; none = any zone that is asked for, otherwise the first.
    pub zone: Option<String>,
    /// How many groups may be in it; none = enough.
    pub addresses: Option<u64>,
}

/// Stock and vSwitches as they are steered.
#[derive(Debug, Default)]
pub struct Stock {
    levels: BTreeMap<(String, Option<String>), Level>,
    vswitches: BTreeMap<String, VSwitch>,
}

/// Where a group may go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wishes {
    /// The vSwitches, in the order they are tried; the group's own first one if empty.
    pub vswitch_ids: Vec<String>,
    /// Whether they are tried in random order (`VSwitchRandom`).
    pub random: bool,
    /// The zone the caller asked for; none = that of the vSwitch, otherwise the first.
    pub zone_id: Option<String>,
}

/// Why a group goes nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nowhere {
    /// The vSwitch is in another zone than the one asked for.
    ZoneMismatch,
    /// The vSwitch has no address left.
    NoAddress,
    /// The zone has no stock.
    NoStock,
    /// The spot price is above the caller's limit.
    PriceTooHigh,
}

impl Stock {
    /// Whether nothing is steered: then every place will do.
    pub fn is_plain(&self) -> bool {
        self.levels.is_empty() && self.vswitches.is_empty()
    }

    /// Sets what a zone has of an instance type, or of everything; none = enough. False = too much is steered already.
    pub fn set_level(&mut self, zone: &str, instance_type: Option<&str>, level: Option<Level>) -> bool {
        let key = (zone.to_owned(), instance_type.map(str::to_owned));
        match level {
            None => {
                self.levels.remove(&key);
                true
            }
            Some(_) if self.levels.len() >= MAX_STEERED && !self.levels.contains_key(&key) => false,
            Some(level) => {
                self.levels.insert(key, level);
                true
            }
        }
    }

    /// The levels that concern an instance type (or sizes by vCPU and memory) in a zone.
    pub fn levels<'a>(
        &'a self,
        zone: &'a str,
        instance_type: Option<&'a str>,
    ) -> impl Iterator<Item = (Option<&'a str>, Level)> {
        let concerns =
            move |of: &str, kind: Option<&str>| of == zone && kind.is_none_or(|kind| instance_type == Some(kind));
        let levels = self.levels.iter();
        levels.filter_map(move |((of, kind), level)| concerns(of, kind.as_deref()).then_some((kind.as_deref(), *level)))
    }

    /// All levels: zone, instance type, level.
    pub fn all_levels(&self) -> impl Iterator<Item = (&str, Option<&str>, Level)> {
        let levels = self.levels.iter();
        levels.map(|((zone, kind), level)| (zone.as_str(), kind.as_deref(), *level))
    }

    /// Says where a vSwitch is and how many groups it takes. False = too much is steered already.
    pub fn set_vswitch(&mut self, id: &str, vswitch: VSwitch) -> bool {
        if self.vswitches.len() >= MAX_STEERED && !self.vswitches.contains_key(id) {
            return false;
        }
        self.vswitches.insert(id.to_owned(), vswitch);
        true
    }

    /// What is known of a vSwitch.
    pub fn vswitch(&self, id: &str) -> Option<&VSwitch> {
        self.vswitches.get(id)
    }

    /// All vSwitches that are steered.
    pub fn vswitches(&self) -> impl Iterator<Item = (&str, &VSwitch)> {
        self.vswitches.iter().map(|(id, vswitch)| (id.as_str(), vswitch))
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.levels.clear();
        self.vswitches.clear();
    }
}
