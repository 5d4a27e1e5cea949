//! What is bought: the size, by vCPU and memory or by instance type, and the terms.

use super::group::Region;
use crate::{
    api::{error::ApiError, params::Scope},
    domain::{
        instance_type::{self, Architecture, InstanceType},
        size,
    },
    spec::{ComputeCategory, ContainerSpec, Size},
};

/// What `EnableOverheadReservation` adds before rounding. ECI says that it adds the system's need, not how much.
const OVERHEAD_MIB: u64 = 256;
/// Most instance types to be tried.
const INSTANCE_TYPES: usize = 10;

/// What is bought.
pub(super) struct Purchase {
    /// The size asked for; zero = none was.
    pub(super) asked: Size,
    /// The size on sale that has it.
    pub(super) size: Size,
    /// By which type it is bought, if by one.
    pub(super) instance_type: Option<String>,
    /// General or economy.
    pub(super) category: ComputeCategory,
}

/// `SpotStrategy` and `SpotPriceLimit`, as the caller wrote them.
pub(in crate::api) fn spot(scope: Scope<'_>) -> Result<(&str, Option<&str>), ApiError> {
    let strategy = scope.filled("SpotStrategy").unwrap_or("NoSpot");
    let limit = scope.filled("SpotPriceLimit");
    scope.decimal("SpotPriceLimit", 1_000)?;
    if limit.is_some_and(|l| l.split_once('.').is_some_and(|(_, decimals)| decimals.len() > 3)) {
        return Err(ApiError::invalid("SpotPriceLimit", "it may have three decimals"));
    }
    match strategy {
        "NoSpot" | "SpotAsPriceGo" => Ok((strategy, limit)),
        "SpotWithPriceLimit" if limit.is_some() => Ok((strategy, limit)),
        "SpotWithPriceLimit" => Err(ApiError::missing("SpotPriceLimit")),
        _ => Err(ApiError::invalid(
            "SpotStrategy",
            "it must be NoSpot, SpotAsPriceGo or SpotWithPriceLimit",
        )),
    }
}

pub(super) fn purchase(
    scope: Scope<'_>,
    region: Region<'_>,
    inits: &[ContainerSpec],
    containers: &[ContainerSpec],
    spot: bool,
) -> Result<Purchase, ApiError> {
    let category = category(scope)?;
    let architecture = platform(scope)?;
    let instance_type = instance_type(scope, architecture)?;
    cpu_options(scope, instance_type.as_ref())?;
    gpus(scope, inits, containers, instance_type.as_ref())?;
    let volumes = scope.list("Volume", scope.bounds().volumes)?;
    let raid = |volume: &Scope<'_>| volume.sub("EmptyDirVolume").filled("Medium") == Some("LocalRaid0");
    if volumes.iter().any(raid) && !instance_type.as_ref().is_some_and(|t| t.local_disks) {
        return Err(ApiError::instance_type_for_raid());
    }
    let overhead = scope.boolean("OverheadReservationOption.EnableOverheadReservation")?;
    if let Some(instance_type) = instance_type {
        if category == ComputeCategory::Economy {
            return Err(ApiError::conflict("ComputeCategory economy", "InstanceType"));
        }
        let asked = asked(scope, inits, containers)?;
        if asked.needed.milli_cpu > instance_type.size.milli_cpu
            || asked.needed.memory_mib > instance_type.size.memory_mib
        {
            return Err(ApiError::size(format!(
                "The containers together ask for more than {} has.",
                instance_type.name
            )));
        }
        // It wins over Cpu and Memory.
        return Ok(Purchase {
            asked: instance_type.size,
            size: instance_type.size,
            instance_type: Some(instance_type.name),
            category,
        });
    }
    let Asked { mut size, .. } = asked(scope, inits, containers)?;
    if overhead == Some(true) && size != Size::default() {
        size.memory_mib += OVERHEAD_MIB;
    }
    Ok(Purchase {
        asked: size,
        size: rounded(size, region.id, spot)?,
        instance_type: None,
        category,
    })
}

struct Asked {
    /// What the containers need together.
    needed: Size,
    /// What the group asks for.
    size: Size,
}

/// The group's own values, or the sum of the containers' (and the largest init container).
fn asked(scope: Scope<'_>, inits: &[ContainerSpec], containers: &[ContainerSpec]) -> Result<Asked, ApiError> {
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
    let size = Size {
        milli_cpu: cpu.unwrap_or(needed.milli_cpu),
        memory_mib: memory.unwrap_or(needed.memory_mib),
    };
    Ok(Asked { needed, size })
}

