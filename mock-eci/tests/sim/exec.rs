//! ExecContainerCommand: what is refused, what is answered at once, and the WebSocket.

use std::time::Duration;

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use http::Request;
use mock_eci::{Config, Peer};
use serde_json::{Value, json};
use tokio::io::DuplexStream;
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Error, Message, client::IntoClientRequest, protocol::WebSocketConfig},
};

use crate::bed::Bed;

/// A group `id` that runs, and commands in its container `c`.
async fn running(bed: &Bed) -> String {
    let secret = [
        ("Container.1.EnvironmentVar.1.Key", "COLOUR"),
        ("Container.1.EnvironmentVar.1.Value", "blue"),
    ];
    let id = bed.create("exec", &secret).await;
    bed.until(&id, "Running").await;
    id
}

async fn call(bed: &Bed, id: &str, command: &[&str], more: &[(&str, &str)]) -> crate::bed::Reply {
    let command = json!(command).to_string();
    let mut params = vec![("ContainerGroupId", id), ("ContainerName", "c"), ("Command", &*command)];
    params.retain(|(name, _)| more.iter().all(|(given, _)| given != name));
    params.extend_from_slice(more);
    bed.call("ExecContainerCommand", &params).await
}

async fn sync(bed: &Bed, id: &str, command: &[&str]) -> String {
    let answer = call(bed, id, command, &[("Sync", "true")]).await.ok();
    assert!(
        answer.get("WebSocketUri").is_none() && answer.get("HttpUrl").is_none(),
        "{answer}"
    );
    answer["SyncResponse"].as_str().expect("text").to_owned()
}

/// A client's end of a session.
struct Session(WebSocketStream<DuplexStream>);

/// All that a command gave.
#[derive(Debug, Default)]
struct Output {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    status: Value,
}

impl Session {
    async fn send(&mut self, channel: u8, data: &[u8]) {
        let message: Bytes = [&[channel], data].concat().into();
        self.0.send(Message::Binary(message)).await.expect("an open socket");
    }

    /// The next channel and its data; none = the server closed the connection, cleanly.
    async fn next(&mut self) -> Option<(u8, Bytes)> {
        loop {
            match self.0.next().await {
                Some(Ok(Message::Binary(data))) => return Some((data[0], data.slice(1..))),
                Some(Ok(Message::Close(frame))) => {
                    assert_eq!(u16::from(frame.expect("a code").code), 1000);
                    return None;
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("no clean end: {other:?}"),
            }
        }
    }

    async fn until_end(mut self) -> Output {
        let mut all = Output::default();
        while let Some((channel, data)) = self.next().await {
            match channel {
                1 => all.stdout.extend_from_slice(&data),
                2 => all.stderr.extend_from_slice(&data),
                3 => all.status = serde_json::from_slice(&data).expect("a Status"),
                other => panic!("channel {other}"),
            }
        }
        assert!(!all.status.is_null(), "no status: {all:?}");
        all
    }
}

impl Output {
    fn stdout(&self) -> &str {
        std::str::from_utf8(&self.stdout).expect("text")
    }

