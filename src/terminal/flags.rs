//! The flags of the settings: one for every key, made from the list of keys, so that a new setting has its flag at once.

use clap::{Arg, ArgAction, ArgMatches};
use ecr_cleanup_core::settings::keys::{self, Form};
use ecr_cleanup_core::settings::{Environment, KEYS, Key};
use ecr_cleanup_core::strict_json::{self, NotRead};
use serde_json::{Map, Value};

use super::WrongUsage;

/// The flags of all settings.
pub(super) fn all() -> impl Iterator<Item = Arg> {
    KEYS.iter().map(|key| {
        let default = key.default.map_or_else(String::new, |default| format!(" [default: {default}]"));
        // A command stands for this variable.
        let variable = key.prefixed().filter(|_| key.name != keys::DRY_RUN.name);
        let environment = variable.map_or_else(String::new, |variable| format!(" [env: {variable}]"));
        let flag = Arg::new(key.name)
            .long(key.flag())
            .value_name(key.value)
            .help(format!("{}{default}{environment}", key.help))
            .help_heading("Settings")
            .allow_negative_numbers(true)
            .value_parser(filled);
        match key.form {
            Form::List => flag.action(ArgAction::Append),
            // With a space, what follows could as well be an argument of its own.
            Form::Switch => flag.num_args(0..=1).require_equals(true).default_missing_value("true"),
            Form::Integer | Form::Number | Form::Text | Form::DaysOrNever | Form::IntegerOrAll | Form::File => flag,
        }
    })
}

/// The text of a flag, which says something. An empty one is most likely somebody's variable that is not set, and would
/// take away what it was to name: `--keep-tags "$KEEP"`.
pub(super) fn filled(text: &str) -> Result<String, &'static str> {
    if text.trim_matches(|c: char| c.is_whitespace() || c == ',').is_empty() {
        return Err("nothing is given: leave the flag out, or write an empty list as [] in a --settings file");
    }
    Ok(text.to_owned())
}

/// The settings that flags give, as an event would.
pub(super) fn given(matches: &ArgMatches) -> Result<Map<String, Value>, WrongUsage> {
    let mut given = Map::new();
    for key in KEYS {
        let texts: Vec<&str> = matches.get_many::<String>(key.name).into_iter().flatten().map(String::as_str).collect();
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
        value_of(key, &[text]).map_err(|WrongUsage(error)| WrongUsage(format!("{variable}: {error}")))
    });
    given.transpose()
}

/// A setting's value as an event has it. What does not have the form stays text, which the settings then refuse by name.
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

/// Reads a JSON file.
pub(super) fn read_json(file: &str) -> Result<Value, WrongUsage> {
    let text = std::fs::read_to_string(file).map_err(|error| WrongUsage(format!("{file}: {error}")))?;
    strict_json::read(&text).map_err(|error| match error {
        NotRead::NotJson(error) => WrongUsage(format!("{file} is not JSON: {error}")),
        NotRead::Twice(_) => WrongUsage(format!("{file}: {error}: which of them is meant?")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_has_a_flag_and_the_help_tells_of_it() {
        let help = crate::terminal::arguments::command().find_subcommand_mut("plan").unwrap().render_help().to_string();
        let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
        for key in KEYS {
            assert!(help.contains(&format!("--{}", key.flag())), "{}", key.name);
            assert!(help.contains(key.help) && !key.help.is_empty(), "{}", key.name);
            // The command itself says what the variable would.
            let variable = key.prefixed().filter(|_| key.name != keys::DRY_RUN.name);
            assert!(variable.is_none_or(|variable| help.contains(&format!("[env: {variable}]"))), "{}", key.name);
        }
        let flags: Vec<Arg> = all().collect();
        assert_eq!(flags.len(), KEYS.len());
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
