//! The three parts of a run exchange serializable values, in one process or in several that pass files on.

use ecr_cleanup::discovery::{Reading, identify};
use ecr_cleanup::event::Event;
use ecr_cleanup::memory::Memory;
use ecr_cleanup::run::{Cleaned, Limits, ListedRegistry, Request, Stage, clean, discover, list, sum_up};
use ecr_cleanup_core::report::{Outcome, Report};
use ecr_cleanup_core::run_id::RunId;
use ecr_cleanup_core::settings::Environment;
use ecr_cleanup_core::usage::Usage;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use simulated_aws::{ACCOUNT, Fault, Image, REGION, Service, SimulatedAws};

use crate::support::{clients, json_of, merciless, push_multi_arch, run_on, set, with};
use ecr_cleanup::deadline::Deadline;

/// A value after writing and reading it, as the next part gets it.
fn passed_on<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(value: &T) -> T {
    let read = serde_json::from_str(&serde_json::to_string(value).unwrap()).unwrap();
    assert_eq!(read, *value);
    read
}

/// A run whose parts exchange only serialized values.
async fn run_in_parts(aws: &SimulatedAws, event: Value) -> Report {
    let clients = clients(aws).await;
    let request =
        Request::of(&Event::parse(event).unwrap(), None, &Environment::new(), Limits::until(Deadline::unknown()))
            .unwrap();
    let identity = identify(&request.settings, &clients, request.limits.deadline).await.unwrap();
    let (memory, started_at) = (&Memory::none(), clients.clock().utc());
    let run_id = &RunId::new(started_at, 0);
    let stage = Stage { request: &request, aws: &clients, identity: &identity, memory, run_id, started_at };
    let (places, reading) = discover(stage).await;
    let usage: Usage = passed_on(&*reading.usage);
    let registries: Vec<ListedRegistry> = passed_on(&list(stage).await);
    let reading = Reading { usage: usage.into(), ..reading };
    let cleaned = clean(stage, registries, &places, reading).await;
    sum_up(stage, passed_on::<Cleaned>(&cleaned))
}

/// An example of everything that parts exchange.
fn found() -> SimulatedAws {
    let aws = SimulatedAws::in_memory();
    let place = aws.place(ACCOUNT, REGION);
    let app = aws.repository("app").daily_builds(6);
    app.set_lifecycle_policy(&json!({ "rules": [{
        "rulePriority": 1, "description": "keep one", "action": { "type": "expire" },
        "selection": { "tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 1 },
    }] }));
    let [platform, ..] = push_multi_arch(&app, "multi-used", 9.0);
    push_multi_arch(&app, "multi", 9.0);
    let signature = Image::untagged().about(&app.digest_of("multi")).days_old(9.0);
    app.push(signature);
    aws.cluster("prod").runs(&app.uri_by_digest(&platform));
    let definition = place.register(
        "web",
        &[&app.uri("v2"), "nginx@sha256:0000000000000000000000000000000000000000000000000000000000000001"],
    );
    let revision =
        place.service_revision(&definition, &[(&app.uri("v2"), Some(&app.digest_of("v1"))), ("nginx", None)]);
    aws.cluster("prod").create(Service::of(&definition).revision(&revision));
    // An unreadable reference, repositories that are unreadable or shared, and an empty region.
    aws.cluster("prod").runs(&format!("{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/odd:${{TAG}}"));
    aws.repository("odd").push(Image::tagged("v1").days_old(9.0));
    aws.repository("locked").push(Image::tagged("v1").days_old(9.0));
    aws.inject(Fault::denied("ecr:DescribeImages").for_repository("locked"));
    _ = aws.region("eu-central-1").repository("empty");
    aws
}

#[tokio::test(start_paused = true)]
async fn a_run_reports_the_same_whether_its_parts_share_a_process_or_pass_files_on() {
    let aws = found();
    let event = with(merciless(true), &json!({ "inUseImages": ["nginx:1"] }));
    let without_times = |report: &Report| {
        let mut told = json_of(report);
        for key in ["runId", "startedAt", "finishedAt"] {
            told.as_object_mut().unwrap().remove(key);
        }
        told
    };
    let whole = run_on(&aws, event.clone()).await;
    assert!(whole.totals.images_stale > 3 && !whole.warnings.is_empty(), "{:?}", whole.totals);
    assert_eq!(without_times(&run_in_parts(&aws, event).await), without_times(&whole));
    let live = run_in_parts(&aws, merciless(false)).await;
    assert_eq!(live.outcome, Outcome::Partial, "one repository can't be read");
    assert_eq!(live.totals.images_deleted, whole.totals.images_stale);
    assert_eq!(aws.repository("app").tags(), set(["multi-used", "v1", "v2"]));
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_read_is_passed_on_as_what_it_is() {
    let aws = found();
    aws.inject(Fault::denied("ecs:ListTasks"));
    let whole = run_on(&aws, merciless(false)).await;
    let in_parts = run_in_parts(&aws, merciless(false)).await;
    assert!(matches!(in_parts.outcome, Outcome::Refused(_)), "{:?}", in_parts.outcome);
    assert_eq!((in_parts.outcome, in_parts.warnings), (whole.outcome, whole.warnings));
}
