//! Storage of Alibaba Cloud: claims and their volumes, inline CSI volumes and FlexVolumes, to ECI's `FlexVolume` and
//! `NFSVolume`.
//!
//! ECI attaches disks, NAS and OSS itself, by the FlexVolume drivers' names and options; the CSI drivers of the same
//! storage carry the same facts under other names. A claim is looked through: the pod names it, it names its volume, and that
//! says what to attach.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    CSIPersistentVolumeSource, CSIVolumeSource, EphemeralVolumeSource, FlexPersistentVolumeSource, FlexVolumeSource,
    NFSVolumeSource, PersistentVolume, PersistentVolumeClaim, PersistentVolumeClaimVolumeSource, PersistentVolumeSpec,
    Secret,
};

use super::Context;
use super::rejection::Findings;
use crate::request::{Sensitive, VolumeSource};

/// Driver names of the storage that ECI attaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Disk,
    Nas,
    Oss,
}

impl Kind {
    fn of_csi(driver: &str) -> Option<Self> {
        match driver {
            "diskplugin.csi.alibabacloud.com" => Some(Self::Disk),
            "nasplugin.csi.alibabacloud.com" => Some(Self::Nas),
            "ossplugin.csi.alibabacloud.com" => Some(Self::Oss),
            _ => None,
        }
    }

    fn of_flex(driver: &str) -> Option<Self> {
        match driver {
            "alicloud/disk" => Some(Self::Disk),
            "alicloud/nas" => Some(Self::Nas),
            "alicloud/oss" => Some(Self::Oss),
            _ => None,
        }
    }

    fn flex_driver(self) -> &'static str {
        match self {
            Self::Disk => "alicloud/disk",
            Self::Nas => "alicloud/nas",
            Self::Oss => "alicloud/oss",
        }
    }
}

/// Attributes of the CSI drivers that become options of the same name.
const OSS_OPTIONS: [&str; 6] = ["bucket", "url", "otherOpts", "path", "ramRole", "akId"];
/// Attributes that say something about how the volume came to be, and nothing about how it is mounted.
const HARMLESS: [&str; 8] = [
    "volumeAs",
    "type",
    "performanceLevel",
    "volumeCapacity",
    "archiveOnDelete",
    "allocatedVolumeId",
    "fuseType",
    "sharePath",
];
/// The keys of an OSS Secret.
const ACCESS_KEY: [&str; 2] = ["akId", "akSecret"];

/// What ECI attaches in place of a volume, and whether the pod may only read it.
pub(super) struct Attached {
    pub(super) source: VolumeSource,
    pub(super) read_only: bool,
}

/// Name of the claim that the controller makes for a generic ephemeral volume.
pub(super) fn ephemeral_claim(pod: &str, volume: &str) -> String {
    format!("{pod}-{volume}")
}

/// The claim at `path`.
pub(super) fn claim(
    cx: &Context<'_>,
    source: &PersistentVolumeClaimVolumeSource,
    path: &str,
    findings: &mut Findings,
) -> Option<Attached> {
    let PersistentVolumeClaimVolumeSource { claim_name, read_only } = source;
    let found = bound(cx, claim_name, path, findings)?;
    attach(cx, found, read_only.unwrap_or(false), path, findings)
}

/// The generic ephemeral volume `volume` at `path`: the claim of that name, if it was made for this pod.
pub(super) fn ephemeral(
    cx: &Context<'_>,
    volume: &str,
    source: &EphemeralVolumeSource,
    path: &str,
    findings: &mut Findings,
) -> Option<Attached> {
    // The template is the controller's business, which makes the claim of it.
    let EphemeralVolumeSource {
        volume_claim_template: _,
    } = source;
    let name = ephemeral_claim(cx.pod.metadata.name.as_deref().unwrap_or_default(), volume);
    if let Some(claim) = cx.refs.claim(&name) {
        let uid = cx.pod.metadata.uid.as_deref();
        let mut owners = claim.metadata.owner_references.iter().flatten();
        if !owners.any(|owner| owner.controller == Some(true) && Some(owner.uid.as_str()) == uid) {
            findings.invalid(
                path,
                format!(
                    "PersistentVolumeClaim \"{name}\" was not created for this pod; delete it, or rename the volume"
                ),
            );
            return None;
        }
    }
    let found = bound(cx, &name, path, findings)?;
    attach(cx, found, false, path, findings)
}

