//! `containerLogs`: what a client asks for, where its lines come from, and how a followed log is put together from readings.

pub mod budget;
mod format;
mod overlap;
pub mod query;
pub mod source;
pub mod stream;
