//! (pure) To which application a pod belongs, by Spark's labels, the operators', or its owner.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use serde::{Deserialize, Serialize};

/// Spark's id of the application, on its driver and its executors.
const SPARK_ID: &str = "spark-app-selector";
/// Spark's name of it.
const SPARK_NAME: &str = "spark-app-name";
/// Name of the SparkApplication: kubeflow's operator and Apache's.
const OPERATOR_NAMES: [&str; 2] = ["sparkoperator.k8s.io/app-name", "spark.operator/spark-app-name"];
/// Kubeflow's id of one run of a SparkApplication.
const SUBMISSION: &str = "sparkoperator.k8s.io/submission-id";
const ROLE: &str = "spark-role";
const EXECUTOR: &str = "spark-exec-id";
/// What a Deployment's ReplicaSet has at the end of its name.
const TEMPLATE_HASH: &str = "pod-template-hash";

/// What pods are counted together.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Application {
    /// What tells it from others of its namespace: Spark's id, `kind/name` of the owner, or `pod/name`.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Kubeflow's id of the run; empty = none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub submission: String,
}

/// A pod's part in its application.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Spark's driver.
    Driver,
    /// One of Spark's executors.
    Executor,
    /// A pod that is no part of a Spark application.
    #[default]
    Pod,
}

impl Role {
    /// The word for it, in records, tables and labels of metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Driver => "driver",
            Self::Executor => "executor",
            Self::Pod => "pod",
        }
    }
}

/// Whose a pod is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Whose {
    /// The application.
    pub application: Application,
    /// The pod's part in it.
    pub role: Role,
    /// Spark's number of the executor.
    pub executor: Option<Box<str>>,
}

impl Whose {
    /// Whose the pod called `pod` is, by its labels and owners.
    pub fn of(pod: &str, labels: &BTreeMap<String, String>, owners: &[OwnerReference]) -> Self {
        let controller = owners.iter().find(|owner| owner.controller == Some(true));
        Self::read(
            |name| labels.get(name).map(String::as_str),
            controller.map(|owner| (owner.kind.as_str(), owner.name.as_str())),
            pod,
        )
    }

    /// As [`Self::of`], by what `label` says of each label, and kind and name of the controller.
    pub fn read<'a>(
        label: impl Fn(&str) -> Option<&'a str>,
        controller: Option<(&'a str, &'a str)>,
        pod: &'a str,
    ) -> Self {
        let filled = |name: &str| label(name).filter(|text| !text.is_empty());
        let role = match filled(ROLE) {
            Some("driver") => Role::Driver,
            Some("executor") => Role::Executor,
            _ => Role::Pod,
        };
        let submission = filled(SUBMISSION);
        let named = OPERATOR_NAMES.into_iter().find_map(filled);
        let spark = filled(SPARK_ID).or(submission).or(named).map(|id| Application {
            id: id.to_owned(),
            name: named.or(filled(SPARK_NAME)).unwrap_or(id).to_owned(),
            submission: submission.unwrap_or_default().to_owned(),
        });
        let application = spark.unwrap_or_else(|| {
            let (kind, name) = match controller {
                Some(("ReplicaSet", name)) => match filled(TEMPLATE_HASH).and_then(|hash| name.strip_suffix(hash)) {
                    Some(deployment) => ("deployment", deployment.trim_end_matches('-')),
                    None => ("replicaset", name),
                },
                Some((kind, name)) => (kind, name),
                None => ("pod", pod),
            };
            Application {
                id: format!("{}/{name}", kind.to_ascii_lowercase()),
                name: name.to_owned(),
                submission: String::new(),
            }
        });
        Self {
            application,
            role,
            executor: filled(EXECUTOR).filter(|_| role == Role::Executor).map(Into::into),
        }
    }
}

/// The applications of all pods here, each kept once: thousands of executors are of one.
#[derive(Debug, Default)]
pub struct Applications {
    kept: HashSet<Arc<Application>>,
    /// When there are so many, those that nobody has any more go.
    tidied_at: usize,
}

