//! What the market does to groups: where they go, what spot groups wait for and when they are taken back.

use std::{net::IpAddr, time::Duration};

use jiff::{SignedDuration, Timestamp};
use rand::seq::SliceRandom;

use super::{State, Timer};
use crate::{
    domain::{
        events::{Detail, Source},
        group::Group,
        lifecycle::{Event, Status},
        price::Tariff,
        spot,
        stock::{Level, Nowhere, Supply, Told, VSwitch},
    },
    runtime::Runtime,
    spec::{GroupId, GroupSpec},
    timers::after,
};

/// Price and stock are looked at this often once the protection is over.
const CHECK_EVERY: SignedDuration = SignedDuration::from_mins(5);
/// From the notice to the release.
const NOTICE: Duration = Duration::from_secs(3 * 60);
/// Checks that a jump in time left out are made up for, but only so many (a year).
const MAX_CHECKS: i64 = 365 * 24 * 12;
/// When a group learns that nothing was found, where the call did not say so.
const SEARCHED_FOR: Duration = Duration::from_secs(1);

/// When a spot group's protection ends.
pub(super) fn end_of_protection(spec: &GroupSpec, created_at: Timestamp) -> Timestamp {
    let hours = i64::try_from(spec.protected_hours())
        .unwrap_or(i64::MAX / 3_600)
        .min(1_000_000);
    let checks = created_at.saturating_add(SignedDuration::from_hours(hours));
    checks.unwrap_or(Timestamp::MAX)
}

impl State {
    /// Finds a place for a group and writes it into its spec.
    ///
    /// # Errors
    /// Why the first vSwitch that was tried does not do, when none does.
    pub fn place(&mut self, spec: &mut GroupSpec, now: Timestamp) -> Result<Told, Nowhere> {
        if self.stock.is_plain() && !spec.is_spot() {
            return Ok(Told::Call);
        }
        let mut vswitches = spec.wishes.vswitch_ids.clone();
        if vswitches.is_empty() {
            vswitches.push(spec.vswitch_id.clone());
        }
        if spec.wishes.random {
            vswitches.shuffle(&mut self.places);
        }
        let mut first = None;
        for vswitch in vswitches {
            match self.place_in(spec, &vswitch, now) {
                Ok((zone, told)) => {
                    spec.zone_id = zone;
                    spec.vswitch_id = vswitch;
                    return Ok(told);
                }
                Err(nowhere) => {
                    first.get_or_insert(nowhere);
                }
            }
        }
        Err(first.unwrap_or(Nowhere::NoStock))
    }

    fn place_in(&self, spec: &GroupSpec, vswitch: &str, now: Timestamp) -> Result<(String, Told), Nowhere> {
        let known = self.stock.vswitch(vswitch);
        let wish = spec.wishes.zone_id.as_ref();
        let zone = match (known.and_then(|v| v.zone.as_ref()), wish) {
            (Some(zone), Some(wish)) if zone != wish => return Err(Nowhere::ZoneMismatch),
            (Some(zone), _) | (None, Some(zone)) => zone.clone(),
            (None, None) => spec.zone_id.clone(),
        };
        if let Some(VSwitch {
            addresses: Some(addresses),
            ..
        }) = known
        {
            let taken = self.live().filter(|g| g.spec.vswitch_id == vswitch).count();
            if taken as u64 >= *addresses {
                return Err(Nowhere::NoAddress);
            }
        }
        if let Some(limit) = spec.price_limit_nano()
            && self
                .ledger
                .market
                .tariff_nano_per_hour(Tariff::of(spec), &zone, spec.size, now)
                > limit
        {
            return Err(Nowhere::PriceTooHigh);
        }
        match self.short_of_stock(spec, &zone, spec.size.milli_cpu) {
            Some(Told::Call) => Err(Nowhere::NoStock),
            Some(Told::Later) => Ok((zone, Told::Later)),
            None => Ok((zone, Told::Call)),
        }
    }

    /// Whether a zone has not so much more for a group like this, and when callers learn of it.
    fn short_of_stock(&self, spec: &GroupSpec, zone: &str, more: u64) -> Option<Told> {
        let kind = spec.instance_type.as_deref();
        let mut levels = self.stock.levels(zone, kind);
        let short = levels.find(|(of, level)| self.used_of(zone, *of) + more > level.milli_cpu);
        short.map(|(_, level)| level.told)
    }

    /// Sets how much a zone has of one instance type or of everything. False = too much is steered.
    pub fn set_stock(&mut self, zone: &str, instance_type: Option<&str>, supply: Supply, told: Told) -> bool {
        let milli_cpu = match supply {
            Supply::Enough => None,
            Supply::More(left) => Some(self.used_of(zone, instance_type).saturating_add(left)),
            Supply::None => Some(0),
        };
        let level = milli_cpu.map(|milli_cpu| Level { milli_cpu, told });
        self.stock.set_level(zone, instance_type, level)
    }

    /// What a zone has left; none = enough.
    pub fn stock_left(&self, zone: &str, instance_type: Option<&str>) -> Option<u64> {
        let levels = self.stock.levels(zone, instance_type);
        let left = levels.map(|(of, level)| level.milli_cpu.saturating_sub(self.used_of(zone, of)));
        left.min()
    }

