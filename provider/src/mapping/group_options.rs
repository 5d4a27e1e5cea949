//! ACK's annotations that are parameters of a group: network, images, data caches, machine.

use serde::Deserialize;

use super::annotated::{Annotated, field};
use super::annotations as ours;
use super::rejection::Findings;
use crate::request::{
    AcrRegistry, DataCache, Eip, GroupOptions, HostAlias, ImageOptions, MachineOptions, NetworkOptions,
};

/// Mbit/s that a public address may have.
const MAX_BANDWIDTH: i64 = 10_000;
/// Hours that an idle address is kept at most: a year.
const MAX_RETAIN_HOURS: i64 = 8_760;
/// Physical cores, ECI's bound.
const MAX_CORES: i64 = 1_000;

/// Everything that the pod's annotations say.
pub(super) fn read(annotated: Annotated<'_>, findings: &mut Findings) -> GroupOptions {
    GroupOptions {
        network: network(annotated, findings),
        images: images(annotated, findings),
        data_cache: data_cache(annotated, findings),
        machine: machine(annotated, findings),
    }
}

fn network(annotated: Annotated<'_>, findings: &mut Findings) -> NetworkOptions {
    let text = |name: &str| annotated.text(name).map(str::to_owned);
    let mut flag = |name: &str| annotated.flag(name, findings).unwrap_or(false);
    let ipv6_count = annotated.text(ours::IPV6_COUNT);
    let network = NetworkOptions {
        private_ip_address: text(ours::PRIVATE_IP_ADDRESS),
        fixed_ip: flag(ours::FIXED_IP),
        ipv6: flag(ours::ENABLE_IPV6) || ipv6_count == Some("1"),
        ipv6_gateway_bandwidth_enable: flag(ours::IPV6_BANDWIDTH_ENABLE),
        ..NetworkOptions::default()
    };
    if let Some(other) = ipv6_count.filter(|count| !matches!(*count, "0" | "1")) {
        findings.invalid(
            field(ours::IPV6_COUNT),
            format!("`{other}` addresses; a group has one IPv6 address or none"),
        );
    }
    if let Some(address) = &network.private_ip_address
        && address.parse::<std::net::Ipv4Addr>().is_err()
    {
        findings.invalid(
            field(ours::PRIVATE_IP_ADDRESS),
            format!("`{address}` is not an IPv4 address"),
        );
    }
    NetworkOptions {
        eip: eip(annotated, findings),
        fixed_ip_retain_hours: annotated.number(ours::FIXED_IP_RETAIN_HOUR, 1..=MAX_RETAIN_HOURS, findings),
        ipv6_gateway_bandwidth: megabits(annotated, findings),
        ingress_bandwidth: annotated.bytes(ours::INGRESS_BANDWIDTH, findings),
        egress_bandwidth: annotated.bytes(ours::EGRESS_BANDWIDTH, findings),
        ..network
    }
}

fn eip(annotated: Annotated<'_>, findings: &mut Findings) -> Option<Eip> {
    let bound = annotated.first_text(&[ours::EIP_INSTANCE_ID, ours::POD_EIP_INSTANCE_ID]);
    let create = [ours::WITH_EIP, ours::POD_WITH_EIP]
        .iter()
        .any(|name| annotated.flag(name, findings) == Some(true));
    let bandwidth = annotated.number(ours::EIP_BANDWIDTH, 1..=MAX_BANDWIDTH, findings);
    let isp = annotated.word(ours::EIP_ISP, &[("BGP", "BGP"), ("BGP_PRO", "BGP_PRO")], findings);
    match bound {
        Some((name, _)) if create => {
            findings.invalid(
                field(name),
                format!(
                    "an address that exists is bound, or a new one is made; remove this or {}",
                    ours::WITH_EIP
                ),
            );
            None
        }
        Some((_, id)) => Some(Eip::Bind(id.to_owned())),
        None if create => Some(Eip::Create {
            bandwidth,
            isp: isp.map(str::to_owned),
            common_bandwidth_package: annotated.text(ours::EIP_COMMON_BANDWIDTH_PACKAGE_ID).map(str::to_owned),
        }),
        None => {
            for name in [
                ours::EIP_BANDWIDTH,
                ours::EIP_ISP,
                ours::EIP_COMMON_BANDWIDTH_PACKAGE_ID,
            ] {
                if annotated.text(name).is_some() {
                    let what = ours::WITH_EIP;
                    findings.warn(
                        field(name),
                        format!("it has an effect on a new public address only ({what})"),
                    );
                }
            }
            None
        }
    }
}

