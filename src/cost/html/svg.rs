//! (pure) Pictures of lives and of sums.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::escape::escaped;
use crate::cost::split::{GroupSplit, Part, Phase, extent, prevailing, who};
use crate::cost::tables::{duration, percent};

/// Columns in which lives are drawn: no picture grows with the number of tasks.
const COLUMNS: i64 = 400;
/// Lives that are drawn; the others are one bar together.
pub(super) const LIVES: usize = 100;

const WIDTH: i64 = 1_000;
const LEFT: i64 = 170;
const RIGHT: i64 = 130;
const ROW: i64 = 18;
const TOP: i64 = 24;

/// Class of a phase: its colour.
pub(super) fn class(phase: Phase) -> &'static str {
    match phase {
        Phase::Pulling => "p",
        Phase::Waiting => "w",
        Phase::Idle => "i",
        Phase::Working => "k",
        Phase::Running => "r",
        Phase::WindingDown => "d",
    }
}

/// Each group's life, one below the other.
pub(super) fn lives(groups: &[GroupSplit]) -> String {
    let Some((from, to)) = extent(groups) else {
        return String::new();
    };
    let shown = &groups[..groups.len().min(LIVES)];
    let rest = &groups[shown.len()..];
    let rows = shown.len() + usize::from(!rest.is_empty());
    let height = TOP + i64::try_from(rows).unwrap_or(0) * ROW + 4;
    let mut svg = open(height, "What each container group did with the time that was paid");
    for tick in 0..=4 {
        let x = LEFT + (WIDTH - LEFT - RIGHT) * tick / 4;
        let anchor = ["start", "middle", "middle", "middle", "end"][usize::try_from(tick).unwrap_or(0)];
        let _ = write!(
            svg,
            "<path class=grid d=\"M{x} {TOP}V{height}\"/><text class=tick x={x} y=14 text-anchor={anchor}>{}</text>",
            duration((to - from) * tick / 4)
        );
    }
    for (number, group) in (0..).zip(shown) {
        let y = TOP + number * ROW;
        label(&mut svg, y, &who(group), &group.total.to_string());
        let phases = group.phases.iter();
        let told: Vec<String> = phases
            .map(|(phase, part)| format!("{} {}", phase.as_str(), duration(part.millis)))
            .collect();
        let mut paths: BTreeMap<Phase, String> = BTreeMap::new();
        for (phase, begin, end) in runs(group, from, to) {
            let x = |column: i64| LEFT * 10 + (WIDTH - LEFT - RIGHT) * 10 * column / COLUMNS;
            let (x, width) = (x(begin), x(end) - x(begin));
            let _ = write!(
                paths.entry(phase).or_default(),
                "M{}.{} {y}h{}.{}v13h-{}.{}z",
                x / 10,
                x % 10,
                width / 10,
                width % 10,
                width / 10,
                width % 10
            );
        }
        let _ = write!(svg, "<g><title>{}: {}</title>", escaped(&group.pod), told.join(", "));
        for (phase, path) in paths {
            let _ = write!(svg, "<path class={} d=\"{path}\"/>", class(phase));
        }
        svg.push_str("</g>");
    }
    if !rest.is_empty() {
        let mut sum: BTreeMap<Phase, Part> = BTreeMap::new();
        for (phase, part) in rest.iter().flat_map(|group| &group.phases) {
            let own = sum.entry(*phase).or_default();
            own.millis += part.millis;
            own.amount += part.amount;
        }
        let y = TOP + i64::try_from(shown.len()).unwrap_or(0) * ROW;
        let total: provider::units::NanoMoney = rest.iter().map(|group| group.total).sum();
        label(&mut svg, y, &format!("{} more, summed", rest.len()), &total.to_string());
        stack(
            &mut svg,
            y,
            &sum.into_iter()
                .map(|(phase, part)| (phase, part.millis))
                .collect::<Vec<_>>(),
        );
    }
    svg.push_str("</svg>");
    svg
}

