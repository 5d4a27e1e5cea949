//! Image caches: their images are pulled by the runtime, and groups that find one pull less.
//!
//! ```text
//! Preparing (pull) ─► Creating (snapshot) ─► Ready ─ update ─► Updating (pull, snapshot) ─► Ready
//!     └► Failed (kept a day)                                      └► UpdateFailed
//! ```
//! With `Flash` a cache is Ready as soon as its images are there, and its snapshot follows.

use jiff::Timestamp;
use tokio::sync::oneshot;

use super::{
    Account, Common, CommonChange, Events, FAILED_KEPT, Kind, Refused, STEP,
    store::{Item, Record},
};
use crate::{
    runtime::{ImagePull, PullFailed},
    spec::{PullPolicy, RegistryCredential},
    timers::after,
};

/// `Status` of an image cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Its images are being pulled.
    Preparing,
    /// Its snapshot is being taken.
    Creating,
    /// Groups can use it.
    Ready,
    /// It could not be made.
    Failed,
    /// Its images are being pulled anew.
    Updating,
    /// That failed.
    UpdateFailed,
}

impl Status {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Preparing => "Preparing",
            Self::Creating => "Creating",
            Self::Ready => "Ready",
            Self::Failed => "Failed",
            Self::Updating => "Updating",
            Self::UpdateFailed => "UpdateFailed",
        }
    }
}

/// What an image cache is made with.
#[derive(Clone, Debug, Default)]
pub struct ImageCacheSpec {
    /// `ImageCacheName`; not unique.
    pub name: String,
    /// `Image.N`.
    pub images: Vec<String>,
    /// `ImageCacheSize` in GiB.
    pub size_gib: i64,
    /// `Flash`.
    pub flash: bool,
    /// `EliminationStrategy=LRU`: it may be removed to make room for another.
    pub lru: bool,
    /// `AutoMatchImageCache`: what another cache holds is not pulled again.
    pub auto_match: bool,
    /// `ImageRegistryCredential.N`.
    pub credentials: Vec<RegistryCredential>,
    /// `PlainHttpRegistry` and `InsecureRegistry`.
    pub insecure_registries: Vec<String>,
    /// What all have.
    pub common: Common,
}

/// What an update changes.
#[derive(Clone, Debug, Default)]
pub struct ImageCacheChange {
    /// `ImageCacheName`.
    pub name: Option<String>,
    /// `Image.N`; empty = they stay.
    pub images: Vec<String>,
    /// `ImageCacheSize` in GiB.
    pub size_gib: Option<i64>,
    /// `Flash`.
    pub flash: Option<bool>,
    /// `EliminationStrategy`.
    pub lru: Option<bool>,
    /// `AutoMatchImageCache`.
    pub auto_match: bool,
    /// `ImageRegistryCredential.N`; empty = they stay.
    pub credentials: Vec<RegistryCredential>,
    /// What all have.
    pub common: CommonChange,
}

/// An image cache.
#[derive(Debug)]
pub struct ImageCache {
    /// See [`ImageCacheSpec`].
    pub name: String,
    /// See [`ImageCacheSpec`].
    pub images: Vec<String>,
    /// See [`ImageCacheSpec`].
    pub size_gib: i64,
    /// See [`ImageCacheSpec`].
    pub lru: bool,
    flash: bool,
    credentials: Vec<RegistryCredential>,
    insecure_registries: Vec<String>,
    /// Where it is.
    pub status: Status,
    /// The group that pulls its images, in name only.
    pub container_group_id: String,
    /// Its snapshot, once it is there.
    pub snapshot_id: String,
    /// The passing snapshot of a cache with `Flash`, until the other one is there.
    pub flash_snapshot_id: String,
    /// The snapshots it will have.
    next_snapshots: (String, String),
    /// When a group used it last.
    pub last_matched_at: Option<Timestamp>,
    /// What happened.
    pub events: Events,
    pull: Option<Pull>,
}