    fn exit_code(&self) -> i32 {
        match self.status["status"].as_str() {
            Some("Success") => 0,
            _ => {
                assert_eq!(self.status["reason"], "NonZeroExitCode", "{self:?}");
                assert_eq!(self.status["details"]["causes"][0]["reason"], "ExitCode");
                let code = self.status["details"]["causes"][0]["message"].as_str();
                code.expect("a code").parse().expect("a number")
            }
        }
    }
}

/// Connects to an address that was given, over a connection in memory.
async fn connect(bed: &Bed, uri: &str, protocol: Option<&str>) -> Result<Session, Error> {
    let mut request = uri.into_client_request()?;
    if let Some(protocol) = protocol {
        let value = protocol.parse().expect("a header value");
        request.headers_mut().insert("sec-websocket-protocol", value);
    }
    let (socket, answer) = client_async(request, bed.app().connect()).await?;
    let spoken = answer.headers().get("sec-websocket-protocol");
    assert_eq!(spoken.map(|value| value.as_bytes()), protocol.map(str::as_bytes));
    Ok(Session(socket))
}

async fn address(bed: &Bed, id: &str, command: &[&str], more: &[(&str, &str)]) -> String {
    let answer = call(bed, id, command, more).await.ok();
    assert!(answer.get("SyncResponse").is_none(), "{answer}");
    answer["WebSocketUri"].as_str().expect("an address").to_owned()
}

async fn session(bed: &Bed, id: &str, command: &[&str], more: &[(&str, &str)]) -> Session {
    let uri = address(bed, id, command, more).await;
    connect(bed, &uri, Some("v4.channel.k8s.io")).await.expect("a session")
}

fn refused(result: Result<Session, Error>) -> u16 {
    match result {
        Err(Error::Http(answer)) => answer.status().as_u16(),
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it was accepted"),
    }
}

/// Waits for something that is about to be so.
async fn until(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..10_000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("not so: {what}");
}

#[tokio::test(start_paused = true)]
async fn what_is_refused() {
    let bed = Bed::new().await;
    let id = running(&bed).await;
    let long = "x".repeat(257);
    let many = vec!["x"; 21];
    let no_container = [("ContainerName", "d")];
    type Refusal<'a> = (&'a str, &'a [&'a str], &'a [(&'a str, &'a str)], (u16, &'a str));
    let refusals: &[Refusal<'_>] = &[
        ("eci-nowhere", &["true"], &[], (404, "InvalidContainerGroupId.NotFound")),
        (&id, &["true"], &no_container, (404, "InvalidContainerName.NotFound")),
        (&id, &many, &[], (400, "InvalidParameter.ValueExceeded")),
        (&id, &[&long], &[], (400, "InvalidParameter.ValueExceeded")),
        (&id, &[], &[], (400, "InvalidParameter")),
        (&id, &["true"], &[("Command", "true")], (400, "InvalidParameter")),
        (&id, &["true"], &[("Command", "")], (400, "MissingParameter")),
        (&id, &["true"], &[("ContainerName", "")], (400, "MissingParameter")),
        (
            &id,
            &["true"],
            &[("Sync", "true"), ("TTY", "true")],
            (400, "InvalidParameter"),
        ),
        (&id, &["true"], &[("Stdin", "maybe")], (400, "InvalidParameter")),
    ];
    for (group, command, more, expected) in refusals {
        let reply = call(&bed, group, command, more).await;
        assert_eq!((reply.status, reply.code()), *expected, "{command:?} {more:?}");
    }
    let fits = vec!["echo"; 20];
    assert_eq!(sync(&bed, &id, &fits).await.split_whitespace().count(), 19);

    let job = [
        ("RestartPolicy", "Never"),
        ("Tag.1.Key", "mock-eci/exit-after-ms"),
        ("Tag.1.Value", "10"),
    ];
    let ended = bed.create("ended", &job).await;
    let early = call(&bed, &ended, &["true"], &[]).await;
    assert_eq!((early.status, early.code()), (400, "IncorrectStatus"), "before it runs");
    bed.until(&ended, "Succeeded").await;
    let late = call(&bed, &ended, &["true"], &[("Sync", "true")]).await;
    assert_eq!((late.status, late.code()), (400, "IncorrectStatus"), "and after");
}

#[tokio::test(start_paused = true)]
async fn synchronous_commands_answer_with_both_streams() {
    let bed = Bed::new().await;
    let id = running(&bed).await;
    assert_eq!(sync(&bed, &id, &["echo", "a", "b"]).await, "a b\n");
    assert_eq!(
        sync(&bed, &id, &["sh", "-c", "echo out; echo err >&2; exit 7"]).await,
        "out\nerr\n"
    );
    assert_eq!(sync(&bed, &id, &["cat"]).await, "", "there is no input");
    assert_eq!(
        sync(&bed, &id, &["printenv", "COLOUR", "HOSTNAME"]).await,
        "blue\nexec\n"
    );
    assert!(
        sync(&bed, &id, &["no-such"])
            .await
            .contains("executable file not found")
    );
    let reply = call(&bed, &id, &["sleep", "3600"], &[("Sync", "true")]).await;
    assert_eq!((reply.status, reply.code()), (400, "OperationFailed.Timeout"));
}

