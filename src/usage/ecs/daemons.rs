//! Daemons: one task on every container instance of their capacity providers. Where a region does not know the
//! operation, there are none.

use std::ops::ControlFlow;

use aws_sdk_ecs::operation::list_daemons::ListDaemonsOutput;

use super::{EcsRegion, Findings, PER_PAGE, Source};
use crate::aws::{CallError, Caller};
use crate::usage::snapshot::{HolderKind, holder};

/// The most revisions asked for in one call; no limit is published, and services' revisions have this one.
const REVISIONS_PER_CALL: usize = 20;

const LIST_DAEMONS: &str = "ecs:ListDaemons";
const DESCRIBE_DAEMON: &str = "ecs:DescribeDaemon";
const DESCRIBE_DAEMON_REVISIONS: &str = "ecs:DescribeDaemonRevisions";

pub(super) async fn of_cluster(ecs: &EcsRegion, cluster: &str, caller: Caller<'_>) -> Findings {
    let mut findings = Findings::default();
    let daemons = match list(ecs, cluster, caller).await {
        Ok(daemons) => daemons,
        Err(error) if is_unknown_operation(&error) => return findings,
        Err(error) => {
            findings.fail(Source::Daemons, error);
            return findings;
        }
    };
    let mut revisions = Vec::new();
    for daemon in daemons {
        match current_revisions(ecs, &daemon, caller).await {
            Ok(current) => revisions.extend(current),
            // Deleted in between.
            Err(error) if error.code == "DaemonNotFoundException" => {}
            Err(error) => findings.fail(Source::Daemons, error),
        }
    }
    for arns in revisions.chunks(REVISIONS_PER_CALL) {
        if let Err(error) = describe_revisions(ecs, arns, caller, &mut findings).await {
            findings.fail(Source::Daemons, error);
        }
    }
    findings
}

async fn list(ecs: &EcsRegion, cluster: &str, caller: Caller<'_>) -> Result<Vec<String>, CallError> {
    let page_at =
        |token| ecs.client.list_daemons().cluster_arn(cluster).max_results(PER_PAGE).set_next_token(token).send();
    let mut arns = Vec::new();
    let listed = caller
        .pages_by_token(LIST_DAEMONS, page_at, ListDaemonsOutput::next_token, |page| {
            arns.extend(page.daemon_summaries_list().iter().filter_map(|daemon| daemon.daemon_arn.clone()));
            Some(ControlFlow::Continue(()))
        })
        .await;
    super::unless_the_cluster_is_gone(listed.map(|()| arns))
}

async fn current_revisions(ecs: &EcsRegion, daemon: &str, caller: Caller<'_>) -> Result<Vec<String>, CallError> {
    let answer = caller.call(DESCRIBE_DAEMON, ecs.client.describe_daemon().daemon_arn(daemon).send()).await?;
    let daemon =
        answer.daemon().ok_or_else(|| CallError::unexpected(DESCRIBE_DAEMON, &format!("no daemon {daemon}")))?;
    let revisions = daemon.current_revisions.as_ref().ok_or_else(|| CallError::no_list(DESCRIBE_DAEMON))?;
    Ok(revisions.iter().filter_map(|revision| revision.arn.clone()).collect())
}

async fn describe_revisions(
    ecs: &EcsRegion,
    arns: &[String],
    caller: Caller<'_>,
    findings: &mut Findings,
) -> Result<(), CallError> {
    let request = ecs.client.describe_daemon_revisions().set_daemon_revision_arns(Some(arns.to_vec()));
    let answer = caller.call(DESCRIBE_DAEMON_REVISIONS, request.send()).await?;
    // These revisions are current, so unlike elsewhere none may be missing: a failure is one that was not answered.
    let described = answer.daemon_revisions().len();
    findings.read_answer(Source::Daemons, DESCRIBE_DAEMON_REVISIONS, arns.len(), described, &[]);
    for revision in answer.daemon_revisions() {
        let holder = holder(HolderKind::EcsDaemon, revision.daemon_arn());
        if revision.container_images().is_empty() {
            let message = format!("{} tells no image", revision.daemon_revision_arn().unwrap_or_default());
            findings.fail(Source::Daemons, CallError::unexpected(DESCRIBE_DAEMON_REVISIONS, &message));
        }
        for container in revision.container_images() {
            findings.usage.add(container.image(), container.image_digest(), &holder);
        }
    }
    Ok(())
}

fn is_unknown_operation(error: &CallError) -> bool {
    matches!(error.code.as_str(), "UnknownOperationException" | "UnsupportedFeatureException" | "InvalidAction")
}
