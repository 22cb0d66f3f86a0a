//! Saved plans. A run claims a plan before its first delete, so that of two runs only one carries it out.

use ecr_cleanup_core::call_error::CallError;
use ecr_cleanup_core::memory::{self, CarriedOut, MemoryTrouble, PlanLocation};
use ecr_cleanup_core::saved_plan::SavedPlan;

use super::{Object, Put, Store, Version, open};
use crate::aws::Aws;
use crate::deadline::Deadline;

/// Why a saved plan can't be carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanNotUsable {
    /// The memory has no such plan.
    #[error("there is no plan {0}. A dry run with a memory saves its plan there, by its runId")]
    Unknown(String),
    /// It was carried out before.
    #[error("{0}")]
    CarriedOut(CarriedOut),
    /// It is not a plan that this program reads.
    #[error("{0}")]
    NotAPlan(String),
    /// The memory can't be read or written.
    #[error(transparent)]
    Unavailable(#[from] MemoryTrouble),
}

/// The run that may carry out a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// This run.
    Own,
    /// Another run, which has begun to.
    Others(CarriedOut),
}

/// Reads a plan that no run has carried out.
///
/// # Errors
/// When there is no such plan, when it was carried out before, or when it can't be read.
pub async fn read_plan(plan: &PlanLocation, aws: &Aws, deadline: Deadline) -> Result<SavedPlan, PlanNotUsable> {
    let store = open(&plan.memory, aws, deadline);
    let key = plan.key();
    let Some(Object { bytes, .. }) = get(&*store, plan, &key).await? else {
        return Err(PlanNotUsable::Unknown(plan.to_string()));
    };
    let text = memory::unpack(&bytes).map_err(|damaged| MemoryTrouble::damaged(object(plan, &key), &damaged))?;
    let saved = SavedPlan::parse(&String::from_utf8_lossy(&text)).map_err(PlanNotUsable::NotAPlan)?;
    match carried_out(&*store, plan).await? {
        Some(done) => Err(PlanNotUsable::CarriedOut(done)),
        None => Ok(saved),
    }
}

/// Claims a plan for a run. Every later claim fails, also if the run is killed.
///
/// # Errors
/// When the memory can't be written.
pub async fn claim_plan(
    plan: &PlanLocation,
    by: &CarriedOut,
    aws: &Aws,
    deadline: Deadline,
) -> Result<Claim, MemoryTrouble> {
    let store = open(&plan.memory, aws, deadline);
    let key = plan.key_of_carried_out();
    let unavailable = |error| MemoryTrouble::of_call(object(plan, &key), error);
    let bytes = by.write().map_err(|error| unavailable(CallError::unexpected("memory", &error)))?;
    if store.put(&key, bytes, &Version::Absent).await.map_err(unavailable)? != Put::Changed {
        return Ok(Claim::Own);
    }
    match carried_out(&*store, plan).await? {
        // An earlier attempt of the same put succeeded, and its response was lost.
        Some(done) if done.run_id == by.run_id => Ok(Claim::Own),
        Some(done) => Ok(Claim::Others(done)),
        None => Err(MemoryTrouble::contended(object(plan, &key))),
    }
}

/// Saves the plan of a run.
///
/// # Errors
/// When the memory can't be written.
pub(super) async fn save_plan(store: &dyn Store, plan: &PlanLocation, text: &str) -> Result<(), MemoryTrouble> {
    let key = plan.key();
    let failed = |error| MemoryTrouble::of_call(object(plan, &key), error);
    let bytes = memory::pack(text.as_bytes()).map_err(|error| failed(CallError::unexpected("memory", &error)))?;
    match store.put(&key, bytes.clone(), &Version::Absent).await.map_err(failed)? {
        Put::Written(_) => Ok(()),
        Put::Changed => match store.get(&key).await.map_err(failed)? {
            // An earlier attempt of the same put succeeded, and its response was lost.
            Some(there) if there.bytes == bytes => Ok(()),
            Some(_) | None => Err(MemoryTrouble::contended(object(plan, &key))),
        },
    }
}

/// The run that has carried a plan out.
async fn carried_out(store: &dyn Store, plan: &PlanLocation) -> Result<Option<CarriedOut>, MemoryTrouble> {
    let key = plan.key_of_carried_out();
    let Some(Object { bytes, .. }) = get(store, plan, &key).await? else { return Ok(None) };
    // A damaged object still says that a run has claimed the plan.
    CarriedOut::read(&bytes).map(Some).map_err(|damaged| MemoryTrouble::damaged(object(plan, &key), &damaged))
}

async fn get(store: &dyn Store, plan: &PlanLocation, key: &str) -> Result<Option<Object>, MemoryTrouble> {
    store.get(key).await.map_err(|error| MemoryTrouble::of_call(object(plan, key), error))
}

/// The name of an object in a plan's memory.
fn object(plan: &PlanLocation, key: &str) -> String {
    format!("{}/{key}", plan.memory)
}
