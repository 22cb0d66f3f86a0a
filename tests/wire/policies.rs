//! ECR lifecycle policies, carried out by one who knows what is running.

use std::collections::BTreeSet;
use std::path::Path;

use ecr_cleanup::aws::Haste;
use ecr_cleanup::deadline::Deadline;
use ecr_cleanup::handler::{Limits, run};
use ecr_cleanup::plan::ImageResult;
use ecr_cleanup::report::{Outcome, Report};
use ecr_cleanup::settings::Environment;
use ecr_cleanup::telemetry;
use serde_json::{Value, json};
use simulated_aws::{ACCOUNT, Fault, Image, REGION, Repository, SimulatedAws};

use crate::support::{json_of, run_on, set, stale_tags, with};

/// A policy of the gallery in `events/policies`, as it is there.
fn gallery(name: &str, dry_run: bool) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("events/policies").join(name).with_extension("json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    with(serde_json::from_str(&text).unwrap(), &json!({ "dryRun": dry_run }))
}

fn merciless(policies: &Value, dry_run: bool) -> Value {
    json!({ "dryRun": dry_run, "policies": policies, "keepTags": [], "keepPulledWithinDays": 0 })
}

/// One policy of one rule for all repositories.
fn one_rule(selection: &Value, action: &Value) -> Value {
    json!([{ "repositories": ["*"], "rules": [{ "rulePriority": 1, "selection": selection, "action": action }] }])
}

fn any_count(number: u32) -> Value {
    json!({ "tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": number })
}

fn unpulled(days: u32) -> Value {
    json!({ "tagStatus": "any", "countType": "sinceImagePulled", "countUnit": "days", "countNumber": days })
}

fn expire() -> Value {
    json!({ "type": "expire" })
}

fn archive() -> Value {
    json!({ "type": "transition", "targetStorageClass": "archive" })
}

fn repository_of(report: &Report) -> Value {
    json_of(report)["regions"][0]["repositories"][0].clone()
}

/// An index with two untagged children; the digests, its own last.
fn push_multi_arch(repository: &Repository, tag: &str, days: f64) -> [String; 3] {
    let platforms = [Image::untagged().days_old(days), Image::untagged().days_old(days)];
    let index = Image::index_of(&platforms).and_tag(tag).days_old(days);
    let [amd64, arm64] = platforms;
    [amd64, arm64, index].map(|image| repository.push(image))
}

#[tokio::test]
async fn five_snapshots_ten_others_and_latest_stay() {
    let aws = SimulatedAws::start().await;
    let app = aws.repository("app");
    for build in 1..=20 {
        app.push(Image::tagged(&format!("1.{build}-SNAPSHOT")).days_old(f64::from(30 - build)));
        app.push(Image::tagged(&format!("1.{build}")).days_old(f64::from(90 - build)));
    }
    app.push_all([Image::tagged("latest").days_old(900.0), Image::untagged().days_old(1.1)]);
    let young = app.push(Image::untagged().days_old(0.9));
    push_multi_arch(&app, "1.21", 60.0);
    aws.cluster("prod").runs(&app.uri("1.2"));
    let report = run_on(&aws, gallery("snapshots-and-releases", false)).await;
    assert_eq!(report.outcome, Outcome::Completed);
    let snapshots = (16..=20).map(|build| format!("1.{build}-SNAPSHOT"));
    let releases = (12..=21).map(|build| format!("1.{build}"));
    let others = ["latest", "1.2"].map(str::to_owned);
    assert_eq!(app.tags(), snapshots.chain(releases).chain(others).collect());
    assert!(app.digests().contains(&young));
    assert_eq!(app.digests().len(), 5 + 10 + 2 + 2 + 1, "the children of 1.21 are untagged, and stay with it");
}

