//! Who reaches what: listeners, settings that would open too much, and web pages that are open on this machine.

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use mock_eci::{
    Config, Peer, Server,
    config::{AccessKey, RuntimeKind},
    runtime::docker,
};

use crate::bed::{Bed, Signed};

async fn send(url: &str, request: Request<Bytes>) -> (u16, String) {
    let (mut head, body) = request.into_parts();
    let target = head
        .uri
        .path_and_query()
        .map(|p| p.as_str().to_owned())
        .unwrap_or_default();
    head.uri = format!("{url}{target}").parse().expect("a URI");
    let http = Client::builder(TokioExecutor::new()).build_http();
    let answer = http
        .request(Request::from_parts(head, Full::new(body)))
        .await
        .expect("an answer");
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.expect("a body").to_bytes();
    (status, String::from_utf8_lossy(&body).into_owned())
}

#[tokio::test]
async fn steering_may_have_a_listener_of_its_own() {
    let server = Server::start(Config {
        steering_listen: Some("127.0.0.1:0".parse().expect("an address")),
        ..Config::default()
    })
    .await
    .expect("free ports");
    let (api, steering) = (server.url(), server.steering_url());
    assert_ne!(api, steering);
    let health = || Request::get("/mock/health").body(Bytes::new()).expect("a request");
    assert_eq!(send(&steering, health()).await.0, 200);
    let (status, body) = send(&api, health()).await;
    assert_eq!(status, 404, "{body}");
    assert!(body.contains("--steering-listen"), "{body}");
    let call = || Signed::new("DescribeRegions").build();
    assert_eq!(send(&api, call()).await.0, 200);
    assert_eq!(send(&steering, call()).await.0, 404);
    server.shutdown().await;
    assert!(
        tokio::net::TcpStream::connect(steering.trim_start_matches("http://"))
            .await
            .is_err(),
        "both doors are closed"
    );
}

#[tokio::test]
async fn what_would_open_too_much_is_not_started() {
    let everywhere = "0.0.0.0:0".parse().expect("an address");
    for (config, flag) in [
        (
            Config {
                listen: everywhere,
                runtime: RuntimeKind::Docker(docker::Config::default()),
                ..Config::default()
            },
            "--access-key",
        ),
        (
            Config {
                steering_listen: Some(everywhere),
                ..Config::default()
            },
            "--steering-token",
        ),
    ] {
        let error = Server::start(config).await.err().expect("a refusal").to_string();
        assert!(error.contains(flag), "{error}");
    }
    let own_key = Config {
        listen: everywhere,
        runtime: RuntimeKind::Docker(docker::Config::default()),
        access_keys: vec![AccessKey {
            id: "a".to_owned(),
            secret: "b".to_owned(),
            security_token: None,
        }],
        ..Config::default()
    };
    own_key.check().expect("a key pair of its own");
}

#[tokio::test(start_paused = true)]
async fn web_pages_of_other_sites_do_not_steer() {
    let bed = Bed::new().await;
    let near = Peer::Address("127.0.0.1".parse().expect("an address"));
    let steer = async |method: Method, headers: &[(&str, &str)]| {
        let mut request = Request::builder().method(method).uri("/mock/faults");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Bytes::new()).expect("a request");
        let response = bed.app().handle(request, near).await.expect("an answer");
        assert!(response.headers().get("access-control-allow-origin").is_none());
        response.status().as_u16()
    };
    let host = ("host", "localhost:8090");
    let own = ("origin", "http://localhost:8090");
    assert_eq!(
        steer(Method::DELETE, &[host, own, ("sec-fetch-site", "same-origin")]).await,
        200
    );
    assert_eq!(steer(Method::GET, &[host, ("sec-fetch-site", "none")]).await, 200);
    for headers in [
        &[host, ("origin", "http://evil.example")][..],
        &[host, ("origin", "null")],
        &[host, ("origin", "http://localhost:9999")],
        &[host, ("origin", "https://localhost:8090")],
        &[host, ("sec-fetch-site", "cross-site")],
        &[host, ("sec-fetch-site", "same-site")],
        &[("host", "evil.example:8090"), ("origin", "http://evil.example:8090")],
        &[],
    ] {
        assert_eq!(steer(Method::GET, headers).await, 403, "{headers:?}");
        assert_eq!(steer(Method::DELETE, headers).await, 403, "{headers:?}");
    }
}
