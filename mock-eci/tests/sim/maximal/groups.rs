//! Container groups: created, listed, read and deleted.

use base64::{Engine, engine::general_purpose::STANDARD};

use mock_eci::api::catalogue::CATALOGUE;

use crate::bed::Bed;

pub(super) async fn send(bed: &Bed) {
    let id = create(bed).await;
    bed.until(&id, "Running").await;
    list(bed, &id).await;
    let log = [
        ("ContainerGroupId", &*id),
        ("ContainerName", "web"),
        ("LastTime", "false"),
        ("LimitBytes", "1024"),
        ("SinceSeconds", "60"),
        ("StartTime", "2026-01-01T00:00:00Z"),
        ("Tail", "10"),
        ("Timestamps", "true"),
    ];
    bed.call("DescribeContainerLog", &log).await.ok();
    bed.call("ListUsage", &[]).await.ok();
    bed.call("DescribeRegions", &[]).await.ok();
    let price = [
        ("Cpu", "2"),
        ("Memory", "4"),
        ("ComputeCategory", "economy"),
        ("EphemeralStorage", "20"),
        ("SpotStrategy", "SpotWithPriceLimit"),
        ("SpotPriceLimit", "1.5"),
        ("SpotDuration", "0"),
        ("ZoneId", "cn-hangzhou-h"),
    ];
    bed.call("DescribeContainerGroupPrice", &price).await.ok();
    bed.call("DescribeContainerGroupPrice", &[("InstanceType", "ecs.c6.large")])
        .await
        .ok();
    by_instance_type(bed).await;
    with_volumes_and_addresses(bed).await;
    update(bed, &id).await;
    bed.until(&id, "Running").await;
    let restart = [("ContainerGroupId", &*id), ("ClientToken", "token-4")];
    bed.call("RestartContainerGroup", &restart).await.ok();
    let delete = [
        ("ContainerGroupId", &*id),
        ("Force", "true"),
        ("ClientToken", "token-2"),
    ];
    bed.call("DeleteContainerGroup", &delete).await.ok();
}

async fn list(bed: &Bed, id: &str) {
    let ids = serde_json::json!([id]).to_string();
    let all = [
        ("ContainerGroupIds", &*ids),
        ("Tag.1.Key", "UID"),
        ("Tag.1.Value", "u-1"),
        ("ZoneId", "cn-hangzhou-h"),
        ("VSwitchId", "vsw-1"),
        ("ResourceGroupId", "rg-1"),
        ("Limit", "1"),
    ];
    let with = |more: &[(&'static str, &'static str)]| [&all[..], more].concat();
    // A token of one list is good for another: it is a position, not a memory.
    let token = page_token(bed).await;
    let token = [("NextToken", &*token)];
    let groups = with(&[
        ("ContainerGroupName", "maximal"),
        ("SecurityGroupId", "sg-1"),
        ("Status", "Running"),
        ("ComputeCategory", "general"),
        ("WithEvent", "true"),
    ]);
    bed.call("DescribeContainerGroups", &groups).await.ok();
    bed.call("DescribeContainerGroupStatus", &with(&[("SinceSecond", "60")]))
        .await
        .ok();
    let events = with(&[("SinceSecond", "60"), ("EventSource", "EciService")]);
    bed.call("DescribeContainerGroupEvents", &events).await.ok();
    for list in [
        "DescribeContainerGroups",
        "DescribeContainerGroupStatus",
        "DescribeContainerGroupEvents",
    ] {
        bed.call(list, &token).await.ok();
    }
}

async fn page_token(bed: &Bed) -> String {
    bed.create("another", &[]).await;
    let page = bed.call("DescribeContainerGroups", &[("Limit", "1")]).await.ok();
    page["NextToken"].as_str().expect("a second page").to_owned()
}

