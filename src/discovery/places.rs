//! Reads every source in every region of every account, all concurrently, and decides whether the answers are complete.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use ecr_cleanup_core::account::{AccountId, Place, Region, RoleArn};
use ecr_cleanup_core::call_error::CallError;
use ecr_cleanup_core::settings::{KeepUnused, UsageScope};
use ecr_cleanup_core::usage::{Cause, Holder, HolderKind, Usage, UsageIncomplete, UsageSnapshot};
use futures::future::join_all;
use futures::stream::{self, StreamExt};

use super::Identity;
use crate::aws::Aws;
use crate::clock::{Clock, Instant};
use crate::deadline::Deadline;
use crate::progress::{News, Progress};
use crate::sources::{self, Findings, PlaceReader, SOURCES};

/// Regions read at a time, over all accounts. Each has a few calls under way, and Lambda gives a function 1,024 file
/// descriptors.
const PLACES_AT_ONCE: usize = 32;

/// All regions of all accounts to search for workloads. Opened once per run, and read as often as needed.
#[derive(Debug)]
pub struct Places {
    clock: Clock,
    scope: UsageScope,
    own: AccountId,
    accounts: Vec<AccountPlaces>,
    unavailable: Vec<Cause>,
}

/// One account's regions.
#[derive(Debug)]
struct AccountPlaces {
    account: AccountId,
    regions_unknown: Option<CallError>,
    places: Vec<PlaceReader>,
}

/// The images in use, with the age of the reading.
#[derive(Clone, Debug)]
pub struct Reading {
    /// The images in use.
    pub usage: Arc<Usage>,
    /// When the first call began. Listings may or may not contain workloads started since.
    pub begun_at: Instant,
    /// The time from the first call to the last answer.
    pub took: Duration,
    /// Whether part of that time was for facts that never change, which are not read again.
    pub read_facts: bool,
}

impl Places {
    /// Assumes the roles, and lists the regions of their accounts.
    pub async fn open(aws: &Aws, own: &Identity, scope: UsageScope, deadline: Deadline) -> Self {
        // A role of the function's own account is not needed.
        let roles = scope.role_arns.iter().filter(|role| role.account != own.account);
        let roles: Vec<_> = stream::iter(roles)
            .map(|role| other_account(aws, role, own, &scope, deadline))
            .buffered(PLACES_AT_ONCE)
            .collect()
            .await;
        let Identity { account, usage_regions, usage_regions_unknown, .. } = own.clone();
        let mut accounts = vec![AccountPlaces::new(aws, &account, usage_regions, usage_regions_unknown)];
        let mut unavailable = Vec::new();
        for of_role in roles {
            match of_role {
                Ok(places) => accounts.push(places),
                Err(cause) => unavailable.push(cause),
            }
        }
        Self { clock: aws.clock(), scope, own: account, accounts, unavailable }
    }

    /// The clock for ages.
    pub(super) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The regions of every account, for the facts that memory adds to them and takes from them.
    pub fn readers(&self) -> impl Iterator<Item = &PlaceReader> {
        self.accounts.iter().flat_map(|account| &account.places)
    }

    /// Finds the images of every workload.
    pub async fn read(&self, deadline: Deadline, progress: &dyn Progress) -> Reading {
        let Self { clock, scope, own, accounts, unavailable } = self;
        let facts_known = self.facts();
        let begun_at = clock.now();
        progress.tell(News::ReadingUsage { regions: accounts.iter().map(|account| account.places.len()).sum() });
        let places = accounts.iter().flat_map(|account| &account.places);
        let mut found: Vec<(&Place, Findings)> = stream::iter(places)
            .map(async |reader| {
                let findings = read_place(reader, scope.keep, deadline).await;
                progress.tell(News::UsageRead { place: &reader.place, counts: &findings.counts });
                (&reader.place, findings)
            })
            .buffer_unordered(PLACES_AT_ONCE)
            .collect()
            .await;
        found.sort_unstable_by_key(|(place, _)| *place);

        let mut found_everywhere = Gathered::default();
        found_everywhere.causes.extend(unavailable.iter().cloned());
        for AccountPlaces { account, regions_unknown, .. } in accounts {
            let unknown = regions_unknown.clone().map(|error| Cause::Regions { account: account.clone(), error });
            found_everywhere.causes.extend(unknown);
        }
        for (place, findings) in found {
            found_everywhere.add(place, findings);
        }
        found_everywhere.add_settings(own, &scope.in_use_images);
        let accounts = accounts.iter().map(|account| account.account.clone()).collect();
        let usage = Arc::new(found_everywhere.conclude(own, accounts));
        Reading { usage, begun_at, took: clock.age_of(begun_at), read_facts: self.facts() > facts_known }
    }