#[tokio::test]
async fn streams_and_exit_codes() {
    let bed = Bed::new().await;
    let id = running(&bed).await;
    let good = session(&bed, &id, &["echo", "hello"], &[]).await.until_end().await;
    assert_eq!((good.stdout(), good.exit_code()), ("hello\n", 0));
    assert_eq!(good.status, json!({"metadata": {}, "status": "Success"}));
    let script = "echo out; echo err >&2; exit 7";
    let bad = session(&bed, &id, &["sh", "-c", script], &[]).await.until_end().await;
    assert_eq!(
        (bad.stdout(), &bad.stderr[..], bad.exit_code()),
        ("out\n", &b"err\n"[..], 7)
    );
    let none = session(&bed, &id, &["no-such"], &[]).await.until_end().await;
    assert_eq!(none.exit_code(), 127);
}

#[tokio::test]
async fn every_subprotocol_and_none() {
    let bed = Bed::new().await;
    let id = running(&bed).await;
    let command = ["sh", "-c", "echo x; exit 3"];
    for protocol in [None, Some("v4.channel.k8s.io"), Some("channel.k8s.io")] {
        let uri = address(&bed, &id, &command, &[]).await;
        let mut session = connect(&bed, &uri, protocol).await.expect("a session");
        assert_eq!(session.next().await, Some((1, Bytes::new())), "it was started");
        assert_eq!(session.next().await, Some((1, Bytes::from_static(b"x\n"))));
        let (channel, status) = session.next().await.expect("a status");
        assert_eq!(
            (channel, status.starts_with(b"{")),
            (3, protocol != Some("channel.k8s.io"))
        );
        assert_eq!(session.next().await, None);
    }
    let uri = address(&bed, &id, &command, &[]).await;
    let mut session = connect(&bed, &uri, Some("v4.base64.channel.k8s.io"))
        .await
        .expect("a session");
    assert_eq!(
        session.0.next().await.expect("a message").expect("good"),
        Message::text("1")
    );
    assert_eq!(
        session.0.next().await.expect("a message").expect("good"),
        Message::text("1eAo=")
    );

    let uri = address(&bed, &id, &command, &[]).await;
    assert_eq!(refused(connect(&bed, &uri, Some("chat")).await), 400);
    assert!(
        connect(&bed, &uri, None).await.is_ok(),
        "a bad handshake does not use the token up"
    );
}

#[tokio::test]
async fn an_empty_message_ends_the_input_unless_that_is_off() {
    let bed = Bed::new().await;
    let id = running(&bed).await;
    let mut cat = session(&bed, &id, &["cat"], &[]).await;
    cat.send(0, b"one ").await;
    cat.send(0, b"two").await;
    cat.send(0, b"").await;
    let output = cat.until_end().await;
    assert_eq!((output.stdout(), output.exit_code()), ("one two", 0));

    let steered = Request::post("/mock/exec")
        .header("content-type", "application/json")
        .body(Bytes::from_static(b"{\"stdin-end\": false}"))
        .expect("valid");
    assert_eq!(
        bed.app()
            .handle(steered, Peer::Memory)
            .await
            .expect("an answer")
            .status(),
        200
    );
    let mut shell = session(&bed, &id, &["sh"], &[]).await;
    shell.send(0, b"").await;
    shell.send(0, b"echo still there; exit 2\n").await;
    let output = shell.until_end().await;
    assert_eq!((output.stdout(), output.exit_code()), ("still there\n", 2));

    let bed = Bed::with(Config {
        exec_stdin_end: false,
        ..Config::default()
    })
    .await;
    assert!(!bed.app().exec().stdin_end(), "it is a setting too");
}

#[tokio::test]
async fn without_stdin_nothing_is_read() {
    let bed = Bed::new().await;
    let id = running(&bed).await;
    let mut cat = session(&bed, &id, &["cat"], &[("Stdin", "false")]).await;
    cat.send(0, b"ignored").await;
    let output = cat.until_end().await;
    assert_eq!((output.stdout(), output.exit_code()), ("", 0));
}

