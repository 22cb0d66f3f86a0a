//! Deletes what an approved plan lists, and nothing else: this is the only module that calls a deleting API.
//!
//! Images go by digest, at most 100 a call, repository by repository. A repository that fails stops no other.

use std::collections::HashMap;

use aws_sdk_ecr::Client;
use aws_sdk_ecr::operation::batch_delete_image::BatchDeleteImageOutput;
use aws_sdk_ecr::types::ImageIdentifier;
use futures::future::join_all;
use futures::stream::{self, StreamExt};

use crate::aws::{Aws, CallError, call};
use crate::deadline::Deadline;
use crate::image::{ImageDigest, ManifestKind, RepositoryName};
use crate::inventory::REPOSITORIES_AT_ONCE;
use crate::plan::{ApprovedPlan, ImageResult, Plan, RegistryPlan, RepositoryPlan, StaleImage};

/// The most images that `BatchDeleteImage` takes.
/// See <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_BatchDeleteImage.html>.
const IMAGES_PER_CALL: usize = 100;

const BATCH_DELETE_IMAGE: &str = "ecr:BatchDeleteImage";

/// Carries the plan out and returns it with the result of every image.
pub async fn apply(aws: &Aws, approved: ApprovedPlan, deadline: Deadline) -> Plan {
    let mut plan = approved.into_plan();
    join_all(plan.registries.iter_mut().map(async |RegistryPlan { registry_id: _, region, repositories }| {
        let ecr = aws.ecr(region);
        stream::iter(repositories.iter_mut().flatten())
            .for_each_concurrent(REPOSITORIES_AT_ONCE, async |RepositoryPlan { repository_name, decided }| {
                if let Ok(decided) = decided {
                    delete_images(&ecr, repository_name, &mut decided.stale, deadline).await;
                }
            })
            .await;
    }))
    .await;
    plan
}

async fn delete_images(ecr: &Client, repository: &RepositoryName, stale: &mut [StaleImage], deadline: Deadline) {
    // ECR refuses to delete a child while its index exists, so indexes go in an earlier call.
    let (indexes, others): (Vec<_>, Vec<_>) = stale.iter_mut().partition(|image| image.manifest == ManifestKind::Index);
    // What becomes of the rest once a call for this repository fails as a whole.
    let mut rest: Option<ImageResult> = None;
    for mut of_kind in [indexes, others] {
        for batch in of_kind.chunks_mut(IMAGES_PER_CALL) {
            if rest.is_none() && deadline.allows_more().is_err() {
                rest = Some(ImageResult::NotAttempted);
            }
            if let Some(result) = &rest {
                set_all(batch, result);
                continue;
            }
            match delete_batch(ecr, repository, batch, deadline).await {
                Ok(answer) => take_results(batch, &answer),
                Err(error) => {
                    tracing::warn!(repository_name = %repository, images = batch.len(), %error, "batch not deleted");
                    let gone = error.code == "RepositoryNotFoundException";
                    rest = Some(if gone { ImageResult::Gone } else { ImageResult::NotAttempted });
                    set_all(batch, &if gone { ImageResult::Gone } else { failed(error) });
                }
            }
        }
    }
}

async fn delete_batch(
    ecr: &Client,
    repository: &RepositoryName,
    batch: &[&mut StaleImage],
    deadline: Deadline,
) -> Result<BatchDeleteImageOutput, CallError> {
    // By digest alone: a tag would delete whatever it names by now.
    let image_ids =
        batch.iter().map(|image| ImageIdentifier::builder().image_digest(image.image_digest.to_string()).build());
    let request =
        ecr.batch_delete_image().repository_name(repository.as_str()).set_image_ids(Some(image_ids.collect()));
    call(deadline, BATCH_DELETE_IMAGE, request.send()).await
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
