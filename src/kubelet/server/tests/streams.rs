//! `exec`, `attach` and `portForward` over TLS, as the API server asks for it (SPDY) and as other clients do (WebSocket).

use std::collections::HashMap;

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use http::header;
use reqwest::{Method, StatusCode, Upgraded};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::*;
use crate::kubelet::streams::spdy::frame::Frame;
use crate::kubelet::streams::testing::SpdyClient;

const EXEC: &str = "/exec/default/driver/spark";

/// What came on the streams of a command, by the name of the stream.
#[derive(Debug, Default, PartialEq, Eq)]
struct Received {
    stdout: String,
    stderr: String,
    error: String,
}

impl Received {
    fn status(&self) -> Value {
        serde_json::from_str(&self.error).expect("a status")
    }
}

/// A client of a command over SPDY, and the names of its streams.
struct Client {
    spdy: SpdyClient<Upgraded>,
    names: Vec<&'static str>,
}

impl Client {
    async fn connect(testee: &Testee, path: &str, version: &str, names: &[&'static str]) -> Self {
        let response = request(testee, path, "SPDY/3.1", &[("x-stream-protocol-version", version)]).await;
        assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
        assert_eq!(response.headers()[header::UPGRADE], "SPDY/3.1");
        assert_eq!(response.headers()["x-stream-protocol-version"], version);
        let mut client = Self {
            spdy: SpdyClient::new(response.upgrade().await.expect("a connection")),
            names: Vec::new(),
        };
        for name in names {
            client.open(name).await;
        }
        client
    }

    /// Opens a stream and waits until it is taken.
    async fn open(&mut self, name: &'static str) {
        self.names.push(name);
        let id = self.id(name);
        self.spdy.open(id, &[("streamtype", name)]).await;
        assert!(matches!(self.spdy.next().await, Some(Frame::SynReply { .. })));
    }

    fn id(&self, name: &str) -> u32 {
        let at = self.names.iter().position(|n| *n == name).expect("open");
        2 * at as u32 + 1
    }

    async fn send(&mut self, name: &str, fin: bool, data: &[u8]) {
        let data = Bytes::copy_from_slice(data);
        let id = self.id(name);
        self.spdy.send(&Frame::Data { id, fin, data }).await;
    }

    /// Reads until the server says goodbye. All streams of output have ended by then.
    async fn finish(&mut self) -> Received {
        let mut received = Received::default();
        let mut open = self.names.clone();
        loop {
            match self.spdy.next().await {
                Some(Frame::Data { id, fin, data }) => {
                    let name = self.names[id as usize / 2];
                    let text = String::from_utf8(data.to_vec()).expect("text");
                    match name {
                        "stdout" => received.stdout += &text,
                        "stderr" => received.stderr += &text,
                        "error" => received.error += &text,
                        _ => assert_eq!(text, ""),
                    }
                    if fin {
                        open.retain(|n| *n != name);
                    }
                }
                Some(Frame::GoAway { status, .. }) => {
                    assert_eq!((status, open), (0, Vec::new()));
                    return received;
                }
                other => panic!("{other:?} after {received:?}"),
            }
        }
    }
}

async fn request(testee: &Testee, path: &str, upgrade: &str, headers: &[(&str, &str)]) -> reqwest::Response {
    let method = if upgrade == "websocket" {
        Method::GET
    } else {
        Method::POST
    };
    let mut request = testee
        .api_server()
        .request(method, format!("{}{path}", testee.url))
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, upgrade);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.expect("answers")
}

#[tokio::test]
async fn a_commands_output_and_exit_code_arrive() {
    let testee = Testee::start().await;
    let path = format!("{EXEC}?command=exit&command=7&output=1&error=1");
    let mut client = Client::connect(&testee, &path, "v4.channel.k8s.io", &["error", "stdout", "stderr"]).await;
    let received = client.finish().await;
    assert_eq!((received.stdout.as_str(), received.stderr.as_str()), ("out", "err"));
    let status = received.status();
    assert_eq!(
        (&status["status"], &status["reason"]),
        (&json!("Failure"), &json!("NonZeroExitCode"))
    );
    assert_eq!(
        status["details"]["causes"],
        json!([{ "reason": "ExitCode", "message": "7" }])
    );

    let path = format!("{EXEC}?command=exit&command=0&output=1");
    let mut client = Client::connect(&testee, &path, "v4.channel.k8s.io", &["error", "stdout"]).await;
    let received = client.finish().await;
    assert_eq!((received.stdout.as_str(), received.stderr.as_str()), ("out", ""));
    assert_eq!(received.status(), json!({ "metadata": {}, "status": "Success" }));
}

