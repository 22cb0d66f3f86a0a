//! Running images are kept. If usage is not known in full, nothing is deleted.

use ecr_cleanup_core::plan::Refusal;
use ecr_cleanup_core::report::{Outcome, Report};
use serde_json::json;
use simulated_aws::{ACCOUNT, Fault, Image, REGION, Service, SimulatedAws, Task};

use crate::support::{keeps_what_is_used, merciless, run_on, set, stale_tags, survivors, with};

keeps_what_is_used! {
    by_a_task_that_names_its_tag: async |aws, app| _ = aws.cluster("prod").runs(&app.uri("used"));
    by_a_task_that_names_its_digest: async |aws, app| {
        aws.cluster("prod").runs(&app.uri_by_digest(&app.digest_of("used")));
    };
    by_a_task_that_names_a_moved_tag_and_its_digest: async |aws, app| {
        let digest = app.digest_of("used");
        aws.cluster("prod").runs(&format!("{}@{digest}", app.uri("moved-away")));
    };
    by_a_stopped_task: async |aws, app| _ = aws.cluster("prod").start(Task::of(&app.uri("used")).stopped());
    by_a_second_container: async |aws, app| {
        aws.cluster("prod").start(Task::of("nginx").and_container(&app.uri("used"), None));
    };
    by_a_fips_endpoint: async |aws, app| _ = aws.cluster("prod").runs(&app.uri("used").replace("dkr.ecr", "dkr.ecr-fips"));
    by_a_dual_stack_endpoint: async |aws, app| {
        let uri = app.uri("used").replace("dkr.ecr", "dkr-ecr").replace("amazonaws.com", "on.aws");
        aws.cluster("prod").runs(&uri);
    };
    by_the_101st_cluster: async |aws, app| {
        for number in 0..100 {
            aws.cluster(&format!("cluster-{number:03}")).runs("nginx");
        }
        aws.cluster("z-last").runs(&app.uri("used"));
    };
    by_the_101st_task: async |aws, app| {
        for _ in 0..100 {
            aws.cluster("prod").runs("nginx");
        }
        aws.cluster("prod").runs(&app.uri("used"));
    };
    by_the_101st_stopped_task: async |aws, app| {
        for _ in 0..100 {
            aws.cluster("prod").start(Task::of("nginx").stopped());
        }
        aws.cluster("prod").start(Task::of(&app.uri("used")).stopped());
    };
    by_a_task_in_another_region: async |aws, app| _ = aws.region("eu-west-1").cluster("prod").runs(&app.uri("used"));
    by_a_task_that_runs_the_copy_of_another_region: async |aws, app| {
        aws.region("eu-west-1").cluster("prod").runs(&app.uri("used").replace("us-west-2", "eu-west-1"));
    };
    by_a_proxy_that_names_its_digest: async |aws, app| {
        aws.cluster("prod").runs(&format!("mirror.example.com/app@{}", app.digest_of("used")));
    };
    beside_a_task_that_ended_in_between: async |aws, app| {
        aws.cluster("prod").start(Task::of(&app.uri("junk-1")).not_described("MISSING"));
        aws.cluster("prod").runs(&app.uri("used"));
    };
    beside_a_cluster_that_was_deleted_in_between: async |aws, app| {
        _ = aws.cluster("gone");
        aws.cluster("prod").runs(&app.uri("used"));
        aws.inject(Fault::error("ecs:*", 400, "ClusterNotFoundException").mentioning("cluster/gone"));
    };
}

