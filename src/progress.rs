//! The progress of a run, for a user who waits for it. In Lambda no one waits.
//!
//! Stages report progress and never read anything back. A run does the same whether or not a user watches.

use std::collections::BTreeMap;

use ecr_cleanup_core::account::Place;
use ecr_cleanup_core::image::RepositoryName;

/// A step of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News<'a> {
    /// The run determines the account and its regions.
    Identifying,
    /// The run reads usage.
    ReadingUsage {
        /// Number of regions, over all accounts.
        regions: usize,
    },
    /// The run has read usage in one region of an account.
    UsageRead {
        /// The region.
        place: &'a Place,
        /// Counts to show to the user, by their plural names.
        counts: &'a BTreeMap<&'static str, usize>,
    },
    /// The settings exclude a repository.
    PassedOver {
        /// Its name.
        repository: &'a RepositoryName,
    },
    /// The run begins to read repositories.
    ReadingRepositories {
        /// Number of repositories, over all regions.
        repositories: usize,
    },
    /// The run has read a repository and decided on its images.
    RepositoryRead {
        /// Its registry.
        place: &'a Place,
        /// Its name.
        repository: &'a RepositoryName,
    },
    /// The run begins to delete and archive images.
    Deleting {
        /// Number of images to delete or archive.
        images: usize,
    },
    /// The run has finished with more of these images, with any result.
    Done {
        /// Number of images.
        images: usize,
    },
}

/// Receives the progress of a run.
pub trait Progress: Sync {
    /// Receives a step.
    fn tell(&self, news: News<'_>);
}

/// Shows no progress.
#[derive(Clone, Copy, Debug)]
pub struct Silent;

impl Progress for Silent {
    fn tell(&self, _: News<'_>) {}
}
