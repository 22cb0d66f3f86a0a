//! The help: what each command says of itself, and which of the settings its help shows. `-h` fits on a screen, and
//! `--help` has all that matter to the command. Most of the others are accepted, so that one line of flags works for all.

use clap::{Arg, Command};
use ecr_cleanup_core::settings::Key;
use ecr_cleanup_core::settings::keys::DRY_RUN;

use crate::show::coverage::{CHECKED, unchecked_services};
use crate::show::wrapped::wrapped;

/// The commands that talk to AWS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attended {
    Plan,
    Delete,
    Usage,
    Explain,
}

/// Where a command's help shows a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Prominence {
    /// In `-h` and `--help`.
    Short,
    /// In `--help`.
    Long,
    Hidden,
}

/// The settings by which workloads are found.
const DISCOVERY: [&str; 6] = [
    "inUseImages",
    "usageRegions",
    "usageRoleArns",
    "usageExternalId",
    "taskDefinitionsToKeep",
    "lambdaVersionsToKeep",
];
/// The settings that an explanation doesn't depend on.
const WITHOUT_A_PART_IN_EXPLAIN: [&str; 3] = ["exactSizes", "maxDeletions", "pricePerGbMonth"];
/// The settings that people change first.
const OFTEN_CHANGED: [&str; 7] = [
    "region",
    "imagesToKeep",
    "keepTags",
    "untaggedOlderThanDays",
    "keepPulledWithinDays",
    "excludeRepositories",
    "policies",
];

/// The columns of a narrow terminal.
const COLUMNS: u16 = 80;

const EXAMPLES: &str = "\
Examples:
  ecr-cleanup                                      stale images in every Region of this account
  ecr-cleanup plan web/app --details               stale images of a repository, with reasons
  ecr-cleanup explain web/app:v7                   why an image is kept or deleted
  ecr-cleanup usage                                images in use, with their workloads
  ecr-cleanup plan --out plan.json                 save a plan, and after a review
  ecr-cleanup delete plan.json                     delete its images that are still stale
  ecr-cleanup delete --tags 'pr-*' --repositories web/app
  kubectl get pods -A -o jsonpath='{..image}' | ecr-cleanup plan --in-use-file -";

const EXIT_CODES: &str = "Exit codes: 0 success; 1 failure, partial result or incomplete data; 2 invalid usage.";

const DELETE: &str = "\
Examples:
  ecr-cleanup delete                               show the stale images, prompt, and delete them
  ecr-cleanup delete --yes --max-deletions 500     in scripts
  ecr-cleanup delete plan.json                     delete the images of a plan file that are still stale

In a terminal, `delete` prompts for confirmation unless you pass --yes. In scripts, pass --yes or a plan file.

An image of a plan file is deleted only if it is still stale and its tags haven't changed. The settings in the file \
decide what is stale, together with the images in use now. With a plan file you can also pass --max-deletions (the lower \
limit applies), --in-use-images, --in-use-file, --usage-external-id, --memory and --no-memory. Other settings are rejected.";

const EXPLAIN: &str = "\
Examples:
  ecr-cleanup explain web/app:v7
  ecr-cleanup explain web/app@sha256:…
  ecr-cleanup explain 123456789012.dkr.ecr.us-west-2.amazonaws.com/web/app:v7";

const USAGE: &str = "\
Examples:
  ecr-cleanup usage                                images in use in this account
  ecr-cleanup usage --usage-regions us-west-2      in one Region
  ecr-cleanup usage --format json                  for scripts";

impl Attended {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::Delete => "delete",
            Self::Usage => "usage",
            Self::Explain => "explain",
        }
    }

    fn about(self) -> &'static str {
        match self {
            Self::Plan => "Show stale images and delete nothing (the default)",
            Self::Delete => "Delete stale images after confirmation",
            Self::Usage => "Show images in use, with their workloads",
            Self::Explain => "Show why an image is kept or deleted",
        }
    }

    fn examples(self) -> &'static str {
        match self {
            Self::Plan => EXAMPLES,
            Self::Delete => DELETE,
            Self::Usage => USAGE,
            Self::Explain => EXPLAIN,
        }
    }

    fn prominence_of(self, key: &Key) -> Prominence {
        let is_of_discovery = DISCOVERY.contains(&key.name);
        let (short, long): (&[&str], bool) = match self {
            _ if key.name == DRY_RUN.name => return Prominence::Hidden,
            Self::Usage => (&["usageRegions", "usageRoleArns", "inUseImages"], is_of_discovery),
            Self::Explain => (&["region", "usageRegions"], !WITHOUT_A_PART_IN_EXPLAIN.contains(&key.name)),
            Self::Plan => (&[], true),
            Self::Delete => (&["repositories", "maxDeletions"], true),
        };
        let is_often_changed = matches!(self, Self::Plan | Self::Delete) && OFTEN_CHANGED.contains(&key.name);
        match (short.contains(&key.name) || is_often_changed, long) {
            (true, _) => Prominence::Short,
            (false, true) => Prominence::Long,
            (false, false) => Prominence::Hidden,
        }
    }
}

/// The command line with the help of the whole.
pub(super) fn of_program(command: Command) -> Command {
    let about = format!(
        "Deletes unused ECR images. Checks {CHECKED}; doesn't check {} (see --in-use-file).\n\nWithout a command, `plan` runs.",
        unchecked_services()
    );
    command
        .about(about)
        .after_help("All settings and examples: ecr-cleanup plan --help")
        .after_long_help(format!("{EXAMPLES}\n\nAll settings: ecr-cleanup plan --help\n\n{EXIT_CODES}"))
}

/// A command with its help.
pub(super) fn of_command(command: Command, attended: Attended) -> Command {
    let checked = format!("Checks {CHECKED}; doesn't check {} (see --in-use-file).", unchecked_services());
    // The library doesn't wrap a template.
    let checked = wrapped(&checked, Some(COLUMNS), 0);
    let template = format!("{{about}}.\n{checked}\n\n{{usage-heading}} {{usage}}\n\n{{all-args}}{{after-help}}");
    command
        .about(attended.about())
        .help_template(template)
        .after_help(format!("All settings and examples: ecr-cleanup {} --help", attended.name()))
        .after_long_help(format!("{}\n\n{EXIT_CODES}", attended.examples()))
}

/// Whether a command accepts the flag of a setting. `usage` reads usage and nothing else: a flag such as `--region` would look
/// like a filter and do nothing.
pub(super) fn accepts(command: Attended, key: &Key) -> bool {
    let is_shown = command.prominence_of(key) != Prominence::Hidden;
    command != Attended::Usage || is_shown || key.name == DRY_RUN.name
}

/// The flag of a setting with its help, and shown where it matters to the command.
pub(super) fn of_setting(flag: Arg, key: &Key, command: Attended) -> Arg {
    let default = key.default.map_or_else(|| "Optional.".to_owned(), |default| format!("Default: {default}."));
    let variable = key.prefixed().map_or_else(String::new, |variable| format!("\n[env: {variable}]"));
    let first = key.help.split_once(". ").map_or(key.help, |(first, _)| first).trim_end_matches('.');
    // Others are longer than a line.
    let shown = key.default.filter(|default| !default.contains(' '));
    let shown = shown.map_or_else(String::new, |default| format!(" [default: {default}]"));
    let flag = flag.help(format!("{first}{shown}")).long_help(format!("{} {default}{variable}", key.help));
    match command.prominence_of(key) {
        Prominence::Short => flag,
        Prominence::Long => flag.hide_short_help(true),
        Prominence::Hidden => flag.hide(true),
    }
}
