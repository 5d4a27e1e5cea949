//! The manifests: what kustomize makes of each overlay, held against the real API server.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::kubectl::{kubectl, run};

const MANIFESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/manifests");
const OVERLAYS: [&str; 3] = ["ack", "kind", "serverless"];

/// A copy of the manifests, whose overlays are filled in; it goes when it is dropped.
struct Copy(PathBuf);

impl Copy {
    fn new(cluster: &Cluster) -> Self {
        let copy = cluster.file("manifests");
        let _ = std::fs::remove_dir_all(&copy);
        let copied = std::process::Command::new("cp")
            .arg("-r")
            .arg(MANIFESTS)
            .arg(&copy)
            .status();
        assert!(copied.is_ok_and(|status| status.success()), "copying the manifests");
        let ack = copy.join("overlays/ack");
        std::fs::copy(ack.join("credentials.env.example"), ack.join("credentials.env")).expect("copied");
        Self(copy)
    }

    fn overlay(&self, name: &str) -> PathBuf {
        self.0.join("overlays").join(name)
    }

    /// An overlay with all components that there are, beside the others.
    fn with_components(&self) -> PathBuf {
        let mut components: Vec<String> = std::fs::read_dir(&self.0)
            .expect("a directory")
            .filter_map(|entry| {
                let path = entry.ok()?.path();
                let text = std::fs::read_to_string(path.join("kustomization.yaml")).ok()?;
                let name = path.file_name()?.to_str()?.to_owned();
                text.contains("kind: Component").then(|| format!("../../{name}"))
            })
            .collect();
        components.sort_unstable();
        assert!(components.len() >= 2, "{components:?}");
        let folder = self.overlay("with-components");
        std::fs::create_dir_all(&folder).expect("made");
        let kustomization = json!({
            "apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization",
            "resources": ["../ack"], "components": components,
        });
        std::fs::write(folder.join("kustomization.yaml"), kustomization.to_string()).expect("written");
        folder
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What kustomize makes of a folder.
async fn built(folder: &Path) -> String {
    kubectl(&["kustomize", &folder.display().to_string()]).await.ok()
}

/// The objects of a kind, as the API server understands them.
async fn understood(objects: &str) -> Vec<Value> {
    let said = run(
        "kubectl",
        &["create", "--dry-run=client", "--output", "json", "-f", "-"],
        objects,
    )
    .await
    .ok();
    // One object after the other.
    let objects = serde_json::Deserializer::from_str(&said).into_iter::<Value>();
    objects.map(|object| object.expect("JSON")).collect()
}

#[tokio::test]
async fn the_api_server_takes_every_overlay() {
    let cluster = Cluster::shared().await;
    let copy = Copy::new(&cluster);
    let home = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "virtual-node" } });
    run("kubectl", &["apply", "-f", "-"], &home.to_string()).await.ok();
    let mut folders: Vec<PathBuf> = OVERLAYS.map(|name| copy.overlay(name)).to_vec();
    folders.push(copy.with_components());
    for folder in folders {
        let objects = built(&folder).await;
        // By the server's own merging: the other one takes two ports of one number, as DNS has them, for one.
        let apply = [
            "apply",
            "--server-side",
            "--force-conflicts",
            "--dry-run=server",
            "-f",
            "-",
        ];
        run("kubectl", &apply, &objects).await.ok();
        let objects = understood(&objects).await;
        let of_kind = |kind: &str, name: &str| {
            let mut of_kind = objects.iter().filter(|object| object["kind"] == kind);
            of_kind.find(|object| object["metadata"]["name"] == name)
        };
        // Names that must agree, and that kustomize must leave alone.
        let role = of_kind("Role", "virtual-node-election").expect("the Role of the election");
        assert_eq!(role["rules"][0]["resourceNames"], json!(["virtual-node"]), "{folder:?}");
        let users =
            &of_kind("ClusterRole", "virtual-node").expect("the agent's ClusterRole")["rules"][0]["resourceNames"];
        let mut settings = std::fs::read_to_string(folder.join("config.yaml"));
        if settings.is_err() {
            settings = std::fs::read_to_string(copy.overlay("ack").join("config.yaml"));
        }
        let settings = settings.expect("settings");
        for user in users.as_array().into_iter().flatten() {
            let node = user
                .as_str()
                .and_then(|user| user.strip_prefix("system:node:"))
                .expect("a node's");
            assert!(settings.contains(node), "{node} is not in config.yaml of {folder:?}");
        }
    }
}

#[tokio::test]
async fn every_rule_says_why_it_is_there() {
    let mut files = vec![PathBuf::from(MANIFESTS)];
    let mut rules = 0;
    while let Some(path) = files.pop() {
        if path.is_dir() {
            let entries = std::fs::read_dir(&path).expect("a directory");
            files.extend(entries.map(|entry| entry.expect("an entry").path()));
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        if !text.contains("kind: ClusterRole\n") && !text.contains("kind: Role\n") {
            continue;
        }
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        for pair in lines
            .windows(2)
            .filter(|pair| pair[1].starts_with("- apiGroups:") && !pair[1].ends_with("[v1]"))
        {
            // Those of admission policies are no rights.
            if pair[0] == "resourceRules:" {
                continue;
            }
            rules += 1;
            assert!(
                pair[0].starts_with('#'),
                "{}: a rule without its reason: {}",
                path.display(),
                pair[1]
            );
        }
    }
    assert!(rules > 10, "{rules} rules");
}
