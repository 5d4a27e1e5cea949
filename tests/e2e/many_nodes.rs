//! One more agent, which serves several nodes in one process, under the rights that `manifests/base/agent-rbac.yaml` gives it.

use std::path::PathBuf;
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::cluster::{Cluster, say};
use crate::kubectl::{create, kubectl};
use crate::lifetimes::Lifetimes;
use crate::namespace::Namespace;
use crate::replicas::HOME;

/// The agent; killed when it is dropped.
pub struct ManyNodes {
    process: Child,
    lifetimes: Lifetimes,
    log: PathBuf,
    left: Vec<String>,
}

impl ManyNodes {
    /// Starts one that serves `nodes` (as the settings' list has them), with settings of its own beside the usual ones; it is ready
    /// whenever it is. Its taint keeps the pods of other tests away.
    pub async fn start(cluster: &Cluster, namespace: &Namespace<'_>, nodes: &[Value], more: Value) -> Self {
        let names: Vec<&str> = nodes.iter().filter_map(|node| node["name"].as_str()).collect();
        let users: Vec<String> = names.iter().map(|name| format!("system:node:{name}")).collect();
        let rules = json!([
            { "apiGroups": [""], "resources": ["users"], "verbs": ["impersonate"], "resourceNames": users },
            { "apiGroups": [""], "resources": ["groups"], "verbs": ["impersonate"], "resourceNames": ["system:nodes"] },
        ]);
        let topic = namespace.name.as_str();
        let role = json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": { "name": topic }, "rules": rules });
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": { "name": topic },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": topic },
            "subjects": [{ "kind": "ServiceAccount", "name": "default", "namespace": topic }],
        });
        let mut left: Vec<String> = names.iter().map(|name| format!("node/{name}")).collect();
        left.extend([format!("clusterrole/{topic}"), format!("clusterrolebinding/{topic}")]);
        forget(&left).await;
        create(&role).await;
        create(&binding).await;
        let token = namespace.kubectl(&["create", "token", "default"]).await.ok();

        let directory = cluster.file(topic);
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir(&directory).expect("a directory");
        let file = |name: &str| directory.join(name);
        let path = |path: PathBuf| path.display().to_string();
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{ "name": "c", "cluster": {
                "server": "https://172.31.0.1:6443", "certificate-authority": path(cluster.file("pki/ca.crt")),
            } }],
            "users": [{ "name": "u", "user": { "token": token.trim() } }],
            "contexts": [{ "name": "c", "context": { "cluster": "c", "user": "u" } }],
        });
        let mut settings = json!({
            "nodes": nodes, "kubeconfig": path(file("kubeconfig")), "impersonate-node": true, "cluster-id": "testbed",
            "eci-endpoint": cluster.cloud.url(), "region": "cn-hangzhou", "security-group-id": "sg-1",
            "client-ca-file": path(cluster.file("pki/ca.crt")),
            "tls-cert-file": path(cluster.file("pki/agent-serving.crt")),
            "tls-private-key-file": path(cluster.file("pki/agent-serving.key")),
            "cost-namespace": HOME, "cost-kubeconfig": std::env::var("KUBECONFIG").expect("the testbed sets it"),
            "cost-impersonate": "system:serviceaccount:virtual-node:virtual-node",
        });
        if let (Value::Object(settings), Value::Object(more)) = (&mut settings, more) {
            settings.extend(more);
        }
        std::fs::write(file("kubeconfig"), kubeconfig.to_string()).expect("written");
        std::fs::write(file("config"), settings.to_string()).expect("written");
        let command = std::fs::read_to_string(format!("/proc/{}/cmdline", cluster.pid("agent"))).expect("the agent's");
        let program = command.split('\0').next().expect("a program");
        let log = file("log");
        let output = std::fs::File::create(&log).expect("a log");
        let process = Command::new(program)
            .args(["run", "--config", &path(file("config"))])
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("a descriptor"))
            .stderr(output)
            .kill_on_drop(true)
            .spawn()
            .expect("the agent starts");
        let lifetimes = Lifetimes::of(cluster);
        lifetimes.start(process.id().expect("it has not ended"));
        Self {
            process,
            lifetimes,
            log,
            left,
        }
    }

    /// Ends it, and removes what it leaves in the cluster.
    pub async fn end(self) {
        let left = self.left.clone();
        drop(self);
        forget(&left).await;
    }
}

async fn forget(left: &[String]) {
    let mut all = vec!["delete", "--ignore-not-found", "--wait=false"];
    all.extend(left.iter().map(String::as_str));
    kubectl(&all).await.ok();
}

impl Drop for ManyNodes {
    fn drop(&mut self) {
        if let Some(id) = self.process.id() {
            let _ = self.process.start_kill();
            self.lifetimes.end(id);
        }
        if std::thread::panicking() {
            say(&std::fs::read_to_string(&self.log).unwrap_or_default());
        }
    }
}
