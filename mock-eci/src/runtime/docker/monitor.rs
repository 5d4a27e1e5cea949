//! Hears of containers that end: one event stream for the whole engine, and now and then a list, should an event be lost.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Duration,
};

use bollard::{
    models::{ContainerSummaryStateEnum, EventMessage},
    query_parameters::EventsOptionsBuilder,
};
use futures::{Stream, StreamExt};
use jiff::Timestamp;
use tokio::time::Instant;

use super::{Inner, actor::Command, engine::EngineError, names};

/// Between lists of all containers.
const RESYNC: Duration = Duration::from_secs(15);
/// Before a broken stream is opened again; doubles while the engine is away.
const RECONNECT: Duration = Duration::from_millis(250);
/// At most so much.
const MAX_RECONNECT: Duration = Duration::from_secs(4);

/// Runs until the runtime is gone.
pub(super) async fn run(inner: Weak<Inner>) {
    let Some(mut since) = inner.upgrade().map(|inner| inner.shared.clock.wall()) else {
        return;
    };
    let mut resync = Instant::now() + RESYNC;
    let mut pause = RECONNECT;
    loop {
        let Some(mut events) = inner.upgrade().map(|inner| open(&inner, since)) else {
            return;
        };
        loop {
            tokio::select! {
                event = events.next() => match event {
                    Some(Ok(event)) => {
                        let Some(inner) = inner.upgrade() else { return };
                        pause = RECONNECT;
                        hear(&inner, &event);
                    }
                    Some(Err(error)) => {
                        if pause == RECONNECT {
                            tracing::warn!(%error, "the engine's event stream broke; opening it again");
                        }
                        break;
                    }
                    None => break,
                },
                () = tokio::time::sleep_until(resync) => {
                    let Some(inner) = inner.upgrade() else { return };
                    check_all(&inner).await;
                    resync = Instant::now() + RESYNC;
                }
            }
        }
        // What was lost before this moment the list shows; what comes after it the new stream repeats.
        if let Some(inner) = inner.upgrade() {
            since = inner.shared.clock.wall();
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(MAX_RECONNECT);
        let Some(inner) = inner.upgrade() else { return };
        check_all(&inner).await;
    }
}

fn open(
    inner: &Arc<Inner>,
    since: Timestamp,
) -> std::pin::Pin<Box<dyn Stream<Item = Result<EventMessage, bollard::errors::Error>> + Send>> {
    // No filter by label: podman's events have none. No filter by action: its name for an end differs.
    let filters = HashMap::from([("type", vec!["container"])]);
    let options = EventsOptionsBuilder::default()
        .since(&since.as_second().to_string())
        .filters(&filters)
        .build();
    Box::pin(inner.shared.engine.docker().events(Some(options)))
}

fn hear(inner: &Inner, event: &EventMessage) {
    // Docker says `die` (and `oom` before), podman `died` or `die` and then `cleanup`.
    if !matches!(
        event.action.as_deref(),
        Some("die" | "died" | "cleanup" | "destroy" | "remove")
    ) {
        return;
    }
    let name = event
        .actor
        .as_ref()
        .and_then(|actor| actor.attributes.as_ref())
        .and_then(|known| known.get("name"));
    if let Some((group, container, instance)) = name.and_then(|name| names::parse_container(name)) {
        inner.tell(
            &group,
            Command::Check {
                container: container.to_owned(),
                instance,
            },
        );
    }
}

/// Checks every container that is listed as ended, and tells groups of those that are not listed at all.
async fn check_all(inner: &Inner) {
    if let Err(error) = list(inner).await {
        tracing::debug!(%error, "checking later");
    }
}

async fn list(inner: &Inner) -> Result<(), EngineError> {
    use ContainerSummaryStateEnum as State;
    for found in inner
        .shared
        .engine
        .list(&names::owner_filter(&inner.shared.config.owner))
        .await?
    {
        if matches!(
            found.state,
            Some(State::RUNNING | State::PAUSED | State::CREATED | State::RESTARTING)
        ) {
            continue;
        }
        for name in found.names.into_iter().flatten() {
            if let Some((group, container, instance)) = names::parse_container(&name) {
                inner.tell(
                    &group,
                    Command::Check {
                        container: container.to_owned(),
                        instance,
                    },
                );
            }
        }
    }
    Ok(())
}
