//! Reads task definitions: those from which services start tasks, and the newest ACTIVE revisions of every family, from
//! which schedules and one-off runs start tasks.
//!
//! `DescribeTaskDefinition` accepts one ARN per call, so definitions whose images are known are not described.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use aws_sdk_ecs::operation::list_task_definition_families::ListTaskDefinitionFamiliesOutput;
use aws_sdk_ecs::operation::list_task_definitions::ListTaskDefinitionsOutput;
use aws_sdk_ecs::types::{SortOrder, TaskDefinitionFamilyStatus, TaskDefinitionStatus};
use ecr_cleanup_core::call_error::CallError;
use ecr_cleanup_core::usage::Fact;
use futures::stream::{self, StreamExt};

use super::services::ServiceArn;
use super::{Ecs, Namer, Need, PER_PAGE, TASK_DEFINITIONS, services, tasks};

/// Concurrent calls. More would only wait for their turn.
const AT_ONCE: usize = 8;

pub(super) const LIST_FAMILIES: &str = "ecs:ListTaskDefinitionFamilies";
pub(super) const LIST_TASK_DEFINITIONS: &str = "ecs:ListTaskDefinitions";
pub(super) const DESCRIBE_TASK_DEFINITION: &str = "ecs:DescribeTaskDefinition";

/// The ARNs of the newest ACTIVE revisions of every family, up to the number that counts as used.
pub(super) async fn newest(ecs: &Ecs<'_>) -> Result<BTreeSet<String>, CallError> {
    let keep = usize::try_from(ecs.reader.keep.task_definitions).unwrap_or(usize::MAX);
    if keep == 0 {
        return Ok(BTreeSet::new());
    }
    let families = match list_all(ecs).await? {
        Listed::All(revisions) => return Ok(revisions.newest(keep)),
        Listed::CheaperByFamily(families) => families,
    };
    newest_of_families(ecs, families).await
}

async fn newest_of_families(ecs: &Ecs<'_>, families: Vec<String>) -> Result<BTreeSet<String>, CallError> {
    let keep = usize::try_from(ecs.reader.keep.task_definitions).unwrap_or(usize::MAX);
    let mut newest = BTreeSet::new();
    let mut listings =
        stream::iter(families).map(async |family| list_newest_of_family(ecs, &family, keep).await).buffered(AT_ONCE);
    while let Some(of_family) = listings.next().await {
        newest.extend(of_family?);
    }
    Ok(newest)
}

/// Describes these task definitions, each for its holder. If one of the newest of a family was deleted, the revision
/// before it becomes one of the newest.
pub(super) async fn describe_all(ecs: &Ecs<'_>, mut definitions: BTreeMap<String, Need>) {
    let mut seen = BTreeSet::new();
    while !definitions.is_empty() {
        seen.extend(definitions.keys().cloned());
        let read = async |(arn, Need { holder, named_by }): (String, Need)| {
            let definition = match ecs.reader.fact(&arn) {
                Some(definition) => definition,
                None => match describe(ecs, &arn).await {
                    Err(error) if error.may_say_gone() && !is_named(ecs, &arn, &named_by).await? => {
                        let family = family_and_revision(&arn).0.to_owned();
                        return Ok(named_by.contains(&Namer::Family).then_some(family));
                    }
                    definition => definition?,
                },
            };
            ecs.reader.uses_all(&holder, &definition);
            Ok(None)
        };
        let gone = ecs.reader.each(TASK_DEFINITIONS, definitions, AT_ONCE, read).await;
        let newest = newest_of_families(ecs, gone.into_iter().flatten().collect()).await;
        let newest = ecs.reader.unless_gone(TASK_DEFINITIONS, newest).unwrap_or_default();
        let unseen = newest.into_iter().filter(|arn| !seen.contains(arn));
        definitions = unseen.map(|arn| (arn.clone(), Need::of_family(&arn))).collect();
    }
}

