//! The program is killed at any moment and started again: nothing it made is left over, nothing that runs is lost.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    time::Duration,
};

use bollard::query_parameters::{ListContainersOptionsBuilder, ListVolumesOptionsBuilder};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use serde_json::{Value, json};

use crate::{api::Signed, bed};

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(90);

/// The real program.
struct Program {
    child: Child,
    url: String,
}

impl Program {
    fn start(owner: &str) -> Self {
        let path = std::env::temp_dir().join(format!("mock-eci-{owner}.log"));
        let log = std::fs::File::options().create(true).append(true).open(&path).unwrap();
        let network = std::env::var("MOCK_ECI_TEST_NETWORK").unwrap_or_else(|_| "bridge".to_owned());
        let mut child = Command::new(env!("CARGO_BIN_EXE_mock-eci"))
            .args(["--listen", "127.0.0.1:0", "--runtime", "docker", "--limits", "none"])
            .args(["--owner", owner, "--network", &network, "--pause-image", &bed::image()])
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let url = line.trim().rsplit(' ').next().unwrap_or_default().to_owned();
        assert!(url.starts_with("http://"), "not ready: {line:?}");
        Self { child, url }
    }

    /// SIGKILL.
    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    async fn call(&self, action: &str, params: &[(&str, &str)]) -> Value {
        let mut all = vec![("RegionId", "cn-hangzhou")];
        all.extend_from_slice(params);
        self.send(Signed::new(action).form(&all).build()).await
    }

    async fn send(&self, request: http::Request<Bytes>) -> Value {
        let (mut head, body) = request.into_parts();
        let target = head
            .uri
            .path_and_query()
            .map(|p| p.as_str().to_owned())
            .unwrap_or_default();
        head.uri = format!("{}{target}", self.url).parse().unwrap();
        let http = Client::builder(TokioExecutor::new()).build_http();
        let answer = http
            .request(http::Request::from_parts(head, Full::new(body)))
            .await
            .unwrap();
        serde_json::from_slice(&answer.into_body().collect().await.unwrap().to_bytes()).unwrap()
    }

    async fn create(&self, name: &str, script: &str) -> String {
        let image = bed::image();
        let params = [
            ("ContainerGroupName", name),
            ("ClientToken", name),
            ("Container.1.Name", "main"),
            ("Container.1.Image", &image),
            ("Container.1.Command.1", "/bin/sh"),
            ("Container.1.Command.2", "-c"),
            ("Container.1.Arg.1", script),
            ("RestartPolicy", "Never"),
        ];
        let created = self.call("CreateContainerGroup", &params).await;
        created["ContainerGroupId"]
            .as_str()
            .unwrap_or_else(|| panic!("{created}"))
            .to_owned()
    }

    /// Statuses by id.
    async fn statuses(&self) -> HashMap<String, String> {
        let answer = self.call("DescribeContainerGroups", &[]).await;
        let groups = answer["ContainerGroups"].as_array().unwrap();
        let text = |group: &Value, name: &str| group[name].as_str().unwrap_or_default().to_owned();
        groups
            .iter()
            .map(|group| (text(group, "ContainerGroupId"), text(group, "Status")))
            .collect()
    }

    async fn until(&self, what: &str, holds: impl Fn(&HashMap<String, String>) -> bool) {
        let wait = async {
            while !holds(&self.statuses().await) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, wait).await;
        assert!(waited.is_ok(), "not {what}: {:?}", self.statuses().await);
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Ids of the groups that containers or volumes of this owner belong to, and all their names.
async fn held(owner: &str) -> (Vec<String>, Vec<String>) {
    let docker = bed::engine().await;
    let filters = HashMap::from([("label", vec![format!("io.virtual-node.mock-eci={owner}")])]);
    let containers = ListContainersOptionsBuilder::default()
        .all(true)
        .filters(&filters)
        .build();
    let containers = docker.list_containers(Some(containers)).await.unwrap();
    let volumes = ListVolumesOptionsBuilder::default().filters(&filters).build();
    let volumes = docker
        .list_volumes(Some(volumes))
        .await
        .unwrap()
        .volumes
        .unwrap_or_default();
    let mut names: Vec<String> = containers
        .into_iter()
        .flat_map(|found| found.names.unwrap_or_default())
        .chain(volumes.into_iter().map(|volume| volume.name))
        .map(|name| name.trim_start_matches('/').to_owned())
        .collect();
    names.sort();
    let mut groups: Vec<String> = names
        .iter()
        .map(|name| name.split('_').next().unwrap_or_default().to_owned())
        .collect();
    groups.dedup();
    (groups, names)
}

/// Waits until the engine holds groups of just these.
async fn until_held(program: &Program, owner: &str) {
    let wait = async {
        loop {
            let mut known: Vec<String> = program.statuses().await.into_keys().collect();
            known.sort();
            if held(owner).await.0 == known {
                return;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    if tokio::time::timeout(PATIENCE, wait).await.is_err() {
        panic!("known {:?}, held {:?}", program.statuses().await, held(owner).await);
    }
}

#[tokio::test]
async fn killed_at_any_moment_it_leaves_no_orphans_and_loses_nothing() {
    let owner = format!("killed-{}", std::process::id());
    let mut program = Program::start(&owner);
    // What is settled survives every kill.
    let running = program.create("running", "sleep 600").await;
    let done = program.create("done", "true").await;
    program
        .until("settled", |found| {
            found.get(&running).is_some_and(|status| status == "Running")
                && found.get(&done).is_some_and(|status| status == "Succeeded")
        })
        .await;

    // Killed further and further into launches and starts.
    for round in 0..6_u64 {
        for n in 0..3 {
            program.create(&format!("r{round}-{n}"), "sleep 600").await;
        }
        // Not a wait: the moment of the kill is what differs.
        tokio::time::sleep(Duration::from_millis(round * 250)).await;
        program.kill();
        program = Program::start(&owner);
        let found = program.statuses().await;
        assert_eq!(found.get(&running).map(String::as_str), Some("Running"), "{found:?}");
        assert_eq!(found.get(&done).map(String::as_str), Some("Succeeded"), "{found:?}");
    }
    // What it knows now comes to life, and nothing else is there.
    program
        .until("running", |found| {
            found.iter().all(|(id, status)| {
                if *id == done {
                    status == "Succeeded"
                } else {
                    status == "Running"
                }
            })
        })
        .await;
    until_held(&program, &owner).await;
    for (id, status) in program.statuses().await {
        if status == "Running" {
            let log = program
                .call(
                    "DescribeContainerLog",
                    &[("ContainerGroupId", &id), ("ContainerName", "main")],
                )
                .await;
            assert_eq!(log["Content"], json!(""), "{log}");
        }
    }

    // Killed while everything is being deleted, it goes on deleting.
    let ids: Vec<String> = program.statuses().await.into_keys().collect();
    for id in &ids {
        program
            .call("DeleteContainerGroup", &[("ContainerGroupId", id), ("Force", "true")])
            .await;
    }
    // The moment of the kill again: ends are under way, and most are not over.
    tokio::time::sleep(Duration::from_millis(400)).await;
    program.kill();
    program = Program::start(&owner);
    program.until("empty", HashMap::is_empty).await;
    until_held(&program, &owner).await;
    assert_eq!(held(&owner).await.1, Vec::<String>::new());
}