/// A pull under way.
#[derive(Debug)]
struct Pull {
    serial: u64,
    /// Dropped with the cache: then nobody waits for the pull any more.
    _wanted: oneshot::Sender<()>,
}

/// A pull to begin.
#[derive(Debug)]
pub struct Pulling {
    /// For which cache.
    pub cache: String,
    /// Which one of its pulls.
    pub serial: u64,
    /// What to pull.
    pub order: ImagePull,
    /// Closed when the cache is gone.
    pub unwanted: oneshot::Receiver<()>,
}

/// A new image cache.
#[derive(Debug)]
pub struct NewImageCache {
    /// Its id.
    pub id: String,
    /// The group that is said to pull its images.
    pub container_group_id: String,
    /// What the runtime is to do.
    pub pulling: Pulling,
}

/// An image cache that serves a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// Its id.
    pub id: String,
    /// What it holds of what the group needs.
    pub images: Vec<String>,
}

/// Why a group cannot have the image cache it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoHit {
    /// There is none.
    NotFound,
    /// It is not Ready, but this.
    Status(Status),
}

impl ImageCache {
    /// How far its snapshot is, as text.
    pub fn progress(&self) -> &'static str {
        match self.status {
            Status::Preparing | Status::Failed => "0%",
            Status::Creating | Status::Updating => "50%",
            Status::Ready if self.snapshot_id.is_empty() => "50%",
            Status::Ready | Status::UpdateFailed => "100%",
        }
    }

    /// How many of these images it holds.
    pub fn matches<S: AsRef<str>>(&self, images: &[S]) -> usize {
        images.iter().filter(|image| self.holds(image.as_ref())).count()
    }

    /// Whether it holds this image.
    pub fn holds(&self, image: &str) -> bool {
        self.images.iter().any(|held| same_image(held, image))
    }
}

/// Whether two references name one image: a tag that is left out is `latest`.
fn same_image(a: &str, b: &str) -> bool {
    fn full(image: &str) -> (&str, &str) {
        let name = image.rfind('/').map_or(0, |slash| slash + 1);
        match image[name..].find([':', '@']) {
            Some(at) => (&image[..name + at], &image[name + at + 1..]),
            None => (image, "latest"),
        }
    }
    full(a) == full(b)
}

impl Record for ImageCache {
    fn step(item: &mut Item<Self>, at: Timestamp) {
        let cache = &mut item.record;
        match cache.status {
            Status::Creating | Status::Updating | Status::Ready => {
                cache.status = Status::Ready;
                cache.snapshot_id.clone_from(&cache.next_snapshots.0);
                cache.flash_snapshot_id.clear();
                cache.events.add(false, "Ready", "the image cache is ready", at);
            }
            Status::Preparing | Status::Failed | Status::UpdateFailed => {}
        }
    }
}

impl Account {
    /// Makes an image cache. When there are as many as there may be, the one that has to make room is the one with
    /// `EliminationStrategy` LRU that no group has used for longest.
    ///
    /// # Errors
    /// [`Refused::Quota`].
    pub fn create_image_cache(&mut self, spec: ImageCacheSpec, now: Timestamp) -> Result<NewImageCache, Refused> {
        if self.image_caches.len() >= self.quotas.image_caches {
            let oldest = self
                .image_caches
                .iter()
                .filter(|item| item.record.lru)
                .min_by_key(|item| item.record.last_matched_at.unwrap_or(item.created_at))
                .map(|item| item.id.clone())
                .ok_or(Refused::Quota(Kind::ImageCache))?;
            self.image_caches.remove(&oldest);
        }
        let held = self.held_elsewhere(spec.auto_match, &spec.images, now);
        let record = ImageCache {
            name: spec.name,
            images: spec.images,
            size_gib: spec.size_gib,
            lru: spec.lru,
            flash: spec.flash,
            credentials: spec.credentials,
            insecure_registries: spec.insecure_registries,
            status: Status::Preparing,
            container_group_id: self.new_id("eci"),
            snapshot_id: String::new(),
            flash_snapshot_id: String::new(),
            next_snapshots: (self.new_id("s"), self.new_id("s")),
            last_matched_at: None,
            events: Events::default(),
            pull: None,
        };
        let mut item = self.item(Kind::ImageCache, spec.common, record, now);
        let pulling = begin(&mut self.pulls, &mut item, held, PullPolicy::IfNotPresent, now);
        let (id, container_group_id) = (item.id.clone(), item.record.container_group_id.clone());
        self.image_caches.add(item);
        self.arm(Kind::ImageCache, &id);
        Ok(NewImageCache {
            id,
            container_group_id,
            pulling,
        })
    }

