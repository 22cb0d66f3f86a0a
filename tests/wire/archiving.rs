//! Policies that move images to archive storage, and the later handling of those images.

use std::time::Duration;

use ecr_cleanup::aws::Haste;
use ecr_cleanup::deadline::Deadline;
use ecr_cleanup::discovery::FreshnessLimits;
use ecr_cleanup_core::plan::{ImageResult, SkipReason};
use ecr_cleanup_core::report::Outcome;
use serde_json::json;
use simulated_aws::{ACCOUNT, Call, Fault, Image, REGION, Repository, SimulatedAws};

use crate::policies::{archive, expire, gallery, merciless, one_rule, unpulled};
use crate::support::{Limits, clients, decided, push_multi_arch, run_on, run_with, run_within, set, stale_tags, with};

#[tokio::test(start_paused = true)]
async fn what_is_unpulled_is_archived_and_deleted_after_ninety_days_there() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app");
    let pulled = app.push(Image::tagged("pulled").days_old(400.0).pulled_days_ago(3.0));
    let unpulled = app.push(Image::tagged("unpulled").days_old(400.0).pulled_days_ago(61.0));
    app.push(Image::tagged("long-in-archive").days_old(400.0).archived_days_ago(91.0));
    let in_archive = app.push(Image::tagged("in-archive").days_old(400.0).archived_days_ago(89.0));
    let restored = app.push(Image::tagged("restored").days_old(400.0).pulled_days_ago(99.0).restored_days_ago(9.0));
    let activating = app.push(Image::tagged("activating").days_old(400.0).status("ACTIVATING"));
    aws.cluster("prod").runs("nginx");

    let dry = run_on(&aws, gallery("archive-then-delete", true)).await;
    insta::assert_snapshot!(decided(&dry), @"
    us-west-2 app, policy 1: keeps 2 policy, 2 pulledRecently
      long-in-archive stale: expired by rule 2 of policy 1 (delete after 90 days in the archive); planned
      unpulled to be archived: archived by rule 1 of policy 1 (archive what was not pulled for 60 days); planned
    ");
    assert_eq!(dry.totals.images_stale, 2);
    assert!(dry.totals.bytes_stale < dry.totals.bytes / 3, "archive storage is billed too");

    let live = run_on(&aws, gallery("archive-then-delete", false)).await;
    assert_eq!((live.outcome, live.totals.images_archived, live.totals.images_deleted), (Outcome::Completed, 1, 1));
    assert_eq!(app.archived(), [unpulled.clone(), in_archive.clone()].into());
    assert_eq!(app.digests(), [pulled, unpulled, in_archive, restored, activating].into());
    let again = run_on(&aws, gallery("archive-then-delete", false)).await;
    assert_eq!(again.totals.images_stale, 0);
}

#[tokio::test(start_paused = true)]
async fn an_index_is_archived_before_its_children_and_with_what_is_about_it() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app");
    let [_, _, index] = push_multi_arch(&app, "stale", 90.0);
    app.push(Image::tagged(&Image::tag_about(&index, ".sig")).days_old(1.0));
    let used = push_multi_arch(&app, "used", 90.0);
    aws.cluster("prod").runs(&app.uri_by_digest(&used[0]));
    let report = run_on(&aws, gallery("unpulled-archived", false)).await;
    assert_eq!(report.outcome, Outcome::Completed);
    assert_eq!((report.totals.images_archived, report.totals.images_stale, app.archived().len()), (4, 4, 4));
    let first = &aws.calls_of("ecr:UpdateImageStorageClass")[0].request;
    assert_eq!((&first["imageId"]["imageDigest"], &first["targetStorageClass"]), (&json!(index), &json!("ARCHIVE")));
    assert!(used.iter().all(|digest| !app.archived().contains(digest)));
    assert!(aws.calls_of("ecr:BatchDeleteImage").is_empty());
}

