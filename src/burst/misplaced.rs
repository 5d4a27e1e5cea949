//! Pods that asked for the pool alone and are on a worker: they were created while no webhook was there, and no gate held them back.
//! Nothing can be done for them where they are, so they are told what to do.
//!
//! A watch for each label that asks so, of pods that have a node which is none of ours: the API server sends nothing else, and in
//! a cluster where all is well nothing at all. What a pod's annotations, its namespace or the eci-profile ask for, no selector can find
//! among all pods of a cluster; such a pod is not told.

use std::pin::pin;
use std::time::Duration;

use futures::{StreamExt as _, future, stream};
use k8s_openapi::api::core::v1::{ObjectReference, Pod};
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt as _, watcher as watch_objects};
use kube::{Api, Client};

use super::mutate::PodView;
use super::names;
use super::policy::Policy;
use super::scene::Scene;
use crate::chain::chain;
use crate::pods::events::{Notices, Weight};

/// Reason: a pod that was to run on the pool alone is on a worker.
pub const MISSED: &str = "BurstPolicyMissed";

/// Between looks for whether policies can be told yet.
const PAUSE: Duration = Duration::from_millis(500);

/// What looking for them needs.
pub struct Misplaced {
    /// The API server, by the identity of burst.
    pub kube: Client,
    /// What policies are judged by.
    pub scene: Scene,
    /// Names of the virtual nodes that are served here.
    pub nodes: Vec<String>,
    /// Events.
    pub notices: Notices,
}

impl Misplaced {
    /// Runs for ever.
    pub async fn run(self) {
        while !self.scene.rules_are_known() {
            tokio::time::sleep(PAUSE).await;
        }
        let fields = fields(&self.nodes);
        let watches = selectors().into_iter().map(|labels| {
            let api: Api<PartialObjectMeta<Pod>> = Api::all(self.kube.clone());
            let config = watcher::Config::default().fields(&fields).labels(&labels);
            watch_objects(api, config).default_backoff().boxed()
        });
        let mut events = pin!(stream::select_all(watches));
        while let Some(event) = events.next().await {
            match event {
                Ok(Event::InitApply(pod) | Event::Apply(pod)) => self.look_at(pod),
                Ok(Event::Init | Event::InitDone | Event::Delete(_)) => {}
                Err(error) => {
                    tracing::warn!(
                        error = chain(&error),
                        "watching pods that miss the pool failed; will retry"
                    );
                }
            }
        }
        // None of the watches ends by itself.
        future::pending().await
    }

    fn look_at(&self, pod: PartialObjectMeta<Pod>) {
        let meta = pod.metadata;
        let namespace = self.scene.namespace(meta.namespace.as_deref().unwrap_or_default());
        let choice = self.scene.rules().choose(PodView::of_meta(&meta), &namespace);
        if !choice.is_ok_and(|choice| choice.is_some_and(|choice| choice.policy == Policy::EciOnly)) {
            return;
        }
        let note = "policy eci-only, but the pod is on a worker: when it was created no webhook was there to keep it off them. Delete it, \
                    so that it is made again; to be independent of the webhook give its template the scheduling gate \
                    k8s.aliyun.com/eci-burst";
        let on = ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            namespace: meta.namespace,
            name: meta.name,
            uid: meta.uid,
            ..ObjectReference::default()
        };
        self.notices.about_once(on, Weight::Warning, MISSED, note.to_owned());
    }
}

/// Pods that have a node, none of these, and are not over.
fn fields(nodes: &[String]) -> String {
    let ours: String = nodes.iter().map(|node| format!("spec.nodeName!={node},")).collect();
    format!("spec.nodeName!=,{ours}status.phase!=Succeeded,status.phase!=Failed")
}

/// Labels by which pods ask for the pool alone; a selector has no "or".
fn selectors() -> [String; 3] {
    [
        format!("{}=true", names::ECI),
        format!("{} in (eci_only,eci-only)", names::BURST_RESOURCE),
        format!("{} in (eci_only,eci-only)", names::BURST_POLICY),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pods_on_nodes_of_others_are_looked_for() {
        let nodes = ["one".to_owned(), "two".to_owned()];
        assert_eq!(
            fields(&nodes),
            "spec.nodeName!=,spec.nodeName!=one,spec.nodeName!=two,status.phase!=Succeeded,status.phase!=Failed"
        );
    }
}
