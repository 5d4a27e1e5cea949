//! An ECI that answers from a script, on paused time.

// Each test binary uses a part of it.
#![allow(dead_code)]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use eci::clock::Clock;
use eci::{
    Action, Client, ClientConfig, Credentials, Limits, Observer, Outcome, ProvideCredentials, Transport, TransportError,
};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::{HeaderMap, Request, Response};
use jiff::Timestamp;
use tokio::time::Instant;

/// What happens to one request.
pub(crate) enum Reply {
    /// An answer.
    Answer {
        status: u16,
        headers: Vec<(&'static str, &'static str)>,
        body: String,
    },
    /// No connection.
    NotSent,
    /// The connection breaks after the request.
    Interrupted,
    /// Nothing ever comes.
    Silence,
}

pub(crate) fn ok(body: &str) -> Reply {
    Reply::Answer {
        status: 200,
        headers: vec![],
        body: body.to_owned(),
    }
}

pub(crate) fn error(status: u16, code: &str) -> Reply {
    error_with(status, code, "as scripted", vec![])
}

pub(crate) fn error_with(status: u16, code: &str, message: &str, headers: Vec<(&'static str, &'static str)>) -> Reply {
    let body = serde_json::json!({"RequestId": "req-1", "HostId": "h", "Code": code, "Message": message});
    Reply::Answer {
        status,
        headers,
        body: body.to_string(),
    }
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) at: Instant,
    pub(crate) method: http::Method,
    pub(crate) uri: http::Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    pub(crate) fn form(&self) -> Vec<(String, String)> {
        let text = std::str::from_utf8(&self.body).expect("a form is text");
        let plain = |s: &str| {
            let bytes = s.replace('+', " ");
            let mut out = Vec::new();
            let mut rest = bytes.bytes();
            while let Some(b) = rest.next() {
                if b == b'%' {
                    let hex = [rest.next().expect("a digit"), rest.next().expect("a digit")];
                    let hex = std::str::from_utf8(&hex).expect("digits");
                    out.push(u8::from_str_radix(hex, 16).expect("hex"));
                } else {
                    out.push(b);
                }
            }
            String::from_utf8(out).expect("UTF-8")
        };
        text.split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(k, v)| (plain(k), plain(v)))
            .collect()
    }

    pub(crate) fn param(&self, name: &str) -> Option<String> {
        self.form()
            .into_iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value)
    }
}

/// The scripted transport. It panics when it is asked more often than the script knows.
#[derive(Default)]
pub(crate) struct Script {
    replies: Mutex<VecDeque<Reply>>,
    seen: Mutex<Vec<Seen>>,
}

impl Script {
    pub(crate) fn of(replies: impl IntoIterator<Item = Reply>) -> Arc<Self> {
        Arc::new(Self {
            replies: Mutex::new(replies.into_iter().collect()),
            seen: Mutex::default(),
        })
    }

    /// All requests, after checking that every reply was used.
    pub(crate) fn finish(&self) -> Vec<Seen> {
        let left = self.replies.lock().expect("no panic").len();
        assert_eq!(left, 0, "{left} replies were never asked for");
        self.seen.lock().expect("no panic").clone()
    }
}

impl Transport for Script {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<Bytes>, TransportError>> {
        let (parts, body) = request.into_parts();
        let seen = Seen {
            at: Instant::now(),
            method: parts.method,
            uri: parts.uri,
            headers: parts.headers,
            body,
        };
        self.seen.lock().expect("no panic").push(seen);
        let reply = self
            .replies
            .lock()
            .expect("no panic")
            .pop_front()
            .expect("a request beyond the script");
        async move {
            match reply {
                Reply::Answer { status, headers, body } => {
                    let mut answer = Response::builder().status(status);
                    for (name, value) in headers {
                        answer = answer.header(name, value);
                    }
                    Ok(answer.body(Bytes::from(body)).expect("a good answer"))
                }
                Reply::NotSent => Err(TransportError::not_sent("connection refused")),
                Reply::Interrupted => Err(TransportError::interrupted("connection reset")),
                Reply::Silence => std::future::pending().await,
            }
        }
        .boxed()
    }
}

/// A clock that stands still.
#[derive(Debug)]
pub(crate) struct Stopped(pub(crate) Timestamp);

impl Clock for Stopped {
    fn now(&self) -> Timestamp {
        self.0
    }
}

/// Keeps what it was told.
#[derive(Default)]
pub(crate) struct Log {
    pub(crate) calls: Mutex<Vec<(Action, &'static str)>>,
    pub(crate) waits: Mutex<Vec<Duration>>,
}

impl Observer for Log {
    fn called(&self, action: Action, outcome: Outcome, _latency: Duration) {
        self.calls.lock().expect("no panic").push((action, outcome.label()));
    }

    fn waited(&self, _action: Action, wait: Duration) {
        self.waits.lock().expect("no panic").push(wait);
    }
}

pub(crate) const NOW: &str = "2026-11-23T15:50:00Z";

/// A client of the script whose clock stands at [`NOW`].
pub(crate) fn client(script: &Arc<Script>) -> Client {
    client_as(script, Arc::new(Credentials::new("testid", "testsecret")))
}

pub(crate) fn client_as(script: &Arc<Script>, credentials: Arc<dyn ProvideCredentials>) -> Client {
    let config = ClientConfig {
        endpoint: "http://eci.test:8090".into(),
        region: "cn-hangzhou".into(),
        limits: Limits::None,
        user_agent: "test/1".into(),
    };
    let now = NOW.parse().expect("a time");
    Client::new(config, credentials, script.clone())
        .expect("a good configuration")
        .with_clock(Arc::new(Stopped(now)))
}
