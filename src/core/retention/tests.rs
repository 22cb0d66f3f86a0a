//! Tables of cases: images and the decisions on them. Digest `n` is the one that ends in `n`.

mod explain;
mod graph;
mod properties;
mod rank;
mod seen;

use std::sync::Arc;

use super::*;
use crate::image::{ImageStatus, ManifestKind, RepositoryName, Subject};
use crate::usage::{Holder, HolderKind, UsageSnapshot};

const NOW: i64 = 1_750_000_000;

fn digest(number: u8) -> ImageDigest {
    let mut bytes = [0; 32];
    bytes[31] = number;
    ImageDigest::from_sha256(bytes)
}

/// The number of an image's digest.
fn number(image: &Image) -> u8 {
    u8::from_str_radix(&image.image_digest.to_string()[69..], 16).unwrap()
}

fn days_ago(days: f64) -> DateTime<Utc> {
    #[expect(clippy::cast_possible_truncation, reason = "a test's days are few")]
    let seconds = (days * 86_400.0) as i64;
    DateTime::from_timestamp(NOW - seconds, 0).unwrap()
}

/// An image pushed this number of days ago.
fn image(number: u8, tags: &[&str], days: f64) -> Image {
    Image {
        image_digest: digest(number),
        image_tags: tags.iter().map(|tag| Box::from(*tag)).collect(),
        image_pushed_at: Some(days_ago(days)),
        last_recorded_pull_time: None,
        image_size_in_bytes: 1,
        image_status: ImageStatus::Active,
        archival: None,
        manifest: ManifestKind::Manifest,
        subject: Subject::None,
    }
}

/// The rules that keep images, and the age above which untagged images are candidates.
#[derive(Clone, Debug)]
struct Rules {
    images_to_keep: u32,
    keep_before_in_use: u32,
    ignore_tags_regex: Option<Regex>,
    keep_tags: Vec<Pattern>,
    untagged_older_than_days: Option<u32>,
    keep_pulled_within_days: u32,
    keep_pushed_within_days: u32,
}

impl Rules {
    fn kept(&self) -> super::Rules {
        let Self { ignore_tags_regex, keep_tags, .. } = self.clone();
        super::Rules {
            images_to_keep: self.images_to_keep,
            keep_used_within_days: 30,
            keep_before_in_use: self.keep_before_in_use,
            ignore_tags_regex,
            keep_tags,
            keep_pulled_within_days: self.keep_pulled_within_days,
            keep_pushed_within_days: self.keep_pushed_within_days,
            only_tags: None,
        }
    }

    fn takes(&self) -> Takes<'static> {
        Takes::NumberAndAge { untagged_older_than_days: self.untagged_older_than_days }
    }
}

/// Rules that keep no image. A case adds others.
fn no_rules() -> Rules {
    Rules {
        images_to_keep: 0,
        keep_before_in_use: 0,
        ignore_tags_regex: None,
        keep_tags: Vec::new(),
        untagged_older_than_days: Some(0),
        keep_pulled_within_days: 0,
        keep_pushed_within_days: 0,
    }
}

fn decide_with(images: &[Image], rules: &Rules, used: &[&str]) -> Vec<Decision> {
    let mut usage = UsageSnapshot::default();
    let holder = Arc::new(Holder { kind: HolderKind::new(0, "ECS task"), name: "task".into() });
    for reference in used {
        usage.add(Some(reference), None, &holder);
    }
    let usage = usage.of_repository(&"123456789012".parse().unwrap(), &RepositoryName::from_ecr("app"));
    let manifests = Manifests::default();
    let (takes, now) = (rules.takes(), days_ago(0.0));
    let known = Known { images, manifests: &manifests, usage: &usage, seen: None, replicated: None, takes, now };
    decide(&known, &rules.kept()).each
}

/// The numbers of the digests of the stale images.
fn stale(images: &[Image], rules: &Rules) -> Vec<u8> {
    stale_with(images, rules, &[])
}

