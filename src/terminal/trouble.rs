//! Errors as people need them: what failed, what to grant, set or renew, and the name that was probably meant.

use std::collections::BTreeSet;
use std::fmt::Display;

use ecr_cleanup_core::account::AccountId;
use ecr_cleanup_core::call_error::{CallError, NO_CREDENTIALS};
use ecr_cleanup_core::image::RepositoryName;
use ecr_cleanup_core::pattern::Pattern;

use crate::run::RunError;
use crate::show::figures;
use crate::show::quoted::quoted;

/// Two names that differ in more letters of ten than this are not typos of each other.
const LETTERS_OF_TEN: usize = 4;
/// More patterns than these are counted, and not listed one by one.
const IDLE_SHOWN: usize = 10;
/// The codes of calls that AWS did not answer. Their messages are chains of the SDK's own errors.
const WITHOUT_ANSWER: [&str; 6] =
    [NO_CREDENTIALS, "DispatchFailure", "TimeoutError", "ResponseError", "ConstructionFailure", "UnknownError"];

/// How much of an error is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verbosity {
    /// What failed and what to do.
    Brief,
    /// The errors of the AWS SDK as well.
    Verbose,
}

/// How AWS is reached, and for what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Access<'a> {
    /// The profile, where one is set.
    pub(super) profile: Option<&'a str>,
    /// The endpoint, where it is not AWS's own.
    pub(super) endpoint_url: Option<&'a str>,
    /// The plan file or the image of the command, where it has one.
    pub(super) subject: Option<&'a str>,
    pub(super) verbosity: Verbosity,
}

/// What kept a run from starting, with what to do about it.
pub(super) fn of_run(error: &RunError, access: &Access<'_>) -> String {
    let (text, call) = match error {
        RunError::InvalidSettings(error) => return error.to_string(),
        RunError::OtherAccount { expected, actual } => return other_account(expected, actual, access.subject),
        RunError::RegionsUnavailable(call) => {
            let otherwise = || {
                let failed = brief(&call.to_string());
                format!("can't list the enabled Regions: {failed}. Pass --region, or {}.", call.remedy())
            };
            (of_access(call, access).unwrap_or_else(otherwise), call)
        }
        RunError::AccountUnknown(call) => {
            let otherwise = || format!("can't identify the AWS account: {}", with_remedy(call));
            (of_access(call, access).unwrap_or_else(otherwise), call)
        }
    };
    match access.verbosity {
        Verbosity::Brief => text,
        Verbosity::Verbose => format!("{text}\n  cause: {}", quoted(&call.to_string())),
    }
}

/// A failed call in a sentence, and what to do about it in another.
pub(super) fn with_remedy(call: &CallError) -> String {
    format!("{}. {}.", brief(&call.to_string()).trim_end_matches('.'), capitalised(&call.remedy()))
}

/// A failed call, or a text that ends with one, without the chain of errors that the SDK has for it.
pub(super) fn brief(text: &str) -> String {
    let chain = WITHOUT_ANSWER.iter().find_map(|code| {
        let code = format!(": {code}: ");
        text.find(&code).map(|place| place + code.len())
    });
    let Some(begin) = chain else { return quoted(text) };
    quoted(&format!("{}{}", &text[..begin], last_of_chain(&text[begin..])))
}

/// What a failed call of this code says, without the chain of errors that the SDK has for it.
pub(super) fn message_of(code: &str, message: &str) -> String {
    if WITHOUT_ANSWER.contains(&code) { last_of_chain(message).to_owned() } else { message.to_owned() }
}

/// The last of a chain of errors, which is its reason: `Connection refused`.
pub(super) fn last_of_chain(chain: &str) -> &str {
    without_number(chain.rsplit(": ").next().unwrap_or(chain))
}

/// An error of the operating system without its number, which doesn't help people.
pub(super) fn plain(error: &dyn Display) -> String {
    without_number(&error.to_string()).to_owned()
}

