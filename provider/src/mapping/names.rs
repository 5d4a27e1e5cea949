//! Names that have to fit somebody else's syntax.

use sha2::{Digest, Sha256};

use crate::token::hex;

/// ECI's limit of a group's name.
const GROUP_NAME_MAX: usize = 128;
/// Linux' limit of a host name within a pod, as a kubelet cuts it.
const HOST_NAME_MAX: usize = 63;
/// Hex digits that tell names apart that were cut at the same place.
const SUFFIX: usize = 10;

/// `ContainerGroupName`: `<namespace>-<name>` in 2–128 of `[a-z0-9-]`, without `-` at either end. For people only: it is
/// not unique (`a-b/c` and `a/b-c` give the same), and pods and groups are joined by the UID tag.
pub(super) fn group_name(namespace: &str, name: &str) -> String {
    let whole = format!("{namespace}-{name}");
    let fitted: String = whole
        .chars()
        .map(|c| c.to_ascii_lowercase())
        .map(|c| {
            if c.is_ascii_lowercase() || c.is_ascii_digit() {
                c
            } else {
                '-'
            }
        })
        .collect();
    let trimmed = fitted.trim_matches('-');
    if trimmed.len() < 2 {
        return format!("pod-{}", short_hash(&whole));
    }
    if trimmed.len() <= GROUP_NAME_MAX {
        return trimmed.to_owned();
    }
    let head = trimmed[..GROUP_NAME_MAX - SUFFIX - 1].trim_end_matches('-');
    format!("{head}-{}", short_hash(&whole))
}

/// A pod's name as host name: at most 63 characters, not ending in `-` or `.`.
pub(super) fn short_host_name(pod: &str) -> String {
    let cut: String = pod.chars().take(HOST_NAME_MAX).collect();
    cut.trim_end_matches(['-', '.']).to_owned()
}

fn short_hash(text: &str) -> String {
    let mut digits = hex(&Sha256::digest(text.as_bytes()));
    digits.truncate(SUFFIX);
    digits
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn usual_names_are_readable() {
        assert_eq!(group_name("default", "word-count-exec-1"), "default-word-count-exec-1");
        assert_eq!(group_name("ns", "web.v2"), "ns-web-v2");
    }

    #[test]
    fn long_names_are_told_apart() {
        let (a, b) = (
            group_name("ns", &("p".repeat(200) + "a")),
            group_name("ns", &("p".repeat(200) + "b")),
        );
        assert_ne!(a, b);
        assert_eq!(a.len(), 128);
    }

    #[test]
    fn host_names_are_cut_as_a_kubelet_cuts_them() {
        assert_eq!(short_host_name("a.b-c"), "a.b-c");
        assert_eq!(short_host_name(&format!("{}-.tail", "x".repeat(61))), "x".repeat(61));
    }

    proptest! {
        #[test]
        fn group_names_always_fit(namespace in ".{0,70}", name in ".{0,260}") {
            let fitted = group_name(&namespace, &name);
            prop_assert!((2..=128).contains(&fitted.len()), "{fitted}");
            prop_assert!(fitted.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'));
            prop_assert!(!fitted.starts_with('-') && !fitted.ends_with('-'));
        }
    }
}
