//! Events on pods: what their owners should know, said once.
//!
//! Nothing is said on the success path: a burst of a thousand pods must not cost a thousand more writes. Events go through
//! a bounded queue of their own; when it is full the event is dropped and counted, because a pod never waits for its Event.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use provider::mapping::{Warning, Weakened};
use provider::sizes::Size;
use tokio::sync::mpsc;

use crate::pods::figures::Figures;
use crate::pods::record::PodRecord;
use crate::pods::trouble::Trouble;
use crate::shutdown::Shutdown;

/// Reason: a field is weaker here than the pod asks.
pub const WEAKENED: &str = "FieldNotEnforced";
/// Reason: something of the pod may not work here as it is meant.
pub const DOUBTFUL: &str = "FieldDoubtful";
/// Reason: the size was rounded up, and the difference is billed.
pub const ROUNDED: &str = "AutoInstanceTypeMatch";

/// Name under which the agent reports.
const CONTROLLER: &str = "virtual-node";
/// Events waiting to be written.
const QUEUE: usize = 1_024;
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

struct Notice {
    on: ObjectReference,
    event: Event,
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
        let reporter = Reporter {
            controller: CONTROLLER.to_owned(),
            instance: Some(node.to_owned()),
        };
        let recorder = Recorder::new(client, reporter);
        let writer = async move {
            while let Some(Some(notice)) = shutdown.race(waiting.recv()).await {
                if let Err(error) = recorder.publish(&notice.event, &notice.on).await {
                    tracing::warn!(reason = notice.event.reason, error = %crate::chain::chain(&error), "writing an Event failed");
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
            self.announce(record, owner, EventType::Normal, WEAKENED, list.join("; "));
        }
        if !warnings.is_empty() {
            let list: Vec<String> = warnings.iter().map(|w| format!("{}: {}", w.field, w.message)).collect();
            self.announce(record, owner, EventType::Warning, DOUBTFUL, list.join("; "));
        }
        if size != asked {
            let note = format!("asked for {asked}, ECI sells and bills {size}");
            self.announce(record, owner, EventType::Normal, ROUNDED, note);
        }
    }

    /// Something stands in the way. Said once for each kind, when it is news: waits that are over in a moment are not.
    pub fn trouble(&self, record: &PodRecord, trouble: &Trouble, told_before: bool, now: Timestamp) {
        if trouble.is_news(now) && !told_before {
            self.put(
                record,
                EventType::Warning,
                trouble.kind.event_reason(),
                trouble.message.clone(),
            );
        }
    }

    fn announce(&self, record: &PodRecord, owner: &str, type_: EventType, reason: &str, note: String) {
        let mut hasher = DefaultHasher::new();
        (owner, &note).hash(&mut hasher);
        {
            let mut announced = self.announced.lock().unwrap_or_else(PoisonError::into_inner);
            if announced.len() >= ANNOUNCED {
                announced.clear();
            }
            if !announced.insert(hasher.finish()) {
                return;
            }
        }
        self.put(record, type_, reason, note);
    }

    fn put(&self, record: &PodRecord, type_: EventType, reason: &str, mut note: String) {
        if note.len() > NOTE_LIMIT {
            let end = (0..=NOTE_LIMIT - 4)
                .rev()
                .find(|i| note.is_char_boundary(*i))
                .unwrap_or_default();
            note.truncate(end);
            note.push('…');
        }
        let event = Event {
            type_,
            reason: reason.to_owned(),
            note: Some(note),
            action: "Run".to_owned(),
            secondary: None,
        };
        let facts = &record.facts;
        let on = ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            namespace: Some(facts.namespace.to_string()),
            name: Some(facts.name.to_string()),
            uid: Some(facts.uid.to_string()),
            ..ObjectReference::default()
        };
        if self.queue.try_send(Notice { on, event }).is_err() {
            self.figures.event_dropped();
        }
    }
}
