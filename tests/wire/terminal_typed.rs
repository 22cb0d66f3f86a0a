//! Command lines as people type them: other spellings that work, and the errors for those that don't.

use serde_json::json;
use simulated_aws::{Fault, SimulatedAws};

use crate::terminal::{command, ecr_cleanup, file, finish};

async fn world() -> SimulatedAws {
    let aws = SimulatedAws::start().await;
    for name in ["web/storefront", "web/checkout", "api"] {
        let app = aws.repository(name).daily_builds(3);
        aws.cluster("prod").runs(&app.uri("v3"));
    }
    aws
}

const PLAN: [&str; 5] = ["plan", "--quiet", "--json", "--images-to-keep", "1"];

#[tokio::test]
async fn plan_takes_repositories_as_arguments() {
    let aws = world().await;
    for (arguments, stale) in [
        (&[][..], 6),
        (&["web/storefront"], 2),
        (&["web/storefront", "api"], 4),
        (&["web/*"], 4),
        (&["api", "--repositories", "web/checkout"], 4),
        (&["--repositories", "web/storefront"], 2),
    ] {
        let report = ecr_cleanup(&aws, &[&PLAN[..], arguments].concat()).await.json();
        assert_eq!(report["totals"]["imagesStale"], stale, "{arguments:?}");
    }
    let report = ecr_cleanup(&aws, &[&PLAN[..], &["web/*", "api"]].concat()).await.json();
    assert_eq!(report["settings"]["repositories"], json!({ "value": ["web/*", "api"], "from": "flag" }));
}

#[tokio::test]
async fn json_has_more_than_one_flag() {
    let aws = world().await;
    for flags in
        [&["--json"][..], &["-o", "json"], &["-ojson"], &["-f", "json"], &["--format", "json"], &["--format=json"]]
    {
        for arguments in [&["plan"][..], &["usage"], &["explain", "api:v1"], &["delete", "--yes", "--tags", "none"]] {
            let ran = ecr_cleanup(&aws, &[arguments, flags, &["--quiet"]].concat()).await;
            assert!(ran.code == 0 && ran.json().is_object(), "{arguments:?} {flags:?}: {}", ran.stderr);
        }
    }
    let ran = ecr_cleanup(&aws, &["plan", "--json", "--format", "table"]).await;
    assert!(ran.code == 2 && ran.stderr.contains("cannot be used with"), "{}", ran.stderr);
}

#[tokio::test]
async fn what_most_likely_means_another_command_line_is_told_which() {
    let aws = world().await;
    for (arguments, told) in [
        (
            &["delete", "web/storefront"][..],
            "there is no plan file web/storefront. To clean up one repository: ecr-cleanup delete --repositories web/storefront",
        ),
        (
            &["delete", "web/*"],
            "there is no plan file web/*. To clean up one repository: ecr-cleanup delete --repositories 'web/*'",
        ),
        (
            &["delete", "no-plan.json"],
            "can't read plan file no-plan.json: No such file or directory. To create one: ecr-cleanup plan --out no-plan.json",
        ),
        (
            &["web/storefront"],
            "web/storefront is not a command. To check this repository: ecr-cleanup plan web/storefront",
        ),
        (&["web/app:v1"], "web/app:v1 is not a command. To check this image: ecr-cleanup explain web/app:v1"),
        (
            &["plan", "-o", "plan.json"],
            "invalid format \"plan.json\" for -o: expected table, json, markdown or html. To save a plan: --out plan.json",
        ),
        (&["--region", "us-west-2", "delete"], "the command comes first: ecr-cleanup delete …"),
        (&["--yes", "delete"], "the command comes first: ecr-cleanup delete …"),
    ] {
        let ran = ecr_cleanup(&aws, arguments).await;
        assert_eq!((ran.code, ran.stderr), (2, format!("error: {told}\n")), "{arguments:?}");
        assert_eq!(ran.stdout, "");
    }
    assert!(aws.calls().is_empty());
}

