//! Gives a group another spec: brings its files in step, for the containers that start from now on and, where config files are
//! refreshed in place, for those that run.

use std::sync::Arc;

use super::{
    engine::EngineError,
    files::{self, Volumes},
    group::Group,
    names,
};
use crate::{
    runtime::{Launch, Record},
    spec::{Dns, GroupSpec},
};

/// The group with its new spec, and its volumes; none where the engine failed, which later starts will say.
pub(super) async fn update(group: &Group, update: Launch) -> (Arc<Group>, Option<Volumes>) {
    let spec = files::settled(&group.spec, &update.spec);
    let next = Arc::new(group.with_spec(spec));
    let volumes = match bring_in_step(group, &next, &update.record).await {
        Ok(volumes) => Some(volumes),
        Err(error) => {
            tracing::warn!(group = %group.id, %error, "its files are not what the update says");
            None
        }
    };
    (next, volumes)
}

async fn bring_in_step(group: &Group, next: &Group, record: &Record) -> Result<Volumes, EngineError> {
    let engine = group.engine();
    let pause = names::pause(&group.id);
    let known: Vec<_> = files::engine_volumes(&group.frame())
        .into_iter()
        .filter_map(|v| v.name)
        .collect();
    let mut mountpoints = Vec::new();
    // Volumes in memory that come with an update are not held by the pause container: what is in them lasts as long as a
    // container has them mounted.
    for request in files::engine_volumes(&next.frame()) {
        let volume = match request.name.as_ref().filter(|name| known.contains(name)) {
            Some(name) => engine.volume(name).await?,
            None => engine.create_volume(request).await?,
        };
        mountpoints.push(volume.mountpoint);
    }
    let (old, new) = (&*group.spec, &*next.spec);
    let archive = files::update_archive(old, new, record)
        .map_err(|error| EngineError::local("pack the files of", &pause, error.to_string()))?;
    engine.upload(&pause, files::ROOT, archive).await?;
    let stale = files::stale_files(old, new);
    if !stale.is_empty() {
        let command = ["/bin/busybox", "rm", "-f"].map(str::to_owned);
        run(group, &pause, command.into_iter().chain(stale).collect()).await?;
    }
    if let Some(text) = resolver(new).filter(|_| old.dns != new.dns) {
        // Every container of the group has this very file mounted.
        let script = "printf %s \"$0\" > /etc/resolv.conf";
        let command = ["/bin/busybox", "sh", "-c", script, &text].map(str::to_owned);
        run(group, &pause, command.to_vec()).await?;
    }
    Ok(Volumes {
        subpath: engine.volume_subpath,
        mountpoints,
    })
}

async fn run(group: &Group, pause: &str, command: Vec<String>) -> Result<(), EngineError> {
    match group.engine().exec(pause, command).await? {
        (0, _) => Ok(()),
        (code, output) => Err(EngineError::local(
            "bring up to date",
            pause,
            format!("{output} (exit code {code})"),
        )),
    }
}

/// The resolver's file; none = that of the engine, which stays as it was.
fn resolver(spec: &GroupSpec) -> Option<String> {
    let Dns::None {
        name_servers,
        searches,
        options,
    } = &spec.dns
    else {
        return None;
    };
    let mut text: String = name_servers.iter().map(|ip| format!("nameserver {ip}\n")).collect();
    if !searches.is_empty() {
        text.push_str(&format!("search {}\n", searches.join(" ")));
    }
    if !options.is_empty() {
        let option = |(name, value): &(String, String)| match value.as_str() {
            "" => name.clone(),
            value => format!("{name}:{value}"),
        };
        let options: Vec<String> = options.iter().map(option).collect();
        text.push_str(&format!("options {}\n", options.join(" ")));
    }
    Some(text)
}
