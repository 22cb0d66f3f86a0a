//! The images in use by Lambda functions and by settings.

use serde_json::json;
use simulated_aws::{ACCOUNT, Image, REGION, SimulatedAws};

use crate::support::{keeps_what_is_used, merciless, run_on, set, survivors, with};

keeps_what_is_used! {
    by_the_unpublished_version: async |aws, app| {
        _ = aws.place(ACCOUNT, REGION).function("resize", &app.uri("used"), None);
    };
    by_the_newest_published_version: async |aws, app| {
        let function = aws.place(ACCOUNT, REGION).function("resize", "nginx", None);
        (0..9).for_each(|_| _ = function.publish("nginx", None));
        function.publish(&app.uri("used"), None);
    };
    by_the_version_behind_an_alias: async |aws, app| {
        let function = aws.place(ACCOUNT, REGION).function("resize", "nginx", None);
        let version = function.publish(&app.uri("used"), None);
        function.publish("nginx", None);
        function.alias("live", &version, &[]);
    };
    by_an_aliass_weight: async |aws, app| {
        let function = aws.place(ACCOUNT, REGION).function("resize", "nginx", None);
        let version = function.publish(&app.uri("used"), None);
        let newest = function.publish("nginx", None);
        function.alias("live", &newest, &[&version]);
    };
    by_the_version_that_an_event_source_mapping_names: async |aws, app| {
        let function = aws.place(ACCOUNT, REGION).function("resize", "nginx", None);
        let version = function.publish(&app.uri("used"), None);
        function.publish("nginx", None);
        function.map_event_source(&version);
        function.map_event_source("an-alias");
    };
    by_the_51st_function: async |aws, app| {
        let place = aws.place(ACCOUNT, REGION);
        (0..50).for_each(|number| _ = place.function(&format!("function-{number:02}"), "nginx", None));
        _ = place.function("z-last", &app.uri("used"), None);
    };
    by_the_51st_alias: async |aws, app| {
        let function = aws.place(ACCOUNT, REGION).function("resize", "nginx", None);
        let version = function.publish(&app.uri("used"), None);
        let newest = function.publish("nginx", None);
        (0..50).for_each(|number| function.alias(&format!("alias-{number:02}"), &newest, &[]));
        function.alias("z-last", &version, &[]);
    };
    by_the_newest_of_51_versions: async |aws, app| {
        let function = aws.place(ACCOUNT, REGION).function("resize", "nginx", None);
        (0..50).for_each(|_| _ = function.publish("nginx", None));
        function.publish(&app.uri("used"), None);
    };
    by_a_function_in_another_region: async |aws, app| {
        _ = aws.region("eu-west-1").function("resize", &app.uri("used"), None);
    };
    beside_an_alias_whose_version_was_deleted_in_between: async |aws, app| {
        let function = aws.place(ACCOUNT, REGION).function("resize", &app.uri("used"), None);
        function.alias("live", "7", &[]);
    };
}

#[tokio::test(start_paused = true)]
async fn by_the_digest_that_a_function_resolved_after_the_tag_moved() {
    let (tags, _) = survivors(async |aws, app| {
        let digest = app.digest_of("used");
        app.retag("used", "still-here");
        app.push(Image::tagged("used").days_old(3.0));
        let resolved = app.uri_by_digest(&digest);
        _ = aws.place(ACCOUNT, REGION).function("resize", &app.uri("gone"), Some(&resolved));
    })
    .await;
    assert_eq!(tags, set(["still-here"]));
}

#[tokio::test(start_paused = true)]
async fn zip_functions_are_not_asked_for_anything() {
    let aws = SimulatedAws::in_memory();
    aws.place(ACCOUNT, REGION).zip_function("zipped");
    run_on(&aws, merciless(true)).await;
    let of_lambda: Vec<String> = aws
        .calls()
        .into_iter()
        .map(|call| call.operation)
        .filter(|operation| operation.starts_with("lambda:"))
        .collect();
    assert_eq!(of_lambda, ["lambda:ListFunctions"]);
}

#[tokio::test(start_paused = true)]
async fn as_many_published_versions_count_as_are_asked_for() {
    for (keep, expected) in [(0, set(["latest"])), (2, set(["latest", "v2", "v3"]))] {
        let aws = SimulatedAws::in_memory();
        let app = aws.repository("app").daily_builds(3);
        app.push(Image::tagged("latest").days_old(9.0));
        let function = aws.place(ACCOUNT, REGION).function("resize", &app.uri("latest"), None);
        for tag in ["v1", "v2", "v3"] {
            function.publish(&app.uri(tag), None);
        }
        run_on(&aws, with(merciless(false), &json!({ "lambdaVersionsToKeep": keep }))).await;
        assert_eq!(app.tags(), expected, "{keep}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_settings_name_is_in_use() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app").daily_builds(3);
    app.push(Image::tagged("v0").days_old(9.0));
    // Reports show images without their registry, and users copy them from there.
    let named = [app.uri("v1"), app.uri_by_digest(&app.digest_of("v2")), "app:v0".to_owned(), "nginx:1.27".to_owned()];
    let report = run_on(&aws, with(merciless(false), &json!({ "inUseImages": named }))).await;
    assert_eq!(app.tags(), set(["v0", "v1", "v2"]));
    assert_eq!(report.plan.decided().next().unwrap().held[0].held_by.to_string(), "setting inUseImages");
}
