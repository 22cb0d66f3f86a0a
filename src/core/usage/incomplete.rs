//! Why usage data is incomplete. With any of these causes, no image may be deleted anywhere.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::UnreadableUse;
use crate::account::{AccountId, Place, Region, RoleArn};
use crate::call_error::CallError;

/// Data that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    /// The role of an account could not be assumed.
    Account {
        /// The role.
        role: RoleArn,
        /// The call that failed.
        error: CallError,
    },
    /// The enabled regions of an account could not be listed.
    Regions {
        /// The account.
        account: AccountId,
        /// The call that failed.
        error: CallError,
    },
    /// A source could not be read in one region.
    Source {
        /// The account and region.
        place: Place,
        /// What should have been read there: a title for people.
        title: Cow<'static, str>,
        /// The call that failed.
        error: CallError,
    },
    /// A reference can't be parsed, and its repository is unknown.
    Unlocated(UnreadableUse),
}

/// Usage data is incomplete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub struct UsageIncomplete {
    /// The data that could not be read.
    pub causes: Vec<Cause>,
    /// The value for `usageRegions` with which all calls would have succeeded. Empty unless the only failures were regions
    /// that denied every call of every account.
    pub usable_regions: BTreeSet<Region>,
}

impl Cause {
    /// The next step for a person: an imperative phrase without a period.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::Account { role, error: _ } => format!(
                "allow the role or user that runs ecr-cleanup to assume {}, or remove it from usageRoleArns",
                role.as_str()
            ),
            Self::Regions { account: _, error } => format!("set usageRegions, or {}", error.remedy()),
            Self::Source { place: _, title: _, error } => error.remedy(),
            Self::Unlocated(_) => "correct the reference".to_owned(),
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account { role, error } => write!(f, "account {}: {error}", role.account)?,
            Self::Regions { account, error } => write!(f, "account {account}: enabled Regions: {error}")?,
            Self::Source { place: Place { account, region }, title, error } => {
                write!(f, "account {account}, {region}: {title}: {error}")?;
            }
            Self::Unlocated(UnreadableUse { reference, holder }) => {
                write!(f, "{holder} has an {reference}, and its repository is unknown")?;
            }
        }
        write!(f, " ({})", self.remedy())
    }
}

impl fmt::Display for UsageIncomplete {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// How many causes the message has. The log has all of them.
        const SHOWN: usize = 25;
        for (place, cause) in self.causes.iter().take(SHOWN).enumerate() {
            write!(f, "{}{cause}", if place == 0 { "" } else { "; " })?;
        }
        if self.causes.len() > SHOWN {
            write!(f, "; and {} more causes", self.causes.len() - SHOWN)?;
        }
        if !self.usable_regions.is_empty() {
            let regions = self.usable_regions.iter().map(Region::as_str).collect::<Vec<_>>().join(",");
            write!(f, ". If nothing runs in the Regions that denied every call, set usageRegions to {regions}")?;
        }
        Ok(())
    }
}
