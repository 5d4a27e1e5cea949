//! What a client must be told.

use std::fmt;

use crate::Limits;

/// Settings of a [`Client`](crate::Client).
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// Scheme and host, with a port if it is not the scheme's: `https://eci.cn-hangzhou.aliyuncs.com`,
    /// `http://127.0.0.1:8090`.
    pub endpoint: String,
    /// Region, `cn-hangzhou`.
    pub region: String,
    /// The client's own limits.
    pub limits: Limits,
    /// `User-Agent`.
    pub user_agent: String,
}

/// A setting that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    setting: &'static str,
    value: String,
    problem: &'static str,
}

impl ConfigError {
    pub(super) fn new(setting: &'static str, value: &str, problem: &'static str) -> Self {
        Self {
            setting,
            value: value.to_owned(),
            problem,
        }
    }

    /// The setting at fault.
    pub fn setting(&self) -> &'static str {
        self.setting
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ECI {} `{}` {}", self.setting, self.value, self.problem)
    }
}

impl std::error::Error for ConfigError {}

pub(super) fn region(region: String) -> Result<String, ConfigError> {
    let good = !region.is_empty()
        && region
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if good {
        Ok(region)
    } else {
        Err(ConfigError::new(
            "region",
            &region,
            "is not a region id such as cn-hangzhou",
        ))
    }
}
