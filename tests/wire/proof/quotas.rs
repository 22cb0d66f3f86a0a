//! Each bucket of AWS's quotas at a tenth of its published rate, as other clients may leave it. The run takes longer
//! and has the same result.

use std::collections::BTreeSet;
use std::time::Duration;

use ecr_cleanup::aws::Haste;
use ecr_cleanup_core::plan::Refusal;
use ecr_cleanup_core::report::{Outcome, Report};
use serde_json::json;
use simulated_aws::{Image, Place, REGION, Service, SimulatedAws, Task};
use tokio::time::Instant;

use super::cases::{alone, chosen, each};
use crate::support::{Limits, clients_in, deadline_in, merciless, region_of_its_own, run_with, with};

/// Operations that share a bucket, with a tenth of its burst and of its refill per second. ECS and Lambda publish their
/// quotas. ECR publishes only that of `BatchGetImage`. The others are examples.
/// See <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/request-throttling.html>.
const TENTHS: [(&str, &[&str], u32, u32); 12] = [
    ("clusters", &["ecs:ListClusters", "ecs:DescribeClusters"], 5, 2),
    ("tasks and services", &["ecs:ListTasks", "ecs:DescribeTasks", "ecs:ListServices", "ecs:DescribeServices"], 10, 2),
    (
        "task definitions",
        &["ecs:ListTaskDefinitionFamilies", "ecs:ListTaskDefinitions", "ecs:DescribeTaskDefinition"],
        5,
        2,
    ),
    (
        "deployments and revisions",
        &["ecs:ListServiceDeployments", "ecs:DescribeServiceDeployments", "ecs:DescribeServiceRevisions"],
        5,
        2,
    ),
    ("daemons", &["ecs:ListDaemons", "ecs:DescribeDaemon", "ecs:DescribeDaemonRevisions"], 5, 2),
    ("functions", &["lambda:GetFunction"], 10, 10),
    ("function lists", &["lambda:ListFunctions", "lambda:ListVersionsByFunction", "lambda:ListAliases"], 1, 1),
    ("manifests", &["ecr:BatchGetImage"], 200, 200),
    ("images", &["ecr:DescribeImages", "ecr:DescribeRepositories"], 5, 5),
    ("deletes", &["ecr:BatchDeleteImage"], 5, 5),
    ("policies", &["ecr:GetRepositoryPolicy", "ecr:GetRegistryPolicy", "ecr:DescribeRegistry"], 1, 1),
    ("roles", &["sts:AssumeRole", "sts:GetCallerIdentity", "account:ListRegions"], 1, 1),
];

/// Without `PROOF=whole`, one of this many cases runs.
const SHARE: usize = 4;
/// Enough of everything to empty each bucket.
const OF_EACH: u32 = 40;

/// A region of an account with much to read, and with images to delete.
struct Estate {
    aws: SimulatedAws,
    place: Place,
    role: String,
}

impl Estate {
    fn found() -> Self {
        let aws = SimulatedAws::in_memory();
        aws.disable_region(REGION);
        let place = aws.region(&region_of_its_own("sim-tenth"));
        let estate = Self { role: aws.role("210987654321"), aws, place };
        for number in 0..OF_EACH {
            let app = estate.place.repository(&format!("app-{number:02}"));
            let build =
                |name: &str, days: f64| Image::built_from(&format!("{name}-{number}")).and_tag(name).days_old(days);
            for (name, days) in
                [("run", 90.0), ("deployed", 80.0), ("rolled-back", 70.0), ("called", 60.0), ("junk", 2.0)]
            {
                app.push(build(name, days));
            }
            app.push(Image::index_of(&[build("platform", 50.0)]).and_tag("index").days_old(50.0));
            let cluster = estate.place.cluster(&format!("cluster-{number:02}"));
            cluster.start(Task::of(&app.uri("run")));
            let definition = estate.place.register(&format!("family-{number:02}"), &[&app.uri("deployed")]);
            let revision = estate.place.service_revision(&definition, &[(&app.uri("rolled-back"), None)]);
            let service = Service::of(&definition).deployment(&definition, "IN_PROGRESS").revision(&revision);
            let service = cluster.create(service);
            estate.place.service_deployment(&service, "IN_PROGRESS", &[&revision], &revision);
            _ = estate.place.function(&format!("function-{number:02}"), &app.uri("called"), None);
        }
        estate
    }

    async fn run(&self, left: Duration) -> (Report, Duration) {
        let clients = clients_in(&self.aws, self.place.region()).await.with_haste(Haste::NONE);
        let event = with(merciless(false), &json!({ "usageRoleArns": [self.role] }));
        let begun = Instant::now();
        let report = run_with(&clients, event, Limits::until(deadline_in(&self.aws, left))).await.unwrap();
        (report, begun.elapsed())
    }

    fn tags(&self) -> BTreeSet<String> {
        self.place.repositories().iter().flat_map(|name| self.place.repository(name).tags()).collect()
    }
}

const IN_USE: [&str; 4] = ["called", "deployed", "rolled-back", "run"];

#[test]
fn a_run_is_complete_at_a_tenth_of_any_quota_or_of_all() {
    let (_, in_full) = alone(async { Estate::found().run(Duration::from_mins(15)).await });
    let buckets = TENTHS.iter().map(std::slice::from_ref).chain([&TENTHS[..]]);
    let cases = chosen("quotas::a_run_is_complete", buckets, SHARE);
    each(&cases, async |case| {
        let name = case.of.iter().map(|(name, ..)| *name).collect::<Vec<_>>().join(", ");
        let estate = Estate::found();
        for (_, operations, burst, per_second) in case.of {
            estate.aws.set_quota(operations, *burst, *per_second);
        }
        let (report, took) = estate.run(Duration::from_mins(15)).await;
        let because = || format!("{name}: {:?}\n  repeat with: {}", report.warnings, case.repeat_with);
        assert!(report.usage.complete && report.outcome == Outcome::Completed, "{:?}: {}", report.outcome, because());
        assert_eq!(estate.tags(), IN_USE.map(str::to_owned).into(), "{}", because());
        let throttled =
            estate.aws.calls().iter().filter(|call| call.error.as_deref() == Some("ThrottlingException")).count();
        // Even a tenth of these is more than this test needs.
        let is_plenty = case.of.iter().all(|(name, ..)| ["clusters", "function lists", "manifests"].contains(name));
        assert_eq!(throttled == 0, is_plenty, "{throttled} calls were throttled; {}", because());
        assert!(took >= in_full, "{took:?} is less than {in_full:?}; {}", because());
    });
}

#[test]
fn what_a_tenth_has_no_time_for_is_incomplete_and_nothing_goes() {
    let buckets = TENTHS.iter().filter(|(name, ..)| ["tasks and services", "task definitions"].contains(name));
    let cases = chosen("quotas::what_a_tenth_has_no_time_for", buckets, 1);
    each(&cases, async |case| {
        let (name, operations, burst, per_second) = case.of;
        let estate = Estate::found();
        let before = estate.tags();
        estate.aws.set_quota(operations, *burst, *per_second);
        let (report, _) = estate.run(Duration::from_secs(20)).await;
        assert!(
            matches!(report.outcome, Outcome::Refused(Refusal::UsageIncomplete { .. })),
            "{name}: {:?}",
            report.outcome
        );
        assert_eq!(estate.tags(), before, "{name}");
    });
}
