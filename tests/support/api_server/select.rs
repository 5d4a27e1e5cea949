//! Label and field selectors.

use serde_json::Value;

use super::kinds::Kind;
use super::refusal::Refusal;

/// What a list or a watch is narrowed to.
#[derive(Clone, Debug, Default)]
pub struct Selector {
    fields: Vec<Term>,
    labels: Vec<Term>,
}

#[derive(Clone, Debug)]
struct Term {
    key: String,
    wanted: Wanted,
}

#[derive(Clone, Debug)]
enum Wanted {
    Is(String),
    IsNot(String),
    OneOf(Vec<String>),
    Exists,
    Missing,
}

impl Selector {
    /// Reads the two selectors of a request for objects of `kind`.
    pub fn parse(kind: &Kind, fields: &str, labels: &str) -> Result<Self, Refusal> {
        let fields: Vec<Term> = split(fields).map(term).collect();
        if let Some(unknown) = fields.iter().find(|t| !is_field(kind, &t.key)) {
            return Err(Refusal::bad_request(format!(
                "field label not supported: {}",
                unknown.key
            )));
        }
        let labels = split(labels).map(term).collect();
        Ok(Self { fields, labels })
    }

    /// A selector of labels as objects have it: `matchLabels` alone.
    pub fn of_labels(selector: &Value) -> Self {
        let labels = selector["matchLabels"].as_object().into_iter().flatten();
        Self {
            fields: Vec::new(),
            labels: labels
                .map(|(key, value)| Term {
                    key: key.clone(),
                    wanted: Wanted::Is(value.as_str().unwrap_or_default().to_owned()),
                })
                .collect(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.fields.is_empty() && self.labels.is_empty()
    }

    pub fn selects(&self, object: &Value) -> bool {
        // A field that is not set is an empty text.
        let field = |t: &Term| t.fits(Some(field(object, &t.key)));
        let label = |t: &Term| t.fits(object["metadata"]["labels"][&t.key].as_str());
        self.fields.iter().all(field) && self.labels.iter().all(label)
    }
}

impl Term {
    fn fits(&self, value: Option<&str>) -> bool {
        match &self.wanted {
            Wanted::Is(wanted) => value == Some(wanted),
            Wanted::IsNot(wanted) => value != Some(wanted),
            Wanted::OneOf(all) => value.is_some_and(|v| all.iter().any(|w| w == v)),
            Wanted::Exists => value.is_some(),
            Wanted::Missing => value.is_none(),
        }
    }
}

/// Splits at commas that are not in brackets.
fn split(text: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0;
    text.split(move |c: char| {
        depth += match c {
            '(' => 1,
            ')' => -1,
            _ => 0,
        };
        c == ',' && depth == 0
    })
    .map(str::trim)
    .filter(|part| !part.is_empty())
}

fn term(text: &str) -> Term {
    let of = |key: &str, wanted: Wanted| Term {
        key: key.trim().to_owned(),
        wanted,
    };
    if let Some((key, rest)) = text.split_once(" in (") {
        let all = rest.trim_end_matches(')').split(',').map(|v| v.trim().to_owned());
        return of(key, Wanted::OneOf(all.collect()));
    }
    for (operator, make) in [
        ("!=", Wanted::IsNot as fn(String) -> Wanted),
        ("==", Wanted::Is),
        ("=", Wanted::Is),
    ] {
        if let Some((key, value)) = text.split_once(operator) {
            return of(key, make(value.trim().to_owned()));
        }
    }
    match text.strip_prefix('!') {
        Some(key) => of(key, Wanted::Missing),
        None => of(text, Wanted::Exists),
    }
}

fn is_field(kind: &Kind, path: &str) -> bool {
    let of_kind: &[&str] = match kind.plural {
        "pods" => &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        ],
        "secrets" => &["type"],
        _ => &[],
    };
    matches!(path, "metadata.name" | "metadata.namespace") || of_kind.contains(&path)
}

fn field<'a>(object: &'a Value, path: &str) -> &'a str {
    let mut at = object;
    for part in path.split('.') {
        at = &at[part];
    }
    at.as_str().unwrap_or_default()
}
