//! Groups that carry our tags but that no record knows: adopted if their pod is here, deleted if nobody owns them.
//!
//! # Guarantees
//! - A group is deleted only if its cluster, node and UID tags are ours, the list of pods is complete and lacks its UID, and
//!   it is older than [`Adopter::orphan_age`] or another pod has its pod's name: then that one is gone for certain.
//! - A group of a pod whose create is still under way is left alone: the create's own answer names it.

use std::sync::Arc;
use std::time::Duration;

use eci::{Client, GroupQuery};
use jiff::Timestamp;
use provider::error::ErrorClass;
use provider::group::ObservedGroup;
use provider::status::PodFacts;
use provider::tags;
use tokio::sync::mpsc;

use crate::caps::{Caps, Stray};
use crate::cost::recorder::Recorder;
use crate::pods::claims;
use crate::pods::figures::Figures;
use crate::pods::input::Input;
use crate::pods::metering;
use crate::pods::record::{Desired, GroupState, Placed, PodRecord, Uid, size_of};
use crate::pods::store::Store;

/// Ids in one call, ECI's bound.
const IDS_PER_CALL: usize = 20;

/// A group that no record knows, as the cheap call shows it.
#[derive(Debug)]
pub struct Stranger {
    /// Its id.
    pub id: String,
    /// `StartTime`, which the full record lacks.
    pub start_time: Option<Timestamp>,
}

/// Sorts strangers into adopted and orphaned.
#[derive(Clone)]
pub struct Adopter {
    /// The client.
    pub eci: Client,
    /// Tags that every group of this node carries.
    pub ownership: Vec<(String, String)>,
    /// A group younger than this may belong to a pod that the watch has not shown yet.
    pub orphan_age: Duration,
    /// Figures.
    pub figures: Figures,
    /// What namespaces may have.
    pub caps: Caps,
    /// Where records of cost are kept.
    pub recorder: Option<Recorder>,
}

/// What a stranger is.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// It belongs to this pod.
    Adopt(Uid),
    /// Its pod has another group.
    Surplus,
    /// Its pod is gone.
    Remains {
        /// Another pod has the name, and waits until this group is gone, too.
        succeeded: bool,
    },
    /// Not ours, too young, or about to explain itself.
    Leave,
}

impl Adopter {
    /// Reads the tags of `strangers` and acts on each; returns those of ours that belong to no pod here.
    pub async fn sort(
        &self,
        store: &Store,
        inputs: &mpsc::Sender<Input>,
        strangers: Vec<Stranger>,
        now: Timestamp,
    ) -> Result<Vec<Stray>, eci::Error> {
        let mut strays = Vec::new();
        for chunk in strangers.chunks(IDS_PER_CALL) {
            let query = GroupQuery {
                ids: chunk.iter().map(|stranger| stranger.id.clone()).collect(),
                ..GroupQuery::default()
            };
            for mut group in self.eci.describe_container_groups(&query).await?.groups {
                let seen = chunk.iter().find(|stranger| stranger.id == group.id);
                group.start_time = group.start_time.or(seen.and_then(|stranger| stranger.start_time));
                let verdict = self.judge(store, &group, now);
                if verdict == Verdict::Leave && !group.status.is_terminal() {
                    strays.extend(self.stray(store, &group));
                }
                match verdict {
                    Verdict::Adopt(uid) => {
                        store.update(&uid, |record| {
                            adopt(record, &group, now);
                            claims::settle(&self.caps, &uid, record, now);
                        });
                        tracing::info!(pod_uid = %uid, group = %group.id, "adopted the pod's container group");
                        self.figures.decision("adopt");
                        // A closed channel means shutdown.
                        let _ = inputs.send(Input::Observed(vec![uid])).await;
                    }
                    Verdict::Surplus | Verdict::Remains { .. } => {
                        // Deleted as any pod's group, until it is gone: so what it costs is known to its end.
                        let Some(mut record) = remains(&group, now) else {
                            self.delete_orphan(&group).await?;
                            continue;
                        };
                        let succeeded = verdict == Verdict::Remains { succeeded: true };
                        let uid = match verdict {
                            // The pod's own record has the UID.
                            Verdict::Surplus => Uid::from(format!("{}/{}", record.facts.uid, group.id)),
                            _ => Uid::from(&*record.facts.uid),
                        };
                        if let Some(recorder) = &self.recorder {
                            record.meter = Some(metering::meter_of_remains(recorder, &group, &record.facts, now));
                        }
                        if succeeded {
                            tracing::info!(pod_uid = %uid, group = %group.id, "a pod of that name is here, but the group is an earlier one's");
                            self.figures.decision("delete-remains");
                        } else {
                            self.note_orphan(&group);
                        }
                        claims::settle(&self.caps, &uid, &mut record, now);
                        store.lock().insert(uid.clone(), record);
                        // A closed channel means shutdown.
                        let _ = inputs.send(Input::Observed(vec![uid])).await;
                    }
                    Verdict::Leave => {}
                }
            }
        }
        Ok(strays)
    }

