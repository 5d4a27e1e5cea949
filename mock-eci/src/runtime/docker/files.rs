//! A group's files: one engine volume per group, written through the API alone, so that the engine may be remote or in
//! a virtual machine.
//!
//! The pause container has it mounted whole, which is how files get in (an archive unpacked into the pause container
//! before it starts) and out; the other containers have parts of it mounted:
//!
//! ```text
//! /group/record            the domain's record, for adoption
//! /group/spec.json         the group's spec, for adoption
//! /group/hosts             the hosts file of all containers
//! /group/volumes/<i>/…     the i-th volume of the group
//! /group/termination/<c>   termination message of container c
//! ```
//!
//! `MountPropagation` means nothing here: nothing is ever mounted into these volumes from outside.
//!
//! Numbers rather than names, because callers choose names of volumes freely; an update never moves a volume to another
//! number (see [`settled`]). Names of containers are labels. EmptyDir volumes in memory are engine volumes of their own.

use std::{
    io,
    path::{Component, Path},
};

use bollard::models::{Mount as EngineMount, MountType, MountVolumeOptions, VolumeCreateRequest};

use super::{archive::Archive, bodies::Frame, names};
use crate::{
    runtime::Record,
    spec::{ConfigFile, ContainerSpec, GroupId, GroupSpec, Mount, VolumeSource, VolumeSpec},
};

/// Where the pause container has the group's volume.
pub(super) const ROOT: &str = "/group";
/// Where the pause container has the volumes in memory.
const MEMORY_ROOT: &str = "/memory";
/// The domain's record within the volume.
const RECORD: &str = "record";
/// The group's spec within the volume.
const SPEC: &str = "spec.json";
/// The hosts file within the volume, and where containers have it.
const HOSTS: &str = "hosts";
const HOSTS_PATH: &str = "/etc/hosts";
/// Bytes of a page where podman is common.
const PAGE: u64 = 4096;
/// Longest termination message, as the kubelet has it.
pub(super) const MAX_TERMINATION_MESSAGE: usize = 4096;

/// Path of the record in the pause container.
pub(super) fn record_path() -> String {
    format!("{ROOT}/{RECORD}")
}

/// Path of the spec in the pause container.
pub(super) fn spec_path() -> String {
    format!("{ROOT}/{SPEC}")
}

/// Path of a container's termination message in the pause container.
pub(super) fn termination_path(container: &str) -> String {
    format!("{ROOT}/termination/{container}")
}

/// The containers of a group in the order that numbers them.
pub(super) fn numbered(spec: &GroupSpec) -> impl Iterator<Item = (usize, &ContainerSpec)> {
    spec.init_containers.iter().chain(&spec.containers).enumerate()
}

/// What to ask the engine for: the group's volume first, then one for each volume in memory.
pub(super) fn engine_volumes(frame: &Frame<'_>) -> Vec<VolumeCreateRequest> {
    let Frame {
        owner,
        id: group,
        spec,
        podman,
    } = *frame;
    let volume = |name, driver_opts| VolumeCreateRequest {
        name: Some(name),
        labels: Some(names::group_labels(owner, group)),
        driver_opts,
        ..Default::default()
    };
    let memory = memory_volumes(spec).map(|(index, size_limit)| {
        let size = parse_size(size_limit)
            .unwrap_or(spec.size.memory_mib << 20)
            .max(1 << 20);
        // podman takes `size` for a disk quota and refuses it; the kernel also takes a number of pages.
        let size = if podman {
            format!("nr_blocks={}", size / PAGE)
        } else {
            format!("size={size}")
        };
        let options = [
            ("type", "tmpfs".to_owned()),
            ("device", "tmpfs".to_owned()),
            ("o", format!("{size},mode=0777")),
        ];
        let options = options
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value))
            .collect();
        volume(names::memory_volume(group, index), Some(options))
    });
    std::iter::once(volume(names::volume(group), None))
        .chain(memory)
        .collect()
}

