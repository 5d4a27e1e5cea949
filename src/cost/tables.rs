//! (pure) Tables for people and for spreadsheets.

/// Columns two spaces apart; the first row is the head.
pub(super) fn table(rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = Vec::new();
    for row in rows {
        widths.resize(widths.len().max(row.len()), 0);
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// One record of RFC 4180; a spreadsheet must not take a name for a formula.
pub(super) fn csv(cells: &[String]) -> String {
    let cells: Vec<String> = cells
        .iter()
        .map(|cell| {
            let formula = cell.starts_with(['=', '+', '-', '@']) && cell.parse::<f64>().is_err();
            let cell = if formula { format!("'{cell}") } else { cell.clone() };
            if cell.contains([',', '"', '\n', '\r']) {
                format!("\"{}\"", cell.replace('"', "\"\""))
            } else {
                cell
            }
        })
        .collect();
    cells.join(",") + "\r\n"
}

/// Cells of a row.
pub(super) fn row<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(str::to_owned).into()
}

/// Milliseconds as people read them: `0.4s`, `73s`, `12m05s`, `3h20m`.
pub(super) fn duration(millis: i64) -> String {
    let seconds = millis / 1_000;
    match seconds {
        ..10 => format!("{}.{}s", seconds, (millis % 1_000).abs() / 100),
        10..600 => format!("{seconds}s"),
        600..36_000 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3_600, seconds / 60 % 60),
    }
}

/// A share in percent, with one decimal.
pub(super) fn percent(part: i128, whole: i128) -> String {
    if whole == 0 {
        return "-".to_owned();
    }
    let thousandths = part.saturating_mul(1_000) / whole;
    let sign = if thousandths < 0 { "-" } else { "" };
    let size = thousandths.unsigned_abs();
    format!("{sign}{}.{} %", size / 10, size % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_shares() {
        let texts = [400, 9_999, 73_400, 725_000, 12_000_000, 360_000_000].map(duration);
        assert_eq!(texts, ["0.4s", "9.9s", "73s", "12m05s", "200m00s", "100h00m"]);
        assert_eq!(
            (percent(1, 3), percent(-1, 8), percent(1, 0)),
            ("33.3 %".into(), "-12.5 %".into(), "-".into())
        );
    }
}
