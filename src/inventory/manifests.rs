//! Reading the manifests of a repository's indexes, and whether that counts as pulling them.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;

use aws_sdk_ecr::Client;
use aws_sdk_ecr::operation::batch_get_image::BatchGetImageOutput;
use aws_sdk_ecr::operation::list_pull_time_update_exclusions::ListPullTimeUpdateExclusionsOutput;
use aws_sdk_ecr::types::ImageIdentifier;

use super::{INDEX_MEDIA_TYPES, PER_PAGE};
use crate::aws::{CallError, Caller};
use crate::deadline::Deadline;
use crate::image::{Image, ImageDigest, ImageStatus, RepositoryName};
use crate::manifest::{Manifests, UnreadableManifest};
use crate::plan::Unfetched;
use crate::pull_time::{IndexPulls, Principal};

/// The most images that `BatchGetImage` takes.
/// See <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_BatchGetImage.html>.
pub(super) const IMAGES_PER_CALL: usize = 100;

pub(super) const BATCH_GET_IMAGE: &str = "ecr:BatchGetImage";
const LIST_PULL_TIME_UPDATE_EXCLUSIONS: &str = "ecr:ListPullTimeUpdateExclusions";

/// The media types of manifests that name no other. They are asked for too, since an image's may not be told.
const MANIFEST_MEDIA_TYPES: [&str; 2] =
    ["application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json"];

/// What could be read of a repository's manifests.
#[derive(Debug, Default)]
pub struct IndexContents {
    /// What the indexes name.
    pub manifests: Manifests,
    /// The indexes that could not be fetched.
    pub unfetched: Option<Unfetched>,
    /// The indexes whose manifests came and can't be used.
    pub unreadable: BTreeMap<ImageDigest, UnreadableManifest>,
}

/// Reads the manifest of every image that may be an index. What fails is told, and hinders nothing else.
pub async fn read_manifests(
    ecr: &Client,
    name: &RepositoryName,
    images: &[Image],
    deadline: Deadline,
) -> IndexContents {
    let mut contents = IndexContents::default();
    let indexes: Vec<&Image> = images.iter().filter(|image| image.manifest.may_name_others()).collect();
    for batch in batches(&indexes) {
        let asked: HashMap<ImageDigest, &Image> = batch.iter().map(|image| (image.image_digest, *image)).collect();
        match get_images(ecr, name, batch, deadline).await {
            Ok(answer) => contents.take(asked, answer),
            Err(error) => contents.add_unfetched(batch.len() as u64, error),
        }
    }
    contents
}

/// Batches that `BatchGetImage` takes, and whose answers have a bounded size: an image comes once for each of its tags.
pub(super) fn batches<'a, 'i>(images: &'a [&'i Image]) -> impl Iterator<Item = &'a [&'i Image]> {
    const MANIFESTS_PER_ANSWER: usize = 1_000;
    let mut rest = images;
    std::iter::from_fn(move || {
        let mut manifests = 0;
        let fits = |image: &&&Image| {
            manifests += image.image_tags.len().max(1);
            manifests <= MANIFESTS_PER_ANSWER
        };
        let fitting = rest.iter().take(IMAGES_PER_CALL).take_while(fits).count();
        let (batch, further) = rest.split_at(fitting.max(1).min(rest.len()));
        rest = further;
        (!batch.is_empty()).then_some(batch)
    })
}

/// Asks for the manifests of at most [`IMAGES_PER_CALL`] images.
pub(super) async fn get_images(
    ecr: &Client,
    name: &RepositoryName,
    batch: &[&Image],
    deadline: Deadline,
) -> Result<BatchGetImageOutput, CallError> {
    deadline.allows_more().map_err(|reached| (BATCH_GET_IMAGE, reached))?;
    let id = |image: &&Image| ImageIdentifier::builder().image_digest(image.image_digest.to_string()).build();
    let media_types = INDEX_MEDIA_TYPES.into_iter().chain(MANIFEST_MEDIA_TYPES).map(str::to_owned);
    let request = ecr
        .batch_get_image()
        .repository_name(name.as_str())
        .set_image_ids(Some(batch.iter().map(id).collect()))
        .set_accepted_media_types(Some(media_types.collect()));
    Caller::new(deadline).call(BATCH_GET_IMAGE, request.send()).await
}

