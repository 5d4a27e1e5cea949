//! Prometheus' text form, written family by family and a few pods at a time.
//!
//! The encoder of the `prometheus` crate takes all families with all their labels as one structure in memory. For thousands of
//! pods that would be hundreds of megabytes, several times what the agent itself needs.

use std::fmt::Write as _;
use std::sync::Arc;

use jiff::Timestamp;

use super::snapshot::{NodeFigures, PodFigures, Snapshot};

/// Pods that are written at a time.
const PODS: usize = 200;

/// A family of series: one name, and what it has of the node and of each pod.
pub(super) struct Family {
    /// Name of the metric.
    name: &'static str,
    /// What Prometheus shows of it.
    help: &'static str,
    kind: Kind,
    /// Series of the node itself.
    node: fn(&Snapshot, &mut Lines),
    /// Series of a pod.
    pod: fn(&PodFigures, &mut Lines),
}

impl Family {
    /// A family of counters.
    pub(super) const fn counter(
        name: &'static str,
        help: &'static str,
        node: fn(&Snapshot, &mut Lines),
        pod: fn(&PodFigures, &mut Lines),
    ) -> Self {
        let kind = Kind::Counter;
        Self {
            name,
            help,
            kind,
            node,
            pod,
        }
    }

    /// A family of gauges.
    pub(super) const fn gauge(
        name: &'static str,
        help: &'static str,
        node: fn(&Snapshot, &mut Lines),
        pod: fn(&PodFigures, &mut Lines),
    ) -> Self {
        let kind = Kind::Gauge;
        Self {
            name,
            help,
            kind,
            node,
            pod,
        }
    }
}

/// Types of metrics.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// Never falls.
    Counter,
    /// Goes up and down.
    Gauge,
}

/// The text of one family, or of a part of it.
pub(super) struct Lines {
    name: &'static str,
    text: String,
}

/// A label: name and value.
pub(super) type Label<'a> = (&'static str, &'a str);

impl Lines {
    /// One series, with the time its value is of.
    pub(super) fn put(&mut self, labels: &[Label<'_>], value: f64, at: Option<Timestamp>) {
        self.text.push_str(self.name);
        for (i, (name, value)) in labels.iter().enumerate() {
            self.text.push(if i == 0 { '{' } else { ',' });
            self.text.push_str(name);
            self.text.push_str("=\"");
            escape(&mut self.text, value);
            self.text.push('"');
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        // Writing to a String cannot fail.
        let _ = write!(self.text, " {value}");
        if let Some(at) = at {
            let _ = write!(self.text, " {}", at.as_millisecond());
        }
        self.text.push('\n');
    }

    /// One series, where there is a value.
    pub(super) fn put_some(&mut self, labels: &[Label<'_>], value: Option<f64>, at: Option<Timestamp>) {
        if let Some(value) = value {
            self.put(labels, value, at);
        }
    }
}

/// Nothing of the node.
pub(super) fn no_node(_: &Snapshot, _: &mut Lines) {}

/// Nothing of a pod.
pub(super) fn no_pod(_: &PodFigures, _: &mut Lines) {}

/// Nanoseconds as seconds.
pub(super) fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}

/// A time as seconds since the epoch.
pub(super) fn epoch(at: Timestamp) -> f64 {
    at.as_millisecond() as f64 / 1e3
}

/// When a node's figures are of, which every series of it needs.
pub(super) fn node_of(snapshot: &Snapshot) -> Option<(&NodeFigures, Timestamp)> {
    Some((&snapshot.node, snapshot.node.at?))
}

/// Writes `families`, in their order, in pieces. A family without series is left out altogether.
pub(super) fn pieces(snapshot: Arc<Snapshot>, families: &'static [Family]) -> impl Iterator<Item = String> + Send {
    families.iter().flat_map(move |family| {
        let snapshot = snapshot.clone();
        let parts = snapshot.pods.len().div_ceil(PODS).max(1);
        let mut is_begun = false;
        (0..parts).filter_map(move |part| {
            let mut lines = Lines {
                name: family.name,
                text: String::new(),
            };
            if part == 0 {
                (family.node)(&snapshot, &mut lines);
            }
            for pod in snapshot.pods.iter().skip(part * PODS).take(PODS) {
                (family.pod)(pod, &mut lines);
            }
            if lines.text.is_empty() {
                return None;
            }
            if !is_begun {
                is_begun = true;
                let kind = match family.kind {
                    Kind::Counter => "counter",
                    Kind::Gauge => "gauge",
                };
                let (name, help) = (family.name, family.help);
                lines
                    .text
                    .insert_str(0, &format!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
            }
            Some(lines.text)
        })
    })
}

fn escape(text: &mut String, value: &str) {
    for character in value.chars() {
        match character {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            other => text.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_labels_are_escaped() {
        let mut lines = Lines {
            name: "m",
            text: String::new(),
        };
        lines.put(&[("a", "x\\y\"z\nw"), ("b", "")], 1.5, Timestamp::from_second(2).ok());
        lines.put(&[], 1e9, None);
        assert_eq!(lines.text, "m{a=\"x\\\\y\\\"z\\nw\",b=\"\"} 1.5 2000\nm 1000000000\n");
    }
}