/// Index and size limit of the volumes that are in memory.
fn memory_volumes(spec: &GroupSpec) -> impl Iterator<Item = (usize, &str)> {
    spec.volumes
        .iter()
        .enumerate()
        .filter_map(|(index, volume)| match &volume.source {
            VolumeSource::EmptyDir {
                memory: true,
                size_limit,
            } => Some((index, size_limit.as_str())),
            _ => None,
        })
}

/// Bytes of a size limit: a Kubernetes quantity (`256Mi`), or GiB where it is a small bare number, as ECI's text has it.
fn parse_size(text: &str) -> Option<u64> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: f64 = number.parse().ok()?;
    let unit = match unit {
        "" if number < 65_536.0 => 1_u64 << 30,
        "" => 1,
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        "Ti" => 1 << 40,
        "k" => 1000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        "T" => 1_000_000_000_000,
        _ => return None,
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a limit, not a count"
    )]
    Some((number * unit as f64) as u64)
}

/// The pause container's mounts: everything, so that files can be reached through it and tmpfs volumes outlive restarts.
pub(super) fn pause_mounts(group: &GroupId, spec: &GroupSpec) -> Vec<EngineMount> {
    let whole = |name: String, target: String| EngineMount {
        typ: Some(MountType::VOLUME),
        source: Some(name),
        target: Some(target),
        volume_options: Some(MountVolumeOptions {
            no_copy: Some(true),
            ..Default::default()
        }),
        ..Default::default()
    };
    let memory = memory_volumes(spec)
        .map(|(index, _)| whole(names::memory_volume(group, index), format!("{MEMORY_ROOT}/{index}")));
    std::iter::once(whole(names::volume(group), ROOT.to_owned()))
        .chain(memory)
        .collect()
}

/// The archive that fills a new group's volume.
pub(super) fn initial_archive(spec: &GroupSpec, record: &Record) -> io::Result<Vec<u8>> {
    let mut archive = Archive::new();
    archive.file(RECORD, 0o600, record.0.as_bytes())?;
    archive.file(SPEC, 0o600, &serde_json::to_vec(spec)?)?;
    archive.folder("termination", 0o755)?;
    for (_, container) in numbered(spec) {
        archive.file(&format!("termination/{}", container.name), 0o666, b"")?;
    }
    archive.folder("volumes", 0o755)?;
    for index in 0..spec.volumes.len() {
        add_volume(&mut archive, spec, index)?;
    }
    archive.finish()
}

/// Puts the files and folders of one volume into an archive.
fn add_volume(archive: &mut Archive, spec: &GroupSpec, index: usize) -> io::Result<()> {
    let volume = &spec.volumes[index];
    let root = format!("volumes/{index}");
    match &volume.source {
        VolumeSource::EmptyDir { memory: true, .. } => {}
        VolumeSource::EmptyDir { memory: false, .. } => {
            archive.folder(&root, 0o777)?;
            for sub_path in sub_paths(spec, &volume.name) {
                archive.parents(&root, sub_path, 0o777)?;
                archive.folder(&format!("{root}/{sub_path}"), 0o777)?;
            }
        }
        VolumeSource::ConfigFile { files } => {
            archive.folder(&root, 0o755)?;
            for ConfigFile { path, content, mode } in files {
                archive.parents(&root, path, 0o755)?;
                archive.file(&format!("{root}/{path}"), mode & 0o777, content)?;
            }
        }
        // Groups with any are refused, see `lacks`.
        VolumeSource::External(_) => {}
    }
    Ok(())
}