/// The size that is bought for one that was asked for; nothing asked for is ECI's default.
pub(super) fn rounded(asked: Size, region: &str, spot: bool) -> Result<Size, ApiError> {
    if asked == Size::default() {
        return Ok(size::DEFAULT);
    }
    let find = |common_only| size::round_up(asked, region, common_only);
    if spot && find(false) == Some(asked) && find(true) != Some(asked) {
        return Err(ApiError::spot_size());
    }
    find(spot).ok_or_else(|| {
        ApiError::size(format!(
            "The specified Cpu {} and Memory {} GiB exceed every size on sale.",
            asked.milli_cpu as f64 / 1000.0,
            asked.memory_mib as f64 / 1024.0
        ))
    })
}

/// `ComputeCategory.N`: tried in order at ECI; here the first one is always there.
fn category(scope: Scope<'_>) -> Result<ComputeCategory, ApiError> {
    let mut categories = scope.texts("ComputeCategory", 100)?.into_iter().map(word);
    let first = categories.next().transpose()?;
    categories.try_for_each(|category| category.map(|_| ()))?;
    Ok(first.unwrap_or_default())
}

fn word(word: &str) -> Result<ComputeCategory, ApiError> {
    ComputeCategory::find(word).ok_or_else(|| ApiError::invalid("ComputeCategory", "it must be economy or general"))
}

/// `OsType` and `CpuArchitecture`.
fn platform(scope: Scope<'_>) -> Result<Option<Architecture>, ApiError> {
    match scope.filled("OsType") {
        None | Some("Linux") => {}
        Some("Windows") => return Err(ApiError::only_for_invited("OsType Windows")),
        Some(_) => return Err(ApiError::invalid("OsType", "it must be Linux or Windows")),
    }
    match scope.filled("CpuArchitecture") {
        None => Ok(None),
        Some("AMD64") => Ok(Some(Architecture::Amd64)),
        Some("ARM64") => Ok(Some(Architecture::Arm64)),
        Some(_) => Err(ApiError::invalid("CpuArchitecture", "it must be AMD64 or ARM64")),
    }
}

/// `InstanceType`: one or several joined by `,`, tried in order. Here the first is always there; all must exist.
fn instance_type(scope: Scope<'_>, architecture: Option<Architecture>) -> Result<Option<InstanceType>, ApiError> {
    let Some(names) = scope.filled("InstanceType") else {
        return Ok(None);
    };
    let names: Vec<&str> = names.split(',').map(str::trim).collect();
    if names.len() > INSTANCE_TYPES {
        return Err(ApiError::value_exceeded(
            "InstanceType",
            format_args!("at most {INSTANCE_TYPES} may be named"),
        ));
    }
    let mut first = None;
    for name in names {
        let kind = known_type(name)?;
        if architecture.is_some_and(|a| a != kind.architecture) {
            return Err(ApiError::architecture(name));
        }
        first.get_or_insert(kind);
    }
    Ok(first)
}

/// The instance type of this name.
pub(in crate::api) fn known_type(name: &str) -> Result<InstanceType, ApiError> {
    instance_type::find(name).ok_or_else(|| ApiError::instance_type(name))
}

fn cpu_options(scope: Scope<'_>, instance_type: Option<&InstanceType>) -> Result<(), ApiError> {
    let cores = scope.integer("CpuOptionsCore", 0..=1_000)?;
    let threads = scope.integer("CpuOptionsThreadsPerCore", 0..=1_000)?;
    if cores.is_none() && threads.is_none() {
        return Ok(());
    }
    let Some(instance_type) = instance_type else {
        return Err(ApiError::invalid("CpuOptionsCore", "it needs an InstanceType"));
    };
    if threads.is_some_and(|t| !matches!(t, 1 | 2)) {
        return Err(ApiError::invalid("CpuOptionsThreadsPerCore", "it must be 1 or 2"));
    }
    let most = i64::try_from(instance_type.size.milli_cpu / 2_000).unwrap_or(i64::MAX);
    if cores.is_some_and(|c| !(1..=most).contains(&c)) {
        return Err(ApiError::invalid(
            "CpuOptionsCore",
            format_args!("{} has 1 to {most} cores", instance_type.name),
        ));
    }
    Ok(())
}

fn gpus(
    scope: Scope<'_>,
    inits: &[ContainerSpec],
    containers: &[ContainerSpec],
    instance_type: Option<&InstanceType>,
) -> Result<(), ApiError> {
    let there = instance_type.map_or(0, |t| t.gpus);
    let sum: u32 = containers.iter().map(|c| c.gpus).sum();
    let asked = inits.iter().map(|c| c.gpus).fold(sum, u32::max);
    if asked > there {
        return Err(ApiError::invalid(
            "Container.Gpu",
            format_args!("{asked} are asked for where the InstanceType has {there}"),
        ));
    }
    match scope.filled("GpuDriverVersion") {
        Some(_) if there == 0 => Err(ApiError::invalid(
            "GpuDriverVersion",
            "it needs an InstanceType with GPUs",
        )),
        Some(version) if !version.starts_with("tesla=") => Err(ApiError::invalid(
            "GpuDriverVersion",
            "it must be a driver such as tesla=525.85.12",
        )),
        _ => Ok(()),
    }
}
