//! Reads ECS in one region of one account: clusters, in each its tasks, services and daemons, and then the definitions
//! and revisions that these use.

mod daemons;
mod revisions;
mod services;
mod task_definitions;
mod tasks;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_sdk_ecs::Client;
use aws_sdk_ecs::operation::list_clusters::ListClustersOutput;
use aws_sdk_ecs::types::Failure;
use ecr_cleanup_core::call_error::CallError;
use ecr_cleanup_core::reference::ImageReference;
use ecr_cleanup_core::usage::{Holder, HolderKind};
use futures::FutureExt;
use futures::future::{join, join3};

use super::{Reader, Source};
use crate::aws::{Quota, paced_client};
use services::{Deployed, ServiceArn};

/// The maximum page size for clusters, tasks, services and task definitions. The default for services is 10.
/// See <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ListServices.html>.
const PER_PAGE: i32 = 100;
/// Clusters read at a time.
const CLUSTERS_AT_ONCE: usize = 8;
/// Batches of one cluster that are described at a time. The answer to a batch takes longer than the interval of its
/// quota.
const BATCHES_AT_ONCE: usize = 4;
/// The reason of a failure that only means that the item does not exist.
const MISSING: &str = "MISSING";

const CLUSTERS: &str = "ECS clusters";
const TASKS: &str = "ECS tasks";
const DAEMONS: &str = "ECS daemons";
const SERVICES: &str = "ECS services";
const TASK_DEFINITIONS: &str = "ECS task definitions";

/// An ECS task, running, starting or just stopped.
const TASK: HolderKind = HolderKind::new(0, "ECS task");
/// An ECS service, by a task definition of itself, its deployments or its task sets.
const SERVICE: HolderKind = HolderKind::new(1, "ECS service");
/// A revision of an ECS service, with the digests to which ECS pinned its images.
const SERVICE_REVISION: HolderKind = HolderKind::new(2, "ECS service revision");
/// One of the newest ACTIVE revisions of a task definition's family.
const TASK_DEFINITION: HolderKind = HolderKind::new(3, "ECS task definition");
/// An ECS daemon.
const DAEMON: HolderKind = HolderKind::new(4, "ECS daemon");

const LIST_CLUSTERS: &str = "ecs:ListClusters";

/// The bursts and refill rates are from
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/request-throttling.html>. The quota of the daemons'
/// operations is not published; they are counted with the tasks' and services'.
pub(super) static SOURCE: Source = Source {
    id: "ecs",
    parts: &[CLUSTERS, TASKS, DAEMONS, SERVICES, TASK_DEFINITIONS],
    quotas: &[
        Quota::share_of(50, 20, &[LIST_CLUSTERS]),
        Quota::share_of(
            100,
            20,
            &[
                tasks::LIST_TASKS,
                tasks::DESCRIBE_TASKS,
                services::LIST_SERVICES,
                services::DESCRIBE_SERVICES,
                daemons::LIST_DAEMONS,
                daemons::DESCRIBE_DAEMON,
                daemons::LIST_DAEMON_DEPLOYMENTS,
                daemons::DESCRIBE_DAEMON_DEPLOYMENTS,
                daemons::DESCRIBE_DAEMON_REVISIONS,
            ],
        ),
        Quota::share_of(
            50,
            20,
            &[
                task_definitions::LIST_FAMILIES,
                task_definitions::LIST_TASK_DEFINITIONS,
                task_definitions::DESCRIBE_TASK_DEFINITION,
            ],
        ),
        Quota::share_of(
            50,
            20,
            &[
                revisions::LIST_SERVICE_DEPLOYMENTS,
                revisions::DESCRIBE_SERVICE_DEPLOYMENTS,
                revisions::DESCRIBE_SERVICE_REVISIONS,
            ],
        ),
    ],
    read: |reader| read(reader).boxed_local(),
};

/// The state of one reading of ECS.
struct Ecs<'a> {
    reader: &'a Reader<'a>,
    client: Client,
    definitions: Mutex<Definitions>,
}

/// The task definitions from which workloads start tasks, and those whose images are known without reading them.
#[derive(Default)]
struct Definitions {
    needed: BTreeMap<String, Need>,
    known: BTreeSet<String>,
}

/// Why a task definition has to be read.
struct Need {
    /// The workload that is reported as the user of its images.
    holder: Arc<Holder>,
    /// All resources that refer to it.
    named_by: BTreeSet<Namer>,
}

impl Need {
    /// The definition is one of the newest of its family.
    fn of_family(arn: &str) -> Self {
        let holder = Holder::of_arn(&TASK_DEFINITION, Some(arn));
        Self { holder, named_by: BTreeSet::from([Namer::Family]) }
    }
}

/// A resource that refers to a task definition.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Namer {
    /// A service, which starts tasks from it.
    Service(ServiceArn),
    /// A task in this cluster, which was started from it and has not stopped.
    Task { cluster: String, arn: String },
    /// A task that has stopped.
    StoppedTask,
    /// A service revision. No task starts from it once the definition is deleted.
    Revision,
    /// The listing of the ACTIVE ones.
    Family,
}

