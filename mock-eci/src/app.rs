//! The server without sockets: an HTTP request in, a response out. Routes between the product API and steering, and is the
//! one place where limits, faults and the journal meet a call.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    task::{Context as TaskContext, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Method, Request, Response, StatusCode};
use thiserror::Error;

use crate::{
    api::{
        Answer, Context, Offer, Work,
        bounds::Bounds,
        catalogue::{Reading, Verdict},
        codes,
        credentials::Credentials,
        error::ApiError,
        params::{Params, Reader},
        protocol::{self, Call, Verifier},
        response,
        table::Action,
    },
    clock::Clock,
    config::{Config, Enforced, Limits, ParameterBounds},
    domain::{cloud::Cloud, ledger::Bill},
    exec::{self, Sessions},
    faults::{Facts, Fault, Faults, Target, When},
    gate::Gate,
    runtime::simulated::Simulated,
    steer::{
        self,
        journal::{self, Journal},
    },
};

/// Who sends a request: steering depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// The same process.
    Memory,
    /// An address.
    Address(IpAddr),
}

/// The connection is cut without an answer (a planned fault).
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the server cut the connection")]
pub struct Disconnected;

/// What is served where a request comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// Everything.
    Both,
    /// The product alone: steering has a listener of its own.
    Api,
    /// Steering alone.
    Steering,
}

/// A running mock-eci; a cheap handle, clones are the same one. As a [`tower::Service`] it is an in-memory transport.
#[derive(Clone)]
pub struct App(Arc<Inner>, Door);

struct Inner {
    cloud: Cloud,
    offer: Offer,
    verifier: Verifier,
    gate: Gate,
    bounds: Mutex<ParameterBounds>,
    faults: Faults,
    journal: Journal,
    exec: Sessions,
    simulated: Option<Simulated>,
    steering_token: Option<String>,
    listen_ip: IpAddr,
}

impl App {
    pub(crate) fn new(config: &Config, cloud: Cloud, simulated: Option<Simulated>) -> Self {
        let inner = Arc::new(Inner {
            offer: Offer::new(&config.region, config.currency),
            verifier: Verifier::new(config.access_keys.clone(), cloud.clock().clone()),
            gate: Gate::new(config.limits.enforced().rates),
            bounds: Mutex::new(config.bounds),
            faults: Faults::new(config.seed),
            journal: Journal::new(config.journal_entries),
            exec: Sessions::new(config.exec_stdin_end),
            simulated,
            steering_token: config.steering_token.clone(),
            listen_ip: config.steering_listen.unwrap_or(config.listen).ip(),
            cloud,
        });
        Self(inner, Door::Both)
    }

    /// The same server, as it is reached at this door.
    pub(crate) fn at(&self, door: Door) -> Self {
        Self(self.0.clone(), door)
    }

    /// The domain, for tests and steering.
    pub fn cloud(&self) -> &Cloud {
        &self.0.cloud
    }

    /// The clock everything goes by.
    pub fn clock(&self) -> &Clock {
        self.0.cloud.clock()
    }

    /// Zones of the region that is served.
    pub fn zones(&self) -> &[String] {
        &self.0.offer.zones
    }

    /// Planned faults.
    pub fn faults(&self) -> &Faults {
        &self.0.faults
    }

    /// The newest calls.
    pub fn journal(&self) -> &Journal {
        &self.0.journal
    }

    /// Commands in containers.
    pub fn exec(&self) -> &Sessions {
        &self.0.exec
    }

    /// The simulated runtime; none with real containers.
    pub fn simulated(&self) -> Option<&Simulated> {
        self.0.simulated.as_ref()
    }

    /// All bills as of now, in the order of creation.
    pub fn ledger(&self) -> Vec<Bill> {
        let now = self.clock().now();
        self.0.cloud.state().ledger.bills(now)
    }

    /// Ids of all groups, oldest first.
    pub fn group_ids(&self) -> Vec<String> {
        self.0.cloud.state().groups().map(|g| g.id.to_string()).collect()
    }

    /// Jumps forward in time.
    pub fn advance(&self, by: Duration) {
        self.clock().advance(by);
    }

    /// Puts limits in force, or not; what was used of call rates is forgotten.
    pub fn set_limits(&self, limits: Limits) {
        let enforced = limits.enforced();
        self.0.cloud.state().enforce(enforced);
        self.0.gate.set_rates(enforced.rates);
    }

