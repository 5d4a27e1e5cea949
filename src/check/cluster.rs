//! Whether the API server answers, and what time it thinks it is.

use http::header;
use jiff::{SignedDuration, Timestamp};
use kube::client::Body;
use tokio::time::timeout;

use super::{Finding, TIMEOUT};
use crate::chain::chain;
use crate::{clock, kube_client};

/// Clocks that differ by more are worth a look: leases and certificates go by them.
const SKEW: SignedDuration = SignedDuration::from_secs(5);

pub(super) async fn check(connection: &kube::Config) -> Vec<Finding> {
    const CHECK: &str = "api-server";
    let remedy = "is its address (--kubeconfig) right, and reachable from here?";
    let url = &connection.cluster_url;
    let client = match kube_client::client(connection, None) {
        Ok(client) => client,
        Err(error) => return vec![Finding::fail(CHECK, format!("{error:#}"), "see --kubeconfig")],
    };
    // `/version` is for everybody who is known.
    let request = match http::Request::get("/version").body(Body::empty()) {
        Ok(request) => request,
        Err(error) => return vec![Finding::fail(CHECK, chain(&error), remedy)],
    };
    let response = match timeout(TIMEOUT, client.send(request)).await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => return vec![Finding::fail(CHECK, format!("{url}: {}", chain(&error)), remedy)],
        Err(_) => {
            return vec![Finding::fail(
                CHECK,
                format!("{url} gives no answer within {TIMEOUT:?}"),
                remedy,
            )];
        }
    };
    if !response.status().is_success() {
        let what = format!("{url} answers {}", response.status());
        return vec![Finding::fail(
            CHECK,
            what,
            "are the credentials of --kubeconfig still good?",
        )];
    }
    let date = response.headers().get(header::DATE).and_then(|date| date.to_str().ok());
    let mut found = vec![Finding::ok(CHECK, format!("{url} answers"))];
    found.extend(date.and_then(|date| skew(date, clock::now())));
    found
}

/// `Date` has whole seconds, and is a moment old.
fn skew(date: &str, now: Timestamp) -> Option<Finding> {
    let there = jiff::fmt::rfc2822::parse(date).ok()?.timestamp();
    let skew = now.duration_since(there);
    Some(if skew.abs() > SKEW {
        let direction = if skew.is_positive() { "ahead of" } else { "behind" };
        let what = format!("this clock is {} s {direction} the API server's", skew.abs().as_secs());
        Finding::warn(
            "clock",
            what,
            "keep both by NTP: leases, certificates and signatures of calls to ECI go by them",
        )
    } else {
        Finding::ok("clock", "the API server's is the same")
    })
}

#[cfg(test)]
mod tests {
    use super::super::Result;
    use super::*;

    #[test]
    fn clocks_are_compared_by_the_second() {
        let now: Timestamp = "2026-01-02T03:04:05.9Z".parse().expect("a time");
        let of = |date: &str| skew(date, now).map(|finding| (finding.result, finding.what));
        let same = (Result::Ok, "the API server's is the same".to_owned());
        assert_eq!(of("Fri, 02 Jan 2026 03:04:05 GMT"), Some(same));
        let ahead = (Result::Warn, "this clock is 60 s ahead of the API server's".to_owned());
        assert_eq!(of("Fri, 02 Jan 2026 03:03:05 GMT"), Some(ahead));
        let behind = (Result::Warn, "this clock is 59 s behind the API server's".to_owned());
        assert_eq!(of("Fri, 02 Jan 2026 03:05:05 GMT"), Some(behind));
        assert_eq!(of("yesterday"), None);
    }
}
