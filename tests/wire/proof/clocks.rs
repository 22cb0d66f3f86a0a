//! The run's clock is ahead of AWS's, or behind, by seconds up to years. AWS's answers may also have no date.

use std::time::{Duration, SystemTime};

use aws_config::{BehaviorVersion, Region};
use aws_sdk_sts::config::Credentials;
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_async::time::{SharedTimeSource, TimeSource};
use ecr_cleanup::aws::Aws;
use ecr_cleanup::deadline::Deadline;
use ecr_cleanup_core::plan::Refusal;
use ecr_cleanup_core::report::Outcome;
use simulated_aws::{ACCOUNT, access_key_of};

use super::cases::{chosen, each};
use super::world::World;
use crate::support::{Limits, run_with};

/// Clocks with which a run may delete, in seconds ahead of AWS's.
const AHEAD: [i64; 17] = [
    0,
    1,
    60,
    240,
    299,
    301,
    360,
    3_600,
    86_400,
    16 * 86_400,
    400 * 86_400,
    3_650 * 86_400,
    -60,
    -299,
    -301,
    -86_400,
    -3_650 * 86_400,
];
/// The tolerated difference.
const TOLERANCE: i64 = 300;

/// AWS's clock plus an offset.
#[derive(Debug)]
struct Wrong {
    aws: SharedTimeSource,
    ahead: i64,
}

impl TimeSource for Wrong {
    fn now(&self) -> SystemTime {
        let by = Duration::from_secs(self.ahead.unsigned_abs());
        if self.ahead < 0 { self.aws.now() - by } else { self.aws.now() + by }
    }
}

#[test]
fn a_run_by_a_wrong_clock_deletes_nothing_and_by_a_right_one_all_that_is_stale() {
    let clocks = AHEAD.iter().flat_map(|ahead| [(*ahead, true), (*ahead, false)]);
    let cases = chosen("clocks::a_run_by_a_wrong_clock", clocks, 1);
    each(&cases, async |case| {
        let (ahead, tells_time) = case.of;
        let because = format!("{ahead} s ahead, Date told: {tells_time}\n  repeat with: {}", case.repeat_with);
        let world = World::found();
        if !tells_time {
            world.aws.leave_dates_out();
        }
        let before = world.images();
        let report =
            run_with(&clients(&world, ahead).await, world.settings(), Limits::until(Deadline::unknown())).await;
        if ahead.abs() <= TOLERANCE {
            assert_eq!(report.unwrap().outcome, Outcome::Completed, "{because}");
            assert_eq!(world.images(), world.stays, "{because}");
            return;
        }
        assert_eq!(world.images(), before, "{because}");
        match report {
            Ok(report) => {
                assert!(
                    matches!(report.outcome, Outcome::Refused(Refusal::ClockSkew(_))),
                    "{:?}: {because}",
                    report.outcome
                );
                assert!(tells_time, "{because}");
            }
            // AWS rejects signatures of another time, and without a date the SDK can't correct them.
            Err(error) => {
                assert!(!tells_time && error.to_string().contains("Signature"), "{error}: {because}");
            }
        }
    });
}

async fn clients(world: &World, ahead: i64) -> Aws {
    let clock = Wrong { aws: world.aws.time_source(), ahead };
    let config = aws_config::defaults(BehaviorVersion::latest())
        .endpoint_url(world.aws.url())
        .region(Region::new(world.region().to_owned()))
        .credentials_provider(Credentials::new(access_key_of(ACCOUNT), "secret", None, None, "test"))
        .http_client(world.aws.http_client())
        .time_source(clock)
        .sleep_impl(TokioSleep::new())
        .load()
        .await;
    Aws::new(config)
}
