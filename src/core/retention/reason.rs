//! Why an image stays, and why another goes.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::image::ImageDigest;
use crate::policy::{Action, RuleName};

/// Why an image stays. The order is that of the report, which counts an image under its first reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum KeepReason {
    /// A workload uses it, by its digest or one of its tags.
    InUse,
    /// It is among the newest tagged images pushed before one in use: what one rolls back to.
    BeforeInUse,
    /// One of its tags matches `keepTags`.
    KeepTags,
    /// `ignoreTagsRegex` finds a match in one of its tags.
    IgnoreTagsRegex,
    /// It is among the newest tagged images.
    Newest,
    /// It was pulled within `keepPulledWithinDays`.
    PulledRecently,
    /// It was pushed within `keepPushedWithinDays`, or after the time that this run speaks of.
    PushedRecently,
    /// No rule of a policy takes it, or no policy matches its repository, or other tags are asked for.
    Policy,
    /// It is untagged, and young or never taken.
    Untagged,
    /// It is an index, and a workload uses an image that it names.
    ParentOfInUse,
    /// An index that stays names it.
    ChildOfKept,
    /// It is about an image that stays.
    ReferrerOfKept,
    /// Deleting it would delete copies of it in other registries, and one of them stays, or what is there can't be read.
    Replicated,
    /// It is not ACTIVE, and no rule of a policy selects what is archived; or it is archived with what it belongs to.
    Archived,
    /// Accounts whose usage isn't read may pull from its repository.
    SharedElsewhere,
    /// What would have to be read to decide could not be: a workload's reference to the repository, or the manifest of an
    /// index that may name it.
    Unreadable,
    /// ECR does not tell what would have to be known.
    Unknown,
}

impl KeepReason {
    /// All of them, in the report's order.
    pub const ALL: [Self; 17] = [
        Self::InUse,
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

    /// As the report says it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InUse => "inUse",
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

/// All the reasons for which an image stays.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeepReasons(u32);

impl KeepReasons {
    /// Nothing keeps it, so far.
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

    /// The reasons in the report's order.
    pub fn iter(self) -> impl Iterator<Item = KeepReason> {
        KeepReason::ALL.into_iter().filter(move |reason| self.contains(*reason))
    }

    /// The reason that the report counts the image under.
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

/// Why an image goes. It is kept small, since a plan may hold a million.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StaleReason {
    /// Newer tagged images fill the places that are kept.
    NotAmongNewest {
        /// How many are kept.
        images_to_keep: u32,
    },
    /// It is untagged and older than is kept.
    UntaggedForLong {
        /// The age in days up to which untagged images are kept.
        days: u32,
    },
    /// What its manifest says it is about is gone, and it is older than untagged images are kept.
    SubjectGoneForLong {
        /// The age in days up to which it is kept.
        days: u32,
    },
    /// A rule of a policy takes it.
    Rule(Arc<RuleName>, Action),
    /// An index that goes names it, and none that stays does.
    ChildOf(Arc<ImageDigest>),
    /// It is about an image that goes.
    ReferrerOf(Arc<ImageDigest>),
}

impl StaleReason {
    /// What kind of reason it is, for programs: these names stay as they are.
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
            Self::NotAmongNewest { images_to_keep: 0 } => f.write_str("no tagged image is kept for its age"),
            Self::NotAmongNewest { images_to_keep: 1 } => f.write_str("not the newest tagged image"),
            Self::NotAmongNewest { images_to_keep } => write!(f, "not among the {images_to_keep} newest tagged images"),
            Self::UntaggedForLong { days: 0 } => f.write_str("untagged"),
            Self::UntaggedForLong { days: 1 } => f.write_str("untagged and older than a day"),
            Self::UntaggedForLong { days } => write!(f, "untagged and older than {days} days"),
            Self::SubjectGoneForLong { days: 0 } => f.write_str("about an image that is gone"),
            Self::SubjectGoneForLong { days: 1 } => f.write_str("about an image that is gone, and older than a day"),
            Self::SubjectGoneForLong { days } => write!(f, "about an image that is gone, and older than {days} days"),
            Self::Rule(rule, Action::Expire) => write!(f, "expired by {rule}"),
            Self::Rule(rule, Action::Archive) => write!(f, "archived by {rule}"),
            Self::ChildOf(index) => write!(f, "named by the stale index {index}"),
            Self::ReferrerOf(subject) => write!(f, "about the stale image {subject}"),
        }
    }
}