/// `100M`, or `100`: Mbit/s.
fn megabits(annotated: Annotated<'_>, findings: &mut Findings) -> Option<u64> {
    let text = annotated.text(ours::IPV6_BANDWIDTH)?;
    let number = text.strip_suffix(['M', 'm']).unwrap_or(text).parse().ok();
    let number = number.filter(|mbit| (1..=MAX_BANDWIDTH.unsigned_abs()).contains(mbit));
    if number.is_none() {
        findings.invalid(
            field(ours::IPV6_BANDWIDTH),
            format!("`{text}` is not a bandwidth in Mbit/s, such as 100M"),
        );
    }
    number
}

fn images(annotated: Annotated<'_>, findings: &mut Findings) -> ImageOptions {
    let modes = ["nydus", "dadi", "p2p", "imc"].map(|mode| (mode, mode));
    let hosts = |name: &str| Some(annotated.list(name).join(",")).filter(|hosts| !hosts.is_empty());
    ImageOptions {
        auto_match_image_cache: annotated
            .flag(ours::AUTO_IMAGE_CACHE, findings)
            .or(annotated.flag(ours::IMAGE_CACHE, findings)),
        image_snapshot_id: annotated
            .first_text(&[ours::IMAGE_CACHE_ID, ours::IMAGE_SNAPSHOT_ID])
            .map(|(_, id)| id.to_owned()),
        accelerate_mode: annotated
            .word(ours::IMAGE_ACCELERATE_MODE, &modes, findings)
            .map(str::to_owned),
        acr: acr(annotated, findings),
        plain_http_registry: hosts(ours::PLAIN_HTTP_REGISTRY),
        insecure_registry: hosts(ours::INSECURE_REGISTRY),
    }
}

/// Instances of Container Registry, each perhaps with its region (`cn-beijing:cri-1`), and the roles for them: one for all, or
/// one for each.
fn acr(annotated: Annotated<'_>, findings: &mut Findings) -> Vec<AcrRegistry> {
    let name = match annotated.text(ours::ACR_INSTANCE_IDS) {
        Some(_) => ours::ACR_INSTANCE_IDS,
        None => ours::ACR_INSTANCE_ID,
    };
    let ids = annotated.list(name);
    let mut roles = |name: &str| {
        let roles = annotated.list(name);
        if !(roles.len() <= 1 || roles.len() == ids.len()) {
            findings.invalid(
                field(name),
                format!(
                    "{} roles for {} registries; name one for all, or one for each",
                    roles.len(),
                    ids.len()
                ),
            );
        }
        move |index: usize| {
            if roles.len() == 1 {
                roles.first()
            } else {
                roles.get(index)
            }
            .cloned()
        }
    };
    let (service, user) = (roles(ours::ACR_SERVICE_ARNS), roles(ours::ACR_USER_ARNS));
    ids.iter()
        .enumerate()
        .map(|(index, id)| {
            let (region, id) = match id.split_once(':') {
                Some((region, id)) => (Some(region.to_owned()), id),
                None => (None, id.as_str()),
            };
            AcrRegistry {
                instance_id: id.to_owned(),
                region_id: region,
                arn_service: service(index),
                arn_user: user(index),
            }
        })
        .collect()
}

fn data_cache(annotated: Annotated<'_>, findings: &mut Findings) -> Option<DataCache> {
    let levels = ["PL0", "PL1", "PL2", "PL3"].map(|level| (level, level));
    let performance_level = annotated.word(ours::DATA_CACHE_PL, &levels, findings);
    let provisioned_iops = annotated.number(ours::DATA_CACHE_PROVISIONED_IOPS, 0..=50_000, findings);
    let bursting_enabled = annotated.flag(ours::DATA_CACHE_BURSTING_ENABLED, findings);
    let Some(bucket) = annotated.text(ours::DATA_CACHE_BUCKET) else {
        if performance_level.is_some() || provisioned_iops.is_some() || bursting_enabled.is_some() {
            findings.warn(
                field(ours::DATA_CACHE_BUCKET),
                "without it the annotations of a data cache have no effect",
            );
        }
        return None;
    };
    Some(DataCache {
        bucket: bucket.to_owned(),
        performance_level: performance_level.map(str::to_owned),
        provisioned_iops,
        bursting_enabled,
    })
}

