//! The world changes between any two calls of a run: users push, retag, deploy, scale out, stop and delete.
//!
//! The promise refers to the images in use when each delete was sent: every image that was in use at the last reading
//! of usage, and still is, is kept. An image that came into use since then can be lost. AWS has no conditional delete,
//! so that window can't be closed. It is at most as long as the age limit of usage, and this test counts such images.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ecr_cleanup::discovery::FreshnessLimits;
use ecr_cleanup_core::plan::ImageResult;
use ecr_cleanup_core::report::{Outcome, Report};
use fastrand::Rng;
use serde_json::{Value, json};
use simulated_aws::{Call, Image, Place, Repository, Service, SimulatedAws, Task};

use super::cases::{chosen, each, is_whole, number_in};
use crate::support::{Limits, clients_in, deadline_in, region_of_its_own, run_with};

/// The number of worlds, unless `WORLDS` sets it.
const WORLDS: u64 = 1_000;
/// Without `PROOF=whole`, one of this many worlds runs.
const SHARE: usize = 16;

/// The reference of a workload.
#[derive(Clone, Debug)]
enum Named {
    Tag(String),
    Digest(String),
}

/// A use of an image, by the number of the call before which it began.
#[derive(Clone, Debug)]
struct Use {
    named: Named,
    since: usize,
}

/// The children of an image, and its subject.
type Relations = (Vec<String>, Option<String>);

/// Extends a set by its consequences until nothing is added.
fn grow(set: &mut BTreeSet<String>, more: impl Fn(&BTreeSet<String>) -> Vec<String>) {
    let mut before = usize::MAX;
    while set.len() != before {
        before = set.len();
        let further = more(set);
        set.extend(further);
    }
}

/// The test's knowledge of the world, which is more than the run's.
#[derive(Default)]
struct Ledger {
    /// Calls so far.
    calls: usize,
    /// The number of each request so far, so that events at a request don't depend on the order of others.
    made: HashMap<String, u32>,
    /// The call with which the last reading of usage began.
    usage_read_at: usize,
    /// When each image was last described by its digest.
    looked_at: HashMap<String, usize>,
    uses: BTreeMap<usize, Use>,
    /// The image of each tag, and since when.
    tags: BTreeMap<String, (String, usize)>,
    /// The images, with their children and their subject.
    relations: BTreeMap<String, Relations>,
    running: Vec<(String, usize)>,
    deleted: BTreeSet<String>,
    broken: Vec<String>,
    lost_in_the_window: usize,
    log: String,
}

impl Ledger {
    fn push(
        &mut self,
        repository: &Repository,
        image: Image,
        children: &[String],
        subject: Option<&str>,
        tag: Option<&str>,
    ) {
        let digest = repository.push(image);
        self.relations.insert(digest.clone(), (children.to_vec(), subject.map(str::to_owned)));
        if let Some(tag) = tag {
            self.tags.insert(tag.to_owned(), (digest, self.calls));
        }
    }

    fn use_it(&mut self, named: Named) -> usize {
        let number = self.uses.len() + self.calls * 1_000;
        self.uses.insert(number, Use { named, since: self.calls });
        number
    }

    /// The images that must be kept with images in use and with tags to keep: their parent indexes, all children of
    /// kept indexes, and the artifacts attached to kept images.
    fn held(&self, used: Vec<String>, kept: Option<String>) -> BTreeSet<String> {
        let exists = |digest: &String| self.relations.contains_key(digest);
        let mut held: BTreeSet<String> = used.into_iter().filter(exists).collect();
        let names_one = |held: &BTreeSet<String>, (_, (children, _)): &(&String, &Relations)| {
            children.iter().any(|child| held.contains(child))
        };
        grow(&mut held, |held| {
            let indexes = self.relations.iter().filter(|image| names_one(held, image));
            indexes.map(|(digest, _)| digest.clone()).collect()
        });
        held.extend(kept.filter(exists));
        grow(&mut held, |held| {
            let of_held = self.relations.iter().flat_map(|(digest, (children, subject))| {
                let named = held.contains(digest).then_some(children).into_iter().flatten();
                let about = subject.as_ref().is_some_and(|subject| held.contains(subject)).then_some(digest);
                named.chain(about)
            });
            of_held.cloned().collect()
        });
        held
    }

