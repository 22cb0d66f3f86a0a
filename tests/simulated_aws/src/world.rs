//! The state of all accounts, and the handles with which a test changes and reads it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::calls::{Call, Calls};
use crate::clock::Clock;
use crate::daemons::StoredDaemon;
use crate::fault::Fault;
use crate::functions::StoredFunction;
use crate::image::Image;
use crate::quota::Quota;
use crate::repository::Repository;
use crate::s3::StoredBucket;
use crate::services::{DefinitionStatus, Service, ServiceDeployment, ServiceRevision, ServiceStatus, TaskDefinition};

/// A change of the account at a call.
pub(crate) type Happens = Arc<Mutex<dyn FnMut(&Call) + Send>>;

/// The latency of the answer to a call.
pub(crate) type Latency = Arc<dyn Fn(&Call) -> Duration + Send + Sync>;

/// The state of all accounts. The server and the handles share it.
#[derive(Clone)]
pub(crate) struct Shared {
    world: Arc<Mutex<World>>,
    pub(crate) clock: Clock,
}

#[derive(Default)]
pub(crate) struct World {
    pub(crate) regions: BTreeMap<(String, String), Region>,
    /// The opt status of each Region. It is the same in every account.
    pub(crate) region_statuses: BTreeMap<String, &'static str>,
    pub(crate) calls: Calls,
    pub(crate) faults: Vec<Fault>,
    pub(crate) quotas: Vec<Quota>,
    /// The latency of each answer.
    pub(crate) latency: Option<Latency>,
    /// The change before every answer.
    pub(crate) before_every_call: Option<Happens>,
    /// The caller's ARN, if a test has set it.
    pub(crate) caller: Option<String>,
    /// The roles that callers may assume, with the lifetime of their credentials.
    pub(crate) roles: BTreeMap<String, Duration>,
    /// The external ids that roles require.
    pub(crate) external_ids: BTreeMap<String, String>,
    /// The buckets of all accounts.
    pub(crate) buckets: BTreeMap<String, StoredBucket>,
    /// Whether calls note the variations of their answers.
    pub(crate) notes_variations: bool,
    /// Whether answers lack their `Date`.
    pub(crate) dateless: bool,
    /// Texts of deviations from the models that a test accepts.
    pub(crate) accepted: Vec<String>,
    /// Deviations of requests and answers from the models.
    pub(crate) complaints: Vec<String>,
}

/// One region of one account.
#[derive(Default)]
pub(crate) struct Region {
    pub(crate) repositories: BTreeMap<String, BTreeMap<String, StoredImage>>,
    /// The principals whose pulls are not recorded.
    pub(crate) pull_time_update_exclusions: BTreeSet<String>,
    /// The registry's policy.
    pub(crate) registry_policy: Option<String>,
    /// The rules that replicate images, and for some rules deletions too, to other registries.
    pub(crate) replication_rules: Vec<serde_json::Value>,
    /// The resource policies by repository.
    pub(crate) policies: BTreeMap<String, String>,
    /// The lifecycle policies by repository.
    pub(crate) lifecycle_policies: BTreeMap<String, String>,
    pub(crate) clusters: BTreeMap<String, StoredCluster>,
    /// The revisions of task definitions by family and number.
    pub(crate) task_definitions: BTreeMap<String, BTreeMap<u64, TaskDefinition>>,
    /// The error code for every deleted ECS resource. `None` for the code of each operation's own model.
    pub(crate) gone: Option<&'static str>,
    /// The service revisions by ARN; `None` for a deleted one.
    pub(crate) service_revisions: BTreeMap<String, Option<ServiceRevision>>,
    /// The service deployments by ARN; `None` for a deleted one.
    pub(crate) service_deployments: BTreeMap<String, Option<ServiceDeployment>>,
    /// The daemons by ARN; `None` if the Region has no support for daemons.
    pub(crate) daemons: Option<BTreeMap<String, StoredDaemon>>,
    pub(crate) functions: BTreeMap<String, StoredFunction>,
    /// The function ARNs of event source mappings.
    pub(crate) event_source_mappings: Vec<String>,
}

/// The tasks and services of a cluster.
#[derive(Default)]
pub(crate) struct StoredCluster {
    pub(crate) tasks: BTreeMap<String, StoredTask>,
    pub(crate) services: BTreeMap<String, Service>,
    /// The number of tasks that were ever started.
    started: usize,
}

pub(crate) struct StoredImage {
    pub(crate) image: Image,
    pub(crate) pushed_at: f64,
    pub(crate) pulled_at: Option<f64>,
    pub(crate) archived_at: Option<f64>,
    pub(crate) restored_at: Option<f64>,
}

impl StoredImage {
    /// Archives it.
    pub(crate) fn archive(&mut self, now: f64) {
        self.image.status = Some("ARCHIVED".to_owned());
        self.archived_at = Some(now);
    }
}

pub(crate) struct StoredTask {
    pub(crate) task: Task,
}

