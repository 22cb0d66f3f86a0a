//! ECS in one region of one account: clusters, and in each its tasks, services and daemons; then what those lead to.

mod daemons;
mod revisions;
mod services;
mod task_definitions;
mod tasks;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aws_sdk_ecs::Client;
use aws_sdk_ecs::operation::list_clusters::ListClustersOutput;
use aws_sdk_ecs::types::Failure;
use futures::future::{join, join3};
use futures::stream::{self, StreamExt};

use super::cache::Cache;
use super::findings::{Findings, Source};
use super::snapshot::{Holder, HolderKind, holder};
use crate::aws::{CallError, Caller, Pace};
use crate::deadline::Deadline;
use crate::reference::ImageReference;
use revisions::Revision;
use services::Services;
use task_definitions::Images;

/// The most of a page of clusters, tasks, services or task definitions; the default for services is 10.
/// See <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ListServices.html>.
const PER_PAGE: i32 = 100;
/// Clusters read at a time.
const CLUSTERS_AT_ONCE: usize = 8;
/// Batches of one cluster that are described at a time: a batch takes longer to answer than its share of the quota.
const BATCHES_AT_ONCE: usize = 4;
/// The reason of a failure that only means that something is gone.
const MISSING: &str = "MISSING";

const LIST_CLUSTERS: &str = "ecs:ListClusters";

/// ECS in one region of one account, with what a run need not read twice.
#[derive(Debug)]
pub(super) struct EcsRegion {
    client: Client,
    definitions: Cache<Images>,
    revisions: Cache<Arc<Revision>>,
}

impl EcsRegion {
    pub(super) fn new(client: Client) -> Self {
        Self { client, definitions: Cache::default(), revisions: Cache::default() }
    }

    /// Finds what everything in the region uses.
    pub(super) async fn discover(&self, definitions_to_keep: u32, pace: &Pace, deadline: Deadline) -> Findings {
        let of_definitions = Caller::paced(deadline, &pace.task_definitions);
        let (mut running, newest) = join(
            self.discover_running(pace, deadline),
            task_definitions::newest(self, definitions_to_keep, of_definitions),
        )
        .await;

        let mut definitions: BTreeMap<String, Arc<Holder>> = BTreeMap::new();
        match newest {
            Ok(newest) => {
                running.findings.answered |= definitions_to_keep > 0;
                definitions.extend(newest.into_iter().map(|arn| {
                    let holder = task_definitions::held_by_family(&arn);
                    (arn, holder)
                }));
            }
            Err(error) => running.findings.fail(Source::TaskDefinitions, error),
        }
        definitions.extend(running.definitions);
        definitions.retain(|arn, _| !running.known_definitions.contains(arn));
        let described = task_definitions::describe_all(self, definitions, of_definitions).await;
        running.findings.merge(described);
        running.findings
    }

    async fn discover_running(&self, pace: &Pace, deadline: Deadline) -> Running {
        let mut running = Running::default();
        let clusters = match self.list_clusters(Caller::paced(deadline, &pace.clusters)).await {
            Ok(clusters) => clusters,
            Err(error) => {
                running.findings.fail(Source::Clusters, error);
                return running;
            }
        };
        running.findings.answered = true;
        running.findings.clusters = clusters.len();
        let caller = Caller::paced(deadline, &pace.resources);
        let mut services = Services::default();
        let mut read = stream::iter(&clusters)
            .map(|cluster| {
                join3(
                    tasks::of_cluster(self, cluster, caller),
                    services::of_cluster(self, cluster, caller),
                    daemons::of_cluster(self, cluster, caller),
                )
            })
            .buffered(CLUSTERS_AT_ONCE);
        while let Some((of_tasks, of_services, of_daemons)) = read.next().await {
            running.findings.merge(of_tasks.findings);
            running.findings.merge(of_daemons);
            running.known_definitions.extend(of_tasks.known_definitions);
            running.definitions.extend(of_tasks.needed_definitions);
            services.merge(of_services);
        }
        let of_revisions = Caller::paced(deadline, &pace.service_deployments);
        let revisions = revisions::of_services(self, &services, of_revisions).await;
        running.findings.merge(services.findings);
        running.findings.merge(revisions.findings);
        running.known_definitions.extend(revisions.known_definitions);
        let of_services = services.definitions.into_iter();
        let held = of_services.map(|(arn, service)| (arn, holder(HolderKind::EcsService, Some(&service))));
        running.definitions.extend(held);
        running
    }

    async fn list_clusters(&self, caller: Caller<'_>) -> Result<Vec<String>, CallError> {
        let listing = self.client.list_clusters().into_paginator().page_size(PER_PAGE).send();
        let mut arns = Vec::new();
        caller
            .pages(LIST_CLUSTERS, listing, ListClustersOutput::next_token, |page| {
                page.cluster_arns.map(|listed| arns.extend(listed))
            })
            .await?;
        Ok(arns)
    }
}

/// What clusters use, and the task definitions still to be described.
#[derive(Debug, Default)]
struct Running {
    findings: Findings,
    definitions: BTreeMap<String, Arc<Holder>>,
    known_definitions: BTreeSet<String>,
}

impl Services {
    fn merge(&mut self, other: Self) {
        let Self { findings, definitions, revisions, deployments, deploying } = other;
        self.findings.merge(findings);
        self.definitions.extend(definitions);
        self.revisions.extend(revisions);
        self.deployments.extend(deployments);
        self.deploying.extend(deploying);
    }
}

impl Findings {
    /// Reads a successful answer that should speak of all that was asked for, described or failed. What is MISSING went
    /// away in between, which is fine.
    fn read_answer(&mut self, source: Source, api: &'static str, asked: usize, described: usize, failures: &[Failure]) {
        self.answered = true;
        for failure in failures.iter().filter(|failure| failure.reason() != Some(MISSING)) {
            let code = failure.reason().unwrap_or("UnknownReason").to_owned();
            let message = format!("{} {}", failure.arn().unwrap_or_default(), failure.detail().unwrap_or_default());
            self.fail(source, CallError { api, code, message });
        }
        let answered = described + failures.len();
        if answered < asked {
            let message = format!("the answer speaks of {answered} of {asked} that were asked for");
            self.fail(source, CallError::unexpected(api, &message));
        }
    }
}

/// Whether an image as a task or a revision tells it has a tag. ECS may replace the tag that the task definition names by
/// the digest it was resolved to, and then the definition is not known by it.
fn names_a_tag(image: &str) -> bool {
    match image.parse() {
        Ok(ImageReference::Ecr(reference)) => reference.used_tag().is_some(),
        Ok(ImageReference::Foreign(_)) => true,
        Err(_) => false,
    }
}

/// ECS deletes a cluster only when nothing runs there, so one that is gone since it was listed uses nothing.
fn unless_the_cluster_is_gone<T: Default>(listed: Result<T, CallError>) -> Result<T, CallError> {
    match listed {
        Err(error) if error.code == "ClusterNotFoundException" => Ok(T::default()),
        listed => listed,
    }
}