#[tokio::test]
async fn the_gallery_does_what_the_readme_says() {
    type Push = fn(&Repository);
    let cases: [(&str, Push, &[&str]); 4] = [
        (
            "untagged-after-15-days",
            |app| {
                app.push_all([
                    Image::untagged().days_old(16.0),
                    Image::untagged().days_old(14.0),
                    Image::tagged("v1").days_old(90.0),
                ]);
            },
            &["<untagged>", "v1"],
        ),
        (
            "unpulled-deleted",
            |app| {
                app.push_all([
                    Image::tagged("pulled").days_old(90.0).pulled_days_ago(27.0),
                    Image::tagged("not-pulled").days_old(90.0).pulled_days_ago(29.0),
                    Image::tagged("young").days_old(27.0),
                    Image::tagged("never").days_old(29.0),
                ]);
            },
            &["pulled", "young"],
        ),
        (
            "everything-of-app-v",
            |app| app.push_all(["app-v1", "app-v2", "app", "my-app-v1"].map(|tag| Image::tagged(tag).days_old(1.0))),
            &["app", "my-app-v1"],
        ),
        (
            "one-for-all",
            |app| {
                app.push_all((1..=25).map(|build| Image::tagged(&format!("v{build}")).days_old(f64::from(99 - build))));
                app.push_all((1..=5).map(|build| Image::tagged(&format!("x{build}")).days_old(f64::from(200 - build))));
            },
            &[
                "v6", "v7", "v8", "v9", "v10", "v11", "v12", "v13", "v14", "v15", "v16", "v17", "v18", "v19", "v20",
                "v21", "v22", "v23", "v24", "v25",
            ],
        ),
    ];
    for (name, push, left) in cases {
        let aws = SimulatedAws::start().await;
        let app = aws.repository("app");
        push(&app);
        aws.cluster("prod").runs("nginx");
        let report = run_on(&aws, gallery(name, false)).await;
        assert_eq!(report.outcome, Outcome::Completed, "{name}");
        let untagged = (app.digests().len() > app.tags().len()).then(|| "<untagged>".to_owned());
        assert_eq!(
            app.tags().into_iter().chain(untagged).collect::<BTreeSet<_>>(),
            set(left.iter().copied()),
            "{name}"
        );
    }
    let files: Vec<_> =
        std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("events/policies")).unwrap().collect();
    assert_eq!(files.len(), 8, "a policy without a case here");
}

#[tokio::test]
async fn the_readmes_example_is_one_that_works() {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let (_, example) = readme.split_once("\n    { \"policies\"").expect("the README has an example");
    let (example, _) = example.split_once("\n\n").unwrap();
    let event: Value = serde_json::from_str(&format!("{{ \"policies\"{example}")).unwrap();
    let aws = SimulatedAws::start().await;
    let web = aws.repository("web/shop");
    web.push_all((1..=7).map(|build| Image::tagged(&format!("{build}-SNAPSHOT")).days_old(99.0 - f64::from(build))));
    web.push(Image::tagged("1.0").days_old(61.0));
    aws.cluster("prod").runs("nginx");
    let report = run_on(&aws, with(event, &json!({ "dryRun": false }))).await;
    assert_eq!(
        (report.outcome, report.totals.images_deleted, report.totals.images_archived),
        (Outcome::Completed, 2, 1)
    );
}

