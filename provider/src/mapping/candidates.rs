//! The ways to buy one pod's group, in the order in which they are tried.
//!
//! ECI itself looks through the vSwitches of a call (in order, or at random), so a candidate has all of them, up to the ten
//! that a call takes. What a call cannot carry is a choice of sizes, of spot and pay-as-you-go, or of zones that are not the
//! node's own: each is a candidate of its own. And a call that is accepted is bound to the vSwitch that ECI chose, though the
//! group may get no resources there: so each candidate has turns, which begin with one vSwitch after the other.
//!
//! Nothing here remembers what was tried; a caller keeps an index and asks [`super::map_candidate`] for it.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::annotated::{Annotated, field, split};
use super::options::LifeOptions;
use super::quantity;
use super::rejection::Findings;
use super::zones::Ties;
use super::{Settings, annotations as ours};
use crate::request::ScheduleStrategy;
use crate::sizes::{self, Size};

/// vSwitches that one call takes.
const VSWITCHES_PER_CALL: usize = 10;
/// Sizes that a pod may name.
const MAX_SPECS: usize = 5;

/// One way to buy a pod's group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The vSwitches, in order of preference; empty = the account's default one.
    pub vswitch_ids: Vec<String>,
    /// In which order ECI tries them.
    pub schedule_strategy: ScheduleStrategy,
    /// Their zone; empty = not known.
    pub zone_id: String,
    /// Whether that is another zone than the node's.
    pub is_elsewhere: bool,
    /// Which turn of the same vSwitches it is, from 0.
    pub turn: usize,
    /// What size is bought.
    pub spec: Spec,
    /// Whether it is a spot group.
    pub spot: bool,
    /// Whether it is pay-as-you-go although the pod asks for spot: it allows that when there is no spot stock.
    pub spot_degraded: bool,
}

/// What size is bought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spec {
    /// The cheapest pair that holds what the containers ask for.
    Containers,
    /// The cheapest pair that holds this, whatever the containers ask for.
    Pair(Size),
    /// An ECS instance type, such as `ecs.c6.xlarge`.
    InstanceType(String),
}

impl fmt::Display for Candidate {
    /// Where it is, for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let vswitches = self.vswitch_ids.join(", ");
        match (self.zone_id.as_str(), vswitches.as_str()) {
            ("", "") => f.write_str("the account's default vSwitch"),
            ("", vswitches) => f.write_str(vswitches),
            (zone, "") => write!(f, "zone {zone}"),
            (zone, vswitches) => write!(f, "zone {zone} ({vswitches})"),
        }
    }
}

/// All ways to buy a pod's group, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidates {
    /// One by one, never none. Those that differ in their turn alone follow each other, and there are as many turns of each.
    pub list: Vec<Candidate>,
    /// How many turns each has: after a call that was refused, all of its vSwitches were tried, and what is left of its turns is
    /// of no use; after a group that got no resources, the next turn is the next one to try.
    pub turns: usize,
    /// In how many places (calls to vSwitches of one zone) each size is tried, one after the other: what has nothing to do with a
    /// place, such as the account's quota, need not be asked of each.
    pub places: usize,
}

/// The candidates of a pod with these annotations and ties: for each size in the pod's order, for each ten vSwitches of the node and
/// then for each other zone that the pod may run in, a spot group if the pod asks for one; then the same again as pay-as-you-go,
/// if it may fall back.
///
/// Depends on what does not change in a pod's life, and on settings, so that a count of them stays true. Values that are wrong
/// are left out here, and refused by [`super::map`].
pub fn candidates(annotations: &BTreeMap<String, String>, ties: Ties<'_>, settings: &Settings) -> Candidates {
    read(Annotated(annotations), ties, settings, &mut Findings::default())
}

