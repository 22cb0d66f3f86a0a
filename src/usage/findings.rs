//! What sources found in one place, and what kept them from finding more.

use std::fmt;

use super::snapshot::UsageSnapshot;
use crate::aws::CallError;

/// Where usage is read from, as a person calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// The list of ECS clusters, without which nothing in them is known.
    Clusters,
    /// ECS tasks.
    Tasks,
    /// ECS services, their deployments and revisions.
    Services,
    /// ECS task definitions.
    TaskDefinitions,
    /// ECS daemons.
    Daemons,
    /// Lambda functions.
    Lambda,
}

/// What sources found in one place.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) usage: UsageSnapshot,
    pub(super) failures: Vec<(Source, CallError)>,
    /// Whether any call was answered. A place that answers none is closed to the function as a whole.
    pub(super) answered: bool,
    /// How many ECS clusters there are.
    pub(super) clusters: usize,
}

impl Findings {
    pub(super) fn fail(&mut self, source: Source, error: CallError) {
        self.failures.push((source, error));
    }

    pub(super) fn merge(&mut self, other: Self) {
        let Self { usage, failures, answered, clusters } = other;
        self.usage.merge(usage);
        self.failures.extend(failures);
        self.answered |= answered;
        self.clusters += clusters;
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Clusters => "ECS clusters",
            Self::Tasks => "ECS tasks",
            Self::Services => "ECS services",
            Self::TaskDefinitions => "ECS task definitions",
            Self::Daemons => "ECS daemons",
            Self::Lambda => "Lambda",
        })
    }
}
