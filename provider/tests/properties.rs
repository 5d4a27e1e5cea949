//! What holds for every pod and every history of a group, not only for the golden ones.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolume, PersistentVolumeClaim, Pod, Secret};
use proptest::prelude::*;
use provider::group::{ContainerState, GroupStatus, ObservedContainer, ObservedGroup};
use provider::mapping::{self, Refs, ServiceVips, Settings};
use provider::request::RestartPolicy;
use provider::status::{self, ContainerFacts, Phase, PodFacts, Previous, PreviousState};
use serde_json::{Value, json};

/// A value no log may show.
const NEEDLE: &str = "s3cr3t-needle";

/// The pods of the golden cases, as JSON.
static SEEDS: LazyLock<Vec<Value>> = LazyLock::new(seeds);

fn seeds() -> Vec<Value> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/mapping");
    let mut dirs: Vec<_> = fs::read_dir(root)
        .expect("cases")
        .filter_map(Result::ok)
        .map(|e| e.path())
        .collect();
    dirs.sort();
    dirs.iter()
        .map(|dir| match fs::read_to_string(dir.join("pod.json")) {
            Ok(text) => serde_json::from_str(&text).expect("JSON"),
            Err(_) => {
                let text = fs::read_to_string(dir.join("pod.yaml")).expect("a pod");
                serde_saphyr::from_str(&text).expect("YAML")
            }
        })
        .collect()
}

/// Texts that have broken parsers before.
fn nasty() -> Vec<Value> {
    vec![
        json!(""),
        json!("$("),
        json!("$(A"),
        json!("$$$(SPARK_DRIVER_BIND_ADDRESS)"),
        json!("ü€\u{0}"),
        json!("-1"),
        json!("1e400"),
        json!("99999999999999999999Ei"),
        json!("../../x"),
        json!("metadata.labels['"),
        json!("limits."),
        json!(i64::MIN),
        json!(i64::MAX),
        json!(0),
        json!(-1),
        json!(65_536),
        json!(true),
        json!([]),
        json!({}),
        Value::Null,
        json!("x".repeat(70_000)),
    ]
}

/// Changes the `at`th place below `value` (counted over the whole tree) by `how`.
fn mutate(value: &mut Value, at: &mut usize, how: usize) {
    if *at == 0 {
        let values = nasty();
        match value {
            Value::Array(items) if how.is_multiple_of(3) && !items.is_empty() => {
                let again = items[how % items.len()].clone();
                items.extend(std::iter::repeat_n(again, how % 130));
            }
            Value::Object(members) if how.is_multiple_of(3) => {
                let key = members.keys().nth(how % members.len().max(1)).cloned();
                key.map(|key| members.remove(&key));
            }
            other => *other = values[how % values.len()].clone(),
        }
        *at = usize::MAX;
        return;
    }
    *at -= 1;
    match value {
        Value::Array(items) => {
            for item in items.iter_mut() {
                if *at == usize::MAX {
                    return;
                }
                mutate(item, at, how);
            }
        }
        Value::Object(members) => {
            for (_, member) in members.iter_mut() {
                if *at == usize::MAX {
                    return;
                }
                mutate(member, at, how);
            }
        }
        _ => {}
    }
}

