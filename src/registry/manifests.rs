//! Reads the manifests of a repository's indexes, and whether ECR records such reads as pulls.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use aws_sdk_ecr::operation::batch_get_image::BatchGetImageOutput;
use aws_sdk_ecr::operation::list_pull_time_update_exclusions::ListPullTimeUpdateExclusionsOutput;
use aws_sdk_ecr::types::ImageIdentifier;
use ecr_cleanup_core::call_error::{CallError, Missing};
use ecr_cleanup_core::image::{Image, ImageDigest, ImageStatus, RepositoryName};
use ecr_cleanup_core::manifest::{IndexContents, UnreadableManifest};
use ecr_cleanup_core::pull_time::IndexPulls;

use super::answer_size::{AtMost, BytesPerImage, LARGE_ANSWER, LARGEST_ANSWER, SMALL_ANSWER};
use super::{INDEX_MEDIA_TYPES, PER_PAGE, Registry};

/// The most images that `BatchGetImage` accepts.
/// See <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_BatchGetImage.html>.
pub(super) const IMAGES_PER_CALL: usize = 100;

pub(super) const BATCH_GET_IMAGE: &str = "ecr:BatchGetImage";
const LIST_PULL_TIME_UPDATE_EXCLUSIONS: &str = "ecr:ListPullTimeUpdateExclusions";

/// The media types of manifests that list no others. They are requested too, because ECR may not return an image's
/// media type.
const MANIFEST_MEDIA_TYPES: [&str; 2] =
    ["application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json"];

impl Registry<'_> {
    /// Reads the manifest of every image that may be an index. The result contains failures, which stop nothing else.
    pub async fn read_manifests<'i>(
        &self,
        name: &RepositoryName,
        images: impl Iterator<Item = &'i Image>,
    ) -> IndexContents {
        let mut contents = IndexContents::default();
        let indexes = images.filter(|image| image.manifest.may_name_others());
        let indexes = self.without_the_known(name, indexes, &mut contents);
        let mut expected = BytesPerImage::default();
        let mut left: Vec<Vec<&Image>> = batches(&indexes).map(<[_]>::to_vec).collect();
        left.reverse();
        while let Some(batch) = left.pop() {
            let mut failed = Vec::new();
            self.get_images(name, &batch, &mut expected, |part, answer| match answer {
                Ok(answer) => {
                    let asked = part.iter().map(|image| (image.image_digest, *image)).collect();
                    take(&mut contents, asked, answer);
                }
                Err(error) => failed.push((part.to_vec(), error)),
            })
            .await;
            for (part, error) in failed {
                match self.without_the_gone(name, &part, &mut contents, &error).await {
                    Ok(others) if others.len() < part.len() => left.extend(Some(others).filter(|it| !it.is_empty())),
                    Ok(_) => contents.add_unfetched(part.len() as u64, error),
                    Err(gone) => contents.add_unfetched(part.len() as u64, gone),
                }
            }
        }
        contents
    }

    /// The images that still exist after a call for them failed. The others are noted as gone. An error if the
    /// repository no longer exists.
    async fn without_the_gone<'i>(
        &self,
        name: &RepositoryName,
        images: &[&'i Image],
        contents: &mut IndexContents,
        error: &CallError,
    ) -> Result<Vec<&'i Image>, CallError> {
        if !error.is_in_doubt() || error.is_missing(Missing::Repository) {
            return Ok(images.to_vec());
        }
        let digests: Vec<ImageDigest> = images.iter().map(|image| image.image_digest).collect();
        let (mut left, mut gone) = (vec![digests], HashSet::new());
        while let Some(batch) = left.pop() {
            match self.describe(name, &batch).await {
                Ok(described) => {
                    gone.extend(described.gone);
                    left.extend(described.left);
                }
                Err(error) if error.is_missing(Missing::Repository) => return Err(error),
                // Then the images may or may not exist, and the call has failed for all of them.
                Err(_) => return Ok(images.to_vec()),
            }
        }
        for digest in &gone {
            contents.unreadable.insert(*digest, UnreadableManifest::gone());
        }
        Ok(images.iter().filter(|image| !gone.contains(&image.image_digest)).copied().collect())
    }

    /// Requests the manifests of at most [`IMAGES_PER_CALL`] images, and passes each answer to `take`. It makes several
    /// calls if one answer would be too large.
    pub(super) async fn get_images<'b, 'i>(
        &self,
        name: &RepositoryName,
        batch: &'b [&'i Image],
        expected: &mut BytesPerImage,
        mut take: impl FnMut(&'b [&'i Image], Result<BatchGetImageOutput, CallError>),
    ) {
        let mut rest = batch;
        while !rest.is_empty() {
            let (part, further) = rest.split_at(expected.images_in(LARGE_ANSWER).min(rest.len()));
            let is_large = expected.of(part.len()) > SMALL_ANSWER;
            let turn = if is_large { Some(self.aws.turn_for_a_large_answer().await) } else { None };
            let most = match (is_large, part.len()) {
                (false, _) => SMALL_ANSWER,
                (true, 1) => LARGEST_ANSWER,
                (true, _) => LARGE_ANSWER,
            };
            let bound = AtMost { most, announced: Arc::default() };
            let answer = self.get_manifests(name, part, bound.clone()).await;
            let announced = bound.announced.load(Ordering::Relaxed);
            *expected = BytesPerImage::in_answer(announced, part.len());
            match answer {
                // The updated expectation leads to another bound, or to fewer images.
                Err(_) if announced > most && most < LARGEST_ANSWER => {}
                answer => {
                    take(part, answer);
                    rest = further;
                }
            }
            drop(turn);
        }
    }

    async fn get_manifests(
        &self,
        name: &RepositoryName,
        images: &[&Image],
        bound: AtMost,
    ) -> Result<BatchGetImageOutput, CallError> {
        self.deadline.allows_more().map_err(|reached| (BATCH_GET_IMAGE, reached))?;
        let id = |image: &&Image| ImageIdentifier::builder().image_digest(image.image_digest.to_string()).build();
        let media_types = INDEX_MEDIA_TYPES.into_iter().chain(MANIFEST_MEDIA_TYPES).map(str::to_owned);
        let request = self
            .client
            .batch_get_image()
            .repository_name(name.as_str())
            .set_image_ids(Some(images.iter().map(id).collect()))
            .set_accepted_media_types(Some(media_types.collect()))
            .customize()
            .interceptor(bound);
        self.caller().call(BATCH_GET_IMAGE, request.send()).await
    }

    /// Whether ECR's recorded pulls of the registry's indexes count as use. It is read once.
    pub(super) async fn index_pulls(&self) -> IndexPulls {
        let mut index_pulls = self.index_pulls.lock().await;
        let known = match &*index_pulls {
            Some(known) => known,
            None => index_pulls.insert(self.read_index_pulls().await),
        };
        *known.as_ref().unwrap_or(&IndexPulls::MayBeOwn)
    }

    async fn read_index_pulls(&self) -> Result<IndexPulls, CallError> {
        let mut excluded = Vec::new();
        let page_at = |token| {
            let request = self.client.list_pull_time_update_exclusions().max_results(PER_PAGE);
            request.set_next_token(token).send()
        };
        self.caller()
            .pages_by_token(
                LIST_PULL_TIME_UPDATE_EXCLUSIONS,
                page_at,
                ListPullTimeUpdateExclusionsOutput::next_token,
                |page| {
                    excluded.extend(page.pull_time_update_exclusions.unwrap_or_default());
                    Some(ControlFlow::Continue(()))
                },
            )
            .await?;
        Ok(IndexPulls::of(self.principal, excluded.iter().map(String::as_str)))
    }
}

