//! A week of nights with a memory. Workloads begin and end between the nights and during the runs. Some of the runs are
//! killed just after one of their writes.
//!
//! What a run has read as in use is kept for `keepUsedWithinDays`, also if that run was killed. A run that was killed
//! before its first write has deleted nothing, and no later run can know what it read.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ecr_cleanup_core::report::Outcome;
use fastrand::Rng;
use futures::channel::oneshot;
use serde_json::{Value, json};
use simulated_aws::{Call, Image, Place, Repository, Service, SimulatedAws, Task};

use super::cases::{chosen, each, is_whole};
use super::moving::lot_of;
use crate::memory::{BUCKET, days_pass};
use crate::support::{Limits, clients_in, deadline_in, merciless, region_of_its_own, run_with, with};

/// The number of weeks.
const WEEKS: u64 = 40;
/// Without `PROOF=whole`, one of this many weeks runs.
const SHARE: usize = 8;
const NIGHTS: u64 = 7;
/// The default of `keepUsedWithinDays`, which is longer than a week.
const DEFAULT_DAYS: u64 = 30;

/// A workload that uses an image.
struct Use {
    image: String,
    /// Whether it began during the run, which may or may not have read it.
    is_new: bool,
    end: Box<dyn FnOnce() + Send>,
}

/// The test's knowledge of the world.
#[derive(Default)]
struct Ledger {
    night: u64,
    /// The number of workloads so far, which names them.
    begun: usize,
    uses: Vec<Use>,
    /// The last night on which a run had read an image as in use when it began to write.
    read_as_used: BTreeMap<String, u64>,
    /// Images whose use began or ended during a run.
    unsure: BTreeSet<String>,
    /// The images of an index, with the index itself last, by each of them.
    families: BTreeMap<String, Vec<String>>,
    writes: usize,
    /// The run is killed after this number of writes, by this sender.
    kill: Option<(usize, oneshot::Sender<()>)>,
    /// The number of each request so far, so that events at a request don't depend on the order of others.
    made: BTreeMap<String, u32>,
}

impl Ledger {
    /// These images, and all that belong to the same indexes, where the image and the index are there.
    fn with_families(&self, images: impl Iterator<Item = String>, there: &BTreeSet<String>) -> BTreeSet<String> {
        let family = |image: String| {
            let whole = |family: &&Vec<String>| family.last().is_some_and(|index| there.contains(index));
            self.families.get(&image).filter(whole).cloned().unwrap_or_else(|| vec![image])
        };
        images.filter(|image| there.contains(image)).flat_map(family).collect()
    }

    /// The images that workloads used from the begin of the run until now.
    fn used(&self) -> impl Iterator<Item = String> {
        self.uses.iter().filter(|used| !used.is_new).map(|used| used.image.clone())
    }

    /// The images that a run had read as in use within these days.
    fn remembered(&self, days: u64) -> impl Iterator<Item = String> {
        let is_recent = move |(_, night): &(&String, &u64)| self.night - *night <= days;
        self.read_as_used.iter().filter(is_recent).map(|(image, _)| image.clone())
    }

    fn end(&mut self, number: usize) -> String {
        let Use { image, end, .. } = self.uses.swap_remove(number);
        end();
        image
    }
}

/// What happened in a week.
#[derive(Clone, Copy, Debug, Default)]
struct Week {
    deleted: usize,
    killed: usize,
    /// The images that only memory kept, counted each night on which a run ended.
    kept_by_memory: usize,
    let_go: usize,
}

/// The account of one week.
struct World {
    place: Place,
    repositories: Vec<Repository>,
    seed: u64,
}

impl World {
    fn images(&self) -> BTreeSet<String> {
        self.repositories.iter().flat_map(Repository::digests).collect()
    }

    /// Pushes a build: plain, or an index of two platforms.
    fn build(&self, ledger: &mut Ledger, rng: &mut Rng, number: u32) {
        let repository = &self.repositories[rng.usize(..self.repositories.len())];
        let content = format!("{}-{}-{number}", self.seed, ledger.night);
        let tag = format!("v{}-{number}", ledger.night);
        if rng.bool() {
            repository.push(Image::built_from(&content).and_tag(&tag).days_old(60.0));
            return;
        }
        let platforms = ["amd64", "arm64"].map(|it| Image::built_from(&format!("{content}-{it}")).days_old(60.0));
        let index = Image::index_of(&platforms).and_tag(&tag).days_old(60.0);
        let [amd64, arm64] = platforms;
        let family: Vec<String> = [amd64, arm64, index].map(|image| repository.push(image)).into();
        ledger.families.extend(family.iter().map(|image| (image.clone(), family.clone())));
    }

