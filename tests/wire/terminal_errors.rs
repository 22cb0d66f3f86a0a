//! Errors show what failed, where, and what to grant, set or renew.

use std::time::{Duration, Instant};

use serde_json::json;
use simulated_aws::{ACCOUNT, Fault, Image, SimulatedAws, access_key_of};
use tokio::process::Command;

use crate::terminal::{Ran, assert_shown, command, ecr_cleanup, file, finish};

/// A loopback port on which no test listens.
const NOTHING_ANSWERS: &str = "http://127.0.0.1:1";

async fn world() -> SimulatedAws {
    let aws = SimulatedAws::start().await;
    let app = aws.repository("web/storefront").daily_builds(3);
    aws.cluster("prod").runs(&app.uri("v3"));
    aws
}

#[tokio::test]
async fn without_a_region_it_says_where_one_can_be_set_and_one_that_is_cleaned_will_do() {
    let aws = world().await;
    let without_region = |arguments: &[&str]| {
        let mut command = command(&aws, arguments);
        command.env_remove("AWS_REGION");
        finish(command)
    };
    let ran = without_region(&["plan", "--quiet"]).await;
    assert_eq!(ran.code, 2);
    assert_eq!(
        ran.stderr,
        "error: no AWS Region found. Pass --region, set AWS_REGION, or set a Region in the profile.\n"
    );
    assert!(aws.calls().is_empty());
    // The SDK also reads a region from the instance metadata. Its log of that is not part of the output.
    let mut metadata = command(&aws, &["plan", "--quiet"]);
    metadata.env_remove("AWS_REGION").env_remove("AWS_EC2_METADATA_DISABLED");
    metadata.env("AWS_EC2_METADATA_SERVICE_ENDPOINT", NOTHING_ANSWERS);
    assert_eq!(finish(metadata).await.stderr, ran.stderr);
    assert_eq!(without_region(&["plan", "--quiet", "--region", "us-west-2"]).await.code, 0);
    assert!(aws.calls_of("sts:GetCallerIdentity").iter().all(|call| call.region == "us-west-2"));
    assert_eq!(without_region(&["explain", "web/storefront:v1", "--quiet"]).await.code, 2);
}

#[tokio::test]
async fn a_denied_call_is_named_with_what_to_grant() {
    let aws = world().await;
    aws.inject(Fault::denied("ecs:ListTasks"));
    assert_shown!(ecr_cleanup(&aws, &["delete", "--yes", "--images-to-keep", "1", "--quiet"]).await.shown());
    assert!(aws.calls_of("ecr:BatchDeleteImage").is_empty());
    aws.heal();
    aws.inject(Fault::denied("account:ListRegions"));
    let ran = ecr_cleanup(&aws, &["plan", "--quiet"]).await;
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("Pass --region, or grant account:ListRegions"), "{}", ran.stderr);
    aws.heal();
    aws.inject(Fault::denied("ecr:DescribeImages"));
    let ran = ecr_cleanup(&aws, &["explain", "web/storefront:v1", "--quiet"]).await;
    assert!(ran.code == 1 && ran.stderr.contains("Grant ecr:DescribeImages"), "{}", ran.stderr);
}

#[tokio::test]
async fn expired_or_missing_credentials_come_with_the_command_that_renews_them() {
    let aws = world().await;
    aws.inject(Fault::error("sts:GetCallerIdentity", 403, "ExpiredToken"));
    let ran = ecr_cleanup(&aws, &["plan", "--quiet"]).await;
    assert!(
        ran.code == 1
            && ran.stderr.contains("the AWS credentials have expired. Renew them, for SSO with: aws sso login"),
        "{}",
        ran.stderr
    );
    aws.heal();
    let mut none = command(&aws, &["plan", "--quiet"]);
    none.env_remove("AWS_ACCESS_KEY_ID");
    let ran = finish(none).await;
    assert!(
        ran.code == 1
            && ran.stderr.contains(
                "error: no AWS credentials found. Set AWS_PROFILE, pass --profile, or run `aws configure`.\n"
            ),
        "{}",
        ran.stderr
    );
    let ran = ecr_cleanup(&aws, &["plan", "--quiet", "--profile", "no-such"]).await;
    assert_eq!(ran.code, 1);
    let told = "profile \"no-such\" not found or has no credentials. Check: aws configure list --profile no-such\n";
    assert!(ran.stderr.ends_with(told), "{}", ran.stderr);
}

