//! The function against the simulated account: the unchanged SDK, on the wire.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail where it stands")]

mod apply;
mod binary;
mod deadline;
mod main_job;
mod settings;
mod support;
mod usage;
