//! Tasks: what runs, what is starting, and what stopped within about the last hour and may be replaced.
//!
//! `containers[].image` and `containers[].imageDigest` both count: a tag may have moved since the task started.

use aws_sdk_ecs::operation::list_tasks::ListTasksOutput;
use aws_sdk_ecs::types::{DesiredStatus, Task};
use ecr_cleanup_core::call_error::CallError;
use ecr_cleanup_core::usage::Holder;

use super::{BATCHES_AT_ONCE, Ecs, PER_PAGE, TASK, TASKS, names_a_tag};

/// The most tasks that `DescribeTasks` takes.
/// See <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeTasks.html>.
const TASKS_PER_CALL: usize = 100;

pub(super) const LIST_TASKS: &str = "ecs:ListTasks";
pub(super) const DESCRIBE_TASKS: &str = "ecs:DescribeTasks";

/// Running and stopped tasks are described together, so that no call is half empty. The stopped ones are listed once the
/// running ones have been, so that a task that stops in between is in one list at least.
pub(super) async fn of_cluster(ecs: &Ecs<'_>, cluster: &str) {
    let mut arns = Vec::new();
    for status in [DesiredStatus::Running, DesiredStatus::Stopped] {
        match list(ecs, cluster, status).await {
            Ok(listed) => arns.extend(listed),
            Err(error) => ecs.reader.fail(TASKS, error),
        }
    }
    arns.sort_unstable();
    arns.dedup();
    let describe = async |arns: &[String]| describe(ecs, cluster, arns).await;
    ecs.reader.each(TASKS, arns.chunks(TASKS_PER_CALL), BATCHES_AT_ONCE, describe).await;
}

async fn list(ecs: &Ecs<'_>, cluster: &str, status: DesiredStatus) -> Result<Vec<String>, CallError> {
    let listing = ecs.client.list_tasks().cluster(cluster).desired_status(status).into_paginator().page_size(PER_PAGE);
    let mut arns = Vec::new();
    let listed = ecs
        .reader
        .calls
        .pages(LIST_TASKS, listing.send(), ListTasksOutput::next_token, |page| {
            page.task_arns.map(|listed| arns.extend(listed))
        })
        .await;
    super::unless_the_cluster_is_gone(listed.map(|()| arns))
}

async fn describe(ecs: &Ecs<'_>, cluster: &str, arns: &[String]) -> Result<(), CallError> {
    let request = ecs.client.describe_tasks().cluster(cluster).set_tasks(Some(arns.to_vec()));
    let answer = ecs.reader.calls.call(DESCRIBE_TASKS, request.send()).await?;
    // What is missing stopped more than an hour ago, or in between, and nothing replaces it from there.
    ecs.check_answer(TASKS, DESCRIBE_TASKS, arns.len(), answer.tasks().len(), answer.failures());
    answer.tasks().iter().for_each(|task| add(ecs, task));
    Ok(())
}

fn add(ecs: &Ecs<'_>, task: &Task) {
    let holder = Holder::of_arn(&TASK, task.task_arn());
    let containers = task.containers();
    for container in containers {
        ecs.reader.uses(&holder, container.image(), container.image_digest());
    }
    let Some(definition) = task.task_definition_arn() else {
        return;
    };
    // While a task is set up its containers may not be listed yet, and then its definition tells what it will run.
    if !containers.is_empty() && containers.iter().all(|container| container.image().is_some_and(names_a_tag)) {
        ecs.knows_definition(definition);
    } else {
        ecs.needs_definition(definition, &holder);
    }
}
