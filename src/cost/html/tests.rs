use std::time::Duration;

use super::*;
use crate::cost::application::Application;
use crate::cost::eventlog::tests::golden_story;
use crate::cost::record::CostRecord;
use crate::cost::split::{Analysis, analyse};
use crate::cost::whatif::tests::golden_records;
use crate::cost::whatif::{Scenario, Wishes, scenarios};

fn rendered(application: &Application, analysis: &Analysis, scenarios: &[Scenario], records: &[CostRecord]) -> String {
    page(&Page {
        namespace: "jobs",
        application,
        currency: "CNY",
        groups: (records.len(), 0),
        billed: records[0].billed.likely(),
        total: records.iter().map(|record| record.charge).sum(),
        rounding: records.iter().filter_map(CostRecord::rounding).sum(),
        spot_saving: provider::units::NanoMoney(0),
        doubts: &[],
        analysis,
        scenarios,
    })
}

/// To see it: `UPDATE_GOLDEN=1 cargo test …`, and open the golden file in a browser.
#[test]
fn the_page_of_a_real_run() {
    let (story, records) = (golden_story(), golden_records());
    let all: Vec<&CostRecord> = records.iter().collect();
    let analysis = analyse(&all, Some(&story));
    let answers = scenarios(&all, Some(&story), &Wishes::default());
    let html = rendered(&records[0].application, &analysis, &answers, &records);
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/src/cost/testdata/report.html");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(golden, &html).expect("writes");
    }
    assert_eq!(html, std::fs::read_to_string(golden).expect("there"));
    for elsewhere in ["<script", "http://", "https://", "<link", "url(", "<img", "@import"] {
        assert!(!html.contains(elsewhere), "{elsewhere}");
    }
}

#[test]
fn names_are_only_text() {
    let mut records = golden_records();
    let evil = "</title><script>alert('x')</script>\"&";
    for record in &mut records {
        record.application.name = evil.to_owned();
        record.application.id = evil.to_owned();
        record.pod = evil.to_owned();
    }
    let mut story = golden_story();
    for stage in &mut story.stages {
        (stage.name, stage.group, stage.description) = (evil.to_owned(), evil.to_owned(), evil.to_owned());
    }
    story.broken_off = Some(evil.to_owned());
    let all: Vec<&CostRecord> = records.iter().collect();
    let html = rendered(&records[0].application, &analyse(&all, Some(&story)), &[], &records);
    assert!(!html.contains("<script") && html.contains("&lt;script&gt;"));
    assert_eq!(html.matches("</title>").count(), html.matches("<title>").count());
}

#[test]
fn thousands_of_executors_are_a_page_that_opens() {
    let mut records = golden_records();
    let one = records[1].clone();
    records.extend((0..5_000).map(|number| {
        let mut record = one.clone();
        record.group = format!("eci-{number}");
        record.executor = Some((number + 10).to_string());
        record.started = record.started.map(|at| at + Duration::from_millis(number));
        record
    }));
    let all: Vec<&CostRecord> = records.iter().collect();
    let html = rendered(
        &records[0].application,
        &analyse(&all, Some(&golden_story())),
        &[],
        &records,
    );
    assert!(html.contains("100 of 5003 container groups") && html.contains("4903 more, summed"));
    assert!(html.len() < 500_000, "{} bytes", html.len());
}
