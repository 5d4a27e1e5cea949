//! Pods just seen by the watch, whole, until their groups are created: saves reading them again.
//!
//! Whole pods are what must not be kept (see [`crate::pods::watch`]), so there is room for few: in a burst that outruns the
//! creates, the rest is read from the API server when its turn comes. The watch replaces what is here when a pod changes, so
//! nothing here is older than what a read would have found a moment ago.

use std::collections::HashMap;

use serde_json::value::RawValue;

use crate::pods::record::Uid;

/// Bytes of JSON kept at most.
const ROOM: usize = 1 << 20;

/// The pods.
#[derive(Debug, Default)]
pub struct FreshPods {
    pods: HashMap<Uid, Box<RawValue>>,
    bytes: usize,
}

impl FreshPods {
    /// Keeps `pod`, in place of an older version, if there is room.
    pub fn put(&mut self, uid: &Uid, pod: Box<RawValue>) {
        self.remove(uid);
        let size = pod.get().len();
        if self.bytes + size <= ROOM {
            self.bytes += size;
            self.pods.insert(uid.clone(), pod);
        }
    }

    /// Takes the pod, if it is here.
    pub fn remove(&mut self, uid: &str) -> Option<Box<RawValue>> {
        let pod = self.pods.remove(uid)?;
        self.bytes -= pod.get().len();
        Some(pod)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(bytes: usize) -> Box<RawValue> {
        RawValue::from_string(format!("\"{}\"", "x".repeat(bytes - 2))).expect("JSON")
    }

    #[test]
    fn there_is_room_for_few_and_room_comes_back() {
        let mut fresh = FreshPods::default();
        let uids: Vec<Uid> = (0..3).map(|n| Uid::from(n.to_string())).collect();
        fresh.put(&uids[0], pod(ROOM / 2));
        fresh.put(&uids[1], pod(ROOM / 2));
        fresh.put(&uids[2], pod(10));
        assert!(fresh.remove(&uids[2]).is_none(), "full");
        fresh.put(&uids[1], pod(10));
        assert_eq!(
            fresh.remove(&uids[1]).map(|p| p.get().len()),
            Some(10),
            "the newer version"
        );
        fresh.put(&uids[2], pod(ROOM / 2));
        assert!(fresh.remove(&uids[2]).is_some());
        assert!(fresh.remove(&uids[0]).is_some());
        assert_eq!(fresh.bytes, 0);
    }
}
