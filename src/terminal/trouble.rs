//! Errors as people need them: what failed, what to grant, set or renew, and which name was probably meant.

use ecr_cleanup_core::account::AccountId;
use ecr_cleanup_core::call_error::CallError;
use ecr_cleanup_core::image::RepositoryName;

use crate::run::RunError;
use crate::show::quoted::quoted;

/// Names further apart than this are not each other's typos: so many letters of ten.
const LETTERS_OF_TEN: usize = 4;

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

/// The name that was probably meant, if any is near.
pub(super) fn nearest<'a>(meant: &str, names: impl Iterator<Item = &'a RepositoryName>) -> Option<&'a RepositoryName> {
    let distance = |name: &RepositoryName| {
        // Who leaves the path away means the name without it.
        let last = name.as_str().rsplit('/').next().unwrap_or_default();
        strsim::damerau_levenshtein(meant, name.as_str()).min(strsim::damerau_levenshtein(meant, last) + 1)
    };
    let nearest = names.map(|name| (distance(name), name)).min()?;
    (nearest.0 * 10 <= meant.chars().count() * LETTERS_OF_TEN).then_some(nearest.1)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

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
                .ends_with("grant sts:GetCallerIdentity to the role or user that this runs as")
        );
        assert!(told("InvalidClientTokenId", "invalid", Some("p")).contains("aws configure list --profile p"));
    }
}
