//! (pure) Which application a user means.

use std::collections::BTreeMap;

use crate::cost::record::CostRecord;
use crate::cost::report::{Line, is_called};

/// Applications that an error names.
const NAMED: usize = 10;

/// The lines of what is called `wanted`: by id, name, or the operator's id of a run, or else by the beginning of one of them, if
/// only one application's begins so.
///
/// # Errors
/// There is none, or it could be several: which there are, in words.
pub fn select(lines: Vec<Line>, wanted: &str) -> Result<Vec<Line>, String> {
    if lines.iter().any(|line| is_called(&line.record, wanted)) {
        let own = lines.into_iter().filter(|line| is_called(&line.record, wanted));
        return Ok(own.collect());
    }
    let found = applications(lines.iter().filter(|line| begins(&line.record, wanted)));
    match found.as_slice() {
        [] => {
            let all = applications(lines.iter());
            Err(match all.len() {
                0 => format!("no application is called {wanted:?}: nothing is recorded, and nothing runs"),
                _ => format!("no application is called {wanted:?}; there are {}", named(&all)),
            })
        }
        [_] => Ok(lines.into_iter().filter(|line| begins(&line.record, wanted)).collect()),
        several => Err(format!("{wanted:?} could be {}: give more of it", named(several))),
    }
}

fn begins(record: &CostRecord, wanted: &str) -> bool {
    let application = &record.application;
    let names = [&application.id, &application.name, &application.submission];
    !wanted.is_empty() && names.into_iter().any(|name| name.starts_with(wanted))
}

/// Id, name and namespace of each, the newest first.
fn applications<'a>(lines: impl Iterator<Item = &'a Line>) -> Vec<(&'a str, &'a str, &'a str)> {
    let mut latest: BTreeMap<(&str, &str, &str), jiff::Timestamp> = BTreeMap::new();
    for Line { record, .. } in lines {
        let application = &record.application;
        let key = (
            application.id.as_str(),
            application.name.as_str(),
            record.namespace.as_str(),
        );
        let at = latest.entry(key).or_insert(record.created);
        *at = record.created.max(*at);
    }
    let mut all: Vec<_> = latest.into_iter().collect();
    all.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    all.into_iter().map(|(key, _)| key).collect()
}

fn named(applications: &[(&str, &str, &str)]) -> String {
    let shown = applications.iter().take(NAMED);
    let shown: Vec<String> = shown
        .map(|(id, name, namespace)| format!("{id} ({name}, in {namespace})"))
        .collect();
    let rest = applications.len().saturating_sub(NAMED);
    let more = if rest > 0 {
        format!(" and {rest} more, see `virtual-node cost list`")
    } else {
        String::new()
    };
    format!("{}{more}", shown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cost::record::tests::record;

    fn lines() -> Vec<Line> {
        let of = |id: &str, name: &str| {
            let mut record = record(id);
            (record.application.id, record.application.name) = (id.to_owned(), name.to_owned());
            Line::new(record, false)
        };
        vec![
            of("spark-1a", "words"),
            of("spark-1a", "words"),
            of("spark-1b", "words"),
            of("spark-2", "sums"),
        ]
    }

    #[test]
    fn names_are_found_whole_and_by_their_beginning() {
        let count = |wanted: &str| select(lines(), wanted).map(|found| found.len());
        assert_eq!(count("words"), Ok(3));
        assert_eq!(count("spark-1a"), Ok(2));
        assert_eq!(count("spark-2"), Ok(1));
        assert_eq!(count("su"), Ok(1));
    }

    #[test]
    fn what_is_not_clear_is_said_with_what_there_is() {
        let error = select(lines(), "spark-1").expect_err("two");
        assert_eq!(
            error,
            "\"spark-1\" could be spark-1a (words, in default), spark-1b (words, in default): give more of it"
        );
        let error = select(lines(), "other").expect_err("none");
        assert!(
            error.contains("there are spark-1a (words, in default)") && error.contains("spark-2"),
            "{error}"
        );
        assert!(
            select(Vec::new(), "x")
                .expect_err("none")
                .contains("nothing is recorded")
        );
        assert!(select(lines(), "").is_err());
    }
}
