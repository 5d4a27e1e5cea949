use clap::Parser;

use super::parse::parse_host_port;
use super::*;
use crate::args::{Cli, Command};
use crate::budget::terms::{Action, Limit};
use crate::object_store::StoreKind;

/// Arguments of `virtual-node run` as a shell would pass them. Tests must not depend on the environment they run in, so
/// they only assert on settings whose variables nobody exports.
fn typed(args: &[&str]) -> RunArgs {
    let mut line = vec!["virtual-node", "run"];
    line.extend(args);
    match Cli::try_parse_from(line).expect("arguments parse").command {
        Command::Run(args) => *args,
        other => panic!("run expected, got {other:?}"),
    }
}

const MINIMAL: [&str; 12] = [
    "--node-name",
    "virtual-kubelet-cn-hangzhou-h",
    "--region",
    "cn-hangzhou",
    "--vswitch-ids",
    "vsw-1,vsw-2",
    "--security-group-id",
    "sg-1",
    "--cluster-id",
    "testbed",
    "--kubelet-listen",
    "172.31.0.10:10250",
];

#[test]
fn few_settings_are_enough() {
    let config = Config::resolve(typed(&MINIMAL), "").expect("valid");
    let node = &config.nodes[0];
    assert_eq!(
        node.zone.as_deref(),
        Some("cn-hangzhou-h"),
        "ACK's node names carry the zone"
    );
    assert_eq!(node.vswitch_ids, ["vsw-1", "vsw-2"]);
    assert_eq!(node.node_ip.to_string(), "172.31.0.10");
    assert_eq!(config.eci_endpoint, "https://eci.cn-hangzhou.aliyuncs.com");
    assert_eq!(config.eci_limits, EciLimits::Documented);
    assert_eq!(config.service_vips, ServiceVips::Routed);
    assert_eq!(config.taints.len(), 1);
    assert_eq!(config.taints[0].key, "virtual-kubelet.io/provider");
    assert_eq!(config.taints[0].value.as_deref(), Some("alibabacloud"));
    assert_eq!(config.taints[0].effect, "NoSchedule");
}

#[test]
fn all_mistakes_are_reported_at_once_and_name_their_sources() {
    let args = typed(&[
        "--kubelet-listen",
        "nowhere",
        "--service-vips",
        "relay",
        "--tls-cert-file",
        "cert.pem",
    ]);
    let ConfigErrors(errors) =
        Config::resolve(args, "unknown-key: 1\neci-limits: /no/such/file\n").expect_err("invalid");
    let all = errors.join("\n");
    for expected in [
        "--region (VIRTUAL_NODE_REGION, or `region` in the file of --config) is missing",
        "--node-name (VIRTUAL_NODE_NODE_NAME",
        "--security-group-id",
        "--cluster-id",
        "--relay-ip (VIRTUAL_NODE_RELAY_IP, or `relay-ip` in the file of --config) is needed",
        "--api-server",
        "--tls-private-key-file",
        "--eci-limits",
        "key `unknown-key` is not a setting",
    ] {
        assert!(all.contains(expected), "{expected:?} not in:\n{all}");
    }
}

#[test]
fn a_serving_certificate_comes_from_one_place() {
    let of = |more: &[&str]| {
        let all: Vec<&str> = MINIMAL.iter().chain(more).copied().collect();
        Config::resolve(typed(&all), "").map(|config| config.serving)
    };
    let files = ["--tls-cert-file", "c", "--tls-private-key-file", "k"];
    let given = ServingCertificate::Files(ServingFiles {
        cert: "c".into(),
        key: "k".into(),
    });
    assert_eq!(of(&[]), Ok(ServingCertificate::Request));
    assert_eq!(of(&files), Ok(given));
    assert_eq!(
        of(&["--serving-certificate", "request"]),
        Ok(ServingCertificate::Request)
    );
    assert_eq!(
        of(&["--serving-certificate", "self-signed"]),
        Ok(ServingCertificate::SelfSigned)
    );
    for (wrong, word) in [
        (&["--serving-certificate", "files"][..], "--tls-cert-file"),
        (
            &["--serving-certificate", "none"],
            "must be files, request or self-signed",
        ),
        (
            &[
                "--serving-certificate",
                "request",
                "--tls-cert-file",
                "c",
                "--tls-private-key-file",
                "k",
            ],
            "too many",
        ),
    ] {
        let error = of(wrong).expect_err("wrong").to_string();
        assert!(error.contains(word), "{error}");
    }
}

