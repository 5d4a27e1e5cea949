//! One application, examined: its groups, its event log where there is one, and what it would have cost otherwise.

use std::path::Path;

use anyhow::{Context as _, bail};
use eci::credentials::Environment;
use jiff::Timestamp;
use provider::units::{MiB, NanoMoney};
use serde_json::{Value, json};

use crate::args::{CostOutput, EventLogArgs, WhatIfArgs};
use crate::cost::eventlog::{self, Story};
use crate::cost::html::{Page, page};
use crate::cost::price_table::PriceTable;
use crate::cost::record::CostRecord;
use crate::cost::report::{self, ApplicationCost, Line};
use crate::cost::split::{self, Analysis, analyse};
use crate::cost::whatif::{self, Scenario, Wishes, scenarios};
use crate::cost::{place, select};

/// What `cost show` says.
///
/// # Errors
/// There is no such application, or its event log cannot be read.
pub async fn show(lines: Vec<Line>, wanted: &str, log: &EventLogArgs, output: CostOutput) -> anyhow::Result<String> {
    let lines = select::select(lines, wanted).map_err(anyhow::Error::msg)?;
    let applications = report::applications(&lines);
    let story = story(&applications, log).await?;
    if matches!(output, CostOutput::Csv) && story.is_none() {
        return Ok(report::show_csv(&lines));
    }
    let examined = applications
        .iter()
        .map(|one| Examined::new(one, &lines, story.as_ref()));
    let examined: Vec<Examined<'_>> = examined.collect();
    Ok(match output {
        CostOutput::Text => {
            let texts = examined.iter().map(|one| {
                let own: Vec<Line> = one.lines.iter().map(|line| (*line).clone()).collect();
                let split = split::text(&one.analysis, one.currency());
                format!("{}\n{split}", report::show_text(one.application, &own))
            });
            texts.collect::<Vec<_>>().join("\n")
        }
        CostOutput::Csv => examined
            .iter()
            .map(|one| split::csv_lines(&one.analysis, one.currency()))
            .collect(),
        CostOutput::Json => {
            let analyses: Vec<&Analysis> = examined.iter().map(|one| &one.analysis).collect();
            pretty(&json!({ "applications": applications, "groups": lines, "analyses": analyses }))?
        }
        CostOutput::Html => {
            let one = only(&examined)?;
            let answers = scenarios(&one.records(), story.as_ref(), &Wishes::default());
            one.page(&answers)
        }
    })
}

/// What `cost what-if` says.
///
/// # Errors
/// There is no such application, its event log cannot be read, or a wish makes no sense.
pub async fn what_if(lines: Vec<Line>, args: &WhatIfArgs, output: CostOutput) -> anyhow::Result<String> {
    let wishes = wishes(args)?;
    let lines = select::select(lines, &args.application).map_err(anyhow::Error::msg)?;
    let applications = report::applications(&lines);
    let story = story(&applications, &args.log).await?;
    let examined = applications
        .iter()
        .map(|one| Examined::new(one, &lines, story.as_ref()));
    let examined: Vec<Examined<'_>> = examined.collect();
    let one = only(&examined)?;
    if let Some(table) = &wishes.prices
        && table.currency != one.application.currency
    {
        let (table, bill) = (table.currency.as_str(), one.currency());
        bail!("--price-table: its prices are in {table}, but the bill is in {bill}");
    }
    let answers = scenarios(&one.records(), story.as_ref(), &wishes);
    if answers.is_empty() {
        bail!(
            "no price of {} is known: there is nothing to compare with",
            one.application.application.name
        );
    }
    Ok(match output {
        CostOutput::Text => whatif::text(&answers, one.currency()),
        CostOutput::Csv => whatif::csv_lines(&answers, one.currency()),
        CostOutput::Json => pretty(&json!({ "application": one.application, "whatIf": answers }))?,
        CostOutput::Html => one.page(&answers),
    })
}

/// An application with what belongs to it.
struct Examined<'a> {
    application: &'a ApplicationCost,
    lines: Vec<&'a Line>,
    analysis: Analysis,
}

impl<'a> Examined<'a> {
    fn new(application: &'a ApplicationCost, lines: &'a [Line], story: Option<&Story>) -> Self {
        let own = lines.iter().filter(|Line { record, .. }| {
            record.namespace == application.namespace
                && record.application.id == application.application.id
                && record.currency == application.currency
        });
        let mut own: Vec<&Line> = own.collect();
        own.sort_by_key(|line| (line.record.role, line.record.billed.likely(), line.record.group.clone()));
        let records: Vec<&CostRecord> = own.iter().map(|line| &line.record).collect();
        Self {
            application,
            analysis: analyse(&records, story),
            lines: own,
        }
    }

