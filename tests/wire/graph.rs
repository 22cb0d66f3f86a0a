//! Registries are graphs: indexes and their children, and subjects and their attached artifacts.

use std::collections::BTreeSet;

use ecr_cleanup_core::plan::ImageResult;
use ecr_cleanup_core::report::{Outcome, Report};
use serde_json::json;
use simulated_aws::{Fault, Image, SimulatedAws, Task};

use crate::support::{decided, merciless, push_multi_arch, run_on, set, stale_digests, with};

/// A live run with the strictest settings, without failures and refusals.
async fn clean(aws: &SimulatedAws) -> Report {
    let report = run_on(aws, merciless(false)).await;
    assert_eq!(report.outcome, Outcome::Completed);
    assert!(report.plan.stale().all(|image| image.result == ImageResult::Deleted), "no delete is refused or skipped");
    report
}

#[tokio::test(start_paused = true)]
async fn children_of_a_kept_index_stay_while_junk_goes() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app");
    let kept = push_multi_arch(&app, "v1", 90.0);
    let junk = app.push(Image::untagged().days_old(90.0));
    aws.cluster("prod").runs(&app.uri("v1"));
    let report = clean(&aws).await;
    assert_eq!(stale_digests(&report), [junk].into());
    assert_eq!(app.digests(), kept.into());
    insta::assert_snapshot!(decided(&report), @"
    us-west-2 app: keeps 2 childOfKept, 1 inUse
      untagged stale: untagged; deleted
      v1 only in use: ECS task arn:aws:ecs:us-west-2:123456789012:task/prod/00000000000000000000000000000000
    ");
}

#[tokio::test(start_paused = true)]
async fn a_running_child_keeps_its_index_and_its_siblings() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app");
    let kept = push_multi_arch(&app, "v1", 90.0);
    push_multi_arch(&app, "v2", 90.0);
    aws.cluster("prod").runs(&app.uri_by_digest(&kept[1]));
    let report = clean(&aws).await;
    assert_eq!(app.digests(), kept.into());
    insta::assert_snapshot!(decided(&report), @"
    us-west-2 app: keeps 1 childOfKept, 1 inUse, 1 parentOfInUse
      untagged only in use: ECS task arn:aws:ecs:us-west-2:123456789012:task/prod/00000000000000000000000000000000
      untagged stale: child image of the stale index sha256:...; deleted, 2 times
      v2 stale: tagged, and imagesToKeep is 0; deleted
    ");
    assert_eq!(report.totals.images_in_use, 1, "parents and children are not counted");
}