    /// How long lists and texts in parameters may be.
    pub fn bounds(&self) -> ParameterBounds {
        *self.0.bounds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets that.
    pub fn set_bounds(&self, bounds: ParameterBounds) {
        *self.0.bounds.lock().unwrap_or_else(PoisonError::into_inner) = bounds;
    }

    /// Which limits are in force.
    pub fn enforced(&self) -> Enforced {
        self.0.cloud.state().enforced()
    }

    /// Sets the vCPU quota, in thousandths, and puts it in force.
    pub fn set_max_milli_cpu(&self, max: u64) {
        let mut state = self.0.cloud.state();
        state.max_milli_cpu = max;
        let enforced = Enforced {
            vcpu: true,
            ..state.enforced()
        };
        state.enforce(enforced);
    }

    /// Who may call.
    pub fn credentials(&self) -> &Credentials {
        self.0.verifier.credentials()
    }

    pub(crate) fn gate(&self) -> &Gate {
        &self.0.gate
    }

    /// Takes away (or gives back) the right to list: without it lists are empty, and no error.
    pub fn set_may_list(&self, may: bool) {
        self.0.cloud.state().may_list = may;
    }

    /// Back to an empty account: no groups, tokens, bills, faults or journal; rights, credentials and call rates as at the
    /// start. Settings of the server stay as they are: scenario, clock, quota, and which limits are in force.
    ///
    /// # Errors
    /// When the runtime cannot remove everything.
    pub async fn reset(&self) -> Result<(), crate::runtime::RuntimeError> {
        self.0.faults.clear();
        self.0.gate.reset();
        self.0.verifier.credentials().reset();
        self.0.exec.clear();
        self.set_may_list(true);
        let result = self.0.cloud.reset().await;
        self.0.journal.clear();
        result
    }

    pub(crate) fn region(&self) -> &str {
        &self.0.offer.region
    }

    pub(crate) fn steering_token(&self) -> Option<&str> {
        self.0.steering_token.as_deref()
    }

    pub(crate) fn listen_ip(&self) -> IpAddr {
        self.0.listen_ip
    }

    /// Answers one request.
    ///
    /// # Errors
    /// [`Disconnected`] when a planned fault says so.
    pub async fn handle(&self, request: Request<Bytes>, peer: Peer) -> Result<Response<Bytes>, Disconnected> {
        let path = request.uri().path();
        let steers = path == "/mock" || path.starts_with("/mock/");
        match (self.1, steers) {
            (Door::Both | Door::Steering, true) => return Ok(steer::handle(self, request, peer).await),
            (Door::Api, true) | (Door::Steering, false) => return Ok(steer::not_here()),
            (Door::Both | Door::Api, false) => {}
        }
        if path.starts_with(exec::PATH) {
            return Ok(exec::handle(&request));
        }
        self.call(request).await
    }

    async fn call(&self, request: Request<Bytes>) -> Result<Response<Bytes>, Disconnected> {
        let inner = &*self.0;
        let since = self.clock().now();
        let request_id = response::request_id();
        let host = protocol::host(&request).to_owned();
        let (call, verified) = inner.verifier.verify(&request);
        let mut note = Note {
            app: self,
            call: &call,
            method: request.method(),
            request_id: &request_id,
            since,
        };
        let mut reading = Reading::default();

        let mut fault = None;
        let result = match verified.and_then(|()| self.admit(&call, request.method())) {
            Err(error) => Err(error),
            Ok(action) => {
                fault = self.fault(action.name, &call.params);
                match &fault {
                    Some(Fault::Timeout { when: When::Before }) => {
                        note.write(0, None, reading);
                        return std::future::pending().await;
                    }
                    Some(Fault::Disconnect { when: When::Before }) => {
                        note.write(0, None, reading);
                        return Err(Disconnected);
                    }
                    Some(Fault::Error { code, status, message }) => {
                        let status = status.and_then(|status| StatusCode::from_u16(status).ok());
                        let status = status.unwrap_or_else(|| codes::status(code));
                        Err(ApiError::new(code.clone(), status, message.clone()))
                    }
                    _ => match self.dispatch(action, &call, &request_id, &host, &mut reading) {
                        Ok(Work::Done(answer)) => Ok(answer),
                        Ok(Work::Later(answer)) => answer.await,
                        Err(error) => Err(error),
                    },
                }
            }
        };
        // Held until here: another call with the same token meanwhile is told that this one is still in progress.
        match fault {
            Some(Fault::Timeout { when: When::After }) => {
                note.write(0, None, reading);
                return std::future::pending().await;
            }
            Some(Fault::Disconnect { when: When::After }) => {
                note.write(0, None, reading);
                return Err(Disconnected);
            }
            Some(Fault::Slow { millis }) => tokio::time::sleep(Duration::from_millis(millis)).await,
            _ => {}
        }
        Ok(match result {
            Ok(Answer { body, processing }) => {
                drop(processing);
                note.write(200, None, reading);
                response::good(call.format, &call.action, body)
            }
            Err(error) => {
                note.write(error.status.as_u16(), Some(error.code.to_string()), reading);
                response::error_as(call.format, &error, &request_id, &host)
            }
        })
    }

    /// Which action it is, and whether it may be called now.
    fn admit(&self, call: &Call, method: &Method) -> Result<&'static Action, ApiError> {
        let action = Action::find(&call.action).ok_or_else(|| ApiError::action_not_found(&call.action))?;
        if action.post_only && method != Method::POST {
            return Err(ApiError::http_method(method.as_str()));
        }
        self.0.gate.admit(action, self.clock().now())?;
        Ok(action)
    }

