//! Images from outside of this project: every manifest of a repository that real tools pushed to a real registry.

use std::collections::BTreeSet;
use std::path::Path;

use ecr_cleanup_core::report::Outcome;
use serde_json::{Value, json};
use simulated_aws::{Image, Repository, SimulatedAws};

use crate::support::{merciless, run_on, set, with};

/// The images as the registry returned them.
pub fn images() -> Vec<Value> {
    serde_json::from_str(&read("images.json")).unwrap()
}

/// The text of one of the files.
pub fn read(file: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real_manifests").join(file)).unwrap()
}

/// Pushes all of them, each this number of days ago.
pub fn push_all(repository: &Repository) {
    for image in images() {
        let media_type = image["mediaType"].as_str().unwrap().to_owned().leak();
        let tags = image["tags"].as_array().unwrap().iter().map(|tag| tag.as_str().unwrap());
        let pushed = tags.fold(Image::of_manifest(media_type, &read(image["file"].as_str().unwrap())), Image::and_tag);
        assert_eq!(pushed.digest(), image["digest"], "the digest is the registry's");
        assert_eq!(repository.push(pushed.days_old(20.0)), image["digest"].as_str().unwrap());
    }
}

/// The names of the remaining images.
fn left_in(repository: &Repository) -> BTreeSet<String> {
    let digests = repository.digests();
    let images = images().into_iter().filter(|image| digests.contains(image["digest"].as_str().unwrap()));
    images.map(|image| image["name"].as_str().unwrap().to_owned()).collect()
}

/// The digest of the image of this name.
pub fn digest_of(name: &str) -> String {
    images().iter().find(|image| image["name"] == name).unwrap()["digest"].as_str().unwrap().to_owned()
}

const MULTI: [&str; 12] = [
    "multi",
    "multi-amd64",
    "multi-arm64",
    "multi-sig",
    "multi-sbom",
    "multi-amd64-att",
    "multi-referrers",
    "artifact-signature",
    "artifact-sbom",
    "multi-amd64-referrers",
    "artifact-amd64",
    // The index that oras replaced and left untagged. It lists the signature that its successor lists too.
    "multi-referrers-superseded",
];
const DOCKER: [&str; 6] = [
    "docker-multi",
    "docker-multi-amd64",
    "docker-multi-arm64",
    "docker-multi-sig",
    "docker-multi-amd64-sig",
    "docker-multi-arm64-sig",
];
const BUILDKIT: [&str; 7] = [
    "buildkit",
    "buildkit-amd64",
    "buildkit-arm64",
    "buildkit-attestation-amd64",
    "buildkit-attestation-arm64",
    "buildkit-sig",
    "buildkit-referrers",
];

#[tokio::test(start_paused = true)]
async fn each_family_stays_or_goes_whole() {
    for (used, family) in [
        ("multi-arm64", &MULTI[..11]),
        ("docker-multi-amd64", &DOCKER[..]),
        ("buildkit-amd64", &BUILDKIT[..]),
        ("docker-multi", &DOCKER[..]),
    ] {
        let aws = SimulatedAws::in_memory();
        let sample = aws.repository("sample");
        push_all(&sample);
        aws.cluster("prod").runs(&sample.uri_by_digest(&digest_of(used)));
        let report = run_on(&aws, merciless(false)).await;
        assert_eq!(report.outcome, Outcome::Completed);
        assert_eq!(report.totals.images_skipped + report.totals.images_failed, 0);
        assert_eq!(left_in(&sample), set(family.iter().copied()), "{used}");
        assert_eq!(run_on(&aws, merciless(true)).await.totals.images_stale, 0, "nothing is left to do");
    }
}

#[tokio::test(start_paused = true)]
async fn none_of_what_hangs_on_an_image_takes_its_place() {
    let aws = SimulatedAws::in_memory();
    let sample = aws.repository("sample");
    push_all(&sample);
    aws.cluster("prod").runs("nginx");
    // Three of these images are releases. The other tags belong to their attached artifacts.
    let keeps = |count: u32| with(merciless(true), &json!({ "imagesToKeep": count, "untaggedOlderThanDays": null }));
    assert_eq!(run_on(&aws, keeps(3)).await.totals.images_stale, 0);
    let report = run_on(&aws, keeps(0)).await;
    let stale = crate::support::stale_digests(&report);
    let kept = images().into_iter().filter(|image| !stale.contains(image["digest"].as_str().unwrap()));
    let kept: BTreeSet<String> = kept.map(|image| image["name"].as_str().unwrap().to_owned()).collect();
    assert_eq!(kept, set(["multi-referrers-superseded", "artifact-signature"]), "which is untagged, and what it names");
    assert!(report.warnings.iter().all(|warning| !warning.to_string().contains("can't read")), "all could be read");
}
