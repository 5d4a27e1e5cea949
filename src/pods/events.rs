//! Events on pods: what their owners should know, said once.
//!
//! Nothing is said on the success path: a burst of a thousand pods must not cost a thousand more writes. Events go through
//! a bounded queue of their own; when it is full the event is dropped and counted, because a pod never waits for its Event.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::Api;
use kube::api::PostParams;
use provider::group::ContainerState;
use provider::mapping::{Warning, Weakened};
use provider::sizes::{self, Size};
use tokio::sync::mpsc;

use crate::chain::chain;
use crate::clock;
use crate::pods::absorb::why_not_started;
use crate::pods::conditions::SPOT_TO_BE_RELEASED;
use crate::pods::figures::Figures;
use crate::pods::record::PodRecord;
use crate::shutdown::Shutdown;

/// Reason: a field is weaker here than the pod asks.
pub const WEAKENED: &str = "FieldNotEnforced";
/// Reason: something of the pod may not work here as it is meant.
pub const DOUBTFUL: &str = "FieldDoubtful";
/// Reason: the size was rounded up, and the difference is billed.
pub const ROUNDED: &str = "AutoInstanceTypeMatch";

/// Reason: a pod cannot be evicted now.
pub const EVICTION_BLOCKED: &str = "EvictionBlocked";

/// Reason: the group is in another zone than the node's, which has no stock.
pub const OTHER_ZONE: &str = "CreatedInOtherZone";

/// What becomes of a pod for which there is no stock in one place.
const NEXT_WAY: &str = "the next way to buy the container group is tried";

/// Reason: files of a running group were renewed.
pub const FILES_RENEWED: &str = "FilesRenewed";
/// Reason: they could not be.
pub const FILES_KEPT: &str = "FilesNotRenewed";
/// Reason: logs are not kept beyond the group at present.
pub const LOGS_NOT_KEPT: &str = "LogsNotArchived";

/// Name under which the agent reports.
const CONTROLLER: &str = "virtual-node";
/// What the agent was about when there was something to say.
const ACTION: &str = "Run";
/// Where Events on objects without a namespace go, as with all others.
const NAMESPACE_OF_NONE: &str = "default";
/// Events waiting to be written.
const QUEUE: usize = 1_024;
/// Of a pod's name in the name of an Event, which may have 253 characters.
const NAME_LIMIT: usize = 220;
/// A note may have 1 kB.
const NOTE_LIMIT: usize = 1_000;
/// Shapes that were announced; cleared when there are so many, at the price of saying something twice.
const ANNOUNCED: usize = 10_000;

/// Where events are put.
#[derive(Clone)]
pub struct Notices {
    queue: mpsc::Sender<Notice>,
    /// Hashes of owner and note: the texts themselves would be most of a burst's memory.
    announced: Arc<Mutex<HashSet<u64>>>,
    figures: Figures,
}

/// How much an Event matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// To know.
    Normal,
    /// To act upon.
    Warning,
}

struct Notice {
    on: ObjectReference,
    weight: Weight,
    reason: String,
    note: String,
    at: Timestamp,
}

impl Notice {
    /// The object to write. kube's own recorder is not used: it counts notices of one reason as one Event, whatever they say,
    /// and remembers each for six minutes, which in a burst of ownerless pods is more than all records together.
    fn into_event(self, instance: &str) -> Event {
        // As client-go names its own, and two of one instant apart: the pod's name, as far as it fits, and a suffix.
        let mut hasher = DefaultHasher::new();
        (&self.on.uid, &self.reason, &self.note).hash(&mut hasher);
        let name: String = self
            .on
            .name
            .iter()
            .flat_map(|name| name.chars())
            .take(NAME_LIMIT)
            .collect();
        let name = format!("{name}.{:x}{:08x}", self.at.as_microsecond(), hasher.finish() as u32);
        Event {
            metadata: ObjectMeta {
                name: Some(name),
                namespace: Some(
                    self.on
                        .namespace
                        .clone()
                        .unwrap_or_else(|| NAMESPACE_OF_NONE.to_owned()),
                ),
                ..ObjectMeta::default()
            },
            action: Some(ACTION.to_owned()),
            event_time: Some(MicroTime(self.at)),
            note: Some(self.note),
            reason: Some(self.reason),
            regarding: Some(self.on),
            reporting_controller: Some(CONTROLLER.to_owned()),
            reporting_instance: Some(instance.to_owned()),
            type_: Some(
                match self.weight {
                    Weight::Normal => "Normal",
                    Weight::Warning => "Warning",
                }
                .to_owned(),
            ),
            ..Event::default()
        }
    }
}

