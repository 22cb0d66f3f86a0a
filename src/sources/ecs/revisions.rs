//! Reads service revisions, which contain the images of a deployment with the digests to which ECS resolved their tags.
//! The target of the current deployment counts as used with any status, because a service at zero may have no current
//! revision. While a deployment is under way, its rollback targets count too.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use aws_sdk_ecs::operation::list_service_deployments::ListServiceDeploymentsOutput;
use aws_sdk_ecs::types::{
    ContainerImage, Rollback, ServiceDeployment, ServiceDeploymentBrief, ServiceDeploymentStatus, ServiceRevision,
    ServiceRevisionSummary,
};
use ecr_cleanup_core::call_error::CallError;
use ecr_cleanup_core::usage::{Fact, FactImage, Holder};

use super::services::{self, Deployed, ServiceArn};
use super::{BATCHES_AT_ONCE, Ecs, Namer, PER_PAGE, SERVICE_REVISION, SERVICES, arns_of, told};

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

/// Reads the revisions of services, and the rollback targets of deployments under way.
pub(super) async fn of_services(ecs: &Ecs<'_>, deployed: Deployed) {
    let Deployed { mut revisions, current_deployments: mut deployments, deploying } = deployed;
    let reader = ecs.reader;
    let list = async |service: &ServiceArn| {
        let ask = async || list_deployments(ecs, service).await;
        let arns = match reader.settled(ask, async || services::is_listed(ecs, service).await).await {
            // A controller other than ECS deploys it.
            Err(error) if error.is_unknown_operation() => Vec::new(),
            listed => listed?,
        };
        Ok(arns.into_iter().map(|arn| (arn, service.clone())).collect::<Vec<_>>())
    };
    deployments.extend(reader.each(SERVICES, &deploying, BATCHES_AT_ONCE, list).await.into_iter().flatten());
    let describe = async |arns: Vec<String>| {
        settled_alone(ecs, &arns, &deployments, async || describe_deployments(ecs, &arns, &deployments).await).await
    };
    let arns = deployments.keys().cloned();
    let targets = reader.each_batch(SERVICES, arns, PER_CALL, BATCHES_AT_ONCE, describe).await;
    revisions.extend(targets.into_iter().flatten());
    // A revision with digests never changes, so it is described once per run.
    revisions.retain(|arn, _| match reader.fact(arn) {
        Some(revision) => {
            add(ecs, arn, &revision);
            false
        }
        None => true,
    });
    let describe = async |arns: Vec<String>| {
        settled_alone(ecs, &arns, &revisions, async || describe_revisions(ecs, &arns).await).await
    };
    let arns = revisions.keys().cloned();
    reader.each_batch(SERVICES, arns, PER_CALL, BATCHES_AT_ONCE, describe).await;
}

/// Requests these deployments or revisions. For a single one, its service shows whether it still exists.
async fn settled_alone<T>(
    ecs: &Ecs<'_>,
    arns: &[String],
    service_of: &BTreeMap<String, ServiceArn>,
    ask: impl AsyncFn() -> Result<T, CallError>,
) -> Result<T, CallError> {
    match arns {
        [arn] => {
            let is_named = async || match service_of.get(arn) {
                Some(service) => is_named(ecs, arn, service).await,
                None => Ok(true),
            };
            ecs.reader.settled(ask, is_named).await
        }
        _ => ask().await,
    }
}

