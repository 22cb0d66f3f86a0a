//! Who uses an image.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Who uses an image: a workload, or a setting.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Holder {
    /// What it is.
    pub kind: HolderKind,
    /// Its name: an ARN where it has one.
    pub name: Box<str>,
}

/// A kind of workload. Each source of usage declares those that it finds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct HolderKind {
    /// Of several holders of an image a report names the one of the lowest rank: what runs now before what may run later.
    rank: u8,
    title: Cow<'static, str>,
}

impl HolderKind {
    /// The setting `inUseImages`.
    pub const SETTING: Self = Self::new(u8::MAX, "setting");

    /// A kind, as reports call it.
    #[must_use]
    pub const fn new(rank: u8, title: &'static str) -> Self {
        Self { rank, title: Cow::Borrowed(title) }
    }

    /// As reports call it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.title
    }
}

impl Holder {
    /// The workload of this ARN.
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
