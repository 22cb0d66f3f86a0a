//! ECS: services, task definitions, service deployments and revisions, daemons.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::daemons;
use crate::ecs::{INVALID, PAGES, cluster, gone};
use crate::page::{Limits, listing, page};
use crate::request::{Request, ServiceError};
use crate::services::{DefinitionStatus, Service, ServiceDeployment, ServiceRevision, ServiceStatus, TaskDefinition};
use crate::world::{Region, family_and_revision};

const PAGES_OF_SERVICES: Limits = Limits { default: 10, ..PAGES };
const PAGES_OF_DEPLOYMENTS: Limits = Limits { default: 20, ..PAGES };

pub(crate) fn answer(region: &Region, request: &Request) -> Option<Result<Value, ServiceError>> {
    Some(match request.action.as_str() {
        "ListServices" => cluster(region, request).and_then(|cluster| {
            let is_listed = |service: &Service| service.status != ServiceStatus::Inactive;
            let listed = cluster.services.iter().filter(|(_, service)| is_listed(service));
            let arns: Vec<String> = listed.map(|(arn, _)| arn.clone()).collect();
            let (arns, next) = page(&request.body, &arns, PAGES_OF_SERVICES)?;
            Ok(listing("serviceArns", arns, next))
        }),
        "DescribeServices" => cluster(region, request).and_then(|cluster| {
            describe(request, "services", 10, |arn| match cluster.services.get(arn) {
                Some(Service { not_described: Some(reason), .. }) => Err(reason.clone()),
                Some(service) => Ok(service_detail(arn, service)),
                None => Err("MISSING".to_owned()),
            })
        }),
        "ListTaskDefinitionFamilies" => list_families(region, request),
        "ListTaskDefinitions" => list_task_definitions(region, request),
        "DescribeTaskDefinition" => describe_task_definition(region, request),
        "ListServiceDeployments" => list_service_deployments(region, request),
        "DescribeServiceDeployments" | "DescribeServiceRevisions" if names_gone(region, request) => {
            Err(gone(region, "ServiceNotFoundException"))
        }
        "DescribeServiceDeployments" => describe(request, "serviceDeploymentArns", 20, |arn| {
            let deployment = region.service_deployments.get(arn).and_then(Option::as_ref);
            deployment.map(|it| deployment_detail(arn, it)).ok_or("MISSING".to_owned())
        })
        .map(|answer| renamed(answer, "serviceDeploymentArns", "serviceDeployments")),
        "DescribeServiceRevisions" => describe(request, "serviceRevisionArns", 20, |arn| {
            let revision = region.service_revisions.get(arn).and_then(Option::as_ref);
            revision.map(|it| revision_detail(arn, it)).ok_or("MISSING".to_owned())
        })
        .map(|answer| renamed(answer, "serviceRevisionArns", "serviceRevisions")),
        action if action.contains("Daemon") => daemons::answer(region, request)?,
        _ => return None,
    })
}

/// Whether a request lists a deleted deployment or revision, in a Region that rejects such requests.
fn names_gone(region: &Region, request: &Request) -> bool {
    let arns = ["serviceDeploymentArns", "serviceRevisionArns"].map(|name| &request.body[name]);
    let mut arns = arns.into_iter().filter_map(Value::as_array).flatten().filter_map(Value::as_str);
    let is_gone = |arn| {
        matches!(region.service_deployments.get(arn), Some(None))
            || matches!(region.service_revisions.get(arn), Some(None))
    };
    region.gone.is_some() && arns.any(is_gone)
}

/// Describes the ARNs in the request's list `names`. ECS rejects more than `most`.
pub(crate) fn describe(
    request: &Request,
    names: &str,
    most: usize,
    detail: impl Fn(&str) -> Result<Value, String>,
) -> Result<Value, ServiceError> {
    let asked = request.body[names].as_array().cloned().unwrap_or_default();
    if !(1..=most).contains(&asked.len()) {
        return Err(ServiceError::new(400, INVALID, &format!("{names} must be between 1 and {most}")));
    }
    let mut described = Vec::new();
    let mut failures = Vec::new();
    // ECS describes an ARN once, even if the request lists it twice.
    for arn in asked.iter().filter_map(Value::as_str).collect::<BTreeSet<_>>() {
        match detail(arn) {
            Ok(detail) => described.push(detail),
            Err(reason) => failures.push(json!({ "arn": arn, "reason": reason })),
        }
    }
    Ok(json!({ names: described, "failures": failures }))
}

pub(crate) fn renamed(mut answer: Value, from: &str, to: &str) -> Value {
    if let Some(described) = answer.as_object_mut().and_then(|fields| fields.remove(from)) {
        answer[to] = described;
    }
    answer
}

