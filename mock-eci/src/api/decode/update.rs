//! `UpdateContainerGroup`: the spec a group has afterwards.
//!
//! `RenewUpdate`: a list that is given replaces the whole list, and its structs are complete. `IncrementalUpdate`: containers
//! and volumes are found by their name and only what is given changes, environment by key, config files by path, tags by key.
//! Either way what is not given stays. ECI's texts say as much; that an absent parameter stays under `RenewUpdate` too, and that
//! a container it does not list goes away, is unconfirmed.

use std::collections::HashSet;

use super::{
    container,
    group::{self, Region},
    volume,
};
use crate::{
    api::{
        error::ApiError,
        params::{Params, Reader, Scope},
    },
    spec::{ContainerSpec, EnvVar, GroupSpec, Size, VolumeSource, VolumeSpec},
};

/// Parameters of a create that an update cannot change. Better refused than ignored: who sends them expects an effect.
const FIXED: [&str; 24] = [
    "ContainerGroupName",
    "HostName",
    "ZoneId",
    "VSwitchId",
    "SecurityGroupId",
    "ScheduleStrategy",
    "InstanceType",
    "SpotStrategy",
    "SpotPriceLimit",
    "SpotDuration",
    "EipInstanceId",
    "AutoCreateEip",
    "EipBandwidth",
    "EipISP",
    "EipCommonBandwidthPackage",
    "PrivateIpAddress",
    "FixedIp",
    "Ipv6AddressCount",
    "RamRoleName",
    "EphemeralStorage",
    "ActiveDeadlineSeconds",
    "TerminationGracePeriodSeconds",
    "ShareProcessNamespace",
    "MaxPendingMinute",
];

/// Reads an update of `old`.
///
/// # Errors
/// ECI's code for the first parameter that is wrong or cannot be changed.
pub(in crate::api) fn updated_spec(
    params: &Params,
    scope: Scope<'_>,
    region: Region<'_>,
    old: &GroupSpec,
) -> Result<GroupSpec, ApiError> {
    let incremental = match scope.filled("UpdateType") {
        None | Some("RenewUpdate") => false,
        Some("IncrementalUpdate") => true,
        Some(_) => {
            return Err(ApiError::invalid(
                "UpdateType",
                "it must be RenewUpdate or IncrementalUpdate",
            ));
        }
    };
    if let Some(fixed) = FIXED.iter().find(|name| scope.filled(name).is_some()) {
        return Err(ApiError::invalid(fixed, "it cannot be changed by an update"));
    }
    scope.list("AcrRegistryInfo", 100)?;

    // What the decoders of a create insist on is filled in where an increment may leave it out.
    let completed = completed(params, scope, incremental.then_some(old))?;
    let reader = Reader::new(&completed).within(scope.bounds());
    let spec = read(reader.root(), scope, region, old, incremental)?;
    for (name, _) in reader.reads().filter(|(_, read)| *read) {
        // It counts as read under the name it came by.
        scope.text(name);
        scope.text(&name.replace(SINGULAR, PLURAL));
    }
    Ok(spec)
}

fn read(
    scope: Scope<'_>,
    original: Scope<'_>,
    region: Region<'_>,
    old: &GroupSpec,
    incremental: bool,
) -> Result<GroupSpec, ApiError> {
    let given = |list: &str| !scope.sub(list).is_empty();
    let mut spec = old.clone();
    if given("Volume") {
        spec.volumes = volumes(scope, original, old, incremental)?;
    }
    for (list, is_init) in [("InitContainer", true), ("Container", false)] {
        let known = if is_init { &old.init_containers } else { &old.containers };
        let containers = if given(list) {
            containers(scope, original, list, is_init, &spec.volumes, known, incremental)?
        } else {
            known.clone()
        };
        if is_init {
            spec.init_containers = containers;
        } else {
            spec.containers = containers;
        }
    }
    let mut names = HashSet::new();
    let mut all = spec.init_containers.iter().chain(&spec.containers);
    if let Some(twice) = all.find(|c| !names.insert(c.name.as_str())) {
        return Err(ApiError::duplicated_name(&twice.name));
    }
    // A running instance is known by its name alone.
    let was_init = |name: &str| old.init_containers.iter().any(|c| c.name == name);
    let was_app = |name: &str| old.containers.iter().any(|c| c.name == name);
    let inits = spec.init_containers.iter().filter(|c| was_app(&c.name));
    if let Some(moved) = inits.chain(spec.containers.iter().filter(|c| was_init(&c.name))).next() {
        return Err(ApiError::invalid(
            "Container.Name",
            format_args!("{:?} cannot change between container and init container", moved.name),
        ));
    }
    check_mounts(&spec)?;
    size(scope, region, old, &mut spec)?;
    if scope.filled("RestartPolicy").is_some() {
        spec.restart_policy = group::restart_policy(scope)?;
    }
    if given("DnsConfig") || scope.filled("DnsPolicy").is_some() {
        spec.dns = group::dns(scope)?;
    }
    if given("ImageRegistryCredential") {
        let credentials = group::registry_credentials(scope)?;
        if !incremental {
            spec.registry_credentials.clear();
        }
        for credential in credentials {
            let key = (credential.server.clone(), credential.user_name.clone());
            let known = &mut spec.registry_credentials;
            match known
                .iter_mut()
                .find(|k| (k.server.as_str(), k.user_name.as_str()) == (&key.0, &key.1))
            {
                Some(known) => *known = credential,
                None => known.push(credential),
            }
        }
    }
    if given("Tag") {
        let tags = group::tags(scope)?;
        if !incremental {
            spec.tags.clear();
        }
        for (key, value) in tags {
            match spec.tags.iter_mut().find(|(known, _)| *known == key) {
                Some(known) => known.1 = value,
                None => spec.tags.push((key, value)),
            }
        }
        if spec.tags.len() > scope.bounds().tags {
            return Err(ApiError::invalid("Tag", "a group may have at most 20 tags"));
        }
    }
    if let Some(resource_group) = scope.filled("ResourceGroupId") {
        spec.resource_group_id = resource_group.to_owned();
    }
    Ok(spec)
}

