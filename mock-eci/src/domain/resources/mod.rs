//! What an account has beside groups: image caches, data caches, virtual nodes, commits and tasks of operation.
//!
//! [`Account`] keeps one [`store::Store`] per kind. It is pure: times come in, and what happens by itself (a cache becomes
//! ready, a retention ends) waits in a queue of timers until [`Account::advance`] is told that its time has come.

pub mod commit;
pub mod data_cache;
pub mod image_cache;
pub mod ops;
pub mod store;
pub mod tag_pages;
pub mod tags;
pub mod virtual_node;

use std::{collections::VecDeque, time::Duration};

use jiff::Timestamp;
use rand::{RngExt, SeedableRng, rngs::StdRng};

use self::{
    commit::Commit,
    data_cache::DataCache,
    image_cache::ImageCache,
    ops::OpsTask,
    store::{Item, Record, Store},
    tags::{Removed, Tags},
    virtual_node::VirtualNode,
};
use crate::timers::{Timers, after};

/// How long a step takes that ECI needs minutes for: loading data, taking a snapshot, starting a node.
pub const STEP: Duration = Duration::from_secs(1);
/// A cache that could not be made is kept this long.
pub const FAILED_KEPT: Duration = Duration::from_secs(24 * 3600);
/// Events kept per resource.
const MAX_EVENTS: usize = 50;

/// A kind of resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `imc-…`
    ImageCache,
    /// `edc-…`
    DataCache,
    /// `vnd-…`
    VirtualNode,
    /// `t-…`
    Commit,
    /// Tasks of operation have no id on the wire.
    OpsTask,
}

impl Kind {
    /// What its ids begin with.
    fn prefix(self) -> &'static str {
        match self {
            Self::ImageCache => "imc",
            Self::DataCache => "edc",
            Self::VirtualNode => "vnd",
            Self::Commit => "t",
            Self::OpsTask => "ops",
        }
    }
}

/// Why a call comes to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// There is none of this id, or at this place.
    NotFound(Kind, String),
    /// The account has all it may have of these.
    Quota(Kind),
    /// Its status (here given in ECI's word) does not allow it.
    Status(Kind, &'static str),
    /// Another data cache is there (bucket and path).
    PathTaken(String),
    /// More tags than a resource may have.
    TooManyTags,
}

/// Something that happened to a resource, for people.
#[derive(Clone, Debug)]
pub struct Event {
    /// `Warning`, otherwise `Normal`.
    pub warning: bool,
    /// CamelCase word.
    pub reason: String,
    /// In words.
    pub message: String,
    /// How often.
    pub count: u32,
    /// The first time.
    pub first: Timestamp,
    /// The newest time.
    pub last: Timestamp,
}

/// The newest events of one resource.
#[derive(Clone, Debug, Default)]
pub struct Events(VecDeque<Event>);

impl Events {
    /// Adds one; the same one again counts up.
    pub fn add(&mut self, warning: bool, reason: &str, message: impl Into<String>, at: Timestamp) {
        let message = message.into();
        if let Some(same) = self.0.iter_mut().find(|e| e.reason == reason && e.message == message) {
            same.count = same.count.saturating_add(1);
            same.last = at;
            return;
        }
        if self.0.len() >= MAX_EVENTS {
            self.0.pop_front();
        }
        self.0.push_back(Event {
            warning,
            reason: reason.to_owned(),
            message,
            count: 1,
            first: at,
            last: at,
        });
    }

    /// Oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Event> {
        self.0.iter()
    }
}

/// What every resource is made with.
#[derive(Clone, Debug, Default)]
pub struct Common {
    /// `ResourceGroupId`.
    pub resource_group_id: String,
    /// `Tag.N`.
    pub tags: Tags,
    /// `RetentionDays`; none = it never expires.
    pub retention: Option<Duration>,
}

/// What an update changes of that; what is not given stays.
#[derive(Clone, Debug, Default)]
pub struct CommonChange {
    /// `ResourceGroupId`.
    pub resource_group_id: Option<String>,
    /// `Tag.N`, which are added.
    pub tags: Tags,
    /// `RetentionDays`, which count from the update.
    pub retention: Option<Duration>,
}

impl CommonChange {
    /// Applies it.
    fn apply<R>(&self, item: &mut Item<R>, now: Timestamp) -> Result<(), Refused> {
        tags::add(&mut item.tags, &self.tags).map_err(|_| Refused::TooManyTags)?;
        if let Some(id) = &self.resource_group_id {
            item.resource_group_id.clone_from(id);
        }
        if let Some(kept) = self.retention {
            item.expires_at = Some(after(now, kept));
        }
        Ok(())
    }
}

/// The tag by which a user of the simulation says that a resource cannot be made, and for which reason: the same one that
/// groups have.
pub const FAILURE_TAG: &str = "mock-eci/launch-error";

/// The reason with which a resource is to fail, if its tags say so.
fn planned_failure(tags: &[(String, String)]) -> Option<&str> {
    tags.iter().find(|(k, _)| k == FAILURE_TAG).map(|(_, v)| v.as_str())
}

/// How many of each kind an account may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quotas {
    /// Image caches made by callers.
    pub image_caches: usize,
    /// Image caches ECI makes by itself. Nothing here does, so this is for show.
    pub auto_image_caches: usize,
    /// Data caches.
    pub data_caches: usize,
    /// Virtual nodes.
    pub virtual_nodes: usize,
}

