//! Cleans one repository, batch by batch. It checks each batch once more before the delete.

use std::collections::{BTreeSet, HashMap, HashSet};

use ecr_cleanup_core::call_error::Missing;
use ecr_cleanup_core::image::{ImageDigest, RepositoryName};
use ecr_cleanup_core::plan::{Decided, ImageResult, StaleImage, Unattempted};
use ecr_cleanup_core::policy::Action;
use ecr_cleanup_core::pull_time::IndexPulls;

use super::Stop;
use super::archiving::{Archiving, refused_or_failed};
use super::copies::{CopiesElsewhere, CopyLooks};
use super::queue::Queue;
use super::recheck::LastLooks;
use super::writer::{Deletion, Writer, failed};
use crate::deadline::Deadline;
use crate::discovery::FreshUsage;
use crate::progress::{News, Progress};
use crate::registry::Registry;
use crate::telemetry;

/// The most images that `BatchDeleteImage` accepts.
/// See <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_BatchDeleteImage.html>.
pub(super) const IMAGES_PER_CALL: usize = 100;

/// One repository, and everything needed to clean it.
#[derive(Clone, Copy)]
pub(super) struct Cleaner<'a> {
    pub(super) registry: &'a Registry<'a>,
    /// The same registry, for finishing work that was begun.
    pub(super) registry_to_finish: &'a Registry<'a>,
    pub(super) repository: &'a RepositoryName,
    pub(super) writer: Writer<'a>,
    pub(super) index_pulls: IndexPulls,
    pub(super) usage: &'a FreshUsage<'a>,
    /// The child images of indexes that another index may list, whether these are deleted or kept.
    pub(super) nested: &'a HashMap<ImageDigest, Box<[ImageDigest]>>,
    pub(super) copies: &'a [CopiesElsewhere],
    pub(super) deadline: Deadline,
    pub(super) progress: &'a dyn Progress,
}

/// The latest descriptions of the images of a repository, and of their copies.
pub(super) struct Looks<'a> {
    here: LastLooks<'a>,
    copies: Vec<CopyLooks<'a>>,
}

impl<'a> Cleaner<'a> {
    /// Cleans the repository, unless making its plan again failed. Sets and logs the result of every image.
    pub(super) async fn clean(&self, decided: &mut Decided, renewed: Result<(), Stop>) {
        let Decided { read_at, stale, .. } = decided;
        let mut queue = Queue::of(stale);
        let mut looks = self.looks();
        let mut archiving = Archiving::since(*read_at, self.usage.limits().listing_max_age);
        let mut is_logged = vec![false; stale.len()];
        let mut stopped = renewed.err();
        let stopped_at = loop {
            let batch = queue.next_batch(stale, IMAGES_PER_CALL);
            if stopped.is_none() && !batch.is_empty() {
                stopped = self.clean_batch(stale, &batch, &mut looks, &mut archiving).await.err();
            }
            if stopped.is_some() || batch.is_empty() {
                break batch;
            }
            self.log_results(batch.iter().map(|place| &stale[*place]));
            self.progress.tell(News::Done { images: batch.len() });
            let done = || batch.iter().map(|place| stale[*place].image_digest);
            looks.here.forget(done());
            looks.copies.iter_mut().for_each(|copies| copies.forget(done()));
            for place in batch {
                is_logged[place] = true;
                queue.release_followers_of(place);
            }
        };
        for place in self.end_what_was_begun(stale, &mut archiving).await {
            is_logged[place] = false;
        }
        if let Some(stop) = stopped {
            let stop = match stop {
                Stop::Failed(error) if self.registry.is_gone(self.repository, &error).await => Stop::Gone,
                stop => stop,
            };
            self.stop(stale, &stopped_at, stop);
        }
        // The images that were not attempted.
        self.log_results(stale.iter().zip(is_logged).filter(|(_, is_logged)| !is_logged).map(|(image, _)| image));
    }

