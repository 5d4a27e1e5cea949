//! Parameters of volumes.

use std::collections::HashSet;

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::{
    api::{error::ApiError, params::Scope},
    spec::{ConfigFile, ExternalVolume, Secret, VolumeSource, VolumeSpec},
};

/// Mode of files that say nothing.
const DEFAULT_MODE: u32 = 0o644;

pub(super) fn volumes(scope: Scope<'_>) -> Result<Vec<VolumeSpec>, ApiError> {
    let items = scope.list("Volume", scope.bounds().volumes)?;
    let mut names = HashSet::new();
    items
        .into_iter()
        .map(|item| {
            let name = item.required("Name")?;
            if !names.insert(name) {
                return Err(ApiError::duplicated_volume(name));
            }
            let source = match item.required("Type")? {
                "EmptyDirVolume" => empty_dir(item.sub("EmptyDirVolume"))?,
                "ConfigFileVolume" => config_file(item.sub("ConfigFileVolume"))?,
                "NFSVolume" => VolumeSource::External(nfs(item.sub("NFSVolume"))?),
                "FlexVolume" => VolumeSource::External(flex(item.sub("FlexVolume"))?),
                "DiskVolume" => VolumeSource::External(disk(item.sub("DiskVolume"))?),
                "HostPathVolume" => VolumeSource::External(host_path(item.sub("HostPathVolume"))?),
                _ => return Err(ApiError::invalid(&item.name("Type"), "there is no such type of volume")),
            };
            Ok(VolumeSpec {
                name: name.to_owned(),
                source,
            })
        })
        .collect()
}

fn empty_dir(scope: Scope<'_>) -> Result<VolumeSource, ApiError> {
    let memory = match scope.filled("Medium") {
        None => false,
        Some(medium) if medium.eq_ignore_ascii_case("memory") => true,
        // Disks of the instance; which ones have any is looked at where the instance type is.
        Some("LocalRaid0") => false,
        Some(_) => {
            return Err(ApiError::invalid(
                &scope.name("Medium"),
                "it must be empty, memory or LocalRaid0",
            ));
        }
    };
    Ok(VolumeSource::EmptyDir {
        memory,
        size_limit: scope.filled("SizeLimit").unwrap_or_default().to_owned(),
    })
}

fn nfs(scope: Scope<'_>) -> Result<ExternalVolume, ApiError> {
    Ok(ExternalVolume::Nfs {
        server: scope.required("Server")?.to_owned(),
        path: absolute(scope, "Path")?,
        read_only: scope.boolean("ReadOnly")?.unwrap_or(false),
    })
}

fn flex(scope: Scope<'_>) -> Result<ExternalVolume, ApiError> {
    let driver = scope.required("Driver")?;
    if !matches!(driver, "alicloud/disk" | "alicloud/nas" | "alicloud/oss") {
        return Err(ApiError::invalid(
            &scope.name("Driver"),
            "it must be alicloud/disk, alicloud/nas or alicloud/oss",
        ));
    }
    let options = scope.filled("Options").unwrap_or("{}");
    let parsed: Result<serde_json::Map<String, serde_json::Value>, _> = serde_json::from_str(options);
    let Ok(parsed) = parsed else {
        return Err(ApiError::invalid(&scope.name("Options"), "it must be a JSON object"));
    };
    let size = parsed.get("volumeSize").map(|size| match size {
        serde_json::Value::String(text) => text.parse().ok(),
        other => other.as_u64(),
    });
    if driver == "alicloud/disk" && size.is_some_and(|gib| !gib.is_some_and(|gib| (20..=32_768).contains(&gib))) {
        return Err(ApiError::invalid(
            &scope.name("Options"),
            "volumeSize must be 20 to 32768 GiB",
        ));
    }
    Ok(ExternalVolume::Flex {
        driver: driver.to_owned(),
        fs_type: scope.filled("FsType").unwrap_or_default().to_owned(),
        options: Secret(options.to_owned()),
    })
}

