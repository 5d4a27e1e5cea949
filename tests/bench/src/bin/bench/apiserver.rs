//! Who wrote how often, by the API server's own counters.
//!
//! They have no label for the user. Pods have few writers, though: the bench itself and the scheduler (bindings), which are
//! known, and the subject. The difference of two readings, less what the bench did itself, is the subject's.

use std::collections::{BTreeMap, HashMap};
use std::ops::Sub;

use anyhow::{Context as _, Result};
use bench::kube_client;
use http::Method;
use kube::Client;
use serde::Serialize;

/// Requests that change something, refused ones included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Writes {
    /// Of pods' status.
    pub(crate) pod_status: u64,
    /// Of pods themselves, other than creating, binding, deleting.
    pub(crate) pod_update: u64,
    /// Deletions of pods.
    pub(crate) pod_delete: u64,
    /// Tokens of service accounts minted (a read in effect); controllers ask for some, too.
    pub(crate) token: u64,
    /// Events of the core group; the scheduler writes those of `events.k8s.io`.
    pub(crate) event: u64,
}

/// Requests the API server refused, whoever sent them, as "verb resource/subresource code" and how often.
pub(crate) type Refusals = BTreeMap<String, u64>;

/// The counters at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counters {
    pub(crate) writes: Writes,
    refusals: Refusals,
}

impl Counters {
    /// All so far.
    pub(crate) async fn read(client: &Client) -> Result<Self> {
        let request = kube_client::request(Method::GET, "/metrics", "", Vec::new())?;
        let text = client
            .request_text(request)
            .await
            .context("reading the API server's metrics")?;
        Ok(Self::parse(&text))
    }

    /// What was refused since `earlier`.
    pub(crate) fn refused_since(&self, earlier: &Self) -> Refusals {
        let before = |what| earlier.refusals.get(what).copied().unwrap_or_default();
        self.refusals
            .iter()
            .map(|(what, count)| (what.clone(), count.saturating_sub(before(what))))
            .filter(|(_, count)| *count > 0)
            .collect()
    }

    fn parse(text: &str) -> Self {
        let mut counters = Self::default();
        let writes = &mut counters.writes;
        for line in text.lines() {
            let Some((labels, count)) = line
                .strip_prefix("apiserver_request_total{")
                .and_then(|l| l.split_once("} "))
            else {
                continue;
            };
            let count = count.trim().parse::<f64>().unwrap_or_default() as u64;
            let labels = parse_labels(labels);
            let label = |name| labels.get(name).copied().unwrap_or_default();
            let verb = label("verb");
            if label("code").starts_with(['4', '5']) {
                let what = format!(
                    "{verb} {}/{} {}",
                    label("resource"),
                    label("subresource"),
                    label("code")
                );
                *counters.refusals.entry(what).or_default() += count;
            }
            let changes = matches!(verb, "POST" | "PUT" | "PATCH" | "APPLY" | "DELETE" | "DELETECOLLECTION");
            if !changes || !label("group").is_empty() {
                continue;
            }
            let counter = match (label("resource"), label("subresource"), verb) {
                ("pods", "status", _) => &mut writes.pod_status,
                ("pods", "", "DELETE" | "DELETECOLLECTION") => &mut writes.pod_delete,
                ("pods", "", "PUT" | "PATCH" | "APPLY") => &mut writes.pod_update,
                ("serviceaccounts", "token", "POST") => &mut writes.token,
                ("events", "", _) => &mut writes.event,
                _ => continue,
            };
            *counter += count;
        }
        counters
    }
}

impl Writes {
    /// Those of pod objects: what etcd and every watcher pays for.
    pub(crate) fn of_pods(&self) -> u64 {
        self.pod_status + self.pod_update + self.pod_delete
    }

    /// Without `count` deletions that were not the subject's.
    pub(crate) fn less_deletes(mut self, count: usize) -> Self {
        self.pod_delete = self.pod_delete.saturating_sub(count as u64);
        self
    }
}

impl Sub for Writes {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            pod_status: self.pod_status.saturating_sub(earlier.pod_status),
            pod_update: self.pod_update.saturating_sub(earlier.pod_update),
            pod_delete: self.pod_delete.saturating_sub(earlier.pod_delete),
            token: self.token.saturating_sub(earlier.token),
            event: self.event.saturating_sub(earlier.event),
        }
    }
}

fn parse_labels(labels: &str) -> HashMap<&str, &str> {
    labels
        .split("\",")
        .filter_map(|label| label.split_once("=\""))
        .map(|(name, value)| (name, value.trim_end_matches('"')))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_writes_of_the_core_group_count() {
        let line = |group: &str, resource: &str, subresource: &str, verb: &str, count: &str| {
            format!(
                "apiserver_request_total{{code=\"200\",component=\"apiserver\",dry_run=\"\",group=\"{group}\",\
                 resource=\"{resource}\",scope=\"resource\",subresource=\"{subresource}\",verb=\"{verb}\",version=\"v1\"}} {count}\n"
            )
        };
        let text = line("", "pods", "status", "PATCH", "3")
            + &line("", "pods", "status", "GET", "100")
            + &line("", "pods", "binding", "POST", "100")
            + &line("", "pods", "", "POST", "100")
            + &line("", "pods", "", "PATCH", "4")
            + &line("", "pods", "", "DELETE", "5")
            + &line("", "serviceaccounts", "token", "POST", "6")
            + &line("", "events", "", "POST", "7")
            + &line("events.k8s.io", "events", "", "POST", "100")
            + &line("", "pods", "status", "PUT", "1.5e+03");
        let want = Writes {
            pod_status: 1503,
            pod_update: 4,
            pod_delete: 5,
            token: 6,
            event: 7,
        };
        assert_eq!(Counters::parse(&text).writes, want);
    }

    #[test]
    fn refusals_are_told_apart() {
        let text = |refused: u64| {
            format!(
                "apiserver_request_total{{code=\"403\",group=\"\",resource=\"pods\",subresource=\"status\",verb=\"PATCH\"}} {refused}\n\
                 apiserver_request_total{{code=\"200\",group=\"\",resource=\"pods\",subresource=\"\",verb=\"GET\"}} 9\n"
            )
        };
        let refused = Counters::parse(&text(7)).refused_since(&Counters::parse(&text(3)));
        assert_eq!(refused, Refusals::from([("PATCH pods/status 403".to_owned(), 4)]));
    }
}
