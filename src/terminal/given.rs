//! The settings that flags, a settings file and the environment give, each as an event would. `settings` checks them, as it
//! checks every event.

use std::collections::BTreeSet;
use std::io::Read;

use clap::ArgMatches;
use ecr_cleanup_core::in_use_list;
use ecr_cleanup_core::saved_plan::may_stand_beside_a_plan;
use ecr_cleanup_core::settings::keys::{DRY_RUN, IN_USE_IMAGES, MAX_DELETIONS, MEMORY, POLICIES, USAGE_EXTERNAL_ID};
use ecr_cleanup_core::settings::{Environment, GivenBy, InvalidSettings, KEYS, Key, Layer, Mode, Settings, TAGS};
use serde_json::{Map, Value};

use super::invalid::{self, Names};
use super::{WrongUsage, flags, memory, trouble, variables};
use crate::event::Event;

/// The settings of a command.
#[derive(Debug)]
pub(super) struct Given {
    /// The settings, resolved.
    pub(super) settings: Settings,
    /// The pattern of tags that the images to delete have.
    pub(super) tags: Option<String>,
    /// The images that files list as in use.
    pub(super) listed: BTreeSet<String>,
}

/// What a reviewed plan says of itself.
pub(super) struct Planned<'a> {
    /// The settings.
    pub(super) settings: Map<String, Value>,
    /// The pattern of tags that its images have.
    pub(super) tags: Option<String>,
    /// Its file.
    pub(super) file: &'a str,
}

impl Given {
    /// Gathers the settings of a command. The command itself decides whether it deletes.
    pub(super) fn gather(matches: &ArgMatches, mode: Mode, environment: &Environment) -> Result<Self, WrongUsage> {
        let mut flags = flags::given(matches)?;
        let file = matches.get_one::<String>("settings");
        let in_file = file.map_or_else(|| Ok(Map::new()), |file| settings_of(file))?;
        variables::refuse_to_contradict(environment, &[&flags, &in_file], mode)?;
        let whole_environment = environment;
        let mut environment = variables::that_count(environment);
        flags::refuse_in_environment(&environment, &[&flags, &in_file])?;
        let (in_policies_file, policies_file) = take_policies(&[&flags, &in_file], &mut environment)?;
        let listed = images_in_use(matches)?;
        let given_by_flag: BTreeSet<String> = flags.keys().cloned().collect();
        add_images_in_use(&mut flags, &in_file, &environment, as_values(&listed))?;
        let origin = Origin {
            flags: given_by_flag.iter().map(String::as_str).collect(),
            tags: of_flag(matches, "tags").map(|tags| (tags.as_str(), "--tags")),
            file: file.map(String::as_str),
            policies_file: policies_file
                .or_else(|| of_flag(matches, POLICIES.name).map(|file| format!("--policies {file}"))),
        };
        let layers = [
            Layer { by: GivenBy::Flag, settings: &flags },
            Layer { by: GivenBy::File, settings: &in_file },
            Layer { by: GivenBy::Environment, settings: &in_policies_file },
        ];
        let given = Self::resolve(&layers, &environment, mode, &origin, listed)?;
        Ok(Self { settings: memory::applied(given.settings, matches, whole_environment), ..given })
    }

    /// Gathers the settings by which a reviewed plan is carried out: its own, and those that can only keep more images.
    pub(super) fn beside_plan(
        matches: &ArgMatches,
        Planned { mut settings, tags, file }: Planned<'_>,
        environment: &Environment,
    ) -> Result<Self, WrongUsage> {
        let mut flags = flags::given(matches)?;
        let whole = ["settings", "tags"].into_iter().find(|flag| matches.contains_id(flag));
        let given = flags.keys().filter_map(|name| Key::named(name));
        let other = given.filter(|key| !may_stand_beside_a_plan(key)).map(Key::flag).next();
        if let Some(flag) = whole.map(str::to_owned).or(other) {
            return Err(WrongUsage(format!(
                "--{flag} can't be combined with a plan file: {file} has its own settings. To change them, create a new plan."
            )));
        }
        variables::refuse_to_contradict(environment, &[&flags], Mode::Live)?;
        let whole_environment = environment;
        let environment = &variables::that_count(environment);
        refuse_contradictions(environment, &settings, file)?;
        // Of several limits the lowest applies, wherever it is given. One that is no number is refused below.
        if let (Some(Value::Number(given)), Some(Value::Number(planned))) =
            (flags.get(MAX_DELETIONS.name), settings.get(MAX_DELETIONS.name))
            && given.as_u64() > planned.as_u64()
        {
            flags.remove(MAX_DELETIONS.name);
        }
        let of_flag = flags.remove(IN_USE_IMAGES.name);
        let given_by_flag: BTreeSet<String> = flags.keys().cloned().collect();
        // Settings that can only keep more images count in the environment too, and no others.
        let mut asked = vec![&USAGE_EXTERNAL_ID, &MEMORY];
        let limit = flags::in_environment(&MAX_DELETIONS, environment)?;
        if is_lower(limit.as_ref(), flags.get(MAX_DELETIONS.name).or(settings.get(MAX_DELETIONS.name))) {
            flags.remove(MAX_DELETIONS.name);
            settings.remove(MAX_DELETIONS.name);
            asked.push(&MAX_DELETIONS);
        }
        let asked = asked.into_iter().filter_map(|key| key.in_environment(environment));
        let mut more = references(
            flags::in_environment(&IN_USE_IMAGES, environment)?,
            &IN_USE_IMAGES.prefixed().unwrap_or_default(),
        )?;
        let environment = asked.map(|(variable, text)| (variable.to_owned(), text.to_owned())).collect();
        more.extend(references(of_flag, "--in-use-images")?);
        let listed = images_in_use(matches)?;
        more.extend(as_values(&listed));
        add_images_in_use(&mut flags, &settings, &environment, more)?;
        let given_by_flag = given_by_flag.iter().map(String::as_str).collect();
        let tags = tags.as_deref().map(|tags| (tags, file));
        let origin = Origin { flags: given_by_flag, tags, file: Some(file), policies_file: None };
        let layers = [Layer { by: GivenBy::Flag, settings: &flags }, Layer { by: GivenBy::File, settings: &settings }];
        let given = Self::resolve(&layers, &environment, Mode::Live, &origin, listed)?;
        Ok(Self { settings: memory::applied(given.settings, matches, whole_environment), ..given })
    }

