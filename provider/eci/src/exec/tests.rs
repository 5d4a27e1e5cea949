//! The whole call against a server on loopback that speaks as little as ECI's clients expect.

use std::sync::{Arc, Mutex};

use http::Response;
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::handshake::server::Request as Handshake;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::*;
use crate::credentials::Credentials;
use crate::{ClientConfig, Limits, ReqwestTransport, Transport};

/// Answers calls with an address, and takes connections from the network.
struct Pool {
    network: ReqwestTransport,
    address: String,
    asked: Mutex<Vec<String>>,
}

impl Transport for Pool {
    fn send(&self, request: Request<Bytes>) -> futures::future::BoxFuture<'_, Result<Response<Bytes>, TransportError>> {
        let body = String::from_utf8(request.into_body().to_vec()).expect("text");
        self.asked.lock().expect("no panics").push(body);
        let answer = format!(
            r#"{{"RequestId":"r","WebSocketUri":{:?},"HttpUrl":"http://x/"}}"#,
            self.address
        );
        Box::pin(async { Ok(Response::new(Bytes::from(answer))) })
    }

    fn upgrade(
        &self,
        request: Request<Bytes>,
    ) -> futures::future::BoxFuture<'_, Result<Response<Upgraded>, TransportError>> {
        self.network.upgrade(request)
    }
}

fn client(address: &str) -> (Client, Arc<Pool>) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let pool = Arc::new(Pool {
        network: ReqwestTransport::new().expect("a transport"),
        address: address.to_owned(),
        asked: Mutex::default(),
    });
    let config = ClientConfig {
        endpoint: "http://127.0.0.1:1".to_owned(),
        region: "cn-hangzhou".to_owned(),
        limits: Limits::None,
        user_agent: "test".to_owned(),
    };
    let client = Client::new(config, Arc::new(Credentials::new("id", "secret")), pool.clone()).expect("a client");
    (client, pool)
}

fn query() -> ExecQuery {
    ExecQuery {
        group_id: "eci-1".to_owned(),
        container: "c".to_owned(),
        command: vec!["sh".to_owned(), "-c".to_owned(), "cat & wait".to_owned()],
        tty: false,
        stdin: true,
    }
}

type Socket = WebSocketStream<tokio::net::TcpStream>;

/// A server for one connection; the address it is at.
async fn serve<F: Future<Output = ()> + Send>(talk: impl FnOnce(Socket) -> F + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = format!("ws://{}/exec/?s=t0k3n", listener.local_addr().expect("bound"));
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a client");
        #[expect(clippy::result_large_err, reason = "tungstenite's own signature")]
        let check = |request: &Handshake, response| {
            assert_eq!(request.uri().query(), Some("s=t0k3n"));
            assert!(request.headers().get("sec-websocket-protocol").is_none());
            Ok(response)
        };
        let socket = tokio_tungstenite::accept_hdr_async(stream, check)
            .await
            .expect("a socket");
        talk(socket).await;
    });
    address
}

#[tokio::test]
async fn input_output_and_the_end_go_through() {
    let address = serve(|mut socket| async move {
        for expected in [&b"\x04{\"Width\":80,\"Height\":24}"[..], b"\x00in", b"\x00"] {
            let message = socket.next().await.expect("open").expect("a message");
            assert_eq!(message, Message::binary(expected.to_vec()));
        }
        for message in [&b"\x01out"[..], b"\x02err", b"\x03{\"status\":\"Success\"}"] {
            socket.send(Message::binary(message)).await.expect("open");
        }
        let _ = socket.close(None).await;
    })
    .await;
    let (client, pool) = client(&address);
    let ExecSession { mut input, output } = client.exec(&query()).await.expect("a session");
    input
        .send(ExecInput::Resize { width: 80, height: 24 })
        .await
        .expect("open");
    input
        .send(ExecInput::Stdin(Bytes::from_static(b"in")))
        .await
        .expect("open");
    input.send(ExecInput::StdinEnd).await.expect("open");
    let output: Vec<_> = output.collect().await;
    assert_eq!(
        output,
        [
            ExecOutput::Stdout(Bytes::from_static(b"out")),
            ExecOutput::Stderr(Bytes::from_static(b"err")),
            ExecOutput::Ended(Ok(0)),
        ]
    );
    let asked = pool.asked.lock().expect("no panics").concat();
    assert!(
        asked.contains("Command=%5B%22sh%22%2C%22-c%22%2C%22cat+%26+wait%22%5D") && asked.contains("Stdin=true"),
        "{asked}"
    );
}

#[tokio::test]
async fn a_connection_that_ends_without_a_word() {
    let ends = [
        (true, ExecOutput::Ended(Ok(0))),
        (
            false,
            ExecOutput::Ended(Err("the connection to the command broke".to_owned())),
        ),
    ];
    for (in_order, expected) in ends {
        let address = serve(move |mut socket| async move {
            if in_order {
                let reason = "".into();
                let code = CloseCode::Normal;
                let _ = socket.close(Some(CloseFrame { code, reason })).await;
            }
        })
        .await;
        let (client, _) = client(&address);
        let session = client.exec(&query()).await.expect("a session");
        let output: Vec<_> = session.output.collect().await;
        match (output.as_slice(), &expected) {
            ([ExecOutput::Ended(Err(got))], ExecOutput::Ended(Err(expected))) => {
                assert!(got.starts_with(expected.as_str()), "{got}");
            }
            (got, expected) => assert_eq!(got, std::slice::from_ref(expected)),
        }
    }
}

#[tokio::test]
async fn what_is_no_socket_is_an_error_that_keeps_the_token() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let refused = format!("ws://{}/exec/?s=t0k3n", listener.local_addr().expect("bound"));
    drop(listener);
    for address in [refused.as_str(), "", "http://127.0.0.1/?s=t0k3n", "ws://[/?s=t0k3n"] {
        let (client, _) = client(address);
        let error = client.exec(&query()).await.err().expect("an error");
        assert!(!format!("{error:?} {error}").contains("t0k3n"), "{error:?}");
        assert_eq!(error.class(), ErrorClass::Transient);
    }
    assert!(super::address("ws://h/", true).is_err(), "no step back from encryption");
    assert_eq!(
        super::address("wss://h/x", true).expect("an address").to_string(),
        "https://h/x"
    );
}

#[test]
fn a_command_is_not_shown() {
    assert!(!format!("{:?}", query()).contains("cat"));
}
