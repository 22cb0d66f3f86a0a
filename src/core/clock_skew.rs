//! The difference between a run's clock and AWS's. Every age depends on it: if the clock is ahead, all images look older
//! than they are.

use std::fmt;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// The largest difference that is ignored. AWS accepts a signed request within the same time.
pub const TOLERATED: TimeDelta = TimeDelta::minutes(5);

/// Two clocks that are too far apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClockSkew {
    /// The time on the run's clock.
    pub clock: DateTime<Utc>,
    /// The time on AWS's clock at that moment.
    pub aws: DateTime<Utc>,
}

impl ClockSkew {
    /// The skew of two clocks; `None` if it is within [`TOLERATED`]. AWS's time is in whole seconds.
    #[must_use]
    pub fn between(clock: DateTime<Utc>, aws: DateTime<Utc>) -> Option<Self> {
        let apart = TimeDelta::seconds((clock.timestamp() - aws.timestamp()).abs());
        (apart > TOLERATED).then_some(Self { clock, aws })
    }
}

impl fmt::Display for ClockSkew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { clock, aws } = self;
        let shown = |time: &DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Secs, true);
        let relation = if clock > aws { "ahead of" } else { "behind" };
        write!(f, "this machine's clock ({}) is {relation} AWS's ({})", shown(clock), shown(aws))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_may_be_five_minutes_apart_and_no_more() {
        let aws: DateTime<Utc> = "2026-01-01T12:00:00Z".parse().unwrap();
        // The fraction of a second that AWS cuts off makes no difference.
        for (milliseconds, is_skewed) in [
            (0, false),
            (300_999, false),
            (-300_000, false),
            (301_000, true),
            (-301_000, true),
            (86_400_000 * 16, true),
            (-86_400_000 * 16, true),
        ] {
            let skew = ClockSkew::between(aws + TimeDelta::milliseconds(milliseconds), aws);
            assert_eq!(skew.is_some(), is_skewed, "{milliseconds} ms: {skew:?}");
        }
        let skew = ClockSkew::between(aws + TimeDelta::days(16), aws).unwrap();
        assert_eq!(
            skew.to_string(),
            "this machine's clock (2026-01-17T12:00:00Z) is ahead of AWS's (2026-01-01T12:00:00Z)"
        );
    }
}
