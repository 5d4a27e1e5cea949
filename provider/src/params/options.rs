//! Group-level parameters of [`GroupOptions`].

use super::put_name_value;
use super::writer::Writer;
use crate::request::{DataCache, Eip, GroupOptions, ImageOptions, MachineOptions, NetworkOptions};

/// Writes what is set.
pub(super) fn put(w: &mut Writer<'_>, options: &GroupOptions) {
    let GroupOptions {
        network,
        images,
        data_cache,
        machine,
    } = options;
    put_network(w, network);
    put_images(w, images);
    if let Some(DataCache {
        bucket,
        performance_level,
        provisioned_iops,
        bursting_enabled,
    }) = data_cache
    {
        w.put("DataCacheBucket", bucket);
        w.put_some("DataCachePL", performance_level.as_ref());
        w.put_some("DataCacheProvisionedIops", provisioned_iops.as_ref());
        w.put_some("DataCacheBurstingEnabled", bursting_enabled.as_ref());
    }
    put_machine(w, machine);
}

fn put_network(w: &mut Writer<'_>, network: &NetworkOptions) {
    let NetworkOptions {
        eip,
        private_ip_address,
        fixed_ip,
        fixed_ip_retain_hours,
        ipv6,
        ipv6_gateway_bandwidth_enable,
        ipv6_gateway_bandwidth,
        ingress_bandwidth,
        egress_bandwidth,
    } = network;
    match eip {
        None => {}
        Some(Eip::Bind(id)) => w.put("EipInstanceId", id),
        Some(Eip::Create {
            bandwidth,
            isp,
            common_bandwidth_package,
        }) => {
            w.put("AutoCreateEip", "true");
            w.put_some("EipBandwidth", bandwidth.as_ref());
            w.put_some("EipISP", isp.as_ref());
            w.put_some("EipCommonBandwidthPackage", common_bandwidth_package.as_ref());
        }
    }
    w.put_some("PrivateIpAddress", private_ip_address.as_ref());
    w.put_if("FixedIp", *fixed_ip);
    w.put_some("FixedIpRetainHour", fixed_ip_retain_hours.as_ref());
    if *ipv6 {
        w.put("Ipv6AddressCount", "1");
    }
    w.put_if("Ipv6GatewayBandwidthEnable", *ipv6_gateway_bandwidth_enable);
    w.put_some("Ipv6GatewayBandwidth", ipv6_gateway_bandwidth.as_ref());
    w.put_some("IngressBandwidth", ingress_bandwidth.as_ref());
    w.put_some("EgressBandwidth", egress_bandwidth.as_ref());
}

fn put_images(w: &mut Writer<'_>, images: &ImageOptions) {
    let ImageOptions {
        auto_match_image_cache,
        image_snapshot_id,
        accelerate_mode,
        acr,
        plain_http_registry,
        insecure_registry,
    } = images;
    w.put_some("AutoMatchImageCache", auto_match_image_cache.as_ref());
    w.put_some("ImageSnapshotId", image_snapshot_id.as_ref());
    w.put_some("ImageAccelerateMode", accelerate_mode.as_ref());
    w.list("AcrRegistryInfo", acr, |w, acr| {
        w.put("InstanceId", &acr.instance_id);
        w.put_some("RegionId", acr.region_id.as_ref());
        w.put_some("ArnService", acr.arn_service.as_ref());
        w.put_some("ArnUser", acr.arn_user.as_ref());
    });
    w.put_some("PlainHttpRegistry", plain_http_registry.as_ref());
    w.put_some("InsecureRegistry", insecure_registry.as_ref());
}

