//! Deletes and archives what an approved plan lists, and nothing else: this is the only module that calls a writing API.
//!
//! Images are deleted by digest, at most 100 a call, and archived one a call, repository by repository. A repository that
//! fails stops no other. Before each batch its images are described once more, and usage is discovered again when it is
//! too old.

mod queue;
mod recheck;
mod writer;

use std::collections::{BTreeSet, HashMap, HashSet};

use ecr_cleanup_core::call_error::{CallError, GivenUp, Missing};
use ecr_cleanup_core::image::{ImageDigest, RepositoryName};
use ecr_cleanup_core::plan::{
    ApprovedPlan, Decided, ImageResult, Plan, RegistryPlan, RepositoryPlan, StaleImage, Unattempted,
};
use ecr_cleanup_core::policy::Action;
use ecr_cleanup_core::pull_time::{IndexPulls, Principal};
use futures::stream::{self, StreamExt};

use crate::aws::Aws;
use crate::deadline::Deadline;
use crate::discovery::{FreshUsage, NotFresh};
use crate::progress::{News, Progress};
use crate::registry::{REGISTRIES_AT_ONCE, REPOSITORIES_AT_ONCE, Registry};
use crate::telemetry;
use queue::Queue;
use recheck::LastLooks;
use writer::{Deletion, STORAGE_CLASS, Writer, failed};

/// The most images that `BatchDeleteImage` takes.
/// See <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_BatchDeleteImage.html>.
const IMAGES_PER_CALL: usize = 100;

/// One repository, and how it is cleaned.
struct Cleaner<'a> {
    registry: &'a Registry<'a>,
    repository: &'a RepositoryName,
    writer: Writer<'a>,
    index_pulls: IndexPulls,
    usage: &'a FreshUsage<'a>,
    /// What those indexes name that an index may name, whether they go or stay.
    nested: HashMap<ImageDigest, Box<[ImageDigest]>>,
    deadline: Deadline,
    progress: &'a dyn Progress,
}

/// Whether it is worth while to go on archiving a repository's images, which go one by one.
#[derive(Default)]
struct Archiving {
    failures_in_a_row: u32,
    refused: Option<ImageResult>,
}

impl Archiving {
    /// The calls that may fail one after the other. Each has been tried again and again by then.
    const FAILURES: u32 = 3;

    fn count(&mut self, error: &CallError) {
        self.failures_in_a_row += 1;
        self.refused = error.is_refusal().then(|| refused_or_failed(error));
    }

    /// What becomes of those whose turn does not come.
    fn given_up(&self) -> Option<ImageResult> {
        let failed_too_often = self.failures_in_a_row >= Self::FAILURES;
        let not_attempted = || failed_too_often.then_some(ImageResult::NotAttempted(Unattempted::ArchivingFailed));
        self.refused.clone().or_else(not_attempted)
    }
}

/// Why there is no going on with a repository.
enum Stop {
    /// The turn of what is left does not come.
    Unattempted(Unattempted),
    /// A call failed for a batch as a whole.
    Failed(CallError),
}

/// Carries the plan out and returns it with the result of every image.
pub async fn apply(
    aws: &Aws,
    approved: ApprovedPlan,
    usage: &FreshUsage<'_>,
    principal: &Principal,
    progress: &dyn Progress,
) -> Plan {
    let deadline = usage.deadline();
    let mut plan = approved.into_plan();
    let images = plan.stale().filter(|image| image.result == ImageResult::Planned).count();
    progress.tell(News::Deleting { images });
    let clean_registry = async |registry: &mut RegistryPlan| {
        let RegistryPlan { place, index_pulls, repositories, missing: _ } = registry;
        let (ecr, pace, index_pulls) = (aws.ecr(&place.region), aws.pace([STORAGE_CLASS].iter()), *index_pulls);
        let registry = Registry::new(aws, place.clone(), principal, deadline);
        stream::iter(repositories.iter_mut().flatten())
            .for_each_concurrent(REPOSITORIES_AT_ONCE, async |RepositoryPlan { repository_name, decided }| {
                if let Ok(Decided { stale, kept_indexes, .. }) = decided {
                    let cleaner = Cleaner {
                        registry: &registry,
                        repository: repository_name,
                        writer: Writer {
                            registry: &registry,
                            ecr: &ecr,
                            repository: repository_name,
                            pace: &pace,
                            deadline,
                            clock: usage.clock(),
                            timeout: usage.limits().delete_timeout,
                        },
                        nested: nested_indexes(stale, kept_indexes),
                        index_pulls,
                        usage,
                        deadline,
                        progress,
                    };
                    cleaner.clean(stale).await;
                }
            })
            .await;
    };
    stream::iter(plan.registries.iter_mut()).for_each_concurrent(REGISTRIES_AT_ONCE, clean_registry).await;
    plan
}

