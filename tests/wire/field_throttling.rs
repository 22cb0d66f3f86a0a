//! A service that throttles or fails for some resources slows the run down, or affects only these resources.

use std::num::NonZeroU32;
use std::time::Duration;

use ecr_cleanup::aws::{Haste, Patience};
use ecr_cleanup::deadline::Deadline;
use ecr_cleanup::run::Limits;
use ecr_cleanup_core::report::Outcome;
use simulated_aws::{ACCOUNT, Fault, REGION, SimulatedAws};

use crate::support::{clients, merciless, run_on, run_with, set};

/// Retries without long pauses.
const PATIENCE: Patience =
    Patience { first_pause: Duration::from_millis(1), longest_pause: Duration::from_millis(4), ..Patience::WITH_AWS };

#[tokio::test(start_paused = true)]
async fn what_little_others_leave_of_a_quota_makes_a_run_slower_and_no_less_complete() {
    // Both are faster by the same factor, the quotas than AWS's and the function than its share, so that the test is
    // short.
    const FASTER: u32 = 10;
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app").daily_builds(150);
    for number in 1..=150 {
        aws.place(ACCOUNT, REGION).register(&format!("family-{number}"), &[&app.uri(&format!("v{number}"))]);
    }
    // Three of twenty per second, and no burst.
    aws.set_quota(&["ecs:ListTaskDefinitions", "ecs:DescribeTaskDefinition"], 1, 3 * FASTER);
    let clients = clients(&aws).await.with_haste(Haste::times(NonZeroU32::new(FASTER).unwrap()));
    let limits = Limits::until(Deadline::unknown());
    let report = run_with(&clients, merciless(false), limits).await.unwrap();
    assert_eq!((report.outcome, report.totals.images_in_use), (Outcome::Completed, 150), "{:?}", report.warnings);
    let calls = aws.calls_of("ecs:DescribeTaskDefinition");
    assert!(calls.len() < 2 * 150, "it slows down rather than trying again and again: {} calls", calls.len());
}

#[tokio::test(start_paused = true)]
async fn a_quota_that_is_used_up_for_a_while_is_waited_for() {
    for code in ["ThrottlingException", "CallRateLimitExceededException"] {
        let aws = SimulatedAws::in_memory();
        let app = aws.repository("app").daily_builds(3);
        aws.cluster("prod").runs(&app.uri("v3"));
        // Far more often than other failures are retried.
        for operation in ["ecs:ListClusters", "ecs:DescribeTasks", "lambda:ListFunctions"] {
            aws.inject(Fault::error(operation, if code.starts_with("Call") { 429 } else { 400 }, code).times(12));
        }
        let report = run_on(&aws, merciless(false)).await;
        assert_eq!((report.outcome, app.tags()), (Outcome::Completed, set(["v3"])), "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_throttle_that_lasts_ends_with_the_time_and_nothing_goes() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app").daily_builds(3);
    aws.inject(Fault::throttled("ecs:ListClusters"));
    let clock = std::time::SystemTime::now();
    let deadline = clock.duration_since(std::time::UNIX_EPOCH).unwrap() + Duration::from_millis(12_500);
    let deadline = Deadline::from_lambda(u64::try_from(deadline.as_millis()).unwrap(), clock);
    let report = crate::support::run_until(&aws, merciless(false), deadline).await.unwrap();
    assert!(!report.usage.complete, "{:?}", report.outcome);
    assert_eq!(app.tags().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn repositories_that_fail_for_good_starve_no_other() {
    let aws = SimulatedAws::in_memory();
    let mut sound = Vec::new();
    for number in 0..40 {
        let name = format!("sound-{number:02}");
        let repository = aws.repository(&name).daily_builds(2);
        aws.cluster("prod").runs(&repository.uri("v2"));
        let hiccup = |operation| Fault::error(operation, 500, "ServerException").for_repository(&name).times(1);
        for operation in ["ecr:DescribeImages", "ecr:BatchDeleteImage"] {
            aws.inject(hiccup(operation));
        }
        sound.push(repository);
    }
    for number in 0..6 {
        let name = format!("broken-{number}");
        _ = aws.repository(&name).daily_builds(2);
        aws.inject(Fault::error("ecr:*", 500, "ServerException").for_repository(&name));
    }
    let clients = clients(&aws).await.with_patience(PATIENCE);
    let limits = Limits::until(Deadline::unknown());
    let report = run_with(&clients, merciless(false), limits).await.unwrap();
    assert_eq!((report.outcome, report.totals.images_deleted), (Outcome::Partial, 40));
    assert!(sound.iter().all(|repository| repository.tags() == set(["v2"])));
}
