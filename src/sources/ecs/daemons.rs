//! Reads daemons, which run one task on every container instance of their capacity providers. Their current revisions
//! count as used, and so do the target revision of the current deployment and the rollback targets of deployments under
//! way. A region without these operations has no daemons.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use aws_sdk_ecs::operation::list_daemon_deployments::ListDaemonDeploymentsOutput;
use aws_sdk_ecs::operation::list_daemons::ListDaemonsOutput;
use aws_sdk_ecs::types::{
    DaemonContainerImage, DaemonDeployment, DaemonDeploymentRevisionDetail, DaemonDeploymentStatus,
    DaemonDeploymentSummary, DaemonRevisionDetail, DaemonRollback, DaemonStatus, DaemonSummary,
};
use ecr_cleanup_core::call_error::CallError;
use ecr_cleanup_core::usage::Holder;

use super::{DAEMON, DAEMONS, Ecs, PER_PAGE, arns_of, told};

/// The most deployments or revisions per call. AWS publishes no limit. This one is that for services.
const PER_CALL: usize = 20;

pub(super) const LIST_DAEMONS: &str = "ecs:ListDaemons";
pub(super) const DESCRIBE_DAEMON: &str = "ecs:DescribeDaemon";
pub(super) const LIST_DAEMON_DEPLOYMENTS: &str = "ecs:ListDaemonDeployments";
pub(super) const DESCRIBE_DAEMON_DEPLOYMENTS: &str = "ecs:DescribeDaemonDeployments";
pub(super) const DESCRIBE_DAEMON_REVISIONS: &str = "ecs:DescribeDaemonRevisions";

pub(super) async fn of_cluster(ecs: &Ecs<'_>, cluster: &str) {
    let daemons = match ecs.in_cluster(cluster, async || list(ecs, cluster).await).await {
        Err(error) if error.is_unknown_operation() => return,
        daemons => ecs.reader.unless_gone(DAEMONS, daemons).unwrap_or_default(),
    };
    let read = async |daemon: String| {
        let ask = async || revisions_of(ecs, &daemon).await;
        let revisions = ecs.reader.settled(ask, async || Ok(list(ecs, cluster).await?.contains(&daemon))).await?;
        Ok(revisions.into_iter().map(|revision| (revision, daemon.clone())).collect::<Vec<_>>())
    };
    let daemon_of: BTreeMap<String, String> =
        ecs.reader.each(DAEMONS, daemons, 1, read).await.into_iter().flatten().collect();
    let describe = async |arns: Vec<String>| match (&arns[..], arns.first().and_then(|arn| daemon_of.get(arn))) {
        ([arn], Some(daemon)) => {
            let is_named = async || Ok(revisions_of(ecs, daemon).await?.contains(arn));
            ecs.reader.settled(async || describe_revisions(ecs, &arns).await, is_named).await
        }
        _ => describe_revisions(ecs, &arns).await,
    };
    let revisions = daemon_of.keys().cloned();
    let missing = ecs.reader.each_batch(DAEMONS, revisions, PER_CALL, 1, describe).await.concat();
    let again = async |revision: String| still_named(ecs, &revision, &daemon_of).await;
    ecs.reader.each(DAEMONS, missing, 1, again).await;
}

async fn list(ecs: &Ecs<'_>, cluster: &str) -> Result<BTreeSet<String>, CallError> {
    let page_at =
        |token| ecs.client.list_daemons().cluster_arn(cluster).max_results(PER_PAGE).set_next_token(token).send();
    let mut listed = Vec::new();
    ecs.reader
        .calls
        .pages_by_token(LIST_DAEMONS, page_at, ListDaemonsOutput::next_token, |page| {
            listed.extend(page.daemon_summaries_list?);
            Some(ControlFlow::Continue(()))
        })
        .await?;
    let arns = arns_of(LIST_DAEMONS, cluster, listed.iter().map(DaemonSummary::daemon_arn))?;
    Ok(arns.into_iter().collect())
}

/// The current revisions of a daemon, and the targets and rollback targets of its deployments.
async fn revisions_of(ecs: &Ecs<'_>, daemon: &str) -> Result<BTreeSet<String>, CallError> {
    let request = ecs.client.describe_daemon().daemon_arn(daemon);
    let answer = ecs.reader.calls.read(DESCRIBE_DAEMON, || request.clone().send()).await?;
    let described = answer
        .daemon()
        .ok_or_else(|| CallError::unexpected(DESCRIBE_DAEMON, &format!("the answer omits the daemon {daemon}")))?;
    let current = described.current_revisions.as_ref().ok_or_else(|| CallError::no_list(DESCRIBE_DAEMON))?;
    let current = arns_of(DESCRIBE_DAEMON, daemon, current.iter().map(DaemonRevisionDetail::arn))?;
    let mut revisions: BTreeSet<String> = current.into_iter().collect();
    let mut deployments = deployments_under_way(ecs, daemon).await?;
    deployments.extend(told(described.deployment_arn()).map(str::to_owned));
    let deployments: Vec<String> = deployments.into_iter().collect();
    for arns in deployments.chunks(PER_CALL) {
        revisions.extend(describe_deployments(ecs, arns).await?);
    }
    if revisions.is_empty() && described.status() != Some(&DaemonStatus::DeleteInProgress) {
        return Err(CallError::unexpected(DESCRIBE_DAEMON, &format!("{daemon} lists no revision")));
    }
    Ok(revisions)
}

