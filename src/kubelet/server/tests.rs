//! The kubelet API over real TLS on loopback, with a scripted API server behind its authorization and a scripted log.

use std::net::IpAddr;
use std::sync::Mutex;

use futures::FutureExt;
use futures::future::BoxFuture;
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use serde_json::json;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::*;
use crate::kubelet::auth::Auth;
use crate::kubelet::logs::source::{LogError, LogRead, LogSource};
use crate::kubelet::logs::stream::LogAccess;
use crate::kubelet::streams::Streams;
use crate::kubelet::streams::testing::Commands;
use crate::kubelet::{ContainerEntry, ContainerRun, LogBudget, PodEntry, PodLookup};
use crate::metrics::Metrics;
use crate::scripted_api::{Answer, scripted};

/// A certificate authority for one test.
struct Ca {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Ca {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("valid");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("generates");
        let pem = params.self_signed(&key).expect("signs").pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    /// Certificate and key, PEM.
    fn issue(
        &self,
        name: &str,
        groups: &[&str],
        addresses: &[&str],
        usage: ExtendedKeyUsagePurpose,
    ) -> (String, String) {
        let addresses: Vec<String> = addresses.iter().map(|address| (*address).to_owned()).collect();
        let mut params = CertificateParams::new(addresses).expect("valid");
        params.distinguished_name.push(DnType::CommonName, name);
        for group in groups {
            params.distinguished_name.push(DnType::OrganizationName, *group);
        }
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().expect("generates");
        let certificate = params.signed_by(&key, &self.issuer).expect("signs");
        (certificate.pem(), key.serialize_pem())
    }
}

/// Pods and their logs.
struct Node {
    state: Mutex<ContainerRun>,
    log: Mutex<String>,
    reads: Mutex<usize>,
}

impl PodLookup for Node {
    fn group_of(&self, namespace: &str, pod: &str, _: Option<&str>) -> Option<PodEntry> {
        (namespace == "default" && pod == "driver").then(|| PodEntry {
            uid: "u".to_owned(),
            group_id: Some("eci-1".to_owned()),
            ip: Some(IpAddr::from([127, 0, 0, 1])),
            containers: vec![
                ContainerEntry {
                    name: "spark".to_owned(),
                    state: self.state.lock().expect("no panics").clone(),
                    restart_count: 0,
                    has_previous: false,
                },
                ContainerEntry {
                    name: "late".to_owned(),
                    state: ContainerRun::Waiting {
                        reason: "ImagePullBackOff".to_owned(),
                    },
                    restart_count: 0,
                    has_previous: false,
                },
            ],
        })
    }
}

impl LogSource for Node {
    fn read(&self, read: LogRead) -> BoxFuture<'static, Result<String, LogError>> {
        assert_eq!((read.group_id.as_str(), read.container.as_str()), ("eci-1", "spark"));
        *self.reads.lock().expect("no panics") += 1;
        let log = self.log.lock().expect("no panics").clone();
        async { Ok(log) }.boxed()
    }
}

/// A kubelet API that serves, and who may talk to it.
struct Testee {
    node: Arc<Node>,
    url: String,
    ca: Ca,
    commands: Commands,
    metrics: Metrics,
    shutdown: Shutdown,
    serving: tokio::task::JoinHandle<()>,
    _directory: tempfile::TempDir,
}

impl Testee {
    async fn start() -> Self {
        let ca = Ca::new("cluster");
        let directory = tempfile::tempdir().expect("a directory");
        let path = |name: &str| directory.path().join(name);
        let (cert, key) = ca.issue(
            "system:node:n",
            &["system:nodes"],
            &["127.0.0.1"],
            ExtendedKeyUsagePurpose::ServerAuth,
        );
        for (name, text) in [("cert", &cert), ("key", &key), ("ca", &ca.pem)] {
            fs_write(&path(name), text);
        }
        let files = TlsFiles {
            cert: path("cert"),
            key: path("key"),
            client_ca: Some(path("ca")),
        };
        let tls = follow_files(files, Metrics::new().expect("registers")).expect("usable");
        // Whoever is in system:masters or holds the token may.
        let client = scripted(|_, path, body| {
            if path.ends_with("/tokenreviews") {
                let good = body["spec"]["token"] == "good";
                let user = json!({ "username": "bearer", "groups": ["system:masters"] });
                return Answer::ok(json!({ "spec": {}, "status": { "authenticated": good, "user": user } }));
            }
            let groups = body["spec"]["groups"].as_array().cloned().unwrap_or_default();
            Answer::ok(json!({ "spec": {}, "status": { "allowed": groups.contains(&json!("system:masters")) } }))
        });
        let node = Arc::new(Node {
            state: Mutex::new(ContainerRun::Running),
            log: Mutex::new("2026-01-02T03:04:05Z one\n".to_owned()),
            reads: Mutex::new(0),
        });
        let shutdown = Shutdown::new();
        let commands = Commands::default();
        let metrics = Metrics::new().expect("registers");
        let logs = LogAccess::new(node.clone(), node.clone(), LogBudget::hasty(), metrics.clone());
        let api = KubeletApi {
            auth: Arc::new(Auth::new(client, "n".to_owned())),
            streams: Streams::new(
                Arc::new(commands.clone()),
                logs.clone(),
                metrics.clone(),
                shutdown.clone(),
            ),
            logs,
            figures: crate::kubelet::figures::tests::figures(),
            configz: Arc::new(json!({ "kubeletconfig": {} })),
            metrics: metrics.clone(),
        };
        let listener = crate::net::listen("127.0.0.1:0".parse().expect("address")).expect("binds");
        let url = format!("https://{}", listener.local_addr().expect("bound"));
        let serving = tokio::spawn(serve(listener, tls, api, shutdown.clone()));
        Self {
            node,
            url,
            ca,
            commands,
            metrics,
            shutdown,
            serving,
            _directory: directory,
        }
    }

