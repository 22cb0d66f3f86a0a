//! Two nights of a large estate with a memory, under the published quotas, in virtual time.

use std::io::{Read, Write};
use std::num::NonZeroU32;
use std::time::Duration;

use aws_config::{BehaviorVersion, Region};
use aws_sdk_ecr::config::Credentials;
use aws_smithy_async::rt::sleep::TokioSleep;
use ecr_cleanup::aws::{Aws, Haste};
use ecr_cleanup::deadline::Deadline;
use ecr_cleanup::event::Event;
use ecr_cleanup::run::{Limits, Request, run};
use ecr_cleanup_core::memory::{self, FactKind, Facts, Indexes, Kind, Seen};
use ecr_cleanup_core::report::Report;
use ecr_cleanup_core::settings::Environment;
use serde_json::json;
use simulated_aws::{ACCOUNT, REGION, SimulatedAws, access_key_of};
use tokio::time::Instant;

/// Families of task definitions, and the revisions of each that are ACTIVE.
const FAMILIES: u32 = 10_000;
const REVISIONS: u32 = 20;
/// Image functions.
const FUNCTIONS: u32 = 5_000;
/// Each family and each function has an image of its own.
const REPOSITORIES: u32 = 100;
const BUCKET: &str = "memory";

/// One night.
pub struct Night {
    /// The time of the run.
    pub took: Duration,
    /// Its calls, without those of the memory.
    pub calls: usize,
    /// Those of them that list.
    pub listings: usize,
}

/// Two nights, and the objects of the memory after them by their keys.
pub struct Nights {
    /// The first night reads everything, and the second asks for what is new.
    pub nights: [Night; 2],
    /// The objects of the memory.
    pub objects: Vec<(String, Vec<u8>)>,
}

/// Runs on two nights.
pub fn two() -> Nights {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(async {
        let aws = estate();
        let first = night(&aws).await;
        tokio::time::sleep(Duration::from_hours(24)).await;
        let second = night(&aws).await;
        let objects =
            aws.place(ACCOUNT, REGION).objects(BUCKET).into_iter().filter(|(key, _)| key.starts_with("state/"));
        let objects = objects.map(|(key, bytes)| (key, bytes.to_vec()));
        Nights { nights: [first, second], objects: objects.collect() }
    })
}

fn estate() -> SimulatedAws {
    let aws = SimulatedAws::in_memory();
    let place = aws.place(ACCOUNT, REGION);
    place.bucket(BUCKET);
    let of_repository = FAMILIES / REPOSITORIES;
    for number in 0..REPOSITORIES {
        let repository = place.repository(&super::worlds::name(number)).daily_builds(of_repository);
        for build in 1..=of_repository {
            let (family, tag) = (number * of_repository + build, format!("v{build}"));
            for _ in 0..REVISIONS {
                place.register(&format!("family-{family:05}"), &[&repository.uri(&tag)]);
            }
            if family <= FUNCTIONS {
                let image = repository.uri_by_digest(&repository.digest_of(&tag));
                _ = place.function(&format!("function-{family:04}"), &repository.uri(&tag), Some(&image));
            }
        }
    }
    aws.set_latency(Duration::from_millis(100));
    aws.set_quota(&["ecs:ListTaskDefinitionFamilies", "ecs:ListTaskDefinitions", "ecs:DescribeTaskDefinition"], 50, 20);
    aws.set_quota(&["lambda:GetFunction"], 100, 100);
    aws.set_quota(&["lambda:ListFunctions", "lambda:ListVersionsByFunction", "lambda:ListAliases"], 15, 15);
    aws
}

async fn night(aws: &SimulatedAws) -> Night {
    aws.forget_calls();
    let config = aws_config::defaults(BehaviorVersion::latest())
        .endpoint_url(aws.url())
        .region(Region::new(REGION))
        .credentials_provider(Credentials::new(access_key_of(ACCOUNT), "secret", None, None, "bench"))
        .http_client(aws.http_client())
        .time_source(aws.time_source())
        .sleep_impl(TokioSleep::new())
        .load()
        .await;
    let clients = Aws::new(config).with_haste(Haste::times(NonZeroU32::MIN));
    let event = Event::parse(json!({ "memory": format!("s3://{BUCKET}") })).expect("an event");
    let request = Request::of(&event, None, &Environment::new(), Limits::until(Deadline::unknown()));
    let begun = Instant::now();
    let report: Report = Box::pin(run(&request.expect("settings"), &clients)).await.expect("a run").report;
    assert!(report.usage.complete, "{:?}", report.warnings);
    let calls = aws.calls().into_iter().filter(|call| !call.operation.starts_with("s3:"));
    let calls: Vec<String> = calls.map(|call| call.operation).collect();
    let listings = calls.iter().filter(|operation| operation.contains(":List") || operation.contains("ecr:Describe"));
    Night { took: begun.elapsed(), calls: calls.len(), listings: listings.count() }
}

/// Reads the objects of a folder and writes them again, in memory. Reports when it is done, and ends on request.
pub fn read_and_write(folder: &str) {
    let mut written = 0;
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("a file").path();
        let bytes = std::fs::read(&path).expect("an object");
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
        written += match name.as_str() {
            "seen" => again::<Seen>(Kind::Seen, &bytes),
            "indexes" => again::<Indexes>(Kind::Indexes, &bytes),
            "task-definitions" => again::<Facts>(Kind::Facts(FactKind::TaskDefinitions), &bytes),
            "service-revisions" => again::<Facts>(Kind::Facts(FactKind::ServiceRevisions), &bytes),
            _ => again::<Facts>(Kind::Facts(FactKind::FunctionVersions), &bytes),
        };
    }
    assert!(written > 0, "there is nothing to write");
    let mut stdout = std::io::stdout();
    stdout.write_all(b".").and_then(|()| stdout.flush()).expect("somebody waits for it");
    _ = std::io::stdin().read(&mut [0]);
}

fn again<T: serde::Serialize + serde::de::DeserializeOwned>(kind: Kind, bytes: &[u8]) -> usize {
    let content = memory::read::<T>(kind, bytes).expect("an object").content;
    memory::write(kind, &content).expect("an object").len()
}
