//! Keeps temporary credentials and replaces them before they end.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use jiff::SignedDuration;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tracing::warn;

use super::{Credentials, CredentialsError, ProvideCredentials, Provided};
use crate::clock::Clock;

/// Replaced this long before they end; short-lived ones after three quarters of their life.
const EARLY: SignedDuration = SignedDuration::from_mins(15);
/// After a failed replacement, the old ones serve this long before the next try.
const PAUSE: Duration = Duration::from_secs(10);

/// Fetches temporary credentials.
pub(super) trait Fetch: Send + Sync + fmt::Debug {
    /// New ones, every time.
    fn fetch(&self) -> BoxFuture<'_, Result<Credentials, CredentialsError>>;
}

/// A source with a memory. Callers that come while it fetches wait for that one fetch.
#[derive(Debug)]
pub(super) struct Cached<F> {
    source: F,
    clock: Arc<dyn Clock>,
    kept: Mutex<Option<Kept>>,
}

#[derive(Clone, Debug)]
struct Kept {
    credentials: Arc<Credentials>,
    replace_at: Option<jiff::Timestamp>,
    next_try: Instant,
}

impl<F: Fetch> Cached<F> {
    pub(super) fn new(source: F, clock: Arc<dyn Clock>) -> Self {
        Self {
            source,
            clock,
            kept: Mutex::new(None),
        }
    }

    async fn fetch(&self, kept: &mut Option<Kept>) -> Result<Arc<Credentials>, CredentialsError> {
        let credentials = Arc::new(self.source.fetch().await?);
        let now = self.clock.now();
        let replace_at = credentials.expires_at.map(|end| {
            let life = end.duration_since(now);
            end.checked_sub(EARLY.min(life / 4)).unwrap_or(end)
        });
        *kept = Some(Kept {
            credentials: credentials.clone(),
            replace_at,
            next_try: Instant::now(),
        });
        Ok(credentials)
    }
}

impl<F: Fetch> ProvideCredentials for Cached<F> {
    fn provide(&self) -> Provided<'_> {
        async move {
            let mut kept = self.kept.lock().await;
            let now = self.clock.now();
            if let Some(kept) = &*kept
                && (kept.replace_at.is_none_or(|at| now < at) || Instant::now() < kept.next_try)
            {
                return Ok(kept.credentials.clone());
            }
            let old = kept.clone();
            match (self.fetch(&mut kept).await, old) {
                (Err(error), Some(old)) if old.credentials.expires_at.is_none_or(|end| now < end) => {
                    warn!(%error, "credentials cannot be replaced yet: using the old ones while they last");
                    *kept = Some(Kept {
                        next_try: Instant::now() + PAUSE,
                        ..old.clone()
                    });
                    Ok(old.credentials)
                }
                (result, _) => result,
            }
        }
        .boxed()
    }

    fn renew(&self, refused: &Arc<Credentials>) -> Provided<'_> {
        let refused = refused.clone();
        async move {
            let mut kept = self.kept.lock().await;
            // Many calls are refused together; the first of them fetches for all.
            match &*kept {
                Some(kept) if *kept.credentials != *refused => Ok(kept.credentials.clone()),
                _ => self.fetch(&mut kept).await,
            }
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex as StdMutex;
    use std::sync::atomic::{AtomicU32, Ordering};

    use jiff::Timestamp;

    use super::*;
    use crate::Secret;

    #[derive(Debug)]
    struct Hand(StdMutex<Timestamp>);

    impl Hand {
        fn set(&self, time: &str) {
            *self.0.lock().expect("no panic") = time.parse().expect("a time");
        }
    }

    impl Clock for Hand {
        fn now(&self) -> Timestamp {
            *self.0.lock().expect("no panic")
        }
    }

    /// Counts fetches; hands out one-hour keys, or nothing.
    #[derive(Debug)]
    struct Source {
        clock: Arc<Hand>,
        fetched: AtomicU32,
        works: StdMutex<bool>,
    }

    impl Fetch for Arc<Source> {
        fn fetch(&self) -> BoxFuture<'_, Result<Credentials, CredentialsError>> {
            async move {
                let n = self.fetched.fetch_add(1, Ordering::SeqCst);
                if !*self.works.lock().expect("no panic") {
                    let problem = "down".to_owned();
                    return Err(CredentialsError::Invalid {
                        source: "test",
                        problem,
                        cause: None,
                    });
                }
                let mut credentials = Credentials::new(format!("id-{n}"), "secret");
                credentials.security_token = Some(Secret::new("token"));
                credentials.expires_at = Some(self.clock.now() + SignedDuration::from_hours(1));
                Ok(credentials)
            }
            .boxed()
        }
    }

    fn cached(begin: &str) -> (Cached<Arc<Source>>, Arc<Source>, Arc<Hand>) {
        let clock = Arc::new(Hand(StdMutex::new(begin.parse().expect("a time"))));
        let source = Arc::new(Source {
            clock: clock.clone(),
            fetched: AtomicU32::new(0),
            works: StdMutex::new(true),
        });
        (Cached::new(source.clone(), clock.clone()), source, clock)
    }

    #[tokio::test(start_paused = true)]
    async fn kept_until_a_quarter_of_an_hour_before_the_end() {
        let (cached, source, clock) = cached("2026-01-01T00:00:00Z");
        let id = async || cached.provide().await.expect("credentials").access_key_id.clone();
        assert_eq!(id().await, "id-0");
        clock.set("2026-01-01T00:44:59Z");
        assert_eq!(id().await, "id-0");
        clock.set("2026-01-01T00:45:00Z");
        assert_eq!(id().await, "id-1");
        assert_eq!(source.fetched.load(Ordering::SeqCst), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn the_old_ones_serve_while_they_last() {
        let (cached, source, clock) = cached("2026-01-01T00:00:00Z");
        cached.provide().await.expect("credentials");
        *source.works.lock().expect("no panic") = false;
        clock.set("2026-01-01T00:50:00Z");
        for _ in 0..5 {
            assert_eq!(cached.provide().await.expect("the old ones").access_key_id, "id-0");
        }
        assert_eq!(source.fetched.load(Ordering::SeqCst), 2, "a pause after a failure");
        tokio::time::advance(PAUSE).await;
        cached.provide().await.expect("the old ones");
        assert_eq!(source.fetched.load(Ordering::SeqCst), 3);
        tokio::time::advance(PAUSE).await;
        clock.set("2026-01-01T01:00:00Z");
        cached.provide().await.expect_err("they ended");
    }

    #[tokio::test(start_paused = true)]
    async fn refused_ones_are_replaced_once_for_all() {
        let (cached, source, _clock) = cached("2026-01-01T00:00:00Z");
        let refused = cached.provide().await.expect("credentials");
        let (a, b) = tokio::join!(cached.renew(&refused), cached.renew(&refused));
        assert_eq!(
            (
                a.expect("new").access_key_id.as_str(),
                b.expect("new").access_key_id.as_str()
            ),
            ("id-1", "id-1")
        );
        assert_eq!(source.fetched.load(Ordering::SeqCst), 2);
    }
}