#[tokio::test(start_paused = true)]
async fn archiving_fails_image_by_image_or_as_a_whole() {
    let policies = one_rule(&unpulled(28), &archive());
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app");
    app.push_all(["v1", "v2", "v3"].map(|tag| Image::tagged(tag).days_old(90.0)));
    let [first, second] = ["v1", "v2"].map(|tag| app.digest_of(tag));
    aws.cluster("prod").runs("nginx");
    let of_image = Fault::error("ecr:UpdateImageStorageClass", 400, "ImageStorageClassUpdateNotSupportedException");
    aws.inject(of_image.mentioning(&first));
    aws.inject(Fault::error("ecr:UpdateImageStorageClass", 400, "ImageNotFoundException").mentioning(&second));
    let report = run_on(&aws, merciless(&policies, false)).await;
    assert_eq!(report.outcome, Outcome::Partial);
    let totals = report.totals;
    assert_eq!((totals.images_archived, totals.images_failed, totals.images_not_attempted), (1, 1, 0));
    assert_eq!(report.plan.stale().filter(|image| image.result == ImageResult::Gone).count(), 1);

    aws.heal();
    app.push_all(["v4", "v5"].map(|tag| Image::tagged(tag).days_old(90.0)));
    app.push(Image::untagged().days_old(91.0));
    let mut policies = policies;
    let untagged = json!({ "tagStatus": "untagged", "countType": "imageCountMoreThan", "countNumber": 0 });
    policies[0]["rules"][0]["rulePriority"] = 2.into();
    let expires = json!({ "rulePriority": 1, "selection": untagged, "action": expire() });
    policies[0]["rules"].as_array_mut().unwrap().push(expires);
    aws.inject(Fault::denied("ecr:UpdateImageStorageClass"));
    aws.forget_calls();
    let report = run_on(&aws, merciless(&policies, false)).await;
    assert_eq!((report.outcome, report.totals.images_archived), (Outcome::Completed, 0));
    assert_eq!(aws.calls_of("ecr:UpdateImageStorageClass").len(), 1, "what is denied once is not asked again");
    let totals = report.totals;
    assert_eq!((totals.images_failed, totals.images_not_allowed, totals.images_deleted), (0, 4, 1), "deletes go on");
    assert_eq!(stale_tags(&run_on(&aws, merciless(&policies, true)).await), set(["v1", "v2", "v4", "v5"]));
}

