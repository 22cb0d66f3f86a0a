//! How far a run has come, for whoever waits for it. Lambda has nobody waiting.
//!
//! Stages tell what they have done and never ask anything back: a run does the same whether or not somebody looks on.

use std::collections::BTreeMap;

use ecr_cleanup_core::account::Place;
use ecr_cleanup_core::image::RepositoryName;

/// Something that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News<'a> {
    /// The account and its regions are asked for.
    Identifying,
    /// Usage is being read in so many regions, of all accounts together.
    ReadingUsage {
        /// How many.
        regions: usize,
    },
    /// Usage of one region of an account was read.
    UsageRead {
        /// The region.
        place: &'a Place,
        /// How many there are of what a person may want to hear of, by its name in the plural.
        counts: &'a BTreeMap<&'static str, usize>,
    },
    /// A repository is left out by the settings.
    PassedOver {
        /// Its name.
        repository: &'a RepositoryName,
    },
    /// So many repositories are to be read.
    ReadingRepositories {
        /// How many, of all regions together.
        repositories: usize,
    },
    /// A repository was read and decided on.
    RepositoryRead {
        /// Its registry.
        place: &'a Place,
        /// Its name.
        repository: &'a RepositoryName,
    },
    /// So many images are to go.
    Deleting {
        /// How many, to archive storage or for good.
        images: usize,
    },
    /// The turn of so many more of them has come, whatever came of it.
    Done {
        /// How many.
        images: usize,
    },
}

/// Whoever waits for a run.
pub trait Progress: Sync {
    /// Takes note of it.
    fn tell(&self, news: News<'_>);
}

/// Nobody waits.
#[derive(Clone, Copy, Debug)]
pub struct Silent;

impl Progress for Silent {
    fn tell(&self, _: News<'_>) {}
}