/// As [`candidates`], and says what is wrong.
pub(super) fn read(
    annotated: Annotated<'_>,
    ties: Ties<'_>,
    settings: &Settings,
    findings: &mut Findings,
) -> Candidates {
    let places = places(annotated, ties, settings);
    let turns = places.iter().map(Place::turns).max().unwrap_or(1);
    let specs = specs(annotated, findings);
    let spot = super::placement::is_spot(annotated);
    let may_fall_back = spot && annotated.flag(ours::SPOT_FALLBACK, findings) == Some(true);

    let mut list = Vec::new();
    for (spot, spot_degraded) in [(spot, false), (false, true)] {
        if spot_degraded && !may_fall_back {
            continue;
        }
        for spec in &specs {
            for place in &places {
                list.extend((0..turns).map(|turn| {
                    let (vswitch_ids, schedule_strategy) = place.turn(turn);
                    Candidate {
                        vswitch_ids,
                        schedule_strategy,
                        zone_id: place.zone_id.to_owned(),
                        is_elsewhere: place.is_elsewhere,
                        turn,
                        spec: spec.clone(),
                        spot,
                        spot_degraded,
                    }
                }));
            }
        }
    }
    Candidates {
        list,
        turns,
        places: places.len(),
    }
}

/// vSwitches that go into one call.
struct Place {
    vswitch_ids: Vec<String>,
    strategy: ScheduleStrategy,
    /// Empty = not known.
    zone_id: String,
    is_elsewhere: bool,
}

impl Place {
    /// How many calls it takes to begin with each vSwitch once.
    fn turns(&self) -> usize {
        match (self.vswitch_ids.len(), self.strategy) {
            (0 | 1, _) => 1,
            (several, ScheduleStrategy::VSwitchOrdered) => several,
            // Chance may find the same one again and again: after the first time it is one after the other.
            (several, ScheduleStrategy::VSwitchRandom) => several + 1,
        }
    }

    fn turn(&self, turn: usize) -> (Vec<String>, ScheduleStrategy) {
        let turns = self.turns();
        let turn = turn % turns;
        let by_chance = self.strategy == ScheduleStrategy::VSwitchRandom && turns > 1;
        let mut vswitch_ids = self.vswitch_ids.clone();
        match (by_chance, turn) {
            (true, 0) => (vswitch_ids, ScheduleStrategy::VSwitchRandom),
            (_, turn) => {
                vswitch_ids.rotate_left(turn - usize::from(by_chance));
                (vswitch_ids, ScheduleStrategy::VSwitchOrdered)
            }
        }
    }
}

/// Where the pod's group may be, call by call: in vSwitches of its own, else in its node's and then in those of other zones.
fn places(annotated: Annotated<'_>, ties: Ties<'_>, settings: &Settings) -> Vec<Place> {
    let strategy = LifeOptions::of(annotated.0)
        .schedule_strategy
        .unwrap_or(settings.schedule_strategy);
    let of = |ids: &[String], zone_id: &str, is_elsewhere: bool| -> Vec<Place> {
        let calls = ids.chunks(VSWITCHES_PER_CALL);
        let place = |ids: &[String]| Place {
            vswitch_ids: ids.to_vec(),
            strategy,
            zone_id: zone_id.to_owned(),
            is_elsewhere,
        };
        calls.map(place).collect()
    };
    let own = annotated.list(ours::VSWITCH);
    if !own.is_empty() {
        // Their zones are the pod's own choice, and not known here.
        return of(&own, "", false);
    }
    let mut places = of(&settings.vswitch_ids, &settings.zone_id, false);
    if places.is_empty() {
        places.push(Place {
            vswitch_ids: Vec::new(),
            strategy,
            zone_id: settings.zone_id.clone(),
            is_elsewhere: false,
        });
    }
    for zone in settings.other_zones.iter().filter(|zone| ties.allow(zone)) {
        places.extend(of(&zone.vswitch_ids, &zone.zone_id, true));
    }
    places
}

