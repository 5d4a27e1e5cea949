//! What a caller can do who means no good: every answer is an error of ECI's or the end of the connection, and what is kept
//! of it has a bound.

use std::time::Duration;

use mock_eci::{Config, Server, api::params::MAX_PARAMETERS};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::bed::{Bed, Signed, encode};

/// A form whose body is exactly this text.
fn raw(body: impl Into<String>) -> Signed {
    let mut signed = Signed::new("CreateContainerGroup");
    signed.body = body.into();
    signed
}

const GROUP: &str = "RegionId=cn-hangzhou&ContainerGroupName=web&Container.1.Name=c&Container.1.Image=i";

#[tokio::test]
async fn parameters_out_of_bounds_are_refused_by_name() {
    let bed = Bed::new().await;
    let many = (0..=MAX_PARAMETERS)
        .map(|n| format!("P{n}="))
        .collect::<Vec<_>>()
        .join("&");
    let ids = format!("ContainerGroupIds=[{}\"\"]", "\"\",".repeat(500_000));
    let nested = format!("ContainerGroupIds={}", "[".repeat(100_000));
    let containers: String = (1..=21)
        .map(|n| format!("&Container.{n}.Name=c{n}&Container.{n}.Image=i"))
        .collect();
    for (action, body, code, named) in [
        ("CreateContainerGroup", many, "InvalidParameter", "20000 parameters"),
        (
            "CreateContainerGroup",
            format!("{GROUP}&Cpu=1&Cpu=1"),
            "InvalidParameter",
            "Cpu",
        ),
        (
            "CreateContainerGroup",
            format!("{GROUP}&Tag.4294967296.Key=a"),
            "InvalidParameter",
            "Tag.4294967296.Key",
        ),
        (
            "CreateContainerGroup",
            format!("{GROUP}&Tag.0.Key=a"),
            "InvalidParameter",
            "Tag.0.Key",
        ),
        (
            "CreateContainerGroup",
            format!("{GROUP}&Tag.-1.Key=a"),
            "InvalidParameter",
            "Tag.-1.Key",
        ),
        (
            "CreateContainerGroup",
            format!("{GROUP}&Tag.01x.Key=a"),
            "InvalidParameter",
            "Tag.01x.Key",
        ),
        (
            "CreateContainerGroup",
            format!("{GROUP}&Tag..Key=a"),
            "InvalidParameter",
            "Tag..Key",
        ),
        (
            "CreateContainerGroup",
            format!("RegionId=cn-hangzhou&ContainerGroupName=web{containers}"),
            "InvalidParameter.ValueExceeded",
            "Container",
        ),
        (
            "DescribeContainerGroups",
            format!("RegionId=cn-hangzhou&{ids}"),
            "InvalidParameter",
            "ContainerGroupIds",
        ),
        (
            "DescribeContainerGroups",
            format!("RegionId=cn-hangzhou&{nested}"),
            "InvalidParameter",
            "ContainerGroupIds",
        ),
    ] {
        let mut signed = raw(body);
        action.clone_into(&mut signed.action);
        let reply = bed.send(signed.build()).await.expect("an answer");
        assert_eq!((reply.status, reply.code()), (400, code), "{:?}", reply.body);
        let message = reply.body["Message"].as_str().expect("a message");
        assert!(message.contains(named), "{named}: {message}");
    }
}

#[tokio::test]
async fn an_index_is_a_name_and_takes_no_room() {
    let bed = Bed::new().await;
    let body = "RegionId=cn-hangzhou&ContainerGroupName=web&Container.4294967295.Name=z&Container.4294967295.Image=i\
                &Container.7.Name=a&Container.7.Image=i";
    let created = bed.send(raw(body).build()).await.expect("an answer").ok();
    let group = bed
        .describe(created["ContainerGroupId"].as_str().expect("an id"))
        .await
        .expect("the group");
    let names: Vec<_> = group["Containers"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|c| c["Name"].as_str())
        .collect();
    assert_eq!(names, [Some("a"), Some("z")]);
}

#[tokio::test]
async fn names_without_end_and_broken_encodings_are_only_unknown() {
    let bed = Bed::new().await;
    let deep = "A.1.".repeat(20_000);
    for strange in [
        format!("{deep}B=1"),
        format!("Container.1.{deep}B=1"),
        "%=%&%4=%zz&%00%0d%0a=%ff&===&&&&%F0%9F=%C3%28".to_owned(),
    ] {
        let created = bed
            .send(raw(format!("{GROUP}&{strange}")).build())
            .await
            .expect("an answer");
        created.ok();
    }
    // Bytes that are no text at all; the signature is over what they are read as.
    let mut request = raw(format!("{GROUP}&A=1")).build();
    let mut body = request.body().to_vec();
    body.extend_from_slice(b"\xff\xfe=\xc3\x28");
    *request.body_mut() = body.into();
    let reply = bed.send(request).await.expect("an answer");
    assert_eq!(reply.code(), "SignatureDoesNotMatch");
}

