//! ECR lifecycle policies, applied with knowledge of the running images.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use ecr_cleanup_core::report::{Outcome, Report};
use ecr_cleanup_core::warning::WarningCode;
use serde_json::{Value, json};
use simulated_aws::{Image, Repository, SimulatedAws};

use crate::support::{before_now, decided, json_of, push_multi_arch, run_on, set, with};

/// A policy in `events/policies`, as it is. Other tests cover images pushed before one in use.
pub(crate) fn gallery(name: &str, dry_run: bool) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("events/policies").join(name).with_extension("json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    with(serde_json::from_str(&text).unwrap(), &json!({ "dryRun": dry_run, "keepBeforeInUse": 0 }))
}

pub(crate) fn merciless(policies: &Value, dry_run: bool) -> Value {
    json!({ "dryRun": dry_run, "policies": policies, "keepTags": [], "keepBeforeInUse": 0, "keepPulledWithinDays": 0 })
}

/// One policy with one rule for all repositories.
pub(crate) fn one_rule(selection: &Value, action: &Value) -> Value {
    json!([{ "repositories": ["*"], "rules": [{ "rulePriority": 1, "selection": selection, "action": action }] }])
}

pub(crate) fn any_count(number: u32) -> Value {
    json!({ "tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": number })
}

pub(crate) fn unpulled(days: u32) -> Value {
    json!({ "tagStatus": "any", "countType": "sinceImagePulled", "countUnit": "days", "countNumber": days })
}

pub(crate) fn expire() -> Value {
    json!({ "type": "expire" })
}

pub(crate) fn archive() -> Value {
    json!({ "type": "transition", "targetStorageClass": "archive" })
}

pub(crate) fn repository_of(report: &Report) -> Value {
    json_of(report)["regions"][0]["repositories"][0].clone()
}

#[tokio::test(start_paused = true)]
async fn five_snapshots_ten_others_and_latest_stay() {
    let aws = SimulatedAws::in_memory();
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

#[tokio::test(start_paused = true)]
async fn the_gallery_does_what_its_page_says() {
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
        let aws = SimulatedAws::in_memory();
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
    let files = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("events/policies")).unwrap();
    let policies =
        files.filter(|file| file.as_ref().unwrap().path().extension().is_some_and(|ending| ending == "json"));
    assert_eq!(policies.count(), 8, "a policy without a case here");
}

#[tokio::test(start_paused = true)]
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
        let aws = SimulatedAws::in_memory();
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

