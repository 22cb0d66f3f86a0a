//! The id of a run. It names the run's report and its saved plan in memory.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use serde::{Deserialize, Serialize};

/// The length of `2026-01-01T00-00-00Z`.
const TIME: usize = 20;

/// The id of a run: the second at which it started, and a random number. Ids sort by time, and are safe in the names of
/// files and of objects.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RunId(Box<str>);

/// Text that is not the id of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected the id of a run, such as 2026-01-01T00-00-00Z-1a2b")]
pub struct NotARunId;

impl RunId {
    /// The id of a run that started at this time. The random number distinguishes runs that start in the same second.
    #[must_use]
    pub fn new(started_at: DateTime<Utc>, random: u16) -> Self {
        Self(format!("{}-{random:04x}", started_at.format("%Y-%m-%dT%H-%M-%SZ")).into())
    }

    /// The text of the id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The day on which the run started, in UTC.
    #[must_use]
    pub fn day(&self) -> NaiveDate {
        time_of(&self.0).map(|time| time.date()).unwrap_or_default()
    }
}

fn time_of(id: &str) -> Option<NaiveDateTime> {
    NaiveDateTime::parse_from_str(id.get(..TIME)?, "%Y-%m-%dT%H-%M-%SZ").ok()
}

impl FromStr for RunId {
    type Err = NotARunId;

    fn from_str(text: &str) -> Result<Self, NotARunId> {
        let random = text.get(TIME..).and_then(|end| end.strip_prefix('-')).ok_or(NotARunId)?;
        let is_hexadecimal =
            random.len() == 4 && random.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        // Another spelling of the same time would be another name of the same run.
        let is_time =
            time_of(text).is_some_and(|time| text.starts_with(Self::new(time.and_utc(), 0).0.trim_end_matches("0000")));
        if is_hexadecimal && is_time { Ok(Self(text.into())) } else { Err(NotARunId) }
    }
}

impl TryFrom<String> for RunId {
    type Error = NotARunId;

    fn try_from(text: String) -> Result<Self, NotARunId> {
        text.parse()
    }
}

impl From<RunId> for String {
    fn from(id: RunId) -> Self {
        id.0.into()
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_the_time_of_its_run() {
        let started_at = DateTime::from_timestamp(1_767_225_600, 999_999_999).unwrap();
        let id = RunId::new(started_at, 0x1a2b);
        assert_eq!(id.as_str(), "2026-01-01T00-00-00Z-1a2b");
        assert_eq!(id.as_str().parse(), Ok(id.clone()));
        assert_eq!(id.day(), started_at.date_naive());
        assert!(RunId::new(started_at, 7) < id);
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for text in [
            "",
            "plan.json",
            "2026-01-01T00-00-00Z",
            "2026-01-01T00-00-00Z-",
            "2026-01-01T00-00-00Z-1a2",
            "2026-01-01T00-00-00Z-1A2B",
            "2026-01-01T00-00-00Z-1a2b3",
            "2026-13-01T00-00-00Z-1a2b",
            "2026-01-01T00:00:00Z-1a2b",
            "2026-1-01T000-00-00Z-1a2b",
            "../2026-01-01T00-00-00Z-1a2b",
            "2026-01-01T00-00-00Z-1a2b/..",
            "2026-01-01T00-00-0\u{e9}-1a2b",
        ] {
            assert_eq!(text.parse::<RunId>(), Err(NotARunId), "{text}");
        }
    }
}
