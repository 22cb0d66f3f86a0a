//! Task definitions: those that services start tasks from, and the newest ACTIVE revisions of every family, from which
//! schedules and one-off runs start theirs.
//!
//! `DescribeTaskDefinition` takes one ARN a call, so nothing is described whose images are known already.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use aws_sdk_ecs::operation::list_task_definition_families::ListTaskDefinitionFamiliesOutput;
use aws_sdk_ecs::operation::list_task_definitions::ListTaskDefinitionsOutput;
use aws_sdk_ecs::types::{SortOrder, TaskDefinitionFamilyStatus, TaskDefinitionStatus};
use futures::stream::{self, StreamExt};

use super::{EcsRegion, Findings, PER_PAGE, Source};
use crate::aws::{CallError, Caller};
use crate::usage::snapshot::{Holder, holder};

/// Calls under way at a time; more would only wait for their turn.
const AT_ONCE: usize = 8;

const LIST_FAMILIES: &str = "ecs:ListTaskDefinitionFamilies";
const LIST_TASK_DEFINITIONS: &str = "ecs:ListTaskDefinitions";
const DESCRIBE_TASK_DEFINITION: &str = "ecs:DescribeTaskDefinition";

/// A task definition's images. A revision never changes, so it is described once a run.
pub(super) type Images = Arc<[String]>;

/// The ARNs of the newest `keep` ACTIVE revisions of every family.
pub(super) async fn newest(ecs: &EcsRegion, keep: u32, caller: Caller<'_>) -> Result<BTreeSet<String>, CallError> {
    let keep = usize::try_from(keep).unwrap_or(usize::MAX);
    if keep == 0 {
        return Ok(BTreeSet::new());
    }
    let mut families = Families::default();
    if list_all(ecs, caller, &mut families).await? == Listed::All {
        return Ok(families.newest(keep));
    }
    // Families with more revisions than a page holds are cheaper to ask one by one.
    let mut newest = BTreeSet::new();
    let mut listings = stream::iter(list_families(ecs, caller).await?)
        .map(async |family| list_newest_of_family(ecs, &family, keep, caller).await)
        .buffer_unordered(AT_ONCE);
    while let Some(of_family) = listings.next().await {
        newest.extend(of_family?);
    }
    Ok(newest)
}

/// Describes these task definitions, each for its holder.
pub(super) async fn describe_all(
    ecs: &EcsRegion,
    definitions: BTreeMap<String, Arc<Holder>>,
    caller: Caller<'_>,
) -> Findings {
    let mut findings = Findings::default();
    let mut described = stream::iter(definitions)
        .map(async |(arn, holder)| {
            let images = match ecs.definitions.get(&arn) {
                Some(images) => Ok(images),
                None => describe(ecs, &arn, caller).await,
            };
            (holder, images)
        })
        .buffer_unordered(AT_ONCE);
    while let Some((holder, images)) = described.next().await {
        match images {
            Ok(images) => {
                findings.answered = true;
                images.iter().for_each(|image| findings.usage.add(Some(image), None, &holder));
            }
            Err(error) => findings.fail(Source::TaskDefinitions, error),
        }
    }
    findings
}

async fn describe(ecs: &EcsRegion, arn: &str, caller: Caller<'_>) -> Result<Images, CallError> {
    let request = ecs.client.describe_task_definition().task_definition(arn);
    let answer = caller.call(DESCRIBE_TASK_DEFINITION, request.send()).await?;
    let definition = answer
        .task_definition()
        .ok_or_else(|| CallError::unexpected(DESCRIBE_TASK_DEFINITION, &format!("no task definition {arn}")))?;
    let images = definition.container_definitions().iter().filter_map(|container| container.image.clone());
    let images: Images = images.collect();
    ecs.definitions.insert(arn, Arc::clone(&images));
    Ok(images)
}

#[derive(PartialEq, Eq)]
enum Listed {
    All,
    /// Given up, since asking family by family takes fewer calls.
    TooMany,
}

/// The revisions seen, by family.
#[derive(Default)]
struct Families(BTreeMap<String, Vec<(u64, String)>>);