#[tokio::test(start_paused = true)]
async fn a_shared_child_stays_and_the_stale_index_goes_with_its_own() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app");
    let [shared, own, of_kept] = [90.0; 3].map(|days| Image::untagged().days_old(days));
    let kept = Image::index_of([&shared, &of_kept]).and_tag("kept").days_old(90.0);
    let stale = Image::index_of([&shared, &own]).and_tag("stale").days_old(90.0);
    let gone = [own.digest().to_owned(), stale.digest().to_owned()];
    app.push_all([shared, own, of_kept, kept, stale]);
    aws.cluster("prod").runs(&app.uri("kept"));
    let report = clean(&aws).await;
    assert_eq!(stale_digests(&report), gone.into());
    assert_eq!(app.digests().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_stale_index_goes_whole_in_one_run() {
    for list_of in
        [|children: &[Image]| Image::index_of(children), |children: &[Image]| Image::manifest_list_of(children)]
    {
        let aws = SimulatedAws::in_memory();
        let app = aws.repository("app");
        let platforms = [1.0, 2.0].map(|days| Image::untagged().days_old(days).size(1 << 30));
        let index = list_of(&platforms).and_tag("v1").days_old(90.0);
        app.push_all(platforms.into_iter().chain([index]));
        let young = app.push(Image::untagged().days_old(2.0));
        aws.cluster("prod").runs("nginx");
        let report = run_on(&aws, with(merciless(false), &json!({ "untaggedOlderThanDays": 15 }))).await;
        assert_eq!((report.outcome, report.totals.images_deleted), (Outcome::Completed, 3), "however young");
        assert_eq!(report.totals.bytes_deleted, 2 << 30, "the index tells the size of its largest child");
        assert_eq!(app.digests(), [young].into(), "what no index names has an age of its own");
        let deletes = aws.calls_of("ecr:BatchDeleteImage");
        assert_eq!(deletes.len(), 2, "children in a later call than their index");
    }
}

#[tokio::test(start_paused = true)]
async fn nested_indexes_stay_whole_or_go_whole_depth_by_depth() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app");
    let push_nested = |tag: &str| {
        let leaves = [90.0, 90.0].map(|days| Image::untagged().days_old(days));
        let inner = Image::index_of(&leaves[..1]).days_old(90.0);
        let outer = Image::index_of([&inner, &leaves[1]]).and_tag(tag).days_old(90.0);
        let digests = [leaves[0].digest(), leaves[1].digest(), inner.digest(), outer.digest()].map(str::to_owned);
        app.push_all(leaves.into_iter().chain([inner, outer]));
        digests
    };
    let by_tag = push_nested("by-tag");
    let by_leaf = push_nested("by-leaf");
    let stale = push_nested("stale");
    aws.cluster("prod").runs(&app.uri("by-tag"));
    aws.cluster("prod").runs(&app.uri_by_digest(&by_leaf[0]));
    let report = clean(&aws).await;
    assert_eq!(stale_digests(&report), stale.into());
    assert_eq!(app.digests(), by_tag.into_iter().chain(by_leaf).collect());
    let batches: Vec<usize> = aws
        .calls_of("ecr:BatchDeleteImage")
        .iter()
        .map(|call| call.request["imageIds"].as_array().unwrap().len())
        .collect();
    assert_eq!(batches, [1, 2, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_broken_manifest_keeps_what_it_may_name_and_nothing_else() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app");
    let media_type = "application/vnd.oci.image.index.v1+json";
    let broken =
        Image::of_manifest(media_type, "{\"schemaVersion\":2,\"manifests\":[{\"digest\":\"sha256:").days_old(50.0);
    let broken = app.push(broken.and_tag("broken"));
    let untagged = app.push(Image::untagged().days_old(10.0));
    app.push_all([Image::tagged("older").days_old(60.0), Image::tagged("younger").days_old(40.0)]);
    let other = aws.repository("other");
    push_multi_arch(&other, "v1", 90.0);
    aws.cluster("prod").runs("nginx");
    let report = clean(&aws).await;
    assert_eq!(app.tags(), set(["broken", "older"]));
    assert!(app.digests().contains(&untagged));
    assert!(other.digests().is_empty());
    insta::assert_snapshot!(decided(&report), @"
    us-west-2 app: keeps 3 unreadable
      younger stale: tagged, and imagesToKeep is 0; deleted
    us-west-2 other: keeps nothing
      untagged stale: child image of the stale index sha256:...; deleted, 2 times
      v1 stale: tagged, and imagesToKeep is 0; deleted
    ");
    let warnings: Vec<String> = report.warnings.iter().map(ToString::to_string).collect();
    assert!(
        warnings.iter().any(|warning| warning.contains(&broken) && warning.contains("not a valid index")),
        "{warnings:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn denied_manifests_keep_what_they_may_name_in_their_repository_alone() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app");
    let kept = push_multi_arch(&app, "v1", 90.0);
    app.push(Image::tagged("younger").days_old(9.0));
    let other = aws.repository("other");
    push_multi_arch(&other, "v1", 90.0);
    aws.cluster("prod").runs("nginx");
    aws.inject(Fault::denied("ecr:BatchGetImage").for_repository("app"));
    let report = run_on(&aws, merciless(false)).await;
    assert_eq!(report.outcome, Outcome::Partial);
    assert_eq!(app.digests(), kept.into());
    assert!(other.digests().is_empty());
    insta::assert_snapshot!(decided(&report), @"
    us-west-2 app: keeps 3 unreadable
    us-west-2 app: 1 indexes not read, AccessDeniedException at ecr:BatchGetImage: simulated: ecr:BatchGetImage answers AccessDeniedException
      younger stale: tagged, and imagesToKeep is 0; deleted
    us-west-2 other: keeps nothing
      untagged stale: child image of the stale index sha256:...; deleted, 2 times
      v1 stale: tagged, and imagesToKeep is 0; deleted
    ");
    let warnings: Vec<String> = report.warnings.iter().map(ToString::to_string).collect();
    assert!(warnings.iter().any(|warning| warning.contains("grant ecr:BatchGetImage")), "{warnings:?}");
}

#[tokio::test(start_paused = true)]
async fn one_manifest_that_ecr_withholds_does_not_hide_the_others() {
    for (code, outcome) in [("KmsError", Outcome::Partial), ("ImageNotFound", Outcome::Completed)] {
        let aws = SimulatedAws::in_memory();
        let app = aws.repository("app");
        let withheld = push_multi_arch(&app, "v1", 90.0);
        let read = push_multi_arch(&app, "v2", 10.0);
        aws.cluster("prod").runs("nginx");
        aws.inject(Fault::withheld_manifest(&withheld[2], code));
        let report = run_on(&aws, merciless(false)).await;
        assert_eq!(report.outcome, outcome, "{code}");
        // The children of the other index are untagged, so that this one may list them too.
        assert_eq!(stale_digests(&report), [read[2].clone()].into(), "{code}");
        assert!(report.warnings.iter().any(|warning| warning.to_string().contains(code)), "{:?}", report.warnings);
    }
}

#[tokio::test(start_paused = true)]
async fn what_an_answer_leaves_out_is_not_taken_for_childless() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app");
    let kept = push_multi_arch(&app, "v1", 90.0);
    aws.cluster("prod").runs(&app.uri_by_digest(&kept[0]));
    aws.inject(Fault::leave_out("ecr:BatchGetImage", &kept[2]));
    let report = run_on(&aws, merciless(false)).await;
    assert_eq!((report.outcome, app.digests()), (Outcome::Partial, kept.into()));
}

#[tokio::test(start_paused = true)]
async fn an_archived_index_keeps_its_children() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app");
    let kept = push_multi_arch(&app, "v1", 90.0);
    app.archive(&kept[2]);
    app.push(Image::tagged("younger").days_old(9.0));
    aws.cluster("prod").runs("nginx");
    clean(&aws).await;
    assert_eq!(app.digests(), kept.into());
}

#[tokio::test(start_paused = true)]
async fn what_is_about_an_image_follows_it_both_ways() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app");
    for (tag, days) in [("kept", 400.0), ("stale", 300.0)] {
        let [amd64, _, index] = push_multi_arch(&app, tag, days);
        for end in [".sig", ".att", ".sbom"] {
            app.push(Image::tagged(&Image::tag_about(&index, end)).days_old(1.0));
        }
        // An attestation of a platform, a signature of the SBOM, and a fallback index that lists the artifacts attached
        // to the index.
        app.push(Image::untagged().about(&amd64).days_old(1.0));
        let sbom = Image::untagged().about(&index).days_old(1.0);
        let signature = Image::untagged().about(sbom.digest()).days_old(1.0);
        let fallback = Image::index_of([&sbom]).and_tag(&Image::tag_about(&index, "")).days_old(1.0);
        app.push_all([sbom, signature, fallback]);
    }
    aws.cluster("prod").runs(&app.uri("kept"));
    let report = run_on(&aws, with(merciless(false), &json!({ "untaggedOlderThanDays": 15 }))).await;
    assert_eq!((report.outcome.clone(), report.totals.images_deleted), (Outcome::Completed, 10));
    assert_eq!(app.digests().len(), 10);
    let about_kept = |tag: &&String| tag.contains(&Image::tag_about(&app.digest_of("kept"), ""));
    assert_eq!(app.tags().iter().filter(about_kept).count(), 4);
    insta::assert_snapshot!(decided(&report), @"
    us-west-2 app: keeps 3 childOfKept, 1 inUse, 6 referrerOfKept
      kept only in use: ECS task arn:aws:ecs:us-west-2:123456789012:task/prod/00000000000000000000000000000000
      sha256-... stale: attached artifact of the stale image sha256:...; deleted
      sha256-....att stale: attached artifact of the stale image sha256:...; deleted
      sha256-....sbom stale: attached artifact of the stale image sha256:...; deleted
      sha256-....sig stale: attached artifact of the stale image sha256:...; deleted
      stale stale: tagged, and imagesToKeep is 0; deleted
      untagged stale: attached artifact of the stale image sha256:...; deleted, 3 times
      untagged stale: child image of the stale index sha256:...; deleted, 2 times
    ");
}

#[tokio::test(start_paused = true)]
async fn signatures_are_not_releases() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app").daily_builds(10);
    for build in 1..=10 {
        let signature = Image::tag_about(&app.digest_of(&format!("v{build}")), ".sig");
        app.push(Image::tagged(&signature).days_old(0.1));
    }
    aws.cluster("prod").runs("nginx");
    let report = run_on(&aws, with(merciless(false), &json!({ "imagesToKeep": 5 }))).await;
    assert_eq!((report.outcome, report.totals.images_deleted), (Outcome::Completed, 10));
    let (signatures, releases): (Vec<_>, Vec<_>) = app.tags().into_iter().partition(|tag| tag.starts_with("sha256-"));
    assert_eq!(releases.into_iter().collect::<BTreeSet<_>>(), set(["v6", "v7", "v8", "v9", "v10"]));
    let expected: Vec<String> =
        (6..=10).map(|build| Image::tag_about(&app.digest_of(&format!("v{build}")), ".sig")).collect();
    assert_eq!(signatures.len(), 5);
    assert!(expected.iter().all(|signature| signatures.contains(signature)));
}

#[tokio::test(start_paused = true)]
async fn one_protected_tag_holds_the_image_with_all_its_tags() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app");
    app.push(Image::tagged("latest").and_tag("sha-abc").days_old(900.0));
    app.push(Image::tagged("not-latest-really").days_old(1.0));
    aws.cluster("prod").runs("nginx");
    run_on(&aws, with(merciless(false), &json!({ "keepTags": ["latest"] }))).await;
    assert_eq!(app.tags(), set(["latest", "sha-abc"]));
}