/// The volume that the claim `name` is bound to. Waits, as a kubelet does, for whatever is not there yet.
fn bound<'a>(cx: &Context<'a>, name: &str, path: &str, findings: &mut Findings) -> Option<&'a PersistentVolume> {
    let Some(claim) = cx.refs.claim(name) else {
        findings.missing(path, format!("persistentvolumeclaim \"{name}\" not found"));
        return None;
    };
    if claim.metadata.deletion_timestamp.is_some() {
        findings.missing(path, format!("PersistentVolumeClaim \"{name}\" is being deleted"));
        return None;
    }
    let Some(volume) = volume_of(claim) else {
        findings.missing(path, format!("PersistentVolumeClaim \"{name}\" is not bound"));
        return None;
    };
    let found = cx.refs.volume(volume);
    if found.is_none() {
        findings.missing(path, format!("PersistentVolume \"{volume}\" not found"));
    }
    found
}

/// The name of the volume that `claim` is bound to.
pub(super) fn volume_of(claim: &PersistentVolumeClaim) -> Option<&str> {
    let phase = claim.status.as_ref()?.phase.as_deref()?;
    let volume = claim.spec.as_ref()?.volume_name.as_deref()?;
    (phase == "Bound" && !volume.is_empty()).then_some(volume)
}

/// Namespace and name of the Secret with which a volume is mounted.
pub(super) fn secret_of(volume: &PersistentVolume) -> Option<(String, String)> {
    let spec = volume.spec.as_ref()?;
    let csi = spec
        .csi
        .as_ref()
        .filter(|csi| Kind::of_csi(&csi.driver) == Some(Kind::Oss));
    let flex = spec
        .flex_volume
        .as_ref()
        .filter(|flex| Kind::of_flex(&flex.driver).is_some());
    let named = csi
        .and_then(|csi| csi.node_publish_secret_ref.as_ref())
        .or(flex.and_then(|flex| flex.secret_ref.as_ref()))?;
    Some((named.namespace.clone()?, named.name.clone()?))
}

/// Name of the Secret, in the pod's namespace, with which an inline volume is mounted.
pub(super) fn inline_secret(volume: &k8s_openapi::api::core::v1::Volume) -> Option<&str> {
    let csi = volume
        .csi
        .as_ref()
        .filter(|csi| Kind::of_csi(&csi.driver) == Some(Kind::Oss));
    let flex = volume
        .flex_volume
        .as_ref()
        .filter(|flex| Kind::of_flex(&flex.driver).is_some());
    let named = csi
        .and_then(|csi| csi.node_publish_secret_ref.as_ref())
        .or(flex.and_then(|flex| flex.secret_ref.as_ref()))?;
    Some(named.name.as_str())
}