/// A disk that exists, or a new one of a size.
fn disk(scope: Scope<'_>) -> Result<ExternalVolume, ApiError> {
    let disk_id = scope.filled("DiskId").unwrap_or_default();
    let size = scope.integer("DiskSize", 20..=32_768)?;
    if disk_id.is_empty() && size.is_none() {
        return Err(ApiError::missing(&scope.name("DiskId")));
    }
    if !disk_id.is_empty() && !disk_id.starts_with("d-") {
        return Err(ApiError::disk_not_found(disk_id));
    }
    Ok(ExternalVolume::Disk {
        disk_id: disk_id.to_owned(),
        size_gib: size.unwrap_or_default().unsigned_abs(),
        fs_type: scope.filled("FsType").unwrap_or_default().to_owned(),
    })
}

fn host_path(scope: Scope<'_>) -> Result<ExternalVolume, ApiError> {
    let kind = scope.filled("Type").unwrap_or_default();
    if !matches!(kind, "" | "Directory" | "File") {
        return Err(ApiError::invalid(&scope.name("Type"), "it must be Directory or File"));
    }
    Ok(ExternalVolume::HostPath {
        path: absolute(scope, "Path")?,
        kind: kind.to_owned(),
    })
}

fn absolute(scope: Scope<'_>, member: &str) -> Result<String, ApiError> {
    let path = scope.required(member)?;
    match path.starts_with('/') {
        true => Ok(path.to_owned()),
        false => Err(ApiError::invalid(&scope.name(member), "it must be absolute")),
    }
}

fn config_file(scope: Scope<'_>) -> Result<VolumeSource, ApiError> {
    // The misspelt name is what the old Python SDK sends.
    let default_mode = match mode(scope, "DefaultMode")? {
        Some(mode) => mode,
        None => mode(scope, "DefaultModel")?.unwrap_or(DEFAULT_MODE),
    };
    let items = scope.list("ConfigFileToPath", scope.bounds().files)?;
    let mut paths = HashSet::new();
    let mut files = Vec::with_capacity(items.len());
    let mut bytes = 0;
    for item in items {
        let path = item.required("Path")?;
        if path.starts_with('/') || path.split('/').any(|part| matches!(part, "" | "." | "..")) || path.contains('\0') {
            return Err(ApiError::invalid(
                &item.name("Path"),
                "it must be a relative path without '..'",
            ));
        }
        if !paths.insert(path) {
            return Err(ApiError::invalid(&item.name("Path"), "it is used more than once"));
        }
        let content = STANDARD
            .decode(item.text("Content").unwrap_or_default())
            .map_err(|_| ApiError::invalid(&item.name("Content"), "it is not base64"))?;
        if content.len() > scope.bounds().file_bytes {
            return Err(ApiError::value_exceeded(
                &item.name("Content"),
                format_args!("a file may have {} bytes", scope.bounds().file_bytes),
            ));
        }
        bytes += content.len();
        files.push(ConfigFile {
            path: path.to_owned(),
            content: content.into(),
            mode: mode(item, "Mode")?.unwrap_or(default_mode),
        });
    }
    if bytes > scope.bounds().volume_bytes {
        return Err(ApiError::value_exceeded(
            &scope.name("ConfigFileToPath"),
            format_args!(
                "all files of a volume together may have {} bytes",
                scope.bounds().volume_bytes
            ),
        ));
    }
    Ok(VolumeSource::ConfigFile { files })
}

/// Mode bits: octal with a leading 0, as the documents show them, otherwise decimal, as Kubernetes sends them.
fn mode(scope: Scope<'_>, member: &str) -> Result<Option<u32>, ApiError> {
    let Some(text) = scope.filled(member) else {
        return Ok(None);
    };
    let mode = match text.strip_prefix('0') {
        Some("") => Ok(0),
        Some(octal) => u32::from_str_radix(octal, 8),
        None => text.parse(),
    };
    match mode {
        Ok(mode) if mode <= 0o7777 => Ok(Some(mode)),
        _ => Err(ApiError::invalid(
            &scope.name(member),
            "it must be the bits of a mode, such as 420 or 0644",
        )),
    }
}
