//! Service revisions: the images of a deployment with the digests that ECS resolved their tags to. While a deployment
//! is under way, the revisions it may roll back to count as well.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use aws_sdk_ecs::operation::list_service_deployments::ListServiceDeploymentsOutput;
use aws_sdk_ecs::types::{ServiceDeployment, ServiceDeploymentStatus, ServiceRevision};

use futures::stream::{self, StreamExt};

use super::services::Services;
use super::{BATCHES_AT_ONCE, EcsRegion, Findings, PER_PAGE, Source, names_a_tag};
use crate::aws::{CallError, Caller};
use crate::usage::snapshot::{HolderKind, UsageSnapshot, holder};

/// The most deployments or revisions that a call describes.
/// See <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeServiceRevisions.html>.
const PER_CALL: usize = 20;

const LIST_SERVICE_DEPLOYMENTS: &str = "ecs:ListServiceDeployments";
const DESCRIBE_SERVICE_DEPLOYMENTS: &str = "ecs:DescribeServiceDeployments";
const DESCRIBE_SERVICE_REVISIONS: &str = "ecs:DescribeServiceRevisions";

/// The deployments that are still under way.
const UNDER_WAY: [ServiceDeploymentStatus; 5] = [
    ServiceDeploymentStatus::Pending,
    ServiceDeploymentStatus::InProgress,
    ServiceDeploymentStatus::StopRequested,
    ServiceDeploymentStatus::RollbackRequested,
    ServiceDeploymentStatus::RollbackInProgress,
];

/// A revision with its digests never changes, so it is described once a run.
#[derive(Debug)]
pub(super) struct Revision {
    arn: String,
    /// The task definition, where the revision tells all of its images.
    known_definition: Option<String>,
    images: Vec<(Option<String>, Option<String>)>,
}

/// What service revisions use, and the task definitions whose images are known by that.
#[derive(Debug, Default)]
pub(super) struct Revisions {
    pub(super) findings: Findings,
    pub(super) known_definitions: BTreeSet<String>,
}

pub(super) async fn of_services(ecs: &EcsRegion, services: &Services, caller: Caller<'_>) -> Revisions {
    let mut found = Revisions::default();
    let mut revisions = services.revisions.clone();
    let mut deployments = services.deployments.clone();
    let mut listed = stream::iter(&services.deploying)
        .map(|(cluster, service)| list_deployments(ecs, cluster, service, caller))
        .buffered(BATCHES_AT_ONCE);
    while let Some(listed) = listed.next().await {
        match listed {
            Ok(listed) => deployments.extend(listed),
            Err(error) => found.findings.fail(Source::Services, error),
        }
    }
    let mut described = stream::iter(chunks(&deployments))
        .map(|arns| describe_deployments(ecs, arns, caller))
        .buffered(BATCHES_AT_ONCE);
    while let Some(batch) = described.next().await {
        match batch {
            Ok((of_deployments, findings)) => {
                revisions.extend(of_deployments);
                found.findings.merge(findings);
            }
            Err(error) => found.findings.fail(Source::Services, error),
        }
    }

    let known: Vec<Arc<Revision>> = ecs.revisions.get_all(&revisions);
    for revision in &known {
        revisions.remove(&revision.arn);
    }
    for revision in known {
        found.add(&revision);
    }
    let mut described =
        stream::iter(chunks(&revisions)).map(|arns| describe_revisions(ecs, arns, caller)).buffered(BATCHES_AT_ONCE);
    while let Some(batch) = described.next().await {
        match batch {
            Ok((described, findings)) => {
                for revision in &described {
                    found.add(revision);
                }
                found.findings.merge(findings);
            }
            Err(error) => found.findings.fail(Source::Services, error),
        }
    }
    found
}

impl Revisions {
    fn add(&mut self, revision: &Revision) {
        let Revision { arn, known_definition, images } = revision;
        let holder = holder(HolderKind::ServiceRevision, Some(arn));
        let usage: &mut UsageSnapshot = &mut self.findings.usage;
        for (image, digest) in images {
            usage.add(image.as_deref(), digest.as_deref(), &holder);
        }
        self.known_definitions.extend(known_definition.clone());
    }
}