impl Families {
    /// Takes `arn:…:task-definition/FAMILY:REVISION`.
    fn add(&mut self, arn: String) {
        let name = arn.rsplit('/').next().unwrap_or_default();
        let (family, revision) = name.rsplit_once(':').unwrap_or((name, ""));
        // A revision that is no number can't be ranked, so it counts as the newest.
        let revision = revision.parse().unwrap_or(u64::MAX);
        self.0.entry(family.to_owned()).or_default().push((revision, arn));
    }

    fn newest(self, keep: usize) -> BTreeSet<String> {
        self.0
            .into_values()
            .flat_map(|mut revisions| {
                revisions.sort_unstable_by(|a, b| b.cmp(a));
                revisions.into_iter().take(keep).map(|(_, arn)| arn)
            })
            .collect()
    }
}

/// One listing of all revisions, as long as that is cheaper than one call a family. The order is by family and
/// revision, so the pages read tell how many families they have covered.
async fn list_all(ecs: &EcsRegion, caller: Caller<'_>, families: &mut Families) -> Result<Listed, CallError> {
    /// So many pages are read before their yield is judged.
    const PAGES_AT_LEAST: usize = 5;
    let page_at = |token| {
        let request = ecs.client.list_task_definitions().status(TaskDefinitionStatus::Active);
        request.sort(SortOrder::Desc).max_results(PER_PAGE).set_next_token(token).send()
    };
    let mut pages = 0;
    let mut listed = Listed::All;
    caller
        .pages_by_token(LIST_TASK_DEFINITIONS, page_at, ListTaskDefinitionsOutput::next_token, |page| {
            pages += 1;
            let last = page.next_token().is_none_or(str::is_empty);
            page.task_definition_arns.unwrap_or_default().into_iter().for_each(|arn| families.add(arn));
            if !last && pages >= PAGES_AT_LEAST && pages > families.0.len() {
                listed = Listed::TooMany;
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        })
        .await?;
    Ok(listed)
}

async fn list_families(ecs: &EcsRegion, caller: Caller<'_>) -> Result<Vec<String>, CallError> {
    let listing = ecs
        .client
        .list_task_definition_families()
        .status(TaskDefinitionFamilyStatus::Active)
        .into_paginator()
        .page_size(PER_PAGE);
    let mut families = Vec::new();
    caller
        .pages(LIST_FAMILIES, listing.send(), ListTaskDefinitionFamiliesOutput::next_token, |page| {
            families.extend(page.families.unwrap_or_default());
        })
        .await?;
    Ok(families)
}

async fn list_newest_of_family(
    ecs: &EcsRegion,
    family: &str,
    keep: usize,
    caller: Caller<'_>,
) -> Result<Vec<String>, CallError> {
    let page_size = i32::try_from(keep).unwrap_or(PER_PAGE).min(PER_PAGE);
    let page_at = |token| {
        let request = ecs.client.list_task_definitions().family_prefix(family).status(TaskDefinitionStatus::Active);
        request.sort(SortOrder::Desc).max_results(page_size).set_next_token(token).send()
    };
    let mut arns = Vec::new();
    caller
        .pages_by_token(LIST_TASK_DEFINITIONS, page_at, ListTaskDefinitionsOutput::next_token, |page| {
            arns.extend(page.task_definition_arns.unwrap_or_default());
            if arns.len() < keep { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })
        .await?;
    arns.truncate(keep);
    Ok(arns)
}

/// The holders of what `newest` lists.
pub(super) fn held_by_family(arn: &str) -> Arc<Holder> {
    holder(crate::usage::snapshot::HolderKind::TaskDefinition, Some(arn))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_revisions_are_by_number_within_each_family() {
        let mut families = Families::default();
        for revision in ["app:9", "app:10", "app:2", "app-worker:1", "web:3"] {
            families.add(format!("arn:aws:ecs:us-west-2:123456789012:task-definition/{revision}"));
        }
        let newest: Vec<String> =
            families.newest(2).iter().map(|arn| arn.rsplit('/').next().unwrap().to_owned()).collect();
        assert_eq!(newest, ["app-worker:1", "app:10", "app:9", "web:3"]);
    }
}
