//! (pure) A split bill as text and as comma-separated values.

use std::fmt::Write as _;

use super::{Analysis, GroupSplit, Meanwhile, Phase, Span, StageCost};
use crate::cost::tables::{csv, duration, percent, row, table};

/// Columns of a life.
const COLUMNS: i64 = 60;
/// Rows that a person reads; all are in JSON and CSV.
const ROWS: usize = 40;

/// The character of a phase in a life.
fn letter(phase: Phase) -> char {
    match phase {
        Phase::Pulling => 'p',
        Phase::Waiting => 'w',
        Phase::Idle => '.',
        Phase::Working => '#',
        Phase::Running => '=',
        Phase::WindingDown => 'd',
    }
}

/// What takes most of the time between two moments; none where nothing is paid then.
pub(in crate::cost) fn prevailing(spans: &[Span], from: i64, to: i64) -> Option<Phase> {
    let first = spans.partition_point(|span| span.to <= from);
    let mut shares = Phase::ALL.map(|phase| (0_i64, phase));
    for span in spans[first..].iter().take_while(|span| span.from < to) {
        let share = span.to.min(to) - span.from.max(from);
        if let Some(own) = shares.iter_mut().find(|own| own.1 == span.phase) {
            own.0 += share;
        }
    }
    let most = shares.iter().copied().max_by_key(|(share, _)| *share)?;
    (most.0 > 0).then_some(most.1)
}

/// When the first group began and the last ended.
pub(in crate::cost) fn extent(groups: &[GroupSplit]) -> Option<(i64, i64)> {
    let from = groups
        .iter()
        .filter_map(|group| Some(group.spans.first()?.from))
        .min()?;
    let to = groups.iter().filter_map(|group| Some(group.spans.last()?.to)).max()?;
    Some((from, to))
}

/// The split for people.
pub fn text(analysis: &Analysis, currency: &str) -> String {
    let mut text = String::new();
    match &analysis.event_log {
        Some(log) => {
            let _ = writeln!(
                text,
                "event log: {} from start to end, {} executors registered, {} of them decommissioned, {} runs of tasks",
                duration(log.millis),
                log.executors,
                log.decommissioned,
                log.tasks
            );
            if let Some(why) = &log.broken_off {
                let _ = writeln!(text, "the event log is not whole: {why}");
            }
            if log.unreadable > 0 {
                let _ = writeln!(text, "{} lines of it could not be read", log.unreadable);
            }
        }
        None => text.push_str("no event log was read (--event-log): what executors did is not known\n"),
    }
    let _ = writeln!(text, "\nWhat paid time went into, in {currency}");
    let mut rows = vec![row(["PHASE", "TIME", "COST", "SHARE"])];
    for phase in Phase::ALL {
        if let Some(part) = analysis.phases.get(&phase) {
            rows.push(vec![
                phase.as_str().to_owned(),
                duration(part.millis),
                part.amount.to_string(),
                percent(part.amount.0, analysis.total.0),
            ]);
        }
    }
    rows.push(total_row(analysis, ["total", ""]));
    text.push_str(&table(&rows));
    let (busy, offered) = cores(&analysis.groups);
    if offered > 0 {
        let _ = writeln!(
            text,
            "of the time of executors' cores while Spark had them, {} had a task: {} of {}",
            percent(busy.into(), offered.into()),
            duration(busy),
            duration(offered)
        );
    }
    timeline(&mut text, analysis);
    if analysis.event_log.is_some() {
        stages(&mut text, analysis, currency);
    }
    text
}

fn total_row(analysis: &Analysis, [name, between]: [&str; 2]) -> Vec<String> {
    vec![
        name.to_owned(),
        between.to_owned(),
        analysis.total.to_string(),
        percent(analysis.total.0, analysis.total.0),
    ]
}