/// What a bound volume says to attach.
fn attach(
    cx: &Context<'_>,
    volume: &PersistentVolume,
    read_only: bool,
    path: &str,
    findings: &mut Findings,
) -> Option<Attached> {
    let name = volume.metadata.name.as_deref().unwrap_or_default();
    let spec = volume.spec.as_ref()?;
    let PersistentVolumeSpec {
        csi,
        flex_volume,
        mount_options,
        nfs,
        volume_mode,
        ..
    } = spec;
    if volume_mode.as_deref() == Some("Block") {
        findings.refuse(
            path,
            format!(
                "PersistentVolume \"{name}\" is a raw block device, which cannot be attached; use volumeMode Filesystem"
            ),
        );
        return None;
    }
    let mount_options = mount_options.as_deref().unwrap_or_default();
    let secret = || {
        let (namespace, secret) = secret_of(volume)?;
        Some((
            format!("{namespace}/{secret}"),
            cx.refs.volume_secret(&namespace, &secret),
        ))
    };
    if let Some(CSIPersistentVolumeSource {
        controller_expand_secret_ref: _,
        controller_publish_secret_ref: _,
        driver,
        fs_type,
        node_expand_secret_ref: _,
        node_publish_secret_ref: _, // secret_of
        node_stage_secret_ref: _,   // None of these drivers stages with a Secret.
        read_only: of_volume,
        volume_attributes,
        volume_handle,
    }) = csi
    {
        let csi = Csi {
            driver,
            fs_type: fs_type.as_deref(),
            handle: Some(volume_handle),
            attributes: volume_attributes.iter().flatten().collect(),
            mount_options,
            secret: secret(),
        };
        let source = csi.source(&format!("PersistentVolume \"{name}\""), path, findings)?;
        return Some(Attached {
            source,
            read_only: read_only || of_volume.unwrap_or(false),
        });
    }
    if let Some(FlexPersistentVolumeSource {
        driver,
        fs_type,
        options,
        read_only: of_volume,
        secret_ref: _, // secret_of
    }) = flex_volume
    {
        let options = options.iter().flatten().collect();
        let source = flex(driver, fs_type.as_deref(), options, secret(), path, findings)?;
        return Some(Attached {
            source,
            read_only: read_only || of_volume.unwrap_or(false),
        });
    }
    if let Some(NFSVolumeSource {
        path: directory,
        read_only: of_volume,
        server,
    }) = nfs
    {
        let read_only = read_only || of_volume.unwrap_or(false);
        return Some(Attached {
            source: VolumeSource::Nfs {
                server: server.clone(),
                path: directory.clone(),
                read_only,
            },
            read_only,
        });
    }
    findings.refuse(
        path,
        format!(
            "PersistentVolume \"{name}\" is of a kind that ECI cannot attach; it attaches {}, and NFS",
            DRIVERS
        ),
    );
    None
}

const DRIVERS: &str =
    "volumes of diskplugin.csi.alibabacloud.com, nasplugin.csi.alibabacloud.com and ossplugin.csi.alibabacloud.com";

/// An inline CSI volume.
pub(super) fn inline_csi(
    cx: &Context<'_>,
    source: &CSIVolumeSource,
    path: &str,
    findings: &mut Findings,
) -> Option<Attached> {
    let CSIVolumeSource {
        driver,
        fs_type,
        node_publish_secret_ref,
        read_only,
        volume_attributes,
    } = source;
    let csi = Csi {
        driver,
        fs_type: fs_type.as_deref(),
        handle: None,
        attributes: volume_attributes.iter().flatten().collect(),
        mount_options: &[],
        secret: node_publish_secret_ref
            .as_ref()
            .map(|secret| (secret.name.clone(), cx.refs.secret(&secret.name))),
    };
    Some(Attached {
        source: csi.source("the volume", path, findings)?,
        read_only: read_only.unwrap_or(false),
    })
}

/// An inline FlexVolume.
pub(super) fn inline_flex(
    cx: &Context<'_>,
    source: &FlexVolumeSource,
    path: &str,
    findings: &mut Findings,
) -> Option<Attached> {
    let FlexVolumeSource {
        driver,
        fs_type,
        options,
        read_only,
        secret_ref,
    } = source;
    let secret = secret_ref
        .as_ref()
        .map(|secret| (secret.name.clone(), cx.refs.secret(&secret.name)));
    let options = options.iter().flatten().collect();
    Some(Attached {
        source: flex(driver, fs_type.as_deref(), options, secret, path, findings)?,
        read_only: read_only.unwrap_or(false),
    })
}

type Pairs<'a> = Vec<(&'a String, &'a String)>;
/// A Secret's name, and the Secret where it exists.
type Named<'a> = Option<(String, Option<&'a Secret>)>;

