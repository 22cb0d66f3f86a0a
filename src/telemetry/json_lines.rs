//! A log line: one JSON object, in which lists stay lists.
//!
//! The subscriber's own format writes a list as text with every quote escaped. A run may log a million images, and a
//! search in CloudWatch needs their fields.

use std::fmt::{self, Debug, Write};
use std::time::SystemTime;

use chrono::{DateTime, SecondsFormat, Utc};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Writes an event as a line without its spans. Every line has the fields that identify its subject.
#[derive(Clone, Copy, Debug, Default)]
pub struct JsonLines;

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut line = Line(String::from("{"));
        // Not `Utc::now()`, which panics before 1970. A log line must not panic.
        let now = DateTime::<Utc>::from(SystemTime::now());
        line.text("timestamp", &now.to_rfc3339_opts(SecondsFormat::Micros, true));
        line.text("level", event.metadata().level().as_str());
        event.record(&mut line);
        line.text("target", event.metadata().target());
        let Line(mut line) = line;
        line.push_str("}\n");
        writer.write_str(&line)
    }
}

/// The fields whose text is JSON written by this program.
const STRUCTURES: [&str; 9] =
    ["archived", "cause", "deleted", "holders", "kept", "not_deleted", "stale", "totals", "usage"];

/// An incomplete line, without its last brace.
struct Line(String);

impl Line {
    /// Adds a field whose value is already JSON.
    fn json(&mut self, name: &str, value: &str) {
        if !self.0.ends_with('{') {
            self.0.push(',');
        }
        // Field names come from this program's code, so they need no escapes.
        _ = write!(self.0, "\"{name}\":{value}");
    }

    /// Adds a text field.
    fn text(&mut self, name: &str, value: &str) {
        self.json(name, &serde_json::to_string(value).unwrap_or_default());
    }
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        if STRUCTURES.contains(&field.name()) {
            self.json(field.name(), value);
        } else {
            self.text(field.name(), value);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.text(field.name(), &format!("{value:?}"));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.json(field.name(), &value.to_string());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.json(field.name(), &value.to_string());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.json(field.name(), &value.to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use std::io;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_is_an_object_in_which_lists_stay_lists_and_all_else_is_what_it_was() {
        let written = Written::default();
        let writer = written.clone();
        let subscriber = tracing_subscriber::fmt().event_format(JsonLines).with_writer(move || writer.clone()).finish();
        let (stale, list, hostile) = (r#"[{"a":"\""}]"#, "[1]", "\"},\n{\u{1b}");
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(stale, list, hostile, %hostile, number = 7_u64, debt = -7, is = true, "say \"{hostile}\"");
        });
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.matches('\n').count(), 1);
        let line: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&line["stale"], &line["list"]), (&json!([{ "a": "\"" }]), &json!(list)));
        assert_eq!((&line["hostile"], &line["level"]), (&json!(hostile), &json!("INFO")));
        assert_eq!((&line["number"], &line["debt"], &line["is"]), (&json!(7), &json!(-7), &json!(true)));
        assert_eq!(line["message"], format!("say \"{hostile}\""));
        assert!(line["timestamp"].as_str().unwrap().ends_with('Z') && line["target"].is_string());
    }
}
