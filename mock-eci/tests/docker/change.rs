//! Groups that are updated: files in place, other volumes, another spec for later starts, and the record of it.

use std::sync::Arc;

use mock_eci::{
    runtime::{Launch, Record, Runtime},
    spec::{ConfigFile, Dns, GroupSpec, Mount, VolumeSource, VolumeSpec},
};

use crate::bed::{Bed, empty_dir, group, on_bed, shell};

fn files(list: &[(&str, &str)]) -> VolumeSpec {
    let file = |(path, text): &(&str, &str)| ConfigFile {
        path: (*path).into(),
        content: (*text).to_owned().into(),
        mode: 0o644,
    };
    VolumeSpec {
        name: "files".into(),
        source: VolumeSource::ConfigFile {
            files: list.iter().map(file).collect(),
        },
    }
}

fn mount(volume: &str, path: &str) -> Mount {
    Mount {
        volume: volume.into(),
        path: path.into(),
        ..Default::default()
    }
}

fn update(bed: &Bed, spec: &GroupSpec) {
    bed.runtime.update(Launch {
        id: bed.group.clone(),
        spec: Arc::new(spec.clone()),
        record: Record("after the update".into()),
        cached_images: Vec::new(),
    });
}

/// A group that keeps running and writes a line per second with what it finds in its files.
fn watching() -> GroupSpec {
    let script = "while :; do echo $(cd /files; for f in *; do printf \"$f=%s \" \"$(cat $f)\"; done); sleep 1; done";
    let mut main = shell("main", script);
    main.mounts = vec![mount("files", "/files"), mount("data", "/data")];
    let mut spec = group(vec![main]);
    spec.volumes = vec![empty_dir("data", false), files(&[("a", "old"), ("b", "gone")])];
    spec
}

#[test]
fn config_files_change_below_a_running_container() {
    on_bed(async |mut bed| {
        let mut spec = watching();
        bed.launch(spec.clone()).await;
        bed.start("main", 0).await;
        bed.logged("main", 0, "a=old b=gone").await;
        spec.volumes = vec![empty_dir("data", false), files(&[("a", "new"), ("c", "more")])];
        update(&bed, &spec);
        bed.logged("main", 0, "a=new c=more").await;
    });
}

#[test]
fn later_starts_find_the_new_spec_and_volumes_stay_in_their_places() {
    on_bed(async |mut bed| {
        let mut spec = watching();
        spec.containers[0].mounts.remove(1);
        bed.launch(spec.clone()).await;
        bed.start("main", 0).await;
        // The first volume goes, so that the second would move; two come, one of them in memory.
        let script = "cat /files/a; echo kept >/memory/x; cat /memory/x; cat /etc/resolv.conf; echo done; printf bye >/dev/termination-log";
        let mut second = shell("second", script);
        second.mounts = vec![
            mount("files", "/files"),
            mount("memory", "/memory"),
            mount("disk", "/disk"),
        ];
        spec.containers.insert(0, second);
        spec.volumes.remove(0);
        spec.volumes.push(empty_dir("memory", true));
        spec.volumes.push(empty_dir("disk", false));
        spec.dns = Dns::None {
            name_servers: vec!["10.9.8.7".into()],
            searches: vec!["updated.test".into()],
            options: Vec::new(),
        };
        update(&bed, &spec);
        bed.start("second", 0).await;
        let exit = bed.exit("second", 0).await;
        let log = bed.log("second", 0).await;
        assert_eq!((exit.code, exit.message.as_str()), (0, "bye"), "{log}");
        for wanted in ["old", "kept", "nameserver 10.9.8.7", "search updated.test", "done"] {
            assert!(log.contains(wanted), "{wanted:?} is missing in {log:?}");
        }
        bed.runtime
            .stop_container(&bed.group, "main", std::time::Duration::ZERO);
        bed.exit("main", 0).await;
    });
}

#[test]
fn a_restarted_server_knows_the_update() {
    on_bed(async |mut bed| {
        let mut spec = watching();
        bed.launch(spec.clone()).await;
        bed.start("main", 0).await;
        spec.volumes[1] = files(&[("a", "new")]);
        update(&bed, &spec);
        // Files and record come in one archive.
        bed.logged("main", 0, "a=new").await;
        let bed = bed.restarted().await;
        let adopted = bed.runtime.adopt().await.unwrap();
        assert_eq!(adopted.len(), 1);
        assert_eq!(&*adopted[0].record.0, "after the update");
    });
}
