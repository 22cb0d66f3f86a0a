//! ECS: <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/>.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::ecs_services;
use crate::page::{Limits, listing, page};
use crate::request::{Request, ServiceError};
use crate::world::{Region, StoredCluster, StoredTask, Task};

pub(crate) const INVALID: &str = "InvalidParameterException";
pub(crate) const PAGES: Limits = Limits { default: 100, max: 100, error: INVALID };
const TASKS_PER_CALL: usize = 100;

type Tasks = BTreeMap<String, StoredTask>;

pub(crate) fn answer(region: &mut Region, request: &Request) -> Result<Value, ServiceError> {
    match request.action.as_str() {
        "ListClusters" => {
            let arns: Vec<String> = region.clusters.keys().cloned().collect();
            let (arns, next) = page(&request.body, &arns, PAGES)?;
            Ok(listing("clusterArns", arns, next))
        }
        "ListTasks" => list_tasks(&cluster(region, request)?.tasks, request),
        "DescribeTasks" => describe_tasks(&cluster(region, request)?.tasks, request),
        action => match ecs_services::answer(region, request) {
            Some(answer) => answer,
            None => Err(ServiceError::new(400, "UnknownOperationException", action)),
        },
    }
}

pub(crate) fn cluster<'a>(region: &'a Region, request: &Request) -> Result<&'a StoredCluster, ServiceError> {
    let named = request.body["cluster"].as_str().or(request.body["clusterArn"].as_str()).unwrap_or("default");
    let is_named = |arn: &str| arn == named || arn.rsplit('/').next() == Some(named);
    let found = region.clusters.iter().find(|(arn, _)| is_named(arn));
    found.map(|(_, cluster)| cluster).ok_or_else(|| gone(region, "ClusterNotFoundException"))
}

/// The error for a resource that doesn't exist any more.
pub(crate) fn gone(region: &Region, code: &str) -> ServiceError {
    ServiceError::new(400, region.gone.unwrap_or(code), "It was not found.")
}

fn list_tasks(tasks: &Tasks, request: &Request) -> Result<Value, ServiceError> {
    // By default, ECS lists no stopped tasks.
    let stopped = match request.body["desiredStatus"].as_str() {
        None | Some("RUNNING") => false,
        Some("STOPPED") => true,
        Some(other) => return Err(ServiceError::new(400, INVALID, other)),
    };
    let listed = tasks.iter().filter(|(_, stored)| stored.task.stopped == stopped);
    let arns: Vec<String> = listed.map(|(arn, _)| arn.clone()).collect();
    let (arns, next) = page(&request.body, &arns, PAGES)?;
    Ok(listing("taskArns", arns, next))
}

fn describe_tasks(tasks: &Tasks, request: &Request) -> Result<Value, ServiceError> {
    let asked = request.body["tasks"].as_array().cloned().unwrap_or_default();
    if !(1..=TASKS_PER_CALL).contains(&asked.len()) {
        return Err(ServiceError::new(400, INVALID, &format!("tasks must be between 1 and {TASKS_PER_CALL}")));
    }
    let mut described = Vec::new();
    let mut failures = Vec::new();
    for arn in asked.iter().filter_map(Value::as_str) {
        match tasks.get(arn) {
            None => failures.push(json!({ "arn": arn, "reason": "MISSING" })),
            Some(StoredTask { task: Task { not_described: Some(reason), .. } }) => {
                failures.push(json!({ "arn": arn, "reason": reason }));
            }
            Some(StoredTask { task }) => described.push(describe(arn, task)),
        }
    }
    Ok(json!({ "tasks": described, "failures": failures }))
}

fn describe(arn: &str, task: &Task) -> Value {
    let desired = if task.stopped { "STOPPED" } else { "RUNNING" };
    let status = if task.pending { "PENDING" } else { desired };
    let containers: Vec<Value> = task
        .containers
        .iter()
        .map(|container| {
            let mut described = json!({ "image": container.image, "lastStatus": status });
            // ECS leaves the digest out until the agent has pulled the image.
            if let Some(digest) = &container.image_digest {
                described["imageDigest"] = digest.as_str().into();
            }
            described
        })
        .collect();
    let definition = task.started_from.as_deref();
    json!({ "taskArn": arn, "taskDefinitionArn": definition, "lastStatus": status, "desiredStatus": desired, "containers": containers })
}
