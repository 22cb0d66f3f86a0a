//! What became of a stale image, and why, in the words of the report.

use serde::{Deserialize, Serialize};

use crate::call_error::CallError;

/// What became of a stale image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ImageResult {
    /// It is to be deleted, or to be archived.
    Planned,
    /// ECR deleted it.
    Deleted,
    /// ECR moved it to archive storage.
    Archived,
    /// It was gone already.
    Gone,
    /// ECR refused, because an index still names it.
    Kept,
    /// ECR refused, or did not answer.
    Failed(Box<Failure>),
    /// The role may not do it there.
    NotAllowed(Box<CallError>),
    /// It is not any more what was planned to go.
    Skipped(SkipReason),
    /// Its turn did not come.
    NotAttempted(Unattempted),
}

/// Why an image could not be deleted or archived.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// ECR's failure code.
    pub code: Box<str>,
    /// What ECR says of it.
    pub reason: Box<str>,
}

/// Why an image's turn did not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unattempted {
    /// The function's deadline was near.
    Deadline,
    /// Somebody stopped the run.
    Interrupted,
    /// A call for its repository failed as a whole.
    RepositoryFailed,
    /// What is in use was not known in full any more.
    UsageIncomplete,
    /// It was to be archived, and that failed for others of its repository.
    ArchivingFailed,
}

/// What changed about an image between plan and delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SkipReason {
    /// A workload began to use it, or what it names.
    NowInUse,
    /// It has other tags.
    TagsChanged,
    /// It, or what it names, was pulled.
    Pulled,
    /// It was pushed again, or is not ACTIVE any more.
    Changed,
    /// A copy that goes with it was used, tagged, pulled or pushed.
    CopyChanged,
    /// ECR neither described it again nor said that it is gone.
    NotDescribed,
    /// It belongs to an image that was not deleted: an index that names it, or its subject.
    OwnerKept,
    /// The reviewed plan that is carried out does not have it.
    NotReviewed,
    /// It was reviewed to be archived and is to be deleted now, or the other way round.
    OtherAction,
    /// The plan had become old, and one that was made again keeps it.
    KeptByNewPlan,
    /// It was to be archived, and an index that was pushed since the plan names it.
    NamedSince,
    /// It was to be archived, and what an index names that was pushed since the plan is not known.
    MayBeNamedSince,
}

impl ImageResult {
    /// It failed with this code, for this reason.
    #[must_use]
    pub fn failed(code: &str, reason: &str) -> Self {
        Self::Failed(Box::new(Failure { code: code.into(), reason: reason.into() }))
    }

    /// As the report says it.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Deleted => "deleted",
            Self::Archived => "archived",
            Self::Gone => "gone",
            Self::Kept => "kept",
            Self::Failed(_) => "failed",
            Self::NotAllowed(_) => "notAllowed",
            Self::Skipped(_) => "skipped",
            Self::NotAttempted(_) => "notAttempted",
        }
    }
}

impl SkipReason {
    /// As the report says it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NowInUse => "a workload uses it now, or an image that it names",
            Self::TagsChanged => "its tags have changed",
            Self::Pulled => "it was pulled since, or an image that it names",
            Self::Changed => "it was pushed again, or is not active any more",
            Self::CopyChanged => "a copy that would be deleted with it was used, pulled or changed since",
            Self::NotDescribed => "ECR did not describe it again",
            Self::OwnerKept => "an index that names it, or the image that it is about, did not go",
            Self::NotReviewed => "the reviewed plan does not have it",
            Self::OtherAction => "it was reviewed to be archived and is to be deleted now, or the other way round",
            Self::KeptByNewPlan => "a plan made now keeps it",
            Self::NamedSince => "an index that was pushed since the plan names it",
            Self::MayBeNamedSince => "an index that was pushed since the plan may name it, and could not be read",
        }
    }
}

impl Unattempted {
    /// As the report says it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deadline => "the function's deadline was near",
            Self::Interrupted => "the run was interrupted",
            Self::RepositoryFailed => "a call for its repository failed as a whole",
            Self::UsageIncomplete => "what is in use was not known in full any more",
            Self::ArchivingFailed => "archiving failed for other images of its repository",
        }
    }
}
