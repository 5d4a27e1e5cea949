//! (pure) Records joined into applications, and written down as text, JSON or CSV.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::Timestamp;
use provider::billing::Charge;
use provider::pricing::Currency;
use provider::units::NanoMoney;
use serde::Serialize;

use crate::cost::application::{Application, Role};
use crate::cost::record::{CostRecord, RecordedSize};
use crate::cost::tables::{csv, row, table};

/// What is shown of a container group.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    /// Its record; of one that runs, what it would be if it ended now.
    #[serde(flatten)]
    pub record: CostRecord,
    /// What the record says in other words.
    pub derived: Derived,
}

/// What follows from a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Derived {
    /// It is not over: the charge is what it has cost so far.
    pub running: bool,
    /// Paid before its first container ran.
    pub pulling: NanoMoney,
    /// Seconds of it.
    pub pulling_seconds: i64,
    /// Paid from then on; with `pulling` it is the charge.
    pub working: NanoMoney,
    /// Seconds of it.
    pub working_seconds: i64,
    /// Of the charge: paid for what was bought beyond what was asked for.
    pub rounding: Option<NanoMoney>,
    /// What it would have cost more without spot.
    pub spot_saving: NanoMoney,
}

impl Line {
    /// The line of `record`.
    pub fn new(record: CostRecord, running: bool) -> Self {
        let split = record.split();
        let derived = Derived {
            running,
            pulling: split.pulling,
            pulling_seconds: split.pulling_seconds,
            working: split.running,
            working_seconds: split.running_seconds,
            rounding: record.rounding(),
            spot_saving: match &record.tariff {
                Some(tariff) if tariff.spot.is_some() => record.list_amount() - record.charge.amount,
                _ => NanoMoney::default(),
            },
        };
        Self { record, derived }
    }
}

/// An application and what it costs. Amounts are whole 10⁻⁹ of the currency's unit.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ApplicationCost {
    /// Its namespace.
    pub namespace: String,
    /// Which it is.
    #[serde(flatten)]
    pub application: Application,
    /// Of the amounts.
    pub currency: Currency,
    /// Container groups.
    pub groups: usize,
    /// Those of them that are not over.
    pub running: usize,
    /// Drivers.
    pub driver: Charge,
    /// Executors.
    pub executors: Charge,
    /// Pods that are neither.
    pub pods: Charge,
    /// All of them.
    pub total: Charge,
    /// Of the total: paid before first containers ran.
    pub pulling: NanoMoney,
    /// Of the total: paid for what was bought beyond what was asked for, where that is known.
    pub rounding: NanoMoney,
    /// What it would have cost more without spot.
    pub spot_saving: NanoMoney,
    /// From when it is billed.
    pub from: Timestamp,
    /// Until when it was billed, or now.
    pub to: Timestamp,
}

/// Joins lines into applications, the newest first.
pub fn applications(lines: &[Line]) -> Vec<ApplicationCost> {
    let mut all: BTreeMap<(&str, &str, &str), ApplicationCost> = BTreeMap::new();
    for Line { record, derived } in lines {
        let (from, to) = record.billed.likely();
        let key = (
            record.namespace.as_str(),
            record.application.id.as_str(),
            record.currency.as_str(),
        );
        let one = all.entry(key).or_insert_with(|| ApplicationCost {
            namespace: record.namespace.clone(),
            application: record.application.clone(),
            currency: record.currency,
            groups: 0,
            running: 0,
            driver: Charge::default(),
            executors: Charge::default(),
            pods: Charge::default(),
            total: Charge::default(),
            pulling: NanoMoney::default(),
            rounding: NanoMoney::default(),
            spot_saving: NanoMoney::default(),
            from,
            to,
        });
        let part = match record.role {
            Role::Driver => &mut one.driver,
            Role::Executor => &mut one.executors,
            Role::Pod => &mut one.pods,
        };
        *part = *part + record.charge;
        one.total = one.total + record.charge;
        one.groups += 1;
        one.running += usize::from(derived.running);
        one.pulling += derived.pulling;
        one.rounding += derived.rounding.unwrap_or_default();
        one.spot_saving += derived.spot_saving;
        (one.from, one.to) = (one.from.min(from), one.to.max(to));
    }
    let mut all: Vec<ApplicationCost> = all.into_values().collect();
    all.sort_by_key(|one| std::cmp::Reverse(one.from));
    all
}

/// Whether `record` is of the application that a user calls `wanted`: by its id, its name or the operator's id of the run.
pub fn is_called(record: &CostRecord, wanted: &str) -> bool {
    let Application { id, name, submission } = &record.application;
    id == wanted || name == wanted || (!submission.is_empty() && submission == wanted)
}

