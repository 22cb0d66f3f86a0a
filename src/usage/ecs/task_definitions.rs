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
    let families = match list_all(ecs, caller).await? {
        Listed::All(revisions) => return Ok(revisions.newest(keep)),
        Listed::CheaperByFamily(families) => families,
    };
    let mut newest = BTreeSet::new();
    let mut listings = stream::iter(families)
        .map(async |family| list_newest_of_family(ecs, &family, keep, caller).await)
        .buffered(AT_ONCE);
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
        .buffered(AT_ONCE);
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
    // Every definition has a container at least, and every container an image.
    let images = definition.container_definitions().iter().map(|container| container.image.clone());
    let images: Option<Images> = images.collect::<Option<Vec<String>>>().map(Images::from);
    let images = images.filter(|images| !images.is_empty()).ok_or_else(|| {
        CallError::unexpected(DESCRIBE_TASK_DEFINITION, &format!("{arn} does not tell all its images"))
    })?;
    ecs.definitions.insert(arn, Arc::clone(&images));
    Ok(images)
}

/// What one listing of all revisions came to.
enum Listed {
    /// All revisions.
    All(Families),
    /// There are more pages of them than families, so these are asked one by one.
    CheaperByFamily(Vec<String>),
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

/// One listing of all revisions. Where it grows long, the families are counted, and it is given up once it has taken as
/// many calls as they would.
async fn list_all(ecs: &EcsRegion, caller: Caller<'_>) -> Result<Listed, CallError> {
    /// So many pages are read before the families are counted.
    const PAGES_BEFORE_DOUBT: usize = 10;
    let mut revisions = Families::default();
    let mut families: Option<Vec<String>> = None;
    let mut token: Option<String> = None;
    let mut pages = 0;
    loop {
        let request = ecs.client.list_task_definitions().status(TaskDefinitionStatus::Active);
        let request = request.sort(SortOrder::Desc).max_results(PER_PAGE).set_next_token(token.clone());
        let page = caller.call(LIST_TASK_DEFINITIONS, request.send()).await?;
        pages += 1;
        let listed = page.task_definition_arns.ok_or_else(|| CallError::no_list(LIST_TASK_DEFINITIONS))?;
        for arn in listed {
            revisions.add(arn);
        }
        match page.next_token.filter(|token| !token.is_empty()) {
            None => return Ok(Listed::All(revisions)),
            next if next == token => return Err(CallError::broke_off(LIST_TASK_DEFINITIONS)),
            next => token = next,
        }
        if pages == PAGES_BEFORE_DOUBT {
            families = Some(list_families(ecs, caller).await?);
        }
        if let Some(families) = families.take_if(|families| pages > families.len()) {
            return Ok(Listed::CheaperByFamily(families));
        }
    }
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
            page.families.map(|listed| families.extend(listed))
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
            arns.extend(page.task_definition_arns?);
            Some(if arns.len() < keep { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
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
