//! What exists, and the handles with which a test makes and reads it, before, during and after a run.

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
use crate::services::{DefinitionStatus, Service, ServiceDeployment, ServiceRevision, ServiceStatus, TaskDefinition};

/// Something that happens to the account at a call.
pub(crate) type Happens = Arc<Mutex<dyn FnMut(&Call) + Send>>;

/// How long the answer to a call takes.
pub(crate) type Latency = Arc<dyn Fn(&Call) -> Duration + Send + Sync>;

/// Everything that exists, shared by the server and the handles.
#[derive(Clone)]
pub(crate) struct Shared {
    world: Arc<Mutex<World>>,
    pub(crate) clock: Clock,
}

#[derive(Default)]
pub(crate) struct World {
    pub(crate) regions: BTreeMap<(String, String), Region>,
    /// The regions of every account with their opt status.
    pub(crate) region_statuses: BTreeMap<String, &'static str>,
    pub(crate) calls: Calls,
    pub(crate) faults: Vec<Fault>,
    pub(crate) quotas: Vec<Quota>,
    /// How long each answer takes.
    pub(crate) latency: Option<Latency>,
    /// What happens before every call is answered.
    pub(crate) before_every_call: Option<Happens>,
    /// Who calls, where a test has said so.
    pub(crate) caller: Option<String>,
    /// The roles that may be assumed, and how long their credentials last.
    pub(crate) roles: BTreeMap<String, Duration>,
    /// The external ids that roles ask for.
    pub(crate) external_ids: BTreeMap<String, String>,
    /// Whether it is noted how each answer may vary.
    pub(crate) notes_variations: bool,
    /// Whether answers don't tell when they were given.
    pub(crate) dateless: bool,
    /// What a test lets it answer although no model has it.
    pub(crate) accepted: Vec<String>,
    /// What was answered that AWS never would.
    pub(crate) complaints: Vec<String>,
}

/// One region of one account.
#[derive(Default)]
pub(crate) struct Region {
    pub(crate) repositories: BTreeMap<String, BTreeMap<String, StoredImage>>,
    /// The principals whose pulls are not recorded.
    pub(crate) pull_time_update_exclusions: BTreeSet<String>,
    /// The registry's own policy.
    pub(crate) registry_policy: Option<String>,
    /// The rules by which images, and deletes where they say so, go to other registries.
    pub(crate) replication_rules: Vec<serde_json::Value>,
    /// Resource policies, by repository.
    pub(crate) policies: BTreeMap<String, String>,
    /// Lifecycle policies, by repository.
    pub(crate) lifecycle_policies: BTreeMap<String, String>,
    pub(crate) clusters: BTreeMap<String, StoredCluster>,
    /// Families of task definitions, and in each its revisions.
    pub(crate) task_definitions: BTreeMap<String, BTreeMap<u64, TaskDefinition>>,
    /// The code by which ECS says that something is gone, where that is not the one of its kind.
    pub(crate) gone: Option<&'static str>,
    /// Service revisions by ARN; none where one was deleted.
    pub(crate) service_revisions: BTreeMap<String, Option<ServiceRevision>>,
    /// Service deployments by ARN; none where one was deleted.
    pub(crate) service_deployments: BTreeMap<String, Option<ServiceDeployment>>,
    /// Daemons by ARN; `None` where the region does not know them.
    pub(crate) daemons: Option<BTreeMap<String, StoredDaemon>>,
    pub(crate) functions: BTreeMap<String, StoredFunction>,
    /// The ARNs that event source mappings name.
    pub(crate) event_source_mappings: Vec<String>,
}

/// What runs in a cluster.
#[derive(Default)]
pub(crate) struct StoredCluster {
    pub(crate) tasks: BTreeMap<String, StoredTask>,
    pub(crate) services: BTreeMap<String, Service>,
    /// The tasks that there ever were.
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
    /// Moves it to archive storage.
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

/// An ECS task to be.
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