    /// A client that trusts the cluster's CA, with a certificate of `ca` or none.
    fn client(&self, identity: Option<(&Ca, &str, &[&str])>) -> reqwest::Client {
        // Only reqwest needs the process-wide default; the server names its own.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let root = reqwest::Certificate::from_pem(self.ca.pem.as_bytes()).expect("PEM");
        let mut builder = reqwest::Client::builder()
            .tls_certs_only([root])
            .timeout(Duration::from_secs(20));
        if let Some((ca, name, groups)) = identity {
            let (cert, key) = ca.issue(name, groups, &[], ExtendedKeyUsagePurpose::ClientAuth);
            builder = builder.identity(reqwest::Identity::from_pem((cert + &key).as_bytes()).expect("PEM"));
        }
        builder.build().expect("builds")
    }

    fn api_server(&self) -> reqwest::Client {
        self.client(Some((&self.ca, "kube-apiserver-kubelet-client", &["system:masters"])))
    }

    async fn get(&self, client: &reqwest::Client, path: &str) -> (u16, String) {
        let response = client.get(format!("{}{path}", self.url)).send().await.expect("answers");
        (response.status().as_u16(), response.text().await.expect("text"))
    }
}

fn fs_write(path: &std::path::Path, text: &str) {
    std::fs::write(path, text).expect("written");
}

const LOGS: &str = "/containerLogs/default/driver/spark";

#[tokio::test]
async fn the_api_servers_certificate_reads_logs() {
    let testee = Testee::start().await;
    let client = testee.api_server();
    assert_eq!(testee.get(&client, LOGS).await, (200, "one\n".to_owned()));
    let with_times = testee
        .get(&client, &format!("{LOGS}?timestamps=true&tailLines=5"))
        .await;
    assert_eq!(with_times, (200, "2026-01-02T03:04:05Z one\n".to_owned()));
    assert_eq!(testee.get(&client, "/healthz").await, (200, "ok".to_owned()));
    assert_eq!(
        testee
            .metrics
            .kubelet_requests
            .with_label_values(&["containerLogs", "200"])
            .get(),
        2
    );
}

#[tokio::test]
async fn errors_are_a_kubelets() {
    let testee = Testee::start().await;
    let client = testee.api_server();
    for (path, code, text) in [
        (
            "/containerLogs/default/nobody/spark",
            404,
            r#"pod "nobody" does not exist"#,
        ),
        (
            "/containerLogs/default/driver/none",
            404,
            r#"container "none" not found in pod "driver""#,
        ),
        (
            "/containerLogs/default/driver/late",
            400,
            r#"container "late" in pod "driver" is waiting to start: trying and failing to pull image"#,
        ),
        (
            "/containerLogs/default/driver/spark?previous=true",
            400,
            r#"previous terminated container "spark" in pod "driver" not found"#,
        ),
        (
            "/containerLogs/default/driver/spark?tailLines=x",
            400,
            r#"{"message": "Unable to decode query."}"#,
        ),
        (
            "/containerLogs/default/driver/spark?tailLines=-1",
            422,
            r#"{"message": "Invalid request."}"#,
        ),
        ("/run/default/driver/spark", 405, "405: Method Not Allowed"),
        ("/containerLogs/default/driver", 404, "404: Page Not Found"),
        ("/nothing", 404, "404 page not found\n"),
        ("/logs/syslog", 405, "logs endpoint is disabled.\n"),
        ("/debug/pprof/heap", 405, "profiling endpoint is disabled.\n"),
    ] {
        assert_eq!(testee.get(&client, path).await, (code, text.to_owned()), "{path}");
    }
}

