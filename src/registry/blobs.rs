//! Reads the manifests of all images of a repository, to count its stored blobs.
//!
//! A pull begins with reading a manifest, so this is only for a principal whose pulls ECR does not record.

use std::collections::HashMap;

use aws_sdk_ecr::operation::batch_get_image::BatchGetImageOutput;
use ecr_cleanup_core::call_error::CallError;
use ecr_cleanup_core::image::{Image, ImageDigest, ImageStatus, ManifestKind, RepositoryName};
use ecr_cleanup_core::manifest::{Blob, UnreadableManifest, blobs_of};
use ecr_cleanup_core::pull_time::IndexPulls;
use ecr_cleanup_core::repository::{Exactness, Study};
use ecr_cleanup_core::retention::Fate;
use ecr_cleanup_core::sizes::{Blobs, ExactSizes, NotExact};
use futures::stream::{self, StreamExt};

use super::Registry;
use super::answer_size::BytesPerImage;
use super::manifests::{BATCH_GET_IMAGE, batches, digest_of};

/// Concurrent calls for a repository.
const CALLS_AT_ONCE: usize = 4;

impl Registry<'_> {
    /// Counts the stored bytes of a repository, each layer once, if ECR does not record the reads as pulls.
    pub(super) async fn read_exact_sizes(&self, name: &RepositoryName, study: &Study<'_>) -> Exactness {
        match self.index_pulls().await {
            IndexPulls::OfOthers => {}
            IndexPulls::MayBeOwn => return Exactness::Refused,
        }
        let _one_at_a_time = self.counting.lock().await;
        Exactness::Read(self.count_blobs(name, study).await)
    }

    /// Counts the stored bytes of a repository, and of these the bytes that only images to be deleted use.
    ///
    /// # Errors
    /// When the blobs of any image are unknown. If that is clear from the start, nothing is read.
    async fn count_blobs(&self, name: &RepositoryName, study: &Study<'_>) -> Result<ExactSizes, NotExact> {
        let images = study.images();
        if study.unnamed() > 0 {
            return Err(NotExact::Unnamed(study.unnamed()));
        }
        // An index has no blobs. It lists images.
        let made_of_blobs = |image: &&Image| match image.manifest {
            ManifestKind::Manifest | ManifestKind::Unknown => true,
            ManifestKind::Index => false,
        };
        let is_archived = |image: &&Image| image.image_status != ImageStatus::Active;
        if let Some(archived) = images.iter().filter(made_of_blobs).find(is_archived) {
            let withheld = UnreadableManifest::NotGivenOut("it is archived, or was until now".to_owned());
            return Err(NotExact::Unreadable(archived.image_digest, withheld));
        }
        let asked: Vec<&Image> = images.iter().filter(made_of_blobs).collect();
        let fates: HashMap<ImageDigest, Fate> =
            images.iter().enumerate().map(|(place, image)| (image.image_digest, study.fate(place))).collect();
        // In the order of the batches, so that the report always shows the same of several causes.
        let read = async |batch| {
            let mut read = Vec::new();
            let take = |part: &[&Image], answer: Result<_, _>| {
                read.push(answer.map_err(NotExact::Unfetched).and_then(|answer| blobs_in(&answer, part)));
            };
            self.get_images(name, batch, &mut BytesPerImage::default(), take).await;
            read
        };
        let mut answers = stream::iter(batches(&asked)).map(read).buffered(CALLS_AT_ONCE);
        let mut blobs = Blobs::default();
        while let Some(answers) = answers.next().await {
            for answer in answers {
                for (image_digest, of_image) in answer? {
                    blobs.add(fates.get(&image_digest).copied().unwrap_or(Fate::Stays), &of_image)?;
                }
            }
        }
        Ok(blobs.sizes())
    }
}

/// The blobs of each of these images. The answer must contain all their manifests.
fn blobs_in(answer: &BatchGetImageOutput, batch: &[&Image]) -> Result<Vec<(ImageDigest, Vec<Blob>)>, NotExact> {
    // The answer contains an image once for each of its tags.
    let came = answer.images().iter().filter_map(|image| Some((image.image_id().and_then(digest_of)?, image)));
    let manifests: HashMap<ImageDigest, &str> =
        came.filter_map(|(digest, image)| Some((digest, image.image_manifest()?))).collect();
    let of_image = |Image { image_digest, manifest: kind, .. }: &&Image| {
        let Some(manifest) = manifests.get(image_digest) else {
            return Err(NotExact::Unfetched(why_not(*image_digest, answer)));
        };
        let blobs = blobs_of(*image_digest, *kind, manifest);
        blobs.map(|blobs| (*image_digest, blobs)).map_err(|error| NotExact::Unreadable(*image_digest, error))
    };
    batch.iter().map(of_image).collect()
}

/// ECR's reason for omitting the manifest of an image.
fn why_not(image_digest: ImageDigest, answer: &BatchGetImageOutput) -> CallError {
    let of_image = |failure: &&aws_sdk_ecr::types::ImageFailure| {
        failure.image_id().and_then(digest_of).is_some_and(|digest| digest == image_digest)
    };
    let Some(failure) = answer.failures().iter().find(of_image) else {
        let message = format!("ECR's answer has neither the manifest of {image_digest} nor a failure");
        return CallError::unexpected(BATCH_GET_IMAGE, &message);
    };
    let code = failure.failure_code().map_or("UnknownFailure", |code| code.as_str());
    let message = format!("{image_digest}: {}", failure.failure_reason().unwrap_or_default());
    CallError::new(BATCH_GET_IMAGE, code, message)
}
