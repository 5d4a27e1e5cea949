//! Budgets, held to the cloud's own ledger: what is spent when the last group is made, and what goes on afterwards.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::Api;
use kube::api::{Patch, PatchParams};
use mock_eci::domain::ledger::Bill;
use serde_json::{Value, json};
use virtual_node::budget::BudgetSettings;
use virtual_node::budget::look::{IGNORED, NEAR, PERIOD, REACHED};
use virtual_node::budget::terms::{self, Action, Limit};
use virtual_node::clock;

use crate::harness::{Deviations, Sim, pod};
use crate::support::api_server::faults::{Fault, Plan};
use crate::support::api_server::refusal::Refusal;
use crate::support::until::{until, until_every};

const BUDGET: &str = "k8s.aliyun.com/eci-budget";
const ACTION: &str = "k8s.aliyun.com/eci-budget-action";

async fn counting(settings: BudgetSettings) -> Sim {
    Sim::with(Deviations {
        budgets: Some(settings),
        ..Deviations::default()
    })
    .await
}

/// A pod as Spark makes them.
fn spark(application: &str, role: &str, number: u32, annotations: Value) -> Value {
    let mut pod = pod(&format!("{application}-{role}-{number}"));
    pod["metadata"]["labels"] = json!({ "spark-app-selector": application, "spark-role": role });
    pod["metadata"]["annotations"] = annotations;
    pod
}

fn bills(sim: &Sim, application: &str) -> Vec<Bill> {
    let mut bills = sim.cloud.app().ledger();
    bills.retain(|bill| {
        bill.tags
            .get("PodName")
            .is_some_and(|name| name.starts_with(application))
    });
    bills
}

fn spent(sim: &Sim, application: &str) -> u64 {
    bills(sim, application).iter().map(|bill| bill.amount_nano).sum()
}

fn told(sim: &Sim, reason: &str) -> Vec<String> {
    let events = sim.api.events().into_iter();
    events.filter(|(r, _)| r == reason).map(|(_, note)| note).collect()
}

/// What an administrator writes to the pods' namespace.
async fn annotate(sim: &Sim, annotations: Value) {
    let namespaces: Api<Namespace> = Api::all(sim.api.client_of("an administrator"));
    let patch = Patch::Merge(json!({ "metadata": { "annotations": annotations } }));
    namespaces
        .patch("default", &PatchParams::default(), &patch)
        .await
        .expect("patched");
}

/// Waits until one of the Events of that reason says this.
async fn said(sim: &Sim, reason: &str, text: &str) {
    let says = |told: &Vec<String>| told.iter().any(|note| note.contains(text));
    eventually(text, || told(sim, reason), says).await;
}

/// Far longer than a budget of these tests lasts.
async fn eventually<T: std::fmt::Debug>(what: &str, look: impl Fn() -> T, wanted: impl Fn(&T) -> bool) -> T {
    let period = Duration::from_millis(100);
    until_every(what, period, Duration::from_secs(300), async || look(), wanted).await
}

