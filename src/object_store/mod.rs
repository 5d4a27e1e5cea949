//! Objects in a bucket of S3 or OSS: logs are archived there, and Spark's event logs are read from there.
//!
//! [`Location`] says where it is, [`ObjectStore`] what is asked of it, and [`S3Store`] is how, with keys from where users of AWS or
//! Alibaba Cloud expect them (`aws`, [`eci::credentials`]).

mod aws;
mod location;
mod s3;

use std::fmt;

use bytes::Bytes;
use futures::future::BoxFuture;

pub use location::{Location, StoreKind};
pub use s3::{S3Store, SetupError};

/// Objects by key, under a prefix.
pub trait ObjectStore: Send + Sync {
    /// Writes an object; twice the same is the same as once.
    fn put(&self, key: String, body: Bytes) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Reads an object.
    fn get(&self, key: String) -> BoxFuture<'_, Result<Bytes, StoreError>>;

    /// All keys that begin like this.
    fn list(&self, prefix: String) -> BoxFuture<'_, Result<Vec<String>, StoreError>>;
}

/// Why the store did not do it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// There is no such object.
    Absent,
    /// Something else, in words without secrets; it may work later.
    Failed(String),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("there is no such object"),
            Self::Failed(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for StoreError {}

#[cfg(test)]
mod tests;