    fn used_of(&self, zone: &str, instance_type: Option<&str>) -> u64 {
        let here = self.live().filter(|g| g.spec.zone_id == zone);
        let of_kind = here.filter(|g| instance_type.is_none_or(|kind| g.spec.instance_type.as_deref() == Some(kind)));
        of_kind.map(|g| g.spec.size.milli_cpu).sum()
    }

    /// Whether a live group has this address, or will have it.
    pub fn has_address(&self, ip: IpAddr) -> bool {
        let mut live = self.live();
        live.any(|g| g.ip == Some(ip) || g.spec.network.private_ip.map(IpAddr::V4) == Some(ip))
    }

    fn live(&self) -> impl Iterator<Item = &Group> {
        self.groups.values().filter(|g| !g.status.is_final())
    }

    /// Lets a group that was just added learn after a while that nothing was found for it.
    pub fn search_in_vain(&mut self, id: &GroupId, now: Timestamp) {
        self.timers.add(after(now, SEARCHED_FOR), Timer::NoStock(id.clone()));
    }

    pub(super) fn find_no_stock(&mut self, id: &GroupId, now: Timestamp, runtime: &dyn Runtime) {
        self.with(id, |group| {
            let message = format!("The requested resource is out of stock in zone {}", group.spec.zone_id);
            let text = Detail::Text(message.as_str().into());
            group.events.add(Source::Service, true, "NoStock", text, now);
            group.failure = Some(("NoStock".to_owned(), message));
        });
        self.step(id, Event::LaunchFailed, now, runtime);
    }

    /// Looks whether a spot group can stay: at `due`, and at every check that a jump in time left out since.
    pub(super) fn check_spot(&mut self, id: &GroupId, due: Timestamp, now: Timestamp) {
        let Some(group) = self.groups.get(id) else { return };
        if group.status.is_final() || group.status == Status::Terminating || group.release_at.is_some() {
            return;
        }
        let (spec, limit) = (group.spec.clone(), group.spec.price_limit_nano());
        // Its own vCPU are among those used.
        let short = self.short_of_stock(&spec, &spec.zone_id, 0).is_some();
        let tariff = Tariff::of(&spec);
        let mut at = due;
        for _ in 0..MAX_CHECKS {
            let price = self
                .ledger
                .market
                .tariff_nano_per_hour(tariff, &spec.zone_id, spec.size, at);
            if short || limit.is_some_and(|limit| price > limit) {
                return self.announce_release(id, at, NOTICE);
            }
            at = at.saturating_add(CHECK_EVERY).unwrap_or(Timestamp::MAX);
            if at > now {
                break;
            }
        }
        let next = at.max(now);
        self.timers.add(next, Timer::SpotCheck(id.clone(), next));
    }

    /// Announces that a group is taken back and does it after the notice; false = there is no such live group.
    pub fn reclaim(&mut self, id: &str, notice: Duration, now: Timestamp, runtime: &dyn Runtime) -> bool {
        let Some(group) = self.groups.get(id).filter(|g| !g.status.is_final()) else {
            return false;
        };
        let id = group.id.clone();
        if notice.is_zero() {
            self.release(&id, now, runtime);
        } else {
            self.announce_release(&id, now, notice);
        }
        true
    }

    fn announce_release(&mut self, id: &GroupId, at: Timestamp, notice: Duration) {
        let due = after(at, notice);
        self.with(id, |group| {
            let when = match (notice.as_secs() / 60, notice.as_secs() % 60) {
                (minutes, 0) => format!("{minutes} minutes"),
                _ => format!("{} seconds", notice.as_secs()),
            };
            let text = Detail::Text(format!("Spot ECI will be released in {when}").into());
            group.events.add(Source::Service, true, "SpotToBeReleased", text, at);
            group.release_at = Some(due);
        });
        self.touch(id, at);
        self.timers.add(due, Timer::SpotRelease(id.clone(), due));
    }

    pub(super) fn release(&mut self, id: &GroupId, at: Timestamp, runtime: &dyn Runtime) {
        let live = |g: &Group| !g.status.is_final() && g.status != Status::Terminating;
        if !self.groups.get(id).is_some_and(live) {
            return;
        }
        self.with(id, |group| {
            let message = "Spot ECI was released";
            let text = Detail::Text(message.into());
            group.events.add(Source::Service, true, "SpotReleased", text, at);
            group.failure = Some(("BidFailed".to_owned(), message.to_owned()));
        });
        self.step(id, Event::Reclaimed, at, runtime);
    }
}

impl GroupSpec {
    /// Whether it is bought on the spot market.
    pub fn is_spot(&self) -> bool {
        !matches!(self.spot_strategy.as_str(), "" | "NoSpot")
    }

    /// For how many hours a spot group is left alone.
    pub fn protected_hours(&self) -> u64 {
        self.spot_duration.unwrap_or(1)
    }

    /// The most it pays per hour, in 10⁻⁹ of the currency unit; none = whatever is asked.
    fn price_limit_nano(&self) -> Option<u64> {
        let limit = self.spot_price_limit.as_deref().and_then(spot::limit_nano);
        limit.filter(|_| self.spot_strategy == "SpotWithPriceLimit")
    }
}
