//! Kubernetes' channel framing: each message is one byte that names a channel, and data. Pure.
//!
//! | channel | direction | data |
//! |---|---|---|
//! | 0 | to the server | standard input; an empty message is its end, where that is switched on |
//! | 1, 2 | to the client | standard output, standard error |
//! | 3 | to the client | how it ended: a `v1` `Status` as JSON |
//! | 4 | to the server | size of the terminal: `{"Width": 80, "Height": 24}` |
//!
//! ECI documents nothing of this. Channels 0 to 2 are what public clients of ECI use; 3 and 4, and an empty message as end
//! of standard input, are Kubernetes' own and unconfirmed there.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::{BufMut, Bytes, BytesMut};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::runtime::exec::TerminalSize;

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const STATUS: u8 = 3;
const RESIZE: u8 = 4;

/// How messages are written; the subprotocol decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Framing {
    /// Its name; none = the client offered none.
    pub(super) name: Option<&'static str>,
    /// Text messages of a digit and base64, rather than binary ones.
    base64: bool,
    /// Whether channel 3 has a `Status`; before v4 it had a sentence, and only of failures.
    status: bool,
}

/// What is spoken, best first.
const FRAMINGS: [Framing; 4] = [
    Framing::of("v4.channel.k8s.io", false, true),
    Framing::of("v4.base64.channel.k8s.io", true, true),
    Framing::of("channel.k8s.io", false, false),
    Framing::of("base64.channel.k8s.io", true, false),
];

/// What a client sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Input {
    Stdin(Bytes),
    Resize(TerminalSize),
    /// Nothing that means anything here.
    Other,
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Exited(i32),
    Failed(String),
}

impl Framing {
    const fn of(name: &'static str, base64: bool, status: bool) -> Self {
        Self {
            name: Some(name),
            base64,
            status,
        }
    }

    /// The one for a client that offers these (all values of its header, comma-separated); none = it offers none that is
    /// spoken here. Without an offer it is v4, as ECI's clients expect.
    pub(super) fn choose(offers: Option<&str>) -> Option<Self> {
        let Some(offers) = offers else {
            return Some(Self {
                name: None,
                ..FRAMINGS[0]
            });
        };
        let offered = |framing: &Framing| offers.split(',').any(|offer| Some(offer.trim()) == framing.name);
        FRAMINGS.into_iter().find(offered)
    }

    fn message(self, channel: u8, data: &[u8]) -> Message {
        if self.base64 {
            let mut text = String::with_capacity(1 + data.len().div_ceil(3) * 4);
            text.push(char::from(b'0' + channel));
            STANDARD.encode_string(data, &mut text);
            return Message::text(text);
        }
        let mut bytes = BytesMut::with_capacity(1 + data.len());
        bytes.put_u8(channel);
        bytes.put_slice(data);
        Message::binary(bytes.freeze())
    }

    pub(super) fn stdout(self, data: &[u8]) -> Message {
        self.message(STDOUT, data)
    }

    pub(super) fn stderr(self, data: &[u8]) -> Message {
        self.message(STDERR, data)
    }

    /// None = this framing says nothing of a good end.
    pub(super) fn status(self, outcome: &Outcome) -> Option<Message> {
        if self.status {
            return Some(self.message(STATUS, status(outcome).to_string().as_bytes()));
        }
        let sentence = sentence(outcome)?;
        Some(self.message(STATUS, sentence.as_bytes()))
    }

    /// What a message holds; none = it cannot be read at all.
    pub(super) fn read(self, data: Bytes) -> Option<Input> {
        let Some((&first, rest)) = data.split_first() else {
            return Some(Input::Other);
        };
        let (channel, data) = if self.base64 {
            let channel = first.checked_sub(b'0')?;
            (channel, Bytes::from(STANDARD.decode(rest).ok()?))
        } else {
            (first, data.slice(1..))
        };
        Some(match channel {
            STDIN => Input::Stdin(data),
            RESIZE => match serde_json::from_slice::<Size>(&data) {
                Ok(Size { width, height }) => Input::Resize(TerminalSize { width, height }),
                Err(_) => Input::Other,
            },
            _ => Input::Other,
        })
    }
}