#[tokio::test(start_paused = true)]
async fn under_hold_nothing_new_begins_once_it_is_spent_and_goes_on_when_it_is_raised() {
    let sim = counting(BudgetSettings::default()).await;
    let _agent = sim.agent();
    let amount = 1_000_000;
    sim.running(spark("a", "driver", 0, json!({ BUDGET: "0.001", ACTION: "hold" })))
        .await;
    sim.running(spark("a", "executor", 1, json!({}))).await;
    let note = eventually("a warning", || told(&sim, NEAR), |told| !told.is_empty())
        .await
        .remove(0);
    assert_eq!(note, "application a has spent four fifths of its budget of 0.001");
    assert!(spent(&sim, "a") * 5 >= amount * 4, "not too early");
    sim.running(spark("a", "executor", 2, json!({}))).await;
    eventually("the end", || told(&sim, REACHED), |told| !told.is_empty()).await;
    // What the ledger says at that moment is the budget, and not more than two looks beyond it.
    let (now, rate) = (spent(&sim, "a"), 3 * 15_315);
    let slack = rate * (2 * PERIOD.as_secs() + 1);
    assert!((amount..=amount + slack).contains(&now), "{now}");

    sim.api.create_pod(spark("a", "executor", 3, json!({})));
    let waits = "application a has spent its budget of 0.001 on virtual nodes: waits until it is raised";
    until(
        "the reason",
        || told(&sim, REACHED),
        |told| told.iter().any(|note| note == waits),
    )
    .await;
    // Others are not concerned, and what runs goes on.
    sim.running(spark("b", "driver", 0, json!({}))).await;
    assert_eq!(sim.api.phase("a-executor-3"), "Pending");
    assert_eq!(bills(&sim, "a").len(), 3);
    assert_eq!(sim.api.phase("a-executor-2"), "Running");
    let pods: Api<Pod> = Api::default_namespaced(sim.api.client_of("user"));
    let raised = json!({ "metadata": { "annotations": { BUDGET: "1" } } });
    pods.patch("a-driver-0", &PatchParams::default(), &Patch::Merge(&raised))
        .await
        .expect("patched");
    sim.phase("a-executor-3", "Running").await;
}

#[tokio::test(start_paused = true)]
async fn under_stop_all_of_the_application_ends_and_nothing_of_another() {
    let sim = counting(BudgetSettings::default()).await;
    let agent = sim.agent();
    sim.running(spark("other", "driver", 0, json!({ BUDGET: "100", ACTION: "stop" })))
        .await;
    sim.running(spark("a", "driver", 0, json!({ BUDGET: "0.0005", ACTION: "stop" })))
        .await;
    for number in 1..4 {
        sim.running(spark("a", "executor", number, json!({}))).await;
    }
    let left = || sim.api.pods().len();
    eventually("its pods to be gone", left, |left| *left == 1).await;
    let ends: Vec<Option<Timestamp>> = bills(&sim, "a").iter().map(|bill| bill.billing_end).collect();
    assert_eq!(ends.len(), 4);
    assert!(ends.iter().all(Option::is_some), "{ends:?}");
    assert_eq!(sim.api.phase("other-driver-0"), "Running");
    assert_eq!(agent.metrics.budget_actions.with_label_values(&["stopped"]).get(), 4);
    // A driver that is made again waits, and is not deleted again and again.
    sim.api
        .create_pod(spark("a", "driver", 0, json!({ BUDGET: "0.0005", ACTION: "stop" })));
    let waits = |told: &Vec<String>| told.iter().any(|note| note.contains("waits until it is raised"));
    until("the reason", || told(&sim, REACHED), waits).await;
    tokio::time::sleep(5 * PERIOD).await;
    assert_eq!(sim.api.phase("a-driver-0"), "Pending");
    assert_eq!(bills(&sim, "a").len(), 4);
}

#[tokio::test(start_paused = true)]
async fn what_was_spent_before_a_restart_counts_although_its_pods_are_gone() {
    let limit = Limit::parse("0.0003/day");
    let sim = counting(BudgetSettings {
        namespace: limit,
        action: Action::Hold,
        ..BudgetSettings::default()
    })
    .await;
    let agent = sim.agent();
    sim.running(spark("a", "driver", 0, json!({}))).await;
    eventually("the end", || told(&sim, REACHED), |told| !told.is_empty()).await;
    let ratio = agent.metrics.budget_spent_ratio.with_label_values(&["default"]).get();
    assert!((1.0..1.5).contains(&ratio), "{ratio}");
    // Its object goes once its record is kept.
    sim.api.delete_pod("a-driver-0", 30);
    sim.gone("a-driver-0").await;
    agent.kill().await;
    let _agent = sim.agent();
    sim.api.create_pod(spark("b", "driver", 0, json!({})));
    let waits = |told: &Vec<String>| told.iter().any(|note| note.contains("or for the next period, from"));
    until("the reason", || told(&sim, REACHED), waits).await;
    assert_eq!(bills(&sim, "b").len(), 0);
}

