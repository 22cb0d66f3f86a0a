//! Asks every source in every place, all at once, and tells whether all of them answered in full.

use std::collections::BTreeSet;

use futures::future::join_all;

use super::ecs_tasks;
use super::incomplete::{Cause, UsageIncomplete};
use super::snapshot::UsageSnapshot;
use crate::account::{AccountId, Region};
use crate::aws::{Aws, CallError};
use crate::deadline::Deadline;

/// Where workloads are looked for.
#[derive(Clone, Debug)]
pub struct Places {
    /// The account.
    pub account: AccountId,
    /// Its regions.
    pub regions: BTreeSet<Region>,
    /// Why these may not be all.
    pub regions_unknown: Option<CallError>,
}

/// What was found, and whether that is all there is.
#[derive(Clone, Debug)]
pub struct Discovery {
    /// Where workloads were looked for.
    pub places: Places,
    /// What was found.
    pub usage: UsageSnapshot,
    /// Why there may be more.
    pub incomplete: Option<UsageIncomplete>,
}

/// What one source found in one place.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) usage: UsageSnapshot,
    pub(super) failures: Vec<CallError>,
    /// Whether any call was answered. A place that answers none is closed to the function as a whole.
    pub(super) answered: bool,
}

impl Findings {
    pub(super) fn merge(&mut self, other: Self) {
        let Self { usage, failures, answered } = other;
        self.usage.merge(usage);
        self.failures.extend(failures);
        self.answered |= answered;
    }
}

/// Finds what every workload uses.
pub async fn discover(aws: &Aws, places: Places, deadline: Deadline) -> Discovery {
    let Places { account, regions, regions_unknown } = &places;
    let findings = join_all(regions.iter().map(async |region| {
        let ecs = aws.ecs(region);
        [("ECS tasks", ecs_tasks::discover(&ecs, deadline).await)]
    }));

    let mut usage = UsageSnapshot::default();
    let mut causes: Vec<Cause> = Vec::new();
    causes.extend(regions_unknown.clone().map(|error| Cause::Regions { account: account.clone(), error }));
    let mut usable_regions = regions.clone();
    for (region, sources) in regions.iter().zip(findings.await) {
        let mut answered = false;
        let mut failed = false;
        for (source, Findings { usage: found, failures, answered: source_answered }) in sources {
            usage.merge(found);
            answered |= source_answered;
            failed |= !failures.is_empty();
            causes.extend(failures.into_iter().map(|error| Cause::Source {
                account: account.clone(),
                region: region.clone(),
                source,
                error,
            }));
        }
        if failed && !answered {
            usable_regions.remove(region);
        }
    }
    causes.extend(usage.unlocated().iter().cloned().map(Cause::Unlocated));
    if usable_regions.len() == regions.len() {
        // No region is closed as a whole, so leaving some out would not help.
        usable_regions.clear();
    }
    let incomplete = (!causes.is_empty()).then_some(UsageIncomplete { causes, usable_regions });
    Discovery { places, usage, incomplete }
}