impl Shared {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { world: Arc::default(), clock }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A region of an account.
#[derive(Clone)]
pub struct Place {
    pub(crate) world: Shared,
    pub(crate) account: String,
    pub(crate) region: String,
}

/// An ECS cluster.
#[derive(Clone)]
pub struct Cluster {
    place: Place,
    pub(crate) arn: String,
    pub(crate) name: String,
}

/// An ECS task to start.
#[derive(Clone, Debug)]
pub struct Task {
    pub(crate) stopped: bool,
    pub(crate) pending: bool,
    pub(crate) started_from: Option<String>,
    pub(crate) containers: Vec<Container>,
    pub(crate) not_described: Option<String>,
}

#[derive(Clone, Debug)]
pub(crate) struct Container {
    pub(crate) image: String,
    pub(crate) image_digest: Option<String>,
}

impl Place {
    pub(crate) fn update<T>(&self, change: impl FnOnce(&mut Region) -> T) -> T {
        let mut world = self.world.lock();
        change(world.regions.entry((self.account.clone(), self.region.clone())).or_default())
    }

    /// The name of the Region.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.region
    }

    /// A repository. Creates it if it doesn't exist.
    #[must_use]
    pub fn repository(&self, name: &str) -> Repository {
        self.update(|region| _ = region.repositories.entry(name.to_owned()).or_default());
        Repository { place: self.clone(), name: name.to_owned() }
    }

    /// A cluster. Creates it if it doesn't exist.
    #[must_use]
    pub fn cluster(&self, name: &str) -> Cluster {
        let arn = format!("arn:aws:ecs:{}:{}:cluster/{name}", self.region, self.account);
        self.update(|region| _ = region.clusters.entry(arn.clone()).or_default());
        Cluster { place: self.clone(), arn, name: name.to_owned() }
    }

    /// Registers the next revision of a task definition with a container for each image, and returns its ARN. An empty
    /// text is a container without an image. Task definitions from before 2021 can have one.
    pub fn register(&self, family: &str, images: &[&str]) -> String {
        let images = images.iter().map(|image| (*image).to_owned()).collect();
        self.update(|region| {
            let revisions = region.task_definitions.entry(family.to_owned()).or_default();
            let revision = revisions.keys().next_back().map_or(1, |last| last + 1);
            revisions.insert(revision, TaskDefinition { images, status: DefinitionStatus::Active });
            format!("arn:aws:ecs:{}:{}:task-definition/{family}:{revision}", self.region, self.account)
        })
    }

    /// Deregisters a revision. It becomes INACTIVE, and ECS still describes it.
    pub fn deregister(&self, arn: &str) {
        let (family, revision) = family_and_revision(arn).expect("the ARN of a revision");
        self.update(|region| {
            let revisions = region.task_definitions.get_mut(family).expect("the family exists");
            revisions.get_mut(&revision).expect("the revision exists").status = DefinitionStatus::Inactive;
        });
    }

    /// Deletes a revision. ECS doesn't describe it any more.
    pub fn delete_definition(&self, arn: &str) {
        let (family, revision) = family_and_revision(arn).expect("the ARN of a revision");
        self.update(|region| {
            let revisions = region.task_definitions.get_mut(family).expect("the family exists");
            revisions.get_mut(&revision).expect("the revision exists").status = DefinitionStatus::Deleted;
        });
    }

    /// Creates a service revision with the digests that ECS resolved, and returns its ARN.
    pub fn service_revision(&self, task_definition: &str, images: &[(&str, Option<&str>)]) -> String {
        let images = owned(images);
        self.update(|region| {
            let number = region.service_revisions.len();
            let arn = format!("arn:aws:ecs:{}:{}:service-revision/prod/web/{number:08}", self.region, self.account);
            let revision = ServiceRevision { task_definition: task_definition.to_owned(), images };
            region.service_revisions.insert(arn.clone(), Some(revision));
            arn
        })
    }

    /// Creates a service deployment from some revisions to another, and returns its ARN.
    pub fn service_deployment(&self, service: &str, status: &'static str, from: &[&str], to: &str) -> String {
        let deployment = ServiceDeployment {
            service: service.to_owned(),
            status,
            sources: from.iter().map(|arn| (*arn).to_owned()).collect(),
            target: to.to_owned(),
        };
        self.update(|region| {
            let number = region.service_deployments.len();
            let arn = format!("arn:aws:ecs:{}:{}:service-deployment/prod/web/{number:08}", self.region, self.account);
            region.service_deployments.insert(arn.clone(), Some(deployment));
            arn
        })
    }

    /// Deletes service deployments and revisions.
    pub fn forget_deployed<'a>(&self, arns: impl IntoIterator<Item = &'a str>) {
        self.update(|region| {
            for arn in arns {
                region.service_revisions.entry(arn.to_owned()).and_modify(|revision| *revision = None);
                region.service_deployments.entry(arn.to_owned()).and_modify(|deployment| *deployment = None);
            }
        });
    }

    /// Makes ECS return this error code for every deleted resource.
    pub fn say_gone_by(&self, code: &'static str) {
        self.update(|region| region.gone = Some(code));
    }

    /// Registers a pull-time exclusion: ECR no longer records the pulls of this principal.
    pub fn exclude_pull_times_of(&self, principal_arn: &str) {
        self.update(|region| _ = region.pull_time_update_exclusions.insert(principal_arn.to_owned()));
    }

    /// Sets the registry's policy.
    pub fn set_registry_policy(&self, policy: &serde_json::Value) {
        self.update(|region| region.registry_policy = Some(policy.to_string()));
    }

    /// Adds a replication rule in the format of `PutReplicationConfiguration`. It replicates deletions. It copies no images.
    pub fn add_replication_rule(&self, rule: &serde_json::Value) {
        self.update(|region| region.replication_rules.push(rule.clone()));
    }

    /// The names of the repositories.
    #[must_use]
    pub fn repositories(&self) -> Vec<String> {
        self.update(|region| region.repositories.keys().cloned().collect())
    }
}

