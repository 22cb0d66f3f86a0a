//! The time that the pure core takes, by the size of a repository. `make bench` runs it.
//!
//! Budget: 50 rules over 100,000 images take under a second, and ten times the images take ten times as long.

#![expect(clippy::expect_used, reason = "a failing benchmark may panic")]

use chrono::{DateTime, TimeDelta, Utc};
use divan::Bencher;
use divan::counter::ItemsCount;
use ecr_cleanup_core::image::{Image, ImageDigest, ImageStatus, ManifestKind, RepositoryName, Subject};
use ecr_cleanup_core::manifest::Manifests;
use ecr_cleanup_core::pattern::Pattern;
use ecr_cleanup_core::policy::Policy;
use ecr_cleanup_core::retention::{Known, Rules, Takes, decide};
use ecr_cleanup_core::usage::UsageSnapshot;
use serde_json::json;

fn main() {
    divan::main();
}

fn now() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000)
}

/// This number of images, one per build, with two tags each, the newest first.
fn images(number: u32) -> Vec<Image> {
    let image = |build: u32| {
        let mut digest = [0; 32];
        // Spread out, like real digests.
        digest[..4].copy_from_slice(&build.wrapping_mul(2_654_435_761).to_be_bytes());
        let tags = [format!("team-{}-build-{build}", build % 60), format!("sha-{build:08x}")];
        Image {
            image_digest: ImageDigest::from_sha256(digest),
            image_tags: tags.map(String::into_boxed_str).into(),
            image_pushed_at: Some(now() - TimeDelta::minutes(build.into())),
            last_recorded_pull_time: build.is_multiple_of(3).then(|| now() - TimeDelta::days(40)),
            image_size_in_bytes: 50_000_000,
            image_status: ImageStatus::Active,
            archival: None,
            manifest: ManifestKind::Manifest,
            subject: Subject::None,
        }
    };
    (0..number).map(image).collect()
}

/// 50 rules, of which the last selects the remaining images.
fn fifty_rules() -> Policy {
    let tagged = (1..50).map(|team| {
        json!({
            "rulePriority": team,
            "selection": {
                "tagStatus": "tagged", "tagPatternList": [format!("team-{team}-*")],
                "countType": "imageCountMoreThan", "countNumber": 10,
            },
            "action": { "type": "expire" },
        })
    });
    let any = json!({
        "rulePriority": 50,
        "selection": { "tagStatus": "any", "countType": "sinceImagePushed", "countUnit": "days", "countNumber": 30 },
        "action": { "type": "expire" },
    });
    let rules: Vec<_> = tagged.chain([any]).collect();
    Policy::of_repository(&json!({ "rules": rules }).to_string()).expect("rules that ECR accepts")
}

fn decide_on(bencher: Bencher<'_, '_>, number: u32, takes: Takes<'_>) {
    let usage = UsageSnapshot::default();
    let registry_id = "123456789012".parse().expect("an account id");
    let usage = usage.of_repository(&registry_id, &RepositoryName::from_ecr("app"));
    let images = images(number);
    let manifests = Manifests::childless(&images);
    let known = Known {
        images: &images,
        manifests: &manifests,
        usage: &usage,
        seen: None,
        replicated: None,
        takes,
        now: now(),
    };
    let rules = Rules {
        images_to_keep: 100,
        ignore_tags_regex: None,
        keep_tags: vec![Pattern::for_tags("latest").expect("a pattern")],
        keep_used_within_days: 30,
        keep_before_in_use: 1,
        keep_pulled_within_days: 30,
        keep_pushed_within_days: 0,
        only_tags: None,
    };
    bencher.counter(ItemsCount::new(images.len())).bench_local(|| decide(&known, &rules));
}

#[divan::bench(args = [10_000, 100_000], sample_count = 10)]
fn by_number_and_age(bencher: Bencher<'_, '_>, images: u32) {
    decide_on(bencher, images, Takes::NumberAndAge { untagged_older_than_days: Some(15) });
}

#[divan::bench(args = [10_000, 100_000], sample_count = 10)]
fn by_a_policy_of_50_rules(bencher: Bencher<'_, '_>, images: u32) {
    let policy = fifty_rules();
    decide_on(bencher, images, Takes::Policy(&policy));
}
