//! Data caches: kept and listed, their statuses move on by the clock; no data is loaded.
//!
//! ```text
//! Loading ─► Creating ─► Available ─ update ─► Updating ─► Available
//!    └► Failed (kept a day)                       └► UpdateFailed
//! ```

use jiff::Timestamp;

use super::{
    Account, Common, CommonChange, Events, FAILED_KEPT, Kind, Refused, STEP, planned_failure,
    store::{Item, Record},
};
use crate::timers::after;

/// The bucket of those that name none.
pub const DEFAULT_BUCKET: &str = "default";

/// `Status` of a data cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Its data is being loaded.
    Loading,
    /// Its snapshot is being taken.
    Creating,
    /// It can be used.
    Available,
    /// It could not be made.
    Failed,
    /// It is being loaded anew.
    Updating,
    /// That failed; what it held before is still there.
    UpdateFailed,
}

impl Status {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Loading => "Loading",
            Self::Creating => "Creating",
            Self::Available => "Available",
            Self::Failed => "Failed",
            Self::Updating => "Updating",
            Self::UpdateFailed => "UpdateFailed",
        }
    }
}

/// Where data comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// `URL`, `NAS`, `OSS` or `SNAPSHOT`; empty = none was given.
    pub kind: String,
    /// Names and values that the kind understands.
    pub options: std::collections::BTreeMap<String, String>,
}

/// What a data cache is made with.
#[derive(Clone, Debug, Default)]
pub struct DataCacheSpec {
    /// `Bucket`.
    pub bucket: String,
    /// `Path`, unique in its bucket.
    pub path: String,
    /// `Name`.
    pub name: String,
    /// `Size` in GiB.
    pub size_gib: i64,
    /// `DataSource`.
    pub source: Source,
    /// What all have.
    pub common: Common,
}

/// What an update changes.
#[derive(Clone, Debug, Default)]
pub struct DataCacheChange {
    /// `Name`.
    pub name: Option<String>,
    /// `Size` in GiB.
    pub size_gib: Option<i64>,
    /// `DataSource`.
    pub source: Option<Source>,
    /// What all have.
    pub common: CommonChange,
}

/// How a data cache is named: by its id, or by where it is.
#[derive(Clone, Debug)]
pub enum Which {
    /// `DataCacheId`.
    Id(String),
    /// `Bucket` and `Path`.
    Place(String, String),
}

/// A data cache.
#[derive(Clone, Debug)]
pub struct DataCache {
    /// What it was made with.
    pub bucket: String,
    /// See [`DataCacheSpec`].
    pub path: String,
    /// See [`DataCacheSpec`].
    pub name: String,
    /// See [`DataCacheSpec`].
    pub size_gib: i64,
    /// See [`DataCacheSpec`].
    pub source: Source,
    /// Where it is.
    pub status: Status,
    /// The group that loads its data, in name only.
    pub container_group_id: String,
    /// Its snapshot, once it is there.
    pub snapshot_id: String,
    /// The snapshot it will have.
    pub next_snapshot_id: String,
    /// What happened.
    pub events: Events,
}

impl Record for DataCache {
    fn step(item: &mut Item<Self>, at: Timestamp) {
        let failure = planned_failure(&item.tags).map(str::to_owned);
        let cache = &mut item.record;
        match (cache.status, failure) {
            (Status::Loading, None) => {
                cache.status = Status::Creating;
                item.step_at = Some(after(at, STEP));
            }
            (Status::Loading, Some(reason)) => {
                cache.status = Status::Failed;
                let message = "the data could not be loaded (simulated)";
                cache.events.add(true, &reason, message, at);
                item.expires_at = Some(after(at, FAILED_KEPT));
            }
            (Status::Updating, Some(reason)) => {
                cache.status = Status::UpdateFailed;
                let message = "the data could not be loaded anew (simulated)";
                cache.events.add(true, &reason, message, at);
            }
            (Status::Creating | Status::Updating, _) => {
                cache.status = Status::Available;
                cache.snapshot_id.clone_from(&cache.next_snapshot_id);
                cache.events.add(false, "Available", "the data cache can be used", at);
            }
            (Status::Available | Status::Failed | Status::UpdateFailed, _) => {}
        }
    }
}

