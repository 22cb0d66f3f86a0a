//! A report looks the same from the run itself and from the JSON that the run returned.

use ecr_cleanup::show::html::html;
use ecr_cleanup::show::markdown::{markdown, markdown_of};
use ecr_cleanup::show::table::{Colours, Details, Look, table, table_of};
use ecr_cleanup::show::view::{Images, View};
use ecr_cleanup_core::report::Report;
use serde_json::{Value, json};
use simulated_aws::{ACCOUNT, Fault, Image, REGION, SimulatedAws};

use crate::schema::violation;
use crate::support::{json_of, merciless, push_multi_arch, run_on, with};

/// An example of everything: multi-arch images, images to archive, failures, images at risk, and unreadable
/// repositories.
async fn eventful(dry_run: bool) -> Report {
    let aws = SimulatedAws::in_memory();
    aws.place(ACCOUNT, REGION).exclude_pull_times_of("arn:aws:iam::123456789012:role/ecr-cleanup");
    let app = aws.repository("app").daily_builds(7);
    push_multi_arch(&app, "multi", 9.0);
    aws.cluster("prod").runs(&app.uri("v3"));
    aws.cluster("prod").runs(&app.uri("v7"));
    app.set_lifecycle_policy(&json!({ "rules": [{
        "rulePriority": 1,
        "selection": { "tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 1 },
        "action": { "type": "expire" },
    }] }));
    let web = aws.repository("web");
    web.push(Image::tagged("to-the-archive").days_old(90.0));
    aws.repository("locked").push(Image::tagged("v1").days_old(90.0));
    aws.region("eu-central-1").repository("app").push(Image::tagged("old").days_old(90.0));
    aws.inject(Fault::denied("ecr:DescribeImages").for_repository("locked"));
    aws.inject(Fault::denied("ecr:DescribeRepositories").in_region("eu-central-1"));
    aws.inject(Fault::image_failures([
        (app.digest_of("v1").as_str(), "KmsError"),
        (app.digest_of("v2").as_str(), "ImageReferencedByManifestList"),
    ]));
    let rule = |action: Value| {
        let selection =
            json!({ "tagStatus": "any", "countType": "sinceImagePushed", "countUnit": "days", "countNumber": 3 });
        json!([{ "rulePriority": 1, "selection": selection, "action": action }])
    };
    let archive = json!({ "type": "transition", "targetStorageClass": "archive" });
    let policies = json!([
        { "repositories": ["app"], "rules": rule(json!({ "type": "expire" })) },
        { "repositories": ["web"], "rules": rule(archive) },
    ]);
    let event = json!({ "policies": policies, "exactSizes": true });
    let mut event = with(merciless(dry_run), &event);
    event.as_object_mut().unwrap().remove("untaggedOlderThanDays");
    run_on(&aws, event).await
}

#[tokio::test(start_paused = true)]
async fn from_a_run_and_from_its_json_a_report_is_seen_alike() {
    for dry_run in [true, false] {
        let report = eventful(dry_run).await;
        let of_run = View::of(&report, Images::Listed);
        let of_json: View = serde_json::from_value(json_of(&report)).unwrap();
        assert_eq!(of_run, of_json);
        assert_eq!(of_run.unread.len(), 2, "{:?}", of_run.unread);
        assert!(of_run.totals.images_to_archive == 1 && of_run.totals.images_at_risk > 0 && of_run.any_is_exact());
        let undone: u64 = of_run.repositories.iter().flat_map(|it| it.undone.values()).sum();
        assert_eq!(undone, if dry_run { 0 } else { 2 });

        let look = Look { width: Some(140), colours: Colours::None, details: Details::Images };
        assert_eq!(table(&report, &look), table_of(&of_json, &look));
        assert_eq!(markdown(&report), markdown_of(&of_json));
        // The report from Lambda omits some images in use, which neither output mentions.
        let returned: View = serde_json::from_str(&report.to_json_within(usize::MAX).unwrap()).unwrap();
        assert_eq!(returned, of_json);
    }
}

#[tokio::test(start_paused = true)]
async fn a_page_carries_all_that_the_report_has() {
    let report = eventful(true).await;
    let page = html(&report);
    let (_, from) = page.split_once(r#"<script type="application/json" id="report">"#).unwrap();
    let on_page: Value = serde_json::from_str(from.split_once("</script>").unwrap().0).unwrap();
    assert_eq!(on_page, json_of(&report));
    let repository = &on_page["regions"][1]["repositories"][0];
    let names = |list: &str| -> Vec<&str> {
        repository[list].as_array().into_iter().flatten().map(|image| image["imageTags"][0].as_str().unwrap()).collect()
    };
    assert_eq!(repository["repositoryName"], "app");
    assert_eq!(
        [names("onlyInUse"), names("alsoInUse")],
        [vec!["v3"], vec!["v7"]],
        "who holds each image in use is told"
    );
    assert!(repository["alsoInUse"][0]["heldBy"].as_str().unwrap().contains("ECS task"));
}

#[tokio::test(start_paused = true)]
async fn in_use_counts_what_an_index_names() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app").daily_builds(2);
    push_multi_arch(&app, "multi", 9.0);
    aws.cluster("prod").runs(&app.uri("multi"));
    // With stale images, the index is read. Without, its size is that of its largest platform.
    for (event, images) in
        [(merciless(true), 2), (with(merciless(true), &json!({ "imagesToKeep": 9, "untaggedOlderThanDays": null })), 1)]
    {
        let report = run_on(&aws, event).await;
        let decided = report.plan.decided().next().unwrap();
        assert_eq!(decided.bytes_in_use, images * 50_000_000);
        assert_eq!(decided.bytes, decided.bytes_kept + report.totals.bytes_stale);
    }
}

#[tokio::test(start_paused = true)]
async fn a_warning_tells_its_code_where_it_is_and_what_failed() {
    let aws = SimulatedAws::in_memory();
    for name in ["app", "locked"] {
        aws.repository(name).push(Image::tagged("v1").days_old(90.0));
    }
    aws.cluster("prod").runs("nginx");
    aws.inject(Fault::denied("ecr:DescribeImages").for_repository("locked"));
    aws.inject(Fault::denied("ecs:ListTasks"));
    aws.inject(Fault::denied("ecr:GetLifecyclePolicy"));
    let event = with(merciless(true), &json!({ "inUseImages": [aws.repository("app").uri("v1")] }));
    let report = json_of(&run_on(&aws, event).await);
    let warned = |code: &str| {
        let warnings = report["warnings"].as_array().unwrap();
        warnings.iter().find(|warning| warning["code"] == code).unwrap_or_else(|| panic!("{warnings:?}"))
    };
    let denied = |api: &str| {
        json!({
            "api": api, "code": "AccessDeniedException", "message": format!("simulated: {api} answers AccessDeniedException"),
            "remedy": format!("grant {api} to the role or user that runs ecr-cleanup"),
        })
    };
    let incomplete = warned("UsageIncomplete");
    let of_source = json!({ "account": ACCOUNT, "region": REGION, "source": "ECS tasks" });
    assert_eq!(incomplete["cause"], with(denied("ecs:ListTasks"), &of_source));
    assert!(incomplete["message"].as_str().unwrap().contains("grant ecs:ListTasks"));
    assert_eq!(warned("NotAudited")["cause"], denied("ecr:GetLifecyclePolicy"));
    assert_eq!(
        (&warned("NotAudited")["registryId"], &warned("NotAudited")["region"]),
        (&json!(ACCOUNT), &json!(REGION))
    );
    assert_eq!(report["regions"][0]["repositories"][1]["error"], denied("ecr:DescribeImages"));
}

#[tokio::test(start_paused = true)]
async fn nothing_else_is_a_report() {
    let report = json_of(&eventful(false).await);
    assert_eq!(violation(&report), None);
    let repository = "/regions/1/repositories/0";
    let [stale, in_use] = ["stale", "onlyInUse"].map(|list| format!("{repository}/{list}/0"));
    for at in [
        "",
        "/totals",
        "/settings",
        "/settings/imagesToKeep",
        "/usage",
        "/regions/0",
        "/regions/0/error",
        repository,
        &stale,
        &in_use,
    ] {
        let mut more = report.clone();
        more.pointer_mut(at).unwrap().as_object_mut().unwrap().insert("more".to_owned(), json!(1));
        assert!(violation(&more).is_some_and(|told| told.contains("has more")), "{at}");
        let object = report.pointer(at).unwrap().as_object().unwrap();
        let mut less = report.clone();
        let is_required = |name: &&String| !["alsoInUse", "api", "atRisk", "error"].contains(&name.as_str());
        let first = object.keys().find(is_required).unwrap();
        less.pointer_mut(at).unwrap().as_object_mut().unwrap().remove(first);
        assert!(violation(&less).is_some_and(|told| told.contains("has no")), "{at} without {first}");
    }
    for (at, wrong) in [
        ("/version", json!(1)),
        ("/outcome", json!("done")),
        ("/totals/images", json!(-1)),
        ("/finishedAt", json!("today")),
        ("/settings/keepTags/from", json!("nowhere")),
        (&format!("{stale}/reasonCode"), json!("old")),
        (&format!("{stale}/imageDigest"), json!("sha256:1")),
    ] {
        let mut changed = report.clone();
        *changed.pointer_mut(at).unwrap() = wrong;
        assert!(violation(&changed).is_some(), "{at}");
    }
}