async fn by_instance_type(bed: &Bed) {
    let typed = [
        ("InstanceType", "ecs.gn6i-c4g1.xlarge,ecs.gn6v-c8g1.2xlarge"),
        ("CpuArchitecture", "AMD64"),
        ("OsType", "Linux"),
        ("CpuOptionsCore", "1"),
        ("CpuOptionsThreadsPerCore", "1"),
        ("GpuDriverVersion", "tesla=470.82.01"),
        ("ComputeCategory.1", "general"),
        ("ComputeCategory.2", "economy"),
        ("Container.1.Gpu", "1"),
        ("NtpServer.1", "ntp.aliyun.com"),
        ("NtpServer.2", "10.0.0.1"),
        ("CorePattern", "/pod/core"),
        ("ContainerResourceView", "true"),
        ("ImageAccelerateMode", "imc"),
        ("DataCacheBucket", "default"),
        ("DataCachePL", "PL1"),
        ("DataCacheProvisionedIops", "100"),
        ("DataCacheBurstingEnabled", "true"),
        ("AcrRegistryInfo.1.InstanceId", "cri-1"),
        ("AcrRegistryInfo.1.InstanceName", "registry"),
        ("AcrRegistryInfo.1.RegionId", "cn-hangzhou"),
        ("AcrRegistryInfo.1.Domain.1", "registry.cn-hangzhou.cr.aliyuncs.com"),
        ("AcrRegistryInfo.1.ArnService", "acs:ram::1:role/a"),
        ("AcrRegistryInfo.1.ArnUser", "acs:ram::1:role/b"),
    ];
    bed.create("typed", &typed).await;
}

