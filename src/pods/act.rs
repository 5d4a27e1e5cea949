//! Carries out one decision: the only place from which pods and their groups are changed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use eci::Client as EciClient;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, EvictParams, Patch, PatchParams, Preconditions};
use kube::{Api, Resource as _};
use provider::annotations;
use provider::error::ErrorClass;
use provider::mapping::{self, Candidate, LifeOptions, LiveFiles, Refs, Settings, Warning};
use provider::request::{CreateContainerGroup, RestartPolicy};
use provider::sizes::Size;
use provider::status::{self, Phase, Previous};
use provider::tags;
use provider::written_back::Whereabouts;
use serde_json::value::RawValue;

use crate::budget::{Asking, Budgets, look};
use crate::caps::{Caps, Claim};
use crate::chain::chain;
use crate::clock;
use crate::cost::recorder::Recorder;
use crate::pods::decide::Decision;
use crate::pods::expiry;
use crate::pods::input::{
    CreateOutcome, Created, DeleteOutcome, EvictOutcome, Failure, FilesOutcome, FilesSent, FindOutcome, Outcome,
    PublishOutcome, Sought, Written,
};
use crate::pods::live::Source;
use crate::pods::metering;
use crate::pods::publish;
use crate::pods::record::{Placed, PodRecord};
use crate::pods::refs::RefsReader;
use crate::pods::stock::Stock;
use crate::pods::watch::{NodePod, WrittenPod};

/// A token that ends sooner is worth a word where it is not renewed.
const SHORT_LIVED: SignedDuration = SignedDuration::from_hours(24);

/// kube's client asks again by itself, for minutes, where a disruption budget says no; the pod's deletion cannot wait for that.
const EVICTION_PATIENCE: Duration = Duration::from_secs(5);

/// What effects need.
pub struct Effects {
    /// The API server, as the node.
    pub kube: kube::Client,
    /// The cloud.
    pub eci: EciClient,
    /// The node's settings.
    pub settings: Arc<Settings>,
    /// Reader of what pods name.
    pub refs: RefsReader,
    /// What namespaces may have.
    pub caps: Caps,
    /// What it and its applications may cost.
    pub budgets: Budgets,
    /// Where records of cost are kept.
    pub recorder: Option<Recorder>,
    /// Whether the node's zone has stock.
    pub stock: Stock,
}

/// An effect that is ready to run and owns all it needs.
pub type Effect = BoxFuture<'static, Outcome>;

/// A pod by name, and the UID that tells it from another of that name.
#[derive(Clone, Debug)]
struct Named {
    namespace: String,
    name: String,
    uid: String,
    created: Timestamp,
    /// Whose money it costs, if that is counted.
    asking: Option<Box<Asking>>,
}

/// How often a create is sent.
enum Sending {
    /// For the first time; with the pod as the watch showed it, if it is still at hand.
    First(Option<Box<RawValue>>),
    /// It was sent, and only the same once more tells what became of it, even if its pod is to go by now.
    Again,
}

impl Effects {
    /// The effect of `decision` for `record`; none where there is nothing to do any more.
    /// `whole` is the pod as the watch showed it, if it is still at hand.
    pub fn prepare(
        self: &Arc<Self>,
        record: &PodRecord,
        decision: &Decision,
        whole: Option<Box<RawValue>>,
        now: Timestamp,
    ) -> Option<Effect> {
        let this = self.clone();
        let pod = Named {
            namespace: record.facts.namespace.to_string(),
            name: record.facts.name.to_string(),
            uid: record.facts.uid.to_string(),
            created: record.facts.created.unwrap_or(record.first_seen),
            asking: matches!(decision, Decision::Create { .. })
                .then(|| look::asking(record).map(Box::new))
                .flatten(),
        };
        Some(match decision.clone() {
            Decision::Create { attempt } => {
                async move { Outcome::Created(this.create(&pod, attempt, Sending::First(whole)).await) }.boxed()
            }
            Decision::Find { attempt, resend } => {
                async move { Outcome::Found(this.find(&pod, attempt, resend).await) }.boxed()
            }
            Decision::DeleteGroup { id, force } => {
                async move { Outcome::GroupDeleted(this.delete_group(&id, force).await) }.boxed()
            }
            Decision::RenewFiles { id, known, tokens } => {
                let attempt = record.published.attempt;
                async move { Outcome::FilesRenewed(this.renew_files(&pod, attempt, &id, known, tokens).await) }.boxed()
            }
            Decision::Evict => async move { Outcome::Evicted(this.evict(&pod).await) }.boxed(),
            Decision::Publish => {
                let write = publish::prepare(
                    record,
                    self.recorder.as_ref().map(|r| (r.prices(), &*self.settings)),
                    now,
                )?;
                async move { Outcome::Published(this.publish(write).await) }.boxed()
            }
            Decision::RemoveObject => async move { Outcome::ObjectRemoved(this.remove_object(&pod).await) }.boxed(),
            Decision::Wait(_) | Decision::Forget => return None,
        })
    }

