//! What exists, and the handles with which a test makes and reads it, before, during and after a run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::calls::Calls;
use crate::fault::Fault;
use crate::image::{Image, SECONDS_PER_DAY};

/// Everything that exists, shared by the server and the handles.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Mutex<World>>);

#[derive(Default)]
pub(crate) struct World {
    pub(crate) regions: BTreeMap<(String, String), Region>,
    /// The regions of every account with their opt status.
    pub(crate) region_statuses: BTreeMap<String, &'static str>,
    pub(crate) calls: Calls,
    pub(crate) faults: Vec<Fault>,
    pub(crate) latency: Duration,
}

/// One region of one account.
#[derive(Default)]
pub(crate) struct Region {
    pub(crate) repositories: BTreeMap<String, BTreeMap<String, StoredImage>>,
    pub(crate) clusters: BTreeMap<String, BTreeMap<String, StoredTask>>,
}

pub(crate) struct StoredImage {
    pub(crate) image: Image,
    pub(crate) pushed_at: f64,
    pub(crate) pulled_at: Option<f64>,
}

pub(crate) struct StoredTask {
    pub(crate) task: Task,
}

impl Shared {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(World::default())))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A region of an account.
#[derive(Clone)]
pub struct Place {
    pub(crate) world: Shared,
    pub(crate) account: String,
    pub(crate) region: String,
}

/// A repository.
#[derive(Clone)]
pub struct Repository {
    place: Place,
    name: String,
}

/// An ECS cluster.
#[derive(Clone)]
pub struct Cluster {
    place: Place,
    arn: String,
    name: String,
}

/// An ECS task to be.
#[derive(Clone, Debug)]
pub struct Task {
    pub(crate) stopped: bool,
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

    /// The names of the repositories.
    #[must_use]
    pub fn repositories(&self) -> Vec<String> {
        self.update(|region| region.repositories.keys().cloned().collect())
    }
}

impl Repository {
    /// Pushes an image as `docker push` does: a tag that it brings leaves the image that had it.
    pub fn push(&self, image: Image) -> String {
        let digest = image.digest.clone();
        self.update(|images| {
            for stored in images.values_mut() {
                stored.image.tags.retain(|tag| !image.tags.contains(tag));
            }
            store(images, image);
        });
        digest
    }

    /// Pushes many images, none of whose tags exists yet.
    pub fn push_all(&self, new: impl IntoIterator<Item = Image>) {
        self.update(|images| new.into_iter().for_each(|image| store(images, image)));
    }

    /// Pushes images `v1`, the oldest, to `v<count>`, a day old, one for every day.
    #[must_use]
    pub fn daily_builds(self, count: u32) -> Self {
        let build = |build| Image::tagged(&format!("v{build}")).days_old(f64::from(count - build + 1));
        self.push_all((1..=count).map(build));
        self
    }

    /// What a workload names to run this tag.
    #[must_use]
    pub fn uri(&self, tag: &str) -> String {
        format!("{}:{tag}", self.name_with_registry())
    }

    /// What a workload names to run this digest.
    #[must_use]
    pub fn uri_by_digest(&self, digest: &str) -> String {
        format!("{}@{digest}", self.name_with_registry())
    }

    /// The repository with its registry's host.
    #[must_use]
    pub fn name_with_registry(&self) -> String {
        let Place { account, region, .. } = &self.place;
        format!("{account}.dkr.ecr.{region}.amazonaws.com/{}", self.name)
    }

    /// All tags that exist.
    #[must_use]
    pub fn tags(&self) -> BTreeSet<String> {
        self.update(|images| images.values().flat_map(|stored| stored.image.tags.clone()).collect())
    }

    /// All images that exist.
    #[must_use]
    pub fn digests(&self) -> BTreeSet<String> {
        self.update(|images| images.keys().cloned().collect())
    }

    /// The image that a tag names.
    #[must_use]
    pub fn digest_of(&self, tag: &str) -> String {
        self.update(|images| {
            let named = images.iter().find(|(_, stored)| stored.image.tags.contains(tag));
            named.map_or_else(|| panic!("no image has the tag {tag}"), |(digest, _)| digest.clone())
        })
    }

    /// Gives the image that has one tag another, which leaves the image that had it.
    pub fn retag(&self, from: &str, to: &str) {
        let digest = self.digest_of(from);
        self.update(|images| {
            for (other, stored) in images {
                stored.image.tags.remove(to);
                if *other == digest {
                    stored.image.tags.insert(to.to_owned());
                }
            }
        });
    }

    /// Deletes an image, as somebody else would.
    pub fn delete(&self, digest: &str) {
        self.update(|images| _ = images.remove(digest));
    }

    /// Deletes the repository with all its images.
    pub fn delete_repository(&self) {
        self.place.update(|region| _ = region.repositories.remove(&self.name));
    }

    fn update<T>(&self, change: impl FnOnce(&mut BTreeMap<String, StoredImage>) -> T) -> T {
        self.place.update(|region| change(region.repositories.entry(self.name.clone()).or_default()))
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
            let tasks = region.clusters.entry(self.arn.clone()).or_default();
            let id = format!("{:032x}", tasks.len());
            let arn = format!("arn:aws:ecs:{}:{}:task/{}/{id}", self.place.region, self.place.account, self.name);
            tasks.insert(arn.clone(), StoredTask { task });
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
        Self { stopped: false, containers: Vec::new(), not_described: None }.and_container(image, None)
    }

    /// A running task of one container whose agent pulled this digest.
    #[must_use]
    pub fn pulled(image: &str, digest: &str) -> Self {
        Self { stopped: false, containers: Vec::new(), not_described: None }.and_container(image, Some(digest))
    }

    /// One more container.
    #[must_use]
    pub fn and_container(mut self, image: &str, digest: Option<&str>) -> Self {
        self.containers.push(Container { image: image.to_owned(), image_digest: digest.map(str::to_owned) });
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

fn store(images: &mut BTreeMap<String, StoredImage>, mut image: Image) {
    let now = now();
    let pushed_at = now - image.age_in_days * SECONDS_PER_DAY;
    let pulled_at = image.pulled_days_ago.map(|days| now - days * SECONDS_PER_DAY);
    // What is pushed again keeps the tags it has.
    image.tags.extend(images.get(&image.digest).into_iter().flat_map(|stored| stored.image.tags.clone()));
    images.insert(image.digest.clone(), StoredImage { image, pushed_at, pulled_at });
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
