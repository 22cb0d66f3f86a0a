//! Services, ACTIVE and DRAINING, at desired count 0 too: the task definitions they start tasks from, and the service
//! revisions whose digests ECS pinned at deployment and scales out with even after the tag moved.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ecs::operation::list_services::ListServicesOutput;
use aws_sdk_ecs::types::{DeploymentController, DeploymentControllerType, DeploymentRolloutState, Service};

use futures::stream::{self, StreamExt};

use super::{BATCHES_AT_ONCE, EcsRegion, Findings, PER_PAGE, Source};
use crate::aws::{CallError, Caller};

/// The most services that `DescribeServices` takes.
/// See <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeServices.html>.
const SERVICES_PER_CALL: usize = 10;

const LIST_SERVICES: &str = "ecs:ListServices";
const DESCRIBE_SERVICES: &str = "ecs:DescribeServices";

/// What the services of a cluster refer to.
#[derive(Debug, Default)]
pub(super) struct Services {
    pub(super) findings: Findings,
    /// Task definitions, with a service that starts tasks from each.
    pub(super) definitions: BTreeMap<String, String>,
    /// Service revisions that are current.
    pub(super) revisions: BTreeSet<String>,
    /// Service deployments that may be under way.
    pub(super) deployments: BTreeSet<String>,
    /// Services, each with its cluster, that may have further deployments under way.
    pub(super) deploying: Vec<(String, String)>,
}

pub(super) async fn of_cluster(ecs: &EcsRegion, cluster: &str, caller: Caller<'_>) -> Services {
    let mut found = Services::default();
    let arns = match list(ecs, cluster, caller).await {
        Ok(arns) => arns,
        Err(error) => {
            found.findings.fail(Source::Services, error);
            return found;
        }
    };
    let mut described = stream::iter(arns.chunks(SERVICES_PER_CALL))
        .map(|arns| describe(ecs, cluster, arns, caller))
        .buffered(BATCHES_AT_ONCE);
    while let Some(batch) = described.next().await {
        match batch {
            Ok(services) => found.merge(services),
            Err(error) => found.findings.fail(Source::Services, error),
        }
    }
    found
}

async fn list(ecs: &EcsRegion, cluster: &str, caller: Caller<'_>) -> Result<Vec<String>, CallError> {
    let listing = ecs.client.list_services().cluster(cluster).into_paginator().page_size(PER_PAGE);
    let mut arns = Vec::new();
    let listed = caller
        .pages(LIST_SERVICES, listing.send(), ListServicesOutput::next_token, |page| {
            page.service_arns.map(|listed| arns.extend(listed))
        })
        .await;
    super::unless_the_cluster_is_gone(listed.map(|()| arns))
}

async fn describe(ecs: &EcsRegion, cluster: &str, arns: &[String], caller: Caller<'_>) -> Result<Services, CallError> {
    let request = ecs.client.describe_services().cluster(cluster).set_services(Some(arns.to_vec()));
    let answer = caller.call(DESCRIBE_SERVICES, request.send()).await?;
    let described = answer.services().len();
    let mut found = Services::default();
    found.findings.read_answer(Source::Services, DESCRIBE_SERVICES, arns.len(), described, answer.failures());
    for service in answer.services() {
        add(cluster, service, &mut found);
    }
    Ok(found)
}

fn add(cluster: &str, service: &Service, found: &mut Services) {
    let arn = service.service_arn().unwrap_or_default();
    let of_deployments = service.deployments().iter().map(|deployment| deployment.task_definition());
    let of_task_sets = service.task_sets().iter().map(|task_set| task_set.task_definition());
    for definition in of_deployments.chain(of_task_sets).chain([service.task_definition()]).flatten() {
        found.definitions.entry(definition.to_owned()).or_insert_with(|| arn.to_owned());
    }
    found.revisions.extend(service.current_service_revisions().iter().filter_map(|revision| revision.arn.clone()));
    found.deployments.extend(service.current_service_deployment().map(str::to_owned));
    // The current deployment may be done while another is under way.
    if may_be_deploying(service) {
        found.deploying.push((cluster.to_owned(), arn.to_owned()));
    }
}

/// Whether a deployment may be under way, which may roll back to a revision that is not current any more. Only ECS's
/// own controller has service deployments.
fn may_be_deploying(service: &Service) -> bool {
    let controller = service.deployment_controller().map(DeploymentController::r#type);
    let by_ecs = controller.is_none_or(|controller| *controller == DeploymentControllerType::Ecs);
    let settled = match service.deployments() {
        [only] => only.rollout_state().is_none_or(|state| *state == DeploymentRolloutState::Completed),
        [] => true,
        _ => false,
    };
    by_ecs && (!settled || service.current_service_revisions().len() > 1)
}
