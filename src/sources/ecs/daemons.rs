//! Daemons: one task on every container instance of their capacity providers. Where a region does not know the
//! operation, there are none.

use std::ops::ControlFlow;

use aws_sdk_ecs::operation::list_daemons::ListDaemonsOutput;
use ecr_cleanup_core::call_error::{CallError, Missing};
use ecr_cleanup_core::usage::Holder;

use super::{DAEMON, DAEMONS, Ecs, PER_PAGE};

/// The most revisions asked for in one call; no limit is published, and services' revisions have this one.
const REVISIONS_PER_CALL: usize = 20;

pub(super) const LIST_DAEMONS: &str = "ecs:ListDaemons";
pub(super) const DESCRIBE_DAEMON: &str = "ecs:DescribeDaemon";
pub(super) const DESCRIBE_DAEMON_REVISIONS: &str = "ecs:DescribeDaemonRevisions";

pub(super) async fn of_cluster(ecs: &Ecs<'_>, cluster: &str) {
    let daemons = match list(ecs, cluster).await {
        Ok(daemons) => daemons,
        Err(error) if error.is_unknown_operation() => return,
        Err(error) => return ecs.reader.fail(DAEMONS, error),
    };
    let read = async |daemon: String| current_revisions(ecs, &daemon).await;
    let revisions = ecs.reader.each(DAEMONS, daemons, 1, read).await.concat();
    let describe = async |arns: &[String]| describe_revisions(ecs, arns).await;
    ecs.reader.each(DAEMONS, revisions.chunks(REVISIONS_PER_CALL), 1, describe).await;
}

async fn list(ecs: &Ecs<'_>, cluster: &str) -> Result<Vec<String>, CallError> {
    let page_at =
        |token| ecs.client.list_daemons().cluster_arn(cluster).max_results(PER_PAGE).set_next_token(token).send();
    let mut arns = Vec::new();
    let listed = ecs
        .reader
        .calls
        .pages_by_token(LIST_DAEMONS, page_at, ListDaemonsOutput::next_token, |page| {
            arns.extend(page.daemon_summaries_list().iter().filter_map(|daemon| daemon.daemon_arn.clone()));
            Some(ControlFlow::Continue(()))
        })
        .await;
    super::unless_the_cluster_is_gone(listed.map(|()| arns))
}

async fn current_revisions(ecs: &Ecs<'_>, daemon: &str) -> Result<Vec<String>, CallError> {
    let request = ecs.client.describe_daemon().daemon_arn(daemon);
    let answer = match ecs.reader.calls.call(DESCRIBE_DAEMON, request.send()).await {
        // Deleted in between.
        Err(error) if error.is_missing(Missing::Daemon) => return Ok(Vec::new()),
        answer => answer?,
    };
    let daemon =
        answer.daemon().ok_or_else(|| CallError::unexpected(DESCRIBE_DAEMON, &format!("no daemon {daemon}")))?;
    let revisions = daemon.current_revisions.as_ref().ok_or_else(|| CallError::no_list(DESCRIBE_DAEMON))?;
    Ok(revisions.iter().filter_map(|revision| revision.arn.clone()).collect())
}

async fn describe_revisions(ecs: &Ecs<'_>, arns: &[String]) -> Result<(), CallError> {
    let request = ecs.client.describe_daemon_revisions().set_daemon_revision_arns(Some(arns.to_vec()));
    let answer = ecs.reader.calls.call(DESCRIBE_DAEMON_REVISIONS, request.send()).await?;
    // These revisions are current, so unlike elsewhere none may be missing: a failure is one that was not answered.
    ecs.check_answer(DAEMONS, DESCRIBE_DAEMON_REVISIONS, arns.len(), answer.daemon_revisions().len(), &[]);
    for revision in answer.daemon_revisions() {
        let holder = Holder::of_arn(&DAEMON, revision.daemon_arn());
        if revision.container_images().is_empty() {
            let message = format!("{} tells no image", revision.daemon_revision_arn().unwrap_or_default());
            ecs.reader.fail(DAEMONS, CallError::unexpected(DESCRIBE_DAEMON_REVISIONS, &message));
        }
        for container in revision.container_images() {
            ecs.reader.uses(&holder, container.image(), container.image_digest());
        }
    }
    Ok(())
}
