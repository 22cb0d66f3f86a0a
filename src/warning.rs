//! What a person should know of a run that was not stopped by it.

use std::collections::BTreeSet;
use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Serialize, Serializer};

use crate::account::{AccountId, Region};
use crate::aws::CallError;
use crate::exact_sizes::NotExact;
use crate::image::{ImageDigest, RepositoryName};
use crate::inventory::IndexContents;
use crate::manifest::UnreadableManifest;
use crate::plan::{ImageAtRisk, Plan, Unfetched};
use crate::pull_time::RegisterCommand;
use crate::settings::{Candidates, Settings};
use crate::sharing::Unseen;
use crate::usage::{Cause, Discovery, UnreadableUse, UsageIncomplete};

/// One thing to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// A dry run planned although usage is not known in full; a live run would refuse.
    UsageIncomplete(Cause),
    /// The regions that would have worked.
    UsableRegions(BTreeSet<Region>),
    /// A repository is kept whole.
    Withheld(RepositoryName, UnreadableUse),
    /// No workload names an image of the registries being cleaned.
    NothingInUse(AccountId),
    /// A repository is kept whole, since others may pull from it whose usage isn't read.
    SharedElsewhere(Region, RepositoryName, Unseen),
    /// The manifests of some indexes could not be fetched.
    Unfetched(Region, RepositoryName, Unfetched),
    /// The manifests of so many indexes are not what they should be, such as this one's.
    Unreadable(Region, RepositoryName, usize, ImageDigest, UnreadableManifest),
    /// Pulls of indexes are not counted, since they may be this function's.
    IndexPullsIgnored(Region, Option<RegisterCommand>),
    /// The same, since it can't be told.
    IndexPullsUnknown(Region, CallError, Option<RegisterCommand>),
    /// Exact sizes are left out, since reading for them counts as pulling every image; with an error, since that isn't known.
    ExactSizesRefused(Region, Option<CallError>, Option<RegisterCommand>),
    /// The exact sizes of a repository could not be told.
    NotExact(Region, RepositoryName, NotExact),
    /// The lifecycle policies of so many repositories could not be read, so they were not held against what is in use.
    NotAudited(Region, u64, RepositoryName, CallError),
    /// The entry of the policies at this place applies to no repository.
    PolicyWithoutRepository(usize),
    /// No repository is selected.
    NoRepository,
    /// ECR's own policy of a repository would take so many images in use, such as this one.
    AtRisk(Region, RepositoryName, usize, ImageAtRisk),
    /// A setting has no effect beside another.
    NotUsed(&'static str, &'static str),
    /// Regions are cleaned in which, by the settings, no workload is looked for.
    CleanedUnseen(BTreeSet<Region>),
    /// The event was sent long ago, so everything pushed since is kept.
    OldEvent(DateTime<Utc>),
    /// A region of a reviewed plan, with so many images in it, is not cleaned any more.
    ReviewedRegionLeftOut(Region, usize),
    /// A repository of a reviewed plan, with so many images in it, does not exist any more.
    ReviewedRepositoryGone(Region, RepositoryName, usize),
}