#[test]
fn a_flag_beats_the_file() {
    let file = "region: cn-shanghai\nsecurity-group-id: sg-of-file\nimpersonate-node: true\ncluster-dns: [10.0.0.10, 10.0.0.11]\n";
    let mut args = typed(&MINIMAL);
    args.security_group_id = None;
    let config = Config::resolve(args, file).expect("valid");
    assert_eq!(config.region, "cn-hangzhou");
    assert_eq!(config.security_group_id, "sg-of-file");
    assert!(config.impersonate_node);
    assert_eq!(config.cluster_dns.len(), 2);
}

#[test]
fn an_empty_taint_list_means_no_taint_while_a_missing_one_means_the_default() {
    let mut args = typed(&MINIMAL);
    args.register_with_taints = Some(String::new());
    assert!(Config::resolve(args, "").expect("valid").taints.is_empty());
    let none = Config::resolve(typed(&MINIMAL), "register-with-taints: ''").expect("valid");
    assert!(none.taints.is_empty());
}

#[test]
fn several_nodes_need_their_own_kubelet_addresses() {
    let common = "region: cn-hangzhou\nsecurity-group-id: sg\ncluster-id: c\nnode-ip: 10.0.0.1\n";
    let nodes = |second: &str| {
        format!(
            "{common}nodes:\n- {{name: a, zone: cn-hangzhou-h, vswitch-ids: [vsw-1], kubelet-listen: '10.0.0.1:10250'}}\n\
             - {{name: b, vswitch-ids: [vsw-2], kubelet-listen: '{second}'}}\n"
        )
    };
    let config = Config::resolve(RunArgs::default(), &nodes("10.0.0.1:10251")).expect("valid");
    assert_eq!(config.nodes.len(), 2);
    assert_eq!(config.nodes[1].node_ip.to_string(), "10.0.0.1");
    let errors = Config::resolve(RunArgs::default(), &nodes("10.0.0.1:10250")).expect_err("same address");
    assert!(errors.to_string().contains("each node needs its own"), "{errors}");
    let args = RunArgs {
        node_name: Some("c".to_owned()),
        ..RunArgs::default()
    };
    let errors = Config::resolve(args, &nodes("10.0.0.1:10251")).expect_err("both forms");
    assert!(errors.to_string().contains("cannot be used together"), "{errors}");
}

#[test]
fn the_relay_names_the_api_server_and_answers_dns() {
    let mut args = typed(&MINIMAL);
    args.service_vips = Some("relay".to_owned());
    args.relay_ip = Some("172.31.0.20".to_owned());
    args.api_server = Some("172.31.0.1:6443".to_owned());
    let config = Config::resolve(args, "").expect("valid");
    let api_server = HostPort {
        host: "172.31.0.1".to_owned(),
        port: 6443,
    };
    assert_eq!(
        config.service_vips,
        ServiceVips::Relay {
            ip: "172.31.0.20".parse().expect("ip"),
            api_server
        }
    );
    assert_eq!(config.cluster_dns, ["172.31.0.20".parse::<IpAddr>().expect("ip")]);
}

#[test]
fn taints_are_read_as_kubelet_reads_them() {
    let taints = parse_taints("a=b:NoSchedule, c:NoExecute").expect("valid");
    assert_eq!((taints[0].key.as_str(), taints[0].value.as_deref()), ("a", Some("b")));
    assert_eq!((taints[1].key.as_str(), taints[1].value.as_deref()), ("c", None));
    assert!(parse_taints("a=b").is_err());
    assert!(parse_taints("a=b:Sometimes").is_err());
    assert!(parse_taints("=b:NoSchedule").is_err());
}

#[test]
fn durations_have_a_unit() {
    let args = |period: &str| RunArgs {
        list_period: Some(period.to_owned()),
        ..typed(&MINIMAL)
    };
    let config = Config::resolve(args("1500ms"), "orphan-age: 1m 30s").expect("valid");
    assert_eq!(config.patience.list_period.as_millis(), 1500);
    assert_eq!(config.patience.orphan_age.as_secs(), 90);
    assert_eq!(config.patience.list_lag, Patience::default().list_lag);
    for wrong in ["30", "0s", "-3s", "soon"] {
        let errors = Config::resolve(args(wrong), "").expect_err(wrong).to_string();
        assert!(
            errors.contains("--list-period") && errors.contains("such as 30s"),
            "{errors}"
        );
    }
}