    /// Changes an image cache; its images are pulled anew.
    ///
    /// # Errors
    /// [`Refused::NotFound`], [`Refused::Status`] unless it is Ready or UpdateFailed, [`Refused::TooManyTags`].
    pub fn update_image_cache(
        &mut self,
        id: &str,
        change: ImageCacheChange,
        now: Timestamp,
    ) -> Result<Pulling, Refused> {
        let missing = || Refused::NotFound(Kind::ImageCache, id.to_owned());
        let held = self.held_elsewhere(change.auto_match, &change.images, now);
        let next_snapshots = (self.new_id("s"), self.new_id("s"));
        let item = self.image_caches.get_mut(id).ok_or_else(missing)?;
        if !matches!(item.record.status, Status::Ready | Status::UpdateFailed) {
            return Err(Refused::Status(Kind::ImageCache, item.record.status.as_str()));
        }
        change.common.apply(item, now)?;
        let cache = &mut item.record;
        if let Some(name) = change.name {
            cache.name = name;
        }
        if !change.images.is_empty() {
            cache.images = change.images;
        }
        if let Some(size) = change.size_gib {
            cache.size_gib = size;
        }
        cache.flash = change.flash.unwrap_or(cache.flash);
        cache.lru = change.lru.unwrap_or(cache.lru);
        if !change.credentials.is_empty() {
            cache.credentials = change.credentials;
        }
        cache.status = Status::Updating;
        cache.next_snapshots = next_snapshots;
        item.step_at = None;
        let pulling = begin(&mut self.pulls, item, held, PullPolicy::Always, now);
        self.arm(Kind::ImageCache, id);
        Ok(pulling)
    }

    /// Takes in what became of a pull. One that nobody waits for any more changes nothing.
    pub fn image_cache_pulled(&mut self, id: &str, serial: u64, outcome: Result<(), PullFailed>, now: Timestamp) {
        let Some(item) = self.image_caches.get_mut(id) else {
            return;
        };
        let cache = &mut item.record;
        if cache.pull.as_ref().is_none_or(|pull| pull.serial != serial) {
            return;
        }
        cache.pull = None;
        let updating = cache.status == Status::Updating;
        match outcome {
            Ok(()) => {
                for image in &cache.images {
                    let message = format!("Successfully pulled image \"{image}\"");
                    cache.events.add(false, "Pulled", message, now);
                }
                if cache.flash {
                    cache.status = Status::Ready;
                    cache.flash_snapshot_id.clone_from(&cache.next_snapshots.1);
                } else if !updating {
                    cache.status = Status::Creating;
                }
                item.step_at = Some(after(now, STEP));
            }
            Err(failed) => {
                cache.events.add(true, &failed.reason, failed.message, now);
                if updating {
                    cache.status = Status::UpdateFailed;
                } else {
                    cache.status = Status::Failed;
                    item.expires_at = Some(after(now, FAILED_KEPT));
                }
            }
        }
        self.arm(Kind::ImageCache, id);
    }