#[tokio::test]
async fn before_v4_the_error_stream_has_words() {
    let testee = Testee::start().await;
    for version in ["v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io"] {
        let path = format!("{EXEC}?command=exit&command=7&output=1&error=1");
        let mut client = Client::connect(&testee, &path, version, &["error", "stdout", "stderr"]).await;
        let received = client.finish().await;
        assert_eq!(
            received.error,
            "command terminated with non-zero exit code: command terminated with exit code 7"
        );
    }
}

#[tokio::test]
async fn input_goes_through_to_its_end() {
    let testee = Testee::start().await;
    let path = "/exec/default/driver/u/spark?command=cat&input=1&output=1";
    let mut client = Client::connect(&testee, path, "v4.channel.k8s.io", &["error", "stdin", "stdout"]).await;
    let text: String = (0..20_000).map(|n| format!("{n}\n")).collect();
    let sent = text.clone();
    // Less than fits on the way, so that it need not be read meanwhile.
    for chunk in sent.as_bytes().chunks(10_000) {
        client.send("stdin", false, chunk).await;
    }
    client.send("stdin", true, b"").await;
    let received = client.finish().await;
    assert_eq!(received.stdout, text);
    assert_eq!(received.status()["status"], "Success");
}

#[tokio::test]
async fn a_terminal_has_a_size() {
    let testee = Testee::start().await;
    let path = format!("{EXEC}?command=size&input=1&output=1&error=1&tty=1");
    let mut client = Client::connect(
        &testee,
        &path,
        "v4.channel.k8s.io",
        &["error", "stdin", "stdout", "resize"],
    )
    .await;
    client.send("resize", false, b"{\"Width\":132,\"Height\":43}\n").await;
    assert_eq!(client.finish().await.stdout, "43 132");
}

#[tokio::test]
async fn a_command_that_cannot_be_run_says_why() {
    let testee = Testee::start().await;
    for (command, why) in [
        ("refuse", "ExecContainerCommand: IncorrectStatus: no"),
        ("break", "the connection to the command broke"),
    ] {
        let path = format!("{EXEC}?command={command}&output=1");
        let mut client = Client::connect(&testee, &path, "v4.channel.k8s.io", &["error", "stdout"]).await;
        let status = client.finish().await.status();
        assert_eq!(
            (&status["reason"], &status["code"]),
            (&json!("InternalError"), &json!(500))
        );
        assert_eq!(
            status["message"],
            format!("Internal error occurred: error executing command in container: {why}")
        );
    }
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_command_with_it() {
    let testee = Testee::start().await;
    for command in ["cat", "yes"] {
        let path = format!("{EXEC}?command={command}&input=1&output=1");
        let client = Client::connect(&testee, &path, "v4.channel.k8s.io", &["error", "stdin", "stdout"]).await;
        until(|| testee.commands.running() == 1).await;
        drop(client);
        until(|| testee.commands.running() == 0).await;
    }
    let gauge = testee.metrics.kubelet_streams.with_label_values(&["exec"]);
    until(|| gauge.get() == 0).await;
}

#[tokio::test]
async fn the_shutdown_ends_commands_with_a_reason() {
    let testee = Testee::start().await;
    let path = format!("{EXEC}?command=cat&input=1&output=1");
    let mut client = Client::connect(&testee, &path, "v4.channel.k8s.io", &["error", "stdin", "stdout"]).await;
    until(|| testee.commands.running() == 1).await;
    testee.shutdown.trigger();
    timeout(Duration::from_secs(10), testee.serving)
        .await
        .expect("ends")
        .expect("no panic");
    assert_eq!(testee.commands.running(), 0);
    let status = client.finish().await.status();
    let message = status["message"].as_str().expect("text");
    assert!(
        message.contains("the agent of this virtual node is being stopped"),
        "{message}"
    );
}

async fn until(condition: impl Fn() -> bool) {
    let met = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(10), met).await.expect("it comes true");
}