/// Applications as a table for people, with a sum for each currency.
pub fn list_text(applications: &[ApplicationCost]) -> String {
    let mut rows = vec![row([
        "NAMESPACE",
        "APPLICATION",
        "NAME",
        "GROUPS",
        "RUNNING",
        "DRIVER",
        "EXECUTORS",
        "PODS",
        "TOTAL",
        "CURRENCY",
        "UNCERTAIN",
    ])];
    let mut totals: BTreeMap<&str, (usize, usize, [Charge; 4])> = BTreeMap::new();
    for one in applications {
        let parts = [one.driver, one.executors, one.pods, one.total];
        let total = totals.entry(one.currency.as_str()).or_default();
        total.0 += one.groups;
        total.1 += one.running;
        for (sum, part) in total.2.iter_mut().zip(parts) {
            *sum = *sum + part;
        }
        rows.push(amounts(
            [&one.namespace, &one.application.id, &one.application.name],
            (one.groups, one.running),
            parts,
            one.currency.as_str(),
        ));
    }
    for (currency, (groups, running, parts)) in totals {
        rows.push(amounts(["total", "", ""], (groups, running), parts, currency));
    }
    table(&rows)
}

fn amounts(names: [&str; 3], (groups, running): (usize, usize), parts: [Charge; 4], currency: &str) -> Vec<String> {
    let mut cells: Vec<String> = names.map(str::to_owned).into();
    cells.extend([groups.to_string(), running.to_string()]);
    cells.extend(parts.map(|part| part.amount.to_string()));
    cells.extend([currency.to_owned(), uncertainty(parts[3])]);
    cells
}

/// One application's groups as a table for people.
pub fn show_text(application: &ApplicationCost, lines: &[Line]) -> String {
    let ApplicationCost {
        namespace,
        application: Application { id, name, .. },
        currency,
        groups,
        running,
        total,
        pulling,
        rounding,
        spot_saving,
        ..
    } = application;
    let currency = currency.as_str();
    let mut text =
        format!("{name} ({id}) in namespace {namespace}: {groups} container groups, {running} of them running\n");
    let _ = writeln!(
        text,
        "total {} {currency}, {}",
        total.amount,
        match uncertainty(*total) {
            exact if exact == "-" => "exact".to_owned(),
            bounds => format!("not exact: {bounds}"),
        }
    );
    let _ = writeln!(
        text,
        "of it pulling and starting {pulling}, bought beyond what was asked {rounding}; saved by spot {spot_saving}\n"
    );
    let mut rows = vec![row([
        "ROLE",
        "ID",
        "POD",
        "ASKED",
        "BOUGHT",
        "BILLED FROM",
        "PULLING",
        "RUNNING",
        "BILLED TO",
        "COST",
        "OF IT PULLING",
        "OF IT RUNNING",
        "BEYOND ASKED",
        "SPOT SAVED",
        "EXIT",
        "UNCERTAIN",
    ])];
    for Line { record, derived } in lines {
        let (from, to) = record.billed.likely();
        rows.push(vec![
            record.role.as_str().to_owned(),
            record.executor.clone().unwrap_or_else(none),
            record.pod.clone(),
            record.asked.map_or_else(none, size),
            if record.instance_type.is_empty() {
                record.bought.map_or_else(none, size)
            } else {
                record.instance_type.clone()
            },
            from.to_string(),
            format!("{}s", derived.pulling_seconds),
            format!("{}s", derived.working_seconds),
            if derived.running {
                "running".to_owned()
            } else {
                to.to_string()
            },
            record.charge.amount.to_string(),
            derived.pulling.to_string(),
            derived.working.to_string(),
            derived.rounding.map_or_else(none, |amount| amount.to_string()),
            derived.spot_saving.to_string(),
            record.exit.as_ref().map_or_else(none, |exit| exit.code.to_string()),
            uncertainty(record.charge),
        ]);
    }
    text.push_str(&table(&rows));
    let mut doubts: Vec<&str> = lines
        .iter()
        .flat_map(|line| &line.record.doubts)
        .map(|doubt| doubt.as_str())
        .collect();
    doubts.sort_unstable();
    doubts.dedup();
    for doubt in doubts {
        let _ = writeln!(text, "uncertain: {doubt}");
    }
    text
}

/// Applications as comma-separated values.
pub fn list_csv(applications: &[ApplicationCost]) -> String {
    let mut text = csv(&row([
        "namespace",
        "application",
        "name",
        "submission",
        "currency",
        "groups",
        "running",
        "driver",
        "executors",
        "pods",
        "total",
        "least",
        "most",
        "billed_seconds",
        "pulling",
        "rounding",
        "spot_saving",
        "from",
        "to",
    ]));
    for one in applications {
        text.push_str(&csv(&[
            one.namespace.clone(),
            one.application.id.clone(),
            one.application.name.clone(),
            one.application.submission.clone(),
            one.currency.as_str().to_owned(),
            one.groups.to_string(),
            one.running.to_string(),
            one.driver.amount.to_string(),
            one.executors.amount.to_string(),
            one.pods.amount.to_string(),
            one.total.amount.to_string(),
            one.total.least.to_string(),
            one.total.most.to_string(),
            one.total.seconds.to_string(),
            one.pulling.to_string(),
            one.rounding.to_string(),
            one.spot_saving.to_string(),
            one.from.to_string(),
            one.to.to_string(),
        ]));
    }
    text
}

