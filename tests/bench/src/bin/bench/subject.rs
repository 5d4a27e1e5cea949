//! What is measured, and how each of them is started.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use bench::node;
use clap::ValueEnum;
use kube::Client;
use serde::Serialize;
use serde_json::json;
use tokio::process::Command;

use measure::daemon::Daemon;

/// The name in the testbed's client certificate of the agent.
const AGENT_NODE: &str = "virtual-kubelet-cn-hangzhou-h";
/// An address of the testbed's bridge, which the agent's serving certificate names.
const AGENT_IP: Ipv4Addr = Ipv4Addr::new(172, 31, 0, 10);
const AGENT_METRICS: &str = "127.0.0.1:10255";
const CLOUD: &str = "127.0.0.1:8090";
const REGION: &str = "cn-hangzhou";
/// Where the agent keeps records of cost.
const RECORDS: &str = "default";
/// The stages that kwok ships for a fast start, as folders and files of its own source.
const KWOK_STAGES: [&str; 5] = [
    "node/fast/node-initialize.yaml",
    "node/heartbeat/node-heartbeat.yaml",
    "pod/fast/pod-ready.yaml",
    "pod/fast/pod-complete.yaml",
    "pod/fast/pod-delete.yaml",
];
/// What kwok's own deployment sets, less what only a cluster with its custom resources has, and less node leases: an
/// instance waits until the one before has lost them, and that would be all its restart shows.
const KWOK_SETTINGS: &str = r"
apiVersion: config.kwok.x-k8s.io/v1alpha1
kind: KwokConfiguration
options:
  manageNodesWithAnnotationSelector: kwok.x-k8s.io/node=fake
  nodeLeaseDurationSeconds: 0
  podPlayStageParallelism: 4
  nodePlayStageParallelism: 4
  enablePodsOnNodeSyncStreamWatch: true
";

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Subject {
    /// The agent.
    VirtualNode,
    /// The agent without records of cost: what it takes less is what they take.
    VirtualNodeWithoutRecords,
    /// The bare loop.
    Floor,
    /// kwok.
    Kwok,
}

/// Where the programs and their files are.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    /// Folder of virtual-node, mock-eci and floor.
    pub(crate) programs: PathBuf,
    /// The kwok program.
    pub(crate) kwok: PathBuf,
    /// kwok's folder of stages.
    pub(crate) kwok_stages: PathBuf,
    /// The testbed's folder, with kubeconfigs and certificates.
    pub(crate) testbed: PathBuf,
    /// Where logs go.
    pub(crate) logs: PathBuf,
    /// Key pair of the fake cloud, as `ID:SECRET`.
    pub(crate) access_key: String,
}

impl Subject {
    /// The name on the command line, in tables and of the log.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::VirtualNode => "virtual-node",
            Self::VirtualNodeWithoutRecords => "virtual-node-without-records",
            Self::Floor => "floor",
            Self::Kwok => "kwok",
        }
    }

    /// The name of its node.
    pub(crate) fn node(self) -> &'static str {
        match self {
            Self::VirtualNode | Self::VirtualNodeWithoutRecords => AGENT_NODE,
            Self::Floor => "bench-floor",
            Self::Kwok => "bench-kwok",
        }
    }

    /// Whether it runs pods in the cloud; kwok only pretends.
    pub(crate) fn needs_cloud(self) -> bool {
        self != Self::Kwok
    }

    /// Whether it acts on deletions.
    pub(crate) fn deletes(self) -> bool {
        self != Self::Floor
    }

    /// Whether it says when it knows the state of the world after a start; kwok does not.
    pub(crate) fn tells_ready(self) -> bool {
        self != Self::Kwok
    }

    /// Makes the Node, for a subject that does not.
    pub(crate) async fn register(self, client: &Client) -> Result<()> {
        if self != Self::Kwok {
            return Ok(());
        }
        let mut object = node::object(self.node(), "10.255.0.1");
        object["metadata"]["annotations"] = json!({"kwok.x-k8s.io/node": "fake"});
        // kwok's stage sets them.
        object["status"]["conditions"] = json!([]);
        node::register(client, &object).await
    }

    /// Starts it.
    pub(crate) fn start(self, places: &Places) -> Result<Daemon> {
        let command = match self {
            Self::VirtualNode => places.agent(true),
            Self::VirtualNodeWithoutRecords => places.agent(false),
            Self::Floor => places.floor(),
            Self::Kwok => places.kwok()?,
        };
        Daemon::start(self.name(), command, &places.logs)
    }

    /// Waits until it says it is ready, where it does.
    pub(crate) async fn ready(self, daemon: &mut Daemon, http: &reqwest::Client) -> Result<()> {
        match self {
            Self::VirtualNode | Self::VirtualNodeWithoutRecords => {
                let url = format!("http://{AGENT_METRICS}/readyz");
                let answers = async || {
                    http.get(&url)
                        .send()
                        .await
                        .is_ok_and(|answer| answer.status().is_success())
                };
                daemon.until("readiness", answers).await
            }
            Self::Floor => daemon.printed("ready").await.map(drop),
            Self::Kwok => Ok(()),
        }
    }

    /// Its own metrics in Prometheus' text form, where it has any.
    pub(crate) async fn metrics(self, http: &reqwest::Client) -> Result<String> {
        if !matches!(self, Self::VirtualNode | Self::VirtualNodeWithoutRecords) {
            return Ok(String::new());
        }
        let url = format!("http://{AGENT_METRICS}/metrics");
        let answer = http
            .get(&url)
            .send()
            .await
            .context("asking the agent for its metrics")?;
        answer.text().await.context("reading the agent's metrics")
    }
}

