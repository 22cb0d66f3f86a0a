//! What a person should know of a run that was not stopped by it. Each concern words its own warnings, in `warning/`.

mod cause;
mod of_plan;
mod of_registry;
mod of_repository;
mod of_settings;
mod of_usage;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use cause::Cause;
pub use of_plan::of_plan;
pub use of_registry::{Notes, of_registry};
pub use of_repository::{
    at_risk, not_exact, of_indexes, pulled_together, replicas_unread, rule_not_read, shared_elsewhere,
};
pub use of_settings::{clock_skew, of_selection, of_settings, old_event};
pub use of_usage::{of_usage, usage_incomplete, withheld};

use crate::account::{AccountId, Place, Region};
use crate::image::RepositoryName;

/// One thing to know. As JSON it is what the report has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Warning {
    /// What kind of thing it is, for programs.
    pub code: WarningCode,
    /// What it concerns.
    #[serde(flatten)]
    pub about: About,
    /// What to know, and what to do about it, in a sentence.
    pub message: String,
    /// What failed, where a failure is the reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Box<Cause>>,
}

/// What a warning concerns: a repository, a registry, or, with neither, the run as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct About {
    /// The account whose registry it is; `None` where it is every one that is cleaned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry_id: Option<AccountId>,
    /// The registry's region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Region>,
    /// The repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository_name: Option<RepositoryName>,
}

/// The kinds of warnings. Their names stay as they are: programs go by them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WarningCode {
    /// ECR's own policy of a repository would take images in use.
    AtRisk,
    /// Regions are cleaned in which, by the settings, no workload is looked for.
    CleanedUnseen,
    /// The clock is wrong, so that ages are too; a live run would refuse.
    ClockSkew,
    /// Exact sizes are left out, since reading for them counts as pulling every image, or may.
    ExactSizesRefused,
    /// Pulls of indexes count although they may be this function's.
    IndexPullsCounted,
    /// The same, and it can't be told whether they may.
    IndexPullsUnknown,
    /// Images that workloads or kept indexes need can't be pulled from their repository.
    Missing,
    /// Workloads name repositories that do not exist.
    MissingRepository,
    /// A workload names what no repository can be called, so that it uses nothing.
    NamesNothing,
    /// No repository is selected.
    NoRepository,
    /// Lifecycle policies could not be read, so they were not held against what is in use.
    NotAudited,
    /// The role may not delete from some repositories, or not archive there.
    NotAllowed,
    /// The exact sizes of a repository could not be told.
    NotExact,
    /// A setting has no effect beside another.
    NotUsed,
    /// No workload names an image of the registries being cleaned.
    NothingInUse,
    /// The event was sent long ago, so everything pushed since is kept.
    OldEvent,
    /// An entry of the policies applies to no repository.
    PolicyWithoutRepository,
    /// Most candidates of a repository stay since something pulled them all within a day.
    PulledTogether,
    /// A repository is kept whole, since what is deleted there is deleted elsewhere too, and that can't be read.
    ReplicasUnread,
    /// A region of a reviewed plan is not cleaned any more.
    ReviewedRegionLeftOut,
    /// A repository of a reviewed plan does not exist any more.
    ReviewedRepositoryGone,
    /// A rule of a repository's own lifecycle policy can't be read.
    RuleNotRead,
    /// A rule of a policy selects no image of any repository.
    RuleSelectsNothing,
    /// A repository is kept whole, since others may pull from it whose usage isn't read.
    SharedElsewhere,
    /// The manifests of some indexes could not be fetched.
    Unfetched,
    /// The manifests of some indexes are not what they should be.
    Unreadable,
    /// The regions that would have worked.
    UsableRegions,
    /// A dry run planned although usage is not known in full; a live run would refuse.
    UsageIncomplete,
    /// A repository is kept whole, for a reference that can't be read.
    Withheld,
}

impl Warning {
    pub(crate) fn new(code: WarningCode, about: About, message: String) -> Self {
        Self { code, about, message, cause: None }
    }

    /// The same, because of this failure.
    fn because_of(self, cause: impl Into<Cause>) -> Self {
        Self { cause: Some(Box::new(cause.into())), ..self }
    }
}

impl About {
    /// The run as a whole.
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

/// A number with its noun.
pub(crate) fn counted(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}
