//! Takes over the groups of an earlier process.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
    time::Duration,
};

use futures::{StreamExt, stream};

use super::{
    Inner, archive,
    ending::{self, End},
    engine::EngineError,
    files::{self, Volumes},
    group, launch, names,
};
use crate::{
    runtime::{AdoptedContainer, AdoptedGroup, Record},
    spec::{GroupId, GroupSpec},
};

/// Groups looked at together.
const PARALLEL: usize = 8;
/// When leftovers of an earlier process are looked for, each counted from the one before.
const LATER: [Duration; 3] = [Duration::from_secs(2), Duration::from_secs(8), Duration::from_secs(50)];
/// Longest record or spec that is read.
const MAX_FILE: u64 = 64 << 20;

/// Takes over what can be taken over and removes the rest.
pub(super) async fn adopt(inner: &Arc<Inner>) -> Result<Vec<AdoptedGroup>, EngineError> {
    let mut groups: BTreeMap<GroupId, BTreeMap<String, u32>> = BTreeMap::new();
    for found in inner
        .shared
        .engine
        .list(&names::owner_filter(&inner.shared.config.owner))
        .await?
    {
        let Some(id) = found.labels.as_ref().and_then(names::group_of) else {
            continue;
        };
        let newest = groups.entry(id).or_default();
        for name in found.names.into_iter().flatten() {
            if let Some((_, container, instance)) = names::parse_container(&name) {
                let known = newest.entry(container.to_owned()).or_default();
                *known = instance.max(*known);
            }
        }
    }
    // Of a launch or a removal that was cut off there may be a volume and nothing else.
    let filter = names::owner_filter(&inner.shared.config.owner);
    for volume in inner.shared.engine.volumes(&filter).await? {
        if let Some(id) = names::group_of(&volume.labels) {
            groups.entry(id).or_default();
        }
    }
    let adopted = stream::iter(groups).map(|(id, newest)| async move {
        match adopt_one(inner, &id, newest).await {
            Ok(adopted) => Some(adopted),
            Err(error) => {
                tracing::warn!(group = %id, %error, "not adopted: removing it");
                if let Err(error) = group::purge(&inner.shared.engine, &id).await {
                    tracing::warn!(group = %id, %error, "not removed");
                }
                None
            }
        }
    });
    let adopted = adopted
        .buffer_unordered(PARALLEL)
        .filter_map(async |adopted| adopted)
        .collect()
        .await;
    inner.tasks.spawn(sweep_later(Arc::downgrade(inner)));
    Ok(adopted)
}

/// What the engine was still making when the earlier process died appears after the groups were listed.
async fn sweep_later(inner: Weak<Inner>) {
    for wait in LATER {
        tokio::time::sleep(wait).await;
        let Some(inner) = inner.upgrade() else { return };
        if let Err(error) = inner.sweep().await {
            tracing::debug!(%error, "leftovers are looked for again");
        }
    }
}

async fn adopt_one(
    inner: &Arc<Inner>,
    id: &GroupId,
    newest: BTreeMap<String, u32>,
) -> Result<AdoptedGroup, EngineError> {
    let engine = &inner.shared.engine;
    let pause = names::pause(id);
    let unreadable = |error: String| EngineError::local("adopt group", id.as_str(), error);
    let found = engine.inspect(&pause).await?;
    if found.state.as_ref().and_then(ending::started_at).is_none() {
        return Err(unreadable("its launch was not finished".to_owned()));
    }
    let read = async |path: String| {
        let archive = engine.download(&pause, &path).await?;
        archive::only_file(&archive, MAX_FILE).map_err(|error| unreadable(error.to_string()))
    };
    let record: String =
        String::from_utf8(read(files::record_path()).await?).map_err(|error| unreadable(error.to_string()))?;
    if record.is_empty() {
        return Err(unreadable("it was being removed".to_owned()));
    }
    // Its text is left out of the error: it may hold secrets.
    let spec: GroupSpec = serde_json::from_slice(&read(files::spec_path()).await?).map_err(|error| {
        unreadable(format!(
            "its spec is of another version (line {}, column {})",
            error.line(),
            error.column()
        ))
    })?;
    let spec = Arc::new(spec);

    let (group, inbox) = inner.group(id.clone(), Arc::clone(&spec));
    let up = found.state.as_ref().and_then(|state| state.running).unwrap_or_default();
    let ip = if up {
        launch::address(&found, &inner.shared.config.network)
    } else {
        None
    };
    let mut sandbox = None;
    if let Some(ip) = ip {
        let mut mountpoints = Vec::new();
        for volume in files::engine_volumes(&group.frame()) {
            mountpoints.push(engine.volume(&volume.name.unwrap_or_default()).await?.mountpoint);
        }
        sandbox = Some(group::Sandbox {
            ip,
            volumes: Volumes {
                subpath: engine.volume_subpath,
                mountpoints,
            },
        });
    }
    let (mut containers, mut running) = (Vec::new(), Vec::new());
    for (_, container) in files::numbered(&spec) {
        let Some(instance) = newest.get(&container.name).copied() else {
            continue;
        };
        let name = names::container(id, &container.name, instance);
        let found = engine.inspect(&name).await?;
        let started_at = found
            .state
            .as_ref()
            .and_then(ending::started_at)
            .map(|time| inner.shared.by_our_clock(time));
        let mut exited = None;
        if let (Some(End { at, mut exit }), Some(started_at)) =
            (ending::end_of(&found, inner.shared.clock.wall()), started_at)
        {
            exit.message = ending::last_words(&group, container, instance, exit.code).await;
            exited = Some((inner.shared.by_our_clock(at).max(started_at), exit));
        } else if let Some(started_at) = started_at {
            if sandbox.is_none() {
                // Without its network it is of no use, and it counts as ended.
                let _ = engine.kill(&name, "SIGKILL").await;
                exited = Some((
                    inner.shared.clock.now(),
                    crate::runtime::Exit {
                        code: 137,
                        ..Default::default()
                    },
                ));
            } else {
                let signal = found.config.as_ref().and_then(|config| config.stop_signal.clone());
                let signal = signal
                    .filter(|signal| !signal.is_empty())
                    .unwrap_or_else(|| "SIGTERM".to_owned());
                running.push((container.name.clone(), instance, signal, started_at));
            }
        }
        let image = engine.image(&container.image).await?.map(super::images::Image::from);
        containers.push(AdoptedContainer {
            name: container.name.clone(),
            instance,
            container_id: format!("docker://{}", found.id.unwrap_or_default()),
            image_id: image.map(|image| image.id).unwrap_or_default(),
            started_at,
            exited,
        });
    }
    tracing::info!(group = %id, running = running.len(), "adopted");
    inner.run(&group, inbox, |actor| actor.adopted(sandbox, running));
    Ok(AdoptedGroup {
        id: id.clone(),
        record: Record(record.into()),
        ip,
        containers,
    })
}
