//! `kubectl cp`, which runs `tar` in the container.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::idle;
use crate::chance::Chance;
use crate::cluster::Cluster;
use crate::exec::PROTOCOLS;
use crate::namespace::Namespace;

const FILES: u32 = 500;

#[tokio::test]
async fn a_folder_of_500_files_goes_in_and_comes_back_unchanged() {
    let cluster = Cluster::shared().await;
    let namespace = Namespace::new(&cluster, "c-cp").await;
    namespace.running(idle("box")).await;
    let here = tempfile::tempdir().expect("a folder");
    let source = here.path().join("source");
    make(&source);
    let sums = checksums(&source);
    assert_eq!(sums.len(), FILES as usize);
    for (number, protocol) in PROTOCOLS.into_iter().enumerate() {
        let there = format!("/tmp/copy-{number}");
        let target = here.path().join(format!("back-{number}"));
        let copy = async |from: &str, to: &str| {
            let said = namespace.raw(protocol, &["cp", from, to], b"").await;
            assert_eq!(said.code, Some(0), "{}", said.err);
        };
        copy(&source.to_string_lossy(), &format!("box:{there}")).await;
        let script = format!("cd {there} && find . -type f -print0 | xargs -0 sha256sum");
        let listed = namespace.shell("box", &script).await;
        let inside: BTreeMap<String, String> = listed.lines().filter_map(sum_and_name).collect();
        assert_eq!(inside, sums, "in the container");
        copy(&format!("box:{there}"), &target.to_string_lossy()).await;
        assert_eq!(checksums(&target), sums, "back again");
    }
}

/// Files of all sizes up to 100 kB, the empty one too, some in folders.
fn make(folder: &Path) {
    let mut chance = Chance::new("copy");
    for number in 0..FILES {
        let folder = folder.join(format!("folder {}", number % 7));
        fs::create_dir_all(&folder).expect("a folder");
        let size = if number == 0 { 0 } else { 1 << chance.below(17) };
        fs::write(folder.join(format!("file-{number}")), chance.bytes(size)).expect("a file");
    }
}

/// SHA-256 of each file, by its name from `folder` on.
fn checksums(folder: &Path) -> BTreeMap<String, String> {
    let script = "find . -type f -print0 | xargs -0 sha256sum";
    let done = std::process::Command::new("sh")
        .args(["-c", script])
        .current_dir(folder)
        .output()
        .expect("sh runs");
    let text = String::from_utf8(done.stdout).expect("text");
    text.lines().filter_map(sum_and_name).collect()
}

fn sum_and_name(line: &str) -> Option<(String, String)> {
    let (sum, name) = line.split_once("  ")?;
    Some((name.to_owned(), sum.to_owned()))
}
