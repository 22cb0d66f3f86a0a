//! An estate of 200 environments, which are created for a branch and deleted with it. At every second call some of
//! them, or parts of them, are created or deleted. A run continues, and every image in use at a delete is kept.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ecr_cleanup::discovery::FreshnessLimits;
use ecr_cleanup_core::report::Outcome;
use fastrand::Rng;
use serde_json::json;
use simulated_aws::{Call, Cluster, Image, Place, REGION, Repository, Service, SimulatedAws, Task};

use super::cases::{chosen, each, number_in};
use super::moving::{digests_of, lot_of};
use crate::support::{Limits, clients_in, deadline_in, merciless, region_of_its_own, run_with, with};

/// The number of estates, unless `ESTATES` sets it.
const ESTATES: u64 = 8;
/// Without `PROOF=whole`, one of this many estates runs.
const SHARE: usize = 16;
const ENVIRONMENTS: usize = 200;
/// The number of environments that change. The others never do.
const PASSING: usize = ENVIRONMENTS / 10;
/// Images that nothing ever uses.
const STALE: usize = 220;

/// The task definition from which a service starts tasks.
#[derive(Clone)]
struct Deployed {
    image: String,
    definition: String,
    revision: String,
}

/// An existing environment.
struct Environment {
    name: String,
    cluster: Cluster,
    service: Option<String>,
    current: Deployed,
    /// During a deployment: the deployment and its rollback target.
    deploying: Option<(String, Deployed)>,
    /// Tasks outside of services, each with its image.
    jobs: BTreeMap<String, String>,
    stopped: Vec<String>,
}

/// The estate, and the test's knowledge of it.
struct Estate {
    place: Place,
    app: Repository,
    seed: u64,
    /// Environments that change at a time.
    at_once: usize,
    pushed: usize,
    founded: usize,
    calls: usize,
    made: HashMap<String, u32>,
    staying: Vec<Environment>,
    passing: Vec<Environment>,
    /// The names of deleted environments, which are created again.
    gone: Vec<String>,
    /// The images of idle families.
    idle: BTreeSet<String>,
    deleted: BTreeSet<String>,
    broken: Vec<String>,
}

impl Estate {
    fn found(place: Place, seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let mut estate = Self {
            app: place.repository("app"),
            place,
            seed,
            at_once: [1, 3, PASSING][rng.usize(..3)],
            pushed: 0,
            founded: 0,
            calls: 0,
            made: HashMap::new(),
            staying: Vec::new(),
            passing: Vec::new(),
            gone: Vec::new(),
            idle: BTreeSet::new(),
            deleted: BTreeSet::new(),
            broken: Vec::new(),
        };
        for number in 0..ENVIRONMENTS {
            let environment = estate.come(&mut rng, 9.0);
            if number % 10 == 0 { &mut estate.passing } else { &mut estate.staying }.push(environment);
        }
        for number in 0..20 {
            let image = estate.push(9.0);
            estate.place.register(&format!("idle-{number}"), &[&estate.app.uri_by_digest(&image)]);
            estate.idle.insert(image);
        }
        (0..STALE).for_each(|_| _ = estate.push(9.0));
        if let Some(code) = rng.choice([None, Some("ClientException"), Some("InvalidParameterException")]).flatten() {
            estate.place.say_gone_by(code);
        }
        estate
    }

    /// Pushes an image and returns its digest.
    fn push(&mut self, days: f64) -> String {
        self.pushed += 1;
        let image = Image::built_from(&format!("{}-{}", self.seed, self.pushed));
        let digest = image.digest().to_owned();
        self.app.push_all([image.and_tag(&format!("t{}", self.pushed)).days_old(days)]);
        digest
    }

    /// Registers a separate image for an environment, by tag or by digest.
    fn deployed(&mut self, rng: &mut Rng, name: &str, days: f64) -> Deployed {
        let image = self.push(days);
        let uri = if rng.bool() { self.app.uri(&format!("t{}", self.pushed)) } else { self.app.uri_by_digest(&image) };
        let definition = self.place.register(name, &["nginx", &uri]);
        let digest = rng.bool().then_some(image.as_str());
        let revision = self.place.service_revision(&definition, &[("nginx", None), (&uri, digest)]);
        Deployed { image, definition, revision }
    }

