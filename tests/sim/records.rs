//! Records of what groups cost, held to the cloud's own ledger: of groups that nobody was left to look after, and of agents that die.

use std::collections::BTreeMap;
use std::time::Duration;

use mock_eci::domain::ledger::Bill;
use mock_eci::faults::{Plan, When};
use serde_json::{Value, json};
use virtual_node::budget::BudgetSettings;
use virtual_node::cost::application::Role;
use virtual_node::cost::reader;
use virtual_node::cost::record::{CostRecord, Doubt};

use crate::chance;
use crate::harness::{Deviations, Sim, pod};
use crate::matrix::faults::some;
use crate::matrix::world::{World, with_variable};
use crate::support::until::{until, until_every};

/// With records.
fn recorded() -> Deviations {
    Deviations {
        budgets: Some(BudgetSettings::default()),
        ..Deviations::default()
    }
}

/// What is kept, by group.
async fn records(sim: &Sim) -> BTreeMap<String, CostRecord> {
    let kube = sim.api.client_of("reader");
    let read = reader::read(&kube, "default", None).await.expect("reads");
    assert_eq!(read.unreadable, 0);
    let count = read.records.len();
    let by_group: BTreeMap<String, CostRecord> = read
        .records
        .into_iter()
        .map(|record| (record.group.clone(), record))
        .collect();
    assert_eq!(by_group.len(), count, "a group counts once");
    by_group
}

/// Waits until the ends of so many groups are told, and looks that each record holds its bill.
async fn kept(sim: &Sim, count: usize) -> Vec<CostRecord> {
    let period = Duration::from_millis(100);
    let kept = until_every(
        &format!("{count} records"),
        period,
        Duration::from_secs(60),
        async || records(sim).await,
        |kept| kept.len() == count && !kept.values().any(CostRecord::is_foreseen),
    )
    .await;
    for bill in sim.cloud.app().ledger() {
        if let Some(record) = kept.get(bill.container_group_id.as_str()) {
            holds(record, &bill);
        }
    }
    kept.into_values().collect()
}

/// Looks that `record` says what `bill` does.
fn holds(record: &CostRecord, bill: &Bill) {
    let (charge, billed) = (record.charge, i128::from(bill.amount_nano));
    assert!(
        charge.least.0 <= billed && billed <= charge.most.0,
        "{billed} is not within the bounds of {record:#?}: {:#?} {:?}",
        bill.segments,
        (bill.billing_start, bill.billing_end)
    );
    assert!(
        !record.doubts.is_empty() || charge.is_exact(),
        "nothing is doubted, but not all is known: {record:#?}"
    );
}

/// A pod of a Spark application that is not restarted.
fn executor(name: &str) -> Value {
    let mut pod = pod(name);
    pod["metadata"]["labels"] = json!({ "spark-app-selector": "spark-1", "spark-role": "executor" });
    pod["spec"]["restartPolicy"] = json!("Never");
    pod
}

/// The same on the spot market, with more vCPU and memory asked for than any size has.
fn spot(name: &str) -> Value {
    let mut pod = executor(name);
    pod["metadata"]["annotations"] = json!({ "k8s.aliyun.com/eci-spot-strategy": "SpotAsPriceGo" });
    pod["spec"]["containers"][0]["resources"]["requests"] = json!({ "cpu": "2", "memory": "3Gi" });
    pod
}

