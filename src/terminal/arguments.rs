//! The command line: the commands, their flags, and hints for command lines that most likely mean another one.

use std::ffi::OsString;

use clap::builder::PossibleValuesParser;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, ArgMatches, Command};
use clap_complete::Shell;
use ecr_cleanup_core::pattern::Pattern;

use super::flags;
use super::help::{self, Attended};

/// The formats of a report.
const REPORT_FORMATS: [&str; 4] = ["table", "json", "markdown", "html"];
/// The formats of everything else.
const FORMATS: [&str; 2] = ["table", "json"];

/// The whole command line.
pub(super) fn command() -> Command {
    let program = Command::new("ecr-cleanup").version(env!("CARGO_PKG_VERSION")).subcommand_required(true);
    help::of_program(program)
        .subcommand(
            attended(Attended::Plan, &REPORT_FORMATS)
                .arg(
                    Arg::new(flags::REPOSITORY)
                        .value_name(flags::REPOSITORY)
                        .num_args(0..)
                        .value_parser(flags::filled)
                        .help("Repositories to check, such as web/app or 'web/*'. The same as --repositories"),
                )
                .arg(details())
                .arg(
                    Arg::new("out")
                        .long("out")
                        .value_name("FILE")
                        .value_parser(flags::filled)
                        .help("Plan file to write, for a review and `delete FILE`"),
                ),
        )
        .subcommand(
            attended(Attended::Delete, &REPORT_FORMATS)
                .arg(
                    Arg::new("plan")
                        .value_name("PLAN")
                        .help("Plan file created with `plan --out`. Only images in the file are deleted"),
                )
                .arg(details())
                .arg(
                    Arg::new("yes")
                        .long("yes")
                        .short('y')
                        .action(ArgAction::SetTrue)
                        .help("Skip the confirmation. Required in scripts, unless there is a plan file"),
                ),
        )
        .subcommand(attended(Attended::Usage, &FORMATS))
        .subcommand(
            attended(Attended::Explain, &FORMATS).arg(
                Arg::new("image")
                    .value_name("IMAGE")
                    .required(true)
                    .help("Image: repository:tag or repository@sha256:…, with or without its registry"),
            ),
        )
        .subcommand(
            Command::new("completions").about("Print a shell completion script").arg(
                Arg::new("shell")
                    .value_name("SHELL")
                    .required(true)
                    .value_parser(clap::value_parser!(Shell))
                    .help("Shell to complete in"),
            ),
        )
}

/// A command that talks to AWS, with everything that these have in common.
fn attended(attended: Attended, formats: &'static [&'static str]) -> Command {
    let command = help::of_command(Command::new(attended.name()), attended);
    let seldom = matches!(attended, Attended::Usage | Attended::Explain);
    let tags = Arg::new("tags")
        .long("tags")
        .value_name("PATTERN")
        .value_parser(flags::filled)
        .help("Delete only stale images with a matching tag")
        .long_help(
            "Tag pattern. Of the stale images, only those with a matching tag are deleted, with their child images and attached artifacts. Optional.",
        );
    command
        .arg(
            Arg::new("format")
                .long("format")
                .short('o')
                .short_alias('f')
                .value_name("FORMAT")
                .default_value("table")
                .value_parser(PossibleValuesParser::new(formats))
                .help("Output format on stdout"),
        )
        .arg(
            Arg::new("json")
                .long("json")
                .action(ArgAction::SetTrue)
                .conflicts_with("format")
                .hide_short_help(true)
                .help("The same as --format json"),
        )
        .arg(
            Arg::new("quiet")
                .long("quiet")
                .short('q')
                .action(ArgAction::SetTrue)
                .hide_short_help(true)
                .help("Show no progress on stderr"),
        )
        .arg(
            Arg::new("verbose")
                .long("verbose")
                .short('v')
                .action(ArgAction::SetTrue)
                .help("Show the errors of the AWS SDK as well"),
        )
        .arg(
            Arg::new("profile")
                .long("profile")
                .value_name("PROFILE")
                .value_parser(flags::filled)
                .help("Profile of the AWS configuration [env: AWS_PROFILE]"),
        )
        .arg(
            Arg::new("settings")
                .long("settings")
                .value_name("FILE")
                .value_parser(flags::filled)
                .hide_short_help(seldom)
                .help("JSON file with settings. Flags override it")
                .long_help(
                    "JSON file with settings, such as an event for the Lambda function. Flags override its settings. Optional.",
                ),
        )
        .arg(
            Arg::new("in-use-file")
                .long("in-use-file")
                .value_name("FILE")
                .value_parser(flags::filled)
                .action(ArgAction::Append)
                .help("File with images in use; - for stdin")
                .long_help(
                    "File with images to treat as in use, or - for stdin. It contains a list (# begins a comment) or the output of `kubectl get pods -o json`. Optional.",
                ),
        )
        .args(match attended {
            Attended::Plan | Attended::Delete => Some(tags),
            Attended::Explain => Some(tags.hide_short_help(true)),
            Attended::Usage => None,
        })
        .args(match attended {
            Attended::Plan | Attended::Delete | Attended::Explain => Some(no_memory().hide_short_help(true)),
            Attended::Usage => None,
        })
        .args(flags::all(attended))
}

