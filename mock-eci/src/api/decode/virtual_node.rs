//! Requests about virtual nodes. Much of it makes a node work, which none here does; it must make sense all the same.

use std::net::IpAddr;

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{
    group::{self, Region},
    resource::{common, common_change, required_text, text},
};
use crate::{
    api::{error::ApiError, params::Scope},
    domain::resources::virtual_node::{VirtualNodeChange, VirtualNodeSpec},
};

/// Largest kubeconfig, encoded.
const MAX_KUBE_CONFIG: usize = 64 * 1024;

/// `CreateVirtualNode`.
///
/// # Errors
/// ECI's code for the first parameter that is wrong.
pub(in crate::api) fn virtual_node_spec(scope: Scope<'_>, region: Region<'_>) -> Result<VirtualNodeSpec, ApiError> {
    group::zone(scope, region)?;
    cluster(scope)?;
    if let Some(config) = scope.filled("KubeConfig")
        && (config.len() > MAX_KUBE_CONFIG || STANDARD.decode(config.trim()).is_err())
    {
        return Err(ApiError::invalid(
            "KubeConfig",
            format_args!("it must be base64 of at most {MAX_KUBE_CONFIG} bytes"),
        ));
    }
    scope.boolean("TlsBootstrapEnabled")?;
    taints(scope)?;
    let vswitches = required_text(scope, "VSwitchId")?;
    if vswitches.split(',').count() > 10 || vswitches.split(',').any(|id| id.trim().is_empty()) {
        return Err(ApiError::invalid(
            "VSwitchId",
            "it must be at most 10 ids joined by ','",
        ));
    }
    Ok(VirtualNodeSpec {
        name: name(scope)?.unwrap_or_default(),
        security_group_id: required_text(scope, "SecurityGroupId")?,
        vswitch_id: vswitches.split(',').next().unwrap_or_default().trim().to_owned(),
        public: scope.boolean("EnablePublicNetwork")?.unwrap_or(false) || scope.filled("EipInstanceId").is_some(),
        common: common(scope)?,
    })
}

/// `UpdateVirtualNode`: what is not given stays.
///
/// # Errors
/// ECI's code for the first parameter that is wrong.
pub(in crate::api) fn virtual_node_change(scope: Scope<'_>) -> Result<VirtualNodeChange, ApiError> {
    cluster(scope)?;
    Ok(VirtualNodeChange {
        name: name(scope)?,
        common: common_change(scope)?,
    })
}

fn name(scope: Scope<'_>) -> Result<Option<String>, ApiError> {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.';
    match text(scope, "VirtualNodeName")? {
        Some(name) if !(2..=128).contains(&name.len()) || !name.bytes().all(allowed) => Err(ApiError::invalid(
            "VirtualNodeName",
            "it must be 2 to 128 of a-z, 0-9, '-' and '.'",
        )),
        name => Ok(name),
    }
}

fn cluster(scope: Scope<'_>) -> Result<(), ApiError> {
    let servers = scope.filled("ClusterDNS").unwrap_or_default();
    if !servers.is_empty() && servers.split(',').any(|ip| ip.trim().parse::<IpAddr>().is_err()) {
        return Err(ApiError::invalid("ClusterDNS", "it must be IP addresses joined by ','"));
    }
    text(scope, "ClusterDomain")?;
    let resources = scope.filled("CustomResources").unwrap_or_default();
    let counted = |item: &str| {
        item.split_once('=')
            .is_some_and(|(name, count)| !name.trim().is_empty() && count.trim().parse::<u64>().is_ok())
    };
    if !resources.is_empty() && !resources.split(',').all(counted) {
        return Err(ApiError::invalid(
            "CustomResources",
            "it must be name=count, joined by ','",
        ));
    }
    Ok(())
}

fn taints(scope: Scope<'_>) -> Result<(), ApiError> {
    for taint in scope.list("Taint", 20)? {
        taint.required("Key")?;
        text(taint, "Value")?;
        let effect = taint.filled("Effect");
        if effect.is_some_and(|e| !["NoSchedule", "NoExecute", "PreferNoSchedule"].contains(&e)) {
            return Err(ApiError::invalid(
                &taint.name("Effect"),
                "it must be NoSchedule, NoExecute or PreferNoSchedule",
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{super::resource::tests::read, *};

    #[test]
    fn what_makes_no_sense_is_refused() {
        let zones = ["z-1".to_owned()];
        let region = Region { id: "z", zones: &zones };
        let decode = |more: &str| {
            let encoded = format!("SecurityGroupId=sg&VSwitchId=vsw-1,vsw-2{more}");
            read(&encoded, |scope| virtual_node_spec(scope, region))
        };
        let good = decode("&VirtualNodeName=vn.1&CustomResources=a/b=2,c=1&Taint.1.Key=k&ClusterDNS=10.0.0.1");
        assert_eq!(good.expect("valid").vswitch_id, "vsw-1");
        for more in [
            "&VirtualNodeName=N",
            "&KubeConfig=%25",
            "&ClusterDNS=x",
            "&CustomResources=a",
            "&Taint.1.Key=k&Taint.1.Effect=x",
            "&TlsBootstrapEnabled=maybe",
        ] {
            assert_eq!(decode(more).expect_err(more).code, "InvalidParameter", "{more}");
        }
    }
}
