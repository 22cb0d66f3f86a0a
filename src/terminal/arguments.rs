//! The command line: what can be asked, and the help that says so.

use std::ffi::OsString;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, Command};
use clap_complete::Shell;

use super::flags;

/// The formats of a report.
const REPORT_FORMATS: [&str; 4] = ["table", "json", "markdown", "html"];
/// The formats of everything else.
const FORMATS: [&str; 2] = ["table", "json"];

const EXAMPLES: &str = "\
Examples:
  ecr-cleanup                                        what is stale, in every region of this account
  ecr-cleanup plan --region us-west-2 --details      every stale image of a region, with why
  ecr-cleanup explain web/app:v7                     why this image stays or goes
  ecr-cleanup usage                                  what is in use, and by whom
  ecr-cleanup plan --out plan.json                   a plan to be reviewed, and then
  ecr-cleanup delete plan.json                       carried out, as far as it still holds
  ecr-cleanup delete --tags 'pr-*' --repositories web/app
  kubectl get pods -A -o jsonpath='{..image}' | ecr-cleanup plan --in-use-file -

Exit codes: 0 done; 1 failed, done in part, or not all could be read; 2 wrong usage.";

const DELETE_EXAMPLES: &str = "\
Examples:
  ecr-cleanup delete                                 shows the plan, asks, and deletes what was shown
  ecr-cleanup delete --yes --max-deletions 500       for scripts
  ecr-cleanup delete plan.json                       what `plan --out plan.json` wrote, as far as it still holds

On a terminal both ask before, unless --yes is given. Without one a plan file is consent enough, and all else needs --yes.

What a plan file lists is deleted only if it is still stale, by the settings in the file and by what is in use now,
and has the tags that were reviewed. Beside a plan file, --max-deletions (the lowest holds), --in-use-images,
--in-use-file and --usage-external-id may be given, as flags or in the environment, and no other setting.";

const EXPLAIN_EXAMPLES: &str = "\
Examples:
  ecr-cleanup explain web/app:v7
  ecr-cleanup explain web/app@sha256:…
  ecr-cleanup explain 123456789012.dkr.ecr.us-west-2.amazonaws.com/web/app:v7";

/// The whole command line.
pub(super) fn command() -> Command {
    Command::new("ecr-cleanup")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Deletes stale ECR images, and never one in use.\nWithout a command it plans: it shows what is stale and deletes nothing.")
        .after_help(EXAMPLES)
        .subcommand_required(true)
        .subcommand(
            attended(Command::new("plan").about("Show what is stale; nothing is deleted (the default)"), &REPORT_FORMATS)
                .arg(details())
                .arg(Arg::new("out").long("out").value_name("FILE").value_parser(flags::filled).help("Save the plan, for review and `delete FILE`"))
                .after_help(EXAMPLES),
        )
        .subcommand(
            attended(Command::new("delete").about("Delete what is stale, after asking"), &REPORT_FORMATS)
                .arg(Arg::new("plan").value_name("PLAN").help("A plan that `plan --out` saved: only what is in it goes"))
                .arg(details())
                .arg(
                    Arg::new("yes")
                        .long("yes")
                        .short('y')
                        .action(ArgAction::SetTrue)
                        .help("Don't ask; needed without a terminal, except for a plan file"),
                )
                .after_help(DELETE_EXAMPLES),
        )
        .subcommand(attended(Command::new("usage").about("Show what is in use, and by whom"), &FORMATS))
        .subcommand(
            attended(Command::new("explain").about("Tell why an image stays or goes"), &FORMATS)
                .arg(
                    Arg::new("image")
                        .value_name("IMAGE")
                        .required(true)
                        .help("repository:tag, repository@sha256:…, or either with its registry"),
                )
                .after_help(EXPLAIN_EXAMPLES),
        )
        .subcommand(
            Command::new("completions").about("Print a script that completes this command in a shell").arg(
                Arg::new("shell").value_name("SHELL").required(true).value_parser(clap::value_parser!(Shell)),
            ),
        )
}

