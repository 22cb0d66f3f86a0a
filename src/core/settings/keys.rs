//! The table of settings, with one row for each. Events, environment variables, flags and their help are read by this
//! table, and tests compare the pages and the template with it. A default is here as text and in `settings` as a constant,
//! and a test compares the two.

use super::Environment;

/// The prefix of environment variables that are only for this program.
pub const PREFIX: &str = "ECR_CLEANUP_";

/// A setting.
#[derive(Debug)]
pub struct Key {
    /// The name in an event.
    pub name: &'static str,
    /// Other spellings in an event: those of the command line and of the Python script that this program replaces.
    pub also: &'static [&'static str],
    /// The environment variable, without the optional prefix.
    pub environment: Option<&'static str>,
    /// The form of its value as text.
    pub form: Form,
    /// The placeholder for its value in help: `DAYS`.
    pub value: &'static str,
    /// Its effect, in a phrase.
    pub help: &'static str,
    /// The default as text; `None` if help shows none.
    pub default: Option<&'static str>,
    /// The meaning of null.
    pub null: Null,
    /// A text in the environment that means the same as an empty one.
    pub unset: Option<&'static str>,
}

/// The form of a setting as text, in a flag or an environment variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `true` or `false`; the flag alone means true.
    Switch,
    /// Digits.
    Integer,
    /// A decimal number.
    Number,
    /// Any text.
    Text,
    /// Items separated by commas, or one flag per item.
    List,
    /// A number of days, or `never`.
    DaysOrNever,
    /// Digits, or `all`.
    IntegerOrAll,
    /// The name of a JSON file.
    File,
}

/// The meaning of null for a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Null {
    /// Not set.
    Unset,
    /// Never.
    Never,
    /// All.
    All,
}

impl Key {
    /// The values that most settings have.
    const PLAIN: Self = Self {
        name: "",
        also: &[],
        environment: None,
        form: Form::Text,
        value: "VALUE",
        help: "",
        default: None,
        null: Null::Unset,
        unset: None,
    };

    /// The variable and its text; `None` if that is empty, or the Python script's text for empty. Of the two spellings of
    /// a variable, the one with the [prefix](PREFIX) has precedence.
    #[must_use]
    pub fn in_environment<'a>(&self, environment: &'a Environment) -> Option<(&'a str, &'a str)> {
        self.all_in_environment(environment).next()
    }

    /// Each spelling of the variable that is set, with its text.
    pub(super) fn all_in_environment<'a>(
        &self,
        environment: &'a Environment,
    ) -> impl Iterator<Item = (&'a str, &'a str)> {
        let plain = self.environment.map(str::to_owned);
        let given = self.prefixed().into_iter().chain(plain).filter_map(|name| environment.get_key_value(&name));
        given.filter_map(|(variable, text)| self.written(text).map(|text| (variable.as_str(), text)))
    }

    /// The value in the text of a variable; `None` if it counts as not set.
    fn written<'a>(&self, text: &'a str) -> Option<&'a str> {
        let text = match self.form {
            // A list that a script has built can start or end with separators, or consist of them.
            Form::List => text.trim_matches(|c: char| c.is_whitespace() || c == ','),
            // In any other form a comma is part of the value, or an error.
            Form::Switch
            | Form::Integer
            | Form::IntegerOrAll
            | Form::Number
            | Form::Text
            | Form::DaysOrNever
            | Form::File => text.trim(),
        };
        let is_unset = text.is_empty() || self.unset == Some(text);
        (!is_unset).then_some(text)
    }

    /// The variable with its prefix: the only one that counts in a terminal, where `REGION` can belong to another tool.
    #[must_use]
    pub fn prefixed(&self) -> Option<String> {
        self.environment.map(|variable| format!("{PREFIX}{variable}"))
    }

    /// Whether `name` is one of the spellings of this key.
    #[must_use]
    pub fn is_spelled(&self, name: &str) -> bool {
        self.name == name || self.also.contains(&name)
    }

    /// The key of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        KEYS.iter().copied().find(|key| key.name == name)
    }

    /// The name of its flag, in kebab case.
    #[must_use]
    pub fn flag(&self) -> String {
        let mut flag = String::new();
        for letter in self.name.chars() {
            if letter.is_ascii_uppercase() {
                flag.push('-');
            }
            flag.push(letter.to_ascii_lowercase());
        }
        flag
    }
}

