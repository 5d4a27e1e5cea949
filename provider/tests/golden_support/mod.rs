//! Golden cases: a directory with inputs, expected outputs and one line in `about.md`. `UPDATE_GOLDEN=1` rewrites the
//! expected files; review the difference before committing it.

use std::fs;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde_json::Value;

/// The case directories of `kind`, sorted.
pub(crate) fn cases(kind: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(kind);
    let entries = fs::read_dir(&root).unwrap_or_else(|e| panic!("{}: {e}", root.display()));
    let mut dirs: Vec<PathBuf> = entries
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect();
    dirs.sort();
    assert!(!dirs.is_empty(), "no cases in {}", root.display());
    for dir in &dirs {
        let about = fs::read_to_string(dir.join("about.md")).unwrap_or_default();
        assert_eq!(
            about.trim().lines().count(),
            1,
            "{}: about.md must be one line",
            dir.display()
        );
    }
    dirs
}

/// Reads `<dir>/<name>.json` or `<name>.yaml`; `None` = neither exists.
pub(crate) fn read<T: DeserializeOwned>(dir: &Path, name: &str) -> Option<T> {
    let json = dir.join(format!("{name}.json"));
    if let Ok(text) = fs::read_to_string(&json) {
        return Some(serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", json.display())));
    }
    let yaml = dir.join(format!("{name}.yaml"));
    let text = fs::read_to_string(&yaml).ok()?;
    Some(serde_saphyr::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", yaml.display())))
}

/// Compares `actual` with `<dir>/<name>`, or writes it there; returns what differs. A file in `others` must not exist: it
/// would be the expectation of another outcome.
pub(crate) fn compare(dir: &Path, name: &str, others: &[&str], actual: &Value) -> Option<String> {
    let path = dir.join(name);
    let rendered = serde_json::to_string_pretty(actual).expect("a value renders") + "\n";
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        for other in others {
            let _ = fs::remove_file(dir.join(other));
        }
        fs::write(&path, rendered).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        return None;
    }
    if let Some(other) = others.iter().find(|other| dir.join(other).exists()) {
        return Some(format!("{}: expected {other}, got\n{rendered}", dir.display()));
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    (expected != rendered).then(|| format!("{}:\n{}", path.display(), difference(&expected, &rendered)))
}

/// Lines only one side has, enough to see what happened.
fn difference(expected: &str, actual: &str) -> String {
    let only = |a: &str, b: &str, mark: &str| {
        let others: Vec<&str> = b.lines().collect();
        let lines = a.lines().filter(|line| !others.contains(line)).take(40);
        lines.map(|line| format!("{mark} {line}\n")).collect::<String>()
    };
    only(expected, actual, "-") + &only(actual, expected, "+")
}