impl Notices {
    /// The queue, and the task that empties it.
    pub fn new(
        client: kube::Client,
        node: &str,
        figures: Figures,
        shutdown: Shutdown,
    ) -> (Self, impl Future<Output = ()>) {
        let (queue, mut waiting) = mpsc::channel::<Notice>(QUEUE);
        let instance = node.to_owned();
        let writer = async move {
            while let Some(Some(notice)) = shutdown.race(waiting.recv()).await {
                let event = notice.into_event(&instance);
                let namespace = event.metadata.namespace.as_deref().unwrap_or(NAMESPACE_OF_NONE);
                let api: Api<Event> = Api::namespaced(client.clone(), namespace);
                if let Err(error) = api.create(&PostParams::default(), &event).await {
                    tracing::warn!(reason = event.reason, error = %chain(&error), "writing an Event failed");
                }
            }
        };
        (
            Self {
                queue,
                announced: Arc::default(),
                figures,
            },
            writer,
        )
    }

    /// A group was made: announces what differs from the pod's wishes, once per owner and shape.
    pub fn created(&self, record: &PodRecord, size: Size, asked: Size, weakened: &[Weakened], warnings: &[Warning]) {
        for field in weakened {
            self.figures.weakened(&field.field);
        }
        let owner = record.owner.as_deref().unwrap_or(&record.facts.uid);
        if !weakened.is_empty() {
            let list: Vec<String> = weakened.iter().map(|w| format!("{}: {}", w.field, w.why)).collect();
            self.announce(record, owner, Weight::Normal, WEAKENED, list.join("; "));
        }
        if !warnings.is_empty() {
            let list: Vec<String> = warnings.iter().map(|w| format!("{}: {}", w.field, w.message)).collect();
            self.announce(record, owner, Weight::Warning, DOUBTFUL, list.join("; "));
        }
        if let Some(note) = sizes::rounding(asked, size) {
            self.announce(record, owner, Weight::Normal, ROUNDED, note);
        }
    }

    /// Something stands in the way. Said once for each reason, when it is news: waits that are over in a moment are not.
    pub fn trouble(&self, record: &PodRecord, now: Timestamp) {
        let Some(trouble) = record.news(now) else { return };
        if self.is_first(&(&*record.facts.uid, &*trouble.reason)) {
            self.put(record, Weight::Warning, &trouble.reason, trouble.message.to_string());
        }
    }

    /// There is no stock in one way to buy the group, and the next is tried at once: the pod may run before its status could tell.
    /// Said once for each way.
    pub fn no_stock(&self, record: &PodRecord, message: &str) {
        let Some(trouble) = &record.trouble else { return };
        let uid = &*record.facts.uid;
        // Its status needs no Event of its own then.
        self.is_first(&(uid, &*trouble.reason));
        if self.is_first(&(uid, NEXT_WAY, message)) {
            self.put(
                record,
                Weight::Warning,
                &trouble.reason,
                format!("{message}; {NEXT_WAY}"),
            );
        }
    }

    /// The group got no resources after it had been accepted, and another one is made.
    pub fn not_started(&self, record: &PodRecord) {
        let Some(seen) = &record.observed else { return };
        let (reason, message) = why_not_started(&seen.group);
        let uid = &*record.facts.uid;
        self.is_first(&(uid, reason));
        let at = record.placed.as_ref().map(|placed| &placed.at);
        let place = at.map_or("", |at| {
            if at.zone_id.is_empty() {
                &at.vswitch_id
            } else {
                &at.zone_id
            }
        });
        let place = if place.is_empty() || message.contains(place) {
            String::new()
        } else {
            format!(" [{place}]")
        };
        let note = format!("{message}{place}; {NEXT_WAY}");
        if self.is_first(&(uid, &note)) {
            self.put(record, Weight::Warning, reason, note);
        }
    }

    /// The group is in another zone than the node.
    pub fn elsewhere(&self, record: &PodRecord, place: &str) {
        let note = format!("the node's own zone had no stock: the container group is created in {place}");
        self.put(record, Weight::Normal, OTHER_ZONE, note);
    }

