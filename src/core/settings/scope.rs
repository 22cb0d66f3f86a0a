//! What a run looks at: the repositories that it cleans, and the workloads that it reads.

use std::collections::BTreeSet;

use crate::account::{ExternalId, Region, RoleArn};
use crate::image::RepositoryName;
use crate::pattern::Pattern;

/// What counts as usage, and where it is looked for.
#[derive(Clone, Debug)]
pub struct UsageScope {
    /// The regions of every account; all enabled ones where it is `None`.
    pub regions: Option<BTreeSet<Region>>,
    /// Roles in other accounts whose workloads use these registries.
    pub role_arns: Vec<RoleArn>,
    /// What these roles may ask for.
    pub external_id: Option<ExternalId>,
    /// References that count as used.
    pub in_use_images: Vec<String>,
    /// How much of what is not running counts all the same.
    pub keep: KeepUnused,
}

/// How many of the newest of what may be started at any time count as usage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepUnused {
    /// ACTIVE revisions of a task definition's family.
    pub task_definitions: u32,
    /// Published versions of a Lambda function; all of them where it is `None`.
    pub lambda_versions: Option<u32>,
}

/// Which repositories are cleaned.
#[derive(Clone, Debug)]
pub struct RepositorySelection {
    pub(super) include: Vec<Pattern>,
    pub(super) exclude: Vec<Pattern>,
}

impl RepositorySelection {
    /// This repository alone.
    #[must_use]
    pub fn only(repository: &RepositoryName) -> Self {
        Self { include: vec![Pattern::exactly(repository)], exclude: Vec::new() }
    }

    /// Whether every repository is cleaned.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.exclude.is_empty() && self.include.iter().any(|pattern| pattern.matches("*"))
    }

    /// The patterns that select.
    pub fn patterns(&self) -> impl Iterator<Item = &Pattern> {
        self.include.iter()
    }

    /// The patterns that exclude.
    #[must_use]
    pub fn exclusions(&self) -> impl ExactSizeIterator<Item = &Pattern> {
        self.exclude.iter()
    }

    /// Whether the repository is cleaned. To be excluded wins.
    #[must_use]
    pub fn contains(&self, repository: &RepositoryName) -> bool {
        let matched = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.matches(repository.as_str()));
        matched(&self.include) && !matched(&self.exclude)
    }
}
