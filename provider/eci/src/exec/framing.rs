//! (pure) Messages of a command's socket: a channel's number, and data.
//!
//! | channel | direction | data |
//! |---|---|---|
//! | 0 | to the command | standard input; empty = its end (unconfirmed) |
//! | 1, 2 | from it | standard output, standard error |
//! | 3 | from it | how it ended: a `v1` `Status` as JSON (unconfirmed), or words |
//! | 4 | to it | the terminal's size: `{"Width":80,"Height":24}` (unconfirmed) |

use bytes::{BufMut, Bytes, BytesMut};
use serde::Deserialize;
use tokio_tungstenite::tungstenite::Message;

use super::{ExecInput, ExecOutput};

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const STATUS: u8 = 3;
const RESIZE: u8 = 4;

/// How Kubernetes words exit codes where it has only words.
const EXIT_CODE: &str = "exit code ";

pub(super) fn message(input: &ExecInput) -> Message {
    match input {
        ExecInput::Stdin(data) if data.is_empty() => Message::Ping(Bytes::new()),
        ExecInput::Stdin(data) => channel(STDIN, data),
        ExecInput::StdinEnd => channel(STDIN, b""),
        ExecInput::Resize { width, height } => {
            let size = format!(r#"{{"Width":{width},"Height":{height}}}"#);
            channel(RESIZE, size.as_bytes())
        }
    }
}

fn channel(number: u8, data: &[u8]) -> Message {
    let mut message = BytesMut::with_capacity(1 + data.len());
    message.put_u8(number);
    message.put_slice(data);
    Message::binary(message.freeze())
}

/// `None` = it means nothing.
pub(super) fn read(message: Bytes) -> Option<ExecOutput> {
    let (&number, rest) = message.split_first()?;
    match number {
        STDOUT | STDERR if rest.is_empty() => None,
        STDOUT => Some(ExecOutput::Stdout(message.slice(1..))),
        STDERR => Some(ExecOutput::Stderr(message.slice(1..))),
        STATUS => end(rest).map(ExecOutput::Ended),
        _ => None,
    }
}

#[derive(Deserialize)]
struct Status {
    status: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    details: Details,
}

#[derive(Default, Deserialize)]
struct Details {
    #[serde(default)]
    causes: Vec<Cause>,
}

#[derive(Deserialize)]
struct Cause {
    #[serde(default)]
    reason: String,
    #[serde(default)]
    message: String,
}

fn end(text: &[u8]) -> Option<Result<i32, String>> {
    let Ok(status) = serde_json::from_slice::<Status>(text) else {
        let words = String::from_utf8_lossy(text);
        let words = words.trim();
        if words.is_empty() {
            return None;
        }
        let code = words.rsplit_once(EXIT_CODE).and_then(|(_, code)| code.parse().ok());
        return Some(code.ok_or_else(|| words.to_owned()));
    };
    if status.status == "Success" {
        return Some(Ok(0));
    }
    let code = status
        .details
        .causes
        .iter()
        .find(|cause| cause.reason == "ExitCode")
        .and_then(|cause| cause.message.parse().ok());
    Some(code.ok_or(status.message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Option<ExecOutput> {
        super::read(Bytes::copy_from_slice(bytes))
    }

    #[test]
    fn input_goes_to_its_channels() {
        let binary = |input| match message(&input) {
            Message::Binary(bytes) => bytes,
            other => panic!("{other:?}"),
        };
        assert_eq!(&binary(ExecInput::Stdin(Bytes::from_static(b"in")))[..], b"\x00in");
        assert_eq!(&binary(ExecInput::StdinEnd)[..], b"\x00");
        let size = ExecInput::Resize { width: 80, height: 24 };
        assert_eq!(&binary(size)[..], b"\x04{\"Width\":80,\"Height\":24}");
        assert!(
            !message(&ExecInput::Stdin(Bytes::new())).is_binary(),
            "an empty chunk is not the end"
        );
    }

    #[test]
    fn output_comes_from_its_channels() {
        assert_eq!(read(b"\x01out"), Some(ExecOutput::Stdout(Bytes::from_static(b"out"))));
        assert_eq!(read(b"\x02err"), Some(ExecOutput::Stderr(Bytes::from_static(b"err"))));
        for nothing in [&b""[..], b"\x01", b"\x03", b"\x03 \n", b"\x05x", b"\xff"] {
            assert_eq!(read(nothing), None, "{nothing:?}");
        }
    }

    #[test]
    fn the_end_is_a_status_or_words() {
        let ended = |text: &str| match read(format!("\x03{text}").as_bytes()) {
            Some(ExecOutput::Ended(end)) => end,
            other => panic!("{other:?}"),
        };
        assert_eq!(ended(r#"{"metadata":{},"status":"Success"}"#), Ok(0));
        let code = r#"{"status":"Failure","message":"m","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"137"}]}}"#;
        assert_eq!(ended(code), Ok(137));
        assert_eq!(
            ended(r#"{"status":"Failure","message":"no such container"}"#),
            Err("no such container".to_owned())
        );
        assert_eq!(
            ended("command terminated with non-zero exit code: command terminated with exit code 7"),
            Ok(7)
        );
        assert_eq!(ended("it went wrong"), Err("it went wrong".to_owned()));
    }
}