#[tokio::test(start_paused = true)]
async fn a_moved_tag_keeps_the_image_that_runs_and_the_one_it_names_now() {
    let (tags, report) = survivors(async |aws, app| {
        let old = app.digest_of("used");
        app.push(Image::tagged("used").and_tag("now").days_old(800.0));
        aws.cluster("prod").start(Task::pulled(&app.uri("used"), &old));
    })
    .await;
    assert_eq!(tags, set(["used", "now"]));
    assert_eq!((report.totals.images_in_use, report.totals.images_deleted), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_task_that_names_no_tag_runs_latest() {
    let (tags, _) = survivors(async |aws, app| {
        app.push(Image::tagged("latest").days_old(900.0));
        aws.cluster("prod").runs(&app.name_with_registry());
    })
    .await;
    assert_eq!(tags, set(["latest"]));
}

#[tokio::test(start_paused = true)]
async fn many_tasks_are_described_a_hundred_at_a_time_running_and_stopped_together() {
    let aws = SimulatedAws::in_memory();
    for number in 0..150 {
        aws.cluster("prod").runs(&format!("nginx:{number}"));
        aws.cluster("prod").start(Task::of("redis").stopped());
    }
    let report = run_on(&aws, json!({})).await;
    assert_eq!(report.usage.references, 151);
    let calls = aws.calls_of("ecs:DescribeTasks");
    assert!(calls.iter().all(|call| call.request["tasks"].as_array().unwrap().len() == 100));
    assert_eq!(calls.len(), 3);
    assert_eq!(aws.calls_of("ecs:ListTasks").len(), 4);
}

/// In each of these cases a live run deletes nothing anywhere, and a dry run shows the same cause.
macro_rules! deletes_nothing {
    ($($behaviour:ident: $told:expr, $spoil:expr;)*) => {$(
        #[tokio::test(start_paused = true)]
        async fn $behaviour() {
            let spoil: fn(&SimulatedAws) = $spoil;
            let aws = SimulatedAws::in_memory();
            let app = aws.repository("app").daily_builds(3);
            let europe = aws.region("eu-west-1").repository("app").daily_builds(3);
            aws.region("eu-west-1").cluster("prod").runs(&europe.uri("v1"));
            aws.cluster("prod").runs(&app.uri("v3"));
            spoil(&aws);
            let regions = json!({ "region": ["us-west-2", "eu-west-1"] });
            let live = run_on(&aws, with(merciless(false), &regions)).await;
            let Outcome::Refused(refusal @ Refusal::UsageIncomplete { images_done: 0, .. }) = &live.outcome else {
                panic!("{:?}", live.outcome)
            };
            assert!(!live.usage.complete);
            assert_eq!((app.tags().len(), europe.tags().len()), (3, 3));
            assert_eq!(aws.calls_of("ecr:BatchDeleteImage").len(), 0);
            let refusal = refusal.to_string();
            for told in $told {
                assert!(refusal.contains(told), "{told} in {refusal}");
            }

            let dry = run_on(&aws, with(merciless(true), &regions)).await;
            assert_eq!(dry.outcome, Outcome::Planned);
            assert!(!dry.usage.complete && dry.totals.images_stale > 0);
            let warnings: Vec<String> = dry.warnings.iter().map(ToString::to_string).collect();
            for told in $told {
                assert!(warnings.iter().any(|warning| warning.contains(told)), "{told} in {warnings:?}");
            }
        }
    )*};
}

deletes_nothing! {
    when_a_region_denies_everything:
        ["account 123456789012, eu-west-1: ECS clusters: ecs:ListClusters: AccessDeniedException", "grant ecs:ListClusters", "set usageRegions to us-west-2"],
        |aws| ["ecs:*", "lambda:*"].into_iter().for_each(|all| aws.inject(Fault::denied(all).in_region("eu-west-1")));
    when_a_task_definition_does_not_tell_its_images:
        ["us-west-2: ECS task definitions: ecs:DescribeTaskDefinition: UnexpectedResponse", "doesn't list all its images"],
        |aws| _ = aws.place(ACCOUNT, REGION).register("secretive", &[]);
    when_a_daemon_does_not_tell_its_images:
        ["us-west-2: ECS daemons: ecs:DescribeDaemonRevisions: UnexpectedResponse", "doesn't list all its images"],
        |aws| _ = aws.place(ACCOUNT, REGION).daemon(&aws.cluster("prod"), &[]);
    when_a_list_is_left_out_altogether:
        ["us-west-2: ECS tasks: ecs:ListTasks: UnexpectedResponse", "no list"],
        |aws| aws.inject(Fault::blank("ecs:ListTasks").in_region("us-west-2"));
    when_the_second_page_of_clusters_is_denied:
        ["us-west-2: ECS clusters: ecs:ListClusters: AccessDeniedException"],
        |aws| {
            (0..100).for_each(|number| _ = aws.cluster(&format!("cluster-{number}")));
            aws.inject(Fault::denied("ecs:ListClusters").in_region("us-west-2").after(1));
        };
    when_the_list_of_clusters_breaks_off:
        ["us-west-2: ECS clusters: ecs:ListClusters: UnexpectedResponse", "a page points to itself as the next page"],
        |aws| {
            (0..201).for_each(|number| _ = aws.cluster(&format!("cluster-{number}")));
            aws.inject(Fault::repeated_token("ecs:ListClusters").in_region("us-west-2").after(1));
        };
    when_one_kind_of_task_can_not_be_listed:
        ["ecs:ListTasks: AccessDeniedException", "grant ecs:ListTasks"],
        |aws| aws.inject(Fault::denied("ecs:ListTasks").mentioning("STOPPED").in_region("us-west-2"));
    when_tasks_can_not_be_described:
        ["ecs:DescribeTasks: AccessDeniedException"],
        |aws| aws.inject(Fault::denied("ecs:DescribeTasks").in_region("us-west-2"));
    when_one_task_can_not_be_described:
        ["ecs:DescribeTasks: ACCESS_DENIED", ":task/prod/"],
        |aws| _ = aws.cluster("prod").start(Task::of("nginx").not_described("ACCESS_DENIED"));
    when_the_regions_can_not_be_listed_but_are_named:
        ["enabled Regions: account:ListRegions: AccessDeniedException", "set usageRegions"],
        |aws| aws.inject(Fault::denied("account:ListRegions"));
    when_an_answer_passes_over_a_task_that_was_asked_for:
        ["ECS tasks: ecs:DescribeTasks: UnexpectedResponse", "the answer covers 1 of 2"],
        |aws| {
            let task = aws.cluster("prod").runs("nginx");
            aws.inject(Fault::leave_out("ecs:DescribeTasks", &task));
        };
    when_services_can_not_be_listed:
        ["ECS services: ecs:ListServices: AccessDeniedException", "grant ecs:ListServices"],
        |aws| aws.inject(Fault::denied("ecs:ListServices").in_region("us-west-2"));
    when_one_service_can_not_be_described:
        ["ECS services: ecs:DescribeServices: ACCESS_DENIED"],
        |aws| _ = aws.cluster("prod").create(Service::external().not_described("ACCESS_DENIED"));
    when_a_services_revision_can_not_be_described:
        ["ECS services: ecs:DescribeServiceRevisions: AccessDeniedException"],
        |aws| {
            let revision = aws.place(ACCOUNT, REGION).service_revision("app:1", &[("nginx", None)]);
            aws.cluster("prod").create(Service::external().revision(&revision));
            aws.inject(Fault::denied("ecs:DescribeServiceRevisions"));
        };
    when_a_task_definition_can_not_be_described:
        ["ECS task definitions: ecs:DescribeTaskDefinition: ClientException"],
        |aws| _ = aws.cluster("prod").create(Service::of("arn:aws:ecs:us-west-2:123456789012:task-definition/gone:1"));
    when_task_definitions_can_not_be_listed:
        ["ECS task definitions: ecs:ListTaskDefinitions: AccessDeniedException"],
        |aws| aws.inject(Fault::denied("ecs:ListTaskDefinitions").in_region("us-west-2"));
    when_daemons_are_known_and_denied:
        ["ECS daemons: ecs:ListDaemons: AccessDeniedException"],
        |aws| aws.inject(Fault::denied("ecs:ListDaemons"));
    when_a_current_revision_of_a_daemon_is_missing:
        ["ECS daemons: ecs:DescribeDaemonRevisions: UnexpectedResponse"],
        |aws| {
            let cluster = aws.cluster("prod");
            aws.place(ACCOUNT, REGION).daemon(&cluster, &[("nginx", None)]);
            let revision = "arn:aws:ecs:us-west-2:123456789012:daemon/prod/0/revision/0";
            aws.inject(Fault::leave_out("ecs:DescribeDaemonRevisions", revision));
        };
    when_functions_can_not_be_listed:
        ["Lambda: lambda:ListFunctions: AccessDeniedException"],
        |aws| aws.inject(Fault::denied("lambda:ListFunctions").in_region("us-west-2"));
    when_a_function_can_not_be_read:
        ["Lambda: lambda:GetFunction: AccessDeniedException"],
        |aws| {
            _ = aws.place(ACCOUNT, REGION).function("resize", "nginx", None);
            aws.inject(Fault::denied("lambda:GetFunction"));
        };
    when_a_reference_does_not_tell_its_repository:
        ["ECS task arn:aws:ecs:us-west-2:123456789012:task/prod/", "invalid ECR image", "its repository is unknown"],
        |aws| _ = aws.cluster("prod").runs("123456789012.dkr.ecr.us-west-2.amazonaws.com/${APP}:v1");
}

#[tokio::test(start_paused = true)]
async fn an_unreadable_reference_keeps_its_repository_whole_and_no_other() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app").daily_builds(3);
    let web = aws.repository("web").daily_builds(3);
    aws.cluster("prod").runs(&web.uri("v3"));
    aws.cluster("prod").runs(&app.uri("not a tag"));
    let report = run_on(&aws, merciless(false)).await;
    assert_eq!(report.outcome, Outcome::Completed);
    assert_eq!(app.tags().len(), 3);
    assert_eq!(web.tags(), set(["v3"]));
    let warning =
        report.warnings.iter().map(ToString::to_string).find(|warning| warning.contains("all images of app are kept"));
    assert!(warning.as_ref().is_some_and(|warning| warning.contains("ECS task arn:")), "{:?}", report.warnings);
}

#[tokio::test(start_paused = true)]
async fn usage_regions_limit_where_is_looked_and_default_what_is_cleaned() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app").daily_builds(3);
    let europe = aws.region("eu-west-1").repository("app").daily_builds(3);
    aws.cluster("prod").runs(&app.uri("v3"));
    aws.inject(Fault::denied("ecs:ListClusters").in_region("eu-west-1"));
    aws.inject(Fault::denied("account:ListRegions"));
    let report = run_on(&aws, with(merciless(false), &json!({ "usageRegions": ["us-west-2"] }))).await;
    assert_eq!(report.outcome, Outcome::Completed);
    assert_eq!((app.tags(), europe.tags().len()), (set(["v3"]), 3));
    assert!(aws.calls().iter().all(|call| call.region == "us-west-2"));
}

