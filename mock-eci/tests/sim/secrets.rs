//! No secret that came in by the API is in the journal, on the status page, at any route of steering or in the log.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Command, Stdio},
    thread::JoinHandle,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;

use crate::bed::{Signed, signed_v1};

/// What every secret of this test begins with; each has a number of its own, to tell which one got out.
const MARK: &str = "TOPSECRET";

/// The program itself, logging all it can, because a log is what a process writes.
struct Program {
    child: Child,
    log: JoinHandle<String>,
    url: String,
    http: Client<HttpConnector, Full<Bytes>>,
}

impl Program {
    fn start() -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_mock-eci"))
            .args(["--listen", "127.0.0.1:0", "--access-key", &format!("keyid:{MARK}-1")])
            .env("RUST_LOG", "trace")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("its output"))
            .read_line(&mut line)
            .expect("its line");
        // Read all the time: a full pipe would stop the program.
        let mut stderr = child.stderr.take().expect("its log");
        let log = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            stderr.read_to_end(&mut bytes).expect("a log");
            String::from_utf8_lossy(&bytes).into_owned()
        });
        let url = line.split_whitespace().last().expect("a URL").to_owned();
        let http = Client::builder(TokioExecutor::new()).build_http();
        Self { child, log, url, http }
    }

    async fn send(&self, request: Request<Bytes>) -> (u16, String) {
        let (mut head, body) = request.into_parts();
        let target = head
            .uri
            .path_and_query()
            .map(|p| p.as_str().to_owned())
            .unwrap_or_default();
        head.uri = format!("{}{target}", self.url).parse().expect("a URI");
        let answer = self
            .http
            .request(Request::from_parts(head, Full::new(body)))
            .await
            .expect("an answer");
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.expect("a body").to_bytes();
        (status, String::from_utf8_lossy(&body).into_owned())
    }

    /// Calls an action; whether it is a good call does not matter here.
    async fn call(&self, action: &str, params: &[(&str, &str)]) -> String {
        let mut all = vec![("RegionId", "cn-hangzhou")];
        all.extend_from_slice(params);
        let mut signed = Signed::new(action).form(&all);
        signed.key = ("keyid".to_owned(), format!("{MARK}-1"));
        self.send(signed.build()).await.1
    }

    async fn steer(&self, method: Method, path: &str, accept: &str, body: &str) -> (u16, String) {
        let mut request = Request::builder().method(method).uri(path);
        request = request.header("host", "localhost").header("accept", accept);
        if !body.is_empty() {
            request = request.header("content-type", "application/json");
        }
        self.send(request.body(Bytes::from(body.to_owned())).expect("a request"))
            .await
    }

    /// Ends it and gives all it logged.
    fn log(mut self) -> String {
        self.child.kill().expect("it can be ended");
        self.child.wait().expect("it ends");
        self.log.join().expect("the reader")
    }
}

