//! What is told of one image is what was decided on it.

use super::*;

/// Explains the image at a place of a repository in which index 9 names 1 and 2, and 7 is about 9.
fn explained(place: usize, rules: &Rules, used: &[u8], manifests: &Manifests) -> Explanation {
    let images = images();
    let mut usage = UsageSnapshot::default();
    let holder = Arc::new(Holder { kind: HolderKind::new(0, "ECS task"), name: "task".into() });
    for number in used {
        usage.add(Some("mirror.example.com/app"), Some(&digest(*number).to_string()), &holder);
    }
    let usage = usage.of_repository(&"123456789012".parse().unwrap(), &RepositoryName::from_ecr("app"));
    let (takes, now) = (rules.takes(), days_ago(0.0));
    let known = Known { images: &images, manifests, usage: &usage, replicated: None, takes, now };
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
fn an_index_is_told_with_what_it_names_and_what_is_about_it() {
    let index = explained(2, &no_rules(), &[], &children());
    assert_eq!(numbers(&index.children), [(1, Fate::IsDeleted), (2, Fate::IsDeleted)]);
    assert_eq!(numbers(&index.referrers), [(7, Fate::IsDeleted)]);
    assert_eq!((index.rank, index.relations), (Some(Rank { place: 1, of: 3 }), Relations::Known));
    assert_eq!(index.sentence(), "It is stale: no tagged image is kept for its age.");
    let child = explained(0, &no_rules(), &[], &children());
    assert_eq!((numbers(&child.parents), child.rank), (vec![(9, Fate::IsDeleted)], None));
    let about = explained(3, &no_rules(), &[], &children());
    assert_eq!(numbers(&about.subjects), [(9, Fate::IsDeleted)]);
}

#[test]
fn every_reason_that_keeps_an_image_is_told_and_what_would_take_it() {
    let rules = Rules { images_to_keep: 1, keep_tags: vec![Pattern::for_tags("keep-*").unwrap()], ..no_rules() };
    let kept = explained(4, &rules, &[5], &children());
    assert_eq!(
        kept.sentence(),
        "It stays, because a workload uses it; its tag keep-me matches keepTags; otherwise it would go: not the newest tagged image."
    );
    let Outlook::Stays { because, .. } = &kept.outlook else { panic!("{:?}", kept.outlook) };
    let reasons: Vec<KeepReason> = because.iter().map(|(reason, _)| *reason).collect();
    assert_eq!(reasons, [KeepReason::InUse, KeepReason::KeepTags]);
    let newest = explained(2, &rules, &[], &children());
    assert_eq!(newest.sentence(), "It stays, because it is among the 1 newest tagged images (imagesToKeep).");
    let index = explained(2, &no_rules(), &[2], &children());
    assert!(index.sentence().starts_with("It stays, because a workload uses an image that it names; otherwise"));
    let sibling = explained(0, &no_rules(), &[2], &children());
    assert!(sibling.sentence().contains("an index that stays names it"), "{}", sibling.sentence());
}

#[test]
fn what_was_not_read_is_told_as_such() {
    let assumed = explained(2, &no_rules(), &[], &Manifests::childless(&images()));
    assert_eq!((assumed.relations, assumed.children.len()), (Relations::NotNeeded, 0));
    let unread = explained(5, &no_rules(), &[], &Manifests::default());
    assert_eq!(unread.relations, Relations::Unreadable);
    assert!(unread.sentence().contains("can't be read"), "{}", unread.sentence());
}

#[test]
fn the_place_of_an_image_is_that_by_which_the_newest_are_kept() {
    for images_to_keep in 0..4 {
        let rules = Rules { images_to_keep, ..no_rules() };
        for place in [2, 4, 5] {
            let explanation = explained(place, &rules, &[], &children());
            let is_newest = explanation.rank.unwrap().place <= images_to_keep as usize;
            assert_eq!(matches!(explanation.outlook, Outlook::Stays { .. }), is_newest, "{place} of {images_to_keep}");
        }
    }
}
