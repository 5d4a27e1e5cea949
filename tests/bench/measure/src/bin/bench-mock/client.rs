//! A client that costs little: kept connections, one call at a time on each, answers left as bytes.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use futures::future::try_join_all;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use tokio::net::TcpStream;
use tokio::sync::Mutex;

const FORM: &str = "application/x-www-form-urlencoded";
const ALGORITHM: &str = "ACS3-HMAC-SHA256";
const VERSION: &str = "2018-08-08";
const REGION: &str = "cn-hangzhou";

/// Connections to one mock-eci.
pub(crate) struct Client {
    host: String,
    key: (String, String),
    connections: Vec<Mutex<SendRequest<Full<Bytes>>>>,
}

impl Client {
    /// Connects so many times to `host:port`.
    pub(crate) async fn connect(host: &str, key: (&str, &str), connections: usize) -> Result<Self> {
        let connect = async || {
            let stream = TcpStream::connect(host).await.context("connecting to mock-eci")?;
            stream.set_nodelay(true).context("setting up a connection")?;
            let (sender, connection) = handshake(TokioIo::new(stream)).await.context("speaking HTTP")?;
            // It ends with its sender; an error shows at the next call.
            tokio::spawn(connection);
            Ok::<_, anyhow::Error>(Mutex::new(sender))
        };
        Ok(Self {
            host: host.to_owned(),
            key: (key.0.to_owned(), key.1.to_owned()),
            connections: try_join_all((0..connections).map(|_| connect())).await?,
        })
    }

    /// Runs `work` for 0..count, one at a time on each connection; bytes of all answers.
    pub(crate) async fn each<T>(
        &self,
        count: usize,
        work: impl AsyncFn(usize, &Connection<'_>) -> Result<T>,
    ) -> Result<Vec<T>> {
        let next = AtomicUsize::new(0);
        let worker = async |sender: &Mutex<SendRequest<Full<Bytes>>>| {
            let connection = Connection { client: self, sender };
            let mut done = Vec::new();
            loop {
                let nth = next.fetch_add(1, Ordering::Relaxed);
                if nth >= count {
                    return Ok::<_, anyhow::Error>(done);
                }
                done.push(work(nth, &connection).await?);
            }
        };
        let done = try_join_all(self.connections.iter().map(worker)).await?;
        Ok(done.into_iter().flatten().collect())
    }

    /// ACS3-HMAC-SHA256 over these headers, the type of the body and the host; they are sorted already.
    fn sign(&self, acs: &[(&str, &str)], hash: &str) -> Result<String> {
        let mut names = "content-type;host".to_owned();
        let mut text = format!("POST\n/\n\ncontent-type:{FORM}\nhost:{}\n", self.host);
        for (name, value) in acs {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{name}:{value}");
            let _ = write!(names, ";{name}");
        }
        let _ = write!(text, "\n{names}\n{hash}");
        let text = format!("{ALGORITHM}\n{}", hex(&Sha256::digest(text.as_bytes())));
        let (id, secret) = &self.key;
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).context("making a MAC")?;
        mac.update(text.as_bytes());
        let signature = hex(&mac.finalize().into_bytes());
        Ok(format!(
            "{ALGORITHM} Credential={id},SignedHeaders={names},Signature={signature}"
        ))
    }

    /// The first connection.
    pub(crate) fn one(&self) -> Result<Connection<'_>> {
        let sender = self.connections.first().context("there is no connection")?;
        Ok(Connection { client: self, sender })
    }
}

/// One connection.
pub(crate) struct Connection<'a> {
    client: &'a Client,
    sender: &'a Mutex<SendRequest<Full<Bytes>>>,
}

impl Connection<'_> {
    /// Calls an action with a form of these parameters, and `RegionId`; the body of the answer.
    pub(crate) async fn call(&self, action: &str, params: &str) -> Result<Bytes> {
        let body = format!("RegionId={REGION}&{params}");
        let date = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let nonce = format!("{:032x}", rand::random::<u128>());
        let hash = hex(&Sha256::digest(body.as_bytes()));
        let acs = [
            ("x-acs-action", action),
            ("x-acs-content-sha256", &hash),
            ("x-acs-date", &date),
            ("x-acs-signature-nonce", &nonce),
            ("x-acs-version", VERSION),
        ];
        let authorization = self.client.sign(&acs, &hash)?;
        let mut request = Request::post("/")
            .header(CONTENT_TYPE, FORM)
            .header(HOST, &self.client.host)
            .header(AUTHORIZATION, authorization);
        for (name, value) in acs {
            request = request.header(name, value);
        }
        self.send(request, body)
            .await
            .with_context(|| format!("calling {action}"))
    }

    /// Steers: a POST below `/mock/`.
    pub(crate) async fn steer(&self, path: &str, json: &str) -> Result<Bytes> {
        let request = Request::post(path)
            .header(CONTENT_TYPE, "application/json")
            .header(HOST, &self.client.host);
        self.send(request, json.to_owned())
            .await
            .with_context(|| format!("steering by {path}"))
    }

    async fn send(&self, request: http::request::Builder, body: String) -> Result<Bytes> {
        let request = request.body(Full::from(body)).context("making a request")?;
        let mut sender = self.sender.lock().await;
        sender.ready().await.context("waiting for the connection")?;
        let answer: Response<Incoming> = sender.send_request(request).await.context("sending a request")?;
        let status = answer.status();
        let bytes = answer
            .into_body()
            .collect()
            .await
            .context("reading the answer")?
            .to_bytes();
        if !status.is_success() {
            bail!("refused with {status}: {}", String::from_utf8_lossy(&bytes));
        }
        Ok(bytes)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
            let _ = write!(out, "{byte:02x}");
            out
        })
}
