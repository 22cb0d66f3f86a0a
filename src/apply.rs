//! Deletes what an approved plan lists, and nothing else: this is the only module that calls a deleting API.
//!
//! Images go by digest, at most 100 a call, repository by repository. A repository that fails stops no other. Before
//! each batch its images are described once more, and usage is discovered again when it is too old.

mod queue;
mod recheck;

use std::collections::{BTreeSet, HashMap};

use aws_sdk_ecr::Client;
use aws_sdk_ecr::operation::batch_delete_image::BatchDeleteImageOutput;
use aws_sdk_ecr::types::ImageIdentifier;
use futures::stream::{self, StreamExt};

use crate::account::AccountId;
use crate::aws::{Aws, CallError, Caller};
use crate::deadline::Deadline;
use crate::image::{ImageDigest, RepositoryName};
use crate::inventory::{REGIONS_AT_ONCE, REPOSITORIES_AT_ONCE};
use crate::plan::{ApprovedPlan, ImageResult, Plan, RegistryPlan, RepositoryPlan, StaleImage, Unattempted};
use crate::pull_time::IndexPulls;
use crate::usage::{FreshUsage, NotFresh};
use queue::Queue;
use recheck::Seen;

/// The most images that `BatchDeleteImage` takes.
/// See <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_BatchDeleteImage.html>.
const IMAGES_PER_CALL: usize = 100;

const BATCH_DELETE_IMAGE: &str = "ecr:BatchDeleteImage";

/// One repository, and how it is cleaned.
struct Cleaner<'a> {
    ecr: &'a Client,
    registry_id: &'a AccountId,
    repository: &'a RepositoryName,
    index_pulls: IndexPulls,
    usage: &'a FreshUsage<'a>,
    deadline: Deadline,
}

/// Why there is no going on with a repository.
enum Stop {
    /// The turn of what is left does not come.
    Unattempted(Unattempted),
    /// A call failed for a batch as a whole.
    Failed(CallError),
}

/// Carries the plan out and returns it with the result of every image.
pub async fn apply(aws: &Aws, approved: ApprovedPlan, usage: &FreshUsage<'_>, deadline: Deadline) -> Plan {
    let mut plan = approved.into_plan();
    let clean_region = async |registry: &mut RegistryPlan| {
        let RegistryPlan { registry_id, region, index_pulls, repositories } = registry;
        let (ecr, index_pulls) = (aws.ecr(region), *index_pulls);
        stream::iter(repositories.iter_mut().flatten())
            .for_each_concurrent(REPOSITORIES_AT_ONCE, async |RepositoryPlan { repository_name, decided }| {
                if let Ok(decided) = decided {
                    let repository = repository_name;
                    let cleaner = Cleaner { ecr: &ecr, registry_id, repository, index_pulls, usage, deadline };
                    cleaner.clean(&mut decided.stale).await;
                }
            })
            .await;
    };
    stream::iter(plan.registries.iter_mut()).for_each_concurrent(REGIONS_AT_ONCE, clean_region).await;
    plan
}

