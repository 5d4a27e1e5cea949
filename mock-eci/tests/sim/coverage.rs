//! The README's table of actions says what the dispatch table does.

use std::collections::BTreeSet;

use mock_eci::api::table::ACTIONS;

#[test]
fn readme_and_dispatch_table_agree() {
    let readme = include_str!("../../README.md");
    let table = readme
        .split("## Actions")
        .nth(1)
        .expect("a section on actions")
        .split("\n## ")
        .next()
        .unwrap_or("");
    let mut rows = BTreeSet::new();
    for line in table.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        for name in cells[0].split(',') {
            rows.insert((name.trim().trim_matches('`').to_owned(), cells[1] == "yes"));
        }
    }
    let dispatch: BTreeSet<_> = ACTIONS
        .iter()
        .map(|a| (a.name.to_owned(), a.handler.is_some()))
        .collect();
    assert_eq!(rows, dispatch);
}