/// Milliseconds of executors' cores with a task, and of all that Spark had.
pub(in crate::cost) fn cores(groups: &[GroupSplit]) -> (i64, i64) {
    let sum = |of: fn(&GroupSplit) -> i64| groups.iter().map(of).fold(0_i64, i64::saturating_add);
    (
        sum(|group| group.busy_core_millis),
        sum(|group| group.offered_core_millis),
    )
}

fn timeline(text: &mut String, analysis: &Analysis) {
    let Some((from, to)) = extent(&analysis.groups) else {
        return;
    };
    let _ = writeln!(
        text,
        "\nTimeline, {} in all (p pulling, w waiting, . idle, # working, = running, d winding down)",
        duration(to - from)
    );
    let mut rows = vec![row([
        "WHO",
        "LIFE",
        "PULLING",
        "WAITING",
        "IDLE",
        "WORKING",
        "CORES BUSY",
        "COST",
        "REMOVED",
    ])];
    for group in analysis.groups.iter().take(ROWS) {
        let column = |column: i64| from + (to - from) * column / COLUMNS;
        let life: String = (0..COLUMNS)
            .map(|at| prevailing(&group.spans, column(at), column(at + 1).max(column(at) + 1)).map_or(' ', letter))
            .collect();
        let time = |phase| {
            group
                .phases
                .get(&phase)
                .map_or_else(|| "-".to_owned(), |part| duration(part.millis))
        };
        rows.push(vec![
            who(group),
            format!("|{life}|"),
            time(Phase::Pulling),
            time(Phase::Waiting),
            time(Phase::Idle),
            time(Phase::Working),
            percent(group.busy_core_millis.into(), group.offered_core_millis.into()),
            group.total.to_string(),
            group.removed.clone(),
        ]);
    }
    text.push_str(&table(&rows));
    more(text, analysis.groups.len(), "groups");
}

/// What people call a group.
pub(in crate::cost) fn who(group: &GroupSplit) -> String {
    match &group.executor {
        Some(id) => format!("executor {id}"),
        None => group.role.as_str().to_owned(),
    }
}

fn stages(text: &mut String, analysis: &Analysis, currency: &str) {
    let _ = writeln!(text, "\nCost by job group, in {currency}");
    let mut rows = vec![row([
        "JOB GROUP",
        "STAGES",
        "CORE TIME",
        "COST",
        "SHARE",
        "TOOK",
        "ALL MEANWHILE",
        "DESCRIPTION",
    ])];
    let none = || "-".to_owned();
    for group in analysis.job_groups.iter().take(ROWS * 3) {
        rows.push(vec![
            if group.group.is_empty() {
                "(none)".to_owned()
            } else {
                group.group.clone()
            },
            group.stages.to_string(),
            duration(group.core_millis),
            group.amount.to_string(),
            percent(group.amount.0, analysis.total.0),
            group.meanwhile.map_or_else(none, |time| duration(time.millis)),
            group.meanwhile.map_or_else(none, |time| time.amount.to_string()),
            group.description.clone(),
        ]);
    }
    let empty = String::new;
    for (name, amount) in analysis.overhead.parts() {
        if amount.0 != 0 {
            let share = percent(amount.0, analysis.total.0);
            rows.push(vec![
                format!("no stage's: {name}"),
                empty(),
                empty(),
                amount.to_string(),
                share,
                empty(),
            ]);
        }
    }
    let mut total = total_row(analysis, ["total", ""]);
    total.insert(1, empty());
    rows.push(total);
    text.push_str(&table(&rows));
    more_than(text, analysis.job_groups.len(), ROWS * 3, "job groups");

    let mut by_cost: Vec<&StageCost> = analysis.stages.iter().collect();
    by_cost.sort_by(|a, b| b.amount.cmp(&a.amount).then((a.id, a.attempt).cmp(&(b.id, b.attempt))));
    let _ = writeln!(text, "\nStages, the most expensive first, in {currency}");
    let mut rows = vec![row([
        "STAGE",
        "JOB GROUP",
        "TASKS",
        "TOOK",
        "CORE TIME",
        "RUN TIME",
        "COST",
        "SHARE",
        "NAME",
    ])];
    for stage in by_cost.iter().take(ROWS) {
        rows.push(vec![
            stage_name(stage),
            stage.group.clone(),
            stage.tasks.to_string(),
            stage.millis.map_or_else(|| "-".to_owned(), duration),
            duration(stage.core_millis),
            duration(stage.run_millis),
            stage.amount.to_string(),
            percent(stage.amount.0, analysis.total.0),
            stage.name.clone(),
        ]);
    }
    text.push_str(&table(&rows));
    more(text, analysis.stages.len(), "stages");
}