#[tokio::test]
async fn the_journal_and_messages_keep_little_of_what_was_sent() {
    let bed = Bed::new().await;
    let long = "x".repeat(1 << 20);
    for (name, value) in [("Action", long.as_str()), ("ContainerGroupName", &long), (&long, "1")] {
        let body = encode(&[("Version", "2018-08-08"), (name, value)]);
        let request = http::Request::post("http://eci.test/")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body.into())
            .expect("a request");
        // Nobody signed it.
        let reply = bed.send(request).await.expect("an answer");
        assert!(reply.status >= 400, "{reply:?}");
        assert!(reply.body.to_string().len() < 10_000);
        let body = encode(&[("RegionId", "cn-hangzhou"), (name, value)]);
        let reply = bed.send(raw(body).build()).await.expect("an answer");
        assert!(reply.body.to_string().len() < 10_000);
    }
    let entries = serde_json::to_string(&bed.app().journal().entries(None)).expect("JSON");
    assert!(entries.len() < 40_000, "{} bytes", entries.len());
}

/// A server and one connection to it.
async fn connected() -> (Server, TcpStream) {
    let server = Server::start(Config::default()).await.expect("a free port");
    let stream = TcpStream::connect(server.url().trim_start_matches("http://"))
        .await
        .expect("connect");
    (server, stream)
}

/// What comes until the server closes; a connection that is reset has ended too.
async fn rest(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn heads_out_of_bounds_end_the_connection() {
    let long = "x".repeat(1_000);
    let headers = |count: usize, value: &str| (0..count).map(|n| format!("x-{n}: {value}\r\n")).collect::<String>();
    for (head, status) in [
        (format!("GET / HTTP/1.1\r\n{}\r\n", headers(65, "a")), "431"),
        (format!("GET / HTTP/1.1\r\n{}\r\n", headers(60, &long.repeat(6))), "431"),
        ("\u{0}\u{1}\u{2}\u{3}\r\n\r\n".to_owned(), "400"),
        ("GET / HTTP/1.1\r\nhost x\r\n\r\n".to_owned(), "400"),
        (
            "POST / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab".to_owned(),
            "400",
        ),
        ("POST / HTTP/1.1\r\ncontent-length: -1\r\n\r\n".to_owned(), "400"),
        ("POST / HTTP/1.1\r\ntransfer-encoding: gzip\r\n\r\n".to_owned(), "400"),
    ] {
        let (_server, mut stream) = connected().await;
        // It may answer and close before it has read all.
        let _ = stream.write_all(head.as_bytes()).await;
        let answer = rest(&mut stream).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{:.60?}: {answer:.200}",
            head
        );
    }
}

#[tokio::test]
async fn a_chunked_body_without_end_is_refused() {
    let (_server, stream) = connected().await;
    let (mut read, mut write) = stream.into_split();
    let sender = tokio::spawn(async move {
        write
            .write_all(b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n")
            .await?;
        let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x1_0000));
        loop {
            write.write_all(chunk.as_bytes()).await?;
        }
        #[expect(unreachable_code, reason = "it says what the block gives")]
        Ok::<(), std::io::Error>(())
    });
    let mut answer = [0; 12];
    read.read_exact(&mut answer).await.expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 413");
    // And then it no longer listens.
    assert!(sender.await.expect("the task").is_err());
}

#[tokio::test(start_paused = true)]
async fn a_head_or_body_that_never_ends_is_not_waited_for() {
    for beginning in [
        "",
        "GET / HTTP/1.1\r\nx: ",
        "POST / HTTP/1.1\r\ncontent-length: 10\r\n\r\nabc",
        "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab",
    ] {
        let (_server, mut stream) = connected().await;
        stream.write_all(beginning.as_bytes()).await.expect("write");
        // Time passes by itself while all wait; the server is the one to give up.
        let ended = tokio::time::timeout(Duration::from_secs(600), rest(&mut stream)).await;
        assert!(ended.is_ok(), "{beginning:?} is waited for");
    }
}

#[tokio::test]
async fn requests_sent_ahead_are_answered_one_by_one() {
    const SENT: usize = 300;
    let (_server, stream) = connected().await;
    let (mut read, mut write) = stream.into_split();
    let sender = tokio::spawn(async move {
        for n in 0..SENT {
            let last = if n + 1 == SENT { "connection: close\r\n" } else { "" };
            let request = format!("GET /?Action=A{n}&Version=2018-08-08 HTTP/1.1\r\nhost: h{n}.test\r\n{last}\r\n");
            write.write_all(request.as_bytes()).await.expect("write");
        }
        write
    });
    let mut answers = String::new();
    read.read_to_string(&mut answers).await.expect("answers");
    drop(sender.await.expect("the task"));
    let hosts: Vec<&str> = answers
        .split("<HostId>")
        .skip(1)
        .filter_map(|rest| rest.split('<').next())
        .collect();
    let expected: Vec<String> = (0..SENT).map(|n| format!("h{n}.test")).collect();
    assert_eq!(hosts, expected);
}
