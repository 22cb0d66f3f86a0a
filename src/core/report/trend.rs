//! The trend: a summary of each of the last runs that share a memory.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Report, Totals};
use crate::memory::{Damaged, FORMAT, pack, unpack};
use crate::run_id::RunId;
use crate::settings::Mode;

/// The begin of the trend's key. It has a folder of its own, so that listing it lists nothing else.
pub const TREND_FOLDER: &str = "reports/trend/";
/// The key of the trend.
pub const TREND: &str = "reports/trend/runs.json.gz";
/// The most runs of a trend.
const RUNS: usize = 400;

/// The summary of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunSummary {
    /// The id of the run.
    pub run_id: RunId,
    /// When it started.
    pub started_at: DateTime<Utc>,
    /// The outcome's name in the report.
    pub outcome: String,
    /// Whether it was a dry run.
    pub dry_run: bool,
    /// The account, the Regions and the selection of repositories. Only runs of the same scope have comparable totals.
    pub scope: String,
    /// The sums over its repositories.
    pub totals: Totals,
}

/// The last runs, in the order of their ids, which is the order of their times.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trend {
    format: u32,
    runs: Vec<RunSummary>,
}

impl Default for Trend {
    fn default() -> Self {
        Self { format: FORMAT, runs: Vec::new() }
    }
}

impl RunSummary {
    /// The summary of a report.
    #[must_use]
    pub fn of(report: &Report) -> Self {
        Self {
            run_id: report.run_id.clone(),
            started_at: report.started_at,
            outcome: report.outcome.as_str().to_owned(),
            dry_run: report.mode == Mode::DryRun,
            scope: scope_of(report),
            totals: report.totals,
        }
    }
}

/// The scope of a run, such as `123456789012 us-west-2, web/*, without web/legacy`.
fn scope_of(report: &Report) -> String {
    let accounts = report.plan.accounts().into_iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    let regions = report.plan.registries.iter().map(|registry| registry.place.region.to_string());
    let patterns = |name: &'static str| {
        let values = report.settings.iter().filter(move |setting| setting.name == name);
        values.flat_map(|setting| setting.value.as_array().into_iter().flatten().filter_map(Value::as_str))
    };
    let mut scope = format!("{accounts} {}", regions.collect::<Vec<_>>().join(" "));
    for pattern in patterns("repositories").filter(|pattern| *pattern != "*") {
        scope = format!("{scope}, {pattern}");
    }
    for pattern in patterns("excludeRepositories") {
        scope = format!("{scope}, without {pattern}");
    }
    scope
}

impl Trend {
    /// The trend of one run.
    #[must_use]
    pub fn starting_with(run: RunSummary) -> Self {
        Self { runs: vec![run], ..Self::default() }
    }

    /// Adds the runs of another trend, in any order, and keeps the newest.
    pub fn merge(&mut self, other: Self) {
        self.runs.extend(other.runs);
        self.runs.sort_by(|one, other| one.run_id.cmp(&other.run_id));
        self.runs.dedup_by(|one, other| one.run_id == other.run_id);
        self.runs.drain(..self.runs.len().saturating_sub(RUNS));
    }

    /// The runs, the oldest first.
    #[must_use]
    pub fn runs(&self) -> &[RunSummary] {
        &self.runs
    }

    /// The runs of the same scope up to this one, the oldest first.
    pub fn until<'a>(&'a self, run: &'a RunSummary) -> impl Iterator<Item = &'a RunSummary> {
        self.runs.iter().filter(|other| other.scope == run.scope && other.run_id <= run.run_id)
    }

    /// The bytes of its object.
    ///
    /// # Errors
    /// None that its own values could cause.
    pub fn write(&self) -> std::io::Result<Vec<u8>> {
        pack(&serde_json::to_vec(self)?)
    }

    /// Reads the bytes of its object.
    ///
    /// # Errors
    /// When they are damaged, or when a newer version of this program wrote them. They are not overwritten then.
    pub fn read(bytes: &[u8]) -> Result<Self, Damaged> {
        #[derive(Deserialize)]
        struct Version {
            format: u32,
        }
        let text = unpack(bytes)?;
        let not_json = |error: serde_json::Error| Damaged::NotJson(error.to_string());
        let Version { format } = serde_json::from_slice(&text).map_err(not_json)?;
        if format > FORMAT {
            return Err(Damaged::TooNew(format));
        }
        serde_json::from_slice(&text).map_err(not_json)
    }
}