/// Whether any of these still refers to the definition. Only stopped tasks may refer to a deleted one.
async fn is_named(ecs: &Ecs<'_>, definition: &str, named_by: &BTreeSet<Namer>) -> Result<bool, CallError> {
    for namer in named_by {
        let is_named = match namer {
            Namer::Service(ServiceArn { cluster, arn }) => services::names(ecs, cluster, arn, definition).await,
            Namer::Task { cluster, arn } => tasks::names(ecs, cluster, arn, definition).await,
            Namer::StoppedTask | Namer::Revision => Ok(false),
            Namer::Family => is_listed(ecs, definition).await,
        };
        match is_named {
            Ok(true) => return Ok(true),
            Ok(false) => {}
            Err(error) if error.says_gone() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

async fn is_listed(ecs: &Ecs<'_>, definition: &str) -> Result<bool, CallError> {
    let (family, _) = family_and_revision(definition);
    let of_family = list_newest_of_family(ecs, family, usize::MAX).await?;
    Ok(of_family.iter().any(|listed| listed == definition))
}

async fn describe(ecs: &Ecs<'_>, arn: &str) -> Result<Arc<Fact>, CallError> {
    let request = ecs.client.describe_task_definition().task_definition(arn);
    let answer = ecs.reader.calls.read(DESCRIBE_TASK_DEFINITION, || request.clone().send()).await?;
    let definition = answer.task_definition().ok_or_else(|| {
        CallError::unexpected(DESCRIBE_TASK_DEFINITION, &format!("the answer omits the task definition {arn}"))
    })?;
    // Every definition has at least one container.
    if definition.container_definitions().is_empty() {
        let message = format!("{arn} doesn't list all its images");
        return Err(CallError::unexpected(DESCRIBE_TASK_DEFINITION, &message));
    }
    // A definition from before 2021 may have a container without an image. It can't be started.
    let images = definition.container_definitions().iter().filter_map(|container| container.image.clone());
    // A revision never changes.
    let definition = Arc::new(Fact::named(images));
    ecs.reader.learn(arn, &definition);
    Ok(definition)
}

/// The parts of `arn:…:task-definition/FAMILY:REVISION`.
fn family_and_revision(arn: &str) -> (&str, &str) {
    let name = arn.rsplit('/').next().unwrap_or_default();
    name.rsplit_once(':').unwrap_or((name, ""))
}

/// The result of listing all revisions.
enum Listed {
    /// All revisions.
    All(Families),
    /// There are more pages of revisions than families, so each family is listed separately.
    CheaperByFamily(Vec<String>),
}

/// The revisions seen, by family.
#[derive(Default)]
struct Families(BTreeMap<String, Vec<(u64, String)>>);

impl Families {
    fn add(&mut self, arn: String) {
        let (family, revision) = family_and_revision(&arn);
        // A revision without a number can't be ranked, so it counts as the newest.
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

/// Lists all revisions. If the listing is long, the families are counted. The listing stops once it has used as many
/// calls as listing each family would.
async fn list_all(ecs: &Ecs<'_>) -> Result<Listed, CallError> {
    /// The pages to read before the families are counted.
    const PAGES_BEFORE_DOUBT: usize = 10;
    let mut revisions = Families::default();
    let mut families: Option<Vec<String>> = None;
    let mut token: Option<String> = None;
    let mut pages = 0;
    loop {
        let request = ecs.client.list_task_definitions().status(TaskDefinitionStatus::Active);
        let request = request.sort(SortOrder::Desc).max_results(PER_PAGE).set_next_token(token.clone());
        let page = ecs.reader.calls.read(LIST_TASK_DEFINITIONS, || request.clone().send()).await?;
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
            families = Some(list_families(ecs).await?);
        }
        if let Some(families) = families.take_if(|families| pages > families.len()) {
            return Ok(Listed::CheaperByFamily(families));
        }
    }
}

async fn list_families(ecs: &Ecs<'_>) -> Result<Vec<String>, CallError> {
    let page_at = |token| {
        let request = ecs.client.list_task_definition_families().status(TaskDefinitionFamilyStatus::Active);
        request.max_results(PER_PAGE).set_next_token(token).send()
    };
    let mut families = Vec::new();
    ecs.reader
        .calls
        .pages_by_token(LIST_FAMILIES, page_at, ListTaskDefinitionFamiliesOutput::next_token, |page| {
            families.extend(page.families?);
            Some(ControlFlow::Continue(()))
        })
        .await?;
    Ok(families)
}

async fn list_newest_of_family(ecs: &Ecs<'_>, family: &str, keep: usize) -> Result<Vec<String>, CallError> {
    let page_size = i32::try_from(keep).unwrap_or(PER_PAGE).min(PER_PAGE);
    let page_at = |token| {
        let request = ecs.client.list_task_definitions().family_prefix(family).status(TaskDefinitionStatus::Active);
        request.sort(SortOrder::Desc).max_results(page_size).set_next_token(token).send()
    };
    let mut arns = Vec::new();
    ecs.reader
        .calls
        .pages_by_token(LIST_TASK_DEFINITIONS, page_at, ListTaskDefinitionsOutput::next_token, |page| {
            arns.extend(page.task_definition_arns?);
            Some(if arns.len() < keep { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })
        .await?;
    arns.truncate(keep);
    Ok(arns)
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
