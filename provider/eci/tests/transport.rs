//! The HTTP transport over real sockets: what goes onto the wire, and whether a failure may have taken effect.

use bytes::Bytes;
use eci::{ReqwestTransport, Transport};
use http::Request;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Installs the crypto provider as a binary's `main` does. Tests share the process, so a second time is no mistake.
fn transport() -> ReqwestTransport {
    let _ = rustls::crypto::ring::default_provider().install_default();
    ReqwestTransport::new().expect("a transport")
}

async fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    (listener, address)
}

fn request(address: &str) -> Request<Bytes> {
    Request::post(format!("http://{address}/"))
        .header("host", address)
        .header("x-acs-action", "ListUsage")
        .body(Bytes::from_static(b"RegionId=r"))
        .expect("a request")
}

/// Reads a request to the end of its body.
async fn read(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    let mut buffer = [0; 1024];
    while !text.ends_with("RegionId=r") {
        let n = stream.read(&mut buffer).await.expect("readable");
        assert!(n > 0, "the request ended early: {text}");
        text.push_str(std::str::from_utf8(&buffer[..n]).expect("text"));
    }
    text
}

#[tokio::test]
async fn a_request_arrives_as_it_was_signed() {
    let (listener, address) = listener().await;
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let text = read(&mut stream).await;
        let answer = b"HTTP/1.1 400 Bad Request\r\nDate: Mon, 23 Nov 2026 15:50:00 GMT\r\nContent-Length: 2\r\n\r\n{}";
        stream.write_all(answer).await.expect("writable");
        text
    });
    let answer = transport().send(request(&address)).await.expect("an answer");
    assert_eq!(
        (answer.status().as_u16(), answer.body().as_ref()),
        (400, b"{}".as_slice())
    );
    assert_eq!(answer.headers()["date"], "Mon, 23 Nov 2026 15:50:00 GMT");
    let text = server.await.expect("served").to_ascii_lowercase();
    assert!(text.starts_with("post / http/1.1\r\n"), "{text}");
    assert_eq!(text.matches("\r\nhost:").count(), 1, "one host: {text}");
    assert!(text.contains(&format!("\r\nhost: {address}\r\n")), "{text}");
    assert!(text.contains("\r\ncontent-length: 10\r\n"), "{text}");
}

#[tokio::test]
async fn a_refused_connection_had_no_effect() {
    let (listener, address) = listener().await;
    drop(listener);
    let error = transport().send(request(&address)).await.expect_err("nobody listens");
    assert!(!error.may_have_taken_effect(), "{error:?}");
}

#[tokio::test]
async fn a_failed_handshake_had_no_effect() {
    let (listener, address) = listener().await;
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        stream.write_all(b"this is not TLS\r\n").await.expect("writable");
    });
    let mut request = request(&address);
    *request.uri_mut() = format!("https://{address}/").parse().expect("a URI");
    let error = transport().send(request).await.expect_err("no TLS there");
    assert!(!error.may_have_taken_effect(), "{error:?}");
    server.await.expect("served");
}

#[tokio::test]
async fn a_connection_that_breaks_after_the_request_may_have_had_one() {
    for partial in ["", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"] {
        let (listener, address) = listener().await;
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            read(&mut stream).await;
            stream.write_all(partial.as_bytes()).await.expect("writable");
        });
        let error = transport().send(request(&address)).await.expect_err("half an answer");
        assert!(error.may_have_taken_effect(), "{error:?}");
        server.await.expect("served");
    }
}

#[tokio::test]
async fn an_error_names_no_address_and_no_parameter() {
    let (listener, address) = listener().await;
    drop(listener);
    let mut request = request(&address);
    *request.uri_mut() = format!("http://{address}/?secret=s3cr3t").parse().expect("a URI");
    let error = transport().send(request).await.expect_err("nobody listens");
    assert!(!format!("{error} {error:?}").contains("s3cr3t"), "{error:?}");
}