#[test]
fn groups_of_pods_that_went_while_no_agent_ran_are_recorded_before_they_are_deleted() {
    chance::simulate(async {
        let world = World::new(recorded()).await;
        let mut uids = Vec::new();
        for pod in [executor("runs"), executor("ends"), spot("spot")] {
            uids.push(world.sim.running(pod).await);
        }
        tokio::time::sleep(Duration::from_secs(30)).await;
        world.kill_agent().await;
        world.exit(&uids[1], 3).await;
        for name in ["runs", "ends", "spot"] {
            world.delete(name, 0);
        }
        world.start_agent();
        world.no_groups().await;
        let kept = kept(&world.sim, 3).await;
        for record in &kept {
            assert_eq!(
                (record.application.id.as_str(), record.role),
                ("spark-1", Role::Executor)
            );
            let exact = record.pod == "ends";
            assert_eq!(record.charge.is_exact(), exact, "{record:#?}");
            let on_spot = record.tariff.as_ref().is_some_and(|tariff| tariff.spot.is_some());
            assert_eq!(on_spot, record.pod == "spot", "{record:#?}");
            let ran = record.charge.most.0 < 2 * record.charge.amount.0 || on_spot;
            assert!(
                ran && record.billed.start.is_exact(),
                "ECI tells when it began: {record:#?}"
            );
        }
    });
}

#[tokio::test(start_paused = true)]
async fn a_group_whose_create_was_not_answered_is_billed_as_it_was_bought() {
    for dies in [false, true] {
        let sim = Sim::with(recorded()).await;
        let mut agent = sim.agent();
        sim.cloud.app().faults().add(if dies {
            Plan::slow("CreateContainerGroup", 1, Duration::from_secs(3_600))
        } else {
            Plan::disconnect("CreateContainerGroup", 1, When::After)
        });
        let uid = sim.api.create_pod(spot("spot"));
        until("the group to exist", || sim.groups_ever(&uid), |n| *n == 1).await;
        if dies {
            agent.kill().await;
            agent = sim.agent();
        }
        sim.phase("spot", "Running").await;
        sim.api.delete_pod("spot", 30);
        sim.gone("spot").await;
        let record = kept(&sim, 1).await.remove(0);
        let sizes = [record.asked, record.bought].map(|size| size.map(|size| (size.milli_cpu, size.memory_mib)));
        assert_eq!(sizes, [Some((2_000, 3_072)), Some((2_000, 4_096))], "died: {dies}");
        assert!(
            record.tariff.is_some_and(|tariff| tariff.spot.is_some()),
            "died: {dies}"
        );
        drop(agent);
    }
}

