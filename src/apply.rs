//! Deletes and archives the images in an approved plan, and nothing else. Only this module calls writing APIs.
//!
//! Images are deleted by digest, up to 100 per call, and archived one per call. Each repository is separate, so a
//! failing one stops no other. A plan that is too old is made again before the first batch. Before each batch its
//! images are described once more. Usage that is too old is discovered again.

mod archiving;
mod begun;
mod cleaner;
mod copies;
mod new_indexes;
mod outdated;
mod queue;
mod recheck;
mod writer;

use std::collections::BTreeMap;

use ecr_cleanup_core::account::Place;
use ecr_cleanup_core::call_error::{CallError, GivenUp, Missing};
use ecr_cleanup_core::plan::{
    ApprovedPlan, Decided, ImageResult, Plan, PlannedCopies, RegistryPlan, RepositoryPlan, Unattempted,
};
use ecr_cleanup_core::pull_time::{IndexPulls, Principal};
use ecr_cleanup_core::usage::Usage;
use futures::stream::{self, StreamExt};

use crate::aws::Aws;
use crate::discovery::{FreshUsage, NotFresh};
use crate::memory::Memory;
use crate::progress::{News, Progress};
use crate::registry::{REGISTRIES_AT_ONCE, REPOSITORIES_AT_ONCE, Registry};
use cleaner::Cleaner;
use copies::CopiesElsewhere;
pub use outdated::Outdated;
use writer::{STORAGE_CLASS, Writer};

/// Why work on a repository stops.
enum Stop {
    /// Someone else deleted it.
    Gone,
    /// The remaining images are not attempted.
    Unattempted(Unattempted),
    /// A call failed for a whole batch.
    Failed(CallError),
}

/// Carries the plan out, and returns it with the result of every image. `plan_again` makes the plan of a repository
/// again.
pub async fn apply(
    aws: &Aws,
    approved: ApprovedPlan,
    usage: &FreshUsage<'_>,
    (principal, memory): (&Principal, &Memory),
    plan_again: &impl AsyncFn(Outdated<'_>, &Usage) -> Result<Decided, CallError>,
    progress: &dyn Progress,
) -> Plan {
    let deadline = usage.deadline();
    let mut plan = approved.into_plan();
    let images = plan.stale().filter(|image| image.result == ImageResult::Planned).count();
    progress.tell(News::Deleting { images });
    let index_pulls_of: BTreeMap<Place, IndexPulls> =
        plan.registries.iter().map(|registry| (registry.place.clone(), registry.index_pulls)).collect();
    let elsewhere = |planned: PlannedCopies| CopiesElsewhere {
        index_pulls: index_pulls_of.get(&planned.place).copied().unwrap_or_default(),
        planned,
    };
    let clean_registry = async |registry: &mut RegistryPlan| {
        let RegistryPlan { place, index_pulls, repositories, missing: _ } = registry;
        let (ecr, pace, index_pulls) = (aws.ecr(&place.region), aws.pace([STORAGE_CLASS].iter()), *index_pulls);
        let [registry, registry_to_finish] = &[deadline, deadline.to_finish()]
            .map(|deadline| Registry::new(aws, place.clone(), principal, deadline).remembering(memory.indexes(place)));
        let clean = async |RepositoryPlan { repository_name: repository, decided }: &mut RepositoryPlan| {
            let Ok(decided) = decided else { return };
            let renewed = outdated::renew(decided, (registry, index_pulls), repository, usage, plan_again).await;
            let writer = Writer {
                registry,
                ecr: &ecr,
                repository,
                pace: &pace,
                deadline,
                clock: usage.clock(),
                timeout: usage.limits().delete_timeout,
            };
            let nested = &cleaner::nested_indexes(decided);
            let copies = &std::mem::take(&mut decided.copies).into_iter().map(elsewhere).collect::<Vec<_>>();
            let cleaner = Cleaner {
                registry,
                registry_to_finish,
                repository,
                writer,
                index_pulls,
                usage,
                nested,
                copies,
                deadline,
                progress,
            };
            cleaner.clean(decided, renewed).await;
        };
        stream::iter(repositories.iter_mut().flatten()).for_each_concurrent(REPOSITORIES_AT_ONCE, clean).await;
    };
    stream::iter(plan.registries.iter_mut()).for_each_concurrent(REGISTRIES_AT_ONCE, clean_registry).await;
    plan
}

impl Stop {
    /// For a reading call: if the deadline is too near for it, nothing was attempted.
    fn of_reading(error: CallError) -> Self {
        if error.is_deadline() { Self::Unattempted(Unattempted::Deadline) } else { error.into() }
    }
}

impl From<CallError> for Stop {
    fn from(error: CallError) -> Self {
        if error.is_interruption() {
            GivenUp::Interrupted.into()
        } else if error.is_missing(Missing::Repository) {
            Self::Gone
        } else {
            Self::Failed(error)
        }
    }
}

impl From<GivenUp> for Stop {
    fn from(given_up: GivenUp) -> Self {
        Self::Unattempted(match given_up {
            GivenUp::DeadlineReached => Unattempted::Deadline,
            GivenUp::Interrupted => Unattempted::Interrupted,
        })
    }
}

impl From<NotFresh> for Stop {
    fn from(not_fresh: NotFresh) -> Self {
        match not_fresh {
            NotFresh::GivenUp(given_up) => given_up.into(),
            NotFresh::Incomplete(_) => Self::Unattempted(Unattempted::UsageIncomplete),
        }
    }
}
