//! Request targets that are longer than the HTTP library takes.
//!
//! The official SDKs put every parameter into the URL: a create with the 60 kB of config files that ECI allows comes in a
//! target of some 90 kB, and the `http` crate ends at 65,534 bytes. [`LongTargets`] stands between a connection and hyper. It
//! passes on what it reads as it is, but for the query of a long target: that one is kept aside, and hyper sees a header with
//! its number in its place. [`LongQueries::restore`] joins the two again, and [`query`] gives either kind.
//!
//! Whatever is not plain HTTP/1.1 with a known length (chunks, WebSockets, garbage) is passed on unread from there to the end
//! of the connection; a long target that comes then is hyper's to refuse.

use std::{
    fmt, io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};

use bytes::{Buf, BytesMut};
use http::{HeaderName, Request};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::OwnedSemaphorePermit,
};

use crate::intake::Intake;

/// Longest request line, in bytes; hyper refuses longer ones.
const MAX_LINE: usize = 256 * 1024;
/// Request lines up to this length are hyper's business.
const SHORT_LINE: usize = 64_000;
/// Room that a long query takes while it is read, decoded and checked, in KiB.
const ROOM_KIB: u32 = 1024;
/// As much of a header line as is looked at: those that say where a request ends are short.
const MAX_LOOKED_AT: usize = 256;
/// The header that stands for a query that was kept aside.
const MARK: HeaderName = HeaderName::from_static("x-mock-eci-long-query");

/// The query of a request, whether it was kept aside or not.
pub(crate) fn query<B>(request: &Request<B>) -> &str {
    match request.extensions().get::<LongQuery>() {
        Some(long) => &long.0.text,
        None => request.uri().query().unwrap_or_default(),
    }
}

/// A query that was kept aside, as an extension of its request.
#[derive(Clone)]
struct LongQuery(Arc<Kept>);

struct Kept {
    number: u64,
    text: String,
    _room: OwnedSemaphorePermit,
}

/// The queries of one connection that were kept aside: at most one, because no client sends its next request before the last
/// one was answered.
#[derive(Clone, Default)]
pub(crate) struct LongQueries(Arc<Mutex<Option<Kept>>>);

impl LongQueries {
    fn slot(&self) -> std::sync::MutexGuard<'_, Option<Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a request its query back, if it was kept aside.
    pub(crate) fn restore<B>(&self, request: &mut Request<B>) {
        // A caller may send this header, too: then there is no query of that number.
        let Some(mark) = request.headers_mut().remove(MARK) else {
            return;
        };
        let number = mark.to_str().ok().and_then(|text| text.parse().ok());
        if let Some(kept) = self.slot().take_if(|kept| Some(kept.number) == number) {
            request.extensions_mut().insert(LongQuery(Arc::new(kept)));
        }
    }
}

impl fmt::Debug for LongQueries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LongQueries").finish_non_exhaustive()
    }
}

/// A connection whose long queries are kept aside.
#[derive(Debug)]
pub(crate) struct LongTargets<S> {
    inner: S,
    filter: Filter,
    /// Read and not yet passed on.
    ready: BytesMut,
    ended: bool,
}

