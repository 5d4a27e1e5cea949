//! The table as a document, `docs/lifecycle.md`. `UPDATE_GOLDEN=1` writes it.

use std::fmt::Write;

use super::*;

const ABOUT: &str = include_str!("about.md");

fn event(event: Event) -> &'static str {
    match event {
        Event::Scheduled => "resources were found",
        Event::PullStarted => "the first image pull begins",
        Event::SandboxReady => "the group has its network",
        Event::LaunchFailed => "the group cannot be made, or its network is lost",
        Event::Progress(Progress::Starting) => "containers: not all started yet",
        Event::Progress(Progress::Running) => "containers: all started, one runs or will again",
        Event::Progress(Progress::Ended { success: true }) => "containers: all ended for good, with 0",
        Event::Progress(Progress::Ended { success: false }) => "containers: all ended for good, not all with 0",
        Event::StartFailed => "a container cannot be started",
        Event::DeadlineExceeded => "ActiveDeadlineSeconds has passed",
        Event::PendingTooLong => "MaxPendingMinute has passed",
        Event::Reclaimed => "spot resources are taken back",
        Event::RestartRequested => "RestartContainerGroup",
        Event::UpdateRequested => "UpdateContainerGroup",
        Event::DeleteRequested => "DeleteContainerGroup",
        Event::Stopped => "nothing of it runs any more",
    }
}

fn effect(effect: Effect) -> &'static str {
    match effect {
        Effect::StartBilling => "billing starts",
        Effect::EndBilling => "billing ends",
        Effect::StartContainers => "start containers",
        Effect::Replace => "replace containers",
        Effect::Stop => "stop within grace",
        Effect::Kill => "kill",
        Effect::Remove => "remove",
    }
}

fn cell(status: Status, event: Event) -> String {
    let Step { next, effects } = step(status, event);
    let next = match next {
        None => Some("*gone*"),
        Some(next) if next == status => None,
        Some(next) => Some(next.as_str()),
    };
    let effects = effects.iter().map(|e| effect(*e)).collect::<Vec<_>>().join(", ");
    match (next, effects.as_str()) {
        (None, "") => "·".to_owned(),
        (None, effects) => effects.to_owned(),
        (Some(next), "") => format!("→ {next}"),
        (Some(next), effects) => format!("→ {next}: {effects}"),
    }
}

fn document() -> String {
    let mut out = String::from(ABOUT);
    for live in [true, false] {
        let statuses: Vec<Status> = Status::ALL.into_iter().filter(|s| s.is_final() != live).collect();
        let _ = writeln!(out, "\n## {}\n", if live { "Live groups" } else { "Finished groups" });
        let names = statuses.iter().map(|s| s.as_str()).collect::<Vec<_>>().join(" | ");
        let _ = writeln!(out, "| event | {names} |\n|---|{}", "---|".repeat(statuses.len()));
        for event in Event::ALL {
            let cells = statuses.iter().map(|s| cell(*s, event)).collect::<Vec<_>>().join(" | ");
            let _ = writeln!(out, "| {} | {cells} |", self::event(event));
        }
    }
    out
}

#[test]
fn the_document_shows_the_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/lifecycle.md");
    let made = document();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, &made).expect("docs/lifecycle.md can be written");
    }
    let kept = std::fs::read_to_string(path).expect("docs/lifecycle.md; UPDATE_GOLDEN=1 writes it");
    assert!(
        kept == made,
        "docs/lifecycle.md is not what the table says: run this test with UPDATE_GOLDEN=1"
    );
}
