//! What real clients sent, byte for byte (`testdata/`), is understood.

use bytes::BytesMut;
use eci::ExecQuery;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocket};

use super::IDLE_TIMEOUT;
use super::exec::serve;
use super::options::{RemoteCommand, StreamOptions};
use super::remote::spdy_session;
use super::spdy::frame::{Decoder, Frame};
use super::testing::Commands;

const EXEC: &[u8] = include_bytes!("testdata/kubectl-exec.spdy");
const EXEC_STDIN: &[u8] = include_bytes!("testdata/kubectl-exec-stdin.spdy");
const EXEC_TTY: &[u8] = include_bytes!("testdata/kubectl-exec-tty.spdy");
const ATTACH: &[u8] = include_bytes!("testdata/kubectl-attach.spdy");
const PORT_FORWARD: &[u8] = include_bytes!("testdata/kubectl-port-forward.spdy");
const WEBSOCKET: &[u8] = include_bytes!("testdata/python-port-forward.websocket");

/// One line a frame.
fn read(bytes: &[u8]) -> Vec<String> {
    let (mut decoder, mut buffer, mut lines) = (Decoder::default(), BytesMut::from(bytes), Vec::new());
    while let Some(frame) = decoder.decode(&mut buffer).expect("SPDY") {
        lines.push(match frame {
            Frame::SynStream {
                id,
                fin: false,
                headers,
            } => {
                let header = |name| headers.get(name).unwrap_or("-").to_owned();
                format!(
                    "open {id} {} {} {}",
                    header("streamtype"),
                    header("port"),
                    header("requestid")
                )
            }
            Frame::Data { id, fin: true, data } if data.is_empty() => format!("end {id}"),
            Frame::Data { id, fin: false, data } => format!("data {id} {}", String::from_utf8_lossy(&data)),
            Frame::RstStream { id, status } => format!("reset {id} {}", status.0),
            other => format!("{other:?}"),
        });
    }
    assert!(buffer.is_empty());
    lines
}

#[test]
fn kubectl_exec() {
    assert_eq!(
        read(EXEC),
        [
            "open 1 error - -",
            "open 3 stdout - -",
            "open 5 stderr - -",
            // When all is over.
            "reset 1 5",
            "reset 3 5",
            "reset 5 5",
        ]
    );
    assert_eq!(read(ATTACH), read(EXEC)[..3]);
}

#[test]
fn kubectl_exec_in_a_terminal() {
    assert_eq!(
        read(EXEC_TTY),
        [
            "open 1 error - -",
            "open 3 stdin - -",
            "open 5 stdout - -",
            "open 7 resize - -",
            "data 7 {\"Width\":132,\"Height\":43}\n",
            // What `script` typed.
            "data 3 \0",
        ]
    );
}

#[test]
fn kubectl_port_forward() {
    assert_eq!(
        read(PORT_FORWARD),
        [
            "open 1 error 8080 0",
            "end 1",
            "open 3 data 8080 0",
            "data 3 ping 0\n",
            "end 3",
            "open 5 error 8080 1",
            "end 5",
            "open 7 data 8080 1",
            "data 7 ping 1\n",
            "end 7",
        ]
    );
}

#[test]
fn a_websocket_of_pythons_client() {
    let mut socket = WebSocket::from_raw_socket(std::io::Cursor::new(WEBSOCKET.to_vec()), Role::Server, None);
    assert_eq!(socket.read().expect("a message").into_data(), &b"\0ping\n"[..]);
}

/// The whole way: what kubectl sent for `printf 'hello\n' | kubectl exec -i … -- cat`.
#[tokio::test]
async fn a_command_gets_the_input() {
    let (mut client, theirs) = tokio::io::duplex(64 * 1024);
    client.write_all(EXEC_STDIN).await.expect("open");
    let options = StreamOptions {
        stdin: true,
        stdout: true,
        stderr: true,
        tty: false,
    };
    let query = ExecQuery {
        group_id: "eci-1".to_owned(),
        container: "spark".to_owned(),
        command: vec!["cat".to_owned()],
        tty: false,
        stdin: true,
    };
    let session = spdy_session(theirs, RemoteCommand::V4, options, IDLE_TIMEOUT).await;
    serve(&Commands::default(), query, session.expect("a session")).await;
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.expect("open");
    let (mut decoder, mut buffer) = (Decoder::default(), BytesMut::from(&answer[..]));
    let (mut out, mut error) = (Vec::new(), Vec::new());
    while let Some(frame) = decoder.decode(&mut buffer).expect("SPDY") {
        match frame {
            Frame::Data { id: 1, data, .. } => error.extend_from_slice(&data),
            Frame::Data { id: 5, data, .. } => out.extend_from_slice(&data),
            _ => {}
        }
    }
    assert_eq!(out, b"hello\n");
    assert_eq!(error, br#"{"metadata":{},"status":"Success"}"#);
}
