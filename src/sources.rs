//! THE TABLE of the sources of usage: whatever can hold an image is a row here and a file, or a folder, beside this one.
//!
//! A source declares what it calls and how fast it may, and has one function that reads. It is given a [`Reader`], which
//! collects what is found: what is used, and what could not be read. A source can't swallow an error, nor forget to say
//! that it was answered, since it is the reader that notes both.

mod ecs;
mod lambda;
mod reader;

use ecr_cleanup_core::call_error::CallError;
use futures::future::LocalBoxFuture;

pub use reader::{Findings, PlaceReader, Reader};

use crate::aws::Quota;

/// Something that can tell which images are in use, in one region of one account.
#[derive(Debug)]
pub struct Source {
    /// Its name in settings, reports and errors.
    pub id: &'static str,
    /// What it reads, as people call each part of it, in the order in which what fails is told.
    pub parts: &'static [&'static str],
    /// What it calls, with the quotas that the calls share.
    pub quotas: &'static [Quota],
    /// Reads it. An error is one of its first part; those of others are noted where they occur.
    pub read: for<'a> fn(&'a Reader<'a>) -> LocalBoxFuture<'a, Result<(), CallError>>,
}

/// All of them.
pub static SOURCES: &[&Source] = &[&ecs::SOURCE, &lambda::SOURCE];

/// The quotas of all of them.
pub fn quotas() -> impl Iterator<Item = &'static Quota> {
    SOURCES.iter().flat_map(|source| source.quotas)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quotas_are_the_functions_share_of_what_aws_publishes() {
        let share = |call: &str| {
            let quota = quotas().find(|quota| quota.calls.contains(&call)).unwrap();
            (quota.per_second, quota.burst)
        };
        for (call, per_second, burst) in [
            ("ecs:ListClusters", 15, 25),
            ("ecs:DescribeTasks", 15, 50),
            ("ecs:DescribeTaskDefinition", 15, 25),
            ("ecs:DescribeServiceRevisions", 15, 25),
            ("lambda:GetFunction", 75, 75),
            ("lambda:ListAliases", 11, 11),
        ] {
            assert_eq!(share(call), (per_second, burst), "{call}");
        }
    }

    #[test]
    fn every_row_has_a_name_of_its_own_and_every_call_one_quota() {
        let mut ids: Vec<&str> = SOURCES.iter().map(|source| source.id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), SOURCES.len());
        let mut calls: Vec<&str> = quotas().flat_map(|quota| quota.calls).copied().collect();
        let all = calls.len();
        calls.sort_unstable();
        calls.dedup();
        assert_eq!(calls.len(), all);
        assert!(SOURCES.iter().all(|source| !source.parts.is_empty()));
    }
}
