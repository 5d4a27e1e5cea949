//! (pure) The page.

use std::fmt::Write as _;

use jiff::Timestamp;
use provider::billing::Charge;
use provider::units::NanoMoney;

use super::escape::escaped;
use super::svg::{self, Bar, LIVES};
use crate::cost::application::Application;
use crate::cost::split::{Analysis, Phase, StageCost, cores, stage_name};
use crate::cost::tables::{duration, percent};
use crate::cost::whatif::Scenario;

/// Bars of one picture; the others are one together.
const BARS: usize = 120;

/// What the page says.
#[derive(Clone, Copy, Debug)]
pub struct Page<'a> {
    /// Namespace of the application.
    pub namespace: &'a str,
    /// Which it is.
    pub application: &'a Application,
    /// Of all amounts.
    pub currency: &'a str,
    /// Container groups, and those that are not over.
    pub groups: (usize, usize),
    /// From when to when it is billed.
    pub billed: (Timestamp, Timestamp),
    /// The whole of it.
    pub total: Charge,
    /// Of it: bought beyond what was asked for.
    pub rounding: NanoMoney,
    /// What it would have cost more without spot.
    pub spot_saving: NanoMoney,
    /// Why it is not exact.
    pub doubts: &'a [&'a str],
    /// Its parts.
    pub analysis: &'a Analysis,
    /// What it would have cost otherwise.
    pub scenarios: &'a [Scenario],
}

const STYLE: &str = include_str!("style.css");

/// The page as HTML.
pub fn page(page: &Page<'_>) -> String {
    let Page {
        application,
        analysis,
        currency,
        ..
    } = page;
    let name = escaped(&application.name);
    let mut html = format!(
        "<!DOCTYPE html>\n<html lang=en><head><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
         <meta name=color-scheme content=\"light dark\">\
         <meta http-equiv=Content-Security-Policy content=\"default-src 'none'; style-src 'unsafe-inline'\">\
         <title>Cost of {name}</title>\n<style>\n{STYLE}</style></head><body>\n<h1>Cost of {name}</h1>\n"
    );
    let _ = writeln!(
        html,
        "<p class=about>Application <code>{}</code> in namespace <code>{}</code>, {} to {}</p>",
        escaped(&application.id),
        escaped(page.namespace),
        page.billed.0,
        page.billed.1
    );
    totals(&mut html, page);
    html.push_str("<h2>What paid time went into</h2>\n");
    html.push_str(&svg::whole(&analysis.phases));
    phases(&mut html, analysis);
    notes(&mut html, analysis);
    html.push_str("<h2>Lives</h2>\n");
    if analysis.groups.len() > LIVES {
        let more = analysis.groups.len() - LIVES;
        let _ = writeln!(
            html,
            "<p>{LIVES} of {} container groups, and the time of the other {more} summed up.</p>",
            analysis.groups.len()
        );
    }
    html.push_str(&svg::lives(&analysis.groups));
    if !analysis.stages.is_empty() {
        let _ = writeln!(html, "\n<h2>Cost by job group, {currency}</h2>");
        html.push_str(&svg::bars("Cost by job group", &job_groups(analysis)));
        let _ = writeln!(html, "\n<h2>Cost by stage, {currency}</h2>");
        html.push_str(&svg::bars("Cost by stage", &stages(analysis)));
    }
    what_if(&mut html, page);
    html.push_str("</body></html>\n");
    html
}

fn totals(html: &mut String, page: &Page<'_>) {
    let Page {
        currency,
        total,
        groups,
        ..
    } = page;
    let exact = if total.is_exact() {
        "exact".to_owned()
    } else {
        format!("between {} and {}", total.least, total.most)
    };
    let running = if groups.1 > 0 {
        format!(", {} of them running", groups.1)
    } else {
        String::new()
    };
    let tiles = [
        ("Total", format!("{} {currency}", total.amount), exact),
        (
            "Container groups",
            groups.0.to_string(),
            format!("{} billed{running}", duration(total.seconds.saturating_mul(1_000))),
        ),
        (
            "Bought beyond what was asked",
            page.rounding.to_string(),
            percent(page.rounding.0, total.amount.0),
        ),
        (
            "Saved by spot",
            page.spot_saving.to_string(),
            "against the list price".to_owned(),
        ),
    ];
    html.push_str("<div class=tiles>");
    for (name, value, about) in tiles {
        let _ = write!(
            html,
            "<div><span>{name}</span><b>{}</b><span>{}</span></div>",
            escaped(&value),
            escaped(&about)
        );
    }
    html.push_str("</div>\n");
    for doubt in page.doubts {
        let _ = writeln!(html, "<p class=note>Uncertain: {}</p>", escaped(doubt));
    }
}

