//! The pod as a whole: takes `PodSpec` apart, field by field, and puts the request together.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use k8s_openapi::api::core::v1::{Pod, PodSpec};

use super::annotated::Annotated;
use super::candidates::{self, Candidate, Spec};
use super::containers::{self, Kind};
use super::rejection::{Findings, Rejection, RejectionKind};
use super::resources::Demand;
use super::sidecars::Sidecar;
use super::zones::Ties;
use super::{
    Mapped, Purchase, Refs, Rejections, Settings, Unenforceable, limits, names, network, placement, registry,
    resources, security, sidecars, volumes,
};
use crate::request::CreateContainerGroup;
use crate::sizes::Size;
use crate::status::restart_policy;
use crate::{annotations, tags, token};

/// What every part of the mapping may look at.
pub(super) struct Context<'a> {
    pub(super) pod: &'a Pod,
    pub(super) spec: &'a PodSpec,
    pub(super) refs: &'a Refs,
    pub(super) settings: &'a Settings,
    /// The size of the group.
    pub(super) size: Size,
    /// Its disk, GiB.
    pub(super) storage_gib: u64,
    /// Variables that tell of Services, for every container.
    pub(super) services: Rc<[(String, String)]>,
    /// Whether the pod names a size in place of what its containers ask for.
    pub(super) size_is_named: bool,
}

static NO_ANNOTATIONS: BTreeMap<String, String> = BTreeMap::new();

impl<'a> Context<'a> {
    pub(super) fn namespace(&self) -> &'a str {
        self.pod
            .metadata
            .namespace
            .as_deref()
            .filter(|namespace| !namespace.is_empty())
            .unwrap_or("default")
    }

    pub(super) fn annotated(&self) -> Annotated<'a> {
        annotated(self.pod)
    }
}

fn annotated(pod: &Pod) -> Annotated<'_> {
    Annotated(pod.metadata.annotations.as_ref().unwrap_or(&NO_ANNOTATIONS))
}

/// What is asked for, what is bought for it, and the instance type by which it is, if that is named.
fn sizes_of(
    pod: &Pod,
    demand: Demand,
    candidate: &Candidate,
    settings: &Settings,
    findings: &mut Findings,
) -> (Size, Size, Option<String>) {
    let prices = resources::prices(annotated(pod), settings.prices);
    match &candidate.spec {
        Spec::Containers => {
            let size = resources::size(demand, candidate.spot, &prices, findings);
            let asked = Size {
                cpu: demand.cpu,
                memory: demand.memory,
            };
            (asked, size, None)
        }
        Spec::Pair(asked) => {
            let size = resources::named_size(*asked, candidate.spot, &prices);
            (*asked, size, None)
        }
        Spec::InstanceType(name) => {
            let size = resources::size_of_type(name, demand, &prices);
            (size, size, Some(name.clone()))
        }
    }
}

/// See [`super::purchase`].
pub(super) fn purchase(pod: &Pod, settings: &Settings, candidate: usize) -> Option<Purchase> {
    let spec = pod.spec.as_ref()?;
    let mut unread = Findings::default();
    let demand = resources::demand(spec, &mut unread);
    let mut candidates = candidates::read(annotated(pod), Ties::of(spec), settings, &mut unread).list;
    let candidate = candidates.swap_remove(candidate % candidates.len().max(1));
    let (asked, _, instance_type) = sizes_of(pod, demand, &candidate, settings, &mut unread);
    Some(Purchase {
        asked,
        instance_type,
        is_spot: candidate.spot,
    })
}