    /// No descriptions yet.
    pub(super) fn looks(&self) -> Looks<'a> {
        let clock = self.usage.clock();
        let copies = self.copies.iter().map(|copies| CopyLooks::new(copies, self.registry, clock)).collect();
        Looks { here: LastLooks::new(clock), copies }
    }

    fn log_results<'s>(&self, images: impl Iterator<Item = &'s StaleImage>) {
        telemetry::log_results(&self.registry.place, self.repository, images);
    }

    /// Deletes and archives the images of a batch that are still as planned.
    pub(super) async fn clean_batch(
        &self,
        stale: &mut [StaleImage],
        batch: &[usize],
        looks: &mut Looks<'_>,
        archiving: &mut Archiving,
    ) -> Result<(), Stop> {
        let (deleted, archived): (Vec<usize>, Vec<usize>) =
            batch.iter().partition(|place| stale[**place].action == Action::Expire);
        if !deleted.is_empty() {
            let still_due = self.still_due(stale, &deleted, &deleted, looks).await?;
            if !still_due.is_empty() {
                let digests = still_due.iter().map(|place| stale[*place].image_digest).collect();
                let Deletion { mut results, error } = self.writer.delete(&digests).await;
                for place in &still_due {
                    if let Some(result) = results.remove(&stale[*place].image_digest) {
                        stale[*place].result = result;
                    }
                }
                let is_left = |place: &usize| stale[*place].result == ImageResult::Planned;
                if let Some(error) = error.filter(|_| still_due.iter().any(is_left)) {
                    let rest: Vec<usize> = still_due.iter().filter(|place| is_left(place)).copied().collect();
                    if rest.len() < still_due.len() && error.is_in_doubt() {
                        // The call may have failed for the others because these images are gone.
                        let rest: Vec<usize> = rest.into_iter().chain(archived).collect();
                        return Box::pin(self.clean_batch(stale, &rest, looks, archiving)).await;
                    }
                    if !error.is_refusal() {
                        return Err(error.into());
                    }
                    // Roles often allow deletes in some repositories alone. Such a role may still archive here.
                    let deleted = stale.iter_mut().filter(|image| image.action == Action::Expire);
                    deleted
                        .filter(|image| image.result == ImageResult::Planned)
                        .for_each(|image| image.result = refused_or_failed(&error));
                }
            }
        }
        for (done, place) in archived.iter().enumerate() {
            // Images are archived one by one. The later ones are checked again if that takes long.
            self.archive(stale, *place, &archived[done..], looks, archiving).await?;
        }
        Ok(())
    }

    /// Archives an image that is still as planned, unless a newly pushed index lists it.
    async fn archive(
        &self,
        stale: &mut [StaleImage],
        place: usize,
        together: &[usize],
        looks: &mut Looks<'_>,
        archiving: &mut Archiving,
    ) -> Result<(), Stop> {
        if let Some(result) = archiving.given_up() {
            stale[place].result = result;
            return Ok(());
        }
        let place_of_it = (self.registry, self.repository);
        if let Err(error) = archiving.new_indexes.look_for(place_of_it, self.usage, stale, self.nested).await? {
            stale[place].result = failed(&error);
            archiving.give_up();
            return Ok(());
        }
        if let Some(because) = archiving.new_indexes.skip_reason(stale[place].image_digest) {
            stale[place].result = ImageResult::Skipped(because);
            return Ok(());
        }
        if self.still_due(stale, &[place], together, looks).await?.is_empty() {
            return Ok(());
        }
        match self.writer.archive(stale[place].image_digest).await {
            Ok(result) => {
                stale[place].result = result;
                archiving.went_well();
            }
            Err(error) if error.is_missing(Missing::Repository) || error.is_interruption() => return Err(error.into()),
            Err(error) if error.is_deadline() => {
                stale[place].result = failed(&error);
                return Err(Stop::Unattempted(Unattempted::Deadline));
            }
            // A failure to archive does not stop the deletes.
            Err(error) => {
                stale[place].result = refused_or_failed(&error);
                archiving.count(&error);
            }
        }
        Ok(())
    }

    /// The images of `places` that are still as planned. The others get their results. When descriptions are too old,
    /// all images of `together` are described again.
    async fn still_due(
        &self,
        stale: &mut [StaleImage],
        places: &[usize],
        together: &[usize],
        looks: &mut Looks<'_>,
    ) -> Result<Vec<usize>, Stop> {
        let max_age = self.usage.limits().image_max_age;
        // Usage and descriptions must be young at the same time. Reading usage again takes time, in which images
        // change.
        let usage = loop {
            self.deadline.allows_more()?;
            let own = |places: &[usize]| places.iter().map(|place| stale[*place].image_digest).collect::<BTreeSet<_>>();
            let descendants = together.iter().flat_map(|place| self.descendants(&stale[*place]));
            let own_together = own(together);
            let descendants: BTreeSet<_> = descendants.filter(|digest| !own_together.contains(digest)).collect();
            // Archiving an image deletes no copies elsewhere.
            let is_deleted = places.iter().any(|place| stale[*place].action == Action::Expire);
            for copies in looks.copies.iter_mut().filter(|_| is_deleted) {
                let old = copies.older(own_together.iter().chain(&descendants).copied(), max_age);
                copies.look_at(&old, self.repository).await.map_err(Stop::of_reading)?;
            }
            // The images to delete are described last, so that nothing happens between the description and the delete.
            for digests in [&descendants, &own_together] {
                let old = looks.here.older(digests.iter().copied(), max_age);
                looks.here.look_at(&old, self.registry, self.repository).await.map_err(Stop::of_reading)?;
            }
            let usage = self.usage.now().await?;
            let are_young = |copies: &CopyLooks<'_>| copies.older(own(places).into_iter(), max_age).is_empty();
            if looks.here.older(own(places).into_iter(), max_age).is_empty()
                && (!is_deleted || looks.copies.iter().all(are_young))
            {
                break usage;
            }
        };
        self.deadline.allows_more()?;
        let (known, account) = (usage.known(), &self.registry.place.account);
        let usage = known.of_repository(account, self.repository);
        let mut still_due = Vec::new();
        for place in places {
            let image = &stale[*place];
            let descendants = self.descendants(image);
            let because_of_copies = || {
                let mut reasons =
                    looks.copies.iter().filter(|_| image.action == Action::Expire).filter_map(|copies| {
                        copies.skip_reason(image.image_digest, &descendants, self.repository, known)
                    });
                reasons.next().map(ImageResult::Skipped)
            };
            let skipped = looks.here.skip_reason(image, &descendants, &usage, self.index_pulls);
            match skipped.or_else(because_of_copies) {
                Some(result) => stale[*place].result = result,
                None => still_due.push(*place),
            }
        }
        Ok(still_due)
    }

    /// All direct and indirect child images of an image.
    fn descendants(&self, image: &StaleImage) -> Vec<ImageDigest> {
        let mut descendants: Vec<ImageDigest> = image.children().to_vec();
        let mut reached: HashSet<ImageDigest> = descendants.iter().copied().collect();
        let mut next = 0;
        while let Some(digest) = descendants.get(next) {
            next += 1;
            let children = self.nested.get(digest).map_or(&[][..], |children| children);
            descendants.extend(children.iter().copied().filter(|child| reached.insert(*child)));
        }
        descendants
    }

    /// Sets the result of every image that has none yet.
    fn stop(&self, stale: &mut [StaleImage], batch: &[usize], stop: Stop) {
        let (of_batch, of_rest) = match stop {
            Stop::Unattempted(why) => (ImageResult::NotAttempted(why), ImageResult::NotAttempted(why)),
            Stop::Gone => (ImageResult::Gone, ImageResult::Gone),
            Stop::Failed(error) => {
                let (repository_name, images) = (self.repository, batch.len());
                tracing::warn!(%repository_name, images, %error, "can't finish a batch of {images} images in {repository_name}: {error}");
                let why = if error.is_deadline() { Unattempted::Deadline } else { Unattempted::RepositoryFailed };
                (failed(&error), ImageResult::NotAttempted(why))
            }
        };
        let is_planned = |place: &&usize| stale[**place].result == ImageResult::Planned;
        let planned: Vec<usize> = batch.iter().filter(is_planned).copied().collect();
        // Images are archived one by one, after the deletes. A failed call concerns only the first of them.
        let (mut tried, archived): (Vec<usize>, Vec<usize>) =
            planned.into_iter().partition(|place| stale[*place].action == Action::Expire);
        if tried.is_empty() {
            tried.extend(archived.first());
        }
        for place in tried {
            stale[place].result = of_batch.clone();
        }
        for image in stale.iter_mut().filter(|image| image.result == ImageResult::Planned) {
            image.result = of_rest.clone();
        }
    }
}

/// The child images of those indexes that another index may list.
pub(super) fn nested_indexes(decided: &Decided) -> HashMap<ImageDigest, Box<[ImageDigest]>> {
    let Decided { stale, kept_indexes, .. } = decided;
    let followers = stale.iter().filter(|image| !image.follows().is_empty() && !image.children().is_empty());
    let stale = followers.map(|image| (image.image_digest, image.children().into()));
    stale.chain(kept_indexes.iter().map(|(index, children)| (*index, children.clone()))).collect()
}
