//! Reads tasks that run, that start, or that stopped within about the last hour and may be replaced.
//!
//! `containers[].image` and `containers[].imageDigest` both count: a tag may have moved since the task started.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use aws_sdk_ecs::operation::list_tasks::ListTasksOutput;
use aws_sdk_ecs::types::{DesiredStatus, Task};
use ecr_cleanup_core::call_error::CallError;
use ecr_cleanup_core::usage::Holder;

use super::{BATCHES_AT_ONCE, Ecs, Namer, PER_PAGE, TASK, TASKS, names_a_tag, told};

/// The most tasks that `DescribeTasks` accepts.
/// See <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeTasks.html>.
const TASKS_PER_CALL: usize = 100;
/// The status of a task whose containers all exist.
const RUNNING: &str = "RUNNING";
/// The status of a task that has stopped.
const STOPPED: &str = "STOPPED";

pub(super) const LIST_TASKS: &str = "ecs:ListTasks";
pub(super) const DESCRIBE_TASKS: &str = "ecs:DescribeTasks";

/// Running and stopped tasks are described together, so that calls are full. Stopped tasks are listed after running
/// ones, so that a task that stops meanwhile is in at least one list.
pub(super) async fn of_cluster(ecs: &Ecs<'_>, cluster: &str) {
    let mut arns = BTreeSet::new();
    for status in [DesiredStatus::Running, DesiredStatus::Stopped] {
        let listed = ecs.in_cluster(cluster, async || list(ecs, cluster, status.clone()).await).await;
        arns.extend(ecs.reader.unless_gone(TASKS, listed).into_iter().flatten());
    }
    let describe = async |arns: Vec<String>| {
        describe(ecs, cluster, arns).await?.iter().for_each(|task| add(ecs, cluster, task));
        Ok(())
    };
    ecs.reader.each_batch(TASKS, arns, TASKS_PER_CALL, BATCHES_AT_ONCE, describe).await;
}

/// Whether a task that has not stopped was started from this definition.
pub(super) async fn names(ecs: &Ecs<'_>, cluster: &str, task: &str, definition: &str) -> Result<bool, CallError> {
    let tasks = describe(ecs, cluster, vec![task.to_owned()]).await?;
    Ok(tasks.iter().any(|task| !has_stopped(task) && task.task_definition_arn() == Some(definition)))
}

async fn list(ecs: &Ecs<'_>, cluster: &str, status: DesiredStatus) -> Result<Vec<String>, CallError> {
    let page_at = |token| {
        let request = ecs.client.list_tasks().cluster(cluster).desired_status(status.clone());
        request.max_results(PER_PAGE).set_next_token(token).send()
    };
    let mut arns = Vec::new();
    ecs.reader
        .calls
        .pages_by_token(LIST_TASKS, page_at, ListTasksOutput::next_token, |page| {
            arns.extend(page.task_arns?);
            Some(ControlFlow::Continue(()))
        })
        .await?;
    Ok(arns)
}

async fn describe(ecs: &Ecs<'_>, cluster: &str, arns: Vec<String>) -> Result<Vec<Task>, CallError> {
    let asked = arns.len();
    let request = ecs.client.describe_tasks().cluster(cluster).set_tasks(Some(arns));
    let ask = async || ecs.reader.calls.read(DESCRIBE_TASKS, || request.clone().send()).await;
    let answer = ecs.in_cluster(cluster, ask).await?;
    // A missing task stopped more than an hour ago or in the meantime, and ECS does not replace it with the same
    // images.
    ecs.check_answer(TASKS, DESCRIBE_TASKS, asked, answer.tasks().iter().map(Task::task_arn), answer.failures());
    Ok(answer.tasks.unwrap_or_default())
}

fn add(ecs: &Ecs<'_>, cluster: &str, task: &Task) {
    let holder = Holder::of_arn(&TASK, task.task_arn());
    let containers = task.containers();
    for container in containers {
        ecs.reader.uses(&holder, container.image(), container.image_digest());
    }
    // While a task starts, ECS may not list all its containers yet. Then its definition shows the images.
    let was_set_up = task.last_status() == Some(RUNNING) || task.started_at().is_some();
    let tells_all = was_set_up
        && !containers.is_empty()
        && containers.iter().all(|container| container.image().is_some_and(names_a_tag));
    let definition = match told(task.task_definition_arn()) {
        Some(definition) if tells_all => return ecs.knows_definition(definition),
        Some(definition) => definition,
        // AWS returns the definition of every task. Without it, each container must have an image.
        None if !containers.is_empty() && containers.iter().all(|it| told(it.image()).is_some()) => return,
        None => {
            let message = format!("{} has neither images nor a task definition", holder.name);
            return ecs.reader.fail(TASKS, CallError::unexpected(DESCRIBE_TASKS, &message));
        }
    };
    let namer = if has_stopped(task) {
        Namer::StoppedTask
    } else {
        Namer::Task { cluster: cluster.to_owned(), arn: task.task_arn().unwrap_or_default().to_owned() }
    };
    ecs.needs_definition(definition, &holder, namer);
}

fn has_stopped(task: &Task) -> bool {
    task.last_status() == Some(STOPPED)
}
