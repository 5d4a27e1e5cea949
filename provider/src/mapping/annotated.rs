//! Reads typed values from a pod's annotations. A wrong value is an error that names the annotation and the form it accepts.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use serde::de::DeserializeOwned;

use super::quantity::Exact;
use super::rejection::Findings;

/// A pod's annotations.
#[derive(Clone, Copy)]
pub(super) struct Annotated<'a>(pub(super) &'a BTreeMap<String, String>);

impl<'a> Annotated<'a> {
    /// The value without white space around it; an empty one counts as absent.
    pub(super) fn text(self, name: &str) -> Option<&'a str> {
        self.0
            .get(name)
            .map(|value| value.trim())
            .filter(|value| !value.is_empty())
    }

    /// The value of the first of `names` that is there: an annotation and its older spellings.
    pub(super) fn first_text<'n>(self, names: &[&'n str]) -> Option<(&'n str, &'a str)> {
        names
            .iter()
            .find_map(|name| self.text(name).map(|value| (*name, value)))
    }

    /// The items of a comma-separated list.
    pub(super) fn list(self, name: &str) -> Vec<String> {
        split(self.text(name).unwrap_or_default())
    }

    /// `true` or `false`.
    pub(super) fn flag(self, name: &str, findings: &mut Findings) -> Option<bool> {
        let text = self.text(name)?;
        match text.to_ascii_lowercase().as_str() {
            "true" => Some(true),
            "false" => Some(false),
            _ => {
                findings.invalid(field(name), format!("`{text}` is neither \"true\" nor \"false\""));
                None
            }
        }
    }

    /// A whole number within bounds.
    pub(super) fn number(self, name: &str, bounds: RangeInclusive<i64>, findings: &mut Findings) -> Option<i64> {
        let text = self.text(name)?;
        let number = text.parse().ok().filter(|number| bounds.contains(number));
        if number.is_none() {
            let (least, most) = bounds.into_inner();
            findings.invalid(
                field(name),
                format!("`{text}` is not a whole number from {least} to {most}"),
            );
        }
        number
    }

    /// One of `words`.
    pub(super) fn word<T: Copy>(self, name: &str, words: &[(&str, T)], findings: &mut Findings) -> Option<T> {
        let text = self.text(name)?;
        let known = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if known.is_none() {
            let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            findings.invalid(field(name), format!("`{text}` is none of {}", words.join(", ")));
        }
        known
    }

    /// A value of JSON; `form` says for people what it should be.
    pub(super) fn json<T: DeserializeOwned>(self, name: &str, form: &str, findings: &mut Findings) -> Option<T> {
        let text = self.text(name)?;
        let value = serde_json::from_str(text).ok();
        if value.is_none() {
            findings.invalid(field(name), format!("it must be {form}"));
        }
        value
    }

    /// A quantity of bytes (or bits), such as `20Gi`.
    pub(super) fn bytes(self, name: &str, findings: &mut Findings) -> Option<u64> {
        let text = self.text(name)?;
        match Exact::parse(&Quantity(text.to_owned())).map(|exact| exact.ceil_times(1)) {
            Ok(Some(bytes)) => return Some(bytes),
            Ok(None) => findings.invalid(field(name), format!("`{text}` is out of range")),
            Err(why) => findings.invalid(field(name), why),
        }
        None
    }
}

/// The path under which findings name an annotation.
pub(super) fn field(annotation: &str) -> String {
    format!("metadata.annotations[{annotation}]")
}

/// The items of a comma-separated list, without white space and without empty ones.
pub(super) fn split(text: &str) -> Vec<String> {
    text.split(',')
        .map(|item| item.trim().to_owned())
        .filter(|item| !item.is_empty())
        .collect()
}