    /// The region's name.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.region
    }

    /// A repository, made if it does not exist.
    #[must_use]
    pub fn repository(&self, name: &str) -> Repository {
        self.update(|region| _ = region.repositories.entry(name.to_owned()).or_default());
        Repository { place: self.clone(), name: name.to_owned() }
    }

    /// A cluster, made if it does not exist.
    #[must_use]
    pub fn cluster(&self, name: &str) -> Cluster {
        let arn = format!("arn:aws:ecs:{}:{}:cluster/{name}", self.region, self.account);
        self.update(|region| _ = region.clusters.entry(arn.clone()).or_default());
        Cluster { place: self.clone(), arn, name: name.to_owned() }
    }

    /// Registers the next revision of a task definition with a container for each image, and returns its ARN. An empty
    /// text stands for a container without an image, as there are some from before 2021.
    pub fn register(&self, family: &str, images: &[&str]) -> String {
        let images = images.iter().map(|image| (*image).to_owned()).collect();
        self.update(|region| {
            let revisions = region.task_definitions.entry(family.to_owned()).or_default();
            let revision = revisions.keys().next_back().map_or(1, |last| last + 1);
            revisions.insert(revision, TaskDefinition { images, status: DefinitionStatus::Active });
            format!("arn:aws:ecs:{}:{}:task-definition/{family}:{revision}", self.region, self.account)
        })
    }

    /// Deregisters a revision: it becomes INACTIVE, and can still be described.
    pub fn deregister(&self, arn: &str) {
        let (family, revision) = family_and_revision(arn).expect("the ARN of a revision");
        self.update(|region| {
            let revisions = region.task_definitions.get_mut(family).expect("the family exists");
            revisions.get_mut(&revision).expect("the revision exists").status = DefinitionStatus::Inactive;
        });
    }

    /// Deletes a revision, which can't be described any more.
    pub fn delete_definition(&self, arn: &str) {
        let (family, revision) = family_and_revision(arn).expect("the ARN of a revision");
        self.update(|region| {
            let revisions = region.task_definitions.get_mut(family).expect("the family exists");
            revisions.get_mut(&revision).expect("the revision exists").status = DefinitionStatus::Deleted;
        });
    }

    /// Makes a service revision with the digests that ECS resolved, and returns its ARN.
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

    /// Makes a service deployment from some revisions to another, and returns its ARN.
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

    /// Lets ECS answer with this code where what is asked about, or what it belongs to, is gone.
    pub fn say_gone_by(&self, code: &'static str) {
        self.update(|region| region.gone = Some(code));
    }

    /// Registers a principal whose pulls are not recorded from now on.
    pub fn exclude_pull_times_of(&self, principal_arn: &str) {
        self.update(|region| _ = region.pull_time_update_exclusions.insert(principal_arn.to_owned()));
    }

    /// Sets the registry's own policy.
    pub fn set_registry_policy(&self, policy: &serde_json::Value) {
        self.update(|region| region.registry_policy = Some(policy.to_string()));
    }

    /// Adds a replication rule, as `PutReplicationConfiguration` takes it. It copies nothing that is there already.
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
    /// Runs a task of one container.
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
    /// A running task of one container. Its agent has not told a digest.
    #[must_use]
    pub fn of(image: &str) -> Self {
        Self::without_containers().and_container(image, None)
    }

    /// A running task of one container whose agent pulled this digest.
    #[must_use]
    pub fn pulled(image: &str, digest: &str) -> Self {
        Self::without_containers().and_container(image, Some(digest))
    }

    /// A task that is being set up, whose containers are not listed yet.
    #[must_use]
    pub fn without_containers() -> Self {
        Self { stopped: false, pending: false, started_from: None, containers: Vec::new(), not_described: None }
    }

    /// The task definition that it was started from.
    #[must_use]
    pub fn from_definition(mut self, arn: &str) -> Self {
        self.started_from = Some(arn.to_owned());
        self
    }

    /// One more container.
    #[must_use]
    pub fn and_container(mut self, image: &str, digest: Option<&str>) -> Self {
        self.containers.push(Container { image: image.to_owned(), image_digest: digest.map(str::to_owned) });
        self
    }

    /// It is still being set up.
    #[must_use]
    pub fn pending(mut self) -> Self {
        self.pending = true;
        self
    }

    /// It has stopped, within the last hour.
    #[must_use]
    pub fn stopped(mut self) -> Self {
        self.stopped = true;
        self
    }

    /// `DescribeTasks` answers with a failure of this reason: `MISSING` when it ended in between.
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
