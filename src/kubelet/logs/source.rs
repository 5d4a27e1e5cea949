//! Where logs are read from.

use std::fmt;

use futures::FutureExt;
use futures::future::BoxFuture;
use jiff::Timestamp;

/// Reads logs of containers; ECI's `DescribeContainerLog`, or a script in tests.
pub trait LogSource: Send + Sync {
    /// The newest lines, each with a timestamp before it, oldest first.
    fn read(&self, read: LogRead) -> BoxFuture<'static, Result<String, LogError>>;
}

/// One reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRead {
    /// The container group.
    pub group_id: String,
    /// The container.
    pub container: String,
    /// Lines at most, 1 to 2,000.
    pub tail: u32,
    /// Nothing older (rounded down to a second).
    pub since: Option<Timestamp>,
    /// The previous run of the container.
    pub previous: bool,
}

/// A failed reading. The text is fit for users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogError {
    /// There is no such group or container any more.
    NotFound(String),
    /// It may work later.
    Passing(String),
    /// It will not work.
    Refused(String),
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::NotFound(text) | Self::Passing(text) | Self::Refused(text)) = self;
        f.write_str(text)
    }
}

impl std::error::Error for LogError {}

/// Logs from ECI.
pub struct EciLogs(pub eci::Client);

impl LogSource for EciLogs {
    fn read(&self, read: LogRead) -> BoxFuture<'static, Result<String, LogError>> {
        let client = self.0.clone();
        async move {
            let query = eci::LogQuery {
                group_id: read.group_id,
                container: read.container,
                tail: Some(read.tail),
                start_time: read.since,
                timestamps: true,
                previous: read.previous,
                ..eci::LogQuery::default()
            };
            client.describe_log(&query).await.map_err(|error| {
                let text = crate::chain::chain(&error);
                match error.class() {
                    eci::ErrorClass::NotFound => LogError::NotFound(text),
                    eci::ErrorClass::Permanent => LogError::Refused(text),
                    _ => LogError::Passing(text),
                }
            })
        }
        .boxed()
    }
}
