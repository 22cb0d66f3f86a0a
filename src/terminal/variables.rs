//! The environment of a terminal, which is everybody's: only variables that begin with this program's name count.

use ecr_cleanup_core::settings::keys::{DRY_RUN, PREFIX};
use ecr_cleanup_core::settings::{Environment, KEYS, Mode};
use serde_json::{Map, Value};

use super::WrongUsage;

/// The variables that give a command its settings, without that for `dryRun`, which the command itself decides. A `REGION`
/// or `REPOSITORIES` that a shell has for something else must not change which images are deleted.
pub(super) fn that_count(environment: &Environment) -> Environment {
    let counts = |name: &String| name.starts_with(PREFIX) && DRY_RUN.prefixed().as_ref() != Some(name);
    let counting = environment.iter().filter(|(name, _)| counts(name));
    counting.map(|(name, text)| (name.clone(), text.clone())).collect()
}

/// Refuses to delete where a variable says that nothing is to be deleted, unless flags or a settings file say
/// otherwise. That variable counts by either name: its author wants to keep images.
pub(super) fn refuse_to_contradict(
    environment: &Environment,
    layers: &[&Map<String, Value>],
    mode: Mode,
) -> Result<(), WrongUsage> {
    let mut given = layers.iter().copied().flatten();
    let is_given = given.any(|(name, value)| DRY_RUN.is_spelled(name) && !value.is_null());
    if is_given || mode == Mode::DryRun {
        return Ok(());
    }
    for variable in DRY_RUN.prefixed().into_iter().chain(DRY_RUN.environment.map(str::to_owned)) {
        let text = environment.get(&variable).map_or("", |text| text.trim());
        if !text.is_empty() && !text.eq_ignore_ascii_case("false") {
            return Err(WrongUsage(format!(
                "{variable} is {text:?} in the environment, but this command deletes. Unset it, or use: ecr-cleanup plan"
            )));
        }
    }
    Ok(())
}

/// The variables that begin as ours do and set nothing: most likely misspelled.
pub(super) fn unknown(environment: &Environment) -> impl Iterator<Item = &String> {
    let is_known = |name: &String| KEYS.iter().any(|key| key.prefixed().as_ref() == Some(name));
    environment.keys().filter(move |name| name.starts_with(PREFIX) && !is_known(name))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        variables.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn only_variables_of_our_own_count() {
        let given = environment(&[
            ("ECR_CLEANUP_REGION", "us-west-2"),
            ("ECR_CLEANUP_DRYRUN", "false"),
            ("REGION", "eu-west-1"),
            ("IMAGES_TO_KEEP", "0"),
            ("ECR_CLEANUP_IMAGE_TO_KEEP", "5"),
        ]);
        let counting: Vec<_> = that_count(&given).into_keys().collect();
        assert_eq!(counting, ["ECR_CLEANUP_IMAGE_TO_KEEP", "ECR_CLEANUP_REGION"]);
        assert_eq!(unknown(&given).collect::<Vec<_>>(), ["ECR_CLEANUP_IMAGE_TO_KEEP"]);
    }

    #[test]
    fn a_variable_that_says_delete_nothing_is_not_overlooked() {
        let refused = |variable: &str, text: &str, event: Value, mode| {
            refuse_to_contradict(&environment(&[(variable, text)]), &[event.as_object().unwrap()], mode).is_err()
        };
        for variable in ["DRYRUN", "ECR_CLEANUP_DRYRUN"] {
            for (text, expected) in [
                ("true", true),
                ("True", true),
                ("1", true),
                (",false,", true),
                ("false", false),
                (" False", false),
                ("", false),
            ] {
                assert_eq!(refused(variable, text, json!({}), Mode::Live), expected, "{variable}={text}");
                assert!(!refused(variable, text, json!({}), Mode::DryRun), "{variable}={text}");
            }
            assert!(!refused(variable, "true", json!({ "dry-run": false }), Mode::Live), "a flag or a file says more");
            assert!(refused(variable, "true", json!({ "dryRun": null }), Mode::Live), "null says nothing");
        }
    }
}
