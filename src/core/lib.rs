//! The data and the decisions of ecr-cleanup, as plain values.
//!
//! Nothing here calls AWS, reads a clock, a file or the environment, waits, or logs. The manifest has no dependency that
//! could, and `clippy.toml` forbids the functions of the standard library that could. Callers pass all data in as values.
//! The decisions are returned as values that can be serialized.
//!
//! Read it in this order:
//! - names: [`account`], [`image`], [`reference`](mod@reference), [`pattern`];
//! - data: [`manifest`], [`pull_time`], [`sharing`], [`replication`], [`policy`], [`usage`], [`clock_skew`], and
//!   [`call_error`] for data that could not be read, and [`memory`] for what earlier runs learned;
//! - decisions: [`retention`] for an image, [`repository`] for a repository, [`plan`] for all of them, [`review`] for a
//!   plan that a person approved, [`saved_plan`] for its file format, [`remember`] for what the next run learns from it;
//! - output: [`warning`], [`report`];
//! - input: [`settings`], read by [`strict_json`], and an [`in_use_list`].

pub mod account;
pub mod call_error;
pub mod clock_skew;
pub mod image;
pub mod in_use_list;
pub mod manifest;
pub mod memory;
pub mod pattern;
pub mod plan;
pub mod policy;
pub mod pull_time;
pub mod reference;
pub mod remember;
pub mod replication;
pub mod report;
pub mod repository;
pub mod retention;
pub mod review;
pub mod run_id;
pub mod saved_plan;
pub mod settings;
pub mod sharing;
pub mod sizes;
pub mod strict_json;
pub mod usage;
pub mod wanted;
pub mod warning;

#[cfg(test)]
mod seeded;