#[tokio::test(start_paused = true)]
async fn a_tagged_child_stays_with_its_index_and_is_judged_for_itself_without_it() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app");
    for tag in ["kept", "stale"] {
        let child = Image::tagged(&format!("{tag}-amd64")).days_old(90.0);
        let index = Image::index_of([&child]).and_tag(tag).days_old(90.0);
        app.push_all([child, index]);
    }
    let used = Image::tagged("used-amd64").days_old(90.0);
    let index = Image::index_of([&used]).and_tag("used").days_old(90.0);
    app.push_all([used, index]);
    aws.cluster("prod").runs(&app.uri("kept"));
    aws.cluster("prod").runs(&app.uri("used-amd64"));
    clean(&aws).await;
    assert_eq!(app.tags(), set(["kept", "kept-amd64", "used", "used-amd64"]));
}

#[tokio::test(start_paused = true)]
async fn what_is_about_an_image_that_is_not_there_is_kept_or_counts_as_untagged() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app");
    let elsewhere = Image::untagged();
    let by_tag = Image::tag_about(elsewhere.digest(), ".sig");
    app.push(Image::tagged(&by_tag).days_old(900.0));
    let young = app.push(Image::tagged("young").about(elsewhere.digest()).days_old(14.0));
    app.push(Image::tagged("old").about(elsewhere.digest()).days_old(16.0));
    aws.cluster("prod").runs("nginx");
    run_on(&aws, with(merciless(false), &json!({ "untaggedOlderThanDays": 15 }))).await;
    assert_eq!(app.tags(), set([by_tag.as_str(), "young"]));
    assert!(app.digests().contains(&young));
}

