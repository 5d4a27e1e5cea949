//! A group in full (`DescribeContainerGroups`).

use std::net::{IpAddr, Ipv6Addr};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

use super::{event, time};
use crate::{
    domain::{
        container::{Container, State, Terminated},
        group::Group,
        lifecycle::Status,
    },
    spec::{ContainerSpec, Dns, EnvValue, ExternalVolume, Handler, Probe, VolumeSource, VolumeSpec},
};

/// One item of `ContainerGroups`.
pub(in crate::api) fn group(group: &Group, region: &str, with_events: bool) -> Value {
    let spec = &group.spec;
    let finished = |status| time(group.finished_at.filter(|_| group.status == status));
    let events: Vec<Value> = if with_events {
        group.events.iter().map(|e| event::brief(group, e)).collect()
    } else {
        Vec::new()
    };
    let mut out = json!({
        "ContainerGroupId": group.id, "ContainerGroupName": spec.name,
        "RegionId": region, "ZoneId": spec.zone_id, "VpcId": "vpc-mock", "VSwitchId": spec.vswitch_id,
        "SecurityGroupId": spec.security_group_id, "ResourceGroupId": spec.resource_group_id,
        "EniInstanceId": format!("eni-{}", group.id.as_str().trim_start_matches("eci-")),
        "IntranetIp": group.ip.map(|ip| ip.to_string()).unwrap_or_default(), "InternetIp": internet_ip(group), "Ipv6Address": ipv6_address(group),
        "Cpu": spec.size.milli_cpu as f64 / 1000.0, "Memory": spec.size.memory_mib as f64 / 1024.0,
        "EphemeralStorage": spec.extra_ephemeral_storage_gib,
        "InstanceType": spec.instance_type.as_deref().unwrap_or_default(),
        "ComputeCategory": spec.compute_category.as_str(), "RestartPolicy": spec.restart_policy.as_str(),
        "Status": group.status.as_str(), "SpotStrategy": spec.spot_strategy,
        "RamRoleName": spec.ram_role_name,
        "CreationTime": time(Some(group.created_at)), "SucceededTime": finished(Status::Succeeded),
        "FailedTime": finished(Status::Failed), "ExpiredTime": finished(Status::Expired),
        "Tags": spec.tags.iter().map(|(k, v)| json!({"Key": k, "Value": v})).collect::<Vec<_>>(),
        "Events": events,
        "Containers": group.apps().map(|(spec, record)| app(spec, record)).collect::<Vec<_>>(),
        "InitContainers": group.inits().map(|(spec, record)| init(spec, record)).collect::<Vec<_>>(),
        "Volumes": spec.volumes.iter().map(volume).collect::<Vec<_>>(),
        "DnsConfig": dns(&spec.dns),
        "HostAliases": spec.host_aliases.iter()
            .map(|a| json!({"Ip": a.ip, "Hostnames": a.host_names})).collect::<Vec<_>>(),
        "EciSecurityContext": if spec.sysctls.is_empty() { json!({}) } else {
            json!({"Sysctls": pairs(&spec.sysctls)})
        },
    });
    if let Some(limit) = spec.spot_price_limit.as_deref().and_then(|l| l.parse::<f64>().ok()) {
        out["SpotPriceLimit"] = json!(limit);
    }
    out
}

/// The public address of a group that asked for one: nothing listens there. Its last 16 bits are those of the group's own
/// address, in the range set aside for benchmarks (198.18.0.0/15).
fn internet_ip(group: &Group) -> String {
    match group.ip {
        Some(IpAddr::V4(ip)) if group.spec.network.public => {
            let [_, _, c, d] = ip.octets();
            format!("198.18.{c}.{d}")
        }
        _ => String::new(),
    }
}

