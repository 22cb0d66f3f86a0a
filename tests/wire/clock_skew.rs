//! A wrong clock, compared with the date in AWS's answers.

use std::time::{Duration, SystemTime};

use aws_config::{BehaviorVersion, Region};
use aws_sdk_sts::config::Credentials;
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_async::time::{SharedTimeSource, TimeSource};
use ecr_cleanup::aws::Aws;
use ecr_cleanup::deadline::Deadline;
use ecr_cleanup::lambda::invoke;
use ecr_cleanup::run::Limits;
use ecr_cleanup_core::plan::Refusal;
use ecr_cleanup_core::report::Outcome;
use ecr_cleanup_core::settings::Environment;
use ecr_cleanup_core::warning::WarningCode;
use lambda_runtime::{Context, LambdaEvent};
use serde_json::json;
use serde_json::value::RawValue;
use simulated_aws::{ACCOUNT, Image, REGION, SimulatedAws, access_key_of};

use crate::support::{merciless, run_with};

/// The difference to AWS's clock.
#[derive(Clone, Copy, Debug)]
enum Clock {
    Ahead(Duration),
    Behind(Duration),
}

/// AWS's clock with this difference.
#[derive(Clone, Debug)]
struct Skewed(SharedTimeSource, Clock);

impl TimeSource for Skewed {
    fn now(&self) -> SystemTime {
        match self.1 {
            Clock::Ahead(by) => self.0.now() + by,
            Clock::Behind(by) => self.0.now() - by,
        }
    }
}

async fn clients(aws: &SimulatedAws, clock: Clock) -> Aws {
    let config = aws_config::defaults(BehaviorVersion::latest())
        .endpoint_url(aws.url())
        .region(Region::new(REGION))
        .credentials_provider(Credentials::new(access_key_of(ACCOUNT), "secret", None, None, "test"))
        .http_client(aws.http_client())
        .time_source(Skewed(aws.time_source(), clock))
        .sleep_impl(TokioSleep::new())
        .load()
        .await;
    Aws::new(config)
}

/// Untagged images of this night. The defaults make them stale for a clock that shows them 15 days old.
fn world() -> SimulatedAws {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app");
    aws.cluster("prod").runs(&app.uri("v1"));
    app.push(Image::tagged("v1").days_old(0.5));
    app.push_all((0..5).map(|_| Image::untagged().days_old(0.5)));
    aws
}

const DAYS: Duration = Duration::from_hours(24 * 16);

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_wrong_deletes_nothing() {
    let aws = world();
    for clock in [Clock::Ahead(DAYS), Clock::Behind(DAYS), Clock::Ahead(Duration::from_mins(6))] {
        let clients = clients(&aws, clock).await;
        for event in [json!({ "dryRun": false }), merciless(false)] {
            let limits = Limits::until(Deadline::unknown());
            let report = run_with(&clients, event, limits).await.unwrap();
            assert!(
                matches!(report.outcome, Outcome::Refused(Refusal::ClockSkew(_))),
                "{clock:?}: {:?}",
                report.outcome
            );
        }
        let limits = Limits::until(Deadline::unknown());
        let report = run_with(&clients, json!({}), limits).await.unwrap();
        assert_eq!(report.outcome, Outcome::Planned);
        let warned = report.warnings.iter().find(|warning| warning.code == WarningCode::ClockSkew).unwrap();
        assert!(warned.to_string().contains("a live run would delete nothing"), "{warned}");
    }
    assert_eq!(aws.repository("app").digests().len(), 6);
    assert!(aws.calls_of("ecr:BatchDeleteImage").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_near_enough_is_nobodys_concern() {
    let aws = world();
    for clock in [Clock::Ahead(Duration::from_mins(4)), Clock::Behind(Duration::from_mins(4))] {
        let clients = clients(&aws, clock).await;
        let limits = Limits::until(Deadline::unknown());
        let report = run_with(&clients, json!({ "dryRun": false }), limits).await.unwrap();
        assert_eq!(report.outcome, Outcome::Completed);
        assert!(report.warnings.iter().all(|warning| warning.code != WarningCode::ClockSkew));
    }
}

#[tokio::test(start_paused = true)]
async fn the_function_fails_with_a_type_of_its_own() {
    let aws = world();
    let clients = clients(&aws, Clock::Ahead(DAYS)).await;
    let payload = RawValue::from_string(json!({ "dryRun": false }).to_string()).unwrap();
    let event = LambdaEvent::new(payload, Context::default());
    let error = Box::pin(invoke(event, &Environment::new(), &clients)).await.unwrap_err();
    assert_eq!(error.error_type, "ClockSkew");
    assert!(error.error_message.contains("ahead of AWS's"), "{}", error.error_message);
}

#[tokio::test(start_paused = true)]
async fn days_by_a_wrong_clock_are_not_remembered() {
    let aws = world();
    let folder = tempfile::tempdir().unwrap();
    let memory = folder.path().join("memory");
    let ahead = Clock::Ahead(Duration::from_hours(16 * 24));
    for dry_run in [true, false] {
        let event = json!({ "dryRun": dry_run, "memory": memory });
        let limits = Limits::until(Deadline::unknown());
        run_with(&clients(&aws, ahead).await, event, limits).await.unwrap();
        assert!(!memory.exists(), "dry run: {dry_run}");
    }
    let event = json!({ "memory": memory });
    run_with(&clients(&aws, Clock::Ahead(Duration::from_secs(3))).await, event, Limits::until(Deadline::unknown()))
        .await
        .unwrap();
    assert!(memory.exists(), "a few seconds are nothing");
    aws.place(ACCOUNT, REGION).bucket("our-memory");
    let event = json!({ "memory": "s3://our-memory" });
    let report = run_with(&clients(&aws, ahead).await, event, Limits::until(Deadline::unknown())).await.unwrap();
    let of_memory = |code: &WarningCode| matches!(code, WarningCode::MemoryUnavailable | WarningCode::MemoryNotWritten);
    let codes: Vec<WarningCode> = report.warnings.iter().map(|warning| warning.code).filter(of_memory).collect();
    assert_eq!(codes, [], "S3 is asked by AWS's clock");
}
