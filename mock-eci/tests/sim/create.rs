//! CreateContainerGroup: what it takes, what it gives back, what it refuses and with which code.

use base64::{Engine, engine::general_purpose::STANDARD};
use mock_eci::{Config, config::Limits};
use serde_json::json;

use crate::bed::Bed;

type Params<'a> = &'a [(&'a str, &'a str)];

#[tokio::test(start_paused = true)]
async fn everything_asked_for_is_echoed() {
    let bed = Bed::new().await;
    let content = STANDARD.encode("key: value\n");
    let id = bed
        .create(
            "full",
            &[
                ("Cpu", "0.7"),
                ("Memory", "1.5"),
                ("RestartPolicy", "Never"),
                ("ZoneId", "cn-hangzhou-i"),
                ("VSwitchId", "vsw-1,vsw-2"),
                ("SecurityGroupId", "sg-1"),
                ("Tag.1.Key", "UID"),
                ("Tag.1.Value", "u-1"),
                ("Container.1.Command.1", "sh"),
                ("Container.1.Arg.1", "-c"),
                ("Container.1.Arg.2", "echo $IP"),
                ("Container.1.EnvironmentVar.1.Key", "IP"),
                ("Container.1.EnvironmentVar.1.FieldRef.FieldPath", "status.podIP"),
                ("Container.1.EnvironmentVar.2.Key", "EMPTY"),
                ("Container.1.EnvironmentVar.2.Value", ""),
                ("Container.1.Port.1.Port", "7077"),
                ("Container.1.Port.1.Protocol", "TCP"),
                ("Container.1.VolumeMount.1.Name", "conf"),
                ("Container.1.VolumeMount.1.MountPath", "/etc/app"),
                ("Container.1.VolumeMount.1.ReadOnly", "True"),
                ("Container.1.ReadinessProbe.HttpGet.Port", "80"),
                ("Container.1.ReadinessProbe.InitialDelaySeconds", "1"),
                ("Container.1.Tty", "False"),
                ("InitContainer.1.Name", "prepare"),
                ("InitContainer.1.Image", "busybox:1"),
                ("InitContainer.1.Command.1", "true"),
                ("Volume.1.Name", "conf"),
                ("Volume.1.Type", "ConfigFileVolume"),
                ("Volume.1.ConfigFileVolume.DefaultMode", "0640"),
                ("Volume.1.ConfigFileVolume.ConfigFileToPath.1.Path", "app.yaml"),
                ("Volume.1.ConfigFileVolume.ConfigFileToPath.1.Content", &content),
                ("Volume.2.Name", "scratch"),
                ("Volume.2.Type", "EmptyDirVolume"),
                ("Volume.2.EmptyDirVolume.Medium", "memory"),
                ("Volume.2.EmptyDirVolume.SizeLimit", "256Mi"),
                ("DnsPolicy", "None"),
                ("DnsConfig.NameServer.1", "10.0.0.10"),
                ("DnsConfig.Search.1", "svc.cluster.local"),
                ("DnsConfig.Option.1.Name", "ndots"),
                ("DnsConfig.Option.1.Value", "5"),
                ("HostAliase.1.Ip", "10.0.0.20"),
                ("HostAliase.1.Hostname.1", "kubernetes.default.svc"),
                ("SecurityContext.Sysctl.1.Name", "net.ipv4.ip_unprivileged_port_start"),
                ("SecurityContext.Sysctl.1.Value", "0"),
            ],
        )
        .await;
    let group = bed.until(&id, "Running").await;
    assert_eq!(
        (&group["Cpu"], &group["Memory"]),
        (&json!(1.0), &json!(2.0)),
        "rounded up to what is sold"
    );
    assert_eq!(group["ZoneId"], "cn-hangzhou-i");
    assert_eq!(group["VSwitchId"], "vsw-1");
    assert_eq!(group["RestartPolicy"], "Never");
    assert_eq!(group["Tags"], json!([{"Key": "UID", "Value": "u-1"}]));
    assert!(group["IntranetIp"].as_str().is_some_and(|ip| ip.starts_with("10.")));
    let container = &group["Containers"][0];
    assert_eq!(container["Commands"], json!(["sh"]));
    assert_eq!(container["Args"], json!(["-c", "echo $IP"]));
    assert_eq!(
        container["EnvironmentVars"],
        json!([
            {"Key": "IP", "Value": "", "ValueFrom": {"FieldRef": {"FieldPath": "status.podIP"}}},
            {"Key": "EMPTY", "Value": ""},
        ])
    );
    assert_eq!(container["Ports"], json!([{"Port": 7077, "Protocol": "TCP"}]));
    assert_eq!(
        container["ReadinessProbe"]["HttpGet"],
        json!({"Path": "/", "Port": 80, "Scheme": "HTTP"})
    );
    assert_eq!(container["ReadinessProbe"]["PeriodSeconds"], 10);
    assert_eq!(container["VolumeMounts"][0]["ReadOnly"], true);
    assert_eq!(group["InitContainers"][0]["Command"], json!(["true"]));
    assert_eq!(group["InitContainers"][0]["CurrentState"]["State"], "Terminated");
    assert_eq!(
        group["Volumes"],
        json!([
            {"Name": "conf", "Type": "ConfigFileVolume",
             "ConfigFileVolumeConfigFileToPaths": [{"Path": "app.yaml", "Content": content}]},
            {"Name": "scratch", "Type": "EmptyDirVolume", "EmptyDirVolumeMedium": "Memory",
             "EmptyDirVolumeSizeLimit": "256Mi"},
        ])
    );
    assert_eq!(
        group["DnsConfig"],
        json!({"NameServers": ["10.0.0.10"], "Searches": ["svc.cluster.local"],
               "Options": [{"Name": "ndots", "Value": "5"}]})
    );
    assert_eq!(
        group["HostAliases"],
        json!([{"Ip": "10.0.0.20", "Hostnames": ["kubernetes.default.svc"]}])
    );
    assert!(
        bed.app().journal().entries(Some("CreateContainerGroup"))[0]
            .unknown
            .is_empty()
    );
}

