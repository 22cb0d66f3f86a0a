//! Daemons: one task on every container instance of their capacity providers. Where a region does not know the
//! operation, there are none.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use aws_sdk_ecs::operation::list_daemons::ListDaemonsOutput;
use ecr_cleanup_core::call_error::CallError;
use ecr_cleanup_core::usage::Holder;

use super::{DAEMON, DAEMONS, Ecs, PER_PAGE};

/// The most revisions asked for in one call; no limit is published, and services' revisions have this one.
const REVISIONS_PER_CALL: usize = 20;

pub(super) const LIST_DAEMONS: &str = "ecs:ListDaemons";
pub(super) const DESCRIBE_DAEMON: &str = "ecs:DescribeDaemon";
pub(super) const DESCRIBE_DAEMON_REVISIONS: &str = "ecs:DescribeDaemonRevisions";

pub(super) async fn of_cluster(ecs: &Ecs<'_>, cluster: &str) {
    let daemons = match list(ecs, cluster).await {
        Err(error) if error.is_unknown_operation() => return,
        daemons => ecs.reader.unless_gone(DAEMONS, daemons).unwrap_or_default(),
    };
    let read = async |daemon: String| current_revisions(ecs, &daemon).await;
    let current = ecs.reader.each(DAEMONS, daemons, 1, read).await.concat();
    let daemon_of: BTreeMap<String, String> = current.into_iter().collect();
    let describe = async |arns: Vec<String>| describe_revisions(ecs, arns).await;
    let revisions = daemon_of.keys().cloned();
    let missing = ecs.reader.each_batch(DAEMONS, revisions, REVISIONS_PER_CALL, 1, describe).await.concat();
    let again = async |revision: String| still_current(ecs, &revision, &daemon_of).await;
    ecs.reader.each(DAEMONS, missing, 1, again).await;
}

async fn list(ecs: &Ecs<'_>, cluster: &str) -> Result<BTreeSet<String>, CallError> {
    let page_at =
        |token| ecs.client.list_daemons().cluster_arn(cluster).max_results(PER_PAGE).set_next_token(token).send();
    let mut arns = BTreeSet::new();
    ecs.reader
        .calls
        .pages_by_token(LIST_DAEMONS, page_at, ListDaemonsOutput::next_token, |page| {
            arns.extend(page.daemon_summaries_list?.into_iter().filter_map(|daemon| daemon.daemon_arn));
            Some(ControlFlow::Continue(()))
        })
        .await?;
    Ok(arns)
}

/// The current revisions of a daemon, each with the daemon.
async fn current_revisions(ecs: &Ecs<'_>, daemon: &str) -> Result<Vec<(String, String)>, CallError> {
    let request = ecs.client.describe_daemon().daemon_arn(daemon);
    let answer = ecs.reader.calls.read(DESCRIBE_DAEMON, || request.clone().send()).await?;
    let described =
        answer.daemon().ok_or_else(|| CallError::unexpected(DESCRIBE_DAEMON, &format!("no daemon {daemon}")))?;
    let revisions = described.current_revisions.as_ref().ok_or_else(|| CallError::no_list(DESCRIBE_DAEMON))?;
    let arns = revisions.iter().filter_map(|revision| revision.arn.clone());
    Ok(arns.map(|revision| (revision, daemon.to_owned())).collect())
}

/// Describes revisions, and returns those of which the answer does not speak.
async fn describe_revisions(ecs: &Ecs<'_>, arns: Vec<String>) -> Result<Vec<String>, CallError> {
    let request = ecs.client.describe_daemon_revisions().set_daemon_revision_arns(Some(arns.clone()));
    let answer = ecs.reader.calls.read(DESCRIBE_DAEMON_REVISIONS, || request.clone().send()).await?;
    ecs.check_answer(DAEMONS, DESCRIBE_DAEMON_REVISIONS, 0, std::iter::empty(), answer.failures());
    let mut missing: BTreeSet<String> = arns.into_iter().collect();
    for revision in answer.daemon_revisions() {
        missing.remove(revision.daemon_revision_arn().unwrap_or_default());
        let holder = Holder::of_arn(&DAEMON, revision.daemon_arn());
        if revision.container_images().is_empty() {
            let message = format!("{} tells no image", revision.daemon_revision_arn().unwrap_or_default());
            ecs.reader.fail(DAEMONS, CallError::unexpected(DESCRIBE_DAEMON_REVISIONS, &message));
        }
        for container in revision.container_images() {
            ecs.reader.uses(&holder, container.image(), container.image_digest());
        }
    }
    Ok(missing.into_iter().collect())
}

/// A revision was current, and then there was no answer about it: that is an error, unless its daemon went away or has
/// others by now, which are then described.
async fn still_current(ecs: &Ecs<'_>, revision: &str, daemon_of: &BTreeMap<String, String>) -> Result<(), CallError> {
    let Some(daemon) = daemon_of.get(revision) else {
        return Ok(());
    };
    let current: Vec<String> = current_revisions(ecs, daemon).await?.into_iter().map(|(current, _)| current).collect();
    let missing = match current.chunks(REVISIONS_PER_CALL).next() {
        Some(current) => describe_revisions(ecs, current.to_vec()).await?,
        None => Vec::new(),
    };
    match missing.first() {
        None => Ok(()),
        Some(missing) => {
            Err(CallError::unexpected(DESCRIBE_DAEMON_REVISIONS, &format!("nothing of {missing}, which is current")))
        }
    }
}