impl Revision {
    fn new(revision: &ServiceRevision) -> Self {
        let images: Vec<_> = revision
            .container_images()
            .iter()
            .map(|container| (container.image().map(str::to_owned), container.image_digest().map(str::to_owned)))
            .collect();
        let all_named = !images.is_empty() && images.iter().all(|(image, _)| image.as_deref().is_some_and(names_a_tag));
        Self {
            arn: revision.service_revision_arn().unwrap_or_default().to_owned(),
            known_definition: revision.task_definition().filter(|_| all_named).map(str::to_owned),
            images,
        }
    }
}

async fn list_deployments(
    ecs: &EcsRegion,
    cluster: &str,
    service: &str,
    caller: Caller<'_>,
) -> Result<Vec<String>, CallError> {
    let page_at = |token| {
        let request = ecs.client.list_service_deployments().service(service).cluster(cluster);
        request.set_status(Some(UNDER_WAY.to_vec())).max_results(PER_PAGE).set_next_token(token).send()
    };
    let mut arns = Vec::new();
    caller
        .pages_by_token(LIST_SERVICE_DEPLOYMENTS, page_at, ListServiceDeploymentsOutput::next_token, |page| {
            arns.extend(page.service_deployments?.into_iter().filter_map(|brief| brief.service_deployment_arn));
            Some(ControlFlow::Continue(()))
        })
        .await?;
    Ok(arns)
}

/// The revisions that deployments under way come from, go to, or roll back to.
async fn describe_deployments(
    ecs: &EcsRegion,
    arns: Vec<String>,
    caller: Caller<'_>,
) -> Result<(Vec<String>, Findings), CallError> {
    let (asked, mut findings) = (arns.len(), Findings::default());
    let request = ecs.client.describe_service_deployments().set_service_deployment_arns(Some(arns));
    let answer = caller.call(DESCRIBE_SERVICE_DEPLOYMENTS, request.send()).await?;
    let described = answer.service_deployments().len();
    findings.read_answer(Source::Services, DESCRIBE_SERVICE_DEPLOYMENTS, asked, described, answer.failures());
    let under_way = answer.service_deployments().iter().filter(|deployment| is_under_way(deployment));
    Ok((under_way.flat_map(revisions_of).collect(), findings))
}

fn is_under_way(deployment: &ServiceDeployment) -> bool {
    // A status that is not known may well be one of a deployment under way.
    !matches!(
        deployment.status(),
        Some(
            ServiceDeploymentStatus::Successful
                | ServiceDeploymentStatus::Stopped
                | ServiceDeploymentStatus::RollbackSuccessful
                | ServiceDeploymentStatus::RollbackFailed
        )
    )
}

fn revisions_of(deployment: &ServiceDeployment) -> Vec<String> {
    let sources = deployment.source_service_revisions().iter().filter_map(|revision| revision.arn.clone());
    let target = deployment.target_service_revision().and_then(|revision| revision.arn.clone());
    let rollback = deployment.rollback().and_then(|rollback| rollback.service_revision_arn.clone());
    sources.chain(target).chain(rollback).collect()
}

async fn describe_revisions(
    ecs: &EcsRegion,
    arns: Vec<String>,
    caller: Caller<'_>,
) -> Result<(Vec<Arc<Revision>>, Findings), CallError> {
    let (asked, mut findings) = (arns.len(), Findings::default());
    let request = ecs.client.describe_service_revisions().set_service_revision_arns(Some(arns));
    let answer = caller.call(DESCRIBE_SERVICE_REVISIONS, request.send()).await?;
    // MISSING: revisions from before 2024-10-25 don't exist; their services name the task definition.
    let described = answer.service_revisions().len();
    findings.read_answer(Source::Services, DESCRIBE_SERVICE_REVISIONS, asked, described, answer.failures());
    let described: Vec<_> =
        answer.service_revisions().iter().map(|revision| Arc::new(Revision::new(revision))).collect();
    // Digests are resolved by the first task, so a revision without them is not final.
    let is_final = |revision: &&Arc<Revision>| {
        !revision.images.is_empty() && revision.images.iter().all(|(_, digest)| digest.is_some())
    };
    for revision in described.iter().filter(is_final) {
        ecs.revisions.insert(&revision.arn, Arc::clone(revision));
    }
    Ok((described, findings))
}

fn chunks(arns: &BTreeSet<String>) -> Vec<Vec<String>> {
    let arns: Vec<String> = arns.iter().cloned().collect();
    arns.chunks(PER_CALL).map(<[String]>::to_vec).collect()
}