#[tokio::test]
async fn a_megabyte_through_cat_comes_back_unchanged() {
    let bed = Bed::new().await;
    let id = running(&bed).await;
    let mut session = session(&bed, &id, &["cat"], &[]).await;
    let data: Vec<u8> = (0..1_000_000_u32).map(|i| (i % 251) as u8).collect();
    let (mut sink, mut stream) = (&mut session.0).split();
    let send = async {
        for chunk in data.chunks(100_000) {
            let message: Bytes = [&[0], chunk].concat().into();
            sink.send(Message::Binary(message)).await.expect("an open socket");
        }
        sink.send(Message::binary(&b"\x00"[..])).await.expect("an open socket");
    };
    let receive = async {
        let mut back = Vec::new();
        while let Some(Ok(Message::Binary(message))) = stream.next().await {
            match message[0] {
                1 => back.extend_from_slice(&message[1..]),
                channel => {
                    assert_eq!(channel, 3);
                    return back;
                }
            }
        }
        panic!("no status");
    };
    let ((), back) = tokio::join!(send, receive);
    assert!(back == data, "{} bytes came back", back.len());
}

#[tokio::test]
async fn a_terminal_has_a_size() {
    let bed = Bed::new().await;
    let id = running(&bed).await;
    let mut shell = session(&bed, &id, &["/bin/bash"], &[("TTY", "true")]).await;
    assert_eq!(shell.next().await, Some((1, Bytes::new())));
    for (width, height, line) in [(80, 24, "24 80\r\n"), (120, 40, "40 120\r\n")] {
        shell
            .send(4, json!({"Width": width, "Height": height}).to_string().as_bytes())
            .await;
        // In order with the size, on one connection.
        shell.send(0, b"stty size\r").await;
        assert_eq!(shell.next().await, Some((1, Bytes::from(line))));
    }
    shell.send(0, b"\x04").await;
    assert_eq!(shell.until_end().await.exit_code(), 0);
}

#[tokio::test]
async fn a_token_is_good_once_and_for_half_a_minute() {
    let bed = Bed::new().await;
    let id = running(&bed).await;
    let uri = address(&bed, &id, &["true"], &[]).await;
    assert!(uri.starts_with("ws://eci.test/exec/?s="), "{uri}");
    assert_eq!(
        connect(&bed, &uri, None)
            .await
            .expect("a session")
            .until_end()
            .await
            .exit_code(),
        0
    );
    assert_eq!(refused(connect(&bed, &uri, None).await), 403, "used");
    let late = address(&bed, &id, &["true"], &[]).await;
    bed.app().advance(Duration::from_secs(31));
    assert_eq!(refused(connect(&bed, &late, None).await), 403, "too late");
    assert_eq!(refused(connect(&bed, "ws://eci.test/exec/?s=guess", None).await), 403);
    assert_eq!(refused(connect(&bed, "ws://eci.test/exec/", None).await), 400);
    let again = address(&bed, &id, &["true"], &[]).await;
    bed.app().reset().await.expect("an empty account");
    assert_eq!(refused(connect(&bed, &again, None).await), 403, "forgotten");
}

#[tokio::test]
async fn the_command_ends_with_its_client_and_with_its_container() {
    let bed = Bed::new().await;
    let id = running(&bed).await;
    let mut shell = session(&bed, &id, &["sleep", "3600"], &[]).await;
    assert_eq!(shell.next().await, Some((1, Bytes::new())));
    assert_eq!(bed.app().exec().running(), 1);
    drop(shell);
    until("the session is over", || bed.app().exec().running() == 0).await;

    let mut sleeping = session(&bed, &id, &["sleep", "3600"], &[]).await;
    assert_eq!(sleeping.next().await, Some((1, Bytes::new())));
    let ended = mock_eci::runtime::Exit {
        code: 1,
        ..Default::default()
    };
    assert!(bed.app().simulated().expect("simulated").exit(&id, "c", ended));
    assert_eq!(sleeping.until_end().await.exit_code(), 137);

    let uri = address(&bed, &id, &["true"], &[]).await;
    bed.call("DeleteContainerGroup", &[("ContainerGroupId", &id)])
        .await
        .ok();
    let gone = connect(&bed, &uri, None).await.expect("a session").until_end().await;
    assert_eq!(
        (&gone.status["status"], &gone.status["reason"]),
        (&json!("Failure"), &json!("InternalError"))
    );
}