/// FlexVolumes are passed on as they are, with what their Secret adds.
fn flex(
    driver: &str,
    fs_type: Option<&str>,
    options: Pairs<'_>,
    secret: Named<'_>,
    path: &str,
    findings: &mut Findings,
) -> Option<VolumeSource> {
    let Some(kind) = Kind::of_flex(driver) else {
        findings.refuse(
            format!("{path}.driver"),
            format!("FlexVolume driver `{driver}` is not ECI's; it has alicloud/disk, alicloud/nas and alicloud/oss"),
        );
        return None;
    };
    let mut all = Options::default();
    for (key, value) in options {
        all.set(key, value);
    }
    if let Some((name, secret)) = secret {
        all.add_access_key(&name, secret, path, findings)?;
    }
    Some(all.into_flex(kind, fs_type))
}

/// What both kinds of CSI volumes say.
struct Csi<'a> {
    driver: &'a str,
    fs_type: Option<&'a str>,
    handle: Option<&'a str>,
    attributes: Pairs<'a>,
    mount_options: &'a [String],
    secret: Named<'a>,
}

impl Csi<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        let found = self.attributes.iter().find(|(key, _)| *key == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// `what` names the volume for people.
    fn source(self, what: &str, path: &str, findings: &mut Findings) -> Option<VolumeSource> {
        let source = match Kind::of_csi(self.driver) {
            Some(Kind::Disk) => self.disk(what, path, findings),
            Some(Kind::Nas) => self.nas(what, path, findings),
            Some(Kind::Oss) => self.oss(what, path, findings),
            None => {
                let driver = self.driver;
                findings.refuse(
                    path,
                    format!("no CSI driver runs on this node, and ECI cannot attach what `{driver}` does; it attaches {DRIVERS}"),
                );
                None
            }
        };
        let known: &[&str] = match Kind::of_csi(self.driver) {
            Some(Kind::Disk) => &["volumeId", "volumeSize", "encrypted", "kmsKeyId", "deleteWithInstance"],
            Some(Kind::Nas) => &["server", "path", "vers", "options", "mountProtocol"],
            Some(Kind::Oss) => &[
                "bucket",
                "url",
                "otherOpts",
                "path",
                "ramRole",
                "authType",
                "akId",
                "akSecret",
            ],
            None => &[],
        };
        for (key, _) in &self.attributes {
            let key = key.as_str();
            let harmless = HARMLESS.contains(&key) || key.contains("storage.kubernetes.io/");
            if source.is_some() && !harmless && !known.contains(&key) {
                findings.warn(
                    path,
                    format!("attribute `{key}` of {what} has no effect: ECI has no option for it"),
                );
            }
        }
        source
    }

    fn disk(&self, what: &str, path: &str, findings: &mut Findings) -> Option<VolumeSource> {
        let mut options = Options::default();
        for name in ["volumeSize", "encrypted", "kmsKeyId", "deleteWithInstance"] {
            options.set_some(name, self.get(name));
        }
        match self.handle.or(self.get("volumeId")) {
            Some(id) => options.set("volumeId", id),
            None if self.get("volumeSize").is_some() => {
                options.set_some("performanceLevel", self.get("performanceLevel"))
            }
            None => {
                findings.invalid(
                    path,
                    format!("{what} names neither a disk (volumeId) nor its size (volumeSize); use a claim"),
                );
                return None;
            }
        }
        if !self.mount_options.is_empty() {
            findings.warn(
                path,
                format!("mountOptions of {what} have no effect: ECI has no option for them on disks"),
            );
        }
        Some(options.into_flex(
            Kind::Disk,
            Some(self.fs_type.filter(|fs| !fs.is_empty()).unwrap_or("ext4")),
        ))
    }

    fn nas(&self, what: &str, path: &str, findings: &mut Findings) -> Option<VolumeSource> {
        if let Some(protocol) = self.get("mountProtocol").filter(|protocol| *protocol != "nfs") {
            findings.refuse(
                path,
                format!("{what} is mounted by `{protocol}`; ECI mounts NAS by nfs only"),
            );
            return None;
        }
        let Some(server) = self.get("server") else {
            findings.invalid(path, format!("{what} lacks the attribute `server`"));
            return None;
        };
        // Older volumes have both in one.
        let (server, directory) = match server.split_once(':') {
            Some((server, directory)) => (server, self.get("path").or(Some(directory))),
            None => (server, self.get("path")),
        };
        let mut options = Options::default();
        options.set("server", server);
        options.set("path", directory.unwrap_or("/"));
        let (mut version, mut rest) = (self.get("vers").map(str::to_owned), Vec::new());
        for option in self.mount_options.iter().flat_map(|option| option.split(',')) {
            match option.strip_prefix("vers=").or(option.strip_prefix("nfsvers=")) {
                Some(vers) => version = Some(vers.to_owned()),
                None => rest.push(option),
            }
        }
        options.set_some("vers", version.as_deref());
        match self.get("options") {
            Some(given) => options.set("options", given),
            None if !rest.is_empty() => options.set("options", &rest.join(",")),
            None => {}
        }
        Some(options.into_flex(Kind::Nas, None))
    }

    fn oss(&self, what: &str, path: &str, findings: &mut Findings) -> Option<VolumeSource> {
        if let Some(kind) = self.get("authType").filter(|kind| !matches!(*kind, "ak" | "AK")) {
            findings.refuse(
                path,
                format!(
                    "{what} is mounted as `{kind}`; ECI mounts OSS with an access key (nodePublishSecretRef with akId and \
                     akSecret) or as the RAM role that attribute ramRole names"
                ),
            );
            return None;
        }
        for required in ["bucket", "url"] {
            if self.get(required).is_none() {
                findings.invalid(path, format!("{what} lacks the attribute `{required}`"));
                return None;
            }
        }
        let mut options = Options::default();
        for name in OSS_OPTIONS.into_iter().chain(["akSecret"]) {
            options.set_some(name, self.get(name));
        }
        if !self.mount_options.is_empty() && self.get("otherOpts").is_none() {
            let all: Vec<String> = self.mount_options.iter().map(|option| format!("-o {option}")).collect();
            options.set("otherOpts", &all.join(" "));
        }
        if let Some((name, secret)) = &self.secret {
            options.add_access_key(name, *secret, path, findings)?;
        }
        Some(options.into_flex(Kind::Oss, None))
    }
}

