use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::TimeDelta;
use serde_json::Value;

use super::*;
use crate::account::Place;
use crate::call_error::CallError;
use crate::image::{Image, ImageDigest, ImageStatus, ManifestKind, RepositoryName, Subject};
use crate::manifest::Manifests;
use crate::plan::{Decided, RegistryPlan, RepositoryPlan};
use crate::pull_time::IndexPulls;
use crate::retention::{Known, Rules, Takes, decide, kept_by_use_alone};
use crate::run_id::RunId;
use crate::settings::Environment;
use crate::usage::{Holder, HolderKind, Usage, UsageIncomplete, UsageSnapshot};

const ACCOUNT: &str = "123456789012";

fn started_at() -> DateTime<Utc> {
    DateTime::from_timestamp(1_767_225_600, 0).unwrap()
}

fn image(number: u32, tag: Option<&str>) -> Image {
    let mut digest = [0; 32];
    digest[28..].copy_from_slice(&number.to_be_bytes());
    Image {
        image_digest: ImageDigest::from_sha256(digest),
        image_tags: tag.into_iter().map(Box::from).collect(),
        image_pushed_at: Some(started_at() - TimeDelta::days(i64::from(number))),
        last_recorded_pull_time: None,
        image_size_in_bytes: 1 << 30,
        image_status: ImageStatus::Active,
        archival: None,
        manifest: ManifestKind::Manifest,
        subject: Subject::None,
    }
}

fn usage(incomplete: Option<UsageIncomplete>) -> Usage {
    let mut known = UsageSnapshot::default();
    let holder = Arc::new(Holder { kind: HolderKind::new(0, "ECS task"), name: "task".into() });
    known.add(Some("123456789012.dkr.ecr.us-west-2.amazonaws.com/app:1.0.1"), None, &holder);
    let regions = BTreeSet::from(["us-west-2".parse().unwrap()]);
    Usage::new(BTreeSet::from([ACCOUNT.parse().unwrap()]), regions, known, incomplete)
}

pub(super) fn decided(images: Vec<Image>) -> Decided {
    let rules = Rules {
        images_to_keep: 2,
        ignore_tags_regex: None,
        keep_tags: Vec::new(),
        keep_used_within_days: 30,
        keep_before_in_use: 0,
        keep_pulled_within_days: 30,
        keep_pushed_within_days: 0,
        only_tags: None,
    };
    let of_all = usage(None);
    let usage = of_all.known().of_repository(&ACCOUNT.parse().unwrap(), &RepositoryName::from_ecr("app"));
    let manifests = Manifests::default();
    let (takes, now) = (Takes::NumberAndAge { untagged_older_than_days: Some(15) }, started_at());
    let known =
        Known { images: &images, manifests: &manifests, usage: &usage, seen: None, replicated: None, takes, now };
    let (decisions, kept_by_use_alone) = (decide(&known, &rules), kept_by_use_alone(&known, &rules));
    Decided::gather(images, 0, &decisions, &usage, None, &kept_by_use_alone)
}

pub(super) fn repository(name: &str, decided: Result<Decided, CallError>) -> RepositoryPlan {
    RepositoryPlan { repository_name: RepositoryName::from_ecr(name), decided }
}

pub(super) fn plan(repositories: Vec<RepositoryPlan>) -> Plan {
    let place = Place::new(ACCOUNT.parse().unwrap(), "us-west-2".parse().unwrap());
    let (index_pulls, missing) = (IndexPulls::OfOthers, [].into());
    Plan { registries: vec![RegistryPlan { place, index_pulls, repositories: Ok(repositories), missing }] }
}

pub(super) fn report(mode: Mode, plan: Plan) -> Report {
    let settings = Settings::resolve(&serde_json::Map::new(), &Environment::new(), &|_| unreachable!()).unwrap();
    Report::new(Run {
        run_id: RunId::new(started_at(), 0x1a2b),
        settings: &Settings { mode, ..settings },
        started_at: started_at(),
        finished_at: started_at() + TimeDelta::seconds(2),
        usage: &usage(None),
        usage_age_limit: Duration::from_mins(5),
        memory: None,
        plan,
        refusal: None,
        warnings: Vec::new(),
    })
}