#[tokio::test]
async fn what_is_unpulled_is_archived_and_deleted_after_ninety_days_there() {
    let aws = SimulatedAws::start().await;
    let app = aws.repository("app");
    let pulled = app.push(Image::tagged("pulled").days_old(400.0).pulled_days_ago(3.0));
    let unpulled = app.push(Image::tagged("unpulled").days_old(400.0).pulled_days_ago(61.0));
    app.push(Image::tagged("long-in-archive").days_old(400.0).archived_days_ago(91.0));
    let in_archive = app.push(Image::tagged("in-archive").days_old(400.0).archived_days_ago(89.0));
    let restored = app.push(Image::tagged("restored").days_old(400.0).pulled_days_ago(99.0).restored_days_ago(9.0));
    let activating = app.push(Image::tagged("activating").days_old(400.0).status("ACTIVATING"));
    aws.cluster("prod").runs("nginx");

    let dry = run_on(&aws, gallery("archive-then-delete", true)).await;
    let stale = repository_of(&dry)["stale"].as_array().unwrap().clone();
    let planned: Vec<_> =
        stale.iter().map(|image| (&image["imageTags"][0], &image["action"], &image["reason"])).collect();
    assert!(planned.contains(&(
        &json!("unpulled"),
        &json!("archive"),
        &json!("archived by rule 1 of policy 1 (archive what was not pulled for 60 days)")
    )));
    assert!(planned.contains(&(
        &json!("long-in-archive"),
        &Value::Null,
        &json!("expired by rule 2 of policy 1 (delete after 90 days in the archive)")
    )));
    assert_eq!(repository_of(&dry)["keptBecause"], json!({ "pulledRecently": 2, "policy": 2 }));
    assert_eq!(dry.totals.images_stale, 2);
    assert!(dry.totals.bytes_stale < dry.totals.bytes / 3, "archive storage is billed too");

    let live = run_on(&aws, gallery("archive-then-delete", false)).await;
    assert_eq!((live.outcome, live.totals.images_archived, live.totals.images_deleted), (Outcome::Completed, 1, 1));
    assert_eq!(app.archived(), [unpulled.clone(), in_archive.clone()].into());
    assert_eq!(app.digests(), [pulled, unpulled, in_archive, restored, activating].into());
    let again = run_on(&aws, gallery("archive-then-delete", false)).await;
    assert_eq!(again.totals.images_stale, 0);
}

#[tokio::test]
async fn an_index_is_archived_before_its_children_and_with_what_is_about_it() {
    let aws = SimulatedAws::start().await;
    let app = aws.repository("app");
    let [_, _, index] = push_multi_arch(&app, "stale", 90.0);
    app.push(Image::tagged(&Image::tag_about(&index, ".sig")).days_old(1.0));
    let used = push_multi_arch(&app, "used", 90.0);
    aws.cluster("prod").runs(&app.uri_by_digest(&used[0]));
    let report = run_on(&aws, gallery("unpulled-archived", false)).await;
    assert_eq!(report.outcome, Outcome::Completed);
    assert_eq!((report.totals.images_archived, report.totals.images_stale, app.archived().len()), (4, 4, 4));
    let first = &aws.calls_of("ecr:UpdateImageStorageClass")[0].request;
    assert_eq!((&first["imageId"]["imageDigest"], &first["targetStorageClass"]), (&json!(index), &json!("ARCHIVE")));
    assert!(used.iter().all(|digest| !app.archived().contains(digest)));
    assert!(aws.calls_of("ecr:BatchDeleteImage").is_empty());
}

#[tokio::test]
async fn what_runs_never_expires_under_any_policy() {
    let policies = [
        one_rule(&any_count(0), &expire()),
        one_rule(&any_count(0), &archive()),
        one_rule(&unpulled(0), &expire()),
        one_rule(&json!({ "tagStatus": "untagged", "countType": "imageCountMoreThan", "countNumber": 0 }), &expire()),
        one_rule(
            &json!({ "tagStatus": "tagged", "tagPatternList": ["*"], "countType": "imageCountMoreThan", "countNumber": 0 }),
            &expire(),
        ),
        json!([{ "repositories": ["*"], "rules": "ecr" }]),
    ];
    for policies in policies {
        let aws = SimulatedAws::start().await;
        let app = aws.repository("app");
        let by_tag = push_multi_arch(&app, "by-tag", 900.0);
        let by_child = push_multi_arch(&app, "by-child", 900.0);
        let single = app.push(Image::tagged("single").days_old(900.0));
        let untagged = app.push(Image::untagged().days_old(900.0));
        app.set_lifecycle_policy(&json!({ "rules": one_rule(&any_count(0), &expire())[0]["rules"] }));
        for used in
            [app.uri("by-tag"), app.uri_by_digest(&by_child[1]), app.uri("single"), app.uri_by_digest(&untagged)]
        {
            aws.cluster("prod").runs(&used);
        }
        push_multi_arch(&app, "junk", 900.0);
        let report = run_on(&aws, merciless(&policies, false)).await;
        assert_eq!(report.outcome, Outcome::Completed, "{policies}");
        assert!(report.totals.images_stale > 0 || policies.to_string().contains("untagged"), "{policies}");
        let used: BTreeSet<String> = by_tag.into_iter().chain(by_child).chain([single, untagged]).collect();
        assert!(used.is_subset(&app.digests()), "{policies}");
        assert!(used.is_disjoint(&app.archived()), "{policies}");
    }
}

