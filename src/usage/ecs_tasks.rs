//! ECS tasks: what runs, what is starting, and what stopped within about the last hour and may be replaced.
//!
//! `containers[].image` and `containers[].imageDigest` both count: a tag may have moved since the task started.

use std::sync::Arc;

use aws_sdk_ecs::Client;
use aws_sdk_ecs::operation::list_clusters::ListClustersOutput;
use aws_sdk_ecs::operation::list_tasks::ListTasksOutput;
use aws_sdk_ecs::types::{DesiredStatus, Task};
use futures::future::join;
use futures::stream::{self, StreamExt};

use super::discover::Findings;
use super::snapshot::{Holder, HolderKind, UsageSnapshot};
use crate::aws::{CallError, call, pages};
use crate::deadline::Deadline;

/// The most clusters or tasks of a page.
/// See <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ListTasks.html>.
const PER_PAGE: i32 = 100;
/// The most tasks that `DescribeTasks` takes.
const TASKS_PER_CALL: usize = 100;
/// Clusters read at a time.
const CLUSTERS_AT_ONCE: usize = 8;

const LIST_CLUSTERS: &str = "ecs:ListClusters";
const LIST_TASKS: &str = "ecs:ListTasks";
const DESCRIBE_TASKS: &str = "ecs:DescribeTasks";

/// Reads the tasks of every cluster of a region.
pub(super) async fn discover(ecs: &Client, deadline: Deadline) -> Findings {
    match list_clusters(ecs, deadline).await {
        Err(error) => Findings { failures: vec![error], ..Findings::default() },
        Ok(clusters) => {
            let found = Findings { answered: true, ..Findings::default() };
            stream::iter(&clusters)
                .map(|cluster| tasks_of_cluster(ecs, cluster, deadline))
                .buffer_unordered(CLUSTERS_AT_ONCE)
                .fold(found, async |mut found, of_cluster| {
                    found.merge(of_cluster);
                    found
                })
                .await
        }
    }
}

async fn list_clusters(ecs: &Client, deadline: Deadline) -> Result<Vec<String>, CallError> {
    let listing = ecs.list_clusters().into_paginator().page_size(PER_PAGE).send();
    let mut arns = Vec::new();
    pages(deadline, LIST_CLUSTERS, listing, ListClustersOutput::next_token, |page| {
        arns.extend(page.cluster_arns.unwrap_or_default());
    })
    .await?;
    Ok(arns)
}

/// Running and stopped tasks are described together, so that no call is half empty.
async fn tasks_of_cluster(ecs: &Client, cluster: &str, deadline: Deadline) -> Findings {
    let (running, stopped) = join(
        list_tasks(ecs, cluster, DesiredStatus::Running, deadline),
        list_tasks(ecs, cluster, DesiredStatus::Stopped, deadline),
    )
    .await;
    let mut found = Findings::default();
    let mut tasks = Vec::new();
    for listed in [running, stopped] {
        match listed {
            Ok(arns) => tasks.extend(arns),
            Err(error) => found.failures.push(error),
        }
    }
    // A task that stops between the two listings is in both.
    tasks.sort_unstable();
    tasks.dedup();
    for tasks in tasks.chunks(TASKS_PER_CALL) {
        match describe_tasks(ecs, cluster, tasks, deadline).await {
            Ok(described) => found.merge(described),
            Err(error) => found.failures.push(error),
        }
    }
    found
}

async fn list_tasks(
    ecs: &Client,
    cluster: &str,
    status: DesiredStatus,
    deadline: Deadline,
) -> Result<Vec<String>, CallError> {
    let listing = ecs.list_tasks().cluster(cluster).desired_status(status).into_paginator().page_size(PER_PAGE).send();
    let mut arns = Vec::new();
    let listed = pages(deadline, LIST_TASKS, listing, ListTasksOutput::next_token, |page| {
        arns.extend(page.task_arns.unwrap_or_default());
    })
    .await;
    match listed {
        // Deleted since it was listed, which ECS allows only when nothing runs there.
        Err(error) if error.code == "ClusterNotFoundException" => Ok(Vec::new()),
        listed => listed.map(|()| arns),
    }
}

async fn describe_tasks(
    ecs: &Client,
    cluster: &str,
    tasks: &[String],
    deadline: Deadline,
) -> Result<Findings, CallError> {
    let request = ecs.describe_tasks().cluster(cluster).set_tasks(Some(tasks.to_vec()));
    let answer = call(deadline, DESCRIBE_TASKS, request.send()).await?;
    let mut found = Findings { answered: true, ..Findings::default() };
    for failure in answer.failures() {
        // MISSING: it stopped more than an hour ago, or in between, and nothing replaces it from there.
        if failure.reason() != Some("MISSING") {
            found.failures.push(CallError {
                api: DESCRIBE_TASKS,
                code: failure.reason().unwrap_or("UnknownReason").to_owned(),
                message: format!("{} {}", failure.arn().unwrap_or_default(), failure.detail().unwrap_or_default()),
            });
        }
    }
    let answered = answer.tasks().len() + answer.failures().len();
    if answered < tasks.len() {
        let message = format!("{answered} of {} tasks of {cluster} were answered for", tasks.len());
        found.failures.push(CallError::unexpected(DESCRIBE_TASKS, &message));
    }
    for task in answer.tasks() {
        add_task(&mut found.usage, task);
    }
    Ok(found)
}

fn add_task(usage: &mut UsageSnapshot, task: &Task) {
    let name = task.task_arn().unwrap_or("without an ARN").into();
    let holder = Arc::new(Holder { kind: HolderKind::EcsTask, name });
    for container in task.containers() {
        usage.add(container.image(), container.image_digest(), &holder);
    }
}
