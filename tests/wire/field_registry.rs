//! Cases from real use: the contents of a registry, and the decisions on them.

use std::time::Duration;

use ecr_cleanup::deadline::Deadline;
use ecr_cleanup::discovery::FreshnessLimits;
use ecr_cleanup_core::plan::{ImageResult, SkipReason};
use ecr_cleanup_core::report::{Outcome, Report};
use ecr_cleanup_core::warning::WarningCode;
use serde_json::{Value, json};
use simulated_aws::{ACCOUNT, Fault, Image, REGION, Repository, SimulatedAws};

use crate::support::{Limits, json_of, merciless, run_on, run_within, set, with};

const ELSEWHERE: &str = "eu-west-1";
const OTHER: &str = "999999999999";

/// A rule that replicates deletes to this registry.
fn deleting_in(account: &str, region: &str) -> Value {
    json!({ "destinations": [{ "region": region, "registryId": account }], "deleteReplication": { "enabled": true } })
}

/// An account whose `app` is replicated to another region, including deletes: two old images, and their copies.
fn replicated(rule: &Value) -> (SimulatedAws, Repository, Repository) {
    let aws = SimulatedAws::in_memory();
    let (app, copy) = (aws.repository("app"), aws.region(ELSEWHERE).repository("app"));
    aws.place(ACCOUNT, REGION).add_replication_rule(rule);
    for tag in ["v1", "v2"] {
        let image = Image::tagged(tag).days_old(90.0);
        app.push(image.clone());
        copy.push(image);
    }
    aws.cluster("prod").runs("nginx");
    (aws, app, copy)
}

/// Only the source region is cleaned. Only usage and recorded pulls keep images.
fn here(more: &Value) -> Value {
    with(with(merciless(false), &json!({ "region": REGION, "keepPulledWithinDays": 30 })), more)
}

fn kept_because(report: &Report, reason: &str) -> u64 {
    let report = json_of(report);
    report["regions"][0]["repositories"][0]["keptBecause"][reason].as_u64().unwrap_or(0)
}

