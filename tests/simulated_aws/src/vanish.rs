//! Deletions by other users between two calls.

use std::collections::BTreeSet;

use crate::services::{Service, ServiceDeployment, ServiceRevision};
use crate::world::{Place, Region, family_and_revision};

/// A resource that can be listed and deleted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Thing {
    /// A repository by its name.
    Repository(String),
    /// An image by its repository and its digest.
    Image(String, String),
    /// A version of a function, by the function's ARN.
    Version(String, String),
    /// An ECS resource or a function by its ARN.
    Arn(String),
}

impl Place {
    /// Deletes a resource, and returns whether it existed.
    pub fn vanish(&self, thing: &Thing) -> bool {
        self.update(|region| match thing {
            Thing::Repository(name) => region.repositories.remove(name).is_some(),
            Thing::Image(name, digest) => {
                region.repositories.get_mut(name).is_some_and(|images| images.remove(digest).is_some())
            }
            Thing::Version(function, version) => {
                region.functions.get_mut(function).is_some_and(|function| function.remove_version(version))
            }
            Thing::Arn(arn) => by_arn(region, arn),
        })
    }
}

/// Deletes the services that use this task definition, service revision or service deployment. AWS deletes none of these
/// while a service uses it.
fn delete_services_made_of(region: &mut Region, arn: &str) {
    let mut named = BTreeSet::from([arn.to_owned()]);
    let is_made_of_it = |revision: &ServiceRevision| revision.task_definition == arn;
    let made_of_it =
        region.service_revisions.iter().filter(|(_, revision)| revision.as_ref().is_some_and(is_made_of_it));
    named.extend(made_of_it.map(|(revision, _)| revision.clone()));
    let is_named = |deployment: &&ServiceDeployment| {
        deployment.sources.iter().chain([&deployment.target]).any(|revision| named.contains(revision))
    };
    let deployed: BTreeSet<String> = region
        .service_deployments
        .values()
        .flatten()
        .filter(is_named)
        .map(|deployment| deployment.service.clone())
        .collect();
    for cluster in region.clusters.values_mut() {
        let is_made_of_it = |service: &Service| named.iter().any(|arn| service.is_made_of(arn));
        cluster.services.retain(|arn, service| !deployed.contains(arn) && !is_made_of_it(service));
    }
}

fn by_arn(region: &mut Region, arn: &str) -> bool {
    let resource = arn.splitn(6, ':').nth(5).unwrap_or_default();
    let kind = resource.split([':', '/']).next().unwrap_or_default();
    if ["task-definition", "service-deployment", "service-revision"].contains(&kind) {
        delete_services_made_of(region, arn);
    }
    match kind {
        "cluster" => region.clusters.remove(arn).is_some(),
        "task" => region.clusters.values_mut().any(|cluster| cluster.tasks.remove(arn).is_some()),
        "service" => region.clusters.values_mut().any(|cluster| cluster.services.remove(arn).is_some()),
        "task-definition" => family_and_revision(arn).is_some_and(|(family, revision)| {
            region.task_definitions.get_mut(family).is_some_and(|revisions| revisions.remove(&revision).is_some())
        }),
        "service-deployment" => region.service_deployments.remove(arn).is_some(),
        "service-revision" => region.service_revisions.remove(arn).is_some(),
        "daemon" => region.daemons.as_mut().is_some_and(|daemons| {
            // ECS deletes a daemon with its revisions and deployments.
            let daemon = arn.split("/revision").next().and_then(|arn| arn.split("/deployment").next());
            daemon.is_some_and(|daemon| daemons.remove(daemon).is_some())
        }),
        "function" => region.functions.remove(arn).is_some(),
        _ => false,
    }
}
