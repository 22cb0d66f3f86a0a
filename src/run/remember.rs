//! Reads memory before a run, and writes it before the first delete and at the end of the run.

use std::collections::BTreeSet;

use ecr_cleanup_core::account::{AccountId, Place};
use ecr_cleanup_core::call_error::CallError;
use ecr_cleanup_core::memory::{MemoryTrouble, Seen};
use ecr_cleanup_core::plan::Plan;
use ecr_cleanup_core::remember::observe;
use ecr_cleanup_core::saved_plan::to_json;
use ecr_cleanup_core::settings::Mode;
use ecr_cleanup_core::usage::Usage;
use ecr_cleanup_core::warning::{self, Warning};

use super::{Cleaned, Request, Stage};
use crate::aws::Aws;
use crate::discovery::{Identity, Places};
use crate::memory::Memory;

/// Reads the memory that the run needs.
pub(super) async fn recall(request: &Request<'_>, aws: &Aws, identity: &Identity) -> Memory {
    let Request { settings, limits, .. } = request;
    let place = |region| Place::new(identity.account.clone(), region);
    let registries: Vec<Place> = identity.cleaned.iter().cloned().map(place).collect();
    let others = settings.usage.role_arns.iter().map(|role| role.account.clone());
    let accounts: BTreeSet<AccountId> = others.chain([identity.account.clone()]).collect();
    Memory::recall(settings.memory.as_ref(), aws, &registries, &accounts, limits.deadline).await
}

/// Saves the plan of a dry run, in the form of a plan file.
async fn save_plan(stage: Stage<'_>, cleaned: &Cleaned) -> Result<(), MemoryTrouble> {
    let Stage { request, identity, memory, run_id, started_at, .. } = stage;
    let Some(location) = memory.location() else { return Ok(()) };
    // A plan that was made without the memory could have images that the memory keeps.
    if memory.trouble().is_some() {
        return Ok(());
    }
    let settings = &request.settings;
    let tags = settings.rules.only_tags.as_ref().map(ToString::to_string);
    let text = to_json(&cleaned.plan, &identity.account, settings.to_event(), tags.as_deref(), started_at);
    let text =
        text.map_err(|error| MemoryTrouble::of_call(location.to_string(), CallError::unexpected("memory", &error)))?;
    memory.write_plan(run_id, &text).await
}

/// Writes the images in use before the first delete. Otherwise the data of a run that is killed while it deletes is lost,
/// and the next run deletes an image that was in use until then.
///
/// [`remember`] repeats a write that fails, and warns if it fails again.
pub(super) async fn remember_use(stage: Stage<'_>, plan: &Plan, usage: &Usage) {
    _ = stage.memory.write_seen(observer(stage, plan, usage)).await;
}

/// Adds the images that a plan has as in use or stale to the memory of a registry.
fn observer(stage: Stage<'_>, plan: &Plan, usage: &Usage) -> impl Fn(&Place, &mut Seen) {
    let selection = &stage.request.settings.repositories;
    let today = stage.started_at.date_naive();
    move |place, seen| {
        for registry in plan.registries.iter().filter(|registry| registry.place == *place) {
            observe(seen, registry, usage, selection, today);
        }
    }
}

/// Writes the data of the run, dry or live. Returns a warning for each object that could not be written.
pub(super) async fn remember(stage: Stage<'_>, cleaned: &Cleaned, places: &Places) -> Vec<Warning> {
    let Stage { request, identity, memory, started_at, .. } = stage;
    // Memory would keep the wrong days of a wrong clock.
    if identity.clock_skew.is_some() {
        return Vec::new();
    }
    let today = started_at.date_naive();
    let mut trouble = memory.write_seen(observer(stage, &cleaned.plan, &cleaned.usage)).await;
    let needed = places.readers().map(|reader| (&reader.place, reader.needed()));
    trouble.extend(memory.write_facts(needed, today).await);
    trouble.extend(memory.write_indexes().await);
    let is_own_plan = request.reviewed.is_none() && request.wanted.is_none();
    if request.settings.mode == Mode::DryRun && is_own_plan {
        trouble.extend(save_plan(stage, cleaned).await.err());
    }
    trouble.iter().map(warning::memory_not_written).collect()
}
