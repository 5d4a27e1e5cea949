//! (pure) One setting's text to its value, or what is wrong with it.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use jiff::SignedDuration;
use k8s_openapi::api::core::v1::Taint;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use provider::mapping::quantity;
use provider::request::ScheduleStrategy;
use provider::units::MilliCpu;
use serde_json::Value;

use super::{ACK_NODE_NAME_PREFIX, EciLimits, HostPort, Unenforceable};
use crate::burst::outages::OutageToleration;
use crate::telemetry::LogFormat;

/// The zone in a node name of ACK's form, `virtual-kubelet-<zone>`.
pub(super) fn zone_of(node_name: &str, region: &str) -> Option<String> {
    let zone = node_name.strip_prefix(ACK_NODE_NAME_PREFIX)?;
    let suffix = zone.strip_prefix(region)?;
    (!region.is_empty() && suffix.starts_with('-') && suffix.len() > 1).then(|| zone.to_owned())
}

pub(super) fn scalar_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.trim().to_owned()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(bool) => Some(bool.to_string()),
        Value::Array(items) => {
            let items: Option<Vec<String>> = items.iter().map(scalar_text).collect();
            items.map(|items| items.join(","))
        }
        Value::Null | Value::Object(_) => None,
    }
}

/// A Node's name must be a DNS subdomain: lower-case alphanumerics, `-` and `.`, beginning and ending alphanumerically.
pub(super) fn check_node_name(name: &str) -> Result<(), String> {
    let ok = name.len() <= 253
        && name.split('.').all(|label| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        });
    if ok {
        Ok(())
    } else {
        Err("it must be lower-case letters, digits, `-` and `.`".to_owned())
    }
}

/// `off`, `forever`, or a duration.
pub(super) fn parse_outage_toleration(text: &str) -> Result<OutageToleration, String> {
    match text {
        "off" => Ok(OutageToleration::Off),
        "forever" => Ok(OutageToleration::Forever),
        _ => parse_duration(text)
            .map(|duration| OutageToleration::Seconds(u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)))
            .map_err(|_| "it must be a duration such as 24h, forever or off".to_owned()),
    }
}

/// A name as objects of Kubernetes have it.
pub(super) fn parse_object_name(text: &str) -> Result<String, String> {
    check_node_name(text).map(|()| text.to_owned())
}

pub(super) fn parse_bool(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" => Ok(true),
        "false" | "0" | "no" => Ok(false),
        _ => Err("it must be true or false".to_owned()),
    }
}

pub(super) fn parse_number<T: FromStr>(text: &str) -> Result<T, String>
where
    T::Err: fmt::Display,
{
    text.parse().map_err(|e: T::Err| e.to_string())
}

/// A duration with its unit, such as `250ms`, `30s` or `1m 30s`; not zero.
pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    let parsed = text.parse::<SignedDuration>().ok();
    let duration = parsed.and_then(|duration| Duration::try_from(duration).ok());
    duration
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| "it must be a duration above zero with its unit, such as 30s".to_owned())
}

/// A duration with its unit, which may be zero.
pub(super) fn parse_wait(text: &str) -> Result<Duration, String> {
    let parsed = text.parse::<SignedDuration>().ok();
    parsed
        .and_then(|duration| Duration::try_from(duration).ok())
        .ok_or_else(|| "it must be a duration with its unit, such as 30s".to_owned())
}

/// `NAMESPACE/NAME`.
pub(super) fn parse_qualified_name(text: &str) -> Result<(String, String), String> {
    match text.split_once('/') {
        Some((namespace, name)) if check_node_name(namespace).is_ok() && check_node_name(name).is_ok() => {
            Ok((namespace.to_owned(), name.to_owned()))
        }
        _ => Err("it must be NAMESPACE/NAME".to_owned()),
    }
}

/// vCPU as a quantity: `32`, `0.5` or `500m`.
pub(super) fn parse_vcpu(text: &str) -> Result<MilliCpu, String> {
    quantity::milli_cpu(&Quantity(text.to_owned()))
        .ok_or_else(|| "it must be a number of vCPU, such as 32 or 500m".to_owned())
}

pub(super) fn parse_ip(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| "it must be an IP address".to_owned())
}

pub(super) fn parse_ips(text: &str) -> Result<Vec<IpAddr>, String> {
    parse_list(text)?.iter().map(|item| parse_ip(item)).collect()
}

pub(super) fn parse_socket(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "it must be IP:PORT".to_owned())
}