impl Cleaner<'_> {
    async fn clean(&self, stale: &mut [StaleImage]) {
        let mut queue = Queue::of(stale);
        let mut looks = LastLooks::new(self.usage.clock());
        let mut archiving = Archiving::default();
        let mut is_logged = vec![false; stale.len()];
        loop {
            let batch = queue.next_batch(stale, IMAGES_PER_CALL);
            if batch.is_empty() {
                break;
            }
            if let Err(stop) = self.clean_batch(stale, &batch, &mut looks, &mut archiving).await {
                self.stop(stale, &batch, stop);
                break;
            }
            self.log_results(batch.iter().map(|place| &stale[*place]));
            self.progress.tell(News::Done { images: batch.len() });
            looks.forget(batch.iter().map(|place| stale[*place].image_digest));
            for place in batch {
                is_logged[place] = true;
                queue.release_followers_of(place);
            }
        }
        // Those whose turn did not come.
        self.log_results(stale.iter().zip(is_logged).filter(|(_, is_logged)| !is_logged).map(|(image, _)| image));
    }

    fn log_results<'s>(&self, images: impl Iterator<Item = &'s StaleImage>) {
        telemetry::log_results(&self.registry.place, self.repository, images);
    }

    /// Deletes and archives those of a batch that still are what was planned to go.
    async fn clean_batch(
        &self,
        stale: &mut [StaleImage],
        batch: &[usize],
        looks: &mut LastLooks<'_>,
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
                    if !error.is_refusal() {
                        return Err(error.into());
                    }
                    // A role that may delete from some repositories alone is a normal one. It may archive all the same.
                    let deleted = stale.iter_mut().filter(|image| image.action == Action::Expire);
                    deleted
                        .filter(|image| image.result == ImageResult::Planned)
                        .for_each(|image| image.result = refused_or_failed(&error));
                }
            }
        }
        for (done, place) in archived.iter().enumerate() {
            if let Some(result) = archiving.given_up() {
                stale[*place].result = result;
            } else if !self.still_due(stale, &[*place], &archived[done..], looks).await?.is_empty() {
                // They go one by one, and what comes later is looked at again when that has taken long.
                match self.writer.archive(stale[*place].image_digest).await {
                    Ok(result) => {
                        stale[*place].result = result;
                        *archiving = Archiving::default();
                    }
                    Err(error) if error.is_missing(Missing::Repository) || error.is_interruption() => {
                        return Err(error.into());
                    }
                    Err(error) if error.is_deadline() => {
                        stale[*place].result = failed(&error);
                        return Err(Stop::Unattempted(Unattempted::Deadline));
                    }
                    // What fails here does not hinder the deletes.
                    Err(error) => {
                        stale[*place].result = refused_or_failed(&error);
                        archiving.count(&error);
                    }
                }
            }
        }
        Ok(())
    }

    /// Those of `places` that still are what was planned to go; the others get their results. Where it is time to look
    /// again, all of `together` are looked at.
    async fn still_due(
        &self,
        stale: &mut [StaleImage],
        places: &[usize],
        together: &[usize],
        looks: &mut LastLooks<'_>,
    ) -> Result<Vec<usize>, Stop> {
        let max_age = self.usage.limits().image_max_age;
        // Both must be young at once, and reading usage again takes time in which images change.
        let usage = loop {
            self.deadline.allows_more()?;
            let own = |places: &[usize]| places.iter().map(|place| stale[*place].image_digest).collect::<BTreeSet<_>>();
            let descendants = together.iter().flat_map(|place| self.descendants(&stale[*place]));
            let own_together = own(together);
            let descendants = descendants.filter(|digest| !own_together.contains(digest));
            // What goes is looked at last, so that nothing comes between the look and the delete.
            for old in [looks.older(descendants, max_age), looks.older(own_together.iter().copied(), max_age)] {
                self.look_at(&old, looks).await?;
            }
            let usage = self.usage.now().await?;
            if looks.older(own(places).into_iter(), max_age).is_empty() {
                break usage;
            }
        };
        self.deadline.allows_more()?;
        let usage = usage.known().of_repository(&self.registry.place.account, self.repository);
        let mut still_due = Vec::new();
        for place in places {
            let image = &stale[*place];
            match looks.skip_reason(image, &self.descendants(image), &usage, self.index_pulls) {
                Some(result) => stale[*place].result = result,
                None => still_due.push(*place),
            }
        }
        Ok(still_due)
    }

    /// Looks at images once more. Where the deadline comes too near for that, none of them was attempted.
    async fn look_at(&self, digests: &BTreeSet<ImageDigest>, looks: &mut LastLooks<'_>) -> Result<(), Stop> {
        match looks.look_at(digests, self.registry, self.repository).await {
            Err(error) if error.is_deadline() => Err(Stop::Unattempted(Unattempted::Deadline)),
            looked => Ok(looked?),
        }
    }

    /// What an image names, what that names, and so on.
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

    /// Tells of every image that has no result yet what became of it.
    fn stop(&self, stale: &mut [StaleImage], batch: &[usize], stop: Stop) {
        let (of_batch, of_rest) = match stop {
            Stop::Unattempted(why) => (ImageResult::NotAttempted(why), ImageResult::NotAttempted(why)),
            Stop::Failed(error) if error.is_missing(Missing::Repository) => (ImageResult::Gone, ImageResult::Gone),
            Stop::Failed(error) => {
                let (repository_name, images) = (self.repository, batch.len());
                tracing::warn!(%repository_name, images, %error, "batch of {repository_name} not done");
                let why = if error.is_deadline() { Unattempted::Deadline } else { Unattempted::RepositoryFailed };
                (failed(&error), ImageResult::NotAttempted(why))
            }
        };
        let is_planned = |place: &&usize| stale[**place].result == ImageResult::Planned;
        let planned: Vec<usize> = batch.iter().filter(is_planned).copied().collect();
        // Those to archive go one by one, after the others, so a call fails for the first of them alone.
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

impl From<CallError> for Stop {
    fn from(error: CallError) -> Self {
        if error.is_interruption() { GivenUp::Interrupted.into() } else { Self::Failed(error) }
    }
}

impl From<GivenUp> for Stop {
    fn from(given_up: GivenUp) -> Self {
        Self::Unattempted(match given_up {
            GivenUp::DeadlineReached => Unattempted::Deadline,
            GivenUp::Interrupted => Unattempted::Interrupted,
        })
    }
}

impl From<NotFresh> for Stop {
    fn from(not_fresh: NotFresh) -> Self {
        match not_fresh {
            NotFresh::GivenUp(given_up) => given_up.into(),
            NotFresh::Incomplete(_) => Self::Unattempted(Unattempted::UsageIncomplete),
        }
    }
}

/// What the indexes name that another index may name.
fn nested_indexes(
    stale: &[StaleImage],
    kept: &HashMap<ImageDigest, Box<[ImageDigest]>>,
) -> HashMap<ImageDigest, Box<[ImageDigest]>> {
    let followers = stale.iter().filter(|image| !image.follows().is_empty() && !image.children().is_empty());
    let stale = followers.map(|image| (image.image_digest, image.children().into()));
    stale.chain(kept.iter().map(|(index, children)| (*index, children.clone()))).collect()
}

/// What the role may not do is no failure: it may be meant so.
fn refused_or_failed(error: &CallError) -> ImageResult {
    if error.is_refusal() { ImageResult::NotAllowed(Box::new(error.clone())) } else { failed(error) }
}