#[tokio::test(start_paused = true)]
async fn where_deletes_are_denied_nothing_that_was_not_tried_is_told_as_failed() {
    let untagged = json!({ "tagStatus": "untagged", "countType": "imageCountMoreThan", "countNumber": 0 });
    let policies = json!([{ "repositories": ["*"], "rules": [
        { "rulePriority": 1, "selection": untagged, "action": expire() },
        { "rulePriority": 2, "selection": unpulled(28), "action": archive() },
    ] }]);
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app");
    app.push_all([Image::untagged().days_old(90.0), Image::tagged("v1").days_old(90.0)]);
    aws.cluster("prod").runs("nginx");
    aws.inject(Fault::denied("ecr:BatchDeleteImage"));
    let totals = run_on(&aws, merciless(&policies, false)).await.totals;
    assert_eq!((totals.images_failed, totals.images_not_allowed, totals.images_archived), (0, 1, 1));
    // If describing is denied too, one of the images that can't be archived shows the cause.
    aws.heal();
    app.push(Image::tagged("v2").days_old(90.0));
    aws.inject(Fault::denied("ecr:DescribeImages").mentioning("imageIds"));
    let only_archive = one_rule(&unpulled(28), &archive());
    let totals = run_on(&aws, merciless(&only_archive, false)).await.totals;
    assert_eq!((totals.images_failed, totals.images_not_attempted), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn what_changed_in_between_is_not_archived() {
    let policies = one_rule(&unpulled(28), &archive());
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app");
    let pulled = app.push(Image::tagged("pulled").days_old(90.0));
    app.push(Image::tagged("unpulled").days_old(90.0));
    aws.cluster("prod").runs("nginx");
    let (repository, digest) = (app.clone(), pulled.clone());
    let pull = Fault::before("ecr:DescribeImages", Duration::ZERO, move || repository.pull(&digest));
    aws.inject(pull.mentioning("imageIds").times(1));
    let report = run_on(&aws, merciless(&policies, false)).await;
    assert_eq!((report.totals.images_archived, report.totals.images_skipped), (1, 1));
    assert!(!app.archived().contains(&pulled));
}

#[tokio::test(start_paused = true)]
async fn a_plan_that_archives_more_than_allowed_is_refused() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app");
    app.push_all(["v1", "v2", "v3"].map(|tag| Image::tagged(tag).days_old(90.0)));
    aws.cluster("prod").runs("nginx");
    let event = with(merciless(&one_rule(&unpulled(28), &archive()), false), &json!({ "maxDeletions": 2 }));
    assert_eq!(run_on(&aws, event).await.outcome.as_str(), "refused");
    assert!(app.archived().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_was_restored_lately_is_about_to_be_pulled() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app").daily_builds(2);
    app.push(Image::tagged("restored").days_old(400.0).restored_days_ago(3.0));
    app.push(Image::tagged("restored-long-ago").days_old(400.0).restored_days_ago(50.0));
    aws.cluster("prod").runs("nginx");
    run_on(&aws, json!({ "dryRun": false, "imagesToKeep": 2, "keepBeforeInUse": 0 })).await;
    assert_eq!(app.tags(), set(["restored", "v1", "v2"]));
}

#[tokio::test(start_paused = true)]
async fn multi_arch_images_are_archived_whole_also_beside_archived_ones() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app");
    for (tag, days) in [("first", 99.0), ("second", 88.0)] {
        push_multi_arch(&app, tag, days);
    }
    let loose = app.push(Image::untagged().days_old(77.0));
    let young = push_multi_arch(&app, "young", 1.0);
    aws.place(ACCOUNT, REGION).exclude_pull_times_of("arn:aws:iam::123456789012:role/ecr-cleanup");
    aws.cluster("prod").runs(&app.uri("second"));
    let first = run_on(&aws, gallery("unpulled-archived", false)).await;
    assert_eq!((first.totals.images_archived, first.totals.images_to_archive), (4, 4));
    aws.place(ACCOUNT, REGION).cluster("prod").delete();
    aws.cluster("prod").runs(&app.uri("young"));
    // The children of the archived index can't be read any more, but those of the second index can.
    app.push(Image::untagged().days_old(66.0));
    let second = run_on(&aws, gallery("unpulled-archived", false)).await;
    assert_eq!((second.outcome, second.totals.images_archived), (Outcome::Completed, 3));
    assert!(app.archived().contains(&loose) && app.digests().len() == 3 * 3 + 2);
    assert!(young.iter().all(|digest| !app.archived().contains(digest)));
    assert_eq!(run_on(&aws, gallery("unpulled-archived", false)).await.totals.images_stale, 0);
}

#[tokio::test(start_paused = true)]
async fn what_an_archived_index_may_name_is_never_deleted_and_not_archived_while_that_is_used() {
    for (action, used, expected) in [(expire(), false, 3), (archive(), true, 3), (archive(), false, 1)] {
        let aws = SimulatedAws::in_memory();
        let app = aws.repository("app");
        let shared = Image::untagged().days_old(99.0);
        let archived = Image::index_of([&shared]).and_tag("archived").days_old(99.0).archived_days_ago(9.0);
        let readable = Image::index_of([&shared, &Image::untagged()]).and_tag("nightly").days_old(90.0);
        let digest = shared.digest().to_owned();
        app.push_all([shared, archived, readable]);
        aws.cluster("prod").runs(&if used { app.uri("archived") } else { "nginx".to_owned() });
        run_on(&aws, merciless(&one_rule(&unpulled(28), &action), false)).await;
        let active = app.digests().difference(&app.archived()).count();
        let is_expire = action == expire();
        assert!(app.digests().contains(&digest), "{action} {used}");
        assert_eq!(!app.archived().contains(&digest), is_expire || used, "{action} {used}");
        assert!(active <= expected, "{action} {used}: {active}");
    }
}

/// Longer than a listing, so that each archiving call comes after a listing.
const SLOW: Duration = Duration::from_millis(50);

/// Old images `v0`, `v1` and so on, all of which are to be archived. Something happens when one of them is.
fn many_to_archive(
    count: u32,
    at: usize,
    happens: impl Fn(&Repository) + Send + Sync + 'static,
) -> (SimulatedAws, Repository) {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app");
    app.push_all((0..count).map(|build| Image::tagged(&format!("v{build}")).days_old(f64::from(9_000 - build))));
    aws.cluster("prod").runs("nginx");
    let repository = app.clone();
    let push = Fault::before("ecr:UpdateImageStorageClass", SLOW, move || happens(&repository));
    aws.inject(push.after(at).times(1));
    aws.inject(Fault::slow("ecr:UpdateImageStorageClass", SLOW));
    (aws, app)
}

fn archiving_all() -> serde_json::Value {
    merciless(&one_rule(&unpulled(28), &archive()), false)
}

#[tokio::test(start_paused = true)]
async fn what_an_index_names_that_was_pushed_while_others_were_archived_stays() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app");
    app.push_all((0..6_299).map(|build| Image::tagged(&format!("v{build}")).days_old(f64::from(9_000 - build))));
    let last = Image::untagged().days_old(100.0);
    app.push(last.clone());
    let cluster = aws.cluster("prod");
    cluster.runs("nginx");
    let (repository, index) = (app.clone(), Image::index_of([&last]).and_tag("new"));
    let push = Fault::before("ecr:UpdateImageStorageClass", Duration::ZERO, move || {
        cluster.runs(&repository.uri_by_digest(&repository.push(index.clone())));
    });
    aws.inject(push.after(50).times(1));
    let clients = clients(&aws).await.with_haste(Haste::NONE);
    let report = run_with(&clients, archiving_all(), Limits::until(Deadline::unknown())).await.unwrap();
    assert_eq!((&report.outcome, report.totals.images_archived), (&Outcome::Completed, 6_299));
    assert!(!app.archived().contains(last.digest()));
    let skipped = report.plan.stale().find(|image| image.image_digest.to_string() == last.digest()).unwrap();
    assert_eq!(skipped.result, ImageResult::Skipped(SkipReason::NamedSince));
    // Seven pages, and a listing per half minute of more than five.
    let is_listing = |call: &&Call| call.request["imageIds"].is_null();
    let pages = aws.calls_of("ecr:DescribeImages").iter().filter(is_listing).count();
    assert!((70..=90).contains(&pages), "{pages}");
    assert_eq!(aws.calls_of("ecr:BatchGetImage").len(), 1, "an index is read once");
}

