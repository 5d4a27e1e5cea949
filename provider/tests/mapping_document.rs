//! `docs/mapping.md` says what becomes of every field of a pod, and no other: the structs of k8s-openapi are walked, from
//! `PodSpec` down through every field the document does not end at (`refused`, `elsewhere`), and each must have its row. And
//! each row is shown by a golden case, whose pod sets the field; so is each annotation.

mod fields;
#[allow(dead_code, reason = "nothing is compared here")]
mod golden_support;

use std::collections::{BTreeMap, BTreeSet};

use fields::{Structs, structs};
use golden_support::{cases, read};
use k8s_openapi::api::core::v1::PodSpec;
use serde_json::Value;

/// Fates that end there: nothing below such a field is looked at.
const FINAL: [&str; 2] = ["refused", "*elsewhere*"];

/// One row: the fate of a field.
type Rows = BTreeMap<(String, String), String>;

/// Rows of the tables. The heading above a table names the struct (``## Pod: `PodSpec` ``); a row may name another
/// (`` `KeyToPath.mode` ``).
fn rows(document: &str) -> Rows {
    let mut rows = Rows::new();
    let mut heading = String::new();
    for line in document.lines() {
        if line.starts_with('#') {
            heading = code(line).last().cloned().unwrap_or_default();
        }
        let Some(cells) = line.strip_prefix("| `") else {
            continue;
        };
        let cells: Vec<&str> = cells.split(" | ").collect();
        let [names, fate, ..] = cells.as_slice() else { continue };
        for name in code(&format!("`{names}")) {
            let (of, field) = match name.split_once('.') {
                Some((of, field)) if of.starts_with(char::is_uppercase) => (of.to_owned(), field.to_owned()),
                _ => (heading.clone(), name.clone()),
            };
            if !of.starts_with(char::is_uppercase) {
                continue;
            }
            let twice = rows.insert((of.clone(), field.clone()), (*fate).to_owned());
            assert_eq!(twice, None, "{of}.{field} has two rows");
        }
    }
    rows
}

/// What stands between backticks.
fn code(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn every_field_has_its_row_and_no_row_is_stale() {
    let rows = rows(include_str!("../../docs/mapping.md"));
    let all: Structs = structs::<PodSpec>();
    let (mut missing, mut seen) = (Vec::new(), BTreeSet::new());
    let mut todo = vec!["PodSpec"];
    while let Some(of) = todo.pop() {
        if !seen.insert(of) {
            continue;
        }
        for (field, below) in &all[of] {
            match rows.get(&(of.to_owned(), (*field).to_owned())) {
                None => missing.push(format!("{of}.{field}")),
                Some(fate) if FINAL.contains(&fate.as_str()) => {}
                Some(_) => todo.extend(below.iter().copied()),
            }
        }
    }
    assert!(
        missing.is_empty(),
        "fields without a row in docs/mapping.md: {missing:#?}"
    );
    let stale: Vec<_> = rows
        .keys()
        .filter(|(of, field)| !seen.contains(of.as_str()) || !all[of.as_str()].contains_key(field.as_str()))
        .collect();
    assert!(
        stale.is_empty(),
        "rows of docs/mapping.md for fields that do not exist, or below a field that ends: {stale:#?}"
    );
}

/// Fields that `value`, which stands where one of `structs` is expected, sets.
fn shown(value: &Value, of: &BTreeSet<&'static str>, all: &Structs, seen: &mut BTreeSet<(String, String)>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| shown(item, of, all, seen)),
        Value::Object(members) => {
            for (field, member) in members {
                for of in of {
                    if let Some((_, below)) = all[of].iter().find(|(known, _)| *known == field) {
                        seen.insert(((*of).to_owned(), field.clone()));
                        shown(member, below, all, seen);
                    }
                }
            }
        }
        _ => {}
    }
}

/// The pods of the golden cases.
fn pods() -> Vec<Value> {
    let pods = cases("mapping")
        .into_iter()
        .filter_map(|dir| read::<Value>(&dir, "pod"));
    pods.collect()
}

#[test]
fn every_row_is_shown_by_a_golden_case() {
    let all: Structs = structs::<PodSpec>();
    let mut seen = BTreeSet::new();
    for pod in pods() {
        shown(&pod["spec"], &BTreeSet::from(["PodSpec"]), &all, &mut seen);
    }
    let rows = rows(include_str!("../../docs/mapping.md"));
    let missing: Vec<_> = rows
        .into_iter()
        .filter(|(row, fate)| fate != "*elsewhere*" && !seen.contains(row))
        .map(|((of, field), _)| format!("{of}.{field}"))
        .collect();
    assert!(missing.is_empty(), "rows that no golden case shows: {missing:#?}");
}

#[test]
fn every_annotation_has_a_row_and_a_golden_case() {
    let document = include_str!("../../docs/mapping.md");
    let mut seen: BTreeSet<String> = BTreeSet::new();
    for pod in pods() {
        let annotations = pod["metadata"]["annotations"].as_object().cloned().unwrap_or_default();
        seen.extend(annotations.into_iter().map(|(name, _)| name));
    }
    for name in provider::annotations::READ {
        let short = name.strip_prefix(provider::annotations::PREFIX).unwrap_or(name);
        assert!(
            document.contains(&format!("`{short}`")),
            "{short} has no row in docs/mapping.md"
        );
        assert!(seen.contains(*name), "no golden case shows {name}");
    }
}
