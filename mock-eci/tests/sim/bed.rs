//! What tests share: a server in memory, a caller that signs, and waiting for conditions.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request};
use jiff::{SignedDuration, Timestamp};
use mock_eci::{
    App, Config, Disconnected, Peer, Server,
    api::{
        params::Params,
        protocol::VERSION,
        signature::{self, ACS3},
    },
};
use serde_json::Value;

/// Between two looks at a condition: slow enough for the documented call rate of DescribeContainerGroups (2,000 a minute).
const POLL: Duration = Duration::from_millis(40);

/// A server with the known key `testid:testsecret` in `cn-hangzhou`.
pub(crate) struct Bed {
    server: Server,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Reply {
    /// The error code; panics on a good answer.
    pub(crate) fn code(&self) -> &str {
        self.body["Code"]
            .as_str()
            .unwrap_or_else(|| panic!("no error: {self:?}"))
    }

    /// The body of a good answer; panics on an error.
    pub(crate) fn ok(self) -> Value {
        assert_eq!(self.status, 200, "{:?}", self.body);
        self.body
    }
}

impl Bed {
    pub(crate) async fn new() -> Self {
        Self::with(Config::default()).await
    }

    pub(crate) async fn with(config: Config) -> Self {
        Self {
            server: Server::in_memory(config)
                .await
                .expect("the simulated runtime is always there"),
        }
    }

    /// A server that listens too.
    pub(crate) async fn listening() -> Self {
        Self {
            server: Server::start(Config::default()).await.expect("a free port"),
        }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> String {
        self.server.url().trim_start_matches("http://").to_owned()
    }

    /// Ends the server.
    pub(crate) async fn shutdown(self) {
        self.server.shutdown().await;
    }

    pub(crate) fn app(&self) -> &App {
        self.server.app()
    }

    /// Calls an action, signed by v3, parameters in a form body.
    pub(crate) async fn call(&self, action: &str, params: &[(&str, &str)]) -> Reply {
        self.try_call(action, params).await.expect("the connection was cut")
    }

    pub(crate) async fn try_call(&self, action: &str, params: &[(&str, &str)]) -> Result<Reply, Disconnected> {
        let mut all = vec![("RegionId", "cn-hangzhou")];
        all.retain(|(name, _)| params.iter().all(|(n, _)| n != name));
        all.extend_from_slice(params);
        self.send(Signed::new(action).form(&all).build()).await
    }

    /// Sends any request.
    pub(crate) async fn send(&self, request: Request<Bytes>) -> Result<Reply, Disconnected> {
        let response = self.app().handle(request, Peer::Memory).await?;
        let status = response.status().as_u16();
        let body = match response.headers()["content-type"].to_str() {
            Ok("application/json;charset=utf-8") => serde_json::from_slice(response.body()).expect("JSON"),
            Ok("text/xml;charset=utf-8") => error_in_xml(response.body()),
            other => panic!("content type {other:?}"),
        };
        let reply = Reply { status, body };
        self.check_reading(&reply);
        Ok(reply)
    }

    /// What the catalogue of parameters says of a good call is true: what is done was read, what is ignored was not.
    fn check_reading(&self, reply: &Reply) {
        let good = reply.status == 200 || reply.body["Code"] == "DryRunOperation";
        let entries = self.app().journal().entries(None);
        let entry = entries.iter().rev().find(|e| reply.body["RequestId"] == *e.request_id);
        if let Some(entry) = entry.filter(|_| good) {
            let none: &[String] = &[];
            assert_eq!(
                (&entry.unread[..], &entry.misread[..]),
                (none, none),
                "{}: `done` but not read, `ignored` but read (see src/api/parameters.txt)",
                entry.action
            );
        }
    }

    /// Creates a group of one container `c` of image `busybox` and these parameters; gives its id.
    pub(crate) async fn create(&self, name: &str, params: &[(&str, &str)]) -> String {
        let mut all = vec![
            ("ContainerGroupName", name),
            ("Container.1.Name", "c"),
            ("Container.1.Image", "busybox:1"),
        ];
        all.extend_from_slice(params);
        let created = self.call("CreateContainerGroup", &all).await.ok();
        created["ContainerGroupId"].as_str().expect("an id").to_owned()
    }

    /// The group as DescribeContainerGroups shows it; none when there is no such group.
    pub(crate) async fn describe(&self, id: &str) -> Option<Value> {
        let ids = serde_json::json!([id]).to_string();
        let answer = self
            .call(
                "DescribeContainerGroups",
                &[("ContainerGroupIds", &ids), ("WithEvent", "true")],
            )
            .await;
        answer.ok()["ContainerGroups"].get(0).cloned()
    }

    /// The group as DescribeContainerGroupStatus shows it.
    pub(crate) async fn pod_status(&self, id: &str) -> Option<Value> {
        let ids = serde_json::json!([id]).to_string();
        let answer = self
            .call("DescribeContainerGroupStatus", &[("ContainerGroupIds", &ids)])
            .await;
        answer.ok()["Data"].get(0).cloned()
    }

    /// Waits until the group has this status, and gives it in full.
    pub(crate) async fn until(&self, id: &str, status: &str) -> Value {
        self.until_that(id, &format!("status {status}"), |group| group["Status"] == status)
            .await
    }

    /// Waits until this holds for the group, and gives it in full.
    pub(crate) async fn until_that(&self, id: &str, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let mut last = None;
        for _ in 0..20_000 {
            last = self.describe(id).await;
            if let Some(group) = last.as_ref().filter(|g| holds(g)) {
                return group.clone();
            }
            tokio::time::sleep(POLL).await;
        }
        panic!("{id} did not reach {what}; last seen: {last:?}");
    }

    /// Waits until the group is gone.
    pub(crate) async fn until_gone(&self, id: &str) {
        for _ in 0..20_000 {
            if self.describe(id).await.is_none() {
                return;
            }
            tokio::time::sleep(POLL).await;
        }
        panic!("{id} is still there: {:?}", self.describe(id).await);
    }
}

/// What requests get that are too broken to say which form they want.
fn error_in_xml(body: &[u8]) -> Value {
    let text = std::str::from_utf8(body).expect("UTF-8");
    let member = |name: &str| {
        let (_, rest) = text.split_once(&format!("<{name}>")).expect(name);
        rest.split_once(&format!("</{name}>")).expect(name).0.to_owned()
    };
    let members = ["Code", "Message", "RequestId", "HostId", "Recommend"];
    members
        .map(|name| (name.to_owned(), Value::String(member(name))))
        .into_iter()
        .collect()
}

/// A request in the making, signed by ACS3-HMAC-SHA256.
pub(crate) struct Signed {
    pub(crate) action: String,
    pub(crate) key: (String, String),
    pub(crate) token: Option<String>,
    pub(crate) nonce: String,
    pub(crate) date: String,
    pub(crate) query: String,
    pub(crate) body: String,
}

impl Signed {
    pub(crate) fn new(action: &str) -> Self {
        Self {
            action: action.to_owned(),
            key: ("testid".to_owned(), "testsecret".to_owned()),
            token: None,
            nonce: nonce(),
            date: date(0),
            query: String::new(),
            body: String::new(),
        }
    }

