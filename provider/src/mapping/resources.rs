//! Requests and limits to a size: per container and resource its limit, else its request; the pod is
//! max(init, sum) + overhead; bought is the cheapest supported pair that holds it.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, PodSpec, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::annotated::Annotated;
use super::annotations as ours;
use super::quantity::Exact;
use super::rejection::Findings;
use super::sidecars::Sidecar;
use crate::pricing::PriceList;
use crate::sizes::{self, Size};
use crate::units::{MiB, MilliCpu};

/// Disk every group has for nothing.
pub(super) const FREE_STORAGE_GIB: u64 = 30;

/// What one container, or a pod, asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Demand {
    pub(super) cpu: MilliCpu,
    pub(super) memory: MiB,
    pub(super) storage_gib: u64,
    pub(super) gpus: u64,
}

/// Hard bounds of one container, where its pod sets any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) cpu: Option<MilliCpu>,
    pub(super) memory: Option<MiB>,
    pub(super) gpus: Option<u64>,
}

/// Names under which pods ask for GPUs. They come with an instance type, so a pod must name one.
const GPUS: [&str; 2] = ["nvidia.com/gpu", "aliyun.com/gpu"];

type Resources = BTreeMap<String, Quantity>;

/// The pod's demand.
pub(super) fn demand(spec: &PodSpec, findings: &mut Findings) -> Demand {
    let mut sum = Demand::default();
    for (index, container) in spec.containers.iter().enumerate() {
        let one = container_demand(container, &format!("spec.containers[{index}]"), findings);
        sum = sum.zip(one, u64::saturating_add);
    }
    // Sidecars stay beside everything that comes after them.
    let (mut sidecars, mut most) = (Demand::default(), Demand::default());
    for (index, container) in spec.init_containers.iter().flatten().enumerate() {
        let one = container_demand(container, &format!("spec.initContainers[{index}]"), findings);
        let beside = sidecars.zip(one, u64::saturating_add);
        most = most.zip(beside, u64::max);
        if Sidecar::is(container) {
            sidecars = beside;
        }
    }
    sum = sum.zip(sidecars, u64::saturating_add);
    let mut pod = sum.zip(most, u64::max);
    if let Some(resources) = &spec.resources {
        // Pod-level resources take the place of what the containers add up to, resource by resource.
        let level = requirements(resources, "spec.resources", findings);
        pod = pod.zip(
            level,
            |of_containers, of_pod| if of_pod > 0 { of_pod } else { of_containers },
        );
    }
    if let Some(overhead) = &spec.overhead {
        let overhead = read(overhead, "spec.overhead", findings);
        pod = pod.zip(overhead, u64::saturating_add);
    }
    pod
}

/// The size to buy for `demand`.
pub(super) fn size(demand: Demand, spot: bool, prices: &PriceList, findings: &mut Findings) -> Size {
    let cpu = if spot {
        demand.cpu.max(sizes::SPOT_MINIMUM_CPU)
    } else {
        demand.cpu
    };
    sizes::fit(cpu, demand.memory, prices).unwrap_or_else(|| {
        findings.refuse(
            "spec.containers[*].resources",
            format!(
                "the pod asks for {} and {}; the largest container group has 64 vCPU and 512 GiB, and fewer GiB with \
                 fewer vCPU. Ask for less, or run it on a worker node",
                demand.cpu, demand.memory
            ),
        );
        sizes::DEFAULT
    })
}

/// The prices by which sizes are compared: those of the compute category that the pod prefers.
pub(super) fn prices(annotated: Annotated<'_>, general: PriceList) -> PriceList {
    match annotated.list(ours::COMPUTE_CATEGORY).first().map(String::as_str) {
        Some("economy") => general.economy(),
        _ => general,
    }
}

/// The size to buy for a pair that the pod itself names, and that something holds.
pub(super) fn named_size(asked: Size, spot: bool, prices: &PriceList) -> Size {
    let cpu = if spot {
        asked.cpu.max(sizes::SPOT_MINIMUM_CPU)
    } else {
        asked.cpu
    };
    sizes::fit(cpu, asked.memory, prices).unwrap_or(asked)
}