    fn currency(&self) -> &'static str {
        self.application.currency.as_str()
    }

    fn records(&self) -> Vec<&'a CostRecord> {
        self.lines.iter().map(|line| &line.record).collect()
    }

    fn page(&self, scenarios: &[Scenario]) -> String {
        let mut doubts: Vec<&str> = self
            .lines
            .iter()
            .flat_map(|line| &line.record.doubts)
            .map(|one| one.as_str())
            .collect();
        doubts.sort_unstable();
        doubts.dedup();
        let billed: (Timestamp, Timestamp) = (self.application.from, self.application.to);
        page(&Page {
            namespace: &self.application.namespace,
            application: &self.application.application,
            currency: self.currency(),
            groups: (self.application.groups, self.application.running),
            billed,
            total: self.application.total,
            rounding: self.application.rounding,
            spot_saving: self.application.spot_saving,
            doubts: &doubts,
            analysis: &self.analysis,
            scenarios,
        })
    }
}

/// The only one of them.
fn only<'a, 'b>(examined: &'b [Examined<'a>]) -> anyhow::Result<&'b Examined<'a>> {
    match examined {
        [one] => Ok(one),
        several => bail!(
            "this is about one application: {}",
            ids(several.iter().map(|one| one.application))
        ),
    }
}

fn ids<'a>(applications: impl Iterator<Item = &'a ApplicationCost>) -> String {
    let ids: Vec<String> = applications
        .take(10)
        .map(|one| {
            format!(
                "{} in {} ({})",
                one.application.id,
                one.namespace,
                one.currency.as_str()
            )
        })
        .collect();
    format!("give the id of one of {}", ids.join(", "))
}

/// The event log of the only application, where one is given.
async fn story(applications: &[ApplicationCost], log: &EventLogArgs) -> anyhow::Result<Option<Story>> {
    let Some(text) = log.event_log.as_deref().filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let [application] = applications else {
        bail!("--event-log is of one application: {}", ids(applications.iter()));
    };
    let place = place::parse(text, &Environment::process())?;
    let story = eventlog::read(&place, &application.application.id).await?;
    Ok(Some(story))
}

fn price_table(path: &Path) -> anyhow::Result<PriceTable> {
    let wrong = || format!("--price-table {}", path.display());
    let text = std::fs::read_to_string(path).with_context(wrong)?;
    PriceTable::parse(&text).map_err(anyhow::Error::msg).with_context(wrong)
}

fn wishes(args: &WhatIfArgs) -> anyhow::Result<Wishes> {
    if !args.worker_price.is_empty() && args.worker_price.len() != args.worker.len() {
        bail!("--worker-price: give one for each --worker, in the same order");
    }
    let price = |text: &String| {
        let price = NanoMoney::parse(text).filter(|price| price.0 >= 0);
        price
            .map(|price| price.0)
            .with_context(|| format!("--worker-price {text:?}: it must be an amount, such as 1.25"))
    };
    let prices = args
        .worker_price
        .iter()
        .map(price)
        .collect::<anyhow::Result<Vec<_>>>()?;
    let prices = prices.into_iter().map(Some).chain(std::iter::repeat(None));
    let memory = |text: &str| {
        let quantity = k8s_openapi::apimachinery::pkg::api::resource::Quantity(text.to_owned());
        let mib: Option<MiB> = provider::mapping::quantity::mib(&quantity);
        let wrong = || format!("--executor-memory {text:?}: it must be a quantity of Kubernetes, such as 8Gi");
        mib.map(|mib| mib.0).filter(|mib| *mib > 0).with_context(wrong)
    };
    Ok(Wishes {
        workers: args.worker.iter().cloned().zip(prices).collect(),
        spot_percent: args.spot_percent,
        executors: args.executors.clone(),
        executor_cores: args.executor_cores,
        executor_memory: args.executor_memory.as_deref().map(memory).transpose()?,
        batch_size: args.batch_size,
        prices: args.price_table.as_deref().map(price_table).transpose()?,
    })
}