fn machine(annotated: Annotated<'_>, findings: &mut Findings) -> MachineOptions {
    let compute_categories = annotated.list(ours::COMPUTE_CATEGORY);
    for category in &compute_categories {
        if !matches!(category.as_str(), "economy" | "general") {
            findings.invalid(
                field(ours::COMPUTE_CATEGORY),
                format!("`{category}` is none of economy, general"),
            );
        }
    }
    let core_pattern = annotated.text(ours::CORE_PATTERN);
    if core_pattern.is_some_and(|pattern| pattern.starts_with('|')) {
        findings.invalid(
            field(ours::CORE_PATTERN),
            "core dumps go to a directory, not into a pipe",
        );
    }
    MachineOptions {
        compute_categories,
        gpu_driver_version: annotated.text(ours::GPU_DRIVER_VERSION).map(str::to_owned),
        cpu_cores: annotated.number(ours::CPU_OPTION_CORE, 1..=MAX_CORES, findings),
        cpu_threads_per_core: annotated.number(ours::CPU_OPTION_HT, 1..=2, findings),
        ntp_servers: annotated.list(ours::NTP_SERVER),
        core_pattern: core_pattern.map(str::to_owned),
        host_sysctls: host_sysctls(annotated, findings),
    }
}

/// `[{"name":"kernel.msgmax","value":"65536"}]`.
fn host_sysctls(annotated: Annotated<'_>, findings: &mut Findings) -> Vec<(String, String)> {
    #[derive(Deserialize)]
    struct Sysctl {
        name: String,
        value: String,
    }
    let form = r#"a list such as [{"name":"kernel.msgmax","value":"65536"}]"#;
    let all: Vec<Sysctl> = annotated.json(ours::HOST_SYSCTLS, form, findings).unwrap_or_default();
    all.into_iter().map(|sysctl| (sysctl.name, sysctl.value)).collect()
}

/// `[{"host":"example.com","ip":"10.0.0.1"}]`: entries of the hosts file, one per address.
pub(super) fn custom_hosts(annotated: Annotated<'_>, findings: &mut Findings) -> Vec<HostAlias> {
    #[derive(Deserialize)]
    struct Host {
        host: String,
        ip: String,
    }
    let form = r#"a list such as [{"host":"example.com","ip":"10.0.0.1"}]"#;
    let all: Vec<Host> = annotated.json(ours::CUSTOM_HOSTS, form, findings).unwrap_or_default();
    let mut aliases: Vec<HostAlias> = Vec::new();
    for Host { host, ip } in all {
        if ip.parse::<std::net::IpAddr>().is_err() {
            findings.invalid(field(ours::CUSTOM_HOSTS), format!("`{ip}` is not an IP address"));
        }
        match aliases.iter_mut().find(|alias| alias.ip == ip) {
            Some(alias) => alias.hostnames.push(host),
            None => aliases.push(HostAlias {
                ip,
                hostnames: vec![host],
            }),
        }
    }
    aliases
}

/// `{"nameservers":"10.0.0.1,10.0.0.2","searches":"a.com","options":"ndots:2,edns0"}`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct CustomDns {
    pub(super) nameservers: String,
    pub(super) searches: String,
    pub(super) options: String,
}

impl CustomDns {
    pub(super) fn read(annotated: Annotated<'_>, findings: &mut Findings) -> Option<Self> {
        let form =
            r#"an object of texts such as {"nameservers":"10.0.0.1","searches":"a.com,b.com","options":"ndots:2"}"#;
        let custom: Self = annotated.json(ours::CUSTOM_DNS_CONFIG, form, findings)?;
        if custom.nameservers.trim().is_empty() {
            findings.invalid(field(ours::CUSTOM_DNS_CONFIG), "it names no server (nameservers)");
            return None;
        }
        Some(custom)
    }
}
