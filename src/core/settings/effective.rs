//! The effective value of every setting with its source, for reports and saved plans.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::keys::{
    ACCEPT_UNSEEN_ACCOUNTS, AUDIT_LIFECYCLE_POLICIES, DRY_RUN, EXACT_SIZES, EXCLUDE_REPOSITORIES, IGNORE_TAGS_REGEX,
    IMAGES_TO_KEEP, IN_USE_IMAGES, KEEP_BEFORE_IN_USE, KEEP_PULLED_WITHIN_DAYS, KEEP_PUSHED_WITHIN_DAYS, KEEP_TAGS,
    KEEP_USED_WITHIN_DAYS, LAMBDA_VERSIONS_TO_KEEP, MAX_DELETIONS, MEMORY, POLICIES, PRICE_PER_GB_MONTH, REGION,
    REPOSITORIES, TASK_DEFINITIONS_TO_KEEP, UNTAGGED_OLDER_THAN_DAYS, USAGE_EXTERNAL_ID, USAGE_REGIONS,
    USAGE_ROLE_ARNS,
};
use super::{Candidates, KeepUnused, Key, Mode, RepositorySelection, Settings, UsageScope};
use crate::account::{AccountId, RoleArn};
use crate::pattern::Pattern;
use crate::retention::Rules;
use crate::sharing::AcceptedAccounts;

/// The name of the pattern of `--tags` among the effective settings.
pub const TAGS: &str = "tags";

/// The source of a setting's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum GivenBy {
    /// No source: the default.
    Default,
    /// An environment variable.
    Environment,
    /// The event.
    Event,
    /// A settings file, or the saved plan that is carried out.
    File,
    /// The command line.
    Flag,
}

/// A setting with its effective value.
#[derive(Clone, Debug, PartialEq)]
pub struct Effective {
    /// Its name in an event.
    pub name: &'static str,
    /// Its value in the form of an event.
    pub value: Value,
    /// The source of the value.
    pub from: GivenBy,
}

impl GivenBy {
    /// Its name in the report.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Environment => "environment",
            Self::Event => "event",
            Self::File => "file",
            Self::Flag => "flag",
        }
    }
}

impl Settings {
    /// Every setting, in the order of the keys. The value of the external id is not shown, only that it is set. The
    /// pattern of `--tags` is last, if it was used: it is no setting, and no default of it has an effect.
    #[must_use]
    pub fn effective(&self) -> Vec<Effective> {
        let with_source = |(key, value): (&Key, Value)| {
            let from = self.given_by.get(key.name).copied().unwrap_or(GivenBy::Default);
            Effective { name: key.name, value, from }
        };
        let tags = self.rules.only_tags.as_ref().map(|tags| {
            let from = self.given_by.get(TAGS).copied().unwrap_or(GivenBy::Flag);
            Effective { name: TAGS, value: json!(tags.to_string()), from }
        });
        self.values().into_iter().map(with_source).chain(tags).collect()
    }

    /// The settings as an event that has the same effect. It has neither `dryRun`, which the command determines, nor the
    /// external id.
    #[must_use]
    pub fn to_event(&self) -> Map<String, Value> {
        let is_included = |key: &Key| match key.name {
            name if [DRY_RUN.name, USAGE_EXTERNAL_ID.name].contains(&name) => false,
            // The default folder of a terminal differs between machines.
            name if name == MEMORY.name => self.given_by.contains_key(name),
            _ => true,
        };
        let included = self.values().into_iter().filter(|(key, _)| is_included(key));
        included.map(|(key, value)| (key.name.to_owned(), value)).collect()
    }

    fn values(&self) -> Vec<(&'static Key, Value)> {
        let Self {
            mode,
            regions,
            usage:
                UsageScope {
                    regions: usage_regions,
                    role_arns,
                    external_id,
                    in_use_images,
                    keep: KeepUnused { task_definitions, lambda_versions },
                },
            accept_unseen_accounts: AcceptedAccounts { accounts, anyone },
            repositories: RepositorySelection { include, exclude },
            rules:
                Rules {
                    images_to_keep,
                    keep_used_within_days,
                    keep_before_in_use,
                    ignore_tags_regex,
                    keep_tags,
                    keep_pulled_within_days,
                    keep_pushed_within_days,
                    only_tags: _,
                },
            candidates,
            audit_lifecycle_policies,
            exact_sizes,
            memory,
            unused: _,
            max_deletions,
            price_per_gb_month,
            given_by: _,
        } = self;
        let (untagged_older_than_days, policies) = match candidates {
            Candidates::NumberAndAge { untagged_older_than_days } => (*untagged_older_than_days, Value::Null),
            Candidates::Policies(policies) => (None, policies.document().clone()),
        };
        let accepted: Vec<&str> =
            anyone.then_some("*").into_iter().chain(accounts.iter().map(AccountId::as_str)).collect();
        vec![
            (&DRY_RUN, json!(*mode == Mode::DryRun)),
            (&REGION, json!(regions)),
            (&IMAGES_TO_KEEP, json!(images_to_keep)),
            (&IGNORE_TAGS_REGEX, json!(ignore_tags_regex.as_ref().map(ToString::to_string))),
            (&KEEP_TAGS, texts(keep_tags)),
            (&KEEP_USED_WITHIN_DAYS, json!(keep_used_within_days)),
            (&KEEP_BEFORE_IN_USE, json!(keep_before_in_use)),
            (&UNTAGGED_OLDER_THAN_DAYS, json!(untagged_older_than_days)),
            (&KEEP_PULLED_WITHIN_DAYS, json!(keep_pulled_within_days)),
            (&KEEP_PUSHED_WITHIN_DAYS, json!(keep_pushed_within_days)),
            (&REPOSITORIES, texts(include)),
            (&EXCLUDE_REPOSITORIES, texts(exclude)),
            (&POLICIES, policies),
            (&AUDIT_LIFECYCLE_POLICIES, json!(audit_lifecycle_policies)),
            (&IN_USE_IMAGES, json!(in_use_images)),
            (&ACCEPT_UNSEEN_ACCOUNTS, json!(accepted)),
            (&USAGE_REGIONS, json!(usage_regions)),
            (&USAGE_ROLE_ARNS, role_arns.iter().map(RoleArn::as_str).collect()),
            (&USAGE_EXTERNAL_ID, json!(external_id.as_ref().map(|_| "set"))),
            (&TASK_DEFINITIONS_TO_KEEP, json!(task_definitions)),
            (&LAMBDA_VERSIONS_TO_KEEP, json!(lambda_versions)),
            (&MEMORY, json!(memory.as_ref().map(ToString::to_string))),
            (&EXACT_SIZES, json!(exact_sizes)),
            (&MAX_DELETIONS, json!(max_deletions)),
            (&PRICE_PER_GB_MONTH, json!(price_per_gb_month)),
        ]
    }
}

fn texts(patterns: &[Pattern]) -> Value {
    patterns.iter().map(ToString::to_string).collect()
}
