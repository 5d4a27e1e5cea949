//! Parameters of volumes.

use std::collections::HashSet;

use base64::{Engine, engine::general_purpose::STANDARD};

use super::bounds;
use crate::{
    api::{error::ApiError, params::Scope},
    spec::{ConfigFile, VolumeSource, VolumeSpec},
};

/// Mode of files that say nothing.
const DEFAULT_MODE: u32 = 0o644;

pub(super) fn volumes(scope: Scope<'_>) -> Result<Vec<VolumeSpec>, ApiError> {
    let items = scope.list("Volume", bounds::VOLUMES)?;
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
                "NFSVolume" | "FlexVolume" | "DiskVolume" | "HostPathVolume" => {
                    return Err(ApiError::unsupported(
                        &item.name("Type"),
                        "it has EmptyDirVolume and ConfigFileVolume only",
                    ));
                }
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
        Some(_) => return Err(ApiError::invalid(&scope.name("Medium"), "it must be empty or memory")),
    };
    Ok(VolumeSource::EmptyDir {
        memory,
        size_limit: scope.filled("SizeLimit").unwrap_or_default().to_owned(),
    })
}

fn config_file(scope: Scope<'_>) -> Result<VolumeSource, ApiError> {
    // The misspelt name is what the old Python SDK sends.
    let default_mode = match mode(scope, "DefaultMode")? {
        Some(mode) => mode,
        None => mode(scope, "DefaultModel")?.unwrap_or(DEFAULT_MODE),
    };
    let items = scope.list("ConfigFileToPath", bounds::FILES)?;
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
        if content.len() > bounds::FILE_BYTES {
            return Err(ApiError::value_exceeded(
                &item.name("Content"),
                format_args!("a file may have {} bytes", bounds::FILE_BYTES),
            ));
        }
        bytes += content.len();
        files.push(ConfigFile {
            path: path.to_owned(),
            content: content.into(),
            mode: mode(item, "Mode")?.unwrap_or(default_mode),
        });
    }
    if bytes > bounds::VOLUME_BYTES {
        return Err(ApiError::value_exceeded(
            &scope.name("ConfigFileToPath"),
            format_args!("all files of a volume together may have {} bytes", bounds::VOLUME_BYTES),
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
