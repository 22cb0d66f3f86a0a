//! Settings as they were given, in the event or what takes its place, or in the environment, read by type.

use std::collections::BTreeSet;
use std::fmt;

use regex::Regex;
use serde_json::Value;

use super::keys::Null;
use super::{Environment, GivenBy, InvalidSettings, KEYS, Key, Layer, ReadFile};
use crate::account::{AccountId, ExternalId, NotAName, Region, RoleArn};
use crate::pattern::{Pattern, UnusablePattern};
use crate::policy::{InvalidPolicy, Policies};
use crate::reference::ImageReference;
use crate::sharing::AcceptedAccounts;
use crate::strict_json;

const REGIONS: &str = "a region code such as us-west-2, or a list of them";
const INTEGER: &str = "an integer from 0 to 4294967295";

/// What the layers and the environment give. Their keys are known, and each is given once in each.
pub(super) struct Given<'a> {
    layers: &'a [Layer<'a>],
    environment: &'a Environment,
}

/// One setting as it was given.
enum Raw<'a> {
    /// In a layer, under this spelling.
    Event(&'a str, &'a Value),
    /// In this environment variable.
    Environment(&'a str, &'a str),
}

impl Raw<'_> {
    fn is_null(&self) -> bool {
        matches!(self, Self::Event(_, Value::Null))
    }

    fn refuse(&self, accepted: &str) -> InvalidSettings {
        match self {
            Self::Event(key, value) => InvalidSettings::new(key, value, accepted),
            Self::Environment(variable, text) => InvalidSettings::new(variable, &Value::from(*text), accepted),
        }
    }
}