/// Likewise, in the range set aside for documents.
fn ipv6_address(group: &Group) -> String {
    match group.ip {
        Some(IpAddr::V4(ip)) if group.spec.network.ipv6 => {
            let [a, b, c, d] = ip.octets().map(u16::from);
            Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, a << 8 | b, c << 8 | d).to_string()
        }
        _ => String::new(),
    }
}

/// What containers and init containers have in common.
fn common(spec: &ContainerSpec, record: &Container) -> Map<String, Value> {
    let env: Vec<Value> = spec
        .env
        .iter()
        .filter(|_| !spec.hide_env)
        .map(|var| match &var.value {
            EnvValue::Literal(value) => json!({"Key": var.name, "Value": value}),
            EnvValue::PodIp => json!({
                "Key": var.name, "Value": "", "ValueFrom": {"FieldRef": {"FieldPath": "status.podIP"}},
            }),
        })
        .collect();
    let security = &spec.security;
    let mut out = Map::new();
    let mut put = |name: &str, value: Value| out.insert(name.to_owned(), value);
    put("Name", json!(spec.name));
    put("Image", json!(spec.image));
    put("ImagePullPolicy", json!(spec.pull_policy.as_str()));
    put("Cpu", json!(spec.size.milli_cpu as f64 / 1000.0));
    put("Memory", json!(spec.size.memory_mib as f64 / 1024.0));
    put("Gpu", json!(spec.gpus));
    put("Args", json!(spec.args));
    put("WorkingDir", json!(spec.working_dir));
    let ports = spec
        .ports
        .iter()
        .map(|(port, protocol)| json!({"Port": port, "Protocol": protocol}));
    put("Ports", ports.collect());
    put("EnvironmentVars", Value::Array(env));
    put(
        "SecurityContext",
        json!({
            "Capability": {"Adds": security.add_capabilities},
            "ReadOnlyRootFilesystem": security.read_only_root, "RunAsUser": security.run_as_user.unwrap_or(0),
        }),
    );
    put("Ready", json!(record.ready));
    put("RestartCount", json!(record.restart_count()));
    put("CurrentState", state(&record.state));
    put(
        "PreviousState",
        record.last.as_ref().map_or_else(unused_state, terminated),
    );
    out
}

fn app(spec: &ContainerSpec, record: &Container) -> Value {
    let mut out = common(spec, record);
    out.insert("Commands".to_owned(), json!(spec.command));
    let mounts = spec.mounts.iter().map(|m| {
        json!({
            "Name": m.volume, "MountPath": m.path, "SubPath": m.sub_path, "ReadOnly": m.read_only,
            "MountPropagation": m.propagation,
        })
    });
    out.insert("VolumeMounts".to_owned(), mounts.collect());
    for (name, value) in [("Stdin", spec.stdin), ("StdinOnce", spec.stdin_once), ("Tty", spec.tty)] {
        out.insert(name.to_owned(), json!(value));
    }
    for (name, value) in [
        ("LivenessProbe", &spec.liveness_probe),
        ("ReadinessProbe", &spec.readiness_probe),
    ] {
        out.insert(name.to_owned(), value.as_ref().map_or_else(|| json!({}), probe));
    }
    Value::Object(out)
}

/// Init containers call their entrypoint `Command` and say nothing of sub paths.
fn init(spec: &ContainerSpec, record: &Container) -> Value {
    let mut out = common(spec, record);
    out.insert("Command".to_owned(), json!(spec.command));
    let mounts = spec.mounts.iter().map(|m| {
        json!({
            "Name": m.volume, "MountPath": m.path, "ReadOnly": m.read_only, "MountPropagation": m.propagation,
        })
    });
    out.insert("VolumeMounts".to_owned(), mounts.collect());
    Value::Object(out)
}