#[tokio::test]
async fn an_invalid_value_is_named_as_it_was_typed() {
    let aws = world().await;
    let policies = file("typed-policies.json");
    let rule = json!({ "rulePriority": 1, "action": { "type": "expire" },
        "selection": { "tagStatus": "tagged", "tagPatternList": ["build-1??"], "countType": "imageCountMoreThan", "countNumber": 1 } });
    std::fs::write(&policies, json!([{ "repositories": ["*"], "rules": [rule] }]).to_string()).unwrap();
    for (arguments, told) in [
        (&["--tags", "build-1??"][..], "error: invalid pattern \"build-1??\" for --tags: only * is a wildcard\n"),
        (&["--keep-tags", "v[0-9]"], "error: invalid pattern \"v[0-9]\" for --keep-tags: only * is a wildcard\n"),
        (&["--images-to-keep", "abc"], "error: invalid value \"abc\" for --images-to-keep: expected a whole number\n"),
        (
            &["web/app:v1"],
            "error: invalid pattern \"web/app:v1\" for REPOSITORY: expected a repository without tag or digest\n",
        ),
        (
            &["--exclude-repositories", "web/?"],
            "error: invalid pattern \"web/?\" for --exclude-repositories: only * is a wildcard\n",
        ),
    ] {
        let ran = ecr_cleanup(&aws, &[&["plan"], arguments].concat()).await;
        assert_eq!((ran.code, ran.stderr.as_str()), (2, told), "{arguments:?}");
    }
    let begins = format!(
        "error: --policies {policies}: invalid value \"build-1??\" for tagPatternList[0] in [0].rules[0].selection"
    );
    let ran = ecr_cleanup(&aws, &["plan", "--policies", &policies]).await;
    assert!(ran.code == 2 && ran.stderr.starts_with(&begins), "{}", ran.stderr);

    let mut by_variable = command(&aws, &["plan"]);
    by_variable.env("ECR_CLEANUP_KEEP_TAGS", "latest,v?");
    let told = "error: invalid pattern \"v?\" for ECR_CLEANUP_KEEP_TAGS: only * is a wildcard\n";
    assert_eq!(finish(by_variable).await.stderr, told);
    let mut overridden = command(&aws, &["plan", "--quiet", "--keep-tags", "v1"]);
    overridden.env("ECR_CLEANUP_KEEP_TAGS", "latest,v?");
    assert_eq!(finish(overridden).await.code, 0, "a flag overrides the variable");

    for (image, told) in [
        (
            "web/storefront@sha256:413a",
            "error: invalid image \"web/storefront@sha256:413a\": expected repository:tag or repository@sha256:<64 hex digits>",
        ),
        ("Web:v1", "error: invalid image \"Web:v1\": expected repository:tag"),
    ] {
        let ran = ecr_cleanup(&aws, &["explain", image]).await;
        assert!(ran.code == 2 && ran.stderr.starts_with(told), "{}", ran.stderr);
    }
}

#[tokio::test]
async fn the_sdks_own_errors_are_shown_if_they_are_asked_for() {
    let aws = world().await;
    for flag in ["--verbose", "-v"] {
        let errors = async |arguments: &[&str]| {
            let mut command = command(&aws, &[&["plan", "--quiet"], arguments].concat());
            command.env_remove("AWS_ACCESS_KEY_ID");
            finish(command).await.stderr
        };
        let brief = errors(&[]).await;
        assert_eq!(
            brief,
            "error: no AWS credentials found. Set AWS_PROFILE, pass --profile, or run `aws configure`.\n"
        );
        let verbose = errors(&[flag]).await;
        assert!(verbose.starts_with(&brief), "{verbose}");
        assert!(verbose.contains("\n  cause: sts:GetCallerIdentity: NoCredentials: "), "{verbose}");
    }
    // In warnings as well.
    aws.inject(Fault::garbage("lambda:ListFunctions"));
    let warning = async |arguments: &[&str]| {
        let ran = ecr_cleanup(&aws, &[&["usage", "--quiet"], arguments].concat()).await;
        ran.stdout.lines().find(|line| line.starts_with("warning: ")).unwrap().to_owned()
    };
    insta::assert_snapshot!(format!("{}\n{}", warning(&[]).await, warning(&["-v"]).await));
}
