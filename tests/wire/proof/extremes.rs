//! The largest and busiest account that the published quotas allow, reduced so that a test is fast. `make bench` covers
//! the rest: a million images, and 100,000 in one repository.

use ecr_cleanup::aws::Haste;
use ecr_cleanup::deadline::Deadline;
use ecr_cleanup_core::report::{Outcome, RESPONSE_BYTES};
use serde_json::json;
use simulated_aws::{ACCOUNT, Image, REGION, Service, SimulatedAws};

use crate::support::{Limits, clients_in, merciless, region_of_its_own, run_on, run_with, set};

#[tokio::test(start_paused = true)]
async fn images_with_a_thousand_long_tags_are_judged_by_every_tag_and_fit_into_the_response() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app");
    let tag = |image: u32, number: u32| format!("{image:02}-{number:04}-{}", "x".repeat(128 - 8));
    // More than fits into the response: 60 images with 128,000 bytes of tags.
    for image in 0..60 {
        let tags = (0..1_000).map(|number| tag(image, number));
        app.push(tags.fold(Image::untagged(), |image, tag| image.and_tag(&tag)).days_old(9.0));
    }
    aws.cluster("prod").runs(&app.uri(&tag(7, 999)));
    let report = run_on(&aws, merciless(false)).await;
    assert_eq!((report.totals.images_deleted, app.digests().len()), (59, 1));
    assert!(app.tags().contains(&tag(7, 999)));
    let response = report.to_json_within(RESPONSE_BYTES).unwrap();
    assert!(response.len() <= RESPONSE_BYTES && response.len() > RESPONSE_BYTES / 2);
    let response: serde_json::Value = serde_json::from_str(&response).unwrap();
    assert!(response["truncatedImages"].as_u64().unwrap() > 0);
    assert_eq!(response["totals"]["imagesDeleted"], 59);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_clusters_are_all_read() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app").daily_builds(3);
    for number in 0..1_000 {
        let cluster = aws.cluster(&format!("cluster-{number}"));
        if number == 998 {
            cluster.runs(&app.uri("v1"));
        }
    }
    let report = run_on(&aws, merciless(false)).await;
    assert_eq!(report.outcome, Outcome::Completed);
    assert_eq!(app.tags(), set(["v1"]));
    assert_eq!(aws.calls_of("ecs:ListClusters").len(), 10);
}

/// The function's share is three quarters of the rates and half the bursts. If other clients leave it four fifths and
/// three fifths, it is hardly ever throttled.
#[tokio::test(start_paused = true)]
async fn what_others_leave_of_the_quotas_is_enough() {
    let aws = SimulatedAws::in_memory();
    let region = region_of_its_own("sim-quota");
    let place = aws.region(&region);
    aws.disable_region(REGION);
    let app = place.repository("app").daily_builds(3);
    for number in 0..110 {
        let cluster = place.cluster(&format!("cluster-{number}"));
        cluster.runs(&app.uri("v3"));
        let definition = place.register(&format!("family-{number}"), &[&app.uri("v3"), &format!("nginx:{number}")]);
        cluster.create(Service::of(&definition).deployment(&definition, "IN_PROGRESS"));
    }
    let left = |burst: u32, per_second: u32| (burst * 3 / 5, per_second * 4 / 5);
    for (operations, (burst, per_second)) in [
        (&["ecs:ListClusters"][..], left(50, 20)),
        (&["ecs:ListTasks", "ecs:DescribeTasks", "ecs:ListServices", "ecs:DescribeServices"], left(100, 20)),
        (&["ecs:ListTaskDefinitionFamilies", "ecs:ListTaskDefinitions", "ecs:DescribeTaskDefinition"], left(50, 20)),
        (&["ecs:ListServiceDeployments", "ecs:DescribeServiceDeployments"], left(50, 20)),
    ] {
        aws.set_quota(operations, burst, per_second);
    }
    let clients = clients_in(&aws, &region).await.with_haste(Haste::NONE);
    let report = run_with(&clients, json!({}), Limits::until(Deadline::unknown())).await.unwrap();
    assert!(report.usage.complete, "{:?}", report.warnings);
    assert_eq!(report.usage.accounts.iter().map(ToString::to_string).collect::<Vec<_>>(), [ACCOUNT]);
    let calls = aws.calls();
    let throttled = calls.iter().filter(|call| call.error.as_deref() == Some("ThrottlingException")).count();
    assert!(calls.len() > 600 && throttled * 100 < calls.len(), "{throttled} of {} calls", calls.len());
}
