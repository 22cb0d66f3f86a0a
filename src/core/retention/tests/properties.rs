//! Properties of every repository, tested with random graphs, ages, tags and usage.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::image::Archival;
use crate::seeded;

/// A random repository. Images are identified by their numbers. Child images and subjects always have a smaller number than
/// their parents and referrers, since digests can't form circles.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) images: Vec<Image>,
    children: Vec<(u8, Vec<u8>)>,
    /// The indexes whose manifests could not be read.
    unread: BTreeSet<u8>,
    used_digests: BTreeSet<u8>,
    used_tags: BTreeSet<u8>,
    pub(super) rules: Rules,
    /// The policy that replaces number and age.
    policy: Option<Policy>,
}

/// Policies that expire and archive, by number and by age.
const POLICIES: [&str; 4] = [
    r#"{"rules":[{"rulePriority":1,"selection":{"tagStatus":"any","countType":"imageCountMoreThan","countNumber":2},"action":{"type":"expire"}}]}"#,
    r#"{"rules":[{"rulePriority":1,"selection":{"tagStatus":"tagged","tagPatternList":["v1*"],"countType":"imageCountMoreThan","countNumber":1},"action":{"type":"expire"}},
        {"rulePriority":2,"selection":{"tagStatus":"untagged","countType":"imageCountMoreThan","countNumber":0},"action":{"type":"expire"}},
        {"rulePriority":3,"selection":{"tagStatus":"any","countType":"sinceImagePushed","countUnit":"days","countNumber":20},"action":{"type":"transition","targetStorageClass":"archive"}}]}"#,
    r#"{"rules":[{"rulePriority":1,"selection":{"tagStatus":"any","countType":"sinceImagePulled","countUnit":"days","countNumber":10},"action":{"type":"expire"}}]}"#,
    r#"{"rules":[{"rulePriority":1,"selection":{"tagStatus":"tagged","tagPrefixList":["release"],"countType":"sinceImagePulled","countUnit":"days","countNumber":10},"action":{"type":"transition","targetStorageClass":"archive"}},
        {"rulePriority":2,"selection":{"tagStatus":"any","countType":"imageCountMoreThan","countNumber":1},"action":{"type":"expire"}},
        {"rulePriority":3,"selection":{"tagStatus":"any","storageClass":"archive","countType":"sinceImageTransitioned","countUnit":"days","countNumber":90},"action":{"type":"expire"}}]}"#,
];

const TAGS: [&str; 4] = ["latest", "v1", "release-2", "pr-3"];

prop_compose! {
    fn an_image()(
        kind in prop_oneof![3 => Just(None), 2 => prop::collection::vec(any::<Index>(), 0..4).prop_map(Some)],
        tags in prop::collection::btree_set(0..4_u8, 0..3),
        is_tagged in any::<bool>(),
        cosign in prop::option::weighted(0.15, any::<Index>()),
        subject in prop::option::weighted(0.2, any::<Index>()),
        age in prop_oneof![9 => (0..60_u8).prop_map(Some), 1 => Just(None)],
        pulled in prop::option::weighted(0.3, 0..60_u8),
        active in prop::bool::weighted(0.9),
        told in prop::bool::weighted(0.9),
    ) -> (Option<Vec<Index>>, Vec<u8>, Option<Index>, Option<Index>, Option<u8>, Option<u8>, bool, bool) {
        let tags = if is_tagged { tags.into_iter().collect() } else { Vec::new() };
        (kind, tags, cosign, subject, age, pulled, active, told)
    }
}

