//! The downward API: values a pod asks of itself, in its environment and in files.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use k8s_openapi::api::core::v1::{Container, ObjectFieldSelector, ResourceFieldSelector};

use super::Context;
use super::quantity::Exact;

/// Value of a `fieldRef`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FieldValue {
    /// Known now.
    Text(String),
    /// The pod's IP: ECI fills it in.
    PodIp,
}

/// A `fieldRef` of an environment variable.
pub(super) fn env_field(cx: &Context<'_>, selector: &ObjectFieldSelector) -> Result<FieldValue, String> {
    let ObjectFieldSelector {
        api_version: _,
        field_path,
    } = selector;
    let path = field_path.as_str();
    match path {
        "status.podIP" | "status.podIPs" => return Ok(FieldValue::PodIp),
        "status.hostIP" | "status.hostIPs" => return Ok(FieldValue::Text(cx.settings.node_ip.clone())),
        "spec.nodeName" => return Ok(FieldValue::Text(cx.settings.node_name.clone())),
        "spec.serviceAccountName" => {
            let name = cx
                .spec
                .service_account_name
                .as_ref()
                .or(cx.spec.service_account.as_ref());
            return Ok(FieldValue::Text(name.cloned().unwrap_or_default()));
        }
        // Whole maps exist in files only.
        "metadata.labels" | "metadata.annotations" => {
            return Err(format!("`{path}` is a map; name one entry, as in {path}['key']"));
        }
        _ => {}
    }
    metadata(cx, path)
        .map(FieldValue::Text)
        .ok_or_else(|| unsupported(path, ENV_PATHS))
}

/// A `fieldRef` of a downwardAPI file.
pub(super) fn file_field(cx: &Context<'_>, selector: &ObjectFieldSelector) -> Result<String, String> {
    let ObjectFieldSelector {
        api_version: _,
        field_path,
    } = selector;
    let meta = &cx.pod.metadata;
    match field_path.as_str() {
        "metadata.labels" => Ok(format_map(meta.labels.as_ref())),
        "metadata.annotations" => Ok(format_map(meta.annotations.as_ref())),
        path => metadata(cx, path).ok_or_else(|| unsupported(path, FILE_PATHS)),
    }
}

const FILE_PATHS: &str = "metadata.{name,namespace,uid,labels,annotations,labels['<key>'],annotations['<key>']}";
const ENV_PATHS: &str = "metadata.{name,namespace,uid,labels['<key>'],annotations['<key>']}, spec.{nodeName,\
                         serviceAccountName}, status.{podIP,podIPs,hostIP,hostIPs}";

fn unsupported(path: &str, known: &str) -> String {
    format!("`{path}` is not a field of the downward API; it knows {known}")
}

fn metadata(cx: &Context<'_>, path: &str) -> Option<String> {
    let meta = &cx.pod.metadata;
    let entry = |map: &Option<BTreeMap<String, String>>, key: &str| {
        map.as_ref().and_then(|map| map.get(key)).cloned().unwrap_or_default()
    };
    match path {
        "metadata.name" => Some(meta.name.clone().unwrap_or_default()),
        "metadata.namespace" => Some(cx.namespace().to_owned()),
        "metadata.uid" => Some(meta.uid.clone().unwrap_or_default()),
        _ => {
            let (map, rest) = path.split_once("['")?;
            let key = rest.strip_suffix("']")?;
            match map {
                "metadata.labels" => Some(entry(&meta.labels, key)),
                "metadata.annotations" => Some(entry(&meta.annotations, key)),
                _ => None,
            }
        }
    }
}

/// A `resourceFieldRef`; `own` = the container it stands in, for those that name none. A limit that is not set is what
/// the node has to give: here the size of the group.
pub(super) fn resource(
    cx: &Context<'_>,
    selector: &ResourceFieldSelector,
    own: Option<&Container>,
) -> Result<String, String> {
    let ResourceFieldSelector {
        container_name,
        divisor,
        resource,
    } = selector;
    let container = match container_name.as_deref().filter(|name| !name.is_empty()) {
        None => own.ok_or("containerName is required in a file")?,
        Some(name) => cx
            .spec
            .containers
            .iter()
            .chain(cx.spec.init_containers.iter().flatten())
            .find(|container| container.name == name)
            .ok_or_else(|| format!("the pod has no container `{name}`"))?,
    };
    let (which, name) = resource
        .split_once('.')
        .ok_or_else(|| format!("`{resource}` is not limits.* or requests.*"))?;
    let (unit, all) = match name {
        "cpu" => (1000, cx.size.cpu.0),
        "memory" => (1, cx.size.memory.0 << 20),
        "ephemeral-storage" => (1, cx.storage_gib << 30),
        _ => {
            return Err(format!(
                "`{resource}` is not known here; only cpu, memory and ephemeral-storage are"
            ));
        }
    };
    let set = container.resources.as_ref().and_then(|resources| match which {
        "limits" => resources.limits.as_ref(),
        _ => resources.requests.as_ref(),
    });
    let value = match set.and_then(|resources| resources.get(name)) {
        Some(quantity) => {
            let exact = Exact::parse(quantity)?;
            exact
                .ceil_times(unit)
                .ok_or_else(|| format!("`{}` is out of range", quantity.0))?
        }
        None if which == "limits" => all,
        None if which == "requests" => 0,
        None => return Err(format!("`{resource}` is not limits.* or requests.*")),
    };
    // The divisor counts in the same unit; unset and 0 mean 1.
    let divisor = match divisor {
        Some(quantity) => Exact::parse(quantity)?
            .ceil_times(unit)
            .filter(|divisor| *divisor > 0)
            .unwrap_or(unit),
        None => unit,
    };
    Ok(value.div_ceil(divisor).to_string())
}

/// `key="value"` lines in order of keys, without a newline at the end, as a kubelet writes them.
fn format_map(map: Option<&BTreeMap<String, String>>) -> String {
    let lines: Vec<String> = map
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", go_quote(value)))
        .collect();
    lines.join("\n")
}

/// Go's `%q`.
fn go_quote(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{07}' => out.push_str("\\a"),
            '\u{08}' => out.push_str("\\b"),
            '\u{0c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{0b}' => out.push_str("\\v"),
            c if c.is_ascii_control() => {
                let _ = write!(out, "\\x{:02x}", u32::from(c));
            }
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_are_written_as_a_kubelet_writes_them() {
        let map = BTreeMap::from([
            ("b".to_owned(), "say \"hi\"\n\u{1}ü".to_owned()),
            ("a".to_owned(), "1".to_owned()),
        ]);
        assert_eq!(format_map(Some(&map)), "a=\"1\"\nb=\"say \\\"hi\\\"\\n\\x01ü\"");
        assert_eq!(format_map(None), "");
    }
}
