//! What usage gives to know.

use std::collections::{BTreeMap, BTreeSet};

use super::{About, Warning, WarningCode};
use crate::account::Region;
use crate::plan::Plan;
use crate::usage::{UnreadableUse, Usage, UsageIncomplete};

/// What usage gives to know about a plan.
#[must_use]
pub fn of_usage(usage: &Usage, plan: &Plan) -> Vec<Warning> {
    let mut warnings = Vec::new();
    if let Some(UsageIncomplete { causes, usable_regions }) = usage.incomplete() {
        warnings.extend(causes.iter().map(|cause| {
            let message = format!("usage incomplete, so a live run would delete nothing: {cause}");
            Warning::new(WarningCode::UsageIncomplete, About::RUN, message)
        }));
        if !usable_regions.is_empty() {
            let regions = listed(usable_regions);
            let message =
                format!("every call was denied in some regions; if nothing runs there, set usageRegions to {regions}");
            warnings.push(Warning::new(WarningCode::UsableRegions, About::RUN, message));
        }
    }
    // What is odd in a registry that is not cleaned is nobody's concern here.
    let withheld: BTreeMap<_, _> =
        plan.accounts().into_iter().flat_map(|account| usage.known().withheld(account)).collect();
    warnings.extend(withheld.into_iter().map(|(repository, UnreadableUse { reference, holder })| {
        let about = About { place: None, repository_name: Some(repository.clone()) };
        let message = format!("repository {repository} is kept whole: {holder}: {reference}");
        Warning::new(WarningCode::Withheld, about, message)
    }));
    let impossible: BTreeSet<_> =
        plan.accounts().into_iter().flat_map(|account| usage.known().impossible(account)).collect();
    warnings.extend(impossible.into_iter().map(|UnreadableUse { reference, holder }| {
        let message = format!("{holder}: {reference}, so that it counts as no image: no repository can be called so");
        Warning::new(WarningCode::NamesNothing, About::RUN, message)
    }));
    for account in plan.accounts() {
        let of_account = plan.registries.iter().filter(|registry| registry.place.account == *account);
        let cleaned = of_account.map(|registry| registry.place.region.clone()).collect();
        if !usage.known().refers_to(account, &cleaned) {
            let message = format!(
                "no workload refers to the registry of account {account} in the regions being cleaned: is this the account whose images run?"
            );
            warnings.push(Warning::new(WarningCode::NothingInUse, About::RUN, message));
        }
    }
    warnings
}

/// Regions as a setting takes them.
pub(super) fn listed(regions: &BTreeSet<Region>) -> String {
    regions.iter().map(Region::as_str).collect::<Vec<_>>().join(",")
}
