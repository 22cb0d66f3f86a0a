//! ECR lifecycle policies that know what is running.
//!
//! ```text
//! event ─► settings ─► discover usage ─┐
//!                      take inventory ─┼─► plan (pure) ─► guard ─► apply ─► report
//!                                      ┘
//! ```
//!
//! A shell fetches, a pure function decides, a shell executes exactly that value, and the decision is the report. A dry
//! run is the same path that stops before `apply`.
//!
//! What always holds:
//! - Nothing that a workload is known to use is deleted; when usage is not known in full, nothing is.
//! - Only [`apply`] deletes and archives, and it takes nothing but a plan that [`plan::Plan::approve`] let through.
//! - [`retention`] and [`plan`] call no SDK, read no clock and await nothing.
//! - No module below [`handler`] knows whether a run is dry.

pub mod handler;
pub mod lambda;
#[cfg(feature = "cli")]
pub mod terminal;

pub mod apply;
pub mod event;
pub mod exact_sizes;
pub mod inventory;
pub mod plan;
pub mod policy;
pub mod report;
pub mod retention;
pub mod review;
pub mod settings;
pub mod sharing;
pub mod telemetry;
pub mod usage;
pub mod warning;

pub mod account;
pub mod aws;
pub mod clock;
pub mod deadline;
pub mod image;
pub mod manifest;
pub mod pattern;
pub mod progress;
pub mod pull_time;
pub mod reference;

#[cfg(test)]
mod seeded;
