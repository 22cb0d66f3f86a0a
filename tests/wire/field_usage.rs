//! Cases from real accounts and AWS's answers there. Images in use are kept, and odd data that doesn't matter stops
//! nothing.

use std::time::Duration;

use ecr_cleanup::aws::Haste;
use ecr_cleanup::deadline::Deadline;
use ecr_cleanup::discovery::FreshnessLimits;
use ecr_cleanup::run::Limits;
use ecr_cleanup_core::report::Outcome;
use serde_json::{Value, json};
use simulated_aws::{ACCOUNT, Fault, Image, LambdaFunction, REGION, Repository, Service, SimulatedAws, Task};

use crate::support::{
    clients_in, keeps_what_is_used, merciless, region_of_its_own, run_on, run_with, run_within, set, survivors, with,
};

/// A digest that no image here has.
const ELSEWHERE: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

/// The digest of the image in use, after its tag has moved to a newer image that is deleted.
fn move_tag(app: &Repository) -> String {
    let digest = app.digest_of("used");
    app.retag("used", "still-here");
    app.push(Image::tagged("used").days_old(3.0));
    digest
}

/// A function with an image outside of this account.
fn function(aws: &SimulatedAws) -> LambdaFunction {
    let nginx = format!("nginx@{ELSEWHERE}");
    aws.place(ACCOUNT, REGION).function("resize", "nginx", Some(&nginx))
}

keeps_what_is_used! {
    by_a_published_version_that_nothing_names: async |aws, app| {
        let function = function(aws);
        function.publish(&app.uri("gone"), Some(&app.uri_by_digest(&app.digest_of("used"))));
        (0..9).for_each(|_| _ = function.publish("nginx", None));
    };
    by_the_published_latest_version: async |aws, app| {
        function(aws).publish_latest(&app.uri("gone"), Some(&app.uri_by_digest(&app.digest_of("used"))));
    };
    by_the_published_latest_version_where_no_listing_has_it: async |aws, app| {
        let function = function(aws);
        function.publish_latest(&app.uri("gone"), Some(&app.uri_by_digest(&app.digest_of("used"))));
        function.hide_latest_published();
    };
    by_a_version_whose_sum_is_not_its_images_digest: async |aws, app| {
        let function = function(aws);
        let used = function.publish(&app.uri("gone"), Some(&app.uri_by_digest(&app.digest_of("used"))));
        let other = function.publish("nginx", Some(&format!("nginx@{ELSEWHERE}")));
        // The first requested version agrees with the listing. The other version with the same sum does not.
        for version in [used, other] {
            function.set_code_sha256(&version, &"ab".repeat(32));
        }
    };
    by_a_version_with_the_sum_of_another_where_sums_can_not_be_believed: async |aws, app| {
        let zeros = ELSEWHERE.strip_prefix("sha256:").unwrap();
        let function = function(aws);
        let used = function.publish(&app.uri("gone"), Some(&app.uri_by_digest(&app.digest_of("used"))));
        function.set_code_sha256(&used, zeros);
        let odd = function.publish("nginx", Some(&format!("nginx@{ELSEWHERE}")));
        function.set_code_sha256(&odd, &"ab".repeat(32));
    };
    by_a_version_whose_sum_is_no_digest: async |aws, app| {
        let function = function(aws);
        let version = function.publish(&app.uri("gone"), Some(&app.uri_by_digest(&app.digest_of("used"))));
        function.set_code_sha256(&version, "LCa0a2j/xo/5m0U8HTBBNBNCLXBkg7+g+YpeiGJm564=");
    };
    by_a_digest_alone: async |aws, app| {
        aws.cluster("prod").runs(&app.digest_of("used"));
    };
    by_containerds_reference: async |aws, _| {
        let image = format!("ecr.aws/arn:aws:ecr:{REGION}:{ACCOUNT}:repository/app");
        aws.cluster("prod").runs(&format!("{image}:used"));
    };
    by_the_second_container_that_a_revision_does_not_tell: async |aws, app| {
        let place = aws.place(ACCOUNT, REGION);
        let definition = place.register("web", &["nginx", &app.uri("used")]);
        place.deregister(&definition);
        let revision = place.service_revision(&definition, &[("nginx", Some(ELSEWHERE))]);
        aws.cluster("prod").create(Service::of(&definition).at_zero().revision(&revision));
    };
    by_the_second_container_that_a_pending_task_does_not_tell_yet: async |aws, app| {
        let place = aws.place(ACCOUNT, REGION);
        let definition = place.register("web", &["nginx", &app.uri("used")]);
        place.deregister(&definition);
        aws.cluster("prod").start(Task::of("nginx").pending().from_definition(&definition));
    };
    beside_a_stopped_task_whose_definition_was_deleted: async |aws, app| {
        let definition = aws.place(ACCOUNT, REGION).register("web", &[&app.uri("used")]);
        let task = Task::of(&app.uri_by_digest(&app.digest_of("used"))).stopped().from_definition(&definition);
        aws.cluster("prod").start(task);
        aws.place(ACCOUNT, REGION).delete_definition(&definition);
    };
    beside_a_definition_that_is_deleted_after_it_was_listed: async |aws, app| {
        let place = aws.place(ACCOUNT, REGION);
        aws.cluster("prod").runs(&app.uri("used"));
        let definition = place.register("web", &[&app.uri("junk-1")]);
        aws.inject(Fault::before("ecs:DescribeTaskDefinition", Duration::ZERO, move || {
            place.deregister(&definition);
            place.delete_definition(&definition);
        }).times(1));
    };
    beside_a_service_that_is_deleted_with_its_definition_after_it_was_listed: async |aws, app| {
        let (place, cluster) = (aws.place(ACCOUNT, REGION), aws.cluster("prod"));
        cluster.runs(&app.uri("used"));
        let definition = place.register("web", &[&app.uri("junk-1")]);
        let service = cluster.create(Service::of(&definition));
        aws.inject(Fault::before("ecs:DescribeServices", Duration::ZERO, move || {
            cluster.delete_service(&service);
            place.deregister(&definition);
            place.delete_definition(&definition);
        }).times(1));
    };
    beside_a_container_without_an_image: async |aws, app| {
        aws.place(ACCOUNT, REGION).register("old", &["", &app.uri("used")]);
    };
    beside_services_that_are_listed_twice: async |aws, app| {
        let definition = aws.place(ACCOUNT, REGION).register("web", &[&app.uri("used")]);
        (0..3).for_each(|_| _ = aws.cluster("prod").create(Service::of(&definition)));
        for listing in ["ecs:ListServices", "ecs:ListClusters", "ecs:ListTasks", "lambda:ListFunctions"] {
            aws.inject(Fault::duplicated_page(listing).times(1));
        }
    };
    beside_functions_and_versions_that_are_deleted_in_between: async |aws, app| {
        aws.cluster("prod").runs(&app.uri("used"));
        let (gone, other) = (aws.place(ACCOUNT, REGION).function("gone", "nginx", None), function(aws));
        let version = other.publish("nginx", Some(&format!("nginx@sha256:{}", "ab".repeat(32))));
        aws.inject(Fault::before("lambda:GetFunction", Duration::ZERO, move || {
            gone.delete();
            other.delete_version(&version);
        }));
    };
}

