//! One question to a name server, as a resolver in a container would ask it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::timeout;

const PORT: u16 = 53;
/// For one try; a datagram may be lost.
const ATTEMPT: Duration = Duration::from_secs(2);
const ATTEMPTS: usize = 3;
/// Type A, class IN.
const QUESTION: [u8; 4] = [0, 1, 0, 1];
const HEADER: usize = 12;
/// The largest answer of a server that was told of no larger ones.
const MAX_ANSWER: usize = 512;

/// What a name server said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// So many records.
    Found(u16),
    /// There is no such name.
    NoSuchName,
    /// It could not tell: its response code.
    Failed(u8),
}

/// Asks `server` for addresses of `name`.
///
/// # Errors
/// Why there is no answer.
pub(super) async fn ask(server: IpAddr, name: &str) -> Result<Answer, String> {
    let mut why = String::new();
    for _ in 0..ATTEMPTS {
        match timeout(ATTEMPT, try_ask(server, name)).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => why = error,
            Err(_) => why = format!("no answer within {ATTEMPT:?}"),
        }
    }
    Err(why)
}

async fn try_ask(server: IpAddr, name: &str) -> Result<Answer, String> {
    let any = match server {
        IpAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        IpAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    let text = |error: std::io::Error| error.to_string();
    let id = rand::random();
    let query = query(id, name).ok_or_else(|| format!("`{name}` is no name"))?;
    let socket = UdpSocket::bind(any).await.map_err(text)?;
    socket.connect((server, PORT)).await.map_err(text)?;
    socket.send(&query).await.map_err(text)?;
    let mut buffer = [0; MAX_ANSWER];
    loop {
        let length = socket.recv(&mut buffer).await.map_err(text)?;
        // Something else that came to this port is left alone.
        if let Some(answer) = buffer.get(..length).and_then(|bytes| read(id, bytes)) {
            return Ok(answer);
        }
    }
}

/// A query for addresses; none where the name cannot be one.
fn query(id: u16, name: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(HEADER + name.len() + 2 + QUESTION.len());
    bytes.extend(id.to_be_bytes());
    // Recursion is desired; one question.
    bytes.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.trim_end_matches('.').split('.') {
        let length = u8::try_from(label.len())
            .ok()
            .filter(|length| (1..=63).contains(length))?;
        bytes.push(length);
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes.extend(QUESTION);
    Some(bytes)
}

/// What an answer to the query of that id says.
fn read(id: u16, bytes: &[u8]) -> Option<Answer> {
    let word = |at: usize| Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
    let flags = word(2)?;
    if word(0)? != id || flags & 0x8000 == 0 {
        return None;
    }
    Some(match (flags & 0xf) as u8 {
        0 => Answer::Found(word(6)?),
        3 => Answer::NoSuchName,
        code => Answer::Failed(code),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_a_header_labels_and_a_type() {
        let bytes = query(0x1234, "a.bc.").expect("a name");
        let expected = [
            0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, b'a', 2, b'b', b'c', 0, 0, 1, 0, 1,
        ];
        assert_eq!(bytes, expected);
        assert_eq!(query(1, "a..b"), None);
        assert_eq!(query(1, &"a".repeat(64)), None);
    }

    #[test]
    fn answers_are_those_to_the_query_of_their_id() {
        let answer = |flags: u16, records: u16| {
            let mut bytes = vec![0x12, 0x34];
            bytes.extend(flags.to_be_bytes());
            bytes.extend([0, 1]);
            bytes.extend(records.to_be_bytes());
            bytes
        };
        assert_eq!(read(0x1234, &answer(0x8180, 2)), Some(Answer::Found(2)));
        assert_eq!(read(0x1234, &answer(0x8183, 0)), Some(Answer::NoSuchName));
        assert_eq!(read(0x1234, &answer(0x8182, 0)), Some(Answer::Failed(2)));
        assert_eq!(read(0x1234, &answer(0x0100, 0)), None, "a query");
        assert_eq!(read(1, &answer(0x8180, 2)), None, "of another id");
        assert_eq!(read(0x1234, &[0x12]), None);
    }
}