/// So few are never looked through.
const FEW: usize = 64;

impl Applications {
    /// The one kept copy of `application`.
    pub fn share(&mut self, application: Application) -> Arc<Application> {
        if let Some(known) = self.kept.get(&application) {
            return known.clone();
        }
        // Only as often as their number doubles: of ten thousand pods that are applications of their own, each would look at all.
        if self.kept.len() >= self.tidied_at.max(FEW) {
            self.kept.retain(|known| Arc::strong_count(known) > 1);
            self.tidied_at = self.kept.len() * 2;
        }
        let application = Arc::new(application);
        self.kept.insert(application.clone());
        application
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whose(labels: &[(&str, &str)], owner: Option<(&str, &str)>) -> Whose {
        let labels = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let owners: Vec<OwnerReference> = owner
            .iter()
            .map(|(kind, name)| OwnerReference {
                controller: Some(true),
                kind: (*kind).to_owned(),
                name: (*name).to_owned(),
                ..OwnerReference::default()
            })
            .collect();
        Whose::of("p", &labels, &owners)
    }

    #[test]
    fn executors_belong_to_sparks_application() {
        let executor = whose(
            &[
                ("spark-app-selector", "spark-1"),
                ("spark-app-name", "word-count"),
                ("spark-role", "executor"),
                ("spark-exec-id", "7"),
            ],
            Some(("Pod", "driver")),
        );
        assert_eq!(
            (executor.application.id.as_str(), executor.application.name.as_str()),
            ("spark-1", "word-count")
        );
        assert_eq!(
            (executor.role, executor.executor.as_deref()),
            (Role::Executor, Some("7"))
        );
        let driver = whose(
            &[
                ("spark-app-selector", "spark-1"),
                ("spark-role", "driver"),
                ("spark-exec-id", ""),
            ],
            None,
        );
        assert_eq!((driver.role, driver.executor), (Role::Driver, None));
    }

    #[test]
    fn the_operators_name_their_applications() {
        for name in OPERATOR_NAMES {
            let pod = whose(
                &[
                    ("spark-app-selector", "spark-1"),
                    (name, "nightly"),
                    ("spark-role", "driver"),
                ],
                None,
            );
            assert_eq!(
                (pod.application.id.as_str(), pod.application.name.as_str()),
                ("spark-1", "nightly")
            );
        }
        let before_spark_says = whose(&[(OPERATOR_NAMES[0], "nightly"), (SUBMISSION, "s-1")], None);
        assert_eq!(before_spark_says.application.id, "s-1");
        assert_eq!(before_spark_says.application.submission, "s-1");
    }

    #[test]
    fn others_belong_to_their_owner_or_to_themselves() {
        for (labels, owner, id) in [
            (&[][..], Some(("Job", "backup")), "job/backup"),
            (
                &[("pod-template-hash", "5d4")],
                Some(("ReplicaSet", "web-5d4")),
                "deployment/web",
            ),
            (&[], Some(("ReplicaSet", "web-5d4")), "replicaset/web-5d4"),
            (&[], None, "pod/p"),
        ] {
            let whose = whose(labels, owner);
            assert_eq!((whose.application.id.as_str(), whose.role), (id, Role::Pod));
        }
    }

    #[test]
    fn an_application_is_kept_once_and_not_for_ever() {
        let mut all = Applications::default();
        let of = |id: &str| Application {
            id: id.to_owned(),
            ..Application::default()
        };
        let first = all.share(of("a"));
        assert!(Arc::ptr_eq(&first, &all.share(of("a"))));
        drop(first);
        let held: Vec<_> = (0..200)
            .map(|number| all.share(of(&format!("held-{number}"))))
            .collect();
        for number in 0..10_000 {
            all.share(of(&format!("passes-{number}")));
        }
        assert!(
            (held.len()..=2 * held.len() + FEW).contains(&all.kept.len()),
            "{}",
            all.kept.len()
        );
        assert!(held.iter().all(|application| all.kept.contains(application)));
    }
}