/// A cluster that is deleted, with its contents, just before a call is answered.
#[tokio::test(start_paused = true)]
async fn whatever_goes_away_with_its_cluster_stops_nothing_whichever_call_says_so() {
    for operation in [
        "ecs:ListTasks",
        "ecs:DescribeTasks",
        "ecs:ListServices",
        "ecs:DescribeServices",
        "ecs:ListServiceDeployments",
        "ecs:DescribeServiceDeployments",
        "ecs:DescribeServiceRevisions",
        "ecs:ListDaemons",
        "ecs:DescribeDaemon",
        "ecs:ListDaemonDeployments",
        "ecs:DescribeDaemonDeployments",
        "ecs:DescribeDaemonRevisions",
    ] {
        for code in ["ClusterNotFoundException", "ServiceNotFoundException", "DaemonNotFoundException"] {
            let (tags, report) = survivors(async |aws, app| {
                let place = aws.place(ACCOUNT, REGION);
                let definition = place.register("web", &["nginx"]);
                for name in ["gone", "prod"] {
                    let (cluster, used) = (aws.cluster(name), app.digest_of("used"));
                    cluster.runs("nginx");
                    let image = app.uri("gone");
                    let images = [(image.as_str(), if name == "prod" { Some(used.as_str()) } else { None })];
                    let revision = place.service_revision(&definition, &images);
                    let deployment = place.service_deployment(name, "IN_PROGRESS", &[], &revision);
                    let service = Service::of(&definition).revision(&revision).current_deployment(&deployment);
                    cluster.create(service.deployment(&definition, "IN_PROGRESS"));
                    place.daemon(&cluster, &[("nginx", None)]).deploy("IN_PROGRESS", &[("nginx", None)]);
                }
                // A batch with both gets the same answer.
                let gone = Fault::error(operation, 400, code);
                let names = match operation {
                    "ecs:DescribeServiceDeployments" | "ecs:DescribeServiceRevisions" => "/00000000\"",
                    daemons if daemons.contains("Daemon") && daemons != "ecs:ListDaemons" => "daemon/gone/",
                    _ => "/gone",
                };
                aws.inject(gone.mentioning(names));
            })
            .await;
            assert_eq!(report.outcome, Outcome::Completed, "{operation} answers {code}");
            assert_eq!(tags, set(["used"]), "{operation} answers {code}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_definition_that_a_task_or_a_listing_still_names_is_not_taken_for_gone() {
    let by_a_task: fn(&SimulatedAws, &str) = |aws, definition| {
        aws.place(ACCOUNT, REGION).deregister(definition);
        aws.cluster("prod").start(Task::without_containers().pending().from_definition(definition));
    };
    let by_a_service: fn(&SimulatedAws, &str) = |aws, definition| {
        aws.place(ACCOUNT, REGION).deregister(definition);
        aws.cluster("prod").create(Service::of(definition));
    };
    for name in [by_a_task, by_a_service, |_, _| {}] {
        let (tags, report) = survivors(async |aws, app| {
            let definition = aws.place(ACCOUNT, REGION).register("web", &[&app.uri("used")]);
            name(aws, &definition);
            aws.inject(Fault::error("ecs:DescribeTaskDefinition", 400, "ClientException"));
        })
        .await;
        assert_eq!((report.outcome.as_str(), tags.len()), ("refused", 3));
    }
}

#[tokio::test(start_paused = true)]
async fn the_target_of_the_current_deployment_counts_whatever_its_status() {
    for status in ["SUCCESSFUL", "STOPPED", "ROLLBACK_SUCCESSFUL", "ROLLBACK_FAILED", "IN_PROGRESS"] {
        let (tags, report) = survivors(async |aws, app| {
            let digest = move_tag(app);
            let place = aws.place(ACCOUNT, REGION);
            let definition = place.register("web", &["nginx"]);
            let target = place.service_revision(&definition, &[(&app.uri("gone"), Some(&digest))]);
            let deployment = place.service_deployment("web", status, &[], &target);
            aws.cluster("prod").create(Service::of(&definition).at_zero().current_deployment(&deployment));
        })
        .await;
        assert_eq!((report.outcome, tags), (Outcome::Completed, set(["still-here"])), "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_odd_in_a_registry_that_is_not_cleaned_freezes_nothing_here() {
    for image in ["app:${TAG}", "${REPOSITORY}:v1", "App:v1", ""] {
        let (tags, report) = survivors(async |aws, app| {
            aws.cluster("prod").runs(&app.uri("used"));
            let image = format!("222222222222.dkr.ecr.us-west-2.amazonaws.com/{image}");
            aws.place(ACCOUNT, REGION).register("templated", &[&image]);
        })
        .await;
        assert_eq!((report.outcome, tags), (Outcome::Completed, set(["used"])), "{image}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_with_capitals_can_name_nothing_and_is_told() {
    let (tags, report) = survivors(async |aws, app| {
        aws.cluster("prod").runs(&app.uri("used"));
        aws.cluster("prod").runs(&app.uri("used").replace("/app", "/App"));
    })
    .await;
    assert_eq!((report.outcome, tags), (Outcome::Completed, set(["used"])));
    let told: Vec<&str> = report.warnings.iter().map(|warning| warning.message.as_str()).collect();
    assert!(told.iter().any(|told| told.contains("/App:used") && told.contains("ECS task arn:")), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn settings_name_images_as_kubernetes_and_containerd_print_them() {
    for form in [
        |app: &Repository| app.digest_of("used"),
        |app: &Repository| format!("docker://{}", app.digest_of("used")),
        |app: &Repository| format!("docker-pullable://{}", app.uri_by_digest(&app.digest_of("used"))),
        |app: &Repository| format!("docker-pullable://{}", app.uri("used")),
        |_: &Repository| format!("ecr.aws/arn:aws:ecr:{REGION}:{ACCOUNT}:repository/app:used"),
        |app: &Repository| format!("ecr.aws/arn:aws:ecr:{REGION}:{ACCOUNT}:repository/app@{}", app.digest_of("used")),
    ] {
        let aws = SimulatedAws::in_memory();
        let app = aws.repository("app");
        for tag in ["used", "junk"] {
            app.push(Image::tagged(tag).days_old(9.0));
        }
        let image = form(&app);
        let report = run_on(&aws, with(merciless(false), &json!({ "inUseImages": [image] }))).await;
        assert_eq!((report.outcome, app.tags()), (Outcome::Completed, set(["used"])), "{image}");
    }
}

#[tokio::test(start_paused = true)]
async fn usage_is_as_old_as_its_first_call() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app").daily_builds(3);
    let cluster = aws.cluster("prod");
    cluster.runs(&app.uri("v3"));
    let image = app.uri("v1");
    // The task starts after tasks have been listed, while another answer takes long.
    let starts = Fault::before("lambda:ListFunctions", Duration::from_millis(1_500), move || _ = cluster.runs(&image));
    aws.inject(starts.times(1));
    let freshness = FreshnessLimits {
        max_age: Duration::from_secs(3),
        delete_timeout: Duration::from_secs(2),
        ..FreshnessLimits::CONTRACT
    };
    let limits = Limits { freshness, ..Limits::until(Deadline::unknown()) };
    let report = run_within(&aws, merciless(false), limits).await.unwrap();
    assert_eq!((report.outcome, app.tags()), (Outcome::Completed, set(["v1", "v3"])));
}

/// An account with this number of functions, each with versions of its own image.
fn functions(aws: &SimulatedAws, number: usize) {
    let place = aws.place(ACCOUNT, REGION);
    for number in 0..number {
        let image = format!("nginx@sha256:{number:064x}");
        let function = place.function(&format!("function-{number:04}"), &image, Some(&image));
        function.publish(&image, Some(&image));
    }
}

/// The images of all versions of 1,900 functions, at AWS's published quotas, with answers that take a tenth of a
/// second.
async fn nineteen_hundred_functions_are_read_in_time(images: u32, image_of: fn(u32, u32) -> u32) {
    const VERSIONS: u32 = 4;
    let aws = SimulatedAws::in_memory();
    let region = region_of_its_own("sim-functions");
    let place = aws.region(&region);
    aws.disable_region(REGION);
    let app = place.repository("app");
    let image = |number: u32| Image::built_from(&format!("image-{number}")).days_old(f64::from(number));
    let used: Vec<String> = (0..images).map(|number| app.uri_by_digest(&app.push(image(number)))).collect();
    for number in 0..1_900 {
        let image = |version| used[image_of(number, version) as usize].as_str();
        let function = place.function(&format!("function-{number:04}"), image(0), Some(image(0)));
        (1..=VERSIONS).for_each(|version| _ = function.publish(image(version), Some(image(version))));
    }
    (0..30).for_each(|number| _ = app.push(image(images + number)));
    aws.set_latency(Duration::from_millis(100));
    aws.set_quota(&["lambda:GetFunction"], 100, 100);
    aws.set_quota(&["lambda:ListFunctions", "lambda:ListAliases", "lambda:ListEventSourceMappings"], 15, 15);

    let clients = clients_in(&aws, &region).await.with_haste(Haste::NONE);
    let report = run_with(&clients, merciless(false), Limits::until(Deadline::unknown())).await.unwrap();
    let first_call = aws.calls()[0].at;
    let of_lambda = aws.calls().into_iter().filter(|call| call.operation.starts_with("lambda:"));
    let seconds = of_lambda.map(|call| call.at.duration_since(first_call).as_secs_f64()).fold(0.0, f64::max);
    assert!(seconds < 30.0, "{seconds} s");
    assert_eq!((report.outcome, report.totals.images_deleted), (Outcome::Completed, 30));
    assert_eq!(app.digests(), used.iter().map(|uri| uri.rsplit_once('@').unwrap().1.to_owned()).collect());
    assert_eq!(aws.calls_of("lambda:ListFunctions").len(), usize::div_ceil(1_900 * 5, 50));
    assert_eq!(aws.calls_of("lambda:GetFunction").len(), used.len(), "one a digest");
}

#[tokio::test(start_paused = true)]
async fn nineteen_hundred_functions_that_share_images_are_read_in_less_than_thirty_seconds() {
    // Each version of a function has an image that other functions' versions have too, and no two functions have the
    // same versions.
    nineteen_hundred_functions_are_read_in_time(400, |function, version| (function * 7 + version * 100) % 400).await;
}

#[tokio::test(start_paused = true)]
async fn nineteen_hundred_functions_with_an_image_each_are_read_in_less_than_thirty_seconds() {
    nineteen_hundred_functions_are_read_in_time(1_900, |function, _| function).await;
}

#[tokio::test(start_paused = true)]
async fn functions_are_read_again_by_their_listing_alone() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app").daily_builds(150);
    functions(&aws, 60);
    let image = app.uri_by_digest(&app.digest_of("v150"));
    _ = aws.place(ACCOUNT, REGION).function("resize", &image, Some(&image));
    let freshness = FreshnessLimits { max_age: Duration::ZERO, ..FreshnessLimits::CONTRACT };
    let limits = Limits { freshness, ..Limits::until(Deadline::unknown()) };
    let report = run_within(&aws, merciless(false), limits).await.unwrap();
    assert_eq!((report.outcome, app.tags()), (Outcome::Completed, set(["v150"])));
    assert_eq!(aws.calls_of("lambda:GetFunction").len(), 61, "once a run");
    assert_eq!(aws.calls_of("lambda:ListFunctions").len(), 3 * (1 + 2), "three pages, for the plan and two batches");
}

#[tokio::test(start_paused = true)]
async fn a_function_that_gets_new_code_in_between_holds_the_old_image_and_the_new() {
    let (tags, report) = survivors(async |aws, app| {
        let [old, new] = ["used", "junk-1"].map(|tag| app.uri_by_digest(&app.digest_of(tag)));
        let function = aws.place(ACCOUNT, REGION).function("resize", &old, Some(&old));
        let update = move || function.update_code(&new, Some(&new));
        aws.inject(Fault::before("lambda:GetFunction", Duration::ZERO, update));
    })
    .await;
    assert_eq!((report.outcome, tags), (Outcome::Completed, set(["used", "junk-1"])));
}

#[tokio::test(start_paused = true)]
async fn with_a_number_of_versions_only_these_and_the_named_ones_count() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app").daily_builds(6);
    let image = |tag: &str| app.uri_by_digest(&app.digest_of(tag));
    let function = aws.place(ACCOUNT, REGION).function("resize", "nginx", None);
    let [aliased, weighted, mapped, _unnamed, newest] = ["v1", "v2", "v3", "v4", "v5"].map(|tag| {
        let image = image(tag);
        function.publish(&image, Some(&image))
    });
    function.publish_latest(&image("v6"), Some(&image("v6")));
    function.alias("live", &aliased, &[&weighted]);
    function.map_event_source(&mapped);
    assert_eq!(newest, "5");
    run_on(&aws, with(merciless(false), &json!({ "lambdaVersionsToKeep": 1 }))).await;
    assert_eq!(app.tags(), set(["v1", "v2", "v3", "v5", "v6"]));
    let all: Value = json!({ "lambdaVersionsToKeep": null });
    aws.forget_calls();
    run_on(&aws, with(merciless(true), &all)).await;
    assert_eq!(aws.calls_of("lambda:ListAliases").len() + aws.calls_of("lambda:ListEventSourceMappings").len(), 0);
}

#[tokio::test(start_paused = true)]
async fn where_a_number_of_versions_count_and_what_names_them_is_denied_nothing_goes() {
    for (operation, told) in [
        ("lambda:ListAliases", "Lambda: lambda:ListAliases: AccessDeniedException"),
        ("lambda:ListEventSourceMappings", "Lambda: lambda:ListEventSourceMappings: AccessDeniedException"),
    ] {
        let aws = SimulatedAws::in_memory();
        let app = aws.repository("app").daily_builds(3);
        _ = aws.place(ACCOUNT, REGION).function("resize", "nginx", None);
        aws.inject(Fault::denied(operation));
        let report = run_on(&aws, with(merciless(false), &json!({ "lambdaVersionsToKeep": 1 }))).await;
        assert_eq!((report.outcome.as_str(), app.tags().len()), ("refused", 3));
        assert!(report.warnings.iter().any(|warning| warning.message.contains(told)), "{:?}", report.warnings);
    }
}