#[tokio::test]
async fn what_cannot_be_run_is_refused_as_a_kubelet_refuses_it() {
    let testee = Testee::start().await;
    let exec = |path: &'static str| {
        let testee = &testee;
        async move {
            let versions = [("x-stream-protocol-version", "v4.channel.k8s.io")];
            let response = request(testee, path, "SPDY/3.1", &versions).await;
            (response.status().as_u16(), response.text().await.expect("text"))
        }
    };
    for (path, code, body) in [
        (
            "/exec/default/driver/spark?command=x",
            400,
            "you must specify at least 1 of stdin, stdout, stderr",
        ),
        (
            "/exec/default/nobody/spark?command=x&output=1",
            404,
            "pod does not exist",
        ),
        (
            "/exec/default/driver/none?command=x&output=1",
            500,
            "container not found (\"none\")",
        ),
        (
            "/exec/default/driver/late?command=x&output=1",
            500,
            "container not found (\"late\")",
        ),
        (
            "/exec/default/driver/other-uid/spark?command=x&output=1",
            500,
            "container not found (\"spark\")",
        ),
    ] {
        assert_eq!(exec(path).await, (code, body.to_owned()), "{path}");
    }
    let path = format!("{EXEC}?command=x&output=1");
    let plain = testee.get(&testee.api_server(), &path).await;
    assert_eq!(plain, (500, "Upgrade request required\n".to_owned()));
    let no_version = request(&testee, &path, "SPDY/3.1", &[]).await;
    assert_eq!(no_version.status(), StatusCode::BAD_REQUEST);
    let foreign = request(&testee, &path, "SPDY/3.1", &[("x-stream-protocol-version", "v9")]).await;
    assert_eq!(foreign.status(), StatusCode::FORBIDDEN);
    let accepted = foreign.headers().get_all("x-accepted-stream-protocol-versions");
    assert_eq!(accepted.iter().count(), 4);
    let long = "x".repeat(5_000);
    let path = format!("{EXEC}?command=x&command={long}&output=1");
    let too_long = request(
        &testee,
        &path,
        "SPDY/3.1",
        &[("x-stream-protocol-version", "v4.channel.k8s.io")],
    )
    .await;
    assert_eq!(too_long.status(), StatusCode::BAD_REQUEST);
    let text = too_long.text().await.expect("text");
    let status: Value = serde_json::from_str(&text).expect("a Status");
    assert_eq!((&status["kind"], &status["code"]), (&json!("Status"), &json!(400)));
    let message = status["message"].as_str().unwrap_or_default();
    assert!(
        message.starts_with("the command is too long for ECI") && !text.contains(&long),
        "{text}"
    );
}

#[tokio::test]
async fn attach_follows_what_is_written_until_the_container_ends() {
    let testee = Testee::start().await;
    let path = "/attach/default/driver/spark?output=1&error=1";
    let mut client = Client::connect(&testee, path, "v4.channel.k8s.io", &["error", "stdout", "stderr"]).await;
    let write = |line: &str| testee.node.log.lock().expect("no panics").push_str(line);
    until(|| *testee.node.reads.lock().expect("no panics") > 0).await;
    write("2026-01-02T03:04:06Z two\n");
    let Some(Frame::Data { data, .. }) = client.spdy.next().await else {
        panic!("no line");
    };
    assert_eq!(&data[..], b"two\n", "what was there before is not shown");
    *testee.node.state.lock().expect("no panics") = ContainerRun::Terminated;
    assert_eq!(client.finish().await.status()["status"], "Success");
}

#[tokio::test]
async fn attach_refuses_what_it_cannot_do() {
    let testee = Testee::start().await;
    for (path, code, text) in [
        (
            "/attach/default/driver/spark?input=1&output=1",
            400,
            "input is not possible",
        ),
        ("/attach/default/driver/spark", 400, "you must specify at least 1 of"),
        ("/attach/default/nobody/spark?output=1", 404, "pod does not exist"),
        (
            "/attach/default/driver/late?output=1",
            500,
            "container late not found in pod driver_default",
        ),
    ] {
        let versions = [("x-stream-protocol-version", "v4.channel.k8s.io")];
        let response = request(&testee, path, "SPDY/3.1", &versions).await;
        assert_eq!(response.status().as_u16(), code, "{path}");
        let body = response.text().await.expect("text");
        assert!(body.contains(text), "{body}");
    }
}

/// A pod's program: it sends back what it gets, and then says goodbye.
async fn echo() -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let port = listener.local_addr().expect("bound").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.into_split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
                let _ = to.write_all(b"bye").await;
            });
        }
    });
    port
}

async fn port_forward(testee: &Testee) -> SpdyClient<Upgraded> {
    let versions = [("x-stream-protocol-version", "portforward.k8s.io")];
    let response = request(testee, "/portForward/default/driver", "SPDY/3.1", &versions).await;
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    SpdyClient::new(response.upgrade().await.expect("a connection"))
}

/// Opens the two streams of a connection, `id` and the next odd one.
async fn open_pair(client: &mut SpdyClient<Upgraded>, id: u32, port: u16) {
    let (port, request) = (port.to_string(), id.to_string());
    for (id, kind) in [(id, "error"), (id + 2, "data")] {
        let headers = [("streamtype", kind), ("port", &port), ("requestid", &request)];
        client.open(id, &headers).await;
    }
}