#[tokio::test(start_paused = true)]
async fn newer_builds_never_evict_what_runs() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app");
    let running = push_multi_arch(&app, "v1", 400.0);
    for build in 0..150 {
        push_multi_arch(&app, &format!("pr-{build}"), 1.0 + f64::from(build) / 100.0);
    }
    aws.cluster("prod").runs(&app.uri("v1"));
    let report = run_on(&aws, json!({ "dryRun": false })).await;
    assert_eq!((report.outcome, report.totals.images_deleted), (Outcome::Completed, 50 * 3));
    assert!(running.iter().all(|digest| app.digests().contains(digest)));
    assert_eq!(app.tags().len(), 101);
}

#[tokio::test(start_paused = true)]
async fn manifests_are_read_only_where_the_decision_needs_them() {
    let aws = SimulatedAws::in_memory();
    let kept = aws.repository("kept");
    push_multi_arch(&kept, "v1", 9.0);
    let plain = aws.repository("plain").daily_builds(9);
    let multi = aws.repository("multi");
    (0..250).for_each(|build| _ = push_multi_arch(&multi, &format!("v{build}"), 90.0));
    aws.cluster("prod").runs(&plain.uri("v9"));
    run_on(&aws, with(merciless(true), &json!({ "imagesToKeep": 5, "untaggedOlderThanDays": 15 }))).await;
    let reads = aws.calls_of("ecr:BatchGetImage");
    assert!(reads.iter().all(|call| call.request["repositoryName"] == "multi"));
    let ids: Vec<usize> = reads.iter().map(|call| call.request["imageIds"].as_array().unwrap().len()).collect();
    assert_eq!(ids, [100, 100, 50], "the indexes, and nothing else");
    assert_eq!(aws.calls_of("ecr:ListPullTimeUpdateExclusions").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_copied_signature_is_about_what_its_tag_names_too() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app").daily_builds(2);
    // Its manifest lists the image with which it was copied, which is deleted, and one that does not exist here.
    for (subject, used) in [(app.digest_of("v1"), "v2"), (Image::untagged().digest().to_owned(), "v2")] {
        let tag = Image::tag_about(&app.digest_of(used), ".sig");
        let signature = app.push(Image::tagged(&tag).about(&subject).days_old(90.0));
        aws.cluster("prod").runs(&app.uri(used));
        clean(&aws).await;
        assert!(app.digests().contains(&signature), "{subject}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_is_about_another_by_some_tags_displaces_no_release() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app").daily_builds(3);
    let signature = Image::tag_about(&app.digest_of("v1"), ".sig");
    app.push(Image::tagged("signature-latest").and_tag(&signature).days_old(0.5));
    aws.cluster("prod").runs("nginx");
    run_on(&aws, with(merciless(false), &json!({ "imagesToKeep": 1 }))).await;
    assert_eq!(app.tags(), set(["v3", "signature-latest", signature.as_str()]));
}

#[tokio::test(start_paused = true)]
async fn only_what_a_use_alone_holds_is_told_so() {
    let held = |report: &Report| -> BTreeSet<String> {
        report.plan.decided().flat_map(|decided| &decided.held).map(|image| image.image_digest.to_string()).collect()
    };
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app");
    let [old, young] = [("old", 400.0), ("young", 1.0)].map(|(tag, days)| {
        let platform = Image::untagged().days_old(days);
        let index = Image::index_of([&platform]).and_tag(tag).days_old(days);
        let digests = [platform.digest(), index.digest()].map(str::to_owned);
        app.push_all([platform, index]);
        // ECS agents report the digest of the platform that they pulled.
        aws.cluster("prod").start(Task::pulled(&app.uri(tag), &digests[0]));
        digests
    });
    let one = with(merciless(true), &json!({ "imagesToKeep": 1, "untaggedOlderThanDays": 15 }));
    // The run reads no manifests for it, so the index of the platform is unknown.
    assert_eq!(held(&run_on(&aws, one.clone()).await), [old[1].clone()].into());
    assert!(aws.calls_of("ecr:BatchGetImage").is_empty());
    app.push(Image::untagged().days_old(90.0));
    let held = held(&run_on(&aws, one).await);
    assert_eq!(held, old.into());
    assert!(young.iter().all(|digest| !held.contains(digest)), "what is new stays anyway");
}
