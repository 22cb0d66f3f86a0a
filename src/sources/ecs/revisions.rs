//! Service revisions: the images of a deployment with the digests that ECS resolved their tags to. What the current
//! deployment goes to counts whatever its status, since a service at zero may have no current revision; while one is under
//! way, the revisions it may roll back to count as well.

use std::ops::ControlFlow;
use std::sync::Arc;

use aws_sdk_ecs::operation::list_service_deployments::ListServiceDeploymentsOutput;
use aws_sdk_ecs::types::{ContainerImage, ServiceDeployment, ServiceDeploymentStatus, ServiceRevision};
use ecr_cleanup_core::call_error::CallError;
use ecr_cleanup_core::usage::{Fact, FactImage, Holder};

use super::services::Deployed;
use super::{BATCHES_AT_ONCE, Ecs, PER_PAGE, SERVICE_REVISION, SERVICES};

/// The most deployments or revisions that a call describes.
/// See <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeServiceRevisions.html>.
const PER_CALL: usize = 20;

pub(super) const LIST_SERVICE_DEPLOYMENTS: &str = "ecs:ListServiceDeployments";
pub(super) const DESCRIBE_SERVICE_DEPLOYMENTS: &str = "ecs:DescribeServiceDeployments";
pub(super) const DESCRIBE_SERVICE_REVISIONS: &str = "ecs:DescribeServiceRevisions";

/// The deployments that are still under way.
const UNDER_WAY: [ServiceDeploymentStatus; 5] = [
    ServiceDeploymentStatus::Pending,
    ServiceDeploymentStatus::InProgress,
    ServiceDeploymentStatus::StopRequested,
    ServiceDeploymentStatus::RollbackRequested,
    ServiceDeploymentStatus::RollbackInProgress,
];

/// Reads the revisions of what services were deployed as, and of what deployments under way may roll back to.
pub(super) async fn of_services(ecs: &Ecs<'_>, deployed: Deployed) {
    let Deployed { mut revisions, current_deployments: mut deployments, deploying } = deployed;
    let reader = ecs.reader;
    let list = async |(cluster, service): &(String, String)| list_deployments(ecs, cluster, service).await;
    deployments.extend(reader.each(SERVICES, &deploying, BATCHES_AT_ONCE, list).await.concat());
    let describe = async |arns: Vec<String>| describe_deployments(ecs, arns).await;
    let targets = reader.each_batch(SERVICES, deployments, PER_CALL, BATCHES_AT_ONCE, describe).await;
    revisions.extend(targets.into_iter().flatten());
    // A revision with its digests never changes, so it is described once a run.
    revisions.retain(|arn| match reader.fact(arn) {
        Some(revision) => {
            reader.uses_all(&Holder::of_arn(&SERVICE_REVISION, Some(arn)), &revision);
            false
        }
        None => true,
    });
    let describe = async |arns: Vec<String>| describe_revisions(ecs, arns).await;
    reader.each_batch(SERVICES, revisions, PER_CALL, BATCHES_AT_ONCE, describe).await;
}

fn fact_of(revision: &ServiceRevision) -> Fact {
    let image = |container: &ContainerImage| FactImage {
        image: container.image().map(Box::from),
        image_digest: container.image_digest().map(Box::from),
    };
    Fact { images: revision.container_images().iter().map(image).collect() }
}

async fn list_deployments(ecs: &Ecs<'_>, cluster: &str, service: &str) -> Result<Vec<String>, CallError> {
    let page_at = |token| {
        let request = ecs.client.list_service_deployments().service(service).cluster(cluster);
        request.set_status(Some(UNDER_WAY.to_vec())).max_results(PER_PAGE).set_next_token(token).send()
    };
    let mut arns = Vec::new();
    ecs.reader
        .calls
        .pages_by_token(LIST_SERVICE_DEPLOYMENTS, page_at, ListServiceDeploymentsOutput::next_token, |page| {
            arns.extend(page.service_deployments?.into_iter().filter_map(|brief| brief.service_deployment_arn));
            Some(ControlFlow::Continue(()))
        })
        .await?;
    Ok(arns)
}

/// The revisions that deployments go to or roll back to, and where they are not done those that they come from.
async fn describe_deployments(ecs: &Ecs<'_>, arns: Vec<String>) -> Result<Vec<String>, CallError> {
    let asked = arns.len();
    let request = ecs.client.describe_service_deployments().set_service_deployment_arns(Some(arns));
    let answer = ecs.reader.calls.read(DESCRIBE_SERVICE_DEPLOYMENTS, || request.clone().send()).await?;
    let described = answer.service_deployments().iter().map(ServiceDeployment::service_deployment_arn);
    ecs.check_answer(SERVICES, DESCRIBE_SERVICE_DEPLOYMENTS, asked, described, answer.failures());
    Ok(answer.service_deployments().iter().flat_map(revisions_of).collect())
}

fn revisions_of(deployment: &ServiceDeployment) -> Vec<String> {
    // A status that is not known may well be one of a deployment under way.
    let is_done = matches!(
        deployment.status(),
        Some(
            ServiceDeploymentStatus::Successful
                | ServiceDeploymentStatus::Stopped
                | ServiceDeploymentStatus::RollbackSuccessful
                | ServiceDeploymentStatus::RollbackFailed
        )
    );
    let sources = deployment.source_service_revisions().iter().filter_map(|revision| revision.arn.clone());
    let target = deployment.target_service_revision().and_then(|revision| revision.arn.clone());
    let rollback = deployment.rollback().and_then(|rollback| rollback.service_revision_arn.clone());
    sources.filter(|_| !is_done).chain(target).chain(rollback).collect()
}

async fn describe_revisions(ecs: &Ecs<'_>, arns: Vec<String>) -> Result<(), CallError> {
    let asked = arns.len();
    let request = ecs.client.describe_service_revisions().set_service_revision_arns(Some(arns));
    let answer = ecs.reader.calls.read(DESCRIBE_SERVICE_REVISIONS, || request.clone().send()).await?;
    // MISSING: revisions from before 2024-10-25 don't exist; their services name the task definition.
    let described = answer.service_revisions().iter().map(ServiceRevision::service_revision_arn);
    ecs.check_answer(SERVICES, DESCRIBE_SERVICE_REVISIONS, asked, described, answer.failures());
    for revision in answer.service_revisions() {
        let arn = revision.service_revision_arn().unwrap_or_default();
        let fact = Arc::new(fact_of(revision));
        ecs.reader.uses_all(&Holder::of_arn(&SERVICE_REVISION, Some(arn)), &fact);
        // Digests are resolved by the first task, so a revision without them is not final.
        if !fact.images.is_empty() && fact.images.iter().all(|image| image.image_digest.is_some()) {
            ecs.reader.learn(arn, &fact);
        }
    }
    Ok(())
}