/// ECI misspells this one in updates, and only for postStart.
const PLURAL: &str = ".LifecyclePostStartHandlerHttpGetHttpHeaders.";
const SINGULAR: &str = ".LifecyclePostStartHandlerHttpGetHttpHeader.";

/// The parameters with the plural of updates undone and, for an increment of `old`, with images and types filled in.
fn completed(params: &Params, scope: Scope<'_>, old: Option<&GroupSpec>) -> Result<Params, ApiError> {
    let mut completed = Params::default();
    for (name, value) in params.iter() {
        completed.push(name.replace(PLURAL, SINGULAR), value)?;
    }
    if let Some(old) = old {
        for (list, known) in [("Container", &old.containers), ("InitContainer", &old.init_containers)] {
            for item in scope.list(list, scope.bounds().containers)? {
                let known = item
                    .filled("Name")
                    .and_then(|name| known.iter().find(|c| c.name == name));
                if let Some(known) = known
                    && item.text("Image").is_none()
                {
                    completed.push(item.name("Image"), &known.image)?;
                }
            }
        }
        for item in scope.list("Volume", scope.bounds().volumes)? {
            let known = item
                .filled("Name")
                .and_then(|name| old.volumes.iter().find(|v| v.name == name));
            if let Some(known) = known
                && item.text("Type").is_none()
            {
                let kind = match &known.source {
                    VolumeSource::ConfigFile { .. } => "ConfigFileVolume",
                    VolumeSource::EmptyDir { .. } => "EmptyDirVolume",
                    VolumeSource::External(volume) => volume.kind(),
                };
                completed.push(item.name("Type"), kind)?;
            }
        }
    }
    completed.sort();
    Ok(completed)
}

fn volumes(
    scope: Scope<'_>,
    original: Scope<'_>,
    old: &GroupSpec,
    incremental: bool,
) -> Result<Vec<VolumeSpec>, ApiError> {
    for item in original.list("Volume", scope.bounds().volumes)? {
        if item.filled("Type") == Some("DiskVolume") {
            return Err(ApiError::invalid(
                &item.name("Type"),
                "an update cannot have a DiskVolume",
            ));
        }
    }
    let given = volume::volumes(scope)?;
    if !incremental {
        return Ok(given);
    }
    let mut merged = old.volumes.clone();
    for volume in given {
        let Some(known) = merged.iter_mut().find(|known| known.name == volume.name) else {
            merged.push(volume);
            continue;
        };
        match (&mut known.source, volume.source) {
            (VolumeSource::ConfigFile { files }, VolumeSource::ConfigFile { files: given }) => {
                for file in given {
                    match files.iter_mut().find(|known| known.path == file.path) {
                        Some(known) => *known = file,
                        None => files.push(file),
                    }
                }
            }
            (source, given) => *source = given,
        }
    }
    Ok(merged)
}

fn containers(
    scope: Scope<'_>,
    original: Scope<'_>,
    list: &str,
    is_init: bool,
    volumes: &[VolumeSpec],
    known: &[ContainerSpec],
    incremental: bool,
) -> Result<Vec<ContainerSpec>, ApiError> {
    let mut merged: Vec<ContainerSpec> = if incremental { known.to_vec() } else { Vec::new() };
    let items = scope.list(list, scope.bounds().containers)?;
    let originals = original.list(list, scope.bounds().containers)?;
    let mut names = HashSet::new();
    for (item, original) in items.into_iter().zip(originals) {
        let given = container::container(item, is_init, volumes)?;
        if !names.insert(given.name.clone()) {
            return Err(ApiError::duplicated_name(&given.name));
        }
        match merged.iter_mut().find(|known| known.name == given.name) {
            Some(known) => overlay(known, given, original),
            None => merged.push(given),
        }
    }
    Ok(merged)
}

