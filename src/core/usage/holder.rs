//! The users of an image.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The user of an image: a workload, or a setting.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Holder {
    /// Its kind.
    pub kind: HolderKind,
    /// Its ARN, or its name if it has no ARN.
    pub name: Box<str>,
}

/// A kind of workload. Each source of usage declares its kinds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct HolderKind {
    /// If an image has several users, a report has the one of the lowest rank: running workloads come before those that
    /// can run later.
    rank: u8,
    title: Cow<'static, str>,
}

impl HolderKind {
    /// The setting `inUseImages`.
    pub const SETTING: Self = Self::new(u8::MAX, "setting");

    /// A kind with its title in reports.
    #[must_use]
    pub const fn new(rank: u8, title: &'static str) -> Self {
        Self { rank, title: Cow::Borrowed(title) }
    }

    /// The title in reports.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.title
    }
}

impl Holder {
    /// The workload with this ARN.
    #[must_use]
    pub fn of_arn(kind: &HolderKind, arn: Option<&str>) -> Arc<Self> {
        Arc::new(Self { kind: kind.clone(), name: arn.unwrap_or("without an ARN").into() })
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.as_str(), self.name)
    }
}
