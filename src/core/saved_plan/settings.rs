//! The settings by which a saved plan is carried out: its own, and those that can only keep more images.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::SavedPlan;
use crate::pattern::Pattern;
use crate::settings::keys::{DRY_RUN, IN_USE_IMAGES, MAX_DELETIONS, MEMORY, USAGE_EXTERNAL_ID};
use crate::settings::{Effective, Environment, GivenBy, InvalidSettings, KEYS, Key, Layer, ReadFile, Settings, TAGS};

/// The settings that may be given with a saved plan. They can only keep more images, or are needed to read usage at all.
const BESIDE_A_PLAN: [&Key; 5] = [&IN_USE_IMAGES, &MAX_DELETIONS, &USAGE_EXTERNAL_ID, &DRY_RUN, &MEMORY];

/// Whether a setting may be given with a saved plan.
#[must_use]
pub fn may_stand_beside_a_plan(key: &Key) -> bool {
    BESIDE_A_PLAN.iter().any(|it| it.name == key.name)
}

impl SavedPlan {
    /// The settings of a run that carries this plan out for an event. Unless the event has `dryRun: false`, the run only
    /// plans. Of two limits the lower applies, and of two lists all images.
    ///
    /// # Errors
    /// When the event has other settings, or when a variable contradicts the plan.
    pub fn settings_for(
        &self,
        event: &Map<String, Value>,
        environment: &Environment,
        read_file: ReadFile<'_>,
    ) -> Result<Settings, InvalidSettings> {
        let other = |name: &&String| !BESIDE_A_PLAN.iter().any(|key| key.is_spelled(name));
        if let Some(name) = event.keys().find(other) {
            let accepted = "a plan's own settings. To change them, make a new plan";
            return Err(InvalidSettings::without_value(name, "given together with `plan`", accepted));
        }
        let layers = [Layer { by: GivenBy::File, settings: &self.settings }];
        let mut settings = Settings::resolve_layers(&layers, &Environment::new(), read_file)?;
        refuse_contradictions(&settings, environment, read_file)?;
        if let Some(tags) = &self.tags {
            let pattern = Pattern::for_tags(tags);
            settings.rules.only_tags = Some(pattern.map_err(|error| {
                InvalidSettings::without_value(
                    TAGS,
                    "read from the plan",
                    &format!("a pattern of tags ({})", error.problem()),
                )
            })?);
            settings.given_by.insert(TAGS, GivenBy::File);
        }
        let may_count = |variable: &String| {
            // Only the event itself says that a plan is to be carried out.
            let of = |key: &&&Key| key.environment == Some(variable) || key.prefixed().as_ref() == Some(variable);
            BESIDE_A_PLAN.iter().find(of).is_some_and(|key| key.name != DRY_RUN.name)
        };
        let environment = environment.iter().filter(|(name, _)| may_count(name));
        let environment = environment.map(|(name, text)| (name.clone(), text.clone())).collect();
        let beside = Settings::resolve(event, &environment, read_file)?;
        let is_lower = beside.max_deletions.is_some_and(|limit| settings.max_deletions.is_none_or(|own| limit < own));
        if is_lower {
            settings.max_deletions = beside.max_deletions;
        }
        let own: BTreeSet<String> = settings.usage.in_use_images.iter().cloned().collect();
        let more = beside.usage.in_use_images.into_iter().filter(|image| !own.contains(image));
        settings.usage.in_use_images.extend(more);
        settings.usage.external_id = beside.usage.external_id;
        settings.memory = beside.memory.or(settings.memory);
        settings.mode = beside.mode;
        let given_by = beside.given_by.into_iter().filter(|(name, _)| *name != MAX_DELETIONS.name || is_lower);
        settings.given_by.extend(given_by);
        Ok(settings)
    }
}

/// Refuses a variable that contradicts the plan. Its user expects it to have an effect, and it could exclude a repository.
fn refuse_contradictions(
    planned: &Settings,
    environment: &Environment,
    read_file: ReadFile<'_>,
) -> Result<(), InvalidSettings> {
    let given = KEYS.iter().filter(|key| !may_stand_beside_a_plan(key));
    for (key, (variable, text)) in given.filter_map(|key| Some((key, key.in_environment(environment)?))) {
        let alone = [(variable.to_owned(), text.to_owned())].into();
        let value = |settings: &Settings| {
            let effective = settings.effective().into_iter().find(|Effective { name, .. }| *name == key.name);
            effective.map(|setting| setting.value)
        };
        if value(&Settings::resolve(&Map::new(), &alone, read_file)?) != value(planned) {
            let accepted = "the value with which the plan was made. Correct the variable, or make a new plan";
            return Err(InvalidSettings::without_value(variable, &format!("\"{text}\" here"), accepted));
        }
    }
    Ok(())
}