/// Whether the plan is carried out.
pub const DRY_RUN: Key = Key {
    name: "dryRun",
    also: &["dry-run", "dryrun"],
    environment: Some("DRYRUN"),
    form: Form::Switch,
    value: "BOOL",
    help: "Accepted for compatibility. Use `ecr-cleanup plan` for a dry run.",
    ..Key::PLAIN
};
pub(super) const REGION: Key = Key {
    name: "region",
    also: &["regions"],
    environment: Some("REGION"),
    form: Form::List,
    value: "REGION",
    help: "AWS Regions whose images are cleaned up.",
    default: Some("--usage-regions, else all enabled Regions"),
    // The Python script's documentation sets REGION=None for "all regions".
    unset: Some("None"),
    ..Key::PLAIN
};
pub(super) const IMAGES_TO_KEEP: Key = Key {
    name: "imagesToKeep",
    also: &["images-to-keep", "imagestokeep"],
    environment: Some("IMAGES_TO_KEEP"),
    form: Form::Integer,
    value: "N",
    help: "Number of newest tagged images to keep per repository. Images kept for their tags don't count.",
    default: Some("100; 0 with --policies"),
    ..Key::PLAIN
};
pub(super) const IGNORE_TAGS_REGEX: Key = Key {
    name: "ignoreTagsRegex",
    also: &["ignore-tags-regex", "ignoretagsregex"],
    environment: Some("IGNORE_TAGS_REGEX"),
    value: "REGEX",
    help: "Regular expression for tags of images to keep. One matching tag is enough.",
    ..Key::PLAIN
};
pub(super) const KEEP_TAGS: Key = Key {
    name: "keepTags",
    environment: Some("KEEP_TAGS"),
    form: Form::List,
    value: "PATTERN",
    help: "Tag patterns of images to keep. One matching tag is enough. Replaces the default.",
    default: Some("latest"),
    ..Key::PLAIN
};
pub(super) const KEEP_USED_WITHIN_DAYS: Key = Key {
    name: "keepUsedWithinDays",
    environment: Some("KEEP_USED_WITHIN_DAYS"),
    form: Form::Integer,
    value: "DAYS",
    help: "Keep images that were in use in the last DAYS days. Needs a memory. 0 disables this check.",
    default: Some("30"),
    ..Key::PLAIN
};
pub(super) const KEEP_BEFORE_IN_USE: Key = Key {
    name: "keepBeforeInUse",
    environment: Some("KEEP_BEFORE_IN_USE"),
    form: Form::Integer,
    value: "N",
    help: "Number of newest tagged images to keep of those pushed before an image in use. A rollback may need them.",
    default: Some("1"),
    ..Key::PLAIN
};
pub(super) const UNTAGGED_OLDER_THAN_DAYS: Key = Key {
    name: "untaggedOlderThanDays",
    environment: Some("UNTAGGED_OLDER_THAN_DAYS"),
    form: Form::DaysOrNever,
    value: "DAYS",
    help: "Maximum age of untagged images in days. Older ones are stale. With `never`, untagged images are kept.",
    default: Some("15"),
    null: Null::Never,
    ..Key::PLAIN
};
pub(super) const KEEP_PULLED_WITHIN_DAYS: Key = Key {
    name: "keepPulledWithinDays",
    environment: Some("KEEP_PULLED_WITHIN_DAYS"),
    form: Form::Integer,
    value: "DAYS",
    help: "Keep images pulled in the last DAYS days. 0 disables this check.",
    default: Some("45"),
    ..Key::PLAIN
};
pub(super) const KEEP_PUSHED_WITHIN_DAYS: Key = Key {
    name: "keepPushedWithinDays",
    environment: Some("KEEP_PUSHED_WITHIN_DAYS"),
    form: Form::Integer,
    value: "DAYS",
    help: "Keep images pushed in the last DAYS days. 0 disables this check.",
    default: Some("0"),
    ..Key::PLAIN
};
/// The repositories that are cleaned.
pub const REPOSITORIES: Key = Key {
    name: "repositories",
    environment: Some("REPOSITORIES"),
    form: Form::List,
    value: "PATTERN",
    help: "Name patterns of repositories to clean up. * is the only wildcard.",
    default: Some("*"),
    ..Key::PLAIN
};
/// The repositories that are never cleaned.
pub const EXCLUDE_REPOSITORIES: Key = Key {
    name: "excludeRepositories",
    environment: Some("EXCLUDE_REPOSITORIES"),
    form: Form::List,
    value: "PATTERN",
    help: "Name patterns of repositories never to clean up. Overrides --repositories.",
    ..Key::PLAIN
};
/// Lifecycle policies by repository.
pub const POLICIES: Key = Key {
    name: "policies",
    environment: Some("POLICIES_FILE"),
    form: Form::File,
    value: "FILE",
    help: "JSON file with ECR lifecycle policies per repository. Replaces the rules by number and age.",
    ..Key::PLAIN
};
pub(super) const AUDIT_LIFECYCLE_POLICIES: Key = Key {
    name: "auditLifecyclePolicies",
    environment: Some("AUDIT_LIFECYCLE_POLICIES"),
    form: Form::Switch,
    value: "BOOL",
    help: "Warn about images in use that an existing ECR lifecycle policy would expire.",
    default: Some("true"),
    ..Key::PLAIN
};
/// References that count as in use.
pub const IN_USE_IMAGES: Key = Key {
    name: "inUseImages",
    environment: Some("IN_USE_IMAGES"),
    form: Form::List,
    value: "IMAGE",
    help: "Images to treat as in use. For files and the output of kubectl, see --in-use-file.",
    ..Key::PLAIN
};
pub(super) const ACCEPT_UNSEEN_ACCOUNTS: Key = Key {
    name: "acceptUnseenAccounts",
    environment: Some("ACCEPT_UNSEEN_ACCOUNTS"),
    form: Form::List,
    value: "ACCOUNT",
    help: "AWS accounts that can pull from these repositories or have copies, but that you don't want inspected. * for all.",
    ..Key::PLAIN
};
pub(super) const USAGE_REGIONS: Key = Key {
    name: "usageRegions",
    environment: Some("USAGE_REGIONS"),
    form: Form::List,
    value: "REGION",
    help: "AWS Regions to search for workloads, in every account.",
    default: Some("all enabled Regions"),
    ..Key::PLAIN
};
pub(super) const USAGE_ROLE_ARNS: Key = Key {
    name: "usageRoleArns",
    environment: Some("USAGE_ROLE_ARNS"),
    form: Form::List,
    value: "ARN",
    help: "IAM roles to assume in other accounts, to search for workloads there. One role per account.",
    ..Key::PLAIN
};
/// The external id that the usage roles' trust policies require.
pub const USAGE_EXTERNAL_ID: Key = Key {
    name: "usageExternalId",
    environment: Some("USAGE_EXTERNAL_ID"),
    value: "ID",
    help: "External ID to assume these roles with.",
    ..Key::PLAIN
};
pub(super) const TASK_DEFINITIONS_TO_KEEP: Key = Key {
    name: "taskDefinitionsToKeep",
    environment: Some("TASK_DEFINITIONS_TO_KEEP"),
    form: Form::Integer,
    value: "N",
    help: "Number of newest ACTIVE revisions per ECS task definition family to treat as in use.",
    default: Some("1"),
    ..Key::PLAIN
};
pub(super) const LAMBDA_VERSIONS_TO_KEEP: Key = Key {
    name: "lambdaVersionsToKeep",
    environment: Some("LAMBDA_VERSIONS_TO_KEEP"),
    form: Form::IntegerOrAll,
    value: "N",
    help: "Number of newest published versions per Lambda function to treat as in use, or `all`.",
    default: Some("all"),
    null: Null::All,
    ..Key::PLAIN
};
/// The bucket or folder for the data that runs share.
pub const MEMORY: Key = Key {
    name: "memory",
    environment: Some("MEMORY"),
    value: "LOCATION",
    help: "Memory of the last use of each image: s3://bucket/prefix, or a folder. In a terminal, the default is a folder of its own.",
    ..Key::PLAIN
};
pub(super) const EXACT_SIZES: Key = Key {
    name: "exactSizes",
    environment: Some("EXACT_SIZES"),
    form: Form::Switch,
    value: "BOOL",
    help: "Count layers that images share once. Reads the manifest of every image.",
    default: Some("false"),
    ..Key::PLAIN
};
/// The maximum number of images that a live run deletes or archives.
pub const MAX_DELETIONS: Key = Key {
    name: "maxDeletions",
    environment: Some("MAX_DELETIONS"),
    form: Form::Integer,
    value: "N",
    help: "Maximum number of images to delete or archive. If more are stale, nothing is deleted.",
    ..Key::PLAIN
};
pub(super) const PRICE_PER_GB_MONTH: Key = Key {
    name: "pricePerGbMonth",
    form: Form::Number,
    value: "USD",
    help: "Storage price in USD per GB and month, for the estimated costs.",
    default: Some("0.10"),
    ..Key::PLAIN
};

/// Every setting, in the order of the documentation.
pub const KEYS: &[&Key] = &[
    &DRY_RUN,
    &REGION,
    &IMAGES_TO_KEEP,
    &IGNORE_TAGS_REGEX,
    &KEEP_TAGS,
    &KEEP_USED_WITHIN_DAYS,
    &KEEP_BEFORE_IN_USE,
    &UNTAGGED_OLDER_THAN_DAYS,
    &KEEP_PULLED_WITHIN_DAYS,
    &KEEP_PUSHED_WITHIN_DAYS,
    &REPOSITORIES,
    &EXCLUDE_REPOSITORIES,
    &POLICIES,
    &AUDIT_LIFECYCLE_POLICIES,
    &IN_USE_IMAGES,
    &ACCEPT_UNSEEN_ACCOUNTS,
    &USAGE_REGIONS,
    &USAGE_ROLE_ARNS,
    &USAGE_EXTERNAL_ID,
    &TASK_DEFINITIONS_TO_KEEP,
    &LAMBDA_VERSIONS_TO_KEEP,
    &MEMORY,
    &EXACT_SIZES,
    &MAX_DELETIONS,
    &PRICE_PER_GB_MONTH,
];