    /// Forgets an image cache, whatever its status. The runtime keeps the images: others may need them.
    ///
    /// # Errors
    /// [`Refused::NotFound`].
    pub fn delete_image_cache(&mut self, id: &str) -> Result<(), Refused> {
        match self.image_caches.remove(id) {
            Some(_) => Ok(()),
            None => Err(Refused::NotFound(Kind::ImageCache, id.to_owned())),
        }
    }

    /// The image cache a group names, by its id or that of its snapshot.
    ///
    /// # Errors
    /// [`NoHit`].
    pub fn use_image_cache(&mut self, named: &str, images: &[&str], now: Timestamp) -> Result<Hit, NoHit> {
        let id = match self.image_caches.get(named) {
            Some(item) => item.id.clone(),
            None => self
                .image_caches
                .iter()
                .find(|item| item.record.snapshot_id == named)
                .map(|item| item.id.clone())
                .ok_or(NoHit::NotFound)?,
        };
        let item = self.image_caches.get(&id).ok_or(NoHit::NotFound)?;
        match item.record.status {
            Status::Ready => Ok(self.hit(&id, images, now)),
            status => Err(NoHit::Status(status)),
        }
    }

    /// The image cache that holds most of these images, the newest of several; none = none holds any.
    pub fn match_image_cache(&mut self, images: &[&str], now: Timestamp) -> Option<Hit> {
        let id = self
            .image_caches
            .iter()
            .filter(|item| item.record.status == Status::Ready)
            .map(|item| (item.record.matches(images), item))
            .filter(|(count, _)| *count > 0)
            // The last of equal ones, which is the newest.
            .max_by_key(|(count, _)| *count)
            .map(|(_, item)| item.id.clone())?;
        Some(self.hit(&id, images, now))
    }

    fn hit(&mut self, id: &str, images: &[&str], now: Timestamp) -> Hit {
        let mut held = Vec::new();
        if let Some(item) = self.image_caches.get_mut(id) {
            item.record.last_matched_at = Some(now);
            held.extend(images.iter().filter(|i| item.record.holds(i)).map(|i| (*i).to_owned()));
        }
        Hit {
            id: id.to_owned(),
            images: held,
        }
    }

    fn held_elsewhere(&mut self, wanted: bool, images: &[String], now: Timestamp) -> Vec<String> {
        let images: Vec<&str> = images.iter().map(String::as_str).collect();
        match wanted {
            true => self
                .match_image_cache(&images, now)
                .map(|hit| hit.images)
                .unwrap_or_default(),
            false => Vec::new(),
        }
    }
}