prop_compose! {
    pub(super) fn a_world()(
        images in prop::collection::vec(an_image(), 1..14),
        unread in prop::collection::btree_set(1..14_u8, 0..2),
        are_unread in prop::bool::weighted(0.3),
        used_digests in prop::collection::btree_set(1..14_u8, 0..3),
        used_tags in prop::collection::btree_set(0..56_u8, 0..2),
        images_to_keep in 0..3_u32,
        days in (0..40_u32, 0..40_u32, 0..20_u32),
        keep_latest in any::<bool>(),
        policy in prop::option::weighted(0.5, 0..POLICIES.len()),
    ) -> World {
        let mut children = Vec::new();
        let images = (1..).zip(images).map(|(number, (kind, tags, cosign, subject, age, pulled, active, told))| {
            // One of the images before it.
            let before = |index: &Index| u8::try_from(index.index(usize::from(number) - 1) + 1).unwrap();
            let has_any_before = number > 1;
            let is_index = kind.is_some();
            if let Some(named) = &kind {
                children.push((number, if has_any_before { named.iter().map(before).collect() } else { Vec::new() }));
            }
            let mut all_tags: Vec<String> = tags.iter().map(|tag| format!("{}-{number}", TAGS[usize::from(*tag)])).collect();
            if tags.contains(&0) {
                all_tags.push("latest".to_owned());
            }
            all_tags.extend(cosign.filter(|_| has_any_before).map(|subject| {
                digest(before(&subject)).to_string().replace(':', "-") + ".sig"
            }));
            let mut image = image(number, &all_tags.iter().map(String::as_str).collect::<Vec<_>>(), f64::from(age.unwrap_or(0)));
            if age.is_none() {
                image.image_pushed_at = None;
            }
            image.last_recorded_pull_time = pulled.map(|days| days_ago(f64::from(days)));
            if !active {
                image.image_status = ImageStatus::Archived;
                image.archival = Some(Box::new(Archival { last_archived_at: Some(days_ago(f64::from(number) * 20.0)), last_activated_at: None }));
            }
            image.subject = subject.filter(|_| has_any_before).map_or(Subject::None, |subject| Subject::Image(digest(before(&subject))));
            image.manifest = match (is_index, told) {
                (_, false) if is_index => ManifestKind::Unknown,
                (true, _) => ManifestKind::Index,
                (false, _) => ManifestKind::Manifest,
            };
            image
        }).collect();
        let mut images: Vec<Image> = images;
        // An index is pushed after its child images.
        for (index, named) in children.iter().rev() {
            let pushed_at = images[usize::from(*index) - 1].image_pushed_at;
            for child in named {
                let child = &mut images[usize::from(*child) - 1];
                child.image_pushed_at = child.image_pushed_at.min(pushed_at.or(child.image_pushed_at));
            }
        }
        let (untagged, pulled, pushed) = days;
        World {
            images,
            children,
            unread: if are_unread { unread } else { BTreeSet::new() },
            used_digests,
            used_tags,
            rules: Rules {
                images_to_keep,
                keep_before_in_use: pushed % 3,
                ignore_tags_regex: None,
                keep_tags: if keep_latest { vec![Pattern::for_tags("latest").unwrap()] } else { Vec::new() },
                untagged_older_than_days: (untagged < 35).then_some(untagged),
                keep_pulled_within_days: pulled,
                keep_pushed_within_days: if pushed > 15 { pushed } else { 0 },
            },
            policy: policy.map(|number| Policy::of_repository(POLICIES[number]).unwrap()),
        }
    }
}