impl Cluster {
    /// Starts a task with one container.
    pub fn runs(&self, image: &str) -> String {
        self.start(Task::of(image))
    }

    /// Starts a task and returns its ARN.
    pub fn start(&self, task: Task) -> String {
        self.place.update(|region| {
            let StoredCluster { tasks, started, .. } = region.clusters.entry(self.arn.clone()).or_default();
            let id = format!("{started:032x}");
            *started += 1;
            let arn = format!("arn:aws:ecs:{}:{}:task/{}/{id}", self.place.region, self.place.account, self.name);
            tasks.insert(arn.clone(), StoredTask { task });
            arn
        })
    }

    /// Stops a task.
    pub fn stop(&self, task: &str) {
        self.place.update(|region| {
            let tasks = &mut region.clusters.entry(self.arn.clone()).or_default().tasks;
            tasks.get_mut(task).expect("the task runs").task.stopped = true;
        });
    }

    /// Forgets a task, as ECS does an hour after it stopped.
    pub fn forget(&self, task: &str) {
        self.place.update(|region| {
            _ = region.clusters.entry(self.arn.clone()).or_default().tasks.remove(task);
        });
    }

    /// Changes a service.
    pub fn update(&self, service: &str, to: Service) {
        self.place.update(|region| {
            let services = &mut region.clusters.entry(self.arn.clone()).or_default().services;
            *services.get_mut(service).expect("the service exists") = to;
        });
    }

    /// Deletes a service.
    pub fn delete_service(&self, service: &str) {
        self.place.update(|region| {
            let services = &mut region.clusters.entry(self.arn.clone()).or_default().services;
            services.get_mut(service).expect("the service exists").status = ServiceStatus::Inactive;
        });
    }

    /// Creates a service and returns its ARN.
    pub fn create(&self, service: Service) -> String {
        self.place.update(|region| {
            let services = &mut region.clusters.entry(self.arn.clone()).or_default().services;
            let number = services.len();
            let Place { account, region, .. } = &self.place;
            let arn = format!("arn:aws:ecs:{region}:{account}:service/{}/service-{number:05}", self.name);
            services.insert(arn.clone(), service);
            arn
        })
    }

    /// Deletes the cluster.
    pub fn delete(&self) {
        self.place.update(|region| _ = region.clusters.remove(&self.arn));
    }
}

impl Task {
    /// A running task with one container, whose digest the agent has not reported.
    #[must_use]
    pub fn of(image: &str) -> Self {
        Self::without_containers().and_container(image, None)
    }

    /// A running task with one container, for which the agent pulled this digest.
    #[must_use]
    pub fn pulled(image: &str, digest: &str) -> Self {
        Self::without_containers().and_container(image, Some(digest))
    }

    /// A task at its start. ECS lists no containers yet.
    #[must_use]
    pub fn without_containers() -> Self {
        Self { stopped: false, pending: false, started_from: None, containers: Vec::new(), not_described: None }
    }

    /// Sets its task definition.
    #[must_use]
    pub fn from_definition(mut self, arn: &str) -> Self {
        self.started_from = Some(arn.to_owned());
        self
    }

    /// Adds a container.
    #[must_use]
    pub fn and_container(mut self, image: &str, digest: Option<&str>) -> Self {
        self.containers.push(Container { image: image.to_owned(), image_digest: digest.map(str::to_owned) });
        self
    }

    /// Sets its status to PENDING.
    #[must_use]
    pub fn pending(mut self) -> Self {
        self.pending = true;
        self
    }

    /// Sets its status to STOPPED, within the last hour.
    #[must_use]
    pub fn stopped(mut self) -> Self {
        self.stopped = true;
        self
    }

    /// Makes `DescribeTasks` fail for it, with this reason. The reason is `MISSING` if the task ended after it was listed.
    #[must_use]
    pub fn not_described(mut self, reason: &str) -> Self {
        self.not_described = Some(reason.to_owned());
        self
    }
}

pub(crate) fn owned(images: &[(&str, Option<&str>)]) -> Vec<(String, Option<String>)> {
    images.iter().map(|(image, digest)| ((*image).to_owned(), digest.map(str::to_owned))).collect()
}

/// The parts of `…/family:revision`.
pub(crate) fn family_and_revision(arn: &str) -> Option<(&str, u64)> {
    let (family, revision) = arn.rsplit('/').next()?.rsplit_once(':')?;
    Some((family, revision.parse().ok()?))
}
