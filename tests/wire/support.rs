//! Shared by the cases: the engine on a simulated account, and ways to read its report.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use aws_config::{BehaviorVersion, Region};
use aws_sdk_sts::config::Credentials;
use aws_smithy_async::rt::sleep::TokioSleep;
use ecr_cleanup::aws::{Aws, Haste};
use ecr_cleanup::deadline::Deadline;
use ecr_cleanup_core::report::Report;
use ecr_cleanup_core::settings::Environment;
use serde_json::{Value, json};
use simulated_aws::{ACCOUNT, Image, REGION, Repository, SimulatedAws, access_key_of};

use crate::decisions::decisions;
use crate::schema::checked;
use ecr_cleanup::event::Event;
use ecr_cleanup::run::{Finished, Request, run};
pub use ecr_cleanup::run::{Limits, RunError};

/// The SDK's clients, with credentials of the simulated account.
pub async fn clients(aws: &SimulatedAws) -> Aws {
    clients_in(aws, REGION).await
}

/// The same in another region: on the wire if the account has one, and otherwise in memory and in its time.
pub async fn clients_in(aws: &SimulatedAws, region: &str) -> Aws {
    let config = aws_config::defaults(BehaviorVersion::latest())
        .endpoint_url(aws.url())
        .region(Region::new(region.to_owned()))
        .credentials_provider(Credentials::new(access_key_of(ACCOUNT), "secret", None, None, "test"));
    let config = if aws.is_on_the_wire() {
        config.http_client(aws_smithy_http_client::Builder::new().build_http())
    } else {
        config.http_client(aws.http_client()).time_source(aws.time_source()).sleep_impl(TokioSleep::new())
    };
    // The pace has its own tests, and the others need not wait.
    Aws::new(config.load().await).with_haste(Haste::times(NonZeroU32::new(1_000).unwrap()))
}

/// A region that no other world uses, because the SDK counts failures over all clients in a region.
pub fn region_of_its_own(name: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    format!("{name}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// One run with these clients, on this event, within these limits.
pub async fn run_with(clients: &Aws, event: Value, limits: Limits) -> Result<Report, RunError> {
    let request = Request::of(&Event::parse(event)?, None, &Environment::new(), limits)?;
    let Finished { report, explained: _ } = Box::pin(run(&request, clients)).await?;
    Ok(report)
}

/// The deadline that Lambda would send.
pub fn deadline_in(aws: &SimulatedAws, left: Duration) -> Deadline {
    let at = aws.now().duration_since(UNIX_EPOCH).unwrap() + left;
    Deadline::from_lambda(u64::try_from(at.as_millis()).unwrap(), aws.now())
}

/// This time, in the format of events.
pub fn before_now(aws: &SimulatedAws, ago: Duration) -> String {
    chrono::DateTime::<chrono::Utc>::from(aws.now() - ago).to_rfc3339()
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
    run_with(&clients(aws).await, event, limits).await
}

/// A run that starts successfully.
pub async fn run_on(aws: &SimulatedAws, event: Value) -> Report {
    try_run(aws, event).await.unwrap_or_else(|error| panic!("it does not start: {error}"))
}

/// Settings with which only usage keeps tagged images: the strictest test of usage.
pub fn merciless(dry_run: bool) -> Value {
    json!({ "dryRun": dry_run, "imagesToKeep": 0, "keepTags": [], "keepBeforeInUse": 0, "untaggedOlderThanDays": 0, "keepPulledWithinDays": 0 })
}

/// The settings of `base`, with these added.
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

/// An object of a memory, with its text changed.
pub fn repacked(object: &[u8], change: impl FnOnce(&str) -> String) -> Vec<u8> {
    let mut text = String::new();
    flate2::read::GzDecoder::new(object).read_to_string(&mut text).unwrap();
    packed(&change(&text))
}

/// A text as an object of a memory has it.
pub fn packed(text: &str) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(text.as_bytes()).unwrap();
    gzip.finish().unwrap()
}

/// The digests of all stale images.
pub fn stale_digests(report: &Report) -> BTreeSet<String> {
    report.plan.stale().map(|image| image.image_digest.to_string()).collect()
}

/// A set of texts.
pub fn set<'a>(texts: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    texts.into_iter().map(str::to_owned).collect()
}

/// The report that a caller gets.
pub fn json_of(report: &Report) -> Value {
    checked(serde_json::from_str(&report.to_json().unwrap()).unwrap())
}

/// The decisions of a run, in the format of [`decisions`].
pub fn decided(report: &Report) -> String {
    decisions(&json_of(report))
}

/// Removes these keys from a report, at any depth.
pub fn forget(told: &mut Value, keys: &[&str]) {
    match told {
        Value::Object(fields) => {
            fields.retain(|name, _| !keys.contains(&name.as_str()));
            fields.values_mut().for_each(|value| forget(value, keys));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| forget(item, keys)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// An index with two untagged children. Returns the digests, that of the index last.
pub fn push_multi_arch(repository: &Repository, tag: &str, days: f64) -> [String; 3] {
    let platforms = [Image::untagged().days_old(days), Image::untagged().days_old(days)];
    let index = Image::index_of(&platforms).and_tag(tag).days_old(days);
    let [amd64, arm64] = platforms;
    [amd64, arm64, index].map(|image| repository.push(image))
}

/// An account with one old image that is used in exactly one way, and unused images.
pub async fn survivors(hold: impl AsyncFnOnce(&SimulatedAws, &Repository)) -> (BTreeSet<String>, Report) {
    let aws = SimulatedAws::in_memory();
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
        #[tokio::test(start_paused = true)]
        async fn $behaviour() {
            let (tags, report) = crate::support::survivors($hold).await;
            assert_eq!(report.outcome, ecr_cleanup_core::report::Outcome::Completed);
            assert_eq!(tags, crate::support::set(["used"]));
        }
    )*};
}

pub(crate) use keeps_what_is_used;
