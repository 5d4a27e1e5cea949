//! The newest calls, without their secrets.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use serde::Serialize;

/// One call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Entry {
    /// Counts all calls ever.
    pub number: u64,
    /// When it came.
    pub time: Timestamp,
    /// Action as the caller named it.
    pub action: String,
    /// HTTP method.
    pub method: String,
    /// Id of the answer.
    pub request_id: String,
    /// HTTP status of the answer; 0 = there was none (a planned fault).
    pub status: u16,
    /// `Code` of an error answer.
    pub code: Option<String>,
    /// Milliseconds until the answer, by the server's clock.
    pub millis: i64,
    /// Parameters, secrets shown as their length.
    pub parameters: Vec<(String, String)>,
    /// Names of parameters this server does not know: it ignores them, as ECI does.
    pub unknown: Vec<String>,
    /// Names of parameters that are supported, but that the action had no use for in this call (of a good call).
    pub unread: Vec<String>,
    /// Names that were read though the catalogue of parameters calls them ignored: a mistake here, not the caller's.
    #[serde(skip)]
    pub misread: Vec<String>,
}

/// The newest calls; older ones are dropped.
#[derive(Debug)]
pub struct Journal {
    kept: usize,
    entries: Mutex<(u64, VecDeque<Entry>)>,
}

impl Journal {
    /// Keeps so many.
    pub fn new(kept: usize) -> Self {
        Self {
            kept,
            entries: Mutex::new((0, VecDeque::new())),
        }
    }

    fn lock(&self) -> MutexGuard<'_, (u64, VecDeque<Entry>)> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a call; its number is set here.
    pub(crate) fn note(&self, mut entry: Entry) {
        let mut guard = self.lock();
        let (count, entries) = &mut *guard;
        *count += 1;
        if self.kept == 0 {
            return;
        }
        if entries.len() >= self.kept {
            entries.pop_front();
        }
        entry.number = *count;
        entries.push_back(entry);
    }

    /// The newest calls, oldest first; of one action or all.
    pub fn entries(&self, action: Option<&str>) -> Vec<Entry> {
        self.lock()
            .1
            .iter()
            .filter(|e| action.is_none_or(|a| a == e.action))
            .cloned()
            .collect()
    }

    /// How many calls there were since the start or the last reset, kept or not.
    pub fn count(&self) -> u64 {
        self.lock().0
    }

    /// Forgets all.
    pub fn clear(&self) {
        *self.lock() = (0, VecDeque::new());
    }

    /// Whether entries are kept at all.
    pub(crate) fn is_on(&self) -> bool {
        self.kept > 0
    }
}

/// A parameter as it may be shown: values that may be secrets by their length only.
pub(crate) fn redact(name: &str, value: &str) -> String {
    let last = name.rsplit('.').next().unwrap_or(name);
    let secret = match last {
        "Value" => name.contains("EnvironmentVar.") || name.contains("HttpHeader"),
        "Content" => name.contains("ConfigFileToPath."),
        "Password" | "Signature" | "SecurityToken" => true,
        _ => false,
    };
    if secret {
        format!("<{} bytes>", value.len())
    } else {
        value.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_lengths() {
        for name in [
            "Container.1.EnvironmentVar.2.Value",
            "InitContainer.1.EnvironmentVar.1.Value",
            "Volume.1.ConfigFileVolume.ConfigFileToPath.1.Content",
            "ImageRegistryCredential.1.Password",
            "Container.1.LifecyclePreStopHandlerHttpGetHttpHeader.1.Value",
            "SecurityToken",
            "Signature",
        ] {
            assert_eq!(redact(name, "hunter2"), "<7 bytes>", "{name}");
        }
        assert_eq!(redact("Tag.1.Value", "visible"), "visible");
    }
}
