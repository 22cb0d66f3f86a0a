//! The explanation of an image agrees with the decision on it.

use super::*;

/// Explains the image at a place of a repository in which 1 and 2 are child images of index 9, and 7 is a referrer of 9.
fn explained(place: usize, rules: &Rules, used: &[u8], manifests: &Manifests) -> Explanation {
    let images = images();
    let mut usage = UsageSnapshot::default();
    let holder = Arc::new(Holder { kind: HolderKind::new(0, "ECS task"), name: "task".into() });
    for number in used {
        usage.add(Some("mirror.example.com/app"), Some(&digest(*number).to_string()), &holder);
    }
    let usage = usage.of_repository(&"123456789012".parse().unwrap(), &RepositoryName::from_ecr("app"));
    let (takes, now) = (rules.takes(), days_ago(0.0));
    let known = Known { images: &images, manifests, usage: &usage, seen: None, replicated: None, takes, now };
    let decisions = decide(&known, &rules.kept());
    explain(&known, &rules.kept(), &decisions, place)
}

fn images() -> Vec<Image> {
    vec![
        image(1, &[], 40.0),
        image(2, &[], 40.0),
        Image { manifest: ManifestKind::Index, ..image(9, &["v9"], 40.0) },
        Image { subject: Subject::Image(digest(9)), ..image(7, &[], 40.0) },
        image(5, &["v5", "keep-me"], 50.0),
        image(4, &["v4"], 60.0),
    ]
}

fn children() -> Manifests {
    Manifests::naming([(digest(9), vec![digest(1), digest(2)])])
}

fn numbers(relatives: &[Relative]) -> Vec<(u8, Fate)> {
    let number = |relative: &Relative| u8::from_str_radix(&relative.image_digest.to_string()[69..], 16).unwrap();
    relatives.iter().map(|relative| (number(relative), relative.fate)).collect()
}

#[test]
fn an_index_is_explained_with_its_child_images_and_referrers() {
    let index = explained(2, &no_rules(), &[], &children());
    assert_eq!(numbers(&index.children), [(1, Fate::IsDeleted), (2, Fate::IsDeleted)]);
    assert_eq!(numbers(&index.referrers), [(7, Fate::IsDeleted)]);
    assert_eq!((index.rank, index.relations), (Some(Rank { place: 1, of: 3 }), Relations::Known));
    assert_eq!(index.sentence(), "It is stale: tagged, and imagesToKeep is 0.");
    let child = explained(0, &no_rules(), &[], &children());
    assert_eq!((numbers(&child.parents), child.rank), (vec![(9, Fate::IsDeleted)], None));
    let about = explained(3, &no_rules(), &[], &children());
    assert_eq!(numbers(&about.subjects), [(9, Fate::IsDeleted)]);
}

#[test]
fn an_image_kept_for_its_tags_would_be_stale_only_if_newer_images_filled_the_places() {
    let keep = |images_to_keep, pattern: &str| Rules {
        images_to_keep,
        keep_tags: vec![Pattern::for_tags(pattern).unwrap()],
        ..no_rules()
    };
    let kept = explained(2, &keep(1, "v9"), &[], &children());
    assert_eq!(kept.sentence(), "It is kept: its tag v9 matches keepTags.", "it is the newest of all");
    let kept = explained(4, &keep(2, "keep-*"), &[], &children());
    assert_eq!(kept.sentence(), "It is kept: its tag keep-me matches keepTags.", "it is the second");
    let kept = explained(4, &keep(1, "keep-*"), &[], &children());
    let sentence =
        "It is kept: its tag keep-me matches keepTags. Otherwise it would be stale: not the newest tagged image.";
    assert_eq!(kept.sentence(), sentence);
}

#[test]
fn every_reason_to_keep_an_image_is_explained_and_why_it_would_be_stale() {
    let rules = Rules { images_to_keep: 1, keep_tags: vec![Pattern::for_tags("keep-*").unwrap()], ..no_rules() };
    let kept = explained(4, &rules, &[5], &children());
    assert_eq!(
        kept.sentence(),
        "It is kept: a workload uses it; its tag keep-me matches keepTags. Otherwise it would be stale: not the newest tagged image."
    );
    let Outlook::Stays { because, .. } = &kept.outlook else { panic!("{:?}", kept.outlook) };
    let reasons: Vec<KeepReason> = because.iter().map(|(reason, _)| *reason).collect();
    assert_eq!(reasons, [KeepReason::InUse, KeepReason::KeepTags]);
    let newest = explained(2, &rules, &[], &children());
    assert_eq!(newest.sentence(), "It is kept: it is the newest tagged image (imagesToKeep).");
    let index = explained(2, &no_rules(), &[2], &children());
    assert!(index.sentence().starts_with("It is kept: a workload uses one of its child images. Otherwise"));
    let sibling = explained(0, &no_rules(), &[2], &children());
    assert!(sibling.sentence().contains("it is a child image of a kept index"), "{}", sibling.sentence());
}

#[test]
fn unread_manifests_are_explained() {
    let assumed = explained(2, &no_rules(), &[], &Manifests::childless(&images()));
    assert_eq!((assumed.relations, assumed.children.len()), (Relations::NotNeeded, 0));
    let unread = explained(5, &no_rules(), &[], &Manifests::default());
    assert_eq!(unread.relations, Relations::Unreadable);
    assert!(unread.sentence().contains("an unreadable index"), "{}", unread.sentence());
}

#[test]
fn the_rank_of_an_image_agrees_with_the_newest_that_are_kept() {
    for images_to_keep in 0..4 {
        let rules = Rules { images_to_keep, ..no_rules() };
        for place in [2, 4, 5] {
            let explanation = explained(place, &rules, &[], &children());
            let is_newest = explanation.rank.unwrap().place <= images_to_keep as usize;
            assert_eq!(matches!(explanation.outlook, Outlook::Stays { .. }), is_newest, "{place} of {images_to_keep}");
        }
    }
}
