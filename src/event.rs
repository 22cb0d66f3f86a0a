//! The settings in an event from EventBridge, EventBridge Scheduler or a person.
//!
//! This module interprets nothing. It returns the keys and values as sent, and `settings` validates them.

use aws_lambda_events::eventbridge::EventBridgeEvent;
use chrono::{DateTime, Utc};
use ecr_cleanup_core::run_id::RunId;
use ecr_cleanup_core::settings::{InvalidSettings, KEYS};
use ecr_cleanup_core::strict_json::{self, NotRead};
use serde_json::{Map, Value};

/// The key of a saved plan in an event. It is no setting: a plan has all settings.
pub const PLAN: &str = "plan";

/// The settings in an event, and the time at which it was sent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Event {
    /// Keys and values as sent.
    pub settings: Map<String, Value>,
    /// The saved plan to carry out.
    pub plan: Option<RunId>,
    /// The `time` of an EventBridge envelope.
    pub time: Option<DateTime<Utc>>,
}

impl Event {
    /// Reads the text of an event, which may contain no key twice.
    ///
    /// # Errors
    /// When it is not JSON, or [`Event::parse`] rejects it.
    pub fn read(text: &str) -> Result<Self, InvalidSettings> {
        Self::parse(value_of("event", text, "JSON without repeated keys")?)
    }

    /// Reads an EventBridge envelope, whose settings are in `detail`, or a bare object of settings.
    ///
    /// # Errors
    /// When it is neither, or when an envelope contains settings beside its `detail`, where they would have no effect.
    pub fn parse(payload: Value) -> Result<Self, InvalidSettings> {
        match payload {
            Value::Null => Ok(Self::default()),
            Value::Object(envelope) if envelope.contains_key("detail-type") => Self::from_envelope(envelope),
            Value::Object(settings) => Self::of(settings, None),
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                Err(InvalidSettings::new("event", &payload, "an EventBridge event, or a JSON object of settings"))
            }
        }
    }

    fn from_envelope(mut envelope: Map<String, Value>) -> Result<Self, InvalidSettings> {
        // `region` is a key of the envelope too. There it is the region in which the event occurred.
        let misplaced = envelope
            .keys()
            .find(|name| *name == PLAN || (*name != "region" && KEYS.iter().any(|key| key.is_spelled(name))));
        if let Some(name) = misplaced {
            let accepted = "settings inside `detail`, or a bare object of settings";
            return Err(InvalidSettings::without_value(name, "given beside `detail`", accepted));
        }
        // A rule's event may have no `detail`, which `EventBridgeEvent` requires.
        envelope.entry("detail").or_insert(Value::Null);
        let event: EventBridgeEvent = serde_json::from_value(Value::Object(envelope)).map_err(|error| {
            let accepted = format!("an EventBridge event with `source` and an RFC 3339 `time` ({error})");
            InvalidSettings::without_value("event", "read", &accepted)
        })?;
        Self::of(settings_in_detail(event.detail)?, event.time)
    }

    fn of(mut settings: Map<String, Value>, time: Option<DateTime<Utc>>) -> Result<Self, InvalidSettings> {
        const ACCEPTED: &str = "the runId of a dry run, such as 2026-01-01T00-00-00Z-1a2b";
        let plan = settings.remove(PLAN).filter(|plan| !plan.is_null());
        let id = |plan: Value| {
            let id = plan.as_str().and_then(|text| text.parse().ok());
            id.ok_or_else(|| InvalidSettings::new(PLAN, &plan, ACCEPTED))
        };
        Ok(Self { settings, plan: plan.map(id).transpose()?, time })
    }
}

/// Parses a text. The error doesn't show it, because it may contain an external ID.
fn value_of(name: &str, text: &str, accepted: &str) -> Result<Value, InvalidSettings> {
    strict_json::read(text).map_err(|error| match error {
        NotRead::NotJson(_) => InvalidSettings::without_value(name, "a text that is not JSON", accepted),
        NotRead::Twice(key) => InvalidSettings::without_value(&key, "given twice", "one value for each key"),
    })
}

