//! ECR lifecycle policies that know what is running.
//!
//! ```text
//! event ─► settings ─► recall ─► discover usage ─┐
//!                                take inventory ─┼─► plan (pure) ─► guard ─► apply ─► report ─► remember
//!                                                ┘
//! ```
//!
//! A shell fetches, a pure function decides, and a shell executes exactly that decision. The report shows the same
//! decision. A dry run uses the same path and stops before `apply`. The crate [`ecr_cleanup_core`] decides and can't
//! call, read or wait for anything; this crate is the shell.
//!
//! Invariants:
//! - Nothing that a workload is known to use is deleted. While usage is not known in full, nothing is deleted.
//! - Only [`apply`] deletes and archives, and it accepts only a plan that its guard approved.
//! - No module below [`run`](mod@run) knows whether a run is a dry run.

//!
//! Which module may import which, from the bottom up. `tests/layout` checks this.
//! - [`clock`], [`deadline`], [`progress`]: only the core.
//! - [`aws`], the only way to AWS: those three.
//! - [`memory`] reads and writes the data that runs share: those four.
//! - [`sources`] (usage) and [`registry`] (ECR) read; [`apply`] writes. A source imports `reader` and no other source.
//! - [`discovery`] reads all sources in all regions. [`run`](mod@run) alone knows all stages.
//! - [`event`], [`lambda`] and [`terminal`] are the edges. They know `run`, and no stage.

pub mod event;
pub mod lambda;
pub mod show;
#[cfg(feature = "cli")]
pub mod terminal;

pub mod apply;
pub mod discovery;
pub mod memory;
pub mod registry;
pub mod run;
pub mod sources;
pub mod telemetry;

pub mod aws;
pub mod clock;
pub mod deadline;
pub mod progress;
