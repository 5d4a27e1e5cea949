//! Where image caches meet groups and the runtime: what a group finds in a cache, and the pulls that fill one.

use jiff::Timestamp;

use super::{
    cloud::Cloud,
    events::{Detail, Source},
    resources::{
        Refused,
        image_cache::{Hit, ImageCacheChange, ImageCacheSpec, NewImageCache, NoHit, Pulling},
    },
    state::State,
};
use crate::spec::{GroupId, GroupSpec};

impl State {
    /// The image cache that serves a group: the one it names, otherwise, where it asks for it, the best match.
    ///
    /// # Errors
    /// [`NoHit`], when it names one it cannot have.
    pub fn image_cache_for(&mut self, spec: &GroupSpec, now: Timestamp) -> Result<Option<Hit>, NoHit> {
        if spec.image_snapshot_id.is_empty() && !spec.auto_match_image_cache {
            return Ok(None);
        }
        let images: Vec<&str> = spec
            .init_containers
            .iter()
            .chain(&spec.containers)
            .map(|c| c.image.as_str())
            .collect();
        match spec.image_snapshot_id.as_str() {
            "" => Ok(self.account.match_image_cache(&images, now)),
            named => self.account.use_image_cache(named, &images, now).map(Some),
        }
    }

    /// Tells of the image cache in the group's events, in ECI's words.
    pub fn note_image_cache(&mut self, id: &GroupId, hit: Option<&Hit>, now: Timestamp) {
        if hit.is_none() && !self.group(id.as_str()).is_some_and(|g| g.spec.auto_match_image_cache) {
            return;
        }
        self.edit(id, now, |group| match hit {
            Some(hit) => {
                let text = format!(
                    "[eci.imagecache]Successfully hit image cache {}, eci will be scheduled with this image cache.",
                    hit.id
                );
                group.events.add(
                    Source::Service,
                    false,
                    "SuccessfulHitImageCache",
                    Detail::Text(text.into()),
                    now,
                );
            }
            None => {
                let text = Detail::Text("[eci.imagecache]Missed image cache.".into());
                group.events.add(Source::Service, true, "ImageCacheMissed", text, now);
            }
        });
    }
}

impl Cloud {
    /// Makes an image cache, whose images the runtime pulls.
    ///
    /// # Errors
    /// [`Refused::Quota`].
    pub fn create_image_cache(&self, spec: ImageCacheSpec) -> Result<(String, String), Refused> {
        let NewImageCache {
            id,
            container_group_id,
            pulling,
        } = self.account(|account, now| account.create_image_cache(spec, now))?;
        self.pull(pulling);
        Ok((id, container_group_id))
    }

    /// Changes an image cache, whose images the runtime pulls anew.
    ///
    /// # Errors
    /// [`Refused::NotFound`], [`Refused::Status`], [`Refused::TooManyTags`].
    pub fn update_image_cache(&self, id: &str, change: ImageCacheChange) -> Result<(), Refused> {
        let pulling = self.account(|account, now| account.update_image_cache(id, change, now))?;
        self.pull(pulling);
        Ok(())
    }

    fn pull(&self, pulling: Pulling) {
        let Pulling {
            cache,
            serial,
            order,
            unwanted,
        } = pulling;
        let (cloud, pull) = (self.clone(), self.runtime().pull_images(order));
        tokio::spawn(async move {
            let outcome = tokio::select! {
                outcome = pull => outcome,
                _ = unwanted => return,
            };
            cloud.account(|account, now| account.image_cache_pulled(&cache, serial, outcome, now));
        });
    }
}
