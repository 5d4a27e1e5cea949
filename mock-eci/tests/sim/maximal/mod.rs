//! Requests that together give every parameter the catalogue calls done, to every operation that is supported. The test bed
//! holds each against what was read; here it is seen that none is left out.

mod exec;
mod groups;
mod resources;

use std::collections::BTreeSet;

use mock_eci::{
    Config,
    api::{
        catalogue::{CATALOGUE, Status, canonical},
        table::ACTIONS,
    },
    config::Limits,
};

use crate::bed::Bed;

#[tokio::test(start_paused = true)]
async fn every_parameter_that_is_done_is_read() {
    let bed = Bed::with(Config {
        limits: Limits::None,
        journal_entries: 10_000,
        ..Config::default()
    })
    .await;
    groups::send(&bed).await;
    exec::send(&bed).await;
    resources::send(&bed).await;

    let given: BTreeSet<(String, String)> = bed
        .app()
        .journal()
        .entries(None)
        .into_iter()
        .filter(|entry| entry.status == 200 || entry.code.as_deref() == Some("DryRunOperation"))
        .flat_map(|entry| {
            let action = entry.action;
            let names = entry.parameters.into_iter().map(|(name, _)| canonical(&name));
            names.map(move |name| (action.clone(), name)).collect::<Vec<_>>()
        })
        .collect();
    let mut missing = Vec::new();
    for action in ACTIONS.iter().filter(|a| a.handler.is_some()) {
        for parameter in CATALOGUE.action(action.name).unwrap_or_default() {
            let covers = |name: &str| match parameter.name.strip_suffix('*') {
                Some(prefix) => name.starts_with(prefix),
                None => name == parameter.name,
            };
            if parameter.status == Status::Done && !given.iter().any(|(a, name)| a == action.name && covers(name)) {
                missing.push(format!("{} {}", action.name, parameter.name));
            }
        }
    }
    assert!(missing.is_empty(), "no good call gives: {missing:#?}");
}
