//! Who asks, the regions in which its workloads are looked for, and those whose registries are cleaned.

use std::collections::BTreeSet;

use ecr_cleanup_core::account::{AccountId, Region};
use ecr_cleanup_core::call_error::CallError;
use ecr_cleanup_core::clock_skew::ClockSkew;
use ecr_cleanup_core::pull_time::Principal;
use ecr_cleanup_core::settings::Settings;
use futures::future::join;

use crate::aws::Aws;
use crate::deadline::Deadline;

/// The account that the function runs in, and where it looks and cleans.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Its id.
    pub account: AccountId,
    /// Who makes the calls.
    pub principal: Principal,
    /// How far the run's clock is from AWS's, where that is too far to tell ages by.
    pub clock_skew: Option<ClockSkew>,
    /// The regions in which its workloads are looked for, as far as they are known.
    pub usage_regions: BTreeSet<Region>,
    /// Why these may not be all.
    pub usage_regions_unknown: Option<CallError>,
    /// The regions whose registries are cleaned.
    pub cleaned: BTreeSet<Region>,
}

/// Why a run can't start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotIdentified {
    /// The account is not known.
    AccountUnknown(CallError),
    /// No region is named, and they can't be listed.
    RegionsUnavailable(CallError),
}

/// Finds out who asks, and where.
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
                // Whatever the list says, what is cleaned is looked at.
                regions.extend(cleaned.iter().cloned());
            }
            (regions, None, cleaned.clone())
        }
        // What runs in other regions stays unknown, so a live run will be refused; a dry run can still show a plan.
        (Err(error), Some(cleaned)) => (cleaned.clone(), Some(error), cleaned.clone()),
        (Err(error), None) => return Err(NotIdentified::RegionsUnavailable(error)),
    };
    let principal = Principal::of_identity(&arn);
    Ok(Identity { account, principal, clock_skew, usage_regions, usage_regions_unknown, cleaned })
}
