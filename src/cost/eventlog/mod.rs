//! Spark's event log: what executors did with the time that was paid.
//!
//! ```text
//! place (folder | file | s3://…) ──► source (bytes) ──► decode (zstd) ──► lines ──► event ──► story
//! ```
//!
//! [`names`] says which files make up a log, [`source`] reads them, [`decode`] unpacks them, [`event`] is Spark's JSON, [`story`]
//! what is kept of it.
//!
//! # Guarantees
//! - A log is read as a stream: memory holds one line, a piece of a file, and a few words for each task.
//! - Events and fields that are not known are skipped: every version of Spark writes others.
//! - A log that breaks off (the driver runs, or was killed) is read as far as it goes, and the story says so.

mod decode;
mod event;
mod lines;
mod names;
mod source;
mod story;

pub use source::{EventLogError, Place, read};
pub use story::{Executor, Settings, Stage, Story, Task};

#[cfg(test)]
pub(crate) mod tests;
