//! Laws of merging and of reading back.

use std::sync::Arc;

use chrono::{DateTime, Days, NaiveDate, Utc};
use proptest::prelude::*;

use super::*;
use crate::image::{ImageDigest, RepositoryName};
use crate::seeded;
use crate::usage::{Fact, FactImage};

fn digest(number: u8) -> ImageDigest {
    let mut bytes = [0; 32];
    bytes[31] = number;
    ImageDigest::from_sha256(bytes)
}

fn day(number: u64) -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 1, 1).unwrap() + Days::new(number)
}

fn time(number: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_780_000_000 + number * 3_600, 0).unwrap()
}

fn app() -> RepositoryName {
    RepositoryName::from_ecr("app")
}

fn used(images: &[(u8, &str)]) -> Observed {
    Observed {
        used: images.iter().map(|(image, by)| (digest(*image), Arc::from(*by))).collect(),
        ..Observed::default()
    }
}

prop_compose! {
    fn some_seen()(runs in prop::collection::vec(
        (0..3_u8, 0..200_u64, prop::collection::vec((0..4_u8, 0..3_u8), 0..4), prop::collection::vec(0..4_u8, 0..3)), 0..5,
    )) -> Seen {
        let mut seen = Seen::default();
        for (repository, at, used, stale) in runs {
            let used = used.into_iter().map(|(image, by)| (digest(image), Arc::from(format!("task {by}")))).collect();
            let name = RepositoryName::from_ecr(&format!("app-{repository}"));
            let stale: Vec<_> = stale.into_iter().map(digest).collect();
            let since = |image| (image, seen.of_repository(&name).and_then(|known| known.stale_since(image)));
            let stale = stale.into_iter().map(since).collect();
            seen.observe(&name, Observed { used, there: Vec::new(), stale }, day(at));
        }
        seen
    }
}

prop_compose! {
    fn some_facts()(facts in prop::collection::vec((0..5_u8, 0..2_u8, 0..200_u64), 0..6)) -> Facts {
        let mut known = Facts::default();
        for (number, text, at) in facts {
            known.note(&format!("arn:{number}"), &Fact::named([format!("image-{text}")]), day(at));
        }
        known
    }
}

prop_compose! {
    fn some_indexes()(read in prop::collection::vec((0..4_u8, prop::option::of(0..200_i64), 0..200_u64), 0..6)) -> Indexes {
        let mut known = Indexes::default();
        for (number, at, there) in read {
            let own_reading = at.map(|at| OwnReading { at: time(at), pulled_before: (at % 2 == 0).then(|| time(0)) });
            let index = KnownIndex { children: [digest(number + 10)].into(), own_reading, last_there: day(there) };
            known.learn(&app(), digest(number), index);
        }
        known
    }
}

fn merged<T: Clone>(merge: fn(&mut T, T), first: &T, second: &T) -> T {
    let mut merged = first.clone();
    merge(&mut merged, second.clone());
    merged
}

fn holds<T: Clone + PartialEq + std::fmt::Debug>(merge: fn(&mut T, T), a: &T, b: &T, c: &T) {
    assert_eq!(merged(merge, a, a), *a, "idempotent");
    assert_eq!(merged(merge, a, b), merged(merge, b, a), "commutative");
    assert_eq!(merged(merge, &merged(merge, a, b), c), merged(merge, a, &merged(merge, b, c)), "associative");
}

proptest! {
    #![proptest_config(seeded::config(256))]

    #[test]
    fn runs_may_write_in_any_order(
        seen in (some_seen(), some_seen(), some_seen()),
        facts in (some_facts(), some_facts(), some_facts()),
        indexes in (some_indexes(), some_indexes(), some_indexes()),
    ) {
        holds(Seen::merge, &seen.0, &seen.1, &seen.2);
        holds(Facts::merge, &facts.0, &facts.1, &facts.2);
        holds(Indexes::merge, &indexes.0, &indexes.1, &indexes.2);
    }

    #[test]
    fn what_is_written_is_read_back(seen in some_seen(), facts in some_facts(), indexes in some_indexes()) {
        let kind = Kind::Facts(FactKind::TaskDefinitions);
        prop_assert_eq!(read::<Seen>(Kind::Seen, &write(Kind::Seen, &seen).unwrap()).unwrap().content, seen);
        prop_assert_eq!(read::<Facts>(kind, &write(kind, &facts).unwrap()).unwrap().content, facts);
        prop_assert_eq!(read::<Indexes>(Kind::Indexes, &write(Kind::Indexes, &indexes).unwrap()).unwrap().content, indexes);
    }

    #[test]
    fn no_use_is_lost_by_merging(ours in some_seen(), theirs in some_seen(), image in 0..4_u8, repository in 0..3_u8) {
        let name = RepositoryName::from_ecr(&format!("app-{repository}"));
        let last = |seen: &Seen| seen.of_repository(&name).and_then(|known| known.last_use(digest(image)));
        let both = merged(Seen::merge, &ours, &theirs);
        prop_assert_eq!(last(&both), last(&ours).max(last(&theirs)));
    }
}

