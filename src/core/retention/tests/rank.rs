//! Images that are kept by rank: the newest, and the newest before an image in use.

use super::graph::Case;
use super::*;

/// Images with the tags `v1`, the oldest, to `v<count>`, a day old.
fn builds(count: u8) -> Vec<Image> {
    (1..=count).map(|build| image(build, &[&format!("v{build}")], f64::from(count - build + 1))).collect()
}

fn uses(tags: &[&str]) -> Vec<String> {
    tags.iter().map(|tag| format!("123456789012.dkr.ecr.us-west-2.amazonaws.com/app:{tag}")).collect()
}

#[track_caller]
fn stale_beside(images: &[Image], keep_before_in_use: u32, used: &[&str]) -> Vec<u8> {
    let used = uses(used);
    let used: Vec<&str> = used.iter().map(String::as_str).collect();
    stale_with(images, &Rules { keep_before_in_use, ..no_rules() }, &used)
}

#[test]
fn the_newest_images_before_each_image_in_use_are_kept() {
    for (keep, used, expected) in [
        (0, &["v5"][..], vec![1, 2, 3, 4, 6]),
        (1, &["v5"], vec![1, 2, 3, 6]),
        (2, &["v5"], vec![1, 2, 6]),
        (u32::MAX, &["v5"], vec![6]),
        (1, &["v1"], vec![2, 3, 4, 5, 6]),
        (1, &["v3", "v6"], vec![1, 4]),
        (2, &["v3", "v4"], vec![5, 6]),
        (1, &[], vec![1, 2, 3, 4, 5, 6]),
    ] {
        assert_eq!(stale_beside(&builds(6), keep, used), expected, "{keep} before {used:?}");
    }
    let decisions = decide_with(&builds(2), &Rules { keep_before_in_use: 1, ..no_rules() }, &[&uses(&["v2"])[0]]);
    assert_eq!(first_reason(&decisions[0]), KeepReason::BeforeInUse);
}

#[test]
fn images_that_are_no_rollback_target_do_not_count() {
    let images = [
        image(1, &["v1"], 5.0),
        Image { image_status: ImageStatus::Archived, ..image(2, &["v2"], 4.0) },
        image(3, &[], 3.0),
        Image { subject: Subject::Image(digest(1)), ..image(4, &["signature"], 2.5) },
        Image { image_pushed_at: None, ..image(5, &["v5"], 2.0) },
        image(6, &["v6"], 1.0),
    ];
    assert_eq!(stale_beside(&images, 1, &["v6"]), [3]);
    assert_eq!(stale_beside(&images, 0, &["v6"]), [1, 3, 4]);
}

#[test]
fn child_images_of_an_index_in_use_do_not_count() {
    let case = |used: u8| {
        Case::new()
            .image(11, &["v1-amd64"], 9.2)
            .index(1, &["v1"], 9.0, &[11])
            .image(21, &["v2-amd64"], 2.3)
            .image(22, &["v2-arm64"], 2.2)
            .index(2, &["v2"], 2.0, &[21, 22])
            .used(used)
    };
    for used in [2, 21, 22] {
        let mut case = case(used);
        case.rules.keep_before_in_use = 1;
        case.stale(&[]);
        assert_eq!((case.reason(1), case.reason(11)), (KeepReason::BeforeInUse, KeepReason::ChildOfKept));
    }
}

#[test]
fn images_kept_by_their_tags_do_not_count_toward_the_newest() {
    let mut images = builds(10);
    images.extend((11..=20).map(|number| image(number, &[&format!("release-{number}")], 0.1)));
    images.push(image(21, &["latest"], 0.1));
    let rules = Rules {
        images_to_keep: 5,
        ignore_tags_regex: Some(Regex::new("^release-").unwrap()),
        keep_tags: vec![Pattern::for_tags("latest").unwrap()],
        ..no_rules()
    };
    assert_eq!(stale(&images, &rules), [1, 2, 3, 4, 5]);
    assert_eq!(first_reason(&decide_with(&images, &rules, &[])[10]), KeepReason::IgnoreTagsRegex);
}

#[test]
fn images_before_an_unread_index_are_kept() {
    // Index 4 is a child image of index 6, and has a child image in use.
    let case = |read: bool| {
        let case = Case::new().image(3, &[], 60.0).image(7, &["v7"], 30.0).image(5, &["v5"], 20.0).used(3);
        let case = if read { case.index(4, &[], 50.0, &[3]) } else { case.unread_index(4, &[], 50.0) };
        let mut case = case.index(6, &[], 10.0, &[4]);
        case.rules.keep_before_in_use = 1;
        case
    };
    case(true).stale(&[7]);
    case(false).stale(&[]);
}
