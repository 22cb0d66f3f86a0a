//! The flags of the settings: one for every key, made from the list of keys, so that a new setting has its flag at once.

use clap::{Arg, ArgAction, ArgMatches};
use serde_json::{Map, Value};

use super::WrongUsage;
use crate::settings::{Environment, KEYS, Key};

/// How a setting is written as text, in a flag and in the environment alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// `true` or `false`; the flag alone means true.
    Switch,
    Integer,
    Number,
    Text,
    /// Commas between the items, or one flag an item.
    List,
    /// A number of days, or `never`.
    DaysOrNever,
    /// The name of a JSON file.
    File,
}

/// What the help says of a setting.
struct Flag {
    form: Form,
    value: &'static str,
    help: &'static str,
}

/// The variable that a command stands for.
pub(super) const DRY_RUN_VARIABLE: &str = "DRYRUN";

/// What a key that this does not know yet has for help.
const UNDESCRIBED: &str = "A setting; see the README";

fn flag_of(key: &Key) -> Flag {
    let (form, value, help) = match key.name {
        "dryRun" => (Form::Switch, "BOOL", "Has to agree with the command, which decides: only delete deletes"),
        "region" => {
            (Form::List, "REGION", "The registries to clean [default: usage-regions, else all enabled regions]")
        }
        "imagesToKeep" => {
            (Form::Integer, "N", "Newest tagged images kept in every repository [default: 100; with policies 0]")
        }
        "ignoreTagsRegex" => (Form::Text, "REGEX", "Keep an image when this finds a match in any of its tags"),
        "keepTags" => (Form::List, "PATTERN", "Keep an image when any of its tags matches [default: latest]"),
        "untaggedOlderThanDays" => {
            (Form::DaysOrNever, "DAYS", "Untagged images older than this are stale, or `never` [default: 15]")
        }
        "keepPulledWithinDays" => {
            (Form::Integer, "DAYS", "Keep images pulled within so many days; 0 means pulls don't count [default: 30]")
        }
        "keepPushedWithinDays" => (Form::Integer, "DAYS", "Keep images pushed within so many days [default: 0]"),
        "repositories" => (Form::List, "PATTERN", "The repositories to clean [default: *]"),
        "excludeRepositories" => (Form::List, "PATTERN", "Repositories never touched; wins over repositories"),
        "policies" => (Form::File, "FILE", "A JSON file with ECR lifecycle policies by repository"),
        "auditLifecyclePolicies" => (
            Form::Switch,
            "BOOL",
            "Report what ECR's own lifecycle policies would take from under a workload [default: true]",
        ),
        "inUseImages" => (Form::List, "IMAGE", "Images that count as used; see also --in-use-file"),
        "acceptUnseenAccounts" => {
            (Form::List, "ACCOUNT", "Accounts, or *, that may pull although their usage isn't read")
        }
        "usageRegions" => (Form::List, "REGION", "Where workloads are looked for [default: all enabled regions]"),
        "usageRoleArns" => (Form::List, "ARN", "Roles in other accounts whose workloads use these registries"),
        "usageExternalId" => (Form::Text, "ID", "The external id that these roles ask for"),
        "taskDefinitionsToKeep" => {
            (Form::Integer, "N", "Newest ACTIVE revisions of a family that count as used [default: 1]")
        }
        "lambdaVersionsToKeep" => {
            (Form::Integer, "N", "Newest published versions of a function that count as used [default: 1]")
        }
        "exactSizes" => (Form::Switch, "BOOL", "Count each layer once, by reading manifests [default: false]"),
        "maxDeletions" => (Form::Integer, "N", "Delete nothing when more than this would go"),
        "pricePerGbMonth" => (Form::Number, "USD", "What a GB costs a month, for the estimates [default: 0.10]"),
        _ => (Form::Text, "VALUE", UNDESCRIBED),
    };
    Flag { form, value, help }
}

/// The name of a setting's flag, in kebab case.
pub(super) fn name_of(key: &Key) -> String {
    let mut name = String::new();
    for letter in key.name.chars() {
        if letter.is_ascii_uppercase() {
            name.push('-');
        }
        name.push(letter.to_ascii_lowercase());
    }
    name
}

/// The flags of all settings.
pub(super) fn all() -> impl Iterator<Item = Arg> {
    KEYS.iter().map(|key| {
        let Flag { form, value, help } = flag_of(key);
        let variable = key.environment.filter(|variable| *variable != DRY_RUN_VARIABLE);
        let environment = variable.map_or_else(String::new, |variable| format!(" [env: {variable}]"));
        let flag = Arg::new(key.name)
            .long(name_of(key))
            .value_name(value)
            .help(format!("{help}{environment}"))
            .help_heading("Settings")
            .allow_negative_numbers(true);
        match form {
            Form::List => flag.action(ArgAction::Append),
            // With a space, what follows could as well be an argument of its own.
            Form::Switch => flag.num_args(0..=1).require_equals(true).default_missing_value("true"),
            Form::Integer | Form::Number | Form::Text | Form::DaysOrNever | Form::File => flag,
        }
    })
}

