//! The files of a group that may be renewed while it runs.

use std::collections::BTreeSet;

use sha2::{Digest as _, Sha256};

use super::Refs;
use crate::request::{CreateContainerGroup, Volume, VolumeSource};
use crate::token::hex;

/// Bytes of a digest that are kept.
const DIGEST_BYTES: usize = 8;

/// The files that a group was, or would be, made with.
#[derive(Clone, Debug, PartialEq)]
pub struct LiveFiles {
    /// Its ConfigFile volumes.
    pub volumes: Vec<Volume>,
    /// Digest of their files, tokens apart: those are minted anew each time and say nothing. The same in every build.
    pub digest: String,
}

/// The files of `request`, which was mapped with `refs`.
pub fn live_files(request: CreateContainerGroup, refs: &Refs) -> LiveFiles {
    let tokens: BTreeSet<&[u8]> = refs.tokens.values().map(|token| token.0.as_bytes()).collect();
    let is_files = |volume: &Volume| matches!(volume.source, VolumeSource::ConfigFile { .. });
    let volumes: Vec<Volume> = request.volumes.into_iter().filter(is_files).collect();
    let mut hash = Sha256::new();
    let mut add = |bytes: &[u8]| {
        // Lengths first: no two different lists give the same bytes.
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    };
    for volume in &volumes {
        let VolumeSource::ConfigFile { files, .. } = &volume.source else {
            continue;
        };
        add(volume.name.as_bytes());
        for file in files {
            let is_token = tokens.contains(file.content.as_slice());
            add(file.path.as_bytes());
            add(if is_token { b"a token" } else { &file.content });
        }
    }
    let digest = hash.finalize();
    LiveFiles {
        volumes,
        digest: hex(&digest[..DIGEST_BYTES]),
    }
}

#[cfg(test)]
mod tests {
    use super::super::TokenRef;
    use super::*;
    use crate::request::ConfigFile;

    fn digest(token: &str, content: &str) -> String {
        let file = |path: &str, content: &str| ConfigFile {
            path: path.to_owned(),
            content: content.as_bytes().to_vec(),
            mode: None,
        };
        let request = CreateContainerGroup {
            volumes: vec![Volume {
                name: "v".to_owned(),
                source: VolumeSource::ConfigFile {
                    files: vec![file("a", content), file("token", token)],
                    default_mode: None,
                },
            }],
            ..CreateContainerGroup::default()
        };
        let named = TokenRef {
            volume: "v".to_owned(),
            path: "token".to_owned(),
            audience: None,
            expiration_seconds: 3607,
        };
        let mut refs = Refs::default();
        refs.tokens.insert(named, token.to_owned().into());
        live_files(request, &refs).digest
    }

    #[test]
    fn files_count_and_tokens_do_not() {
        assert_eq!(digest("t1", "x"), digest("t2", "x"));
        assert_ne!(digest("t1", "x"), digest("t1", "y"));
        // Pinned: a new version of the agent must not restart what an old one made.
        assert_eq!(digest("t", "x").len(), 16);
    }
}
