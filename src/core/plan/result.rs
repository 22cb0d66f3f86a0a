//! The result for a stale image and the reason, in the words of the report.

use serde::{Deserialize, Serialize};

use crate::call_error::CallError;

/// The result for a stale image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ImageResult {
    /// No attempt yet.
    Planned,
    /// ECR deleted it.
    Deleted,
    /// ECR moved it to archive storage.
    Archived,
    /// It no longer existed.
    Gone,
    /// ECR refused to delete it, because it is a child image of an index that still exists.
    Kept,
    /// ECR returned an error, or no response.
    Failed(Box<Failure>),
    /// The role has no permission.
    NotAllowed(Box<CallError>),
    /// It has changed since the plan, so it was kept.
    Skipped(SkipReason),
    /// No attempt was made.
    NotAttempted(Unattempted),
}

/// Why an image could not be deleted or archived.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// ECR's failure code.
    pub code: Box<str>,
    /// ECR's failure reason.
    pub reason: Box<str>,
}

/// Why no attempt was made for an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unattempted {
    /// The function's deadline was near.
    Deadline,
    /// A person or a signal interrupted the run.
    Interrupted,
    /// A call for its whole repository failed.
    RepositoryFailed,
    /// The images in use could no longer be determined.
    UsageIncomplete,
    /// Its action was to archive it, and that failed for other images of its repository.
    ArchivingFailed,
}

/// What has changed since the plan, so that an image was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SkipReason {
    /// A workload uses it or one of its child images.
    NowInUse,
    /// It has other tags.
    TagsChanged,
    /// It or one of its child images was pulled.
    Pulled,
    /// It was pushed again, or is no longer ACTIVE.
    Changed,
    /// A replica that ECR would delete with it was used, tagged, pulled or pushed.
    CopyChanged,
    /// ECR neither described it again nor returned that it does not exist.
    NotDescribed,
    /// Its parent index or its subject was not deleted.
    OwnerKept,
    /// The reviewed plan does not have it.
    NotReviewed,
    /// The reviewed plan has it with the other action: archive instead of delete, or delete instead of archive.
    OtherAction,
    /// The plan was old, and a new plan keeps it.
    KeptByNewPlan,
    /// Its action was to archive it, and it is a child image of an index that was pushed since the plan.
    NamedSince,
    /// Its action was to archive it, and the child images of an index that was pushed since the plan are unknown.
    MayBeNamedSince,
}

impl ImageResult {
    /// A failure with this code and reason.
    #[must_use]
    pub fn failed(code: &str, reason: &str) -> Self {
        Self::Failed(Box::new(Failure { code: code.into(), reason: reason.into() }))
    }

    /// Its text in the report.
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
    /// Its text in the report.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NowInUse => "a workload now uses it or one of its child images",
            Self::TagsChanged => "its tags have changed",
            Self::Pulled => "it or one of its child images was pulled since the plan",
            Self::Changed => "it was pushed again, or is no longer active",
            Self::CopyChanged => "a replica that would be deleted with it was used, pulled or changed since the plan",
            Self::NotDescribed => "ECR did not describe it again",
            Self::OwnerKept => "its parent index or its subject was not deleted",
            Self::NotReviewed => "it is not in the reviewed plan",
            Self::OtherAction => "its action (delete or archive) is another than in the reviewed plan",
            Self::KeptByNewPlan => "the plan was old, and a new plan keeps it",
            Self::NamedSince => "it is a child image of an index that was pushed since the plan",
            Self::MayBeNamedSince => {
                "an index that was pushed since the plan can't be read, and this may be its child image"
            }
        }
    }
}

impl Unattempted {
    /// Its text in the report.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deadline => "the function's deadline was near",
            Self::Interrupted => "the run was interrupted",
            Self::RepositoryFailed => "a call for its whole repository failed",
            Self::UsageIncomplete => "the images in use could no longer be determined",
            Self::ArchivingFailed => "archiving failed for other images of its repository",
        }
    }
}
