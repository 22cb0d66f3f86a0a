use super::*;
use crate::image::{ImageStatus, ManifestKind};
use crate::plan::{Decided, RepositoryPlan};
use crate::pull_time::IndexPulls;
use crate::retention::{Edges, StaleReason};

fn digest(number: u8) -> ImageDigest {
    ImageDigest::from_sha256([number; 32])
}

fn stale(number: u8, tags: &[&str], follows: &[u8]) -> StaleImage {
    let edges = Edges { follows: follows.iter().map(|number| digest(*number)).collect(), children: [].into() };
    StaleImage {
        image_digest: digest(number),
        image_tags: tags.iter().map(|tag| Box::from(*tag)).collect(),
        image_pushed_at: DateTime::from_timestamp(1_000, 5),
        pulled_at: None,
        image_size_in_bytes: 1,
        image_status: ImageStatus::Active,
        manifest: ManifestKind::Manifest,
        action: Action::Expire,
        reason: StaleReason::NotAmongNewest { images_to_keep: 1 },
        last_use: None,
        stale_since: None,
        edges: (!follows.is_empty()).then(|| std::sync::Arc::new(edges)),
        result: ImageResult::Planned,
    }
}

fn reviewed(images: &[StaleImage]) -> ReviewedImages {
    images.iter().map(|image| (image.image_digest, ReviewedImage::of(image))).collect()
}

fn results(mut images: Vec<StaleImage>, reviewed: Option<&ReviewedImages>) -> Vec<ImageResult> {
    restrict(&mut images, reviewed);
    images.into_iter().map(|image| image.result).collect()
}

#[test]
fn unchanged_reviewed_images_may_be_deleted() {
    let images = vec![stale(1, &["a"], &[]), stale(2, &[], &[1])];
    assert_eq!(results(images.clone(), Some(&reviewed(&images))), [ImageResult::Planned, ImageResult::Planned]);
}

#[test]
fn images_that_changed_since_the_review_are_skipped() {
    let image = stale(1, &["a"], &[]);
    let pushed_again = StaleImage { image_pushed_at: DateTime::from_timestamp(1_000, 6), ..image.clone() };
    let archived = StaleImage { action: Action::Archive, ..image.clone() };
    for (now, because) in [
        (stale(1, &["a", "b"], &[]), SkipReason::TagsChanged),
        (stale(1, &[], &[]), SkipReason::TagsChanged),
        (pushed_again, SkipReason::Changed),
        (archived, SkipReason::OtherAction),
        (stale(2, &["a"], &[]), SkipReason::NotReviewed),
    ] {
        let known = reviewed(std::slice::from_ref(&image));
        assert_eq!(results(vec![now], Some(&known)), [ImageResult::Skipped(because)]);
    }
    assert_eq!(results(vec![image], None), [ImageResult::Skipped(SkipReason::NotReviewed)]);
}

#[test]
fn a_deleted_reviewed_repository_is_reported_among_many() {
    let account: AccountId = "123456789012".parse().unwrap();
    let place = Place::new(account.clone(), "us-west-2".parse().unwrap());
    let names: Vec<RepositoryName> = (0..1_000).map(|n| RepositoryName::from_ecr(&format!("app-{n:04}"))).collect();
    let is_gone = |place: usize| [0, 1, 500, 999].contains(&place);
    let images = reviewed(&[stale(1, &["a"], &[])]);
    let of_registry = names.iter().map(|name| (name.clone(), images.clone())).collect();
    let plan = ReviewedPlan { account, registries: [(place.clone(), of_registry)].into() };
    let left = names.iter().enumerate().filter(|(place, _)| !is_gone(*place));
    let left = left.map(|(_, name)| RepositoryPlan { repository_name: name.clone(), decided: Ok(Decided::default()) });
    let repositories = Ok(left.collect());
    let registry =
        RegistryPlan { place: place.clone(), index_pulls: IndexPulls::default(), repositories, missing: [].into() };
    let gone = [0, 1, 500, 999].map(|number| gone(&place, &names[number], 1));
    assert_eq!(plan.warnings(&Plan { registries: vec![registry] }), gone);
}

#[test]
fn followers_of_skipped_images_are_skipped_over_any_number_of_steps_and_in_any_order() {
    // 4 is an artifact of 3, which is a child image of 2, which is a child image of 1. Image 1 was not reviewed.
    let images = [stale(4, &[], &[3]), stale(3, &[], &[2]), stale(1, &["index"], &[]), stale(2, &[], &[1])];
    let known = reviewed(&[images[0].clone(), images[1].clone(), images[3].clone()]);
    let skipped = || ImageResult::Skipped(SkipReason::OwnerKept);
    let not_reviewed = ImageResult::Skipped(SkipReason::NotReviewed);
    assert_eq!(results(images.to_vec(), Some(&known)), [skipped(), skipped(), not_reviewed, skipped()]);
    // A circle of followers ends, too.
    let circle = vec![stale(1, &[], &[2]), stale(2, &[], &[1]), stale(3, &[], &[2])];
    let known = reviewed(&circle[1..]);
    let not_reviewed = ImageResult::Skipped(SkipReason::NotReviewed);
    assert_eq!(results(circle, Some(&known)), [not_reviewed, skipped(), skipped()]);
}
