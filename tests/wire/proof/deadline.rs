//! Time is up at every possible moment: what was begun is told, nothing new is begun, and the next run goes on.

use std::time::Duration;

use ecr_cleanup::plan::{ImageResult, Refusal, Unattempted};
use ecr_cleanup::report::Outcome;
use futures::stream::{self, StreamExt};
use simulated_aws::Fault;
use tokio::time::Instant;

use super::sweep::lie;
use super::world::World;
use crate::support::deadline_in;

/// More than the calls of a run, those of its last look and deletes included.
const MOMENTS: usize = 125;
/// Runs at a time: most of their time they wait.
const AT_ONCE: usize = 12;

#[tokio::test(start_paused = true)]
async fn a_run_that_is_out_of_time_at_any_moment_tells_what_it_did_and_the_next_goes_on() {
    let reached: Vec<bool> = stream::iter(0..MOMENTS)
        .map(async |moment| {
            let world = World::found().await;
            let before = world.images();
            // The call at that moment takes so long that what comes after it is in the last ten seconds.
            world.aws.inject(Fault::slow("*", Duration::from_millis(1_200)).after(moment).times(1));
            let report = world.run_until(deadline_in(&world.aws, Duration::from_secs(11))).await;
            let left = world.images();
            assert_eq!(world.stays.difference(&left).next(), None, "used or protected, and gone: moment {moment}");
            let mut reached = true;
            if let Ok(report) = &report {
                assert_eq!(lie(&world, report, &left, &before), None, "moment {moment}");
                reached = match &report.outcome {
                    Outcome::Completed => false,
                    Outcome::DeadlineReached | Outcome::Refused(Refusal::UsageIncomplete { .. }) => true,
                    outcome => panic!("{outcome:?} at moment {moment}: {:?}", report.plan.errors().next()),
                };
                let failed = ImageResult::NotAttempted(Unattempted::RepositoryFailed);
                assert!(report.plan.stale().all(|image| image.result != failed), "moment {moment}");
            }
            world.aws.heal();
            let next = world.run().await.unwrap();
            assert_eq!((next.outcome, world.images()), (Outcome::Completed, world.stays.clone()), "moment {moment}");
            reached
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let reached = reached.into_iter().filter(|reached| *reached).count();
    assert!(reached > MOMENTS / 2, "only {reached} of {MOMENTS} runs ran out of time");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_never_answered_ends_two_seconds_before_the_deadline_whichever_it_is() {
    const LEFT: Duration = Duration::from_millis(2_700);
    stream::iter(0..60)
        .for_each_concurrent(AT_ONCE, async |moment| {
            let world = World::found().await;
            let before = world.images();
            world.aws.inject(Fault::no_answer("*").after(moment));
            let (deadline, begun) = (deadline_in(&world.aws, LEFT), Instant::now());
            let report = world.run_until(deadline).await;
            assert!(begun.elapsed() < LEFT, "{:?} at moment {moment}", begun.elapsed());
            assert!(!matches!(report, Ok(report) if report.outcome == Outcome::Completed), "moment {moment}");
            assert_eq!(world.images(), before, "moment {moment}");
        })
        .await;
}
