//! Values that can't be used, each with the flag or the variable that the person typed. The settings refuse the same
//! values, but they know neither.

use ecr_cleanup_core::account::{AccountId, Region, RoleArn};
use ecr_cleanup_core::pattern::Pattern;
use ecr_cleanup_core::reference::ImageReference;
use ecr_cleanup_core::settings::Key;
use ecr_cleanup_core::settings::keys::Form;
use regex::Regex;

use super::WrongUsage;

/// The largest number that a setting accepts.
const LARGEST: u32 = u32::MAX;
/// The wildcards of a shell or a regular expression that a pattern has not.
const OTHER_WILDCARDS: &[char] = &['?', '[', ']', '{', '}', '(', ')', '^', '$', '+', '|', '\\'];

/// The names that a pattern matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Names {
    /// Of repositories.
    Repositories,
    /// Tags of images.
    Tags,
}

/// Checks the texts of a setting. `by` is its flag with the hyphens, or its environment variable.
///
/// # Errors
/// For the first text that the setting doesn't accept, with what it expects.
pub(super) fn check(key: &Key, texts: &[&str], by: &str) -> Result<(), WrongUsage> {
    let last = texts.last().copied().unwrap_or_default();
    let whole = |expected: &str| if is_whole(last) { Ok(()) } else { Err(invalid("value", last, by, expected)) };
    match key.form {
        Form::Switch if last.eq_ignore_ascii_case("true") || last.eq_ignore_ascii_case("false") => Ok(()),
        Form::Switch => Err(invalid("value", last, by, "expected true or false")),
        Form::DaysOrNever if last.eq_ignore_ascii_case("never") => Ok(()),
        Form::DaysOrNever => whole("expected a whole number of days, or never"),
        Form::IntegerOrAll if last.eq_ignore_ascii_case("all") => Ok(()),
        Form::IntegerOrAll => whole("expected a whole number, or all"),
        Form::Integer if is_digits(last) => whole(&format!("expected a whole number up to {LARGEST}")),
        Form::Integer => whole("expected a whole number"),
        Form::Number => match last.parse::<f64>() {
            Ok(number) if number.is_finite() && number >= 0.0 => Ok(()),
            Ok(_) | Err(_) => Err(invalid("value", last, by, "expected an amount in USD such as 0.10")),
        },
        Form::List => {
            let items = texts.iter().flat_map(|text| text.split(',')).map(str::trim).filter(|item| !item.is_empty());
            items.into_iter().try_for_each(|item| check_item(key, item, by))
        }
        Form::Text if key.name == "ignoreTagsRegex" => check_regex(last, by),
        // An external ID must not be shown, so the settings refuse it. A file has errors of its own.
        Form::Text | Form::File => Ok(()),
    }
}

/// Reads a pattern. `by` is its flag with the hyphens, its argument, its environment variable, or its file.
///
/// # Errors
/// When it can match no name, with the reason.
pub(super) fn pattern(text: &str, names: Names, by: &str) -> Result<Pattern, WrongUsage> {
    let (read, expected) = match names {
        Names::Repositories => (Pattern::for_repositories(text), "repository names contain only a-z 0-9 . _ - /"),
        Names::Tags => (Pattern::for_tags(text), "tags contain only A-Z a-z 0-9 . _ -"),
    };
    read.map_err(|_| {
        let expected = if text.contains(OTHER_WILDCARDS) {
            "only * is a wildcard"
        } else if names == Names::Repositories && text.contains([':', '@']) {
            "expected a repository without tag or digest"
        } else {
            expected
        };
        invalid("pattern", text, by, expected)
    })
}

/// Reads an image as a workload refers to it. `by` is its flag with the hyphens, its environment variable, or its file.
///
/// # Errors
/// When it looks like an image in ECR and can't be one, with the reason.
pub(super) fn image(text: &str, by: &str) -> Result<ImageReference, WrongUsage> {
    let is_of_image = |b: u8| b.is_ascii_alphanumeric() || b"._-/:@[]".contains(&b);
    if !text.bytes().all(is_of_image) {
        // The output of a command that failed, most likely.
        return Err(invalid("image", text, by, "expected an image such as repository:tag"));
    }
    text.parse::<ImageReference>().map_err(|error| WrongUsage(format!("{by}: {error}")))
}

fn check_item(key: &Key, item: &str, by: &str) -> Result<(), WrongUsage> {
    match key.name {
        "repositories" | "excludeRepositories" => pattern(item, Names::Repositories, by).map(drop),
        "keepTags" => pattern(item, Names::Tags, by).map(drop),
        "region" | "usageRegions" => read::<Region>("Region", item, by, "expected a Region code such as us-west-2"),
        "usageRoleArns" => {
            read::<RoleArn>("role", item, by, "expected an ARN such as arn:aws:iam::123456789012:role/NAME")
        }
        "acceptUnseenAccounts" if item == "*" => Ok(()),
        "acceptUnseenAccounts" => read::<AccountId>("account", item, by, "expected 12 digits, or * for all accounts"),
        "inUseImages" => item.split_whitespace().try_for_each(|item| image(item, by).map(drop)),
        _ => Ok(()),
    }
}

