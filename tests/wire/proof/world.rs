//! The world of the sweeps. It is small and has an example of everything, so that a run makes about a hundred calls.

use std::collections::BTreeSet;
use std::time::Duration;

use ecr_cleanup::deadline::Deadline;
use ecr_cleanup_core::report::Report;
use serde_json::{Value, json};
use simulated_aws::{Call, Image, Place, Repository, Service, SimulatedAws, Task};

use crate::support::{Limits, RunError, clients_in, deadline_in, region_of_its_own, run_with};

const OTHER_ACCOUNT: &str = "210987654321";

/// An image by region, repository and digest.
pub type Location = (String, String, String);

/// A company in two regions, whose workloads are in two accounts.
pub struct World {
    pub aws: SimulatedAws,
    regions: [String; 2],
    role: String,
    /// The remaining images of a run without faults.
    pub stays: BTreeSet<Location>,
}

impl World {
    /// Creates it.
    pub fn found() -> Self {
        let regions = ["sim-east", "sim-west"].map(region_of_its_own);
        let aws = SimulatedAws::in_memory();
        aws.disable_region(simulated_aws::REGION);
        let role = aws.role(OTHER_ACCOUNT);
        let [east, west] = [aws.region(&regions[0]), aws.region(&regions[1])];
        // Reads of one run don't look like pulls to the next.
        for place in [&east, &west] {
            place.exclude_pull_times_of("arn:aws:iam::123456789012:role/ecr-cleanup");
        }
        let mut world = Self { aws, regions, role, stays: BTreeSet::new() };
        world.found_east(&east);
        world.found_west(&west, &east);
        world
    }

    /// The settings of a run that deletes every image without a reason to keep it.
    pub fn settings(&self) -> Value {
        json!({
            "dryRun": false, "imagesToKeep": 2, "keepTags": ["latest", "keep-*"], "untaggedOlderThanDays": 1,
            "keepPulledWithinDays": 3, "keepBeforeInUse": 0, "usageRoleArns": [self.role],
        })
    }

    /// The region for global services.
    pub fn region(&self) -> &str {
        &self.regions[0]
    }

    /// Runs with Lambda's time limit.
    pub async fn run(&self) -> Result<Report, RunError> {
        self.run_until(deadline_in(&self.aws, Duration::from_mins(15))).await
    }

    /// Runs until this deadline.
    pub async fn run_until(&self, deadline: Deadline) -> Result<Report, RunError> {
        let clients = clients_in(&self.aws, &self.regions[0]).await;
        run_with(&clients, self.settings(), Limits::until(deadline)).await
    }

    /// Every image that exists.
    pub fn images(&self) -> BTreeSet<Location> {
        let mut images = BTreeSet::new();
        for region in &self.regions {
            let place = self.aws.region(region);
            for name in place.repositories() {
                let digests = place.repository(&name).digests();
                images.extend(digests.into_iter().map(|digest| (self.neutral(region), name.clone(), digest)));
            }
        }
        images
    }

    /// A text with this world's regions replaced by neutral names.
    pub fn neutral(&self, text: &str) -> String {
        text.replace(&self.regions[0], "sim-east").replace(&self.regions[1], "sim-west")
    }

    /// A call of another world, with this world's regions.
    pub fn own(&self, call: &Call, of: &Self) -> Call {
        let own = |text: &str| {
            let text = text.replace(&of.regions[0], &self.regions[0]);
            text.replace(&of.regions[1], &self.regions[1])
        };
        let request = serde_json::from_str(&own(&call.request.to_string())).unwrap();
        Call { region: own(&call.region), request, ..call.clone() }
    }

