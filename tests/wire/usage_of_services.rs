//! The images in use by services, task definitions and daemons, even without a running task.

use serde_json::json;
use simulated_aws::{ACCOUNT, Fault, Image, REGION, Repository, Service, SimulatedAws, Task};

use crate::support::{keeps_what_is_used, merciless, run_on, set, survivors, with};

/// A revision of a family with a newer revision, so that only references to it keep its image.
fn old_revision(aws: &SimulatedAws, family: &str, image: &str) -> String {
    let place = aws.place(ACCOUNT, REGION);
    let old = place.register(family, &["nginx", image]);
    place.register(family, &["nginx"]);
    old
}

/// The digest of the image in use, after its tag has moved to a newer image that is deleted.
fn move_tag(app: &Repository) -> String {
    let digest = app.digest_of("used");
    app.retag("used", "still-here");
    app.push(Image::tagged("used").days_old(3.0));
    digest
}

keeps_what_is_used! {
    by_a_service_at_zero: async |aws, app| {
        let definition = old_revision(aws, "web", &app.uri("used"));
        aws.cluster("prod").create(Service::of(&definition).at_zero());
    };
    by_a_draining_service: async |aws, app| {
        let definition = old_revision(aws, "web", &app.uri("used"));
        aws.cluster("prod").create(Service::of(&definition).draining());
    };
    by_an_inactive_revision_that_a_service_names: async |aws, app| {
        let definition = old_revision(aws, "web", &app.uri("used"));
        aws.place(ACCOUNT, REGION).deregister(&definition);
        aws.cluster("prod").create(Service::of(&definition));
    };
    by_an_older_deployment: async |aws, app| {
        let old = old_revision(aws, "web", &app.uri("used"));
        let new = old.replace(":1", ":2");
        aws.cluster("prod").create(Service::of(&new).deployment(&new, "IN_PROGRESS").deployment(&old, "COMPLETED"));
    };
    by_a_task_set: async |aws, app| {
        let definition = old_revision(aws, "web", &app.uri("used"));
        aws.cluster("prod").create(Service::external().task_set(&definition));
    };
    by_the_newest_revision_of_an_idle_family: async |aws, app| {
        aws.place(ACCOUNT, REGION).register("nightly", &["nginx"]);
        aws.place(ACCOUNT, REGION).register("nightly", &["nginx", &app.uri("used")]);
    };
    by_the_tenth_revision_which_is_newer_than_the_ninth: async |aws, app| {
        for _ in 1..=9 {
            aws.place(ACCOUNT, REGION).register("nightly", &["nginx"]);
        }
        aws.place(ACCOUNT, REGION).register("nightly", &[&app.uri("used")]);
    };
    by_the_newest_active_revision_below_an_inactive_one: async |aws, app| {
        aws.place(ACCOUNT, REGION).register("nightly", &[&app.uri("used")]);
        let newest = aws.place(ACCOUNT, REGION).register("nightly", &[&app.uri("junk-1")]);
        aws.place(ACCOUNT, REGION).deregister(&newest);
    };
    by_the_11th_service: async |aws, app| {
        let junk = old_revision(aws, "web", "nginx");
        for _ in 0..10 {
            aws.cluster("prod").create(Service::of(&junk));
        }
        let used = old_revision(aws, "api", &app.uri("used"));
        aws.cluster("prod").create(Service::of(&used));
    };
    by_the_101st_service: async |aws, app| {
        let junk = old_revision(aws, "web", "nginx");
        for _ in 0..100 {
            aws.cluster("prod").create(Service::of(&junk));
        }
        let used = old_revision(aws, "api", &app.uri("used"));
        aws.cluster("prod").create(Service::of(&used));
    };
    by_the_101st_family: async |aws, app| {
        for number in 0..100 {
            aws.place(ACCOUNT, REGION).register(&format!("family-{number:03}"), &["nginx"]);
        }
        // Listings are in reverse order, so this one comes last.
        aws.place(ACCOUNT, REGION).register("a-family", &[&app.uri("used")]);
    };
    by_one_of_few_families_with_very_many_revisions: async |aws, app| {
        for _ in 0..1_500 {
            aws.place(ACCOUNT, REGION).register("z-family", &["nginx"]);
        }
        aws.place(ACCOUNT, REGION).register("a-family", &[&app.uri("used")]);
    };
    by_a_family_before_one_that_fills_the_first_pages: async |aws, app| {
        (0..30).for_each(|number| _ = aws.place(ACCOUNT, REGION).register(&format!("family-{number:02}"), &["nginx"]));
        (0..1_200).for_each(|_| _ = aws.place(ACCOUNT, REGION).register("z-family", &["nginx"]));
        aws.place(ACCOUNT, REGION).register("a-family", &[&app.uri("used")]);
    };
    by_a_task_whose_containers_are_not_listed_yet: async |aws, app| {
        let definition = old_revision(aws, "web", &app.uri("used"));
        aws.cluster("prod").start(Task::without_containers().from_definition(&definition));
    };
    by_the_tag_of_a_definition_whose_task_tells_only_a_digest: async |aws, app| {
        let definition = old_revision(aws, "web", &app.uri("used"));
        let uri = app.uri_by_digest("sha256:0000000000000000000000000000000000000000000000000000000000000000");
        aws.cluster("prod").start(Task::of("nginx").and_container(&uri, None).from_definition(&definition));
        aws.cluster("prod").create(Service::of(&definition));
    };
    by_a_daemon: async |aws, app| {
        let cluster = aws.cluster("prod");
        _ = aws.place(ACCOUNT, REGION).daemon(&cluster, &[(&app.uri("used"), None)]);
    };
    beside_a_service_that_was_deleted_in_between: async |aws, app| {
        aws.cluster("prod").create(Service::external().not_described("MISSING"));
        aws.cluster("prod").runs(&app.uri("used"));
    };
    beside_a_revision_from_before_revisions_were_kept: async |aws, app| {
        aws.cluster("prod").create(Service::external().revision("arn:aws:ecs:us-west-2:123456789012:service-revision/old"));
        aws.cluster("prod").runs(&app.uri("used"));
    };
}