/// Number and attempt of a stage, and whether it failed.
pub(in crate::cost) fn stage_name(stage: &StageCost) -> String {
    let failed = if stage.failed { " (failed)" } else { "" };
    format!("{}.{}{failed}", stage.id, stage.attempt)
}

fn more(text: &mut String, all: usize, what: &str) {
    more_than(text, all, ROWS, what);
}

fn more_than(text: &mut String, all: usize, shown: usize, what: &str) {
    if all > shown {
        let _ = writeln!(text, "… and {} {what} more: all are in -o json", all - shown);
    }
}

/// The split as comma-separated values: groups, job groups, stages, and what is no stage's, one a line.
pub fn csv_lines(analysis: &Analysis, currency: &str) -> String {
    let head = [
        "kind",
        "id",
        "name",
        "job group",
        "currency",
        "amount",
        "pulling",
        "waiting",
        "idle",
        "working",
        "running",
        "winding down",
        "spare cores",
        "core ms",
        "meanwhile",
        "meanwhile ms",
    ];
    let mut text = csv(&row(head));
    let empty = String::new;
    for group in &analysis.groups {
        let phase = |phase| {
            group
                .phases
                .get(&phase)
                .map_or_else(|| "0.000000000".to_owned(), |part| part.amount.to_string())
        };
        let phases = [
            Phase::Pulling,
            Phase::Waiting,
            Phase::Idle,
            Phase::Working,
            Phase::Running,
            Phase::WindingDown,
        ];
        let mut cells = vec![
            group.role.as_str().to_owned(),
            group.group.clone(),
            group.pod.clone(),
            empty(),
            currency.to_owned(),
            group.total.to_string(),
        ];
        cells.extend(phases.map(phase));
        cells.extend([group.spare_cores.to_string(), group.busy_core_millis.to_string()]);
        cells.extend([empty(), empty()]);
        text.push_str(&csv(&cells));
    }
    let mut part = |cells: [String; 4], amount: String, core_millis: String, meanwhile: Option<Meanwhile>| {
        let mut line: Vec<String> = cells.into();
        line.extend([currency.to_owned(), amount]);
        line.resize_with(13, String::new);
        line.push(core_millis);
        line.push(meanwhile.map_or_else(empty, |time| time.amount.to_string()));
        line.push(meanwhile.map_or_else(empty, |time| time.millis.to_string()));
        text.push_str(&csv(&line));
    };
    for group in &analysis.job_groups {
        let cells = [
            "job group".to_owned(),
            empty(),
            group.description.clone(),
            group.group.clone(),
        ];
        let (amount, core_millis) = (group.amount.to_string(), group.core_millis.to_string());
        part(cells, amount, core_millis, group.meanwhile);
    }
    for stage in &analysis.stages {
        let cells = [
            "stage".to_owned(),
            format!("{}.{}", stage.id, stage.attempt),
            stage.name.clone(),
            stage.group.clone(),
        ];
        part(cells, stage.amount.to_string(), stage.core_millis.to_string(), None);
    }
    for (name, amount) in analysis.overhead.parts() {
        part(
            ["no stage's".to_owned(), empty(), name.to_owned(), empty()],
            amount.to_string(),
            empty(),
            None,
        );
    }
    text
}