/// EventBridge Scheduler's default event contains `"detail": "{}"`: an object as text.
fn settings_in_detail(detail: Value) -> Result<Map<String, Value>, InvalidSettings> {
    const ACCEPTED: &str = "a JSON object of settings";
    match detail {
        Value::Null => Ok(Map::new()),
        Value::Object(settings) => Ok(settings),
        Value::String(text) if text.trim().is_empty() => Ok(Map::new()),
        Value::String(text) => match value_of("detail", &text, ACCEPTED)? {
            Value::Object(settings) => Ok(settings),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                Err(InvalidSettings::without_value("detail", "a text that is not a JSON object", ACCEPTED))
            }
        },
        Value::Bool(_) | Value::Number(_) | Value::Array(_) => Err(InvalidSettings::new("detail", &detail, ACCEPTED)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_kind_of_event_gives_its_settings() {
        let settings = json!({ "dryRun": false });
        let none = json!({});
        for (behaviour, payload, expected) in [
            ("nothing", Value::Null, &none),
            ("an empty object", json!({}), &none),
            ("bare settings", settings.clone(), &settings),
            (
                "a rule's scheduled event",
                json!({ "detail-type": "Scheduled Event", "source": "aws.events", "region": "us-east-1", "detail": {} }),
                &none,
            ),
            (
                "Scheduler's default event, whose detail is text",
                json!({ "detail-type": "Scheduled Event", "source": "aws.scheduler", "detail": "{}" }),
                &none,
            ),
            (
                "settings as text in the detail",
                json!({ "detail-type": "Scheduled Event", "source": "aws.scheduler", "detail": "{\"dryRun\":false}" }),
                &settings,
            ),
            (
                "another envelope",
                json!({ "detail-type": "Clean", "source": "ops", "detail": { "dryRun": false } }),
                &settings,
            ),
            ("an envelope without a detail", json!({ "detail-type": "Clean", "source": "ops" }), &none),
            (
                "an envelope whose detail is null",
                json!({ "detail-type": "Clean", "source": "ops", "detail": null }),
                &none,
            ),
            (
                "an envelope whose detail is empty",
                json!({ "detail-type": "Clean", "source": "ops", "detail": "" }),
                &none,
            ),
        ] {
            let event = Event::parse(payload).unwrap();
            assert_eq!(Value::Object(event.settings), *expected, "{behaviour}");
        }
    }

    #[test]
    fn a_plan_is_named_by_the_id_of_its_run() {
        let id = "2026-01-01T00-00-00Z-1a2b";
        for payload in [
            json!({ "plan": id, "dryRun": false }),
            json!({ "detail-type": "x", "source": "x", "detail": { "plan": id, "dryRun": false } }),
        ] {
            let event = Event::parse(payload).unwrap();
            assert_eq!(event.plan, Some(id.parse().unwrap()));
            assert_eq!(Value::Object(event.settings), json!({ "dryRun": false }));
        }
        assert_eq!(Event::parse(json!({ "plan": null })).unwrap(), Event::default());
    }

    #[test]
    fn the_envelopes_time_is_the_events() {
        let event = Event::parse(json!({ "detail-type": "x", "source": "x", "time": "2026-01-01T00:00:00Z" })).unwrap();
        assert_eq!(event.time.unwrap().to_rfc3339(), "2026-01-01T00:00:00+00:00");
    }

    #[test]
    fn what_stands_twice_is_refused_by_its_name_wherever_it_stands() {
        for (text, named) in [
            (r#"{ "dryRun": true, "dryRun": false }"#, "dryRun"),
            (r#"{ "dryRun": true, "dryRun": true }"#, "dryRun"),
            (r#"{ "detail-type": "x", "source": "x", "detail": {}, "detail": { "dryRun": false } }"#, "detail"),
            (
                r#"{ "detail-type": "x", "source": "x", "detail": { "keepTags": ["a"], "keepTags": [] } }"#,
                "detail.keepTags",
            ),
            (r#"{ "detail-type": "x", "source": "x", "detail": "{\"dryRun\":true,\"dryRun\":false}" }"#, "dryRun"),
            (
                r#"{ "policies": [{ "repositories": ["a"], "rules": "ecr", "repositories": ["*"] }] }"#,
                "policies[0].repositories",
            ),
            ("{", "event"),
        ] {
            let error = Event::read(text).unwrap_err();
            assert_eq!(error.key, named, "{text}");
        }
        assert_eq!(Event::read("null").unwrap(), Event::default());
    }

    #[test]
    fn what_is_no_event_is_refused_by_name() {
        for (payload, named) in [
            (json!([]), "event"),
            (json!("{}"), "event"),
            (json!(3), "event"),
            (json!({ "detail-type": "x", "source": "x", "detail": [] }), "detail"),
            (json!({ "detail-type": "x", "source": "x", "detail": "not JSON" }), "detail"),
            (json!({ "detail-type": "x", "source": "x", "time": "yesterday" }), "event"),
            (json!({ "detail-type": "x" }), "event"),
            (json!({ "plan": 7 }), "plan"),
            (json!({ "plan": "plan.json" }), "plan"),
            (
                json!({ "detail-type": "x", "source": "x", "detail": { "plan": "../2026-01-01T00-00-00Z-1a2b" } }),
                "plan",
            ),
            (json!({ "detail-type": "x", "source": "x", "plan": "2026-01-01T00-00-00Z-1a2b", "detail": {} }), "plan"),
            (json!({ "detail-type": "x", "source": "x", "dry-run": false, "detail": {} }), "dry-run"),
        ] {
            let error = Event::parse(payload.clone()).unwrap_err();
            assert_eq!(error.key, named, "{payload}");
        }
    }
}