    /// What `group` takes of its namespace's cap, if it is ours and no record speaks for it.
    fn stray(&self, store: &Store, group: &ObservedGroup) -> Option<Stray> {
        let ours = self.ownership.iter().all(|(key, value)| group.tag(key) == Some(value));
        let (uid, namespace) = (group.tag(tags::UID)?, group.tag(tags::NAMESPACE)?);
        let records = store.lock();
        // The group of a create that is under way is counted with its pod.
        let spoken_for = records.get(uid).is_some_and(|record| match &record.group {
            GroupState::Present { id, .. } => **id == *group.id,
            GroupState::Gone => false,
            _ => true,
        });
        (ours && !spoken_for).then(|| Stray {
            namespace: Arc::from(namespace),
            cpu: group.size.map(size_of).unwrap_or_default().cpu,
        })
    }

    fn judge(&self, store: &Store, group: &ObservedGroup, now: Timestamp) -> Verdict {
        let ours = self.ownership.iter().all(|(key, value)| group.tag(key) == Some(value));
        let Some(uid) = group.tag(tags::UID).filter(|_| ours) else {
            return Verdict::Leave;
        };
        let records = store.lock();
        if let Some(record) = records.get(uid) {
            return match &record.group {
                _ if record.busy => Verdict::Leave,
                GroupState::Unknown | GroupState::Absent { .. } | GroupState::Accepted { .. } => {
                    Verdict::Adopt(Uid::from(uid))
                }
                GroupState::Present { id, .. } if **id == *group.id => Verdict::Leave,
                GroupState::Present { .. } | GroupState::Gone => Verdict::Surplus,
            };
        }
        let name = (group.tag(tags::NAMESPACE), group.tag(tags::POD_NAME));
        let successor = match name {
            (Some(namespace), Some(name)) if records.pods_listed => records.find(namespace, name),
            _ => None,
        };
        if successor.is_some_and(|(_, record)| !record.desired.gone) {
            return Verdict::Remains { succeeded: true };
        }
        let old_enough = group
            .created
            .is_some_and(|at| now.duration_since(at) >= self.orphan_age.try_into().unwrap_or_default());
        if records.pods_listed && old_enough {
            Verdict::Remains { succeeded: false }
        } else {
            Verdict::Leave
        }
    }

    fn note_orphan(&self, group: &ObservedGroup) {
        tracing::warn!(
            group = %group.id,
            pod = group.tag(tags::POD_NAME).unwrap_or_default(),
            namespace = group.tag(tags::NAMESPACE).unwrap_or_default(),
            "deleting a container group of ours that no pod owns"
        );
        self.figures.decision("delete-orphan");
    }

    async fn delete_orphan(&self, group: &ObservedGroup) -> Result<(), eci::Error> {
        self.note_orphan(group);
        match self.eci.delete_container_group(&group.id, false).await {
            Ok(()) => Ok(()),
            Err(error) if error.class() == ErrorClass::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// The record of a pod that is gone, or has another group, and left `group` behind; none where the tags do not say which pod that was.
fn remains(group: &ObservedGroup, now: Timestamp) -> Option<PodRecord> {
    let facts = PodFacts {
        uid: group.tag(tags::UID)?.into(),
        namespace: group.tag(tags::NAMESPACE)?.into(),
        name: group.tag(tags::POD_NAME)?.into(),
        ..PodFacts::default()
    };
    let desired = Desired {
        gone: true,
        ..Desired::default()
    };
    let mut record = PodRecord::new(facts, desired, GroupState::Unknown, now);
    record.has_group(Arc::from(group.id.as_str()), 0, group.created.unwrap_or(now), now);
    record.bought = group.size.map(size_of).unwrap_or_default().cpu;
    Some(record)
}

/// Makes `group` the group of `record`.
pub fn adopt(record: &mut PodRecord, group: &ObservedGroup, now: Timestamp) {
    let attempt = match record.group {
        GroupState::Absent { attempt } | GroupState::Accepted { attempt, .. } => attempt,
        _ => record.published.attempt,
    };
    record.has_group(Arc::from(group.id.as_str()), attempt, group.created.unwrap_or(now), now);
    record.placed = Placed::of(group);
    metering::adopted(record, group, now);
    record.bought = group.size.map(size_of).unwrap_or_default().cpu;
}