    /// Reads the pod whole, reads what it names, maps it, sends it, and forgets all of that.
    async fn create(&self, named: &Named, attempt: u32, sending: Sending) -> CreateOutcome {
        let (whole, again) = match sending {
            Sending::First(whole) => (whole, false),
            Sending::Again => (None, true),
        };
        let at_hand = whole.and_then(|json| serde_json::from_str::<Pod>(json.get()).ok());
        let pod = match at_hand {
            Some(pod) => pod,
            None => {
                let api: Api<Pod> = Api::namespaced(self.kube.clone(), &named.namespace);
                match api.get_opt(&named.name).await {
                    Ok(Some(pod)) => pod,
                    Ok(None) => return CreateOutcome::Unneeded,
                    Err(error) => return CreateOutcome::ApiServer(chain(&error)),
                }
            }
        };
        let is_going = pod.metadata.deletion_timestamp.is_some() && !again;
        if pod.metadata.uid.as_deref() != Some(&named.uid) || is_going {
            return CreateOutcome::Unneeded;
        }
        let refs = match self.refs.read(&pod, &mapping::references(&pod)).await {
            Ok(refs) => refs,
            Err(error) => return CreateOutcome::ApiServer(chain(&error)),
        };
        // Which way it is bought follows from the attempt, whose number is on the pod: a restart changes nothing.
        let mapped = match mapping::map_candidate(&pod, &refs, &self.settings, attempt, attempt as usize) {
            Ok(mapped) => mapped,
            Err(rejections) => return CreateOutcome::Rejected(rejections),
        };
        let mut warnings = mapped.warnings;
        let files = self.files_at_creation(&pod, &refs, &mapped.request, &mut warnings);
        drop((pod, refs));
        let claim = Claim {
            uid: Arc::from(named.uid.as_str()),
            namespace: Arc::from(named.namespace.as_str()),
            cpu: mapped.size.cpu,
        };
        if let Some(asking) = &named.asking
            && let Err(wait) = self.budgets.ask(asking, clock::now())
        {
            return CreateOutcome::OverBudget(wait);
        }
        if let Err(wait) = self.caps.reserve(&claim, named.created) {
            return CreateOutcome::Capped(wait);
        }
        let asked = Size {
            cpu: mapped.asked.0,
            memory: mapped.asked.1,
        };
        let placed = |request_id: Box<str>| Placed {
            size: mapped.size,
            request_id,
            at: whereabouts(&mapped.request, &mapped.candidate),
            spot: metering::spot_of(&mapped.request),
        };
        let sent = clock::now();
        match self.eci.create_container_group(&mapped.request).await {
            Ok(created) => CreateOutcome::Created(Created {
                id: Arc::from(created.id),
                placed: Box::new(placed(created.request_id.into())),
                asked,
                sent,
                weakened: mapped.weakened,
                warnings,
                files,
                elsewhere: mapped
                    .candidate
                    .is_elsewhere
                    .then(|| mapped.candidate.to_string().into()),
            }),
            Err(error) => {
                let failure = located(error.into(), &mapped.candidate);
                if failure.class == ErrorClass::Stock && !mapped.candidate.is_elsewhere {
                    self.stock.missed(failure.reason, &failure.message);
                }
                if matches!(failure.class, ErrorClass::UnknownOutcome | ErrorClass::AlreadyAccepted) {
                    let placed = placed(Box::default());
                    return CreateOutcome::Unclear(failure, Box::new(Sought { placed, asked, sent }));
                }
                CreateOutcome::Cloud(failure)
            }
        }
    }

    async fn find(&self, named: &Named, attempt: u32, resend: bool) -> FindOutcome {
        let query = eci::GroupQuery {
            tags: vec![
                (tags::CLUSTER_ID.to_owned(), tags::value(&self.settings.cluster_id)),
                (tags::UID.to_owned(), named.uid.clone()),
            ],
            ..eci::GroupQuery::default()
        };
        match self.eci.describe_container_groups(&query).await {
            Ok(page) => match page
                .groups
                .into_iter()
                .find(|group| group.tag(tags::UID) == Some(&named.uid))
            {
                Some(group) => FindOutcome::Found(Arc::from(group.id)),
                None if resend => FindOutcome::Resent(self.create(named, attempt, Sending::Again).await),
                None => FindOutcome::NotThere,
            },
            Err(error) => FindOutcome::Failed(error.into()),
        }
    }

