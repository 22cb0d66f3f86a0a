//! Errors as people need them: what failed, what to grant, set or renew, and which name was probably meant.

use std::collections::BTreeSet;

use ecr_cleanup_core::account::AccountId;
use ecr_cleanup_core::call_error::CallError;
use ecr_cleanup_core::image::RepositoryName;
use ecr_cleanup_core::pattern::Pattern;

use crate::run::RunError;
use crate::show::figures;
use crate::show::quoted::quoted;

/// Names further apart than this are not each other's typos: so many letters of ten.
const LETTERS_OF_TEN: usize = 4;
/// More patterns than these are counted, and not told one by one.
const IDLE_SHOWN: usize = 10;

/// By what AWS is reached.
#[derive(Clone, Copy, Debug)]
pub(super) struct Access<'a> {
    /// The profile, where one is named.
    pub(super) profile: Option<&'a str>,
    /// The endpoint, where it is not AWS's own.
    pub(super) endpoint_url: Option<&'a str>,
}

/// What kept a run from starting, with what to do about it.
pub(super) fn of_run(error: &RunError, access: &Access<'_>) -> String {
    match error {
        RunError::InvalidSettings(error) => error.to_string(),
        RunError::RegionsUnavailable(call) => {
            let remedy = of_access(call, access).unwrap_or_else(|| format!("give --region, or {}", call.remedy()));
            format!(
                "no region is named, and the enabled ones can't be listed: {}\n  {remedy}",
                quoted(&call.to_string())
            )
        }
        RunError::AccountUnknown(call) => {
            let remedy = of_access(call, access).unwrap_or_else(|| call.remedy());
            format!("the account is not known, so nothing can be: {}\n  {remedy}", quoted(&call.to_string()))
        }
        RunError::OtherAccount { expected, actual } => other_account(expected, actual),
    }
}

fn other_account(expected: &AccountId, actual: &AccountId) -> String {
    format!(
        "this is about account {expected}, and the credentials are those of account {actual}: nothing was read or deleted\n  take a --profile of account {expected}"
    )
}

/// What to do where AWS is not reached, or does not know who asks.
fn of_access(error: &CallError, Access { profile, endpoint_url }: &Access<'_>) -> Option<String> {
    match (error.code.as_str(), endpoint_url) {
        ("DispatchFailure" | "TimeoutError" | "ResponseError", Some(url)) => Some(format!(
            "{url} is asked instead of AWS, since AWS_ENDPOINT_URL or the profile's endpoint_url says so: is that meant, and does it run?"
        )),
        _ => of_credentials(error, *profile),
    }
}

/// What to do about missing or expired credentials.
fn of_credentials(error: &CallError, profile: Option<&str>) -> Option<String> {
    let for_profile = profile.map(|profile| format!(" --profile {profile}")).unwrap_or_default();
    let text = error.message.to_ascii_lowercase();
    match error.code.as_str() {
        // Names of roles that come by SSO have it in them too, so other errors are not asked.
        "NoCredentials" if text.contains("sso") => Some(format!("log in again: aws sso login{for_profile}")),
        code if code.contains("Expired") || (code == "NoCredentials" && text.contains("expired")) => Some(format!(
            "the credentials have expired: renew them (aws sso login{for_profile}, or as they were made), and run again"
        )),
        "NoCredentials" => Some(match profile {
            Some(profile) => {
                format!("profile {profile} gives no credentials: look at it with `aws configure list{for_profile}`")
            }
            None => "give --profile, set AWS_PROFILE or AWS_ACCESS_KEY_ID, or make a profile with `aws configure`"
                .to_owned(),
        }),
        "InvalidClientTokenId" | "UnrecognizedClientException" | "SignatureDoesNotMatch" => Some(format!(
            "AWS does not know these credentials: look where they come from with `aws configure list{for_profile}`"
        )),
        _ => None,
    }
}

/// Tells of the patterns that match no repository, with the one that was probably meant: of the first ones each by
/// itself, of the others how many there are. Of a long list nobody reads more, and to look for names takes time.
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
            let meant = nearest.map(|name| format!("; did you mean {name}?")).unwrap_or_default();
            format!("`{pattern}` matches no repository{meant}")
        })
        .collect();
    if !others.is_empty() {
        told.push(format!(
            "{} match no repository either",
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
            ["`team-0/servise` matches no repository; did you mean team-0/service?"]
        );
        assert_eq!(idle_patterns(idle(IDLE_SHOWN).iter(), &known).len(), IDLE_SHOWN);
        let told = idle_patterns(idle(300).iter(), &known);
        assert_eq!(
            (told.len(), told[IDLE_SHOWN].as_str()),
            (IDLE_SHOWN + 1, "290 more patterns match no repository either")
        );
        let star = Pattern::for_repositories("team-*").unwrap();
        assert_eq!(idle_patterns(std::iter::once(&star), &known), Vec::<String>::new());
        assert_eq!(idle_patterns(idle(300).iter(), &BTreeSet::new()), Vec::<String>::new(), "what is not known at all");
    }

    #[test]
    fn expired_credentials_come_with_the_command_that_renews_them() {
        let told = |code: &str, message: &str, profile| {
            let error = CallError::new("sts:GetCallerIdentity", code, message.to_owned());
            of_run(&RunError::AccountUnknown(error), &Access { profile, endpoint_url: None })
        };
        let sso = told("NoCredentials", "the SSO token has expired and cannot be refreshed", Some("prod"));
        assert!(sso.ends_with("log in again: aws sso login --profile prod"), "{sso}");
        assert!(told("ExpiredToken", "The security token is expired", None).contains("aws sso login,"));
        assert!(told("NoCredentials", "no credentials", None).contains("AWS_PROFILE"));
        let denied = "User: arn:aws:sts::123456789012:assumed-role/AWSReservedSSO_Admin/ann is not authorized";
        assert!(
            told("AccessDenied", denied, Some("p"))
                .ends_with("grant sts:GetCallerIdentity to the role or user that runs ecr-cleanup")
        );
        assert!(told("InvalidClientTokenId", "invalid", Some("p")).contains("aws configure list --profile p"));
    }
}
