//! How an agent reaches mock-eci: signed calls in memory, by the simulation's clock, and if need be with stale answers.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use eci::{Client, ClientConfig, Credentials, Limits, TowerTransport};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use jiff::Timestamp;
use mock_eci::{App, Disconnected};
use tower::Service as _;

use crate::wires::Wires;

/// What lists are answered from, where they come from somewhere that lags behind.
#[derive(Clone, Debug, Default)]
pub struct Replica(Arc<Lagging>);

#[derive(Debug, Default)]
struct Lagging {
    follows: AtomicBool,
    lags: AtomicBool,
    /// The newest answers before the lag, by what was asked.
    known: Mutex<HashMap<Bytes, Response<Bytes>>>,
}

impl Replica {
    /// It begins to follow: lags are possible from now on.
    pub fn follow(&self) {
        self.0.follows.store(true, Ordering::Relaxed);
    }

    /// From here on lists are what they were, until they no longer lag.
    pub fn set_lags(&self, lags: bool) {
        self.0.lags.store(lags, Ordering::Relaxed);
    }

    fn stale(&self, question: &Bytes) -> Option<Response<Bytes>> {
        let lags = self.0.lags.load(Ordering::Relaxed);
        let known = self.0.known.lock().expect("no panic while locked");
        known.get(question).filter(|_| lags).cloned()
    }

    fn remember(&self, question: Bytes, answer: &Response<Bytes>) {
        if self.0.follows.load(Ordering::Relaxed) && !self.0.lags.load(Ordering::Relaxed) {
            self.0
                .known
                .lock()
                .expect("no panic while locked")
                .insert(question, answer.clone());
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct SimulatedClock;

impl eci::clock::Clock for SimulatedClock {
    fn now(&self) -> Timestamp {
        virtual_node::clock::now()
    }
}

/// A client of `app` over these wires.
pub fn client(app: App, wires: Wires, replica: Replica, limits: Limits) -> Client {
    let transport = TowerTransport::new(tower::service_fn(move |request: Request<Full<Bytes>>| {
        let (app, wires, replica) = (app.clone(), wires.clone(), replica.clone());
        async move {
            wires
                .carry(serve(app, replica, request))
                .await
                .map(|answer| answer.map(Full::new))
        }
    }));
    let config = ClientConfig {
        endpoint: "http://mock-eci".to_owned(),
        region: "cn-hangzhou".to_owned(),
        limits,
        user_agent: "sim".to_owned(),
    };
    let credentials = Credentials::new("testid", "testsecret");
    let client = Client::new(config, Arc::new(credentials), Arc::new(transport)).expect("a valid endpoint");
    client.with_clock(Arc::new(SimulatedClock))
}

async fn serve(mut app: App, replica: Replica, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, Disconnected> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.unwrap_or_else(|never| match never {}).to_bytes();
    let action = parts
        .headers
        .get("x-acs-action")
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default();
    let is_list = action == "DescribeContainerGroupStatus" || action == "DescribeContainerGroups";
    if let Some(stale) = replica.stale(&body).filter(|_| is_list) {
        return Ok(stale);
    }
    let answer = app.call(Request::from_parts(parts, body.clone())).await?;
    if is_list && answer.status().is_success() {
        replica.remember(body, &answer);
    }
    Ok(answer)
}
