//! Reads services, ACTIVE and DRAINING, even at desired count 0: the task definitions from which they start tasks, and
//! their service revisions. ECS pins a revision's digests at deployment and scales out with them even after the tag
//! moved.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use aws_sdk_ecs::operation::list_services::ListServicesOutput;
use aws_sdk_ecs::types::{
    DeploymentController, DeploymentControllerType, DeploymentRolloutState, Service, ServiceCurrentRevisionSummary,
};
use ecr_cleanup_core::call_error::CallError;
use ecr_cleanup_core::usage::Holder;

use super::{BATCHES_AT_ONCE, Ecs, Namer, PER_PAGE, SERVICE, SERVICES, arns_of, told};

/// The most services that `DescribeServices` accepts.
/// See <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeServices.html>.
const SERVICES_PER_CALL: usize = 10;
/// The status of a service that was deleted.
const INACTIVE: &str = "INACTIVE";

pub(super) const LIST_SERVICES: &str = "ecs:ListServices";
pub(super) const DESCRIBE_SERVICES: &str = "ecs:DescribeServices";

/// The revisions and deployments of services.
#[derive(Debug, Default)]
pub(super) struct Deployed {
    /// Service revisions that are current, each with its service.
    pub(super) revisions: BTreeMap<String, ServiceArn>,
    /// Service deployments that are current, finished or not, each with its service.
    pub(super) current_deployments: BTreeMap<String, ServiceArn>,
    /// Services that may have further deployments under way.
    pub(super) deploying: Vec<ServiceArn>,
}

/// A service in its cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ServiceArn {
    pub(super) cluster: String,
    pub(super) arn: String,
}

impl Deployed {
    fn add(&mut self, arn: &ServiceArn, service: &Service) -> Result<(), CallError> {
        let revisions = service.current_service_revisions().iter().map(ServiceCurrentRevisionSummary::arn);
        let revisions = arns_of(DESCRIBE_SERVICES, &arn.arn, revisions)?;
        self.revisions.extend(revisions.into_iter().map(|revision| (revision, arn.clone())));
        let deployment = told(service.current_service_deployment());
        self.current_deployments.extend(deployment.map(|deployment| (deployment.to_owned(), arn.clone())));
        // The current deployment may be done while another is under way.
        if may_be_deploying(service) {
            self.deploying.push(arn.clone());
        }
        Ok(())
    }

    /// The revisions and deployments of all of these.
    pub(super) fn all(each: Vec<Self>) -> Self {
        let mut all = Self::default();
        for Self { revisions, current_deployments, deploying } in each {
            all.revisions.extend(revisions);
            all.current_deployments.extend(current_deployments);
            all.deploying.extend(deploying);
        }
        all
    }
}

pub(super) async fn of_cluster(ecs: &Ecs<'_>, cluster: &str) -> Deployed {
    let arns = ecs.reader.unless_gone(SERVICES, list(ecs, cluster).await).unwrap_or_default();
    let describe = async |arns: Vec<String>| {
        let mut deployed = Deployed::default();
        for service in describe(ecs, cluster, arns).await? {
            add(ecs, cluster, &service, &mut deployed);
        }
        Ok(deployed)
    };
    Deployed::all(ecs.reader.each_batch(SERVICES, arns, SERVICES_PER_CALL, BATCHES_AT_ONCE, describe).await)
}

/// Whether a service is still there.
pub(super) async fn is_listed(ecs: &Ecs<'_>, ServiceArn { cluster, arn }: &ServiceArn) -> Result<bool, CallError> {
    Ok(list(ecs, cluster).await?.contains(arn))
}

/// The current revisions and deployments of a service; none if it was deleted.
pub(super) async fn deployed(ecs: &Ecs<'_>, service: &ServiceArn) -> Result<Deployed, CallError> {
    let mut deployed = Deployed::default();
    for described in describe(ecs, &service.cluster, vec![service.arn.clone()]).await? {
        deployed.add(service, &described)?;
    }
    Ok(deployed)
}

/// Whether a service starts tasks from this definition.
pub(super) async fn names(ecs: &Ecs<'_>, cluster: &str, service: &str, definition: &str) -> Result<bool, CallError> {
    let services = describe(ecs, cluster, vec![service.to_owned()]).await?;
    Ok(services.iter().flat_map(definitions_of).any(|named| named == definition))
}

/// The services' ARNs.
async fn list(ecs: &Ecs<'_>, cluster: &str) -> Result<BTreeSet<String>, CallError> {
    ecs.in_cluster(cluster, async || list_all(ecs, cluster).await).await
}

/// A page may repeat services of an earlier one, because the order of the listing changes.
async fn list_all(ecs: &Ecs<'_>, cluster: &str) -> Result<BTreeSet<String>, CallError> {
    let page_at =
        |token| ecs.client.list_services().cluster(cluster).max_results(PER_PAGE).set_next_token(token).send();
    let mut arns = BTreeSet::new();
    ecs.reader
        .calls
        .pages_by_token(LIST_SERVICES, page_at, ListServicesOutput::next_token, |page| {
            arns.extend(page.service_arns?);
            Some(ControlFlow::Continue(()))
        })
        .await?;
    Ok(arns)
}

async fn describe(ecs: &Ecs<'_>, cluster: &str, arns: Vec<String>) -> Result<Vec<Service>, CallError> {
    let asked = arns.len();
    let request = ecs.client.describe_services().cluster(cluster).set_services(Some(arns));
    let ask = async || ecs.reader.calls.read(DESCRIBE_SERVICES, || request.clone().send()).await;
    let answer = ecs.in_cluster(cluster, ask).await?;
    let described = answer.services().iter().map(Service::service_arn);
    ecs.check_answer(SERVICES, DESCRIBE_SERVICES, asked, described, answer.failures());
    // ECS still describes deleted services for a while.
    let is_there = |service: &Service| service.status() != Some(INACTIVE);
    Ok(answer.services.unwrap_or_default().into_iter().filter(is_there).collect())
}

fn definitions_of(service: &Service) -> impl Iterator<Item = &str> {
    let of_deployments = service.deployments().iter().map(|deployment| deployment.task_definition());
    let of_task_sets = service.task_sets().iter().map(|task_set| task_set.task_definition());
    of_deployments.chain(of_task_sets).chain([service.task_definition()]).flatten()
}

fn add(ecs: &Ecs<'_>, cluster: &str, service: &Service, deployed: &mut Deployed) {
    let arn = service.service_arn().unwrap_or_default();
    let holder = Holder::of_arn(&SERVICE, Some(arn));
    let named = ServiceArn { cluster: cluster.to_owned(), arn: arn.to_owned() };
    for definition in definitions_of(service) {
        ecs.needs_definition(definition, &holder, Namer::Service(named.clone()));
    }
    if let Err(error) = deployed.add(&named, service) {
        ecs.reader.fail(SERVICES, error);
    }
}

/// Whether a deployment may be under way, which may roll back to a revision that is not current any more. Only ECS's
/// own controller has service deployments, and it shows the state of each. Without a state, a deployment may be under
/// way.
fn may_be_deploying(service: &Service) -> bool {
    let controller = service.deployment_controller().map(DeploymentController::r#type);
    let others = [DeploymentControllerType::CodeDeploy, DeploymentControllerType::External];
    let by_ecs = controller.is_none_or(|controller| !others.contains(controller));
    let settled = matches!(
        service.deployments(),
        [only] if only.rollout_state() == Some(&DeploymentRolloutState::Completed)
    );
    by_ecs && (!settled || service.current_service_revisions().len() > 1)
}