/// See [`super::map_candidate`].
pub(super) fn map(
    pod: &Pod,
    refs: &Refs,
    settings: &Settings,
    attempt: u32,
    candidate: usize,
) -> Result<Mapped, Rejections> {
    let mut findings = Findings::default();
    let Some(spec) = &pod.spec else {
        findings.invalid("spec", "the pod has no spec");
        return Err(Rejections(findings.rejections));
    };
    let uid = pod.metadata.uid.as_deref().unwrap_or_default();
    if uid.is_empty() {
        // Without it neither token nor tag would tell this pod from the next of its name.
        findings.invalid("metadata.uid", "the pod has no UID");
    }

    refuse_daemons(pod, &mut findings);

    let demand = resources::demand(spec, &mut findings);
    let mut candidates = candidates::read(annotated(pod), Ties::of(spec), settings, &mut findings).list;
    // There is always one, and an index beyond the last begins anew.
    let candidate = candidates.swap_remove(candidate % candidates.len().max(1));
    let (asked, size, instance_type) = sizes_of(pod, demand, &candidate, settings, &mut findings);
    if demand.gpus > 0 && instance_type.is_none() {
        findings.refuse(
            "spec.containers[*].resources.limits[nvidia.com/gpu]",
            format!(
                "GPUs come with an instance type; name one that has them in annotation {}, such as ecs.gn6i-c4g1.xlarge",
                annotations::USE_SPECS
            ),
        );
    }
    let extra_storage = placement::extra_storage(annotated(pod), &demand, &mut findings);
    let storage_gib = resources::FREE_STORAGE_GIB.saturating_add(extra_storage.unwrap_or(0));
    let mut cx = Context {
        pod,
        spec,
        refs,
        settings,
        size,
        storage_gib,
        services: Rc::default(),
        size_is_named: candidate.spec != Spec::Containers,
    };
    cx.services = network::services_env(&cx).into();

    let mut request = CreateContainerGroup {
        name: names::group_name(cx.namespace(), pod.metadata.name.as_deref().unwrap_or_default()),
        client_token: token::client_token(&settings.cluster_id, uid, attempt),
        cpu: size.cpu,
        memory: size.memory,
        instance_type,
        extra_ephemeral_storage_gib: extra_storage,
        tags: tags::ownership(pod, settings),
        ..CreateContainerGroup::default()
    };
    placement::place(&cx, &candidate, &mut request, &mut findings);
    fill(&cx, &mut request, &mut findings);
    limits::check(&request, spec, &mut findings);

    let Findings {
        mut rejections,
        mut weakened,
        warnings,
    } = findings;
    if settings.unenforceable == Unenforceable::Refuse {
        rejections.extend(weakened.drain(..).map(|weakened| Rejection {
            kind: RejectionKind::Refused,
            field: weakened.field,
            advice: format!(
                "it cannot be enforced ({}), and this node refuses such pods",
                weakened.why
            ),
        }));
    }
    if rejections.is_empty() {
        Ok(Mapped {
            request,
            weakened,
            warnings,
            size,
            asked: (asked.cpu, asked.memory),
            candidate,
        })
    } else {
        Err(Rejections(rejections))
    }
}

/// A DaemonSet's pod serves the node it is on, and here is none to serve: as a group it would be paid for and of no use.
fn refuse_daemons(pod: &Pod, findings: &mut Findings) {
    let owners = pod.metadata.owner_references.iter().flatten().enumerate();
    for (index, owner) in owners.filter(|(_, owner)| owner.controller == Some(true) && owner.kind == "DaemonSet") {
        findings.refuse(
            format!("metadata.ownerReferences[{index}]"),
            format!(
                "the DaemonSet `{}` serves nodes, and this node has no machine to serve; keep it away with a node affinity: type \
                 NotIn virtual-kubelet",
                owner.name
            ),
        );
    }
}

