//! Parameters of the group itself.

use std::{collections::HashSet, net::IpAddr, time::Duration};

use super::{container, network, purchase, volume};
use crate::{
    api::{error::ApiError, params::Scope},
    spec::{ContainerSpec, Dns, GroupSpec, HostAlias, RegistryCredential, RestartPolicy, Secret, Wishes},
};

/// Where groups are made.
#[derive(Clone, Copy, Debug)]
pub(in crate::api) struct Region<'a> {
    /// Its id.
    pub(in crate::api) id: &'a str,
    /// Its zones.
    pub(in crate::api) zones: &'a [String],
}

/// Reads and validates a whole group.
///
/// # Errors
/// ECI's code for the first parameter that is wrong.
pub(in crate::api) fn group_spec(scope: Scope<'_>, region: Region<'_>) -> Result<GroupSpec, ApiError> {
    let name = group_name(scope)?;
    let volumes = volume::volumes(scope)?;
    let init_containers = containers(scope, "InitContainer", true, &volumes)?;
    let containers = containers(scope, "Container", false, &volumes)?;
    if containers.is_empty() {
        return Err(ApiError::missing("Container"));
    }
    let mut names = HashSet::new();
    if let Some(twice) = init_containers
        .iter()
        .chain(&containers)
        .find(|c| !names.insert(c.name.as_str()))
    {
        return Err(ApiError::duplicated_name(&twice.name));
    }

    let (spot_strategy, spot_price_limit) = purchase::spot(scope)?;
    let spot = spot_strategy != "NoSpot";
    let bought = purchase::purchase(scope, region, &init_containers, &containers, spot)?;
    unused(scope)?;

    let wishes = wishes(scope)?;

    Ok(GroupSpec {
        host_name: scope.filled("HostName").unwrap_or(&name).to_owned(),
        zone_id: zone(scope, region)?,
        vswitch_id: wishes.vswitch_ids.first().cloned().unwrap_or_default(),
        security_group_id: scope.filled("SecurityGroupId").unwrap_or("sg-default").to_owned(),
        resource_group_id: scope.filled("ResourceGroupId").unwrap_or_default().to_owned(),
        size: bought.size,
        asked: bought.asked,
        compute_category: bought.category,
        network: network::network(scope)?,
        wishes,
        instance_type: bought.instance_type,
        spot_duration: scope.integer("SpotDuration", 0..=1_000_000)?.map(i64::unsigned_abs),
        max_pending: scope
            .integer("MaxPendingMinute", 1..=1_000_000)?
            .map(|minutes| Duration::from_secs(minutes.unsigned_abs() * 60)),
        extra_ephemeral_storage_gib: scope
            .integer("EphemeralStorage", 0..=5_000)?
            .unwrap_or(0)
            .unsigned_abs(),
        restart_policy: restart_policy(scope)?,
        active_deadline: seconds(scope, "ActiveDeadlineSeconds")?,
        termination_grace: seconds(scope, "TerminationGracePeriodSeconds")?.unwrap_or(Duration::from_secs(30)),
        spot_strategy: spot_strategy.to_owned(),
        spot_price_limit: spot_price_limit.map(str::to_owned),
        ram_role_name: scope.filled("RamRoleName").unwrap_or_default().to_owned(),
        share_process_namespace: scope.boolean("ShareProcessNamespace")?.unwrap_or(false),
        dns: dns(scope)?,
        host_aliases: host_aliases(scope)?,
        sysctls: sysctls(scope)?,
        registry_credentials: registry_credentials(scope)?,
        insecure_registries: insecure_registries(scope),
        image_snapshot_id: scope.filled("ImageSnapshotId").unwrap_or_default().to_owned(),
        auto_match_image_cache: scope.boolean("AutoMatchImageCache")?.unwrap_or(false),
        tags: tags(scope)?,
        init_containers,
        containers,
        volumes,
        name,
    })
}

fn containers(
    scope: Scope<'_>,
    list: &str,
    is_init: bool,
    volumes: &[crate::spec::VolumeSpec],
) -> Result<Vec<ContainerSpec>, ApiError> {
    scope
        .list(list, scope.bounds().containers)?
        .into_iter()
        .map(|c| container::container(c, is_init, volumes))
        .collect()
}

fn group_name(scope: Scope<'_>) -> Result<String, ApiError> {
    let name = scope.required("ContainerGroupName")?;
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let valid =
        (2..=128).contains(&name.len()) && name.bytes().all(allowed) && !name.starts_with('-') && !name.ends_with('-');
    match valid {
        true => Ok(name.to_owned()),
        false => Err(ApiError::invalid(
            "ContainerGroupName",
            "it must be 2 to 128 of a-z, 0-9 and '-', and neither begin nor end with '-'",
        )),
    }
}