    /// Checks a delete just before it is carried out.
    fn judge(&mut self, digests: &[String]) {
        let held = |ledger: &Self, is_known: bool| {
            let is_here = |tag: &&(String, usize)| !is_known || ledger.is_seen(tag);
            let image_of = |tag: &str| Some(ledger.tags.get(tag).filter(is_here)?.0.clone());
            let counted = ledger.uses.values().filter(|usage| !is_known || usage.since <= ledger.usage_read_at);
            let used = counted.filter_map(|usage| match &usage.named {
                Named::Digest(digest) => Some(digest.clone()),
                Named::Tag(tag) => image_of(tag),
            });
            ledger.held(used.collect(), image_of("latest"))
        };
        let (known, all) = (held(self, true), held(self, false));
        for digest in digests {
            if known.contains(digest) {
                self.broken.push(format!("{digest} is in use, and deleted at call {}", self.calls));
            } else if all.contains(digest) {
                self.lost_in_the_window += 1;
            }
        }
        self.deleted.extend(digests.iter().cloned());
    }

    /// Whether the run could see the current image of this tag at its last check of that image.
    fn is_seen(&self, (digest, since): &(String, usize)) -> bool {
        self.looked_at.get(digest).is_some_and(|looked_at| since <= looked_at)
    }
}

/// One world: a repository, a cluster, and their users.
struct Moving {
    place: Place,
    app: Repository,
    seed: u64,
}

impl Moving {
    /// Builds of all kinds, some of them in use.
    fn found(&self, ledger: &mut Ledger) {
        let mut rng = Rng::with_seed(self.seed);
        let builds = rng.u32(4..14);
        for build in 0..builds {
            let days = f64::from(builds - build) + 1.0;
            self.build(ledger, &mut rng, &format!("v{build}"), days);
        }
        ledger.calls = 0;
        for _ in 0..rng.usize(0..4) {
            self.start(ledger, &mut rng);
        }
    }

    /// Pushes a build: plain or an index of two platforms, signed or not, with its tag and perhaps `latest`.
    fn build(&self, ledger: &mut Ledger, rng: &mut Rng, tag: &str, days: f64) {
        let content = format!("{}-{tag}-{}", self.seed, ledger.relations.len());
        let mut image = Image::built_from(&content);
        let mut children = Vec::new();
        if rng.u8(..) < 90 {
            let platforms = ["amd64", "arm64"].map(|it| Image::built_from(&format!("{content}-{it}")).days_old(days));
            image = Image::index_of(&platforms);
            for platform in platforms {
                children.push(platform.digest().to_owned());
                ledger.push(&self.app, platform, &[], None, None);
            }
        }
        let digest = image.digest().to_owned();
        ledger.push(&self.app, image.and_tag(tag).days_old(days), &children, None, Some(tag));
        if rng.u8(..) < 60 {
            let signature = Image::built_from(&format!("{content}-signature")).about(&digest).days_old(days);
            ledger.push(&self.app, signature, &[], Some(&digest), None);
        }
        if rng.u8(..) < 60 {
            self.move_tag(ledger, &digest, "latest");
        }
    }

    fn move_tag(&self, ledger: &mut Ledger, digest: &str, tag: &str) {
        if self.app.digests().contains(digest) {
            self.app.tag(digest, tag);
            ledger.tags.insert(tag.to_owned(), (digest.to_owned(), ledger.calls));
        }
    }

    /// Starts a task or a service from a tag or a digest that exists.
    fn start(&self, ledger: &mut Ledger, rng: &mut Rng) {
        let digests: Vec<String> = self.app.digests().into_iter().collect();
        let tags: Vec<String> = self.app.tags().into_iter().collect();
        let cluster = self.place.cluster("prod");
        match (rng.u8(..3), rng.choice(&tags), rng.choice(&digests)) {
            (0, Some(tag), _) => {
                let task = cluster.runs(&self.app.uri(tag));
                let number = ledger.use_it(Named::Tag(tag.clone()));
                ledger.running.push((task, number));
            }
            (1, _, Some(digest)) => {
                let task = cluster.start(Task::pulled(&self.app.uri("gone"), digest));
                let number = ledger.use_it(Named::Digest(digest.clone()));
                ledger.running.push((task, number));
            }
            (_, Some(tag), _) => {
                let definition = self.place.register("web", &[&self.app.uri(tag)]);
                cluster.create(Service::of(&definition).at_zero());
                ledger.use_it(Named::Tag(tag.clone()));
            }
            _ => {}
        }
    }

