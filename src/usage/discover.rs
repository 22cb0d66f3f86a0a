//! Asks every source in every region of every account, all at once, and tells whether all of them answered in full.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::future::join;
use futures::stream::{self, StreamExt};

use super::ecs::EcsRegion;
use super::findings::Findings;
use super::incomplete::{Cause, UsageIncomplete};
use super::lambda::LambdaRegion;
use super::snapshot::{Holder, HolderKind, UsageSnapshot};
use crate::account::{AccountId, ExternalId, Region, RoleArn};
use crate::aws::{Aws, CallError, Pace};
use crate::clock::{Clock, Instant};
use crate::deadline::Deadline;
use crate::progress::{Progress, Step};

/// Regions, of all accounts together, that are read at a time. Each has a few calls under way, and Lambda gives a
/// function 1,024 file descriptors.
const REGIONS_AT_ONCE: usize = 32;

/// What counts as usage, and where it is looked for.
#[derive(Clone, Debug)]
pub struct UsageScope {
    /// The regions of every account; all enabled ones where it is `None`.
    pub regions: Option<BTreeSet<Region>>,
    /// Roles in other accounts whose workloads use these registries.
    pub role_arns: Vec<RoleArn>,
    /// What these roles may ask for.
    pub external_id: Option<ExternalId>,
    /// How many of the newest ACTIVE revisions of a task definition's family count.
    pub task_definitions_to_keep: u32,
    /// How many of the newest published versions of a function count.
    pub lambda_versions_to_keep: u32,
    /// References that count as used.
    pub in_use_images: Vec<String>,
}

/// Everything that can tell of usage: settled once a run, asked as often as needed.
#[derive(Debug)]
pub struct Sources {
    clock: Clock,
    scope: UsageScope,
    accounts: Vec<AccountSources>,
    unavailable: Vec<Cause>,
}

/// One account's regions.
#[derive(Debug)]
struct AccountSources {
    account: AccountId,
    regions_unknown: Option<CallError>,
    regions: Vec<RegionSources>,
}

#[derive(Debug)]
struct RegionSources {
    region: Region,
    pace: Pace,
    ecs: EcsRegion,
    lambda: LambdaRegion,
}

/// What was found, and whether that is all there is.
#[derive(Clone, Debug)]
pub struct Discovery {
    /// The accounts that were looked in.
    pub accounts: BTreeSet<AccountId>,
    /// The regions that were looked in, of any of them.
    pub regions: BTreeSet<Region>,
    /// What was found.
    pub usage: UsageSnapshot,
    /// Why there may be more.
    pub incomplete: Option<UsageIncomplete>,
    /// When the last answer came.
    pub completed_at: Instant,
}

/// The account that the function runs in.
#[derive(Clone, Debug)]
pub struct OwnAccount {
    /// Its id.
    pub account: AccountId,
    /// Its regions, as far as they are known.
    pub regions: BTreeSet<Region>,
    /// Why these may not be all.
    pub regions_unknown: Option<CallError>,
}

impl Sources {
    /// The clock that ages are told by.
    pub(super) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Settles where usage is looked for: assumes the roles and lists the regions of their accounts.
    pub async fn settle(aws: &Aws, own: OwnAccount, scope: UsageScope, deadline: Deadline) -> Self {
        // The own account is read with the function's own role.
        let roles = scope.role_arns.iter().filter(|role| role.account != own.account);
        let roles: Vec<_> = stream::iter(roles)
            .map(|role| other_account(aws, role, &own, &scope, deadline))
            .buffered(REGIONS_AT_ONCE)
            .collect()
            .await;
        let OwnAccount { account, regions, regions_unknown } = own;
        let mut accounts = vec![AccountSources::new(aws, account, regions, regions_unknown)];
        let mut unavailable = Vec::new();
        for of_role in roles {
            match of_role {
                Ok(sources) => accounts.push(sources),
                Err(cause) => unavailable.push(cause),
            }
        }
        Self { clock: aws.clock(), scope, accounts, unavailable }
    }