impl DataCache {
    /// How far it is, as text.
    pub fn progress(&self) -> &'static str {
        match self.status {
            Status::Loading | Status::Failed => "0%",
            Status::Creating | Status::Updating => "50%",
            Status::Available | Status::UpdateFailed => "100%",
        }
    }
}

impl Account {
    /// Makes a data cache and gives its id.
    ///
    /// # Errors
    /// [`Refused::Quota`], [`Refused::PathTaken`].
    pub fn create_data_cache(&mut self, spec: DataCacheSpec, now: Timestamp) -> Result<String, Refused> {
        let place = Which::Place(spec.bucket.clone(), spec.path.clone());
        if self.data_cache_id(&place).is_some() {
            return Err(Refused::PathTaken(format!("{}:{}", spec.bucket, spec.path)));
        }
        if self.data_caches.len() >= self.quotas.data_caches {
            return Err(Refused::Quota(Kind::DataCache));
        }
        let record = DataCache {
            bucket: spec.bucket,
            path: spec.path,
            name: spec.name,
            size_gib: spec.size_gib,
            source: spec.source,
            status: Status::Loading,
            container_group_id: self.new_id("eci"),
            snapshot_id: String::new(),
            next_snapshot_id: self.new_id("s"),
            events: Events::default(),
        };
        let mut item = self.item(Kind::DataCache, spec.common, record, now);
        item.step_at = Some(after(now, STEP));
        item.record.events.add(false, "Loading", "loading the data", now);
        let id = item.id.clone();
        self.data_caches.add(item);
        self.arm(Kind::DataCache, &id);
        Ok(id)
    }

    /// Changes a data cache, which is loaded anew.
    ///
    /// # Errors
    /// [`Refused::NotFound`], [`Refused::Status`] unless it is Available or UpdateFailed, [`Refused::TooManyTags`].
    pub fn update_data_cache(&mut self, which: &Which, change: DataCacheChange, now: Timestamp) -> Result<(), Refused> {
        let id = self.found_data_cache(which)?;
        let next_snapshot_id = self.new_id("s");
        if let Some(item) = self.data_caches.get_mut(&id) {
            if !matches!(item.record.status, Status::Available | Status::UpdateFailed) {
                return Err(Refused::Status(Kind::DataCache, item.record.status.as_str()));
            }
            change.common.apply(item, now)?;
            let cache = &mut item.record;
            if let Some(name) = change.name {
                cache.name = name;
            }
            if let Some(size) = change.size_gib {
                cache.size_gib = size;
            }
            if let Some(source) = change.source {
                cache.source = source;
            }
            cache.status = Status::Updating;
            cache.next_snapshot_id = next_snapshot_id;
            cache.events.add(false, "Updating", "loading the data anew", now);
            item.step_at = Some(after(now, STEP));
        }
        self.arm(Kind::DataCache, &id);
        Ok(())
    }

    /// Forgets a data cache, whatever its status.
    ///
    /// # Errors
    /// [`Refused::NotFound`].
    pub fn delete_data_cache(&mut self, which: &Which) -> Result<(), Refused> {
        let id = self.found_data_cache(which)?;
        self.data_caches.remove(&id);
        Ok(())
    }

    /// Makes a data cache from one that is Available: here when it is to be in this region; a copy in another one is
    /// known there alone, and all that is seen of it here is its id.
    ///
    /// # Errors
    /// As [`Account::create_data_cache`]; [`Refused::NotFound`], [`Refused::Status`].
    pub fn copy_data_cache(
        &mut self,
        from: &str,
        here: bool,
        target: DataCacheSpec,
        now: Timestamp,
    ) -> Result<String, Refused> {
        let source = self
            .data_caches
            .get(from)
            .ok_or_else(|| Refused::NotFound(Kind::DataCache, from.to_owned()))?;
        let original = &source.record;
        if !matches!(original.status, Status::Available | Status::UpdateFailed) {
            return Err(Refused::Status(Kind::DataCache, original.status.as_str()));
        }
        if !here {
            return Ok(self.new_id(Kind::DataCache.prefix()));
        }
        let spec = DataCacheSpec {
            path: if target.path.is_empty() {
                original.path.clone()
            } else {
                target.path
            },
            name: if target.name.is_empty() {
                original.name.clone()
            } else {
                target.name
            },
            size_gib: original.size_gib,
            source: Source {
                kind: "SNAPSHOT".to_owned(),
                options: [("snapshotId".to_owned(), original.snapshot_id.clone())].into(),
            },
            ..target
        };
        self.create_data_cache(spec, now)
    }