impl<S> LongTargets<S> {
    /// Reads `inner`, with the room that `intake` has for long queries.
    pub(crate) fn new(inner: S, intake: Intake) -> (Self, LongQueries) {
        let queries = LongQueries::default();
        let filter = Filter::new(queries.clone(), intake, SHORT_LINE..MAX_LINE);
        let (ready, ended) = (BytesMut::new(), false);
        (
            Self {
                inner,
                filter,
                ready,
                ended,
            },
            queries,
        )
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for LongTargets<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            if !this.ready.is_empty() {
                let count = this.ready.len().min(buf.remaining());
                buf.put_slice(&this.ready[..count]);
                this.ready.advance(count);
                return Poll::Ready(Ok(()));
            }
            if this.ended {
                return Poll::Ready(Ok(()));
            }
            if this.filter.is_blind() {
                return Pin::new(&mut this.inner).poll_read(cx, buf);
            }
            let mut chunk = [0; 8 * 1024];
            let mut chunk = ReadBuf::new(&mut chunk);
            ready!(Pin::new(&mut this.inner).poll_read(cx, &mut chunk))?;
            match chunk.filled() {
                [] => {
                    this.ended = true;
                    this.filter.give_up(&mut this.ready);
                }
                read => this.filter.feed(read, &mut this.ready),
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for LongTargets<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

/// Follows what a client sends, as far as it must to know where a request begins.
#[derive(Debug)]
struct Filter {
    state: State,
    /// A request line that is not complete.
    held: Vec<u8>,
    /// Lengths of request lines that are long, and not too long.
    long: std::ops::Range<usize>,
    room: Option<OwnedSemaphorePermit>,
    number: u64,
    queries: LongQueries,
    intake: Intake,
}

#[derive(Debug)]
enum State {
    /// In the request line.
    Line,
    /// In the headers, which are passed on as they come.
    Headers(Headers),
    /// In a body of which so much is to come.
    Body(u64),
    /// Somewhere: nothing is known of what follows.
    Blind,
}

/// What the headers said so far.
#[derive(Debug, Default)]
struct Headers {
    line: Vec<u8>,
    length: Option<u64>,
    /// What follows them does not end after `length`.
    blind: bool,
}

impl Filter {
    fn new(queries: LongQueries, intake: Intake, long: std::ops::Range<usize>) -> Self {
        Self {
            state: State::Line,
            held: Vec::new(),
            long,
            room: None,
            number: 0,
            queries,
            intake,
        }
    }

    fn is_blind(&self) -> bool {
        matches!(self.state, State::Blind)
    }

    /// Passes on whatever is held, and everything from now on.
    fn give_up(&mut self, out: &mut BytesMut) {
        out.extend_from_slice(&std::mem::take(&mut self.held));
        (self.room, self.state) = (None, State::Blind);
    }

    /// Takes what was read, and appends to `out` what hyper is to see of it.
    fn feed(&mut self, mut input: &[u8], out: &mut BytesMut) {
        while !input.is_empty() {
            let line = input.iter().position(|b| *b == b'\n').map_or(input.len(), |at| at + 1);
            let taken = match &mut self.state {
                State::Line => {
                    self.held.extend_from_slice(&input[..line]);
                    self.request_line(out);
                    line
                }
                State::Headers(headers) => {
                    out.extend_from_slice(&input[..line]);
                    if let Some(next) = headers.take(&input[..line]) {
                        self.state = next;
                    }
                    line
                }
                State::Body(rest) => {
                    let count = usize::try_from(*rest).unwrap_or(usize::MAX).min(input.len());
                    out.extend_from_slice(&input[..count]);
                    *rest -= count as u64;
                    if *rest == 0 {
                        self.state = State::Line;
                    }
                    count
                }
                State::Blind => {
                    out.extend_from_slice(input);
                    input.len()
                }
            };
            input = &input[taken..];
        }
    }

    /// Looks at the request line, as far as it was read.
    fn request_line(&mut self, out: &mut BytesMut) {
        let (length, complete) = (self.held.len(), self.held.ends_with(b"\n"));
        match self.held.first().copied() {
            Some(b'\r' | b'\n' | b'A'..=b'Z') => {}
            _ => return self.give_up(out),
        }
        if length >= self.long.end || (length > self.long.start && !self.have_room()) {
            self.give_up(out);
        } else if complete && length > self.long.start {
            self.keep(out);
        } else if complete {
            out.extend_from_slice(&self.held);
            // Empty lines before a request line are no part of it.
            if self.held.first().is_some_and(u8::is_ascii_uppercase) {
                self.state = State::Headers(Headers::default());
            }
            self.held.clear();
        }
    }

    fn have_room(&mut self) -> bool {
        if self.room.is_none() {
            self.room = self.intake.try_room(ROOM_KIB);
        }
        self.room.is_some()
    }

    /// Keeps the query of the complete request line aside.
    fn keep(&mut self, out: &mut BytesMut) {
        let (Some(parts), Some(room)) = (split(&self.held), self.room.take()) else {
            return self.give_up(out);
        };
        let mut slot = self.queries.slot();
        if slot.is_some() {
            drop(slot);
            return self.give_up(out);
        }
        self.number += 1;
        *slot = Some(Kept {
            number: self.number,
            text: parts.query.to_owned(),
            _room: room,
        });
        drop(slot);
        let line = format!("{} {}\r\n{MARK}: {}\r\n", parts.before, parts.after, self.number);
        out.extend_from_slice(line.as_bytes());
        self.held = Vec::new();
        self.state = State::Headers(Headers::default());
    }
}

struct Parts<'a> {
    /// Method and path.
    before: &'a str,
    query: &'a str,
    /// Version.
    after: &'a str,
}

/// Takes a request line apart; none if it is not one, or has no query.
fn split(line: &[u8]) -> Option<Parts<'_>> {
    let line = std::str::from_utf8(line).ok()?.trim_end_matches(['\r', '\n']);
    let (rest, after) = line.rsplit_once(' ')?;
    let (before, query) = rest.split_once('?')?;
    // What no request line may contain must not become part of a head of our making.
    let plain = |text: &str| text.bytes().all(|b| b.is_ascii_graphic());
    let (method, path) = before.split_once(' ')?;
    (plain(method) && plain(path) && plain(query) && plain(after)).then_some(Parts { before, query, after })
}

impl Headers {
    /// Takes a piece of a header line; at the end of the last one says what comes next.
    fn take(&mut self, piece: &[u8]) -> Option<State> {
        let looked_at = MAX_LOOKED_AT.saturating_sub(self.line.len()).min(piece.len());
        self.line.extend_from_slice(&piece[..looked_at]);
        if !piece.ends_with(b"\n") {
            return None;
        }
        let line = String::from_utf8_lossy(&self.line).trim().to_ascii_lowercase();
        self.line.clear();
        if line.is_empty() {
            return Some(match self.length {
                _ if self.blind => State::Blind,
                None | Some(0) => State::Line,
                Some(length) => State::Body(length),
            });
        }
        let (name, value) = line.split_once(':').unwrap_or((&line, ""));
        match name.trim() {
            "content-length" => match (self.length, value.trim().parse()) {
                (None, Ok(length)) => self.length = Some(length),
                (Some(known), Ok(length)) if known == length => {}
                _ => self.blind = true,
            },
            "transfer-encoding" | "upgrade" => self.blind = true,
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    /// What becomes of `input`, read in pieces of this size, and the queries that were kept aside.
    fn filtered(input: &[u8], piece: usize) -> (String, Vec<String>) {
        let queries = LongQueries::default();
        let mut filter = Filter::new(queries.clone(), Intake::default(), 40..80);
        let (mut out, mut kept) = (BytesMut::new(), Vec::new());
        for piece in input.chunks(piece) {
            filter.feed(piece, &mut out);
            kept.extend(queries.slot().take().map(|kept| kept.text));
        }
        filter.give_up(&mut out);
        (String::from_utf8_lossy(&out).into_owned(), kept)
    }

    const LONG: &str = "a-query-that-is-longer-than-forty-bytes";

    #[test]
    fn queries_of_long_targets_are_kept_aside() {
        let cases = [
            ("GET /?short HTTP/1.1\r\n\r\n".to_owned(), None),
            (format!("GET /?{LONG} HTTP/1.1\r\nhost: x\r\n\r\n"), Some(1)),
            // The second request of a connection, after a body and an empty line.
            (
                format!("POST /?a HTTP/1.1\r\nContent-Length: 3\r\n\r\na\nb\r\nPOST /?{LONG} HTTP/1.1\nhost: x\n\n"),
                Some(1),
            ),
            // Nothing is known of where these end.
            (
                format!("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nGET /?{LONG} HTTP/1.1\r\n\r\n"),
                None,
            ),
            (
                format!("GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\nGET /?{LONG} HTTP/1.1\r\n\r\n"),
                None,
            ),
            (
                format!(
                    "POST / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nGET /?{LONG} HTTP/1.1\r\n\r\n"
                ),
                None,
            ),
            // No request lines.
            (format!("\u{81}\u{5}GET /?{LONG} HTTP/1.1\r\n\r\n"), None),
            (format!("get /?{LONG} HTTP/1.1\r\n\r\n"), None),
            (format!("GET /{LONG}/{LONG} HTTP/1.1\r\n\r\n"), None),
            (format!("GET /?\u{e9}{LONG} HTTP/1.1\r\n\r\n"), None),
            (format!("GET /\t?{LONG} HTTP/1.1\r\n\r\n"), None),
            (format!("GET /?{LONG}{LONG}{LONG} HTTP/1.1\r\n\r\n"), None),
            (format!("GET /?{LONG}"), None),
        ];
        for (input, expected) in cases {
            for piece in [1, 2, 7, 1_000] {
                let (out, kept) = filtered(input.as_bytes(), piece);
                match expected {
                    None => assert_eq!((out.as_str(), kept.len()), (input.as_str(), 0), "{piece}"),
                    Some(number) => {
                        let short = input.replace(
                            &format!("?{LONG} HTTP/1.1\r\n"),
                            &format!(" HTTP/1.1\r\n{MARK}: {number}\r\n"),
                        );
                        let short = short.replace(
                            &format!("?{LONG} HTTP/1.1\n"),
                            &format!(" HTTP/1.1\r\n{MARK}: {number}\r\n"),
                        );
                        assert_eq!((out, kept), (short, vec![LONG.to_owned()]), "{piece}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_second_long_query_before_the_first_was_taken_is_left_where_it_is() {
        let queries = LongQueries::default();
        let mut filter = Filter::new(queries, Intake::default(), 40..80);
        let mut out = BytesMut::new();
        let request = format!("GET /?{LONG} HTTP/1.1\r\n\r\n");
        filter.feed(request.repeat(2).as_bytes(), &mut out);
        assert!(filter.is_blind());
        assert!(String::from_utf8_lossy(&out).ends_with(&request));
    }

    #[test]
    fn only_a_number_that_was_given_stands_for_a_query() {
        let queries = LongQueries::default();
        let mut filter = Filter::new(queries.clone(), Intake::default(), 40..80);
        filter.feed(
            format!("GET /?{LONG} HTTP/1.1\r\n\r\n").as_bytes(),
            &mut BytesMut::new(),
        );
        let ask = |mark: &'static str| {
            let mut request = Request::get("/?own").body(()).expect("a request");
            request.headers_mut().insert(MARK, HeaderValue::from_static(mark));
            queries.restore(&mut request);
            assert!(!request.headers().contains_key(MARK));
            query(&request).to_owned()
        };
        assert_eq!(ask("2"), "own");
        assert_eq!(ask("x"), "own");
        assert_eq!(ask("1"), LONG);
        assert_eq!(ask("1"), "own", "it is given once");
    }

    #[test]
    fn without_room_a_long_query_is_left_where_it_is() {
        let intake = Intake::default();
        let mut taken = Vec::new();
        while let Some(room) = intake.try_room(ROOM_KIB) {
            taken.push(room);
        }
        let mut filter = Filter::new(LongQueries::default(), intake, 40..80);
        let (mut out, request) = (BytesMut::new(), format!("GET /?{LONG} HTTP/1.1\r\n\r\n"));
        filter.feed(request.as_bytes(), &mut out);
        assert_eq!(out, request.as_bytes());
    }

    proptest! {
        /// How the bytes arrive makes no difference, and nothing gets lost but queries.
        #[test]
        fn pieces_make_no_difference(
            input in proptest::collection::vec(
                prop_oneof![
                    Just(format!("POST /?{LONG} HTTP/1.1\r\n")), Just("GET / HTTP/1.1\r\n".to_owned()),
                    Just("content-length: 4\r\n".to_owned()), Just("upgrade: x\r\n".to_owned()), Just("\r\n".to_owned()),
                    "[ -~\r\n]{0,100}",
                ],
                0..12,
            ),
            piece in 1_usize..100,
        ) {
            let input = input.concat();
            // One at a time, so that each query is taken before the next one comes.
            let (out, kept) = filtered(input.as_bytes(), 1);
            let marks = out.matches(MARK.as_str()).count();
            prop_assert_eq!(marks, kept.len());
            if kept.is_empty() {
                prop_assert_eq!(&out, &input);
            }
            if kept.len() <= 1 {
                prop_assert_eq!(filtered(input.as_bytes(), piece), (out, kept));
            }
        }
    }
}