/// The spec of a group after an update, as its files have it: volumes keep their numbers, because containers that run on have
/// parts of them mounted. One that is no more, or is another kind of volume now, keeps its number without its name.
pub(super) fn settled(old: &GroupSpec, new: &GroupSpec) -> GroupSpec {
    let same_kind = |a: &VolumeSource, b: &VolumeSource| match (a, b) {
        (VolumeSource::ConfigFile { .. }, VolumeSource::ConfigFile { .. }) => true,
        (a, b) => a == b,
    };
    let mut left: Vec<VolumeSpec> = new.volumes.clone();
    let mut volumes = Vec::with_capacity(old.volumes.len());
    for volume in &old.volumes {
        let stays = left
            .iter()
            .position(|v| v.name == volume.name && same_kind(&v.source, &volume.source));
        volumes.push(match stays {
            Some(at) => left.remove(at),
            None => VolumeSpec {
                name: String::new(),
                source: volume.source.clone(),
            },
        });
    }
    volumes.append(&mut left);
    GroupSpec { volumes, ..new.clone() }
}

/// The archive that brings a group's volume from its old to its new (settled) spec.
pub(super) fn update_archive(old: &GroupSpec, new: &GroupSpec, record: &Record) -> io::Result<Vec<u8>> {
    let mut archive = Archive::new();
    archive.file(RECORD, 0o600, record.0.as_bytes())?;
    archive.file(SPEC, 0o600, &serde_json::to_vec(new)?)?;
    for (_, container) in numbered(new).filter(|(_, c)| old.container(&c.name).is_none()) {
        archive.file(&format!("termination/{}", container.name), 0o666, b"")?;
    }
    for (index, volume) in new.volumes.iter().enumerate() {
        let is_scratch = matches!(volume.source, VolumeSource::EmptyDir { .. });
        if is_scratch || old.volumes.get(index).map(|v| &v.source) != Some(&volume.source) {
            add_volume(&mut archive, new, index)?;
        }
    }
    archive.finish()
}

/// Paths in the pause container of config files that an update removes.
pub(super) fn stale_files(old: &GroupSpec, new: &GroupSpec) -> Vec<String> {
    let files = |spec: &GroupSpec, index: usize| -> Vec<String> {
        match spec.volumes.get(index).map(|v| &v.source) {
            Some(VolumeSource::ConfigFile { files }) => files.iter().map(|f| f.path.clone()).collect(),
            _ => Vec::new(),
        }
    };
    let of_volume = |index| {
        let kept = files(new, index);
        let stale = files(old, index).into_iter().filter(move |path| !kept.contains(path));
        stale.map(move |path| format!("{ROOT}/volumes/{index}/{path}"))
    };
    (0..old.volumes.len()).flat_map(of_volume).collect()
}

/// An archive for [`ROOT`] with the hosts file; it names the group's address, so it comes after the network.
pub(super) fn hosts_archive(text: &str) -> io::Result<Vec<u8>> {
    let mut archive = Archive::new();
    archive.file(HOSTS, 0o644, text.as_bytes())?;
    archive.finish()
}

/// An archive for [`ROOT`] that replaces the record.
pub(super) fn record_archive(record: &Record) -> io::Result<Vec<u8>> {
    let mut archive = Archive::new();
    archive.file(RECORD, 0o600, record.0.as_bytes())?;
    archive.finish()
}

/// The volumes on disk that have a limit: path in the pause container, name, the limit in bytes and as it was written.
pub(super) fn limited_volumes(spec: &GroupSpec) -> impl Iterator<Item = (String, &str, u64, &str)> {
    spec.volumes
        .iter()
        .enumerate()
        .filter_map(|(index, volume)| match &volume.source {
            VolumeSource::EmptyDir {
                memory: false,
                size_limit,
            } => {
                let limit = parse_size(size_limit)?;
                Some((
                    format!("{ROOT}/volumes/{index}"),
                    volume.name.as_str(),
                    limit,
                    size_limit.as_str(),
                ))
            }
            _ => None,
        })
}

