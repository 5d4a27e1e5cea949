//! Limits from a file.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::Action;

use super::{Limits, Rate};

/// A table of limits that cannot be used.
#[derive(Debug)]
pub struct LimitsError {
    path: Option<PathBuf>,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Unreadable(std::io::Error),
    Toml(Box<toml::de::Error>),
    Json(serde_json::Error),
    UnknownAction(String),
    Zero(Action),
}

impl Limits {
    /// Reads a file that holds what [`Self::from_table`] takes.
    ///
    /// # Errors
    /// If it cannot be read or used.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, LimitsError> {
        let path = path.as_ref();
        std::fs::read_to_string(path)
            .map_err(|error| LimitsError {
                path: None,
                kind: Kind::Unreadable(error),
            })
            .and_then(|text| Self::from_table(&text))
            .map_err(|error| LimitsError {
                path: Some(path.to_owned()),
                ..error
            })
    }

    /// Reads a table `action -> {per_minute, burst}`, in TOML or JSON. Actions it does not name keep their documented
    /// limits.
    ///
    /// ```
    /// let limits = eci::Limits::from_table("[CreateContainerGroup]\nper_minute = 600\nburst = 20\n").unwrap();
    /// assert_eq!(limits.rate(eci::Action::CreateContainerGroup).unwrap().burst, 20);
    /// ```
    ///
    /// # Errors
    /// If the text is neither, names an unknown action or member, or allows nothing.
    pub fn from_table(text: &str) -> Result<Self, LimitsError> {
        let fail = |kind| LimitsError { path: None, kind };
        let table: BTreeMap<String, Rate> = if text.trim_start().starts_with('{') {
            serde_json::from_str(text).map_err(|error| fail(Kind::Json(error)))?
        } else {
            toml::from_str(text).map_err(|error| fail(Kind::Toml(Box::new(error))))?
        };
        let mut rates = Vec::with_capacity(table.len());
        for (name, rate) in table {
            let action = Action::from_name(&name).ok_or_else(|| fail(Kind::UnknownAction(name)))?;
            if rate.per_minute == 0 || rate.burst == 0 {
                return Err(fail(Kind::Zero(action)));
            }
            rates.push((action, rate));
        }
        Ok(Self::Custom(rates))
    }
}

impl fmt::Display for LimitsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("limits")?;
        if let Some(path) = &self.path {
            write!(f, " of {}", path.display())?;
        }
        match &self.kind {
            Kind::Unreadable(_) => {
                f.write_str(" cannot be read (the setting is `documented`, `none` or the path of a file)")
            }
            Kind::Toml(_) => f.write_str(" are not a TOML table of `[Action]` with per_minute and burst"),
            Kind::Json(_) => f.write_str(" are not a JSON object of `\"Action\": {\"per_minute\": …, \"burst\": …}`"),
            Kind::UnknownAction(name) => {
                write!(f, " name `{name}`, which is no action of this client; known are ")?;
                for (i, action) in Action::ALL.into_iter().enumerate() {
                    write!(f, "{}{action}", if i == 0 { "" } else { ", " })?;
                }
                Ok(())
            }
            Kind::Zero(action) => write!(f, " for {action} allow nothing: per_minute and burst are at least 1"),
        }
    }
}

impl std::error::Error for LimitsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.kind {
            Kind::Unreadable(error) => Some(error),
            Kind::Toml(error) => Some(&**error),
            Kind::Json(error) => Some(error),
            Kind::UnknownAction(_) | Kind::Zero(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn toml_and_json_say_the_same() {
        let toml = Limits::from_table("[DeleteContainerGroup]\nper_minute = 60\nburst = 2\n").expect("TOML");
        let json = Limits::from_table(r#" {"DeleteContainerGroup": {"per_minute": 60, "burst": 2}}"#).expect("JSON");
        assert_eq!(toml, json);
        assert_eq!(
            toml,
            Limits::Custom(vec![(
                Action::DeleteContainerGroup,
                Rate {
                    per_minute: 60,
                    burst: 2
                }
            )])
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, named) in [
            ("[CreateContainer]\nper_minute = 1\nburst = 1", "`CreateContainer`"),
            ("[ListUsage]\nper_minute = 0\nburst = 1", "ListUsage"),
            ("[ListUsage]\nper_minute = 1", "TOML"),
            ("[ListUsage]\nper_minute = 1\nburst = 1\nper_second = 1", "TOML"),
            ("{\"ListUsage\": 7}", "JSON"),
        ] {
            let error = Limits::from_table(text).expect_err(text);
            assert!(error.to_string().contains(named), "{error} should name {named}");
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = "/nonexistent/limits.toml".parse::<Limits>().expect_err("no file");
        assert!(error.to_string().contains("/nonexistent/limits.toml"), "{error}");
    }
}