fn refs_for(pod: &Pod, present: bool) -> Refs {
    let references = mapping::references(pod);
    let map = BTreeMap::from([
        ("mode".to_owned(), NEEDLE.to_owned()),
        ("ca.crt".to_owned(), "c".to_owned()),
    ]);
    let config_map = ConfigMap {
        data: Some(map),
        ..ConfigMap::default()
    };
    let secret: Secret = serde_json::from_value(json!({
        "type": "kubernetes.io/dockercfg",
        "data": {
            "password": "czNjcjN0LW5lZWRsZQ==",
            "akId": "czNjcjN0LW5lZWRsZQ==",
            "akSecret": "czNjcjN0LW5lZWRsZQ==",
            ".dockercfg": "eyJhIjp7ImF1dGgiOiJhOmIifX0=",
        },
    }))
    .expect("a Secret");
    let claim: PersistentVolumeClaim =
        serde_json::from_value(json!({ "spec": { "volumeName": "pv" }, "status": { "phase": "Bound" } }))
            .expect("a claim");
    let volume: PersistentVolume = serde_json::from_value(json!({ "metadata": { "name": "pv" }, "spec": { "csi": {
        "driver": "ossplugin.csi.alibabacloud.com", "volumeHandle": "pv", "volumeAttributes": { "bucket": "b", "url": "u" },
        "nodePublishSecretRef": { "namespace": "storage", "name": "key" },
    } } }))
    .expect("a volume");
    let mut refs = Refs {
        config_maps: references
            .config_maps
            .iter()
            .map(|one| (one.name.clone(), present.then(|| config_map.clone())))
            .collect(),
        secrets: references
            .secrets
            .iter()
            .map(|one| (one.name.clone(), present.then(|| secret.clone())))
            .collect(),
        tokens: references
            .tokens
            .iter()
            .filter(|_| present)
            .map(|one| (one.clone(), NEEDLE.into()))
            .collect(),
        claims: references
            .claims
            .iter()
            .map(|name| (name.clone(), present.then(|| claim.clone())))
            .collect(),
        ..Refs::default()
    };
    refs.volumes = refs
        .volumes_to_read()
        .into_iter()
        .map(|name| (name, Some(volume.clone())))
        .collect();
    let secrets = refs.volume_secrets_to_read().into_iter();
    refs.volume_secrets = secrets.map(|key| (key, Some(secret.clone()))).collect();
    refs
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 400, ..ProptestConfig::default() })]

    /// No pod makes the mapping panic, the same pod gives the same answer, and neither request nor reasons show a secret.
    #[test]
    fn any_pod_is_mapped_or_rejected(
        seed in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), 0usize..1000), 0..6),
        present in any::<bool>(),
        relay in any::<bool>(),
    ) {
        let mut pod = seed.get(&SEEDS).clone();
        for (at, how) in changes {
            mutate(&mut pod, &mut at.index(400), how);
        }
        // What no API server would decode never gets here.
        let Ok(pod) = serde_json::from_value::<Pod>(pod) else { return Ok(()) };
        let refs = refs_for(&pod, present);
        let mut settings = Settings { cluster_domain: "cluster.local".into(), ..Settings::default() };
        if relay {
            settings.service_vips =
                ServiceVips::Relay { ip: "10.0.0.5".into(), api_server_host: "h".into(), api_server_port: 6443 };
        }
        let first = mapping::map(&pod, &refs, &settings, 0);
        prop_assert_eq!(&first, &mapping::map(&pod, &refs, &settings, 0));
        let _ = mapping::purchase(&pod, &settings, 1);
        let shown = format!("{first:?}{refs:?}");
        prop_assert!(!shown.contains(NEEDLE), "{shown}");
        match first {
            Ok(mapped) => {
                prop_assert!(mapped.size.holds(mapped.asked.0, mapped.asked.1));
                let purchase = mapping::purchase(&pod, &settings, 0).expect("it has a spec");
                prop_assert_eq!((purchase.asked.cpu, purchase.asked.memory), mapped.asked);
                prop_assert_eq!(&purchase.instance_type, &mapped.request.instance_type);
                prop_assert_eq!(purchase.is_spot, mapped.request.spot_strategy.is_some());
                prop_assert!(mapped.request.name.len() <= 128 && mapped.request.tags.len() <= 20);
                prop_assert!(!provider::params::create_params(&mapped.request).is_empty());
            }
            Err(rejections) => prop_assert!(!rejections.0.is_empty() && !rejections.to_string().contains(NEEDLE)),
        }
        let _ = PodFacts::of(&pod, Arc::from(""));
    }
}

fn any_state() -> impl Strategy<Value = ContainerState> {
    let instant = || {
        prop::option::of((1_700_000_000i64..1_700_000_100).prop_map(|s| Timestamp::from_second(s).expect("in range")))
    };
    prop_oneof![
        "(|ImagePullBackOff|CrashLoopBackOff)".prop_map(|reason| ContainerState::Waiting {
            reason,
            message: String::new()
        }),
        instant().prop_map(|started_at| ContainerState::Running { started_at }),
        (-1i32..3, instant(), instant()).prop_map(|(exit_code, started_at, finished_at)| {
            let (reason, message) = (String::new(), String::new());
            ContainerState::Terminated {
                exit_code,
                signal: 0,
                reason,
                message,
                started_at,
                finished_at,
            }
        }),
    ]
}

fn any_container(name: &'static str) -> impl Strategy<Value = ObservedContainer> {
    (any_state(), prop::option::of(any_state()), any::<bool>(), 0i32..3).prop_map(
        move |(state, last_state, ready, restart_count)| ObservedContainer {
            name: name.to_owned(),
            image: String::new(),
            image_id: String::new(),
            ready,
            started: None,
            restart_count,
            state,
            last_state,
        },
    )
}

