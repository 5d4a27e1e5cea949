//! The server over real sockets: bounds, and its end.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use mock_eci::{Config, Server};

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

#[tokio::test]
async fn a_signed_call_over_a_socket() {
    let server = Server::start(Config::default()).await.expect("a free port");
    let (status, body) = send(&client(), &server, Signed::new("DescribeRegions").build()).await;
    assert_eq!(status, StatusCode::OK, "{body:?}");
    server.shutdown().await;
}

#[tokio::test]
async fn long_targets_are_refused_and_long_bodies_are_not() {
    let server = Server::start(Config::default()).await.expect("a free port");
    let http = client();
    let long = "x".repeat(70_000);
    // What the http crate refuses to build it also refuses to read: speak plain bytes.
    let mut stream = tokio::net::TcpStream::connect(server.url().trim_start_matches("http://"))
        .await
        .expect("connect");
    let request = format!("GET /?A={long} HTTP/1.1\r\nhost: x\r\n\r\n");
    tokio::io::AsyncWriteExt::write_all(&mut stream, request.as_bytes())
        .await
        .expect("write");
    let mut answer = vec![0; 12];
    tokio::io::AsyncReadExt::read_exact(&mut stream, &mut answer)
        .await
        .expect("read");
    assert_eq!(answer, b"HTTP/1.1 414");

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
