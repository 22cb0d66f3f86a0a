//! Reads settings by type, from the layers (the event, or the flags and files of a terminal) and the environment.

use std::collections::BTreeSet;
use std::fmt;

use regex::Regex;
use serde_json::Value;

use super::keys::Null;
use super::{Environment, GivenBy, InvalidSettings, KEYS, Key, Layer, Problem, ReadFile};
use crate::account::{AccountId, ExternalId, NotAName, Region, RoleArn};
use crate::memory::MemoryLocation;
use crate::pattern::{Pattern, UnusablePattern};
use crate::policy::{InvalidPolicy, Policies};
use crate::reference::ImageReference;
use crate::sharing::AcceptedAccounts;
use crate::strict_json;

const REGIONS: &str = "a Region code such as us-west-2, or a list of them";
const INTEGER: &str = "a whole number from 0 to 4294967295";

/// The layers and the environment. Their keys are valid, and each layer has each setting at most once.
pub(super) struct Given<'a> {
    layers: &'a [Layer<'a>],
    environment: &'a Environment,
}

/// The value of one setting before it is parsed.
enum Raw<'a> {
    /// From a layer, with this spelling of the key.
    Event(&'a str, &'a Value),
    /// From this environment variable.
    Environment(&'a str, &'a str),
}

impl Raw<'_> {
    fn is_null(&self) -> bool {
        matches!(self, Self::Event(_, Value::Null))
    }

    fn key(&self) -> &str {
        match self {
            Self::Event(key, _) => key,
            Self::Environment(variable, _) => variable,
        }
    }

    fn refuse(&self, accepted: &str) -> InvalidSettings {
        self.refuse_because(&format!("expected {accepted}"))
    }

    fn refuse_because(&self, cause: &str) -> InvalidSettings {
        match self {
            Self::Event(key, value) => InvalidSettings::because(key, value, cause),
            Self::Environment(variable, text) => InvalidSettings::because(variable, &Value::from(*text), cause),
        }
    }

    /// Rejects one item of a list, or one word of it.
    fn refuse_item(&self, item: &str, cause: &str) -> InvalidSettings {
        InvalidSettings::because(self.key(), &Value::from(item), cause)
    }
}

