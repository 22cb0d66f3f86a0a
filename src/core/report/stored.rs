//! The keys of stored reports, below the memory's prefix.

use super::{RunSummary, Trend};
use crate::account::Place;
use crate::run_id::RunId;

/// The page that lists the runs.
pub const INDEX: &str = "reports/index.html";

/// A table of rows in `infra/athena.sql`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// [`RepositoryRow`](super::RepositoryRow).
    Repositories,
    /// [`DeletedRow`](super::DeletedRow).
    Deleted,
}

/// The key of a run's report: `reports/json/RUN_ID.json.gz`.
#[must_use]
pub fn key_of_json(run_id: &RunId) -> String {
    format!("reports/json/{run_id}.json.gz")
}

/// The key of a run's page: `reports/html/RUN_ID.html`. It is not compressed, so that a browser opens the file.
#[must_use]
pub fn key_of_page(run_id: &RunId) -> String {
    format!("reports/html/{run_id}.html")
}

/// The key of a run's rows, by day, account and Region: `reports/deleted/dt=…/account=…/region=…/RUN_ID.jsonl.gz`. From
/// the second part of the rows, it has the number of the part.
#[must_use]
pub fn key_of_rows(table: Table, run_id: &RunId, Place { account, region }: &Place, part: usize) -> String {
    let table = match table {
        Table::Repositories => "repositories",
        Table::Deleted => "deleted",
    };
    let part = if part == 0 { String::new() } else { format!("-{}", part + 1) };
    format!("reports/{table}/dt={}/account={account}/region={region}/{run_id}{part}.jsonl.gz", run_id.day())
}

/// The pages of stored reports, as functions that another crate has.
#[derive(Clone, Copy, Debug)]
pub struct Pages {
    /// The page of a report's JSON, with the runs of the same scope until this one.
    pub report: fn(&str, &[&RunSummary]) -> String,
    /// The page that lists all runs.
    pub index: fn(&Trend) -> String,
}