fn without_number(text: &str) -> &str {
    text.split(" (os error").next().unwrap_or(text)
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn other_account(expected: &AccountId, actual: &AccountId, subject: Option<&str>) -> String {
    let is_plan = subject.is_none_or(|subject| std::path::Path::new(subject).is_file());
    let subject = subject.unwrap_or("the plan");
    let (made, outcome) =
        if is_plan { ("was created for", " Nothing was deleted.") } else { ("is in the registry of", "") };
    format!(
        "{subject} {made} account {expected}, but you are signed in to account {actual}.{outcome} Pass --profile with a profile of account {expected}."
    )
}

/// What to do where AWS is not reached, or does not accept the credentials.
fn of_access(error: &CallError, access: &Access<'_>) -> Option<String> {
    let is_unreached = matches!(error.code.as_str(), "DispatchFailure" | "TimeoutError" | "ResponseError");
    match access.endpoint_url {
        Some(url) if is_unreached => {
            let (set_by, unset) = match std::env::var_os("AWS_ENDPOINT_URL") {
                Some(_) => ("AWS_ENDPOINT_URL", "unset the variable"),
                None => ("endpoint_url in the profile", "remove it"),
            };
            Some(format!("can't connect to {url} (set by {set_by}). Start that endpoint, or {unset} to use AWS."))
        }
        None if is_unreached => {
            let reason = quoted(last_of_chain(&error.message));
            Some(format!("can't connect to AWS: {reason}. Check the network, the proxy and the Region."))
        }
        Some(_) | None => of_credentials(error, access.profile),
    }
}

/// What to do about missing or expired credentials.
fn of_credentials(error: &CallError, profile: Option<&str>) -> Option<String> {
    let for_profile = profile.map(|profile| format!(" --profile {profile}")).unwrap_or_default();
    let text = error.message.to_ascii_lowercase();
    match error.code.as_str() {
        // Names of roles that come by SSO contain it too, so messages of other errors don't count.
        NO_CREDENTIALS if text.contains("sso") => {
            Some(format!("the SSO login has expired. Log in again: aws sso login{for_profile}"))
        }
        code if code.contains("Expired") || (code == NO_CREDENTIALS && text.contains("expired")) => {
            Some(format!("the AWS credentials have expired. Renew them, for SSO with: aws sso login{for_profile}"))
        }
        NO_CREDENTIALS => Some(match profile {
            Some(profile) => {
                format!("profile \"{profile}\" not found or has no credentials. Check: aws configure list{for_profile}")
            }
            None => "no AWS credentials found. Set AWS_PROFILE, pass --profile, or run `aws configure`.".to_owned(),
        }),
        "InvalidClientTokenId" | "UnrecognizedClientException" | "SignatureDoesNotMatch" => Some(format!(
            "AWS rejected the credentials ({}). Check where they come from: aws configure list{for_profile}",
            error.code
        )),
        _ => None,
    }
}

/// The patterns that match no repository, with the one that was probably meant: the first ones each by itself, of the
/// others the number. A longer list would not be read, and comparing names is slow.
pub(super) fn idle_patterns<'a>(
    patterns: impl Iterator<Item = &'a Pattern>,
    known: &BTreeSet<RepositoryName>,
) -> Vec<String> {
    let matches_none = |pattern: &&Pattern| !known.iter().any(|name| pattern.matches(name.as_str()));
    let mut idle: Vec<&Pattern> = patterns.filter(|_| !known.is_empty()).filter(matches_none).collect();
    let others = idle.split_off(idle.len().min(IDLE_SHOWN));
    let mut told: Vec<String> = idle
        .into_iter()
        .map(|pattern| {
            let nearest = nearest(&pattern.to_string(), known.iter());
            let meant = nearest.map(|name| format!(". Did you mean {name}?")).unwrap_or_default();
            format!("no repository matches \"{pattern}\"{meant}")
        })
        .collect();
    if !others.is_empty() {
        told.push(format!(
            "no repository matches {} either",
            figures::counted(others.len() as u64, "more pattern", "more patterns")
        ));
    }
    told
}

