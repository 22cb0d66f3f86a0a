//! Tasks: what runs, what is starting, and what stopped within about the last hour and may be replaced.
//!
//! `containers[].image` and `containers[].imageDigest` both count: a tag may have moved since the task started.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aws_sdk_ecs::operation::list_tasks::ListTasksOutput;
use aws_sdk_ecs::types::{DesiredStatus, Task};

use futures::stream::{self, StreamExt};

use super::{BATCHES_AT_ONCE, EcsRegion, Findings, PER_PAGE, Source, names_a_tag};
use crate::aws::{CallError, Caller};
use crate::usage::snapshot::{Holder, HolderKind, holder};

/// The most tasks that `DescribeTasks` takes.
/// See <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeTasks.html>.
const TASKS_PER_CALL: usize = 100;

const LIST_TASKS: &str = "ecs:ListTasks";
const DESCRIBE_TASKS: &str = "ecs:DescribeTasks";

/// What the tasks of a cluster use, and the task definitions whose images are known by that.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    pub(super) findings: Findings,
    pub(super) known_definitions: BTreeSet<String>,
    /// The task definitions of tasks that don't tell all their images.
    pub(super) needed_definitions: BTreeMap<String, Arc<Holder>>,
}

/// Running and stopped tasks are described together, so that no call is half empty. The stopped ones are listed once the
/// running ones have been, so that a task that stops in between is in one list at least.
pub(super) async fn of_cluster(ecs: &EcsRegion, cluster: &str, caller: Caller<'_>) -> Tasks {
    let running = list(ecs, cluster, DesiredStatus::Running, caller).await;
    let stopped = list(ecs, cluster, DesiredStatus::Stopped, caller).await;
    let mut found = Tasks::default();
    let mut arns = Vec::new();
    for listed in [running, stopped] {
        match listed {
            Ok(listed) => arns.extend(listed),
            Err(error) => found.findings.fail(Source::Tasks, error),
        }
    }
    arns.sort_unstable();
    arns.dedup();
    let mut described = stream::iter(arns.chunks(TASKS_PER_CALL))
        .map(|arns| describe(ecs, cluster, arns, caller))
        .buffered(BATCHES_AT_ONCE);
    while let Some(batch) = described.next().await {
        match batch {
            Ok(tasks) => found.merge(tasks),
            Err(error) => found.findings.fail(Source::Tasks, error),
        }
    }
    found
}

impl Tasks {
    fn merge(&mut self, other: Self) {
        let Self { findings, known_definitions, needed_definitions } = other;
        self.findings.merge(findings);
        self.known_definitions.extend(known_definitions);
        self.needed_definitions.extend(needed_definitions);
    }
}

async fn list(
    ecs: &EcsRegion,
    cluster: &str,
    status: DesiredStatus,
    caller: Caller<'_>,
) -> Result<Vec<String>, CallError> {
    let listing = ecs.client.list_tasks().cluster(cluster).desired_status(status).into_paginator().page_size(PER_PAGE);
    let mut arns = Vec::new();
    let listed = caller
        .pages(LIST_TASKS, listing.send(), ListTasksOutput::next_token, |page| {
            page.task_arns.map(|listed| arns.extend(listed))
        })
        .await;
    super::unless_the_cluster_is_gone(listed.map(|()| arns))
}

async fn describe(ecs: &EcsRegion, cluster: &str, arns: &[String], caller: Caller<'_>) -> Result<Tasks, CallError> {
    let request = ecs.client.describe_tasks().cluster(cluster).set_tasks(Some(arns.to_vec()));
    let answer = caller.call(DESCRIBE_TASKS, request.send()).await?;
    // What is missing stopped more than an hour ago, or in between, and nothing replaces it from there.
    let described = answer.tasks().len();
    let mut found = Tasks::default();
    found.findings.read_answer(Source::Tasks, DESCRIBE_TASKS, arns.len(), described, answer.failures());
    for task in answer.tasks() {
        add(task, &mut found);
    }
    Ok(found)
}

fn add(task: &Task, found: &mut Tasks) {
    let holder = holder(HolderKind::EcsTask, task.task_arn());
    let containers = task.containers();
    for container in containers {
        found.findings.usage.add(container.image(), container.image_digest(), &holder);
    }
    let Some(definition) = task.task_definition_arn() else {
        return;
    };
    // While a task is set up its containers may not be listed yet, and then its definition tells what it will run.
    if !containers.is_empty() && containers.iter().all(|container| container.image().is_some_and(names_a_tag)) {
        found.known_definitions.insert(definition.to_owned());
    } else {
        found.needed_definitions.insert(definition.to_owned(), holder);
    }
}