impl Places {
    /// Starts the fake cloud, and waits until it serves.
    pub(crate) async fn start_cloud(&self) -> Result<Daemon> {
        let mut command = Command::new(self.programs.join("mock-eci"));
        command.args(["--listen", CLOUD, "--runtime", "simulated", "--region", REGION]);
        command.args([
            "--scenario",
            "fast",
            "--limits",
            "none",
            "--access-key",
            &self.access_key,
        ]);
        let mut cloud = Daemon::start("mock-eci", command, &self.logs)?;
        cloud.printed("http://").await?;
        Ok(cloud)
    }

    fn agent(&self, records: bool) -> Command {
        let pki = |name| self.testbed.join("pki").join(name);
        let mut command = Command::new(self.programs.join("virtual-node"));
        command
            .arg("run")
            .args(["--node-name", AGENT_NODE, "--cluster-id", "bench", "--region", REGION]);
        command.arg("--kubeconfig").arg(self.testbed.join("kubeconfigs/agent"));
        command.args(["--eci-endpoint", &format!("http://{CLOUD}"), "--eci-limits", "none"]);
        command.args([
            "--vswitch-ids",
            "vsw-1",
            "--security-group-id",
            "sg-1",
            "--register-with-taints",
            "",
        ]);
        command.args([
            "--node-ip",
            &AGENT_IP.to_string(),
            "--kubelet-listen",
            &format!("{AGENT_IP}:10250"),
        ]);
        command.args([
            "--metrics-listen",
            AGENT_METRICS,
            "--service-vips",
            "routed",
            "--cluster-dns",
            "10.96.0.10",
        ]);
        command.arg("--tls-cert-file").arg(pki("agent-serving.crt"));
        command.arg("--tls-private-key-file").arg(pki("agent-serving.key"));
        command.arg("--client-ca-file").arg(pki("ca.crt"));
        // A node may write no ConfigMap.
        command.arg("--cost-kubeconfig").arg(self.admin());
        command.args(["--cost-namespace", RECORDS, "--cost-records", &records.to_string()]);
        command
    }

    fn floor(&self) -> Command {
        let mut command = Command::new(self.programs.join("floor"));
        command.arg("--kubeconfig").arg(self.admin());
        command.args(["--node-name", Subject::Floor.node(), "--node-ip", &AGENT_IP.to_string()]);
        command.args(["--eci-endpoint", &format!("http://{CLOUD}"), "--region", REGION]);
        command
    }

    fn kwok(&self) -> Result<Command> {
        let mut config = KWOK_SETTINGS.to_owned();
        for stage in KWOK_STAGES {
            let path = self.kwok_stages.join(stage);
            let text = fs::read_to_string(&path).with_context(|| format!("reading kwok's stage {}", path.display()))?;
            config = config + "---\n" + &text;
        }
        let file = self.testbed.join("config/kwok.yaml");
        fs::write(&file, config).with_context(|| format!("writing {}", file.display()))?;
        let mut command = Command::new(&self.kwok);
        command.arg("--config").arg(file).arg("--kubeconfig").arg(self.admin());
        Ok(command)
    }

    /// The kubeconfig of the cluster's administrator.
    pub(crate) fn admin(&self) -> PathBuf {
        self.testbed.join("kubeconfig")
    }

    /// An error that names the first thing that is not there.
    pub(crate) fn check(&self, subjects: &[Subject]) -> Result<()> {
        let mut needed: Vec<(PathBuf, &str)> = vec![(self.admin(), "is the testbed up?")];
        for subject in subjects {
            let name = subject.name();
            match subject {
                Subject::Kwok => {
                    needed.push((self.kwok.clone(), "components.sh builds it"));
                    needed
                        .extend(KWOK_STAGES.map(|stage| (self.kwok_stages.join(stage), "it comes with kwok's module")));
                }
                _ => {
                    let name = name.strip_suffix("-without-records").unwrap_or(name);
                    needed.push((self.programs.join(name), "cargo build --release makes it"));
                    needed.push((self.programs.join("mock-eci"), "cargo build --release makes it"));
                }
            }
        }
        for (path, how) in needed {
            exists(&path).with_context(|| how.to_owned())?;
        }
        Ok(())
    }
}

fn exists(path: &Path) -> Result<()> {
    fs::metadata(path)
        .map(drop)
        .with_context(|| format!("{} is missing", path.display()))
}
