//! Other accounts: their workloads are read through roles. Repositories that unread accounts can pull from are kept.

use std::time::Duration;

use ecr_cleanup_core::plan::Refusal;
use ecr_cleanup_core::report::{Outcome, Report};
use serde_json::{Value, json};
use simulated_aws::{ACCOUNT, Fault, REGION, Repository, Service, SimulatedAws};

use crate::support::{decided, json_of, merciless, run_on, set, with};

const OTHER: &str = "999999999999";

fn with_role(dry_run: bool, role: &str) -> Value {
    with(merciless(dry_run), &json!({ "usageRoleArns": [role] }))
}

fn lets_pull(account: &str) -> Value {
    json!({ "Version": "2012-10-17", "Statement": {
        "Effect": "Allow", "Principal": { "AWS": format!("arn:aws:iam::{account}:root") },
        "Action": ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"] } })
}

fn account_with_builds() -> (SimulatedAws, Repository) {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app").daily_builds(3);
    aws.cluster("prod").runs(&app.uri("v3"));
    (aws, app)
}

#[tokio::test(start_paused = true)]
async fn what_another_account_runs_stays() {
    let (aws, app) = account_with_builds();
    let role = aws.role(OTHER);
    aws.place(OTHER, "us-west-2").cluster("prod").runs(&app.uri("v1"));
    _ = aws.region("eu-west-1");
    _ = aws.place(OTHER, "eu-west-1").function("resize", &app.uri("v2"), None);
    let report = run_on(&aws, with_role(false, &role)).await;
    assert_eq!(report.outcome, Outcome::Completed);
    assert_eq!(app.tags(), set(["v1", "v2", "v3"]));
    assert_eq!(json_of(&report)["usage"]["accounts"], json!([ACCOUNT, OTHER]));

    let assumed = aws.calls_of("sts:AssumeRole");
    assert_eq!(assumed.len(), 1, "assumed once");
    assert_eq!(assumed[0].request["RoleSessionName"], format!("ecr-cleanup@{ACCOUNT}"), "and says who asks");
    let listings = aws.calls_of("account:ListRegions");
    assert!(listings.iter().any(|call| call.account == OTHER), "with the regions of that account");
}

#[tokio::test(start_paused = true)]
async fn a_role_that_refuses_is_told_with_its_code_and_nothing_goes() {
    let (aws, app) = account_with_builds();
    let role = format!("arn:aws:iam::{OTHER}:role/not-there");
    let report = run_on(&aws, with_role(false, &role)).await;
    let Outcome::Refused(refusal @ Refusal::UsageIncomplete { .. }) = report.outcome else {
        panic!("{:?}", report.outcome)
    };
    let refusal = refusal.to_string();
    for told in ["account 999999999999", "sts:AssumeRole", "AccessDenied", &role, "usageRoleArns"] {
        assert!(refusal.contains(told), "{told} in {refusal}");
    }
    assert_eq!(app.tags().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn what_fails_in_another_account_alone_stops_all_deletes() {
    for fault in [Fault::denied("ecs:ListServices"), Fault::denied("account:ListRegions"), Fault::denied("lambda:*")] {
        let (aws, app) = account_with_builds();
        let role = aws.role(OTHER);
        aws.place(OTHER, "us-west-2").cluster("prod").create(Service::external());
        aws.inject(fault.clone().in_account(OTHER));
        let report = run_on(&aws, with_role(false, &role)).await;
        assert_eq!(report.outcome.as_str(), "refused", "{fault:?}");
        assert!(
            matches!(&report.outcome, Outcome::Refused(refusal) if refusal.to_string().contains(OTHER)),
            "{fault:?}"
        );
        assert_eq!(app.tags().len(), 3, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_roles_credentials_are_renewed_on_the_way() {
    let (aws, app) = account_with_builds();
    // In its last seconds a credential already counts as expired, so each call requests a new one.
    let role = aws.role_for(OTHER, Duration::from_secs(2));
    aws.place(OTHER, "us-west-2").cluster("prod").runs(&app.uri("v1"));
    run_on(&aws, with_role(false, &role)).await;
    assert_eq!(app.tags(), set(["v1", "v3"]));
    assert!(aws.calls_of("sts:AssumeRole").len() > 1);
}

async fn shared_with(policy: Value, settings: &Value) -> (usize, Report) {
    let (aws, app) = account_with_builds();
    let own = aws.repository("own").daily_builds(3);
    own.set_policy(&lets_pull(ACCOUNT));
    let role = aws.role(OTHER);
    app.set_policy(&policy);
    let mut settings = with(merciless(false), settings);
    if settings["usageRoleArns"].is_array() {
        settings["usageRoleArns"] = json!([role]);
    }
    let report = run_on(&aws, settings).await;
    assert_eq!(own.tags().len(), 0, "what is not shared is cleaned");
    (app.tags().len(), report)
}

#[tokio::test(start_paused = true)]
async fn a_repository_shared_with_an_account_that_is_not_read_is_kept_whole() {
    let (left, report) = shared_with(lets_pull(OTHER), &json!({})).await;
    assert_eq!((left, &report.outcome), (3, &Outcome::Completed));
    insta::assert_snapshot!(decided(&report), @"
    us-west-2 app: keeps 1 inUse, 2 sharedElsewhere
      v3 only in use: ECS task arn:aws:ecs:us-west-2:123456789012:task/prod/00000000000000000000000000000000
    us-west-2 own: keeps nothing
      v1 stale: tagged, and imagesToKeep is 0; deleted
      v2 stale: tagged, and imagesToKeep is 0; deleted
      v3 stale: tagged, and imagesToKeep is 0; deleted
    ");
    let warned =
        |warning: &str| warning.contains("all images of app in us-west-2") && warning.contains("account 999999999999");
    assert!(report.warnings.iter().any(|warning| warned(&warning.to_string())), "{:?}", report.warnings);
}

#[tokio::test(start_paused = true)]
async fn it_is_cleaned_when_that_account_is_read_or_accepted() {
    let everyone = json!({ "Statement": [{ "Effect": "Allow", "Principal": "*", "Action": "ecr:*" }] });
    for (policy, settings, expected) in [
        (lets_pull(OTHER), json!({ "usageRoleArns": [] }), 1),
        (lets_pull(OTHER), json!({ "acceptUnseenAccounts": [OTHER] }), 1),
        (lets_pull(OTHER), json!({ "acceptUnseenAccounts": ["888888888888"] }), 3),
        (everyone.clone(), json!({ "acceptUnseenAccounts": [OTHER] }), 3),
        (everyone, json!({ "acceptUnseenAccounts": ["*"] }), 1),
    ] {
        let (left, _) = shared_with(policy.clone(), &settings).await;
        assert_eq!(left, expected, "{policy} {settings}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_registry_policy_shares_every_repository() {
    for (policy, left) in [(lets_pull(OTHER), 3), (lets_pull(ACCOUNT), 1)] {
        let (aws, app) = account_with_builds();
        let web = aws.repository("web").daily_builds(1);
        aws.place(ACCOUNT, REGION).set_registry_policy(&policy);
        run_on(&aws, merciless(false)).await;
        assert_eq!((app.tags().len(), web.tags().len()), (left, usize::from(left > 1)), "{policy}");
        assert_eq!(aws.calls_of("ecr:GetRegistryPolicy").len(), 1, "once a region");
    }
    let (aws, app) = account_with_builds();
    aws.inject(Fault::denied("ecr:GetRegistryPolicy"));
    assert_eq!(run_on(&aws, merciless(false)).await.outcome, Outcome::Partial);
    assert_eq!(app.tags().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_region_closed_to_one_account_alone_is_not_advised_to_be_left_out() {
    let (aws, app) = account_with_builds();
    _ = aws.region("eu-west-1");
    let role = aws.role(OTHER);
    for operations in ["ecs:*", "lambda:*"] {
        aws.inject(Fault::denied(operations).in_account(OTHER).in_region("eu-west-1"));
    }
    let report = run_on(&aws, with_role(false, &role)).await;
    let Outcome::Refused(refusal) = report.outcome else { panic!("{:?}", report.outcome) };
    assert!(!refusal.to_string().contains("set usageRegions to"), "{refusal}");
    assert_eq!(app.tags().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_can_not_be_read_keeps_its_repository_and_no_other() {
    for (spoil, code) in [
        (Some(Fault::denied("ecr:GetRepositoryPolicy").for_repository("app")), "AccessDeniedException"),
        (None, "UnexpectedResponse"),
    ] {
        let (aws, app) = account_with_builds();
        let web = aws.repository("web").daily_builds(3);
        match spoil {
            Some(fault) => aws.inject(fault),
            None => app.set_policy(&json!("no policy")),
        }
        let report = run_on(&aws, merciless(false)).await;
        assert_eq!(report.outcome, Outcome::Partial);
        assert_eq!((app.tags().len(), web.tags().len()), (3, 0));
        let told = format!("us-west-2 app: {code} at ecr:GetRepositoryPolicy: ");
        assert!(decided(&report).starts_with(&told), "{}", decided(&report));
    }
}

#[tokio::test(start_paused = true)]
async fn policies_are_asked_for_only_where_something_is_stale() {
    let (aws, _) = account_with_builds();
    for number in 0..20 {
        _ = aws.repository(&format!("empty-{number}"));
    }
    run_on(&aws, merciless(true)).await;
    assert_eq!(aws.calls_of("ecr:GetRepositoryPolicy").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_role_that_asks_for_an_external_id_is_given_it() {
    for (given, outcome) in [(Some("registry-cleaning"), "completed"), (Some("another"), "refused"), (None, "refused")]
    {
        let aws = SimulatedAws::in_memory();
        let app = aws.repository("app").daily_builds(2);
        let role = aws.role("999999999999");
        aws.ask_for_external_id(&role, "registry-cleaning");
        aws.place("999999999999", REGION).cluster("prod").runs(&app.uri("v1"));
        let accounts = json!({ "usageRoleArns": [role], "usageExternalId": given });
        let report = run_on(&aws, with(merciless(false), &accounts)).await;
        assert_eq!(report.outcome.as_str(), outcome, "{given:?}");
        assert!(app.tags().contains("v1"), "{given:?}");
    }
}