/// An archive for [`MEMORY_ROOT`] with the folders that mounts of parts of volumes in memory need; none = nothing needed.
pub(super) fn memory_archive(spec: &GroupSpec) -> io::Result<Option<(&'static str, Vec<u8>)>> {
    let mut archive = Archive::new();
    let mut empty = true;
    for (index, _) in memory_volumes(spec) {
        for sub_path in sub_paths(spec, &spec.volumes[index].name) {
            archive.parents(&index.to_string(), sub_path, 0o777)?;
            archive.folder(&format!("{index}/{sub_path}"), 0o777)?;
            empty = false;
        }
    }
    if empty {
        Ok(None)
    } else {
        Ok(Some((MEMORY_ROOT, archive.finish()?)))
    }
}

/// An archive for [`ROOT`] that empties one termination message before a restart.
pub(super) fn termination_archive(container: &str) -> io::Result<Vec<u8>> {
    let mut archive = Archive::new();
    archive.file(&format!("termination/{container}"), 0o666, b"")?;
    archive.finish()
}

/// The valid sub paths under which containers mount `volume`.
fn sub_paths<'a>(spec: &'a GroupSpec, volume: &'a str) -> impl Iterator<Item = &'a str> {
    numbered(spec)
        .flat_map(|(_, container)| &container.mounts)
        .filter(move |mount| mount.volume == volume && !mount.sub_path.is_empty() && is_inside(&mount.sub_path))
        .map(|mount| mount.sub_path.trim_matches('/'))
}

/// Whether a relative path stays inside its root.
fn is_inside(path: &str) -> bool {
    Path::new(path.trim_matches('/'))
        .components()
        .all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
}

/// How parts of a group's volumes get into its containers.
#[derive(Clone, Debug)]
pub(super) struct Volumes {
    /// Whether the engine mounts parts of volumes by itself.
    pub(super) subpath: bool,
    /// Where the engine keeps each of [`engine_volumes`], as its own machine sees it; used where it cannot.
    pub(super) mountpoints: Vec<String>,
}

impl Volumes {
    /// One mount of a container.
    ///
    /// # Errors
    /// A message when the volume does not exist or the sub path leaves it.
    pub(super) fn mount(&self, group: &GroupId, spec: &GroupSpec, mount: &Mount) -> Result<EngineMount, String> {
        let (index, volume) = spec
            .volumes
            .iter()
            .enumerate()
            .find(|(_, volume)| volume.name == mount.volume)
            .ok_or_else(|| format!("volume {:?} is not a volume of the group", mount.volume))?;
        if !is_inside(&mount.sub_path) {
            return Err(format!(
                "sub path {:?} of volume {:?} leaves the volume",
                mount.sub_path, mount.volume
            ));
        }
        let read_only = mount.read_only || matches!(volume.source, VolumeSource::ConfigFile { .. });
        let sub_path = mount.sub_path.trim_matches('/');
        Ok(match memory_volumes(spec).position(|(memory, _)| memory == index) {
            Some(nth) => self.part(
                names::memory_volume(group, index),
                nth + 1,
                sub_path,
                &mount.path,
                read_only,
            ),
            None => {
                let path = format!("volumes/{index}/{sub_path}");
                self.part(
                    names::volume(group),
                    0,
                    path.trim_end_matches('/'),
                    &mount.path,
                    read_only,
                )
            }
        })
    }

    /// The mount of a container's termination message.
    pub(super) fn termination(&self, group: &GroupId, container: &str, target: &str) -> EngineMount {
        let path = format!("termination/{container}");
        self.part(names::volume(group), 0, &path, target, false)
    }

    /// The mount of the group's hosts file; none where the container brings one.
    pub(super) fn hosts(&self, group: &GroupId, mounts: &[Mount]) -> Option<EngineMount> {
        let own = mounts.iter().any(|mount| mount.path == HOSTS_PATH);
        (!own).then(|| self.part(names::volume(group), 0, HOSTS, HOSTS_PATH, false))
    }

