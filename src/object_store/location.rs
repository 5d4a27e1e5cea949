//! (pure) Where an object store is.

use std::fmt;

/// A bucket, and a prefix in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// Kind of store.
    pub kind: StoreKind,
    /// Bucket.
    pub bucket: String,
    /// What all keys begin with, without slashes around it; may be empty.
    pub prefix: String,
    /// URL of the store; `None` = the usual one.
    pub endpoint: Option<String>,
    /// Region of the store; `None` = the usual one.
    pub region: Option<String>,
}

/// Kinds of stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    /// S3, or what speaks like it.
    S3,
    /// Alibaba Cloud's OSS.
    Oss,
}

impl Location {
    /// What `s3://BUCKET/PREFIX` or `oss://BUCKET/PREFIX` names, at the usual endpoint and region.
    ///
    /// # Errors
    /// It is neither: why, for whoever wrote it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wanted = || "it must be s3://BUCKET/PREFIX or oss://BUCKET/PREFIX".to_owned();
        let (scheme, rest) = text.split_once("://").ok_or_else(wanted)?;
        let kind = match scheme {
            "s3" => StoreKind::S3,
            "oss" => StoreKind::Oss,
            _ => return Err(wanted()),
        };
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        if bucket.is_empty() || !bucket.chars().all(safe) {
            return Err(wanted());
        }
        let prefix = prefix.trim_matches('/');
        let parts = || prefix.split('/');
        if !prefix.is_empty() && parts().any(|part| part.is_empty() || part == "." || part == "..") {
            return Err("its prefix must not have empty parts, nor `.` or `..`".to_owned());
        }
        Ok(Self {
            kind,
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
            endpoint: None,
            region: None,
        })
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.kind {
            StoreKind::S3 => "s3",
            StoreKind::Oss => "oss",
        };
        write!(f, "{scheme}://{}", self.bucket)?;
        if self.prefix.is_empty() {
            Ok(())
        } else {
            write!(f, "/{}", self.prefix)
        }
    }
}
