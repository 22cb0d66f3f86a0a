//! The function against the simulated account. The SDK is unchanged, in memory or, for tests of the process or of the
//! wire itself, on a socket.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failing test may panic")]

mod apply;
mod archiving;
mod audit;
mod binary;
mod clock_skew;
mod deadline;
mod decisions;
#[cfg(feature = "cli")]
mod demo;
mod exact_sizes;
mod field_apply;
#[cfg(feature = "cli")]
mod field_input;
mod field_registry;
mod field_throttling;
mod field_usage;
mod fuzzing;
mod graph;
mod large_manifests;
mod main_job;
mod memory;
mod memory_faults;
mod memory_killed;
mod memory_plans;
mod memory_reports;
mod missing;
mod on_the_wire;
mod outdated;
mod pages;
mod parts;
mod permissions;
mod policies;
mod proof;
mod pull_time;
mod real_manifests;
mod recheck;
#[cfg(feature = "cli")]
mod reports;
mod schema;
mod settings;
mod support;
#[cfg(feature = "cli")]
mod terminal;
#[cfg(feature = "cli")]
mod terminal_asking;
#[cfg(feature = "cli")]
mod terminal_errors;
#[cfg(feature = "cli")]
mod terminal_help;
#[cfg(all(feature = "cli", target_os = "linux"))]
mod terminal_interrupted;
#[cfg(feature = "cli")]
mod terminal_memory;
#[cfg(feature = "cli")]
mod terminal_saved;
#[cfg(feature = "cli")]
mod terminal_settings;
#[cfg(feature = "cli")]
mod terminal_shown;
#[cfg(feature = "cli")]
mod terminal_typed;
mod usage;
mod usage_of_accounts;
mod usage_of_daemons;
mod usage_of_functions;
mod usage_of_services;
mod usage_over_time;