#[tokio::test(start_paused = true)]
async fn sizes_come_from_containers_too() {
    let bed = Bed::new().await;
    let cases: [(Params, (f64, f64)); 5] = [
        (&[], (2.0, 4.0)),
        (
            &[("Container.1.Cpu", "0.25"), ("Container.1.Memory", "0.5")],
            (0.25, 0.5),
        ),
        (
            &[
                ("Container.1.Cpu", "1"),
                ("Container.1.Memory", "1.0"),
                ("Container.2.Name", "d"),
                ("Container.2.Image", "i"),
                ("Container.2.Cpu", "1"),
                ("Container.2.Memory", "2"),
            ],
            (2.0, 4.0),
        ),
        (
            &[
                ("Container.1.Cpu", "1"),
                ("Container.1.Memory", "2"),
                ("InitContainer.1.Name", "i"),
                ("InitContainer.1.Image", "i"),
                ("InitContainer.1.Cpu", "3"),
                ("InitContainer.1.Memory", "1"),
            ],
            (4.0, 2.0),
        ),
        (&[("Cpu", "7"), ("Memory", "13")], (8.0, 14.0)),
    ];
    for (params, size) in cases {
        let id = bed.create("sized", params).await;
        let group = bed.describe(&id).await.expect("the group");
        assert_eq!(
            (group["Cpu"].as_f64(), group["Memory"].as_f64()),
            (Some(size.0), Some(size.1)),
            "{params:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn refusals() {
    let bed = Bed::new().await;
    let long = "x".repeat(65);
    let file = STANDARD.encode(vec![b'x'; 32 * 1024 + 1]);
    let config = |content: &'static str| {
        vec![
            ("Volume.1.Name", "v"),
            ("Volume.1.Type", "ConfigFileVolume"),
            ("Volume.1.ConfigFileVolume.ConfigFileToPath.1.Path", "p"),
            ("Volume.1.ConfigFileVolume.ConfigFileToPath.1.Content", content),
        ]
    };
    let too_large: &'static str = Box::leak(file.into_boxed_str());
    type Refusal<'a> = (Vec<(&'a str, &'a str)>, u16, &'a str);
    let cases: Vec<Refusal<'_>> = vec![
        (vec![("ContainerGroupName", "a")], 400, "InvalidParameter"),
        (vec![("ContainerGroupName", "Capital")], 400, "InvalidParameter"),
        (vec![("ContainerGroupName", "-a-b")], 400, "InvalidParameter"),
        (vec![("Container.1.Name", "")], 400, "MissingParameter"),
        (vec![("Container.1.Name", "Under_score")], 400, "InvalidParameter"),
        (vec![("Container.1.Image", "")], 400, "MissingParameter"),
        (
            vec![("Container.2.Name", "c"), ("Container.2.Image", "i")],
            400,
            "InvalidParameter.DuplicatedName",
        ),
        (
            vec![("InitContainer.1.Name", "c"), ("InitContainer.1.Image", "i")],
            400,
            "InvalidParameter.DuplicatedName",
        ),
        (vec![("Cpu", "65"), ("Memory", "1")], 400, "InvalidParameter.CPU.Memory"),
        (
            vec![("Cpu", "1"), ("Memory", "2"), ("Container.1.Cpu", "2")],
            400,
            "InvalidParameter.CPU.Memory",
        ),
        (vec![("Cpu", "much")], 400, "InvalidParameter"),
        (vec![("GpuDriverVersion", "tesla=470.82.01")], 400, "InvalidParameter"),
        (vec![("Container.1.Gpu", "1")], 400, "InvalidParameter"),
        (vec![("RestartPolicy", "Sometimes")], 400, "InvalidParameter"),
        (vec![("SpotStrategy", "SpotWithPriceLimit")], 400, "MissingParameter"),
        (vec![("ZoneId", "cn-hangzhou-z")], 403, "Zone.NotOnSale"),
        (vec![("ClientToken", &long)], 400, "InvalidParameter"),
        (vec![("DryRun", "true")], 400, "DryRunOperation"),
        (vec![("DnsPolicy", "None")], 400, "InvalidParameter"),
        (vec![("DnsPolicy", "ClusterFirst")], 400, "InvalidParameter"),
        (
            vec![("HostAliase.1.Ip", "10.0.0.1"), ("HostAliase.1.Hostname.1", "a b")],
            400,
            "InvalidParameter",
        ),
        (
            vec![
                ("Container.1.VolumeMount.1.Name", "v"),
                ("Container.1.VolumeMount.1.MountPath", "/v"),
            ],
            400,
            "InvalidParameter",
        ),
        (
            vec![("Volume.1.Name", "v"), ("Volume.1.Type", "NFSVolume")],
            400,
            "MissingParameter",
        ),
        (
            vec![("Volume.1.Name", "v"), ("Volume.1.Type", "Attic")],
            400,
            "InvalidParameter",
        ),
        (
            vec![
                ("Volume.1.Name", "v"),
                ("Volume.1.Type", "EmptyDirVolume"),
                ("Volume.2.Name", "v"),
                ("Volume.2.Type", "EmptyDirVolume"),
            ],
            400,
            "InvalidParameter.DuplicatedVolumeName",
        ),
        (config("no base64!"), 400, "InvalidParameter"),
        (config(too_large), 400, "InvalidParameter.ValueExceeded"),
        (
            vec![
                ("Volume.1.Name", "v"),
                ("Volume.1.Type", "ConfigFileVolume"),
                ("Volume.1.ConfigFileVolume.ConfigFileToPath.1.Path", "../etc/passwd"),
            ],
            400,
            "InvalidParameter",
        ),
        (
            vec![("Container.1.EnvironmentVar.1.Key", "1A")],
            400,
            "InvalidParameter",
        ),
        (
            vec![
                ("Container.1.EnvironmentVar.1.Key", "A"),
                ("Container.1.EnvironmentVar.1.FieldRef.FieldPath", "metadata.name"),
            ],
            400,
            "InvalidParameter",
        ),
        (
            vec![("Container.1.LivenessProbe.PeriodSeconds", "5")],
            400,
            "InvalidParameter",
        ),
        (
            vec![
                ("Container.1.LivenessProbe.TcpSocket.Port", "1"),
                ("Container.1.LivenessProbe.SuccessThreshold", "2"),
            ],
            400,
            "InvalidParameter",
        ),
        (
            vec![("Container.1.SecurityContext.ReadOnlyRootFilesystem", "false")],
            400,
            "InvalidParameter",
        ),
        (
            vec![("Container.1.SecurityContext.Capability.Add.1", "SYS_ADMIN")],
            400,
            "InvalidParameter",
        ),
        (vec![("Tag.1.Key", "acs:x")], 400, "InvalidParameter"),
        (vec![("Tag.1.Key", "a"), ("Tag.2.Key", "a")], 400, "InvalidParameter"),
    ];
    for (wrong, status, code) in cases {
        let mut params = vec![
            ("ContainerGroupName", "fine"),
            ("Container.1.Name", "c"),
            ("Container.1.Image", "busybox"),
        ];
        params.retain(|(name, _)| wrong.iter().all(|(n, _)| n != name));
        params.extend(wrong.iter().copied());
        let reply = bed.call("CreateContainerGroup", &params).await;
        assert_eq!(
            (reply.status, reply.code()),
            (status, code),
            "{wrong:?}: {}",
            reply.body["Message"]
        );
    }
    assert!(bed.app().group_ids().is_empty(), "nothing was created on the way");
}