#[tokio::test]
async fn a_command_without_input_is_run_for_its_output() {
    let testee = Testee::start().await;
    let client = testee.api_server();
    let run = async |path: &str| {
        let response = client.post(format!("{}/run/default/{path}", testee.url)).send().await;
        let response = response.expect("answers");
        (response.status().as_u16(), response.text().await.expect("text"))
    };
    assert_eq!(run("driver/spark?cmd=exit+0").await, (200, "outerr".to_owned()));
    let failed = "command 'exit 7' exited with 7: err".to_owned();
    assert_eq!(run("driver/spark?cmd=exit+7").await, (500, failed));
    let missing = r#"container not found ("none")"#.to_owned();
    assert_eq!(run("driver/none?cmd=exit+0").await, (500, missing));
    assert_eq!(
        run("none/spark?cmd=exit+0").await,
        (404, "pod does not exist".to_owned())
    );
}

#[tokio::test]
async fn nobody_else_is_let_in() {
    let testee = Testee::start().await;
    let unauthorized = (401, "Unauthorized".to_owned());
    let anonymous = testee.client(None);
    assert_eq!(testee.get(&anonymous, LOGS).await, unauthorized);
    assert_eq!(testee.get(&anonymous, "/exec/no/such").await, unauthorized);
    let nowhere = (404, "404 page not found\n".to_owned());
    assert_eq!(testee.get(&anonymous, "/no/such/path").await, nowhere, "as a kubelet");
    let with_token = |token| anonymous.get(format!("{}{LOGS}", testee.url)).bearer_auth(token).send();
    assert_eq!(with_token("bad").await.expect("answers").status().as_u16(), 401);
    assert_eq!(with_token("good").await.expect("answers").status().as_u16(), 200);

    let someone = testee.client(Some((&testee.ca, "someone", &["devs"])));
    let (code, text) = testee.get(&someone, LOGS).await;
    assert_eq!(
        (code, text.starts_with("Forbidden (user=someone,")),
        (403, true),
        "{text}"
    );

    let other = Ca::new("another cluster");
    let forged = testee.client(Some((&other, "kube-apiserver-kubelet-client", &["system:masters"])));
    assert_eq!(testee.get(&forged, LOGS).await, unauthorized);
    let with_token = forged.get(format!("{}{LOGS}", testee.url)).bearer_auth("good");
    let answer = with_token.send().await.expect("answers");
    assert_eq!(
        answer.status().as_u16(),
        200,
        "a certificate that counts for nothing harms nothing"
    );
}

#[tokio::test]
async fn a_followed_log_comes_line_by_line_and_ends_with_its_container() {
    let testee = Testee::start().await;
    let mut response = testee
        .api_server()
        .get(format!("{}{LOGS}?follow=true", testee.url))
        .send()
        .await
        .expect("answers");
    assert_eq!(response.chunk().await.expect("a chunk").as_deref(), Some(&b"one\n"[..]));
    testee
        .node
        .log
        .lock()
        .expect("no panics")
        .push_str("2026-01-02T03:04:06Z two\n");
    assert_eq!(response.chunk().await.expect("a chunk").as_deref(), Some(&b"two\n"[..]));
    *testee.node.state.lock().expect("no panics") = ContainerRun::Terminated;
    assert_eq!(response.chunk().await.expect("the end"), None);
}

#[tokio::test]
async fn a_client_that_goes_away_costs_no_more_calls() {
    let testee = Testee::start().await;
    let client = testee.api_server();
    let mut response = client
        .get(format!("{}{LOGS}?follow=true", testee.url))
        .send()
        .await
        .expect("answers");
    response.chunk().await.expect("a chunk");
    assert_eq!(testee.metrics.log_streams.get(), 1);
    drop(response);
    drop(client);
    let ended = async {
        while testee.metrics.log_streams.get() != 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(10), ended)
        .await
        .expect("the stream was dropped");
}

mod streams;

#[tokio::test]
async fn the_shutdown_ends_followed_logs_in_order_and_lets_nobody_in() {
    let testee = Testee::start().await;
    let client = testee.api_server();
    let follow = client.get(format!("{}{LOGS}?follow=true", testee.url)).send();
    let mut response = follow.await.expect("answers");
    response.chunk().await.expect("a chunk");
    // One that says nothing must not hold the others up.
    let address = testee.url.strip_prefix("https://").expect("a URL");
    let _silent = TcpStream::connect(address).await.expect("connects");
    testee.shutdown.trigger();
    let rest = response.text().await.expect("an end in order");
    assert!(rest.contains("the agent of this node is being stopped"), "{rest}");
    timeout(Duration::from_secs(10), testee.serving)
        .await
        .expect("ends")
        .expect("no panic");
    TcpStream::connect(address).await.expect_err("nobody listens");
}