/// Takes over what an increment gives of a container.
fn overlay(known: &mut ContainerSpec, given: ContainerSpec, scope: Scope<'_>) {
    let has = |member: &str| scope.text(member).is_some();
    let has_list = |list: &str| !scope.sub(list).is_empty();
    macro_rules! take {
        ($($field:ident if $given:expr;)*) => { $(if $given { known.$field = given.$field; })* };
    }
    if has("Cpu") {
        known.size.milli_cpu = given.size.milli_cpu;
    }
    if has("Memory") {
        known.size.memory_mib = given.size.memory_mib;
    }
    for variable in given.env {
        let EnvVar { name, .. } = &variable;
        match known.env.iter_mut().find(|known| known.name == *name) {
            Some(known) => *known = variable,
            None => known.env.push(variable),
        }
    }
    let hook = |prefix: &str| {
        has_list(&format!("{prefix}Exec"))
            || has(&format!("{prefix}HttpGetPort"))
            || has(&format!("{prefix}TcpSocketPort"))
    };
    let security = has_list("SecurityContext")
        || has("SecurityContextRunAsGroup")
        || has("SecurityContextRunAsNonRoot")
        || has("SecurityContextPrivileged");
    take! {
        image if has("Image");
        pull_policy if has("ImagePullPolicy");
        command if has_list("Command");
        args if has_list("Arg");
        working_dir if has("WorkingDir");
        hide_env if has("EnvironmentVarHide");
        ports if has_list("Port");
        mounts if has_list("VolumeMount");
        security if security;
        stdin if has("Stdin");
        stdin_once if has("StdinOnce");
        tty if has("Tty");
        termination_message_path if has("TerminationMessagePath");
        termination_message_from_logs if has("TerminationMessagePolicy");
        liveness_probe if has_list("LivenessProbe");
        readiness_probe if has_list("ReadinessProbe");
        post_start if hook("LifecyclePostStartHandler");
        pre_stop if hook("LifecyclePreStopHandler");
    }
}

/// Containers that were not given may still mount a volume that is gone.
fn check_mounts(spec: &GroupSpec) -> Result<(), ApiError> {
    let exists = |name: &str| spec.volumes.iter().any(|v| v.name == name);
    let all = spec.init_containers.iter().chain(&spec.containers);
    for container in all {
        if let Some(mount) = container.mounts.iter().find(|m| !exists(&m.volume)) {
            return Err(ApiError::invalid(
                "Volume",
                format_args!("container {:?} mounts volume {:?}", container.name, mount.volume),
            ));
        }
    }
    Ok(())
}

/// The new size: what is given, otherwise the group's own as long as its containers fit in, or the sum of its containers where
/// that is what it has been.
fn size(scope: Scope<'_>, region: Region<'_>, old: &GroupSpec, spec: &mut GroupSpec) -> Result<(), ApiError> {
    let given = scope.filled("Cpu").is_some() || scope.filled("Memory").is_some();
    let sizes = |spec: &GroupSpec| -> Vec<Size> {
        let all = spec.init_containers.iter().chain(&spec.containers);
        all.map(|c| c.size).collect()
    };
    if !given && sizes(old) == sizes(spec) {
        return Ok(());
    }
    let spot = old.is_spot();
    let of_containers = |spec: &GroupSpec| -> Size {
        let sum = spec.containers.iter().fold(Size::default(), |sum, c| Size {
            milli_cpu: sum.milli_cpu + c.size.milli_cpu,
            memory_mib: sum.memory_mib + c.size.memory_mib,
        });
        spec.init_containers.iter().fold(sum, |need, c| Size {
            milli_cpu: need.milli_cpu.max(c.size.milli_cpu),
            memory_mib: need.memory_mib.max(c.size.memory_mib),
        })
    };
    let (needed, before) = (of_containers(spec), of_containers(old));
    let by_containers = before == old.asked;
    let pick = |name: &str, scale: u32, needed: u64, own: u64| -> Result<u64, ApiError> {
        let asked = match scope.decimal(name, scale)? {
            Some(asked) => asked,
            None if by_containers => needed,
            None => own,
        };
        if asked < needed {
            return Err(ApiError::size(
                "The containers together ask for more than the Cpu and Memory of the group.",
            ));
        }
        Ok(asked)
    };
    let own = if old.asked == Size::default() {
        old.size
    } else {
        old.asked
    };
    let asked = Size {
        milli_cpu: pick("Cpu", 1_000, needed.milli_cpu, own.milli_cpu)?,
        memory_mib: pick("Memory", 1_024, needed.memory_mib, own.memory_mib)?,
    };
    spec.asked = asked;
    spec.size = super::purchase::rounded(asked, region.id, spot)?;
    Ok(())
}
