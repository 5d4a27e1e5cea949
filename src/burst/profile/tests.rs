use super::super::policy::Policy;
use super::*;

fn map(pairs: &[(&str, &str)]) -> Map {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

fn selectors(json: &str) -> Profile {
    parse(&map(&[("selectors", json)])).expect("a profile")
}

/// What is wrong, as one text.
fn wrong(key: &str, text: &str) -> String {
    let problems = parse(&map(&[(key, text)])).expect_err("wrong");
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// As ACK documents it, every key in it.
const DOCUMENTED: [(&str, &str); 14] = [
    ("enableClusterIp", "true"),
    ("enableHybridMode", "false"),
    ("enableLinuxArm64Node", "false"),
    ("enableLogController", "false"),
    ("enablePVCController", "true"),
    ("enablePrivateZone", "false"),
    ("enableReuseSSLKey", "true"),
    (
        "featureGates",
        "WaitForFirstConsumer=false,MetricsVpcNet=true,ProtectionFinalizers=false",
    ),
    ("resourceGroupId", "rg-1"),
    ("securityGroupId", "sg-1"),
    ("slsMachineGroup", ""),
    ("vSwitchIds", "vsw-1,vsw-2"),
    ("vpcId", "vpc-1"),
    (
        "selectors",
        r#"[{
            "name": "default-selector",
            "namespaceSelector": { "matchLabels": { "virtual-node-affinity-injection": "enabled" } },
            "effect": { "annotations": { "k8s.aliyun.com/eci-image-cache": "true" }, "labels": { "created-by-eci": "true" } }
        }]"#,
    ),
];

#[test]
fn every_documented_key_is_read_and_what_has_no_effect_is_said() {
    let profile = parse(&map(&DOCUMENTED)).expect("a profile");
    let ignored: Vec<&str> = profile.ignored.iter().map(|p| p.key.as_str()).collect();
    assert_eq!(
        ignored,
        [
            "enablePVCController",
            "featureGates",
            "securityGroupId",
            "vSwitchIds",
            "vpcId"
        ]
    );
    assert_eq!(profile.resource_group_id.as_deref(), Some("rg-1"));
    assert_eq!(profile.selectors.len(), 1);
    assert_eq!(profile.selectors[0].policy, Some(Policy::EcsFirst));
    let unknown = parse(&map(&[("vSwitchIDs", "vsw-1")])).expect("a profile");
    assert_eq!(
        unknown.ignored[0].to_string(),
        "data.vSwitchIDs is not known and has no effect"
    );
    assert_eq!(parse(&Map::new()), Ok(Profile::default()));
}

#[test]
fn mistakes_name_their_key_and_come_all_at_once() {
    assert_eq!(
        wrong("enableClusterIp", "yes"),
        "data.enableClusterIp is `yes`: it must be \"true\" or \"false\""
    );
    assert_eq!(
        wrong("securityGroupId", "sg-1,sg-2"),
        "data.securityGroupId names 2, and may name 1"
    );
    let eleven = ["vsw"; 11].join(",");
    assert_eq!(
        wrong("vSwitchIds", &eleven),
        "data.vSwitchIds names 11, and may name 10"
    );
    assert_eq!(
        wrong("featureGates", "WaitForFirstConsumer"),
        "data.featureGates holds `WaitForFirstConsumer`: it must be Name=true or Name=false, with commas between"
    );
    assert_eq!(
        wrong("resourceGroupId", "rg-1, rg-2"),
        "data.resourceGroupId is `rg-1, rg-2`: it must be one id"
    );
    let both = parse(&map(&[("enableClusterIp", "no"), ("selectors", "[")])).expect_err("wrong");
    assert_eq!(both.len(), 2);
}

#[test]
fn mistakes_in_selectors_say_where() {
    for (json, part) in [
        (
            "[{",
            "data.selectors is not a JSON list of selectors: EOF while parsing an object at line 1 column 2",
        ),
        ("{}", "is not a JSON list of selectors"),
        (
            r#"[{"objectSelector": {"matchExpressions": []}}]"#,
            "unknown field `matchExpressions`, expected `matchLabels`",
        ),
        (r#"[{"effects": {}}]"#, "unknown field `effects`"),
        (
            r#"[{"name": "spark", "objectSelector": {"matchLabels": {"a": "b"}}, "policy": "eci"}]"#,
            "data.selectors [0] (spark) policy is `eci`: it must be",
        ),
        (
            r#"[{"objectSelector": {"matchLabels": {"a": "b"}}, "effect": {"labels": {"alibabacloud.com/eci": "on"}}}]"#,
            "data.selectors [0] effect: alibabacloud.com/eci is `on`",
        ),
        (r#"[{"policy": "eci-only"}]"#, "[0] chooses no pods"),
        (
            r#"[{"effect": {"labels": {"alibabacloud.com/eci": "true"}}}]"#,
            "[0] chooses no pods",
        ),
    ] {
        let text = wrong("selectors", json);
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn the_first_selector_that_chooses_a_pod_says_its_policy() {
    let profile = selectors(
        r#"[
            { "effect": { "labels": { "for": "all" } } },
            { "objectSelector": { "matchLabels": { "spark-role": "executor" } }, "policy": "eci-only" },
            { "objectSelector": { "matchLabels": { "tier": "batch" } }, "effect": { "annotations": { "alibabacloud.com/burst-resource": "eci_only" } } },
            { "namespaceSelector": { "matchLabels": { "burst": "on" } }, "objectSelector": { "matchLabels": { "tier": "web" } } },
            { "namespaceSelector": { "matchLabels": { "burst": "on" } }, "policy": "ecs-only" }
        ]"#,
    );
    let on = map(&[("burst", "on")]);
    for (pod, namespace, policy) in [
        (map(&[]), map(&[]), None),
        (map(&[("spark-role", "executor")]), map(&[]), Some(Policy::EciOnly)),
        (map(&[("spark-role", "driver")]), map(&[]), None),
        (map(&[("tier", "batch")]), on.clone(), Some(Policy::EciOnly)),
        (map(&[("tier", "web")]), map(&[]), None),
        (map(&[("tier", "web")]), on.clone(), Some(Policy::EcsFirst)),
        (map(&[]), on.clone(), Some(Policy::EcsOnly)),
    ] {
        assert_eq!(profile.policy(&pod, &namespace), policy, "{pod:?} {namespace:?}");
    }
}

#[test]
fn effects_add_up_in_order_and_overwrite_nothing() {
    let mut profile = selectors(
        r#"[
            { "objectSelector": { "matchLabels": { "app": "a" } }, "effect": { "annotations": { "x": "first", "only": "a" }, "labels": { "l": "1" } } },
            { "effect": { "annotations": { "x": "second", "y": "all" } } },
            { "objectSelector": { "matchLabels": { "app": "b" } }, "effect": { "annotations": { "z": "b" } } }
        ]"#,
    );
    profile.resource_group_id = Some("rg-1".to_owned());
    let effects = profile.effects(&map(&[("app", "a")]), &Map::new());
    let group = provider::annotations::RESOURCE_GROUP_ID;
    assert_eq!(
        effects.annotations,
        map(&[("x", "first"), ("only", "a"), ("y", "all"), (group, "rg-1")])
    );
    let missing = effects.missing_from(&map(&[("x", "mine"), (group, "rg-2")]), &map(&[("l", "")]));
    assert_eq!(missing.annotations, map(&[("only", "a"), ("y", "all")]));
    assert!(missing.labels.is_empty());
}