fn phases(html: &mut String, analysis: &Analysis) {
    html.push_str("\n<table><tr><th>Phase<th class=n>Time<th class=n>Cost<th class=n>Share</tr>");
    for phase in Phase::ALL {
        if let Some(part) = analysis.phases.get(&phase) {
            let _ = write!(
                html,
                "<tr><td><i class={}></i>{}<td class=n>{}<td class=n>{}<td class=n>{}</tr>",
                svg::class(phase),
                phase.as_str(),
                duration(part.millis),
                part.amount,
                percent(part.amount.0, analysis.total.0)
            );
        }
    }
    let _ = writeln!(
        html,
        "<tr class=total><td>total<td><td class=n>{}<td class=n>{}</tr></table>",
        analysis.total,
        percent(analysis.total.0, analysis.total.0)
    );
}

fn notes(html: &mut String, analysis: &Analysis) {
    let Some(log) = &analysis.event_log else {
        html.push_str("<p class=note>No event log was read: what executors did is not known.</p>\n");
        return;
    };
    let (busy, offered) = cores(&analysis.groups);
    let _ = writeln!(
        html,
        "<p>The application took {}; {} executors registered, {} of them were decommissioned; {} runs of tasks. \
         Of the time of executors' cores while Spark had them, {} had a task.</p>",
        duration(log.millis),
        log.executors,
        log.decommissioned,
        log.tasks,
        percent(busy.into(), offered.into())
    );
    if let Some(why) = &log.broken_off {
        let _ = writeln!(html, "<p class=note>The event log is not whole: {}</p>", escaped(why));
    }
}

fn job_groups(analysis: &Analysis) -> Vec<Bar> {
    let groups = analysis.job_groups.iter().map(|group| Bar {
        name: if group.group.is_empty() {
            "(no group)".to_owned()
        } else {
            group.group.clone()
        },
        about: format!(
            "{} {} stages, {} of cores{}",
            group.description,
            group.stages,
            duration(group.core_millis),
            group.meanwhile.map_or_else(String::new, |time| format!(
                "; all that was paid in its {}: {}",
                duration(time.millis),
                time.amount
            ))
        ),
        amount: group.amount.0,
        shown: group.amount.to_string(),
        class: "k",
    });
    let mut bars = bounded(groups.collect(), "job groups");
    bars.extend(overhead(analysis));
    bars
}

/// What is no stage's, so that bars add up to the whole.
fn overhead(analysis: &Analysis) -> impl Iterator<Item = Bar> {
    let parts = analysis.overhead.parts().into_iter().filter(|part| part.1.0 != 0);
    parts.map(|(name, amount)| Bar {
        name: name.to_owned(),
        about: "no stage's".to_owned(),
        amount: amount.0,
        shown: amount.to_string(),
        class: "o",
    })
}

fn stages(analysis: &Analysis) -> Vec<Bar> {
    let mut by_cost: Vec<&StageCost> = analysis.stages.iter().collect();
    by_cost.sort_by(|a, b| b.amount.cmp(&a.amount).then((a.id, a.attempt).cmp(&(b.id, b.attempt))));
    let stages = by_cost.into_iter().map(|stage| Bar {
        name: match stage.group.as_str() {
            "" => stage_name(stage),
            group => format!("{} {group}", stage_name(stage)),
        },
        about: format!(
            "{}: {} tasks, {} of cores",
            stage.name,
            stage.tasks,
            duration(stage.core_millis)
        ),
        amount: stage.amount.0,
        shown: stage.amount.to_string(),
        class: if stage.failed { "d" } else { "k" },
    });
    bounded(stages.collect(), "stages")
}

/// No more than [`BARS`], the last of them for all others.
fn bounded(mut bars: Vec<Bar>, what: &str) -> Vec<Bar> {
    if bars.len() > BARS {
        let rest = bars.split_off(BARS - 1);
        let amount: i128 = rest.iter().map(|bar| bar.amount).sum();
        bars.push(Bar {
            name: format!("{} more {what}", rest.len()),
            about: "summed up".to_owned(),
            amount,
            shown: NanoMoney(amount).to_string(),
            class: "r",
        });
    }
    bars
}

fn what_if(html: &mut String, page: &Page<'_>) {
    if page.scenarios.is_empty() {
        return;
    }
    let _ = writeln!(
        html,
        "\n<h2>What if</h2>\n<table class=if><tr><th>What if<th class=n>{}<th class=n>Difference<th class=n>Time<th>Taken for granted</tr>",
        page.currency
    );
    let base = page.total.amount.0;
    for one in page.scenarios {
        let difference = one.difference.map_or_else(String::new, |by| percent(by.0, base));
        let class = match one.difference {
            Some(by) if by.0 < 0 => "n less",
            Some(by) if by.0 > 0 => "n more",
            _ => "n",
        };
        let _ = writeln!(
            html,
            "<tr><td>{}<td class=n>{}<td class=\"{class}\">{difference}<td class=n>{}<td class=small>{}</tr>",
            escaped(&one.name),
            one.amount.map_or_else(|| "-".to_owned(), |amount| amount.to_string()),
            one.millis.map_or_else(|| "-".to_owned(), duration),
            escaped(&one.assumptions.join("; "))
        );
    }
    html.push_str("</table>\n");
}