fn service_detail(arn: &str, service: &Service) -> Value {
    let Service {
        task_definition,
        desired_count,
        status,
        deployments,
        task_sets,
        current_revisions,
        current_deployment,
        not_described: _,
    } = service;
    // A service with ECS's own controller has at least one deployment. With another controller it has none.
    let settled = task_definition.iter().filter(|_| deployments.is_empty()).map(|it| (it.clone(), "COMPLETED"));
    let deployments: Vec<Value> = settled
        .chain(deployments.iter().cloned())
        .map(|(definition, state)| json!({ "taskDefinition": definition, "rolloutState": state, "status": "PRIMARY" }))
        .collect();
    let controller = if task_definition.is_some() { "ECS" } else { "EXTERNAL" };
    json!({
        "serviceArn": arn,
        "status": match status {
            ServiceStatus::Active => "ACTIVE",
            ServiceStatus::Draining => "DRAINING",
            ServiceStatus::Inactive => "INACTIVE",
        },
        "desiredCount": desired_count,
        "taskDefinition": task_definition,
        "deployments": deployments,
        "deploymentController": { "type": controller },
        "taskSets": task_sets.iter().map(|definition| json!({ "taskDefinition": definition })).collect::<Vec<_>>(),
        "currentServiceRevisions": current_revisions.iter().map(|arn| json!({ "arn": arn })).collect::<Vec<_>>(),
        "currentServiceDeployment": current_deployment,
    })
}

fn deployment_detail(arn: &str, deployment: &ServiceDeployment) -> Value {
    json!({
        "serviceDeploymentArn": arn,
        "serviceArn": deployment.service,
        "status": deployment.status,
        "sourceServiceRevisions": deployment.sources.iter().map(|arn| json!({ "arn": arn })).collect::<Vec<_>>(),
        "targetServiceRevision": { "arn": deployment.target },
    })
}

fn revision_detail(arn: &str, revision: &ServiceRevision) -> Value {
    json!({ "serviceRevisionArn": arn, "taskDefinition": revision.task_definition, "containerImages": container_images(&revision.images) })
}

pub(crate) fn container_images(images: &[(String, Option<String>)]) -> Vec<Value> {
    images
        .iter()
        .map(|(image, digest)| match digest {
            Some(digest) => json!({ "image": image, "imageDigest": digest }),
            None => json!({ "image": image }),
        })
        .collect()
}

fn list_families(region: &Region, request: &Request) -> Result<Value, ServiceError> {
    let status = request.body["status"].as_str().unwrap_or("ALL");
    let shown = |definition: &TaskDefinition| match definition.status {
        DefinitionStatus::Active => status != "INACTIVE",
        DefinitionStatus::Inactive => status != "ACTIVE",
        DefinitionStatus::Deleted => false,
    };
    let families = region.task_definitions.iter().filter(|(_, revisions)| revisions.values().any(shown));
    let families: Vec<String> = families.map(|(family, _)| family.clone()).collect();
    let (families, next) = page(&request.body, &families, PAGES)?;
    Ok(listing("families", families, next))
}

/// Lists task definitions by family and revision. `DESC` reverses both.
fn list_task_definitions(region: &Region, request: &Request) -> Result<Value, ServiceError> {
    let family_asked = request.body["familyPrefix"].as_str();
    let asked = match request.body["status"].as_str() {
        None | Some("ACTIVE") => DefinitionStatus::Active,
        _ => DefinitionStatus::Inactive,
    };
    let mut arns = Vec::new();
    for (family, revisions) in &region.task_definitions {
        if family_asked.is_none_or(|asked| asked == family) {
            let shown = revisions.iter().filter(|(_, definition)| definition.status == asked);
            arns.extend(shown.map(|(revision, _)| {
                format!("arn:aws:ecs:{}:{}:task-definition/{family}:{revision}", request.region, request.account)
            }));
        }
    }
    if request.body["sort"] == "DESC" {
        arns.reverse();
    }
    let (arns, next) = page(&request.body, &arns, PAGES)?;
    Ok(listing("taskDefinitionArns", arns, next))
}

fn describe_task_definition(region: &Region, request: &Request) -> Result<Value, ServiceError> {
    let arn = request.text("taskDefinition", INVALID)?;
    let definition = family_and_revision(arn)
        .and_then(|(family, revision)| region.task_definitions.get(family)?.get(&revision))
        .filter(|definition| definition.status != DefinitionStatus::Deleted)
        .ok_or_else(|| ServiceError::new(400, "ClientException", "Unable to describe task definition."))?;
    let containers: Vec<Value> = definition
        .images
        .iter()
        .map(|image| if image.is_empty() { json!({ "name": "old" }) } else { json!({ "image": image }) })
        .collect();
    let status = if definition.status == DefinitionStatus::Active { "ACTIVE" } else { "INACTIVE" };
    Ok(json!({ "taskDefinition": { "taskDefinitionArn": arn, "status": status, "containerDefinitions": containers } }))
}

fn list_service_deployments(region: &Region, request: &Request) -> Result<Value, ServiceError> {
    let cluster = cluster(region, request)?;
    let service = request.text("service", INVALID)?;
    if cluster.services.get(service).is_none_or(|service| service.status == ServiceStatus::Inactive) {
        return Err(gone(region, "ServiceNotFoundException"));
    }
    let statuses = request.body["status"].as_array();
    let listed: Vec<Value> = region
        .service_deployments
        .iter()
        .filter_map(|(arn, deployment)| Some((arn, deployment.as_ref()?)))
        .filter(|(_, deployment)| deployment.service == service)
        .filter(|(_, deployment)| statuses.is_none_or(|asked| asked.contains(&json!(deployment.status))))
        .map(|(arn, deployment)| json!({ "serviceDeploymentArn": arn, "status": deployment.status }))
        .collect();
    let (listed, next) = page(&request.body, &listed, PAGES_OF_DEPLOYMENTS)?;
    Ok(listing("serviceDeployments", listed, next))
}
