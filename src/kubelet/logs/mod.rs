//! `containerLogs`: what a client asks for, where its lines come from, and how a followed log is put together from readings.
//!
//! ```text
//! routes ─► query ─► stream ─┬─► source (a reading) ─────────────────────────────► ECI
//!                            └─► feed (one for all followers) ─► overlap, budget ─► ECI
//! ```

pub mod budget;
mod feed;
mod format;
mod overlap;
pub mod query;
mod ring;
pub mod source;
pub mod stream;