/// Finds the images of all workloads in the region.
async fn read(reader: &Reader<'_>) -> Result<(), CallError> {
    let ecs = Ecs { reader, client: reader.client(paced_client!(aws_sdk_ecs)), definitions: Mutex::default() };
    let (running, newest) = join(ecs.read_clusters(), task_definitions::newest(&ecs)).await;
    if let Err(error) = running {
        reader.fail(CLUSTERS, error);
    }
    let Definitions { mut needed, known } = std::mem::take(&mut *ecs.definitions());
    match newest {
        // Reports show the workload of a definition rather than its family.
        Ok(newest) => newest.into_iter().for_each(|arn| {
            let need = Need::of_family(&arn);
            needed.entry(arn).or_insert(need).named_by.insert(Namer::Family);
        }),
        Err(error) => reader.fail(TASK_DEFINITIONS, error),
    }
    needed.retain(|arn, _| !known.contains(arn));
    task_definitions::describe_all(&ecs, needed).await;
    Ok(())
}

impl Ecs<'_> {
    fn definitions(&self) -> MutexGuard<'_, Definitions> {
        self.definitions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A task definition has to be read for `holder`, which starts tasks from it. A service precedes a task, and the
    /// first by name precedes others, so that the order of answers doesn't matter.
    fn needs_definition(&self, arn: &str, holder: &Arc<Holder>, namer: Namer) {
        let mut definitions = self.definitions();
        let need = || Need { holder: Arc::clone(holder), named_by: BTreeSet::new() };
        let Need { holder: known, named_by } = definitions.needed.entry(arn.to_owned()).or_insert_with(need);
        if known.kind < holder.kind || (known.kind == holder.kind && holder.name < known.name) {
            *known = Arc::clone(holder);
        }
        named_by.insert(namer);
    }

    fn knows_definition(&self, arn: &str) {
        self.definitions().known.insert(arn.to_owned());
    }

    async fn read_clusters(&self) -> Result<(), CallError> {
        let clusters = self.clusters().await?;
        self.reader.count("ECS clusters", clusters.len());
        let read = async |cluster: &String| {
            let of_cluster = join3(
                tasks::of_cluster(self, cluster),
                services::of_cluster(self, cluster),
                daemons::of_cluster(self, cluster),
            );
            Ok(of_cluster.await.1)
        };
        let deployed = self.reader.each(CLUSTERS, &clusters, CLUSTERS_AT_ONCE, read).await;
        revisions::of_services(self, Deployed::all(deployed)).await;
        Ok(())
    }

    /// Requests an item in a cluster, which may be deleted in the meantime.
    async fn in_cluster<T>(&self, cluster: &str, ask: impl AsyncFn() -> Result<T, CallError>) -> Result<T, CallError> {
        self.reader.settled(ask, async || Ok(self.clusters().await?.contains(cluster))).await
    }

    async fn clusters(&self) -> Result<BTreeSet<String>, CallError> {
        let page_at = |token| self.client.list_clusters().max_results(PER_PAGE).set_next_token(token).send();
        let mut arns = BTreeSet::new();
        self.reader
            .calls
            .pages_by_token(LIST_CLUSTERS, page_at, ListClustersOutput::next_token, |page| {
                arns.extend(page.cluster_arns?);
                Some(ControlFlow::Continue(()))
            })
            .await?;
        Ok(arns)
    }

    /// Checks that a successful answer covers all requested items, described or failed. An item that is MISSING was
    /// deleted in the meantime, which is no failure.
    fn check_answer<'b>(
        &self,
        part: &'static str,
        api: &'static str,
        asked: usize,
        described: impl Iterator<Item = Option<&'b str>>,
        failures: &'b [Failure],
    ) {
        for failure in failures.iter().filter(|failure| failure.reason() != Some(MISSING)) {
            let code = failure.reason().unwrap_or("UnknownReason");
            let message = format!("{} {}", failure.arn().unwrap_or_default(), failure.detail().unwrap_or_default());
            self.reader.fail(part, CallError::new(api, code, message));
        }
        // Repeated items count once, because the answer may omit others.
        let answered =
            described.chain(failures.iter().map(Failure::arn)).filter_map(told).collect::<BTreeSet<_>>().len();
        if answered < asked {
            let message = format!("the answer covers {answered} of {asked} requested items");
            self.reader.fail(part, CallError::unexpected(api, &message));
        }
    }
}

/// The ARNs of the items in an answer, if each has one.
fn arns_of<'a>(
    api: &'static str,
    of: &str,
    listed: impl IntoIterator<Item = Option<&'a str>>,
) -> Result<Vec<String>, CallError> {
    let no_arn = || CallError::unexpected(api, &format!("an item of {of} has no ARN"));
    listed.into_iter().map(|arn| told(arn).map(str::to_owned).ok_or_else(no_arn)).collect()
}

/// An optional text in an answer. An empty text counts as absent.
fn told(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.is_empty())
}

/// Whether a task or revision refers to its image by a tag. ECS may replace the definition's tag by the digest to which
/// it was resolved. Then the image of the definition is not known from it.
fn names_a_tag(image: &str) -> bool {
    match image.parse() {
        Ok(ImageReference::Ecr(reference)) => reference.used_tag().is_some(),
        Ok(ImageReference::Foreign(_)) => true,
        Err(_) => false,
    }
}