/// Begins a pull of all images of a cache but those that another one holds.
fn begin(
    pulls: &mut u64,
    item: &mut Item<ImageCache>,
    held: Vec<String>,
    policy: PullPolicy,
    now: Timestamp,
) -> Pulling {
    *pulls += 1;
    let (wanted, unwanted) = oneshot::channel();
    let cache = &mut item.record;
    cache.pull = Some(Pull {
        serial: *pulls,
        _wanted: wanted,
    });
    let images: Vec<String> = cache.images.iter().filter(|i| !held.contains(i)).cloned().collect();
    for image in &images {
        cache
            .events
            .add(false, "Pulling", format!("Pulling image \"{image}\""), now);
    }
    Pulling {
        cache: item.id.clone(),
        serial: *pulls,
        order: ImagePull {
            images,
            policy,
            credentials: cache.credentials.clone(),
            insecure_registries: cache.insecure_registries.clone(),
            tags: item.tags.clone(),
        },
        unwanted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::resources::Quotas;

    fn at(seconds: u64) -> Timestamp {
        after(Timestamp::UNIX_EPOCH, std::time::Duration::from_secs(seconds))
    }

    fn spec(images: &[&str]) -> ImageCacheSpec {
        ImageCacheSpec {
            name: "n".to_owned(),
            images: images.iter().map(|i| (*i).to_owned()).collect(),
            size_gib: 20,
            ..ImageCacheSpec::default()
        }
    }

    fn failed() -> Result<(), PullFailed> {
        Err(PullFailed {
            reason: "ErrImagePull".to_owned(),
            message: "no such image".to_owned(),
        })
    }

    fn status(account: &Account, id: &str) -> Option<Status> {
        account.image_caches.get(id).map(|i| i.record.status)
    }

    /// One that is Ready at second 1.
    fn ready(account: &mut Account, spec: ImageCacheSpec) -> String {
        let new = account.create_image_cache(spec, at(0)).expect("room");
        account.image_cache_pulled(&new.id, new.pulling.serial, Ok(()), at(0));
        account.advance(at(1));
        assert_eq!(status(account, &new.id), Some(Status::Ready));
        new.id
    }

    #[test]
    fn it_is_ready_after_pull_and_snapshot() {
        let mut account = Account::new(1, Quotas::DOCUMENTED);
        let new = account.create_image_cache(spec(&["a:1"]), at(0)).expect("room");
        account.advance(at(100));
        assert_eq!(status(&account, &new.id), Some(Status::Preparing), "no pull, no step");
        account.image_cache_pulled(&new.id, new.pulling.serial + 1, failed(), at(100));
        assert_eq!(
            status(&account, &new.id),
            Some(Status::Preparing),
            "a pull of another time"
        );
        account.image_cache_pulled(&new.id, new.pulling.serial, Ok(()), at(100));
        assert_eq!(status(&account, &new.id), Some(Status::Creating));
        account.advance(at(101));
        let cache = &account.image_caches.get(&new.id).expect("there").record;
        assert_eq!((cache.status, cache.progress()), (Status::Ready, "100%"));
        assert!(!cache.snapshot_id.is_empty());
    }

    #[test]
    fn with_flash_it_is_ready_before_its_snapshot() {
        let mut account = Account::new(1, Quotas::DOCUMENTED);
        let flash = ImageCacheSpec {
            flash: true,
            ..spec(&["a:1"])
        };
        let new = account.create_image_cache(flash, at(0)).expect("room");
        account.image_cache_pulled(&new.id, new.pulling.serial, Ok(()), at(5));
        let cache = &account.image_caches.get(&new.id).expect("there").record;
        assert_eq!((cache.status, cache.progress()), (Status::Ready, "50%"));
        assert!(cache.snapshot_id.is_empty() && !cache.flash_snapshot_id.is_empty());
        account.advance(at(6));
        let cache = &account.image_caches.get(&new.id).expect("there").record;
        assert!(!cache.snapshot_id.is_empty() && cache.flash_snapshot_id.is_empty());
    }

    #[test]
    fn a_failed_one_is_kept_a_day_and_an_update_that_fails_leaves_it_there() {
        let mut account = Account::new(1, Quotas::DOCUMENTED);
        let new = account.create_image_cache(spec(&["a:1"]), at(0)).expect("room");
        account.image_cache_pulled(&new.id, new.pulling.serial, failed(), at(0));
        assert_eq!(status(&account, &new.id), Some(Status::Failed));
        account.advance(at(86_399));
        assert_eq!(status(&account, &new.id), Some(Status::Failed));
        account.advance(at(86_400));
        assert_eq!(status(&account, &new.id), None);

        let id = ready(&mut account, spec(&["a:1"]));
        let pulling = account
            .update_image_cache(&id, ImageCacheChange::default(), at(10))
            .expect("ready");
        assert_eq!(status(&account, &id), Some(Status::Updating));
        assert_eq!(
            account
                .update_image_cache(&id, ImageCacheChange::default(), at(10))
                .map(|_| ()),
            Err(Refused::Status(Kind::ImageCache, "Updating"))
        );
        account.image_cache_pulled(&id, pulling.serial, failed(), at(11));
        account.advance(at(10_000_000));
        assert_eq!(status(&account, &id), Some(Status::UpdateFailed));
    }

    #[test]
    fn the_cache_with_most_images_serves() {
        let mut account = Account::new(1, Quotas::DOCUMENTED);
        let one = ready(&mut account, spec(&["a:1"]));
        let two = ready(&mut account, spec(&["a:1", "b", "c:3"]));
        let pending = account
            .create_image_cache(spec(&["a:1", "b", "d:4"]), at(2))
            .expect("room");
        let images = ["a:1", "b:latest", "d:4"];
        let hit = account.match_image_cache(&images, at(3)).expect("a match");
        assert_eq!(
            (hit.id, hit.images),
            (two.clone(), vec!["a:1".to_owned(), "b:latest".to_owned()])
        );
        let matched = |account: &Account, id: &str| account.image_caches.get(id).and_then(|i| i.record.last_matched_at);
        assert_eq!((matched(&account, &one), matched(&account, &two)), (None, Some(at(3))));
        assert_eq!(account.match_image_cache(&["x:1"], at(3)), None);
        assert_eq!(
            account.use_image_cache("imc-none", &images, at(3)),
            Err(NoHit::NotFound)
        );
        assert_eq!(
            account.use_image_cache(&pending.id, &images, at(3)),
            Err(NoHit::Status(Status::Preparing))
        );
        assert_eq!(
            account.use_image_cache(&one, &images, at(4)).expect("ready").images,
            ["a:1"]
        );
    }

    #[test]
    fn the_one_nobody_used_for_longest_makes_room() {
        let quotas = Quotas {
            image_caches: 2,
            ..Quotas::DOCUMENTED
        };
        let mut account = Account::new(1, quotas);
        let lru = |image| ImageCacheSpec {
            lru: true,
            ..spec(&[image])
        };
        let first = ready(&mut account, lru("a:1"));
        let second = ready(&mut account, lru("b:1"));
        account.match_image_cache(&["a:1"], at(5));
        let third = account
            .create_image_cache(spec(&["c:1"]), at(6))
            .expect("room is made")
            .id;
        assert_eq!(status(&account, &second), None);
        account.delete_image_cache(&first).expect("there");
        account.create_image_cache(spec(&["d:1"]), at(6)).expect("room");
        assert_eq!(
            account.create_image_cache(spec(&["e:1"]), at(6)).map(|_| ()),
            Err(Refused::Quota(Kind::ImageCache)),
            "{third} and its like stay"
        );
    }

    #[test]
    fn what_another_cache_holds_is_not_pulled_again() {
        let mut account = Account::new(1, Quotas::DOCUMENTED);
        ready(&mut account, spec(&["a:1"]));
        let more = ImageCacheSpec {
            auto_match: true,
            ..spec(&["a:1", "b:1"])
        };
        let new = account.create_image_cache(more, at(2)).expect("room");
        assert_eq!(new.pulling.order.images, ["b:1"]);
    }

    #[test]
    fn a_pull_is_given_up_with_its_cache() {
        let mut account = Account::new(1, Quotas::DOCUMENTED);
        let mut new = account.create_image_cache(spec(&["a:1"]), at(0)).expect("room");
        assert_eq!(
            new.pulling.unwanted.try_recv(),
            Err(oneshot::error::TryRecvError::Empty)
        );
        account.delete_image_cache(&new.id).expect("there");
        assert_eq!(
            new.pulling.unwanted.try_recv(),
            Err(oneshot::error::TryRecvError::Closed)
        );
    }

    #[test]
    fn a_missing_tag_is_latest() {
        assert!(same_image("nginx", "nginx:latest"));
        assert!(same_image("r.test:5000/a", "r.test:5000/a:latest"));
        assert!(!same_image("r.test:5000/a", "r.test:5001/a"));
        assert!(!same_image("a:1", "a:2"));
        assert!(same_image("a@sha256:00", "a@sha256:00"));
    }
}