#[tokio::test(start_paused = true)]
async fn by_itself_nothing_is_counted_and_mistakes_are_told() {
    let sim = counting(BudgetSettings::default()).await;
    let agent = sim.agent();
    sim.running(spark("a", "driver", 0, json!({ BUDGET: "ten" }))).await;
    let note = until("the mistake", || told(&sim, IGNORED), |told| !told.is_empty())
        .await
        .remove(0);
    assert!(
        note.starts_with("metadata.annotations[k8s.aliyun.com/eci-budget] is `ten`"),
        "{note}"
    );
    tokio::time::sleep(5 * PERIOD).await;
    let counted = agent.metrics.budget_actions.with_label_values(&["reached"]).get();
    assert_eq!((counted, told(&sim, REACHED).len()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn annotations_of_the_namespace_beat_the_settings_while_pods_run_and_wait() {
    let sim = counting(BudgetSettings {
        namespace: Limit::parse("100/day"),
        ..BudgetSettings::default()
    })
    .await;
    let _agent = sim.agent();
    sim.running(spark("a", "driver", 0, json!({}))).await;
    annotate(&sim, json!({ BUDGET: "0.0003/day" })).await;
    said(
        &sim,
        REACHED,
        "namespace default has spent its budget of 0.0003/day (since ",
    )
    .await;
    // The action by itself: from here on nothing begins. What was spent without anybody counting is counted.
    annotate(&sim, json!({ ACTION: "hold" })).await;
    said(&sim, REACHED, "Z): no more container groups are made for it").await;
    sim.api.create_pod(spark("b", "driver", 0, json!({})));
    said(
        &sim,
        REACHED,
        "namespace default has spent its budget of 0.0003/day on virtual nodes: waits until it is raised",
    )
    .await;
    assert_eq!(
        (sim.api.phase("b-driver-0").as_str(), bills(&sim, "b").len()),
        ("Pending", 0)
    );
    // A mistake is told, and what it spoils is as if it were not there.
    annotate(&sim, json!({ BUDGET: "ten" })).await;
    said(
        &sim,
        IGNORED,
        "metadata.annotations[k8s.aliyun.com/eci-budget] is `ten`: it must be an amount",
    )
    .await;
    sim.phase("b-driver-0", "Running").await;
    annotate(&sim, json!({ BUDGET: "0.0003/day" })).await;
    sim.api.create_pod(spark("c", "driver", 0, json!({})));
    sim.api.create_pod(spark("c", "executor", 1, json!({})));
    let waits = |note: &&String| note.contains("its budget of 0.0003/day on virtual nodes: waits until it is raised");
    let waiting = || told(&sim, REACHED).iter().filter(waits).count();
    eventually("both of c to wait as b did", waiting, |n| *n == 3).await;
    annotate(&sim, json!({ BUDGET: null, ACTION: null })).await;
    sim.phase("c-driver-0", "Running").await;
    sim.phase("c-executor-1", "Running").await;
}

#[tokio::test(start_paused = true)]
async fn a_budget_of_a_day_begins_anew_at_midnight_utc_and_who_waits_goes_on() {
    let sim = counting(BudgetSettings::default()).await;
    let amount = 1_000_000;
    // Three minutes before a midnight.
    let tomorrow = terms::begin(terms::day(clock::now() + SignedDuration::from_mins(3)) + 1);
    let evening = tomorrow.duration_since(clock::now()) - SignedDuration::from_mins(3);
    tokio::time::advance(evening.try_into().expect("ahead")).await;
    annotate(&sim, json!({ BUDGET: "0.001/day", ACTION: "hold" })).await;
    let _agent = sim.agent();
    sim.running(spark("a", "driver", 0, json!({}))).await;
    sim.running(spark("a", "executor", 1, json!({}))).await;
    said(&sim, REACHED, "no more container groups").await;
    assert!(spent(&sim, "a") >= amount);
    sim.api.create_pod(spark("b", "driver", 0, json!({})));
    said(&sim, REACHED, &format!("or for the next period, from {tomorrow}")).await;
    let one_second_before = tomorrow.duration_since(clock::now()) - SignedDuration::from_secs(1);
    tokio::time::sleep(one_second_before.try_into().expect("it is still the evening")).await;
    assert_eq!(
        (sim.api.phase("b-driver-0").as_str(), bills(&sim, "b").len()),
        ("Pending", 0)
    );
    sim.phase("b-driver-0", "Running").await;
    let began = bills(&sim, "b")[0].creation_time;
    let late = began.duration_since(tomorrow);
    assert!((0..=5).contains(&late.as_secs()), "{late:?}");
    // The new day has its own end: groups that span midnight count in it for its part, and not for what they cost before.
    let ends = || {
        told(&sim, REACHED)
            .iter()
            .filter(|note| note.ends_with("no more container groups are made for it"))
            .count()
    };
    let reached = ends();
    eventually("the end of the next day's", ends, |n| *n > reached).await;
    let rate = 3 * 15_315;
    let today = clock::now().duration_since(tomorrow).as_secs().unsigned_abs();
    assert!(
        today * rate >= amount && (today - 2 * PERIOD.as_secs() - 5) * rate <= amount,
        "after {today} s"
    );
}

#[tokio::test(start_paused = true)]
async fn after_a_restart_nothing_is_made_before_the_namespaces_are_listed() {
    let sim = counting(BudgetSettings::default()).await;
    annotate(&sim, json!({ BUDGET: "0.0003/day", ACTION: "hold" })).await;
    let agent = sim.agent();
    sim.running(spark("a", "driver", 0, json!({}))).await;
    said(&sim, REACHED, "no more container groups").await;
    agent.kill().await;
    let slow = Fault::Slow(Duration::from_secs(60));
    sim.api.fault(Plan::new("list namespaces", 1, slow));
    let _agent = sim.agent();
    sim.api.create_pod(spark("b", "driver", 0, json!({})));
    said(
        &sim,
        "BudgetNotCounted",
        "waits until the agent has listed the namespaces, which may have budgets",
    )
    .await;
    said(
        &sim,
        REACHED,
        "namespace default has spent its budget of 0.0003/day on virtual nodes",
    )
    .await;
    assert_eq!(bills(&sim, "b").len(), 0);
}

#[tokio::test(start_paused = true)]
async fn without_the_right_to_read_namespaces_pods_wait_only_where_the_settings_hold() {
    let forbidden = || Fault::Refused(Refusal::new(403, "Forbidden", "namespaces is forbidden: no right"));
    let sim = counting(BudgetSettings::default()).await;
    sim.api.fault(Plan::new("list namespaces", 100, forbidden()));
    annotate(&sim, json!({ BUDGET: "0/day", ACTION: "hold" })).await;
    let agent = sim.agent();
    sim.running(spark("a", "driver", 0, json!({}))).await;
    drop(agent);

    let sim = counting(BudgetSettings {
        namespace: Limit::parse("100/day"),
        action: Action::Hold,
        ..BudgetSettings::default()
    })
    .await;
    sim.api.fault(Plan::new("list namespaces", 4, forbidden()));
    let _agent = sim.agent();
    sim.api.create_pod(spark("a", "driver", 0, json!({})));
    said(
        &sim,
        "BudgetNotCounted",
        "waits until the agent has listed the namespaces",
    )
    .await;
    assert_eq!(bills(&sim, "a").len(), 0);
    // It is given.
    sim.phase("a-driver-0", "Running").await;
}
