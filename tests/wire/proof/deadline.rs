//! The deadline comes at every possible moment. The report contains all work that was begun, nothing new begins, and
//! the next run continues.

use std::time::Duration;

use ecr_cleanup::deadline::MARGIN_FOR_A_CALL;
use ecr_cleanup_core::plan::{ImageResult, Refusal, Unattempted};
use ecr_cleanup_core::report::Outcome;
use simulated_aws::Fault;
use tokio::time::Instant;

use super::cases::{chosen, each};
use super::sweep::lie;
use super::world::World;
use crate::support::deadline_in;

/// More than the number of calls in a run, including its last checks and deletes.
const MOMENTS: usize = 125;
/// Without `PROOF=whole`, one of this many cases runs.
const SHARE: usize = 8;

#[test]
fn a_run_that_is_out_of_time_at_any_moment_tells_what_it_did_and_the_next_goes_on() {
    let moments = chosen("deadline::a_run", 0..MOMENTS, SHARE);
    let reached = each(&moments, async |moment| {
        let (moment, repeat_with) = (moment.of, &moment.repeat_with);
        let world = World::found();
        let before = world.images();
        // The call at that moment takes long enough that later work is in the last ten seconds.
        world.aws.inject(Fault::slow("*", Duration::from_millis(1_200)).after(moment).times(1));
        let report = world.run_until(deadline_in(&world.aws, Duration::from_secs(11))).await;
        let left = world.images();
        assert_eq!(world.stays.difference(&left).next(), None, "used or protected, and gone: {repeat_with}");
        let mut reached = true;
        if let Ok(report) = &report {
            assert_eq!(lie(&world, report, &left, &before), None, "{repeat_with}");
            reached = match &report.outcome {
                Outcome::Completed => false,
                Outcome::DeadlineReached | Outcome::Refused(Refusal::UsageIncomplete { .. }) => true,
                outcome => panic!("{outcome:?}: {:?}: {repeat_with}", report.plan.errors().next()),
            };
            let failed = ImageResult::NotAttempted(Unattempted::RepositoryFailed);
            assert!(report.plan.stale().all(|image| image.result != failed), "{repeat_with}");
        }
        world.aws.heal();
        let next = world.run().await.unwrap();
        assert_eq!((next.outcome, world.images()), (Outcome::Completed, world.stays), "{repeat_with}");
        reached
    });
    let reached = reached.into_iter().filter(|reached| *reached).count();
    let is_alone = moments.len() == 1;
    assert!(is_alone || reached > moments.len() / 2, "only {reached} of {} runs ran out of time", moments.len());
}

#[test]
fn a_call_that_is_never_answered_ends_two_seconds_before_the_deadline_whichever_it_is() {
    const LEFT: Duration = Duration::from_millis(2_700);
    let moments = chosen("deadline::a_call", 0..60, SHARE);
    each(&moments, async |moment| {
        let (moment, repeat_with) = (moment.of, &moment.repeat_with);
        let world = World::found();
        let before = world.images();
        world.aws.inject(Fault::no_answer("*").after(moment));
        let (deadline, begun) = (deadline_in(&world.aws, LEFT), Instant::now());
        let report = world.run_until(deadline).await;
        assert!(begun.elapsed() + MARGIN_FOR_A_CALL <= LEFT, "{:?}: {repeat_with}", begun.elapsed());
        assert!(!matches!(report, Ok(report) if report.outcome == Outcome::Completed), "{repeat_with}");
        assert_eq!(world.images(), before, "{repeat_with}");
    });
}
