//! Addresses of a group: its own, public ones and IPv6. There is no network behind them; who asks for one is told one.

use std::net::Ipv4Addr;

use crate::{
    api::{error::ApiError, params::Scope},
    spec::Network,
};

pub(super) fn network(scope: Scope<'_>) -> Result<Network, ApiError> {
    let private_ip = scope
        .filled("PrivateIpAddress")
        .map(|text| {
            let ip: Option<Ipv4Addr> = text.parse().ok();
            ip.filter(Ipv4Addr::is_private)
                .ok_or_else(|| ApiError::invalid("PrivateIpAddress", "it must be an IPv4 address of a private network"))
        })
        .transpose()?;
    fixed_ip(scope)?;
    let bandwidth = 0..=i64::MAX;
    scope.integer("IngressBandwidth", bandwidth.clone())?;
    scope.integer("EgressBandwidth", bandwidth)?;
    Ok(Network {
        private_ip,
        public: public(scope)?,
        ipv6: ipv6(scope)?,
    })
}

/// `FixedIp` and for how many hours it is kept.
fn fixed_ip(scope: Scope<'_>) -> Result<(), ApiError> {
    scope.boolean("FixedIp")?;
    scope.integer("FixedIpRetainHour", 1..=i64::from(i32::MAX))?;
    Ok(())
}

/// Whether there is a public address: an existing one or one that comes and goes with the group.
fn public(scope: Scope<'_>) -> Result<bool, ApiError> {
    let existing = scope.filled("EipInstanceId");
    let created = scope.boolean("AutoCreateEip")?.unwrap_or(false);
    if existing.is_some() && created {
        return Err(ApiError::conflict("EipInstanceId", "AutoCreateEip"));
    }
    if existing.is_some_and(|id| !id.starts_with("eip-")) {
        return Err(ApiError::invalid("EipInstanceId", "it must be an id such as eip-1"));
    }
    scope.integer("EipBandwidth", 1..=1_000)?;
    if scope
        .filled("EipISP")
        .is_some_and(|isp| !matches!(isp, "BGP" | "BGP_PRO"))
    {
        return Err(ApiError::invalid("EipISP", "it must be BGP or BGP_PRO"));
    }
    scope.text("EipCommonBandwidthPackage");
    Ok(existing.is_some() || created)
}

fn ipv6(scope: Scope<'_>) -> Result<bool, ApiError> {
    let count = scope.integer("Ipv6AddressCount", 0..=1)?.unwrap_or(0);
    let gateway = scope.boolean("Ipv6GatewayBandwidthEnable")?.unwrap_or(false);
    scope.integer("Ipv6GatewayBandwidth", 1..=2_000)?;
    if gateway && count == 0 {
        return Err(ApiError::invalid(
            "Ipv6GatewayBandwidthEnable",
            "it needs Ipv6AddressCount 1",
        ));
    }
    Ok(count > 0)
}