#[tokio::test]
async fn an_endpoint_that_does_not_answer_is_named_and_soon() {
    let aws = world().await;
    let mut command = command(&aws, &["plan", "--quiet"]);
    command.env("AWS_ENDPOINT_URL", NOTHING_ANSWERS);
    let begun = Instant::now();
    let ran = finish(command).await;
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    let told =
        "can't connect to http://127.0.0.1:1 (set by AWS_ENDPOINT_URL). Start that endpoint, or unset the variable";
    assert!(ran.code == 1 && ran.stderr.contains(told), "{}", ran.stderr);
}

/// A configuration with a profile with an expired login, and a profile with keys and a region.
fn profiles(name: &str, command: &mut Command) {
    let home = file(&format!("home-{name}"));
    // The file name of the cached token is the SHA-1 of the session's name, as in the AWS CLI.
    let cache = format!("{home}/.aws/sso/cache");
    std::fs::create_dir_all(&cache).unwrap();
    std::fs::write(
        format!("{cache}/e274eeff768c6396088ec6eb091f4bf4d47ab1e0.json"),
        r#"{ "accessToken": "x", "expiresAt": "2020-01-01T00:00:00Z", "region": "us-west-2", "startUrl": "https://example.com" }"#,
    )
    .unwrap();
    let config = format!("{home}/.aws/config");
    let text = format!(
        "[profile prod]\nsso_session = work\nsso_account_id = {ACCOUNT}\nsso_role_name = admin\nregion = us-west-2\n\
         [sso-session work]\nsso_region = us-west-2\nsso_start_url = https://example.com\n\
         [profile keys]\naws_access_key_id = {}\naws_secret_access_key = simulated\nregion = us-west-2\n",
        access_key_of(ACCOUNT)
    );
    std::fs::write(&config, text).unwrap();
    command.env("AWS_CONFIG_FILE", config).env("HOME", home).env_remove("AWS_REGION");
}

#[tokio::test]
async fn a_profile_brings_credentials_and_region_whatever_the_environment_has() {
    let aws = world().await;
    let mut command = command(&aws, &["plan", "--quiet", "--profile", "keys"]);
    profiles("keys", &mut command);
    command.env("AWS_ACCESS_KEY_ID", access_key_of("999999999999"));
    let ran = finish(command).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(aws.calls().iter().all(|call| call.account == ACCOUNT));
}

#[tokio::test]
async fn a_login_that_has_expired_is_renewed_by_a_command_that_is_told() {
    let aws = world().await;
    for by in ["flag", "variable"] {
        let mut command = match by {
            "flag" => command(&aws, &["plan", "--quiet", "--profile", "prod"]),
            _ => command(&aws, &["plan", "--quiet"]),
        };
        profiles(by, &mut command);
        if by == "variable" {
            command.env("AWS_PROFILE", "prod").env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
        }
        let ran = finish(command).await;
        assert!(
            ran.code == 1 && ran.stderr.ends_with("Log in again: aws sso login --profile prod\n"),
            "{}",
            ran.stderr
        );
    }
    assert!(aws.calls_of("sts:GetCallerIdentity").is_empty());
}

#[tokio::test]
async fn a_pattern_that_matches_nothing_comes_with_the_nearest_name() {
    let aws = world().await;
    let told = async |arguments: &[&str]| {
        let ran = ecr_cleanup(&aws, &[&["plan", "--quiet"], arguments].concat()).await;
        assert_eq!(ran.code, 0);
        (ran.stderr, ran.stdout.contains("no repository is cleaned"))
    };
    let meant = "warning: no repository matches \"web/storefornt\". Did you mean web/storefront?\n".to_owned();
    assert_eq!(told(&["--repositories", "web/storefornt"]).await, (meant.clone(), true));
    assert_eq!(
        told(&["--repositories", "web/s*,web/storefornt"]).await,
        (meant.clone(), false),
        "beside one that does"
    );
    assert_eq!(told(&["--repositories", "db"]).await, ("warning: no repository matches \"db\"\n".to_owned(), true));
    let excluded = ["--repositories", "web/storefront", "--exclude-repositories", "web/*"];
    assert_eq!(told(&excluded).await, (String::new(), true), "that is no typo");
    assert_eq!(told(&["--exclude-repositories", "web/storefornt"]).await, (meant, false), "what was to stay would go");
}

#[tokio::test]
async fn a_plan_that_would_be_refused_says_so() {
    let aws = world().await;
    let plan = async |most| {
        ecr_cleanup(&aws, &["plan", "--quiet", "--images-to-keep", "1", "--max-deletions", most]).await.stderr
    };
    let told = "warning: 2 images are stale and --max-deletions is 1, so `ecr-cleanup delete` would delete nothing\n";
    assert_eq!((plan("1").await.as_str(), plan("2").await.as_str()), (told, ""));
}