    fn resolve(
        layers: &[Layer<'_>],
        environment: &Environment,
        mode: Mode,
        origin: &Origin<'_>,
        listed: BTreeSet<String>,
    ) -> Result<Self, WrongUsage> {
        let read = |file: &str| std::fs::read_to_string(file);
        let mut settings = Settings::resolve_layers(layers, environment, &read).map_err(|error| origin.name(error))?;
        let only_tags = origin.tags.map(|(tags, by)| invalid::pattern(tags, Names::Tags, by)).transpose()?;
        if only_tags.is_some() {
            let by = if origin.tags.is_some_and(|(_, by)| by == "--tags") { GivenBy::Flag } else { GivenBy::File };
            settings.given_by.insert(TAGS, by);
        }
        settings.rules.only_tags = only_tags;
        let is_given = settings.given_by.contains_key(DRY_RUN.name);
        if is_given && settings.mode != mode {
            return Err(WrongUsage(match mode {
                Mode::DryRun => {
                    "dryRun is false, but this command never deletes. Omit dryRun, or use: ecr-cleanup delete"
                        .to_owned()
                }
                Mode::Live => {
                    "dryRun is true, but this command deletes. Omit dryRun, or use: ecr-cleanup plan".to_owned()
                }
            }));
        }
        let tags = origin.tags.map(|(tags, _)| tags.to_owned());
        Ok(Self { settings: settings.commanded(mode), tags, listed })
    }
}

/// Where settings come from, for the errors.
struct Origin<'a> {
    flags: BTreeSet<&'a str>,
    /// The pattern of tags, with what gives it.
    tags: Option<(&'a str, &'a str)>,
    file: Option<&'a str>,
    /// The file of the policies, with the flag or the variable that gives it.
    policies_file: Option<String>,
}

impl Origin<'_> {
    /// Names the flag or the file that an unusable setting was given in.
    fn name(&self, mut error: InvalidSettings) -> WrongUsage {
        let end = error.key.find(['[', '.']).unwrap_or(error.key.len());
        let (name, rest) = error.key.split_at(end);
        if let (true, Some(file)) = (name == POLICIES.name, &self.policies_file) {
            // Somebody who wrote a file of policies has not written the name of the setting.
            if !rest.is_empty() {
                error.key = rest.to_owned();
            }
            return WrongUsage(format!("{file}: {error}"));
        }
        match (self.flags.get(name).and_then(|name| Key::named(name)), self.file) {
            (Some(key), _) => {
                error.key = format!("--{}{rest}", key.flag());
                WrongUsage(error.to_string())
            }
            (None, Some(file)) if !KEYS.iter().any(|key| key.prefixed().as_deref() == Some(name)) => {
                WrongUsage(format!("{file}: {error}"))
            }
            (None, _) => WrongUsage(error.to_string()),
        }
    }
}

/// The text of a flag, if the command has that flag and it was passed.
fn of_flag<'a>(matches: &'a ArgMatches, id: &str) -> Option<&'a String> {
    matches.try_get_one::<String>(id).ok().flatten()
}

fn settings_of(file: &str) -> Result<Map<String, Value>, WrongUsage> {
    // When it was sent is not a setting: here it is always now.
    match Event::parse(flags::read_json(file)?) {
        Ok(Event { plan: Some(id), .. }) => Err(WrongUsage(format!(
            "{file}: `plan` names a saved plan, and is no setting. To carry it out: ecr-cleanup delete s3://BUCKET/PREFIX/plans/{id}"
        ))),
        Ok(event) => Ok(event.settings),
        Err(error) => Err(WrongUsage(format!("{file}: {error}"))),
    }
}