#[test]
fn hosts_may_be_names_or_addresses_of_both_families() {
    let host = |text| parse_host_port(text).map(|h| (h.host, h.port));
    assert_eq!(host("api.example:6443"), Ok(("api.example".to_owned(), 6443)));
    assert_eq!(host("[fd00::1]:443"), Ok(("fd00::1".to_owned(), 443)));
    assert!(host("api.example").is_err());
    assert!(host(":443").is_err());
}

#[test]
fn the_relay_needs_an_address_to_listen_on() {
    let errors = RelayConfig::resolve(RelayArgs::default()).expect_err("no address");
    assert!(errors.to_string().contains("--listen-address"), "{errors}");
    let args = RelayArgs {
        listen_address: Some("172.31.0.20".to_owned()),
        dns: Some("172.31.0.53:53".to_owned()),
        ..RelayArgs::default()
    };
    let config = RelayConfig::resolve(args).expect("valid");
    assert_eq!(config.api_listen.to_string(), "172.31.0.20:443");
    assert_eq!(config.dns_listen.to_string(), "172.31.0.20:53");
    assert_eq!(config.dns_servers.len(), 1);
}

#[test]
fn logs_are_kept_where_a_url_says() {
    let keep = |args: &[&str]| {
        let mut all = MINIMAL.to_vec();
        all.extend(args);
        Config::resolve(typed(&all), "").map(|config| config.log_archive)
    };
    assert_eq!(keep(&[]), Ok(None));
    let archive = keep(&["--log-archive", "oss://my-bucket/logs/prod/"])
        .expect("valid")
        .expect("there");
    assert_eq!(
        (
            archive.store.kind,
            archive.store.bucket.as_str(),
            archive.store.prefix.as_str()
        ),
        (StoreKind::Oss, "my-bucket", "logs/prod")
    );
    assert_eq!(archive.store.to_string(), "oss://my-bucket/logs/prod");
    assert_eq!(
        archive.selector,
        BTreeMap::from([("spark-role".to_owned(), "driver".to_owned())])
    );
    let archive = keep(&["--log-archive", "s3://b", "--log-archive-selector", "a=1,b=2"])
        .expect("valid")
        .expect("there");
    assert_eq!(
        (archive.store.to_string().as_str(), archive.selector.len()),
        ("s3://b", 2)
    );
    for wrong in [
        "bucket",
        "gs://b",
        "s3://",
        "s3:///p",
        "s3://b/../p",
        "s3://b/a//b",
        "s3://b c",
    ] {
        let error = keep(&["--log-archive", wrong]).expect_err("refused").to_string();
        assert!(error.contains("--log-archive (VIRTUAL_NODE_LOG_ARCHIVE,"), "{error}");
    }
    let error = keep(&["--log-archive-region", "x"]).expect_err("of what?").to_string();
    assert!(error.contains("log-archive") && error.contains("is missing"), "{error}");
}

#[test]
fn replicas_elect_one_only_when_told_so() {
    assert_eq!(Config::resolve(typed(&MINIMAL), "").expect("valid").election, None);
    let elect = |more: &[&str], file: &str| {
        let all: Vec<&str> = MINIMAL.into_iter().chain(more.iter().copied()).collect();
        Config::resolve(typed(&all), file).map(|config| config.election)
    };
    assert_eq!(
        elect(&["--leader-elect"], "leader-elect-resource-namespace: agents"),
        Ok(Some(ElectionConfig {
            name: "virtual-node".to_owned(),
            namespace: Some("agents".to_owned()),
        }))
    );
    let errors = elect(&["--leader-elect"], "leader-elect-resource-name: No Name").expect_err("no name");
    assert!(errors.to_string().contains("--leader-elect-resource-name"), "{errors}");
}

#[test]
fn burst_is_off_unless_told_so_and_caps_are_for_all() {
    let config = Config::resolve(typed(&MINIMAL), "").expect("valid");
    assert_eq!((config.burst, config.namespace_cap), (None, Cap::default()));
    let file = "burst: true\nburst-policy: ecs_first\nburst-wait: 30s\nburst-profile: burst/profile\nnamespace-max-pods: 50\n\
                namespace-max-vcpu: 1.5\n";
    let config = Config::resolve(typed(&MINIMAL), file).expect("valid");
    let burst = config.burst.expect("on");
    assert_eq!(burst.policy, Some(Policy::EcsFirst));
    assert_eq!(burst.wait, Duration::from_secs(30));
    assert_eq!(
        (burst.profile.namespace.as_str(), burst.profile.name.as_str()),
        ("burst", "profile")
    );
    assert_eq!(config.namespace_cap.pods, Some(50));
    assert_eq!(config.namespace_cap.cpu.map(|cpu| cpu.0), Some(1_500));
    let wrong =
        "burst: true\nburst-policy: anywhere\nburst-wait: soon\nburst-profile: profile\nnamespace-max-pods: many\n";
    let errors = Config::resolve(typed(&MINIMAL), wrong)
        .expect_err("four mistakes")
        .to_string();
    for key in ["burst-policy", "burst-wait", "burst-profile", "namespace-max-pods"] {
        assert!(errors.contains(&format!("--{key} ")), "{key}: {errors}");
    }
}