impl fmt::Display for Warning {
    #[expect(clippy::too_many_lines, reason = "an arm a warning, and nothing else")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UsageIncomplete(cause) => write!(f, "usage incomplete, so a live run would delete nothing: {cause}"),
            Self::UsableRegions(regions) => {
                let regions = regions.iter().map(Region::as_str).collect::<Vec<_>>().join(",");
                write!(f, "every call was denied in some regions; if nothing runs there, set usageRegions to {regions}")
            }
            Self::Withheld(repository, UnreadableUse { reference, holder }) => {
                write!(f, "repository {repository} is kept whole: {holder}: {reference}")
            }
            Self::NothingInUse(account) => write!(
                f,
                "no workload refers to the registry of account {account} in the regions being cleaned: is this the account whose images run?"
            ),
            Self::SharedElsewhere(region, repository, unseen) => write!(
                f,
                "repository {repository} in {region} is kept whole: its policy lets {unseen} pull, whose usage isn't read (add a role there to usageRoleArns, or the account to acceptUnseenAccounts)"
            ),
            Self::Unfetched(region, repository, Unfetched { indexes, error }) => write!(
                f,
                "what {} of {repository} in {region} names is not known, so every untagged image, and every image not pushed after that, is kept: {error} ({})",
                counted(*indexes, "index", "indexes"),
                error.remedy()
            ),
            Self::Unreadable(region, repository, indexes, index, error) => write!(
                f,
                "what {} of {repository} in {region} names is not known, so every untagged image, and every image not pushed after that, is kept; {index}: {error}",
                counted(*indexes as u64, "index", "indexes"),
            ),
            Self::NotAudited(region, repositories, first, error) => write!(
                f,
                "the lifecycle policies of {} in {region}, such as {first}, could not be read, so what they would take from under a workload is not known: {error} ({})",
                counted(*repositories, "repository", "repositories"),
                error.remedy()
            ),
            Self::PolicyWithoutRepository(number) => write!(
                f,
                "policy {number} applies to no repository: its patterns match none, or earlier policies match them all"
            ),
            Self::NoRepository => {
                f.write_str("no repository is cleaned: repositories and excludeRepositories leave none")
            }
            Self::AtRisk(
                region,
                repository,
                images,
                ImageAtRisk { image_digest, image_tags, held_by, rule, action },
            ) => {
                let image = image_tags.first().map_or_else(|| image_digest.to_string(), ToString::to_string);
                write!(
                    f,
                    "ECR's own lifecycle policy of {repository} in {region} would take {} from under a workload: rule {} ({}) would {} {image}, held by {held_by}",
                    counted(*images as u64, "image", "images"),
                    rule.priority,
                    if rule.description.is_empty() { "without a description" } else { &rule.description },
                    action.as_str(),
                )
            }
            Self::NotUsed(setting, beside) => write!(f, "{setting} has no effect beside {beside}"),
            Self::IndexPullsIgnored(region, command) => {
                write!(
                    f,
                    "in {region} this run's reading of an index counts as a pull: here only pulls of its children are looked at, and runs by others whose reading does not count, such as the function, will take it for somebody's pull ("
                )?;
                match command {
                    Some(command) => write!(f, "to prevent both, run `{command}`; a role's path belongs into the ARN)"),
                    None => f.write_str("run as a role or user that can be registered as a pull-time exclusion)"),
                }
            }
            Self::IndexPullsUnknown(region, error, command) => {
                write!(
                    f,
                    "whether in {region} this run's reading of an index counts as a pull is not known: here only pulls of its children are looked at, and runs by others may take it for somebody's pull: {error} ({}",
                    error.remedy()
                )?;
                match command {
                    Some(command) => write!(f, "; `{command}` makes sure that it does not)"),
                    None => f.write_str(")"),
                }
            }
            Self::ExactSizesRefused(region, unknown, command) => {
                write!(f, "exactSizes is left out in {region}, and sizes stay upper bounds: ")?;
                match unknown {
                    None => f.write_str("this function's reading would count as pulling every image")?,
                    Some(error) => write!(
                        f,
                        "whether this function's reading would count as pulling every image is not known: {error} ({})",
                        error.remedy()
                    )?,
                }
                match command {
                    Some(command) => write!(f, "; to have them, run `{command}` (a role's path belongs into the ARN)"),
                    None => f.write_str("; run as a role or user that can be registered as a pull-time exclusion"),
                }
            }
            Self::NotExact(region, repository, why) => write!(
                f,
                "the exact sizes of {repository} in {region} are not known, and what is told of it stays an upper bound: {why}"
            ),
            Self::CleanedUnseen(regions) => {
                let regions = regions.iter().map(Region::as_str).collect::<Vec<_>>().join(",");
                write!(
                    f,
                    "{regions} is cleaned, and usageRegions leaves out what runs there: only what other regions run is known"
                )
            }
            Self::ReviewedRegionLeftOut(region, images) => write!(
                f,
                "{region}, with {} of the reviewed plan, is not cleaned any more: it is disabled, or the plan's settings leave it out",
                counted(*images as u64, "image", "images")
            ),
            Self::ReviewedRepositoryGone(region, repository, images) => write!(
                f,
                "repository {repository} in {region} is gone, with {} of the reviewed plan",
                counted(*images as u64, "image", "images")
            ),
            Self::OldEvent(time) => write!(
                f,
                "the event is from {}, over a day ago: images pushed since then are kept and not counted",
                time.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
            ),
        }
    }
}