pub(super) fn parse_sockets(text: &str) -> Result<Vec<SocketAddr>, String> {
    parse_list(text)?.iter().map(|item| parse_socket(item)).collect()
}

pub(super) fn parse_host_port(text: &str) -> Result<HostPort, String> {
    let (host, port) = text.rsplit_once(':').ok_or("it must be HOST:PORT")?;
    let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    let port = port.parse().map_err(|_| "it must be HOST:PORT".to_owned())?;
    if host.is_empty() {
        return Err("it must be HOST:PORT".to_owned());
    }
    Ok(HostPort {
        host: host.to_owned(),
        port,
    })
}

pub(super) fn parse_host_ports(text: &str) -> Result<Vec<HostPort>, String> {
    parse_list(text)?.iter().map(|item| parse_host_port(item)).collect()
}

/// Items between commas; at least one.
pub(super) fn parse_list(text: &str) -> Result<Vec<String>, String> {
    let items: Vec<String> = text
        .split(',')
        .map(str::trim)
        .filter(|i| !i.is_empty())
        .map(str::to_owned)
        .collect();
    if items.is_empty() {
        Err("it names nothing".to_owned())
    } else {
        Ok(items)
    }
}

pub(super) fn parse_endpoint(text: &str) -> Result<String, String> {
    let uri: http::Uri = text.parse().map_err(|e: http::uri::InvalidUri| e.to_string())?;
    match (uri.scheme_str(), uri.authority()) {
        (Some("http" | "https"), Some(_)) => Ok(text.trim_end_matches('/').to_owned()),
        _ => Err("it must be a URL that begins with http:// or https://".to_owned()),
    }
}

pub(super) fn parse_limits(text: &str) -> Result<EciLimits, String> {
    match text {
        "documented" => Ok(EciLimits::Documented),
        "none" => Ok(EciLimits::None),
        file if Path::new(file).is_file() => Ok(EciLimits::File(PathBuf::from(file))),
        _ => Err("it must be documented, none, or a file, and there is no such file".to_owned()),
    }
}

pub(super) fn parse_log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err("it must be text or json".to_owned()),
    }
}

pub(super) fn parse_schedule_strategy(text: &str) -> Result<ScheduleStrategy, String> {
    match text {
        "VSwitchOrdered" => Ok(ScheduleStrategy::VSwitchOrdered),
        "VSwitchRandom" => Ok(ScheduleStrategy::VSwitchRandom),
        _ => Err("it must be VSwitchOrdered or VSwitchRandom".to_owned()),
    }
}

pub(super) fn parse_unenforceable(text: &str) -> Result<Unenforceable, String> {
    match text {
        "warn" => Ok(Unenforceable::Warn),
        "refuse" => Ok(Unenforceable::Refuse),
        _ => Err("it must be warn or refuse".to_owned()),
    }
}

pub(super) fn parse_domain(text: &str) -> Result<String, String> {
    let domain = text.trim_matches('.');
    check_node_name(domain).map_err(|_| "it must be a DNS domain".to_owned())?;
    Ok(domain.to_owned())
}

pub(super) fn parse_labels(text: &str) -> Result<BTreeMap<String, String>, String> {
    parse_list(text)?
        .iter()
        .map(|item| match item.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
            _ => Err(format!("`{item}` is not KEY=VALUE")),
        })
        .collect()
}

/// Taints as kubelet's `--register-with-taints` takes them: `key=value:Effect` or `key:Effect`, separated by commas.
pub(super) fn parse_taints(text: &str) -> Result<Vec<Taint>, String> {
    let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
    items
        .map(|item| {
            let (pair, effect) = item
                .rsplit_once(':')
                .ok_or_else(|| format!("`{item}` is not KEY=VALUE:EFFECT or KEY:EFFECT"))?;
            if !["NoSchedule", "PreferNoSchedule", "NoExecute"].contains(&effect) {
                return Err(format!("`{effect}` is not NoSchedule, PreferNoSchedule or NoExecute"));
            }
            let (key, value) = match pair.split_once('=') {
                Some((key, value)) => (key, (!value.is_empty()).then(|| value.to_owned())),
                None => (pair, None),
            };
            if key.is_empty() {
                return Err(format!("`{item}` has no key"));
            }
            Ok(Taint {
                key: key.to_owned(),
                value,
                effect: effect.to_owned(),
                time_added: None,
            })
        })
        .collect()
}
