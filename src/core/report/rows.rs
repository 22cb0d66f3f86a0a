//! The rows of stored reports, for queries over many runs: one for each repository, and one for each deleted image.
//!
//! Each row has all columns of its table in `infra/athena.sql`, with null for what is unknown. The account, the Region
//! and the day are in the keys of the objects.

use serde::Serialize;

use super::json::rfc3339;
use super::{Report, Totals};
use crate::image::{ImageDigest, RepositoryName};
use crate::plan::{ImageResult, RegistryPlan, RepositoryPlan, StaleImage};
use crate::run_id::RunId;
use crate::settings::Mode;

/// A repository of a run. Without a name, it is a registry whose repositories could not be listed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RepositoryRow<'a> {
    run_id: &'a RunId,
    started_at: String,
    dry_run: bool,
    outcome: &'static str,
    repository_name: Option<&'a RepositoryName>,
    error_code: Option<&'a str>,
    images: Option<u64>,
    images_in_use: Option<u64>,
    images_kept: Option<u64>,
    images_stale: Option<u64>,
    images_deleted: Option<u64>,
    images_archived: Option<u64>,
    images_failed: Option<u64>,
    bytes: Option<u64>,
    bytes_in_use: Option<u64>,
    bytes_kept: Option<u64>,
    bytes_stale: Option<u64>,
    bytes_deleted: Option<u64>,
}

/// An image that a run deleted or archived.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeletedRow<'a> {
    run_id: &'a RunId,
    started_at: String,
    repository_name: &'a RepositoryName,
    image_digest: &'a ImageDigest,
    image_tags: &'a [Box<str>],
    image_pushed_at: Option<String>,
    image_size_in_bytes: u64,
    result: &'static str,
    reason_code: &'a str,
    reason: String,
}

impl Report {
    /// The rows of a registry's repositories.
    pub fn repository_rows<'a>(&'a self, registry: &'a RegistryPlan) -> impl Iterator<Item = RepositoryRow<'a>> {
        let unlisted = registry.repositories.as_ref().err();
        let unlisted = unlisted.map(|error| self.repository_row(None, Some(&error.code), None));
        let listed = registry.repositories.iter().flatten().map(|repository| {
            let RepositoryPlan { repository_name, decided } = repository;
            let error = decided.as_ref().err().map(|error| error.code.as_str());
            let totals = decided.as_ref().ok().map(|decided| {
                let mut totals = Totals::default();
                totals.add(decided);
                totals
            });
            self.repository_row(Some(repository_name), error, totals)
        });
        unlisted.into_iter().chain(listed)
    }

    fn repository_row<'a>(
        &'a self,
        repository_name: Option<&'a RepositoryName>,
        error_code: Option<&'a str>,
        totals: Option<Totals>,
    ) -> RepositoryRow<'a> {
        let of = |count: fn(&Totals) -> u64| totals.as_ref().map(count);
        RepositoryRow {
            run_id: &self.run_id,
            started_at: rfc3339(&self.started_at),
            dry_run: self.mode == Mode::DryRun,
            outcome: self.outcome.as_str(),
            repository_name,
            error_code,
            images: of(|totals| totals.images),
            images_in_use: of(|totals| totals.images_in_use),
            images_kept: of(|totals| totals.images_kept),
            images_stale: of(|totals| totals.images_stale),
            images_deleted: of(|totals| totals.images_deleted),
            images_archived: of(|totals| totals.images_archived),
            images_failed: of(|totals| totals.images_failed),
            bytes: of(|totals| totals.bytes),
            bytes_in_use: of(|totals| totals.bytes_in_use),
            bytes_kept: of(|totals| totals.bytes_kept),
            bytes_stale: of(|totals| totals.bytes_stale),
            bytes_deleted: of(|totals| totals.bytes_deleted),
        }
    }

    /// The rows of the images that the run deleted or archived in a registry.
    pub fn deleted_rows<'a>(&'a self, registry: &'a RegistryPlan) -> impl Iterator<Item = DeletedRow<'a>> {
        registry.repositories.iter().flatten().flat_map(|RepositoryPlan { repository_name, decided }| {
            let stale = decided.iter().flat_map(|decided| &decided.stale);
            let gone = stale.filter(|image| matches!(image.result, ImageResult::Deleted | ImageResult::Archived));
            gone.map(|image| {
                let StaleImage {
                    image_digest, image_tags, image_pushed_at, image_size_in_bytes, reason, result, ..
                } = image;
                DeletedRow {
                    run_id: &self.run_id,
                    started_at: rfc3339(&self.started_at),
                    repository_name,
                    image_digest,
                    image_tags,
                    image_pushed_at: image_pushed_at.as_ref().map(rfc3339),
                    image_size_in_bytes: *image_size_in_bytes,
                    result: result.as_str(),
                    reason_code: reason.code(),
                    reason: reason.to_string(),
                }
            })
        })
    }
}