fn stale_with(images: &[Image], rules: &Rules, used: &[&str]) -> Vec<u8> {
    let decisions = decide_with(images, rules, used);
    assert_eq!(decisions.len(), images.len(), "every image gets a decision");
    images
        .iter()
        .zip(&decisions)
        .filter(|(_, decision)| matches!(decision, Decision::Delete(_)))
        .map(|(image, _)| number(image))
        .collect()
}

fn first_reason(decision: &Decision) -> KeepReason {
    match decision {
        Decision::Keep { reasons, .. } => reasons.first(),
        Decision::Delete(reason) | Decision::Archive(reason) => panic!("it is stale: {reason}"),
    }
}

#[test]
fn keeps_the_newest_tagged_images_by_push_time_and_digest() {
    let five =
        |ages: [f64; 5]| -> Vec<Image> { (1..).zip(ages).map(|(number, age)| image(number, &["t"], age)).collect() };
    for (behaviour, images, images_to_keep, expected) in [
        ("in order of age", five([1.0, 2.0, 3.0, 4.0, 5.0]), 3, vec![4, 5]),
        ("in any order", five([5.0, 1.0, 4.0, 2.0, 3.0]), 3, vec![1, 3]),
        ("at the same time, the larger digests", five([1.0; 5]), 3, vec![1, 2]),
        ("none with 0", five([1.0, 2.0, 3.0, 4.0, 5.0]), 0, vec![1, 2, 3, 4, 5]),
        ("all with as many", five([1.0, 2.0, 3.0, 4.0, 5.0]), 5, vec![]),
        ("all with more", five([1.0, 2.0, 3.0, 4.0, 5.0]), u32::MAX, vec![]),
        ("of no images, none", vec![], 3, vec![]),
    ] {
        let rules = Rules { images_to_keep, ..no_rules() };
        assert_eq!(stale(&images, &rules), expected, "{behaviour}");
    }
}

#[test]
fn counts_an_image_with_several_tags_once() {
    let images = [image(1, &["a", "b", "c"], 1.0), image(2, &["d"], 2.0), image(3, &["e"], 3.0)];
    assert_eq!(stale(&images, &Rules { images_to_keep: 2, ..no_rules() }), [3]);
}

#[test]
fn images_that_no_rule_may_act_on_do_not_count_toward_the_newest() {
    let archived = Image { image_status: ImageStatus::Archived, ..image(1, &["a"], 1.0) };
    let without_time = Image { image_pushed_at: None, ..image(2, &["b"], 1.0) };
    let from_the_future = image(3, &["c"], -1.0);
    let untagged = image(4, &[], 0.0);
    let images = [archived, without_time, from_the_future, untagged, image(5, &["d"], 5.0), image(6, &["e"], 6.0)];
    let rules = Rules { images_to_keep: 1, ..no_rules() };
    assert_eq!(stale(&images, &rules), [6]);
    let reasons: Vec<_> = decide_with(&images, &rules, &[])[..5].iter().map(first_reason).collect();
    assert_eq!(
        reasons,
        [
            KeepReason::Archived,
            KeepReason::Unknown,
            KeepReason::PushedRecently,
            KeepReason::Untagged,
            KeepReason::Newest
        ]
    );
}

#[test]
fn untagged_images_are_stale_if_older_than_the_limit() {
    let second = 1.0 / 86_400.0;
    for (age, days, goes) in [
        (15.0 + second, Some(15), true),
        (15.0, Some(15), false),
        (1.0, Some(15), false),
        (second, Some(0), true),
        (0.0, Some(0), false),
        (1_000.0, None, false),
    ] {
        let rules = Rules { untagged_older_than_days: days, images_to_keep: 100, ..no_rules() };
        assert_eq!(!stale(&[image(1, &[], age)], &rules).is_empty(), goes, "{age} days old, {days:?}");
    }
}