pub(in crate::api) fn zone(scope: Scope<'_>, region: Region<'_>) -> Result<String, ApiError> {
    match scope.filled("ZoneId") {
        None => Ok(region.zones.first().cloned().unwrap_or_default()),
        Some(zone) if region.zones.iter().any(|z| z == zone) => Ok(zone.to_owned()),
        Some(zone) => Err(ApiError::zone(zone)),
    }
}

fn wishes(scope: Scope<'_>) -> Result<Wishes, ApiError> {
    let ids: Vec<&str> = scope
        .filled("VSwitchId")
        .unwrap_or("vsw-default")
        .split(',')
        .map(str::trim)
        .collect();
    if ids.len() > 10 || ids.iter().any(|id| id.is_empty()) {
        return Err(ApiError::invalid(
            "VSwitchId",
            "it must be at most 10 ids joined by ','",
        ));
    }
    let random = match scope.filled("ScheduleStrategy") {
        None | Some("VSwitchOrdered") => false,
        Some("VSwitchRandom") => true,
        Some(_) => {
            return Err(ApiError::invalid(
                "ScheduleStrategy",
                "it must be VSwitchOrdered or VSwitchRandom",
            ));
        }
    };
    Ok(Wishes {
        vswitch_ids: ids.into_iter().map(str::to_owned).collect(),
        random,
        zone_id: scope.filled("ZoneId").map(str::to_owned),
    })
}

pub(super) fn restart_policy(scope: Scope<'_>) -> Result<RestartPolicy, ApiError> {
    match scope.filled("RestartPolicy") {
        None | Some("Always") => Ok(RestartPolicy::Always),
        Some("OnFailure") => Ok(RestartPolicy::OnFailure),
        Some("Never") => Ok(RestartPolicy::Never),
        Some(_) => Err(ApiError::invalid(
            "RestartPolicy",
            "it must be Always, OnFailure or Never",
        )),
    }
}

fn seconds(scope: Scope<'_>, name: &str) -> Result<Option<Duration>, ApiError> {
    Ok(scope
        .integer(name, 0..=i64::from(i32::MAX))?
        .map(|s| Duration::from_secs(s.unsigned_abs())))
}

/// Parameters that are checked and have nothing to act on: there is no registry of the enterprise edition, no clock and no
/// kernel of the group's own.
fn unused(scope: Scope<'_>) -> Result<(), ApiError> {
    for server in scope.texts("NtpServer", scope.bounds().ntp_servers)? {
        if !is_host_name(server) && server.parse::<IpAddr>().is_err() {
            return Err(ApiError::invalid(
                "NtpServer",
                "it must be a host name or an IP address",
            ));
        }
    }
    for registry in scope.list("AcrRegistryInfo", scope.bounds().credentials)? {
        registry.texts("Domain", 100)?;
        for member in ["InstanceId", "InstanceName", "RegionId", "ArnService", "ArnUser"] {
            registry.text(member);
        }
    }
    if scope
        .filled("CorePattern")
        .is_some_and(|pattern| pattern.starts_with('|'))
    {
        return Err(ApiError::invalid("CorePattern", "it must not begin with a pipe"));
    }
    let one_of = |name: &str, words: &[&str]| match scope.filled(name) {
        Some(word) if !words.contains(&word) => Err(ApiError::invalid(
            name,
            format_args!("it must be one of {}", words.join(", ")),
        )),
        _ => Ok(()),
    };
    one_of("ImageAccelerateMode", &["nydus", "dadi", "p2p", "imc"])?;
    one_of("DataCachePL", &["PL0", "PL1", "PL2", "PL3"])?;
    scope.boolean("ContainerResourceView")?;
    scope.boolean("DataCacheBurstingEnabled")?;
    scope.integer("DataCacheProvisionedIops", 0..=50_000)?;
    scope.text("DataCacheBucket");
    Ok(())
}

