//! What an update restarts: pure, from the old and the new spec. `docs/lifecycle.md` says it in words.

use crate::spec::{ContainerSpec, GroupSpec, Size, VolumeSource};

/// Compares two specs of one group.
#[derive(Clone, Copy, Debug)]
pub struct Update<'a> {
    /// What the group is.
    pub old: &'a GroupSpec,
    /// What it is to be.
    pub new: &'a GroupSpec,
    /// Whether containers restart when the files of a ConfigFile volume they mount changed.
    pub config_files_restart: bool,
}

impl Update<'_> {
    /// Whether the group starts anew as a whole: init containers run before any container and the resolver belongs to the
    /// network, so neither can change below running containers.
    pub fn restarts_all(&self) -> bool {
        self.old.init_containers != self.new.init_containers || self.old.dns != self.new.dns
    }

    /// Whether this container of the new spec has to make room for itself.
    pub fn restarts(&self, container: &ContainerSpec) -> bool {
        let Some(before) = self.old.containers.iter().find(|c| c.name == container.name) else {
            return true;
        };
        self.restarts_all() || before != container || self.size_changes(container.size) || self.files_change(container)
    }

    /// A container without a size of its own has the group's.
    fn size_changes(&self, own: Size) -> bool {
        let (old, new) = (self.old.size, self.new.size);
        (own.milli_cpu == 0 && old.milli_cpu != new.milli_cpu)
            || (own.memory_mib == 0 && old.memory_mib != new.memory_mib)
    }

    fn files_change(&self, container: &ContainerSpec) -> bool {
        container.mounts.iter().any(|mount| {
            let source = |spec: &'_ GroupSpec| {
                let volume = spec.volumes.iter().find(|v| v.name == mount.volume);
                volume.map(|v| v.source.clone())
            };
            match (source(self.old), source(self.new)) {
                (old, new) if old == new => false,
                (Some(VolumeSource::ConfigFile { .. }), Some(VolumeSource::ConfigFile { .. })) => {
                    self.config_files_restart
                }
                _ => true,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{ConfigFile, Dns, Mount, VolumeSpec};

    fn group() -> GroupSpec {
        let container = |name: &str, milli_cpu, volume: Option<&str>| ContainerSpec {
            name: name.to_owned(),
            image: "i:1".to_owned(),
            size: Size {
                milli_cpu,
                memory_mib: milli_cpu,
            },
            mounts: volume
                .map(|volume| Mount {
                    volume: volume.to_owned(),
                    ..Mount::default()
                })
                .into_iter()
                .collect(),
            ..ContainerSpec::default()
        };
        GroupSpec {
            size: Size {
                milli_cpu: 2_000,
                memory_mib: 4_096,
            },
            init_containers: vec![container("init", 0, None)],
            containers: vec![
                container("plain", 0, None),
                container("sized", 500, None),
                container("files", 500, Some("files")),
            ],
            volumes: vec![VolumeSpec {
                name: "files".to_owned(),
                source: VolumeSource::ConfigFile { files: Vec::new() },
            }],
            ..GroupSpec::default()
        }
    }

    /// The containers that restart when a group changes like this.
    fn restarted(config_files_restart: bool, change: impl FnOnce(&mut GroupSpec)) -> Vec<String> {
        let old = group();
        let mut new = group();
        change(&mut new);
        let update = Update {
            old: &old,
            new: &new,
            config_files_restart,
        };
        let restarted = new.containers.iter().filter(|c| update.restarts(c));
        restarted.map(|c| c.name.clone()).collect()
    }

    #[test]
    fn what_changes_restarts_and_nothing_else() {
        let nothing: [&str; 0] = [];
        assert_eq!(restarted(true, |_| ()), nothing);
        assert_eq!(restarted(true, |g| g.tags = vec![("a".into(), "b".into())]), nothing);
        assert_eq!(
            restarted(true, |g| g.restart_policy = crate::spec::RestartPolicy::Never),
            nothing
        );
        assert_eq!(restarted(true, |g| g.containers[1].image = "i:2".into()), ["sized"]);
        assert_eq!(restarted(true, |g| g.size.memory_mib *= 2), ["plain"]);
        assert_eq!(restarted(true, |g| g.containers.swap(0, 1)), nothing);
        let all = ["plain", "sized", "files"];
        assert_eq!(restarted(true, |g| g.init_containers[0].image = "i:2".into()), all);
        let dns = Dns::None {
            name_servers: Vec::new(),
            searches: Vec::new(),
            options: Vec::new(),
        };
        assert_eq!(restarted(true, |g| g.dns = dns), all);
    }

    #[test]
    fn config_files_restart_who_mounts_them_unless_told_otherwise() {
        let change = |g: &mut GroupSpec| {
            let file = ConfigFile {
                path: "a".into(),
                content: "new".into(),
                mode: 0o644,
            };
            g.volumes[0].source = VolumeSource::ConfigFile { files: vec![file] };
        };
        assert_eq!(restarted(true, change), ["files"]);
        assert_eq!(restarted(false, change), Vec::<String>::new());
        let other_kind = |g: &mut GroupSpec| {
            g.volumes[0].source = VolumeSource::EmptyDir {
                memory: false,
                size_limit: String::new(),
            };
        };
        assert_eq!(restarted(false, other_kind), ["files"]);
    }
}
