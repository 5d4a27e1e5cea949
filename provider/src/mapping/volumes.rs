//! `spec.volumes` to `Volume.N`.

use k8s_openapi::api::core::v1::{EmptyDirVolumeSource, NFSVolumeSource, Volume};

use super::quantity::Exact;
use super::rejection::Findings;
use super::{Context, files, storage};
use crate::request::{self, VolumeSource};
use crate::units::MiB;

/// A volume, and whether it is mounted read-only whatever its mounts say.
pub(super) struct Mapped {
    pub(super) volume: request::Volume,
    pub(super) read_only: bool,
}

/// The volume at `path`.
pub(super) fn volume(cx: &Context<'_>, volume: &Volume, path: &str, findings: &mut Findings) -> Mapped {
    let Volume {
        aws_elastic_block_store,
        azure_disk,
        azure_file,
        cephfs,
        cinder,
        config_map,
        csi,
        downward_api,
        empty_dir,
        ephemeral,
        fc,
        flex_volume,
        flocker,
        gce_persistent_disk,
        git_repo,
        glusterfs,
        host_path,
        image,
        iscsi,
        name,
        nfs,
        persistent_volume_claim,
        photon_persistent_disk,
        portworx_volume,
        projected,
        quobyte,
        rbd,
        scale_io,
        secret,
        storageos,
        vsphere_volume,
    } = volume;

    let mut refused = |set: bool, member: &str, advice: &str| {
        if set {
            findings.refuse(format!("{path}.{member}"), advice);
        }
    };
    refused(
        host_path.is_some(),
        "hostPath",
        "a container group has no host whose files it could see; use emptyDir, configMap, secret or nfs",
    );
    refused(
        image.is_some(),
        "image",
        "image volumes are not offered by ECI; copy the files with an init container into an emptyDir",
    );
    refused(
        git_repo.is_some(),
        "gitRepo",
        "gitRepo volumes are gone from Kubernetes; clone with an init container into an emptyDir",
    );
    let elsewhere = "this kind of storage is attached by a node of another platform; ECI offers emptyDir, nfs, files, and disks, NAS \
         and OSS of Alibaba Cloud";
    for (set, member) in [
        (aws_elastic_block_store.is_some(), "awsElasticBlockStore"),
        (azure_disk.is_some(), "azureDisk"),
        (azure_file.is_some(), "azureFile"),
        (cephfs.is_some(), "cephfs"),
        (cinder.is_some(), "cinder"),
        (fc.is_some(), "fc"),
        (flocker.is_some(), "flocker"),
        (gce_persistent_disk.is_some(), "gcePersistentDisk"),
        (glusterfs.is_some(), "glusterfs"),
        (iscsi.is_some(), "iscsi"),
        (photon_persistent_disk.is_some(), "photonPersistentDisk"),
        (portworx_volume.is_some(), "portworxVolume"),
        (quobyte.is_some(), "quobyte"),
        (rbd.is_some(), "rbd"),
        (scale_io.is_some(), "scaleIO"),
        (storageos.is_some(), "storageos"),
        (vsphere_volume.is_some(), "vsphereVolume"),
    ] {
        refused(set, member, elsewhere);
    }

    let attached = if let Some(source) = persistent_volume_claim {
        storage::claim(cx, source, &format!("{path}.persistentVolumeClaim"), findings)
    } else if let Some(source) = ephemeral {
        storage::ephemeral(cx, name, source, &format!("{path}.ephemeral"), findings)
    } else if let Some(source) = csi {
        storage::inline_csi(cx, source, &format!("{path}.csi"), findings)
    } else if let Some(source) = flex_volume {
        storage::inline_flex(cx, source, &format!("{path}.flexVolume"), findings)
    } else {
        None
    };
    // A kubelet mounts files it wrote itself read-only, whatever the pod says.
    let files = config_map.is_some() || secret.is_some() || projected.is_some() || downward_api.is_some();
    let read_only = files || attached.as_ref().is_some_and(|attached| attached.read_only);
    let source = if let Some(attached) = attached {
        attached.source
    } else if let Some(source) = config_map {
        files::config_map(cx, source, &format!("{path}.configMap"), findings)
    } else if let Some(source) = secret {
        files::secret(cx, source, &format!("{path}.secret"), findings)
    } else if let Some(source) = projected {
        files::projected(cx, name, source, &format!("{path}.projected"), findings)
    } else if let Some(source) = downward_api {
        files::downward_api(cx, source, &format!("{path}.downwardAPI"), findings)
    } else if let Some(NFSVolumeSource {
        path,
        read_only,
        server,
    }) = nfs
    {
        VolumeSource::Nfs {
            server: server.clone(),
            path: path.clone(),
            read_only: read_only.unwrap_or(false),
        }
    } else {
        // A volume without source is an emptyDir; so is a refused one, for what it matters then.
        let source = empty_dir.clone().unwrap_or_default();
        empty_dir_volume(&source, &format!("{path}.emptyDir"), findings)
    };
    Mapped {
        volume: request::Volume {
            name: name.clone(),
            source,
        },
        read_only,
    }
}

fn empty_dir_volume(source: &EmptyDirVolumeSource, path: &str, findings: &mut Findings) -> VolumeSource {
    let EmptyDirVolumeSource { medium, size_limit } = source;
    let medium = match medium.as_deref() {
        None | Some("") => None,
        Some("Memory") => Some("memory".to_owned()),
        Some(other) => {
            findings.refuse(
                format!("{path}.medium"),
                format!("`{other}` is not offered by this node; use Memory, or leave it out for disk"),
            );
            None
        }
    };
    let size_limit = size_limit.as_ref().and_then(|quantity| {
        let bytes = Exact::parse(quantity).map(|exact| exact.ceil_times(1));
        match bytes {
            // 0 is Kubernetes' word for "no limit".
            Ok(Some(0)) => None,
            Ok(Some(bytes)) => Some(format!("{}Mi", MiB::from_bytes_ceil(bytes).0)),
            Ok(None) => {
                findings.invalid(format!("{path}.sizeLimit"), format!("`{}` is out of range", quantity.0));
                None
            }
            Err(why) => {
                findings.invalid(format!("{path}.sizeLimit"), why);
                None
            }
        }
    });
    VolumeSource::EmptyDir { medium, size_limit }
}