impl Cleaner<'_> {
    async fn clean(&self, stale: &mut [StaleImage]) {
        let mut queue = Queue::of(stale);
        let mut seen = Seen::default();
        loop {
            let batch = queue.next_batch(stale, IMAGES_PER_CALL);
            if batch.is_empty() {
                return;
            }
            if let Err(stop) = self.clean_batch(stale, &batch, &mut seen).await {
                self.stop(stale, &batch, stop);
                return;
            }
            for place in batch {
                seen.forget(stale[place].image_digest);
                queue.release_followers_of(place);
            }
        }
    }

    /// Deletes those of a batch that still are what was planned to go.
    async fn clean_batch(&self, stale: &mut [StaleImage], batch: &[usize], seen: &mut Seen) -> Result<(), Stop> {
        let images = batch.iter().map(|place| &stale[*place]);
        let digests: BTreeSet<ImageDigest> =
            images.flat_map(|image| image.descendants().iter().copied().chain([image.image_digest])).collect();
        let max_age = self.usage.limits().image_max_age;
        // Both must be young at once, and reading usage again takes time in which images change.
        let usage = loop {
            self.deadline.allows_more().map_err(|_| Stop::Unattempted(Unattempted::Deadline))?;
            if !seen.all_within(&digests, max_age) {
                seen.look_at(&digests, self.ecr, self.repository, self.deadline).await?;
            }
            let usage = self.usage.now().await?;
            if seen.all_within(&digests, max_age) {
                break usage;
            }
        };
        let usage = usage.usage.of_repository(self.registry_id, self.repository);
        let mut unhindered = Vec::new();
        for place in batch {
            match seen.hindrance(&stale[*place], &usage, self.index_pulls) {
                Some(result) => stale[*place].result = result,
                None => unhindered.push(*place),
            }
        }
        if !unhindered.is_empty() {
            let answer = self.delete(unhindered.iter().map(|place| stale[*place].image_digest)).await?;
            take_results(stale, &unhindered, &answer);
        }
        Ok(())
    }

    async fn delete(&self, digests: impl Iterator<Item = ImageDigest>) -> Result<BatchDeleteImageOutput, CallError> {
        // By digest alone: a tag would delete whatever it names by now.
        let image_ids = digests.map(|digest| ImageIdentifier::builder().image_digest(digest.to_string()).build());
        let request = self.ecr.batch_delete_image().repository_name(self.repository.as_str());
        let request = request.set_image_ids(Some(image_ids.collect()));
        let caller = Caller::new(self.deadline);
        let answer = caller.call(BATCH_DELETE_IMAGE, request.send());
        let timeout = self.usage.limits().delete_timeout;
        tokio::time::timeout(timeout, answer).await.unwrap_or_else(|_| {
            let message = format!("not answered within {timeout:?}, and what is in use may have changed");
            Err(CallError { api: BATCH_DELETE_IMAGE, code: "TimeoutError".to_owned(), message })
        })
    }

    /// Tells of every image that has no result yet what became of it.
    fn stop(&self, stale: &mut [StaleImage], batch: &[usize], stop: Stop) {
        let (of_batch, of_rest) = match stop {
            Stop::Unattempted(why) => (ImageResult::NotAttempted(why), ImageResult::NotAttempted(why)),
            Stop::Failed(error) if error.code == "RepositoryNotFoundException" => {
                (ImageResult::Gone, ImageResult::Gone)
            }
            Stop::Failed(error) => {
                let (repository_name, images) = (self.repository, batch.len());
                tracing::warn!(%repository_name, images, %error, "batch of {repository_name} not deleted");
                let why = if error.is_deadline() { Unattempted::Deadline } else { Unattempted::RepositoryFailed };
                (failed(error), ImageResult::NotAttempted(why))
            }
        };
        for place in batch {
            if stale[*place].result == ImageResult::Planned {
                stale[*place].result = of_batch.clone();
            }
        }
        for image in stale.iter_mut().filter(|image| image.result == ImageResult::Planned) {
            image.result = of_rest.clone();
        }
    }
}

impl From<CallError> for Stop {
    fn from(error: CallError) -> Self {
        Self::Failed(error)
    }
}

impl From<NotFresh> for Stop {
    fn from(not_fresh: NotFresh) -> Self {
        Self::Unattempted(match not_fresh {
            NotFresh::DeadlineReached(_) => Unattempted::Deadline,
            NotFresh::Incomplete(_) => Unattempted::UsageIncomplete,
        })
    }
}

/// ECR answers 200 also where it deletes nothing: each image's fate is in the answer.
fn take_results(stale: &mut [StaleImage], batch: &[usize], answer: &BatchDeleteImageOutput) {
    let digest_of = |id: Option<&ImageIdentifier>| -> Option<ImageDigest> { id?.image_digest()?.parse().ok() };
    let mut results: HashMap<ImageDigest, ImageResult> = answer
        .image_ids()
        .iter()
        .filter_map(|id| digest_of(Some(id)))
        .map(|digest| (digest, ImageResult::Deleted))
        .collect();
    for failure in answer.failures() {
        if let Some(digest) = digest_of(failure.image_id()) {
            let code = failure.failure_code().map_or("UnknownFailure", |code| code.as_str());
            let result = match code {
                "ImageReferencedByManifestList" => ImageResult::Kept,
                "ImageNotFound" => ImageResult::Gone,
                code => ImageResult::Failed {
                    code: code.into(),
                    reason: failure.failure_reason().unwrap_or_default().into(),
                },
            };
            results.insert(digest, result);
        }
    }
    for place in batch {
        let image = &mut stale[*place];
        image.result = results.remove(&image.image_digest).unwrap_or_else(|| ImageResult::Failed {
            code: "NotConfirmed".into(),
            reason: "ECR's answer names the image neither as deleted nor as failed".into(),
        });
    }
}

fn failed(error: CallError) -> ImageResult {
    let reason = format!("{} ({})", error.message, error.remedy());
    ImageResult::Failed { code: error.code.into(), reason: reason.into() }
}