/// A command that talks to AWS, with all that these have in common.
fn attended(command: Command, formats: &'static [&'static str]) -> Command {
    command
        .arg(
            Arg::new("format")
                .long("format")
                .short('f')
                .value_name("FORMAT")
                .default_value("table")
                .value_parser(PossibleValuesParser::new(formats))
                .help("What is printed on stdout"),
        )
        .arg(Arg::new("quiet").long("quiet").short('q').action(ArgAction::SetTrue).help("No progress on stderr"))
        .arg(
            Arg::new("profile")
                .long("profile")
                .value_name("PROFILE").value_parser(flags::filled)
                .help("The profile of the AWS configuration [env: AWS_PROFILE]"),
        )
        .arg(
            Arg::new("settings")
                .long("settings")
                .value_name("FILE").value_parser(flags::filled)
                .help("A JSON file with settings: any event that the function takes. Flags win over it"),
        )
        .arg(
            Arg::new("in-use-file")
                .long("in-use-file")
                .value_name("FILE").value_parser(flags::filled)
                .action(ArgAction::Append)
                .help("A file of images that count as used, or - for stdin: a list (# begins a comment) or what `kubectl -o json` prints"),
        )
        .arg(
            Arg::new("tags")
                .long("tags")
                .value_name("PATTERN").value_parser(flags::filled)
                .help("Of what would go, only images with a tag that matches, and what goes with them"),
        )
        .args(flags::all())
}

fn details() -> Arg {
    Arg::new("details").long("details").short('d').action(ArgAction::SetTrue).help("List every stale image, with why")
}

/// `plan` is what is meant where no command is named.
pub(super) fn with_command(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    const ANSWERED_WITHOUT: [&str; 4] = ["--help", "-h", "--version", "-V"];
    let mut arguments: Vec<OsString> = arguments.collect();
    let is_flag = |argument: &OsString| argument.to_string_lossy().starts_with('-');
    let is_answered = |argument: &OsString| ANSWERED_WITHOUT.iter().any(|flag| argument == flag);
    if arguments.is_empty() {
        arguments.push("ecr-cleanup".into());
    }
    if arguments.get(1).is_none_or(|first| is_flag(first) && !is_answered(first)) {
        arguments.insert(1, "plan".into());
    }
    arguments
}

/// A command that stands behind flags, where none is looked for.
pub(super) fn late_command(arguments: &[OsString]) -> Option<String> {
    let is_flag = arguments.get(1).is_some_and(|first| first.to_string_lossy().starts_with('-'));
    let command = command();
    let late = arguments.iter().skip(2).find_map(|argument| command.find_subcommand(argument))?;
    is_flag.then(|| late.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_command_it_plans() {
        let with = |arguments: &[&str]| -> Vec<String> {
            let arguments = with_command(arguments.iter().map(OsString::from));
            arguments.into_iter().map(|argument| argument.to_string_lossy().into_owned()).collect()
        };
        assert_eq!(with(&[]), ["ecr-cleanup", "plan"]);
        assert_eq!(with(&["e"]), ["e", "plan"]);
        assert_eq!(with(&["e", "--region", "us-west-2"]), ["e", "plan", "--region", "us-west-2"]);
        assert_eq!(with(&["e", "usage"]), ["e", "usage"]);
        assert_eq!(with(&["e", "--help"]), ["e", "--help"]);
    }

    #[test]
    fn no_flag_takes_nothing() {
        let whole = command();
        for subcommand in Command::get_subcommands(&whole).filter(|command| Command::get_name(command) != "completions")
        {
            for arg in Command::get_arguments(subcommand).filter(|arg| Arg::get_long(arg).is_some()) {
                if !matches!(Arg::get_action(arg), ArgAction::Set | ArgAction::Append) {
                    continue;
                }
                let flag = Arg::get_long(arg).unwrap();
                for nothing in ["", " ", ",", " , ,", "\t"] {
                    let given = format!("--{flag}={nothing}");
                    let refused =
                        command().try_get_matches_from(["ecr-cleanup", Command::get_name(subcommand), &given, "image"]);
                    assert!(refused.is_err_and(|error| error.to_string().contains(flag)), "{given:?}");
                }
            }
        }
    }

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
    }
}