/// Reads the policies of a file that the environment gives, as the flag does, with its errors. Returns the file where it
/// counts.
fn take_policies(
    layers: &[&Map<String, Value>],
    environment: &mut Environment,
) -> Result<(Map<String, Value>, Option<String>), WrongUsage> {
    let are_given = |layer: &&Map<String, Value>| layer.get(POLICIES.name).is_some_and(|policies| !policies.is_null());
    let given = if layers.iter().any(are_given) { None } else { POLICIES.in_environment(environment) };
    let Some((variable, file)) = given else { return Ok((Map::new(), None)) };
    let (variable, told) = (variable.to_owned(), format!("{variable} {file}"));
    let policies = flags::in_environment(&POLICIES, environment)?;
    environment.remove(&variable);
    Ok((policies.map(|policies| (POLICIES.name.to_owned(), policies)).into_iter().collect(), Some(told)))
}

/// Refuses a variable that contradicts a plan file: its user expects it to count, and it could exclude a repository.
fn refuse_contradictions(
    environment: &Environment,
    planned: &Map<String, Value>,
    file: &str,
) -> Result<(), WrongUsage> {
    for key in KEYS.iter().filter(|key| !may_stand_beside_a_plan(key)) {
        if let Some((variable, text)) = key.in_environment(environment)
            && let Some(value) = flags::in_environment(key, environment)?
            && !is_same(&value, planned.get(key.name).unwrap_or(&Value::Null))
        {
            return Err(WrongUsage(format!(
                "{variable}=\"{text}\" contradicts {file}, which has its own settings. Unset the variable, or create a new plan."
            )));
        }
    }
    Ok(())
}

/// Whether two values of a setting mean the same: a switch may be a text, and a list may have any order.
fn is_same(one: &Value, other: &Value) -> bool {
    let texts = |value: &Value| -> BTreeSet<String> {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        match value {
            Value::Array(items) => items.iter().map(text).collect(),
            value => [text(value)].into(),
        }
    };
    let is_switch = |value: &Value, text: &Value| {
        value
            .as_bool()
            .is_some_and(|value| text.as_str().is_some_and(|text| text.eq_ignore_ascii_case(&value.to_string())))
    };
    texts(one) == texts(other) || is_switch(other, one)
}

/// Whether a limit is lower than another. One that is no number counts as lower, so that the settings refuse it.
fn is_lower(limit: Option<&Value>, other: Option<&Value>) -> bool {
    match (limit, other) {
        (Some(Value::Number(limit)), Some(Value::Number(other))) => limit.as_u64() < other.as_u64(),
        (Some(_), Some(Value::Number(_) | Value::Null) | None) => true,
        (Some(_), Some(_)) | (None, _) => false,
    }
}

/// The images of a list, each checked.
fn references(list: Option<Value>, given_by: &str) -> Result<Vec<Value>, WrongUsage> {
    let images = match list {
        Some(Value::Array(images)) => images,
        Some(other) => vec![other],
        None => Vec::new(),
    };
    for image in images.iter().filter_map(Value::as_str).flat_map(str::split_whitespace) {
        invalid::image(image, given_by)?;
    }
    Ok(images)
}

fn as_values(images: &BTreeSet<String>) -> Vec<Value> {
    images.iter().map(|image| image.as_str().into()).collect()
}

/// Adds images to those that are in use by a flag, a file or the environment: the flags then have all of them.
fn add_images_in_use(
    flags: &mut Map<String, Value>,
    file: &Map<String, Value>,
    environment: &Environment,
    more: Vec<Value>,
) -> Result<(), WrongUsage> {
    if more.is_empty() {
        return Ok(());
    }
    let given = [flags.get(IN_USE_IMAGES.name), file.get(IN_USE_IMAGES.name)];
    let known = match given.into_iter().flatten().find(|value| !value.is_null()) {
        Some(known) => Some(known.clone()),
        None => flags::in_environment(&IN_USE_IMAGES, environment)?,
    };
    let mut images = match known {
        Some(Value::Array(images)) => images,
        // Not a list: the settings refuse it.
        Some(_) => return Ok(()),
        None => Vec::new(),
    };
    images.extend(more);
    flags.insert(IN_USE_IMAGES.name.to_owned(), images.into());
    Ok(())
}

/// The images that files list.
fn images_in_use(matches: &ArgMatches) -> Result<BTreeSet<String>, WrongUsage> {
    let mut images = BTreeSet::new();
    for file in matches.get_many::<String>("in-use-file").into_iter().flatten() {
        let text = if file == "-" {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).map(|_| text)
        } else {
            std::fs::read_to_string(file)
        };
        let text =
            text.map_err(|error| WrongUsage(format!("can't read --in-use-file {file}: {}", trouble::plain(&error))))?;
        images.extend(in_use_list::read(&text).map_err(|error| WrongUsage(format!("--in-use-file {file}: {error}")))?);
    }
    Ok(images)
}

#[cfg(test)]
mod tests;
