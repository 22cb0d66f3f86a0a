//! The settings of a run. All checks of user input happen here, before any call to AWS.
//!
//! Precedence per key: the event, then the environment, then the default. In a terminal, flags and then a settings file
//! replace the event.

mod effective;
mod given;
pub mod keys;
mod scope;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::{Map, Value};

pub use effective::{Effective, GivenBy, TAGS};
pub use keys::{KEYS, Key};
pub use scope::{KeepUnused, RepositorySelection, UsageScope};

use crate::account::Region;
use crate::memory::MemoryLocation;
use crate::pattern::Pattern;
use crate::policy::Policies;
use crate::retention::Rules;
use crate::sharing::AcceptedAccounts;
use crate::strict_json;
use given::Given;
use keys::{
    ACCEPT_UNSEEN_ACCOUNTS, AUDIT_LIFECYCLE_POLICIES, DRY_RUN, EXACT_SIZES, EXCLUDE_REPOSITORIES, IGNORE_TAGS_REGEX,
    IMAGES_TO_KEEP, IN_USE_IMAGES, KEEP_BEFORE_IN_USE, KEEP_PULLED_WITHIN_DAYS, KEEP_PUSHED_WITHIN_DAYS, KEEP_TAGS,
    KEEP_USED_WITHIN_DAYS, LAMBDA_VERSIONS_TO_KEEP, MAX_DELETIONS, MEMORY, POLICIES, PRICE_PER_GB_MONTH, REGION,
    REPOSITORIES, TASK_DEFINITIONS_TO_KEEP, UNTAGGED_OLDER_THAN_DAYS, USAGE_EXTERNAL_ID, USAGE_REGIONS,
    USAGE_ROLE_ARNS,
};

/// The process's environment variables. Those that are not valid Unicode are left out.
pub type Environment = std::collections::BTreeMap<String, String>;

/// Reads a file whose name is in an environment variable, since the core itself reads no files.
pub type ReadFile<'a> = &'a dyn Fn(&str) -> std::io::Result<String>;

/// How many of the newest images are kept per repository: enough for every likely rollback.
pub const DEFAULT_IMAGES_TO_KEEP: u32 = 100;
/// The tag that clients pull if a reference has no tag.
pub const DEFAULT_KEEP_TAGS: &[&str] = &["latest"];
/// Longer than it takes to notice that a release has to be rolled back.
pub const DEFAULT_KEEP_USED_WITHIN_DAYS: u32 = 30;
/// The target of a rollback, even without a record of which images ran before.
pub const DEFAULT_KEEP_BEFORE_IN_USE: u32 = 1;
/// Longer than a build or a review takes. An image that is still untagged then was replaced.
pub const DEFAULT_UNTAGGED_OLDER_THAN_DAYS: u32 = 15;
/// Longer than a month with holidays, so the image of a monthly job that ecr-cleanup can't see is kept by its last pull.
pub const DEFAULT_KEEP_PULLED_WITHIN_DAYS: u32 = 45;
/// Off: `imagesToKeep` already keeps the newest images.
pub const DEFAULT_KEEP_PUSHED_WITHIN_DAYS: u32 = 0;
/// Schedules and one-off runs start the newest revision, unless another one is pinned.
pub const DEFAULT_TASK_DEFINITIONS_TO_KEEP: u32 = 1;
/// All: a caller can invoke a version by its number, and a durable execution can pin one. AWS has no list of either.
pub const DEFAULT_LAMBDA_VERSIONS_TO_KEEP: Option<u32> = None;
/// ECR's price of standard storage, in USD per GB and month. See <https://aws.amazon.com/ecr/pricing/>.
pub const DEFAULT_PRICE_PER_GB_MONTH: f64 = 0.10;

/// Whether a run carries out its plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Plan and report.
    DryRun,
    /// Plan, delete and report.
    Live,
}

/// The checked settings of a run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whether the plan is carried out.
    pub mode: Mode,
    /// The regions whose registries are cleaned; `None` means all enabled regions.
    pub regions: Option<BTreeSet<Region>>,
    /// The workloads that count as usage, and the accounts and regions where they are read.
    pub usage: UsageScope,
    /// Accounts that can pull although their workloads aren't read.
    pub accept_unseen_accounts: AcceptedAccounts,
    /// The repositories that are cleaned.
    pub repositories: RepositorySelection,
    /// The images that are kept even if they are candidates.
    pub rules: Rules,
    /// The images that are stale unless a rule or a workload keeps them.
    pub candidates: Candidates,
    /// Whether to report images in use that the repositories' ECR lifecycle policies would expire.
    pub audit_lifecycle_policies: bool,
    /// Whether manifests are read to count every layer once.
    pub exact_sizes: bool,
    /// The bucket or folder for the data that runs share; `None` to store nothing.
    pub memory: Option<MemoryLocation>,
    /// A setting that was given and has no effect, and the setting that is the reason.
    pub unused: Option<(&'static str, &'static str)>,
    /// The maximum number of images that a live run deletes or archives.
    pub max_deletions: Option<u64>,
    /// USD per GB (2^30 bytes) and month.
    pub price_per_gb_month: f64,
    /// The source of each setting, by the name of its key. A setting that is not here has its default.
    pub given_by: BTreeMap<&'static str, GivenBy>,
}