    /// Creates an environment.
    fn come(&mut self, rng: &mut Rng, days: f64) -> Environment {
        let name = match self.gone.pop() {
            Some(name) if rng.bool() => name,
            _ => {
                self.founded += 1;
                format!("branch-{}", self.founded)
            }
        };
        let cluster = self.place.cluster(&name);
        let current = self.deployed(rng, &name, days);
        let service = Service::of(&current.definition).revision(&current.revision);
        let service = service.deployment(&current.definition, "COMPLETED");
        let service = Some(cluster.create(if rng.bool() { service } else { service.at_zero() }));
        if rng.bool() {
            self.place.deregister(&current.definition);
        }
        let mut environment = Environment {
            name,
            cluster,
            service,
            current,
            deploying: None,
            jobs: BTreeMap::new(),
            stopped: Vec::new(),
        };
        if rng.bool() {
            self.run_job(rng, &mut environment, days);
        }
        if rng.u8(..4) == 0 {
            self.deploy(rng, &mut environment, days);
        }
        environment
    }

    /// Runs a task with its own image. The task may still be starting.
    fn run_job(&mut self, rng: &mut Rng, environment: &mut Environment, days: f64) {
        let image = self.push(days);
        let uri = self.app.uri_by_digest(&image);
        let family = format!("{}-job", environment.name);
        let definition = self.place.register(&family, &[&uri]);
        let task = if rng.bool() { Task::of(&uri) } else { Task::without_containers().pending() };
        let task = environment.cluster.start(task.from_definition(&definition));
        self.place.deregister(&definition);
        environment.jobs.insert(task, image);
    }

    fn deploy(&mut self, rng: &mut Rng, environment: &mut Environment, days: f64) {
        let Some(service) = environment.service.clone().filter(|_| environment.deploying.is_none()) else {
            return;
        };
        let new = self.deployed(rng, &environment.name, days);
        let old = std::mem::replace(&mut environment.current, new);
        let new = &environment.current;
        let deployment = self.place.service_deployment(&service, "IN_PROGRESS", &[&old.revision], &new.revision);
        let to = Service::of(&new.definition).revision(&new.revision).current_deployment(&deployment);
        let to = to.deployment(&new.definition, "IN_PROGRESS").deployment(&old.definition, "COMPLETED");
        environment.cluster.update(&service, to);
        environment.deploying = Some((deployment, old));
    }

    /// Ends a deployment, by completion or rollback.
    fn settle(&self, rng: &mut Rng, environment: &mut Environment) {
        let (Some(service), Some((deployment, old))) = (&environment.service, environment.deploying.take()) else {
            return;
        };
        let left = if rng.bool() { old } else { std::mem::replace(&mut environment.current, old) };
        let Deployed { definition, revision, .. } = &environment.current;
        let to = Service::of(definition).revision(revision).deployment(definition, "COMPLETED");
        environment.cluster.update(service, to);
        self.place.forget_deployed([&*deployment, &*left.revision]);
        self.leave(rng, &left.definition);
    }

    /// Deregisters a definition from which no workload starts tasks any more, and may delete it.
    fn leave(&self, rng: &mut Rng, definition: &str) {
        self.place.deregister(definition);
        if rng.bool() {
            self.place.delete_definition(definition);
        }
    }

    fn delete_service(&self, rng: &mut Rng, environment: &mut Environment) {
        self.settle(rng, environment);
        if let Some(service) = environment.service.take() {
            environment.cluster.delete_service(&service);
            self.place.forget_deployed([&*environment.current.revision]);
            self.leave(rng, &environment.current.definition);
        }
    }

    /// Changes one of the changing environments: deletes it, or creates or deletes a part of it.
    fn change(&mut self, rng: &mut Rng) {
        if self.passing.is_empty() || (self.passing.len() < PASSING && rng.bool()) {
            let environment = self.come(rng, 0.0);
            return self.passing.push(environment);
        }
        let mut environment = self.passing.swap_remove(rng.usize(..self.passing.len()));
        match rng.u8(..8) {
            0..2 => {
                self.delete_service(rng, &mut environment);
                environment.cluster.delete();
                return self.gone.push(environment.name);
            }
            2 => self.delete_service(rng, &mut environment),
            3 => self.run_job(rng, &mut environment, 0.0),
            4 => {
                if let Some((task, _)) = environment.jobs.pop_first() {
                    environment.cluster.stop(&task);
                    environment.stopped.push(task);
                }
            }
            5 => environment.stopped.drain(..).for_each(|task| environment.cluster.forget(&task)),
            6 => self.deploy(rng, &mut environment, 0.0),
            _ => self.settle(rng, &mut environment),
        }
        self.passing.push(environment);
    }