/// Whether a service still refers to this deployment or revision, directly or through a deployment that is current or
/// under way.
async fn is_named(ecs: &Ecs<'_>, arn: &str, service: &ServiceArn) -> Result<bool, CallError> {
    let Deployed { revisions, current_deployments: mut deployments, deploying } =
        services::deployed(ecs, service).await?;
    for service in &deploying {
        deployments.extend(list_deployments(ecs, service).await?.into_iter().map(|arn| (arn, service.clone())));
    }
    if revisions.contains_key(arn) || deployments.contains_key(arn) {
        return Ok(true);
    }
    let arns: Vec<String> = deployments.keys().cloned().collect();
    for arns in arns.chunks(PER_CALL) {
        if describe_deployments(ecs, arns, &deployments).await?.iter().any(|(revision, _)| revision == arn) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn fact_of(revision: &ServiceRevision) -> Fact {
    let image = |container: &ContainerImage| FactImage {
        image: told(container.image()).map(Box::from),
        image_digest: told(container.image_digest()).map(Box::from),
    };
    let definition = told(revision.task_definition()).map(Box::from);
    Fact { images: revision.container_images().iter().map(image).collect(), definition }
}

/// The images of a revision count, and so do those of its definition, which may have more containers.
fn add(ecs: &Ecs<'_>, arn: &str, revision: &Fact) {
    let holder = Holder::of_arn(&SERVICE_REVISION, Some(arn));
    ecs.reader.uses_all(&holder, revision);
    if let Some(definition) = &revision.definition {
        ecs.needs_definition(definition, &holder, Namer::Revision);
    }
}

async fn list_deployments(ecs: &Ecs<'_>, service: &ServiceArn) -> Result<Vec<String>, CallError> {
    let page_at = |token| {
        let request = ecs.client.list_service_deployments().service(&service.arn).cluster(&service.cluster);
        request.set_status(Some(UNDER_WAY.to_vec())).max_results(PER_PAGE).set_next_token(token).send()
    };
    let mut listed = Vec::new();
    ecs.reader
        .calls
        .pages_by_token(LIST_SERVICE_DEPLOYMENTS, page_at, ListServiceDeploymentsOutput::next_token, |page| {
            listed.extend(page.service_deployments?);
            Some(ControlFlow::Continue(()))
        })
        .await?;
    let arns = listed.iter().map(ServiceDeploymentBrief::service_deployment_arn);
    arns_of(LIST_SERVICE_DEPLOYMENTS, &service.arn, arns)
}

/// The targets and rollback targets of deployments, and of unfinished ones the source revisions, each with its service.
async fn describe_deployments(
    ecs: &Ecs<'_>,
    arns: &[String],
    service_of: &BTreeMap<String, ServiceArn>,
) -> Result<Vec<(String, ServiceArn)>, CallError> {
    let request = ecs.client.describe_service_deployments().set_service_deployment_arns(Some(arns.to_vec()));
    let answer = ecs.reader.calls.read(DESCRIBE_SERVICE_DEPLOYMENTS, || request.clone().send()).await?;
    let described = answer.service_deployments().iter().map(ServiceDeployment::service_deployment_arn);
    ecs.check_answer(SERVICES, DESCRIBE_SERVICE_DEPLOYMENTS, arns.len(), described, answer.failures());
    let mut revisions = Vec::new();
    for deployment in answer.service_deployments() {
        let service = deployment.service_deployment_arn().and_then(|arn| service_of.get(arn));
        let of_deployment = revisions_of(deployment)?;
        revisions.extend(
            service.into_iter().flat_map(|service| of_deployment.iter().map(move |arn| (arn.clone(), service.clone()))),
        );
    }
    Ok(revisions)
}

fn revisions_of(deployment: &ServiceDeployment) -> Result<Vec<String>, CallError> {
    // A deployment of unknown status counts as under way.
    let is_done = matches!(
        deployment.status(),
        Some(
            ServiceDeploymentStatus::Successful
                | ServiceDeploymentStatus::Stopped
                | ServiceDeploymentStatus::RollbackSuccessful
                | ServiceDeploymentStatus::RollbackFailed
        )
    );
    let sources = deployment.source_service_revisions().iter().filter(|_| !is_done).map(ServiceRevisionSummary::arn);
    let target = deployment.target_service_revision().map(ServiceRevisionSummary::arn);
    let rollback = deployment.rollback().map(Rollback::service_revision_arn);
    let deployment = deployment.service_deployment_arn().unwrap_or_default();
    arns_of(DESCRIBE_SERVICE_DEPLOYMENTS, deployment, sources.chain(target).chain(rollback))
}

async fn describe_revisions(ecs: &Ecs<'_>, arns: &[String]) -> Result<(), CallError> {
    let request = ecs.client.describe_service_revisions().set_service_revision_arns(Some(arns.to_vec()));
    let answer = ecs.reader.calls.read(DESCRIBE_SERVICE_REVISIONS, || request.clone().send()).await?;
    // MISSING: there are no revisions from before 2024-10-25. Their services refer to the task definition.
    let described = answer.service_revisions().iter().map(ServiceRevision::service_revision_arn);
    ecs.check_answer(SERVICES, DESCRIBE_SERVICE_REVISIONS, arns.len(), described, answer.failures());
    for revision in answer.service_revisions() {
        let arn = revision.service_revision_arn().unwrap_or_default();
        let fact = Arc::new(fact_of(revision));
        add(ecs, arn, &fact);
        if fact.definition.is_none() {
            let message = format!("{arn} has no task definition");
            ecs.reader.fail(SERVICES, CallError::unexpected(DESCRIBE_SERVICE_REVISIONS, &message));
        }
        // The first task resolves the digests, so a revision without them is not final.
        if fact.definition.is_some()
            && !fact.images.is_empty()
            && fact.images.iter().all(|image| image.image_digest.is_some())
        {
            ecs.reader.learn(arn, &fact);
        }
    }
    Ok(())
}