/// Here a listing is too old at once.
fn always_listed() -> Limits {
    let freshness = FreshnessLimits { listing_max_age: Duration::ZERO, ..FreshnessLimits::CONTRACT };
    Limits { freshness, ..Limits::until(Deadline::unknown()) }
}

#[tokio::test(start_paused = true)]
async fn what_a_new_index_names_over_several_steps_stays() {
    let (aws, app) = many_to_archive(6, 2, |app| {
        // It lists an index that lists the fifth image.
        let fifth = app.image_of("v4");
        let inner = Image::index_of([&fifth]);
        app.push(inner.clone());
        app.push(Image::index_of([&inner]).and_tag("outer"));
    });
    let report = run_within(&aws, archiving_all(), always_listed()).await.unwrap();
    assert_eq!(
        (&report.outcome, report.totals.images_archived, report.totals.images_skipped),
        (&Outcome::Completed, 5, 1)
    );
    assert!(!app.archived().contains(&app.digest_of("v4")));

    // An image that is archived with its platforms. A new index lists it after it was archived.
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app");
    let platforms = [Image::untagged().days_old(90.0), Image::untagged().days_old(90.0)];
    let index = Image::index_of(&platforms).and_tag("v1").days_old(90.0);
    app.push_all(platforms.iter().chain([&index]).cloned());
    aws.cluster("prod").runs("nginx");
    let (repository, above) = (app.clone(), Image::index_of([&index]).and_tag("new"));
    let push = Fault::before("ecr:UpdateImageStorageClass", SLOW, move || _ = repository.push(above.clone()));
    aws.inject(push.times(1));
    let report = run_within(&aws, archiving_all(), always_listed()).await.unwrap();
    assert_eq!((report.totals.images_archived, report.totals.images_skipped), (1, 2));
    assert_eq!(app.archived(), set([index.digest()]));
}

