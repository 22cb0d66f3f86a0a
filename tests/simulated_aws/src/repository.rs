//! A repository's handle: the changes that people and pipelines make to images.

use std::collections::{BTreeMap, BTreeSet};

use crate::image::{Image, SECONDS_PER_DAY};
use crate::world::{Place, StoredImage};

/// A repository.
#[derive(Clone)]
pub struct Repository {
    pub(crate) place: Place,
    pub(crate) name: String,
}

impl Repository {
    /// Pushes an image as `docker push` does. Its tags move to it from other images.
    pub fn push(&self, image: Image) -> String {
        let digest = image.digest.clone();
        let now = self.now();
        self.update(|images| {
            for stored in images.values_mut() {
                stored.image.tags.retain(|tag| !image.tags.contains(tag));
            }
            store(images, image, now);
        });
        digest
    }

    /// Pushes many images, none of whose tags exists yet.
    pub fn push_all(&self, new: impl IntoIterator<Item = Image>) {
        let now = self.now();
        self.update(|images| new.into_iter().for_each(|image| store(images, image, now)));
    }

    /// Pushes an image for each day, from `v1`, the oldest, to `v<count>`, which is one day old.
    #[must_use]
    pub fn daily_builds(self, count: u32) -> Self {
        let build = |build| Image::tagged(&format!("v{build}")).days_old(f64::from(count - build + 1));
        self.push_all((1..=count).map(build));
        self
    }

    /// The reference of a workload that uses this tag.
    #[must_use]
    pub fn uri(&self, tag: &str) -> String {
        format!("{}:{tag}", self.name_with_registry())
    }

    /// The reference of a workload that uses this digest.
    #[must_use]
    pub fn uri_by_digest(&self, digest: &str) -> String {
        format!("{}@{digest}", self.name_with_registry())
    }

    /// The repository with its registry's host.
    #[must_use]
    pub fn name_with_registry(&self) -> String {
        let Place { account, region, .. } = &self.place;
        format!("{account}.dkr.ecr.{region}.amazonaws.com/{}", self.name)
    }

    /// All tags that exist.
    #[must_use]
    pub fn tags(&self) -> BTreeSet<String> {
        self.update(|images| images.values().flat_map(|stored| stored.image.tags.clone()).collect())
    }

    /// All images that exist.
    #[must_use]
    pub fn digests(&self) -> BTreeSet<String> {
        self.update(|images| images.keys().cloned().collect())
    }

    /// The digest of the image with this tag.
    #[must_use]
    pub fn digest_of(&self, tag: &str) -> String {
        self.update(|images| {
            let named = images.iter().find(|(_, stored)| stored.image.tags.contains(tag));
            named.map_or_else(|| panic!("no image has the tag {tag}"), |(digest, _)| digest.clone())
        })
    }

    /// The image with this tag, as it was pushed.
    #[must_use]
    pub fn image_of(&self, tag: &str) -> Image {
        self.update(|images| {
            let named = images.values().find(|stored| stored.image.tags.contains(tag));
            named.map_or_else(|| panic!("no image has the tag {tag}"), |stored| stored.image.clone())
        })
    }

    /// Adds the tag `to` to the image with the tag `from`. Another image with the tag `to` loses it.
    pub fn retag(&self, from: &str, to: &str) {
        self.tag(&self.digest_of(from), to);
    }

    /// Adds a tag to an image. Another image with the tag loses it.
    pub fn tag(&self, digest: &str, tag: &str) {
        self.update(|images| {
            for (other, stored) in images {
                stored.image.tags.remove(tag);
                if other == digest {
                    stored.image.tags.insert(tag.to_owned());
                }
            }
        });
    }

    /// Removes a tag from its image.
    pub fn untag(&self, tag: &str) {
        self.update(|images| images.values_mut().for_each(|stored| _ = stored.image.tags.remove(tag)));
    }

    /// Pulls an image, as another user does.
    pub fn pull(&self, digest: &str) {
        let now = self.now();
        self.update(|images| images.get_mut(digest).expect("the image exists").pulled_at = Some(now));
    }

    /// Pushes the image with this tag again, as a rebuild of the same content does.
    pub fn push_again(&self, tag: &str) {
        let digest = self.digest_of(tag);
        let now = self.now();
        self.update(|images| images.get_mut(&digest).expect("the image exists").pushed_at = now);
    }

    /// Archives an image, as another user does.
    pub fn archive(&self, digest: &str) {
        let now = self.now();
        self.update(|images| images.get_mut(digest).expect("the image exists").archive(now));
    }

    /// Sets the lifecycle policy. The simulated account never expires images by it.
    pub fn set_lifecycle_policy(&self, policy: &serde_json::Value) {
        self.place.update(|region| _ = region.lifecycle_policies.insert(self.name.clone(), policy.to_string()));
    }

    /// The images in archive storage.
    #[must_use]
    pub fn archived(&self) -> BTreeSet<String> {
        self.update(|images| {
            let archived = images.iter().filter(|(_, stored)| stored.image.status.as_deref() == Some("ARCHIVED"));
            archived.map(|(digest, _)| digest.clone()).collect()
        })
    }

    /// Sets the resource policy.
    pub fn set_policy(&self, policy: &serde_json::Value) {
        self.place.update(|region| _ = region.policies.insert(self.name.clone(), policy.to_string()));
    }

    /// Deletes an image, as another user does. The rules of `BatchDeleteImage` don't apply.
    pub fn delete(&self, digest: &str) {
        self.update(|images| _ = images.remove(digest));
    }

    /// Deletes the repository with all its images.
    pub fn delete_repository(&self) {
        self.place.update(|region| _ = region.repositories.remove(&self.name));
    }

    fn now(&self) -> f64 {
        self.place.world.clock.seconds()
    }

    fn update<T>(&self, change: impl FnOnce(&mut BTreeMap<String, StoredImage>) -> T) -> T {
        self.place.update(|region| change(region.repositories.entry(self.name.clone()).or_default()))
    }
}

fn store(images: &mut BTreeMap<String, StoredImage>, mut image: Image, now: f64) {
    let pushed_at = now - image.age_in_days * SECONDS_PER_DAY;
    let ago = |days: Option<f64>| days.map(|days| now - days * SECONDS_PER_DAY);
    let pulled_at = ago(image.pulled_days_ago);
    let (archived_at, restored_at) = (ago(image.archived_days_ago), ago(image.restored_days_ago));
    // An image that is pushed again keeps its tags.
    image.tags.extend(images.get(&image.digest).into_iter().flat_map(|stored| stored.image.tags.clone()));
    images.insert(image.digest.clone(), StoredImage { image, pushed_at, pulled_at, archived_at, restored_at });
}