    async fn delete_group(&self, id: &str, force: bool) -> Result<DeleteOutcome, Failure> {
        match self.eci.delete_container_group(id, force).await {
            Ok(()) => Ok(DeleteOutcome::Accepted { force }),
            Err(error) if error.class() == ErrorClass::NotFound => Ok(DeleteOutcome::NotFound),
            Err(error) => Err(error.into()),
        }
    }

    /// What the group's files are, if they are to be renewed while it runs; else a word where that will be missed.
    fn files_at_creation(
        &self,
        pod: &Pod,
        refs: &Refs,
        request: &CreateContainerGroup,
        warnings: &mut Vec<Warning>,
    ) -> Option<FilesSent> {
        let (now, end) = (clock::now(), first_end(refs));
        let wanted = LifeOptions::of(pod.metadata.annotations.as_ref().unwrap_or(&BTreeMap::new())).live_update;
        if wanted && request.restart_policy != RestartPolicy::Never {
            let digest = mapping::live_files(request.clone(), refs).digest;
            return Some(self.files(pod, digest, end, now));
        }
        if wanted {
            warnings.push(Warning {
                field: format!("metadata.annotations[{}]", annotations::LIVE_UPDATE),
                message:
                    "the files of a group whose containers are never restarted are not renewed: that could end them"
                        .to_owned(),
            });
        }
        if let Some(end) = end.filter(|end| end.duration_since(now) < SHORT_LIVED) {
            let minutes = end.duration_since(now).as_secs().max(0) / 60;
            warnings.push(Warning {
                field: "spec.volumes[*].projected.sources[*].serviceAccountToken".to_owned(),
                message: format!(
                    "the API server gives a token of {minutes} minutes, and files of a group are renewed only with annotation {}",
                    annotations::LIVE_UPDATE
                ),
            });
        }
        None
    }

    fn files(&self, pod: &Pod, digest: String, end: Option<Timestamp>, now: Timestamp) -> FilesSent {
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        FilesSent {
            digest: digest.into(),
            renew_at: end.map(|end| expiry::renewal(end, now)),
            sources: Source::all(namespace, &mapping::references(pod)),
        }
    }

    /// Maps the pod anew and sends its files, if they are not what the group has.
    async fn renew_files(
        &self,
        named: &Named,
        attempt: u32,
        id: &str,
        known: Option<Box<str>>,
        tokens: bool,
    ) -> FilesOutcome {
        let api: Api<Pod> = Api::namespaced(self.kube.clone(), &named.namespace);
        let pod = match api.get_opt(&named.name).await {
            Ok(Some(pod)) if pod.metadata.uid.as_deref() == Some(&named.uid) => pod,
            Ok(_) => return FilesOutcome::Unneeded,
            Err(error) => return FilesOutcome::Unreadable(chain(&error)),
        };
        let refs = match self.refs.read(&pod, &mapping::references(&pod)).await {
            Ok(refs) => refs,
            Err(error) => return FilesOutcome::Unreadable(chain(&error)),
        };
        let mapped = match mapping::map_candidate(&pod, &refs, &self.settings, attempt, attempt as usize) {
            Ok(mapped) => mapped,
            // As with a kubelet, files stay when what they come from goes.
            Err(rejections) => return FilesOutcome::Unreadable(rejections.to_string()),
        };
        let (now, end) = (clock::now(), first_end(&refs));
        let LiveFiles { volumes, digest } = mapping::live_files(mapped.request, &refs);
        let send = tokens || known.is_some_and(|known| *known != *digest);
        if send && let Err(error) = self.eci.update_files(id, &volumes).await {
            return FilesOutcome::Cloud(error.into());
        }
        FilesOutcome::Current {
            files: self.files(&pod, digest, end, now),
            sent: send,
        }
    }

    /// Asks for the pod's eviction. A node may do so for its own pods (NodeRestriction); disruption budgets are respected.
    async fn evict(&self, named: &Named) -> EvictOutcome {
        let api: Api<Pod> = Api::namespaced(self.kube.clone(), &named.namespace);
        let params = EvictParams {
            delete_options: Some(DeleteParams {
                preconditions: Some(Preconditions {
                    uid: Some(named.uid.clone()),
                    resource_version: None,
                }),
                ..DeleteParams::default()
            }),
            ..EvictParams::default()
        };
        let asked = tokio::time::timeout(EVICTION_PATIENCE, api.evict(&named.name, &params));
        let Ok(answer) = asked.await else {
            return EvictOutcome::Failed("not granted in time: a disruption budget may stand in the way".to_owned());
        };
        match answer {
            Ok(_) => EvictOutcome::Accepted,
            Err(kube::Error::Api(answer)) if answer.code == 429 => EvictOutcome::Blocked(answer.message.clone()),
            Err(kube::Error::Api(answer)) if is_another_pod(&answer) => EvictOutcome::Gone,
            Err(error) => EvictOutcome::Failed(chain(&error)),
        }
    }