impl Serialize for Warning {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A number with its noun.
fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// What the plan gives to know about the settings.
#[must_use]
pub fn of_selection(settings: &Settings, plan: &Plan) -> Vec<Warning> {
    let all_are_listed = plan.registries.iter().all(|registry| registry.repositories.is_ok());
    let names: BTreeSet<&RepositoryName> = (plan.registries.iter())
        .flat_map(|registry| registry.repositories.iter().flatten())
        .map(|repository| &repository.repository_name)
        .collect();
    if !all_are_listed {
        return Vec::new();
    }
    if names.is_empty() {
        let nothing = (!settings.repositories.is_everything()).then_some(Warning::NoRepository);
        return nothing.into_iter().collect();
    }
    match &settings.candidates {
        Candidates::NumberAndAge { .. } => Vec::new(),
        // What is not selected may be what the others are for.
        Candidates::Policies(_) if !settings.repositories.is_everything() => Vec::new(),
        Candidates::Policies(policies) => {
            let idle = policies.without_repository(names.into_iter());
            idle.into_iter().map(Warning::PolicyWithoutRepository).collect()
        }
    }
}

/// What usage gives to know about a plan.
#[must_use]
pub fn of_usage(discovery: &Discovery, registry_id: &AccountId, plan: &Plan) -> Vec<Warning> {
    let Discovery { usage, incomplete, .. } = discovery;
    let mut warnings = Vec::new();
    if let Some(UsageIncomplete { causes, usable_regions }) = incomplete {
        warnings.extend(causes.iter().cloned().map(Warning::UsageIncomplete));
        if !usable_regions.is_empty() {
            warnings.push(Warning::UsableRegions(usable_regions.clone()));
        }
    }
    let withheld = usage.withheld().iter();
    warnings.extend(withheld.map(|(repository, unreadable)| Warning::Withheld(repository.clone(), unreadable.clone())));
    let cleaned = plan.registries.iter().map(|registry| registry.region.clone()).collect();
    if !usage.refers_to(registry_id, &cleaned) {
        warnings.push(Warning::NothingInUse(registry_id.clone()));
    }
    warnings
}

/// What the manifests of a repository's indexes give to know.
#[must_use]
pub fn of_indexes(region: &Region, repository: &RepositoryName, indexes: &IndexContents) -> Vec<Warning> {
    let IndexContents { manifests: _, unfetched, unreadable } = indexes;
    let unfetched = unfetched.iter().cloned().map(|it| Warning::Unfetched(region.clone(), repository.clone(), it));
    let first = unreadable.first_key_value().map(|(index, why)| (*index, why.clone()));
    let unreadable =
        first.map(|(index, why)| Warning::Unreadable(region.clone(), repository.clone(), unreadable.len(), index, why));
    unfetched.chain(unreadable).collect()
}

/// What the settings give to know.
#[must_use]
pub fn of_settings(settings: &Settings) -> Vec<Warning> {
    let unseen: BTreeSet<Region> = match (&settings.regions, &settings.usage.regions) {
        (Some(cleaned), Some(looked_in)) => cleaned - looked_in,
        (Some(_) | None, None) | (None, Some(_)) => BTreeSet::new(),
    };
    let unseen = (!unseen.is_empty()).then_some(Warning::CleanedUnseen(unseen));
    let unused = settings.unused.map(|(setting, beside)| Warning::NotUsed(setting, beside));
    unseen.into_iter().chain(unused).collect()
}