/// Every field of the spec: here, or in the file named.
fn fill(cx: &Context<'_>, request: &mut CreateContainerGroup, findings: &mut Findings) {
    let PodSpec {
        active_deadline_seconds,
        affinity: _,                        // Scheduler, and zones::Ties.
        automount_service_account_token: _, // Admission added the volume, or did not.
        containers,
        dns_config,
        dns_policy,
        enable_service_links: _, // network::services_env
        ephemeral_containers,
        host_aliases,
        host_ipc,
        host_network,
        host_pid,
        host_users,
        hostname: _,          // network::host_name
        hostname_override: _, // network::host_name
        image_pull_secrets,
        init_containers,
        node_name: _,     // Scheduler.
        node_selector: _, // Scheduler.
        os,
        overhead: _,            // resources::demand
        preemption_policy: _,   // Scheduler.
        priority: _,            // Scheduler.
        priority_class_name: _, // Scheduler.
        readiness_gates: _,     // status::conditions
        resource_claims,
        resources: _, // resources::demand
        restart_policy: restarts,
        runtime_class_name,
        scheduler_name: _,   // Scheduler.
        scheduling_gates: _, // Scheduler; a bound pod has none left.
        security_context,
        service_account: _,      // API server: tokens are bound to it.
        service_account_name: _, // API server: tokens are bound to it.
        set_hostname_as_fqdn: _, // network::host_name
        share_process_namespace,
        subdomain: _, // network::host_name; the cluster's DNS answers for it.
        termination_grace_period_seconds,
        tolerations: _,                 // Scheduler.
        topology_spread_constraints: _, // Scheduler.
        volumes,
        workload_ref: _, // Scheduler.
    } = cx.spec;

    for (set, field) in [
        (host_ipc, "spec.hostIPC"),
        (host_network, "spec.hostNetwork"),
        (host_pid, "spec.hostPID"),
    ] {
        if *set == Some(true) {
            findings.refuse(
                field,
                "a container group has no host to share; remove it, or run the pod on a worker node",
            );
        }
    }
    if *host_users == Some(false) {
        findings.weaken(
            "spec.hostUsers",
            "no user namespace is made; each group has a kernel of its own",
        );
    }
    if os.as_ref().is_some_and(|os| os.name != "linux") {
        findings.refuse("spec.os", "this node runs Linux containers only");
    }
    if runtime_class_name.as_ref().is_some_and(|class| !class.is_empty()) {
        findings.refuse(
            "spec.runtimeClassName",
            "ECI has one runtime (each group in a virtual machine); remove it",
        );
    }
    if resource_claims.as_ref().is_some_and(|claims| !claims.is_empty()) {
        findings.refuse(
            "spec.resourceClaims",
            "dynamic resource allocation needs devices of a node; remove it",
        );
    }
    for (index, debug) in ephemeral_containers.iter().flatten().enumerate() {
        // They cannot be taken back, so refusing the pod for one would end it for good.
        findings.warn(
            format!("spec.ephemeralContainers[{index}]"),
            format!(
                "`{}` is not started: ECI cannot add a container to a group; use kubectl exec",
                debug.name
            ),
        );
    }

    request.restart_policy = restart_policy(restarts.as_deref());
    request.active_deadline_seconds = *active_deadline_seconds;
    request.termination_grace_period_seconds = *termination_grace_period_seconds;
    request.share_process_namespace = share_process_namespace.unwrap_or(false);
    request.dns = network::dns(cx, dns_policy.as_deref(), dns_config.as_ref(), findings);
    request.host_aliases = network::host_aliases(cx, host_aliases.as_deref(), findings);
    request.host_name = Some(network::host_name(cx, findings)).filter(|name| !name.is_empty());
    request.registry_credentials = registry::credentials(cx, image_pull_secrets.as_deref(), findings);
    if let Some(context) = security_context {
        request.sysctls = security::pod(context, findings);
    }
    let mut read_only = BTreeSet::new();
    for (index, volume) in volumes.iter().flatten().enumerate() {
        let mapped = volumes::volume(cx, volume, &format!("spec.volumes[{index}]"), findings);
        if mapped.read_only {
            read_only.insert(mapped.volume.name.clone());
        }
        request.volumes.push(mapped.volume);
    }
    if containers.is_empty() {
        findings.invalid("spec.containers", "the pod has no containers");
    }
    sidecars::check(cx.spec, findings);
    // Sidecars stand behind the main containers, for whom the pod is made.
    let mut beside = Vec::new();
    for (index, container) in init_containers.iter().flatten().enumerate() {
        let path = format!("spec.initContainers[{index}]");
        let sidecar = Sidecar::of(cx.spec, index, container);
        let kind = sidecar.map_or(Kind::Init, Kind::Sidecar);
        let mapped = containers::container(cx, container, kind, &path, findings);
        match sidecar {
            Some(_) => beside.push(mapped),
            None => request.init_containers.push(mapped),
        }
    }
    for (index, container) in containers.iter().enumerate() {
        let path = format!("spec.containers[{index}]");
        let mapped = containers::container(cx, container, Kind::Main, &path, findings);
        request.containers.push(mapped);
    }
    request.containers.append(&mut beside);
    for container in request.init_containers.iter_mut().chain(&mut request.containers) {
        for mount in &mut container.volume_mounts {
            mount.read_only |= read_only.contains(&mount.name);
        }
    }
}