impl IndexContents {
    fn take(&mut self, mut asked: HashMap<ImageDigest, &Image>, answer: BatchGetImageOutput) {
        for image in answer.images.unwrap_or_default() {
            let digest = image.image_id().and_then(digest_of);
            if let (Some(digest), Some(manifest)) = (digest, image.image_manifest())
                && let Some(image) = asked.remove(&digest)
                && let Err(error) = self.manifests.add(digest, image.manifest, manifest)
            {
                self.unreadable.insert(digest, error);
            }
        }
        for failure in answer.failures.unwrap_or_default() {
            let Some(image) = failure.image_id().and_then(digest_of).and_then(|digest| asked.remove(&digest)) else {
                continue;
            };
            let code = failure.failure_code().map_or("UnknownFailure", |code| code.as_str());
            // One that is gone was deleted in between, and an archived one can't be read before it is restored: what they
            // may have named is kept, but no call has failed.
            if code == "ImageNotFound" || image.image_status != ImageStatus::Active {
                self.unreadable.insert(image.image_digest, UnreadableManifest::Withheld(code.to_owned()));
            } else {
                let message = failure.failure_reason().unwrap_or_default().to_owned();
                self.add_unfetched(1, CallError { api: BATCH_GET_IMAGE, code: code.to_owned(), message });
            }
        }
        if !asked.is_empty() {
            let message = "ECR's answer has neither their manifests nor failures";
            self.add_unfetched(asked.len() as u64, CallError::unexpected(BATCH_GET_IMAGE, &message));
        }
    }

    fn add_unfetched(&mut self, indexes: u64, error: CallError) {
        self.unfetched.get_or_insert(Unfetched { indexes: 0, error }).indexes += indexes;
    }
}

pub(super) fn digest_of(id: &ImageIdentifier) -> Option<ImageDigest> {
    id.image_digest()?.parse().ok()
}

/// Whether the pulls that ECR recorded of a region's indexes may be this principal's own reading.
///
/// # Errors
/// When the exclusions can't be listed.
pub async fn read_index_pulls(
    ecr: &Client,
    principal: &Principal,
    deadline: Deadline,
) -> Result<IndexPulls, CallError> {
    let mut excluded = Vec::new();
    Caller::new(deadline)
        .pages_by_token(
            LIST_PULL_TIME_UPDATE_EXCLUSIONS,
            |token| {
                let request = ecr.list_pull_time_update_exclusions().max_results(PER_PAGE);
                request.set_next_token(token).send()
            },
            ListPullTimeUpdateExclusionsOutput::next_token,
            |page| {
                excluded.extend(page.pull_time_update_exclusions.unwrap_or_default());
                Some(ControlFlow::Continue(()))
            },
        )
        .await?;
    Ok(IndexPulls::of(principal, excluded.iter().map(String::as_str)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::image;
    use aws_sdk_ecr::types::ImageDetail;

    #[test]
    fn batches_hold_as_many_images_as_a_call_takes_and_as_many_tags_as_an_answer_may() {
        let tagged = |number: usize, tags: usize| {
            let tags = (0..tags).map(|tag| format!("v{tag}")).collect();
            let detail =
                ImageDetail::builder().image_digest(format!("sha256:{number:064x}")).set_image_tags(Some(tags));
            image(detail.build()).unwrap()
        };
        let sizes = |tags: &[usize]| -> Vec<usize> {
            let images: Vec<Image> = tags.iter().enumerate().map(|(number, tags)| tagged(number, *tags)).collect();
            batches(&images.iter().collect::<Vec<_>>()).map(<[_]>::len).collect()
        };
        assert_eq!(sizes(&[]), [0; 0]);
        assert_eq!(sizes(&[1; 250]), [100, 100, 50]);
        assert_eq!(sizes(&[0; 101]), [100, 1]);
        assert_eq!(sizes(&[400, 400, 400, 400]), [2, 2]);
        assert_eq!(sizes(&[1_200, 1, 1]), [1, 2], "one image always goes");
    }
}