#[test]
fn budgets_are_off_unless_told_so_and_need_records_of_their_period() {
    let config = Config::resolve(typed(&MINIMAL), "").expect("valid");
    assert_eq!(config.budgets, BudgetSettings::default());
    let file = "application-budget: '12.50'\nnamespace-budget: 2000/month\nbudget-action: hold\n";
    let budgets = Config::resolve(typed(&MINIMAL), file).expect("valid").budgets;
    assert_eq!(budgets.application, Limit::parse("12.5"));
    assert_eq!(
        (budgets.namespace, budgets.action),
        (Limit::parse("2000/month"), Action::Hold)
    );
    let budgets = Config::resolve(typed(&MINIMAL), "cost-max-age: 743h\n")
        .expect("valid")
        .budgets;
    assert!(budgets.forgets_months, "annotations may ask for one");
    for (file, mistake) in [
        ("application-budget: ten\n", "--application-budget "),
        ("namespace-budget: '100'\n", "with a period in UTC"),
        (
            "namespace-budget: 100/month\ncost-max-age: 743h\n",
            "--cost-max-age must be 744h",
        ),
        (
            "namespace-budget: 100/day\ncost-records: false\n",
            "--cost-records must not be false",
        ),
        ("budget-action: explode\n", "warn, hold or stop"),
    ] {
        let errors = Config::resolve(typed(&MINIMAL), file).expect_err(mistake).to_string();
        assert!(errors.contains(mistake), "{errors}");
    }
}

#[test]
fn the_webhook_is_off_unless_told_so_and_needs_burst() {
    assert_eq!(Config::resolve(typed(&MINIMAL), "").expect("valid").webhook, None);
    let config = Config::resolve(typed(&MINIMAL), "burst: true\nwebhook-listen: 0.0.0.0:9443\n").expect("valid");
    let webhook = config.webhook.expect("on");
    assert_eq!(webhook.configuration, "virtual-node");
    assert_eq!(webhook.secret, (None, "virtual-node-webhook".to_owned()));
    assert_eq!(
        (webhook.impossible, webhook.times),
        (Impossible::Warn, Times::default())
    );
    let file = "burst: true\nwebhook-listen: 0.0.0.0:9443\nwebhook-impossible: refuse\nwebhook-secret: home/tls\n\
                webhook-certificate-life: 1h\nwebhook-ca-overlap: 1m\nwebhook-configuration: another\n";
    let webhook = Config::resolve(typed(&MINIMAL), file)
        .expect("valid")
        .webhook
        .expect("on");
    assert_eq!(
        (webhook.impossible, webhook.configuration.as_str()),
        (Impossible::Refuse, "another")
    );
    assert_eq!(webhook.secret, (Some("home".to_owned()), "tls".to_owned()));
    for (file, key) in [
        ("webhook-listen: 0.0.0.0:9443\n", "webhook-listen"),
        ("burst: true\nwebhook-listen: nowhere\n", "webhook-listen"),
        (
            "burst: true\nwebhook-listen: 0.0.0.0:9443\nwebhook-impossible: maybe\n",
            "webhook-impossible",
        ),
        (
            "burst: true\nwebhook-listen: 0.0.0.0:9443\nwebhook-secret: tls\n",
            "webhook-secret",
        ),
        (
            "burst: true\nwebhook-listen: 0.0.0.0:9443\nwebhook-certificate-life: 20m\n",
            "webhook-ca-overlap",
        ),
    ] {
        let errors = Config::resolve(typed(&MINIMAL), file)
            .expect_err("a mistake")
            .to_string();
        assert!(errors.contains(&format!("--{key} ")), "{key}: {errors}");
    }
}

