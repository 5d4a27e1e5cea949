//! Both nodes, a pod on each, and the clients.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::cases::Case;
use crate::clients::{Answer, Client, foreign_identity, http};
use crate::kubectl::{kubectl, run};
use crate::until::until_every;

const PERIOD: Duration = Duration::from_millis(200);
const PATIENCE: Duration = Duration::from_secs(120);
/// Where the accounts are.
const ACCOUNTS: &str = "kubelet-api";

/// A node with a kubelet API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Node {
    /// A kubelet's.
    Real,
    /// Ours.
    Virtual,
}

/// Both.
pub const NODES: [Node; 2] = [Node::Real, Node::Virtual];

impl Node {
    fn name(self) -> &'static str {
        match self {
            Self::Real => "ecs-worker-1",
            Self::Virtual => "virtual-kubelet-cn-hangzhou-h",
        }
    }

    /// Its address.
    pub fn ip(self) -> &'static str {
        match self {
            Self::Real => "172.31.0.40",
            Self::Virtual => "172.31.0.10",
        }
    }

    fn namespace(self) -> &'static str {
        match self {
            Self::Real => "kubelet-api-real",
            Self::Virtual => "kubelet-api-virtual",
        }
    }
}

/// What the tests share.
pub struct Bed {
    api_server: reqwest::Client,
    nobody: reqwest::Client,
    foreign: reqwest::Client,
    tokens: BTreeMap<Client, String>,
    uids: [String; 2],
}

impl Bed {
    /// The one that all tests use.
    pub async fn new() -> &'static Self {
        static BED: OnceCell<Bed> = OnceCell::const_new();
        BED.get_or_init(Self::make).await
    }

    async fn make() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let state = std::env::var("VN_STATE").unwrap_or_else(|_| {
            panic!("VN_STATE is not set: this suite runs inside a testbed with a real worker; run `make kubelet-api`")
        });
        let file = |name: &str| {
            let path = PathBuf::from(&state).join("pki").join(name);
            std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
        };
        let authority = file("ca.crt");
        let of_api_server = file("kube-apiserver-kubelet-client.crt") + &file("kube-apiserver-kubelet-client.key");
        let tokens = accounts().await;
        let (real, ours) = tokio::join!(pod(Node::Real), pod(Node::Virtual));
        Self {
            api_server: http(&authority, Some(&of_api_server)),
            nobody: http(&authority, None),
            foreign: http(&authority, Some(&foreign_identity())),
            tokens,
            uids: [real, ours],
        }
    }

    /// Asks a node.
    pub async fn ask(&self, node: Node, client: Client, case: &Case) -> Answer {
        let path = case.path.replace("NS", node.namespace());
        let http = match client {
            Client::ApiServer => &self.api_server,
            Client::Foreign => &self.foreign,
            _ => &self.nobody,
        };
        let method = case.method.parse().expect("a method");
        let mut request = http.request(method, format!("https://{}:10250{path}", node.ip()));
        if let Some(token) = self.tokens.get(&client) {
            request = request.bearer_auth(token);
        }
        for (name, value) in case.headers {
            request = request.header(*name, *value);
        }
        self.send(node, request).await
    }

    /// Asks with a certificate that counts for nothing and the token of somebody who may.
    pub async fn with_foreign_certificate_and_token(&self, node: Node, path: &str) -> Answer {
        let request = self.foreign.get(format!("https://{}:10250{path}", node.ip()));
        self.send(node, request.bearer_auth(&self.tokens[&Client::RightToken]))
            .await
    }

    async fn send(&self, node: Node, request: reqwest::RequestBuilder) -> Answer {
        let response = request.send().await;
        let response = response.unwrap_or_else(|error| panic!("{node:?} does not answer: {error:?}"));
        let replace = BTreeMap::from([
            (node.namespace().to_owned(), "NS"),
            (node.name().to_owned(), "NODE"),
            (self.uids[node as usize].clone(), "UID"),
        ]);
        Answer::read(response, &replace).await
    }
}

/// Accounts with rights of different kinds; their tokens.
async fn accounts() -> BTreeMap<Client, String> {
    apply_namespace(ACCOUNTS).await;
    let rights = [
        (
            Client::RightToken,
            "right",
            vec!["proxy", "stats", "metrics", "log", "checkpoint"],
        ),
        (Client::FiguresToken, "figures", vec!["stats", "metrics", "pods"]),
        (Client::TokenWithoutRights, "none", vec![]),
    ];
    let mut tokens = BTreeMap::new();
    for (client, name, subresources) in rights {
        let _ = kubectl(&["--namespace", ACCOUNTS, "create", "serviceaccount", name]).await;
        if !subresources.is_empty() {
            let resources: Vec<String> = subresources.iter().map(|s| format!("nodes/{s}")).collect();
            let role = format!("kubelet-api-{name}");
            let resource = format!("--resource={}", resources.join(","));
            let _ = kubectl(&["create", "clusterrole", &role, "--verb=get,create", &resource]).await;
            let role_flag = format!("--clusterrole={role}");
            let account = format!("--serviceaccount={ACCOUNTS}:{name}");
            let _ = kubectl(&["create", "clusterrolebinding", &role, &role_flag, &account]).await;
        }
        let token = kubectl(&["--namespace", ACCOUNTS, "create", "token", name]).await.ok();
        tokens.insert(client, token.trim().to_owned());
    }
    tokens
}

async fn apply_namespace(name: &str) {
    let _ = kubectl(&["create", "namespace", name]).await;
    let account = async || kubectl(&["--namespace", name, "get", "serviceaccount", "default"]).await;
    until_every("the default service account", PERIOD, PATIENCE, account, |said| {
        said.success
    })
    .await;
}

/// A pod that runs on `node`; its UID.
async fn pod(node: Node) -> String {
    apply_namespace(node.namespace()).await;
    let namespace = node.namespace();
    // Applied, so that a cluster that is kept can be used again.
    let object = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": "probe", "namespace": namespace },
        "spec": {
            "nodeName": node.name(),
            "terminationGracePeriodSeconds": 0,
            "restartPolicy": "Never",
            "tolerations": [{ "operator": "Exists" }],
            "containers": [{
                "name": "main",
                "image": "localhost/virtual-node/busybox:1",
                "imagePullPolicy": "IfNotPresent",
                "command": ["sleep", "100000"],
            }],
        },
    });
    run("kubectl", &["apply", "-f", "-"], &object.to_string()).await.ok();
    let look = async || {
        let said = kubectl(&["--namespace", namespace, "get", "pod", "probe", "--output", "json"]).await;
        serde_json::from_str::<Value>(&said.out).unwrap_or_default()
    };
    let ready = |pod: &Value| pod["status"]["containerStatuses"][0]["state"]["running"].is_object();
    let pod = until_every(&format!("the pod on {}", node.name()), PERIOD, PATIENCE, look, ready).await;
    pod["metadata"]["uid"].as_str().expect("a UID").to_owned()
}
