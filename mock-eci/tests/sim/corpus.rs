//! What fuzzing found worth keeping, run again: each file of `fuzz/corpus/TARGET/` and `fuzz/regressions/TARGET/` through the target's function.

#[path = "../../fuzz/targets/mod.rs"]
mod targets;

use std::{fs, path::Path};

/// Runs `target` on every file of its corpus, and on those that failed once; the name of one that fails is in its panic's output.
fn replay(name: &str, target: fn(&[u8])) {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let files = |kind: &str| {
        let folder = fs::read_dir(fuzz.join(kind).join(name));
        let entries = folder.into_iter().flatten();
        entries
            .map(|entry| entry.expect("a readable folder").path())
            .collect::<Vec<_>>()
    };
    let mut all = files("corpus");
    assert!(!all.is_empty(), "the corpus of {name} is kept beside the targets");
    all.extend(files("regressions"));
    all.sort();
    for file in all {
        let data = fs::read(&file).expect("a readable file");
        let ended = std::panic::catch_unwind(|| target(&data));
        assert!(ended.is_ok(), "{name} fails on {}", file.display());
    }
}

#[test]
fn params() {
    replay("params", targets::params);
}

#[test]
fn signature_v1() {
    replay("signature_v1", targets::signature_v1);
}

#[test]
fn signature_v3() {
    replay("signature_v3", targets::signature_v3);
}

#[test]
fn page_tokens() {
    replay("page_tokens", targets::page_tokens);
}
