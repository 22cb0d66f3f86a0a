//! The account and principal of the credentials, the regions to search for workloads, and the regions whose registries
//! are cleaned.

use std::collections::BTreeSet;

use ecr_cleanup_core::account::{AccountId, Region};
use ecr_cleanup_core::call_error::CallError;
use ecr_cleanup_core::clock_skew::ClockSkew;
use ecr_cleanup_core::pull_time::Principal;
use ecr_cleanup_core::settings::Settings;
use futures::future::join;

use crate::aws::Aws;
use crate::deadline::Deadline;

/// The account of the run, and its regions.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The account ID.
    pub account: AccountId,
    /// The principal that makes the calls.
    pub principal: Principal,
    /// The difference between the run's clock and AWS's, if it is too large to compute ages.
    pub clock_skew: Option<ClockSkew>,
    /// The regions to search for workloads; possibly incomplete.
    pub usage_regions: BTreeSet<Region>,
    /// Why this list may be incomplete.
    pub usage_regions_unknown: Option<CallError>,
    /// The regions whose registries are cleaned.
    pub cleaned: BTreeSet<Region>,
}

/// Why a run can't start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotIdentified {
    /// The account can't be determined.
    AccountUnknown(CallError),
    /// No region is set, and the enabled regions can't be listed.
    RegionsUnavailable(CallError),
}

/// Determines the account, the principal and the regions.
///
/// # Errors
/// When a run can't start without an answer.
pub async fn identify(settings: &Settings, aws: &Aws, deadline: Deadline) -> Result<Identity, NotIdentified> {
    let enabled = async {
        match &settings.usage.regions {
            Some(regions) => Ok(regions.clone()),
            None => aws.enabled_regions(deadline).await,
        }
    };
    let (identity, enabled) = join(aws.caller_identity(deadline), enabled).await;
    let (account, arn, clock_skew) = identity.map_err(NotIdentified::AccountUnknown)?;
    let (usage_regions, usage_regions_unknown, cleaned) = match (enabled, &settings.regions) {
        (Ok(regions), None) => (regions.clone(), None, regions),
        (Ok(mut regions), Some(cleaned)) => {
            if settings.usage.regions.is_none() {
                // A cleaned region is always searched for workloads, even if it is not listed.
                regions.extend(cleaned.iter().cloned());
            }
            (regions, None, cleaned.clone())
        }
        // Workloads in other regions are unknown, so a live run will be refused. A dry run can still show a plan.
        (Err(error), Some(cleaned)) => (cleaned.clone(), Some(error), cleaned.clone()),
        (Err(error), None) => return Err(NotIdentified::RegionsUnavailable(error)),
    };
    let principal = Principal::of_identity(&arn);
    Ok(Identity { account, principal, clock_skew, usage_regions, usage_regions_unknown, cleaned })
}
