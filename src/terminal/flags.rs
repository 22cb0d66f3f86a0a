//! The flags of the settings: one for every key, made from the list of keys, so that a new setting has its flag at once.

use std::ops::Range;

use clap::{Arg, ArgAction, ArgMatches};
use ecr_cleanup_core::settings::keys::{Form, Null, REPOSITORIES};
use ecr_cleanup_core::settings::{Environment, KEYS, Key};
use ecr_cleanup_core::strict_json::{self, NotRead};
use serde_json::{Map, Value};

use super::help::{self, Attended};
use super::{WrongUsage, invalid, trouble};

/// The argument of `plan` that means the same as `--repositories`.
pub(super) const REPOSITORY: &str = "REPOSITORY";

/// The flags of all settings, each shown in a command's help where it matters to that command.
pub(super) fn all(command: Attended) -> impl Iterator<Item = Arg> {
    KEYS.iter().filter(move |key| help::accepts(command, key)).map(move |key| {
        let flag = Arg::new(key.name)
            .long(key.flag())
            .value_name(key.value)
            .help_heading("Settings")
            .allow_negative_numbers(true)
            .value_parser(filled);
        let flag = help::of_setting(flag, key, command);
        match key.form {
            Form::List => flag.action(ArgAction::Append),
            // With a space, what follows could as well be an argument of its own.
            Form::Switch => flag.num_args(0..=1).require_equals(true).default_missing_value("true"),
            Form::Integer | Form::Number | Form::Text | Form::DaysOrNever | Form::IntegerOrAll | Form::File => flag,
        }
    })
}

/// The text of a flag, unless it is empty. An empty one is most likely a variable of a script that is not set:
/// `--keep-tags "$KEEP"` would then keep nothing.
pub(super) fn filled(text: &str) -> Result<String, &'static str> {
    if text.trim_matches(|c: char| c.is_whitespace() || c == ',').is_empty() {
        return Err("the value is empty. Omit the flag. To set an empty list, write [] in a --settings file");
    }
    Ok(text.to_owned())
}

/// The settings that flags give, as an event would.
pub(super) fn given(matches: &ArgMatches) -> Result<Map<String, Value>, WrongUsage> {
    let texts_of = |id: &str| -> Vec<&str> {
        matches.try_get_many::<String>(id).ok().flatten().into_iter().flatten().map(String::as_str).collect()
    };
    let mut given = Map::new();
    for key in KEYS {
        let mut texts = texts_of(key.name);
        invalid_in(key, &texts, &format!("--{}", key.flag()))?;
        if key.name == REPOSITORIES.name {
            let positional = texts_of(REPOSITORY);
            invalid_in(key, &positional, REPOSITORY)?;
            texts.extend(positional);
        }
        if !texts.is_empty() {
            let value = value_of(key, &texts).map_err(|error| error.of(&key.flag()))?;
            given.insert(key.name.to_owned(), value);
        }
    }
    Ok(given)
}

/// A setting that the environment gives, as an event would.
pub(super) fn in_environment(key: &Key, environment: &Environment) -> Result<Option<Value>, WrongUsage> {
    let given = key.in_environment(environment).map(|(variable, text)| {
        invalid_in(key, &[text], variable)?;
        value_of(key, &[text]).map_err(|WrongUsage(error)| WrongUsage(format!("{variable}: {error}")))
    });
    given.transpose()
}

/// Refuses the first variable that counts and has a value that can't be used. What `layers` give counts instead.
pub(super) fn refuse_in_environment(
    environment: &Environment,
    layers: &[&Map<String, Value>],
) -> Result<(), WrongUsage> {
    for key in KEYS {
        let counts = |value: &Value| !value.is_null() || key.null != Null::Unset;
        let mut given = layers.iter().flat_map(|layer| layer.iter());
        let is_given = given.any(|(name, value)| key.is_spelled(name) && counts(value));
        if let (false, Some((variable, text))) = (is_given, key.in_environment(environment)) {
            invalid_in(key, &[text], variable)?;
        }
    }
    Ok(())
}

fn invalid_in(key: &Key, texts: &[&str], by: &str) -> Result<(), WrongUsage> {
    if texts.is_empty() { Ok(()) } else { invalid::check(key, texts, by) }
}

/// A text in which settings have the names of their flags: `maxDeletions` is `--max-deletions`. Names of one word don't
/// change, since they may be ordinary words.
pub(super) fn named_in(text: &str) -> String {
    let is_of_name = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    let stands_alone = |text: &str, place: &Range<usize>| {
        !text[..place.start].ends_with(is_of_name) && !text[place.end..].starts_with(is_of_name)
    };
    let mut named = text.to_owned();
    for key in KEYS.iter().filter(|key| key.name.contains(|c: char| c.is_ascii_uppercase())) {
        let flag = format!("--{}", key.flag());
        let mut from = 0;
        while let Some(place) = named[from..].find(key.name).map(|at| from + at..from + at + key.name.len()) {
            from = place.end;
            if stands_alone(&named, &place) {
                named.replace_range(place.clone(), &flag);
                from = place.start + flag.len();
            }
        }
    }
    named
}