    /// The number of known facts that never change.
    fn facts(&self) -> usize {
        self.accounts.iter().flat_map(|account| &account.places).map(PlaceReader::facts).sum()
    }
}

async fn read_place(reader: &PlaceReader, keep: KeepUnused, deadline: Deadline) -> Findings {
    let mut findings = Findings::default();
    for of_source in join_all(SOURCES.iter().map(|source| reader.read(source, keep, deadline))).await {
        findings.merge(of_source);
    }
    findings
}

/// The findings of all regions, so far.
#[derive(Default)]
struct Gathered {
    usage: UsageSnapshot,
    causes: Vec<Cause>,
    regions: BTreeSet<Region>,
    /// Regions in which some account was denied every call.
    closed: BTreeSet<Region>,
    /// The other regions.
    open: BTreeSet<Region>,
}

impl Gathered {
    fn add(&mut self, place: &Place, Findings { usage, failures, answered, counts: _ }: Findings) {
        self.usage.merge(usage);
        self.regions.insert(place.region.clone());
        let denied = !failures.is_empty() && failures.iter().all(|(_, error)| error.is_denial());
        if denied && !answered { &mut self.closed } else { &mut self.open }.insert(place.region.clone());
        let cause = |(title, error): (&'static str, CallError)| Cause::Source {
            place: place.clone(),
            title: title.into(),
            error,
        };
        self.causes.extend(failures.into_iter().map(cause));
    }

    fn add_settings(&mut self, own: &AccountId, in_use_images: &[String]) {
        let by_settings = Arc::new(Holder { kind: HolderKind::SETTING, name: "inUseImages".into() });
        for image in in_use_images {
            self.usage.add(Some(image), None, &by_settings);
            self.usage.hold_in_registry(own, image, &by_settings);
        }
    }

    fn conclude(self, own: &AccountId, accounts: BTreeSet<AccountId>) -> Usage {
        let Self { usage, mut causes, regions, closed, open } = self;
        // References to registries that are not cleaned don't matter to this run.
        causes.extend(usage.unlocated(own).cloned().map(Cause::Unlocated));
        // Excluding regions helps only if each of them is closed to every account, and nothing else failed.
        let in_closed_region =
            |cause: &Cause| matches!(cause, Cause::Source { place, .. } if closed.contains(&place.region));
        let leaving_out_helps = !closed.is_empty() && closed.is_disjoint(&open) && causes.iter().all(in_closed_region);
        let usable_regions = if leaving_out_helps { open } else { BTreeSet::new() };
        let incomplete = (!causes.is_empty()).then_some(UsageIncomplete { causes, usable_regions });
        Usage::new(accounts, regions, usage, incomplete)
    }
}

impl AccountPlaces {
    fn new(aws: &Aws, account: &AccountId, regions: BTreeSet<Region>, regions_unknown: Option<CallError>) -> Self {
        let reader = |region: Region| {
            let (config, pace) = (aws.config_in(&region), aws.pace(sources::quotas()));
            PlaceReader::new(Place::new(account.clone(), region), config, pace)
        };
        Self { account: account.clone(), regions_unknown, places: regions.into_iter().map(reader).collect() }
    }
}

/// Assumes the role, and lists its account's regions with that account's credentials.
async fn other_account(
    aws: &Aws,
    role: &RoleArn,
    own: &Identity,
    scope: &UsageScope,
    deadline: Deadline,
) -> Result<AccountPlaces, Cause> {
    let aws = aws
        .assuming(role, scope.external_id.as_ref(), &own.account, deadline)
        .await
        .map_err(|error| Cause::Account { role: role.clone(), error })?;
    let (regions, regions_unknown) = match &scope.regions {
        Some(regions) => (regions.clone(), None),
        None => match aws.enabled_regions(deadline).await {
            Ok(regions) => (regions, None),
            // For a dry run, the regions enabled in the function's own account are the best guess.
            Err(error) => (own.usage_regions.clone(), Some(error)),
        },
    };
    Ok(AccountPlaces::new(&aws, &role.account, regions, regions_unknown))
}
