//! What ecr-cleanup knows and decides, as values.
//!
//! Nothing here calls AWS, reads a clock, a file or the environment, waits, or logs: the manifest names no crate that
//! could, and `clippy.toml` forbids what the standard library has for it. What is to be known comes in as values, and
//! what is decided goes out as values that can be written down.
//!
//! Read it in this order:
//! - names: [`account`], [`image`], [`reference`](mod@reference), [`pattern`];
//! - what is known: [`manifest`], [`pull_time`], [`sharing`], [`replication`], [`policy`], [`usage`], [`clock_skew`], and
//!   [`call_error`] for what is not;
//! - what is decided: [`retention`] an image, [`repository`] a repository, [`plan`] all, [`review`] what a person agreed to, [`saved_plan`] how that is
//!   written down;
//! - what is told: [`warning`], [`report`];
//! - what is asked: [`settings`], read by [`strict_json`], with an [`in_use_list`] beside them.

pub mod account;
pub mod call_error;
pub mod clock_skew;
pub mod image;
pub mod in_use_list;
pub mod manifest;
pub mod pattern;
pub mod plan;
pub mod policy;
pub mod pull_time;
pub mod reference;
pub mod replication;
pub mod report;
pub mod repository;
pub mod retention;
pub mod review;
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
