//! The server with sockets, and its start and end.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use thiserror::Error;
use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream},
    net::TcpListener,
    sync::{Semaphore, mpsc},
    task::JoinHandle,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    api::{error::ApiError, response},
    app::{App, Disconnected, Door, Peer},
    clock::Clock,
    config::{Config, ConfigUpdate, InvalidSetting, RuntimeKind},
    domain::cloud::Cloud,
    exec,
    intake::{Intake, MAX_BODY, NoBody},
    long_target::LongTargets,
    runtime::{Runtime, RuntimeError, docker, simulated::Simulated},
};

/// Largest head that hyper reads, and it may read as much again before it looks; queries of long targets do not reach it
/// ([`crate::long_target`]).
const MAX_HEAD: usize = 128 * 1024;
/// Most headers.
const MAX_HEADERS: usize = 64;
/// Most connections served at once; others wait.
const MAX_CONNECTIONS: usize = 4_096;
/// How long a connection may be idle or take to send its head. Longer than clients keep idle connections (90 s is usual), so
/// that it is they who close and no call runs into a closing connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(150);
/// How long calls in progress may take once the server ends.
const DRAIN: Duration = Duration::from_secs(5);

/// Why a server cannot start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The address is taken or not this machine's.
    #[error("cannot listen on {0}")]
    Listen(SocketAddr, #[source] std::io::Error),
    /// Settings that do not go together.
    #[error(transparent)]
    Setting(#[from] InvalidSetting),
    /// The runtime is not there.
    #[error("cannot use the runtime")]
    Runtime(#[from] RuntimeError),
}

/// A running server. Dropping it ends it at once; [`Server::shutdown`] lets calls in progress finish.
pub struct Server {
    app: App,
    pump: JoinHandle<()>,
    sockets: Option<Sockets>,
}

struct Sockets {
    address: SocketAddr,
    steering: SocketAddr,
    stop: CancellationToken,
    accept: JoinHandle<()>,
    connections: TaskTracker,
}

impl Server {
    /// Starts a server that listens.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(config: Config) -> Result<Self, StartError> {
        config.check()?;
        let (listener, address) = listen(config.listen).await?;
        let apart = match config.steering_listen {
            Some(at) => Some(listen(at).await?),
            None => None,
        };
        let mut server = Self::in_memory(Config {
            listen: address,
            ..config
        })
        .await?;
        let (stop, connections) = (CancellationToken::new(), TaskTracker::new());
        let steering = apart.as_ref().map_or(address, |(_, address)| *address);
        let accept = {
            let (app, stop, connections) = (server.app.clone(), stop.clone(), connections.clone());
            tokio::spawn(async move {
                match apart {
                    None => accept(listener, app, stop, connections).await,
                    Some((apart, _)) => {
                        let api = accept(listener, app.at(Door::Api), stop.clone(), connections.clone());
                        let steering = accept(apart, app.at(Door::Steering), stop, connections);
                        tokio::join!(api, steering);
                    }
                }
            })
        };
        server.sockets = Some(Sockets {
            address,
            steering,
            stop,
            accept,
            connections,
        });
        Ok(server)
    }

    /// Starts a server without sockets: call it through [`Server::service`].
    ///
    /// # Errors
    /// When the runtime is not there.
    pub async fn in_memory(config: Config) -> Result<Self, StartError> {
        let clock = Clock::new(config.clock);
        let (events, received) = mpsc::unbounded_channel();
        let (runtime, simulated): (Arc<dyn Runtime>, _) = match &config.runtime {
            RuntimeKind::Simulated => {
                let simulated = Simulated::start(config.scenario.clone(), config.seed, clock.clone(), events);
                (Arc::new(simulated.clone()), Some(simulated))
            }
            RuntimeKind::Docker(settings) => (docker::connect(settings.clone(), clock.clone(), events).await?, None),
        };
        let cloud = Cloud::new(clock, runtime, config.seed, config.currency, config.limits);
        cloud.state().config_files_restart = config.config_update == ConfigUpdate::Restart;
        let adopted = cloud.adopt().await?;
        if adopted > 0 {
            tracing::info!(groups = adopted, "took over the groups of an earlier process");
        }
        let pump = tokio::spawn(cloud.clone().run(received));
        Ok(Self {
            app: App::new(&config, cloud, simulated),
            pump,
            sockets: None,
        })
    }

    /// The handle tests steer by.
    pub fn app(&self) -> &App {
        &self.app
    }

    /// The server as an in-memory [`tower::Service`].
    pub fn service(&self) -> App {
        self.app.clone()
    }

    /// `http://ADDRESS`; without sockets a name that no network knows.
    pub fn url(&self) -> String {
        match &self.sockets {
            Some(sockets) => format!("http://{}", sockets.address),
            None => "http://mock-eci.invalid".to_owned(),
        }
    }

    /// Where steering is: [`Server::url`], unless it listens apart.
    pub fn steering_url(&self) -> String {
        match &self.sockets {
            Some(sockets) => format!("http://{}", sockets.steering),
            None => self.url(),
        }
    }

    /// Ends it: no new connections, calls in progress get five seconds. Groups of a real runtime keep running.
    pub async fn shutdown(mut self) {
        let sessions = self.app.exec().clone();
        sessions.stop();
        if let Some(sockets) = self.sockets.take() {
            sockets.stop.cancel();
            sockets.connections.close();
            if tokio::time::timeout(DRAIN, sockets.connections.wait()).await.is_err() {
                tracing::warn!("calls in progress were cut off");
            }
            sockets.accept.abort();
        }
        if tokio::time::timeout(DRAIN, sessions.stopped()).await.is_err() {
            tracing::warn!("commands in containers were cut off");
        }
        self.pump.abort();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.app.exec().stop();
        if let Some(sockets) = &self.sockets {
            sockets.stop.cancel();
            sockets.accept.abort();
        }
        self.pump.abort();
    }
}

async fn listen(at: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |error| StartError::Listen(at, error);
    let listener = TcpListener::bind(at).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

async fn accept(listener: TcpListener, app: App, stop: CancellationToken, connections: TaskTracker) {
    let (slots, intake) = (Arc::new(Semaphore::new(MAX_CONNECTIONS)), Intake::default());
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else {
            return;
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                let (app, intake, stop) = (app.clone(), intake.clone(), stop.clone());
                // Answers are small and awaited: waiting to fill a segment only adds delay.
                let _ = stream.set_nodelay(true);
                connections.spawn(async move {
                    serve(stream, Peer::Address(peer.ip()), app, intake, stop).await;
                    drop(slot);
                });
            }
            Err(error) => {
                // Out of file handles, mostly: trying again at once would only burn CPU.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Size of each direction of a connection in memory.
const MEMORY_BUFFER: usize = 64 * 1024;

impl App {
    /// A connection in memory, served like one from a socket: for clients that bring their own HTTP, and for the WebSockets of
    /// [`crate::exec`]. It ends with the server or when it is dropped.
    pub fn connect(&self) -> DuplexStream {
        let (ours, theirs) = tokio::io::duplex(MEMORY_BUFFER);
        let (app, stop) = (self.clone(), self.exec().stopping().clone());
        // With a budget of its own: who is in this process can take its memory anyway.
        tokio::spawn(serve(ours, Peer::Memory, app, Intake::default(), stop));
        theirs
    }
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: Peer,
    app: App,
    intake: Intake,
    stop: CancellationToken,
) {
    let (stream, queries) = LongTargets::new(stream, intake.clone());
    let service = service_fn(move |mut request| {
        queries.restore(&mut request);
        let (app, intake) = (app.clone(), intake.clone());
        async move { answer(app, intake, request, peer).await }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(stream), service);
    let connection = connection.with_upgrades();
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::time::timeout(DRAIN, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke");
    }
}

async fn answer(
    app: App,
    intake: Intake,
    request: Request<Incoming>,
    peer: Peer,
) -> Result<Response<Full<Bytes>>, Disconnected> {
    if exec::socket::is_upgrade(&request) {
        return Ok(exec::socket::accept(&app, request).map(Full::new));
    }
    let (head, body) = request.into_parts();
    let refuse = |error: ApiError| {
        let host = head
            .headers
            .get(http::header::HOST)
            .and_then(|v| v.to_str().ok())
            .unwrap_or_default();
        Ok(response::error(&error, &response::request_id(), host).map(Full::new))
    };
    // Held until the answer is made: what was decoded of the body takes as much again.
    let taken = match intake.take(body).await {
        Ok(taken) => taken,
        Err(NoBody::TooLarge) => return refuse(ApiError::body_too_large(MAX_BODY)),
        Err(NoBody::Busy) => return refuse(ApiError::busy()),
        Err(NoBody::Broken) => return Err(Disconnected),
    };
    app.handle(Request::from_parts(head, taken.body.clone()), peer)
        .await
        .map(|response| response.map(Full::new))
}
