//! (pure) Messages of channels, in the variants of the subprotocols.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut, Bytes, BytesMut};
use tokio_tungstenite::tungstenite::Message;

/// How messages are written; the subprotocol decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::kubelet::streams) struct Framing {
    /// The subprotocol; `None` = the client offered none.
    pub(in crate::kubelet::streams) name: Option<&'static str>,
    /// Text messages of a digit and base64, rather than binary ones.
    base64: bool,
    /// Whether the error channel has a `Status`; else a sentence, and only of failures.
    pub(in crate::kubelet::streams) status: bool,
    /// Whether clients can end a channel.
    close: bool,
}

const fn framing(name: Option<&'static str>) -> Framing {
    Framing {
        name,
        base64: false,
        status: false,
        close: false,
    }
}

const V4: Framing = Framing {
    status: true,
    ..framing(Some("v4.channel.k8s.io"))
};
const V4_BASE64: Framing = Framing {
    status: true,
    base64: true,
    ..framing(Some("v4.base64.channel.k8s.io"))
};

/// What is spoken for `exec` and `attach`. A kubelet stops at v4; v5 ends standard input.
pub(in crate::kubelet::streams) const REMOTE_COMMAND: [Framing; 6] = [
    framing(None),
    framing(Some("channel.k8s.io")),
    Framing {
        base64: true,
        ..framing(Some("base64.channel.k8s.io"))
    },
    V4,
    V4_BASE64,
    Framing {
        status: true,
        close: true,
        ..framing(Some("v5.channel.k8s.io"))
    },
];

/// What is spoken for `port-forward`.
pub(in crate::kubelet::streams) const PORT_FORWARD: [Framing; 3] = [framing(None), V4, V4_BASE64];

/// First byte of a message that ends a channel.
const CLOSE: u8 = 255;

/// What a client sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Input {
    /// Data of a channel.
    Data { channel: u8, data: Bytes },
    /// The client sends no more on this channel.
    Close { channel: u8 },
}

impl Framing {
    /// The client's first offer that is spoken; `None` = there is none.
    pub(super) fn choose(offers: &[&str], spoken: &[Self]) -> Option<Self> {
        let find = |name| spoken.iter().copied().find(|framing| framing.name == name);
        if offers.is_empty() {
            return find(None);
        }
        offers.iter().find_map(|offer| find(Some(offer)))
    }

    pub(super) fn message(self, channel: u8, data: &[u8]) -> Message {
        if self.base64 {
            let mut text = String::with_capacity(1 + data.len().div_ceil(3) * 4);
            text.push(char::from(b'0'.wrapping_add(channel)));
            STANDARD.encode_string(data, &mut text);
            return Message::text(text);
        }
        let mut bytes = BytesMut::with_capacity(1 + data.len());
        bytes.put_u8(channel);
        bytes.put_slice(data);
        Message::binary(bytes.freeze())
    }

    /// `None` = it means nothing.
    pub(super) fn read(self, message: Bytes) -> Option<Input> {
        let (&first, rest) = message.split_first()?;
        if self.close && first == CLOSE {
            let &[channel] = rest else { return None };
            return Some(Input::Close { channel });
        }
        if self.base64 {
            let channel = first.checked_sub(b'0')?;
            let data = Bytes::from(STANDARD.decode(rest).ok()?);
            return Some(Input::Data { channel, data });
        }
        let data = message.slice(1..);
        Some(Input::Data { channel: first, data })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_clients_first_offer_that_is_spoken_is_taken() {
        let name = |offers: &[&str]| Framing::choose(offers, &REMOTE_COMMAND).map(|framing| framing.name);
        assert_eq!(name(&[]), Some(None));
        assert_eq!(
            name(&["v9.channel.k8s.io", "channel.k8s.io", "v4.channel.k8s.io"]),
            Some(Some("channel.k8s.io"))
        );
        assert_eq!(
            name(&["v5.channel.k8s.io", "v4.channel.k8s.io"]),
            Some(Some("v5.channel.k8s.io"))
        );
        assert_eq!(name(&["chat"]), None);
        assert_eq!(Framing::choose(&["channel.k8s.io"], &PORT_FORWARD), None);
    }

    #[test]
    fn v5_ends_channels() {
        let v5 = REMOTE_COMMAND[5];
        assert_eq!(
            v5.read(Bytes::from_static(b"\xff\x00")),
            Some(Input::Close { channel: 0 })
        );
        assert_eq!(v5.read(Bytes::from_static(b"\xff")), None);
        assert_eq!(v5.read(Bytes::from_static(b"\xff\x00\x00")), None);
        let data = Some(Input::Data {
            channel: 255,
            data: Bytes::from_static(b"\x00"),
        });
        assert_eq!(V4.read(Bytes::from_static(b"\xff\x00")), data);
    }

    #[test]
    fn base64_is_a_digit_and_text() {
        assert_eq!(V4_BASE64.message(1, b"out"), Message::text("1b3V0"));
        let data = Bytes::from_static(b"in");
        assert_eq!(
            V4_BASE64.read(Bytes::from_static(b"0aW4=")),
            Some(Input::Data { channel: 0, data })
        );
        assert_eq!(V4_BASE64.read(Bytes::from_static(b"0*")), None);
        assert_eq!(V4_BASE64.read(Bytes::from_static(b"!")), None);
        assert_eq!(V4_BASE64.read(Bytes::new()), None);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(which in 0..REMOTE_COMMAND.len(), channel in 0u8..5, data: Vec<u8>) {
            let framing = REMOTE_COMMAND[which];
            let message = match framing.message(channel, &data) {
                Message::Binary(bytes) => bytes,
                Message::Text(text) => Bytes::from(text),
                other => panic!("{other:?}"),
            };
            prop_assert_eq!(framing.read(message), Some(Input::Data { channel, data: Bytes::from(data) }));
        }

        #[test]
        fn nonsense_is_passed_over(which in 0..REMOTE_COMMAND.len(), message: Vec<u8>) {
            let _ = REMOTE_COMMAND[which].read(Bytes::from(message));
        }
    }
}
