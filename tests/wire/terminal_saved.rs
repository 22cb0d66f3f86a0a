//! A plan that is saved, reviewed, and then carried out for the images that are still stale.

use std::time::Duration;

use serde_json::{Value, json};
use simulated_aws::{ACCOUNT, Fault, Image, REGION, Repository, SimulatedAws, access_key_of};

use crate::decisions::decisions;
use crate::support::{push_multi_arch, set};
use crate::terminal::{Ran, assert_shown, command, ecr_cleanup, file, finish};

async fn world() -> (SimulatedAws, Repository) {
    let aws = SimulatedAws::start().await;
    let app = aws.repository("web/app").daily_builds(10);
    aws.cluster("prod").runs(&app.uri("v10"));
    (aws, app)
}

/// Saves a plan that keeps the newest two images.
async fn saved(aws: &SimulatedAws, name: &str, arguments: &[&str]) -> String {
    let plan = file(name);
    let common = ["plan", "--images-to-keep", "2", "--quiet", "--out", &plan];
    let ran = ecr_cleanup(aws, &[&common[..], arguments].concat()).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    plan
}

fn changed(plan: &str, change: impl FnOnce(&mut Value)) {
    let mut value: Value = serde_json::from_str(&std::fs::read_to_string(plan).unwrap()).unwrap();
    change(&mut value);
    std::fs::write(plan, value.to_string()).unwrap();
}

#[tokio::test]
async fn a_plan_is_carried_out_as_it_was_reviewed() {
    let (aws, app) = world().await;
    let plan = saved(&aws, "as-reviewed.json", &[]).await;
    assert_shown!(std::fs::read_to_string(&plan).unwrap().replace(&app.digest_of("v1"), "the digest of v1"));
    assert_eq!(app.tags().len(), 10);
    // The reviewer may remove images from the plan.
    changed(&plan, |plan| {
        let images = plan["regions"][0]["repositories"][0]["images"].as_array_mut().unwrap();
        images.retain(|image| image["imageTags"] != json!(["v5"]));
    });
    let ran = ecr_cleanup(&aws, &["delete", &plan]).await;
    assert_shown!(ran.shown());
    assert_eq!(app.tags(), set(["v5", "v9", "v10"]));
}

