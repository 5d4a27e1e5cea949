//! The API server's answers, kept for a while, and asked for once however many wait for one.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use tokio::time::Instant;

use super::review::Trouble;
use crate::clock;

/// Answers kept at most.
const CACHE_SIZE: usize = 4_096;

/// An answer, and for how long it holds; `None` = for those who wait for it now.
pub(super) type Asked<V> = Result<(V, Option<Duration>), Trouble>;
type Underway<V> = Shared<BoxFuture<'static, Result<V, Trouble>>>;

/// Answers by what was asked. Failures are not kept.
pub(super) struct Answers<K, V>(Arc<Mutex<State<K, V>>>);

struct State<K, V> {
    kept: HashMap<K, (V, Instant)>,
    underway: HashMap<K, Underway<V>>,
}

impl<K, V> Default for Answers<K, V> {
    fn default() -> Self {
        let (kept, underway) = (HashMap::new(), HashMap::new());
        Self(Arc::new(Mutex::new(State { kept, underway })))
    }
}

impl<K, V> Answers<K, V>
where
    K: Clone + Eq + Hash + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// The answer that is kept or awaited, or else that of `ask`, which goes on when nobody waits for it any more.
    ///
    /// # Errors
    /// There is no answer.
    pub(super) async fn get<F>(&self, key: K, ask: impl FnOnce() -> F) -> Result<V, Trouble>
    where
        F: Future<Output = Asked<V>> + Send + 'static,
    {
        let underway = {
            let mut state = lock(&self.0);
            if let Some((value, until)) = state.kept.get(&key)
                && clock::monotonic() < *until
            {
                return Ok(value.clone());
            }
            match state.underway.get(&key) {
                Some(underway) => underway.clone(),
                None => {
                    let underway = self.start(key.clone(), ask());
                    state.underway.insert(key, underway.clone());
                    underway
                }
            }
        };
        underway.await
    }

    fn start(&self, key: K, asking: impl Future<Output = Asked<V>> + Send + 'static) -> Underway<V> {
        let state = self.0.clone();
        let asking = tokio::spawn(async move {
            let asked = asking.await;
            let mut state = lock(&state);
            state.underway.remove(&key);
            asked.map(|(value, lifetime)| {
                if let Some(lifetime) = lifetime {
                    state.keep(key, value.clone(), lifetime);
                }
                value
            })
        });
        let answer = async {
            asking
                .await
                .unwrap_or_else(|_| Err(Trouble("the asking broke off".into())))
        };
        answer.boxed().shared()
    }
}

impl<K: Eq + Hash, V> State<K, V> {
    fn keep(&mut self, key: K, value: V, lifetime: Duration) {
        let now = clock::monotonic();
        if self.kept.len() >= CACHE_SIZE {
            self.kept.retain(|_, (_, until)| now < *until);
        }
        if self.kept.len() >= CACHE_SIZE {
            // So many different clients within minutes is an attack or a mistake; forgetting costs a question each.
            self.kept.clear();
        }
        self.kept.insert(key, (value, now + lifetime));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn an_answer_holds_for_its_time() {
        let answers = Answers::default();
        let asked = AtomicUsize::new(0);
        let ask = async || {
            let number = asked.fetch_add(1, Ordering::Relaxed);
            answers.get("key", || async move { Ok((number, Some(MINUTE))) }).await
        };
        assert_eq!((ask().await, ask().await), (Ok(0), Ok(0)));
        tokio::time::advance(MINUTE).await;
        assert_eq!(ask().await, Ok(2), "asked with the number of this question");
    }

    #[tokio::test]
    async fn who_asks_the_same_at_the_same_time_waits_for_one_answer() {
        let answers = Answers::default();
        let (tell, told) = tokio::sync::oneshot::channel();
        let first = answers.get((), || async { Ok((told.await.unwrap_or(0), None)) });
        let second = answers.get((), || async { Ok((2, None)) });
        let both = async { tokio::join!(first, second) };
        let ((first, second), _) = tokio::join!(both, async { tell.send(1) });
        assert_eq!((first, second), (Ok(1), Ok(1)));
        assert_eq!(
            answers.get((), || async { Ok((3, None)) }).await,
            Ok(3),
            "it was not kept"
        );
    }

    #[tokio::test]
    async fn a_failure_is_told_to_all_who_wait_and_then_forgotten() {
        let answers = Answers::<_, ()>::default();
        let trouble = Trouble("away".into());
        let failing = trouble.clone();
        assert_eq!(answers.get(1, || async { Err(failing) }).await, Err(trouble));
        assert_eq!(answers.get(1, || async { Ok(((), None)) }).await, Ok(()));
    }

    #[tokio::test]
    async fn answers_do_not_pile_up() {
        let answers = Answers::default();
        for key in 0..2 * CACHE_SIZE {
            let kept = answers.get(key, || async { Ok(("kept", Some(MINUTE))) }).await;
            assert_eq!(kept, Ok("kept"));
        }
        let state = lock(&answers.0);
        assert!(state.kept.len() <= CACHE_SIZE && state.underway.is_empty());
    }
}
