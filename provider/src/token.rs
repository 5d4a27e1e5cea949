//! The idempotency key of a create call.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

/// `ClientToken` of the `attempt`th create for a pod: 64 lower-case hex digits, the most ECI takes.
///
/// A function of cluster, pod UID and attempt alone, so that an agent that was killed between the call and its answer
/// repeats the call with the same token and gets the same group. Attempt 0 therefore needs no record anywhere.
pub fn client_token(cluster_id: &str, pod_uid: &str, attempt: u32) -> String {
    let mut hash = Sha256::new();
    // Lengths first: no two different triples give the same bytes.
    for part in [cluster_id.as_bytes(), pod_uid.as_bytes(), &attempt.to_be_bytes()] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hex(&hash.finalize())
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
            let _ = write!(out, "{byte:02x}");
            out
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stable_over_releases() {
        // Pinned: a new version of the agent must adopt what the old one created.
        assert_eq!(
            client_token("c1", "aaeca506-df40-465d-89fd-d6999785b7cc", 0),
            "62d62f22743eb94d8a8d791c6a2686cf09d085e341267ec2eed113a1bd2747e7"
        );
    }

    #[test]
    fn differs_by_every_input_and_fits_the_limit() {
        let base = client_token("c1", "u1", 0);
        assert_eq!(base.len(), 64);
        assert!(base.is_ascii());
        for other in [
            client_token("c2", "u1", 0),
            client_token("c1", "u2", 0),
            client_token("c1", "u1", 1),
        ] {
            assert_ne!(base, other);
        }
        assert_ne!(client_token("c", "1u", 0), client_token("c1", "u", 0));
    }
}