/// Settings from one source.
#[derive(Clone, Copy, Debug)]
pub struct Layer<'a> {
    /// The source.
    pub by: GivenBy,
    /// The settings, in the form of an event.
    pub settings: &'a Map<String, Value>,
}

/// The images that are stale unless a rule or a workload keeps them.
#[derive(Clone, Debug)]
pub enum Candidates {
    /// Tagged images beyond the number to keep, and untagged images older than a number of days.
    NumberAndAge {
        /// The age in days above which untagged images are candidates; `None` means never.
        untagged_older_than_days: Option<u32>,
    },
    /// The images that these policies expire or archive.
    Policies(Policies),
}

/// An invalid setting. No call was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidSettings {
    /// The key as it was spelled, or the environment variable.
    pub key: String,
    /// The file that has the setting, with the environment variable that has the file's name.
    file: Option<String>,
    problem: Problem,
}

/// What is wrong with a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Problem {
    /// This value is not valid, for this cause.
    Value { given: String, cause: String },
    /// It is missing, and this is expected.
    Missing(String),
    /// No setting has this name, and this is expected.
    Unknown(String),
    /// The setting can't be as described, and this is expected.
    Described { what: String, accepted: String },
    /// A sentence that has the names of the settings in it.
    Sentence(String),
}

impl InvalidSettings {
    /// An error without the value: the value doesn't matter, or must not be shown. `what` completes the sentence "the key
    /// can't be ...".
    #[must_use]
    pub fn without_value(key: &str, what: &str, accepted: &str) -> Self {
        Self::of(key, Problem::Described { what: what.to_owned(), accepted: accepted.to_owned() })
    }

    /// An error with the key, the value, and a noun phrase for the accepted values.
    #[must_use]
    pub fn new(key: &str, given: &Value, accepted: &str) -> Self {
        Self::because(key, given, &format!("expected {accepted}"))
    }

    /// An error with the key, the value, and the cause.
    fn because(key: &str, given: &Value, cause: &str) -> Self {
        Self::of(key, Problem::Value { given: strict_json::shown(given), cause: cause.to_owned() })
    }

    fn of(key: &str, problem: Problem) -> Self {
        Self { key: key.to_owned(), file: None, problem }
    }
}

impl std::error::Error for InvalidSettings {}

impl fmt::Display for InvalidSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, file, problem } = self;
        let place = strict_json::place_of(key);
        let place = file.as_ref().map_or_else(|| place.clone(), |file| format!("{place} of {file}"));
        match problem {
            Problem::Value { given, cause } => write!(f, "invalid value {given} for {place}: {cause}"),
            Problem::Missing(cause) => write!(f, "missing {place}: {cause}"),
            Problem::Unknown(cause) => write!(f, "unknown setting `{key}`: {cause}"),
            Problem::Described { what, accepted } => write!(f, "`{key}` can't be {what}: expected {accepted}"),
            Problem::Sentence(sentence) => f.write_str(sentence),
        }
    }
}

impl Settings {
    /// The same settings with the mode that the command determines.
    #[must_use]
    pub fn commanded(mut self, mode: Mode) -> Self {
        self.given_by.insert(DRY_RUN.name, GivenBy::Flag);
        Self { mode, ..self }
    }

    /// Resolves every setting from the event and the environment.
    ///
    /// # Errors
    /// On an unknown key, two spellings of one key, a wrong type or an invalid value. The error has the key and the
    /// accepted values.
    pub fn resolve(
        event: &Map<String, Value>,
        environment: &Environment,
        read_file: ReadFile<'_>,
    ) -> Result<Self, InvalidSettings> {
        Self::resolve_layers(&[Layer { by: GivenBy::Event, settings: event }], environment, read_file)
    }

    /// Resolves every setting from several layers. For each key, the first layer that has it wins.
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
            return Err(given.refuse(&REPOSITORIES, "at least one pattern. For all repositories, leave it out"));
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
                keep_used_within_days: given.integer(&KEEP_USED_WITHIN_DAYS)?.unwrap_or(DEFAULT_KEEP_USED_WITHIN_DAYS),
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
            memory: given.memory(&MEMORY)?,
            unused,
            max_deletions: given.integer(&MAX_DELETIONS)?.map(u64::from),
            price_per_gb_month: given.price(&PRICE_PER_GB_MONTH)?.unwrap_or(DEFAULT_PRICE_PER_GB_MONTH),
            given_by: given.given_by().filter(|(name, _)| unused.is_none_or(|(unused, _)| unused != *name)).collect(),
        })
    }
}

#[cfg(test)]
mod tests;
