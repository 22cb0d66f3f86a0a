//! Reports in memory: of each run its JSON, its rows for queries and its page, and of all runs the trend and an index.
//!
//! A report never fails a run: an object that can't be written is a warning. The small objects come first, because the
//! deadline may be near. Lists that would make an object too large are truncated or divided.

use ecr_cleanup_core::call_error::CallError;
use ecr_cleanup_core::memory::{MemoryLocation, MemoryTrouble, pack, pack_lines};
use ecr_cleanup_core::plan::Refusal;
use ecr_cleanup_core::report::{
    INDEX, Outcome, Pages, RESPONSE_BYTES, Report, RunSummary, TREND, TREND_FOLDER, Table, Trend, key_of_json,
    key_of_page, key_of_rows,
};
use ecr_cleanup_core::warning::{self, Warning, WarningCode};
use sha2::{Digest, Sha256};

use super::{ATTEMPTS, Object, Put, Store, Version, open};
use crate::aws::Aws;
use crate::deadline::Deadline;

/// A report with more stale images is stored with truncated lists, as in the function's response.
const WHOLE_IMAGES: u64 = 100_000;
/// The most rows of an object, so that packing it takes seconds and little memory.
const ROWS: usize = 50_000;

/// The memory of a run's report.
struct Reports<'a> {
    store: Box<dyn Store>,
    location: &'a MemoryLocation,
    deadline: Deadline,
    report: &'a Report,
    pages: Pages,
}

/// Writes the report of a run. Returns warnings about objects that can't be written.
pub async fn write_report(
    location: Option<&MemoryLocation>,
    aws: &Aws,
    deadline: Deadline,
    report: &Report,
    pages: Pages,
) -> Vec<Warning> {
    let Some(location) = location else { return Vec::new() };
    if is_clock_wrong(report) {
        return Vec::new();
    }
    let reports = Reports { store: open(location, aws, deadline), location, deadline, report, pages };
    let trouble = reports.write().await;
    let warnings: Vec<Warning> = trouble.iter().map(warning::report_not_written).collect();
    for warning in &warnings {
        tracing::warn!("{warning}");
    }
    warnings
}

/// A wrong clock would sort the run to the wrong day, and a clock that is ahead to the newest runs of the trend.
fn is_clock_wrong(report: &Report) -> bool {
    let is_warned = report.warnings.iter().any(|warning| warning.code == WarningCode::ClockSkew);
    is_warned || matches!(report.outcome, Outcome::Refused(Refusal::ClockSkew(_)))
}

