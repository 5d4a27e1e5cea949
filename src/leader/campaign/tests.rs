//! Replicas against one Lease in memory, by a clock that jumps.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};

use http::Method;
use serde_json::{Value, json};

use super::super::Times;
use super::*;
use crate::scripted_api::{Answer, scripted};

/// What the API server does with requests.
#[derive(Clone, Copy)]
enum Mood {
    Well = 0,
    /// Answers 500 and does nothing.
    Broken = 1,
    /// Does what was asked and answers 500.
    LosesAnswers = 2,
}

/// One Lease, as the API server keeps it: a write must name the version it is based on.
#[derive(Clone, Default)]
struct Cluster {
    lease: Arc<Mutex<Option<Value>>>,
    mood: Arc<AtomicU8>,
}

impl Cluster {
    fn set(&self, mood: Mood) {
        self.mood.store(mood as u8, Ordering::Relaxed);
    }

    fn holder(&self) -> Value {
        let lease = self.lease.lock().expect("no panics");
        lease
            .as_ref()
            .map_or(Value::Null, |lease| lease["spec"]["holderIdentity"].clone())
    }

    fn client(&self) -> kube::Client {
        let cluster = self.clone();
        scripted(move |method, path, body| {
            assert!(
                path.starts_with("/apis/coordination.k8s.io/v1/namespaces/system/leases"),
                "{path}"
            );
            let mood = cluster.mood.load(Ordering::Relaxed);
            let lost = || Answer::error(500, "InternalError", "out of order");
            if mood == Mood::Broken as u8 {
                return lost();
            }
            let answer = cluster.answer(method, body);
            if mood == Mood::LosesAnswers as u8 && *method != Method::GET {
                return lost();
            }
            answer
        })
    }

    fn answer(&self, method: &Method, body: &Value) -> Answer {
        let mut stored = self.lease.lock().expect("no panics");
        match (method, &mut *stored) {
            (&Method::GET, Some(lease)) => Answer::ok(lease.clone()),
            (&Method::POST, stored @ None) => Answer::ok(stored.insert(versioned(body, 1)).clone()),
            (&Method::PUT, Some(lease)) => {
                if body["metadata"]["resourceVersion"] != lease["metadata"]["resourceVersion"] {
                    return Answer::error(409, "Conflict", "the object has been modified");
                }
                let version: u64 = lease["metadata"]["resourceVersion"]
                    .as_str()
                    .and_then(|version| version.parse().ok())
                    .expect("ours");
                *lease = versioned(body, version + 1);
                Answer::ok(lease.clone())
            }
            (&Method::POST, Some(_)) => Answer::error(409, "AlreadyExists", "it exists"),
            (_, None) => Answer::not_found(),
            (method, _) => panic!("no {method}"),
        }
    }

    async fn campaign(&self, identity: &str) -> Leadership {
        campaign(self.client(), settings(identity), metrics(), &Shutdown::new())
            .await
            .expect("no shutdown")
    }
}

fn versioned(body: &Value, version: u64) -> Value {
    let mut lease = body.clone();
    lease["metadata"]["resourceVersion"] = json!(version.to_string());
    lease
}

fn settings(identity: &str) -> LeaderSettings {
    LeaderSettings {
        namespace: "system".to_owned(),
        name: "virtual-node".to_owned(),
        identity: identity.to_owned(),
        times: Times::default(),
    }
}

fn metrics() -> Metrics {
    Metrics::new().expect("registers")
}

#[tokio::test(start_paused = true)]
async fn after_a_kill_another_takes_over_within_its_time_and_not_before() {
    let cluster = Cluster::default();
    let mut first = cluster.campaign("a").await;
    let standing_by = cluster.campaign("b");
    tokio::pin!(standing_by);
    tokio::select! {
        why = first.keep() => panic!("{why}"),
        _ = &mut standing_by => panic!("there is a leader"),
        () = sleep(Duration::from_secs(3600)) => {}
    }
    // Killed: nothing is released.
    drop(first);
    let killed = clock::monotonic();
    let second = standing_by.await;
    let took = killed.elapsed();
    let times = Times::default();
    assert!(took >= times.duration - times.renew - times.look, "{took:?}");
    assert!(took <= times.duration + times.look * 2, "{took:?}");
    assert_eq!(cluster.holder(), "b");
    assert_eq!(second.candidate.metrics.leader.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_orderly_end_hands_over_at_once() {
    let cluster = Cluster::default();
    let first = cluster.campaign("a").await;
    let standing_by = cluster.campaign("b");
    tokio::pin!(standing_by);
    assert!(timeout(Duration::from_secs(5), &mut standing_by).await.is_err());
    first.release().await;
    assert_eq!(cluster.holder(), "");
    timeout(Times::default().look * 2, standing_by)
        .await
        .expect("free at once");
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_cannot_renew_gives_up_before_others_may_take_over() {
    let cluster = Cluster::default();
    let mut first = cluster.campaign("a").await;
    let standing_by = cluster.campaign("b");
    tokio::pin!(standing_by);
    assert!(timeout(Duration::from_secs(1), &mut standing_by).await.is_err());
    cluster.set(Mood::Broken);
    let broken = clock::monotonic();
    let why = first.keep().await;
    assert!(why.contains("could not be renewed within 7s"), "{why}");
    assert!(broken.elapsed() <= Times::default().deadline, "{:?}", broken.elapsed());
    cluster.set(Mood::Well);
    let _second = standing_by.await;
    assert!(
        broken.elapsed() >= Times::default().duration - Times::default().renew,
        "{:?}",
        broken.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_leader_stays_one_while_answers_are_lost_and_when_the_lease_is_deleted() {
    let cluster = Cluster::default();
    let mut first = cluster.campaign("a").await;
    cluster.set(Mood::LosesAnswers);
    // Its own renewal of two seconds and the deadline's rest fit in after this.
    let kept = timeout(Duration::from_secs(4), first.keep()).await;
    assert!(kept.is_err(), "{kept:?}");
    cluster.set(Mood::Well);
    let kept = timeout(Duration::from_secs(60), first.keep()).await;
    assert!(kept.is_err(), "{kept:?}");
    *cluster.lease.lock().expect("no panics") = None;
    let kept = timeout(Duration::from_secs(60), first.keep()).await;
    assert!(kept.is_err(), "{kept:?}");
    assert_eq!(cluster.holder(), "a");
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_was_replaced_by_hand_ends_and_names_the_other() {
    let cluster = Cluster::default();
    let mut first = cluster.campaign("a").await;
    if let Some(lease) = cluster.lease.lock().expect("no panics").as_mut() {
        *lease = versioned(lease, 99);
        lease["spec"]["holderIdentity"] = json!("c");
    }
    assert_eq!(first.keep().await, "the lease was taken by c");
}

#[tokio::test(start_paused = true)]
async fn a_campaign_outlasts_an_outage_and_ends_with_the_shutdown() {
    let cluster = Cluster::default();
    cluster.set(Mood::Broken);
    let shutdown = Shutdown::new();
    let campaigning = campaign(cluster.client(), settings("a"), metrics(), &shutdown);
    tokio::pin!(campaigning);
    assert!(timeout(Duration::from_secs(600), &mut campaigning).await.is_err());
    shutdown.trigger();
    assert!(campaigning.await.is_none());
}
