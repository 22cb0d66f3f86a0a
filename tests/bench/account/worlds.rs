//! The accounts for the measurements.

use std::time::Duration;

use simulated_aws::{ACCOUNT, Image, Place, REGION, Service, SimulatedAws};

/// The name of a repository.
pub fn name(number: u32) -> String {
    format!("team-{}/service-{number:04}", number % 20)
}

async fn account() -> (SimulatedAws, Place) {
    let aws = SimulatedAws::start().await;
    let place = aws.place(ACCOUNT, REGION);
    // Without this exclusion, reading manifests would count as pulls, and the report would warn.
    place.exclude_pull_times_of("arn:aws:iam::123456789012:role/ecr-cleanup");
    (aws, place)
}

/// A few repositories and workloads.
pub async fn small() -> SimulatedAws {
    let (aws, place) = account().await;
    for number in 0..5 {
        let repository = place.repository(&name(number)).daily_builds(40);
        place.cluster("prod").runs(&repository.uri("v40"));
    }
    aws
}

/// Repositories of 1,000 builds each; a task runs one of the first's.
pub async fn stale(repositories: u32) -> SimulatedAws {
    let (aws, place) = account().await;
    for number in 0..repositories {
        let repository = place.repository(&name(number)).daily_builds(1_000);
        if number == 0 {
            place.cluster("prod").runs(&repository.uri("v1"));
        }
    }
    aws
}

/// One repository with as many images as ECR allows.
pub async fn one_repository() -> SimulatedAws {
    let (aws, place) = account().await;
    _ = place.repository(&name(0)).daily_builds(100_000);
    aws
}

/// A million images, of builds for two platforms.
pub async fn multi_arch(repositories: u32) -> SimulatedAws {
    let (aws, place) = account().await;
    for number in 0..repositories {
        let repository = place.repository(&name(number));
        repository.push_all((1..=333).flat_map(|build| {
            let days = f64::from(400 - build);
            let platforms = [(); 2].map(|()| Image::untagged().days_old(days));
            let index = Image::index_of(&platforms).and_tag(&format!("v{build}")).days_old(days);
            platforms.into_iter().chain([index])
        }));
    }
    aws
}

/// A hundred indexes with manifests of 4 MiB.
pub async fn large_manifests() -> SimulatedAws {
    let (aws, place) = account().await;
    let text = "x".repeat((4 << 20) - 100);
    place.repository(&name(0)).push_all((0..100).map(|build| {
        let manifest = format!(r#"{{"schemaVersion":2,"manifests":[],"annotations":{{"{build:03}":"{text}"}}}}"#);
        let index = Image::of_manifest("application/vnd.oci.image.index.v1+json", &manifest);
        index.and_tag(&format!("v{build}")).days_old(f64::from(200 - build))
    }));
    aws
}

/// 40 repositories of 1,100 builds, of which 100 are kept, with tasks and services; and the fewest calls of a live run.
pub async fn live() -> (SimulatedAws, usize) {
    const REPOSITORIES: u32 = 40;
    let (aws, place) = account().await;
    for number in 0..REPOSITORIES {
        let repository = place.repository(&name(number)).daily_builds(1_100);
        let newest = repository.uri("v1100");
        let cluster = place.cluster(["api", "web"][number as usize % 2]);
        for _ in 0..10 {
            cluster.runs(&newest);
        }
        let definition = place.register(&format!("service-{number}"), &[&newest]);
        cluster.create(Service::of(&definition));
    }
    let repositories = REPOSITORIES as usize;
    // The caller, the regions and the repositories; the registry policy, and the policies of each repository.
    let of_account = 2 + 1 + 1 + 2 * repositories;
    let of_images = repositories * 2;
    let deletes = repositories * 10;
    let looks = deletes;
    // Clusters; in each of them running and stopped tasks, services and daemons; the calls that describe 200 tasks and
    // 20 services; each task definition once; functions.
    let of_usage = 1 + 2 * (2 + 1 + 1 + 2 + 2) + (1 + repositories) + 1;
    (aws, of_account + of_images + deletes + looks + of_usage)
}

/// How an account's workloads are spread.
#[derive(Clone, Copy)]
pub enum Workloads {
    /// Many clusters with little in each.
    ManyClusters,
    /// One cluster with much in it.
    OneCluster,
}

/// An account under ECS's published quotas, whose calls take a tenth of a second. Returns the time that the function's
/// share of the quotas implies for the necessary calls.
pub async fn busy(workloads: Workloads) -> (SimulatedAws, Duration) {
    let (aws, place) = account().await;
    let app = place.repository("app").daily_builds(5);
    let image = app.uri("v5");
    let definition = place.register("app", &[&image]);
    let (clusters, tasks, services) = match workloads {
        Workloads::ManyClusters => (100, 3, 3),
        Workloads::OneCluster => (1, 6_000, 3_000),
    };
    for number in 0..clusters {
        let cluster = place.cluster(&format!("cluster-{number}"));
        for _ in 0..tasks {
            cluster.runs(&image);
        }
        for _ in 0..services {
            cluster.create(Service::of(&definition));
        }
    }
    aws.set_latency(Duration::from_millis(100));
    aws.set_quota(&["ecs:ListClusters", "ecs:DescribeClusters"], 50, 20);
    let resources = ["ecs:ListTasks", "ecs:DescribeTasks", "ecs:ListServices", "ecs:DescribeServices"];
    aws.set_quota(&resources, 100, 20);
    aws.set_quota(&["ecs:ListTaskDefinitionFamilies", "ecs:ListTaskDefinitions", "ecs:DescribeTaskDefinition"], 50, 20);
    let pages = |of: u32, size: u32| of.div_ceil(size).max(1);
    // Stopped tasks and daemons are one page more each.
    let of_cluster = 2 * pages(tasks, 100) + 1 + pages(services, 100) + pages(services, 10) + 1;
    let calls = clusters * of_cluster;
    (aws, Duration::from_secs_f64(f64::from(calls - 50) / 15.0))
}