#[test]
fn the_last_use_is_the_latest_day_and_who_it_was() {
    let mut seen = Seen::default();
    seen.observe(&app(), used(&[(1, "task a")]), day(10));
    seen.observe(&app(), used(&[(1, "task b")]), day(12));
    // A clock that was set back.
    seen.observe(&app(), used(&[(1, "task c")]), day(11));
    let known = seen.of_repository(&app()).unwrap();
    assert_eq!(known.last_use(digest(1)), Some(LastUse { day: day(12), by: "task b".into() }));
    assert_eq!(seen.since(), Some(day(10)));
    for (days, today, was_used) in [(30, 42, true), (30, 43, false), (0, 12, true), (0, 13, false), (0, 5, true)] {
        assert_eq!(known.was_used_within(digest(1), days, day(today)), was_used, "{days} days, on day {today}");
    }
    assert_eq!(known.last_use(digest(2)), None);
}

#[test]
fn the_first_day_as_stale_is_kept_until_an_image_is_not_stale() {
    let mut seen = Seen::default();
    let stale_since = |seen: &Seen| seen.of_repository(&app()).and_then(|known| known.stale_since(digest(1)));
    for (at, is_stale, since) in [(1, true, Some(1)), (2, true, Some(1)), (3, false, None), (4, true, Some(4))] {
        let stale = if is_stale { vec![(digest(1), stale_since(&seen))] } else { Vec::new() };
        seen.observe(&app(), Observed { stale, ..Observed::default() }, day(at));
        assert_eq!(stale_since(&seen), since.map(day), "day {at}");
    }
}

#[test]
fn what_is_gone_for_90_days_is_dropped_and_nothing_before() {
    let mut seen = Seen::default();
    seen.observe(&app(), used(&[(1, "task"), (2, "task")]), day(0));
    let last = |seen: &Seen, image| seen.of_repository(&app()).and_then(|known| known.last_use(digest(image)));
    let there = || Observed { there: vec![digest(1)], ..Observed::default() };
    seen.observe(&app(), there(), day(90));
    assert!(last(&seen, 1).is_some() && last(&seen, 2).is_some());
    seen.observe(&app(), there(), day(91));
    assert!(
        last(&seen, 1).is_some() && last(&seen, 2).is_none(),
        "the image that exists is kept in memory, however long ago it was in use"
    );

    seen.forget_repositories(|_| true, day(500));
    assert!(last(&seen, 1).is_some(), "a repository that was not read");
    seen.forget_repositories(|_| false, day(181));
    assert!(last(&seen, 1).is_some());
    seen.forget_repositories(|_| false, day(182));
    assert_eq!((last(&seen, 1), seen.of_repository(&app())), (None, None));

    let mut facts = Facts::default();
    let fact = Fact::named(["nginx".to_owned()]);
    assert!(facts.note("arn", &fact, day(0)), "it is new");
    assert!(!facts.note("arn", &fact, day(6)) && facts.note("arn", &fact, day(7)), "once a week is enough");
    assert!(!facts.forget(day(97)) && facts.forget(day(98)) && facts.is_empty());
}

#[test]
fn an_index_is_known_as_long_as_it_is_there() {
    let known = KnownIndex { children: [digest(1)].into(), own_reading: None, last_there: day(0) };
    let mut indexes = Indexes::default();
    indexes.learn(&app(), digest(9), known);
    assert!(!indexes.observe(&app(), |_| true, day(6)), "nothing new");
    assert!(indexes.observe(&app(), |_| true, day(7)));
    assert!(!indexes.observe(&app(), |_| false, day(97)));
    assert!(indexes.get(&app(), digest(9)).is_some());
    assert!(indexes.observe(&app(), |_| false, day(98)));
    assert_eq!(indexes, Indexes::default());
}