fn read<T: std::str::FromStr>(noun: &str, text: &str, by: &str, expected: &str) -> Result<(), WrongUsage> {
    text.parse::<T>().map(drop).map_err(|_| invalid(noun, text, by, expected))
}

fn check_regex(text: &str, by: &str) -> Result<(), WrongUsage> {
    Regex::new(text).map(drop).map_err(|error| {
        // The last line of a syntax error is its sentence. Those before it draw the place.
        let error = error.to_string();
        let sentence = error.lines().last().unwrap_or_default();
        invalid("regular expression", text, by, sentence.trim_start_matches("error: "))
    })
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

fn is_whole(text: &str) -> bool {
    is_digits(text) && text.parse::<u32>().is_ok()
}

/// `invalid value "abc" for --images-to-keep: expected a whole number`.
fn invalid(noun: &str, text: &str, by: &str, expected: &str) -> WrongUsage {
    WrongUsage(format!("invalid {noun} \"{text}\" for {by}: {expected}"))
}

#[cfg(test)]
mod tests {
    use ecr_cleanup_core::settings::{Environment, KEYS, Settings};
    use serde_json::Map;

    use super::*;

    fn key(name: &str) -> &'static Key {
        Key::named(name).unwrap()
    }

    #[test]
    fn what_was_typed_is_named_with_what_is_expected() {
        for (name, text, by, told) in [
            (
                "imagesToKeep",
                "abc",
                "--images-to-keep",
                "invalid value \"abc\" for --images-to-keep: expected a whole number",
            ),
            (
                "maxDeletions",
                "-1",
                "--max-deletions",
                "invalid value \"-1\" for --max-deletions: expected a whole number",
            ),
            (
                "maxDeletions",
                "4294967296",
                "ECR_CLEANUP_MAX_DELETIONS",
                "invalid value \"4294967296\" for ECR_CLEANUP_MAX_DELETIONS: expected a whole number up to 4294967295",
            ),
            (
                "untaggedOlderThanDays",
                "all",
                "--x",
                "invalid value \"all\" for --x: expected a whole number of days, or never",
            ),
            (
                "lambdaVersionsToKeep",
                "never",
                "--x",
                "invalid value \"never\" for --x: expected a whole number, or all",
            ),
            (
                "pricePerGbMonth",
                "-0.1",
                "--x",
                "invalid value \"-0.1\" for --x: expected an amount in USD such as 0.10",
            ),
            ("exactSizes", "yes", "--x", "invalid value \"yes\" for --x: expected true or false"),
            ("keepTags", "latest,v?", "--keep-tags", "invalid pattern \"v?\" for --keep-tags: only * is a wildcard"),
            ("keepTags", "a:b", "--x", "invalid pattern \"a:b\" for --x: tags contain only A-Z a-z 0-9 . _ -"),
            (
                "repositories",
                "Web",
                "--x",
                "invalid pattern \"Web\" for --x: repository names contain only a-z 0-9 . _ - /",
            ),
            (
                "repositories",
                "web/app:v1",
                "--x",
                "invalid pattern \"web/app:v1\" for --x: expected a repository without tag or digest",
            ),
            ("region", "mars", "--x", "invalid Region \"mars\" for --x: expected a Region code such as us-west-2"),
            ("ignoreTagsRegex", "(", "--x", "invalid regular expression \"(\" for --x: unclosed group"),
            (
                "acceptUnseenAccounts",
                "12",
                "--x",
                "invalid account \"12\" for --x: expected 12 digits, or * for all accounts",
            ),
        ] {
            let WrongUsage(error) = check(key(name), &[text], by).unwrap_err();
            assert_eq!(error, told);
        }
    }

    #[test]
    fn it_refuses_what_the_settings_refuse_and_nothing_else() {
        let texts = [
            "",
            "0",
            "7",
            "007",
            "4294967295",
            "4294967296",
            "+1",
            "-1",
            "1.5",
            "1e3",
            "NaN",
            "inf",
            "true",
            "False",
            "yes",
            "never",
            "Never",
            "all",
            "latest",
            "v*",
            "v?",
            "web/*",
            "Web",
            "us-west-2",
            "us-west-2,eu-west-1",
            "mars",
            "123456789012",
            "*",
            "arn:aws:iam::123456789012:role/r",
            "arn:aws:iam::1:role/r",
            "^v[0-9]+$",
            "(",
            "nginx redis",
            "123456789012.dkr.ecr.us-west-2.amazonaws.com/App:v1",
            "a,b",
        ];
        for key in KEYS {
            // Not text: a file, and something secret.
            let Some(variable) = key.environment.filter(|_| !["policies", "usageExternalId"].contains(&key.name))
            else {
                continue;
            };
            for text in texts {
                let environment = Environment::from([(variable.to_owned(), text.to_owned())]);
                // What counts as not set is not checked.
                let Some((_, written)) = key.in_environment(&environment) else { continue };
                let no_file = |_: &str| Err(std::io::ErrorKind::NotFound.into());
                let accepted = Settings::resolve(&Map::new(), &environment, &no_file).is_ok();
                let checked = check(key, &[written], variable);
                assert_eq!(checked.is_ok(), accepted, "{variable}={text}: {checked:?}");
            }
        }
    }
}
