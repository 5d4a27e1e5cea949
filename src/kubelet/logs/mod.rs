//! `containerLogs`: what a client asks for, where its lines come from, and how a followed log is put together from readings.
//!
//! ```text
//! routes ─► query ─► open ─► stream ─┬─► source (a reading) ──────────────────► ECI
//!                                    ├─► feed (one for all) ─► overlap, budget ─► ECI
//!                                    └─► archive ─────────────────────────────► S3, OSS
//! ```

pub mod archive;
pub mod budget;
mod feed;
mod format;
pub mod open;
mod overlap;
pub mod query;
mod ring;
pub mod source;
pub mod stream;