    /// The images in use.
    fn used(&self) -> BTreeSet<&String> {
        let environments = self.staying.iter().chain(&self.passing);
        let of_environments = environments.flat_map(|Environment { service, current, deploying, jobs, .. }| {
            let deployed = service.iter().map(|_| &current.image);
            deployed.chain(deploying.iter().map(|(_, old)| &old.image)).chain(jobs.values())
        });
        of_environments.chain(&self.idle).collect()
    }

    /// Makes the changes before this call is answered.
    fn happen(&mut self, call: &Call) {
        self.calls += 1;
        let made = self.made.entry(format!("{} {}", call.operation, call.request)).or_default();
        *made += 1;
        let mut rng = Rng::with_seed(lot_of(self.seed, *made, call));
        if self.calls.is_multiple_of(2) {
            (0..self.at_once).for_each(|_| self.change(&mut rng));
        }
        if call.operation == "ecr:BatchDeleteImage" {
            let digests = digests_of(call);
            let used = self.used();
            let lost = digests.iter().filter(|digest| used.contains(digest));
            let lost: Vec<String> = lost.map(|digest| format!("{digest} is in use, and deleted")).collect();
            self.broken.extend(lost);
            self.deleted.extend(digests);
        }
    }
}

async fn run_in(seed: u64) -> Result<usize, String> {
    let aws = SimulatedAws::in_memory();
    let region = region_of_its_own("sim-environments");
    aws.disable_region(REGION);
    let estate = Arc::new(Mutex::new(Estate::found(aws.region(&region), seed)));
    aws.set_latency_of(move |call| Duration::from_millis(1 + lot_of(seed, 0, call) % 20));
    let moved = Arc::clone(&estate);
    aws.before_every_call(move |call| moved.lock().unwrap().happen(call));

    let clients = clients_in(&aws, &region).await;
    let freshness = match seed % 2 {
        0 => FreshnessLimits::CONTRACT,
        // Usage is read again before each batch.
        _ => FreshnessLimits { max_age: Duration::ZERO, ..FreshnessLimits::CONTRACT },
    };
    let limits = Limits { freshness, ..Limits::until(deadline_in(&aws, Duration::from_mins(15))) };
    // Images pushed since usage was read may be in use by now.
    let settings = with(merciless(false), &json!({ "keepPushedWithinDays": 1 }));
    let report = run_with(&clients, settings, limits).await.map_err(|error| format!("it does not start: {error}"))?;
    let estate = estate.lock().unwrap();
    let of_report = (report.outcome != Outcome::Completed).then(|| format!("{:?}", report.outcome));
    let too_few = (estate.deleted.len() < STALE).then(|| format!("deleted only {}", estate.deleted.len()));
    match estate.broken.first().cloned().or(of_report).or(too_few) {
        None => Ok(estate.deleted.len()),
        Some(broken) => Err(broken),
    }
}

#[test]
fn an_estate_whose_environments_come_and_go_is_cleaned_in_one_run() {
    let only = number_in("PROOF_CASE").map(|seed| seed + 1);
    let seeds = 0..number_in("ESTATES").or(only).unwrap_or(ESTATES);
    let estates = chosen("environments", seeds, SHARE);
    let ends = each(&estates, async |estate| run_in(estate.of).await);
    let failed = |(estate, end): (&super::cases::Case<u64>, Result<usize, String>)| {
        end.err().map(|error| format!("seed {}: {error}\n  repeat with: {}", estate.of, estate.repeat_with))
    };
    let broken: Vec<String> = estates.iter().zip(ends).filter_map(failed).collect();
    assert!(broken.is_empty(), "{} estates:\n{}", broken.len(), broken.join("\n"));
}
