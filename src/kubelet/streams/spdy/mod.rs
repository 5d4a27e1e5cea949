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
//! Not spoken: server push, priorities, credentials, settings.

pub(super) mod connection;
mod dictionary;
pub mod frame;
#[cfg(any(test, fuzzing))]
pub(super) mod fuzz;
mod headers;

pub use headers::Headers;
