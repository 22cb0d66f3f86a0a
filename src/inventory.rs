//! What ECR holds: the repositories of every region and the images of each, as they are.
//!
//! An account may hold a million images, so they are handed on a repository at a time and never gathered here.

mod blobs;
mod manifests;

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use futures::future::join_all;
use futures::stream::{self, StreamExt};

use aws_sdk_ecr::Client;
use aws_sdk_ecr::operation::describe_images::DescribeImagesOutput;
use aws_sdk_ecr::operation::describe_repositories::DescribeRepositoriesOutput;
use aws_sdk_ecr::types::{DescribeImagesFilter, ImageDetail, ImageStatusFilter};

pub use blobs::read_exact_sizes;
pub use manifests::{IndexContents, read_index_pulls, read_manifests};

use crate::account::Region;
use crate::aws::{Aws, CallError, Caller};
use crate::deadline::Deadline;
use crate::image::{Archival, Image, ImageStatus, ManifestKind, RepositoryName, Subject};
use crate::policy::Policy;
use crate::progress::{Progress, Step};
use crate::settings::RepositorySelection;
use crate::sharing::Pullers;

/// The most repositories or images of a page; the default is 100.
/// See <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_DescribeImages.html>.
const PER_PAGE: i32 = 1_000;
/// Repositories of a region that are read or cleaned at a time. ECR publishes no rate for these calls.
pub const REPOSITORIES_AT_ONCE: usize = 8;
/// Regions that are read or cleaned at a time, so that what is in memory is bounded.
pub const REGIONS_AT_ONCE: usize = 8;

const DESCRIBE_REPOSITORIES: &str = "ecr:DescribeRepositories";
const DESCRIBE_IMAGES: &str = "ecr:DescribeImages";
const GET_LIFECYCLE_POLICY: &str = "ecr:GetLifecyclePolicy";
const GET_REGISTRY_POLICY: &str = "ecr:GetRegistryPolicy";
const GET_REPOSITORY_POLICY: &str = "ecr:GetRepositoryPolicy";

/// The media types of manifests that name other manifests.
const INDEX_MEDIA_TYPES: [&str; 2] =
    ["application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"];

/// What is asked of one region's registry.
#[derive(Debug)]
pub struct Registry {
    /// The region.
    pub region: Region,
    /// The repositories to clean, in the order of their names.
    pub repositories: Result<Vec<RepositoryName>, CallError>,
}

/// One repository's images.
#[derive(Debug, Default)]
pub struct Contents {
    /// The images, each digest once.
    pub images: Vec<Image>,
    /// How many images ECR described without a digest to name them by.
    pub unnamed: u64,
}

/// Lists the repositories to clean in each of these regions.
pub async fn list_registries(
    aws: &Aws,
    regions: BTreeSet<Region>,
    selection: &RepositorySelection,
    deadline: Deadline,
    progress: &dyn Progress,
) -> Vec<Registry> {
    join_all(regions.into_iter().map(async |region| {
        let repositories = list_repositories(&aws.ecr(&region), selection, deadline, progress).await;
        Registry { region, repositories }
    }))
    .await
}

async fn list_repositories(
    ecr: &Client,
    selection: &RepositorySelection,
    deadline: Deadline,
    progress: &dyn Progress,
) -> Result<Vec<RepositoryName>, CallError> {
    let is_selected = |name: &RepositoryName| {
        let is_selected = selection.contains(name);
        if !is_selected {
            progress.tell(Step::PassedOver { repository: name });
        }
        is_selected
    };
    let listing = ecr.describe_repositories().into_paginator().page_size(PER_PAGE).send();
    let mut names = Vec::new();
    Caller::new(deadline)
        .pages(DESCRIBE_REPOSITORIES, listing, DescribeRepositoriesOutput::next_token, |page| {
            let listed = page.repositories?;
            let listed = listed.iter().filter_map(|repository| repository.repository_name());
            names.extend(listed.map(RepositoryName::from_ecr).filter(is_selected));
            Some(())
        })
        .await?;
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

/// Does something for each of a region's repositories, several at a time. The answers come in the order of the names.
pub async fn each_repository<T>(names: Vec<RepositoryName>, act: impl AsyncFn(RepositoryName) -> T) -> Vec<T> {
    let act = &act;
    let mut done: Vec<(usize, T)> = stream::iter(names.into_iter().enumerate())
        .map(async |(place, name)| (place, act(name).await))
        .buffer_unordered(REPOSITORIES_AT_ONCE)
        .collect()
        .await;
    done.sort_unstable_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, answer)| answer).collect()
}