/// As Kubernetes' clients write it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Size {
    width: u16,
    height: u16,
}

/// A failure in words; none = it went well.
fn sentence(outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::Exited(0) => None,
        Outcome::Exited(code) => Some(format!(
            "command terminated with non-zero exit code: command terminated with exit code {code}"
        )),
        Outcome::Failed(message) => Some(message.clone()),
    }
}

/// The `Status` a kubelet sends.
fn status(outcome: &Outcome) -> Value {
    let message = sentence(outcome);
    match outcome {
        Outcome::Exited(0) => json!({"metadata": {}, "status": "Success"}),
        Outcome::Exited(code) => json!({
            "metadata": {}, "status": "Failure", "message": message, "reason": "NonZeroExitCode",
            "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
        }),
        Outcome::Failed(_) => json!({
            "metadata": {}, "status": "Failure", "message": message, "reason": "InternalError",
            "details": {"causes": [{"message": message}]}, "code": 500,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_offer_is_taken() {
        let name = |offers| Framing::choose(offers).map(|framing| framing.name);
        assert_eq!(name(None), Some(None));
        assert_eq!(
            name(Some("channel.k8s.io, v4.channel.k8s.io")),
            Some(Some("v4.channel.k8s.io"))
        );
        assert_eq!(name(Some("base64.channel.k8s.io")), Some(Some("base64.channel.k8s.io")));
        assert_eq!(name(Some("chat")), None);
        assert_eq!(name(Some("")), None);
    }

    #[test]
    fn binary_messages_begin_with_their_channel() {
        let framing = Framing::choose(None).expect("v4");
        assert_eq!(framing.stdout(b"out"), Message::binary(&b"\x01out"[..]));
        assert_eq!(framing.stderr(b""), Message::binary(&b"\x02"[..]));
        let read = |bytes: &'static [u8]| framing.read(Bytes::from_static(bytes));
        assert_eq!(read(b"\x00in"), Some(Input::Stdin(Bytes::from_static(b"in"))));
        assert_eq!(read(b"\x00"), Some(Input::Stdin(Bytes::new())));
        let size = TerminalSize { width: 80, height: 24 };
        assert_eq!(read(b"\x04{\"Width\":80,\"Height\":24}"), Some(Input::Resize(size)));
        for nothing in [
            &b""[..],
            b"\x01x",
            b"\x04",
            b"\x04{\"Width\":-1,\"Height\":70000}",
            b"\xff\x00",
        ] {
            assert_eq!(read(nothing), Some(Input::Other), "{nothing:?}");
        }
    }

    #[test]
    fn text_messages_are_a_digit_and_base64() {
        let framing = Framing::choose(Some("base64.channel.k8s.io")).expect("spoken");
        assert_eq!(framing.stdout(b"out"), Message::text("1b3V0"));
        let read = |text: &'static str| framing.read(Bytes::from_static(text.as_bytes()));
        assert_eq!(read("0aW4="), Some(Input::Stdin(Bytes::from_static(b"in"))));
        assert_eq!(read("0*"), None);
        assert_eq!(read("!"), None);
    }

    #[test]
    fn the_end_is_a_status_as_a_kubelet_writes_it() {
        assert_eq!(
            status(&Outcome::Exited(0)),
            json!({"metadata": {}, "status": "Success"})
        );
        let failed = status(&Outcome::Exited(7));
        assert_eq!(
            (&failed["status"], &failed["reason"]),
            (&json!("Failure"), &json!("NonZeroExitCode"))
        );
        assert_eq!(
            failed["details"]["causes"],
            json!([{"reason": "ExitCode", "message": "7"}])
        );
        let lost = status(&Outcome::Failed("the engine is away".into()));
        assert_eq!(
            (&lost["reason"], &lost["message"]),
            (&json!("InternalError"), &json!("the engine is away"))
        );
    }

    #[test]
    fn before_v4_a_good_end_was_silent() {
        let framing = Framing::choose(Some("channel.k8s.io")).expect("spoken");
        assert_eq!(framing.status(&Outcome::Exited(0)), None);
        assert!(framing.status(&Outcome::Exited(1)).is_some());
    }
}