/// Batches for `BatchGetImage` whose answers have a bounded size, because an answer contains an image once for each of
/// its tags.
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

/// Adds the manifests and failures in an answer.
fn take(contents: &mut IndexContents, mut asked: HashMap<ImageDigest, &Image>, answer: BatchGetImageOutput) {
    for image in answer.images.unwrap_or_default() {
        let digest = image.image_id().and_then(digest_of);
        if let (Some(digest), Some(manifest)) = (digest, image.image_manifest())
            && let Some(image) = asked.remove(&digest)
            && let Err(error) = contents.manifests.add(digest, image.manifest, manifest)
        {
            contents.unreadable.insert(digest, error);
        }
    }
    for failure in answer.failures.unwrap_or_default() {
        let Some(image) = failure.image_id().and_then(digest_of).and_then(|digest| asked.remove(&digest)) else {
            continue;
        };
        let code = failure.failure_code().map_or("UnknownFailure", |code| code.as_str());
        // A missing image was deleted in the meantime, and an archived one can't be read before it is restored. No call
        // has failed.
        if code == UnreadableManifest::GONE || image.image_status != ImageStatus::Active {
            contents.unreadable.insert(image.image_digest, UnreadableManifest::NotGivenOut(code.to_owned()));
        } else {
            let message = failure.failure_reason().unwrap_or_default().to_owned();
            contents.add_unfetched(1, CallError::new(BATCH_GET_IMAGE, code, message));
        }
    }
    if !asked.is_empty() {
        let message = "ECR's answer has neither their manifests nor failures";
        contents.add_unfetched(asked.len() as u64, CallError::unexpected(BATCH_GET_IMAGE, &message));
    }
}

pub(super) fn digest_of(id: &ImageIdentifier) -> Option<ImageDigest> {
    id.image_digest()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::images::image;
    use aws_sdk_ecr::types::ImageDetail;

    #[test]
    fn batches_hold_as_many_images_as_a_call_takes_and_as_many_tags_as_an_answer_may() {
        let tagged = |number: usize, tags: usize| {
            let tags = (0..tags).map(|tag| format!("v{tag}")).collect();
            let detail =
                ImageDetail::builder().image_digest(format!("sha256:{number:064x}")).set_image_tags(Some(tags));
            image(&detail.build()).unwrap()
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
