//! The sampler against a scripted cloud, by a clock that jumps.

use std::collections::VecDeque;

use jiff::Timestamp;
use tokio::sync::Notify;
use tokio::time::advance;

use super::*;

/// Gives each group a sample of its present second, unless a script says otherwise.
#[derive(Default)]
struct Cloud {
    calls: Mutex<Vec<Vec<String>>>,
    /// Outcomes of the next calls; none is success.
    script: Mutex<VecDeque<Outcome>>,
    /// Lets a call that waits end.
    gate: Notify,
    second: Mutex<i64>,
}

enum Outcome {
    Fails,
    Waits,
    Lacks(&'static str),
}

impl Cloud {
    fn sampler(self: &Arc<Self>) -> Sampler {
        Sampler::new(Arc::new(self.clone()), Metrics::new().expect("registers"))
    }

    fn plan(&self, outcome: Outcome) {
        self.script.lock().expect("no panics").push_back(outcome);
    }

    fn is_at(&self, second: i64) {
        *self.second.lock().expect("no panics") = second;
    }

    /// How many groups each call was about.
    fn sizes(&self) -> Vec<usize> {
        self.calls.lock().expect("no panics").iter().map(Vec::len).collect()
    }
}

impl SampleSource for Arc<Cloud> {
    fn newest(&self, ids: Vec<String>) -> BoxFuture<'static, Result<Vec<GroupMetrics>, SampleError>> {
        self.calls.lock().expect("no panics").push(ids.clone());
        let outcome = self.script.lock().expect("no panics").pop_front();
        let at = Timestamp::from_second(*self.second.lock().expect("no panics")).ok();
        let answer = move |lacks: &str| {
            let ids = ids.into_iter().filter(|id| id != lacks);
            let group = |group_id| GroupMetrics {
                group_id,
                records: vec![Sample {
                    at,
                    ..Sample::default()
                }],
            };
            ids.map(group).collect()
        };
        let cloud = self.clone();
        async move {
            match outcome {
                None => Ok(answer("")),
                Some(Outcome::Lacks(id)) => Ok(answer(id)),
                Some(Outcome::Waits) => {
                    cloud.gate.notified().await;
                    Ok(answer(""))
                }
                Some(Outcome::Fails) => Err(SampleError {
                    class: ErrorClass::Throttle,
                    message: "too fast".to_owned(),
                }),
            }
        }
        .boxed()
    }
}

fn ids(range: std::ops::Range<usize>) -> Vec<Arc<str>> {
    range.map(|i| Arc::from(format!("eci-{i}"))).collect()
}

/// The second of each group's sample, in the order of `ids`; none where there is none.
fn seconds(samples: &Samples, ids: &[Arc<str>]) -> Vec<Option<i64>> {
    let second = |id| Some(samples.by_group.get(id)?.at?.as_second());
    ids.iter().map(second).collect()
}

