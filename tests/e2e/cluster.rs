//! The cluster that the suite runs in, and the ways to break it.

use std::path::PathBuf;
use std::sync::Once;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::cloud::Cloud;
use crate::kubectl::{Said, run};
use crate::until::until_every;

/// The node of the testbed.
pub const NODE: &str = "virtual-kubelet-cn-hangzhou-h";
/// Where the testbed starts its agent.
pub const AGENT_IP: &str = "172.31.0.10";
/// How long a condition may take: far beyond what it takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(120);

const PERIOD: Duration = Duration::from_millis(100);
const CLUSTER_SH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/testbed/cluster.sh");
/// What tests may take away, and what the next test needs.
const BREAKABLE: [&str; 4] = ["kube-apiserver", "store", "mock-eci", "agent"];

/// Read by those who use the cluster, written by those who break it.
static TURN: RwLock<()> = RwLock::const_new(());

enum Turn {
    Shared(#[expect(dead_code, reason = "held")] RwLockReadGuard<'static, ()>),
    Alone(#[expect(dead_code, reason = "held")] RwLockWriteGuard<'static, ()>),
}

/// The cluster; one handle a test.
pub struct Cluster {
    /// The administrator's client.
    pub api: kube::Client,
    /// mock-eci.
    pub cloud: Cloud,
    state: PathBuf,
    turn: Turn,
}

impl Cluster {
    /// For a test that only uses it: others run at the same time.
    pub async fn shared() -> Self {
        Self::new(Turn::Shared(TURN.read().await)).await
    }

    /// For a test that breaks what all share. What it leaves broken is mended when this is dropped.
    pub async fn alone() -> Self {
        Self::new(Turn::Alone(TURN.write().await)).await
    }

    async fn new(turn: Turn) -> Self {
        static TLS: Once = Once::new();
        TLS.call_once(|| {
            let _ = rustls::crypto::ring::default_provider().install_default();
        });
        let variable = |name: &str| {
            std::env::var(name).unwrap_or_else(|_| {
                panic!("{name} is not set: the end-to-end suite runs inside a testbed with a simulated cloud; run `make e2e`")
            })
        };
        let (state, url) = (variable("VN_STATE"), variable("ECI_ENDPOINT"));
        variable("KUBECONFIG");
        let config = kube::Config::infer().await.expect("KUBECONFIG can be used");
        Self {
            api: kube::Client::try_from(config).expect("a client"),
            cloud: Cloud::new(url),
            state: state.into(),
            turn,
        }
    }

    /// The object at `path`; null where there is none, and what went wrong where it cannot be asked for.
    pub async fn get(&self, path: &str) -> Value {
        let request = http::Request::get(path).body(Vec::new()).expect("a path");
        match self.api.request::<Value>(request).await {
            Ok(object) => object,
            Err(kube::Error::Api(status)) if status.code == 404 => Value::Null,
            Err(error) => json!({ "error": error.to_string() }),
        }
    }

    /// Sends an object, or the options of a delete, to the API server; returns its answer.
    pub async fn send(&self, method: http::Method, path: &str, body: &Value) -> Value {
        let request = http::Request::builder()
            .method(method.clone())
            .uri(path)
            .header("content-type", "application/json");
        let request = request.body(body.to_string().into_bytes()).expect("a path");
        let answer = self.api.request::<Value>(request).await;
        answer.unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// The Node.
    pub async fn node(&self) -> Value {
        self.get(&format!("/api/v1/nodes/{NODE}")).await
    }

    /// Waits until the object at `path` is `wanted`.
    pub async fn until(&self, what: &str, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        self.within(PATIENCE, what, async || self.get(path).await, wanted).await
    }

    /// Waits until `look` gives what is `wanted`.
    pub async fn eventually<T: std::fmt::Debug>(
        &self,
        what: &str,
        look: impl AsyncFnMut() -> T,
        wanted: impl Fn(&T) -> bool,
    ) -> T {
        self.within(PATIENCE, what, look, wanted).await
    }

    /// Waits until `look` gives what is `wanted`, but not for longer than `patience`.
    pub async fn within<T: std::fmt::Debug>(
        &self,
        patience: Duration,
        what: &str,
        look: impl AsyncFnMut() -> T,
        wanted: impl Fn(&T) -> bool,
    ) -> T {
        until_every(what, PERIOD, patience, look, wanted).await
    }

    /// Waits until the node has a condition of that status.
    pub async fn condition(&self, type_: &str, status: &str) -> Value {
        let what = format!("the node's {type_} to be {status}");
        let path = format!("/api/v1/nodes/{NODE}");
        self.until(&what, &path, |node| condition(node, type_) == status).await
    }

    /// `cluster.sh <arguments>`, which must succeed.
    pub async fn control(&self, arguments: &[&str]) {
        assert!(
            matches!(self.turn, Turn::Alone(_)),
            "only who is alone may break things"
        );
        let said: Said = run(CLUSTER_SH, arguments, "").await;
        assert!(said.success, "cluster.sh {arguments:?}: {}{}", said.out, said.err);
    }

    /// `cluster.sh <arguments>` with one of its environment variables set.
    pub async fn control_with(&self, variable: &str, value: &str, arguments: &[&str]) {
        let assignment = format!("{variable}={value}");
        let mut all = vec![assignment.as_str(), CLUSTER_SH];
        all.extend(arguments);
        assert!(
            matches!(self.turn, Turn::Alone(_)),
            "only who is alone may break things"
        );
        run("env", &all, "").await.ok();
    }

    /// Gives the cluster's machine one more address.
    pub async fn add_address(&self, ip: &str) {
        // It may have it from an earlier run.
        let said = run("ip", &["address", "add", &format!("{ip}/24"), "dev", "vn0"], "").await;
        assert!(
            said.success || said.err.contains("File exists") || said.err.contains("already assigned"),
            "{said:?}"
        );
    }

    /// Sends a signal to a component.
    pub async fn signal(&self, component: &str, signal: &str) {
        assert!(
            matches!(self.turn, Turn::Alone(_)),
            "only who is alone may break things"
        );
        run("kill", &["-s", signal, &self.pid(component)], "").await.ok();
    }

    /// Process id of a component.
    pub fn pid(&self, component: &str) -> String {
        let file = self.state.join("run").join(format!("{component}.pid"));
        let pid = std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        pid.trim().to_owned()
    }

    /// A file of the testbed.
    pub fn file(&self, name: &str) -> PathBuf {
        self.state.join(name)
    }

    /// What a component logged so far.
    pub fn log(&self, component: &str) -> String {
        let file = self.state.join("logs").join(format!("{component}.log"));
        let bytes = std::fs::read(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The answer of a server that speaks HTTP in the cluster's network, as curl gives it: body, newline, status code.
    pub async fn curl(&self, arguments: &[&str]) -> String {
        let mut all = vec![
            "--silent",
            "--show-error",
            "--max-time",
            "20",
            "--write-out",
            "\n%{http_code}",
        ];
        all.extend(arguments);
        run("curl", &all, "").await.ok()
    }

    fn mend(&self) {
        for component in BREAKABLE {
            let pid = std::fs::read_to_string(self.state.join("run").join(format!("{component}.pid")));
            let lives = pid.is_ok_and(|pid| blocking("kill", &["-s", "CONT", pid.trim()]));
            if !lives {
                blocking(CLUSTER_SH, &["start", component]);
            }
        }
        let _ = std::fs::read_to_string(self.state.join("config/agent-ip"))
            .is_ok_and(|ip| ip.trim() == AGENT_IP || blocking(CLUSTER_SH, &["restart", "agent", AGENT_IP]));
        blocking("kubectl", &["uncordon", NODE]);
        steer("DELETE", "faults", "");
        steer("POST", "rights", r#"{"list": true, "allow": ["*"]}"#);
        steer("POST", "exec", r#"{"stdin-end": true}"#);
        steer("POST", "limits", r#"{"limits": "documented"}"#);
    }
}

/// Steers mock-eci where nothing can be awaited.
fn steer(method: &str, path: &str, body: &str) {
    let url = format!("http://127.0.0.1:8090/mock/{path}");
    let arguments = [
        "--silent",
        "--max-time",
        "10",
        "--request",
        method,
        "--header",
        "content-type: application/json",
        "--data",
        body,
        &url,
    ];
    blocking("curl", &arguments);
}

/// Says something to who runs the suite with `--nocapture`, or reads of a failure.
pub fn say(what: &str) {
    #[expect(clippy::print_stderr, reason = "the harness shows it with the failure")]
    {
        eprintln!("{what}");
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if matches!(self.turn, Turn::Alone(_)) {
            self.mend();
        }
    }
}

/// Runs a program to its end; whether it succeeded.
fn blocking(program: &str, arguments: &[&str]) -> bool {
    let done = std::process::Command::new(program).args(arguments).output();
    done.is_ok_and(|output| output.status.success())
}

/// Status of a condition of `object`, empty when there is none.
pub fn condition<'a>(object: &'a Value, type_: &str) -> &'a str {
    let conditions = object["status"]["conditions"].as_array().into_iter().flatten();
    let found = conditions.into_iter().find(|c| c["type"] == type_);
    found.and_then(|c| c["status"].as_str()).unwrap_or_default()
}