/// What comes on each stream until all of `ids` have ended; a reset stream ends with `!`.
async fn received(client: &mut SpdyClient<Upgraded>, ids: &[u32]) -> HashMap<u32, String> {
    let mut texts: HashMap<u32, String> = HashMap::new();
    let mut open = ids.to_vec();
    while !open.is_empty() {
        match client.next().await {
            Some(Frame::Data { id, fin, data }) => {
                let text = texts.entry(id).or_default();
                text.push_str(std::str::from_utf8(&data).expect("text"));
                open.retain(|other| !fin || *other != id);
            }
            Some(Frame::RstStream { id, .. }) => {
                texts.entry(id).or_default().push('!');
                open.retain(|other| *other != id);
            }
            Some(Frame::SynReply { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
    texts
}

fn data(id: u32, fin: bool, text: &'static str) -> Frame {
    let data = Bytes::from_static(text.as_bytes());
    Frame::Data { id, fin, data }
}

#[tokio::test]
async fn connections_to_a_pod_are_forwarded_side_by_side_and_end_one_direction_at_a_time() {
    let testee = Testee::start().await;
    let port = echo().await;
    let mut client = port_forward(&testee).await;
    open_pair(&mut client, 1, port).await;
    open_pair(&mut client, 5, port).await;
    client.send(&data(7, false, "second ")).await;
    client.send(&data(3, false, "first ")).await;
    client.send(&data(7, true, "end ")).await;
    let second = received(&mut client, &[5, 7]).await;
    assert_eq!(second[&7], "second end bye");
    client.send(&data(3, true, "end ")).await;
    let first = received(&mut client, &[1, 3]).await;
    let earlier = second.get(&3).cloned().unwrap_or_default();
    assert_eq!(earlier + &first[&3], "first end bye");
}

#[tokio::test]
async fn a_port_that_nobody_listens_on_is_an_error_of_its_connection_only() {
    let testee = Testee::start().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let closed = listener.local_addr().expect("bound").port();
    drop(listener);
    let mut client = port_forward(&testee).await;
    open_pair(&mut client, 1, closed).await;
    let texts = received(&mut client, &[1, 3]).await;
    let expected =
        format!("error forwarding port {closed} to pod driver, uid u: cannot connect to 127.0.0.1:{closed}: ");
    assert!(texts[&1].starts_with(&expected), "{texts:?}");
    assert_eq!(texts[&3], "!", "data is reset");

    open_pair(&mut client, 5, echo().await).await;
    client.send(&data(7, true, "")).await;
    assert_eq!(received(&mut client, &[5, 7]).await[&7], "bye");
}

#[tokio::test]
async fn streams_that_belong_to_no_connection_are_reset() {
    let testee = Testee::start().await;
    let mut client = port_forward(&testee).await;
    for (id, headers) in [
        (1, &[("streamtype", "data")][..]),
        (3, &[("streamtype", "data"), ("port", "0")]),
        (5, &[("streamtype", "data"), ("port", "65536")]),
        (7, &[("streamtype", "stdout"), ("port", "80")]),
        (9, &[("port", "80")]),
    ] {
        client.open(id, headers).await;
        assert_eq!(received(&mut client, &[id]).await[&id], "!", "{headers:?}");
    }
}

#[tokio::test]
async fn a_forwarded_connection_ends_with_its_client() {
    let testee = Testee::start().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let port = listener.local_addr().expect("bound").port();
    for reset in [true, false] {
        let mut client = port_forward(&testee).await;
        open_pair(&mut client, 1, port).await;
        let (mut pod, _) = listener.accept().await.expect("a connection");
        if reset {
            let status = crate::kubelet::streams::spdy::frame::Status::CANCEL;
            client.send(&Frame::RstStream { id: 3, status }).await;
        } else {
            drop(client);
        }
        let mut rest = Vec::new();
        let ended = timeout(Duration::from_secs(20), pod.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "the pod's side is closed");
    }
}

#[tokio::test]
async fn a_pod_that_cannot_be_reached_is_refused_as_a_kubelet_refuses_it() {
    let testee = Testee::start().await;
    let ask = |path: &'static str| {
        let testee = &testee;
        async move {
            let versions = [("x-stream-protocol-version", "portforward.k8s.io")];
            let response = request(testee, path, "SPDY/3.1", &versions).await;
            (response.status().as_u16(), response.text().await.expect("text"))
        }
    };
    let answer = |code, text: &str| (code, text.to_owned());
    assert_eq!(
        ask("/portForward/default/nobody").await,
        answer(404, "pod does not exist")
    );
    assert_eq!(
        ask("/portForward/default/driver/other").await,
        answer(404, "pod not found")
    );
    *testee.node.state.lock().expect("no panics") = ContainerRun::Terminated;
    assert_eq!(
        ask("/portForward/default/driver").await,
        answer(500, "pod not found (\"driver_default\")")
    );
}

#[tokio::test]
async fn ports_over_a_websocket_are_pairs_of_channels() {
    let testee = Testee::start().await;
    let port = echo().await;
    let path = format!("/portForward/default/driver?port={port}");
    let mut socket = websocket(&testee, &path, Some("v4.channel.k8s.io")).await;
    for channel in [0, 1] {
        let mut expected = vec![channel];
        expected.extend(port.to_le_bytes());
        let first = socket.next().await.expect("open").expect("a message");
        assert_eq!(first, Message::binary(expected), "each channel begins with its port");
    }
    socket.send(Message::binary(&b"\x00hello"[..])).await.expect("open");
    let echoed = socket.next().await.expect("open").expect("a message");
    assert_eq!(echoed, Message::binary(&b"\x00hello"[..]));
}

async fn websocket(testee: &Testee, path: &str, offer: Option<&str>) -> WebSocketStream<Upgraded> {
    let mut headers = vec![
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    headers.extend(offer.map(|offer| ("sec-websocket-protocol", offer)));
    let response = request(testee, path, "websocket", &headers).await;
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    assert_eq!(
        response.headers()["sec-websocket-accept"],
        "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    );
    let chosen = response
        .headers()
        .get("sec-websocket-protocol")
        .map(|name| name.to_str().expect("text"));
    assert_eq!(chosen, offer);
    WebSocketStream::from_raw_socket(response.upgrade().await.expect("a connection"), Role::Client, None).await
}

#[tokio::test]
async fn channels_over_a_websocket_carry_a_command() {
    let testee = Testee::start().await;
    for (offer, end) in [
        (
            None,
            &b"\x03command terminated with non-zero exit code: command terminated with exit code 7"[..],
        ),
        (Some("v4.channel.k8s.io"), b"\x03{"),
    ] {
        let path = format!("{EXEC}?command=exit&command=7&output=1&error=1");
        let socket = websocket(&testee, &path, offer).await;
        let messages: Vec<Message> = socket.map(|message| message.expect("a message")).collect().await;
        let [first, out, err, status, Message::Close(_)] = messages.as_slice() else {
            panic!("{messages:?}");
        };
        assert_eq!(
            first,
            &Message::binary(&b"\x01"[..]),
            "the client is told that it is connected"
        );
        assert_eq!(
            (out, err),
            (&Message::binary(&b"\x01out"[..]), &Message::binary(&b"\x02err"[..]))
        );
        let Message::Binary(status) = status else {
            panic!("{status:?}");
        };
        assert!(status.starts_with(end), "{status:?}");
    }
}

#[tokio::test]
async fn v5_ends_standard_input() {
    let testee = Testee::start().await;
    let path = format!("{EXEC}?command=cat&input=1&output=1");
    let mut socket = websocket(&testee, &path, Some("v5.channel.k8s.io")).await;
    for message in [&b"\x00in"[..], b"\x00", b"\xff\x00"] {
        socket.send(Message::binary(message)).await.expect("open");
    }
    let messages: Vec<Message> = socket.map(|message| message.expect("a message")).collect().await;
    assert_eq!(messages[1], Message::binary(&b"\x01in"[..]));
    assert_eq!(
        messages[2],
        Message::binary(&b"\x03{\"metadata\":{},\"status\":\"Success\"}"[..])
    );
}

#[tokio::test]
async fn a_terminal_over_base64() {
    let testee = Testee::start().await;
    let path = format!("{EXEC}?command=size&input=1&output=1&tty=1");
    let mut socket = websocket(&testee, &path, Some("v4.base64.channel.k8s.io")).await;
    let size = "4eyJXaWR0aCI6MTMyLCJIZWlnaHQiOjQzfQ==";
    socket.send(Message::text(size)).await.expect("open");
    let messages: Vec<Message> = socket.map(|message| message.expect("a message")).collect().await;
    assert_eq!(messages[..2], [Message::text("1"), Message::text("1NDMgMTMy")]);
}

#[tokio::test]
async fn a_subprotocol_that_is_not_spoken_is_refused() {
    let testee = Testee::start().await;
    let headers = [
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-protocol", "chat"),
    ];
    let path = format!("{EXEC}?command=x&output=1");
    let response = request(&testee, &path, "websocket", &headers).await;
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
}