#[tokio::test(start_paused = true)]
async fn twenty_groups_a_call_and_none_twice_within_the_period() {
    let cloud = Arc::new(Cloud::default());
    let sampler = cloud.sampler();
    let ids = ids(0..45);
    cloud.is_at(15);
    let samples = sampler.samples(&ids).await;
    assert_eq!(cloud.sizes(), [20, 20, 5]);
    assert_eq!((samples.by_group.len(), samples.failed), (45, false));

    cloud.is_at(30);
    advance(PERIOD - Duration::from_millis(10)).await;
    let samples = sampler.samples(&ids[..2]).await;
    assert_eq!(seconds(&samples, &ids[..2]), [Some(15), Some(15)]);
    assert_eq!(cloud.sizes().len(), 3);

    advance(Duration::from_millis(10)).await;
    let samples = sampler.samples(&ids[..2]).await;
    assert_eq!(seconds(&samples, &ids[..2]), [Some(30), Some(30)]);
    assert_eq!(cloud.sizes(), [20, 20, 5, 2], "only what is wanted is asked for");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_asked_while_nobody_wants_to_know() {
    let cloud = Arc::new(Cloud::default());
    let sampler = cloud.sampler();
    sampler.samples(&ids(0..3)).await;
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    assert_eq!(cloud.sizes(), [3]);
    sampler.samples(&[]).await;
    assert_eq!(cloud.sizes(), [3], "a node without pods needs no call");
}

#[tokio::test(start_paused = true)]
async fn who_comes_meanwhile_waits_for_the_same_call() {
    let cloud = Arc::new(Cloud::default());
    let sampler = cloud.sampler();
    let (one, both, other) = (ids(0..2), ids(0..4), ids(2..4));
    cloud.is_at(15);
    cloud.plan(Outcome::Waits);
    let open = async {
        // All three have asked by then.
        tokio::time::sleep(Duration::from_secs(1)).await;
        cloud.gate.notify_waiters();
    };
    let (first, second, third, ()) = tokio::join!(
        sampler.samples(&one),
        sampler.samples(&both),
        sampler.samples(&other),
        open
    );
    assert_eq!(
        cloud.sizes(),
        [2, 2],
        "the two of the first, then the two that were left"
    );
    for (samples, ids) in [(first, &one), (second, &both), (third, &other)] {
        assert!(seconds(&samples, ids).iter().all(|s| *s == Some(15)), "{samples:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_cloud_is_waited_for_a_little_and_read_later() {
    let cloud = Arc::new(Cloud::default());
    let sampler = cloud.sampler();
    let ids = ids(0..1);
    cloud.is_at(15);
    cloud.plan(Outcome::Waits);
    let began = clock::monotonic();
    assert_eq!(seconds(&sampler.samples(&ids).await, &ids), [None]);
    assert_eq!(began.elapsed(), PATIENCE);
    // It is still being asked about: nobody asks once more.
    advance(PERIOD).await;
    assert_eq!(seconds(&sampler.samples(&ids).await, &ids), [None]);
    assert_eq!(cloud.sizes(), [1]);
    cloud.gate.notify_waiters();
    tokio::task::yield_now().await;
    // What came late is shown, and news is asked for.
    let samples = sampler.samples(&ids).await;
    assert_eq!(seconds(&samples, &ids), [Some(15)]);
}

#[tokio::test(start_paused = true)]
async fn a_failure_keeps_what_is_known_and_says_so_until_it_is_old() {
    let cloud = Arc::new(Cloud::default());
    let sampler = cloud.sampler();
    let ids = ids(0..1);
    cloud.is_at(15);
    sampler.samples(&ids).await;
    let mut shown = Vec::new();
    for _ in 0..8 {
        advance(Duration::from_secs(20)).await;
        cloud.plan(Outcome::Fails);
        let samples = sampler.samples(&ids).await;
        assert!(samples.failed);
        shown.extend(seconds(&samples, &ids));
    }
    let known = Some(15);
    assert_eq!(shown, [known, known, known, known, known, None, None, None]);
    cloud.is_at(200);
    advance(PERIOD).await;
    let samples = sampler.samples(&ids).await;
    assert_eq!((seconds(&samples, &ids), samples.failed), (vec![Some(200)], false));
}

#[tokio::test(start_paused = true)]
async fn one_failed_call_of_several_spoils_the_others_not() {
    let cloud = Arc::new(Cloud::default());
    let sampler = cloud.sampler();
    let ids = ids(0..40);
    cloud.is_at(15);
    cloud.plan(Outcome::Fails);
    let samples = sampler.samples(&ids).await;
    assert_eq!((samples.by_group.len(), samples.failed), (20, true));
    let of_other_node = sampler.samples(&ids[20..]).await;
    assert!(!of_other_node.failed, "it is nothing to them");
}

#[tokio::test(start_paused = true)]
async fn samples_do_not_go_back() {
    let cloud = Arc::new(Cloud::default());
    let sampler = cloud.sampler();
    let ids = ids(0..1);
    for (second, seen) in [(30, 30), (15, 30), (45, 45)] {
        cloud.is_at(second);
        let samples = sampler.samples(&ids).await;
        assert_eq!(seconds(&samples, &ids), [Some(seen)]);
        advance(PERIOD).await;
    }
    cloud.plan(Outcome::Lacks("eci-0"));
    let samples = sampler.samples(&ids).await;
    assert_eq!((seconds(&samples, &ids), samples.failed), (vec![Some(45)], false));
}

#[tokio::test(start_paused = true)]
async fn groups_that_nobody_asks_about_are_forgotten() {
    let cloud = Arc::new(Cloud::default());
    let sampler = cloud.sampler();
    sampler.samples(&ids(0..50)).await;
    advance(MEMORY).await;
    sampler.samples(&ids(50..51)).await;
    let known: Vec<Arc<str>> = sampler.0.lock().groups.keys().cloned().collect();
    assert_eq!(known, ids(50..51));
}