#[test]
fn pods_outlast_an_outage_for_a_day_unless_told_otherwise() {
    let toleration = |more: &[&str]| {
        let all: Vec<&str> = MINIMAL
            .into_iter()
            .chain(["--burst"])
            .chain(more.iter().copied())
            .collect();
        Config::resolve(typed(&all), "").map(|config| config.burst.map(|burst| burst.outage_toleration))
    };
    assert_eq!(toleration(&[]), Ok(Some(OutageToleration::Seconds(86_400))));
    assert_eq!(
        toleration(&["--outage-toleration", "90s"]),
        Ok(Some(OutageToleration::Seconds(90)))
    );
    assert_eq!(
        toleration(&["--outage-toleration", "forever"]),
        Ok(Some(OutageToleration::Forever))
    );
    assert_eq!(
        toleration(&["--outage-toleration", "off"]),
        Ok(Some(OutageToleration::Off))
    );
    let errors = toleration(&["--outage-toleration", "never"]).expect_err("no duration");
    assert!(errors.to_string().contains("24h, forever or off"), "{errors}");
}

#[test]
fn zones_have_their_order_their_failover_and_their_bounds() {
    let config = Config::resolve(typed(&MINIMAL), "").expect("valid");
    assert_eq!(config.schedule_strategy, ScheduleStrategy::VSwitchOrdered);
    assert!(config.zone_failover);
    assert_eq!(config.nodes[0].bounds, Bounds::default());
    let file = "
region: cn-hangzhou
security-group-id: sg-1
cluster-id: c
schedule-strategy: VSwitchRandom
zone-failover: false
max-vcpu: 500
kubelet-listen: 10.0.0.1:10250
nodes:
  - {name: virtual-kubelet-cn-hangzhou-h, vswitch-ids: [vsw-1]}
  - {name: virtual-kubelet-cn-hangzhou-i, vswitch-ids: [vsw-2], kubelet-listen: \"10.0.0.1:10251\", max-vcpu: 1.5, max-pods: 10}
";
    let config = Config::resolve(typed(&[]), file).expect("valid");
    assert_eq!(config.schedule_strategy, ScheduleStrategy::VSwitchRandom);
    assert!(!config.zone_failover);
    let bounds: Vec<_> = config
        .nodes
        .iter()
        .map(|n| (n.bounds.cpu.map(|cpu| cpu.0), n.bounds.pods))
        .collect();
    assert_eq!(bounds, [(Some(500_000), None), (Some(1_500), Some(10))]);
    let wrong = [
        MINIMAL.as_slice(),
        &["--schedule-strategy", "random", "--max-pods", "many"],
    ]
    .concat();
    let error = Config::resolve(typed(&wrong), "").expect_err("wrong").to_string();
    assert!(
        error.contains("VSwitchOrdered or VSwitchRandom") && error.contains("--max-pods"),
        "{error}"
    );
}

#[test]
fn a_price_table_says_its_currency_and_its_mistakes_are_settings_mistakes() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("prices.yaml");
    let resolve = |text: &str, more: &str| {
        std::fs::write(&path, text).expect("writes");
        let file = format!("price-table: {}\n{more}", path.display());
        Config::resolve(typed(&MINIMAL), &file)
    };
    let cost = resolve("{currency: USD, discount: 5}", "")
        .expect("valid")
        .cost
        .expect("on");
    assert_eq!(cost.currency, Currency::Usd);
    assert!(cost.price_table.is_some());
    for (text, more, expected) in [
        (
            "{currency: USD, discount: 5}",
            "cost-currency: CNY\n",
            "but the prices of --price-table are in USD",
        ),
        (
            "{currency: USD, discount: all}",
            "",
            "discount: it must be the percents",
        ),
        (
            "{currency: USD, regions: {cn-beijing: {discount: 5}}}",
            "",
            "it says nothing of cn-hangzhou: add that under `regions`",
        ),
    ] {
        let errors = resolve(text, more).expect_err(text).to_string();
        assert!(errors.contains(expected), "{errors}");
        assert_eq!(errors.lines().count(), 1, "{errors}");
    }
    let mut args = typed(&MINIMAL);
    args.price_table = Some("/nowhere/prices.yaml".to_owned());
    let errors = Config::resolve(args, "").expect_err("there is none").to_string();
    let expected = "--price-table (VIRTUAL_NODE_PRICE_TABLE, or `price-table` in the file of --config) is `/nowhere/prices.yaml`: it cannot be read";
    assert!(errors.contains(expected), "{errors}");
}
