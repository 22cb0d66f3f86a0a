//! THE TABLE of the sources of usage. Each service that can use an image is a row here, and a file or folder beside
//! this one.
//!
//! A source declares its calls and their quotas, and has one function that reads. The function gets a [`Reader`], which
//! collects the images in use and the failures. A source can't lose an error or forget to note an answer, because the
//! reader notes both.

mod ecs;
mod lambda;
mod reader;

use ecr_cleanup_core::call_error::CallError;
use futures::future::LocalBoxFuture;

pub use reader::{Findings, PlaceReader, Reader};

use crate::aws::Quota;

/// A service whose workloads use images, in one region of one account.
#[derive(Debug)]
pub struct Source {
    /// Its name in settings, reports and errors.
    pub id: &'static str,
    /// The parts that it reads, by the names that people use. Failures are reported in this order.
    pub parts: &'static [&'static str],
    /// The quotas of its calls.
    pub quotas: &'static [Quota],
    /// Reads it. A returned error belongs to the first part. Errors of other parts are noted where they occur.
    pub read: for<'a> fn(&'a Reader<'a>) -> LocalBoxFuture<'a, Result<(), CallError>>,
}

/// All sources.
pub static SOURCES: &[&Source] = &[&ecs::SOURCE, &lambda::SOURCE];

/// The quotas of all sources.
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