fn warning_with(report: &Report, text: &str) -> Option<String> {
    report.warnings.iter().map(ToString::to_string).find(|warning| warning.contains(text))
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_is_pulled_keeps_the_source_that_it_goes_with() {
    let (aws, app, copy) = replicated(&deleting_in(ACCOUNT, ELSEWHERE));
    copy.pull(&copy.digest_of("v1"));
    let report = run_on(&aws, here(&json!({}))).await;
    assert_eq!((&report.outcome, report.totals.images_deleted), (&Outcome::Completed, 1));
    assert_eq!((app.tags(), copy.tags()), (set(["v1"]), set(["v1"])), "v2 went everywhere");
    assert_eq!(kept_because(&report, "replicated"), 1);
}

#[tokio::test(start_paused = true)]
async fn whatever_keeps_a_copy_keeps_its_source() {
    type Keep = fn(&SimulatedAws, &Repository);
    let cases: [(&str, Value, Keep); 6] = [
        ("a use of a tag that only the copy has", json!({}), |aws, copy| {
            copy.retag("v1", "prod");
            aws.region(ELSEWHERE).cluster("prod").runs(&copy.uri("prod"));
        }),
        ("keepTags", json!({ "keepTags": ["prod"] }), |_, copy| copy.retag("v1", "prod")),
        ("ignoreTagsRegex", json!({ "ignoreTagsRegex": "^prod" }), |_, copy| copy.retag("v1", "prod")),
        ("a push there", json!({ "keepPushedWithinDays": 3 }), |_, copy| copy.push_again("v1")),
        ("its place among the newest there", json!({ "imagesToKeep": 1 }), |_, copy| copy.push_again("v1")),
        ("the archive there", json!({}), |_, copy| copy.archive(&copy.digest_of("v1"))),
    ];
    for (behaviour, settings, keep) in cases {
        let (aws, app, copy) = replicated(&deleting_in(ACCOUNT, ELSEWHERE));
        app.push_again("v2");
        keep(&aws, &copy);
        let report = run_on(&aws, here(&settings)).await;
        assert_eq!(report.outcome, Outcome::Completed, "{behaviour}");
        assert!(app.tags().contains("v1"), "{behaviour}");
        assert!(copy.tags().contains("v1"), "{behaviour}");
        assert_eq!(kept_because(&report, "replicated"), 1, "{behaviour}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_whose_copies_nothing_keeps_goes_with_them() {
    let (aws, app, copy) = replicated(&deleting_in(ACCOUNT, ELSEWHERE));
    copy.push(Image::tagged("of-its-own").days_old(1.0));
    let report = run_on(&aws, here(&json!({}))).await;
    assert_eq!((&report.outcome, report.totals.images_deleted), (&Outcome::Completed, 2));
    assert_eq!((app.tags(), copy.tags()), (set([]), set(["of-its-own"])));
}

#[tokio::test(start_paused = true)]
async fn copies_count_only_where_deletes_are_carried_on_to_them() {
    let to = |region: &str| json!([{ "region": region, "registryId": ACCOUNT }]);
    let delete = json!({ "enabled": true });
    let filter = |prefix: &str| json!([{ "filter": prefix, "filterType": "PREFIX_MATCH" }]);
    for (rule, expected) in [
        (json!({ "destinations": to(ELSEWHERE) }), set([])),
        (json!({ "destinations": to(ELSEWHERE), "deleteReplication": { "enabled": false } }), set([])),
        (
            json!({ "destinations": to(ELSEWHERE), "deleteReplication": delete, "repositoryFilters": filter("web") }),
            set([]),
        ),
        (
            json!({ "destinations": to(ELSEWHERE), "deleteReplication": delete, "repositoryFilters": filter("ap") }),
            set(["v1"]),
        ),
        (json!({ "destinations": to("us-east-1"), "deleteReplication": delete }), set([])),
    ] {
        let (aws, app, copy) = replicated(&rule);
        _ = aws.region("us-east-1");
        // Replication is not transitive. Images replicated to us-east-1 are not replicated further.
        aws.place(ACCOUNT, "us-east-1").add_replication_rule(&deleting_in(ACCOUNT, ELSEWHERE));
        copy.pull(&copy.digest_of("v1"));
        run_on(&aws, here(&json!({}))).await;
        assert_eq!(app.tags(), expected, "{rule}");
        assert!(copy.tags().contains("v1"), "{rule}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_pulled_copy_of_a_platform_keeps_the_index_and_the_other_platform() {
    let (aws, app, copy) = replicated(&deleting_in(ACCOUNT, ELSEWHERE));
    let platforms = [Image::untagged().days_old(90.0), Image::untagged().days_old(90.0)];
    let index = Image::index_of(&platforms).and_tag("multi").days_old(90.0);
    for place in [&app, &copy] {
        place.push_all(platforms.iter().chain([&index]).cloned());
    }
    copy.pull(platforms[0].digest());
    run_on(&aws, here(&json!({}))).await;
    assert_eq!((app.tags(), app.digests().len()), (set(["multi"]), 3));
    assert_eq!((copy.tags(), copy.digests().len()), (set(["multi"]), 3));
}

#[tokio::test(start_paused = true)]
async fn what_an_index_names_that_only_the_other_registry_has_stays() {
    for is_readable in [true, false] {
        let (aws, app, copy) = replicated(&deleting_in(ACCOUNT, ELSEWHERE));
        let platform = Image::tagged("platform").days_old(90.0);
        app.push(platform.clone());
        copy.push(platform.clone());
        copy.push(Image::index_of([&platform]).and_tag("only-there").days_old(89.0));
        if !is_readable {
            aws.inject(Fault::denied("ecr:BatchGetImage").in_region(ELSEWHERE));
        }
        let report = run_on(&aws, here(&json!({}))).await;
        assert!(copy.digests().contains(platform.digest()), "readable: {is_readable}");
        let expected = if is_readable { set(["platform"]) } else { set(["platform", "v1", "v2"]) };
        assert_eq!(app.tags(), expected, "readable: {is_readable}");
        assert_eq!(warning_with(&report, "grant ecr:BatchGetImage").is_some(), !is_readable);
    }
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_can_not_be_read_keeps_the_repositories_that_delete_there() {
    let (aws, app, _) = replicated(&deleting_in(ACCOUNT, ELSEWHERE));
    aws.inject(Fault::denied("ecr:DescribeImages").in_region(ELSEWHERE));
    for anyone in [json!([]), json!(["*"]), json!([OTHER])] {
        let report = run_on(&aws, here(&json!({ "acceptUnseenAccounts": anyone }))).await;
        assert_eq!((&report.outcome, report.totals.images_stale), (&Outcome::Completed, 0), "{anyone}");
        assert_eq!((app.tags(), kept_because(&report, "replicated")), (set(["v1", "v2"]), 2));
        let warning = warning_with(&report, "all images of app in us-west-2 are kept").unwrap();
        assert!(warning.contains("grant ecr:DescribeImages") && warning.contains(ELSEWHERE), "{warning}");
    }
    let report = run_on(&aws, here(&json!({ "acceptUnseenAccounts": [ACCOUNT] }))).await;
    assert_eq!((report.totals.images_deleted, app.tags()), (2, set([])), "the account was named");
}

#[tokio::test(start_paused = true)]
async fn copies_in_another_account_keep_the_repository_unless_that_is_accepted() {
    for (accepted, expected) in [
        (json!([]), set(["v1", "v2"])),
        (json!([OTHER]), set([])),
        (json!(["*"]), set([])),
        (json!([ACCOUNT]), set(["v1", "v2"])),
    ] {
        let (aws, app, _) = replicated(&deleting_in(OTHER, REGION));
        let report = run_on(&aws, here(&json!({ "acceptUnseenAccounts": accepted }))).await;
        assert_eq!(report.outcome, Outcome::Completed, "{accepted}");
        assert_eq!(app.tags(), expected, "{accepted}");
        let warning = warning_with(&report, "add 999999999999 to acceptUnseenAccounts");
        assert_eq!(warning.is_some(), !expected.is_empty(), "{accepted}");
    }
}

#[tokio::test(start_paused = true)]
async fn where_the_rules_can_not_be_read_nothing_goes() {
    for fault in [Fault::denied("ecr:DescribeRegistry"), Fault::blank("ecr:DescribeRegistry")] {
        let (aws, app, _) = replicated(&deleting_in(ACCOUNT, ELSEWHERE));
        aws.inject(fault);
        let report = run_on(&aws, here(&json!({}))).await;
        assert_eq!((&report.outcome, app.tags()), (&Outcome::Partial, set(["v1", "v2"])));
        let report = json_of(&report);
        let error = &report["regions"][0]["repositories"][0]["error"];
        assert!(error.to_string().contains("ecr:DescribeRegistry"), "{error}");
    }
}

/// Lets something happen to the copies after the plan and before their last check.
fn happens_to_the_copies(aws: &SimulatedAws, copy: &Repository, change: impl Fn(&Repository) + Send + Sync + 'static) {
    let copy = copy.clone();
    let change = Fault::before("ecr:DescribeImages", Duration::ZERO, move || change(&copy));
    aws.inject(change.mentioning("imageIds").times(1));
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_changed_since_the_plan_keeps_its_source() {
    type Change = fn(&Repository);
    let cases: [(&str, Change); 4] = [
        ("it was pulled", |copy| copy.pull(&copy.digest_of("v1"))),
        ("it was given a tag", |copy| copy.retag("v1", "prod")),
        ("it was pushed again", |copy| copy.push_again("v1")),
        ("it was archived", |copy| copy.archive(&copy.digest_of("v1"))),
    ];
    for (behaviour, change) in cases {
        let (aws, app, copy) = replicated(&deleting_in(ACCOUNT, ELSEWHERE));
        happens_to_the_copies(&aws, &copy, change);
        let report = run_on(&aws, here(&json!({ "keepPulledWithinDays": 0 }))).await;
        assert_eq!(report.outcome, Outcome::Completed, "{behaviour}");
        assert!(app.tags().contains("v1") && copy.tags().contains("v1"), "{behaviour}");
        assert!(!app.tags().contains("v2"), "{behaviour}");
        let skipped = ImageResult::Skipped(SkipReason::CopyChanged);
        assert_eq!(report.plan.stale().filter(|image| image.result == skipped).count(), 1, "{behaviour}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_came_into_use_by_its_own_tag_keeps_its_source() {
    let (aws, app, copy) = replicated(&deleting_in(ACCOUNT, ELSEWHERE));
    copy.retag("v1", "prod");
    let task = aws.region(ELSEWHERE).cluster("prod").runs(&copy.uri("prod"));
    aws.inject(Fault::leave_out("ecs:ListTasks", &task).times(1));
    let freshness = FreshnessLimits { max_age: Duration::ZERO, ..FreshnessLimits::CONTRACT };
    let limits = Limits { freshness, ..Limits::until(Deadline::unknown()) };
    let report = run_within(&aws, here(&json!({})), limits).await.unwrap();
    assert_eq!((&report.outcome, app.tags()), (&Outcome::Completed, set(["v1"])));
    assert!(copy.tags().contains("prod"));
}

#[tokio::test(start_paused = true)]
async fn a_copy_of_a_platform_that_was_pulled_since_the_plan_keeps_the_index() {
    for is_excluded in [true, false] {
        let (aws, app, copy) = replicated(&deleting_in(ACCOUNT, ELSEWHERE));
        let platforms = [Image::untagged().days_old(90.0), Image::untagged().days_old(90.0)];
        let index = Image::index_of(&platforms).and_tag("multi").days_old(90.0);
        for place in [&app, &copy] {
            place.push_all(platforms.iter().chain([&index]).cloned());
        }
        if is_excluded {
            aws.place(ACCOUNT, REGION).exclude_pull_times_of("arn:aws:iam::123456789012:role/ecr-cleanup");
        }
        let pulled = platforms[1].digest().to_owned();
        happens_to_the_copies(&aws, &copy, move |copy| copy.pull(&pulled));
        run_on(&aws, here(&json!({}))).await;
        assert_eq!((app.tags(), app.digests().len()), (set(["multi"]), 3), "excluded: {is_excluded}");
        assert_eq!((copy.tags(), copy.digests().len()), (set(["multi"]), 3), "excluded: {is_excluded}");
    }
}

#[tokio::test(start_paused = true)]
async fn copies_that_can_not_be_looked_at_any_more_keep_their_sources() {
    let (aws, app, _) = replicated(&deleting_in(ACCOUNT, ELSEWHERE));
    aws.inject(Fault::denied("ecr:DescribeImages").in_region(ELSEWHERE).mentioning("imageIds"));
    let report = run_on(&aws, here(&json!({}))).await;
    assert_eq!((&report.outcome, report.totals.images_failed, app.tags()), (&Outcome::Partial, 2, set(["v1", "v2"])));
    let told = json_of(&report).to_string();
    assert!(told.contains("grant ecr:DescribeImages"), "{told}");
    // An image that ECR's answer omits.
    let (aws, app, copy) = replicated(&deleting_in(ACCOUNT, ELSEWHERE));
    let left_out = Fault::leave_out("ecr:DescribeImages", &copy.digest_of("v1"));
    aws.inject(left_out.in_region(ELSEWHERE).mentioning("imageIds"));
    run_on(&aws, here(&json!({}))).await;
    assert_eq!(app.tags(), set(["v1"]));
    // A replica in another, accepted account. The run makes no calls there.
    let (aws, app, _) = replicated(&deleting_in(OTHER, REGION));
    let report = run_on(&aws, here(&json!({ "acceptUnseenAccounts": [OTHER] }))).await;
    assert_eq!((&report.outcome, app.tags()), (&Outcome::Completed, set([])));
}

#[tokio::test(start_paused = true)]
async fn copies_that_are_gone_by_then_hold_nothing() {
    type Change = fn(&Repository);
    let deletes: Change = |copy| copy.delete(&copy.digest_of("v1"));
    for change in [deletes, Repository::delete_repository] {
        let (aws, app, copy) = replicated(&deleting_in(ACCOUNT, ELSEWHERE));
        happens_to_the_copies(&aws, &copy, change);
        let report = run_on(&aws, here(&json!({}))).await;
        assert_eq!((&report.outcome, app.tags()), (&Outcome::Completed, set([])));
    }
}

#[tokio::test(start_paused = true)]
async fn copies_are_looked_at_only_where_a_rule_carries_deletes_on() {
    let to = json!([{ "region": ELSEWHERE, "registryId": ACCOUNT }]);
    for (rule, expected) in [(json!({ "destinations": to }), 0), (deleting_in(ACCOUNT, ELSEWHERE), 1)] {
        let (aws, app, copy) = replicated(&rule);
        // Most stale images are older than the rule, and have no copy.
        app.push_all((0..50).map(|build| Image::tagged(&format!("old-{build}")).days_old(200.0)));
        copy.push(Image::tagged("of-its-own").days_old(1.0));
        run_on(&aws, here(&json!({}))).await;
        let calls = aws.calls_of("ecr:DescribeImages").into_iter();
        let looks = calls.filter(|call| call.region == ELSEWHERE && call.request["imageIds"].is_array());
        assert_eq!((looks.count(), app.digests().len()), (expected, 0), "{rule}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_rules_are_asked_for_once_and_only_where_something_goes() {
    let (aws, app, _) = replicated(&deleting_in(ACCOUNT, ELSEWHERE));
    for name in ["web", "worker"] {
        aws.repository(name).push(Image::tagged("v1").days_old(90.0));
    }
    run_on(&aws, here(&json!({ "imagesToKeep": 5 }))).await;
    assert_eq!(aws.calls_of("ecr:DescribeRegistry").len(), 0, "nothing goes");
    run_on(&aws, here(&json!({ "dryRun": true }))).await;
    assert_eq!(aws.calls_of("ecr:DescribeRegistry").len(), 1);
    assert_eq!(app.tags(), set(["v1", "v2"]));
}

#[tokio::test(start_paused = true)]
async fn what_one_rolls_back_to_stays_and_releases_displace_no_builds() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app").daily_builds(20);
    let web = aws.repository("web").daily_builds(10);
    web.push_all((1..=10).map(|release| Image::tagged(&format!("release-{release}")).days_old(0.5)));
    aws.cluster("prod").runs(&app.uri("v7"));
    let event = json!({ "dryRun": false, "imagesToKeep": 5, "ignoreTagsRegex": "^release-" });
    let report = run_on(&aws, event).await;
    assert_eq!(app.tags(), set(["v6", "v7", "v16", "v17", "v18", "v19", "v20"]));
    let builds: Vec<String> = web.tags().into_iter().filter(|tag| tag.starts_with('v')).collect();
    assert_eq!(builds, ["v10", "v6", "v7", "v8", "v9"]);
    assert_eq!((web.tags().len(), kept_because(&report, "beforeInUse")), (15, 1));
}

#[tokio::test(start_paused = true)]
async fn the_repository_policy_that_aws_writes_for_lambda_shares_with_no_one() {
    let statement = |principal: Value| json!({ "Statement": [{ "Effect": "Allow", "Principal": principal, "Action": ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"] }] });
    let lambda = json!({ "Service": "lambda.amazonaws.com" });
    let both = json!({ "Service": "lambda.amazonaws.com", "AWS": format!("arn:aws:iam::{OTHER}:root") });
    for (principal, stays) in [(lambda, 0), (both, 1), (json!({ "Service": "codebuild.amazonaws.com" }), 1)] {
        let aws = SimulatedAws::in_memory();
        let app = aws.repository("app");
        app.push(Image::tagged("v1").days_old(90.0));
        app.set_policy(&statement(principal.clone()));
        aws.cluster("prod").runs("nginx");
        let report = run_on(&aws, here(&json!({}))).await;
        assert_eq!((app.tags().len() as u64, kept_because(&report, "sharedElsewhere")), (stays, stays), "{principal}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_index_whose_entries_lack_what_nobody_needs_freezes_nothing() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app");
    let platform = Image::untagged().days_old(90.0);
    let manifest = json!({
        "schemaVersion": 2,
        "manifests": [{ "digest": platform.digest(), "platform": { "architecture": "amd64" } }],
    });
    let index = Image::of_manifest("application/vnd.oci.image.index.v1+json", &manifest.to_string());
    app.push_all([platform, index.and_tag("odd").days_old(90.0), Image::tagged("junk").days_old(95.0)]);
    aws.cluster("prod").runs("nginx");
    let report = run_on(&aws, here(&json!({}))).await;
    assert_eq!((&report.outcome, app.digests().len()), (&Outcome::Completed, 0), "{:?}", report.warnings);
}

#[tokio::test]
async fn a_rule_takes_signatures_of_what_is_gone_where_it_names_their_tags() {
    let gone = format!("sha256:{}", "7".repeat(64));
    for (pattern, stays) in [("sha256-*", false), ("*", true), ("v*", true)] {
        let aws = SimulatedAws::start().await;
        let app = aws.repository("app");
        let left_over = Image::tag_about(&gone, ".sig");
        app.push(Image::tagged(&left_over).days_old(90.0));
        let v1 = app.push(Image::tagged("v1").days_old(90.0));
        let signature = Image::tag_about(&v1, ".sig");
        app.push(Image::tagged(&signature).days_old(90.0));
        aws.cluster("prod").runs("nginx");
        let mut selection = json!({ "tagStatus": "tagged", "tagPatternList": [pattern] });
        for (name, value) in
            [("countType", json!("sinceImagePushed")), ("countUnit", json!("days")), ("countNumber", json!(30))]
        {
            selection[name] = value;
        }
        let rule = json!({ "rulePriority": 1, "selection": selection, "action": { "type": "expire" } });
        let policies = json!([{ "repositories": ["*"], "rules": [rule] }]);
        run_on(&aws, json!({ "dryRun": false, "policies": policies, "keepTags": ["v1"] })).await;
        assert_eq!(app.tags().contains(&left_over), stays, "{pattern}");
        assert!(app.tags().contains("v1") && app.tags().contains(&signature), "{pattern}");
    }
}

#[tokio::test]
async fn a_rule_that_selects_no_image_anywhere_is_told() {
    let rule = |priority: u32, list: &str, patterns: Value| {
        json!({
            "rulePriority": priority, "action": { "type": "expire" },
            "selection": { "tagStatus": "tagged", list: patterns, "countType": "imageCountMoreThan", "countNumber": 5 },
        })
    };
    let untagged = json!({
        "rulePriority": 9, "action": { "type": "expire" },
        "selection": { "tagStatus": "untagged", "countType": "imageCountMoreThan", "countNumber": 5 },
    });
    let rules = [
        rule(1, "tagPrefixList", json!(["prod", "release"])),
        rule(2, "tagPatternList", json!(["v*"])),
        rule(3, "tagPatternList", json!(["nightly-*"])),
        rule(4, "tagPatternList", json!(["*prod*", "prod-*"])),
        untagged,
    ];
    let aws = SimulatedAws::start().await;
    aws.repository("app").push(Image::tagged("prod-1").days_old(9.0));
    aws.repository("web").push(Image::tagged("v1").days_old(9.0));
    _ = aws.repository("empty");
    aws.cluster("prod").runs("nginx");
    let event = json!({ "policies": [{ "repositories": ["*"], "rules": rules }] });
    let told = |report: &Report| -> Vec<String> {
        let warnings = report.warnings.iter();
        let told = warnings.filter(|warning| warning.code == WarningCode::RuleSelectsNothing);
        told.map(ToString::to_string).collect()
    };
    let warnings = told(&run_on(&aws, event.clone()).await);
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].contains("rule 1 of policy 1 selects no image of any repository"), "{warnings:?}");
    assert!(
        warnings[0].contains("`prod*`, `release*`") && warnings[0].contains("write a rule for each pattern"),
        "{warnings:?}"
    );
    assert!(warnings[1].contains("rule 3 of policy 1") && warnings[1].contains("`nightly-*`"), "{warnings:?}");
    // The rule may apply to repositories that could not be read.
    aws.inject(Fault::denied("ecr:DescribeImages").for_repository("web"));
    assert_eq!(told(&run_on(&aws, event).await), [""; 0]);
}