#[tokio::test]
async fn each_protection_is_on_top_of_a_policy() {
    let policies = one_rule(&any_count(0), &expire());
    for (more, kept) in [
        (json!({}), set([])),
        (json!({ "imagesToKeep": 2 }), set(["v3", "v2"])),
        (json!({ "keepTags": ["v1"] }), set(["v1"])),
        (json!({ "ignoreTagsRegex": "[13]" }), set(["v1", "v3"])),
        (json!({ "keepPulledWithinDays": 30 }), set(["v2"])),
        (json!({ "keepPushedWithinDays": 1 }), set(["v3"])),
    ] {
        let aws = SimulatedAws::start().await;
        let app = aws.repository("app").daily_builds(3);
        app.pull(&app.digest_of("v2"));
        aws.cluster("prod").runs("nginx");
        let sent_at = (chrono::Utc::now() - chrono::TimeDelta::seconds(60)).to_rfc3339();
        let detail = with(merciless(&policies, false), &more);
        let event = json!({ "detail-type": "x", "source": "x", "time": sent_at, "detail": detail });
        run_on(&aws, event).await;
        assert_eq!(app.tags(), kept, "{more}");
    }
}

#[tokio::test]
async fn the_first_policy_that_matches_applies_and_none_leaves_a_repository_alone() {
    let aws = SimulatedAws::start().await;
    let [app, web, tools] = ["app", "web", "tools"].map(|name| aws.repository(name).daily_builds(5));
    aws.cluster("prod").runs("nginx");
    let rules = |number| one_rule(&any_count(number), &expire())[0]["rules"].clone();
    let policies = json!([
        { "repositories": ["app"], "rules": rules(1) },
        { "repositories": ["app", "web"], "rules": rules(2) },
    ]);
    let report = run_on(&aws, merciless(&policies, false)).await;
    assert_eq!([&app, &web, &tools].map(|repository| repository.tags().len()), [1, 2, 5]);
    let repositories = json_of(&report)["regions"][0]["repositories"].clone();
    assert_eq!(repositories[1]["keptBecause"], json!({ "policy": 5 }), "tools");
    let applied = [0, 1, 2].map(|repository: usize| repositories[repository]["policy"].clone());
    assert_eq!(applied, [json!(1), Value::Null, json!(2)]);
    assert!(report.warnings.is_empty() || !report.warnings.iter().any(|it| it.to_string().contains("no repository")));
    assert_eq!(repositories[2]["stale"][0]["reason"], "expired by rule 1 of policy 2");
}

#[tokio::test]
async fn a_repositorys_own_policy_is_carried_out_with_usage() {
    let aws = SimulatedAws::start().await;
    let [app, without, broken] = ["app", "without", "broken"].map(|name| aws.repository(name).daily_builds(5));
    let rules = one_rule(&any_count(2), &expire())[0]["rules"].clone();
    app.set_lifecycle_policy(&json!({ "rules": rules }));
    broken.set_lifecycle_policy(&json!({ "rules": [{ "rulePriority": 1, "selection": { "tagStatus": "newest" } }] }));
    aws.cluster("prod").runs(&app.uri("v1"));
    let report = run_on(&aws, gallery("as-ecr-has-them", false)).await;
    assert_eq!(report.outcome, Outcome::Partial);
    assert_eq!(app.tags(), set(["v1", "v4", "v5"]));
    assert_eq!((without.tags().len(), broken.tags().len()), (5, 5));
    let repositories = json_of(&report)["regions"][0]["repositories"].clone();
    assert_eq!(repositories[0]["stale"][0]["reason"], "expired by rule 1 of the repository's own lifecycle policy");
    let error = repositories[1]["error"].to_string();
    assert!(error.contains("ecr:GetLifecyclePolicy") && error.contains("rules[0].action"), "{error}");
    assert_eq!(repositories[2]["keptBecause"], json!({ "policy": 5 }));
    assert_eq!(aws.calls_of("ecr:GetLifecyclePolicy").len(), 3, "also read for the audit, once");
}