    async fn publish(&self, write: publish::Write) -> PublishOutcome {
        let params = PatchParams::default();
        let request = kube::core::Request::new(NodePod::url_path(&(), Some(&write.namespace))).patch_subresource(
            "status",
            &write.name,
            &params,
            &Patch::Strategic(&write.body),
        );
        let request = match request {
            Ok(request) => request,
            Err(error) => return PublishOutcome::Failed(chain(&error)),
        };
        match self.kube.request::<WrittenPod>(request).await {
            Ok(pod) => {
                let phase = write.status.phase.as_deref().and_then(Phase::parse);
                PublishOutcome::Written(Written {
                    fingerprint: status::fingerprint(&write.status),
                    resource_version: pod.resource_version(),
                    attempt: write.attempt,
                    annotated: write.annotated,
                    files: write.files,
                    previous: Previous::of(&write.status),
                    finished: phase.is_some_and(Phase::is_terminal),
                    running: phase == Some(Phase::Running),
                })
            }
            Err(kube::Error::Api(answer)) if is_another_pod(&answer) => PublishOutcome::Gone,
            Err(error) => PublishOutcome::Failed(chain(&error)),
        }
    }

    /// Removes the object with grace 0, if it is still the same pod.
    async fn remove_object(&self, named: &Named) -> Result<(), String> {
        let api: Api<NodePod> = Api::namespaced(self.kube.clone(), &named.namespace);
        let params = DeleteParams {
            grace_period_seconds: Some(0),
            preconditions: Some(Preconditions {
                uid: Some(named.uid.clone()),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        match api.delete(&named.name, &params).await {
            Ok(_) => Ok(()),
            // Gone, or the name belongs to a pod made since.
            Err(kube::Error::Api(answer)) if is_another_pod(&answer) => Ok(()),
            Err(error) => Err(chain(&error)),
        }
    }
}

/// Where the group is, as far as that was decided here. All vSwitches of another zone are in it, by the settings.
fn whereabouts(request: &CreateContainerGroup, candidate: &Candidate) -> Whereabouts {
    let mut at = Whereabouts::of(request);
    if candidate.is_elsewhere {
        at.zone_id.clone_from(&candidate.zone_id);
    }
    at
}

/// Says where there is no stock: it may be elsewhere.
fn located(mut failure: Failure, candidate: &Candidate) -> Failure {
    if failure.class == ErrorClass::Stock {
        failure.message = format!("{} [{candidate}]", failure.message);
    }
    failure
}

/// When the first of the pod's tokens ends.
fn first_end(refs: &Refs) -> Option<Timestamp> {
    refs.tokens.values().filter_map(|token| expiry::of(&token.0)).min()
}

/// Whether the answer says that the pod is gone: there is none of that name (404), or another one has it now, as the UID
/// that a patch cannot change (422) or a precondition (409) says. A conflict about anything else is none of these, and the
/// name of a pod stands in every message: `druid-0` has a UID in it.
fn is_another_pod(answer: &kube::core::Status) -> bool {
    match answer.code {
        404 => true,
        409 => {
            answer.message.contains("the UID in the precondition") || answer.message.contains("UID in precondition:")
        }
        422 => {
            let causes = answer.details.iter().flat_map(|details| &details.causes);
            causes.into_iter().any(|cause| cause.field == "metadata.uid")
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;
    use serde_json::json;

    use super::is_another_pod;

    fn says(code: u16, message: &str, field: &str) -> bool {
        let status: Status = serde_json::from_value(json!({
            "status": "Failure", "code": code, "message": message, "reason": "",
            "details": { "causes": [{ "reason": "FieldValueInvalid", "message": "", "field": field }] },
        }))
        .expect("a status");
        is_another_pod(&status)
    }

    #[test]
    fn only_a_uid_tells_that_a_name_belongs_to_another_pod() {
        assert!(says(404, "pods \"a\" not found", ""));
        assert!(says(
            422,
            "Pod \"a\" is invalid: metadata.uid: Invalid value: \"x\": field is immutable",
            "metadata.uid"
        ));
        assert!(!says(
            422,
            "Pod \"druid-0\" is invalid: status.podIP: Invalid value: \"x\"",
            "status.podIP"
        ));
        let conflict = |why: &str| format!("Operation cannot be fulfilled on pods \"druid-0\": {why}");
        assert!(says(
            409,
            &conflict("the UID in the precondition (x) does not match the UID in record (y)."),
            ""
        ));
        assert!(says(
            409,
            &conflict("Precondition failed: UID in precondition: x, UID in object meta: y"),
            ""
        ));
        assert!(!says(
            409,
            &conflict("the object has been modified; please apply your changes"),
            ""
        ));
        assert!(!says(500, &conflict("the UID in the precondition"), "metadata.uid"));
    }
}
