//! The ways to buy one pod's group, in the order in which they are tried.
//!
//! ECI itself looks through the vSwitches of a call (in order, or at random), so a candidate has all of them, up to the ten
//! that a call takes. What a call cannot carry is a choice of sizes, or of spot and pay-as-you-go: each is a candidate of its
//! own. Nothing here remembers what was tried; a caller keeps an index and asks [`super::map_candidate`] for it.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::annotated::{Annotated, field, split};
use super::quantity;
use super::rejection::Findings;
use super::{Settings, annotations as ours};
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

/// The candidates of a pod with these annotations, never none: for each size in the pod's order, and for each ten
/// vSwitches, a spot group if the pod asks for one; then the same again as pay-as-you-go, if it may fall back.
///
/// Depends on annotations and settings alone, so that a count of them stays true for a pod's life. Values that are wrong
/// are left out here, and refused by [`super::map`].
pub fn candidates(annotations: &BTreeMap<String, String>, settings: &Settings) -> Vec<Candidate> {
    read(Annotated(annotations), settings, &mut Findings::default())
}

/// As [`candidates`], and says what is wrong.
pub(super) fn read(annotated: Annotated<'_>, settings: &Settings, findings: &mut Findings) -> Vec<Candidate> {
    let own = annotated.list(ours::VSWITCH);
    let vswitch_ids = if own.is_empty() { &settings.vswitch_ids } else { &own };
    let calls: Vec<Vec<String>> = match vswitch_ids.chunks(VSWITCHES_PER_CALL).map(<[_]>::to_vec).collect() {
        none if Vec::is_empty(&none) => vec![Vec::new()],
        calls => calls,
    };
    let specs = specs(annotated, findings);
    let spot = super::placement::is_spot(annotated);
    let may_fall_back = spot && annotated.flag(ours::SPOT_FALLBACK, findings) == Some(true);

    let mut all = Vec::new();
    for (spot, spot_degraded) in [(spot, false), (false, true)] {
        if spot_degraded && !may_fall_back {
            continue;
        }
        for spec in &specs {
            all.extend(calls.iter().map(|vswitch_ids| Candidate {
                vswitch_ids: vswitch_ids.clone(),
                spec: spec.clone(),
                spot,
                spot_degraded,
            }));
        }
    }
    all
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

    #[test]
    fn a_plain_pod_has_one_with_all_vswitches() {
        for vswitches in [0, 1, 10] {
            let all = candidates(&BTreeMap::new(), &node(vswitches));
            assert_eq!(all.len(), 1);
            assert_eq!(all[0].vswitch_ids, node(vswitches).vswitch_ids);
            assert_eq!((&all[0].spec, all[0].spot), (&Spec::Containers, false));
        }
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
        let all = candidates(&annotations, &node(2));
        let seen: Vec<_> = all.iter().map(|c| (&c.spec, c.spot, c.spot_degraded)).collect();
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
        let all = candidates(&BTreeMap::new(), &node(11));
        let counts: Vec<_> = all.iter().map(|c| c.vswitch_ids.len()).collect();
        assert_eq!(counts, [10, 1]);
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
        assert_eq!(candidates(&annotations, &node(1)).len(), 1);
    }
}