#[tokio::test]
async fn images_in_use_that_ecrs_own_policy_would_take_are_at_risk() {
    let aws = SimulatedAws::start().await;
    let app = aws.repository("app").daily_builds(150);
    let rules = json!({ "rules": [{
        "rulePriority": 3, "description": "keep 100", "selection": any_count(100), "action": expire(),
    }] });
    app.set_lifecycle_policy(&rules);
    let unused = aws.repository("unused").daily_builds(1);
    unused.set_lifecycle_policy(&rules);
    let task = aws.cluster("prod").runs(&app.uri("v7"));
    aws.cluster("prod").runs(&app.uri("v149"));
    let report = run_on(&aws, json!({})).await;
    assert_eq!((report.outcome.clone(), report.totals.images_at_risk), (Outcome::Planned, 1));
    let at_risk = repository_of(&report)["atRisk"].clone();
    assert_eq!(
        at_risk,
        json!([{
            "imageDigest": app.digest_of("v7"), "imageTags": ["v7"], "heldBy": format!("ECS task {task}"),
            "rulePriority": 3, "ruleDescription": "keep 100", "action": "expire",
        }])
    );
    let warnings: Vec<String> = report.warnings.iter().map(ToString::to_string).collect();
    assert!(warnings.iter().any(|warning| warning.contains("rule 3") && warning.contains("v7")), "{warnings:?}");
    let metrics: Vec<Value> =
        telemetry::metrics(&report).iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(metrics.iter().all(|metric| metric["ImagesAtRisk"] == 1));
    assert_eq!(aws.calls_of("ecr:GetLifecyclePolicy").len(), 1, "only where something is in use");

    aws.forget_calls();
    let report = run_on(&aws, json!({ "auditLifecyclePolicies": false })).await;
    assert_eq!((report.totals.images_at_risk, aws.calls_of("ecr:GetLifecyclePolicy").len()), (0, 0));
}