impl<'a> Given<'a> {
    pub(super) fn new(layers: &'a [Layer<'a>], environment: &'a Environment) -> Result<Self, InvalidSettings> {
        for name in layers.iter().flat_map(|layer| layer.settings.keys()) {
            if !KEYS.iter().any(|key| key.is_spelled(name)) {
                let names: Vec<_> = KEYS.iter().map(|key| key.name).collect();
                return Err(InvalidSettings::of(
                    name,
                    Problem::Unknown(format!("expected one of {}", names.join(", "))),
                ));
            }
        }
        let given = Self { layers, environment };
        for key in KEYS {
            let mut variables = key.all_in_environment(environment);
            if let (Some((first, text)), Some((second, other))) = (variables.next(), variables.next())
                && text != other
            {
                let name = key.name;
                let sentence = format!("{second} contradicts {first}: both set {name}, to different values. Unset one");
                return Err(InvalidSettings::of(second, Problem::Sentence(sentence)));
            }
            for layer in layers {
                let mut spellings = layer.settings.iter().filter(|(name, _)| key.is_spelled(name));
                if let (Some((first, _)), Some((second, _))) = (spellings.next(), spellings.next()) {
                    let sentence = format!("`{first}` and `{second}` are two spellings of one setting. Remove one");
                    return Err(InvalidSettings::of(second, Problem::Sentence(sentence)));
                }
            }
        }
        Ok(given)
    }

    /// An error for the value of this key.
    pub(super) fn refuse(&self, key: &Key, accepted: &str) -> InvalidSettings {
        self.find(key)
            .map_or_else(|| InvalidSettings::new(key.name, &Value::Null, accepted), |raw| raw.refuse(accepted))
    }

    /// The first value that is not null, else that of the environment, unless it is empty.
    fn find(&self, key: &Key) -> Option<Raw<'a>> {
        self.all(key).map(|(_, raw)| raw).find(|raw| !raw.is_null())
    }

    /// The first value, which can be null, else that of the environment, unless it is empty.
    fn first(&self, key: &Key) -> Option<Raw<'a>> {
        self.all(key).map(|(_, raw)| raw).next()
    }

    /// Whether a layer or the environment has it.
    pub(super) fn is_given(&self, key: &Key) -> bool {
        self.find(key).is_some()
    }

    /// The source of each setting that has one.
    pub(super) fn given_by(&self) -> impl Iterator<Item = (&'static str, GivenBy)> {
        KEYS.iter().filter_map(|key| {
            let counts = |raw: &Raw<'_>| match key.null {
                Null::Unset => !raw.is_null(),
                Null::Never | Null::All => true,
            };
            self.all(key).find(|(_, raw)| counts(raw)).map(|(by, _)| (key.name, by))
        })
    }

    /// All values of a setting. The first has precedence.
    fn all(&self, key: &Key) -> impl Iterator<Item = (GivenBy, Raw<'a>)> {
        let in_layer = |layer: &Layer<'a>| {
            let (name, value) = layer.settings.iter().find(|(name, _)| key.is_spelled(name))?;
            Some((layer.by, Raw::Event(name, value)))
        };
        let in_environment = key.in_environment(self.environment);
        let in_environment =
            in_environment.map(|(variable, text)| (GivenBy::Environment, Raw::Environment(variable, text)));
        self.layers.iter().filter_map(in_layer).chain(in_environment)
    }

    pub(super) fn boolean(&self, key: &Key) -> Result<Option<bool>, InvalidSettings> {
        let Some(raw) = self.find(key) else {
            return Ok(None);
        };
        let text = match &raw {
            Raw::Event(_, Value::Bool(value)) => return Ok(Some(*value)),
            Raw::Event(_, Value::String(text)) => text,
            Raw::Environment(_, text) => *text,
            Raw::Event(..) => "",
        };
        if text.eq_ignore_ascii_case("true") {
            Ok(Some(true))
        } else if text.eq_ignore_ascii_case("false") {
            Ok(Some(false))
        } else {
            Err(raw.refuse("true or false"))
        }
    }

    pub(super) fn integer(&self, key: &Key) -> Result<Option<u32>, InvalidSettings> {
        self.find(key).map(|raw| integer(&raw, INTEGER)).transpose()
    }

    /// An integer, or `None` for never: null in the event, `never` in the environment.
    pub(super) fn integer_or_never(&self, key: &Key, default: u32) -> Result<Option<u32>, InvalidSettings> {
        self.integer_or(key, "never", "a whole number of days from 0", Some(default))
    }

    /// An integer, or `None` for all: null in the event, `all` in the environment.
    pub(super) fn integer_or_all(&self, key: &Key, default: Option<u32>) -> Result<Option<u32>, InvalidSettings> {
        self.integer_or(key, "all", INTEGER, default)
    }

    fn integer_or(
        &self,
        key: &Key,
        null: &str,
        accepted: &str,
        default: Option<u32>,
    ) -> Result<Option<u32>, InvalidSettings> {
        match self.first(key) {
            None => Ok(default),
            Some(Raw::Event(_, Value::Null)) => Ok(None),
            Some(Raw::Environment(_, text)) if text.eq_ignore_ascii_case(null) => Ok(None),
            Some(raw @ Raw::Event(..)) => integer(&raw, &format!("{accepted}, or null for {null}")).map(Some),
            Some(raw @ Raw::Environment(..)) => integer(&raw, &format!("{accepted}, or {null}")).map(Some),
        }
    }

    pub(super) fn price(&self, key: &Key) -> Result<Option<f64>, InvalidSettings> {
        let Some(raw) = self.find(key) else {
            return Ok(None);
        };
        let price = match &raw {
            Raw::Event(_, value) => value.as_f64(),
            Raw::Environment(_, text) => text.parse().ok(),
        };
        price
            .filter(|price| price.is_finite() && *price >= 0.0)
            .map(Some)
            .ok_or_else(|| raw.refuse("a number of USD from 0"))
    }

    pub(super) fn regex(&self, key: &Key) -> Result<Option<Regex>, InvalidSettings> {
        const SYNTAX: &str = "https://docs.rs/regex/#syntax";
        let Some(raw) = self.find(key) else {
            return Ok(None);
        };
        let text = match &raw {
            Raw::Event(_, Value::String(text)) => text,
            Raw::Environment(_, text) => *text,
            Raw::Event(..) => return Err(raw.refuse(&format!("a regular expression ({SYNTAX})"))),
        };
        if text.is_empty() {
            return Err(raw.refuse_because("an empty regular expression matches every tag. For none, leave it out"));
        }
        match Regex::new(text) {
            Ok(regex) => Ok(Some(regex)),
            Err(error) => {
                // The last line of a syntax error is the sentence; the lines before it show the position.
                let error = error.to_string();
                let sentence = error.lines().last().unwrap_or_default();
                let sentence = sentence.strip_prefix("error: ").unwrap_or(sentence);
                Err(raw.refuse_because(&format!("{sentence}. For the syntax, see {SYNTAX}")))
            }
        }
    }

    /// A set of regions that is not empty. In an event, one region doesn't need a list.
    pub(super) fn regions(&self, key: &Key) -> Result<Option<BTreeSet<Region>>, InvalidSettings> {
        let Some(raw) = self.find(key) else {
            return Ok(None);
        };
        let names = match &raw {
            Raw::Event(_, Value::String(region)) => vec![region.as_str()],
            raw => list(raw, REGIONS)?,
        };
        let region = |name: &&str| name.parse().map_err(|error| raw.refuse_item(name, &expected(&error)));
        let regions = names.iter().map(region).collect::<Result<BTreeSet<Region>, _>>()?;
        if regions.is_empty() {
            return Err(raw.refuse("at least one Region. For all enabled Regions, omit the setting"));
        }
        Ok(Some(regions))
    }

    /// Policies: the event has them as a value, the environment has the name of a file with them.
    pub(super) fn policies(&self, key: &Key, read_file: ReadFile<'_>) -> Result<Option<Policies>, InvalidSettings> {
        const FILE: &str = "Package a JSON file that has the list of policies with the function";
        let (name, file, read) = match self.find(key) {
            None => return Ok(None),
            Some(Raw::Event(name, value)) => (name, None, Policies::read(value)),
            Some(raw @ Raw::Environment(variable, file)) => {
                let refuse = |error: &dyn fmt::Display| raw.refuse_because(&format!("can't read it: {error}. {FILE}"));
                let text = read_file(file).map_err(|error| refuse(&error))?;
                let value = strict_json::read(&text).map_err(|error| refuse(&error))?;
                // A tested event can be packaged unchanged, if the policies are its only setting.
                let in_event = value.as_object().filter(|event| event.len() == 1).and_then(|event| event.get(key.name));
                let policies = Policies::read(in_event.unwrap_or(&value));
                (key.name, Some(format!("{file} ({variable})")), policies)
            }
        };
        read.map(Some).map_err(|InvalidPolicy { at, given, problem }| {
            let given = given.as_ref().map(strict_json::shown);
            let problem = match given {
                Some(given) => Problem::Value { given, cause: problem },
                None => Problem::Missing(problem),
            };
            InvalidSettings { key: format!("{name}{at}"), file, problem }
        })
    }

    pub(super) fn memory(&self, key: &Key) -> Result<Option<MemoryLocation>, InvalidSettings> {
        const ACCEPTED: &str = "s3://bucket/prefix, or the path of a folder";
        let Some(raw) = self.find(key) else {
            return Ok(None);
        };
        let text = match &raw {
            Raw::Event(_, Value::String(text)) => text,
            Raw::Environment(_, text) => *text,
            Raw::Event(..) => return Err(raw.refuse(ACCEPTED)),
        };
        text.parse().map(Some).map_err(|error| raw.refuse(&format!("{ACCEPTED}; {error}")))
    }

    pub(super) fn role_arns(&self, key: &Key) -> Result<Vec<RoleArn>, InvalidSettings> {
        let role = |text: &str| text.parse().map_err(|error| expected(&error));
        let roles: Vec<RoleArn> = self.items(key, "a list of role ARNs", role)?;
        let accounts: BTreeSet<&AccountId> = roles.iter().map(|role| &role.account).collect();
        if accounts.len() < roles.len() {
            // The calls of each role are paced separately, so two roles would double the calls to their account.
            return Err(self.refuse(key, "at most one role ARN per account"));
        }
        Ok(roles)
    }

    pub(super) fn external_id(&self, key: &Key) -> Result<Option<ExternalId>, InvalidSettings> {
        let (name, text) = match self.find(key) {
            None => return Ok(None),
            Some(Raw::Event(name, value)) => (name, value.as_str().unwrap_or_default()),
            Some(Raw::Environment(variable, text)) => (variable, text),
        };
        // The message must not show the value.
        text.parse()
            .map(Some)
            .map_err(|error: NotAName| InvalidSettings::without_value(name, "the given value", error.expected()))
    }

    /// Image references. One string can have several, as `kubectl` prints them. One that looks like a reference to ECR must
    /// be valid, since it must protect an image.
    pub(super) fn references(&self, key: &Key) -> Result<Vec<String>, InvalidSettings> {
        let reference = |text: &str| {
            // The error message of a failed command must not count as a list: it would protect nothing.
            let is_allowed = |b: u8| b.is_ascii_alphanumeric() || b"._-/:@[]".contains(&b);
            if !text.bytes().all(is_allowed) {
                return Err(format!("`{text}` is not an image reference"));
            }
            text.parse::<ImageReference>().map(|_| text.to_owned()).map_err(|error| error.problem.into_owned())
        };
        let references = |text: &str| text.split_whitespace().map(reference).collect::<Result<Vec<_>, _>>();
        Ok(self.items(key, "a list of image references", references)?.concat())
    }

    pub(super) fn accounts(&self, key: &Key) -> Result<AcceptedAccounts, InvalidSettings> {
        let account = |text: &str| match text {
            "*" => Ok(None),
            text => text.parse().map(Some).map_err(|error: NotAName| format!("{}, or * for all", expected(&error))),
        };
        let accepted: Vec<Option<AccountId>> = self.items(key, "a list of account ids, or * for all", account)?;
        Ok(AcceptedAccounts { anyone: accepted.contains(&None), accounts: accepted.into_iter().flatten().collect() })
    }

    /// The items of a list, each read; none if the setting is not given. The error of an item is its cause.
    fn items<T>(
        &self,
        key: &Key,
        accepted: &str,
        item: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Vec<T>, InvalidSettings> {
        let Some(raw) = self.find(key) else {
            return Ok(Vec::new());
        };
        let texts = list(&raw, accepted)?;
        texts.into_iter().map(|text| item(text).map_err(|cause| raw.refuse_item(text, &cause))).collect()
    }

    pub(super) fn patterns(
        &self,
        key: &Key,
        default: &[&str],
        pattern: impl Fn(&str) -> Result<Pattern, UnusablePattern>,
    ) -> Result<Vec<Pattern>, InvalidSettings> {
        let raw = self.find(key);
        let texts = match &raw {
            Some(raw) => list(raw, "a list of patterns")?,
            None => default.to_vec(),
        };
        let name = raw.as_ref().map_or(key.name, Raw::key);
        let refuse =
            |text: &str, error: &UnusablePattern| InvalidSettings::because(name, &Value::from(text), &error.problem());
        texts.into_iter().map(|text| pattern(text).map_err(|error| refuse(text, &error))).collect()
    }
}

fn expected(error: &NotAName) -> String {
    format!("expected {}", error.expected())
}

fn integer(raw: &Raw<'_>, accepted: &str) -> Result<u32, InvalidSettings> {
    let integer = match raw {
        Raw::Event(_, value) => value.as_u64().and_then(|value| u32::try_from(value).ok()),
        // `parse` alone would accept a leading `+`.
        Raw::Environment(_, text) => text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten(),
    };
    integer.ok_or_else(|| raw.refuse(accepted))
}

/// The items of a list. In the environment they are separated by commas.
fn list<'a>(raw: &Raw<'a>, accepted: &str) -> Result<Vec<&'a str>, InvalidSettings> {
    match raw {
        Raw::Event(_, Value::Array(items)) => {
            items.iter().map(|item| item.as_str().ok_or_else(|| raw.refuse(accepted))).collect()
        }
        Raw::Event(..) => Err(raw.refuse(accepted)),
        Raw::Environment(_, text) => Ok(text.split(',').map(str::trim).filter(|item| !item.is_empty()).collect()),
    }
}