#[test]
fn a_pull_within_a_day_of_our_reading_is_ours_and_a_later_one_is_not() {
    let reading = OwnReading { at: time(100), pulled_before: Some(time(3)) };
    for (recorded, is_ours) in
        [(None, false), (Some(99), false), (Some(100), true), (Some(124), true), (Some(125), false)]
    {
        assert_eq!(reading.explains(recorded.map(time)), is_ours, "{recorded:?}");
    }
}

#[test]
fn a_fact_is_kept_where_its_key_can_not_name_another() {
    for (key, kind) in [
        ("arn:aws:ecs:us-west-2:123456789012:task-definition/app:3", Some(FactKind::TaskDefinitions)),
        ("arn:aws-cn:ecs:cn-north-1:123456789012:service-revision/prod/web/1", Some(FactKind::ServiceRevisions)),
        ("arn:aws:lambda:us-west-2:123456789012:function:resize:7@sha256:00@1-2", Some(FactKind::FunctionVersions)),
        ("arn:aws:lambda:us-west-2:123456789012:function:resize:7@sha256:00", None),
        ("arn:aws:lambda:us-west-2:123456789012:function:resize:7", None),
        ("arn:aws:ecs:us-west-2:123456789012:daemon-task-definition/app:3", None),
        ("", None),
    ] {
        assert_eq!(FactKind::of(key), kind, "{key}");
    }
}

#[test]
fn each_kind_and_place_has_a_key_of_its_own() {
    let place = Place::new("123456789012".parse().unwrap(), "us-west-2".parse().unwrap());
    assert_eq!(Kind::Seen.key(&place), "state/seen/123456789012/us-west-2.json.gz");
    let kinds = FactKind::ALL.map(Kind::Facts).into_iter().chain([Kind::Seen, Kind::Indexes]);
    let keys: std::collections::BTreeSet<String> = kinds.map(|kind| kind.key(&place)).collect();
    assert_eq!(keys.len(), 5);
}

/// An object of a future form, or of none.
fn packed(text: &str) -> Vec<u8> {
    use std::io::Write;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(text.as_bytes()).unwrap();
    gzip.finish().unwrap()
}

#[test]
fn a_newer_form_is_read_as_far_as_it_is_understood() {
    let content = r#"{"since":"2026-01-01","repositories":{},"weather":"fine"}"#;
    for (format, is_newer) in [(1, false), (2, true)] {
        let text = format!(r#"{{"format":{format},"kind":"seen","writtenBy":"someone","content":{content},"x":1}}"#);
        let stored: Stored<Seen> = read(Kind::Seen, &packed(&text)).unwrap();
        assert_eq!((stored.is_newer, stored.content.since()), (is_newer, Some(day(0))), "{format}");
    }
    let text = r#"{"format":7,"kind":"seen","content":[1]}"#;
    assert_eq!(read::<Seen>(Kind::Seen, &packed(text)), Err(Damaged::TooNew(7)));
}

#[test]
fn what_is_damaged_is_not_taken_for_empty() {
    let whole = write(Kind::Seen, &Seen::default()).unwrap();
    for length in 0..whole.len() {
        assert!(read::<Seen>(Kind::Seen, &whole[..length]).is_err(), "the first {length} of {} bytes", whole.len());
    }
    for place in [0, 12, whole.len() / 2, whole.len() - 6] {
        let mut flipped = whole.clone();
        flipped[place] ^= 0x10;
        assert!(read::<Seen>(Kind::Seen, &flipped).is_err(), "byte {place}");
    }
    for text in ["", "null", "{}", "[]", r#"{"format":1,"kind":"seen"}"#, r#"{"format":1,"kind":"seen","content":[]}"#]
    {
        assert!(read::<Seen>(Kind::Seen, &packed(text)).is_err(), "{text}");
    }
    let other = write(Kind::Indexes, &Indexes::default()).unwrap();
    assert_eq!(read::<Seen>(Kind::Seen, &other), Err(Damaged::AnotherKind("indexes".to_owned())));
}

#[test]
fn a_fact_is_read_back_as_it_was() {
    let mut facts = Facts::default();
    let resolved = FactImage { image: Some("app:v1".into()), image_digest: Some("sha256:00".into()) };
    let fact = Fact { images: [resolved, FactImage::default()].into(), definition: Some("app:1".into()) };
    facts.note("arn", &fact, day(0));
    let kind = Kind::Facts(FactKind::ServiceRevisions);
    let stored: Stored<Facts> = read(kind, &write(kind, &facts).unwrap()).unwrap();
    assert_eq!(stored.content.iter().collect::<Vec<_>>(), [("arn", fact)]);
}