#[tokio::test]
async fn no_secret_gets_out() {
    let program = Program::start();
    let secret = |n: u32| format!("{MARK}-{n}");
    let file = STANDARD.encode(secret(2));
    let create: Vec<(String, String)> = vec![
        ("ContainerGroupName".into(), "secretive".into()),
        ("Tag.1.Key".into(), "known".into()),
        ("Tag.1.Value".into(), "to-all".into()),
        ("Container.1.Name".into(), "c".into()),
        ("Container.1.Image".into(), "registry.test/image:1".into()),
        ("Container.1.Command.1".into(), secret(3)),
        ("Container.1.Arg.1".into(), format!("--password={}", secret(4))),
        ("Container.1.EnvironmentVar.1.Key".into(), "PASSWORD".into()),
        ("Container.1.EnvironmentVar.1.Value".into(), secret(5)),
        ("Container.1.environmentvar.2.value".into(), secret(6)),
        ("InitContainer.1.Name".into(), "i".into()),
        ("InitContainer.1.Image".into(), "busybox".into()),
        ("InitContainer.1.EnvironmentVar.1.Key".into(), "A".into()),
        ("InitContainer.1.EnvironmentVar.1.Value".into(), secret(7)),
        ("ImageRegistryCredential.1.Server".into(), "registry.test".into()),
        ("ImageRegistryCredential.1.UserName".into(), "me".into()),
        ("ImageRegistryCredential.1.Password".into(), secret(8)),
        ("Volume.1.Name".into(), "v".into()),
        ("Volume.1.Type".into(), "ConfigFileVolume".into()),
        ("Volume.1.ConfigFileVolume.ConfigFileToPath.1.Path".into(), "f".into()),
        (
            "Volume.1.ConfigFileVolume.ConfigFileToPath.1.Content".into(),
            file.clone(),
        ),
        ("Container.1.LivenessProbe.Exec.Command.1".into(), secret(9)),
        (
            "Container.1.LifecyclePreStopHandlerHttpGetHttpHeader.1.Name".into(),
            "Authorization".into(),
        ),
        (
            "Container.1.LifecyclePreStopHandlerHttpGetHttpHeader.1.Value".into(),
            secret(10),
        ),
    ];
    let create: Vec<(&str, &str)> = create.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    let created = program.call("CreateContainerGroup", &create).await;
    let created: Value = serde_json::from_str(&created).expect("JSON");
    let id = created["ContainerGroupId"]
        .as_str()
        .unwrap_or_else(|| panic!("{created}"));
    // A good call, and the same again with a mistake in it, which takes the ways of errors.
    let mut wrong = create.clone();
    wrong.push(("Cpu", "-1"));
    program.call("CreateContainerGroup", &wrong).await;
    let group = ("ContainerGroupId", id);
    let command = format!("[\"sh\", \"-c\", \"{}\"]", secret(11));
    program
        .call(
            "ExecContainerCommand",
            &[
                group,
                ("ContainerName", "c"),
                ("Command", &command),
                ("Sync", "true"),
                ("TTY", "false"),
            ],
        )
        .await;
    program
        .call(
            "UpdateContainerGroup",
            &[
                group,
                ("Container.1.Name", "c"),
                ("Container.1.EnvironmentVar.1.Key", "K"),
                ("Container.1.EnvironmentVar.1.Value", &secret(12)),
            ],
        )
        .await;
    program
        .call(
            "CreateVirtualNode",
            &[
                ("KubeConfig", &secret(13)),
                ("VirtualNodeName", "n"),
                ("TlsBootstrapEnabled", "true"),
            ],
        )
        .await;
    program
        .call(
            "CreateImageCache",
            &[
                ("ImageCacheName", "i"),
                ("Image.1", "busybox"),
                ("ImageRegistryCredential.1.Server", "registry.test"),
                ("ImageRegistryCredential.1.UserName", "me"),
                ("ImageRegistryCredential.1.Password", &secret(14)),
            ],
        )
        .await;
    program
        .call("CommitContainer", &[group, ("AcrRegistryInfo.Password", &secret(15))])
        .await;
    program.call("DescribeContainerGroups", &[]).await;
    // Temporary credentials, right and wrong, by both signatures; and calls that nobody signed.
    let sts = format!(
        r#"{{"id": "sts", "secret": "{}", "security-token": "{}"}}"#,
        secret(16),
        secret(17)
    );
    assert_eq!(
        program.steer(Method::POST, "/mock/credentials", "*/*", &sts).await.0,
        200
    );
    let mut signed = Signed::new("ListUsage").form(&[("RegionId", "cn-hangzhou")]);
    signed.key = ("sts".to_owned(), secret(16));
    signed.token = Some(secret(17));
    assert_eq!(program.send(signed.build()).await.0, 200);
    program
        .send(signed_v1(
            Method::GET,
            "ListUsage",
            &[("SecurityToken", &secret(18)), ("Password", &secret(19))],
        ))
        .await;
    program.send(Signed::new(&"x".repeat(300)).form(&create).build()).await;
    let fault = r#"{"action": "CreateContainerGroup", "kind": "error", "code": "InternalError"}"#;
    assert_eq!(program.steer(Method::POST, "/mock/faults", "*/*", fault).await.0, 200);
    program.call("CreateContainerGroup", &create).await;

    let (_, routes) = program.steer(Method::GET, "/mock/routes", "*/*", "").await;
    let routes: Vec<Value> = serde_json::from_str(&routes).expect("JSON");
    let mut read = 0;
    for accept in ["application/json", "text/html"] {
        for route in &routes {
            let route = route["route"].as_str().expect("a route");
            let Some(path) = route.strip_prefix("GET ") else {
                continue;
            };
            // What this one is for is to give credentials out.
            if path == "/mock/sts" {
                continue;
            }
            for query in ["", "?container=c"] {
                let path = format!("{}{query}", path.replace("{id}", id));
                let (status, answer) = program.steer(Method::GET, &path, accept, "").await;
                read += u32::from(status == 200);
                assert!(!answer.contains(MARK) && !answer.contains(&file), "{path}: {answer}");
            }
        }
    }
    assert!(read > 40, "the routes were read: {read}");
    let (_, journal) = program.steer(Method::GET, "/mock/journal", "*/*", "").await;
    assert!(
        journal.contains("registry.test") && journal.contains("to-all"),
        "it shows what is no secret"
    );
    let log = program.log();
    assert!(log.contains("CreateContainerGroup"), "it logs calls");
    for line in log.lines() {
        assert!(!line.contains(MARK) && !line.contains(&file), "{line}");
    }
}
