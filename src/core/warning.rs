//! Warnings: findings of a run that did not stop it. The modules in `warning/` have the texts, one module per topic.

mod cause;
mod of_memory;
mod of_plan;
mod of_registry;
mod of_repository;
mod of_settings;
mod of_usage;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use cause::Cause;
pub use of_memory::{memory_not_written, memory_unavailable, report_not_written};
pub use of_plan::of_plan;
pub use of_registry::{Notes, of_registry};
pub use of_repository::{
    at_risk, not_exact, of_indexes, pulled_together, replicas_unread, rule_not_read, shared_elsewhere,
};
pub use of_settings::{clock_skew, of_selection, of_settings, old_event};
pub use of_usage::{of_usage, usage_incomplete, withheld};

use crate::account::{AccountId, Place, Region};
use crate::image::RepositoryName;

/// A warning. Its JSON form is that of the report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Warning {
    /// Its kind, for programs.
    pub code: WarningCode,
    /// The registry or repository.
    #[serde(flatten)]
    pub about: About,
    /// The finding and the next step, for people.
    pub message: String,
    /// The failed call or the unreadable reference, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Box<Cause>>,
}

/// The subject of a warning: a repository, a registry, or, if all fields are `None`, the whole run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct About {
    /// The account of the registry; `None` means every registry that is cleaned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry_id: Option<AccountId>,
    /// The registry's region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Region>,
    /// The repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository_name: Option<RepositoryName>,
}

/// The kinds of warnings. Programs depend on these names, so they must not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WarningCode {
    /// The ECR lifecycle policy of a repository would expire or archive images in use.
    AtRisk,
    /// The settings exclude the workloads of some regions that are cleaned.
    CleanedUnseen,
    /// The clock is wrong, and so are all ages. A live run would delete nothing.
    ClockSkew,
    /// Exact sizes were not computed, since reading the manifests counts as a pull of every image, or may count as one.
    ExactSizesRefused,
    /// Recorded pulls of indexes keep images although they can be ecr-cleanup's own readings.
    IndexPullsCounted,
    /// The same, if it is unknown whether they can be own readings.
    IndexPullsUnknown,
    /// The data of this run could not be stored.
    MemoryNotWritten,
    /// A configured memory can't be read; a live run would be refused.
    MemoryUnavailable,
    /// Images that workloads or kept indexes need can't be pulled from their repository.
    Missing,
    /// Workloads reference repositories that do not exist.
    MissingRepository,
    /// A workload's reference has a name that no repository can have. The reference was ignored.
    NamesNothing,
    /// No repository is selected.
    NoRepository,
    /// Lifecycle policies could not be read, so images in use that they would expire are not reported.
    NotAudited,
    /// The role has no permission to delete or archive images of some repositories.
    NotAllowed,
    /// The exact sizes of a repository could not be computed.
    NotExact,
    /// A setting has no effect with another one.
    NotUsed,
    /// No workload references an image of the registries that are cleaned.
    NothingInUse,
    /// The event's time is long ago. Images that were pushed since then are kept.
    OldEvent,
    /// A policy of the settings applies to no repository.
    PolicyWithoutRepository,
    /// Most candidates of a repository are kept only because they were all pulled within a day.
    PulledTogether,
    /// All images of a repository are kept, since ECR would delete replicas of them that can't be read.
    ReplicasUnread,
    /// A region of a reviewed plan is no longer cleaned.
    ReviewedRegionLeftOut,
    /// A repository of a reviewed plan no longer exists.
    ReviewedRepositoryGone,
    /// A rule of a repository's own ECR lifecycle policy can't be read.
    RuleNotRead,
    /// A rule of a policy selects no image of any repository.
    RuleSelectsNothing,
    /// All images of a repository are kept, since accounts whose workloads aren't read can pull from it.
    SharedElsewhere,
    /// The manifests of some indexes could not be fetched.
    Unfetched,
    /// The manifests of some indexes are not valid.
    Unreadable,
    /// The regions that did not deny access.
    UsableRegions,
    /// A dry run planned with incomplete usage data. A live run would delete nothing.
    UsageIncomplete,
    /// All images of a repository are kept, since a reference to it can't be read.
    Withheld,
}

impl Warning {
    pub(crate) fn new(code: WarningCode, about: About, message: String) -> Self {
        Self { code, about, message, cause: None }
    }

    /// The same warning with the cause.
    fn because_of(self, cause: impl Into<Cause>) -> Self {
        Self { cause: Some(Box::new(cause.into())), ..self }
    }
}

impl About {
    /// The whole run.
    pub(crate) const RUN: Self = Self { registry_id: None, region: None, repository_name: None };

    pub(crate) fn place(Place { account, region }: &Place) -> Self {
        Self { registry_id: Some(account.clone()), region: Some(region.clone()), repository_name: None }
    }

    pub(crate) fn repository(place: &Place, name: &RepositoryName) -> Self {
        Self { repository_name: Some(name.clone()), ..Self::place(place) }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// A number with its noun in the singular or plural.
pub(crate) fn counted(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}
