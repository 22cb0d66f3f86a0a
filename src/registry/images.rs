//! Reads the images of a repository: all of them, or some of them once more.

use aws_sdk_ecr::operation::describe_images::DescribeImagesOutput;
use aws_sdk_ecr::types::{DescribeImagesFilter, ImageDetail, ImageIdentifier, ImageStatusFilter};
use chrono::{DateTime, Utc};
use ecr_cleanup_core::call_error::{CallError, Missing};
use ecr_cleanup_core::image::{Archival, Image, ImageDigest, ImageStatus, ManifestKind, RepositoryName, Subject};

use super::{INDEX_MEDIA_TYPES, PER_PAGE, Registry};

/// The most images that `DescribeImages` accepts by their IDs.
/// See <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_DescribeImages.html>.
pub const IMAGES_PER_CALL: usize = 100;

const DESCRIBE_IMAGES: &str = "ecr:DescribeImages";

/// One repository's images.
#[derive(Debug, Default)]
pub struct Contents {
    /// When reading them began.
    pub read_at: DateTime<Utc>,
    /// The images, each digest once.
    pub images: Vec<Image>,
    /// The number of images that ECR described without a digest.
    pub unnamed: u64,
}

/// ECR's answer for some images by their digests.
#[derive(Debug, Default)]
pub struct Described {
    /// The images that exist.
    pub images: Vec<Image>,
    /// The digests that don't exist.
    pub gone: Vec<ImageDigest>,
    /// The digests to request again, in separate calls.
    pub left: Vec<Vec<ImageDigest>>,
}

impl Registry<'_> {
    /// Reads all images of a repository.
    ///
    /// # Errors
    /// When a page can't be read, or the deadline is too near.
    pub async fn read_images(&self, name: &RepositoryName) -> Result<Contents, CallError> {
        self.deadline.allows_more().map_err(|reached| (DESCRIBE_IMAGES, reached))?;
        let request = self.client.describe_images().repository_name(name.as_str()).filter(any_status());
        let listing = request.into_paginator().page_size(PER_PAGE).send();
        let mut contents = Contents { read_at: self.aws.clock().utc(), ..Contents::default() };
        self.caller()
            .pages(DESCRIBE_IMAGES, listing, DescribeImagesOutput::next_token, |page| {
                let details = page.image_details?;
                contents.images.reserve(details.len());
                // By reference: the page is then freed at once, and leaves no small gaps between the tags that are kept.
                for detail in &details {
                    match image(detail) {
                        Some(image) => contents.images.push(image),
                        None => contents.unnamed += 1,
                    }
                }
                Some(())
            })
            .await?;
        merge_repeated(&mut contents.images);
        self.discount_own_readings(name, &mut contents.images);
        Ok(contents)
    }

    /// Describes at most [`IMAGES_PER_CALL`] images once more. ECR's answer omits the images that are neither described
    /// nor gone nor left.
    ///
    /// # Errors
    /// When they can't be described, or the deadline is too near.
    pub async fn describe(&self, name: &RepositoryName, batch: &[ImageDigest]) -> Result<Described, CallError> {
        self.deadline.allows_more().map_err(|reached| (DESCRIBE_IMAGES, reached))?;
        let ids = batch.iter().map(|digest| ImageIdentifier::builder().image_digest(digest.to_string()).build());
        let request = self.client.describe_images().repository_name(name.as_str()).filter(any_status());
        let request = request.set_image_ids(Some(ids.collect()));
        match self.caller().call(DESCRIBE_IMAGES, request.send()).await {
            Ok(answer) => {
                let mut images: Vec<Image> = answer.image_details().iter().filter_map(image).collect();
                self.discount_own_readings(name, &mut images);
                Ok(Described { images, ..Described::default() })
            }
            Err(error) if error.is_missing(Missing::Image) => Ok(Described::without_the_gone(batch, &error)),
            Err(error) if error.is_in_doubt() && !error.is_missing(Missing::Repository) => {
                // Images missing in the listing are gone, even if the call failed for another reason.
                let contents = self.read_images(name).await.map_err(|of_listing| match of_listing {
                    of_listing if of_listing.is_missing(Missing::Repository) => of_listing,
                    _ => error,
                })?;
                Ok(Described::listed(batch, contents))
            }
            Err(error) => Err(error),
        }
    }
}

impl Described {
    /// The state of these images in a listing of the whole repository.
    fn listed(batch: &[ImageDigest], contents: Contents) -> Self {
        let Contents { read_at: _, mut images, unnamed } = contents;
        images.retain(|image| batch.contains(&image.image_digest));
        let is_there = |digest: &&ImageDigest| images.iter().any(|image| image.image_digest == **digest);
        // An image without a digest may be any of these.
        let gone = batch.iter().filter(|digest| unnamed == 0 && !is_there(digest)).copied().collect();
        Self { images, gone, left: Vec::new() }
    }

    /// One missing image fails the whole call. ECR's message contains its digest, but that is not documented. If the
    /// message contains none, the images are requested again in halves.
    fn without_the_gone(batch: &[ImageDigest], error: &CallError) -> Self {
        let is_named = |digest: &ImageDigest| error.message.contains(&digest.to_string());
        let (gone, others): (Vec<_>, Vec<_>) = batch.iter().partition(|digest| is_named(digest));
        let left = match (gone.as_slice(), others.as_slice()) {
            ([], [one]) => return Self { gone: vec![*one], ..Self::default() },
            ([], several) => several.chunks(several.len().div_ceil(2).max(1)).map(<[_]>::to_vec).collect(),
            (_, []) => Vec::new(),
            (_, others) => vec![others.to_vec()],
        };
        Self { images: Vec::new(), gone, left }
    }
}