fn state(state: &State) -> Value {
    match state {
        State::Waiting { reason, message } => json!({
            "State": "Waiting", "DetailStatus": reason, "Reason": reason, "Message": message, "StartTime": "",
            "FinishTime": "",
        }),
        State::Running { started_at } => json!({
            "State": "Running", "DetailStatus": "", "Reason": "Started", "Message": "",
            "StartTime": time(Some(*started_at)), "FinishTime": "",
        }),
        State::Terminated(ended) => terminated(ended),
    }
}

fn terminated(ended: &Terminated) -> Value {
    json!({
        "State": "Terminated", "DetailStatus": ended.reason(), "Reason": ended.reason(),
        "Message": ended.exit.message, "StartTime": time(ended.started_at), "FinishTime": time(Some(ended.finished_at)),
        "ExitCode": ended.exit.code, "Signal": ended.exit.signal,
    })
}

fn unused_state() -> Value {
    json!({"State": "", "DetailStatus": "", "StartTime": "", "FinishTime": ""})
}

fn probe(probe: &Probe) -> Value {
    let mut out = json!({
        "InitialDelaySeconds": probe.initial_delay.as_secs(), "PeriodSeconds": probe.period.as_secs(),
        "TimeoutSeconds": probe.timeout.as_secs(), "SuccessThreshold": probe.success_threshold,
        "FailureThreshold": probe.failure_threshold, "Execs": [],
    });
    match &probe.handler {
        Handler::Exec(command) => out["Execs"] = json!(command),
        Handler::HttpGet { path, port, scheme, .. } => {
            out["HttpGet"] = json!({"Path": path, "Port": port, "Scheme": scheme});
        }
        Handler::TcpSocket { host, port } => out["TcpSocket"] = json!({"Host": host, "Port": port}),
    }
    out
}

/// Volumes are flattened in answers.
fn volume(volume: &VolumeSpec) -> Value {
    match &volume.source {
        VolumeSource::EmptyDir { memory, size_limit } => json!({
            "Name": volume.name, "Type": "EmptyDirVolume",
            "EmptyDirVolumeMedium": if *memory { "Memory" } else { "" }, "EmptyDirVolumeSizeLimit": size_limit,
        }),
        VolumeSource::ConfigFile { files } => json!({
            "Name": volume.name, "Type": "ConfigFileVolume",
            "ConfigFileVolumeConfigFileToPaths": files.iter()
                .map(|f| json!({"Path": f.path, "Content": STANDARD.encode(&f.content)})).collect::<Vec<_>>(),
        }),
        VolumeSource::External(external) => external_volume(&volume.name, external),
    }
}

fn external_volume(name: &str, volume: &ExternalVolume) -> Value {
    let mut out = json!({"Name": name, "Type": volume.kind()});
    let members = match volume {
        ExternalVolume::Nfs {
            server,
            path,
            read_only,
        } => json!({
            "NFSVolumeServer": server, "NFSVolumePath": path, "NFSVolumeReadOnly": read_only,
        }),
        ExternalVolume::Flex {
            driver,
            fs_type,
            options,
        } => json!({
            "FlexVolumeDriver": driver, "FlexVolumeFsType": fs_type, "FlexVolumeOptions": options,
        }),
        ExternalVolume::Disk { disk_id, fs_type, .. } => json!({
            "DiskVolumeDiskId": disk_id, "DiskVolumeFsType": fs_type,
        }),
        // ECI's answers have no members for it.
        ExternalVolume::HostPath { .. } => json!({}),
    };
    if let (Some(out), Value::Object(mut members)) = (out.as_object_mut(), members) {
        out.append(&mut members);
    }
    out
}

fn dns(dns: &Dns) -> Value {
    match dns {
        Dns::Default => json!({}),
        Dns::None {
            name_servers,
            searches,
            options,
        } => json!({
            "NameServers": name_servers, "Searches": searches, "Options": pairs(options),
        }),
    }
}

fn pairs(pairs: &[(String, String)]) -> Vec<Value> {
    pairs
        .iter()
        .map(|(name, value)| json!({"Name": name, "Value": value}))
        .collect()
}