    /// The planned fault that a call meets.
    fn fault(&self, action: &str, params: &Params) -> Option<Fault> {
        let group = || {
            let state = self.0.cloud.state();
            let group = state.group(params.get("ContainerGroupId")?)?;
            Some(Facts {
                name: group.spec.name.clone(),
                tags: group.spec.tags.clone(),
            })
        };
        self.0.faults.take(&Target {
            action,
            params,
            group: &group,
        })
    }

    fn dispatch(
        &self,
        action: &'static Action,
        call: &Call,
        request_id: &str,
        host: &str,
        reading: &mut Reading,
    ) -> Result<Work, ApiError> {
        let handler = action
            .handler
            .ok_or_else(|| ApiError::action_unsupported(action.name))?;
        let verdict = Verdict::of(action.name, &call.params)?;
        let reader = Reader::new(&call.params).within(Bounds::of(self.bounds()));
        let (cloud, offer, exec) = (&self.0.cloud, &self.0.offer, &self.0.exec);
        let work = handler(Context {
            action: action.name,
            cloud,
            offer,
            exec,
            request_id,
            host,
            params: &call.params,
            scope: reader.root(),
        });
        if self.0.journal.is_on() {
            *reading = verdict.compare(&reader);
        }
        work
    }
}

/// A journal entry in the making.
struct Note<'a> {
    app: &'a App,
    call: &'a Call,
    method: &'a Method,
    request_id: &'a str,
    since: jiff::Timestamp,
}

impl Note<'_> {
    fn write(&mut self, status: u16, code: Option<String>, reading: Reading) {
        let journal = self.app.journal();
        let parameters = match journal.is_on() {
            false => Vec::new(),
            true => journal::show(self.call.params.iter()),
        };
        let millis = self.app.clock().now().duration_since(self.since).as_millis();
        tracing::debug!(
            action = self.call.action,
            status,
            code,
            request_id = self.request_id,
            "call"
        );
        journal.note(journal::Entry {
            number: 0,
            time: self.since,
            action: self.call.action.clone(),
            method: self.method.to_string(),
            request_id: self.request_id.to_owned(),
            status,
            code,
            millis: i64::try_from(millis).unwrap_or(i64::MAX),
            parameters,
            unknown: journal::show_names(reading.unknown.iter().map(String::as_str)),
            unread: journal::show_names(reading.unread.iter().map(String::as_str)),
            misread: journal::show_names(reading.misread.iter().map(String::as_str)),
        });
    }
}

impl tower::Service<Request<Bytes>> for App {
    type Response = Response<Bytes>;
    type Error = Disconnected;
    type Future = BoxFuture<'static, Result<Response<Bytes>, Disconnected>>;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), Disconnected>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let app = self.clone();
        Box::pin(async move { app.handle(request, Peer::Memory).await })
    }
}
