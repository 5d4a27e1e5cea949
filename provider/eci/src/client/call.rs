//! The loop around one attempt.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response};
use jiff::Timestamp;
use provider::error::{ErrorClass, Remedy, verdict};
use provider::response::ErrorBody;
use provider::sign;
use tokio::time::Instant;
use tracing::{debug, warn};

use crate::query::wire_time;
use crate::retry::{Attempts, Next};
use crate::{Action, Credentials, CredentialsError, Error, Outcome, TransportError};

use super::{Client, scrub};

/// A failed attempt and what may be done about it.
struct Failure {
    error: Error,
    remedy: Remedy,
    /// The other side asked to be left alone for so long.
    at_least: Option<Duration>,
    /// The other side's time.
    date: Option<Timestamp>,
}

impl From<Error> for Failure {
    /// What did not come from ECI's mouth: try again if it may help.
    fn from(error: Error) -> Self {
        let remedy = match error.class() {
            ErrorClass::Transient | ErrorClass::UnknownOutcome => Remedy::BackOff,
            _ => Remedy::None,
        };
        Self {
            error,
            remedy,
            at_least: None,
            date: None,
        }
    }
}

impl Client {
    /// Makes a call with `body`, as often as its policy allows. `scrub` removes the body's secrets from ECI's messages.
    pub(crate) async fn call(&self, action: Action, body: String, scrub: impl Fn(&mut String)) -> Result<Bytes, Error> {
        let body = Bytes::from(body);
        let body_hash = sign::body_hash(&body);
        let mut attempts = Attempts::new(*self.retries.of(action));
        let mut maybe_done = false;
        let mut credentials = self.provide(action).await?;
        loop {
            self.permit(action).await;
            if attempts.made() > 0 {
                // Others may have renewed them while we waited.
                credentials = self.provide(action).await?;
            }
            let begun = Instant::now();
            let result = self
                .attempt(action, &body, &body_hash, &credentials, attempts.timeout(), &scrub)
                .await;
            let took = begun.elapsed();
            self.report(action, &result, took);
            let failure = match result {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            let class = failure.error.class();
            maybe_done |= class == ErrorClass::UnknownOutcome;
            if class == ErrorClass::Throttle {
                self.limiter.throttled(action);
            }
            match attempts.next(took, failure.remedy, failure.at_least, rand::random()) {
                Next::GiveUp => return Err(settle(failure.error, maybe_done)),
                Next::Wait(delay) => {
                    debug!(%action, error = %failure.error, delay_ms = delay.as_millis() as u64, "trying again");
                    tokio::time::sleep(delay).await;
                }
                Next::FixClock => {
                    let Some(theirs) = failure.date else {
                        return Err(settle(failure.error, maybe_done));
                    };
                    let ours = self.clock.now();
                    warn!(%ours, %theirs, "ECI refuses our time: signing by its clock from now on");
                    self.skew.learn(ours, theirs);
                }
                Next::RefreshCredentials => {
                    debug!(%action, error = %failure.error, "renewing credentials");
                    let renewed = self
                        .credentials
                        .renew(&credentials)
                        .await
                        .map_err(|e| no_credentials(action, e))?;
                    if renewed == credentials {
                        // A lasting key: the same again would be refused again.
                        return Err(settle(failure.error, maybe_done));
                    }
                }
            }
        }
    }

    async fn permit(&self, action: Action) {
        let waited = self.limiter.acquire(action).await;
        if !waited.is_zero()
            && let Some(observer) = &self.observer
        {
            observer.waited(action, waited);
        }
    }

    async fn provide(&self, action: Action) -> Result<Arc<Credentials>, Error> {
        self.credentials
            .provide()
            .await
            .map_err(|error| no_credentials(action, error))
    }

    async fn attempt(
        &self,
        action: Action,
        body: &Bytes,
        body_hash: &str,
        credentials: &Credentials,
        timeout: Duration,
        scrub: &impl Fn(&mut String),
    ) -> Result<Bytes, Failure> {
        let date = wire_time(self.skew.correct(self.clock.now()));
        let nonce = format!("{:032x}", rand::random::<u128>());
        let request = self
            .signer
            .request(action, body.clone(), body_hash, credentials, &date, &nonce)
            .map_err(|error| Error::new(action, ErrorClass::Credentials, error.to_string()))?;
        let answer = match tokio::time::timeout(timeout, self.transport.send(request)).await {
            Ok(answer) => answer,
            Err(_) => Err(TransportError::timed_out()),
        };
        let answer = answer.map_err(|error| {
            let class = if error.may_have_taken_effect() {
                ErrorClass::UnknownOutcome
            } else {
                ErrorClass::Transient
            };
            let message = format!(
                "no answer from {}",
                self.signer.endpoint().authority().map_or("", |a| a.as_str())
            );
            Error::new(action, class, message).because(error)
        })?;
        if answer.status().is_success() {
            return Ok(answer.into_body());
        }
        Err(refusal(action, &answer, credentials, scrub))
    }

    fn report(&self, action: Action, result: &Result<Bytes, Failure>, took: Duration) {
        let outcome = match result {
            Ok(_) => Outcome::Ok,
            Err(failure) => Outcome::Failed(failure.error.class()),
        };
        debug!(%action, outcome = outcome.label(), took_ms = took.as_millis() as u64, "called");
        if let Some(observer) = &self.observer {
            observer.called(action, outcome, took);
        }
    }
}

/// Reads an answer that is an error.
fn refusal(
    action: Action,
    answer: &Response<Bytes>,
    credentials: &Credentials,
    scrub: &impl Fn(&mut String),
) -> Failure {
    let status = answer.status().as_u16();
    let body = ErrorBody::parse(answer.body());
    let mut verdict = verdict(&body.code, status);
    let at_least = retry_after(answer.headers());
    // Only throttling says how long to wait, whatever the code is.
    if answer.headers().contains_key("x-acs-retry-after") && verdict.class == ErrorClass::Permanent {
        verdict = provider::error::verdict("Throttling", status);
    }
    let mut class = verdict.class;
    if class == ErrorClass::NotFound && !action.names_a_group() {
        // What was not found is a parameter.
        class = ErrorClass::Permanent;
    }
    let message = if body.code.is_empty() && body.message.is_empty() {
        format!("HTTP status {status} without an error ECI would write: is the endpoint right?")
    } else {
        scrub::message(&body.code, &body.message, credentials, scrub)
    };
    Failure {
        error: Error::new(action, class, message).answered(status, body.code, body.request_id),
        remedy: verdict.remedy,
        at_least,
        date: date(answer.headers()),
    }
}

/// After an attempt that may have been carried out, a later one that never reached ECI's judgement proves nothing. An
/// answer that did (out of stock, refused parameter) does: with the same ClientToken, a create that had worked would
/// have returned its group.
fn settle(error: Error, maybe_done: bool) -> Error {
    match error.class() {
        ErrorClass::Transient | ErrorClass::Throttle | ErrorClass::Credentials if maybe_done => {
            error.of_unknown_outcome()
        }
        _ => error,
    }
}

fn no_credentials(action: Action, error: CredentialsError) -> Error {
    Error::new(action, ErrorClass::Credentials, "there are no credentials to sign with").because(error)
}

/// How long the other side wants us to wait: `Retry-After` in seconds, or Alibaba's header, whose SDK reads
/// milliseconds.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<u64>().ok();
    number("x-acs-retry-after")
        .map(Duration::from_millis)
        .or_else(|| number("retry-after").map(Duration::from_secs))
}

fn date(headers: &HeaderMap) -> Option<Timestamp> {
    let text = headers.get(http::header::DATE)?.to_str().ok()?;
    jiff::fmt::rfc2822::parse(text).ok().map(|date| date.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_date_of_an_answer() {
        let mut headers = HeaderMap::new();
        assert_eq!(date(&headers), None);
        headers.insert("date", "Mon, 23 Nov 2026 15:50:00 GMT".parse().expect("a value"));
        assert_eq!(date(&headers), "2026-11-23T15:50:00Z".parse().ok());
    }

    #[test]
    fn reads_how_long_to_wait() {
        let mut headers = HeaderMap::new();
        assert_eq!(retry_after(&headers), None);
        headers.insert("retry-after", "2".parse().expect("a value"));
        assert_eq!(retry_after(&headers), Some(Duration::from_secs(2)));
        headers.insert("x-acs-retry-after", "1500".parse().expect("a value"));
        assert_eq!(retry_after(&headers), Some(Duration::from_millis(1500)));
    }
}