pub(super) fn dns(scope: Scope<'_>) -> Result<Dns, ApiError> {
    let config = scope.sub("DnsConfig");
    let texts = |member: &str| -> Result<Vec<String>, ApiError> {
        Ok(config
            .texts(member, scope.bounds().dns)?
            .into_iter()
            .map(str::to_owned)
            .collect())
    };
    let name_servers = texts("NameServer")?;
    if let Some(bad) = name_servers.iter().find(|ip| ip.parse::<IpAddr>().is_err()) {
        return Err(ApiError::invalid(
            "DnsConfig.NameServer",
            format_args!("{bad:?} is not an IP address"),
        ));
    }
    let searches = texts("Search")?;
    let options = config.text_pairs("Option", ("Name", "Value"), scope.bounds().dns)?;
    match scope.filled("DnsPolicy") {
        Some("None") if name_servers.is_empty() => Err(ApiError::invalid(
            "DnsConfig",
            "DnsPolicy None needs at least one NameServer",
        )),
        Some("None") => Ok(Dns::None {
            name_servers,
            searches,
            options,
        }),
        None if !name_servers.is_empty() => Ok(Dns::None {
            name_servers,
            searches,
            options,
        }),
        None | Some("Default") => Ok(Dns::Default),
        Some(_) => Err(ApiError::invalid("DnsPolicy", "it must be None or Default")),
    }
}

fn host_aliases(scope: Scope<'_>) -> Result<Vec<HostAlias>, ApiError> {
    let items = scope.list("HostAliase", scope.bounds().host_aliases)?;
    items
        .into_iter()
        .map(|item| {
            let ip = item.required("Ip")?;
            let ip = ip
                .parse()
                .map_err(|_| ApiError::invalid(&item.name("Ip"), "it is not an IP address"))?;
            let names = item.texts("Hostname", scope.bounds().host_names)?;
            if let Some(bad) = names.iter().find(|n| !is_host_name(n)) {
                return Err(ApiError::invalid(
                    &item.name("Hostname"),
                    format_args!("{bad:?} is not a host name"),
                ));
            }
            Ok(HostAlias {
                ip,
                host_names: names.into_iter().map(str::to_owned).collect(),
            })
        })
        .collect()
}

/// What may stand in /etc/hosts without breaking its lines.
fn is_host_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= 253 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

fn sysctls(scope: Scope<'_>) -> Result<Vec<(String, String)>, ApiError> {
    let mut sysctls = scope.text_pairs("SecurityContext.Sysctl", ("Name", "Value"), scope.bounds().sysctls)?;
    sysctls.extend(scope.text_pairs("HostSecurityContext.Sysctl", ("Name", "Value"), scope.bounds().sysctls)?);
    Ok(sysctls)
}

pub(in crate::api) fn registry_credentials(scope: Scope<'_>) -> Result<Vec<RegistryCredential>, ApiError> {
    let items = scope.list("ImageRegistryCredential", scope.bounds().credentials)?;
    items
        .into_iter()
        .map(|item| {
            let server = item.required("Server")?;
            if server.contains("://") {
                return Err(ApiError::invalid(&item.name("Server"), "it must not have a scheme"));
            }
            Ok(RegistryCredential {
                server: server.to_owned(),
                user_name: item.required("UserName")?.to_owned(),
                password: Secret(item.required("Password")?.to_owned()),
            })
        })
        .collect()
}

pub(in crate::api) fn insecure_registries(scope: Scope<'_>) -> Vec<String> {
    ["PlainHttpRegistry", "InsecureRegistry"]
        .into_iter()
        .filter_map(|name| scope.filled(name))
        .flat_map(|list| list.split(','))
        .map(|host| host.trim().to_owned())
        .filter(|host| !host.is_empty())
        .collect()
}

pub(in crate::api) fn tags(scope: Scope<'_>) -> Result<Vec<(String, String)>, ApiError> {
    let tags = scope.text_pairs("Tag", ("Key", "Value"), scope.bounds().tags)?;
    let mut keys = HashSet::new();
    for (key, value) in &tags {
        let reserved = |text: &str| text.starts_with("acs:");
        if key.chars().count() > 64
            || key.starts_with("aliyun")
            || reserved(key)
            || key.contains("http://")
            || key.contains("https://")
        {
            return Err(ApiError::invalid(
                "Tag.Key",
                format_args!("{key:?} must have 1 to 64 characters, no URL, and not begin with aliyun or acs:"),
            ));
        }
        if value.chars().count() > 128 || reserved(value) {
            return Err(ApiError::invalid(
                "Tag.Value",
                format_args!("that of {key:?} must have at most 128 characters and not begin with acs:"),
            ));
        }
        if !keys.insert(key.as_str()) {
            return Err(ApiError::invalid(
                "Tag.Key",
                format_args!("{key:?} is used more than once"),
            ));
        }
    }
    Ok(tags)
}
