//! Starts one instance of a container.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::{
    bodies, files,
    group::{Group, Sandbox},
    images, names,
};
use crate::runtime::ContainerEvent;

/// A container that runs.
pub(super) struct Started {
    pub(super) container_id: String,
    pub(super) image_id: String,
    pub(super) stop_signal: String,
}

/// Why a container does not run.
pub(super) enum StartError {
    /// The group was stopped or removed meanwhile.
    Interrupted,
    /// The kubelet's word and a text for people.
    Failed { reason: &'static str, message: String },
}

fn failed(reason: &'static str, message: impl ToString) -> StartError {
    StartError::Failed {
        reason,
        message: message.to_string(),
    }
}

/// Pulls, makes and starts. A failure leaves nothing behind.
pub(super) async fn start(
    group: &Arc<Group>,
    sandbox: Option<&Sandbox>,
    container: &str,
    instance: u32,
    stop: &CancellationToken,
) -> Result<Started, StartError> {
    let go_on = || {
        if stop.is_cancelled() {
            Err(StartError::Interrupted)
        } else {
            Ok(())
        }
    };
    go_on()?;
    let sandbox = sandbox.ok_or_else(|| failed("CreateContainerError", "the group has no network"))?;
    let spec = group.spec.container(container).ok_or_else(|| {
        failed(
            "CreateContainerError",
            format!("the group has no container {container:?}"),
        )
    })?;

    let pulling = || group.emit_container(container, instance, ContainerEvent::Pulling);
    let credentials = &group.spec.registry_credentials;
    let pulled = images::ensure(group.engine(), &spec.image, spec.pull_policy, credentials, pulling);
    let pulled = tokio::select! {
        () = stop.cancelled() => return Err(StartError::Interrupted),
        pulled = pulled => pulled,
    };
    let (image, took) = pulled.map_err(|error| failed(error.reason, error.message))?;
    group.emit_container(container, instance, ContainerEvent::Pulled { took });
    if let Some(why) = bodies::root_refused(spec, &image.user) {
        return Err(failed("CreateContainerConfigError", why));
    }

    let body = group
        .frame()
        .container(spec, sandbox.ip, &image.user, &sandbox.volumes)
        .map_err(|why| failed("CreateContainerConfigError", why))?;
    let engine = group.engine();
    if instance > 0 {
        // The last words of the previous instance are not this one's.
        let archive = files::termination_archive(container).map_err(|error| failed("CreateContainerError", error))?;
        let emptied = engine.upload(&names::pause(&group.id), files::ROOT, archive).await;
        emptied.map_err(|error| failed("CreateContainerError", error))?;
    }
    go_on()?;
    let name = names::container(&group.id, container, instance);
    let created = match engine.create(&name, body.clone()).await {
        // An attempt to start this very instance was cut off, by a lost connection or by the end of an earlier process.
        Err(error) if error.is_conflict() => match engine.remove(&name).await {
            Ok(()) => engine.create(&name, body).await,
            Err(error) => Err(error),
        },
        other => other,
    };
    let id = created.map_err(|error| failed("CreateContainerError", group.redact(error.to_string())))?;
    if go_on().is_err() {
        remove(group, &name).await;
        return Err(StartError::Interrupted);
    }
    if let Err(error) = engine.start(&name).await {
        remove(group, &name).await;
        return Err(failed("RunContainerError", group.redact(error.to_string())));
    }
    Ok(Started {
        container_id: format!("docker://{id}"),
        image_id: image.id,
        stop_signal: image.stop_signal,
    })
}

/// Removes what will not be used; what stays behind goes with the group.
pub(super) async fn remove(group: &Group, name: &str) {
    if let Err(error) = group.engine().remove(name).await {
        tracing::warn!(group = %group.id, %error, "left behind until the group is removed");
    }
}