#[tokio::test(start_paused = true)]
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
        let aws = SimulatedAws::in_memory();
        let app = aws.repository("app").daily_builds(3);
        app.pull(&app.digest_of("v2"));
        aws.cluster("prod").runs("nginx");
        let sent_at = before_now(&aws, Duration::from_mins(1));
        let detail = with(merciless(&policies, false), &more);
        let event = json!({ "detail-type": "x", "source": "x", "time": sent_at, "detail": detail });
        run_on(&aws, event).await;
        assert_eq!(app.tags(), kept, "{more}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_policy_that_matches_applies_and_none_leaves_a_repository_alone() {
    let aws = SimulatedAws::in_memory();
    let [app, web, tools] = ["app", "web", "tools"].map(|name| aws.repository(name).daily_builds(5));
    aws.cluster("prod").runs("nginx");
    let rules = |number| one_rule(&any_count(number), &expire())[0]["rules"].clone();
    let policies = json!([
        { "repositories": ["app"], "rules": rules(1) },
        { "repositories": ["app", "web"], "rules": rules(2) },
    ]);
    let report = run_on(&aws, merciless(&policies, false)).await;
    assert_eq!([&app, &web, &tools].map(|repository| repository.tags().len()), [1, 2, 5]);
    insta::assert_snapshot!(decided(&report), @"
    us-west-2 app, policy 1: keeps 1 policy
      v1 stale: expired by rule 1 of policy 1; deleted
      v2 stale: expired by rule 1 of policy 1; deleted
      v3 stale: expired by rule 1 of policy 1; deleted
      v4 stale: expired by rule 1 of policy 1; deleted
    us-west-2 tools, policy null: keeps 5 policy
    us-west-2 web, policy 2: keeps 2 policy
      v1 stale: expired by rule 1 of policy 2; deleted
      v2 stale: expired by rule 1 of policy 2; deleted
      v3 stale: expired by rule 1 of policy 2; deleted
    ");
    assert!(report.warnings.is_empty() || !report.warnings.iter().any(|it| it.to_string().contains("no repository")));
}

#[tokio::test(start_paused = true)]
async fn a_repositorys_own_policy_is_carried_out_with_usage() {
    let aws = SimulatedAws::in_memory();
    let [app, without, broken] = ["app", "without", "broken"].map(|name| aws.repository(name).daily_builds(5));
    let rules = one_rule(&any_count(2), &expire())[0]["rules"].clone();
    app.set_lifecycle_policy(&json!({ "rules": rules }));
    broken.set_lifecycle_policy(&json!({ "rules": "none" }));
    aws.cluster("prod").runs(&app.uri("v1"));
    let report = run_on(&aws, gallery("as-ecr-has-them", false)).await;
    assert_eq!(report.outcome, Outcome::Partial);
    assert_eq!(app.tags(), set(["v1", "v4", "v5"]));
    assert_eq!((without.tags().len(), broken.tags().len()), (5, 5));
    insta::assert_snapshot!(decided(&report), @r#"
    us-west-2 app, policy "ecr": keeps 1 inUse, 2 policy
      v1 at risk: rule 1, ECS task arn:aws:ecs:us-west-2:123456789012:task/prod/00000000000000000000000000000000
      v1 only in use: ECS task arn:aws:ecs:us-west-2:123456789012:task/prod/00000000000000000000000000000000
      v2 stale: expired by rule 1 of the repository's ECR lifecycle policy; deleted
      v3 stale: expired by rule 1 of the repository's ECR lifecycle policy; deleted
    us-west-2 broken: UnexpectedResponse at ecr:GetLifecyclePolicy: invalid value "none" for lifecyclePolicyText.rules: expected a list of rules
    us-west-2 without, policy null: keeps 5 policy
    "#);
    assert_eq!(aws.calls_of("ecr:GetLifecyclePolicy").len(), 3, "also read for the audit, once");
}

#[tokio::test(start_paused = true)]
async fn an_odd_rule_of_a_repositorys_own_policy_is_told_and_the_others_work() {
    let archive = json!({ "type": "transition", "targetStorageClass": "glacier" });
    let of_v =
        json!({ "tagStatus": "tagged", "tagPatternList": ["v*"], "countType": "imageCountMoreThan", "countNumber": 1 });
    let by_signature =
        json!({ "tagStatus": "tagged", "tagSignature": "none", "countType": "imageCountMoreThan", "countNumber": 1 });
    let of_all = json!({ "rulePriority": 2, "selection": any_count(0), "action": expire() });
    for (selection, left) in [(of_v, set(["v1", "v2", "v3"])), (by_signature, set(["v1", "v2", "v3", "x1"]))] {
        let aws = SimulatedAws::in_memory();
        let app = aws.repository("app").daily_builds(3);
        app.push(Image::tagged("x1").days_old(9.0));
        let odd = json!({ "rulePriority": 1, "description": "cold", "selection": selection, "action": archive });
        app.set_lifecycle_policy(&json!({ "rules": [odd, of_all] }));
        aws.cluster("prod").runs("nginx");
        let report = run_on(&aws, merciless(&json!([{ "repositories": ["*"], "rules": "ecr" }]), false)).await;
        assert_eq!((&report.outcome, app.tags()), (&Outcome::Completed, left), "{odd}");
        let warnings = report.warnings.iter().filter(|warning| warning.code == WarningCode::RuleNotRead);
        let warnings: Vec<&str> = warnings.map(|warning| warning.message.as_str()).collect();
        assert!(
            warnings.len() == 1
                && warnings[0].contains("can't read rule 1 of the repository's ECR lifecycle policy (cold)"),
            "{warnings:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_policy_or_a_selection_that_matches_nothing_is_told() {
    let aws = SimulatedAws::in_memory();
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