/// A setting's value as an event has it. A text without the setting's form is returned as a text, which the settings then refuse.
fn value_of(key: &Key, texts: &[&str]) -> Result<Value, WrongUsage> {
    let text = texts.last().copied().unwrap_or_default();
    let integer = || {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| text.parse::<u64>().ok()).flatten().map_or(Value::from(text), Value::from)
    };
    Ok(match key.form {
        Form::Switch | Form::Text => text.into(),
        Form::DaysOrNever if text.eq_ignore_ascii_case("never") => Value::Null,
        Form::IntegerOrAll if text.eq_ignore_ascii_case("all") => Value::Null,
        Form::Integer | Form::DaysOrNever | Form::IntegerOrAll => integer(),
        Form::Number => text.parse::<f64>().map_or(Value::from(text), Value::from),
        Form::List => {
            let items = texts.iter().flat_map(|text| text.split(',')).map(str::trim);
            items.filter(|item| !item.is_empty()).collect()
        }
        Form::File => {
            let value = match read_json(text)? {
                // An event that was tried out can be used as it is, if it has nothing else.
                Value::Object(mut event) if event.contains_key(key.name) => {
                    if event.len() > 1 {
                        return Err(WrongUsage(format!(
                            "{text} has settings besides {}. Pass it as --settings {text}.",
                            key.name
                        )));
                    }
                    event.remove(key.name).unwrap_or_default()
                }
                // What ECR has for a repository, and what people try first.
                Value::Object(policy) if policy.contains_key("rules") && !policy.contains_key("repositories") => {
                    return Err(WrongUsage(format!(
                        "{text} is a lifecycle policy without repositories. Write [{{ \"repositories\": [\"*\"], \"rules\": [...] }}] with its rules."
                    )));
                }
                value => value,
            };
            if value.is_null() {
                // It would count as not given, and other images would be stale than somebody meant.
                return Err(WrongUsage(format!("{text} contains null. Omit the file if there are no policies.")));
            }
            value
        }
    })
}

/// Reads a JSON file.
pub(super) fn read_json(file: &str) -> Result<Value, WrongUsage> {
    let text = read(file)?;
    strict_json::read(&text).map_err(|error| match error {
        NotRead::NotJson(error) => WrongUsage(format!("{file} is not JSON: {error}")),
        NotRead::Twice(key) => WrongUsage(format!("{file} has the key \"{key}\" twice. Remove one of them.")),
    })
}

/// Reads a text file.
pub(super) fn read(file: &str) -> Result<String, WrongUsage> {
    std::fs::read_to_string(file).map_err(|error| WrongUsage(format!("can't read {file}: {}", trouble::plain(&error))))
}

#[cfg(test)]
mod tests {
    use ecr_cleanup_core::settings::keys;

    use super::*;

    #[test]
    fn every_setting_has_a_flag_and_the_help_tells_of_it() {
        let mut command = crate::terminal::arguments::command();
        let help = command.find_subcommand_mut("plan").unwrap().render_long_help().to_string();
        let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
        for key in KEYS {
            // The command itself says what this one would.
            let is_shown = key.name != keys::DRY_RUN.name;
            let flag = key.flag();
            let is_there = help.contains(&format!("--{flag} ")) || help.contains(&format!("--{flag}[="));
            assert_eq!(is_there, is_shown, "{}", key.name);
            assert!(!is_shown || help.contains(key.help) && !key.help.is_empty(), "{}", key.name);
            let variable = key.prefixed().filter(|_| is_shown);
            assert!(variable.is_none_or(|variable| help.contains(&format!("[env: {variable}]"))), "{}", key.name);
            let default = key.default.filter(|_| is_shown);
            assert!(default.is_none_or(|default| help.contains(&format!("Default: {default}."))), "{}", key.name);
        }
        let flags: Vec<Arg> = all(Attended::Plan).collect();
        assert_eq!(flags.len(), KEYS.len());
    }

    #[test]
    fn settings_have_the_names_of_their_flags() {
        for (text, expected) in [
            ("raise maxDeletions", "raise --max-deletions"),
            ("(keepTags), imagesToKeep.", "(--keep-tags), --images-to-keep."),
            ("the region and its policies", "the region and its policies"),
            ("xmaxDeletions maxDeletions2 a-keepTags", "xmaxDeletions maxDeletions2 a-keepTags"),
            ("usageRegions usageRegions", "--usage-regions --usage-regions"),
        ] {
            assert_eq!(named_in(text), expected);
        }
    }

    #[test]
    fn flags_are_named_in_kebab_case() {
        let names: Vec<String> = KEYS.iter().map(|key| key.flag()).collect();
        for name in ["region", "images-to-keep", "untagged-older-than-days", "price-per-gb-month"] {
            assert!(names.iter().any(|known| known == name), "{name}");
        }
    }

    #[test]
    fn what_lacks_the_form_of_a_setting_is_left_for_the_settings_to_refuse() {
        let key = |form| Key { form, ..keys::DRY_RUN };
        for (form, text, value) in [
            (Form::Integer, "12", Value::from(12)),
            (Form::Integer, "ten", Value::from("ten")),
            (Form::Integer, "+1", Value::from("+1")),
            (Form::DaysOrNever, "Never", Value::Null),
            (Form::DaysOrNever, "3", Value::from(3)),
            (Form::IntegerOrAll, "all", Value::Null),
            (Form::IntegerOrAll, "never", Value::from("never")),
            (Form::Number, "0.05", Value::from(0.05)),
            (Form::Number, "cheap", Value::from("cheap")),
            (Form::List, "a, b,,c", serde_json::json!(["a", "b", "c"])),
            (Form::List, "", serde_json::json!([])),
            (Form::Switch, "false", Value::from("false")),
        ] {
            assert_eq!(value_of(&key(form), &[text]).unwrap(), value, "{form:?} {text}");
        }
        assert_eq!(value_of(&key(Form::List), &["a,b", "c"]).unwrap(), serde_json::json!(["a", "b", "c"]));
    }
}