/// What `eci-use-specs`, or its older form for a single type, names; else what the containers ask for.
fn specs(annotated: Annotated<'_>, findings: &mut Findings) -> Vec<Spec> {
    let Some((name, text)) = annotated.first_text(&[ours::USE_SPECS, ours::INSTANCE_TYPE]) else {
        return vec![Spec::Containers];
    };
    let items = split(text);
    if items.len() > MAX_SPECS {
        findings.invalid(
            field(name),
            format!("{} sizes are named; at most {MAX_SPECS} are tried", items.len()),
        );
    }
    let mut specs = Vec::with_capacity(items.len());
    for item in items.iter().take(MAX_SPECS) {
        match spec(item) {
            Some(Spec::Pair(pair)) if !sizes::all().any(|size| size.holds(pair.cpu, pair.memory)) => findings.invalid(
                field(name),
                format!(
                    "`{item}` is more than any container group has; the largest are 64 vCPU and 512 GiB, and fewer GiB \
                     with fewer vCPU"
                ),
            ),
            Some(spec) => specs.push(spec),
            None => findings.invalid(
                field(name),
                format!("`{item}` is no size; name vCPU and memory as in 2-4Gi, or an ECS type as in ecs.c6.xlarge"),
            ),
        }
    }
    if specs.is_empty() {
        specs.push(Spec::Containers);
    }
    specs
}

fn spec(text: &str) -> Option<Spec> {
    if text.starts_with("ecs.") {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-');
        let good =
            text.split('.').count() >= 3 && text.split('.').all(|part| !part.is_empty()) && text.chars().all(fits);
        return good.then(|| Spec::InstanceType(text.to_owned()));
    }
    let (cpu, memory) = text.split_once('-')?;
    // A bare number would be bytes, and nobody means that.
    memory.ends_with(char::is_alphabetic).then_some(())?;
    let size = Size {
        cpu: quantity::milli_cpu(&Quantity(cpu.to_owned()))?,
        memory: quantity::mib(&Quantity(memory.to_owned()))?,
    };
    (size.cpu.0 > 0 && size.memory.0 > 0).then_some(Spec::Pair(size))
}

#[cfg(test)]
mod tests {
    use super::super::zones::OtherZone;
    use super::*;
    use crate::units::{MiB, MilliCpu};