impl World {
    pub(super) fn with<T>(&self, compute: impl FnOnce(&Known<'_>) -> T) -> T {
        let mut usage = UsageSnapshot::default();
        let holder = Arc::new(Holder { kind: HolderKind::new(0, "ECS task"), name: "task".into() });
        let app = "123456789012.dkr.ecr.us-west-2.amazonaws.com/app";
        for number in &self.used_digests {
            usage.add(Some(&format!("{app}@{}", digest(*number))), None, &holder);
        }
        for tag in &self.used_tags {
            usage.add(Some(&format!("{app}:{}-{}", TAGS[usize::from(tag % 4)], tag / 4 + 1)), None, &holder);
        }
        let usage = usage.of_repository(&"123456789012".parse().unwrap(), &RepositoryName::from_ecr("app"));
        let read = self.children.iter().filter(|(index, _)| !self.unread.contains(index));
        let manifests = Manifests::naming(
            read.map(|(index, children)| (digest(*index), children.iter().map(|child| digest(*child)).collect())),
        );
        let images = self.images.as_slice();
        let takes = self.policy.as_ref().map_or(self.rules.takes(), Takes::Policy);
        let now = days_ago(0.0);
        compute(&Known { images, manifests: &manifests, usage: &usage, seen: None, replicated: None, takes, now })
    }

    /// The images to delete, and the images to archive.
    fn gone_and_archived(&self) -> (BTreeSet<u8>, BTreeSet<u8>) {
        let decisions = self.with(|known| decide(known, &self.rules.kept()));
        let those = |is: fn(&Decision) -> bool| {
            let decided = self.images.iter().zip(decisions.each());
            decided.filter(|(_, decision)| is(decision)).map(|(image, _)| number(image)).collect()
        };
        let archived = those(|decision| matches!(decision, Decision::Archive(_)));
        (those(|decision| matches!(decision, Decision::Delete(_))), archived)
    }

    fn stale(&self) -> BTreeSet<u8> {
        let (gone, archived) = self.gone_and_archived();
        &gone | &archived
    }

    fn used(&self) -> BTreeSet<u8> {
        self.with(|known| {
            let used = |image: &&Image| known.usage.holder(image.image_digest, &image.image_tags).is_some();
            self.images.iter().filter(used).map(number).collect()
        })
    }

    /// Each index with each of its child images.
    fn named(&self) -> Vec<(u8, u8)> {
        self.children.iter().flat_map(|(index, children)| children.iter().map(|child| (*index, *child))).collect()
    }

    /// Each image with each of its child images, and with each of its referrers by manifest or tag.
    fn belongings(&self) -> Vec<(u8, u8)> {
        let is_about = |one: &Image, subject: u8| {
            let tag = digest(subject).to_string().replace(':', "-");
            one.subject == Subject::Image(digest(subject)) || one.image_tags.iter().any(|it| it.contains(&tag))
        };
        let numbers = || self.images.iter().map(number);
        let about = self
            .images
            .iter()
            .flat_map(|one| numbers().filter(|subject| is_about(one, *subject)).map(|subject| (subject, number(one))));
        self.named().into_iter().chain(about).collect()
    }

    /// All images that a use keeps, by following edges until no image is added: from a child image to its parent, from an
    /// index to its child images, from a subject to its referrers. Written from the contract, not from the code.
    fn reachable_from_a_use(&self) -> BTreeSet<u8> {
        let (named, belongings) = (self.named(), self.belongings());
        let mut needed = self.used();
        while let Some((index, _)) =
            named.iter().find(|(index, child)| needed.contains(child) && !needed.contains(index))
        {
            needed.insert(*index);
        }
        while let Some((_, follower)) =
            belongings.iter().find(|(holder, follower)| needed.contains(holder) && !needed.contains(follower))
        {
            needed.insert(*follower);
        }
        needed
    }
}

proptest! {
    #![proptest_config(seeded::config(2_000))]

    #[test]
    fn only_tags_limits_the_stale_images_to_those_with_a_tag_and_their_followers(world in a_world(), only in 0..TAGS.len()) {
        let only = Pattern::for_tags(&format!("{}*", TAGS[only])).unwrap();
        let rules = super::super::Rules { only_tags: Some(only.clone()), ..world.rules.kept() };
        let decisions = world.with(|known| decide(known, &rules));
        let decided = world.images.iter().zip(decisions.each());
        let goes = decided.filter(|(_, decision)| decision.fate() != Fate::Stays);
        let (narrowed, belongings) = (goes.map(|(image, _)| number(image)).collect::<BTreeSet<_>>(), world.belongings());
        prop_assert!(narrowed.is_subset(&world.stale()), "it adds no image");
        for image in world.images.iter().filter(|image| narrowed.contains(&number(image))) {
            let has_tag = image.image_tags.iter().any(|tag| only.matches(tag));
            let goes_along = belongings.iter().any(|(of, it)| *it == number(image) && narrowed.contains(of));
            prop_assert!(has_tag || goes_along, "{image:?}");
        }
    }

    #[test]
    fn nothing_reachable_from_a_use_is_deleted(world in a_world()) {
        let both: Vec<u8> = world.stale().intersection(&world.reachable_from_a_use()).copied().collect();
        prop_assert_eq!(both, Vec::<u8>::new());
    }

    #[test]
    fn no_kept_image_loses_a_child_image_or_referrer(world in a_world()) {
        let (gone, archived) = world.gone_and_archived();
        let stale = &gone | &archived;
        let belongings = world.belongings();
        for (holder, follower) in &belongings {
            prop_assert!(stale.contains(holder) || !stale.contains(follower), "{} and its {}", holder, follower);
            prop_assert!(gone.contains(holder) || !gone.contains(follower), "archived {} and its {}", holder, follower);
        }
    }

    #[test]
    fn a_pulled_child_keeps_the_indexes_above_it(world in a_world()) {
        let (stale, days) = (world.stale(), world.rules.keep_pulled_within_days);
        for (index, child) in world.named() {
            let child = &world.images[usize::from(child) - 1];
            let is_young = |pulled_at| days > 0 && pulled_at >= days_ago(f64::from(days));
            let is_read = !world.unread.contains(&index);
            let is_pulled = is_read && child.last_recorded_pull_time.is_some_and(is_young);
            prop_assert!(!is_pulled || !stale.contains(&index), "{}", index);
        }
    }

    #[test]
    fn the_order_of_the_images_changes_nothing(world in a_world(), seed in any::<u64>()) {
        let mut other = world.clone();
        other.images.sort_by_key(|image| (u64::from(number(image)).wrapping_mul(seed | 1)).rotate_left(17));
        let by_number = |world: &World| -> Vec<(u8, Decision)> {
            let decisions = world.with(|known| decide(known, &world.rules.kept()));
            let mut all: Vec<_> = world.images.iter().map(number).zip(decisions.each().iter().cloned()).collect();
            all.sort_by_key(|(number, _)| *number);
            all
        };
        prop_assert_eq!(by_number(&world), by_number(&other));
    }

    #[test]
    fn one_more_use_or_protection_deletes_no_other_image(world in a_world(), used in 1..14_u8, change in 0..7_u8) {
        let mut other = world.clone();
        let rules = &mut other.rules;
        match change {
            0 => _ = other.used_digests.insert(used),
            1 => _ = other.used_tags.insert(used * 4),
            2 => rules.keep_tags.push(Pattern::for_tags("v1*").unwrap()),
            3 => rules.ignore_tags_regex = Some(Regex::new("^release").unwrap()),
            4 => rules.keep_pushed_within_days = 60,
            5 => rules.images_to_keep += 1,
            // The manifest of an archived index can't be read.
            _ => other.unread.extend(other.images.iter().filter(|image| image.image_status == ImageStatus::Active).map(number).filter(|number| *number == used)),
        }
        let (before, after) = (world.stale(), other.stale());
        prop_assert!(after.is_subset(&before), "{:?} and then {:?}", before, after);
    }

    #[test]
    fn a_second_run_finds_no_stale_image(world in a_world()) {
        let (gone, archived) = world.gone_and_archived();
        let mut left = world.clone();
        left.images.retain(|image| !gone.contains(&number(image)));
        for image in left.images.iter_mut().filter(|image| archived.contains(&number(image))) {
            image.image_status = ImageStatus::Archived;
            let last_archived_at = Some(days_ago(0.0));
            image.archival = Some(Box::new(Archival { last_archived_at, last_activated_at: None }));
        }
        prop_assert_eq!(left.stale(), BTreeSet::new());
    }

    #[test]
    fn no_image_is_stale_if_manifests_are_not_needed(world in a_world()) {
        let needed = world.with(|known| needs_manifests(known, &world.rules.kept()));
        let has_index = !world.children.is_empty();
        prop_assert!(needed || !has_index || world.stale().is_empty());
    }
}