#[tokio::test]
async fn a_message_that_is_too_large_ends_the_session() {
    let bed = Bed::new().await;
    let id = running(&bed).await;
    let uri = address(&bed, &id, &["cat"], &[]).await;
    let config = WebSocketConfig::default().max_message_size(None);
    let request = uri.into_client_request().expect("a request");
    let stream = bed.app().connect();
    let (mut socket, _) = tokio_tungstenite::client_async_with_config(request, stream, Some(config))
        .await
        .expect("a session");
    // Refused before all of it was sent, or after.
    let _ = socket.send(Message::binary(vec![0; 2 * 1024 * 1024])).await;
    until("the session is over", || bed.app().exec().running() == 0).await;
}

#[tokio::test]
async fn no_more_sessions_than_there_is_room_for() {
    let bed = Bed::with(Config {
        limits: mock_eci::config::Limits::None,
        ..Config::default()
    })
    .await;
    let id = running(&bed).await;
    let mut open = Vec::new();
    for _ in 0..mock_eci::exec::MAX_SESSIONS {
        open.push(session(&bed, &id, &["cat"], &[]).await);
    }
    let uri = address(&bed, &id, &["true"], &[]).await;
    assert_eq!(refused(connect(&bed, &uri, None).await), 503);
    let reply = call(&bed, &id, &["true"], &[("Sync", "true")]).await;
    assert_eq!((reply.status, reply.code()), (400, "Throttling"));
    drop(open);
    until("the sessions are over", || bed.app().exec().running() == 0).await;
    assert_eq!(
        connect(&bed, &uri, None)
            .await
            .expect("room")
            .until_end()
            .await
            .exit_code(),
        0
    );
}

#[tokio::test]
async fn the_journal_shows_neither_command_nor_token() {
    let bed = Bed::new().await;
    let id = running(&bed).await;
    let uri = address(&bed, &id, &["login", "hunter2"], &[]).await;
    call(&bed, &id, &["login", "hunter2"], &[("Sync", "true")]).await.ok();
    let journal = format!("{:?}", bed.app().journal().entries(None));
    let token = uri.split("s=").nth(1).expect("a token");
    assert!(token.len() >= 43 && !journal.contains(token));
    assert!(
        journal.contains("ExecContainerCommand") && !journal.contains("hunter2"),
        "{journal}"
    );
}

#[tokio::test]
async fn those_without_a_websocket_are_told_so() {
    let bed = Bed::new().await;
    let id = running(&bed).await;
    let answer = call(&bed, &id, &["sh"], &[]).await.ok();
    let page = answer["HttpUrl"].as_str().expect("an address");
    let get = async |uri: &str| {
        let request = Request::get(uri).body(Bytes::new()).expect("valid");
        bed.app().handle(request, Peer::Memory).await.expect("an answer")
    };
    let terminal = get(page).await;
    assert_eq!(terminal.status(), 200);
    assert!(terminal.headers().contains_key("content-security-policy"));
    assert_eq!(get("http://eci.test/exec/?s=x").await.status(), 426);
    let uri = answer["WebSocketUri"].as_str().expect("an address");
    assert!(
        connect(&bed, uri, None).await.is_ok(),
        "looking at the page does not use the token up"
    );
}

#[tokio::test]
async fn a_session_over_a_socket_ends_with_the_server() {
    let bed = Bed::listening().await;
    let id = running(&bed).await;
    let socket = async |command: &[&str]| {
        let uri = address(&bed, &id, command, &[]).await;
        let stream = tokio::net::TcpStream::connect(bed.address()).await.expect("connect");
        client_async(uri, stream).await.expect("a session").0
    };
    for (command, expected) in [(&["true"][..], "Success"), (&["sh", "-c", "exit 7"], "Failure")] {
        let mut socket = socket(command).await;
        let mut status = Value::Null;
        while let Some(Ok(Message::Binary(message))) = socket.next().await {
            if message[0] == 3 {
                status = serde_json::from_slice(&message[1..]).expect("a Status");
            }
        }
        assert_eq!(status["status"], expected);
    }
    let mut sleeping = socket(&["sleep", "3600"]).await;
    let started = sleeping.next().await.expect("a message").expect("good");
    assert_eq!(started, Message::binary(&b"\x01"[..]));
    let reading = tokio::spawn(async move { sleeping.next().await });
    bed.shutdown().await;
    match reading.await.expect("no panic") {
        Some(Ok(Message::Close(Some(frame)))) => assert_eq!(u16::from(frame.code), 1001),
        other => panic!("no clean end: {other:?}"),
    }
}