pub(super) fn set_results(plan: &mut Plan, results: &[ImageResult]) {
    let repositories = plan.registries.iter_mut().flat_map(|registry| registry.repositories.iter_mut().flatten());
    let stale =
        repositories.flat_map(|repository| repository.decided.iter_mut()).flat_map(|decided| &mut decided.stale);
    for (image, result) in stale.zip(results) {
        image.result = result.clone();
    }
}

pub(super) fn error(code: &str) -> CallError {
    CallError::new("ecr:DescribeImages", code, "no".to_owned())
}

/// 1.0.1 is in use and among the newest, 1.0.2 is among the newest, 4 is untagged and young. The other four are stale.
pub(super) fn images() -> Vec<Image> {
    let tagged = [1, 2, 3, 5, 6].map(|number| image(number, Some(&format!("1.0.{number}"))));
    tagged.into_iter().chain([image(4, None), image(20, None)]).collect()
}

#[test]
fn is_written_as_the_contract_says() {
    let report = report(
        Mode::DryRun,
        plan(vec![repository("app", Ok(decided(images()))), repository("web", Err(error("AccessDeniedException")))]),
    );
    let json: Value = serde_json::from_str(&report.to_json().unwrap()).unwrap();
    insta::assert_snapshot!(serde_json::to_string_pretty(&json).unwrap());
}

#[test]
fn the_outcome_depends_on_the_results() {
    use ImageResult::{Deleted, Gone, Kept, NotAttempted, Planned};
    const LATE: ImageResult = NotAttempted(Unattempted::Deadline);
    const LEFT: ImageResult = NotAttempted(Unattempted::RepositoryFailed);
    let cut_off = || ImageResult::failed("DeadlineReached", "no");
    let failed = || ImageResult::failed("KmsError", "no");
    let whole = || vec![repository("app", Ok(decided(images())))];
    let and = |error| {
        let mut repositories = whole();
        repositories.push(repository("web", Err(error)));
        repositories
    };
    for (behaviour, mode, repositories, results, expected) in [
        ("a dry run", Mode::DryRun, whole(), [Planned, Planned, Planned, Planned], Outcome::Planned),
        (
            "all deleted, gone or still referenced",
            Mode::Live,
            whole(),
            [Deleted, Gone, Kept, Deleted],
            Outcome::Completed,
        ),
        ("an image failed", Mode::Live, whole(), [Deleted, failed(), Deleted, Deleted], Outcome::Partial),
        (
            "a repository was not read",
            Mode::DryRun,
            and(error("x")),
            [Planned, Planned, Planned, Planned],
            Outcome::Partial,
        ),
        ("a batch cut off", Mode::Live, whole(), [Deleted, cut_off(), LATE, LATE], Outcome::DeadlineReached),
        (
            "a failure, and no time for the last",
            Mode::Live,
            whole(),
            [failed(), Deleted, Deleted, LATE],
            Outcome::Partial,
        ),
        (
            "somebody stopped it",
            Mode::Live,
            whole(),
            [Deleted, Deleted, NotAttempted(Unattempted::Interrupted), NotAttempted(Unattempted::Interrupted)],
            Outcome::Partial,
        ),
        ("no time for the last", Mode::Live, whole(), [Deleted, Deleted, Deleted, LATE], Outcome::DeadlineReached),
        ("a call failed, the rest was left", Mode::Live, whole(), [failed(), LEFT, LEFT, LEFT], Outcome::Partial),
        (
            "no time to read",
            Mode::DryRun,
            and(error("DeadlineReached")),
            [Planned, Planned, Planned, Planned],
            Outcome::DeadlineReached,
        ),
    ] {
        let mut plan = plan(repositories);
        set_results(&mut plan, &results);
        assert_eq!(report(mode, plan).outcome, expected, "{behaviour}");
    }
}

#[test]
fn totals_count_each_image_once() {
    let mut plan = plan(vec![repository("app", Ok(decided(images())))]);
    let failed = ImageResult::failed("KmsError", "no");
    set_results(&mut plan, &[ImageResult::Deleted, failed, ImageResult::NotAttempted(Unattempted::Deadline)]);
    let Totals {
        images,
        images_in_use,
        images_kept,
        images_stale,
        images_deleted,
        images_failed,
        images_not_attempted,
        bytes_stale,
        bytes_deleted,
        monthly_cost_usd,
        monthly_saving_usd,
        ..
    } = report(Mode::Live, plan).totals;
    assert_eq!((images, images_in_use, images_kept, images_stale), (7, 1, 3, 4));
    assert_eq!((images_deleted, images_failed, images_not_attempted), (1, 1, 1));
    assert_eq!((bytes_stale, bytes_deleted), (4 << 30, 1 << 30));
    assert!((monthly_cost_usd - 0.7).abs() < 1e-9 && (monthly_saving_usd - 0.1).abs() < 1e-9);
}