#[tokio::test(start_paused = true)]
async fn what_is_cleaned_and_not_looked_in_is_told() {
    let aws = SimulatedAws::in_memory();
    _ = aws.region("eu-west-1");
    let told = |report: &Report| {
        report
            .warnings
            .iter()
            .any(|warning| warning.to_string().contains("eu-west-1 is cleaned but not in usageRegions"))
    };
    let settings = json!({ "region": ["us-west-2", "eu-west-1"], "usageRegions": ["us-west-2"] });
    assert!(told(&run_on(&aws, settings).await));
    assert!(!told(&run_on(&aws, json!({ "region": "eu-west-1" })).await));
}

#[tokio::test(start_paused = true)]
async fn a_run_in_which_nothing_refers_to_the_registry_says_so() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app").daily_builds(3);
    aws.cluster("prod").runs("nginx");
    let says_so = |report: &Report| {
        report.warnings.iter().any(|warning| warning.to_string().contains("no workload uses the registry"))
    };
    assert!(says_so(&run_on(&aws, json!({})).await));
    aws.cluster("prod").runs(&app.uri("v1"));
    assert!(!says_so(&run_on(&aws, json!({})).await));
}

#[tokio::test(start_paused = true)]
async fn a_digest_in_use_holds_its_copies_in_every_repository() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app").daily_builds(1);
    let image = Image::tagged("v1").days_old(400.0);
    aws.cluster("prod").runs(&app.uri_by_digest(image.digest()));
    let copies = [aws.repository("copy"), aws.region("eu-west-1").repository("other/name")];
    for copy in &copies {
        copy.push(image.clone());
    }
    let report = run_on(&aws, merciless(true)).await;
    assert_eq!(report.totals.images_in_use, 2);
    assert_eq!(stale_tags(&report), set(["v1"]), "the build of app");
}
