//! What the run is asked to do. Every check of what a person wrote happens here, before any call to AWS.
//!
//! Precedence per key: the event, then the environment, then the default. In a terminal flags and a settings file take the
//! event's place, the flags first.

mod effective;
mod given;
pub mod keys;
mod scope;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

pub use effective::{Effective, GivenBy};
pub use keys::{KEYS, Key};
pub use scope::{KeepUnused, RepositorySelection, UsageScope};

use crate::account::Region;
use crate::pattern::Pattern;
use crate::policy::Policies;
use crate::retention::Rules;
use crate::sharing::AcceptedAccounts;
use given::Given;
use keys::{
    ACCEPT_UNSEEN_ACCOUNTS, AUDIT_LIFECYCLE_POLICIES, DRY_RUN, EXACT_SIZES, EXCLUDE_REPOSITORIES, IGNORE_TAGS_REGEX,
    IMAGES_TO_KEEP, IN_USE_IMAGES, KEEP_BEFORE_IN_USE, KEEP_PULLED_WITHIN_DAYS, KEEP_PUSHED_WITHIN_DAYS, KEEP_TAGS,
    LAMBDA_VERSIONS_TO_KEEP, MAX_DELETIONS, POLICIES, PRICE_PER_GB_MONTH, REGION, REPOSITORIES,
    TASK_DEFINITIONS_TO_KEEP, UNTAGGED_OLDER_THAN_DAYS, USAGE_EXTERNAL_ID, USAGE_REGIONS, USAGE_ROLE_ARNS,
};

/// The process's environment variables, as far as they are text.
pub type Environment = std::collections::BTreeMap<String, String>;

/// Reads a file that the environment names: the one thing that settings can't do for themselves.
pub type ReadFile<'a> = &'a dyn Fn(&str) -> std::io::Result<String>;

/// Kept in every repository unless told otherwise: enough for any rollback that someone still remembers.
pub const DEFAULT_IMAGES_TO_KEEP: u32 = 100;
/// The tag that clients pull when they name none.
pub const DEFAULT_KEEP_TAGS: &[&str] = &["latest"];
/// What one rolls back to, also where nobody remembers what ran.
pub const DEFAULT_KEEP_BEFORE_IN_USE: u32 = 1;
/// Longer than a build or a review takes, so that what is untagged by then was replaced.
pub const DEFAULT_UNTAGGED_OLDER_THAN_DAYS: u32 = 15;
/// Longer than a month and its holidays: what an unseen job runs once a month was pulled when it last did.
pub const DEFAULT_KEEP_PULLED_WITHIN_DAYS: u32 = 45;
/// Off: the newest images are kept by their number already.
pub const DEFAULT_KEEP_PUSHED_WITHIN_DAYS: u32 = 0;
/// Schedules and one-off runs start from the newest revision unless somebody pinned another.
pub const DEFAULT_TASK_DEFINITIONS_TO_KEEP: u32 = 1;
/// All: a version can be called by its number, and be pinned by a durable execution, without anything that names it.
pub const DEFAULT_LAMBDA_VERSIONS_TO_KEEP: Option<u32> = None;
/// ECR's price of standard storage in USD. See <https://aws.amazon.com/ecr/pricing/>.
pub const DEFAULT_PRICE_PER_GB_MONTH: f64 = 0.10;

/// What a run does with its plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Plan and report.
    DryRun,
    /// Plan, delete and report.
    Live,
}

/// Everything a run is asked to do, checked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whether the plan is carried out.
    pub mode: Mode,
    /// The regions whose registries are cleaned; all enabled ones where it is `None`.
    pub regions: Option<BTreeSet<Region>>,
    /// What counts as usage, and where it is looked for.
    pub usage: UsageScope,
    /// Accounts that may pull although their usage isn't read.
    pub accept_unseen_accounts: AcceptedAccounts,
    /// The repositories that are cleaned.
    pub repositories: RepositorySelection,
    /// What is kept, whatever would take it.
    pub rules: Rules,
    /// What would go if nothing kept it.
    pub candidates: Candidates,
    /// Whether the repositories' own lifecycle policies are held against what is in use.
    pub audit_lifecycle_policies: bool,
    /// Whether manifests are read to count every layer once.
    pub exact_sizes: bool,
    /// A setting that was given and has no effect, and the one that makes it so.
    pub unused: Option<(&'static str, &'static str)>,
    /// The most images that a live run may delete or archive.
    pub max_deletions: Option<u64>,
    /// USD for a GB (2^30 bytes) a month.
    pub price_per_gb_month: f64,
    /// Who gave each setting, by the name of its key; those that are not here have their default.
    pub given_by: BTreeMap<&'static str, GivenBy>,
}

/// Settings that somebody wrote.
#[derive(Clone, Copy, Debug)]
pub struct Layer<'a> {
    /// Who.
    pub by: GivenBy,
    /// As an event has them.
    pub settings: &'a Map<String, Value>,
}

/// What would go if nothing kept it.
#[derive(Clone, Debug)]
pub enum Candidates {
    /// Tagged images beyond the number that is kept, and untagged ones older than this many days; `None` means never.
    NumberAndAge {
        /// The age in days above which untagged images are candidates.
        untagged_older_than_days: Option<u32>,
    },
    /// What these policies take.
    Policies(Policies),
}

/// A setting that can't be used. Nothing was called.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{key}` can't be {given}; accepted: {accepted}")]
pub struct InvalidSettings {
    /// The key as it was spelled, or the environment variable.
    pub key: String,
    given: String,
    accepted: String,
}

impl InvalidSettings {
    /// Says what the key can't be, where its value is not the point or nobody's business.
    #[must_use]
    pub fn without_value(key: &str, what: &str, accepted: &str) -> Self {
        Self { key: key.to_owned(), given: what.to_owned(), accepted: accepted.to_owned() }
    }