/// The settings that flags give, as an event would.
pub(super) fn given(matches: &ArgMatches) -> Result<Map<String, Value>, WrongUsage> {
    let mut given = Map::new();
    for key in KEYS {
        let texts: Vec<&str> = matches.get_many::<String>(key.name).into_iter().flatten().map(String::as_str).collect();
        if !texts.is_empty() {
            let value = flag_of(key).form.value(&texts, key).map_err(|error| error.of(&name_of(key)))?;
            given.insert(key.name.to_owned(), value);
        }
    }
    Ok(given)
}

/// A setting that the environment gives, as an event would.
pub(super) fn in_environment(key: &Key, environment: &Environment) -> Result<Option<Value>, WrongUsage> {
    let given = key.in_environment(environment).map(|(variable, text)| {
        flag_of(key).form.value(&[text], key).map_err(|WrongUsage(error)| WrongUsage(format!("{variable}: {error}")))
    });
    given.transpose()
}

impl Form {
    /// The value as an event has it. What does not have the form stays text, which the settings then refuse by name.
    fn value(self, texts: &[&str], key: &Key) -> Result<Value, WrongUsage> {
        let text = texts.last().copied().unwrap_or_default();
        let integer = || {
            let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            digits.then(|| text.parse::<u64>().ok()).flatten().map_or(Value::from(text), Value::from)
        };
        Ok(match self {
            Self::Switch | Self::Text => text.into(),
            Self::DaysOrNever if text.eq_ignore_ascii_case("never") => Value::Null,
            Self::Integer | Self::DaysOrNever => integer(),
            Self::Number => text.parse::<f64>().map_or(Value::from(text), Value::from),
            Self::List => {
                let items = texts.iter().flat_map(|text| text.split(',')).map(str::trim);
                items.filter(|item| !item.is_empty()).collect()
            }
            Self::File => {
                let value = match read_json(text)? {
                    // An event that was tried out can be used as it is, if nothing else stands in it.
                    Value::Object(mut event) if event.contains_key(key.name) => {
                        if event.len() > 1 {
                            return Err(WrongUsage(format!(
                                "{text} has more settings than {}: give it as --settings {text}",
                                key.name
                            )));
                        }
                        event.remove(key.name).unwrap_or_default()
                    }
                    // What ECR has for a repository, and what people try first.
                    Value::Object(policy) if policy.contains_key("rules") && !policy.contains_key("repositories") => {
                        return Err(WrongUsage(format!(
                            "{text} is one policy without repositories: write [{{ \"repositories\": [\"*\"], \"rules\": [its rules] }}]"
                        )));
                    }
                    value => value,
                };
                if value.is_null() {
                    // It would count as not given, and other images would be stale than somebody meant.
                    return Err(WrongUsage(format!("{text} holds null; leave it out if there are none")));
                }
                value
            }
        })
    }
}

/// Reads a JSON file.
pub(super) fn read_json(file: &str) -> Result<Value, WrongUsage> {
    let text = std::fs::read_to_string(file).map_err(|error| WrongUsage(format!("{file}: {error}")))?;
    serde_json::from_str(&text).map_err(|error| WrongUsage(format!("{file} is not JSON: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_has_a_flag_and_the_help_tells_of_it() {
        let help = crate::terminal::arguments::command().find_subcommand_mut("plan").unwrap().render_help().to_string();
        let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
        for key in KEYS {
            assert!(help.contains(&format!("--{}", name_of(key))), "{}", key.name);
            assert!(help.contains(flag_of(key).help) && flag_of(key).help != UNDESCRIBED, "{}", key.name);
            // The command itself says what the variable would.
            let variable = key.environment.filter(|variable| *variable != DRY_RUN_VARIABLE);
            assert!(variable.is_none_or(|variable| help.contains(&format!("[env: {variable}]"))), "{}", key.name);
        }
        let flags: Vec<Arg> = all().collect();
        assert_eq!(flags.len(), KEYS.len());
    }

    #[test]
    fn flags_are_named_in_kebab_case() {
        let names: Vec<String> = KEYS.iter().map(name_of).collect();
        for name in ["region", "images-to-keep", "untagged-older-than-days", "price-per-gb-month"] {
            assert!(names.iter().any(|known| known == name), "{name}");
        }
    }

    #[test]
    fn what_lacks_the_form_of_a_setting_is_left_for_the_settings_to_refuse() {
        let key = &KEYS[0];
        for (form, text, value) in [
            (Form::Integer, "12", Value::from(12)),
            (Form::Integer, "ten", Value::from("ten")),
            (Form::Integer, "+1", Value::from("+1")),
            (Form::DaysOrNever, "Never", Value::Null),
            (Form::DaysOrNever, "3", Value::from(3)),
            (Form::Number, "0.05", Value::from(0.05)),
            (Form::Number, "cheap", Value::from("cheap")),
            (Form::List, "a, b,,c", serde_json::json!(["a", "b", "c"])),
            (Form::List, "", serde_json::json!([])),
            (Form::Switch, "false", Value::from("false")),
        ] {
            assert_eq!(form.value(&[text], key).unwrap(), value, "{form:?} {text}");
        }
        assert_eq!(Form::List.value(&["a,b", "c"], key).unwrap(), serde_json::json!(["a", "b", "c"]));
    }
}
