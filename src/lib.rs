//! ECR lifecycle policies that know what is running.
//!
//! ```text
//! event ─► settings ─► discover usage ─┐
//!                      take inventory ─┼─► plan (pure) ─► guard ─► apply ─► report
//!                                      ┘
//! ```
//!
//! A shell fetches, a pure function decides, a shell executes exactly that value, and the decision is the report. A dry
//! run is the same path that stops before `apply`. What is known and decided is a crate of its own, [`ecr_cleanup_core`],
//! which can't call, read or wait for anything; this one is the shell.
//!
//! What always holds:
//! - Nothing that a workload is known to use is deleted; when usage is not known in full, nothing is.
//! - Only [`apply`] deletes and archives, and it takes nothing but a plan that its guard let through.
//! - No module below [`run`](mod@run) knows whether a run is dry.
//!
//! Who may import whom, from the bottom up; `tests/layout` holds it:
//! - [`clock`], [`deadline`], [`progress`]: nothing of ours but the core.
//! - [`aws`], the only door to AWS: those.
//! - [`sources`] (usage) and [`registry`] (ECR) read; [`apply`] writes. A source imports `reader` and no other source.
//! - [`discovery`] asks all sources everywhere. [`run`](mod@run) alone knows all stages.
//! - [`event`], [`lambda`] and [`terminal`] are the edges: they know `run`, never a stage.

pub mod event;
pub mod lambda;
#[cfg(feature = "cli")]
pub mod show;
#[cfg(feature = "cli")]
pub mod terminal;

pub mod apply;
pub mod discovery;
pub mod registry;
pub mod run;
pub mod sources;
pub mod telemetry;

pub mod aws;
pub mod clock;
pub mod deadline;
pub mod progress;