    /// Names the key, shows what was given and tells what is accepted.
    #[must_use]
    pub fn new(key: &str, given: &Value, accepted: &str) -> Self {
        /// Longer values would bury the rest of the message.
        const SHOWN: usize = 200;
        let mut given = given.to_string();
        if let Some((end, _)) = given.char_indices().nth(SHOWN) {
            given.truncate(end);
            given.push('…');
        }
        Self { key: key.to_owned(), given, accepted: accepted.to_owned() }
    }
}

impl Settings {
    /// The same, as a command carries them out: what it writes is the command's own to say.
    #[must_use]
    pub fn commanded(mut self, mode: Mode) -> Self {
        self.given_by.insert(DRY_RUN.name, GivenBy::Flag);
        Self { mode, ..self }
    }

    /// Resolves every setting from what the event and the environment give.
    ///
    /// # Errors
    /// On an unknown key, two spellings of one key, a wrong type or a value that can't be used, naming the key and
    /// what it accepts.
    pub fn resolve(
        event: &Map<String, Value>,
        environment: &Environment,
        read_file: ReadFile<'_>,
    ) -> Result<Self, InvalidSettings> {
        Self::resolve_layers(&[Layer { by: GivenBy::Event, settings: event }], environment, read_file)
    }

    /// The same from several layers, of which the first wins, key by key.
    ///
    /// # Errors
    /// As [`Self::resolve`], for each layer.
    pub fn resolve_layers(
        layers: &[Layer<'_>],
        environment: &Environment,
        read_file: ReadFile<'_>,
    ) -> Result<Self, InvalidSettings> {
        let given = Given::new(layers, environment)?;
        let dry_run = given.boolean(&DRY_RUN)?.unwrap_or(true);
        let usage_regions = given.regions(&USAGE_REGIONS)?;
        let policies = given.policies(&POLICIES, read_file)?;
        let images_to_keep = if policies.is_some() { 0 } else { DEFAULT_IMAGES_TO_KEEP };
        let untagged_older_than_days =
            given.integer_or_never(&UNTAGGED_OLDER_THAN_DAYS, DEFAULT_UNTAGGED_OLDER_THAN_DAYS)?;
        let patterns = |key: &Key, default: &[&str]| given.patterns(key, default, Pattern::for_repositories);
        let unused = (given.is_given(&POLICIES) && given.is_given(&UNTAGGED_OLDER_THAN_DAYS))
            .then_some((UNTAGGED_OLDER_THAN_DAYS.name, POLICIES.name));
        let include = patterns(&REPOSITORIES, &["*"])?;
        if include.is_empty() {
            return Err(given.refuse(&REPOSITORIES, "at least one pattern; leave it out for all repositories"));
        }
        Ok(Self {
            mode: if dry_run { Mode::DryRun } else { Mode::Live },
            regions: given.regions(&REGION)?.or_else(|| usage_regions.clone()),
            usage: UsageScope {
                regions: usage_regions,
                role_arns: given.role_arns(&USAGE_ROLE_ARNS)?,
                external_id: given.external_id(&USAGE_EXTERNAL_ID)?,
                in_use_images: given.references(&IN_USE_IMAGES)?,
                keep: KeepUnused {
                    task_definitions: given
                        .integer(&TASK_DEFINITIONS_TO_KEEP)?
                        .unwrap_or(DEFAULT_TASK_DEFINITIONS_TO_KEEP),
                    lambda_versions: given.integer_or_all(&LAMBDA_VERSIONS_TO_KEEP, DEFAULT_LAMBDA_VERSIONS_TO_KEEP)?,
                },
            },
            accept_unseen_accounts: given.accounts(&ACCEPT_UNSEEN_ACCOUNTS)?,
            repositories: RepositorySelection { include, exclude: patterns(&EXCLUDE_REPOSITORIES, &[])? },
            rules: Rules {
                images_to_keep: given.integer(&IMAGES_TO_KEEP)?.unwrap_or(images_to_keep),
                keep_before_in_use: given.integer(&KEEP_BEFORE_IN_USE)?.unwrap_or(DEFAULT_KEEP_BEFORE_IN_USE),
                ignore_tags_regex: given.regex(&IGNORE_TAGS_REGEX)?,
                keep_tags: given.patterns(&KEEP_TAGS, DEFAULT_KEEP_TAGS, Pattern::for_tags)?,
                keep_pulled_within_days: given
                    .integer(&KEEP_PULLED_WITHIN_DAYS)?
                    .unwrap_or(DEFAULT_KEEP_PULLED_WITHIN_DAYS),
                keep_pushed_within_days: given
                    .integer(&KEEP_PUSHED_WITHIN_DAYS)?
                    .unwrap_or(DEFAULT_KEEP_PUSHED_WITHIN_DAYS),
                only_tags: None,
            },
            candidates: match (policies, untagged_older_than_days) {
                (Some(policies), _) => Candidates::Policies(policies),
                (None, untagged_older_than_days) => Candidates::NumberAndAge { untagged_older_than_days },
            },
            audit_lifecycle_policies: given.boolean(&AUDIT_LIFECYCLE_POLICIES)?.unwrap_or(true),
            exact_sizes: given.boolean(&EXACT_SIZES)?.unwrap_or(false),
            unused,
            max_deletions: given.integer(&MAX_DELETIONS)?.map(u64::from),
            price_per_gb_month: given.price(&PRICE_PER_GB_MONTH)?.unwrap_or(DEFAULT_PRICE_PER_GB_MONTH),
            given_by: given.given_by().filter(|(name, _)| unused.is_none_or(|(unused, _)| unused != *name)).collect(),
        })
    }
}

#[cfg(test)]
mod tests;
