//! (pure) Answers as text and as comma-separated values.

use std::fmt::Write as _;

use super::Scenario;
use crate::cost::tables::{csv, duration, percent, row, table};

/// Answers for people, with what each takes for granted.
pub fn text(scenarios: &[Scenario], currency: &str) -> String {
    let base = scenarios
        .first()
        .and_then(|one| one.amount)
        .map_or(0, |amount| amount.0);
    let mut rows = vec![row(["", "WHAT IF", currency, "DIFFERENCE", "", "TIME"])];
    for (number, one) in (1..).zip(scenarios) {
        rows.push(vec![
            format!("[{number}]"),
            one.name.clone(),
            one.amount.map_or_else(|| "-".to_owned(), |amount| amount.to_string()),
            one.difference
                .map_or_else(String::new, |difference| difference.to_string()),
            one.difference
                .map_or_else(String::new, |difference| percent(difference.0, base)),
            one.millis.map_or_else(|| "-".to_owned(), duration),
        ]);
    }
    let mut text = table(&rows);
    text.push_str("\nWhat is taken for granted\n");
    for (number, one) in (1..).zip(scenarios) {
        let _ = writeln!(text, "[{number}] {}", one.assumptions.join("; "));
    }
    text
}

/// Answers for spreadsheets.
pub fn csv_lines(scenarios: &[Scenario], currency: &str) -> String {
    let mut text = csv(&row([
        "what if",
        "currency",
        "amount",
        "difference",
        "ms",
        "assumptions",
    ]));
    for one in scenarios {
        text.push_str(&csv(&[
            one.name.clone(),
            currency.to_owned(),
            one.amount.map_or_else(String::new, |amount| amount.to_string()),
            one.difference
                .map_or_else(String::new, |difference| difference.to_string()),
            one.millis.map_or_else(String::new, |millis| millis.to_string()),
            one.assumptions.join("; "),
        ]));
    }
    text
}
