//! The table: what, target, ours, floor, kwok, and ours as a ratio of each.

use std::fmt::Write as _;

use crate::figures::Figures;
use crate::shape::Shape;
use crate::subject::Subject;
use measure::machine::Machine;

const MEGABYTE: f64 = 1e6;

struct Row {
    what: &'static str,
    target: &'static str,
    digits: usize,
    /// The figure, where the subject has one.
    of: fn(&Figures) -> Option<f64>,
}

const ROWS: [Row; 16] = [
    Row {
        what: "pods Running per second",
        target: ">= 1.5 x kwok at 10,000, 1.3 x at 3,000",
        digits: 0,
        of: |f| Some(f.pods as f64 / f.running_seconds),
    },
    Row {
        what: "all pods made and Running, s",
        target: "<= 1.25 x floor",
        digits: 1,
        of: |f| Some(f.running_seconds),
    },
    Row {
        what: "agent CPU per pod to Running, ms",
        target: "<= 0.3 x kwok",
        digits: 2,
        of: |f| Some(f.milliseconds_per_pod(f.process.cpu_seconds)),
    },
    Row {
        what: "agent memory, peak, MB",
        target: "<= 45 at 10,000",
        digits: 1,
        of: |f| Some(f.process.peak_bytes as f64 / MEGABYTE),
    },
    Row {
        what: "agent memory after, MB",
        target: "",
        digits: 1,
        of: |f| Some(f.process.resident_bytes as f64 / MEGABYTE),
    },
    Row {
        what: "restart beside all pods: ready, s",
        target: "<= 3 at 10,000",
        digits: 2,
        of: |f| f.restart.ready_seconds,
    },
    Row {
        what: "restart: a waiting pod Running, s",
        target: "",
        digits: 2,
        of: |f| Some(f.restart.served_seconds),
    },
    Row {
        what: "restart: needless writes",
        target: "0",
        digits: 0,
        of: |f| Some(f.needless_writes()),
    },
    Row {
        what: "writes of the node per pod to Running",
        target: "1",
        digits: 2,
        of: |f| Some(f.writes_to_running.of_pods() as f64 / f.pods as f64),
    },
    Row {
        what: "writes of the node per pod life",
        target: "3",
        digits: 2,
        of: |f| f.deletion.map(|_| f.writes_per_life()),
    },
    Row {
        what: "all pods deleted and gone, s",
        target: "",
        digits: 1,
        of: |f| f.deletion.map(|deletion| deletion.gone_seconds),
    },
    Row {
        what: "bound to Running, p50, s",
        target: "reported",
        digits: 2,
        of: |f| f.bind_to_running_seconds.map(|latency| latency.p50),
    },
    Row {
        what: "bound to Running, p99, s",
        target: "reported",
        digits: 2,
        of: |f| f.bind_to_running_seconds.map(|latency| latency.p99),
    },
    Row {
        what: "mock-eci CPU per pod to Running, ms",
        target: "reported",
        digits: 2,
        of: |f| f.cloud.map(|cloud| f.milliseconds_per_pod(cloud.cpu_seconds)),
    },
    Row {
        what: "mock-eci memory, peak, MB",
        target: "reported",
        digits: 1,
        of: |f| f.cloud.map(|cloud| cloud.peak_bytes as f64 / MEGABYTE),
    },
    Row {
        what: "kube-apiserver CPU per pod, ms",
        target: "reported",
        digits: 2,
        of: |f| {
            f.cpu_seconds_by_program
                .get("kube-apiserver")
                .map(|seconds| f.milliseconds_per_pod(*seconds))
        },
    },
];

/// The table of one shape: medians over the rounds.
pub(crate) fn render(machine: &Machine, shape: Shape, figures: &[Figures]) -> String {
    let figures: Vec<&Figures> = figures.iter().filter(|f| f.shape == shape).collect();
    let Some(first) = figures.first() else {
        return String::new();
    };
    let rounds = figures.iter().map(|f| f.round).max().unwrap_or(1);
    let order: Vec<&str> = figures
        .iter()
        .filter(|f| f.round == 1)
        .map(|f| f.subject.name())
        .collect();
    let foreign = figures.iter().map(|f| f.foreign_cpu_share * 100.0);
    let mut text = format!(
        "{} {}; {} cores, {}; order {}{}; other work took {:.0}-{:.0} % of the CPU\n",
        first.pods,
        shape.title(),
        machine.cores,
        machine.kernel,
        order.join(", "),
        if rounds > 1 {
            format!(", rotated; medians of {rounds} rounds")
        } else {
            String::new()
        },
        foreign.clone().fold(f64::INFINITY, f64::min),
        foreign.fold(0.0, f64::max),
    );
    let mut line = |what: &str, target: &str, cells: [String; 5]| {
        let [ours, floor, kwok, to_floor, to_kwok] = cells;
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{what:<38} {target:<40} {ours:>12} {floor:>9} {kwok:>9} {to_floor:>11} {to_kwok:>10}"
        );
    };
    let heads = ["virtual-node", "floor", "kwok", "ours/floor", "ours/kwok"];
    line("what", "target", heads.map(str::to_owned));
    for row in &ROWS {
        let of = |subject| {
            median(
                figures
                    .iter()
                    .filter(|f| f.subject == subject)
                    .filter_map(|f| (row.of)(f))
                    .collect(),
            )
        };
        let (ours, floor, kwok) = (of(Subject::VirtualNode), of(Subject::Floor), of(Subject::Kwok));
        let cell = |figure: Option<f64>| figure.map_or("-".to_owned(), |figure| format!("{figure:.*}", row.digits));
        let ratio = |other: Option<f64>| match (ours, other) {
            (Some(ours), Some(other)) if other != 0.0 => format!("{:.2}", ours / other),
            _ => "-".to_owned(),
        };
        line(
            row.what,
            row.target,
            [cell(ours), cell(floor), cell(kwok), ratio(floor), ratio(kwok)],
        );
    }
    text
}

/// The middle one, or the mean of the two in the middle.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        count if count % 2 == 1 => values.get(middle).copied(),
        _ => Some((values.get(middle)? + values.get(middle - 1)?) / 2.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }
}