    /// Containers that cannot be started, in a kubelet's words; once for each container and reason.
    pub fn start_problems(&self, record: &PodRecord) {
        let Some(group) = record.observed.as_ref().map(|o| &o.group) else {
            return;
        };
        for container in group.init_containers.iter().flatten().chain(&group.containers) {
            let ContainerState::Waiting { reason, message } = &container.state else {
                continue;
            };
            let (name, image) = (&container.name, &container.image);
            let (weight, event, note) = match reason.as_str() {
                "ErrImagePull" | "ErrImageNeverPull" | "InvalidImageName" | "ImageInspectError" => (
                    Weight::Warning,
                    "Failed",
                    format!("Failed to pull image \"{image}\": {message}"),
                ),
                "ImagePullBackOff" => (Weight::Normal, "BackOff", format!("Back-off pulling image \"{image}\"")),
                "CreateContainerError" | "CreateContainerConfigError" | "RunContainerError" => {
                    (Weight::Warning, "Failed", format!("Error: {message}"))
                }
                "CrashLoopBackOff" => (
                    Weight::Warning,
                    "BackOff",
                    format!(
                        "Back-off restarting failed container {name} in pod {}",
                        record.facts.name
                    ),
                ),
                _ => continue,
            };
            if self.is_first(&(&*record.facts.uid, name, reason)) {
                self.put(record, weight, event, note);
            }
        }
    }

    /// ECI takes the group's spot resources back.
    pub fn release(&self, record: &PodRecord) {
        if let Some(release) = record.release() {
            self.put(
                record,
                Weight::Warning,
                SPOT_TO_BE_RELEASED,
                format!("{}; the pod is evicted", release.message),
            );
        }
    }

    /// The logs of a pod cannot be kept at present. Said once.
    pub fn logs_not_kept(&self, record: &PodRecord, why: String) {
        if self.is_first(&(&*record.facts.uid, LOGS_NOT_KEPT)) {
            self.put(
                record,
                Weight::Warning,
                LOGS_NOT_KEPT,
                format!("{why}. It is tried again."),
            );
        }
    }

    /// A disruption budget does not allow the eviction of a pod whose spot resources are taken back. Said once.
    pub fn eviction_blocked(&self, record: &PodRecord, message: String) {
        if self.is_first(&(&*record.facts.uid, EVICTION_BLOCKED)) {
            let note = format!("{message} Its container group ends at the announced time all the same.");
            self.put(record, Weight::Warning, EVICTION_BLOCKED, note);
        }
    }

    /// Files of the group were renewed: its owner should know why containers may have been restarted.
    pub fn files_renewed(&self, record: &PodRecord) {
        let note = "the files of the container group were renewed, as the pod asks; ECI may restart containers that mount them";
        self.put(record, Weight::Normal, FILES_RENEWED, note.to_owned());
    }

    /// The group keeps old files. Said once.
    pub fn files_kept(&self, record: &PodRecord, message: &str) {
        if self.is_first(&(&*record.facts.uid, FILES_KEPT)) {
            let note = format!("the container group keeps its old files for now; it is tried again: {message}");
            self.put(record, Weight::Warning, FILES_KEPT, note);
        }
    }

    /// Something about what it may cost. Said once.
    pub fn budget(&self, record: &PodRecord, reason: &str, note: String) {
        if self.is_first(&(&*record.facts.uid, reason, &*note)) {
            self.put(record, Weight::Warning, reason, note);
        }
    }

    fn announce(&self, record: &PodRecord, owner: &str, weight: Weight, reason: &str, note: String) {
        if self.is_first(&(owner, &*note)) {
            self.put(record, weight, reason, note);
        }
    }

    /// Whether this was not said before, as far as is remembered.
    fn is_first(&self, what: &impl Hash) -> bool {
        let mut hasher = DefaultHasher::new();
        what.hash(&mut hasher);
        let mut announced = self.announced.lock().unwrap_or_else(PoisonError::into_inner);
        if announced.len() >= ANNOUNCED {
            announced.clear();
        }
        announced.insert(hasher.finish())
    }

    /// Says something about an object, once for each note.
    pub fn about_once(&self, on: ObjectReference, weight: Weight, reason: &str, note: String) {
        if self.is_first(&(&on.uid, reason, &*note)) {
            self.about(on, weight, reason, note);
        }
    }

    fn put(&self, record: &PodRecord, weight: Weight, reason: &str, note: String) {
        let facts = &record.facts;
        let on = ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            namespace: Some(facts.namespace.to_string()),
            name: Some(facts.name.to_string()),
            uid: Some(facts.uid.to_string()),
            ..ObjectReference::default()
        };
        self.about(on, weight, reason, note);
    }

    fn about(&self, on: ObjectReference, weight: Weight, reason: &str, mut note: String) {
        if note.len() > NOTE_LIMIT {
            let end = (0..=NOTE_LIMIT - 4)
                .rev()
                .find(|i| note.is_char_boundary(*i))
                .unwrap_or_default();
            note.truncate(end);
            note.push('…');
        }
        let notice = Notice {
            on,
            weight,
            reason: reason.to_owned(),
            note,
            at: clock::now(),
        };
        if self.queue.try_send(notice).is_err() {
            self.figures.event_dropped();
        }
    }
}
