//! The scope of a run: the repositories that it cleans, and the workloads that it reads.

use std::collections::BTreeSet;

use crate::account::{ExternalId, Region, RoleArn};
use crate::image::RepositoryName;
use crate::pattern::Pattern;

/// The workloads that count as usage, and the accounts and regions where they are read.
#[derive(Clone, Debug)]
pub struct UsageScope {
    /// The regions of every account; `None` means all enabled regions.
    pub regions: Option<BTreeSet<Region>>,
    /// Roles in other accounts whose workloads use these registries.
    pub role_arns: Vec<RoleArn>,
    /// The external id that these roles require, if they do.
    pub external_id: Option<ExternalId>,
    /// Additional references that count as in use.
    pub in_use_images: Vec<String>,
    /// The revisions and versions that count as in use although they don't run.
    pub keep: KeepUnused,
}

/// How many of the newest revisions and versions count as in use. Each of them can be started at any time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepUnused {
    /// ACTIVE revisions per task definition family.
    pub task_definitions: u32,
    /// Published versions per Lambda function; `None` means all.
    pub lambda_versions: Option<u32>,
}

/// The selection of the repositories that are cleaned.
#[derive(Clone, Debug)]
pub struct RepositorySelection {
    pub(super) include: Vec<Pattern>,
    pub(super) exclude: Vec<Pattern>,
}

impl RepositorySelection {
    /// Only this repository.
    #[must_use]
    pub fn only(repository: &RepositoryName) -> Self {
        Self { include: vec![Pattern::exactly(repository)], exclude: Vec::new() }
    }

    /// Whether every repository is cleaned.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.exclude.is_empty() && self.include.iter().any(|pattern| pattern.matches("*"))
    }

    /// The patterns of `repositories`.
    pub fn patterns(&self) -> impl Iterator<Item = &Pattern> {
        self.include.iter()
    }

    /// The patterns of `excludeRepositories`.
    #[must_use]
    pub fn exclusions(&self) -> impl ExactSizeIterator<Item = &Pattern> {
        self.exclude.iter()
    }

    /// Whether the repository is cleaned. An exclusion has precedence.
    #[must_use]
    pub fn contains(&self, repository: &RepositoryName) -> bool {
        let matched = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.matches(repository.as_str()));
        matched(&self.include) && !matched(&self.exclude)
    }
}