/// Container groups as comma-separated values.
pub fn show_csv(lines: &[Line]) -> String {
    let mut text = csv(&row([
        "namespace",
        "application",
        "name",
        "role",
        "executor",
        "pod",
        "group",
        "attempt",
        "node",
        "zone",
        "asked_milli_cpu",
        "asked_mib",
        "bought_milli_cpu",
        "bought_mib",
        "instance_type",
        "spot",
        "from",
        "started",
        "to",
        "running",
        "currency",
        "amount",
        "least",
        "most",
        "billed_seconds",
        "pulling",
        "working",
        "rounding",
        "spot_saving",
        "exit_code",
        "prices",
    ]));
    for Line { record, derived } in lines {
        let (from, to) = record.billed.likely();
        let part = |size: Option<RecordedSize>, of: fn(RecordedSize) -> u64| {
            size.map_or_else(String::new, |size| of(size).to_string())
        };
        text.push_str(&csv(&[
            record.namespace.clone(),
            record.application.id.clone(),
            record.application.name.clone(),
            record.role.as_str().to_owned(),
            record.executor.clone().unwrap_or_default(),
            record.pod.clone(),
            record.group.clone(),
            record.attempt.to_string(),
            record.node.clone(),
            record.zone.clone(),
            part(record.asked, |size| size.milli_cpu),
            part(record.asked, |size| size.memory_mib),
            part(record.bought, |size| size.milli_cpu),
            part(record.bought, |size| size.memory_mib),
            record.instance_type.clone(),
            record
                .tariff
                .as_ref()
                .is_some_and(|tariff| tariff.spot.is_some())
                .to_string(),
            from.to_string(),
            record.started.map_or_else(String::new, |at| at.to_string()),
            to.to_string(),
            derived.running.to_string(),
            record.currency.as_str().to_owned(),
            record.charge.amount.to_string(),
            record.charge.least.to_string(),
            record.charge.most.to_string(),
            record.charge.seconds.to_string(),
            derived.pulling.to_string(),
            derived.working.to_string(),
            derived.rounding.map_or_else(String::new, |amount| amount.to_string()),
            derived.spot_saving.to_string(),
            record
                .exit
                .as_ref()
                .map_or_else(String::new, |exit| exit.code.to_string()),
            format!("{:?}", record.prices).to_lowercase(),
        ]));
    }
    text
}

fn none() -> String {
    "-".to_owned()
}

fn size(size: RecordedSize) -> String {
    let size = provider::sizes::Size::from(size);
    format!("{}/{}Gi", size.cpu.as_vcpu(), size.memory.as_gib())
}

/// How far the bill may be from the amount.
fn uncertainty(charge: Charge) -> String {
    if charge.is_exact() {
        none()
    } else {
        format!("-{}/+{}", charge.amount - charge.least, charge.most - charge.amount)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cost::record::tests::record;

    fn lines() -> Vec<Line> {
        let mut driver = record("eci-1");
        (driver.role, driver.executor) = (Role::Driver, None);
        let mut guess = record("eci-3");
        guess.charge.most += NanoMoney(5);
        guess.application.id = "spark-2".to_owned();
        vec![
            Line::new(driver, false),
            Line::new(record("eci-2"), true),
            Line::new(guess, false),
        ]
    }

    #[test]
    fn parts_of_an_application_add_up() {
        let all = applications(&lines());
        let first = all.iter().find(|one| one.application.id == "spark-1").expect("there");
        assert_eq!((first.groups, first.running), (2, 1));
        assert_eq!(first.driver + first.executors + first.pods, first.total);
        assert_eq!(first.total.amount, NanoMoney(2 * 7_352_000));
    }

    #[test]
    fn a_table_for_people() {
        let text = list_text(&applications(&lines()));
        let golden = include_str!("testdata/list.txt");
        assert_eq!(text, golden);
    }

    #[test]
    fn an_application_is_found_by_any_of_its_names() {
        let mut record = record("eci-1");
        record.application.submission = "s-1".to_owned();
        for name in ["spark-1", "word-count", "s-1"] {
            assert!(is_called(&record, name), "{name}");
        }
        assert!(!is_called(&record, "") && !is_called(&record, "spark"));
    }

    #[test]
    fn values_are_separated_whatever_is_in_them() {
        let cells = ["a,b", "say \"x\"", "=1+1", "-3", "plain"].map(str::to_owned);
        assert_eq!(csv(&cells), "\"a,b\",\"say \"\"x\"\"\",'=1+1,-3,plain\r\n");
        let lines = lines();
        let columns = |text: String| text.lines().map(|line| line.split(',').count()).collect::<Vec<_>>();
        let shown = columns(show_csv(&lines));
        assert!(shown.iter().all(|count| *count == shown[0]) && shown.len() == 4);
        let listed = columns(list_csv(&applications(&lines)));
        assert!(listed.iter().all(|count| *count == listed[0]) && listed.len() == 3);
    }

    #[test]
    fn json_has_the_record_and_what_follows_from_it() {
        let json = serde_json::to_value(&lines()[1]).expect("writes");
        assert_eq!(json["group"], "eci-2");
        assert_eq!(json["charge"]["amount"], 7_352_000);
        assert_eq!(json["derived"]["pulling"], 20 * 73_520);
        assert_eq!(json["derived"]["running"], true);
    }
}
