//! Reads one registry (ECR in one region of one account): its repositories, their images, manifests and policies.
//!
//! An account may have a million images. The reader passes them on one repository at a time and never collects them.
//! Nothing in this module writes.

mod answer_size;
mod blobs;
mod images;
mod listing;
mod manifests;
mod policies;
mod remembered;
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
use crate::memory::IndexMemory;

/// The most repositories or images of a page; the default is 100.
/// See <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_DescribeImages.html>.
const PER_PAGE: i32 = 1_000;
/// Repositories of a registry that are read or cleaned at a time. ECR publishes no rate for these calls.
pub const REPOSITORIES_AT_ONCE: usize = 8;
/// Registries that are read or cleaned at a time. This bounds memory.
pub const REGISTRIES_AT_ONCE: usize = 8;

/// The media types of manifests that list other manifests.
const INDEX_MEDIA_TYPES: [&str; 2] =
    ["application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"];

/// A registry, with the facts that are read once and only if needed.
#[derive(Debug)]
pub struct Registry<'a> {
    /// Its account and region.
    pub place: Place,
    aws: Aws,
    client: Client,
    /// The indexes that earlier runs read; `None` without a memory.
    memory: Option<&'a IndexMemory>,
    principal: &'a Principal,
    deadline: Deadline,
    pullers: Mutex<Option<Result<Pullers, CallError>>>,
    index_pulls: Mutex<Option<Result<IndexPulls, CallError>>>,
    replication: Mutex<Option<Result<DeleteReplication, CallError>>>,
    /// Locked by the repository whose blobs are being counted, so that memory contains the blobs of one at a time.
    counting: Mutex<()>,
}

impl<'a> Registry<'a> {
    /// A registry, read with the credentials of `aws`, which are those of `principal`.
    #[must_use]
    pub fn new(aws: &Aws, place: Place, principal: &'a Principal, deadline: Deadline) -> Self {
        Self {
            client: aws.ecr(&place.region),
            aws: aws.clone(),
            place,
            principal,
            deadline,
            memory: None,
            pullers: Mutex::default(),
            index_pulls: Mutex::default(),
            replication: Mutex::default(),
            counting: Mutex::default(),
        }
    }

    /// The same registry, with the indexes that earlier runs read.
    #[must_use]
    pub fn remembering(self, memory: Option<&'a IndexMemory>) -> Self {
        Self { memory, ..self }
    }

    /// Another registry of the same account, read with the same credentials.
    #[must_use]
    pub fn elsewhere(&self, place: &Place) -> Self {
        Self::new(&self.aws, place.clone(), self.principal, self.deadline)
    }

    /// Whether recorded pulls of indexes count as use; `None` if no repository needed it.
    #[must_use]
    pub fn into_index_pulls(self) -> Option<Result<IndexPulls, CallError>> {
        self.index_pulls.into_inner()
    }

    fn caller(&self) -> Caller<'static> {
        Caller::new(self.deadline)
    }

    /// Reads a fact that the study of a repository needs.
    pub async fn answer(&self, need: Need, name: &RepositoryName, study: &Study<'_>) -> Answer {
        match need {
            Need::OwnPolicy => Answer::OwnPolicy(self.read_lifecycle_policy(name).await),
            Need::Indexes => {
                // The study must know whether ECR records these reads as pulls.
                let begun_at = self.aws.clock().utc();
                let (contents, _) = join(self.read_manifests(name, study.images().iter()), self.index_pulls()).await;
                self.remember_indexes(name, study.images(), &contents, begun_at).await;
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