    /// Finds what every workload uses.
    pub async fn discover(&self, deadline: Deadline, progress: &dyn Progress) -> Discovery {
        let Self { clock, scope, accounts, unavailable } = self;
        progress.tell(Step::ReadingUsage { regions: accounts.iter().map(|account| account.regions.len()).sum() });
        let places =
            accounts.iter().flat_map(|sources| sources.regions.iter().map(|region| (&sources.account, region)));
        let mut found: Vec<(&AccountId, &Region, Findings)> = stream::iter(places)
            .map(async |(account, sources)| {
                let findings = sources.discover(scope, deadline).await;
                progress.tell(Step::UsageRead { region: &sources.region, clusters: findings.clusters });
                (account, &sources.region, findings)
            })
            .buffer_unordered(REGIONS_AT_ONCE)
            .collect()
            .await;
        found.sort_unstable_by_key(|(account, region, _)| (*account, *region));

        let mut usage = UsageSnapshot::default();
        let mut causes = unavailable.clone();
        for AccountSources { account, regions_unknown, .. } in accounts {
            causes.extend(regions_unknown.clone().map(|error| Cause::Regions { account: account.clone(), error }));
        }
        let mut regions = BTreeSet::new();
        let mut closed = BTreeSet::new();
        let mut open = BTreeSet::new();
        for (account, region, Findings { usage: of_region, failures, answered, clusters: _ }) in found {
            usage.merge(of_region);
            regions.insert(region.clone());
            let denied = !failures.is_empty() && failures.iter().all(|(_, error)| error.is_denial());
            if denied && !answered { &mut closed } else { &mut open }.insert(region.clone());
            causes.extend(failures.into_iter().map(|(source, error)| Cause::Source {
                account: account.clone(),
                region: region.clone(),
                source,
                error,
            }));
        }
        let by_settings = Arc::new(Holder { kind: HolderKind::Settings, name: "inUseImages".into() });
        for image in &scope.in_use_images {
            usage.add(Some(image), None, &by_settings);
            if let Some(own) = accounts.first() {
                usage.hold_in_registry(&own.account, image, &by_settings);
            }
        }
        causes.extend(usage.unlocated().iter().cloned().map(Cause::Unlocated));
        // Leaving regions out helps only where each is closed to every account, and nothing else is wrong.
        let in_closed_region = |cause: &Cause| matches!(cause, Cause::Source { region, .. } if closed.contains(region));
        let leaving_out_helps = !closed.is_empty() && closed.is_disjoint(&open) && causes.iter().all(in_closed_region);
        let usable_regions = if leaving_out_helps { open } else { BTreeSet::new() };
        Discovery {
            accounts: accounts.iter().map(|sources| sources.account.clone()).collect(),
            regions,
            usage,
            incomplete: (!causes.is_empty()).then_some(UsageIncomplete { causes, usable_regions }),
            completed_at: clock.now(),
        }
    }
}

impl AccountSources {
    fn new(aws: &Aws, account: AccountId, regions: BTreeSet<Region>, regions_unknown: Option<CallError>) -> Self {
        let regions = regions
            .into_iter()
            .map(|region| RegionSources {
                pace: aws.pace(),
                ecs: EcsRegion::new(aws.ecs(&region)),
                lambda: LambdaRegion::new(aws.lambda(&region)),
                region,
            })
            .collect();
        Self { account, regions_unknown, regions }
    }
}

impl RegionSources {
    async fn discover(&self, scope: &UsageScope, deadline: Deadline) -> Findings {
        let Self { region: _, pace, ecs, lambda } = self;
        let (mut of_ecs, of_lambda) = join(
            ecs.discover(scope.task_definitions_to_keep, pace, deadline),
            lambda.discover(scope.lambda_versions_to_keep, pace, deadline),
        )
        .await;
        of_ecs.merge(of_lambda);
        of_ecs
    }
}

/// Assumes the role, and lists its account's regions with that account's credentials.
async fn other_account(
    aws: &Aws,
    role: &RoleArn,
    own: &OwnAccount,
    scope: &UsageScope,
    deadline: Deadline,
) -> Result<AccountSources, Cause> {
    let aws = aws
        .assuming(role, scope.external_id.as_ref(), &own.account, deadline)
        .await
        .map_err(|error| Cause::Account { role: role.clone(), error })?;
    let (regions, regions_unknown) = match &scope.regions {
        Some(regions) => (regions.clone(), None),
        None => match aws.enabled_regions(deadline).await {
            Ok(regions) => (regions, None),
            // What is enabled in the own account is the best guess for a dry run.
            Err(error) => (own.regions.clone(), Some(error)),
        },
    };
    Ok(AccountSources::new(&aws, role.account.clone(), regions, regions_unknown))
}