async fn with_volumes_and_addresses(bed: &Bed) {
    let params = [
        ("AutoCreateEip", "true"),
        ("EipBandwidth", "5"),
        ("EipISP", "BGP"),
        ("EipCommonBandwidthPackage", "cbwp-1"),
        ("PrivateIpAddress", "192.168.7.7"),
        ("FixedIp", "true"),
        ("FixedIpRetainHour", "48"),
        ("Ipv6AddressCount", "1"),
        ("Ipv6GatewayBandwidthEnable", "true"),
        ("Ipv6GatewayBandwidth", "10"),
        ("IngressBandwidth", "1000"),
        ("EgressBandwidth", "1000"),
        ("Volume.1.Name", "nfs"),
        ("Volume.1.Type", "NFSVolume"),
        ("Volume.1.NFSVolume.Server", "nas.example"),
        ("Volume.1.NFSVolume.Path", "/share"),
        ("Volume.1.NFSVolume.ReadOnly", "true"),
        ("Volume.2.Name", "flex"),
        ("Volume.2.Type", "FlexVolume"),
        ("Volume.2.FlexVolume.Driver", "alicloud/disk"),
        ("Volume.2.FlexVolume.FsType", "ext4"),
        ("Volume.2.FlexVolume.Options", r#"{"volumeSize": "20"}"#),
        ("Volume.3.Name", "disk"),
        ("Volume.3.Type", "DiskVolume"),
        ("Volume.3.DiskVolume.DiskId", "d-1"),
        ("Volume.3.DiskVolume.DiskSize", "20"),
        ("Volume.3.DiskVolume.FsType", "ext4"),
        ("Volume.4.Name", "host"),
        ("Volume.4.Type", "HostPathVolume"),
        ("Volume.4.HostPathVolume.Path", "/var/log"),
        ("Volume.4.HostPathVolume.Type", "Directory"),
    ];
    let id = bed.create("volumes", &params).await;
    bed.until(&id, "Running").await;
    // An update cannot have a DiskVolume.
    let volumes = params
        .iter()
        .filter(|(name, _)| name.starts_with("Volume.") && !name.starts_with("Volume.3"));
    let mut update: Vec<(&str, &str)> = volumes.copied().collect();
    update.push(("ContainerGroupId", &id));
    bed.call("UpdateContainerGroup", &update).await.ok();
    bed.create("eip", &[("EipInstanceId", "eip-1")]).await;
}

/// Members that containers and init containers share.
const CONTAINER: [(&str, &str); 27] = [
    ("Image", "busybox:1"),
    ("ImagePullPolicy", "Always"),
    ("Cpu", "0.25"),
    ("Memory", "0.5"),
    ("Gpu", "0"),
    ("Command.1", "sh"),
    ("Arg.1", "-c"),
    ("WorkingDir", "/srv"),
    ("EnvironmentVar.1.Key", "IP"),
    ("EnvironmentVar.1.FieldRef.FieldPath", "status.podIP"),
    ("EnvironmentVar.2.Key", "A"),
    ("EnvironmentVar.2.Value", "b"),
    ("Port.1.Port", "80"),
    ("Port.1.Protocol", "TCP"),
    ("VolumeMount.1.Name", "conf"),
    ("VolumeMount.1.MountPath", "/etc/app"),
    ("VolumeMount.1.SubPath", "app"),
    ("VolumeMount.1.ReadOnly", "true"),
    ("VolumeMount.1.MountPropagation", "HostToContainer"),
    ("VolumeMount.2.Name", "scratch"),
    ("VolumeMount.2.MountPath", "/tmp"),
    ("SecurityContext.RunAsUser", "1000"),
    ("SecurityContext.ReadOnlyRootFilesystem", "true"),
    ("SecurityContext.Capability.Add.1", "NET_ADMIN"),
    ("SecurityContext.Capability.Add.2", "NET_RAW"),
    ("TerminationMessagePath", "/dev/termination-log"),
    ("TerminationMessagePolicy", "FallbackToLogsOnError"),
];

/// Members of containers only. Those of probes and hooks exclude each other, so there are several containers.
const MORE: [(&str, &str); 6] = [
    ("EnvironmentVarHide", "true"),
    ("SecurityContextRunAsGroup", "1000"),
    ("SecurityContextRunAsNonRoot", "true"),
    ("SecurityContextPrivileged", "false"),
    ("Stdin", "false"),
    ("StdinOnce", "false"),
];

/// A whole group, as a create has it.
fn group() -> Vec<(String, String)> {
    let content = STANDARD.encode("key: value\n");
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let mut params: Vec<(String, String)> = GROUP.iter().map(owned).collect();
    let mut member =
        |container: &str, name: &str, value: &str| params.push((format!("{container}.{name}"), value.to_owned()));
    for (name, value) in CONTAINER {
        member("InitContainer.1", name, value);
        member("Container.1", name, value);
    }
    member("InitContainer.1", "Name", "prepare");
    for (name, value) in MORE {
        member("Container.1", name, value);
    }
    member("Container.1", "Tty", "false");
    for (container, name) in [("Container.1", "web"), ("Container.2", "exec"), ("Container.3", "tcp")] {
        member(container, "Name", name);
        member(container, "Image", "busybox:1");
        for probe in ["LivenessProbe", "ReadinessProbe"] {
            let ways: &[(&str, &str)] = match name {
                "web" => &[
                    ("HttpGet.Path", "/"),
                    ("HttpGet.Port", "80"),
                    ("HttpGet.Scheme", "HTTP"),
                ],
                "exec" => &[("Exec.Command.1", "true")],
                _ => &[("TcpSocket.Port", "80")],
            };
            let timing = [
                ("InitialDelaySeconds", "1"),
                ("PeriodSeconds", "5"),
                ("TimeoutSeconds", "2"),
                ("SuccessThreshold", "1"),
                ("FailureThreshold", "3"),
            ];
            for (name, value) in ways.iter().chain(&timing) {
                member(container, &format!("{probe}.{name}"), value);
            }
        }
        for hook in ["LifecyclePostStartHandler", "LifecyclePreStopHandler"] {
            let ways: &[(&str, &str)] = match name {
                "web" => &[
                    ("HttpGetHost", "10.0.0.1"),
                    ("HttpGetPort", "80"),
                    ("HttpGetPath", "/"),
                    ("HttpGetScheme", "HTTP"),
                    ("HttpGetHttpHeader.1.Name", "X-A"),
                    ("HttpGetHttpHeader.1.Value", "b"),
                ],
                "exec" => &[("Exec.1", "true")],
                _ => &[("TcpSocketHost", "10.0.0.1"), ("TcpSocketPort", "80")],
            };
            for (name, value) in ways {
                member(container, &format!("{hook}{name}"), value);
            }
        }
    }
    let file = "Volume.1.ConfigFileVolume.ConfigFileToPath.1";
    params.push((format!("{file}.Path"), "app".to_owned()));
    params.push((format!("{file}.Content"), content));
    params.push((format!("{file}.Mode"), "0644".to_owned()));
    // `Image` of the first container comes twice above.
    params.sort_unstable();
    params.dedup();
    params
}

fn borrowed(params: &[(String, String)]) -> Vec<(&str, &str)> {
    params
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect()
}

/// The same group again, as far as an update can give it: this changes nothing but the token it is sent with.
async fn update(bed: &Bed, id: &str) {
    let mut params = group();
    for (name, _) in &mut params {
        // Spelt differently in updates, and for this hook only.
        let plural = name.replace(
            "PostStartHandlerHttpGetHttpHeader.",
            "PostStartHandlerHttpGetHttpHeaders.",
        );
        *name = plural;
    }
    params.retain(|(name, _)| name != "ClientToken" && CATALOGUE.find("UpdateContainerGroup", name).is_some());
    let mut params = borrowed(&params);
    params.extend([
        ("ContainerGroupId", id),
        ("UpdateType", "RenewUpdate"),
        ("ClientToken", "token-3"),
    ]);
    bed.call("UpdateContainerGroup", &params).await.ok();
}

async fn create(bed: &Bed) -> String {
    let params = group();
    let params = borrowed(&params);
    let dry = [&params[..], &[("DryRun", "true")]].concat();
    assert_eq!(bed.call("CreateContainerGroup", &dry).await.code(), "DryRunOperation");
    let created = bed.call("CreateContainerGroup", &params).await.ok();
    created["ContainerGroupId"].as_str().expect("an id").to_owned()
}

const GROUP: [(&str, &str); 52] = [
    ("ContainerGroupName", "maximal"),
    ("ClientToken", "token-1"),
    ("Cpu", "2"),
    ("Memory", "4"),
    ("ZoneId", "cn-hangzhou-h"),
    ("VSwitchId", "vsw-1,vsw-2"),
    ("ScheduleStrategy", "VSwitchOrdered"),
    ("SecurityGroupId", "sg-1"),
    ("ResourceGroupId", "rg-1"),
    ("EphemeralStorage", "20"),
    ("RestartPolicy", "OnFailure"),
    ("ActiveDeadlineSeconds", "3600"),
    ("TerminationGracePeriodSeconds", "10"),
    ("SpotStrategy", "SpotWithPriceLimit"),
    ("SpotPriceLimit", "0.5"),
    ("SpotDuration", "2"),
    ("MaxPendingMinute", "60"),
    ("RamRoleName", "role"),
    ("AutoMatchImageCache", "true"),
    ("HostName", "host"),
    ("ShareProcessNamespace", "false"),
    ("OverheadReservationOption.EnableOverheadReservation", "false"),
    ("PlainHttpRegistry", "registry:5000"),
    ("InsecureRegistry", "registry:5001"),
    ("ImageRegistryCredential.1.Server", "registry:5000"),
    ("ImageRegistryCredential.1.UserName", "user"),
    ("ImageRegistryCredential.1.Password", "hunter2"),
    ("DnsPolicy", "None"),
    ("DnsConfig.NameServer.1", "10.0.0.10"),
    ("DnsConfig.Search.1", "svc.cluster.local"),
    ("DnsConfig.Option.1.Name", "ndots"),
    ("DnsConfig.Option.1.Value", "5"),
    ("HostAliase.1.Ip", "10.0.0.20"),
    ("HostAliase.1.Hostname.1", "kubernetes.default.svc"),
    ("SecurityContext.Sysctl.1.Name", "net.ipv4.ip_unprivileged_port_start"),
    ("SecurityContext.Sysctl.1.Value", "0"),
    ("HostSecurityContext.Sysctl.1.Name", "kernel.msgmax"),
    ("HostSecurityContext.Sysctl.1.Value", "65536"),
    ("Tag.1.Key", "UID"),
    ("Tag.1.Value", "u-1"),
    ("Volume.1.Name", "conf"),
    ("Volume.1.Type", "ConfigFileVolume"),
    ("Volume.1.ConfigFileVolume.DefaultMode", "0640"),
    ("Volume.2.Name", "scratch"),
    ("Volume.2.Type", "EmptyDirVolume"),
    ("Volume.2.EmptyDirVolume.Medium", "memory"),
    ("Volume.2.EmptyDirVolume.SizeLimit", "256Mi"),
    ("Volume.3.Name", "misspelt"),
    ("Volume.3.Type", "ConfigFileVolume"),
    ("Volume.3.ConfigFileVolume.DefaultModel", "420"),
    ("Volume.3.ConfigFileVolume.ConfigFileToPath.1.Path", "b"),
    ("Volume.3.ConfigFileVolume.ConfigFileToPath.1.Content", ""),
];
