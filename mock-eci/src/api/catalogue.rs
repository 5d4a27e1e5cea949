//! Which parameters there are and what becomes of them: `parameters.txt`, parsed once. It decides at run time and the
//! coverage document is written from it.

use std::{collections::HashMap, sync::LazyLock};

use super::{error::ApiError, params::Params, params::Reader, protocol};

/// The catalogue of this server.
pub static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(|| {
    // A test parses it strictly. If it were broken nothing would be known, and everything would still be accepted.
    Catalogue::parse(include_str!("parameters.txt")).unwrap_or_default()
});

/// What becomes of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// The operation reads it.
    Done,
    /// Accepted without effect.
    Ignored,
    /// Answered with `UnsupportedParameter`.
    Refused,
    /// Of an operation that is not supported.
    Todo,
}

/// One parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its name with `N` for each index; with a last segment `*` where callers choose the rest.
    pub name: &'static str,
    /// What becomes of it.
    pub status: Status,
    /// Why it is ignored or refused, or what a parameter that is done does less than at ECI; often nothing.
    pub why: &'static str,
}

/// All parameters of all operations.
#[derive(Debug, Default)]
pub struct Catalogue {
    everywhere: Vec<Parameter>,
    actions: HashMap<&'static str, Vec<Parameter>>,
}

impl Catalogue {
    /// Reads the file's format.
    ///
    /// # Errors
    /// The line that is wrong, and how.
    pub fn parse(text: &'static str) -> Result<Self, String> {
        let mut catalogue = Self::default();
        let mut section: Option<&mut Vec<Parameter>> = None;
        for (number, line) in text.lines().enumerate() {
            let wrong = |what: &str| Err(format!("line {}: {what}: {line:?}", number + 1));
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
                section = Some(match name {
                    "*" => &mut catalogue.everywhere,
                    name if catalogue.actions.contains_key(name) => return wrong("a second section of this name"),
                    name => catalogue.actions.entry(name).or_default(),
                });
                continue;
            }
            let Some(list) = section.as_deref_mut() else {
                return wrong("outside of a section");
            };
            let Some((word, rest)) = line.split_once(' ') else {
                return wrong("not a status and a name");
            };
            let (name, why) = match rest.split_once(": ") {
                Some((name, why)) => (name.trim(), why.trim()),
                None => (rest.trim(), ""),
            };
            let status = match (word, why) {
                ("done", _) => Status::Done,
                ("todo", "") => Status::Todo,
                ("ignored" | "refused", "") => return wrong("it says no why"),
                ("ignored", _) => Status::Ignored,
                ("refused", _) => Status::Refused,
                _ => return wrong("no such status, or a why where none belongs"),
            };
            if list.iter().any(|p| p.name == name) {
                return wrong("given twice");
            }
            list.push(Parameter { name, status, why });
        }
        for list in catalogue.actions.values_mut().chain([&mut catalogue.everywhere]) {
            list.sort_by_key(|p| p.name);
        }
        Ok(catalogue)
    }

    /// Parameters every operation takes.
    pub fn everywhere(&self) -> &[Parameter] {
        &self.everywhere
    }

    /// An operation's own parameters, sorted by name.
    pub fn action(&self, action: &str) -> Option<&[Parameter]> {
        self.actions.get(action).map(Vec::as_slice)
    }

    /// The entry of a parameter as it stands in a request; none = nobody knows it.
    pub fn find(&self, action: &str, name: &str) -> Option<&Parameter> {
        let name = canonical(name);
        let own = self.action(action).unwrap_or_default();
        lookup(own, &name)
            .or_else(|| own.iter().find(|p| is_below(p.name, &name)))
            .or_else(|| lookup(&self.everywhere, &name))
    }
}

fn lookup<'a>(list: &'a [Parameter], name: &str) -> Option<&'a Parameter> {
    let at = list.binary_search_by(|p| p.name.cmp(name)).ok()?;
    Some(&list[at])
}

/// Whether a pattern such as `DataSource.Options.*` covers a name.
fn is_below(pattern: &str, name: &str) -> bool {
    let rest = pattern.strip_suffix('*').and_then(|prefix| name.strip_prefix(prefix));
    rest.is_some_and(|rest| !rest.is_empty())
}

/// A name with `N` for each index: `Container.1.Port.2.Port` is `Container.N.Port.N.Port`. The old Python SDK forgets a dot
/// (`AcrRegistryInfo.1Domain.1`); that is `AcrRegistryInfo.NDomain.N`.
pub fn canonical(name: &str) -> String {
    let mut canonical = String::with_capacity(name.len());
    for (at, segment) in name.split('.').enumerate() {
        if at > 0 {
            canonical.push('.');
        }
        let rest = segment.trim_start_matches(|c: char| c.is_ascii_digit());
        if at > 0 && rest.len() < segment.len() {
            canonical.push('N');
        }
        canonical.push_str(if at > 0 { rest } else { segment });
    }
    canonical
}