#[test]
fn a_fraction_of_a_second_over_the_days_is_over() {
    let mut young = image(1, &[], 15.0);
    young.image_pushed_at = young.image_pushed_at.map(|pushed_at| pushed_at - chrono::TimeDelta::milliseconds(1));
    assert_eq!(stale(&[young], &Rules { untagged_older_than_days: Some(15), ..no_rules() }), [1]);
}

#[test]
fn any_tag_of_an_image_can_keep_it() {
    let host = "123456789012.dkr.ecr.us-west-2.amazonaws.com/app";
    let pattern = |pattern| Pattern::for_tags(pattern).unwrap();
    let regex = |regex| Some(Regex::new(regex).unwrap());
    let rules = no_rules;
    for (behaviour, rules, used, tags, expected) in [
        ("a tag in use", rules(), Some(format!("{host}:b")), &["a", "b"][..], Some(KeepReason::InUse)),
        ("another tag in use", rules(), Some(format!("{host}:c")), &["a", "b"], None),
        ("a digest in use", rules(), Some(format!("{host}@{}", digest(1))), &[], Some(KeepReason::InUse)),
        ("another digest in use", rules(), Some(format!("{host}@{}", digest(2))), &["a"], None),
        ("latest by leaving the tag out", rules(), Some(host.to_owned()), &["a", "latest"], Some(KeepReason::InUse)),
        (
            "latest is kept, with the commit's tag on the same image",
            Rules { keep_tags: vec![pattern("latest")], ..rules() },
            None,
            &["latest", "sha-abc"],
            Some(KeepReason::KeepTags),
        ),
        (
            "a tag that only contains latest is not latest",
            Rules { keep_tags: vec![pattern("latest")], ..rules() },
            None,
            &["not-latest-really"],
            None,
        ),
        (
            "the regex is not anchored",
            Rules { ignore_tags_regex: regex("release"), ..rules() },
            None,
            &["x", "my-release-1"],
            Some(KeepReason::IgnoreTagsRegex),
        ),
        ("the regex can be", Rules { ignore_tags_regex: regex("^release"), ..rules() }, None, &["my-release-1"], None),
    ] {
        let decisions =
            decide_with(&[image(1, tags, 400.0)], &rules, &used.iter().map(String::as_str).collect::<Vec<_>>());
        match expected {
            Some(reason) => assert_eq!(first_reason(&decisions[0]), reason, "{behaviour}"),
            None => assert!(matches!(decisions[0], Decision::Delete(_)), "{behaviour}"),
        }
    }
}

#[test]
fn pulls_and_pushes_within_their_days_keep_tagged_and_untagged_images() {
    let second = 1.0 / 86_400.0;
    for (behaviour, pulled, pushed, pulled_within, pushed_within, expected) in [
        ("pulled on the last second", Some(30.0), 400.0, 30, 0, Some(KeepReason::PulledRecently)),
        ("pulled a second too early", Some(30.0 + second), 400.0, 30, 0, None),
        ("pulled in the future", Some(-1.0), 400.0, 30, 0, Some(KeepReason::PulledRecently)),
        ("pulled now, and pulls don't count", Some(0.0), 400.0, 0, 0, None),
        ("never pulled", None, 400.0, 30, 0, None),
        ("pushed on the last second", None, 7.0, 0, 7, Some(KeepReason::PushedRecently)),
        ("pushed a second too early", None, 7.0 + second, 0, 7, None),
        ("pushed in the future", None, -second, 0, 0, Some(KeepReason::PushedRecently)),
    ] {
        for tags in [&["t"][..], &[]] {
            let image = Image { last_recorded_pull_time: pulled.map(days_ago), ..image(1, tags, pushed) };
            let rules =
                Rules { keep_pulled_within_days: pulled_within, keep_pushed_within_days: pushed_within, ..no_rules() };
            match (expected, &decide_with(&[image], &rules, &[])[0]) {
                (Some(reason), decision) => assert_eq!(first_reason(decision), reason, "{behaviour}"),
                (None, decision) => assert!(matches!(decision, Decision::Delete(_)), "{behaviour}"),
            }
        }
    }
}