/// Columns of one phase that follow one another.
fn runs(group: &GroupSplit, from: i64, to: i64) -> Vec<(Phase, i64, i64)> {
    let mut runs: Vec<(Phase, i64, i64)> = Vec::new();
    let at = |column: i64| from + (to - from) * column / COLUMNS;
    for column in 0..COLUMNS {
        let Some(phase) = prevailing(&group.spans, at(column), at(column + 1).max(at(column) + 1)) else {
            continue;
        };
        match runs.last_mut() {
            Some(last) if last.0 == phase && last.2 == column => last.2 = column + 1,
            _ => runs.push((phase, column, column + 1)),
        }
    }
    runs
}

/// All money by phase, as one bar.
pub(super) fn whole(phases: &BTreeMap<Phase, Part>) -> String {
    let mut svg = format!(
        "<svg viewBox=\"{LEFT} 0 {} 22\" role=img aria-label=\"All money by phase\">",
        WIDTH - LEFT - RIGHT
    );
    let parts: Vec<(Phase, i64)> = Phase::ALL
        .into_iter()
        .filter_map(|phase| Some((phase, i64::try_from(phases.get(&phase)?.amount.0).unwrap_or(i64::MAX))))
        .collect();
    stack(&mut svg, 4, &parts);
    svg.push_str("</svg>");
    svg
}

fn stack(svg: &mut String, y: i64, parts: &[(Phase, i64)]) {
    let whole: i128 = parts.iter().map(|part| i128::from(part.1.max(0))).sum();
    let at = |sum: i128| i128::from(LEFT * 10) + i128::from((WIDTH - LEFT - RIGHT) * 10) * sum / whole.max(1);
    let mut sum = 0;
    for (phase, part) in parts {
        let (from, to) = (at(sum), at(sum + i128::from((*part).max(0))));
        sum += i128::from((*part).max(0));
        let _ = write!(
            svg,
            "<rect class={} x={}.{} y={y} width={}.{} height=13><title>{} {}</title></rect>",
            class(*phase),
            from / 10,
            from % 10,
            (to - from) / 10,
            (to - from) % 10,
            phase.as_str(),
            percent(i128::from(*part), whole)
        );
    }
}

/// A bar of a sum.
pub(super) struct Bar {
    pub(super) name: String,
    pub(super) about: String,
    pub(super) amount: i128,
    pub(super) shown: String,
    pub(super) class: &'static str,
}

/// Sums, one below the other.
pub(super) fn bars(title: &str, bars: &[Bar]) -> String {
    let most = bars.iter().map(|bar| bar.amount).max().unwrap_or(0).max(1);
    let height = 6 + i64::try_from(bars.len()).unwrap_or(0) * ROW;
    let mut svg = open(height, title);
    for (number, bar) in (0..).zip(bars) {
        let y = 4 + number * ROW;
        label(&mut svg, y, &bar.name, &bar.shown);
        let width = i128::from((WIDTH - LEFT - RIGHT) * 10) * bar.amount.max(0) / most;
        let _ = write!(
            svg,
            "<rect class={} x={LEFT} y={y} width={}.{} height=13><title>{}</title></rect>",
            bar.class,
            width / 10,
            width % 10,
            escaped(&bar.about)
        );
    }
    svg.push_str("</svg>");
    svg
}

fn open(height: i64, title: &str) -> String {
    format!(
        "<svg viewBox=\"0 0 {WIDTH} {height}\" role=img aria-label=\"{}\">",
        escaped(title)
    )
}

/// What a row is, and its sum.
fn label(svg: &mut String, y: i64, name: &str, sum: &str) {
    const CHARACTERS: usize = 24;
    let short = match name.char_indices().nth(CHARACTERS) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.to_owned(),
    };
    let _ = write!(
        svg,
        "<text x={} y={} text-anchor=end>{}</text><text class=sum x={} y={}>{}</text>",
        LEFT - 8,
        y + 11,
        escaped(&short),
        WIDTH - RIGHT + 8,
        y + 11,
        escaped(sum)
    );
}