fn no_memory() -> Arg {
    Arg::new("no-memory")
        .long("no-memory")
        .action(ArgAction::SetTrue)
        .conflicts_with("memory")
        .help("Neither read nor write a memory")
        .long_help(
            "Neither read nor write a memory. By default, the memory of a terminal is the folder ecr-cleanup/memory in $XDG_STATE_HOME or ~/.local/state. Optional.",
        )
}

fn details() -> Arg {
    Arg::new("details")
        .long("details")
        .short('d')
        .action(ArgAction::SetTrue)
        .help("List every stale image with its reason")
}

/// The arguments with `plan` where they have no command.
pub(super) fn with_command(arguments: &[OsString]) -> Vec<OsString> {
    const ANSWERED_WITHOUT: [&str; 4] = ["--help", "-h", "--version", "-V"];
    let mut arguments: Vec<OsString> = arguments.to_vec();
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

/// The hint for a command behind flags, which `plan` would read as a repository.
pub(super) fn late_command(arguments: &[OsString], matches: &ArgMatches) -> Option<String> {
    let matches = matches.subcommand_matches(Attended::Plan.name())?;
    let repositories = matches.get_many::<String>(flags::REPOSITORY).into_iter().flatten();
    is_flag_first(arguments).then(|| late(repositories.map(String::as_str))).flatten()
}

fn is_flag_first(arguments: &[OsString]) -> bool {
    arguments.get(1).is_some_and(|first| first.to_string_lossy().starts_with('-'))
}

fn late<'a>(mut words: impl Iterator<Item = &'a str>) -> Option<String> {
    let command = command();
    let late = words.find(|word| command.find_subcommand(word).is_some())?;
    Some(format!("the command comes first: ecr-cleanup {late} …"))
}

/// The hint for a command line that most likely means another one, instead of clap's own error.
pub(super) fn hint(error: &clap::Error, arguments: &[OsString]) -> Option<String> {
    let of = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.as_str(),
        Some(_) | None => "",
    };
    match error.kind() {
        ErrorKind::UnknownArgument if is_flag_first(arguments) => {
            let words: Vec<_> = arguments.iter().skip(2).map(|word| word.to_string_lossy()).collect();
            late(words.iter().map(AsRef::as_ref))
        }
        ErrorKind::InvalidSubcommand => {
            let word = of(ContextKind::InvalidSubcommand);
            let is_image = word.contains([':', '@']);
            let is_repository = word.contains(['/', '*']) && Pattern::for_repositories(word).is_ok();
            match (is_image, is_repository) {
                (true, _) => Some(format!("{word} is not a command. To check this image: ecr-cleanup explain {word}")),
                (false, true) => Some(format!(
                    "{word} is not a command. To check this repository: ecr-cleanup plan {}",
                    in_a_shell(word)
                )),
                (false, false) => None,
            }
        }
        ErrorKind::InvalidValue if of(ContextKind::InvalidArg).starts_with("--format") => {
            let value = of(ContextKind::InvalidValue);
            value.contains(['.', '/']).then(|| {
                format!("invalid format \"{value}\" for -o: expected table, json, markdown or html. To save a plan: --out {value}")
            })
        }
        _ => None,
    }
}

/// A pattern as a shell leaves it.
pub(super) fn in_a_shell(pattern: &str) -> String {
    if pattern.contains('*') { format!("'{pattern}'") } else { pattern.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_command_it_plans() {
        let with = |arguments: &[&str]| -> Vec<String> {
            let arguments = with_command(&arguments.iter().map(OsString::from).collect::<Vec<_>>());
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
