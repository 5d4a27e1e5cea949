//! The pods that are made.

use clap::ValueEnum;
use serde::Serialize;

/// Kinds of pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Shape {
    /// One container with two lines of spec, and no token.
    Small,
    /// An executor as spark-submit makes it: 34 variables, a ConfigMap, a scratch directory and a token.
    Spark,
}

impl Shape {
    /// The name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Spark => "spark",
        }
    }

    /// For a heading.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Small => "small pods",
            Self::Spark => "Spark-shaped pods",
        }
    }

    /// A pod as JSON, for the node `node`.
    pub(crate) fn pod(self, name: &str, node: &str) -> String {
        let template = match self {
            Self::Small => include_str!("../../../data/small-pod.json"),
            Self::Spark => include_str!("../../../data/spark-executor-pod.json"),
        };
        template.replace("@POD@", name).replace("@NODE@", node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_pods() {
        for shape in [Shape::Small, Shape::Spark] {
            let pod: serde_json::Value = serde_json::from_str(&shape.pod("a-1", "n-1")).expect("JSON");
            assert_eq!(pod["metadata"]["name"], "a-1");
            assert_eq!(pod["spec"]["nodeSelector"]["kubernetes.io/hostname"], "n-1");
        }
    }
}