/// Options of a FlexVolume in the making; they may hold secrets.
#[derive(Default)]
struct Options(BTreeMap<String, Sensitive>);

impl Options {
    fn set(&mut self, key: &str, value: &str) {
        self.0.insert(key.to_owned(), value.into());
    }

    fn set_some(&mut self, key: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.set(key, value);
        }
    }

    /// Adds the access key that `secret` holds; `None` after a finding.
    fn add_access_key(
        &mut self,
        name: &str,
        secret: Option<&Secret>,
        path: &str,
        findings: &mut Findings,
    ) -> Option<()> {
        let Some(secret) = secret else {
            findings.missing(path, format!("secret \"{name}\" not found"));
            return None;
        };
        for key in ACCESS_KEY {
            let value = secret.data.iter().flatten().find(|(known, _)| *known == key);
            let Some(text) = value.and_then(|(_, value)| std::str::from_utf8(&value.0).ok()) else {
                findings.missing(path, format!("secret \"{name}\" has no key `{key}` with text"));
                return None;
            };
            self.set(key, text.trim());
        }
        Some(())
    }

    fn into_flex(self, kind: Kind, fs_type: Option<&str>) -> VolumeSource {
        VolumeSource::Flex {
            driver: kind.flex_driver().to_owned(),
            fs_type: fs_type.map(str::to_owned).filter(|fs_type| !fs_type.is_empty()),
            options: self.0,
        }
    }
}
