//! `Volume.N`.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::request::{Volume, VolumeSource};

use super::writer::Writer;

/// Writes a volume.
pub(super) fn put(w: &mut Writer<'_>, volume: &Volume) {
    w.put("Name", &volume.name);
    match &volume.source {
        VolumeSource::EmptyDir { medium, size_limit } => {
            w.put("Type", "EmptyDirVolume");
            w.put_some("EmptyDirVolume.Medium", medium.as_ref());
            w.put_some("EmptyDirVolume.SizeLimit", size_limit.as_ref());
        }
        VolumeSource::ConfigFile { files, default_mode } => {
            w.put("Type", "ConfigFileVolume");
            w.within("ConfigFileVolume", |w| {
                if let Some(bits) = default_mode {
                    w.put("DefaultMode", &mode(*bits));
                }
                w.list("ConfigFileToPath", files, |w, file| {
                    w.put("Path", &file.path);
                    w.put("Content", &STANDARD.encode(&file.content));
                    if let Some(bits) = file.mode {
                        w.put("Mode", &mode(bits));
                    }
                });
            });
        }
        VolumeSource::Nfs {
            server,
            path,
            read_only,
        } => {
            w.put("Type", "NFSVolume");
            w.put("NFSVolume.Server", server);
            w.put("NFSVolume.Path", path);
            w.put_if("NFSVolume.ReadOnly", *read_only);
        }
        VolumeSource::Flex {
            driver,
            fs_type,
            options,
        } => {
            w.put("Type", "FlexVolume");
            w.put("FlexVolume.Driver", driver);
            w.put_some("FlexVolume.FsType", fs_type.as_ref());
            let options: BTreeMap<&str, &str> = options.iter().map(|(k, v)| (k.as_str(), v.0.as_str())).collect();
            w.put("FlexVolume.Options", &json!(options).to_string());
        }
    }
}

/// File mode bits on the wire: four octal digits, `0644`.
///
/// The API types the parameter as an integer and its pages show only the octal form; whether `420` would be read as
/// well is unconfirmed, so this function is the one place that decides it.
fn mode(bits: i32) -> String {
    format!("{bits:04o}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::ConfigFile;

    fn lines(source: VolumeSource) -> Vec<String> {
        let mut lines = Vec::new();
        let volume = Volume {
            name: "v".into(),
            source,
        };
        put(&mut Writer::new(&mut |k, v| lines.push(format!("{k}={v}"))), &volume);
        lines
    }

    #[test]
    fn empty_dir() {
        let disk = VolumeSource::EmptyDir {
            medium: None,
            size_limit: None,
        };
        assert_eq!(lines(disk), ["Name=v", "Type=EmptyDirVolume"]);
        let memory = VolumeSource::EmptyDir {
            medium: Some("memory".into()),
            size_limit: Some("256Mi".into()),
        };
        assert_eq!(
            lines(memory)[2..],
            ["EmptyDirVolume.Medium=memory", "EmptyDirVolume.SizeLimit=256Mi"]
        );
    }

    #[test]
    fn config_files() {
        let files = VolumeSource::ConfigFile {
            files: vec![
                ConfigFile {
                    path: "a".into(),
                    content: b"x\n\xff".to_vec(),
                    mode: None,
                },
                ConfigFile {
                    path: "d/b".into(),
                    content: vec![],
                    mode: Some(0o400),
                },
            ],
            default_mode: Some(0o644),
        };
        assert_eq!(
            lines(files),
            [
                "Name=v",
                "Type=ConfigFileVolume",
                "ConfigFileVolume.DefaultMode=0644",
                "ConfigFileVolume.ConfigFileToPath.1.Path=a",
                "ConfigFileVolume.ConfigFileToPath.1.Content=eAr/",
                "ConfigFileVolume.ConfigFileToPath.2.Path=d/b",
                "ConfigFileVolume.ConfigFileToPath.2.Content=",
                "ConfigFileVolume.ConfigFileToPath.2.Mode=0400",
            ]
        );
    }

    #[test]
    fn flex() {
        let flex = VolumeSource::Flex {
            driver: "alicloud/disk".into(),
            fs_type: Some("ext4".into()),
            options: [("volumeId".to_owned(), "d-1".into())].into(),
        };
        assert_eq!(
            lines(flex)[1..],
            [
                "Type=FlexVolume",
                "FlexVolume.Driver=alicloud/disk",
                "FlexVolume.FsType=ext4",
                r#"FlexVolume.Options={"volumeId":"d-1"}"#
            ]
        );
    }

    #[test]
    fn nfs() {
        let nfs = VolumeSource::Nfs {
            server: "s".into(),
            path: "/p".into(),
            read_only: true,
        };
        assert_eq!(
            lines(nfs),
            [
                "Name=v",
                "Type=NFSVolume",
                "NFSVolume.Server=s",
                "NFSVolume.Path=/p",
                "NFSVolume.ReadOnly=true"
            ]
        );
    }
}
