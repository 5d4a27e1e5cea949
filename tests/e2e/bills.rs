//! What `virtual-node cost` says beside mock-eci's ledger, by a script that shares no code with either.

use serde_json::json;

use crate::cluster::Cluster;
use crate::kubectl::{Said, run};
use crate::namespace::Namespace;

const BILLS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/testbed/bills.py");

/// `virtual-node cost` as a user runs it.
pub async fn cost(arguments: &[&str]) -> Said {
    let mut all = vec!["cost", "--cost-namespace", "virtual-node"];
    all.extend(arguments);
    run(env!("CARGO_BIN_EXE_virtual-node"), &all, "").await
}

/// Holds all applications of the namespace to the ledger; the script's verdicts.
async fn compare(cluster: &Cluster, namespace: &Namespace<'_>) -> Said {
    let folder = cluster.file("cost");
    std::fs::create_dir_all(&folder).expect("a folder");
    let [ledger, listed] = ["ledger", "cost"].map(|what| folder.join(format!("{}-{what}.json", namespace.name)));
    std::fs::write(&ledger, json!(namespace.bills().await).to_string()).expect("writes");
    // Records outlive namespaces: those of an earlier one of its name are no business of this test.
    let list = ["list", "--since", &namespace.age(), "--output", "json"];
    std::fs::write(&listed, cost(&list).await.ok()).expect("writes");
    let file = |path: &std::path::Path| path.display().to_string();
    run("python3", &[BILLS, &file(&ledger), &file(&listed), &namespace.name], "").await
}

/// Waits until what each group of the namespace has cost is recorded, and is what the ledger says.
pub async fn recorded(cluster: &Cluster, namespace: &Namespace<'_>) -> String {
    let look = async || compare(cluster, namespace).await;
    let said = cluster
        .eventually("all to be recorded", look, |said| said.success)
        .await;
    said.out
}

/// The verdict on an application.
pub fn verdict(said: &str, application: &str) -> String {
    let line = said.lines().find(|line| line.split('\t').nth(1) == Some(application));
    let verdict = line.and_then(|line| line.split('\t').nth(3)).unwrap_or("missing");
    verdict.to_owned()
}
