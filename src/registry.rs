//! One registry, ECR in one region of one account, as it is read: its repositories, their images, manifests and policies.
//!
//! An account may hold a million images, so they are handed on a repository at a time and never gathered here. Nothing
//! here writes.

mod answer_size;
mod blobs;
mod images;
mod listing;
mod manifests;
mod policies;
mod replicas;

use aws_sdk_ecr::Client;
use ecr_cleanup_core::account::Place;
use ecr_cleanup_core::call_error::CallError;
use ecr_cleanup_core::image::RepositoryName;
use ecr_cleanup_core::pull_time::{IndexPulls, Principal};
use ecr_cleanup_core::replication::DeleteReplication;
use ecr_cleanup_core::repository::{Answer, Need, Study};
use ecr_cleanup_core::sharing::Pullers;
use futures::future::join;
use futures::lock::Mutex;

pub use images::{Contents, Described, IMAGES_PER_CALL};
pub use listing::each_repository;

use crate::aws::{Aws, Caller};
use crate::deadline::Deadline;

/// The most repositories or images of a page; the default is 100.
/// See <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_DescribeImages.html>.
const PER_PAGE: i32 = 1_000;
/// Repositories of a registry that are read or cleaned at a time. ECR publishes no rate for these calls.
pub const REPOSITORIES_AT_ONCE: usize = 8;
/// Registries that are read or cleaned at a time, so that what is in memory is bounded.
pub const REGISTRIES_AT_ONCE: usize = 8;

/// The media types of manifests that name other manifests.
const INDEX_MEDIA_TYPES: [&str; 2] =
    ["application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"];

/// A registry, with what is asked of it once and only where that matters.
#[derive(Debug)]
pub struct Registry<'a> {
    /// Whose it is, and where.
    pub place: Place,
    aws: Aws,
    client: Client,
    principal: &'a Principal,
    deadline: Deadline,
    pullers: Mutex<Option<Result<Pullers, CallError>>>,
    index_pulls: Mutex<Option<Result<IndexPulls, CallError>>>,
    replication: Mutex<Option<Result<DeleteReplication, CallError>>>,
    /// Held by the one repository whose blobs are being counted, so that those of one are in memory.
    counting: Mutex<()>,
}

impl<'a> Registry<'a> {
    /// A registry, asked by these credentials as this principal.
    #[must_use]
    pub fn new(aws: &Aws, place: Place, principal: &'a Principal, deadline: Deadline) -> Self {
        Self {
            client: aws.ecr(&place.region),
            aws: aws.clone(),
            place,
            principal,
            deadline,
            pullers: Mutex::default(),
            index_pulls: Mutex::default(),
            replication: Mutex::default(),
            counting: Mutex::default(),
        }
    }

    /// Another registry of the same account, asked alike.
    #[must_use]
    pub fn elsewhere(&self, place: &Place) -> Self {
        Self::new(&self.aws, place.clone(), self.principal, self.deadline)
    }

    /// Whether the recorded pulls of indexes tell anything, if that had to be asked.
    #[must_use]
    pub fn into_index_pulls(self) -> Option<Result<IndexPulls, CallError>> {
        self.index_pulls.into_inner()
    }

    fn caller(&self) -> Caller<'static> {
        Caller::new(self.deadline)
    }

    /// Finds out what a repository's study needs to know.
    pub async fn answer(&self, need: Need, name: &RepositoryName, study: &Study<'_>) -> Answer {
        match need {
            Need::OwnPolicy => Answer::OwnPolicy(self.read_lifecycle_policy(name).await),
            Need::Indexes => {
                // Whoever reads has to know whether that counts as pulling.
                let (contents, _) = join(self.read_manifests(name, study.images().iter()), self.index_pulls()).await;
                Answer::Indexes(contents)
            }
            Need::IndexPulls => {
                self.index_pulls().await;
                Answer::IndexPulls
            }
            Need::Pullers => Answer::Pullers(self.read_pullers(name).await),
            Need::Replicas => Answer::Replicas(self.read_replicas(name, study).await),
            Need::ExactSizes => Answer::ExactSizes(self.read_exact_sizes(name, study).await),
        }
    }
}
