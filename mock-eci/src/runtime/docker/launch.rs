//! Makes a group's network and files.

use std::net::IpAddr;

use bollard::models::ContainerInspectResponse;
use tokio_util::sync::CancellationToken;

use super::{
    engine::EngineError,
    files::{self, Volumes},
    group::{Group, Sandbox},
    hosts, images, names,
};
use crate::{
    runtime::{Record, RuntimeEventKind},
    spec::PullPolicy,
};

/// Why there is no sandbox.
pub(super) enum LaunchError {
    /// The group was stopped or removed meanwhile.
    Interrupted,
    /// For people.
    Failed(String),
}

impl From<EngineError> for LaunchError {
    fn from(error: EngineError) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Makes volumes and pause container, fills in the files, adds routes. What a failure leaves behind the caller removes.
pub(super) async fn launch(group: &Group, record: &Record, stop: &CancellationToken) -> Result<Sandbox, LaunchError> {
    let go_on = || {
        if stop.is_cancelled() {
            Err(LaunchError::Interrupted)
        } else {
            Ok(())
        }
    };
    go_on()?;
    group.emit(RuntimeEventKind::Scheduled);
    group.emit(RuntimeEventKind::PullStarted);
    let mut mountpoints = Vec::new();
    for request in files::engine_volumes(&group.frame()) {
        go_on()?;
        mountpoints.push(group.engine().create_volume(request).await?.mountpoint);
    }
    go_on()?;
    create_pause(group, stop).await?;
    go_on()?;
    let pause = names::pause(&group.id);
    let packed = |error: std::io::Error| LaunchError::Failed(format!("cannot pack the files of {pause}: {error}"));
    let archive = files::initial_archive(&group.spec, record).map_err(packed)?;
    group.engine().upload(&pause, files::ROOT, archive).await?;
    go_on()?;
    group.engine().start(&pause).await?;
    go_on()?;
    if let Some((root, archive)) = files::memory_archive(&group.spec).map_err(packed)? {
        group.engine().upload(&pause, root, archive).await?;
    }
    let found = group.engine().inspect(&pause).await?;
    let network = &group.shared.config.network;
    let ip = address(&found, network)
        .ok_or_else(|| LaunchError::Failed(format!("the engine gave {pause} no address in network {network:?}")))?;
    let hosts = hosts::file(ip, group.frame().host_name(), &group.spec.host_aliases);
    let archive = files::hosts_archive(&hosts).map_err(packed)?;
    group.engine().upload(&pause, files::ROOT, archive).await?;
    for route in &group.shared.config.routes {
        go_on()?;
        add_route(group, &pause, &route.destination, &route.gateway.to_string()).await?;
    }
    Ok(Sandbox {
        ip,
        volumes: Volumes {
            subpath: group.engine().volume_subpath,
            mountpoints,
        },
    })
}

/// Replaces the record that is kept with a group; an empty one says that the group is being removed.
pub(super) async fn keep(group: &Group, record: &Record) -> Result<(), EngineError> {
    let pause = names::pause(&group.id);
    let archive = files::record_archive(record)
        .map_err(|error| EngineError::local("pack the record of", &pause, error.to_string()))?;
    group.engine().upload(&pause, files::ROOT, archive).await
}

/// Makes the pause container, pulling its image where the engine has none.
async fn create_pause(group: &Group, stop: &CancellationToken) -> Result<(), LaunchError> {
    let config = &group.shared.config;
    let (pause, image) = (names::pause(&group.id), &config.pause_image);
    let body = || group.frame().pause(image, &config.network, !config.routes.is_empty());
    match group.engine().create(&pause, body()).await {
        Ok(_) => return Ok(()),
        // Nothing but the image is looked up at creation.
        Err(error) if error.is_not_found() => {}
        Err(error) => return Err(error.into()),
    }
    let pulled = images::ensure(group.engine(), image, PullPolicy::IfNotPresent, &[], || ());
    let pulled = tokio::select! {
        () = stop.cancelled() => return Err(LaunchError::Interrupted),
        pulled = pulled => pulled,
    };
    pulled.map_err(|error| {
        LaunchError::Failed(format!(
            "the pause image {image:?} (any image with /bin/busybox will do): {}",
            error.message
        ))
    })?;
    group.engine().create(&pause, body()).await?;
    Ok(())
}

/// The address in `network`, or the first there is where the engine calls the network otherwise.
pub(super) fn address(container: &ContainerInspectResponse, network: &str) -> Option<IpAddr> {
    let networks = container.network_settings.as_ref()?.networks.as_ref()?;
    let parse = |endpoint: &bollard::models::EndpointSettings| endpoint.ip_address.as_deref()?.parse().ok();
    networks
        .get(network)
        .and_then(parse)
        .or_else(|| networks.values().find_map(parse))
}

async fn add_route(group: &Group, pause: &str, cidr: &str, gateway: &str) -> Result<(), LaunchError> {
    let command = ["/bin/busybox", "ip", "route", "replace", cidr, "via", gateway]
        .map(str::to_owned)
        .to_vec();
    let (code, output) = group.engine().exec(pause, command).await?;
    if code == 0 {
        return Ok(());
    }
    Err(LaunchError::Failed(format!(
        "cannot add route {cidr} via {gateway} to the group's network: {output} (exit code {code})"
    )))
}
