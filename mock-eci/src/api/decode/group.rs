//! Parameters of the group itself.

use std::{collections::HashSet, net::IpAddr, time::Duration};

use super::{bounds, container, volume};
use crate::{
    api::{error::ApiError, params::Scope},
    domain::size,
    spec::{ContainerSpec, Dns, GroupSpec, HostAlias, RegistryCredential, RestartPolicy, Secret, Size, Wishes},
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

    let spot_strategy = scope.filled("SpotStrategy").unwrap_or("NoSpot");
    let spot_price_limit = scope.filled("SpotPriceLimit").map(str::to_owned);
    scope.decimal("SpotPriceLimit", 1_000)?;
    match spot_strategy {
        "NoSpot" | "SpotAsPriceGo" => {}
        "SpotWithPriceLimit" if spot_price_limit.is_some() => {}
        "SpotWithPriceLimit" => return Err(ApiError::missing("SpotPriceLimit")),
        _ => {
            return Err(ApiError::invalid(
                "SpotStrategy",
                "it must be NoSpot, SpotAsPriceGo or SpotWithPriceLimit",
            ));
        }
    }
    let (asked, size) = group_size(
        scope,
        region.id,
        &init_containers,
        &containers,
        spot_strategy != "NoSpot",
    )?;

    let wishes = wishes(scope)?;

    Ok(GroupSpec {
        host_name: scope.filled("HostName").unwrap_or(&name).to_owned(),
        zone_id: zone(scope, region)?,
        vswitch_id: wishes.vswitch_ids.first().cloned().unwrap_or_default(),
        security_group_id: scope.filled("SecurityGroupId").unwrap_or("sg-default").to_owned(),
        resource_group_id: scope.filled("ResourceGroupId").unwrap_or_default().to_owned(),
        size,
        asked,
        wishes,
        instance_type: None,
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
        spot_price_limit,
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
        .list(list, bounds::CONTAINERS)?
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

/// The size that is bought: the group's own values, or the sum of the containers' (and the largest init container), rounded
/// up to what is sold: what was asked for, and what is bought.
fn group_size(
    scope: Scope<'_>,
    region: &str,
    inits: &[ContainerSpec],
    containers: &[ContainerSpec],
    spot: bool,
) -> Result<(Size, Size), ApiError> {
    let sum = containers.iter().fold(Size::default(), |sum, c| Size {
        milli_cpu: sum.milli_cpu + c.size.milli_cpu,
        memory_mib: sum.memory_mib + c.size.memory_mib,
    });
    let needed = inits.iter().fold(sum, |need, c| Size {
        milli_cpu: need.milli_cpu.max(c.size.milli_cpu),
        memory_mib: need.memory_mib.max(c.size.memory_mib),
    });
    let (cpu, memory) = (scope.decimal("Cpu", 1_000)?, scope.decimal("Memory", 1_024)?);
    if cpu.is_some_and(|c| c < needed.milli_cpu) || memory.is_some_and(|m| m < needed.memory_mib) {
        return Err(ApiError::size(
            "The containers together ask for more than the Cpu and Memory of the group.",
        ));
    }
    scope.boolean("OverheadReservationOption.EnableOverheadReservation")?;
    let asked = Size {
        milli_cpu: cpu.unwrap_or(needed.milli_cpu),
        memory_mib: memory.unwrap_or(needed.memory_mib),
    };
    Ok((asked, rounded(asked, region, spot)?))
}

/// The size that is bought for one that was asked for; nothing asked for is ECI's default.
pub(super) fn rounded(asked: Size, region: &str, spot: bool) -> Result<Size, ApiError> {
    if asked == Size::default() {
        return Ok(size::DEFAULT);
    }
    size::round_up(asked, region, spot).ok_or_else(|| {
        ApiError::size(format!(
            "The specified Cpu {} and Memory {} GiB exceed every size on sale.",
            asked.milli_cpu as f64 / 1000.0,
            asked.memory_mib as f64 / 1024.0
        ))
    })
}

pub(super) fn dns(scope: Scope<'_>) -> Result<Dns, ApiError> {
    let config = scope.sub("DnsConfig");
    let texts = |member: &str| -> Result<Vec<String>, ApiError> {
        Ok(config
            .texts(member, bounds::DNS)?
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
    let options = config.text_pairs("Option", ("Name", "Value"), bounds::DNS)?;
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
    let items = scope.list("HostAliase", bounds::HOST_ALIASES)?;
    items
        .into_iter()
        .map(|item| {
            let ip = item.required("Ip")?;
            let ip = ip
                .parse()
                .map_err(|_| ApiError::invalid(&item.name("Ip"), "it is not an IP address"))?;
            let names = item.texts("Hostname", bounds::HOST_NAMES)?;
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
    let mut sysctls = scope.text_pairs("SecurityContext.Sysctl", ("Name", "Value"), bounds::SYSCTLS)?;
    sysctls.extend(scope.text_pairs("HostSecurityContext.Sysctl", ("Name", "Value"), bounds::SYSCTLS)?);
    Ok(sysctls)
}

pub(in crate::api) fn registry_credentials(scope: Scope<'_>) -> Result<Vec<RegistryCredential>, ApiError> {
    let items = scope.list("ImageRegistryCredential", bounds::CREDENTIALS)?;
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
    let tags = scope.text_pairs("Tag", ("Key", "Value"), bounds::TAGS)?;
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