fn put_machine(w: &mut Writer<'_>, machine: &MachineOptions) {
    let MachineOptions {
        compute_categories,
        gpu_driver_version,
        cpu_cores,
        cpu_threads_per_core,
        ntp_servers,
        core_pattern,
        host_sysctls,
    } = machine;
    w.texts("ComputeCategory", compute_categories);
    w.put_some("GpuDriverVersion", gpu_driver_version.as_ref());
    w.put_some("CpuOptionsCore", cpu_cores.as_ref());
    w.put_some("CpuOptionsThreadsPerCore", cpu_threads_per_core.as_ref());
    w.texts("NtpServer", ntp_servers);
    w.put_some("CorePattern", core_pattern.as_ref());
    w.within("HostSecurityContext", |w| {
        w.list("Sysctl", host_sysctls, |w, (name, value)| {
            put_name_value(w, name, value)
        })
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::AcrRegistry;

    fn lines(options: &GroupOptions) -> Vec<String> {
        let mut lines = Vec::new();
        put(&mut Writer::new(&mut |k, v| lines.push(format!("{k}={v}"))), options);
        lines
    }

    #[test]
    fn nothing_is_sent_of_what_is_unset() {
        assert!(lines(&GroupOptions::default()).is_empty());
    }

    #[test]
    fn everything() {
        let options = GroupOptions {
            network: NetworkOptions {
                eip: Some(Eip::Create {
                    bandwidth: Some(10),
                    isp: Some("BGP_PRO".into()),
                    common_bandwidth_package: Some("cbwp-1".into()),
                }),
                private_ip_address: Some("10.0.0.4".into()),
                fixed_ip: true,
                fixed_ip_retain_hours: Some(24),
                ipv6: true,
                ipv6_gateway_bandwidth_enable: true,
                ipv6_gateway_bandwidth: Some(100),
                ingress_bandwidth: Some(1000),
                egress_bandwidth: Some(2000),
            },
            images: ImageOptions {
                auto_match_image_cache: Some(false),
                image_snapshot_id: Some("imc-1".into()),
                accelerate_mode: Some("nydus".into()),
                acr: vec![AcrRegistry {
                    instance_id: "cri-1".into(),
                    region_id: Some("cn-beijing".into()),
                    arn_service: Some("a".into()),
                    arn_user: Some("b".into()),
                }],
                plain_http_registry: Some("r:5000".into()),
                insecure_registry: Some("s".into()),
            },
            data_cache: Some(DataCache {
                bucket: "default".into(),
                performance_level: Some("PL1".into()),
                provisioned_iops: Some(40_000),
                bursting_enabled: Some(true),
            }),
            machine: MachineOptions {
                compute_categories: vec!["economy".into(), "general".into()],
                gpu_driver_version: Some("tesla=525.85.12".into()),
                cpu_cores: Some(2),
                cpu_threads_per_core: Some(1),
                ntp_servers: vec!["100.100.5.1".into()],
                core_pattern: Some("/pod/core".into()),
                host_sysctls: vec![("kernel.msgmax".into(), "65536".into())],
            },
        };
        assert_eq!(
            lines(&options),
            [
                "AutoCreateEip=true",
                "EipBandwidth=10",
                "EipISP=BGP_PRO",
                "EipCommonBandwidthPackage=cbwp-1",
                "PrivateIpAddress=10.0.0.4",
                "FixedIp=true",
                "FixedIpRetainHour=24",
                "Ipv6AddressCount=1",
                "Ipv6GatewayBandwidthEnable=true",
                "Ipv6GatewayBandwidth=100",
                "IngressBandwidth=1000",
                "EgressBandwidth=2000",
                "AutoMatchImageCache=false",
                "ImageSnapshotId=imc-1",
                "ImageAccelerateMode=nydus",
                "AcrRegistryInfo.1.InstanceId=cri-1",
                "AcrRegistryInfo.1.RegionId=cn-beijing",
                "AcrRegistryInfo.1.ArnService=a",
                "AcrRegistryInfo.1.ArnUser=b",
                "PlainHttpRegistry=r:5000",
                "InsecureRegistry=s",
                "DataCacheBucket=default",
                "DataCachePL=PL1",
                "DataCacheProvisionedIops=40000",
                "DataCacheBurstingEnabled=true",
                "ComputeCategory.1=economy",
                "ComputeCategory.2=general",
                "GpuDriverVersion=tesla=525.85.12",
                "CpuOptionsCore=2",
                "CpuOptionsThreadsPerCore=1",
                "NtpServer.1=100.100.5.1",
                "CorePattern=/pod/core",
                "HostSecurityContext.Sysctl.1.Name=kernel.msgmax",
                "HostSecurityContext.Sysctl.1.Value=65536",
            ]
        );
    }

    #[test]
    fn an_address_that_exists() {
        let mut options = GroupOptions::default();
        options.network.eip = Some(Eip::Bind("eip-1".into()));
        assert_eq!(lines(&options), ["EipInstanceId=eip-1"]);
    }
}