    /// Starts a workload of an image that is there: a task, a stopped task, a version of a function, or a service.
    fn begin(&self, ledger: &mut Ledger, rng: &mut Rng, is_new: bool) {
        let repository = &self.repositories[rng.usize(..self.repositories.len())];
        let digests: Vec<String> = repository.digests().into_iter().collect();
        let Some(image) = rng.choice(&digests).cloned() else { return };
        let (uri, name) = (repository.uri_by_digest(&image), format!("workload-{}", ledger.begun));
        ledger.begun += 1;
        let (place, cluster) = (self.place.clone(), self.place.cluster("prod"));
        let end: Box<dyn FnOnce() + Send> = match rng.u8(..4) {
            kind @ 0..=1 => {
                let task = Task::pulled(&repository.uri("moved"), &image);
                let task = cluster.start(if kind == 0 { task } else { task.stopped() });
                Box::new(move || cluster.forget(&task))
            }
            2 => {
                let function = place.function(&name, "nginx", None);
                let version = function.publish(&uri, Some(&uri));
                Box::new(move || function.delete_version(&version))
            }
            _ => {
                let service = |image: &str, resolved: Option<&str>, place: &Place| {
                    let definition = place.register(&name, &[image]);
                    let revision = place.service_revision(&definition, &[(image, resolved)]);
                    Service::of(&definition).revision(&revision)
                };
                let former = service(&uri, Some(&image), &place);
                let current = service("nginx", None, &place);
                let arn = cluster.create(former);
                Box::new(move || cluster.update(&arn, current))
            }
        };
        if is_new {
            ledger.unsure.insert(image.clone());
        }
        ledger.uses.push(Use { image, is_new, end });
    }

    /// What happens before a call of a run.
    fn happen(&self, ledger: &mut Ledger, call: &Call) {
        // The entity tags of objects depend on the name of the region.
        let request =
            if call.operation.starts_with("s3:") { call.request["Key"].clone() } else { call.request.clone() };
        let call = Call { request, ..call.clone() };
        let made = ledger.made.entry(format!("{} {}", call.operation, call.request)).or_default();
        *made += 1;
        let mut rng = Rng::with_seed(lot_of(self.seed, *made, &call));
        match rng.u8(..100) {
            0..2 => self.begin(ledger, &mut rng, true),
            2..4 if !ledger.uses.is_empty() => {
                let image = ledger.end(rng.usize(..ledger.uses.len()));
                ledger.unsure.insert(image);
            }
            _ => {}
        }
        if matches!(call.operation.as_str(), "s3:PutObject" | "ecr:BatchDeleteImage") {
            if ledger.writes == 0 {
                let night = ledger.night;
                let used: Vec<String> = ledger.used().collect();
                ledger.read_as_used.extend(used.into_iter().map(|image| (image, night)));
            }
            ledger.writes += 1;
            // This call is still carried out, and nothing after it.
            if let Some((_, kill)) = ledger.kill.take_if(|(after, _)| *after == ledger.writes) {
                _ = kill.send(());
            }
        }
    }
}

/// A seed for each night of each week.
fn seed_of(week: u64, night: u64) -> u64 {
    let mut hasher = DefaultHasher::new();
    (week, night).hash(&mut hasher);
    hasher.finish()
}

/// Lives through a week, and returns what happened or how the promise was broken.
async fn week(seed: u64) -> Result<Week, String> {
    let aws = SimulatedAws::in_memory();
    let region = region_of_its_own("sim-nights");
    aws.disable_region(simulated_aws::REGION);
    let place = aws.region(&region);
    place.bucket(BUCKET);
    let repositories = ["app", "job", "web"].map(|name| place.repository(name)).into();
    let world = Arc::new(World { place, repositories, seed });
    let ledger = Arc::new(Mutex::new(Ledger::default()));
    aws.set_latency_of(move |call| {
        let call = Call { request: call.request["repositoryName"].clone(), ..call.clone() };
        Duration::from_millis(1 + lot_of(seed, 0, &call) % 20)
    });
    let (moved, moving) = (Arc::clone(&ledger), Arc::clone(&world));
    aws.before_every_call(move |call| moving.happen(&mut moved.lock().unwrap(), call));
    let days = [DEFAULT_DAYS, DEFAULT_DAYS, 1, 3][usize::try_from(seed % 4).unwrap()];
    let mut all = Week::default();
    for night in 0..NIGHTS {
        let mut rng = Rng::with_seed(seed_of(seed, night));
        let killed = between(&world, &mut ledger.lock().unwrap(), &mut rng, night);
        let before = world.images();
        let clients = clients_in(&aws, &region).await;
        let is_dry = rng.u8(..8) == 0;
        let run = run_with(&clients, settings(is_dry, days), Limits::until(deadline_in(&aws, Duration::from_mins(15))));
        let report = tokio::select! {
            biased;
            Ok(()) = killed => None,
            report = run => Some(report.map_err(|error| format!("night {night}: it does not start: {error}"))?),
        };
        let after = world.images();
        let of_night = judge(&ledger.lock().unwrap(), (&before, &after), days, report.is_some() && !is_dry);
        let of_night = of_night.map_err(|error| format!("night {night}: {error}"))?;
        if let Some(report) = report {
            let expected = if is_dry { Outcome::Planned } else { Outcome::Completed };
            if report.outcome != expected {
                return Err(format!("night {night}: {:?}", report.outcome));
            }
        } else {
            all.killed += 1;
        }
        all.deleted += before.difference(&after).count();
        all.kept_by_memory += of_night.kept_by_memory;
        all.let_go += of_night.let_go;
        days_pass(1).await;
    }
    Ok(all)
}