/// Selects images of any status. Without this filter ECR hides archived ones.
fn any_status() -> DescribeImagesFilter {
    DescribeImagesFilter::builder().image_status(ImageStatusFilter::Any).build()
}

/// The compact record of ECR's description; `None` without a digest.
pub(super) fn image(detail: &ImageDetail) -> Option<Image> {
    let image_digest = detail.image_digest.as_deref()?.parse().ok()?;
    let mut image_tags: Vec<Box<str>> = detail.image_tags().iter().map(|tag| tag.as_str().into()).collect();
    image_tags.sort_unstable();
    image_tags.dedup();
    Some(Image {
        image_digest,
        image_tags: image_tags.into(),
        image_pushed_at: detail.image_pushed_at.and_then(time),
        // A time beyond the supported range counts as a time in the future.
        last_recorded_pull_time: detail
            .last_recorded_pull_time
            .map(|pulled_at| time(pulled_at).unwrap_or(DateTime::<Utc>::MAX_UTC)),
        image_size_in_bytes: detail.image_size_in_bytes.and_then(|size| size.try_into().ok()).unwrap_or_default(),
        image_status: match detail.image_status.as_ref().map(aws_sdk_ecr::types::ImageStatus::as_str) {
            None | Some("ACTIVE") => ImageStatus::Active,
            Some("ARCHIVED") => ImageStatus::Archived,
            Some(_) => ImageStatus::Other,
        },
        archival: (detail.last_archived_at.is_some() || detail.last_activated_at.is_some()).then(|| {
            Box::new(Archival {
                last_archived_at: detail.last_archived_at.and_then(time),
                last_activated_at: detail.last_activated_at.and_then(time),
            })
        }),
        manifest: match detail.image_manifest_media_type.as_deref() {
            Some(media_type) if INDEX_MEDIA_TYPES.contains(&media_type) => ManifestKind::Index,
            None | Some("") => ManifestKind::Unknown,
            Some(_) => ManifestKind::Manifest,
        },
        subject: match detail.subject_manifest_digest.as_deref().map(str::parse) {
            None => Subject::None,
            Some(Ok(digest)) => Subject::Image(digest),
            Some(Err(_)) => Subject::Unknown,
        },
    })
}

fn time(time: aws_smithy_types::DateTime) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(time.secs(), time.subsec_nanos())
}

/// An image that changes during the listing may appear twice. Everything that either answer says for keeping it counts:
/// all its tags, the later times, an unknown push time, and that it had two statuses.
fn merge_repeated(images: &mut Vec<Image>) {
    // By cached keys, because images are large to move.
    images.sort_by_cached_key(|image| image.image_digest);
    images.dedup_by(|again, first| {
        let repeated = again.image_digest == first.image_digest;
        if repeated {
            let mut tags: Vec<Box<str>> = first.image_tags.iter().chain(&again.image_tags).cloned().collect();
            tags.sort_unstable();
            tags.dedup();
            first.image_tags = tags.into();
            first.image_pushed_at = first.image_pushed_at.zip(again.image_pushed_at).map(|(a, b)| a.max(b));
            first.last_recorded_pull_time = first.last_recorded_pull_time.max(again.last_recorded_pull_time);
            if again.image_status != first.image_status {
                first.image_status = ImageStatus::Other;
            }
        }
        repeated
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000001";

    fn seconds(seconds: i64) -> aws_smithy_types::DateTime {
        aws_smithy_types::DateTime::from_secs(seconds)
    }

    #[test]
    fn a_status_that_is_not_known_is_not_active() {
        for (status, expected) in [
            (None, ImageStatus::Active),
            (Some("ACTIVE"), ImageStatus::Active),
            (Some("ARCHIVED"), ImageStatus::Archived),
            (Some("ACTIVATING"), ImageStatus::Other),
            (Some("FROZEN"), ImageStatus::Other),
        ] {
            let detail = ImageDetail::builder().image_digest(DIGEST).set_image_status(status.map(Into::into)).build();
            assert_eq!(image(&detail).unwrap().image_status, expected, "{status:?}");
        }
    }

    #[test]
    fn without_a_digest_there_is_no_image_to_name() {
        for digest in [None, Some("sha512:00"), Some("")] {
            let detail = ImageDetail::builder().set_image_digest(digest.map(str::to_owned)).build();
            assert_eq!(image(&detail), None, "{digest:?}");
        }
    }

    #[test]
    fn an_image_listed_twice_keeps_what_either_says_for_it() {
        let listed = |tag: &str, pulled, status: &str| {
            let detail = ImageDetail::builder()
                .image_digest(DIGEST)
                .image_tags(tag)
                .image_pushed_at(seconds(1))
                .last_recorded_pull_time(seconds(pulled))
                .image_status(status.into());
            image(&detail.build()).unwrap()
        };
        for order in [[0, 1], [1, 0]] {
            let pair = [listed("v1", 5, "ACTIVE"), listed("prod", 9, "ARCHIVED")];
            let mut images = order.map(|place: usize| pair[place].clone()).to_vec();
            merge_repeated(&mut images);
            assert_eq!(images.len(), 1);
            assert_eq!(*images[0].image_tags, [Box::<str>::from("prod"), Box::from("v1")]);
            assert_eq!(images[0].last_recorded_pull_time.unwrap().timestamp(), 9);
            assert_eq!(images[0].image_status, ImageStatus::Other, "neither that of one answer nor that of the other");
        }
    }
}