#[tokio::test(start_paused = true)]
async fn the_quota_is_of_live_groups() {
    let bed = Bed::with(Config {
        limits: Limits::None,
        ..Config::default()
    })
    .await;
    bed.app().set_max_milli_cpu(2_000);
    let one = [("Cpu", "1"), ("Memory", "2")];
    let first = bed.create("first", &one).await;
    bed.create("second", &one).await;
    let params = [
        ("ContainerGroupName", "third"),
        ("Container.1.Name", "c"),
        ("Container.1.Image", "i"),
        ("Cpu", "0.25"),
        ("Memory", "0.5"),
    ];
    let refused = bed.call("CreateContainerGroup", &params).await;
    assert_eq!((refused.status, refused.code()), (403, "QuotaExceeded"));
    let usage = bed.call("ListUsage", &[]).await.ok();
    assert_eq!(
        (&usage["Attributes"]["UsedCpu"], &usage["Attributes"]["MaxCpu"]),
        (&json!(2.0), &json!(2.0))
    );
    bed.call(
        "DeleteContainerGroup",
        &[("ContainerGroupId", &first), ("Force", "true")],
    )
    .await
    .ok();
    bed.until_gone(&first).await;
    assert_eq!(bed.call("CreateContainerGroup", &params).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn prices_are_ecis_own_sample() {
    let bed = Bed::new().await;
    let price = bed
        .call("DescribeContainerGroupPrice", &[("Cpu", "2"), ("Memory", "4")])
        .await
        .ok();
    let price = &price["PriceInfo"]["Price"];
    assert_eq!(
        (&price["TradePrice"], &price["Currency"]),
        (&json!(0.00012252), &json!("CNY"))
    );
    let odd = bed
        .call("DescribeContainerGroupPrice", &[("Cpu", "3"), ("Memory", "4")])
        .await;
    assert_eq!(odd.code(), "InvalidParam.CpuOrMemorySpec");
    let spot = [
        ("Cpu", "2"),
        ("Memory", "4"),
        ("SpotStrategy", "SpotAsPriceGo"),
        ("ZoneId", "cn-hangzhou-h"),
    ];
    let spot = bed.call("DescribeContainerGroupPrice", &spot).await.ok();
    assert_eq!(
        spot["PriceInfo"]["SpotPrices"]["SpotPrice"][0]["OriginPrice"],
        json!(0.441072)
    );
}

#[tokio::test(start_paused = true)]
async fn unknown_parameters_are_ignored_and_noted() {
    let bed = Bed::new().await;
    bed.create("typo", &[("RestartPolice", "Never"), ("Container.1.Argument.1", "x")])
        .await;
    let entries = bed.app().journal().entries(Some("CreateContainerGroup"));
    assert_eq!(entries[0].unknown, ["Container.1.Argument.1", "RestartPolice"]);
}
