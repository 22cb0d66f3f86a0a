//! Memory keeps images that were in use earlier, and makes no image stale.

use chrono::{NaiveDate, TimeDelta};
use proptest::prelude::*;

use super::properties::{World, a_world};
use super::*;
use crate::memory::{Observed, Seen};
use crate::seeded;

fn app() -> RepositoryName {
    RepositoryName::from_ecr("app")
}

fn day(days_ago: u32) -> NaiveDate {
    super::days_ago(f64::from(days_ago)).date_naive()
}

/// A memory in which each of these images was in use N days ago.
fn seen(used: &[(u8, u32)]) -> Seen {
    let mut seen = Seen::default();
    for (number, days_ago) in used {
        let used = vec![(digest(*number), Arc::from("ECS task arn"))];
        seen.observe(&app(), Observed { used, ..Observed::default() }, day(*days_ago));
    }
    seen
}

fn decided(images: &[Image], manifests: &Manifests, seen: &Seen, keep_used_within_days: u32) -> Decisions {
    let (rules, seen) = (no_rules(), seen.of_repository(&app()));
    let (takes, now) = (rules.takes(), days_ago(0.0));
    let known = Known { images, manifests, usage: &RepositoryUsage::NONE, seen, replicated: None, takes, now };
    decide(&known, &super::super::Rules { keep_used_within_days, ..rules.kept() })
}

#[test]
fn an_image_stays_for_as_many_days_after_its_last_use() {
    let images = [image(1, &[], 60.0), image(2, &["v2"], 60.0)];
    for (used_days_ago, keep, stays) in
        [(0, 30, true), (1, 30, true), (30, 30, true), (31, 30, false), (1, 0, false), (0, 0, false)]
    {
        let seen = seen(&[(1, used_days_ago)]);
        let decisions = decided(&images, &Manifests::default(), &seen, keep);
        let fates = decisions.each().iter().map(Decision::fate).collect::<Vec<_>>();
        let expected = if stays { Fate::Stays } else { Fate::IsDeleted };
        assert_eq!(fates, [expected, Fate::IsDeleted], "used {used_days_ago} days ago, kept {keep} days");
    }
    // A clock that was ahead wrote a day in the future.
    let mut ahead = Seen::default();
    let used = vec![(digest(1), Arc::from("ECS task arn"))];
    ahead.observe(&app(), Observed { used, ..Observed::default() }, day(0) + TimeDelta::days(3));
    assert_eq!(decided(&images, &Manifests::default(), &ahead, 30).each()[0].fate(), Fate::Stays);
}

#[test]
fn an_index_stays_with_the_child_that_was_in_use() {
    let images =
        [image(1, &[], 60.0), image(2, &[], 60.0), Image { manifest: ManifestKind::Index, ..image(9, &["v9"], 60.0) }];
    let manifests = Manifests::naming([(digest(9), vec![digest(1), digest(2)])]);
    let decisions = decided(&images, &manifests, &seen(&[(1, 5)]), 30);
    assert!(!decisions.any_is_stale(), "{decisions:?}");
    let Decision::Keep { reasons, .. } = &decisions.each()[2] else { panic!("{decisions:?}") };
    assert_eq!(reasons.first(), KeepReason::UsedRecently);
}

#[test]
fn the_last_use_is_told_with_its_day_and_workload() {
    let images = [image(1, &["v1"], 60.0)];
    let (rules, seen) = (no_rules(), seen(&[(1, 12)]));
    let (takes, now, manifests) = (rules.takes(), days_ago(0.0), Manifests::default());
    let (usage, seen) = (&RepositoryUsage::NONE, seen.of_repository(&app()));
    let known = Known { images: &images, manifests: &manifests, usage, seen, replicated: None, takes, now };
    let explanation = explain(&known, &rules.kept(), &decide(&known, &rules.kept()), 0);
    assert_eq!(
        explanation.sentence(),
        "It is kept: it was last used 12 days ago by ECS task arn (keepUsedWithinDays). Otherwise it would be stale: tagged, and imagesToKeep is 0."
    );
    assert_eq!(explanation.last_use.map(|last_use| last_use.day), Some(day(12)));
}

#[test]
fn what_only_a_workload_holds_is_told_so_although_memory_holds_it_too() {
    let images = [image(1, &["v1"], 60.0)];
    let mut usage = UsageSnapshot::default();
    let holder = Arc::new(Holder { kind: HolderKind::new(0, "ECS task"), name: "task".into() });
    usage.add(Some("mirror.example.com/app"), Some(&digest(1).to_string()), &holder);
    let usage = usage.of_repository(&"123456789012".parse().unwrap(), &app());
    let (rules, seen, manifests) = (no_rules(), seen(&[(1, 1)]), Manifests::default());
    let (takes, now, seen) = (rules.takes(), days_ago(0.0), seen.of_repository(&app()));
    let known = Known { images: &images, manifests: &manifests, usage: &usage, seen, replicated: None, takes, now };
    assert_eq!(kept_by_use_alone(&known, &rules.kept()), [digest(1)].into());
}

proptest! {
    #![proptest_config(seeded::config(512))]

    #[test]
    fn memory_keeps_what_was_in_use_and_takes_nothing(
        world in a_world(),
        used in prop::collection::vec((1..14_u8, 0..60_u32), 0..5),
        keep in 0..40_u32,
    ) {
        let seen = seen(&used);
        let fates = |world: &World, seen: Option<&Seen>| world.with(|known| {
            let seen = seen.and_then(|seen| seen.of_repository(&app()));
            let rules = super::super::Rules { keep_used_within_days: keep, ..world.rules.kept() };
            decide(&Known { seen, ..*known }, &rules).each().iter().map(Decision::fate).collect::<Vec<_>>()
        });
        let (without, with) = (fates(&world, None), fates(&world, Some(&seen)));
        for (place, (without, with)) in without.iter().zip(&with).enumerate() {
            let image = &world.images[place];
            prop_assert!(*with == Fate::Stays || with == without, "{}: {without:?}, with memory {with:?}", number(image));
            let last = used.iter().filter(|(it, _)| *it == number(image)).map(|(_, days)| *days).min();
            if keep > 0 && last.is_some_and(|days| days <= keep) {
                prop_assert_eq!(*with, Fate::Stays, "{} was in use {:?} days ago", number(image), last);
            }
        }
    }
}
