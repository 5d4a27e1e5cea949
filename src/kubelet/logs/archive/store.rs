//! What the archive needs of an object store.

use std::fmt;

use bytes::Bytes;
use futures::future::BoxFuture;

/// Objects by key, under the archive's prefix.
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
