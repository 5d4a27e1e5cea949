//! SPDY/3.1, the server's side, as far as Kubernetes uses it: many streams of bytes over one upgraded connection.
//!
//! ```text
//! bytes ──► frame::Decoder ──► Connection (driver) ──► StreamReader, one per stream ──►
//! bytes ◄── frame::Encoder ◄── one queue of frames ◄── StreamWriter, one per stream ◄──
//! ```
//!
//! The only other side there is, `moby/spdystream` in API servers, kubectl and kubelets, knows no flow control: it neither
//! keeps to windows nor sends `WINDOW_UPDATE`, and a server that waited for one would hang after 64 KiB. So nobody waits for
//! windows here either. What bounds memory is the connection itself: it is read only while there is room
//! ([`connection::Bounds`]), and a stream's writer waits while what was written before is on its way
//! ([`connection::OUTBOX`]). The price is `spdystream`'s as well: a stream that nobody reads holds up the others of its connection.
//!
//! # Bounds
//! | of | at most | beyond it |
//! |---|---|---|
//! | a control frame | 16 KiB and its fixed part | the connection ends with `GOAWAY` |
//! | a header block, as it is and compressed | 16 KiB, 100 headers | the same |
//! | a data frame | what its 24 bits can say; handed on in pieces of 32 KiB as they come | |
//! | streams at a time | 8 for a command, 1,000 for forwarded ports | the stream is reset (`REFUSED_STREAM`) |
//! | bytes that wait to be taken, all streams together | 128 KiB; 1 MiB for forwarded ports | nothing is read |
//! | bytes that wait to be written | 128 KiB | writers wait |
//! | time without data | 4 hours | the connection ends |
//! | time without a sign of a client that vanished | two pings of 5 s | the same |
//!
//! Not spoken: server push, priorities, credentials, settings.
//!
//! Tested with what real clients sent (`../testdata`), by properties, and by `make fuzz` (frames, header blocks, and a client that
//! does whatever it is told to on a whole connection).

pub(super) mod connection;
mod dictionary;
pub mod frame;
#[cfg(any(test, fuzzing))]
pub(super) mod fuzz;
mod headers;

pub use headers::Headers;
