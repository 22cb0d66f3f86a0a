//! Deletes what an approved plan lists, and nothing else: this is the only module that calls a deleting API.
//!
//! Images go by digest, at most 100 a call, repository by repository. A repository that fails stops no other. Before
//! each batch, usage is looked at once more, and is discovered again when it is too old.

use std::collections::{BTreeMap, HashMap, HashSet};

use aws_sdk_ecr::Client;
use aws_sdk_ecr::operation::batch_delete_image::BatchDeleteImageOutput;
use aws_sdk_ecr::types::ImageIdentifier;
use futures::stream::{self, StreamExt};

use crate::account::AccountId;
use crate::aws::{Aws, CallError, Caller};
use crate::deadline::Deadline;
use crate::image::{ImageDigest, ManifestKind, RepositoryName};
use crate::inventory::{REGIONS_AT_ONCE, REPOSITORIES_AT_ONCE};
use crate::plan::{ApprovedPlan, ImageResult, Plan, RegistryPlan, RepositoryPlan, SkipReason, StaleImage, Unattempted};
use crate::usage::{FreshUsage, NotFresh};

/// The most images that `BatchDeleteImage` takes.
/// See <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_BatchDeleteImage.html>.
const IMAGES_PER_CALL: usize = 100;

const BATCH_DELETE_IMAGE: &str = "ecr:BatchDeleteImage";

/// One repository, and how it is cleaned.
struct Cleaner<'a> {
    ecr: &'a Client,
    registry_id: &'a AccountId,
    repository: &'a RepositoryName,
    usage: &'a FreshUsage<'a>,
    deadline: Deadline,
}

/// Carries the plan out and returns it with the result of every image.
pub async fn apply(aws: &Aws, approved: ApprovedPlan, usage: &FreshUsage<'_>, deadline: Deadline) -> Plan {
    let mut plan = approved.into_plan();
    let clean_region = async |RegistryPlan { registry_id, region, repositories }: &mut RegistryPlan| {
        let ecr = aws.ecr(region);
        stream::iter(repositories.iter_mut().flatten())
            .for_each_concurrent(REPOSITORIES_AT_ONCE, async |RepositoryPlan { repository_name, decided }| {
                if let Ok(decided) = decided {
                    let cleaner = Cleaner { ecr: &ecr, registry_id, repository: repository_name, usage, deadline };
                    cleaner.delete(&mut decided.stale).await;
                }
            })
            .await;
    };
    stream::iter(plan.registries.iter_mut()).for_each_concurrent(REGIONS_AT_ONCE, clean_region).await;
    plan
}

impl Cleaner<'_> {
    async fn delete(&self, stale: &mut [StaleImage]) {
        // What becomes of the rest once nothing more can be done for this repository.
        let mut rest: Option<ImageResult> = None;
        // The images that are still there although they were planned to go.
        let mut left: HashSet<ImageDigest> = HashSet::new();
        for mut wave in waves(stale) {
            for batch in wave.chunks_mut(IMAGES_PER_CALL) {
                if let Some(result) = &rest {
                    set_all(batch, result);
                    continue;
                }
                let (mut about_left, mut others): (Vec<_>, Vec<_>) = batch
                    .iter_mut()
                    .map(|image| &mut **image)
                    .partition(|image| image.subjects().any(|subject| left.contains(&subject)));
                set_all(&mut about_left, &ImageResult::Skipped(SkipReason::SubjectKept));
                rest = self.delete_batch(&mut others).await;
                let is_there =
                    |image: &&&mut StaleImage| !matches!(image.result, ImageResult::Deleted | ImageResult::Gone);
                left.extend(batch.iter().filter(is_there).map(|image| image.image_digest));
            }
        }
    }

    /// Deletes a batch. Returns what becomes of the rest where there is no going on.
    async fn delete_batch(&self, batch: &mut [&mut StaleImage]) -> Option<ImageResult> {
        let stop = |batch: &mut [&mut StaleImage], why| {
            let result = ImageResult::NotAttempted(why);
            set_all(batch, &result);
            Some(result)
        };
        if self.deadline.allows_more().is_err() {
            return stop(batch, Unattempted::Deadline);
        }
        if batch.is_empty() {
            return None;
        }
        let usage = match self.usage.now().await {
            Ok(usage) => usage,
            Err(NotFresh::DeadlineReached(_)) => return stop(batch, Unattempted::Deadline),
            Err(NotFresh::Incomplete(_)) => return stop(batch, Unattempted::UsageIncomplete),
        };
        let used = usage.usage.of_repository(self.registry_id, self.repository);
        let (mut used, mut unused): (Vec<_>, Vec<_>) = batch
            .iter_mut()
            .map(|image| &mut **image)
            .partition(|image| used.is_withheld() || used.holder(image.image_digest, &image.image_tags).is_some());
        set_all(&mut used, &ImageResult::Skipped(SkipReason::NowInUse));
        if unused.is_empty() {
            return None;
        }
        match self.call(&unused).await {
            Ok(answer) => {
                take_results(&mut unused, &answer);
                None
            }
            Err(error) if error.code == "RepositoryNotFoundException" => {
                set_all(&mut unused, &ImageResult::Gone);
                Some(ImageResult::Gone)
            }
            Err(error) => {
                let repository_name = self.repository;
                tracing::warn!(%repository_name, images = unused.len(), %error, "batch of {repository_name} not deleted");
                let why = if error.is_deadline() { Unattempted::Deadline } else { Unattempted::RepositoryFailed };
                set_all(&mut unused, &failed(error));
                Some(ImageResult::NotAttempted(why))
            }
        }
    }

    async fn call(&self, images: &[&mut StaleImage]) -> Result<BatchDeleteImageOutput, CallError> {
        // By digest alone: a tag would delete whatever it names by now.
        let image_ids =
            images.iter().map(|image| ImageIdentifier::builder().image_digest(image.image_digest.to_string()).build());
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
}

/// The images in the order in which they may go. ECR refuses to delete a child while its index exists, so indexes go in
/// an earlier call; and what is about an image goes after it, when it is known whether that one went.
fn waves(stale: &mut [StaleImage]) -> Vec<Vec<&mut StaleImage>> {
    /// Signatures of signatures are rare, and longer chains are nobody's.
    const LONGEST_CHAIN: usize = 8;
    let subjects: HashMap<ImageDigest, ImageDigest> =
        stale.iter().filter_map(|image| Some((image.image_digest, image.subjects().next()?))).collect();
    let chain_of = |image: &StaleImage| {
        std::iter::successors(subjects.get(&image.image_digest), |subject| subjects.get(subject))
            .take(LONGEST_CHAIN)
            .count()
    };
    let mut waves: BTreeMap<(usize, bool), Vec<&mut StaleImage>> = BTreeMap::new();
    for image in stale {
        let wave = (chain_of(image), image.manifest != ManifestKind::Index);
        waves.entry(wave).or_default().push(image);
    }
    waves.into_values().collect()
}

/// ECR answers 200 also where it deletes nothing: each image's fate is in the answer.
fn take_results(batch: &mut [&mut StaleImage], answer: &BatchDeleteImageOutput) {
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
    for image in batch {
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

fn set_all(batch: &mut [&mut StaleImage], result: &ImageResult) {
    for image in batch {
        image.result = result.clone();
    }
}