    /// A user's change before this call is answered.
    fn happen(&self, ledger: &mut Ledger, call: &Call) {
        ledger.calls += 1;
        let text = format!("{} {}", call.operation, call.request);
        let made = ledger.made.entry(text.clone()).or_default();
        *made += 1;
        let mut rng = Rng::with_seed(lot_of(self.seed, *made, call));
        let what = match rng.u8(..100) {
            0..12 => {
                let tag = format!("n{}", ledger.calls);
                self.build(ledger, &mut rng, &tag, 0.0);
                "a push"
            }
            12..22 => {
                let digests: Vec<String> = self.app.digests().into_iter().collect();
                let tags: Vec<String> = ledger.tags.keys().cloned().collect();
                if let (Some(digest), Some(tag)) = (rng.choice(&digests), rng.choice(&tags)) {
                    self.move_tag(ledger, digest, tag);
                }
                "a retag"
            }
            22..36 => {
                self.start(ledger, &mut rng);
                "a start"
            }
            36..42 => {
                // A stopped task is still listed, and may be replaced.
                if let Some((task, _)) = rng.choice(&ledger.running) {
                    self.place.cluster("prod").stop(task);
                }
                "a stop"
            }
            42..48 => {
                let digests: Vec<String> = self.app.digests().into_iter().collect();
                if let Some(digest) = rng.choice(&digests) {
                    self.app.delete(digest);
                    ledger.tags.retain(|_, (tagged, _)| tagged != digest);
                }
                "a deletion"
            }
            48..54 => {
                let digests: Vec<String> = self.app.digests().into_iter().collect();
                if let Some(digest) = rng.choice(&digests) {
                    self.app.pull(digest);
                }
                "a pull"
            }
            _ => "",
        };
        if !what.is_empty() {
            _ = writeln!(ledger.log, "{what} before call {}, {}", ledger.calls, call.operation);
        }
        match (call.operation.as_str(), digests_of(call)) {
            ("ecs:ListClusters", _) => ledger.usage_read_at = ledger.calls,
            ("ecr:DescribeImages", digests) => {
                let calls = ledger.calls;
                ledger.looked_at.extend(digests.into_iter().map(|digest| (digest, calls)));
            }
            ("ecr:BatchDeleteImage", digests) => {
                // A deleted index keeps nothing any more.
                let images = self.app.digests();
                ledger.relations.retain(|digest, _| images.contains(digest));
                ledger.judge(&digests);
            }
            _ => {}
        }
    }
}

/// The random number for the Nth repeat of a call in this world. It does not depend on the order of other calls.
pub(super) fn lot_of(seed: u64, made: u32, call: &Call) -> u64 {
    let mut hasher = DefaultHasher::new();
    (seed, made).hash(&mut hasher);
    // The process numbers regions, and a seed must mean the same in every process.
    format!("{} {}", call.operation, call.request).replace(&call.region, "").hash(&mut hasher);
    hasher.finish()
}

pub(super) fn digests_of(call: &Call) -> Vec<String> {
    let ids = call.request["imageIds"].as_array().into_iter().flatten();
    ids.filter_map(|id| id["imageDigest"].as_str()).map(str::to_owned).collect()
}

fn settings(seed: u64) -> Value {
    let mut rng = Rng::with_seed(!seed);
    json!({
        "dryRun": false, "imagesToKeep": rng.u32(0..3), "untaggedOlderThanDays": rng.u32(0..3),
        "keepPulledWithinDays": rng.u32(0..2), "keepTags": ["latest"], "keepBeforeInUse": 0,
    })
}

/// The result of a run in a changing world: the deleted images, and those lost in the window. Otherwise the broken
/// promise.
type End = Result<(usize, usize), String>;

