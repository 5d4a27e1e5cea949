//! The newest calls, without their secrets.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use serde::Serialize;

use crate::api::response::shorten;

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

/// Characters of a value that are shown.
const MAX_VALUE: usize = 4_096;
/// Of a name or an action.
const MAX_NAME: usize = 256;
/// What the parameters of one call may take in memory, more or less; with the default number of calls that is 64 MB in all.
const MAX_PARAMETERS_BYTES: usize = 64 * 1024;
/// What a pair takes beside its text.
const PAIR_BYTES: usize = 80;

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
        entry.action = shorten(&entry.action, MAX_NAME).into_owned();
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

/// Parameters as they may be shown: no secrets, and no more than a person would read. Whoever calls, even without a key,
/// decides how much there is.
pub(crate) fn show<'a>(parameters: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<(String, String)> {
    let (mut shown, mut bytes, mut left_out) = (Vec::new(), 0, 0_usize);
    for (name, value) in parameters {
        let value = redact(name, value);
        let pair = (
            shorten(name, MAX_NAME).into_owned(),
            shorten(&value, MAX_VALUE).into_owned(),
        );
        bytes += pair.0.len() + pair.1.len() + PAIR_BYTES;
        if bytes > MAX_PARAMETERS_BYTES {
            left_out += 1;
        } else {
            shown.push(pair);
        }
    }
    if left_out > 0 {
        shown.push(("...".to_owned(), format!("{left_out} more parameters")));
    }
    shown
}

/// Names as they may be shown, within the same bound.
pub(crate) fn show_names<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut bytes = 0;
    names
        .map(|name| shorten(name, MAX_NAME).into_owned())
        .take_while(|name| {
            bytes += name.len() + PAIR_BYTES;
            bytes <= MAX_PARAMETERS_BYTES
        })
        .collect()
}

/// A parameter as it may be shown: values that may be secrets by their length only.
pub(crate) fn redact(name: &str, value: &str) -> String {
    if is_secret(name) {
        format!("<{} bytes>", value.len())
    } else {
        value.to_owned()
    }
}

/// Whether a parameter may hold a secret. Names are taken in any case of letters, because a caller that misspells one sends
/// its secret all the same; and command lines hold passwords too often to be shown.
fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let any = |words: &[&str]| words.iter().any(|word| name.contains(word));
    if any(&["password", "secret", "securitytoken", "kubeconfig", "command", "exec"]) {
        return true;
    }
    let is_any = |words: &[&str]| name.split('.').any(|segment| words.contains(&segment));
    match name.rsplit('.').next().unwrap_or_default() {
        "signature" | "content" | "authorization" => true,
        "value" => any(&["env", "header"]),
        // Of flex volumes and data sources; options of DNS are called otherwise, and are no secrets.
        _ => is_any(&["arg", "args", "options"]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_takes_no_more_than_its_share() {
        let long = "x".repeat(1 << 20);
        let shown = show([("A", long.as_str()), (long.as_str(), "b"), ("Tag.1.Value", "c")].into_iter());
        assert_eq!(shown[0].1.chars().count(), MAX_VALUE + 3);
        assert_eq!(shown[1].0.chars().count(), MAX_NAME + 3);
        assert_eq!(shown[2], ("Tag.1.Value".to_owned(), "c".to_owned()));

        let names: Vec<String> = (0..20_000).map(|n| format!("N{n}")).collect();
        let shown = show(names.iter().map(|n| (n.as_str(), "value")));
        let bytes: usize = shown.iter().map(|(n, v)| n.len() + v.len() + PAIR_BYTES).sum();
        assert!(bytes <= MAX_PARAMETERS_BYTES + 200, "{bytes}");
        let last = &shown.last().expect("some").1;
        assert_eq!(*last, format!("{} more parameters", 20_000 - (shown.len() - 1)));
        assert!(show_names(names.iter().map(String::as_str)).len() < 1_000);
    }

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
            "container.1.environmentvar.1.value",
            "Container.1.EnvironmentVars.1.Value",
            "ImageRegistryCredential.1.PassWord",
            "Container.1.Command.1",
            "Container.1.Arg.3",
            "Container.1.LivenessProbe.Exec.Command.1",
            "Command",
            "KubeConfig",
            "DataSource.Options.token",
            "Volume.1.FlexVolume.Options",
        ] {
            assert_eq!(redact(name, "hunter2"), "<7 bytes>", "{name}");
        }
        for name in [
            "Tag.1.Value",
            "SignatureNonce",
            "ClientToken",
            "NextToken",
            "DnsConfig.Option.1.Value",
            "Container.1.Image",
        ] {
            assert_eq!(redact(name, "visible"), "visible", "{name}");
        }
    }
}