#[tokio::test(start_paused = true)]
async fn by_the_digest_that_a_service_revision_pinned_after_the_tag_moved() {
    let (tags, _) = survivors(async |aws, app| {
        let digest = move_tag(app);
        let revision =
            aws.place(ACCOUNT, REGION).service_revision("web:1", &[("nginx", None), (&app.uri("gone"), Some(&digest))]);
        aws.cluster("prod").create(Service::external().revision(&revision));
    })
    .await;
    assert_eq!(tags, set(["still-here"]));
}

#[tokio::test(start_paused = true)]
async fn by_the_rollback_target_of_a_deployment_under_way() {
    for status in ["PENDING", "IN_PROGRESS", "STOP_REQUESTED", "ROLLBACK_IN_PROGRESS", "A_STATUS_TO_COME"] {
        let (tags, _) = survivors(async |aws, app| {
            aws.is_newer_than_its_models("A_STATUS_TO_COME");
            let digest = move_tag(app);
            let place = aws.place(ACCOUNT, REGION);
            let source = place.service_revision("web:1", &[(&app.uri("gone"), Some(&digest))]);
            let target = place.service_revision("web:2", &[("nginx", None)]);
            let deployment = place.service_deployment("web", status, &[&source], &target);
            aws.cluster("prod").create(Service::external().revision(&target).current_deployment(&deployment));
        })
        .await;
        assert_eq!(tags, set(["still-here"]), "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn by_the_rollback_target_of_a_deployment_that_has_to_be_looked_up() {
    let (tags, _) = survivors(async |aws, app| {
        let digest = move_tag(app);
        let place = aws.place(ACCOUNT, REGION);
        let source = place.service_revision("web:1", &[(&app.uri("gone"), Some(&digest))]);
        let definition = place.register("web", &["nginx"]);
        let service = Service::of(&definition).deployment(&definition, "IN_PROGRESS");
        let service = aws.cluster("prod").create(service);
        for _ in 0..101 {
            place.service_deployment(&service, "SUCCESSFUL", &[], &source);
        }
        let target = place.service_revision("web:2", &[("nginx", None)]);
        place.service_deployment(&service, "ROLLBACK_REQUESTED", &[&source], &target);
    })
    .await;
    assert_eq!(tags, set(["still-here"]));
}

#[tokio::test(start_paused = true)]
async fn by_a_deployment_under_way_beside_a_current_one_that_is_done() {
    let (tags, _) = survivors(async |aws, app| {
        let digest = move_tag(app);
        let place = aws.place(ACCOUNT, REGION);
        let source = place.service_revision("web:1", &[(&app.uri("gone"), Some(&digest))]);
        let target = place.service_revision("web:2", &[("nginx", None)]);
        let definition = place.register("web", &["nginx"]);
        let done = place.service_deployment("an-older-one", "SUCCESSFUL", &[], &target);
        let service = Service::of(&definition).deployment(&definition, "IN_PROGRESS").current_deployment(&done);
        let service = aws.cluster("prod").create(service);
        place.service_deployment(&service, "IN_PROGRESS", &[&source], &target);
    })
    .await;
    assert_eq!(tags, set(["still-here"]));
}

#[tokio::test(start_paused = true)]
async fn a_deployment_that_is_done_holds_its_source_no_more() {
    let (tags, _) = survivors(async |aws, app| {
        let place = aws.place(ACCOUNT, REGION);
        let source = place.service_revision("web:1", &[(&app.uri("used"), None)]);
        let target = place.service_revision("web:2", &[(&app.uri("junk-1"), None)]);
        let deployment = place.service_deployment("web", "SUCCESSFUL", &[&source], &target);
        aws.cluster("prod").create(Service::external().revision(&target).current_deployment(&deployment));
    })
    .await;
    assert_eq!(tags, set(["junk-1"]));
}

#[tokio::test(start_paused = true)]
async fn as_many_revisions_of_a_family_count_as_are_asked_for() {
    for (keep, expected) in [(0, set([])), (1, set(["v3"])), (2, set(["v2", "v3"])), (9, set(["v1", "v2", "v3"]))] {
        let aws = SimulatedAws::in_memory();
        let app = aws.repository("app").daily_builds(3);
        for tag in ["v1", "v2", "v3"] {
            aws.place(ACCOUNT, REGION).register("nightly", &[&app.uri(tag)]);
        }
        run_on(&aws, with(merciless(false), &json!({ "taskDefinitionsToKeep": keep }))).await;
        assert_eq!(app.tags(), expected, "{keep}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_task_definition_is_described_in_vain_and_none_twice() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app").daily_builds(3);
    let place = aws.place(ACCOUNT, REGION);
    let of_tasks = place.register("of-tasks", &[&app.uri("v1")]);
    let of_revisions = place.register("of-revisions", &[&app.uri("v2")]);
    let unknown = place.register("unknown", &[&app.uri("v3")]);
    for _ in 0..3 {
        aws.cluster("prod").start(Task::of(&app.uri("v1")).from_definition(&of_tasks));
        aws.cluster("prod").create(Service::of(&of_tasks).deployment(&of_tasks, "COMPLETED"));
        aws.cluster("prod").create(Service::of(&unknown).deployment(&unknown, "COMPLETED"));
    }
    let revision = place.service_revision(&of_revisions, &[(&app.uri("v2"), None)]);
    aws.cluster("prod").create(Service::of(&of_revisions).revision(&revision));
    let report = run_on(&aws, merciless(true)).await;
    assert_eq!(report.totals.images_in_use, 3);
    let described = aws.calls_of("ecs:DescribeTaskDefinition").into_iter();
    let mut described: Vec<String> =
        described.map(|call| call.request["taskDefinition"].as_str().unwrap().to_owned()).collect();
    described.sort_unstable();
    // A running task lists all its containers, which a service revision need not do.
    assert_eq!(described, [of_revisions, unknown]);
    assert_eq!(aws.calls_of("ecs:ListTaskDefinitions").len(), 1);
    assert_eq!(aws.calls_of("ecs:DescribeServices").len(), 1);
    assert_eq!(aws.calls_of("ecs:ListServiceDeployments").len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_region_that_does_not_know_daemons_has_none() {
    let (tags, report) = survivors(async |aws, app| {
        aws.cluster("prod").runs(&app.uri("used"));
        aws.inject(Fault::error("ecs:ListDaemons", 400, "UnknownOperationException"));
    })
    .await;
    assert!(report.usage.complete);
    assert_eq!(tags, set(["used"]));
}

#[tokio::test(start_paused = true)]
async fn every_listing_asks_for_its_largest_page() {
    let aws = SimulatedAws::in_memory();
    let place = aws.place(ACCOUNT, REGION);
    let definition = place.register("web", &["nginx"]);
    let cluster = aws.cluster("prod");
    cluster.create(Service::of(&definition).deployment(&definition, "IN_PROGRESS"));
    (0..1_500).for_each(|_| _ = place.register("many", &["nginx"]));
    _ = place.daemon(&cluster, &[("nginx", None)]);
    place.function("resize", "nginx", None).publish("nginx", None);
    run_on(&aws, with(merciless(true), &json!({ "lambdaVersionsToKeep": 1 }))).await;
    for (operation, field, size) in [
        ("ecs:ListClusters", "maxResults", json!(100)),
        ("ecs:ListTasks", "maxResults", json!(100)),
        ("ecs:ListServices", "maxResults", json!(100)),
        ("ecs:ListServiceDeployments", "maxResults", json!(100)),
        ("ecs:ListTaskDefinitionFamilies", "maxResults", json!(100)),
        ("ecs:ListDaemons", "maxResults", json!(100)),
        ("ecs:ListDaemonDeployments", "maxResults", json!(100)),
        ("lambda:ListFunctions", "MaxItems", json!("50")),
        ("lambda:ListAliases", "MaxItems", json!("50")),
        ("lambda:ListEventSourceMappings", "MaxItems", json!("50")),
        ("account:ListRegions", "MaxResults", json!(50)),
        ("ecr:DescribeRepositories", "maxResults", json!(1_000)),
    ] {
        let calls = aws.calls_of(operation);
        assert!(!calls.is_empty(), "{operation}");
        assert!(calls.iter().all(|call| call.request[field] == size), "{operation}: {calls:?}");
    }
}
