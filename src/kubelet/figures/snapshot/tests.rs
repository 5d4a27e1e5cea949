//! What is joined with what.

use std::collections::HashMap;

use provider::response::{CpuUse, MemoryUse};

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("in range")
}

fn facts() -> NodeFacts {
    NodeFacts {
        name: "node".to_owned(),
        since: at(0),
        milli_cpu: 8_000,
        memory_bytes: 64 << 30,
    }
}

fn pod(name: &str, started: i64) -> RunningPod {
    RunningPod {
        namespace: "n".into(),
        name: name.into(),
        uid: format!("uid-{name}").into(),
        group_id: Arc::from(format!("eci-{name}")),
        started: Some(at(started)),
        containers: vec![RunningContainer {
            name: "c".into(),
            image: "i".into(),
            started: Some(at(started)),
            restart_count: 0,
        }],
    }
}

fn uses(name: &str, second: i64, raw: u64) -> (Arc<str>, Arc<Sample>) {
    let cpu = CpuUse {
        usage_nano_cores: Some(10),
        usage_core_nano_seconds: Some(raw),
        limit: Some(1_000),
    };
    let memory = MemoryUse {
        available_bytes: Some(60),
        usage_bytes: Some(50),
        cache: Some(20),
        working_set: Some(40),
        rss: Some(30),
    };
    let sample = Sample {
        at: Some(at(second)),
        cpu,
        memory,
        containers: vec![ContainerUse {
            name: "c".to_owned(),
            cpu,
            memory,
        }],
        ..Sample::default()
    };
    (Arc::from(format!("eci-{name}")), Arc::new(sample))
}

fn samples<const N: usize>(all: [(Arc<str>, Arc<Sample>); N]) -> Samples {
    Samples {
        by_group: HashMap::from(all),
        failed: false,
    }
}

#[test]
fn a_node_uses_what_its_pods_use() {
    let mut ledger = Ledger::default();
    let running = vec![pod("b", 1), pod("a", 1), pod("new", 14)];
    let samples = samples([uses("a", 15, 100), uses("b", 15, 200), uses("elsewhere", 15, 5_000)]);
    let snapshot = Snapshot::build(facts(), running, &samples, &mut ledger, at(20));
    let names: Vec<&str> = snapshot.pods.iter().map(|pod| &*pod.pod.name).collect();
    assert_eq!(names, ["a", "b"], "in order, and only those with figures");
    let node = &snapshot.node;
    assert_eq!(node.at, Some(at(15)), "the sample's time");
    assert_eq!(node.core_nanoseconds, Ledger::default().total() + 300);
    assert_eq!(
        (
            node.nano_cores,
            node.usage_bytes,
            node.working_set_bytes,
            node.rss_bytes,
            node.cache_bytes
        ),
        (20, 100, 80, 60, 40)
    );
    let without = Snapshot::build(facts(), Vec::new(), &Samples::default(), &mut ledger, at(30));
    assert_eq!(
        without.node.core_nanoseconds, node.core_nanoseconds,
        "what is gone counts on"
    );
    assert_eq!((without.node.at, without.node.working_set_bytes), (Some(at(30)), 1));
}

#[test]
fn a_node_whose_pods_were_never_measured_has_no_figures() {
    let mut ledger = Ledger::default();
    let snapshot = Snapshot::build(facts(), vec![pod("a", 1)], &Samples::default(), &mut ledger, at(9));
    assert_eq!((snapshot.node.at, snapshot.pods.len()), (None, 0));
}

#[test]
fn figures_of_an_earlier_run_or_in_part_are_not_shown() {
    let shown = |pod: RunningPod, sample: (Arc<str>, Arc<Sample>)| {
        let mut ledger = Ledger::default();
        let snapshot = Snapshot::build(facts(), vec![pod], &samples([sample]), &mut ledger, at(20));
        snapshot.pods[0].containers().count()
    };
    assert_eq!(shown(pod("a", 15), uses("a", 15, 1)), 1);
    assert_eq!(
        shown(pod("a", 16), uses("a", 15, 1)),
        0,
        "it was started again since then"
    );
    let in_part = |change: fn(&mut ContainerUse)| {
        let (id, sample) = uses("a", 15, 1);
        let mut sample = (*sample).clone();
        change(&mut sample.containers[0]);
        shown(pod("a", 1), (id, Arc::new(sample)))
    };
    assert_eq!(in_part(|c| c.cpu.usage_core_nano_seconds = None), 0);
    assert_eq!(in_part(|c| c.memory.working_set = None), 0);
    assert_eq!(in_part(|c| c.memory.rss = None), 1);
    assert_eq!(in_part(|c| c.name = "other".to_owned()), 0);
}