#[tokio::test(start_paused = true)]
async fn a_new_index_that_can_not_be_read_may_name_anything() {
    let odd =
        || Image::of_manifest("application/vnd.oci.image.index.v1+json", r#"{"manifests":[{"digest":"sha512:0"}]}"#);
    for index in [odd(), Image::index_of([]).without("imageDigest"), Image::index_of([]).status("ACTIVATING")] {
        let (aws, app) = many_to_archive(6, 2, move |app| _ = app.push(index.clone()));
        let report = run_within(&aws, archiving_all(), always_listed()).await.unwrap();
        assert_eq!((&report.outcome, report.totals.images_archived), (&Outcome::Completed, 3));
        let skipped = ImageResult::Skipped(SkipReason::MayBeNamedSince);
        assert_eq!(report.plan.stale().filter(|image| image.result == skipped).count(), 3);
        assert_eq!(app.archived().len(), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn where_new_indexes_may_not_be_read_nothing_more_is_archived_and_deletes_go_on() {
    let untagged = json!({ "tagStatus": "untagged", "countType": "imageCountMoreThan", "countNumber": 0 });
    let mut policies = one_rule(&unpulled(28), &archive());
    policies[0]["rules"][0]["rulePriority"] = 2.into();
    let expires = json!({ "rulePriority": 1, "selection": untagged, "action": expire() });
    policies[0]["rules"].as_array_mut().unwrap().push(expires);
    for fault in [Fault::denied("ecr:BatchGetImage"), Fault::error("ecr:BatchGetImage", 400, "OddException")] {
        let (aws, app) = many_to_archive(150, 2, |app| _ = app.push(Image::index_of([]).and_tag("new")));
        // The second batch deletes it.
        let junk = app.push(Image::untagged().days_old(50.0));
        aws.inject(fault);
        let report = run_within(&aws, merciless(&policies, false), always_listed()).await.unwrap();
        let totals = &report.totals;
        assert_eq!(report.outcome, Outcome::Partial);
        assert_eq!((totals.images_archived, totals.images_failed, totals.images_not_attempted), (3, 1, 146));
        assert_eq!((totals.images_deleted, app.digests().contains(&junk)), (1, false));
        assert_eq!(aws.calls_of("ecr:BatchGetImage").len(), 1);
    }
    // If the repository can't be listed again, archiving there stops.
    let (aws, app) = many_to_archive(150, 2, |_| {});
    aws.inject(Fault::denied("ecr:DescribeImages").after(4));
    let report = run_within(&aws, archiving_all(), always_listed()).await.unwrap();
    assert_eq!(report.outcome, Outcome::Partial);
    assert!(app.archived().len() < 4, "{}", app.archived().len());
}

#[tokio::test(start_paused = true)]
async fn a_repository_is_not_listed_again_soon_after_its_plan() {
    let (aws, app) = many_to_archive(6, 2, |_| {});
    run_on(&aws, archiving_all()).await;
    assert_eq!(app.archived().len(), 6);
    let is_listing = |call: &&Call| call.request["imageIds"].is_null();
    assert_eq!(aws.calls_of("ecr:DescribeImages").iter().filter(is_listing).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn images_are_archived_at_a_bounded_pace() {
    let aws = SimulatedAws::in_memory();
    for name in ["app", "web"] {
        let images = (0..25).map(|build| Image::tagged(&format!("v{build}")).days_old(90.0));
        aws.repository(name).push_all(images);
    }
    aws.cluster("prod").runs("nginx");
    let clients = clients(&aws).await.with_haste(Haste::NONE);
    let (event, limits) = (gallery("unpulled-archived", false), Limits::until(Deadline::unknown()));
    let report = run_with(&clients, event, limits).await.unwrap();
    assert_eq!(report.totals.images_archived, 50);
    let calls = aws.calls_of("ecr:UpdateImageStorageClass");
    for (asked, call) in (1_u32..).zip(&calls) {
        // A burst of 20, and 20 per second. One more call, because timers count in milliseconds.
        let seconds = call.at.duration_since(calls[0].at).as_secs_f64();
        assert!(f64::from(asked) <= 20.0 + 20.0 * seconds + 1.0, "{asked} in {seconds} s");
    }
}