/// The unfinished deployments of a daemon.
async fn deployments_under_way(ecs: &Ecs<'_>, daemon: &str) -> Result<BTreeSet<String>, CallError> {
    // Without a filter, because it would omit statuses that are unknown here.
    let page_at = |token| {
        let request = ecs.client.list_daemon_deployments().daemon_arn(daemon);
        request.max_results(PER_PAGE).set_next_token(token).send()
    };
    let mut under_way = Vec::new();
    ecs.reader
        .calls
        .pages_by_token(LIST_DAEMON_DEPLOYMENTS, page_at, ListDaemonDeploymentsOutput::next_token, |page| {
            under_way.extend(page.daemon_deployments?.into_iter().filter(|listed| !is_done(listed.status.as_ref())));
            Some(ControlFlow::Continue(()))
        })
        .await?;
    let arns = under_way.iter().map(DaemonDeploymentSummary::daemon_deployment_arn);
    Ok(arns_of(LIST_DAEMON_DEPLOYMENTS, daemon, arns)?.into_iter().collect())
}

/// The targets and rollback targets of deployments, and of unfinished ones the source revisions.
async fn describe_deployments(ecs: &Ecs<'_>, arns: &[String]) -> Result<Vec<String>, CallError> {
    let request = ecs.client.describe_daemon_deployments().set_daemon_deployment_arns(Some(arns.to_vec()));
    let answer = ecs.reader.calls.read(DESCRIBE_DAEMON_DEPLOYMENTS, || request.clone().send()).await?;
    let described = answer.daemon_deployments().iter().map(DaemonDeployment::daemon_deployment_arn);
    ecs.check_answer(DAEMONS, DESCRIBE_DAEMON_DEPLOYMENTS, arns.len(), described, answer.failures());
    let mut revisions = Vec::new();
    for deployment in answer.daemon_deployments() {
        let sources = deployment.source_daemon_revisions().iter().filter(|_| !is_done(deployment.status()));
        let sources = sources.chain(deployment.target_daemon_revision()).map(DaemonDeploymentRevisionDetail::arn);
        let rollback = deployment.rollback().map(DaemonRollback::rollback_target_daemon_revision_arn);
        let deployment = deployment.daemon_deployment_arn().unwrap_or_default();
        revisions.extend(arns_of(DESCRIBE_DAEMON_DEPLOYMENTS, deployment, sources.chain(rollback))?);
    }
    Ok(revisions)
}

/// A deployment of unknown status counts as under way.
fn is_done(status: Option<&DaemonDeploymentStatus>) -> bool {
    matches!(
        status,
        Some(
            DaemonDeploymentStatus::Successful
                | DaemonDeploymentStatus::Stopped
                | DaemonDeploymentStatus::RollbackSuccessful
                | DaemonDeploymentStatus::RollbackFailed
        )
    )
}

/// Describes revisions, and returns those that the answer omits.
async fn describe_revisions(ecs: &Ecs<'_>, arns: &[String]) -> Result<Vec<String>, CallError> {
    let request = ecs.client.describe_daemon_revisions().set_daemon_revision_arns(Some(arns.to_vec()));
    let answer = ecs.reader.calls.read(DESCRIBE_DAEMON_REVISIONS, || request.clone().send()).await?;
    ecs.check_answer(DAEMONS, DESCRIBE_DAEMON_REVISIONS, 0, std::iter::empty(), answer.failures());
    let mut missing: BTreeSet<String> = arns.iter().cloned().collect();
    for revision in answer.daemon_revisions() {
        missing.remove(revision.daemon_revision_arn().unwrap_or_default());
        let holder = Holder::of_arn(&DAEMON, revision.daemon_arn());
        let tells =
            |container: &DaemonContainerImage| told(container.image()).or(told(container.image_digest())).is_some();
        if revision.container_images().is_empty() || !revision.container_images().iter().all(tells) {
            let message = format!("{} doesn't list all its images", revision.daemon_revision_arn().unwrap_or_default());
            ecs.reader.fail(DAEMONS, CallError::unexpected(DESCRIBE_DAEMON_REVISIONS, &message));
        }
        for container in revision.container_images() {
            ecs.reader.uses(&holder, container.image(), container.image_digest());
        }
    }
    Ok(missing.into_iter().collect())
}

/// Handles a revision that was listed but then omitted. That is an error, unless its daemon was deleted or now lists
/// other revisions, which are then described.
async fn still_named(ecs: &Ecs<'_>, revision: &str, daemon_of: &BTreeMap<String, String>) -> Result<(), CallError> {
    let Some(daemon) = daemon_of.get(revision) else {
        return Ok(());
    };
    let named: Vec<String> = revisions_of(ecs, daemon).await?.into_iter().collect();
    for arns in named.chunks(PER_CALL) {
        if let Some(missing) = describe_revisions(ecs, arns).await?.first() {
            let message = format!("the answer omits {missing}, which {daemon} lists");
            return Err(CallError::unexpected(DESCRIBE_DAEMON_REVISIONS, &message));
        }
    }
    Ok(())
}
