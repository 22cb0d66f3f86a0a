//! Tests of the rows, the keys and the trend of stored reports.

use serde::Serialize;
use serde_json::Value;

use super::tests::{decided, error, images, plan, report, repository, set_results};
use super::*;
use crate::memory::{Damaged, pack, pack_lines, unpack};

/// The rows in the form in which they are stored.
fn lines(rows: impl Iterator<Item = impl Serialize>) -> String {
    String::from_utf8(unpack(&pack_lines(rows).unwrap()).unwrap()).unwrap()
}

/// A live run that deleted one image and archived another.
fn live() -> Report {
    let mut plan =
        plan(vec![repository("app", Ok(decided(images()))), repository("web", Err(error("AccessDeniedException")))]);
    set_results(
        &mut plan,
        &[ImageResult::Deleted, ImageResult::failed("KmsError", "no"), ImageResult::Archived, ImageResult::Gone],
    );
    report(Mode::Live, plan)
}

#[test]
fn a_repository_is_a_row() {
    let report = live();
    insta::assert_snapshot!(lines(report.repository_rows(&report.plan.registries[0])), @r#"
    {"runId":"2026-01-01T00-00-00Z-1a2b","startedAt":"2026-01-01T00:00:00Z","dryRun":false,"outcome":"partial","repositoryName":"app","errorCode":null,"images":7,"imagesInUse":1,"imagesKept":3,"imagesStale":4,"imagesDeleted":1,"imagesArchived":1,"imagesFailed":1,"bytes":7516192768,"bytesInUse":1073741824,"bytesKept":3221225472,"bytesStale":4294967296,"bytesDeleted":1073741824}
    {"runId":"2026-01-01T00-00-00Z-1a2b","startedAt":"2026-01-01T00:00:00Z","dryRun":false,"outcome":"partial","repositoryName":"web","errorCode":"AccessDeniedException","images":null,"imagesInUse":null,"imagesKept":null,"imagesStale":null,"imagesDeleted":null,"imagesArchived":null,"imagesFailed":null,"bytes":null,"bytesInUse":null,"bytesKept":null,"bytesStale":null,"bytesDeleted":null}
    "#);
}

#[test]
fn a_registry_that_can_not_be_listed_is_a_row_without_a_name() {
    let mut plan = plan(Vec::new());
    plan.registries[0].repositories = Err(error("AccessDeniedException"));
    let report = report(Mode::DryRun, plan);
    let row: Value = serde_json::from_str(&lines(report.repository_rows(&report.plan.registries[0]))).unwrap();
    assert_eq!((&row["repositoryName"], &row["errorCode"]), (&Value::Null, &"AccessDeniedException".into()));
    assert_eq!(row["images"], Value::Null, "it is unknown, and not 0");
}

#[test]
fn a_deleted_image_is_a_row_and_no_other_is() {
    let report = live();
    insta::assert_snapshot!(lines(report.deleted_rows(&report.plan.registries[0])), @r#"
    {"runId":"2026-01-01T00-00-00Z-1a2b","startedAt":"2026-01-01T00:00:00Z","repositoryName":"app","imageDigest":"sha256:0000000000000000000000000000000000000000000000000000000000000014","imageTags":[],"imagePushedAt":"2025-12-12T00:00:00Z","imageSizeInBytes":1073741824,"result":"deleted","reasonCode":"untaggedTooOld","reason":"untagged and older than 15 days"}
    {"runId":"2026-01-01T00-00-00Z-1a2b","startedAt":"2026-01-01T00:00:00Z","repositoryName":"app","imageDigest":"sha256:0000000000000000000000000000000000000000000000000000000000000005","imageTags":["1.0.5"],"imagePushedAt":"2025-12-27T00:00:00Z","imageSizeInBytes":1073741824,"result":"archived","reasonCode":"notAmongNewest","reason":"not among the 2 newest tagged images"}
    "#);
}

#[test]
fn rows_sum_up_to_the_totals() {
    let report = live();
    let rows = lines(report.repository_rows(&report.plan.registries[0]));
    let rows: Vec<Value> = rows.lines().map(|row| serde_json::from_str(row).unwrap()).collect();
    let sum = |name: &str| rows.iter().filter_map(|row| row[name].as_u64()).sum::<u64>();
    let totals = serde_json::to_value(report.totals).unwrap();
    for name in ["images", "imagesInUse", "imagesKept", "imagesStale", "imagesDeleted", "bytes", "bytesDeleted"] {
        assert_eq!(Some(sum(name)), totals[name].as_u64(), "{name}");
    }
}

#[test]
fn keys_name_the_run_and_its_place() {
    let report = live();
    let (run, place) = (&report.run_id, &report.plan.registries[0].place);
    let of = "dt=2026-01-01/account=123456789012/region=us-west-2/2026-01-01T00-00-00Z-1a2b";
    assert_eq!(key_of_json(run), "reports/json/2026-01-01T00-00-00Z-1a2b.json.gz");
    assert_eq!(key_of_page(run), "reports/html/2026-01-01T00-00-00Z-1a2b.html");
    assert_eq!(key_of_rows(Table::Repositories, run, place, 0), format!("reports/repositories/{of}.jsonl.gz"));
    assert_eq!(key_of_rows(Table::Deleted, run, place, 1), format!("reports/deleted/{of}-2.jsonl.gz"));
    assert!(TREND.starts_with(TREND_FOLDER));
}

fn run(number: i64) -> RunSummary {
    let started_at = DateTime::from_timestamp(1_767_225_600 + number, 0).unwrap();
    RunSummary { run_id: RunId::new(started_at, 0), started_at, ..RunSummary::of(&live()) }
}

fn trend(numbers: impl IntoIterator<Item = i64>) -> Trend {
    let mut trend = Trend::default();
    numbers.into_iter().for_each(|number| trend.merge(Trend::starting_with(run(number))));
    trend
}

#[test]
fn trends_merge_to_the_same_in_any_order_and_keep_the_newest_runs() {
    let (mut one, mut other) = (trend([1, 5, 3]), trend([4, 3, 2]));
    let copy = one.clone();
    one.merge(other.clone());
    other.merge(copy);
    assert_eq!(one, other);
    assert_eq!(one, trend(1..=5));
    let long = trend(0..450);
    assert_eq!((long.runs().len(), &long.runs()[0]), (400, &run(50)));
}

#[test]
fn a_trend_is_read_back_unless_a_newer_version_wrote_it() {
    let trend = trend([1, 2]);
    let bytes = trend.write().unwrap();
    assert_eq!(Trend::read(&bytes), Ok(trend));
    assert!((0..bytes.len()).all(|length| Trend::read(&bytes[..length]).is_err()));
    assert_eq!(Trend::read(&pack(br#"{ "format": 2, "runs": {} }"#).unwrap()), Err(Damaged::TooNew(2)));
    assert!(matches!(Trend::read(&pack(b"[]").unwrap()), Err(Damaged::NotJson(_))));
}

#[test]
fn only_runs_of_the_same_scope_are_compared() {
    assert_eq!(run(1).scope, "123456789012 us-west-2");
    let mut trend = trend(1..=4);
    let elsewhere = RunSummary { scope: "123456789012 us-west-2, web/*".to_owned(), ..run(5) };
    trend.merge(Trend::starting_with(elsewhere.clone()));
    assert_eq!(trend.until(&run(3)).count(), 3, "later runs aren't part of it");
    assert_eq!(trend.until(&elsewhere).collect::<Vec<_>>(), [&elsewhere]);
}
