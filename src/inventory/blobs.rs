//! Reading the manifests of all images of a repository, to count what it stores blob by blob.
//!
//! Reading a manifest is what pulling begins with, so this is only for a caller whose pulls ECR does not record.

use std::collections::HashMap;

use aws_sdk_ecr::Client;
use aws_sdk_ecr::operation::batch_get_image::BatchGetImageOutput;
use futures::stream::{self, StreamExt};

use super::manifests::{BATCH_GET_IMAGE, batches, digest_of, get_images};
use crate::aws::CallError;
use crate::deadline::Deadline;
use crate::exact_sizes::{Blobs, ExactSizes, Fate, NotExact};
use crate::image::{Image, ImageDigest, ImageStatus, ManifestKind, RepositoryName};
use crate::manifest::{UnreadableManifest, blobs_of};

/// Calls of a repository that are under way at a time. Each answer may hold a hundred manifests, so that is also what is
/// in memory of them.
const CALLS_AT_ONCE: usize = 4;

/// Counts what a repository stores, and what of it only images refer to that are to go. `unnamed` counts images without a
/// digest.
///
/// # Errors
/// When the blobs of any image can't be known. Nothing is read where that is clear from the start.
pub async fn read_exact_sizes(
    ecr: &Client,
    name: &RepositoryName,
    images: &[Image],
    unnamed: u64,
    fates: impl Fn(usize) -> Fate,
    deadline: Deadline,
) -> Result<ExactSizes, NotExact> {
    if unnamed > 0 {
        return Err(NotExact::Unnamed(unnamed));
    }
    // An index has no blobs: what it names are images.
    let made_of_blobs = |image: &&Image| match image.manifest {
        ManifestKind::Manifest | ManifestKind::Unknown => true,
        ManifestKind::Index => false,
    };
    if let Some(archived) = images.iter().filter(made_of_blobs).find(|image| image.image_status != ImageStatus::Active)
    {
        let withheld = UnreadableManifest::Withheld("it is archived, or was until now".to_owned());
        return Err(NotExact::Unreadable(archived.image_digest, withheld));
    }
    let asked: Vec<&Image> = images.iter().filter(made_of_blobs).collect();
    let fates: HashMap<ImageDigest, Fate> =
        images.iter().enumerate().map(|(place, image)| (image.image_digest, fates(place))).collect();
    // In the order of the batches, so that of several reasons always the same one is told.
    let mut answers = stream::iter(batches(&asked))
        .map(async |batch| (batch, get_images(ecr, name, batch, deadline).await))
        .buffered(CALLS_AT_ONCE);
    let mut blobs = Blobs::default();
    while let Some((batch, answer)) = answers.next().await {
        add(&mut blobs, batch, &fates, &answer.map_err(NotExact::Unfetched)?)?;
    }
    Ok(blobs.sizes())
}

/// Adds the blobs of a batch, all of whose manifests have to be in the answer.
fn add(
    blobs: &mut Blobs,
    batch: &[&Image],
    fates: &HashMap<ImageDigest, Fate>,
    answer: &BatchGetImageOutput,
) -> Result<(), NotExact> {
    // An image comes once for each of its tags.
    let came = answer.images().iter().filter_map(|image| Some((image.image_id().and_then(digest_of)?, image)));
    let manifests: HashMap<ImageDigest, &str> =
        came.filter_map(|(digest, image)| Some((digest, image.image_manifest()?))).collect();
    for Image { image_digest, manifest: kind, .. } in batch {
        let Some(manifest) = manifests.get(image_digest) else {
            return Err(NotExact::Unfetched(why_not(*image_digest, answer)));
        };
        let of_image =
            blobs_of(*image_digest, *kind, manifest).map_err(|error| NotExact::Unreadable(*image_digest, error))?;
        blobs.add(fates.get(image_digest).copied().unwrap_or(Fate::Stays), &of_image)?;
    }
    Ok(())
}

/// What ECR says of an image whose manifest it did not give out.
fn why_not(image_digest: ImageDigest, answer: &BatchGetImageOutput) -> CallError {
    let of_image = |failure: &&aws_sdk_ecr::types::ImageFailure| {
        failure.image_id().and_then(digest_of).is_some_and(|digest| digest == image_digest)
    };
    let Some(failure) = answer.failures().iter().find(of_image) else {
        let message = format!("ECR's answer has neither the manifest of {image_digest} nor a failure");
        return CallError::unexpected(BATCH_GET_IMAGE, &message);
    };
    CallError {
        api: BATCH_GET_IMAGE,
        code: failure.failure_code().map_or("UnknownFailure", |code| code.as_str()).to_owned(),
        message: format!("{image_digest}: {}", failure.failure_reason().unwrap_or_default()),
    }
}