#[tokio::test(start_paused = true)]
async fn a_group_that_nothing_tells_of_once_it_is_deleted_is_recorded_before_that() {
    for way in ["pending", "forced", "forced, and its object stays"] {
        let sim = Sim::with(recorded()).await;
        let mut agent = sim.agent();
        if way == "pending" {
            sim.cloud
                .app()
                .faults()
                .add(Plan::slow("CreateContainerGroup", 1, Duration::from_secs(2)));
            // It is to go before anything was written to it.
            let uid = sim.api.create_pod(executor("goes"));
            until("the group to exist", || sim.groups_ever(&uid), |n| *n == 1).await;
            sim.api.delete_pod("goes", 30);
        } else {
            let mut pod = executor("goes");
            if way != "forced" {
                // What is shown of a forced deletion before the object goes, for longer.
                pod["metadata"]["finalizers"] = json!(["tests/stays"]);
            }
            sim.running(pod).await;
            tokio::time::sleep(Duration::from_secs(30)).await;
            sim.api.delete_pod("goes", 0);
        }
        until("the group to go", || sim.groups().len(), |n| *n == 0).await;
        agent.kill().await;
        let told = records(&sim).await;
        let record = told.values().next().expect("a record");
        assert_eq!(record.doubts.first(), Some(&Doubt::EndForeseen), "{way}: {record:#?}");
        holds(record, &sim.cloud.app().ledger()[0]);
        agent = sim.agent();
        tokio::time::sleep(Duration::from_secs(60)).await;
        if way == "forced, and its object stays" {
            kept(&sim, 1).await;
        } else {
            assert_eq!(records(&sim).await, told, "{way}: nobody knows more");
        }
        drop(agent);
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_foreseen_gives_way_to_what_was_seen() {
    let sim = Sim::with(recorded()).await;
    let agent = sim.agent();
    sim.running(executor("goes")).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    sim.api.delete_pod("goes", 0);
    let record = kept(&sim, 1).await.remove(0);
    assert_eq!(record.doubts, [Doubt::DeletedWhileRunning], "{record:#?}");
    drop(agent);
}

#[tokio::test(start_paused = true)]
async fn a_second_group_of_a_pod_is_deleted_and_recorded_and_the_first_stays() {
    let sim = Sim::with(recorded()).await;
    let _agent = sim.agent();
    let uid = sim.running(executor("one")).await;
    let first = sim.groups()[&uid][0].clone();
    let surplus = sim.surplus_group("one", &uid).await;
    let records = kept(&sim, 1).await;
    assert_eq!(
        (records[0].group.as_str(), records[0].uid.as_str()),
        (surplus.as_str(), uid.as_str())
    );
    assert_eq!(sim.groups()[&uid], [first]);
    assert_eq!(sim.api.pod("one").expect("there")["status"]["phase"], "Running");
}

/// What is to become of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Ends(i32),
    Deleted(u32),
    /// Its deadline passes.
    Late,
    Runs,
}

#[test]
fn whatever_agents_die_of_each_group_that_was_billed_has_one_record_that_holds_its_bill() {
    chance::repeatedly(|seed| deaths(seed, 8, 16));
}

#[test]
#[ignore = "the long form: `make matrix`"]
fn a_hundred_deaths_among_a_hundred_pods_and_each_bill_is_recorded() {
    chance::repeatedly(|seed| deaths(seed, 100, 100));
}

async fn deaths(seed: u64, deaths: u32, pods: u32) {
    let world = World::new(Deviations {
        seed,
        budgets: Some(BudgetSettings::default()),
        ..Deviations::patient()
    })
    .await;
    let faults = world.sim.cloud.app().faults();
    faults.add(some(100, Plan::disconnect("CreateContainerGroup", 1, When::After)));
    faults.add(some(100, Plan::disconnect("DeleteContainerGroup", 1, When::After)));
    let users = async {
        let mut fates = Vec::new();
        for n in 0..pods {
            let fate = match world.some(0, 9) {
                0..=2 => Fate::Ends(world.some(0, 3) as i32),
                3..=5 => Fate::Deleted(30),
                6 | 7 => Fate::Deleted(0),
                8 => Fate::Late,
                _ => Fate::Runs,
            };
            let name = format!("p-{n}");
            let mut pod = if world.some(0, 3) == 0 {
                spot(&name)
            } else {
                executor(&name)
            };
            match fate {
                Fate::Ends(code) => {
                    pod = with_variable(pod, "EXIT_AFTER_MS", world.some(500, 20_000));
                    pod = with_variable(pod, "EXIT_CODE", code as u64);
                }
                Fate::Late => pod["spec"]["activeDeadlineSeconds"] = json!(world.some(5, 20)),
                Fate::Deleted(_) | Fate::Runs => pod = with_variable(pod, "STOP_MS", world.some(0, 5_000)),
            }
            world.create(pod);
            fates.push((name, fate));
            tokio::time::sleep(world.some_time(0, 2_000)).await;
            let at = world.some(0, u64::from(n)) as usize;
            if let (name, Fate::Deleted(grace)) = &fates[at] {
                world.delete(name, *grace);
            }
        }
        fates
    };
    let fates = world.while_agents_die(deaths, users).await;
    world.end().await;

    let kept = records(&world.sim).await;
    for bill in world.sim.cloud.app().ledger() {
        let Some(pod) = bill.tags.get("PodName") else { continue };
        let fate = fates.iter().find(|(name, _)| name == pod).map(|(_, fate)| *fate);
        match kept.get(bill.container_group_id.as_str()) {
            Some(record) => holds(record, &bill),
            None => assert!(bill.amount_nano == 0, "{pod} ({fate:?}) is not recorded: {bill:#?}"),
        }
    }
}
