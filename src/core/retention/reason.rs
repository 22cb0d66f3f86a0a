//! The reasons why images are kept or stale.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::image::ImageDigest;
use crate::policy::{Action, RuleName};

/// Why an image is kept. The order is that of the report, which counts an image by its first reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum KeepReason {
    /// A workload uses it, by its digest or one of its tags.
    InUse,
    /// A workload used it, or one of its child images, in the last `keepUsedWithinDays` days.
    UsedRecently,
    /// It is among the newest tagged images pushed before an image in use: a rollback's target.
    BeforeInUse,
    /// One of its tags matches `keepTags`.
    KeepTags,
    /// `ignoreTagsRegex` finds a match in one of its tags.
    IgnoreTagsRegex,
    /// It is among the newest tagged images.
    Newest,
    /// It, or one of its child images, was pulled within `keepPulledWithinDays`.
    PulledRecently,
    /// It was pushed within `keepPushedWithinDays`, or after the time of the run.
    PushedRecently,
    /// No policy rule acts on it, or no policy matches its repository, or none of its tags matches `--tags`.
    Policy,
    /// It is untagged and not older than `untaggedOlderThanDays`, or that is null.
    Untagged,
    /// It is an index, and a workload uses one of its child images.
    ParentOfInUse,
    /// It is a child image of a kept index.
    ChildOfKept,
    /// It is a referrer of a kept image.
    ReferrerOfKept,
    /// Deleting it would delete its replicas in other registries, and one of them is kept or can't be read.
    Replicated,
    /// It is not ACTIVE, and no policy rule selects archived images or its parent or subject is to be archived.
    Archived,
    /// Accounts whose workloads aren't read can pull from its repository.
    SharedElsewhere,
    /// A workload's reference to the repository can't be read, or it may be a child image of an index that can't be read.
    Unreadable,
    /// ECR doesn't return all data that the decision needs.
    Unknown,
}

impl KeepReason {
    /// All of them, in the report's order.
    pub const ALL: [Self; 18] = [
        Self::InUse,
        Self::UsedRecently,
        Self::BeforeInUse,
        Self::KeepTags,
        Self::IgnoreTagsRegex,
        Self::Newest,
        Self::PulledRecently,
        Self::PushedRecently,
        Self::Policy,
        Self::Untagged,
        Self::ParentOfInUse,
        Self::ChildOfKept,
        Self::ReferrerOfKept,
        Self::Replicated,
        Self::Archived,
        Self::SharedElsewhere,
        Self::Unreadable,
        Self::Unknown,
    ];

    /// Its name in the report.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InUse => "inUse",
            Self::UsedRecently => "usedRecently",
            Self::BeforeInUse => "beforeInUse",
            Self::KeepTags => "keepTags",
            Self::IgnoreTagsRegex => "ignoreTagsRegex",
            Self::Newest => "newest",
            Self::PulledRecently => "pulledRecently",
            Self::PushedRecently => "pushedRecently",
            Self::Policy => "policy",
            Self::Untagged => "untagged",
            Self::ParentOfInUse => "parentOfInUse",
            Self::ChildOfKept => "childOfKept",
            Self::ReferrerOfKept => "referrerOfKept",
            Self::Replicated => "replicated",
            Self::Archived => "archived",
            Self::SharedElsewhere => "sharedElsewhere",
            Self::Unreadable => "unreadable",
            Self::Unknown => "unknown",
        }
    }
}

/// All reasons why an image is kept.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeepReasons(u32);

impl KeepReasons {
    /// No reason yet.
    pub(super) fn none() -> Self {
        Self(0)
    }

    pub(super) fn one(reason: KeepReason) -> Self {
        Self(1 << reason as u32)
    }

    pub(super) fn add(&mut self, reason: KeepReason) {
        self.0 |= Self::one(reason).0;
    }

    pub(super) fn contains(self, reason: KeepReason) -> bool {
        self.0 & Self::one(reason).0 != 0
    }

    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The reasons, in the report's order.
    pub fn iter(self) -> impl Iterator<Item = KeepReason> {
        KeepReason::ALL.into_iter().filter(move |reason| self.contains(*reason))
    }

    /// The reason by which the report counts the image.
    #[must_use]
    pub fn first(self) -> KeepReason {
        self.iter().next().unwrap_or(KeepReason::Unknown)
    }
}

impl fmt::Debug for KeepReasons {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// Why an image is stale. The type is small, since a plan can have a million of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StaleReason {
    /// It is tagged and not among the newest tagged images.
    NotAmongNewest {
        /// The number of newest images to keep.
        images_to_keep: u32,
    },
    /// It is untagged and older than the limit.
    UntaggedForLong {
        /// The age in days up to which untagged images are kept.
        days: u32,
    },
    /// The subject in its manifest does not exist, and it is older than the limit for untagged images.
    SubjectGoneForLong {
        /// The age in days up to which it is kept.
        days: u32,
    },
    /// A policy rule expires or archives it.
    Rule(Arc<RuleName>, Action),
    /// It is a child image of this stale index, and of no kept one.
    ChildOf(Arc<ImageDigest>),
    /// It is a referrer of this stale image.
    ReferrerOf(Arc<ImageDigest>),
}

impl StaleReason {
    /// The name of the reason, for programs. These names must not change.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotAmongNewest { .. } => "notAmongNewest",
            Self::UntaggedForLong { .. } => "untaggedTooOld",
            Self::SubjectGoneForLong { .. } => "subjectGone",
            Self::Rule(..) => "policyRule",
            Self::ChildOf(_) => "childOfStale",
            Self::ReferrerOf(_) => "referrerOfStale",
        }
    }

    /// The stale image that it is deleted with, where that is the reason.
    #[must_use]
    pub fn owner(&self) -> Option<&ImageDigest> {
        match self {
            Self::ChildOf(owner) | Self::ReferrerOf(owner) => Some(owner),
            Self::NotAmongNewest { .. }
            | Self::UntaggedForLong { .. }
            | Self::SubjectGoneForLong { .. }
            | Self::Rule(..) => None,
        }
    }
}

impl fmt::Display for StaleReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAmongNewest { images_to_keep: 0 } => f.write_str("tagged, and imagesToKeep is 0"),
            Self::NotAmongNewest { images_to_keep: 1 } => f.write_str("not the newest tagged image"),
            Self::NotAmongNewest { images_to_keep } => write!(f, "not among the {images_to_keep} newest tagged images"),
            Self::UntaggedForLong { days: 0 } => f.write_str("untagged"),
            Self::UntaggedForLong { days: 1 } => f.write_str("untagged and older than a day"),
            Self::UntaggedForLong { days } => write!(f, "untagged and older than {days} days"),
            Self::SubjectGoneForLong { days: 0 } => f.write_str("attached artifact of an image that no longer exists"),
            Self::SubjectGoneForLong { days: 1 } => {
                f.write_str("attached artifact of an image that no longer exists, and older than a day")
            }
            Self::SubjectGoneForLong { days } => {
                write!(f, "attached artifact of an image that no longer exists, and older than {days} days")
            }
            Self::Rule(rule, Action::Expire) => write!(f, "expired by {rule}"),
            Self::Rule(rule, Action::Archive) => write!(f, "archived by {rule}"),
            Self::ChildOf(index) => write!(f, "child image of the stale index {index}"),
            Self::ReferrerOf(subject) => write!(f, "attached artifact of the stale image {subject}"),
        }
    }
}
