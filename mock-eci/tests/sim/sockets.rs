//! The server over real sockets: bounds, and its end.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use mock_eci::{Config, Server};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::bed::{Signed, encode};

type Http = Client<hyper_util::client::legacy::connect::HttpConnector, Full<Bytes>>;

fn client() -> Http {
    Client::builder(TokioExecutor::new()).build_http()
}

async fn send(http: &Http, server: &Server, request: Request<Bytes>) -> (StatusCode, Bytes) {
    let (mut head, body) = request.into_parts();
    let target = head
        .uri
        .path_and_query()
        .map(|p| p.as_str().to_owned())
        .unwrap_or_default();
    head.uri = format!("{}{target}", server.url()).parse().expect("a URI");
    let answer = http
        .request(Request::from_parts(head, Full::new(body)))
        .await
        .expect("an answer");
    let status = answer.status();
    (status, answer.into_body().collect().await.expect("a body").to_bytes())
}

/// The status of the next answer on this connection, which is read to its end.
async fn status_of(stream: &mut TcpStream) -> u16 {
    let mut answer = Vec::new();
    let length = loop {
        answer.push(stream.read_u8().await.expect("an answer"));
        if answer.ends_with(b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&answer).to_ascii_lowercase();
            let length = head
                .split("content-length: ")
                .nth(1)
                .and_then(|rest| rest.lines().next());
            break length.and_then(|length| length.parse().ok()).unwrap_or_default();
        }
    };
    stream.read_exact(&mut vec![0; length]).await.expect("a body");
    let status = answer.split(|b| *b == b' ').nth(1).expect("a status line");
    String::from_utf8_lossy(status).parse().expect("a number")
}

#[tokio::test]
async fn a_signed_call_over_a_socket() {
    let server = Server::start(Config::default()).await.expect("a free port");
    let (status, body) = send(&client(), &server, Signed::new("DescribeRegions").build()).await;
    assert_eq!(status, StatusCode::OK, "{body:?}");
    server.shutdown().await;
}

/// The official SDKs put everything into the target. What the http crate refuses to build is spoken in plain bytes.
#[tokio::test]
async fn targets_may_be_as_long_as_the_files_that_eci_allows() {
    let server = Server::start(Config::default()).await.expect("a free port");
    let mut stream = TcpStream::connect(server.url().trim_start_matches("http://"))
        .await
        .expect("connect");
    // The same connection takes several, also after a body.
    for (length, form) in [(200_000, &[][..]), (100, &[("B", "c")]), (70_000, &[]), (250_000, &[])] {
        let value = "x".repeat(length);
        let request = Signed::new("DescribeRegions").query(&[("A", &value)]).form(form);
        stream.write_all(request.text().as_bytes()).await.expect("write");
        assert_eq!(status_of(&mut stream).await, 200, "{length}");
    }
    let request = format!("GET /?A={} HTTP/1.1\r\nhost: x\r\n\r\n", "x".repeat(300_000));
    stream.write_all(request.as_bytes()).await.expect("write");
    assert_eq!(status_of(&mut stream).await, 431);
}

#[tokio::test]
async fn long_bodies_are_taken() {
    let server = Server::start(Config::default()).await.expect("a free port");
    let http = client();
    let long = "x".repeat(70_000);
    let (status, body) = send(
        &http,
        &server,
        Signed::new("DescribeRegions").form(&[("A", &long)]).build(),
    )
    .await;
    assert_eq!(status, StatusCode::OK, "{body:?}");
    let huge = "x".repeat(9 * 1024 * 1024);
    let request = Request::post("/")
        .body(Bytes::from(encode(&[("A", &huge)])))
        .expect("a request");
    let (status, _) = send(&http, &server, request).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn shutdown_lets_calls_finish_and_closes_the_door() {
    let server = Server::start(Config::default()).await.expect("a free port");
    server.app().faults().add(mock_eci::faults::Plan::slow(
        "DescribeRegions",
        1,
        Duration::from_millis(300),
    ));
    let url = server.url();
    let http = client();
    let slow = {
        let request = Signed::new("DescribeRegions").build();
        let (mut head, body) = request.into_parts();
        head.uri = format!("{url}/").parse().expect("a URI");
        let http = http.clone();
        tokio::spawn(async move { http.request(Request::from_parts(head, Full::new(body))).await })
    };
    while server.app().faults().list().iter().any(|plan| plan.times > 0) {
        tokio::task::yield_now().await;
    }
    server.shutdown().await;
    assert_eq!(
        slow.await.expect("the task").expect("an answer").status(),
        StatusCode::OK
    );
    assert!(
        tokio::net::TcpStream::connect(url.trim_start_matches("http://"))
            .await
            .is_err()
    );
}