    pub(crate) fn form(mut self, params: &[(&str, &str)]) -> Self {
        self.body = encode(params);
        self
    }

    pub(crate) fn query(mut self, params: &[(&str, &str)]) -> Self {
        self.query = encode(params);
        self
    }

    pub(crate) fn build(self) -> Request<Bytes> {
        let uri = format!("http://eci.test/?{}", self.query);
        let (head, body) = self.sign();
        head.uri(uri).body(body.into()).expect("valid request")
    }

    /// As it goes over a wire: for targets that are too long for `http::Uri`.
    pub(crate) fn text(self) -> String {
        let mut text = format!("POST /?{} HTTP/1.1\r\n", self.query);
        let (head, body) = self.sign();
        for (name, value) in head.headers_ref().expect("valid headers") {
            text.push_str(&format!("{name}: {}\r\n", value.to_str().expect("plain text")));
        }
        text.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
        text
    }

    fn sign(self) -> (http::request::Builder, String) {
        let mut query = Params::default();
        query.extend_encoded(self.query.as_bytes()).expect("few parameters");
        query.sort();
        let hash = signature::content_hash(self.body.as_bytes());
        let mut request = Request::builder()
            .method(Method::POST)
            .header("host", "eci.test")
            .header("x-acs-action", &self.action)
            .header("x-acs-version", VERSION)
            .header("x-acs-date", &self.date)
            .header("x-acs-signature-nonce", &self.nonce)
            .header("x-acs-content-sha256", &hash);
        let mut signed = String::from("host;x-acs-action;x-acs-content-sha256;x-acs-date");
        if let Some(token) = &self.token {
            request = request.header("x-acs-security-token", token);
            signed.push_str(";x-acs-security-token");
        }
        signed.push_str(";x-acs-signature-nonce;x-acs-version");
        if !self.body.is_empty() {
            request = request.header("content-type", "application/x-www-form-urlencoded");
            signed.insert_str(0, "content-type;");
        }
        let headers = request.headers_ref().expect("valid headers");
        let canonical = signature::v3_canonical_request("POST", &query, true, headers, "eci.test", &signed, &hash);
        let signature = signature::v3_signature(&self.key.1, &signature::v3_string_to_sign(&canonical));
        let authorization = format!(
            "{ACS3} Credential={},SignedHeaders={signed},Signature={signature}",
            self.key.0
        );
        (request.header("authorization", authorization), self.body)
    }
}

/// A request signed by HMAC-SHA1, all parameters in the query, that asks for JSON.
pub(crate) fn signed_v1(method: Method, action: &str, params: &[(&str, &str)]) -> Request<Bytes> {
    signed_v1_as(Some("JSON"), method, action, params)
}

/// The same with this `Format`.
pub(crate) fn signed_v1_as(
    format: Option<&str>,
    method: Method,
    action: &str,
    params: &[(&str, &str)],
) -> Request<Bytes> {
    let (nonce, date) = (nonce(), date(0));
    let mut all = vec![
        ("Action", action),
        ("Version", VERSION),
        ("AccessKeyId", "testid"),
        ("SignatureMethod", "HMAC-SHA1"),
        ("SignatureVersion", "1.0"),
        ("SignatureNonce", &nonce),
        ("SignatureType", ""),
        ("Timestamp", &date),
    ];
    all.extend(format.map(|format| ("Format", format)));
    all.extend_from_slice(params);
    let mut sorted = Params::default();
    sorted.extend_encoded(encode(&all).as_bytes()).expect("few parameters");
    sorted.sort();
    let signature = signature::v1_signature("testsecret", &signature::v1_string_to_sign(method.as_str(), &sorted));
    all.push(("Signature", &signature));
    Request::builder()
        .method(method)
        .uri(format!("http://eci.test/?{}", encode(&all)))
        .body(Bytes::new())
        .expect("valid request")
}

pub(crate) fn encode(params: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new())
        .extend_pairs(params)
        .finish()
}

/// The wall clock's time plus so many seconds, as requests have it.
pub(crate) fn date(plus_seconds: i64) -> String {
    let at = Timestamp::now() + SignedDuration::from_secs(plus_seconds);
    Timestamp::from_second(at.as_second()).expect("in range").to_string()
}

fn nonce() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("nonce-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}