impl Reports<'_> {
    async fn write(&self) -> Vec<MemoryTrouble> {
        let mut trouble = Vec::new();
        // After an object that can't be written, the others mostly fail in the same way.
        let written = async {
            // A list distinguishes an absent object from a denied one.
            let keys = self.store.list(TREND_FOLDER).await.map_err(|error| self.failed(TREND_FOLDER, error))?;
            self.write_rows().await?;
            let (trend, index) = match self.write_trend(keys.contains(TREND)).await {
                Ok((trend, index)) => (trend, Some(index)),
                Err(unread) => {
                    trouble.push(unread);
                    (Trend::starting_with(RunSummary::of(self.report)), None)
                }
            };
            self.write_whole(&trend).await?;
            match index {
                Some(version) => self.write_index(trend, version).await,
                None => Ok(()),
            }
        };
        let written = written.await;
        trouble.extend(written.err());
        trouble
    }

    async fn write_rows(&self) -> Result<(), MemoryTrouble> {
        let Self { report, .. } = *self;
        for registry in &report.plan.registries {
            let key = key_of_rows(Table::Repositories, &report.run_id, &registry.place, 0);
            self.put_new(&key, || pack_lines(report.repository_rows(registry))).await?;
        }
        for registry in &report.plan.registries {
            let mut rows = report.deleted_rows(registry).peekable();
            for part in 0.. {
                if rows.peek().is_none() {
                    break;
                }
                let key = key_of_rows(Table::Deleted, &report.run_id, &registry.place, part);
                self.put_new(&key, || pack_lines(rows.by_ref().take(ROWS))).await?;
            }
        }
        Ok(())
    }

    /// Writes the report's JSON and its page.
    async fn write_whole(&self, trend: &Trend) -> Result<(), MemoryTrouble> {
        let Self { report, deadline, .. } = *self;
        let is_whole = report.totals.images_stale <= WHOLE_IMAGES && deadline.allows_more().is_ok();
        let key = key_of_json(&report.run_id);
        let mut json = if is_whole { report.to_json() } else { report.to_json_within(RESPONSE_BYTES) }
            .map_err(|error| self.failed(&key, CallError::unexpected("memory", &error)))?;
        self.put_new(&key, || pack(json.as_bytes())).await?;
        let key = key_of_page(&report.run_id);
        if json.len() > RESPONSE_BYTES {
            json = report
                .to_json_within(RESPONSE_BYTES)
                .map_err(|error| self.failed(&key, CallError::unexpected("memory", &error)))?;
        }
        let summary = RunSummary::of(report);
        let runs: Vec<&RunSummary> = trend.until(&summary).collect();
        self.put_new(&key, || Ok((self.pages.report)(&json, &runs).into_bytes())).await
    }

    /// Adds the run to the trend. Returns the trend, and the version of the index from before.
    async fn write_trend(&self, mut is_there: bool) -> Result<(Trend, Version), MemoryTrouble> {
        let failed = |error| self.failed(TREND, error);
        let mut trend = Trend::starting_with(RunSummary::of(self.report));
        let mut version = Version::Absent;
        for _ in 0..ATTEMPTS {
            if is_there {
                let (theirs, its_version) = self.read_trend().await?;
                trend.merge(theirs);
                version = its_version;
            }
            let index = self.version_of_index().await?;
            let bytes = trend.write().map_err(|error| failed(CallError::unexpected("memory", &error)))?;
            if let Put::Written(_) = self.store.put(TREND, bytes, &version).await.map_err(failed)? {
                return Ok((trend, index));
            }
            is_there = true;
        }
        Err(MemoryTrouble::contended(self.object(TREND)))
    }

    /// Writes the index. Each run reads the version of the index before the trend. So the run that writes it last has read
    /// a trend with the runs of all earlier writers.
    async fn write_index(&self, mut trend: Trend, mut version: Version) -> Result<(), MemoryTrouble> {
        for _ in 0..ATTEMPTS {
            let page = (self.pages.index)(&trend).into_bytes();
            let put = self.store.put(INDEX, page, &version).await;
            if let Put::Written(_) = put.map_err(|error| self.failed(INDEX, error))? {
                return Ok(());
            }
            version = self.version_of_index().await?;
            (trend, _) = self.read_trend().await?;
        }
        Err(MemoryTrouble::contended(self.object(INDEX)))
    }

    async fn read_trend(&self) -> Result<(Trend, Version), MemoryTrouble> {
        match self.store.get(TREND).await.map_err(|error| self.failed(TREND, error))? {
            None => Ok((Trend::default(), Version::Absent)),
            Some(Object { bytes, version }) => {
                let trend = Trend::read(&bytes).map_err(|damaged| MemoryTrouble::damaged(self.object(TREND), &damaged));
                Ok((trend?, version))
            }
        }
    }

    async fn version_of_index(&self) -> Result<Version, MemoryTrouble> {
        let there = self.store.get(INDEX).await.map_err(|error| self.failed(INDEX, error))?;
        Ok(there.map_or(Version::Absent, |object| object.version))
    }

    /// Writes an object of this run alone. It is made only if there is time to write it.
    async fn put_new(&self, key: &str, bytes: impl FnOnce() -> std::io::Result<Vec<u8>>) -> Result<(), MemoryTrouble> {
        let failed = |error| self.failed(key, error);
        self.deadline.to_finish().allows_more().map_err(|given_up| failed(("memory", given_up).into()))?;
        let bytes = bytes().map_err(|error| failed(CallError::unexpected("memory", &error)))?;
        let digest = Sha256::digest(&bytes);
        match self.store.put(key, bytes, &Version::Absent).await.map_err(failed)? {
            Put::Written(_) => Ok(()),
            Put::Changed => match self.store.get(key).await.map_err(failed)? {
                // An earlier attempt of the same put succeeded, and its response was lost.
                Some(there) if Sha256::digest(&there.bytes) == digest => Ok(()),
                Some(_) | None => Err(MemoryTrouble::contended(self.object(key))),
            },
        }
    }

    fn failed(&self, key: &str, error: CallError) -> MemoryTrouble {
        MemoryTrouble::of_call(self.object(key), error)
    }

    fn object(&self, key: &str) -> String {
        format!("{}/{key}", self.location)
    }
}
