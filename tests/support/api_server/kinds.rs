//! The kinds of objects that are served.

use serde_json::{Value, json};

/// A kind, and what distinguishes it from others.
#[derive(Debug)]
pub struct Kind {
    pub group: &'static str,
    pub version: &'static str,
    pub kind: &'static str,
    pub plural: &'static str,
    pub namespaced: bool,
    /// Its status has a subresource of its own.
    pub status: bool,
    /// Its objects carry `metadata.generation`.
    pub generation: bool,
}

const fn core(kind: &'static str, plural: &'static str) -> Kind {
    Kind {
        group: "",
        version: "v1",
        kind,
        plural,
        namespaced: true,
        status: false,
        generation: false,
    }
}

static KINDS: [Kind; 12] = [
    Kind {
        status: true,
        generation: true,
        ..core("Pod", "pods")
    },
    core("ConfigMap", "configmaps"),
    core("Secret", "secrets"),
    core("Service", "services"),
    core("ServiceAccount", "serviceaccounts"),
    Kind {
        status: true,
        ..core("PersistentVolumeClaim", "persistentvolumeclaims")
    },
    Kind {
        namespaced: false,
        status: true,
        ..core("PersistentVolume", "persistentvolumes")
    },
    Kind {
        namespaced: false,
        status: true,
        ..core("Node", "nodes")
    },
    Kind {
        namespaced: false,
        status: true,
        ..core("Namespace", "namespaces")
    },
    Kind {
        group: "events.k8s.io",
        ..core("Event", "events")
    },
    Kind {
        group: "coordination.k8s.io",
        ..core("Lease", "leases")
    },
    Kind {
        group: "policy",
        status: true,
        generation: true,
        ..core("PodDisruptionBudget", "poddisruptionbudgets")
    },
];

impl Kind {
    /// The kind of that path.
    pub fn find(group: &str, version: &str, plural: &str) -> Option<&'static Self> {
        KINDS
            .iter()
            .find(|k| (k.group, k.version, k.plural) == (group, version, plural))
    }

    /// The kind of that plural, of whatever group.
    pub fn of_plural(plural: &str) -> &'static Self {
        KINDS
            .iter()
            .find(|k| k.plural == plural)
            .unwrap_or_else(|| panic!("{plural} are not served"))
    }

    /// As `apiVersion` has it.
    pub fn api_version(&self) -> String {
        match self.group {
            "" => self.version.to_owned(),
            group => format!("{group}/{}", self.version),
        }
    }

    /// As messages name it: `pods`, `leases.coordination.k8s.io`.
    pub fn resource(&self) -> String {
        match self.group {
            "" => self.plural.to_owned(),
            group => format!("{}.{group}", self.plural),
        }
    }

    /// Whether its objects are deleted with a grace period.
    pub fn is_pod(&self) -> bool {
        self.plural == "pods"
    }

    /// `object` with its type written in it.
    pub fn typed(&self, mut object: Value) -> Value {
        object["apiVersion"] = json!(self.api_version());
        object["kind"] = json!(self.kind);
        object
    }
}