/// What an instance type has. Where its name does not say, what the pod would have without it: the answer of ECI tells.
pub(super) fn size_of_type(name: &str, demand: Demand, prices: &PriceList) -> Size {
    sizes::of_instance_type(name)
        .or_else(|| sizes::fit(demand.cpu, demand.memory, prices))
        .unwrap_or(sizes::DEFAULT)
}

/// The container's limits: a limit holds on ECI as well; without one the container shares what the group has.
pub(super) fn bounds(container: &Container) -> Bounds {
    // Errors were reported when the pod's demand was computed.
    let mut ignored = Findings::default();
    let limits = container
        .resources
        .as_ref()
        .and_then(|resources| resources.limits.as_ref());
    let limits = limits.map(|limits| read(limits, "", &mut ignored)).unwrap_or_default();
    Bounds {
        cpu: Some(limits.cpu).filter(|cpu| cpu.0 > 0),
        memory: Some(limits.memory).filter(|memory| memory.0 > 0),
        gpus: Some(limits.gpus).filter(|gpus| *gpus > 0),
    }
}

fn container_demand(container: &Container, path: &str, findings: &mut Findings) -> Demand {
    match &container.resources {
        Some(resources) => requirements(resources, &format!("{path}.resources"), findings),
        None => Demand::default(),
    }
}

fn requirements(resources: &ResourceRequirements, path: &str, findings: &mut Findings) -> Demand {
    let ResourceRequirements {
        claims,
        limits,
        requests,
    } = resources;
    if claims.as_ref().is_some_and(|claims| !claims.is_empty()) {
        findings.refuse(
            format!("{path}.claims"),
            "dynamic resource allocation needs devices of a node; remove it",
        );
    }
    let mut get = |which: &Option<Resources>, name: &str| match which {
        Some(resources) => read(resources, &format!("{path}.{name}"), findings),
        None => Demand::default(),
    };
    let limits = get(limits, "limits");
    let requests = get(requests, "requests");
    let mut demand = limits.zip(requests, |limit, request| if limit > 0 { limit } else { request });
    // Disk is bought by the request, as in ACK: a limit is only the point at which a kubelet would evict.
    demand.storage_gib = if requests.storage_gib > 0 {
        requests.storage_gib
    } else {
        limits.storage_gib
    };
    demand
}

fn read(resources: &Resources, path: &str, findings: &mut Findings) -> Demand {
    let mut demand = Demand::default();
    for (name, quantity) in resources {
        let field = format!("{path}[{name}]");
        let exact = match Exact::parse(quantity) {
            Ok(exact) => exact,
            Err(why) => {
                findings.invalid(field, why);
                continue;
            }
        };
        let value = match name.as_str() {
            "cpu" => exact.ceil_times(1000).map(|milli| demand.cpu = MilliCpu(milli)),
            "memory" => exact
                .ceil_times(1)
                .map(|bytes| demand.memory = MiB::from_bytes_ceil(bytes)),
            "ephemeral-storage" => exact
                .ceil_times(1)
                .map(|bytes| demand.storage_gib = bytes.div_ceil(1 << 30)),
            gpu if GPUS.contains(&gpu) => exact.ceil_times(1).map(|gpus| demand.gpus = gpus),
            _ if exact.is_zero() => Some(()),
            other => {
                findings.refuse(
                    field,
                    format!(
                        "{other} is not offered by this node; cpu, memory, ephemeral-storage and nvidia.com/gpu are"
                    ),
                );
                continue;
            }
        };
        if value.is_none() {
            findings.invalid(field, format!("`{}` is out of range", quantity.0));
        }
    }
    demand
}