#[test]
fn is_cut_to_the_size_that_lambda_takes_and_says_so() {
    let many = |count| (0..count).map(|number| image(number + 1, Some("a-tag-of-some-length"))).collect::<Vec<_>>();
    let whole = report(
        Mode::DryRun,
        plan(vec![repository("app", Ok(decided(many(500)))), repository("web", Ok(decided(many(500))))]),
    );
    let full = whole.to_json().unwrap();
    for limit in [full.len(), full.len() - 1, full.len() / 2, 10_000, 4_000] {
        let cut = whole.to_json_within(limit).unwrap();
        assert!(cut.len() <= limit, "{} bytes of {limit}", cut.len());
        let cut: Value = serde_json::from_str(&cut).unwrap();
        let listed: usize = cut["regions"][0]["repositories"]
            .as_array()
            .unwrap()
            .iter()
            .map(|repository| repository["stale"].as_array().unwrap().len())
            .sum();
        assert_eq!(listed as u64 + cut["truncatedImages"].as_u64().unwrap(), whole.totals.images_stale);
        assert_eq!(cut["totals"]["imagesStale"], whole.totals.images_stale, "totals are whole");
        assert_eq!(cut["regions"][0]["repositories"].as_array().unwrap().len(), 2);
    }
    assert_eq!(whole.to_json_within(usize::MAX).unwrap(), full);
}

#[test]
fn repositories_are_cut_when_they_alone_are_too_many() {
    let repositories = (0..1_000).map(|number| repository(&format!("team/app-{number}"), Ok(decided(images()))));
    let report = report(Mode::DryRun, plan(repositories.collect()));
    let cut = report.to_json_within(50_000).unwrap();
    assert!(cut.len() <= 50_000);
    let cut: Value = serde_json::from_str(&cut).unwrap();
    let listed = cut["regions"][0]["repositories"].as_array().unwrap().len() as u64;
    assert!(listed > 100, "{listed}");
    assert_eq!(listed + cut["truncatedRepositories"].as_u64().unwrap(), 1_000);
    assert_eq!(cut["truncatedImages"], report.totals.images_stale);
}

#[test]
fn too_many_warnings_are_truncated_and_counted() {
    let mut report = report(Mode::DryRun, plan(vec![repository("app", Ok(decided(images())))]));
    report.warnings = vec![crate::warning::old_event(started_at()); 50_000];
    let cut: Value = serde_json::from_str(&report.to_json_within(RESPONSE_BYTES).unwrap()).unwrap();
    assert!(cut.to_string().len() < RESPONSE_BYTES);
    assert_eq!(cut["warnings"].as_array().unwrap().len() as u64 + cut["truncatedWarnings"].as_u64().unwrap(), 50_000);
    assert_eq!(cut["truncatedImages"], 0);
}

#[test]
fn metrics_are_by_region_and_without_dimension() {
    let mut report = report(Mode::DryRun, plan(vec![repository("app", Ok(decided(images())))]));
    report.usage.complete = false;
    let documents: Vec<Value> = metrics(&report).iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(documents.len(), 2);
    assert_eq!(documents[0]["Region"], "us-west-2");
    assert_eq!(documents[0]["_aws"]["CloudWatchMetrics"][0]["Dimensions"], serde_json::json!([["Region"]]));
    assert_eq!(documents[1]["_aws"]["CloudWatchMetrics"][0]["Dimensions"], serde_json::json!([[]]));
    for document in &documents {
        let directive = &document["_aws"]["CloudWatchMetrics"][0];
        assert_eq!(directive["Namespace"], "EcrCleanup");
        for metric in directive["Metrics"].as_array().unwrap() {
            assert!(document[metric["Name"].as_str().unwrap()].is_number(), "{metric}");
        }
        assert_eq!(document["ImagesStale"], 4);
        assert_eq!(document["BytesStale"], 4_u64 << 30);
        assert_eq!(document["RunDuration"], 2_000);
        assert_eq!(document["UsageIncomplete"], 1);
        assert_eq!(document["_aws"]["Timestamp"], 1_767_225_602_000_u64);
    }
}