#[test]
fn unknown_data_keeps_an_image() {
    for (behaviour, image) in [
        ("its push time", Image { image_pushed_at: None, ..image(1, &["t"], 0.0) }),
        ("its push time, untagged", Image { image_pushed_at: None, ..image(1, &[], 0.0) }),
    ] {
        assert_eq!(first_reason(&decide_with(&[image], &no_rules(), &[])[0]), KeepReason::Unknown, "{behaviour}");
    }
    let unreadable = ["123456789012.dkr.ecr.us-west-2.amazonaws.com/app:not a tag"];
    let decisions = decide_with(&[image(1, &["t"], 400.0), image(2, &[], 400.0)], &no_rules(), &unreadable);
    assert!(decisions.into_iter().all(|decision| first_reason(&decision) == KeepReason::Unreadable));
}

#[test]
fn referrers_do_not_count_and_follow_their_subject() {
    let about =
        |number, subject, tags: &[&str]| Image { subject: Subject::Image(digest(subject)), ..image(number, tags, 1.0) };
    let cosign = |subject: u8| digest(subject).to_string().replace(':', "-") + ".sig";
    let images = [
        image(1, &["v1"], 10.0),
        image(2, &["v2"], 20.0),
        about(3, 1, &[]),
        about(4, 2, &[]),
        image(5, &[&cosign(1)], 1.0),
        image(6, &[&cosign(2)], 1.0),
        about(7, 4, &[]),
        about(8, 3, &[]),
    ];
    let rules = Rules { images_to_keep: 1, untagged_older_than_days: Some(15), ..no_rules() };
    assert_eq!(stale(&images, &rules), [2, 4, 6, 7]);
    assert_eq!(first_reason(&decide_with(&images, &rules, &[])[7]), KeepReason::ReferrerOfKept);
    assert_eq!(
        decide_with(&images, &rules, &[])[5],
        Decision::Delete(StaleReason::ReferrerOf(Arc::new(digest(2)))),
        "the reason has the subject"
    );
}

#[test]
fn a_referrer_without_its_subject_is_untagged_or_kept() {
    let about = |days| Image { subject: Subject::Image(digest(99)), ..image(1, &["tag"], days) };
    let rules = Rules { images_to_keep: 100, untagged_older_than_days: Some(15), ..no_rules() };
    assert_eq!(stale(&[about(16.0)], &rules), [1]);
    assert_eq!(first_reason(&decide_with(&[about(14.0)], &rules, &[])[0]), KeepReason::Untagged);
    let by_tag_alone = image(1, &[&(digest(99).to_string().replace(':', "-") + ".sig")], 400.0);
    assert_eq!(first_reason(&decide_with(&[by_tag_alone], &no_rules(), &[])[0]), KeepReason::Unknown);
}

#[test]
fn a_referrer_is_also_kept_for_reasons_of_its_own() {
    let signature = Image { subject: Subject::Image(digest(1)), ..image(2, &["keep-me"], 400.0) };
    let rules = Rules { keep_tags: vec![Pattern::for_tags("keep-me").unwrap()], ..no_rules() };
    assert_eq!(stale(&[image(1, &["v1"], 400.0), signature], &rules), [1]);
}

#[test]
fn all_reasons_are_in_the_reports_order() {
    let image = Image { last_recorded_pull_time: Some(days_ago(1.0)), ..image(1, &["latest"], 1.0) };
    let rules = Rules {
        keep_tags: vec![Pattern::for_tags("*").unwrap()],
        keep_pulled_within_days: 30,
        keep_pushed_within_days: 30,
        ..no_rules()
    };
    let used = ["123456789012.dkr.ecr.us-west-2.amazonaws.com/app"];
    let Decision::Keep { reasons, candidate: Some(_) } = &decide_with(&[image], &rules, &used)[0] else {
        panic!("it is stale")
    };
    let expected = [KeepReason::InUse, KeepReason::KeepTags, KeepReason::PulledRecently, KeepReason::PushedRecently];
    assert!(reasons.iter().eq(expected), "{reasons:?}");
}