    fn part(&self, name: String, nth: usize, path: &str, target: &str, read_only: bool) -> EngineMount {
        let mount = EngineMount {
            target: Some(target.to_owned()),
            read_only: Some(read_only),
            ..Default::default()
        };
        match self.mountpoints.get(nth) {
            Some(mountpoint) if !self.subpath && !path.is_empty() => EngineMount {
                typ: Some(MountType::BIND),
                source: Some(format!("{}/{path}", mountpoint.trim_end_matches('/'))),
                ..mount
            },
            _ => EngineMount {
                typ: Some(MountType::VOLUME),
                source: Some(name),
                volume_options: Some(MountVolumeOptions {
                    no_copy: Some(true),
                    subpath: (!path.is_empty()).then(|| path.to_owned()),
                    ..Default::default()
                }),
                ..mount
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::spec::Size;

    fn mount(volume: &str, sub_path: &str) -> Mount {
        Mount {
            volume: volume.into(),
            path: "/data".into(),
            sub_path: sub_path.into(),
            ..Default::default()
        }
    }

    fn group() -> GroupSpec {
        let volume = |name: &str, source| VolumeSpec {
            name: name.into(),
            source,
        };
        let file = |path: &str, mode| ConfigFile {
            path: path.into(),
            content: Bytes::from_static(b"text"),
            mode,
        };
        GroupSpec {
            size: Size {
                milli_cpu: 1000,
                memory_mib: 512,
            },
            containers: vec![ContainerSpec {
                name: "main".into(),
                mounts: vec![mount("disk", "a/b"), mount("memory", "c")],
                ..Default::default()
            }],
            volumes: vec![
                volume(
                    "disk",
                    VolumeSource::EmptyDir {
                        memory: false,
                        size_limit: String::new(),
                    },
                ),
                volume(
                    "memory",
                    VolumeSource::EmptyDir {
                        memory: true,
                        size_limit: "64Mi".into(),
                    },
                ),
                volume(
                    "files",
                    VolumeSource::ConfigFile {
                        files: vec![file("x", 0o400), file("deep/y", 0o755)],
                    },
                ),
            ],
            ..Default::default()
        }
    }

    fn listing(archive: &[u8]) -> Vec<(String, u32)> {
        tar::Archive::new(archive)
            .entries()
            .expect("entries")
            .map(|entry| {
                let entry = entry.expect("entry");
                (
                    entry.path().expect("path").display().to_string(),
                    entry.header().mode().expect("mode"),
                )
            })
            .collect()
    }

    #[test]
    fn a_new_groups_archive_holds_files_and_folders_with_their_modes() {
        let archive = initial_archive(&group(), &Record("opaque".into())).expect("archive");
        let listing = listing(&archive);
        for wanted in [
            ("record", 0o600),
            ("spec.json", 0o600),
            ("termination/main", 0o666),
            ("volumes/0/", 0o777),
            ("volumes/0/a/", 0o777),
            ("volumes/0/a/b/", 0o777),
            ("volumes/2/", 0o755),
            ("volumes/2/x", 0o400),
            ("volumes/2/deep/", 0o755),
            ("volumes/2/deep/y", 0o755),
        ] {
            assert!(
                listing.contains(&(wanted.0.to_owned(), wanted.1)),
                "{wanted:?} is missing in {listing:?}"
            );
        }
        assert!(
            !listing.iter().any(|(path, _)| path.starts_with("volumes/1")),
            "memory is a volume of its own"
        );
        let (root, archive) = memory_archive(&group())
            .expect("archive")
            .expect("a sub path is mounted");
        assert_eq!(root, "/memory");
        assert_eq!(self::listing(&archive), [("1/c/".to_owned(), 0o777)]);
    }

    #[test]
    fn an_update_moves_no_volume_and_rewrites_what_differs() {
        let old = group();
        let mut new = group();
        new.volumes.remove(0);
        new.volumes[1].source = VolumeSource::ConfigFile {
            files: vec![ConfigFile {
                path: "z".into(),
                content: Bytes::from_static(b"new"),
                mode: 0o644,
            }],
        };
        new.containers.push(ContainerSpec {
            name: "second".into(),
            ..Default::default()
        });
        let settled = settled(&old, &new);
        let names: Vec<&str> = settled.volumes.iter().map(|v| v.name.as_str()).collect();
        assert_eq!(names, ["", "memory", "files"]);
        let archive = update_archive(&old, &settled, &Record("opaque".into())).expect("archive");
        let paths: Vec<String> = listing(&archive).into_iter().map(|(path, _)| path).collect();
        for wanted in ["record", "spec.json", "termination/second", "volumes/2/z"] {
            assert!(
                paths.iter().any(|path| path == wanted),
                "{wanted} is missing in {paths:?}"
            );
        }
        assert!(!paths.iter().any(|path| path == "termination/main"), "its words stay");
        assert_eq!(
            stale_files(&old, &settled),
            ["/group/volumes/2/x", "/group/volumes/2/deep/y"]
        );

        // Another kind of volume is another volume.
        new.volumes[1].source = VolumeSource::EmptyDir {
            memory: false,
            size_limit: String::new(),
        };
        let names: Vec<String> = super::settled(&old, &new).volumes.into_iter().map(|v| v.name).collect();
        assert_eq!(names, ["", "memory", "", "files"]);
    }

    #[test]
    fn parts_of_volumes_are_mounted_by_sub_path_or_where_the_engine_keeps_them() {
        let (id, spec) = (GroupId::from("eci-1"), group());
        let bind = Volumes {
            subpath: false,
            mountpoints: vec!["/engine/main".into(), "/engine/memory".into()],
        };
        let source = |volumes: &Volumes, volume: &str, sub_path: &str| {
            let made = volumes.mount(&id, &spec, &mount(volume, sub_path)).expect("mount");
            (
                made.source.expect("source"),
                made.volume_options.and_then(|o| o.subpath),
                made.read_only,
            )
        };
        assert_eq!(
            source(&bind, "disk", "a/b"),
            ("/engine/main/volumes/0/a/b".into(), None, Some(false))
        );
        assert_eq!(
            source(&bind, "files", ""),
            ("/engine/main/volumes/2".into(), None, Some(true))
        );
        assert_eq!(
            source(&bind, "memory", ""),
            ("eci-1_memory_1".into(), None, Some(false))
        );
        assert_eq!(
            source(&bind, "memory", "c"),
            ("/engine/memory/c".into(), None, Some(false))
        );
        let subpath = Volumes { subpath: true, ..bind };
        assert_eq!(
            source(&subpath, "disk", ""),
            ("eci-1".into(), Some("volumes/0".into()), Some(false))
        );
        assert_eq!(
            source(&subpath, "memory", "c"),
            ("eci-1_memory_1".into(), Some("c".into()), Some(false))
        );
        assert!(subpath.mount(&id, &spec, &mount("disk", "../../record")).is_err());
        assert!(subpath.mount(&id, &spec, &mount("other", "")).is_err());
    }

    #[test]
    fn size_limits_are_quantities_or_gib() {
        for (text, bytes) in [
            ("2", 2 << 30),
            ("256Mi", 256 << 20),
            ("0.5Gi", 512 << 20),
            ("1073741824", 1 << 30),
            ("1G", 1_000_000_000),
        ] {
            assert_eq!(parse_size(text), Some(bytes), "{text}");
        }
        assert_eq!(parse_size(""), None);
        assert_eq!(parse_size("lots"), None);
        for (podman, expected) in [(false, "size=67108864,mode=0777"), (true, "nr_blocks=16384,mode=0777")] {
            let frame = Frame {
                owner: "test",
                id: &GroupId::from("eci-1"),
                spec: &group(),
                podman,
            };
            let volumes = engine_volumes(&frame);
            assert_eq!(volumes[1].driver_opts.as_ref().expect("options")["o"], expected);
        }
    }
}
