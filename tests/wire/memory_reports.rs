//! Reports in memory: of each run its JSON, its rows and its page, and of all runs the trend and the index.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, TimeDelta};
use ecr_cleanup::deadline::Deadline;
use ecr_cleanup::event::Event;
use ecr_cleanup::memory::write_report;
use ecr_cleanup::run::{Finished, Limits, Request, run};
use ecr_cleanup::show::html::PAGES;
use ecr_cleanup_core::clock_skew::ClockSkew;
use ecr_cleanup_core::report::{Outcome, RESPONSE_BYTES, Report};
use ecr_cleanup_core::settings::Environment;
use ecr_cleanup_core::warning::{self, WarningCode};
use serde_json::{Value, json};
use simulated_aws::{ACCOUNT, Fault, Image, REGION};

use crate::memory::{BUCKET, World, days_pass, warned};
use crate::support::{clients, deadline_in, json_of, repacked, with};

const TREND: &str = "nightly/reports/trend/runs.json.gz";
const INDEX: &str = "nightly/reports/index.html";

/// Ten builds, of which the second is in use, so that seven are stale.
fn world(world: World) -> World {
    world.app.push_all((1..=10).map(|build| Image::tagged(&format!("v{build}")).days_old(100.0 - f64::from(build))));
    world.aws.cluster("prod").runs(&world.app.uri("v2"));
    world
}

fn strict(dry_run: bool) -> Value {
    json!({ "dryRun": dry_run, "imagesToKeep": 2, "keepBeforeInUse": 0 })
}

/// A run that writes its report, as both edges do.
async fn reported(world: &World, event: Value) -> Report {
    reported_after(world, event, Deadline::unknown(), |_| ()).await
}

/// The same, of a report with a change, and with this time to write it.
async fn reported_after(world: &World, event: Value, deadline: Deadline, change: impl FnOnce(&mut Report)) -> Report {
    let clients = clients(&world.aws).await;
    let event = Event::parse(with(event, &json!({ "memory": world.location }))).unwrap();
    let limits = Limits::until(Deadline::unknown());
    let request = Request::of(&event, None, &Environment::new(), limits).unwrap();
    let Finished { mut report, explained: _ } = Box::pin(run(&request, &clients)).await.unwrap();
    let memory = request.settings.memory.as_ref();
    change(&mut report);
    report.warnings.extend(write_report(memory, &clients, deadline, &report, PAGES).await);
    report
}

/// The objects of reports, by their keys.
fn objects(world: &World) -> BTreeMap<String, Vec<u8>> {
    let objects = world.aws.place(ACCOUNT, REGION).objects(BUCKET).into_iter();
    objects.filter(|(key, _)| key.starts_with("nightly/reports/")).map(|(key, bytes)| (key, bytes.to_vec())).collect()
}

fn unpacked(bytes: &[u8]) -> String {
    let mut text = String::new();
    flate2::read::GzDecoder::new(bytes).read_to_string(&mut text).unwrap();
    text
}

/// The rows of an object, of which there is one below this folder.
fn rows(objects: &BTreeMap<String, Vec<u8>>, table: &str, run_id: &str) -> Vec<Value> {
    let day = &run_id[..10];
    let key = format!("nightly/reports/{table}/dt={day}/account={ACCOUNT}/region={REGION}/{run_id}.jsonl.gz");
    let rows = objects.get(&key).map(|object| unpacked(object)).unwrap_or_default();
    rows.lines().map(|row| serde_json::from_str(row).unwrap()).collect()
}

/// The ids of the runs of the trend.
fn runs(objects: &BTreeMap<String, Vec<u8>>) -> Vec<String> {
    let trend: Value = serde_json::from_str(&unpacked(&objects[TREND])).unwrap();
    trend["runs"].as_array().unwrap().iter().map(|run| run["runId"].as_str().unwrap().to_owned()).collect()
}

