//! Warnings about usage.

use std::collections::{BTreeMap, BTreeSet};

use super::{About, Warning, WarningCode};
use crate::account::{AccountId, Region};
use crate::image::RepositoryName;
use crate::plan::Plan;
use crate::usage::{UnreadableUse, Usage, UsageIncomplete};

/// The warnings about usage, for the registries of a plan.
#[must_use]
pub fn of_usage(usage: &Usage, plan: &Plan) -> Vec<Warning> {
    let mut warnings = usage_incomplete(usage);
    // Invalid references to registries that are not cleaned don't matter.
    warnings.extend(withheld(usage, plan.accounts().into_iter()));
    let impossible: BTreeSet<_> =
        plan.accounts().into_iter().flat_map(|account| usage.known().impossible(account)).collect();
    warnings.extend(impossible.into_iter().map(|UnreadableUse { reference, holder }| {
        let message = format!(
            "{holder} has an {reference}. The reference was ignored, since no repository can have this name. Correct it."
        );
        Warning::new(WarningCode::NamesNothing, About::RUN, message)
    }));
    for account in plan.accounts() {
        let of_account = plan.registries.iter().filter(|registry| registry.place.account == *account);
        let cleaned = of_account.map(|registry| registry.place.region.clone()).collect();
        if !usage.known().refers_to(account, &cleaned) {
            let message = format!(
                "no workload uses the registry of account {account} in the Regions being cleaned. Check that this is the right account."
            );
            warnings.push(Warning::new(WarningCode::NothingInUse, About::RUN, message));
        }
    }
    warnings
}

/// The reasons why usage data is incomplete.
#[must_use]
pub fn usage_incomplete(usage: &Usage) -> Vec<Warning> {
    let Some(UsageIncomplete { causes, usable_regions }) = usage.incomplete() else { return Vec::new() };
    let of_cause = |cause| {
        let message = format!("usage data is incomplete, so a live run would delete nothing: {cause}");
        Warning::new(WarningCode::UsageIncomplete, About::RUN, message).because_of(cause)
    };
    let usable = (!usable_regions.is_empty()).then(|| {
        let regions = listed(usable_regions);
        let message = format!("some Regions denied every call. If nothing runs there, set usageRegions to {regions}");
        Warning::new(WarningCode::UsableRegions, About::RUN, message)
    });
    causes.iter().map(of_cause).chain(usable).collect()
}

/// The repositories of these accounts' registries whose images are all kept, since a reference to them can't be read.
pub fn withheld<'a>(usage: &Usage, accounts: impl Iterator<Item = &'a AccountId>) -> Vec<Warning> {
    let withheld: BTreeMap<_, _> = accounts.flat_map(|account| usage.known().withheld(account)).collect();
    let of_repository = |(repository, UnreadableUse { reference, holder }): (&RepositoryName, &UnreadableUse)| {
        let about = About { repository_name: Some(repository.clone()), ..About::RUN };
        let message =
            format!("all images of {repository} are kept: {holder} has an {reference}. Correct the reference.");
        Warning::new(WarningCode::Withheld, about, message)
    };
    withheld.into_iter().map(of_repository).collect()
}

/// Regions in the form of a setting.
pub(super) fn listed(regions: &BTreeSet<Region>) -> String {
    regions.iter().map(Region::as_str).collect::<Vec<_>>().join(",")
}
