//! A client of channels that does whatever an input says.

use std::io::{self, Cursor, Read, Write};

use tokio_tungstenite::tungstenite::protocol::WebSocket;
use tokio_tungstenite::tungstenite::{self, Message};

use super::*;
use crate::kubelet::streams::IDLE_TIMEOUT;
use crate::kubelet::streams::fuzz::{Script, arrived, echo, must_end, paused, pod, send};
use crate::kubelet::streams::port_forward::serve_websocket;

const NETWORK: usize = 64 * 1024;

/// A client's whole connection of `exec` or `port-forward`, in the subprotocol that the first byte says. What the server sends must
/// be messages of channels, and everything must end when the client is gone.
pub fn websocket(data: &[u8]) {
    let mut script = Script(data);
    paused(async move {
        let (mut client, theirs) = tokio::io::duplex(NETWORK);
        let kind = usize::from(script.byte());
        let (serving, framing) = if kind & 128 == 0 {
            let framing = REMOTE_COMMAND[kind % REMOTE_COMMAND.len()];
            let options = StreamOptions {
                stdin: true,
                stdout: kind & 16 == 0,
                stderr: kind & 32 == 0,
                tty: kind & 64 != 0,
            };
            let serve = async move { echo(websocket_session(theirs, framing, options, IDLE_TIMEOUT).await).await };
            (tokio::spawn(serve), framing)
        } else {
            let framing = PORT_FORWARD[kind % PORT_FORWARD.len()];
            (
                tokio::spawn(serve_websocket(theirs, framing, vec![80, 81], pod(), IDLE_TIMEOUT)),
                framing,
            )
        };
        let mut said = Vec::new();
        while !script.is_over() {
            match script.byte() {
                what @ 0..192 => send(&mut client, &frame(what, script.bytes())).await,
                192..224 => send(&mut client, script.bytes()).await,
                seconds => tokio::time::sleep(Duration::from_secs(u64::from(seconds - 223))).await,
            }
            said.extend(arrived(&mut client));
        }
        drop(client);
        must_end(serving).await;
        check(said, framing);
    });
}

/// A frame as a client writes it, with any opcode and any of the bits.
fn frame(what: u8, payload: &[u8]) -> Vec<u8> {
    // Mostly whole binary messages, and text.
    let head = match what {
        0..64 => 0x82,
        64..96 => 0x81,
        other => other.wrapping_mul(5),
    };
    let mut frame = vec![head];
    match u8::try_from(payload.len()) {
        Ok(length @ 0..126) => frame.push(0x80 | length),
        _ => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&u16::try_from(payload.len()).unwrap_or(u16::MAX).to_be_bytes());
        }
    }
    let mask = [1, 2, 3, what];
    frame.extend_from_slice(&mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// What was sent, as a client reads it.
struct Sent(Cursor<Vec<u8>>);

impl Read for Sent {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Sent {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn check(said: Vec<u8>, framing: Framing) {
    let mut client = WebSocket::from_raw_socket(Sent(Cursor::new(said)), Role::Client, None);
    loop {
        let data = match client.read() {
            Ok(Message::Binary(data)) => data,
            Ok(Message::Text(text)) => Bytes::from(text),
            Ok(_) => continue,
            // It was cut where the client left, or closed in order.
            Err(
                tungstenite::Error::Io(_) | tungstenite::Error::ConnectionClosed | tungstenite::Error::AlreadyClosed,
            ) => return,
            Err(tungstenite::Error::Protocol(tungstenite::error::ProtocolError::ResetWithoutClosingHandshake)) => {
                return;
            }
            Err(error) => panic!("{error}"),
        };
        match framing.read(data) {
            Some(Input::Data { channel: 0..=3, .. }) => {}
            other => panic!("{other:?}"),
        }
    }
}