fn any_group() -> impl Strategy<Value = ObservedGroup> {
    let word = prop::sample::select(vec![
        "Scheduling",
        "ScheduleFailed",
        "Pending",
        "Running",
        "Restarting",
        "Updating",
        "Terminating",
        "Succeeded",
        "Failed",
        "Expired",
        "SomethingNew",
    ]);
    let mains = prop_oneof![
        Just(Vec::new()),
        any_container("a").prop_map(|one| vec![one]),
        (any_container("a"), any_container("b")).prop_map(|(a, b)| vec![a, b]),
    ];
    let init = prop::option::of(any_container("i").prop_map(|one| vec![one]));
    (word, mains, init, any::<bool>()).prop_map(|(word, containers, init_containers, ip)| ObservedGroup {
        id: "eci-1".to_owned(),
        name: String::new(),
        status: GroupStatus::parse(word),
        pod_ip: ip.then(|| "10.0.0.9".to_owned()),
        zone_id: None,
        whereabouts: None,
        size: None,
        tags: Vec::new(),
        uuid: None,
        created: None,
        start_time: None,
        finished: None,
        containers,
        init_containers,
        conditions: Vec::new(),
    })
}

fn facts(restart_policy: RestartPolicy, init: bool) -> PodFacts {
    let one = |name: &str| ContainerFacts {
        name: name.into(),
        image: "image".into(),
        readiness_probe: name == "b",
        sidecar: false,
    };
    PodFacts {
        uid: "u".into(),
        namespace: "ns".into(),
        name: "p".into(),
        node_ip: Arc::from("10.0.0.1"),
        generation: None,
        created: None,
        deletion_requested: false,
        restart_policy,
        active_deadline_seconds: None,
        containers: vec![one("a"), one("b")],
        init_containers: if init { vec![one("i")] } else { Vec::new() },
        readiness_gates: Vec::new(),
        previous: Previous::default(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2000, ..ProptestConfig::default() })]

    /// Whatever a group is said to be, in whatever order: the phase never steps back, what is over stays over (a pod, and a
    /// container that may not run again, or the API server would refuse the status), every container has one state, and
    /// hearing the same twice changes nothing.
    #[test]
    fn any_history_moves_the_phase_forward(
        history in prop::collection::vec(any_group(), 1..8),
        policy in prop::sample::select(vec![RestartPolicy::Always, RestartPolicy::OnFailure, RestartPolicy::Never]),
        init in any::<bool>(),
    ) {
        let mut facts = facts(policy, init);
        let mut now = Timestamp::from_second(1_700_001_000).expect("in range");
        for group in &history {
            let before = facts.previous.phase;
            let status = status::to_pod_status(group, &facts, now);
            let phase = status.phase.as_deref().and_then(Phase::parse).expect("a phase");
            if let Some(before) = before {
                prop_assert!(phase >= before, "{before:?} to {phase:?}");
                prop_assert!(!before.is_terminal() || phase == before);
            }
            for container in status.container_statuses.iter().chain(&status.init_container_statuses).flatten() {
                let state = container.state.as_ref().expect("a state");
                let set = [state.waiting.is_some(), state.running.is_some(), state.terminated.is_some()];
                prop_assert_eq!(set.iter().filter(|set| **set).count(), 1);
                prop_assert!(!(phase.is_terminal() && state.running.is_some()), "{} runs in a pod that is over", container.name);
            }
            let before = facts.previous.containers.iter().chain(&facts.previous.init_containers);
            for before in before {
                let PreviousState::Terminated(end) = &before.state else { continue };
                let may_restart = policy == RestartPolicy::Always || policy == RestartPolicy::OnFailure && end.exit_code != 0;
                let mut after = status.container_statuses.iter().chain(&status.init_container_statuses).flatten();
                let after = after.find(|after| *after.name == *before.name).and_then(|after| after.state.as_ref());
                prop_assert!(may_restart || after.is_some_and(|state| state.terminated.is_some()), "{} revived", before.name);
            }
            facts.previous = Previous::of(&status);
            now = Timestamp::from_second(now.as_second() + 60).expect("in range");
            let again = status::to_pod_status(group, &facts, now);
            prop_assert_eq!(&again, &status);
            prop_assert_eq!(status::fingerprint(&again), status::fingerprint(&status));
        }
        let over = status::terminal_status(&facts, "Gone", "", now);
        let phase = over.phase.as_deref().and_then(Phase::parse).expect("a phase");
        prop_assert!(phase.is_terminal());
        prop_assert!(over.container_statuses.iter().flatten().all(|c| c.state.as_ref().is_some_and(|s| s.running.is_none())));
    }
}