async fn run_in(seed: u64) -> End {
    let aws = SimulatedAws::in_memory();
    let region = region_of_its_own("sim-moving");
    aws.disable_region(simulated_aws::REGION);
    let place = aws.region(&region);
    let world = Moving { app: place.repository("app"), place, seed };
    let ledger = Arc::new(Mutex::new(Ledger::default()));
    world.found(&mut ledger.lock().unwrap());
    // Answers arrive in different orders in each world.
    aws.set_latency_of(move |call| Duration::from_millis(1 + lot_of(seed, 0, call) % 20));
    let moved = Arc::clone(&ledger);
    aws.before_every_call(move |call| world.happen(&mut moved.lock().unwrap(), call));

    let clients = clients_in(&aws, &region).await;
    let freshness = match seed % 2 {
        0 => FreshnessLimits::CONTRACT,
        // Usage is read again before each batch, which makes the window smaller.
        _ => FreshnessLimits { max_age: Duration::ZERO, ..FreshnessLimits::CONTRACT },
    };
    let limits = Limits { freshness, ..Limits::until(deadline_in(&aws, Duration::from_mins(15))) };
    let report =
        run_with(&clients, settings(seed), limits).await.map_err(|error| format!("it does not start: {error}"))?;
    let ledger = ledger.lock().unwrap();
    let broken = ledger.broken.first().cloned().or_else(|| untold(&report, &ledger));
    match broken {
        None => Ok((ledger.deleted.len(), ledger.lost_in_the_window)),
        Some(broken) => Err(format!("{broken}\n{}", ledger.log)),
    }
}

/// The first error in the report.
fn untold(report: &Report, ledger: &Ledger) -> Option<String> {
    if report.outcome != Outcome::Completed {
        return Some(format!("{:?}: {:?}", report.outcome, report.plan.errors().next()));
    }
    let sent =
        |result: &ImageResult| matches!(result, ImageResult::Deleted | ImageResult::Kept | ImageResult::Failed(_));
    let told: BTreeSet<String> =
        report.plan.stale().filter(|image| sent(&image.result)).map(|image| image.image_digest.to_string()).collect();
    // The run may or may not have sent deletes for images that were already gone.
    let gone = |image: &&ecr_cleanup_core::plan::StaleImage| image.result == ImageResult::Gone;
    let gone: BTreeSet<String> = report.plan.stale().filter(gone).map(|image| image.image_digest.to_string()).collect();
    let unsent =
        told.difference(&ledger.deleted).next().map(|digest| format!("{digest} is told as deleted, and was not"));
    let untold = ledger.deleted.difference(&told).find(|digest| !gone.contains(*digest));
    unsent.or_else(|| untold.map(|digest| format!("{digest} was deleted, and is not told so")))
}

#[test]
fn nothing_that_was_in_use_when_usage_was_read_is_deleted_however_the_world_moves() {
    let only = number_in("PROOF_CASE").map(|seed| seed + 1);
    let seeds = 0..number_in("WORLDS").or(only).unwrap_or(WORLDS);
    let worlds = chosen("moving", seeds, SHARE);
    let ends = each(&worlds, async |world| run_in(world.of).await);
    let (mut deleted, mut lost, mut broken) = (0, 0, Vec::new());
    for (world, end) in worlds.iter().zip(ends) {
        match end {
            Ok((of_world, in_window)) => (deleted, lost) = (deleted + of_world, lost + in_window),
            Err(error) => broken.push(format!("seed {}: {error}\n  repeat with: {}", world.of, world.repeat_with)),
        }
    }
    println!("{} worlds: {deleted} images deleted, {lost} of them used only since usage was last read", worlds.len());
    assert!(broken.is_empty(), "{} worlds:\n{}", broken.len(), broken.join("\n"));
    assert!(deleted > 0 || worlds.len() == 1, "no world had anything to delete");
    if is_whole() && worlds.len() as u64 == WORLDS {
        let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/README.md")).unwrap();
        let measured = format!("| {lost} of {},{:03} |", deleted / 1_000, deleted % 1_000);
        assert!(page.contains(&measured), "tests/README.md has another number than {measured}");
    }
}
