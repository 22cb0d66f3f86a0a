//! A setting, as the renderers read it.

use std::sync::LazyLock;

use ecr_cleanup_core::settings::keys::Null;
use ecr_cleanup_core::settings::{Effective, Environment, GivenBy, Key, Settings};
use serde_json::{Map, Value};

/// A setting, to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingView {
    /// Its name in an event.
    pub name: String,
    /// Its value as people write it.
    pub value: String,
    /// Its source.
    pub from: GivenBy,
    /// Whether it has its default value. A plan gives every setting.
    pub is_default: bool,
}

/// The defaults of the settings.
static DEFAULTS: LazyLock<Vec<Effective>> = LazyLock::new(|| {
    let no_file = |_: &str| Err(std::io::ErrorKind::NotFound.into());
    let settings = Settings::resolve(&Map::new(), &Environment::new(), &no_file);
    settings.map(|settings| settings.effective()).unwrap_or_default()
});

impl SettingView {
    pub(super) fn of(name: String, value: &Value, from: GivenBy) -> Self {
        let is_default = from == GivenBy::Default || DEFAULTS.iter().any(|it| it.name == name && it.value == *value);
        let null = match Key::named(&name).map(|key| key.null) {
            Some(Null::Never) => "never",
            Some(Null::All) => "all",
            Some(Null::Unset) | None => "none",
        };
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let value = match value {
            Value::Null => null.to_owned(),
            Value::Array(items) if items.is_empty() => "none".to_owned(),
            Value::Array(items) => items.iter().map(text).collect::<Vec<_>>().join(", "),
            value => text(value),
        };
        Self { name, value, from, is_default }
    }
}