#[tokio::test]
async fn what_became_used_moved_or_new_since_the_review_stays() {
    let (aws, app) = world().await;
    let gone = aws.repository("web/gone").daily_builds(4);
    let plan = saved(&aws, "moved.json", &[]).await;
    aws.cluster("prod").runs(&app.uri("v1"));
    app.retag("v2", "stable");
    app.retag("v3", "latest");
    app.delete(&app.digest_of("v4"));
    app.push_again("v5");
    app.push(Image::tagged("hotfix"));
    gone.delete_repository();
    let ran = ecr_cleanup(&aws, &["delete", &plan, "--quiet", "--format", "json"]).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    // v5 is among the newest again, so v9 and v10 are stale now, but they are not in the reviewed plan.
    assert_eq!(app.tags(), set(["hotfix", "latest", "stable", "v1", "v2", "v3", "v5", "v9", "v10"]));
    let report = ran.json();
    assert_eq!((&report["outcome"], &report["totals"]["imagesDeleted"]), (&json!("completed"), &json!(3)));
    assert_eq!(
        report["warnings"],
        json!([{
            "code": "ReviewedRepositoryGone", "registryId": ACCOUNT, "region": REGION, "repositoryName": "web/gone",
            "message": "repository web/gone in us-west-2 no longer exists. The reviewed plan has 2 images there.",
        }])
    );
    assert_shown!(ran.stderr);
    insta::assert_snapshot!(decisions(&report), @"
    us-west-2 web/app: keeps 2 inUse, 1 keepTags, 2 newest
      latest v3 not stale any more: keepTags
      stable v2 stale: not among the 2 newest tagged images; skipped, its tags have changed
      v1 not stale any more: inUse, ECS task arn:aws:ecs:us-west-2:123456789012:task/prod/00000000000000000000000000000001
      v1 only in use: ECS task arn:aws:ecs:us-west-2:123456789012:task/prod/00000000000000000000000000000001
      v10 only in use: ECS task arn:aws:ecs:us-west-2:123456789012:task/prod/00000000000000000000000000000000
      v4 not stale any more: gone
      v5 not stale any more: newest
      v6 stale: not among the 2 newest tagged images; deleted
      v7 stale: not among the 2 newest tagged images; deleted
      v8 stale: not among the 2 newest tagged images; deleted
      v9 stale: not among the 2 newest tagged images; skipped, it is not in the reviewed plan
    ");
}

#[tokio::test]
async fn what_hangs_on_an_image_that_was_not_reviewed_stays_with_it() {
    let (aws, app) = world().await;
    // Two platforms of an index that was deleted long ago.
    let platforms = [Image::untagged().days_old(60.0), Image::untagged().days_old(60.0)];
    app.push_all(platforms.clone());
    let plan = saved(&aws, "hanging.json", &["--untagged-older-than-days", "20"]).await;
    let index = app.push(Image::index_of(&platforms).and_tag("again").days_old(30.0));
    let ran = ecr_cleanup(&aws, &["delete", &plan, "--quiet", "--format", "json"]).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let left = app.digests();
    assert!(left.contains(&index) && platforms.iter().all(|platform| left.contains(platform.digest())), "{left:?}");
    assert_eq!(app.tags(), set(["again", "v9", "v10"]));
    assert_eq!(ran.json()["totals"]["imagesSkipped"], 3);
}

#[tokio::test]
async fn an_index_goes_with_all_that_was_reviewed_with_it() {
    let (aws, app) = world().await;
    let multi = push_multi_arch(&app, "multi", 50.0);
    aws.place(ACCOUNT, REGION).exclude_pull_times_of("arn:aws:iam::123456789012:role/ecr-cleanup");
    let plan = saved(&aws, "index.json", &[]).await;
    assert_eq!(ecr_cleanup(&aws, &["delete", &plan, "--quiet"]).await.code, 0);
    assert!(multi.iter().all(|digest| !app.digests().contains(digest)));
}

#[tokio::test]
async fn what_is_to_be_archived_is_archived_and_not_deleted() {
    let (aws, app) = world().await;
    let policies = file("archiving-policies.json");
    let rule = |action: &Value| {
        let count = json!({ "tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 7 });
        json!([{ "repositories": ["*"], "rules": [{ "rulePriority": 1, "selection": count, "action": action }] }])
    };
    let archive = json!({ "type": "transition", "targetStorageClass": "archive" });
    std::fs::write(&policies, rule(&archive).to_string()).unwrap();
    let plan = file("archiving.json");
    let ran = ecr_cleanup(&aws, &["plan", "--quiet", "--policies", &policies, "--out", &plan]).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    // The plan contains the rules, so later changes to their file don't matter.
    std::fs::write(&policies, rule(&json!({ "type": "expire" })).to_string()).unwrap();
    let ran = ecr_cleanup(&aws, &["delete", &plan, "--quiet"]).await;
    assert_eq!((ran.code, app.archived().len(), app.tags().len()), (0, 3, 10), "{}", ran.stderr);
    assert!(ran.stdout.contains("3 of the plan's 3 images archived"), "{}", ran.stdout);
    assert!(!ran.stdout.contains("images deleted") && !ran.stdout.contains("That freed"), "{}", ran.stdout);
}

#[tokio::test]
async fn what_was_reviewed_to_be_archived_is_not_deleted_and_that_is_a_change() {
    let (aws, app) = world().await;
    let plan = saved(&aws, "other-action.json", &[]).await;
    changed(&plan, |plan| {
        let images = plan["regions"][0]["repositories"][0]["images"].as_array_mut().unwrap();
        images.retain(|image| ["v1", "v2"].iter().any(|tag| image["imageTags"] == json!([tag])));
        images[0]["action"] = json!("archive");
    });
    let ran = ecr_cleanup(&aws, &["delete", &plan, "--quiet", "--format", "json"]).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(app.tags().contains("v1") && !app.tags().contains("v2"));
    let because = "its action (delete or archive) is another than in the reviewed plan";
    insta::assert_snapshot!(decisions(&ran.json()), @"
    us-west-2 web/app: keeps 1 inUse, 1 newest
      v1 stale: not among the 2 newest tagged images; skipped, its action (delete or archive) is another than in the reviewed plan
      v10 also in use: ECS task arn:aws:ecs:us-west-2:123456789012:task/prod/00000000000000000000000000000000
      v2 stale: not among the 2 newest tagged images; deleted
      v3 stale: not among the 2 newest tagged images; skipped, it is not in the reviewed plan
      v4 stale: not among the 2 newest tagged images; skipped, it is not in the reviewed plan
      v5 stale: not among the 2 newest tagged images; skipped, it is not in the reviewed plan
      v6 stale: not among the 2 newest tagged images; skipped, it is not in the reviewed plan
      v7 stale: not among the 2 newest tagged images; skipped, it is not in the reviewed plan
      v8 stale: not among the 2 newest tagged images; skipped, it is not in the reviewed plan
    ");
    for told in [
        &*format!("web/app:v1@{} is kept: {because}\n", app.digest_of("v1")),
        "6 more stale images aren't in the plan and were not deleted.\n",
    ] {
        assert!(ran.stderr.contains(told), "{told} in {}", ran.stderr);
    }
}

#[tokio::test]
async fn a_plan_is_saved_with_the_policies_that_made_it_whatever_becomes_of_their_file() {
    let (aws, _) = world().await;
    let (plan, policies) = (file("policies-read-once.json"), file("policies-that-change.json"));
    let keep = |images: u32| {
        let count = json!({ "tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": images });
        let rule = json!({ "rulePriority": 1, "selection": count, "action": { "type": "expire" } });
        json!([{ "repositories": ["*"], "rules": [rule] }])
    };
    std::fs::write(&policies, keep(7).to_string()).unwrap();
    let (changed, later) = (policies.clone(), keep(2).to_string());
    let happens = move || std::fs::write(&changed, &later).unwrap();
    aws.inject(Fault::before("sts:GetCallerIdentity", Duration::ZERO, happens).times(1));
    let mut planning = command(&aws, &["plan", "--quiet", "--format", "json", "--out", &plan]);
    planning.env("ECR_CLEANUP_POLICIES_FILE", &policies);
    let ran = finish(planning).await;
    assert_eq!((ran.code, &ran.json()["totals"]["imagesStale"]), (0, &json!(3)), "{}", ran.stderr);
    let saved: Value = serde_json::from_str(&std::fs::read_to_string(&plan).unwrap()).unwrap();
    assert_eq!((&saved["settings"]["policies"], &saved["settings"]["imagesToKeep"]), (&keep(7), &json!(0)));
}

#[tokio::test]
async fn the_settings_travel_with_the_plan_but_for_what_is_nobodys_business() {
    let (aws, app) = world().await;
    let role = aws.role("999999999999");
    aws.ask_for_external_id(&role, "registry-cleaning");
    let plan = file("settings.json");
    let mut planning = command(&aws, &["plan", "--quiet", "--out", &plan, "--in-use-images", &app.uri("v1")]);
    planning.envs([
        ("ECR_CLEANUP_IMAGES_TO_KEEP", "7"),
        ("ECR_CLEANUP_USAGE_ROLE_ARNS", &*role),
        ("ECR_CLEANUP_USAGE_EXTERNAL_ID", "registry-cleaning"),
        ("ECR_CLEANUP_KEEP_TAGS", "v2, v3"),
        ("ECR_CLEANUP_UNTAGGED_OLDER_THAN_DAYS", "never"),
        ("DRYRUN", "true"),
    ]);
    assert_eq!(finish(planning).await.code, 0);
    let text = std::fs::read_to_string(&plan).unwrap();
    assert!(!text.contains("registry-cleaning"));
    let saved: Value = serde_json::from_str(&text).unwrap();
    let expected = json!({
        "imagesToKeep": 7, "keepTags": ["v2", "v3"], "untaggedOlderThanDays": null, "inUseImages": [app.uri("v1")],
        "usageRoleArns": [role], "keepBeforeInUse": 0, "keepPulledWithinDays": 45, "region": null,
    });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(saved["settings"][name], *value, "{name}");
    }
    for name in ["dryRun", "usageExternalId"] {
        assert!(saved["settings"].get(name).is_none(), "{name}");
    }

    let delete = async |environment: &[(&str, &str)]| {
        let mut command = command(&aws, &["delete", &plan, "--quiet", "--format", "json"]);
        command.envs(environment.iter().copied());
        finish(command).await
    };
    let refused = delete(&[]).await;
    assert!(refused.code == 1 && refused.stdout.contains("999999999999"), "{}", refused.stdout);
    changed(&plan, |plan| plan["settings"]["keepTags"] = json!(["v3"]));
    // A variable that counted for the plan may be set for the delete too. Another value is an error.
    let external_id = ("ECR_CLEANUP_USAGE_EXTERNAL_ID", "registry-cleaning");
    for (variable, text) in [
        ("ECR_CLEANUP_IMAGES_TO_KEEP", "1"),
        ("ECR_CLEANUP_EXCLUDE_REPOSITORIES", "web/*"),
        ("ECR_CLEANUP_KEEP_TAGS", "v4"),
    ] {
        let refused = delete(&[external_id, (variable, text)]).await;
        let told = format!("{variable}=\"{text}\" contradicts {plan}");
        assert!(refused.code == 2 && refused.stderr.contains(&told), "{}", refused.stderr);
    }
    let same = [
        external_id,
        ("ECR_CLEANUP_IMAGES_TO_KEEP", "7"),
        ("ECR_CLEANUP_KEEP_TAGS", "v3"),
        ("ECR_CLEANUP_EXACT_SIZES", "FALSE"),
        ("ECR_CLEANUP_UNTAGGED_OLDER_THAN_DAYS", "never"),
    ];
    let ran = delete(&same).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(app.tags().len(), 10, "v1 counts as used; v2 is stale by the file's settings, and not among its images");
    assert_eq!(ran.json()["totals"]["imagesStale"], 1, "by the settings in the file");
}

#[tokio::test]
async fn beside_a_plan_only_what_takes_away_from_it_may_be_given() {
    let (aws, app) = world().await;
    let plan = saved(&aws, "beside.json", &["--max-deletions", "8"]).await;
    aws.forget_calls();
    for arguments in [
        &["--images-to-keep", "1"][..],
        &["--settings", "events/live.json"],
        &["--tags", "v*"],
        &["--usage-regions", "us-west-2"],
        &["--dry-run"],
    ] {
        let ran = ecr_cleanup(&aws, &[&["delete", &plan], arguments].concat()).await;
        assert!(ran.code == 2, "{arguments:?}: {}", ran.stderr);
    }
    assert!(aws.calls().is_empty());
    let delete =
        async |arguments: &[&str]| ecr_cleanup(&aws, &[&["delete", &plan, "--quiet"], arguments].concat()).await;
    let few = delete(&["--max-deletions", "7"]).await;
    assert!(few.code == 1 && few.stderr.contains("8 images are stale and --max-deletions is 7"), "{}", few.stderr);
    app.push(Image::tagged("new"));
    changed(&plan, |plan| plan["settings"]["maxDeletions"] = json!(7));
    let still = delete(&["--max-deletions", "100"]).await;
    assert!(still.code == 1 && still.stderr.contains("--max-deletions is 7"), "the lower one holds: {}", still.stderr);
    let list = file("beside-in-use.txt");
    std::fs::write(&list, app.uri("v1")).unwrap();
    let ran = delete(&["--in-use-file", &list, "--in-use-images", &app.uri("v2"), "--max-deletions", "6"]).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(app.tags(), set(["v1", "v2", "v9", "v10", "new"]), "what was not reviewed doesn't count as a deletion");
}

#[tokio::test]
async fn what_only_takes_away_from_a_plan_counts_in_the_environment_too() {
    let (aws, app) = world().await;
    let plan = saved(&aws, "beside-environment.json", &["--in-use-images", &app.uri("v1")]).await;
    let delete = async |arguments: &[&str], environment: &[(&str, &str)]| {
        let mut command = command(&aws, &[&["delete", &plan, "--quiet"], arguments].concat());
        command.envs(environment.iter().copied());
        finish(command).await
    };
    aws.forget_calls();
    for (variable, text, told) in [
        (
            "ECR_CLEANUP_MAX_DELETIONS",
            "few",
            "invalid value \"few\" for ECR_CLEANUP_MAX_DELETIONS: expected a whole number",
        ),
        (
            "ECR_CLEANUP_IN_USE_IMAGES",
            "123456789012.dkr.ecr.us-west-2.amazonaws.com/App:v1",
            "ECR_CLEANUP_IN_USE_IMAGES: invalid ECR image \"123456789012",
        ),
    ] {
        let refused = delete(&[], &[(variable, text)]).await;
        assert!(refused.code == 2 && refused.stderr.contains(told), "{}", refused.stderr);
    }
    assert!(aws.calls().is_empty());
    // Seven images. The limit in the environment applies alone, and also as the lowest of all.
    let limit = |number: u32| changed(&plan, |plan| plan["settings"]["maxDeletions"] = json!(number));
    for (arguments, in_plan, in_environment, holds) in [
        (&[][..], None, "6", 6),
        (&["--max-deletions", "8"], None, "5", 5),
        (&[], Some(4), "5", 4),
        (&[], Some(9), "6", 6),
    ] {
        in_plan.into_iter().for_each(limit);
        let refused = delete(arguments, &[("ECR_CLEANUP_MAX_DELETIONS", in_environment)]).await;
        let told = format!("7 images are stale and --max-deletions is {holds}");
        assert!(refused.code == 1 && refused.stderr.contains(&told), "{told}: {}", refused.stderr);
    }
    let in_use = app.uri("v2");
    let ran = delete(
        &["--in-use-images", &app.uri("v3")],
        &[("ECR_CLEANUP_IN_USE_IMAGES", &in_use), ("ECR_CLEANUP_MAX_DELETIONS", "5")],
    )
    .await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(app.tags(), set(["v1", "v2", "v3", "v9", "v10"]));
}

#[tokio::test]
async fn a_plan_that_is_none_is_refused_before_any_call() {
    let (aws, _) = world().await;
    let plan = saved(&aws, "broken.json", &[]).await;
    let good = std::fs::read_to_string(&plan).unwrap();
    aws.forget_calls();
    let mut ran: Vec<Ran> = Vec::new();
    for (change, told) in [
        ((|plan| plan["schemaVersion"] = json!(2)) as fn(&mut Value), "schema version 2, from ecr-cleanup "),
        (|plan| *plan = json!({ "outcome": "planned" }), "this is not a plan: it has no schemaVersion"),
        (|plan| plan["account"] = json!("12"), "this plan is not valid: `12` is not an account id"),
        (
            |plan| plan["regions"][0]["repositories"][0]["images"][0]["imageDigest"] = json!("v1"),
            "`v1` is not a digest",
        ),
        (|plan| plan["regions"][0]["onlyIf"] = json!(true), "unknown field `onlyIf`"),
        (|plan| plan["settings"]["imagesToKeep"] = json!("many"), "invalid value \"many\" for imagesToKeep"),
    ] {
        std::fs::write(&plan, &good).unwrap();
        changed(&plan, change);
        let refused = ecr_cleanup(&aws, &["delete", &plan]).await;
        assert!(refused.code == 2 && refused.stderr.contains(told), "{told}: {}", refused.stderr);
        ran.push(refused);
    }
    assert!(ran[0].stderr.contains("Use the program that made it"));
    std::fs::write(&plan, "not JSON").unwrap();
    assert_eq!(ecr_cleanup(&aws, &["delete", &plan]).await.code, 2);
    let missing = ecr_cleanup(&aws, &["delete", "no-such-plan.json"]).await;
    assert!(missing.code == 2 && missing.stderr.contains("ecr-cleanup plan --out"), "{}", missing.stderr);
    assert!(aws.calls().is_empty());
}

#[tokio::test]
async fn a_region_of_a_plan_that_is_not_cleaned_any_more_is_told() {
    let (aws, app) = world().await;
    let _ = aws.region("eu-central-1").repository("web/other").daily_builds(1);
    let plan = saved(&aws, "region-left-out.json", &[]).await;
    changed(&plan, |plan| plan["settings"]["region"] = json!("eu-central-1"));
    let ran = ecr_cleanup(&aws, &["delete", &plan, "--quiet", "--format", "json"]).await;
    let told = "us-west-2 is no longer cleaned: it is disabled, or the plan's settings exclude it. Kept 8 images of the reviewed plan";
    assert!(ran.code == 0 && ran.json()["warnings"].to_string().contains(told), "{} {}", ran.stdout, ran.stderr);
    assert_eq!(app.tags().len(), 10);
}

#[tokio::test]
async fn the_plan_of_another_account_deletes_nothing() {
    let (aws, app) = world().await;
    let plan = saved(&aws, "account.json", &[]).await;
    let other = aws.place("999999999999", REGION).repository("web/app").daily_builds(10);
    let mut command = command(&aws, &["delete", &plan, "--quiet"]);
    command.env("AWS_ACCESS_KEY_ID", access_key_of("999999999999"));
    aws.forget_calls();
    let ran = finish(command).await;
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains(
        " was created for account 123456789012, but you are signed in to account 999999999999. Nothing was deleted."
    ));
    assert!(aws.calls().iter().all(|call| !call.operation.starts_with("ecr:")));
    assert_eq!((app.tags().len(), other.tags().len()), (10, 10));
}

#[tokio::test]
async fn a_plan_that_cannot_be_written_is_told_before_aws_is_asked() {
    let (aws, _) = world().await;
    let ran = ecr_cleanup(&aws, &["plan", "--out", "no/such/folder/plan.json"]).await;
    assert!(
        ran.code == 2
            && ran.stderr.contains("there is no folder no/such/folder. Create it with: mkdir -p no/such/folder\n"),
        "{}",
        ran.stderr
    );
    assert!(aws.calls().is_empty());
}

#[tokio::test]
async fn a_plan_that_could_not_be_written_is_shown_all_the_same() {
    let (aws, _) = world().await;
    let folder = file("a-folder");
    std::fs::create_dir_all(&folder).unwrap();
    let ran = ecr_cleanup(&aws, &["plan", "--quiet", "--images-to-keep", "2", "--out", &folder]).await;
    assert!(ran.stdout.starts_with("Dry run, planned: 8 of 10 images"), "{}", ran.stdout);
    assert!(ran.code == 1 && ran.stderr.ends_with(". The plan was not saved.\n"), "{}", ran.stderr);
}