/// The name that was probably meant, if any is near.
pub(super) fn nearest<'a>(meant: &str, names: impl Iterator<Item = &'a RepositoryName>) -> Option<&'a RepositoryName> {
    let letters = meant.chars().count();
    let farthest = letters * LETTERS_OF_TEN / 10;
    // As many letters have to come or go, at least: a name that is too long or too short need not be compared.
    let distance = |name: &str| {
        let is_near = name.chars().count().abs_diff(letters) <= farthest;
        is_near.then(|| strsim::damerau_levenshtein(meant, name))
    };
    let nearness = |name: &RepositoryName| {
        // Who leaves the path away means the name without it.
        let last = name.as_str().rsplit('/').next().unwrap_or_default();
        distance(name.as_str()).into_iter().chain(distance(last).map(|distance| distance + 1)).min()
    };
    let near = names.filter_map(|name| Some((nearness(name)?, name)));
    near.min().filter(|(distance, _)| *distance <= farthest).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> BTreeSet<RepositoryName> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    #[test]
    fn a_typo_has_its_name_and_another_word_has_none() {
        let known = names(&["web/storefront", "web/checkout", "api/orders"]);
        for (meant, expected) in [
            ("web/storefornt", Some("web/storefront")),
            ("web/checkuot", Some("web/checkout")),
            ("order", Some("api/orders")),
            ("orders", Some("api/orders")),
            ("warehouse", None),
            ("", None),
        ] {
            assert_eq!(nearest(meant, known.iter()).map(RepositoryName::as_str), expected, "{meant}");
        }
        assert_eq!(nearest("web", [].iter()), None);
    }

    #[test]
    fn of_many_patterns_that_match_nothing_the_first_are_told() {
        let known: BTreeSet<RepositoryName> =
            (0..2_000).map(|number| format!("team-{number}/service").parse().unwrap()).collect();
        let idle = |number: usize| -> Vec<Pattern> {
            (0..number).map(|number| Pattern::for_repositories(&format!("team-{number}/servise")).unwrap()).collect()
        };
        assert_eq!(
            idle_patterns(idle(1).iter(), &known),
            ["no repository matches \"team-0/servise\". Did you mean team-0/service?"]
        );
        assert_eq!(idle_patterns(idle(IDLE_SHOWN).iter(), &known).len(), IDLE_SHOWN);
        let told = idle_patterns(idle(300).iter(), &known);
        assert_eq!(
            (told.len(), told[IDLE_SHOWN].as_str()),
            (IDLE_SHOWN + 1, "no repository matches 290 more patterns either")
        );
        let star = Pattern::for_repositories("team-*").unwrap();
        assert_eq!(idle_patterns(std::iter::once(&star), &known), Vec::<String>::new());
        assert_eq!(idle_patterns(idle(300).iter(), &BTreeSet::new()), Vec::<String>::new(), "no repository is known");
    }

    #[test]
    fn expired_credentials_come_with_the_command_that_renews_them() {
        let told = |code: &str, message: &str, profile| {
            let error = CallError::new("sts:GetCallerIdentity", code, message.to_owned());
            let access = Access { profile, endpoint_url: None, subject: None, verbosity: Verbosity::Brief };
            of_run(&RunError::AccountUnknown(error), &access)
        };
        let sso = told("NoCredentials", "the SSO token has expired and cannot be refreshed", Some("prod"));
        assert!(sso.ends_with("Log in again: aws sso login --profile prod"), "{sso}");
        assert!(told("ExpiredToken", "The security token is expired", None).ends_with(": aws sso login"));
        assert!(told("NoCredentials", "no credentials", None).contains("AWS_PROFILE"));
        let denied = "User: arn:aws:sts::123456789012:assumed-role/AWSReservedSSO_Admin/ann is not authorized";
        assert!(
            told("AccessDenied", denied, Some("p"))
                .ends_with("Grant sts:GetCallerIdentity to the role or user that runs ecr-cleanup.")
        );
        assert!(told("InvalidClientTokenId", "invalid", Some("p")).contains("aws configure list --profile p"));
    }

    #[test]
    fn a_chain_of_the_sdks_errors_is_cut_to_its_reason_unless_it_is_asked_for() {
        const CHAIN: &str = "dispatch failure: io error: client error (Connect): Connection refused (os error 111)";
        let of = |profile, verbosity| {
            let error = CallError::new("sts:GetCallerIdentity", "DispatchFailure", CHAIN.to_owned());
            let access = Access { profile, endpoint_url: None, subject: None, verbosity };
            of_run(&RunError::AccountUnknown(error), &access)
        };
        let brief_text = of(None, Verbosity::Brief);
        assert_eq!(
            brief_text,
            "can't connect to AWS: Connection refused. Check the network, the proxy and the Region."
        );
        let verbose = of(None, Verbosity::Verbose);
        assert_eq!(verbose, format!("{brief_text}\n  cause: sts:GetCallerIdentity: DispatchFailure: {CHAIN}"));
        assert_eq!(
            brief(&format!("web/app: ecr:DescribeImages: DispatchFailure: {CHAIN}")),
            "web/app: ecr:DescribeImages: DispatchFailure: Connection refused"
        );
        let answered = "ecr:DescribeImages: AccessDeniedException: User: ann: is not authorized";
        assert_eq!(brief(answered), answered, "what AWS says is whole");
    }
}