impl Quotas {
    /// As ECI's sample of `ListUsage` has them; that of virtual nodes is not documented and chosen here.
    pub const DOCUMENTED: Self = Self {
        image_caches: 500,
        auto_image_caches: 25,
        data_caches: 100,
        virtual_nodes: 1_000,
    };
    /// Where limits are off: only what memory allows.
    pub const NONE: Self = Self {
        image_caches: 50_000,
        auto_image_caches: 50_000,
        data_caches: 50_000,
        virtual_nodes: 50_000,
    };
}

/// All of it.
#[derive(Debug)]
pub struct Account {
    /// How many there may be.
    pub quotas: Quotas,
    /// Image caches.
    pub image_caches: Store<ImageCache>,
    /// Data caches.
    pub data_caches: Store<DataCache>,
    /// Virtual nodes.
    pub virtual_nodes: Store<VirtualNode>,
    /// Commits of containers.
    pub commits: Store<Commit>,
    /// Tasks of operation.
    pub ops: Store<OpsTask>,
    timers: Timers<(Kind, String)>,
    ids: StdRng,
    /// Pulls for image caches ever begun.
    pulls: u64,
}

impl Account {
    /// One without anything.
    pub fn new(seed: u64, quotas: Quotas) -> Self {
        Self {
            quotas,
            image_caches: Store::default(),
            data_caches: Store::default(),
            virtual_nodes: Store::default(),
            commits: Store::default(),
            ops: Store::default(),
            timers: Timers::default(),
            // Another stream than that of groups' ids, so that these stay what they are for a seed.
            ids: StdRng::seed_from_u64(seed ^ 0x5eed_acc0_0000_0002),
            pulls: 0,
        }
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.image_caches = Store::default();
        self.data_caches = Store::default();
        self.virtual_nodes = Store::default();
        self.commits = Store::default();
        self.ops = Store::default();
        self.timers.clear();
    }

    /// When something is due next.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.timers.next()
    }

    /// Does all that is due.
    pub fn advance(&mut self, now: Timestamp) {
        while let Some((kind, id)) = self.timers.pop_due(now) {
            let next = match kind {
                Kind::ImageCache => self.image_caches.advance(&id, now),
                Kind::DataCache => self.data_caches.advance(&id, now),
                Kind::VirtualNode => self.virtual_nodes.advance(&id, now),
                Kind::Commit => self.commits.advance(&id, now),
                Kind::OpsTask => self.ops.advance(&id, now),
            };
            if let Some(at) = next {
                self.timers.add(at, (kind, id));
            }
        }
    }

    /// Sets the timer of what comes next for a resource. One of before finds nothing to do when it goes off.
    fn arm(&mut self, kind: Kind, id: &str) {
        let due = match kind {
            Kind::ImageCache => self.image_caches.get(id).and_then(Item::due),
            Kind::DataCache => self.data_caches.get(id).and_then(Item::due),
            Kind::VirtualNode => self.virtual_nodes.get(id).and_then(Item::due),
            Kind::Commit => self.commits.get(id).and_then(Item::due),
            Kind::OpsTask => self.ops.get(id).and_then(Item::due),
        };
        if let Some(at) = due {
            self.timers.add(at, (kind, id.to_owned()));
        }
    }

    /// An id of this form, never given before but by a chance of one in 10³¹.
    fn new_id(&mut self, prefix: &str) -> String {
        const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
        let mut id = format!("{prefix}-");
        id.extend((0..20).map(|_| char::from(ALPHABET[self.ids.random_range(0..ALPHABET.len())])));
        id
    }

    fn item<R: Record>(&mut self, kind: Kind, common: Common, record: R, now: Timestamp) -> Item<R> {
        Item {
            id: self.new_id(kind.prefix()),
            created_at: now,
            resource_group_id: common.resource_group_id,
            tags: common.tags,
            step_at: None,
            expires_at: common.retention.map(|kept| after(now, kept)),
            record,
        }
    }

    /// Tags of a resource, to change; none = there is no such resource, or its kind has no tags.
    fn tags_mut(&mut self, kind: Kind, id: &str) -> Option<&mut Tags> {
        match kind {
            Kind::ImageCache => self.image_caches.get_mut(id).map(|i| &mut i.tags),
            Kind::DataCache => self.data_caches.get_mut(id).map(|i| &mut i.tags),
            Kind::VirtualNode => self.virtual_nodes.get_mut(id).map(|i| &mut i.tags),
            Kind::Commit | Kind::OpsTask => None,
        }
    }

    /// Adds tags to resources: to all of them or, when one cannot have them, to none.
    ///
    /// # Errors
    /// [`Refused::NotFound`], [`Refused::TooManyTags`].
    pub fn tag(&mut self, kind: Kind, ids: &[String], added: &Tags) -> Result<(), Refused> {
        for id in ids {
            let missing = || Refused::NotFound(kind, id.clone());
            let mut trial = self.tags_mut(kind, id).ok_or_else(missing)?.clone();
            tags::add(&mut trial, added).map_err(|_| Refused::TooManyTags)?;
        }
        for id in ids {
            if let Some(tags) = self.tags_mut(kind, id) {
                // Tried above.
                let _ = tags::add(tags, added);
            }
        }
        Ok(())
    }

    /// Takes tags away from resources, from all of them or, when one is not there, from none.
    ///
    /// # Errors
    /// [`Refused::NotFound`].
    pub fn untag(&mut self, kind: Kind, ids: &[String], removed: &Removed) -> Result<(), Refused> {
        if let Some(id) = ids.iter().find(|id| self.tags_mut(kind, id).is_none()) {
            return Err(Refused::NotFound(kind, id.clone()));
        }
        for id in ids {
            if let Some(tags) = self.tags_mut(kind, id) {
                tags::remove(tags, removed);
            }
        }
        Ok(())
    }
}
