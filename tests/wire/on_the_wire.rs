//! A few cases on the wire: the unchanged SDK with its own HTTP client, on a socket. All other cases of the library run
//! in memory, without waiting. These cases compare both.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::time::Duration;

use ecr_cleanup::aws::{Haste, Patience};
use ecr_cleanup::deadline::Deadline;
use ecr_cleanup_core::report::Outcome;
use serde_json::Value;
use simulated_aws::{ACCOUNT, Fault, Image, REGION, SimulatedAws, Task};

use crate::main_job::lists_deletes_and_finds_nothing;
use crate::proof::cases::alone;
use crate::support::{
    Limits, RunError, clients_in, forget, json_of, merciless, region_of_its_own, run_on, run_with, set,
};

/// For calls without an answer, a test has little time. A slow machine repeats the case, up to ten times.
const LITTLE_PATIENCE: Patience = Patience { attempt: Duration::from_secs(2), ..PATIENCE };
/// For all other cases.
const PATIENCE: Patience =
    Patience { first_pause: Duration::from_millis(1), longest_pause: Duration::from_millis(4), ..Patience::WITH_AWS };

#[tokio::test]
async fn deletes_exactly_what_the_dry_run_listed_and_then_finds_nothing() {
    lists_deletes_and_finds_nothing(&SimulatedAws::start().await).await;
}

#[tokio::test]
async fn usage_and_images_are_read_to_their_last_page() {
    let aws = SimulatedAws::start().await;
    let (app, place) = (aws.repository("app").daily_builds(1_101), aws.place(ACCOUNT, REGION));
    for number in 0..100 {
        aws.cluster(&format!("cluster-{number:03}")).runs("nginx");
        place.register(&format!("family-{number:03}"), &["nginx"]);
    }
    let last = aws.cluster("z-last");
    for _ in 0..100 {
        last.start(Task::of("nginx"));
    }
    last.runs(&app.uri("v1"));
    place.register("z-last", &[&app.uri("v2")]);
    (0..50).for_each(|number| _ = place.function(&format!("function-{number:02}"), "nginx", None));
    _ = place.function("z-last", &app.uri("v3"), None);
    let report = run_on(&aws, merciless(false)).await;
    assert_eq!((report.outcome, report.totals.images_deleted), (Outcome::Completed, 1_098));
    assert_eq!(app.tags(), set(["v1", "v2", "v3"]));
}

/// The result of a run, without the values that differ between accounts.
#[derive(Debug, PartialEq)]
struct End {
    left: BTreeSet<String>,
    told: Result<Value, String>,
}

/// A run with this fault in an account with one image in use.
async fn run_under(aws: SimulatedAws, fault: Fault, patience: Patience) -> End {
    // The SDK counts failures over all clients in a region.
    let region = region_of_its_own("sim-wire");
    aws.disable_region(REGION);
    let place = aws.region(&region);
    let app = place.repository("app");
    for build in 1..=4 {
        let image = Image::built_from(&format!("build-{build}")).and_tag(&format!("v{build}"));
        app.push(image.days_old(f64::from(9 - build)));
    }
    place.cluster("prod").runs(&app.uri("v1"));
    aws.inject(fault);
    let clients = clients_in(&aws, &region).await.with_patience(patience);
    let clients = clients.with_haste(Haste::times(NonZeroU32::MAX));
    let report = run_with(&clients, merciless(false), Limits::until(Deadline::unknown())).await;
    let told = report.map_err(|error: RunError| error.to_string().replace(&region, REGION)).map(|report| {
        let mut told: Value = serde_json::from_str(&json_of(&report).to_string().replace(&region, REGION)).unwrap();
        // The codes stand for the messages.
        forget(
            &mut told,
            &["runId", "startedAt", "finishedAt", "imagePushedAt", "message", "failureReason", "warnings"],
        );
        told
    });
    End { left: app.tags(), told }
}

#[test]
fn what_goes_wrong_with_a_connection_looks_alike_on_the_wire_and_in_memory() {
    let wire = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for (name, fault, patience) in [
        ("a closed connection", Fault::reset as fn(&str) -> Fault, PATIENCE),
        ("a lost answer", Fault::lost_answer, PATIENCE),
        ("a truncated answer", Fault::truncated, PATIENCE),
        ("garbage", Fault::garbage, PATIENCE),
        ("silence", Fault::no_answer, LITTLE_PATIENCE),
    ] {
        for operation in ["ecr:DescribeImages", "ecr:BatchDeleteImage", "ecs:ListTasks"] {
            // Permanent silence depends on timeouts, which are the SDK's own in memory too.
            let lasting = (name != "silence").then(|| ("for good", fault(operation)));
            for (lasts, fault) in [("once", fault(operation).times(1))].into_iter().chain(lasting) {
                let on_the_wire =
                    wire.block_on(async { run_under(SimulatedAws::start().await, fault.clone(), patience).await });
                let in_memory = alone(async { run_under(SimulatedAws::in_memory(), fault, patience).await });
                assert_eq!(on_the_wire, in_memory, "{name} at {operation}, {lasts}");
                let told = on_the_wire.told.unwrap();
                // A delete without an answer was carried out, as the next description shows.
                let is_carried_out = matches!(name, "a lost answer" | "a truncated answer");
                let is_shown = is_carried_out && operation == "ecr:BatchDeleteImage";
                // Usage that can't be read is listed and read once more.
                let is_read_again = name != "garbage" || operation.starts_with("ecs:");
                let is_fine = is_shown || (lasts == "once" && is_read_again);
                assert_eq!(told["outcome"] == "completed", is_fine, "{name} at {operation}, {lasts}: {told}");
                assert!(on_the_wire.left.contains("v1"));
            }
        }
    }
}