fn settings(is_dry: bool, days: u64) -> Value {
    let memory = with(merciless(is_dry), &json!({ "memory": format!("s3://{BUCKET}/nightly") }));
    if days == DEFAULT_DAYS { memory } else { with(memory, &json!({ "keepUsedWithinDays": days })) }
}

/// The day before a night: builds, begins and ends. Returns the signal that kills the night's run.
fn between(world: &World, ledger: &mut Ledger, rng: &mut Rng, night: u64) -> oneshot::Receiver<()> {
    ledger.night = night;
    for number in 0..rng.u32(2..6) {
        world.build(ledger, rng, number);
    }
    for number in (0..ledger.uses.len()).rev() {
        if rng.u8(..3) == 0 {
            ledger.end(number);
        }
    }
    for _ in 0..rng.usize(0..4) {
        world.begin(ledger, rng, false);
    }
    ledger.uses.iter_mut().for_each(|used| used.is_new = false);
    ledger.writes = 0;
    let (kill, killed) = oneshot::channel();
    // No run reaches the maximum.
    let after = if rng.bool() { rng.usize(1..9) } else { usize::MAX };
    ledger.kill = Some((after, kill));
    killed
}

/// Checks a night by the images before and after it.
fn judge(
    ledger: &Ledger,
    (before, after): (&BTreeSet<String>, &BTreeSet<String>),
    days: u64,
    is_carried_out: bool,
) -> Result<Week, String> {
    let lost =
        |held: &BTreeSet<String>| held.iter().find(|image| before.contains(*image) && !after.contains(*image)).cloned();
    let in_use = ledger.with_families(ledger.used(), before);
    if let Some(image) = lost(&in_use) {
        return Err(format!("{image} is in use or belongs to an image in use, and is deleted"));
    }
    let remembered: BTreeSet<String> = ledger.remembered(days).collect();
    if let Some(image) = lost(&remembered) {
        let night = ledger.read_as_used[&image];
        return Err(format!("{image} was read as in use on night {night}, and is deleted within {days} days"));
    }
    let mut of_night = Week::default();
    if is_carried_out {
        let unsure = ledger.unsure.iter().cloned();
        let held = ledger.with_families(ledger.used().chain(remembered.iter().cloned()).chain(unsure), before);
        if let Some(image) = after.difference(&held).next() {
            return Err(format!("nothing holds {image}, and it is kept"));
        }
        of_night.kept_by_memory =
            remembered.iter().filter(|image| after.contains(*image) && !in_use.contains(*image)).count();
        let is_gone = |image: &&String| before.contains(*image) && !after.contains(*image);
        of_night.let_go = ledger.read_as_used.keys().filter(is_gone).count();
    }
    Ok(of_night)
}

#[test]
fn nothing_that_a_run_read_as_in_use_is_deleted_for_days_even_if_runs_are_killed_at_their_writes() {
    let weeks = chosen("nights", 0..WEEKS, SHARE);
    let ends = each(&weeks, async |case| week(case.of).await);
    let (mut all, mut broken) = (Week::default(), Vec::new());
    for (case, end) in weeks.iter().zip(ends) {
        match end {
            Ok(Week { deleted, killed, kept_by_memory, let_go }) => {
                all.deleted += deleted;
                all.killed += killed;
                all.kept_by_memory += kept_by_memory;
                all.let_go += let_go;
            }
            Err(error) => broken.push(format!("week {}, {error}\n  repeat with: {}", case.of, case.repeat_with)),
        }
    }
    println!("{} weeks: {all:?}", weeks.len());
    assert!(broken.is_empty(), "{} of {} weeks:\n{}", broken.len(), weeks.len(), broken.join("\n"));
    let Week { deleted, killed, kept_by_memory, let_go } = all;
    let is_alone = weeks.len() == 1;
    assert!(is_alone || [deleted, killed, kept_by_memory].iter().all(|number| *number > 0), "{all:?}");
    // Within a week, few images become older than memory keeps them.
    assert!(is_alone || !is_whole() || let_go > 0, "{all:?}");
}