    /// The id of a data cache, if there is one.
    fn data_cache_id(&self, which: &Which) -> Option<String> {
        match which {
            Which::Id(id) => self.data_caches.get(id).map(|item| item.id.clone()),
            Which::Place(bucket, path) => self
                .data_caches
                .iter()
                .find(|item| item.record.bucket == *bucket && item.record.path == *path)
                .map(|item| item.id.clone()),
        }
    }

    fn found_data_cache(&self, which: &Which) -> Result<String, Refused> {
        self.data_cache_id(which).ok_or_else(|| {
            let name = match which {
                Which::Id(id) => id.clone(),
                Which::Place(bucket, path) => format!("{bucket}:{path}"),
            };
            Refused::NotFound(Kind::DataCache, name)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::resources::Quotas;

    fn at(seconds: u64) -> Timestamp {
        after(Timestamp::UNIX_EPOCH, std::time::Duration::from_secs(seconds))
    }

    fn spec(path: &str) -> DataCacheSpec {
        DataCacheSpec {
            bucket: DEFAULT_BUCKET.to_owned(),
            path: path.to_owned(),
            name: "n".to_owned(),
            size_gib: 20,
            ..DataCacheSpec::default()
        }
    }

    fn status(account: &Account, id: &str) -> Option<Status> {
        account.data_caches.get(id).map(|i| i.record.status)
    }

    #[test]
    fn it_loads_is_updated_and_expires() {
        let mut account = Account::new(1, Quotas::DOCUMENTED);
        let mut with_end = spec("/a");
        with_end.common.retention = Some(std::time::Duration::from_secs(100));
        let id = account.create_data_cache(with_end, at(0)).expect("room");
        let early = account.update_data_cache(&Which::Id(id.clone()), DataCacheChange::default(), at(0));
        assert_eq!(early, Err(Refused::Status(Kind::DataCache, "Loading")));
        account.advance(at(1));
        assert_eq!(status(&account, &id), Some(Status::Creating));
        account.advance(at(2));
        assert_eq!(status(&account, &id), Some(Status::Available));
        let place = Which::Place(DEFAULT_BUCKET.to_owned(), "/a".to_owned());
        account
            .update_data_cache(&place, DataCacheChange::default(), at(50))
            .expect("available");
        assert_eq!(status(&account, &id), Some(Status::Updating));
        account.advance(at(99));
        assert_eq!(status(&account, &id), Some(Status::Available));
        account.advance(at(100));
        assert_eq!(status(&account, &id), None);
    }

    #[test]
    fn one_that_fails_is_kept_a_day() {
        let mut account = Account::new(1, Quotas::DOCUMENTED);
        let mut failing = spec("/a");
        failing.common.tags = vec![(super::super::FAILURE_TAG.to_owned(), "NoData".to_owned())];
        let id = account.create_data_cache(failing, at(0)).expect("room");
        account.advance(at(10));
        assert_eq!(status(&account, &id), Some(Status::Failed));
        account.advance(at(86_400));
        assert_eq!(status(&account, &id), Some(Status::Failed));
        account.advance(at(86_401));
        assert_eq!(status(&account, &id), None);
    }

    #[test]
    fn a_place_is_taken_once_and_a_hundred_are_the_most() {
        let mut account = Account::new(1, Quotas::DOCUMENTED);
        for n in 0..Quotas::DOCUMENTED.data_caches {
            account.create_data_cache(spec(&n.to_string()), at(0)).expect("room");
        }
        assert_eq!(
            account.create_data_cache(spec("x"), at(0)),
            Err(Refused::Quota(Kind::DataCache))
        );
        assert!(matches!(
            account.create_data_cache(spec("7"), at(0)),
            Err(Refused::PathTaken(_))
        ));
    }
}
