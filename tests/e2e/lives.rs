//! Lives of pods, drawn by chance: what each does, what is done to it, and what must be true of it in the end.

use std::time::Duration;

use serde_json::{Value, json};

use crate::chance::Chance;
use crate::cluster::Cluster;
use crate::namespace::{CONTAINER, Namespace, pod, with_variable};
use crate::recorder::Recorder;

/// The ConfigMap that pods with a token mount beside it.
pub const CONFIG: &str = "conf";

/// One pod's life.
#[derive(Clone, Debug)]
pub struct Life {
    /// Name of the pod.
    pub name: String,
    /// When it is created, from the beginning of the test.
    pub begins: Duration,
    /// Whether it has a projected token, so that no create of it can be rebuilt byte for byte.
    with_token: bool,
    /// How long its group looks for resources.
    scheduling: Duration,
    /// How it ends.
    pub fate: Fate,
}

/// How a pod ends.
#[derive(Clone, Copy, Debug)]
pub enum Fate {
    /// By itself.
    Exits {
        /// So long after it started.
        after: Duration,
        /// With this code.
        code: i32,
    },
    /// Not before the test does.
    Stays,
    /// By a delete.
    Deleted {
        /// Not before it runs; otherwise whatever it is at.
        running: bool,
        /// So long after its creation, or after it ran.
        after: Duration,
        /// `--grace-period`; zero is a forced delete.
        grace: u32,
        /// It ignores SIGTERM.
        stubborn: bool,
    },
}

impl Life {
    /// `count` lives that begin within `span`.
    pub fn draw(count: u32, span: Duration, chance: &mut Chance) -> Vec<Self> {
        let mut lives: Vec<Self> = (0..count)
            .map(|number| Self {
                name: format!("life-{number:03}"),
                begins: chance.within(span),
                with_token: number % 3 == 0,
                scheduling: if chance.is(50) {
                    chance.within(Duration::from_secs(4))
                } else {
                    Duration::ZERO
                },
                fate: Fate::draw(chance),
            })
            .collect();
        lives.sort_by_key(|life| life.begins);
        lives
    }

    /// The pod that leads it.
    pub fn pod(&self) -> Value {
        let mut pod = pod(&self.name);
        pod["metadata"]["labels"] = json!({ "lives": "by-chance" });
        let tag = format!("mock-eci/schedule-ms:{}", self.scheduling.as_millis());
        pod["metadata"]["annotations"] = json!({ "k8s.aliyun.com/eci-custom-tags": tag });
        pod["spec"]["automountServiceAccountToken"] = json!(false);
        if self.with_token {
            let sources = json!([
                { "serviceAccountToken": { "path": "token", "audience": "vault", "expirationSeconds": 3600 } },
                { "configMap": { "name": CONFIG } },
            ]);
            pod["spec"]["volumes"] = json!([{ "name": "token", "projected": { "sources": sources } }]);
            pod["spec"]["containers"][0]["volumeMounts"] = json!([{ "name": "token", "mountPath": "/token" }]);
        }
        match self.fate {
            Fate::Exits { after, code } => {
                pod["spec"]["restartPolicy"] = json!("Never");
                let pod = with_variable(pod, "MOCK_ECI_EXIT_AFTER_MS", &after.as_millis().to_string());
                with_variable(pod, "MOCK_ECI_EXIT_CODE", &code.to_string())
            }
            Fate::Deleted { stubborn: true, .. } => with_variable(pod, "MOCK_ECI_STOP_MS", "3600000"),
            Fate::Stays | Fate::Deleted { .. } => pod,
        }
    }

    /// Leads it: the pod is created, and deleted if that is its fate. Returns its UID.
    pub async fn lead(&self, namespace: &Namespace<'_>, phases: &Recorder) -> String {
        let uid = namespace.post("pods", self.pod()).await;
        if let Fate::Deleted {
            running, after, grace, ..
        } = self.fate
        {
            if running {
                phases.reached(&self.name, "Running").await;
            }
            tokio::time::sleep(after).await;
            namespace.delete("pods", &self.name, grace).await;
        }
        uid
    }

    /// Waits until it has come to its true end, and looks whether it came there without a detour.
    pub async fn has_ended_well(&self, cluster: &Cluster, namespace: &Namespace<'_>, phases: &Recorder) {
        let (last, allowed): (&str, &[&str]) = match self.fate {
            Fate::Exits { code: 0, .. } => ("Succeeded", &["Pending", "Running", "Succeeded"]),
            Fate::Exits { .. } => ("Failed", &["Pending", "Running", "Failed"]),
            Fate::Stays => ("Running", &["Pending", "Running"]),
            // The last status before the object goes tells how its container ended.
            Fate::Deleted { .. } => ("gone", &["Pending", "Running", "Succeeded", "Failed", "gone"]),
        };
        phases.caught_up(&self.name, last).await;
        let seen = phases.of(&self.name);
        let mut places = seen.iter().map(|phase| allowed.iter().position(|a| a == phase));
        assert!(
            places.all(|place| place.is_some())
                && seen.is_sorted_by_key(|phase| allowed.iter().position(|a| a == phase)),
            "{self:?} went through {seen:?}"
        );
        if let Fate::Exits { code, .. } = self.fate {
            let pod = namespace.pod(&self.name).await;
            let container = &pod["status"]["containerStatuses"][0];
            assert_eq!(container["name"], CONTAINER);
            assert_eq!(container["state"]["terminated"]["exitCode"], code, "{self:?}: {pod}");
        }
        if let Fate::Stays = self.fate {
            let pod = namespace.pod(&self.name).await;
            let group = cluster.cloud.group_of(&crate::namespace::uid(&pod)).await;
            assert_eq!(cluster.cloud.status(&group).await, "Running", "{self:?}");
        }
    }
}

impl Fate {
    fn draw(chance: &mut Chance) -> Self {
        let after = chance.within(Duration::from_secs(4));
        let grace = 1 + chance.below(5);
        match chance.below(100) {
            0..25 => Self::Exits { after, code: 0 },
            25..45 => Self::Exits {
                after,
                code: 1 + chance.below(120) as i32,
            },
            45..60 => Self::Stays,
            // While it is created, mostly.
            60..75 => Self::Deleted {
                running: false,
                after: after / 4,
                grace,
                stubborn: chance.is(50),
            },
            75..90 => Self::Deleted {
                running: true,
                after,
                grace,
                stubborn: chance.is(50),
            },
            _ => Self::Deleted {
                running: chance.is(50),
                after,
                grace: 0,
                stubborn: true,
            },
        }
    }
}