    fn annotated(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    fn node(vswitches: usize) -> Settings {
        Settings {
            vswitch_ids: (0..vswitches).map(|n| format!("vsw-{n}")).collect(),
            ..Settings::default()
        }
    }

    fn of(annotations: &BTreeMap<String, String>, settings: &Settings) -> Candidates {
        candidates(annotations, Ties::default(), settings)
    }

    fn vswitches(all: &Candidates) -> Vec<String> {
        all.list.iter().map(|c| c.vswitch_ids.join(" ")).collect()
    }

    /// A node of zone `a`, in a process that serves zone `b` too.
    fn one_of_two_zones() -> Settings {
        Settings {
            zone_id: "a".to_owned(),
            other_zones: vec![OtherZone {
                zone_id: "b".to_owned(),
                node_name: "node-b".to_owned(),
                vswitch_ids: vec!["vsw-b".to_owned()],
            }],
            ..node(1)
        }
    }

    #[test]
    fn a_plain_pod_has_one_with_all_vswitches_and_a_turn_for_each() {
        for (count, turns) in [(0, 1), (1, 1), (10, 10)] {
            let all = of(&BTreeMap::new(), &node(count));
            assert_eq!((all.list.len(), all.turns), (turns, turns));
            assert_eq!(all.list[0].vswitch_ids, node(count).vswitch_ids);
            assert_eq!((&all.list[0].spec, all.list[0].spot), (&Spec::Containers, false));
        }
        let all = of(&BTreeMap::new(), &node(3));
        assert_eq!(
            vswitches(&all),
            ["vsw-0 vsw-1 vsw-2", "vsw-1 vsw-2 vsw-0", "vsw-2 vsw-0 vsw-1"]
        );
    }

    #[test]
    fn chance_decides_once_and_then_it_is_one_after_the_other() {
        let random = annotated(&[(ours::SCHEDULE_STRATEGY, "VSwitchRandom")]);
        let by_setting = Settings {
            schedule_strategy: ScheduleStrategy::VSwitchRandom,
            ..node(2)
        };
        let ordered = annotated(&[(ours::SCHEDULE_STRATEGY, "VSwitchOrdered")]);
        for all in [of(&random, &node(2)), of(&BTreeMap::new(), &by_setting)] {
            assert_eq!(vswitches(&all), ["vsw-0 vsw-1", "vsw-0 vsw-1", "vsw-1 vsw-0"]);
            let strategies: Vec<&str> = all.list.iter().map(|c| c.schedule_strategy.as_str()).collect();
            assert_eq!(strategies, ["VSwitchRandom", "VSwitchOrdered", "VSwitchOrdered"]);
        }
        assert_eq!(of(&ordered, &by_setting).turns, 2, "the pod's word counts");
        assert_eq!(of(&random, &node(1)).turns, 1);
    }

    #[test]
    fn other_zones_come_after_the_node_s_own_and_before_the_next_size() {
        let sizes = annotated(&[(ours::USE_SPECS, "2-4Gi,4-8Gi")]);
        let all = of(&sizes, &one_of_two_zones());
        let seen: Vec<_> = all.list.iter().map(|c| (c.zone_id.as_str(), c.is_elsewhere)).collect();
        assert_eq!(seen, [("a", false), ("b", true), ("a", false), ("b", true)]);
        assert_eq!(all.list[1].to_string(), "zone b (vsw-b)");
        let own = annotated(&[(ours::VSWITCH, "vsw-own")]);
        assert_eq!(vswitches(&of(&own, &one_of_two_zones())), ["vsw-own"]);
        let selector = BTreeMap::from([("topology.kubernetes.io/zone".to_owned(), "a".to_owned())]);
        let tied = Ties {
            node_selector: &selector,
            ..Ties::default()
        };
        assert_eq!(candidates(&BTreeMap::new(), tied, &one_of_two_zones()).list.len(), 1);
    }

    #[test]
    fn sizes_first_then_the_same_without_spot() {
        let annotations = annotated(&[
            (ours::USE_SPECS, "2-4Gi, ecs.c6.xlarge"),
            (ours::SPOT_STRATEGY, "SpotAsPriceGo"),
            (ours::SPOT_FALLBACK, "true"),
        ]);
        let pair = Spec::Pair(Size {
            cpu: MilliCpu(2000),
            memory: MiB(4096),
        });
        let kind = Spec::InstanceType("ecs.c6.xlarge".to_owned());
        let all = of(&annotations, &node(1));
        let seen: Vec<_> = all.list.iter().map(|c| (&c.spec, c.spot, c.spot_degraded)).collect();
        assert_eq!(
            seen,
            [
                (&pair, true, false),
                (&kind, true, false),
                (&pair, false, true),
                (&kind, false, true)
            ]
        );
    }

    #[test]
    fn more_vswitches_than_a_call_takes_are_tried_ten_by_ten() {
        let all = of(&BTreeMap::new(), &node(11));
        let counts: Vec<_> = all.list.iter().map(|c| c.vswitch_ids.len()).collect();
        assert_eq!((all.turns, counts.len()), (10, 20));
        assert!(counts[..10].iter().all(|n| *n == 10) && counts[10..].iter().all(|n| *n == 1));
    }

    #[test]
    fn sizes_are_pairs_with_a_unit_or_ecs_types() {
        for good in ["0.25-0.5Gi", "2-4Gi", "500m-1024Mi", "ecs.gn6i-c4g1.xlarge"] {
            assert!(spec(good).is_some(), "{good}");
        }
        for bad in [
            "",
            "2",
            "2-4",
            "-4Gi",
            "2-",
            "0-4Gi",
            "c6.xlarge",
            "ecs.",
            "ecs.c6",
            "ecs.c6.",
            "ecs.C6.large",
            "2-4Gi-8Gi",
        ] {
            assert!(spec(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn without_spot_there_is_nothing_to_fall_back_from() {
        let annotations = annotated(&[(ours::SPOT_FALLBACK, "true")]);
        assert_eq!(of(&annotations, &node(1)).list.len(), 1);
    }
}
