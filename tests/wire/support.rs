//! What the cases share: the engine on a simulated account, and ways to read its report.

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use aws_config::{BehaviorVersion, Region};
use aws_sdk_sts::config::Credentials;
use ecr_cleanup::aws::{Aws, Haste};
use ecr_cleanup::deadline::Deadline;
use ecr_cleanup::run::{Finished, Limits, Request, RunError};
use ecr_cleanup_core::report::Report;
use ecr_cleanup_core::settings::Environment;
use serde_json::{Value, json};
use simulated_aws::{ACCOUNT, Image, REGION, Repository, SimulatedAws, access_key_of};

/// The SDK's clients, with credentials of the simulated account.
pub async fn clients(aws: &SimulatedAws) -> Aws {
    let config = aws_config::defaults(BehaviorVersion::latest())
        .endpoint_url(aws.url())
        .region(Region::new(REGION))
        .credentials_provider(Credentials::new(access_key_of(ACCOUNT), "secret", None, None, "test"))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .load()
        .await;
    // The pace has tests of its own; the others need not wait.
    Aws::new(config).with_haste(Haste::times(NonZeroU32::new(1_000).unwrap()))
}

/// One run on this event, as the function makes it.
pub async fn run(event: Value, environment: &Environment, aws: &Aws, limits: Limits) -> Result<Report, RunError> {
    let request = Request::parse(event, environment, limits)?;
    let Finished { report, explained: _ } = ecr_cleanup::run::run(&request, aws).await?;
    Ok(report)
}

/// One run on this event.
pub async fn try_run(aws: &SimulatedAws, event: Value) -> Result<Report, RunError> {
    run_until(aws, event, Deadline::unknown()).await
}

/// One run on this event with this deadline.
pub async fn run_until(aws: &SimulatedAws, event: Value, deadline: Deadline) -> Result<Report, RunError> {
    run_within(aws, event, Limits::until(deadline)).await
}

/// One run on this event within these limits.
pub async fn run_within(aws: &SimulatedAws, event: Value, limits: Limits) -> Result<Report, RunError> {
    let clients = clients(aws).await;
    Box::pin(run(event, &Environment::new(), &clients, limits)).await
}

/// One run that starts.
pub async fn run_on(aws: &SimulatedAws, event: Value) -> Report {
    try_run(aws, event).await.unwrap_or_else(|error| panic!("it does not start: {error}"))
}

/// Settings under which nothing but usage keeps a tagged image: the strictest test of what is known to be in use.
pub fn merciless(dry_run: bool) -> Value {
    json!({ "dryRun": dry_run, "imagesToKeep": 0, "keepTags": [], "keepBeforeInUse": 0, "untaggedOlderThanDays": 0, "keepPulledWithinDays": 0 })
}

/// The settings of `base` with these on top.
pub fn with(mut base: Value, more: &Value) -> Value {
    for (key, value) in more.as_object().unwrap() {
        base[key] = value.clone();
    }
    base
}

/// The tags of all stale images.
pub fn stale_tags(report: &Report) -> BTreeSet<String> {
    report.plan.stale().flat_map(|image| image.image_tags.iter().map(ToString::to_string)).collect()
}

/// The digests of all stale images.
pub fn stale_digests(report: &Report) -> BTreeSet<String> {
    report.plan.stale().map(|image| image.image_digest.to_string()).collect()
}

/// A set of texts.
pub fn set<'a>(texts: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    texts.into_iter().map(str::to_owned).collect()
}

/// The report as a caller gets it.
pub fn json_of(report: &Report) -> Value {
    serde_json::from_str(&report.to_json().unwrap()).unwrap()
}

/// An index with two untagged children; the digests, its own last.
pub fn push_multi_arch(repository: &Repository, tag: &str, days: f64) -> [String; 3] {
    let platforms = [Image::untagged().days_old(days), Image::untagged().days_old(days)];
    let index = Image::index_of(&platforms).and_tag(tag).days_old(days);
    let [amd64, arm64] = platforms;
    [amd64, arm64, index].map(|image| repository.push(image))
}

/// An account in which one old image is used in exactly one way and the rest is junk.
pub async fn survivors(hold: impl AsyncFnOnce(&SimulatedAws, &Repository)) -> (BTreeSet<String>, Report) {
    let aws = SimulatedAws::start().await;
    let app = aws.repository("app");
    app.push(Image::tagged("used").days_old(900.0));
    for junk in ["junk-1", "junk-2"] {
        app.push(Image::tagged(junk).days_old(1.0));
    }
    hold(&aws, &app).await;
    let report = run_on(&aws, merciless(false)).await;
    (app.tags(), report)
}

macro_rules! keeps_what_is_used {
    ($($behaviour:ident: $hold:expr;)*) => {$(
        #[tokio::test]
        async fn $behaviour() {
            let (tags, report) = crate::support::survivors($hold).await;
            assert_eq!(report.outcome, ecr_cleanup_core::report::Outcome::Completed);
            assert_eq!(tags, crate::support::set(["used"]));
        }
    )*};
}

pub(crate) use keeps_what_is_used;
