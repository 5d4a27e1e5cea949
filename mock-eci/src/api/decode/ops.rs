//! `OpsType` and `OpsValue` of tasks of operation.

use std::{net::IpAddr, time::Duration};

use serde::Deserialize;

use crate::{
    api::{error::ApiError, params::Scope},
    domain::resources::ops::{OpsType, Order},
};

/// What `OpsValue` may say of a tcpdump.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TcpDump {
    enable: bool,
    protocol: Option<String>,
    source_ip: Option<IpAddr>,
    dest_ip: Option<IpAddr>,
    source_port: Option<u16>,
    dest_port: Option<u16>,
    duration: Option<u64>,
    file_size: Option<u64>,
}

/// What a task is to do.
///
/// # Errors
/// `MissingParameter`, `InvalidParameter`.
pub(in crate::api) fn ops_order(scope: Scope<'_>) -> Result<(OpsType, Order), ApiError> {
    let kind = ops_type(scope)?;
    let value = scope.required("OpsValue")?;
    let order = match (kind, value) {
        (OpsType::CoreDump, "enable") => Order::Enable { duration: None },
        (OpsType::CoreDump, "disable") => Order::Disable,
        (OpsType::CoreDump, _) => return Err(ApiError::invalid("OpsValue", "it must be enable or disable")),
        (OpsType::TcpDump, json) => tcp_dump(json)?,
    };
    Ok((kind, order))
}

/// `OpsType`, which must be there.
pub(in crate::api) fn ops_type(scope: Scope<'_>) -> Result<OpsType, ApiError> {
    let word = scope.required("OpsType")?;
    OpsType::ALL
        .into_iter()
        .find(|kind| kind.as_str() == word)
        .ok_or_else(|| ApiError::invalid("OpsType", "it must be coredump or tcpdump"))
}

fn tcp_dump(json: &str) -> Result<Order, ApiError> {
    let invalid = |why: &str| ApiError::invalid("OpsValue", why);
    let dump: TcpDump = serde_json::from_str(json)
        .map_err(|_| invalid("for tcpdump it must be JSON with Enable and the members ECI documents"))?;
    let known = |protocol: &String| ["tcp", "udp", "icmpv4"].contains(&protocol.as_str());
    if !dump.protocol.as_ref().is_none_or(known) {
        return Err(invalid("Protocol must be tcp, udp or icmpv4"));
    }
    if dump.source_port == Some(0) || dump.dest_port == Some(0) {
        return Err(invalid("ports are 1 to 65535"));
    }
    if dump.file_size.is_some_and(|size| size > 1 << 30) {
        return Err(invalid("FileSize must be at most 1073741824"));
    }
    // Any address will do: nothing is caught.
    let _ = (dump.source_ip, dump.dest_ip);
    Ok(match dump.enable {
        true => Order::Enable {
            duration: dump.duration.map(Duration::from_secs),
        },
        false => Order::Disable,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tcpdump_takes_what_is_documented() {
        let on = |seconds: Option<u64>| Order::Enable {
            duration: seconds.map(Duration::from_secs),
        };
        assert_eq!(tcp_dump(r#"{"Enable":true, "IfDeviceName":"eth0"}"#), Ok(on(None)));
        assert_eq!(
            tcp_dump(r#"{"Enable":true,"Protocol":"tcp","SourceIp":"10.0.0.1","DestPort":80,"Duration":60}"#),
            Ok(on(Some(60)))
        );
        assert_eq!(tcp_dump(r#"{"Enable":false}"#), Ok(Order::Disable));
        for wrong in [
            "enable",
            "{}",
            r#"{"Enable":true,"Protocol":"sctp"}"#,
            r#"{"Enable":true,"SourcePort":0}"#,
            r#"{"Enable":true,"DestPort":65536}"#,
            r#"{"Enable":true,"SourceIp":"x"}"#,
            r#"{"Enable":true,"FileSize":1073741825}"#,
        ] {
            assert!(tcp_dump(wrong).is_err(), "{wrong}");
        }
    }
}