fn text(objects: &BTreeMap<String, Vec<u8>>, key: &str) -> String {
    String::from_utf8(objects[key].clone()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_stores_its_report_its_rows_and_its_page() {
    let world = world(World::in_a_bucket());
    let report = reported(&world, strict(true)).await;
    assert_eq!(warned(&report), []);
    let (objects, id) = (objects(&world), report.run_id.as_str());
    let stored: Value =
        serde_json::from_str(&unpacked(&objects[&format!("nightly/reports/json/{id}.json.gz")])).unwrap();
    assert_eq!(stored, json_of(&report));
    let rows = rows(&objects, "repositories", id);
    let of_app = rows.iter().find(|row| row["repositoryName"] == "app").unwrap();
    assert_eq!(
        (&of_app["imagesStale"], &of_app["imagesDeleted"], &of_app["dryRun"]),
        (&json!(7), &json!(0), &json!(true))
    );
    let page = text(&objects, &format!("nightly/reports/html/{id}.html"));
    assert!(page.contains(id) && !page.contains("id=\"trend\""), "a single run is no trend");
    assert!(!objects.keys().any(|key| key.contains("/deleted/")), "nothing was deleted");
    assert_eq!(runs(&objects), [id]);
    assert!(text(&objects, INDEX).contains(&format!("href=\"html/{id}.html\"")));
    assert_eq!(objects.len(), 5, "{:?}", objects.keys());
}

#[tokio::test(start_paused = true)]
async fn a_live_run_stores_each_deleted_image() {
    let world = world(World::in_a_bucket());
    let report = reported(&world, strict(false)).await;
    assert_eq!(report.totals.images_deleted, 7);
    let (objects, id) = (objects(&world), report.run_id.as_str());
    let deleted = rows(&objects, "deleted", id);
    let digests = |images: &[Value]| images.iter().map(|image| image["imageDigest"].to_string()).collect::<Vec<_>>();
    let of_report = &json_of(&report)["regions"][0]["repositories"][0]["stale"];
    assert_eq!(digests(&deleted), digests(of_report.as_array().unwrap()));
    assert_eq!((&deleted[0]["result"], &deleted[0]["reasonCode"]), (&json!("deleted"), &json!("notAmongNewest")));
    assert_eq!(rows(&objects, "repositories", id)[0]["imagesDeleted"], 7);
}

#[tokio::test(start_paused = true)]
async fn two_runs_are_a_trend_of_two() {
    let world = world(World::in_a_bucket());
    let first = reported(&world, strict(true)).await;
    days_pass(1).await;
    let second = reported(&world, strict(false)).await;
    let objects = objects(&world);
    assert_eq!(runs(&objects), [first.run_id.as_str(), second.run_id.as_str()]);
    let page = text(&objects, &format!("nightly/reports/html/{}.html", second.run_id));
    assert!(page.contains("<section id=\"trend\"") && page.contains("7 stale, 7 deleted"), "{page}");
    let index = text(&objects, INDEX);
    let place = |report: &Report| index.find(&format!("href=\"html/{}.html\"", report.run_id)).unwrap();
    assert!(place(&second) < place(&first), "the newest is first");
    assert!(index.contains("2 runs") && index.contains("<section id=\"trend\""));
    // Another selection of repositories has other totals, and is no part of the trend.
    days_pass(1).await;
    let other = reported(&world, with(strict(true), &json!({ "repositories": ["app"] }))).await;
    let objects = self::objects(&world);
    assert_eq!(runs(&objects).len(), 3);
    assert!(!text(&objects, &format!("nightly/reports/html/{}.html", other.run_id)).contains("id=\"trend\""));
}

#[tokio::test(start_paused = true)]
async fn of_runs_at_once_the_trend_and_the_index_have_all() {
    let world = world(World::in_a_bucket());
    let run = || reported(&world, strict(true));
    let reports = tokio::join!(run(), run(), run());
    let objects = objects(&world);
    let (trend, index) = (runs(&objects), text(&objects, INDEX));
    for report in [reports.0, reports.1, reports.2] {
        let id = report.run_id.as_str();
        assert!(trend.iter().any(|run| run == id) && index.contains(id), "{id}: {trend:?}");
        assert_eq!(warned(&report), []);
    }
}

#[tokio::test(start_paused = true)]
async fn a_report_that_can_not_be_written_is_one_warning_and_no_failure() {
    let world = world(World::in_a_bucket());
    world.aws.inject(Fault::error("s3:PutObject", 403, "AccessDenied"));
    let report = reported(&world, strict(false)).await;
    assert_eq!((&report.outcome, report.totals.images_deleted), (&Outcome::Completed, 7));
    let of_report = report.warnings.iter().filter(|warning| warning.message.contains("the whole report of this run"));
    let of_report: Vec<_> = of_report.collect();
    assert_eq!(of_report.len(), 1, "{:?}", report.warnings);
    assert_eq!(of_report[0].code, WarningCode::MemoryNotWritten);
    assert!(of_report[0].message.contains("reports/repositories/") && of_report[0].message.contains("s3:PutObject"));
    assert!(objects(&world).is_empty());
    json_of(&report);
}

#[tokio::test(start_paused = true)]
async fn a_refused_run_stores_its_report() {
    let world = world(World::in_a_bucket());
    let report = reported(&world, with(strict(false), &json!({ "maxDeletions": 1 }))).await;
    assert!(matches!(report.outcome, Outcome::Refused(_)));
    let objects = objects(&world);
    assert_eq!(rows(&objects, "repositories", report.run_id.as_str())[0]["outcome"], "refused");
    assert!(text(&objects, INDEX).contains("<span class=\"badge bad\">refused</span>"));
}

#[tokio::test(start_paused = true)]
async fn a_trend_that_can_not_be_read_is_kept_and_the_rest_is_written() {
    let newer = repacked(&flate2_of(b"{}"), |_| r#"{ "format": 2, "runs": [] }"#.to_owned());
    for (what, trend) in [("damaged", b"half of it".to_vec()), ("newer", newer)] {
        let world = world(World::in_a_bucket());
        world.aws.place(ACCOUNT, REGION).set_object(BUCKET, TREND, Some(&trend));
        let report = reported(&world, strict(true)).await;
        assert_eq!(
            (warned(&report), &report.outcome),
            (vec![WarningCode::MemoryNotWritten], &Outcome::Planned),
            "{what}"
        );
        let objects = objects(&world);
        assert_eq!(objects[TREND], trend, "{what}");
        assert!(!objects.contains_key(INDEX), "{what}: the index would lose its runs");
        assert!(objects.contains_key(&format!("nightly/reports/html/{}.html", report.run_id)), "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_trend_quotes_is_text_in_the_index() {
    const HOSTILE: &str = "</td><script>alert('1')</script>&amp;\"";
    let world = world(World::in_a_bucket());
    let report = reported(&world, strict(true)).await;
    let place = world.aws.place(ACCOUNT, REGION);
    let hostile = repacked(&objects(&world)[TREND], |text| {
        let mut trend: Value = serde_json::from_str(text).unwrap();
        trend["runs"][0]["scope"] = HOSTILE.into();
        trend["runs"][0]["outcome"] = HOSTILE.into();
        trend.to_string()
    });
    place.set_object(BUCKET, TREND, Some(&hostile));
    days_pass(1).await;
    reported(&world, strict(true)).await;
    let index = text(&objects(&world), INDEX);
    assert!(index.contains(report.run_id.as_str()) && !index.contains("<script"), "{index}");
    let told = "&lt;/td&gt;&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&amp;amp;&quot;";
    assert_eq!(index.matches(told).count(), 2, "{index}");
}

#[tokio::test(start_paused = true)]
async fn a_wrong_clock_leaves_no_report() {
    let world = world(World::in_a_bucket());
    let skew = ClockSkew::between(DateTime::UNIX_EPOCH, DateTime::UNIX_EPOCH + TimeDelta::hours(1)).unwrap();
    let change = |report: &mut Report| report.warnings.push(warning::clock_skew(&skew));
    reported_after(&world, strict(true), Deadline::unknown(), change).await;
    assert!(objects(&world).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_folder_has_the_same_objects() {
    let world = world(World::in_a_folder());
    let report = reported(&world, strict(true)).await;
    assert_eq!(warned(&report), []);
    let reports = Path::new(&world.location).join("reports");
    let index = std::fs::read_to_string(reports.join("index.html")).unwrap();
    let (_, link) = index.split_once("href=\"").unwrap();
    let page = std::fs::read_to_string(reports.join(link.split('"').next().unwrap())).unwrap();
    assert!(page.contains(report.run_id.as_str()));
    let second = reported(&world, strict(true)).await;
    assert_eq!(warned(&second), []);
    assert!(std::fs::read_to_string(reports.join("index.html")).unwrap().contains("2 runs"));
}

#[tokio::test(start_paused = true)]
async fn an_object_whose_answer_is_lost_is_written_once() {
    for calls in 0..8 {
        let world = world(World::in_a_bucket());
        world.aws.inject(Fault::lost_answer("s3:PutObject").after(calls).times(1));
        let report = reported(&world, strict(true)).await;
        assert_eq!(warned(&report), [], "after {calls} calls");
        let objects = objects(&world);
        assert_eq!((objects.len(), runs(&objects)), (5, vec![report.run_id.to_string()]), "after {calls} calls");
    }
}

#[tokio::test(start_paused = true)]
async fn a_report_without_time_to_write_it_is_a_warning() {
    let world = world(World::in_a_bucket());
    let deadline = deadline_in(&world.aws, Duration::from_secs(2));
    let report = reported_after(&world, strict(true), deadline, |_| ()).await;
    assert_eq!(warned(&report), [WarningCode::MemoryNotWritten]);
    assert!(objects(&world).is_empty());
}

#[tokio::test(start_paused = true)]
async fn with_little_time_the_report_is_truncated_and_written() {
    let world = world(World::in_a_bucket());
    let deadline = deadline_in(&world.aws, Duration::from_secs(8));
    let report = reported_after(&world, strict(true), deadline, |_| ()).await;
    assert_eq!(warned(&report), []);
    let stored = &objects(&world)[&format!("nightly/reports/json/{}.json.gz", report.run_id)];
    assert_eq!(unpacked(stored), report.to_json_within(RESPONSE_BYTES).unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_bucket_in_another_region_gets_the_report() {
    let aws = simulated_aws::SimulatedAws::in_memory();
    aws.place(ACCOUNT, "eu-central-1").bucket(BUCKET);
    let world = world(World::of(aws, format!("s3://{BUCKET}"), None));
    _ = world.aws.region("eu-central-1");
    let report = reported(&world, strict(true)).await;
    assert_eq!(warned(&report), []);
    let objects = world.aws.place(ACCOUNT, "eu-central-1").objects(BUCKET);
    assert!(objects.contains_key("reports/index.html"));
}

/// Writes the reports that `tests/infra/athena.py` queries.
#[tokio::test(start_paused = true)]
async fn sample_reports_are_there_for_queries() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("athena");
    _ = std::fs::remove_dir_all(&folder);
    let aws = simulated_aws::SimulatedAws::in_memory();
    let world = world(World::of(aws, folder.to_str().unwrap().to_owned(), None));
    reported(&world, strict(true)).await;
    days_pass(1).await;
    world.app.push(Image::built_from("untagged").days_old(60.0));
    // A repository that can't be read is a row as well.
    _ = world.aws.repository("web");
    world.aws.inject(Fault::denied("ecr:DescribeImages").for_repository("web"));
    let report = reported(&world, strict(false)).await;
    assert_eq!((&report.outcome, report.totals.images_deleted), (&Outcome::Partial, 8));
}

fn flate2_of(text: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(text).unwrap();
    gzip.finish().unwrap()
}