impl Demand {
    fn zip(self, other: Self, f: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            cpu: MilliCpu(f(self.cpu.0, other.cpu.0)),
            memory: MiB(f(self.memory.0, other.memory.0)),
            storage_gib: f(self.storage_gib, other.storage_gib),
            gpus: f(self.gpus, other.gpus),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(limits: &[(&str, &str)], requests: &[(&str, &str)]) -> Container {
        let map = |pairs: &[(&str, &str)]| {
            Some(
                pairs
                    .iter()
                    .map(|(k, v)| ((*k).to_owned(), Quantity((*v).to_owned())))
                    .collect(),
            )
        };
        Container {
            resources: Some(ResourceRequirements {
                limits: map(limits),
                requests: map(requests),
                claims: None,
            }),
            ..Container::default()
        }
    }

    fn demand_of(spec: &PodSpec) -> (u64, u64, u64) {
        let mut findings = Findings::default();
        let demand = demand(spec, &mut findings);
        assert_eq!(findings.rejections, []);
        (demand.cpu.0, demand.memory.0, demand.storage_gib)
    }

    #[test]
    fn limit_wins_over_request_resource_by_resource() {
        let spec = PodSpec {
            containers: vec![container(&[("memory", "9011Mi")], &[("cpu", "4"), ("memory", "1Gi")])],
            ..PodSpec::default()
        };
        assert_eq!(demand_of(&spec), (4000, 9011, 0));
    }

    #[test]
    fn pod_is_the_larger_of_init_and_sum_plus_overhead() {
        let spec = PodSpec {
            containers: vec![
                container(&[("cpu", "500m")], &[("memory", "1Gi")]),
                container(&[], &[("cpu", "250m")]),
            ],
            init_containers: Some(vec![
                container(&[("cpu", "2")], &[]),
                container(&[("memory", "3Gi")], &[]),
            ]),
            overhead: Some([("memory".to_owned(), Quantity("1Mi".to_owned()))].into()),
            ..PodSpec::default()
        };
        assert_eq!(demand_of(&spec), (2000, 3 * 1024 + 1, 0));
    }

    #[test]
    fn sidecars_count_with_the_containers_and_with_what_comes_after_them() {
        let sidecar = |resources: &[(&str, &str)]| Container {
            restart_policy: Some("Always".to_owned()),
            ..container(resources, &[])
        };
        let spec = PodSpec {
            containers: vec![container(&[("cpu", "500m"), ("memory", "1Gi")], &[])],
            init_containers: Some(vec![
                sidecar(&[("cpu", "1")]),
                container(&[("memory", "3Gi"), ("cpu", "250m")], &[]),
                sidecar(&[("cpu", "2")]),
            ]),
            ..PodSpec::default()
        };
        assert_eq!(demand_of(&spec), (3500, 3 * 1024, 0));
    }

    #[test]
    fn pod_level_resources_replace_the_sum() {
        let spec = PodSpec {
            containers: vec![container(&[("cpu", "500m"), ("memory", "1Gi")], &[])],
            resources: container(&[], &[("cpu", "3")]).resources,
            ..PodSpec::default()
        };
        assert_eq!(demand_of(&spec), (3000, 1024, 0));
    }

    #[test]
    fn disk_goes_by_the_request() {
        let spec = PodSpec {
            containers: vec![container(
                &[("ephemeral-storage", "100Gi")],
                &[("ephemeral-storage", "40G")],
            )],
            ..PodSpec::default()
        };
        assert_eq!(demand_of(&spec), (0, 0, 38));
    }

    #[test]
    fn bounds_are_limits_only_and_zero_is_none() {
        let bounds = bounds(&container(&[("memory", "1433Mi"), ("cpu", "0")], &[("cpu", "1")]));
        assert_eq!(
            bounds,
            Bounds {
                memory: Some(MiB(1433)),
                ..Bounds::default()
            }
        );
    }

    #[test]
    fn the_preferred_category_decides_what_is_cheapest() {
        let annotations = |category: &str| [(ours::COMPUTE_CATEGORY.to_owned(), category.to_owned())].into();
        let demand = Demand {
            cpu: MilliCpu(24_000),
            memory: MiB(100 << 10),
            ..Demand::default()
        };
        let mut findings = Findings::default();
        let mut of = |category: &str| {
            let prices = prices(Annotated(&annotations(category)), PriceList::USD);
            size(demand, false, &prices, &mut findings).cpu.0
        };
        // 24 vCPU and 192 GiB against 32 and 128.
        assert_eq!((of("general,economy"), of("economy,general")), (24_000, 32_000));
        assert_eq!(PriceList::CNY.economy().vcpu_second.0, 27_000);
    }

    #[test]
    fn a_spot_group_has_at_least_two_vcpu() {
        let mut findings = Findings::default();
        let small = Demand {
            cpu: MilliCpu(250),
            memory: MiB(512),
            ..Demand::default()
        };
        assert_eq!(size(small, true, &PriceList::CNY, &mut findings).cpu, MilliCpu(2000));
        assert_eq!(size(small, false, &PriceList::CNY, &mut findings).cpu, MilliCpu(250));
    }
}