/// Who may pull from a repository besides its own account.
///
/// # Errors
/// When its policy can't be read or understood.
pub async fn read_pullers(ecr: &Client, name: &RepositoryName, deadline: Deadline) -> Result<Pullers, CallError> {
    let request = ecr.get_repository_policy().repository_name(name.as_str());
    let policy = match Caller::new(deadline).call(GET_REPOSITORY_POLICY, request.send()).await {
        Ok(answer) => answer.policy_text.unwrap_or_default(),
        Err(error) if error.code == "RepositoryPolicyNotFoundException" => return Ok(Pullers::default()),
        Err(error) => return Err(error),
    };
    Pullers::of_policy(&policy).map_err(|error| CallError::unexpected(GET_REPOSITORY_POLICY, &error))
}

/// Who may pull from every repository of a region's registry, by the registry's own policy.
///
/// # Errors
/// When it can't be read or understood.
pub async fn read_pullers_of_registry(ecr: &Client, deadline: Deadline) -> Result<Pullers, CallError> {
    let policy = match Caller::new(deadline).call(GET_REGISTRY_POLICY, ecr.get_registry_policy().send()).await {
        Ok(answer) => answer.policy_text.unwrap_or_default(),
        Err(error) if error.code == "RegistryPolicyNotFoundException" => return Ok(Pullers::default()),
        Err(error) => return Err(error),
    };
    Pullers::of_policy(&policy).map_err(|error| CallError::unexpected(GET_REGISTRY_POLICY, &error))
}

/// The lifecycle policy that ECR has for a repository; `None` where there is none.
///
/// # Errors
/// When it can't be read or understood.
pub async fn read_lifecycle_policy(
    ecr: &Client,
    name: &RepositoryName,
    deadline: Deadline,
) -> Result<Option<Policy>, CallError> {
    let request = ecr.get_lifecycle_policy().repository_name(name.as_str());
    let policy = match Caller::new(deadline).call(GET_LIFECYCLE_POLICY, request.send()).await {
        Ok(answer) => answer.lifecycle_policy_text.unwrap_or_default(),
        Err(error) if error.code == "LifecyclePolicyNotFoundException" => return Ok(None),
        Err(error) => return Err(error),
    };
    Policy::of_repository(&policy).map(Some).map_err(|error| CallError::unexpected(GET_LIFECYCLE_POLICY, &error))
}

/// Reads a repository's images to the last.
///
/// # Errors
/// When a page can't be read, or the deadline is too near to begin.
pub async fn read_images(ecr: &Client, name: &RepositoryName, deadline: Deadline) -> Result<Contents, CallError> {
    deadline.allows_more().map_err(|reached| (DESCRIBE_IMAGES, reached))?;
    let listing = ecr
        .describe_images()
        .repository_name(name.as_str())
        .filter(any_status())
        .into_paginator()
        .page_size(PER_PAGE)
        .send();
    let mut contents = Contents::default();
    Caller::new(deadline)
        .pages(DESCRIBE_IMAGES, listing, DescribeImagesOutput::next_token, |page| {
            for detail in page.image_details? {
                match image(detail) {
                    Some(image) => contents.images.push(image),
                    None => contents.unnamed += 1,
                }
            }
            Some(())
        })
        .await?;
    merge_repeated(&mut contents.images);
    Ok(contents)
}

/// Shows images of any status: without it ECR hides archived ones.
#[must_use]
pub fn any_status() -> DescribeImagesFilter {
    DescribeImagesFilter::builder().image_status(ImageStatusFilter::Any).build()
}

/// The compact record of what ECR describes; `None` if it has no digest that could name it.
pub fn image(detail: ImageDetail) -> Option<Image> {
    let image_digest = detail.image_digest.as_deref()?.parse().ok()?;
    let mut image_tags: Vec<Box<str>> =
        detail.image_tags.unwrap_or_default().into_iter().map(String::into_boxed_str).collect();
    image_tags.sort_unstable();
    image_tags.dedup();
    Some(Image {
        image_digest,
        image_tags: image_tags.into(),
        image_pushed_at: detail.image_pushed_at.and_then(time),
        // A time beyond what can be told apart is as good as one in the future.
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
            Some(_) => ManifestKind::Manifest,
            None => ManifestKind::Unknown,
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

/// An image that changes while its repository is listed may come twice. Whatever either answer says for keeping it
/// counts: all its tags, the later times, an unknown push time, and that its status was two.
fn merge_repeated(images: &mut Vec<Image>) {
    images.sort_unstable_by_key(|image| image.image_digest);
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
            assert_eq!(image(detail).unwrap().image_status, expected, "{status:?}");
        }
    }

    #[test]
    fn without_a_digest_there_is_no_image_to_name() {
        for digest in [None, Some("sha512:00"), Some("")] {
            let detail = ImageDetail::builder().set_image_digest(digest.map(str::to_owned)).build();
            assert_eq!(image(detail), None, "{digest:?}");
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
            image(detail.build()).unwrap()
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