fn pretty(value: &Value) -> anyhow::Result<String> {
    Ok(format!("{}\n", serde_json::to_string_pretty(value)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cost::whatif::tests::golden_records;

    const APPLICATION: &str = "app-20261126181408-0000";
    const TESTDATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/cost/testdata");

    fn lines() -> Vec<Line> {
        let mut records = golden_records();
        for record in &mut records {
            record.application.id = APPLICATION.to_owned();
        }
        records.into_iter().map(|record| Line::new(record, false)).collect()
    }

    fn log() -> EventLogArgs {
        EventLogArgs {
            event_log: Some(TESTDATA.to_owned()),
        }
    }

    /// `UPDATE_GOLDEN=1` writes it anew.
    fn assert_golden(name: &str, text: &str) {
        let path = format!("{TESTDATA}/{name}");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, text).expect("writes");
        }
        assert_eq!(text, std::fs::read_to_string(&path).expect("there"), "{name}");
    }

    #[tokio::test]
    async fn a_real_run_as_people_and_programs_read_it() {
        let show = async |output| show(lines(), "app-2026", &log(), output).await.expect("there");
        assert_golden("show.txt", &show(CostOutput::Text).await);
        let csv = show(CostOutput::Csv).await;
        let columns: Vec<usize> = csv.lines().map(|line| line.split(',').count()).collect();
        assert!(
            columns.len() > 15 && columns.iter().all(|count| *count == columns[0]),
            "{csv}"
        );
        let json: Value = serde_json::from_str(&show(CostOutput::Json).await).expect("JSON");
        let analysis = &json["analyses"][0];
        let sum = |values: &Value| match values {
            Value::Array(all) => all.iter().filter_map(|one| one["amount"].as_i64()).sum::<i64>(),
            Value::Object(all) => all.values().filter_map(Value::as_i64).sum(),
            _ => 0,
        };
        assert_eq!(
            Some(sum(&analysis["stages"]) + sum(&analysis["overhead"])),
            analysis["total"].as_i64()
        );
        assert!(show(CostOutput::Html).await.starts_with("<!DOCTYPE html>"));
    }

    #[tokio::test]
    async fn what_if_as_people_and_programs_read_it() {
        let args = WhatIfArgs {
            application: "word-count".to_owned(),
            log: log(),
            worker: vec!["ecs.g7.xlarge".to_owned()],
            worker_price: vec!["1.25".to_owned()],
            executors: vec![1, 3],
            ..WhatIfArgs::default()
        };
        let answer = async |output| what_if(lines(), &args, output).await.expect("there");
        assert_golden("what-if.txt", &answer(CostOutput::Text).await);
        let json: Value = serde_json::from_str(&answer(CostOutput::Json).await).expect("JSON");
        let answers = json["whatIf"].as_array().expect("a list").len();
        assert_eq!(answer(CostOutput::Csv).await.lines().count(), answers + 1);
    }

    #[tokio::test]
    async fn what_if_by_prices_of_the_users_own() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("prices.yaml");
        let ask = async |table: &str| {
            std::fs::write(&path, table).expect("writes");
            let args = WhatIfArgs {
                application: APPLICATION.to_owned(),
                worker: vec!["ecs.g7.xlarge".to_owned()],
                price_table: Some(path.clone()),
                ..WhatIfArgs::default()
            };
            what_if(lines(), &args, CostOutput::Text).await
        };
        let answer = ask("{currency: CNY, instance-types: {ecs.g7.xlarge: \"0.75\"}}")
            .await
            .expect("reads");
        assert!(answer.contains("one costs 0.75"), "{answer}");
        for (table, expected) in [
            (
                "{currency: USD, discount: 5}",
                "--price-table: its prices are in USD, but the bill is in CNY",
            ),
            (
                "{currency: CNY, general: 5}",
                "prices.yaml: general: it must have vcpu-second",
            ),
        ] {
            let error = format!("{:#}", ask(table).await.expect_err("wrong"));
            assert!(error.contains(expected), "{error}");
        }
    }

    #[tokio::test]
    async fn what_makes_no_sense_is_said() {
        let said = async |args: WhatIfArgs| {
            let answer = what_if(lines(), &args, CostOutput::Text).await;
            format!("{:#}", answer.expect_err("wrong"))
        };
        let args = |change: fn(&mut WhatIfArgs)| {
            let mut args = WhatIfArgs {
                application: APPLICATION.to_owned(),
                ..WhatIfArgs::default()
            };
            change(&mut args);
            args
        };
        let error = said(args(|args| args.worker_price = vec!["1".to_owned()])).await;
        assert!(error.contains("one for each --worker"), "{error}");
        let error = said(args(|args| args.executor_memory = Some("much".to_owned()))).await;
        assert!(error.contains("--executor-memory") && error.contains("8Gi"), "{error}");
        let error = said(args(|args| args.application = "other".to_owned())).await;
        assert!(error.contains(APPLICATION), "{error}");
        let mut two = lines();
        two[0].record.application.id = "another".to_owned();
        let error = show(two, "word-count", &log(), CostOutput::Text)
            .await
            .expect_err("two")
            .to_string();
        assert!(
            error.contains("give the id of one of") && error.contains("another"),
            "{error}"
        );
    }
}