#[tokio::test]
async fn the_audit_does_not_cry_wolf_for_the_children_of_an_index() {
    let aws = SimulatedAws::start().await;
    let app = aws.repository("app");
    let [amd64, ..] = push_multi_arch(&app, "v1", 90.0);
    app.set_lifecycle_policy(&json!({ "rules": [{
        "rulePriority": 1,
        "selection": { "tagStatus": "untagged", "countType": "sinceImagePushed", "countUnit": "days", "countNumber": 7 },
        "action": expire(),
    }] }));
    aws.cluster("prod").runs(&app.uri_by_digest(&amd64));
    for event in [json!({}), json!({ "imagesToKeep": 0, "keepTags": [] })] {
        assert_eq!(run_on(&aws, event.clone()).await.totals.images_at_risk, 0, "{event}");
    }
    // With its index, it goes too.
    app.set_lifecycle_policy(&json!({ "rules": one_rule(&any_count(0), &expire())[0]["rules"] }));
    let report = run_on(&aws, json!({ "imagesToKeep": 0, "keepTags": [] })).await;
    assert_eq!(repository_of(&report)["atRisk"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_policy_that_can_not_be_audited_is_a_warning_and_hinders_nothing() {
    let aws = SimulatedAws::start().await;
    let [app, web] = ["app", "web"].map(|name| aws.repository(name).daily_builds(3));
    aws.cluster("prod").runs(&app.uri("v3"));
    aws.cluster("prod").runs(&web.uri("v3"));
    aws.inject(Fault::denied("ecr:GetLifecyclePolicy"));
    let report = run_on(&aws, crate::support::merciless(false)).await;
    assert_eq!((report.outcome, app.tags(), web.tags()), (Outcome::Completed, set(["v3"]), set(["v3"])));
    let told = report.warnings.iter().filter(|warning| warning.to_string().contains("ecr:GetLifecyclePolicy"));
    let told: Vec<String> = told.map(ToString::to_string).collect();
    assert_eq!(told.len(), 1, "one a region");
    assert!(
        told[0].contains("2 repositories in us-west-2, such as") && told[0].contains("grant ecr:GetLifecyclePolicy"),
        "{told:?}"
    );
}

#[tokio::test]
async fn archiving_fails_image_by_image_or_as_a_whole() {
    let policies = one_rule(&unpulled(28), &archive());
    let aws = SimulatedAws::start().await;
    let app = aws.repository("app");
    app.push_all(["v1", "v2", "v3"].map(|tag| Image::tagged(tag).days_old(90.0)));
    let [first, second] = ["v1", "v2"].map(|tag| app.digest_of(tag));
    aws.cluster("prod").runs("nginx");
    let of_image = Fault::error("ecr:UpdateImageStorageClass", 400, "ImageStorageClassUpdateNotSupportedException");
    aws.inject(of_image.mentioning(&first));
    aws.inject(Fault::error("ecr:UpdateImageStorageClass", 400, "ImageNotFoundException").mentioning(&second));
    let report = run_on(&aws, merciless(&policies, false)).await;
    assert_eq!(report.outcome, Outcome::Partial);
    let totals = report.totals;
    assert_eq!((totals.images_archived, totals.images_failed, totals.images_not_attempted), (1, 1, 0));
    assert_eq!(report.plan.stale().filter(|image| image.result == ImageResult::Gone).count(), 1);

    aws.heal();
    app.push_all(["v4", "v5"].map(|tag| Image::tagged(tag).days_old(90.0)));
    app.push(Image::untagged().days_old(91.0));
    let mut policies = policies;
    let untagged = json!({ "tagStatus": "untagged", "countType": "imageCountMoreThan", "countNumber": 0 });
    policies[0]["rules"][0]["rulePriority"] = 2.into();
    let expires = json!({ "rulePriority": 1, "selection": untagged, "action": expire() });
    policies[0]["rules"].as_array_mut().unwrap().push(expires);
    aws.inject(Fault::denied("ecr:UpdateImageStorageClass"));
    aws.forget_calls();
    let report = run_on(&aws, merciless(&policies, false)).await;
    assert_eq!((report.outcome, report.totals.images_archived), (Outcome::Partial, 0));
    assert_eq!(aws.calls_of("ecr:UpdateImageStorageClass").len(), 1, "what is denied once is not asked again");
    let totals = report.totals;
    assert_eq!((totals.images_failed, totals.images_not_attempted, totals.images_deleted), (1, 3, 1), "deletes go on");
    assert_eq!(stale_tags(&run_on(&aws, merciless(&policies, true)).await), set(["v1", "v2", "v4", "v5"]));
}

#[tokio::test]
async fn where_deletes_are_denied_nothing_that_was_not_tried_is_told_as_failed() {
    let untagged = json!({ "tagStatus": "untagged", "countType": "imageCountMoreThan", "countNumber": 0 });
    let policies = json!([{ "repositories": ["*"], "rules": [
        { "rulePriority": 1, "selection": untagged, "action": expire() },
        { "rulePriority": 2, "selection": unpulled(28), "action": archive() },
    ] }]);
    let aws = SimulatedAws::start().await;
    let app = aws.repository("app");
    app.push_all([Image::untagged().days_old(90.0), Image::tagged("v1").days_old(90.0)]);
    aws.cluster("prod").runs("nginx");
    aws.inject(Fault::denied("ecr:BatchDeleteImage"));
    let totals = run_on(&aws, merciless(&policies, false)).await.totals;
    assert_eq!((totals.images_failed, totals.images_not_attempted, totals.images_archived), (1, 1, 0));
    // Where even looking is denied, one of those that can't be archived tells why.
    aws.heal();
    app.push(Image::tagged("v2").days_old(90.0));
    aws.inject(Fault::denied("ecr:DescribeImages").mentioning("imageIds"));
    let only_archive = one_rule(&unpulled(28), &archive());
    let totals = run_on(&aws, merciless(&only_archive, false)).await.totals;
    assert_eq!((totals.images_failed, totals.images_not_attempted), (1, 2));
}

#[tokio::test]
async fn what_changed_in_between_is_not_archived() {
    let policies = one_rule(&unpulled(28), &archive());
    let aws = SimulatedAws::start().await;
    let app = aws.repository("app");
    let pulled = app.push(Image::tagged("pulled").days_old(90.0));
    app.push(Image::tagged("unpulled").days_old(90.0));
    aws.cluster("prod").runs("nginx");
    let (repository, digest) = (app.clone(), pulled.clone());
    let pull = Fault::before("ecr:DescribeImages", std::time::Duration::ZERO, move || repository.pull(&digest));
    aws.inject(pull.mentioning("imageIds").times(1));
    let report = run_on(&aws, merciless(&policies, false)).await;
    assert_eq!((report.totals.images_archived, report.totals.images_skipped), (1, 1));
    assert!(!app.archived().contains(&pulled));
}

#[tokio::test]
async fn a_plan_that_archives_more_than_allowed_is_refused() {
    let aws = SimulatedAws::start().await;
    let app = aws.repository("app");
    app.push_all(["v1", "v2", "v3"].map(|tag| Image::tagged(tag).days_old(90.0)));
    aws.cluster("prod").runs("nginx");
    let event = with(merciless(&one_rule(&unpulled(28), &archive()), false), &json!({ "maxDeletions": 2 }));
    assert_eq!(run_on(&aws, event).await.outcome.as_str(), "refused");
    assert!(app.archived().is_empty());
}

#[tokio::test]
async fn what_was_restored_lately_is_about_to_be_pulled() {
    let aws = SimulatedAws::start().await;
    let app = aws.repository("app").daily_builds(2);
    app.push(Image::tagged("restored").days_old(400.0).restored_days_ago(3.0));
    app.push(Image::tagged("restored-long-ago").days_old(400.0).restored_days_ago(33.0));
    aws.cluster("prod").runs("nginx");
    run_on(&aws, json!({ "dryRun": false, "imagesToKeep": 2 })).await;
    assert_eq!(app.tags(), set(["restored", "v1", "v2"]));
}

#[tokio::test]
async fn an_untagged_index_in_use_is_at_risk_without_reading_it() {
    let aws = SimulatedAws::start().await;
    let app = aws.repository("app");
    let index = push_multi_arch(&app, "moved", 10.0)[2].clone();
    app.untag("moved");
    app.set_lifecycle_policy(&json!({ "rules": [{
        "rulePriority": 1,
        "selection": { "tagStatus": "untagged", "countType": "sinceImagePushed", "countUnit": "days", "countNumber": 1 },
        "action": expire(),
    }] }));
    aws.cluster("prod").runs(&app.uri_by_digest(&index));
    let report = run_on(&aws, json!({})).await;
    assert_eq!(repository_of(&report)["atRisk"][0]["imageDigest"], json!(index));
    assert!(aws.calls_of("ecr:BatchGetImage").is_empty());
}

#[tokio::test]
async fn multi_arch_images_are_archived_whole_also_beside_archived_ones() {
    let aws = SimulatedAws::start().await;
    let app = aws.repository("app");
    for (tag, days) in [("first", 99.0), ("second", 88.0)] {
        push_multi_arch(&app, tag, days);
    }
    let loose = app.push(Image::untagged().days_old(77.0));
    let young = push_multi_arch(&app, "young", 1.0);
    aws.cluster("prod").runs(&app.uri("second"));
    let first = run_on(&aws, gallery("unpulled-archived", false)).await;
    assert_eq!((first.totals.images_archived, first.totals.images_to_archive), (4, 4));
    aws.place(ACCOUNT, REGION).cluster("prod").delete();
    aws.cluster("prod").runs(&app.uri("young"));
    // What the archived index names can't be read any more, but what the second one names can.
    app.push(Image::untagged().days_old(66.0));
    let second = run_on(&aws, gallery("unpulled-archived", false)).await;
    assert_eq!((second.outcome, second.totals.images_archived), (Outcome::Completed, 3));
    assert!(app.archived().contains(&loose) && app.digests().len() == 3 * 3 + 2);
    assert!(young.iter().all(|digest| !app.archived().contains(digest)));
    assert_eq!(run_on(&aws, gallery("unpulled-archived", false)).await.totals.images_stale, 0);
}

#[tokio::test]
async fn what_an_archived_index_may_name_is_never_deleted_and_not_archived_while_that_is_used() {
    for (action, used, expected) in [(expire(), false, 3), (archive(), true, 3), (archive(), false, 1)] {
        let aws = SimulatedAws::start().await;
        let app = aws.repository("app");
        let shared = Image::untagged().days_old(99.0);
        let archived = Image::index_of([&shared]).and_tag("archived").days_old(99.0).archived_days_ago(9.0);
        let readable = Image::index_of([&shared, &Image::untagged()]).and_tag("nightly").days_old(90.0);
        let digest = shared.digest().to_owned();
        app.push_all([shared, archived, readable]);
        aws.cluster("prod").runs(&if used { app.uri("archived") } else { "nginx".to_owned() });
        run_on(&aws, merciless(&one_rule(&unpulled(28), &action), false)).await;
        let active = app.digests().difference(&app.archived()).count();
        let is_expire = action == expire();
        assert!(app.digests().contains(&digest), "{action} {used}");
        assert_eq!(!app.archived().contains(&digest), is_expire || used, "{action} {used}");
        assert!(active <= expected, "{action} {used}: {active}");
    }
}

#[tokio::test]
async fn a_policy_or_a_selection_that_matches_nothing_is_told() {
    let aws = SimulatedAws::start().await;
    _ = aws.repository("web").daily_builds(1);
    aws.cluster("prod").runs("nginx");
    let rules = one_rule(&any_count(1), &expire())[0]["rules"].clone();
    let entry = |pattern: &str| json!({ "repositories": [pattern], "rules": rules });
    let told = async |event: Value, text: &str| {
        let report = run_on(&aws, event).await;
        report.warnings.iter().any(|warning| warning.to_string().contains(text))
    };
    let policies = json!([entry("wbe"), entry("*"), entry("web")]);
    for (number, expected) in [("policy 1 applies", true), ("policy 2 applies", false), ("policy 3 applies", true)] {
        assert_eq!(told(merciless(&policies, true), number).await, expected, "{number}");
    }
    assert!(told(json!({ "repositories": ["wbe"] }), "no repository is cleaned").await);
    assert!(!told(json!({ "repositories": ["web"] }), "no repository is cleaned").await);
}

#[tokio::test]
async fn images_are_archived_at_a_bounded_pace() {
    let aws = SimulatedAws::start().await;
    for name in ["app", "web"] {
        let images = (0..25).map(|build| Image::tagged(&format!("v{build}")).days_old(90.0));
        aws.repository(name).push_all(images);
    }
    aws.cluster("prod").runs("nginx");
    let clients = crate::support::clients(&aws).await.with_haste(Haste::NONE);
    let (event, limits) = (gallery("unpulled-archived", false), Limits::until(Deadline::unknown()));
    let report = Box::pin(run(event, &Environment::new(), &clients, limits)).await.unwrap();
    assert_eq!(report.totals.images_archived, 50);
    let calls = aws.calls_of("ecr:UpdateImageStorageClass");
    for (asked, call) in (1_u32..).zip(&calls) {
        // A burst of 20, and 20 a second; one more, since a call is counted when it arrives and not when it is made.
        let seconds = call.at.duration_since(calls[0].at).as_secs_f64();
        assert!(f64::from(asked) <= 20.0 + 20.0 * seconds + 1.0, "{asked} in {seconds} s");
    }
}