#[tokio::test]
async fn a_delete_that_hits_no_repository_is_wrong_usage() {
    let aws = world().await;
    for (arguments, code) in [
        (&["--repositories", "db"][..], 2),
        (&["--repositories", "web/*", "--exclude-repositories", "web/storefront"], 2),
        (&["--repositories", "web/*"], 0),
    ] {
        let ran = ecr_cleanup(&aws, &[&["delete", "--yes", "--quiet"], arguments].concat()).await;
        assert_eq!(
            (
                ran.code,
                ran.stderr
                    .contains("no repository matches --repositories and --exclude-repositories. Nothing was deleted.")
            ),
            (code, code == 2)
        );
    }
}

#[tokio::test]
async fn an_exclusion_that_excludes_nothing_deletes_nothing() {
    let aws = world().await;
    let arguments = ["delete", "--yes", "--quiet", "--images-to-keep", "1", "--exclude-repositories"];
    let ran = ecr_cleanup(&aws, &[&arguments[..], &["web/storefornt"]].concat()).await;
    let told = "--exclude-repositories: no repository matches \"web/storefornt\". Did you mean web/storefront? Nothing was deleted.";
    assert!(ran.code == 2 && ran.stderr.contains(told), "{}", ran.stderr);
    assert!(ran.stdout.is_empty() && aws.calls_of("ecr:DescribeImages").is_empty());
    let _ = aws.repository("db").daily_builds(3);
    let ran = ecr_cleanup(&aws, &[&arguments[..], &["web/*"]].concat()).await;
    assert_eq!((ran.code, aws.repository("db").tags().len()), (0, 1), "{}", ran.stderr);
    assert_eq!(aws.repository("web/storefront").tags().len(), 3);
}

#[tokio::test]
async fn a_repository_that_cannot_be_read_is_a_failure_in_part() {
    let aws = world().await;
    let _ = aws.repository("web/other").daily_builds(2);
    aws.inject(Fault::denied("ecr:DescribeImages").for_repository("web/other"));
    let ran = ecr_cleanup(&aws, &["plan", "--quiet", "--format", "json"]).await;
    assert_eq!((ran.code, &ran.json()["outcome"]), (1, &serde_json::json!("partial")));
}

#[tokio::test]
async fn what_others_wrote_does_not_control_the_terminal() {
    const HOSTILE: &str = "old\u{1b}]0;x\u{7}\u{1b}[2J\nINJECTED \u{202e}";
    let aws = world().await;
    let app = aws.repository("web/storefront");
    app.push(Image::tagged(&format!("t-{HOSTILE}")).days_old(400.0));
    aws.cluster("prod").runs(&app.uri("v1"));
    let count = json!({ "tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 1 });
    let rule = json!({ "rulePriority": 1, "description": HOSTILE, "selection": count, "action": { "type": "expire" } });
    app.set_lifecycle_policy(&json!({ "rules": [rule] }));
    let policies = file("hostile-policies.json");
    std::fs::write(&policies, json!([{ "repositories": ["*"], "rules": [rule] }]).to_string()).unwrap();
    let _ = aws.repository("web/denied").daily_builds(1);
    aws.inject(Fault::error("ecr:DescribeImages", 400, HOSTILE).for_repository("web/denied"));
    aws.inject(Fault::error("lambda:ListFunctions", 400, HOSTILE));
    let by_policies = ["--quiet", "--policies", &policies];
    for arguments in [
        &["plan", "--details"][..],
        &["plan", "--format", "markdown"],
        &["explain", "web/storefront:v2"],
        &["explain", "web/storefront:v1"],
        &["explain", "web/denied:v1"],
        &["usage"],
    ] {
        let settings = if arguments == ["usage"] { &by_policies[..1] } else { &by_policies };
        let Ran { stdout, stderr, .. } = ecr_cleanup(&aws, &[arguments, settings].concat()).await;
        let shown = stdout + &stderr;
        assert!(shown.contains("INJECTED"), "{arguments:?} quotes it: {shown}");
        assert!(shown.lines().all(|line| !line.starts_with("INJECTED")), "{arguments:?}: {shown}");
        let controls = shown.chars().find(|c| (c.is_control() && *c != '\n') || *c == '\u{202e}');
        assert_eq!(controls, None, "{arguments:?}: {shown:?}");
    }
    aws.heal();
    let plan = file("hostile-plan.json");
    let ran = ecr_cleanup(&aws, &[&["plan", "--out", &plan], &by_policies[..]].concat()).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    app.delete(&app.digest_of(&format!("t-{HOSTILE}")));
    let ran = ecr_cleanup(&aws, &["delete", &plan, "--quiet"]).await;
    assert!(
        ran.stderr.contains("web/storefront:t-old\u{fffd}]0;x\u{fffd}\u{fffd}[2J INJECTED \u{fffd}@"),
        "{}",
        ran.stderr
    );
}
