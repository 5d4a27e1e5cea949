//! Budgets, held to the cloud's own ledger: what is spent when the last group is made, and what goes on afterwards.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{Patch, PatchParams};
use mock_eci::domain::ledger::Bill;
use serde_json::{Value, json};
use virtual_node::budget::BudgetSettings;
use virtual_node::budget::look::{IGNORED, NEAR, PERIOD, REACHED};
use virtual_node::budget::terms::{Action, Limit};

use crate::harness::{Deviations, Sim, pod};
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