impl<'a> Given<'a> {
    pub(super) fn new(layers: &'a [Layer<'a>], environment: &'a Environment) -> Result<Self, InvalidSettings> {
        for name in layers.iter().flat_map(|layer| layer.settings.keys()) {
            if !KEYS.iter().any(|key| key.is_spelled(name)) {
                let names: Vec<_> = KEYS.iter().map(|key| key.name).collect();
                let accepted = format!("only the settings {}", names.join(", "));
                return Err(InvalidSettings::without_value(name, "a setting", &accepted));
            }
        }
        let given = Self { layers, environment };
        for key in KEYS {
            let mut variables = key.all_in_environment(environment);
            if let (Some((first, text)), Some((second, other))) = (variables.next(), variables.next())
                && text != other
            {
                let accepted = format!("what {first} is, or nothing: both name one setting");
                return Err(InvalidSettings::without_value(second, "given beside another", &accepted));
            }
            for layer in layers {
                let mut spellings = layer.settings.iter().filter(|(name, _)| key.is_spelled(name));
                if let (Some((first, _)), Some((second, value))) = (spellings.next(), spellings.next()) {
                    let accepted = format!("one spelling of the setting, and `{first}` is given too");
                    return Err(InvalidSettings::new(second, value, &accepted));
                }
            }
        }
        Ok(given)
    }

    /// Refuses what was given for the key.
    pub(super) fn refuse(&self, key: &Key, accepted: &str) -> InvalidSettings {
        self.find(key)
            .map_or_else(|| InvalidSettings::new(key.name, &Value::Null, accepted), |raw| raw.refuse(accepted))
    }

    /// The first value that is not null, else the environment's, unless it is empty.
    fn find(&self, key: &Key) -> Option<Raw<'a>> {
        self.all(key).map(|(_, raw)| raw).find(|raw| !raw.is_null())
    }

    /// The first value, be it null, else the environment's, unless it is empty.
    fn first(&self, key: &Key) -> Option<Raw<'a>> {
        self.all(key).map(|(_, raw)| raw).next()
    }

    /// Whether a layer or the environment gives it.
    pub(super) fn is_given(&self, key: &Key) -> bool {
        self.find(key).is_some()
    }

    /// Who gives each setting that is given.
    pub(super) fn given_by(&self) -> impl Iterator<Item = (&'static str, GivenBy)> {
        KEYS.iter().filter_map(|key| {
            let counts = |raw: &Raw<'_>| match key.null {
                Null::Unset => !raw.is_null(),
                Null::Never | Null::All => true,
            };
            self.all(key).find(|(_, raw)| counts(raw)).map(|(by, _)| (key.name, by))
        })
    }

    /// All values of a setting, the winner first.
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
        self.integer_or(key, "never", "an integer of days from 0", Some(default))
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
        const ACCEPTED: &str = "a regular expression (https://docs.rs/regex/#syntax)";
        let Some(raw) = self.find(key) else {
            return Ok(None);
        };
        let text = match &raw {
            Raw::Event(_, Value::String(text)) => text,
            Raw::Environment(_, text) => *text,
            Raw::Event(..) => return Err(raw.refuse(ACCEPTED)),
        };
        if text.is_empty() {
            return Err(raw.refuse("a regular expression that is not empty: the empty one matches every tag"));
        }
        match Regex::new(text) {
            Ok(regex) => Ok(Some(regex)),
            Err(error) => {
                // The last line of a syntax error is its sentence; those before it draw the place.
                let error = error.to_string();
                let sentence = error.lines().last().unwrap_or_default();
                Err(raw.refuse(&format!("{ACCEPTED}; {sentence}")))
            }
        }
    }

    /// A set of regions that is not empty. In the event one region may stand without a list.
    pub(super) fn regions(&self, key: &Key) -> Result<Option<BTreeSet<Region>>, InvalidSettings> {
        let Some(raw) = self.find(key) else {
            return Ok(None);
        };
        let names = match &raw {
            Raw::Event(_, Value::String(region)) => vec![region.as_str()],
            raw => list(raw, REGIONS)?,
        };
        let regions = names
            .iter()
            .map(|name| name.parse())
            .collect::<Result<BTreeSet<Region>, _>>()
            .map_err(|error| raw.refuse(&format!("{REGIONS}; {error}")))?;
        if regions.is_empty() {
            return Err(raw.refuse("at least one region; leave it out for all enabled regions"));
        }
        Ok(Some(regions))
    }

    /// Policies: in the event as they are, in the environment as the name of a file that holds them.
    pub(super) fn policies(&self, key: &Key, read_file: ReadFile<'_>) -> Result<Option<Policies>, InvalidSettings> {
        const FILE: &str =
            "the name of a JSON file, packaged with the function, that holds the list of policies, or an event with it";
        let (name, read) = match self.find(key) {
            None => return Ok(None),
            Some(Raw::Event(name, value)) => (name.to_owned(), Policies::read(value)),
            Some(raw @ Raw::Environment(variable, file)) => {
                let refuse = |error: &dyn fmt::Display| raw.refuse(&format!("{FILE}; {error}"));
                let text = read_file(file).map_err(|error| refuse(&error))?;
                let value = strict_json::read(&text).map_err(|error| refuse(&error))?;
                // An event that was tried out can be packaged as it is, if nothing else stands in it.
                let in_event = value.as_object().filter(|event| event.len() == 1).and_then(|event| event.get(key.name));
                let at = if in_event.is_some() { key.name } else { "" };
                (format!("{variable} {file}: {at}"), Policies::read(in_event.unwrap_or(&value)))
            }
        };
        read.map(Some).map_err(|InvalidPolicy { at, given, accepted }| {
            let at = format!("{name}{at}");
            match given {
                Some(given) => InvalidSettings::new(&at, &given, &accepted),
                None => InvalidSettings::without_value(&at, "left out", &accepted),
            }
        })
    }

    pub(super) fn role_arns(&self, key: &Key) -> Result<Vec<RoleArn>, InvalidSettings> {
        let roles: Vec<RoleArn> = self.items(key, "a list of role ARNs", str::parse)?;
        let accounts: BTreeSet<&AccountId> = roles.iter().map(|role| &role.account).collect();
        if accounts.len() < roles.len() {
            // Each would be paced by itself, and the account asked twice as much as is polite.
            return Err(self.refuse(key, "a list of role ARNs, one an account"));
        }
        Ok(roles)
    }

    pub(super) fn external_id(&self, key: &Key) -> Result<Option<ExternalId>, InvalidSettings> {
        let (name, text) = match self.find(key) {
            None => return Ok(None),
            Some(Raw::Event(name, value)) => (name, value.as_str().unwrap_or_default()),
            Some(Raw::Environment(variable, text)) => (variable, text),
        };
        // It is nobody's business, so it is not shown.
        text.parse()
            .map(Some)
            .map_err(|error: NotAName| InvalidSettings::without_value(name, "what is given", error.expected()))
    }

    /// References that a workload could name, also several in one text, as `kubectl` prints them. One that looks like
    /// ECR's must be one: it is to protect an image.
    pub(super) fn references(&self, key: &Key) -> Result<Vec<String>, InvalidSettings> {
        let reference = |text: &str| {
            // What a failed command prints in place of a list would protect nothing.
            let may_stand = |b: u8| b.is_ascii_alphanumeric() || b"._-/:@[]".contains(&b);
            if !text.bytes().all(may_stand) {
                return Err(format!("`{text}` is no image reference"));
            }
            text.parse::<ImageReference>().map(|_| text.to_owned()).map_err(|error| error.to_string())
        };
        let references = |text: &str| text.split_whitespace().map(reference).collect::<Result<Vec<_>, _>>();
        Ok(self.items(key, "a list of image references", references)?.concat())
    }

    pub(super) fn accounts(&self, key: &Key) -> Result<AcceptedAccounts, InvalidSettings> {
        let account = |text: &str| if text == "*" { Ok(None) } else { text.parse().map(Some) };
        let accepted: Vec<Option<AccountId>> = self.items(key, "a list of account ids, or * for anyone", account)?;
        Ok(AcceptedAccounts { anyone: accepted.contains(&None), accounts: accepted.into_iter().flatten().collect() })
    }

    /// The items of a list, each read; none if it is not given.
    fn items<T, E: fmt::Display>(
        &self,
        key: &Key,
        accepted: &str,
        item: impl Fn(&str) -> Result<T, E>,
    ) -> Result<Vec<T>, InvalidSettings> {
        let Some(raw) = self.find(key) else {
            return Ok(Vec::new());
        };
        let texts = list(&raw, accepted)?;
        texts.into_iter().map(|text| item(text).map_err(|error| raw.refuse(&format!("{accepted}; {error}")))).collect()
    }

    pub(super) fn patterns(
        &self,
        key: &Key,
        default: &[&str],
        pattern: impl Fn(&str) -> Result<Pattern, UnusablePattern>,
    ) -> Result<Vec<Pattern>, InvalidSettings> {
        const ACCEPTED: &str = "a list of patterns";
        let raw = self.find(key);
        let texts = match &raw {
            Some(raw) => list(raw, ACCEPTED)?,
            None => default.to_vec(),
        };
        texts
            .into_iter()
            .map(|text| pattern(text).map_err(|error| self.refuse(key, &format!("{ACCEPTED}; {error}"))))
            .collect()
    }
}

fn integer(raw: &Raw<'_>, accepted: &str) -> Result<u32, InvalidSettings> {
    let integer = match raw {
        Raw::Event(_, value) => value.as_u64().and_then(|value| u32::try_from(value).ok()),
        // `parse` alone would take a leading `+`.
        Raw::Environment(_, text) => text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten(),
    };
    integer.ok_or_else(|| raw.refuse(accepted))
}

/// The texts of a list; comma-separated in the environment.
fn list<'a>(raw: &Raw<'a>, accepted: &str) -> Result<Vec<&'a str>, InvalidSettings> {
    match raw {
        Raw::Event(_, Value::Array(items)) => {
            items.iter().map(|item| item.as_str().ok_or_else(|| raw.refuse(accepted))).collect()
        }
        Raw::Event(..) => Err(raw.refuse(accepted)),
        Raw::Environment(_, text) => Ok(text.split(',').map(str::trim).filter(|item| !item.is_empty()).collect()),
    }
}