/// What the catalogue says of one request's parameters.
#[derive(Debug)]
pub struct Verdict(Vec<Option<Status>>);

impl Verdict {
    /// Looks every parameter up.
    ///
    /// # Errors
    /// `UnsupportedParameter` for the first one that is refused and has a value.
    pub fn of(action: &str, params: &Params) -> Result<Self, ApiError> {
        let find = |(name, value): (&str, &str)| {
            if protocol::PARAMETERS.contains(&name) {
                return Ok(Some(Status::Ignored));
            }
            match CATALOGUE.find(action, name) {
                Some(p) if p.status == Status::Refused && !value.is_empty() => Err(ApiError::unsupported(name, p.why)),
                parameter => Ok(parameter.map(|p| p.status)),
            }
        };
        params.iter().map(find).collect::<Result<_, _>>().map(Self)
    }

    /// Holds it against what the operation read.
    pub fn compare(&self, reader: &Reader<'_>) -> Reading {
        let mut reading = Reading::default();
        for ((name, read), status) in reader.reads().zip(&self.0) {
            match (status, read) {
                (None, _) => reading.unknown.push(name.to_owned()),
                (Some(Status::Done), false) => reading.unread.push(name.to_owned()),
                (Some(Status::Ignored | Status::Todo), true) if !protocol::PARAMETERS.contains(&name) => {
                    reading.misread.push(name.to_owned());
                }
                _ => {}
            }
        }
        reading
    }
}

/// How a request's parameters were taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Nobody knows these.
    pub unknown: Vec<String>,
    /// The operation does what these say, but had no use for them in this request.
    pub unread: Vec<String>,
    /// Read, though the catalogue says that they are ignored: a mistake in the catalogue, for which tests look.
    pub misread: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::table::ACTIONS;

    #[test]
    fn the_file_is_well_formed_and_has_every_operation() {
        let catalogue = Catalogue::parse(include_str!("parameters.txt")).expect("well-formed");
        assert_eq!(catalogue.actions.len(), ACTIONS.len());
        for action in &ACTIONS {
            let parameters = catalogue.action(action.name).expect(action.name);
            let todo: Vec<_> = parameters.iter().filter(|p| p.status == Status::Todo).collect();
            assert!(
                action.handler.is_none() || todo.is_empty(),
                "{} is supported: {todo:?} must be done, ignored or refused",
                action.name
            );
        }
    }

    #[test]
    fn lists_are_kept_in_order_so_that_changes_read_well() {
        for section in include_str!("parameters.txt").split("\n[").skip(1) {
            let names: Vec<&str> = section
                .lines()
                .skip(1)
                .filter_map(|line| line.split_whitespace().nth(1).filter(|_| !line.starts_with('#')))
                .map(|name| name.trim_end_matches(':'))
                .collect();
            assert!(names.is_sorted(), "{names:#?}");
        }
    }

    #[test]
    fn indexes_are_n() {
        for (name, expected) in [
            ("RegionId", "RegionId"),
            ("Container.1.Port.20.Port", "Container.N.Port.N.Port"),
            ("AcrRegistryInfo.1Domain.2", "AcrRegistryInfo.NDomain.N"),
            ("Tag..Key", "Tag..Key"),
            ("", ""),
            ("1.2", "1.N"),
        ] {
            assert_eq!(canonical(name), expected);
        }
    }

    #[test]
    fn free_keys_are_covered_by_a_star() {
        let find = |name| CATALOGUE.find("CreateDataCache", name).map(|p| p.name);
        assert_eq!(find("DataSource.Options.repoSource"), Some("DataSource.Options.*"));
        assert_eq!(find("DataSource.Options.#10#repoSource"), Some("DataSource.Options.*"));
        assert_eq!(find("DataSource.Options."), None);
        assert_eq!(find("DataSource.Other"), None);
        assert_eq!(find("OwnerId"), Some("OwnerId"));
    }

    #[test]
    fn mistakes_in_the_file_are_named_by_line() {
        for (text, what) in [
            ("done A", "outside"),
            ("[A]\ndone\n", "not a status"),
            ("[A]\nignored B\n", "no why"),
            ("[A]\ntodo B: because\n", "no such status"),
            ("[A]\ndone B\nignored B: x\n", "twice"),
            ("[A]\n[A]\n", "second section"),
        ] {
            let error = Catalogue::parse(text).expect_err(text);
            assert!(error.starts_with("line ") && error.contains(what), "{error}");
        }
    }
}