    fn found_east(&mut self, east: &Place) {
        let web = east.repository("web");
        // The two newest images, and one each that is used by a daemon, used by a running task, used by a stopped task,
        // pulled, tagged to be kept, pinned by a service revision, and used by another account's task.
        for build in 0..=12 {
            let image = Image::built_from(&format!("web-{build}")).and_tag(&format!("v{build}"));
            let image = if build == 4 { image.pulled_days_ago(1.0) } else { image };
            let image = if build == 5 { image.and_tag("keep-me") } else { image };
            web.push(image.days_old(f64::from(20 - build)));
        }
        web.retag("v6", "stable");
        let pinned = web.digest_of("stable");
        let definition = east.register("web", &[&web.uri("stable")]);
        let revision = east.service_revision(&definition, &[(&web.uri("stable"), Some(&pinned))]);
        let deployment = east.service_deployment("web", "SUCCESSFUL", &[], &revision);
        east.cluster("prod").create(Service::of(&definition).revision(&revision).current_deployment(&deployment));
        web.retag("v7", "stable");
        let daemon = east.daemon(&east.cluster("prod"), &[(&web.uri("v9"), None)]);
        let deployment = daemon.deploy("SUCCESSFUL", &[(&web.uri("v10"), None)]);
        daemon.replace_by(deployment);
        daemon.name_deployment(deployment);
        east.cluster("prod").runs(&web.uri("v1"));
        east.cluster("prod").start(Task::of(&web.uri("v2")).stopped());
        // More tasks than fit into a page.
        for _ in 0..110 {
            east.cluster("crowded").runs(&web.uri("v3"));
        }
        let place = self.aws.place(OTHER_ACCOUNT, &self.regions[1]);
        place.cluster("theirs").runs(&web.uri("v8"));
        self.stay(east, "web", ["v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v10", "v11", "v12"]);

        // Four builds for two platforms, each signed; a task runs a platform of the first, and two are the newest.
        let api = east.repository("api");
        for build in 1..=4 {
            let digests = push_multi_arch(&api, build);
            if build != 2 {
                self.stay_by_digest(&api, "api", digests);
            }
            if build == 1 {
                east.cluster("prod").runs(&api.uri_by_digest(&first_platform(build)));
            }
        }
        let unread = Image::built_from("young").days_old(0.5);
        let digest = api.push(unread);
        self.stay_by_digest(&api, "api", [digest]);
        api.push(Image::built_from("old").days_old(9.0));

        // More to delete than fits into one call.
        let bulk = east.repository("bulk");
        bulk.push_all((1..=104).map(|build| {
            Image::built_from(&format!("bulk-{build}")).and_tag(&format!("b{build}")).days_old(f64::from(200 - build))
        }));
        self.stay(east, "bulk", ["b103", "b104"]);

        // Only the policy allows other accounts, whose usage is not read.
        let shared = east.repository("shared");
        for build in 1..=4 {
            let image = Image::built_from(&format!("shared-{build}")).and_tag(&format!("s{build}"));
            shared.push(image.days_old(f64::from(20 - build)));
        }
        shared.set_policy(&json!({ "Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Principal": { "AWS": "arn:aws:iam::999999999999:root" }, "Action": "ecr:BatchGetImage",
        }] }));
        self.stay(east, "shared", ["s1", "s2", "s3", "s4"]);
    }

    fn found_west(&mut self, west: &Place, east: &Place) {
        // Images of a function's alias and of a schedule's task definition.
        let jobs = west.repository("jobs");
        for build in 1..=7 {
            let image = Image::built_from(&format!("jobs-{build}")).and_tag(&format!("j{build}"));
            jobs.push(image.days_old(f64::from(20 - build)));
        }
        jobs.retag("j7", "latest");
        let function = west.function("resize", &jobs.uri("latest"), None);
        let old = function.publish(&jobs.uri("j1"), Some(&jobs.uri_by_digest(&jobs.digest_of("j1"))));
        function.publish(&jobs.uri("j6"), None);
        function.alias("live", &old, &[]);
        west.register("nightly", &[&jobs.uri("j2")]);
        west.register("nightly", &[&jobs.uri("j3")]);
        _ = west.repository("empty");
        // The tag `latest` keeps this image, which doesn't count toward imagesToKeep.
        self.stay(west, "jobs", ["j1", "j3", "j5", "j6", "j7"]);

        // A replica of an image that runs in the other region.
        let web = west.repository("web");
        for build in [1, 9, 10, 11, 12] {
            let image = Image::built_from(&format!("web-{build}")).and_tag(&format!("v{build}"));
            web.push(image.days_old(f64::from(20 - build)));
        }
        let before = west.register("web", &[&east.repository("web").uri("v9")]);
        west.deregister(&before);
        let rollback = west.service_revision(&before, &[(&east.repository("web").uri("v9"), None)]);
        let definition = west.register("web", &[&web.uri("v12")]);
        let current = west.service_revision(&definition, &[(&east.repository("web").uri("v12"), None)]);
        let service = west
            .cluster("prod")
            .create(Service::of(&definition).deployment(&definition, "IN_PROGRESS").revision(&current));
        west.service_deployment(&service, "IN_PROGRESS", &[&rollback], &current);
        self.stay(west, "web", ["v1", "v9", "v10", "v11", "v12"]);
        // The rollback target of the deployment refers to the other region.
        self.stay(east, "web", ["v9"]);
    }

    fn stay<const N: usize>(&mut self, place: &Place, name: &str, tags: [&str; N]) {
        let repository = place.repository(name);
        self.stay_by_digest(&repository, name, tags.map(|tag| repository.digest_of(tag)));
    }

    fn stay_by_digest<const N: usize>(&mut self, repository: &Repository, name: &str, digests: [String; N]) {
        let registry = self.neutral(&repository.name_with_registry());
        let region = ["sim-east", "sim-west"].into_iter().find(|region| registry.contains(region)).unwrap();
        self.stays.extend(digests.map(|digest| (region.to_owned(), name.to_owned(), digest)));
    }
}

fn platform(build: u32, architecture: &str) -> Image {
    Image::built_from(&format!("api-{build}-{architecture}")).days_old(f64::from(20 - build))
}

fn first_platform(build: u32) -> String {
    platform(build, "amd64").digest().to_owned()
}

/// An index with two untagged children and a signature.
fn push_multi_arch(repository: &Repository, build: u32) -> [String; 4] {
    let platforms = [platform(build, "amd64"), platform(build, "arm64")];
    let index = Image::index_of(&platforms).and_tag(&format!("m{build}")).days_old(f64::from(20 - build));
    let signature = Image::built_from(&format!("signature-{build}"));
    let signature = signature.and_tag(&Image::tag_about(index.digest(), ".sig")).days_old(f64::from(20 - build));
    let [amd64, arm64] = platforms;
    [amd64, arm64, index, signature].map(|image| repository.push(image))
}
