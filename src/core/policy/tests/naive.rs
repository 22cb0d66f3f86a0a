//! A second evaluator, written only from ECR's documentation and slow on purpose, agrees with the first.
//!
//! It uses marks, as the documentation does. Every rule marks images of the whole repository by its count. Then the rules are
//! applied in order, and each expires or archives its marked images, unless an earlier rule selects them.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::seeded;

/// Whether a text matches a pattern. It tries every text for each wildcard.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.chars().next() {
        None => text.is_empty(),
        Some('*') => (0..=text.len()).any(|end| matches(&pattern[1..], &text[end..])),
        Some(letter) => text.starts_with(letter) && matches(&pattern[1..], &text[1..]),
    }
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// The tagging requirements and the storage class of a rule.
fn selects(rule: &Value, image: &Stored) -> bool {
    let selection = &rule["selection"];
    let any_tag = |pattern: &str| image.tags.iter().any(|tag| matches(pattern, tag));
    let by_tags = match selection["tagStatus"].as_str().unwrap() {
        "any" => true,
        "untagged" => image.tags.is_empty(),
        _ => {
            !image.tags.is_empty()
                && texts(&selection["tagPatternList"]).into_iter().all(any_tag)
                && texts(&selection["tagPrefixList"]).into_iter().all(|prefix| any_tag(&format!("{prefix}*")))
        }
    };
    let class = if selection["storageClass"] == "archive" { StorageClass::Archive } else { StorageClass::Standard };
    by_tags && image.class == class && !texts(&selection["tagPatternExcludeList"]).into_iter().any(any_tag)
}

/// The images that a rule marks, regardless of the other rules.
fn marked(rule: &Value, images: &[Stored]) -> BTreeSet<usize> {
    let selection = &rule["selection"];
    let number = u32::try_from(selection["countNumber"].as_u64().unwrap()).unwrap();
    let limit = f64::from(number);
    let selected: Vec<usize> = (0..images.len()).filter(|place| selects(rule, &images[*place])).collect();
    // For a restored image, that time counts instead.
    let age_of = |image: &Stored| image.restored.map_or(image.pushed, |restored| restored.min(image.pushed));
    let is_newer = |one: &Stored, other: &Stored| {
        let age = age_of(one).total_cmp(&age_of(other));
        age.is_lt() || (age.is_eq() && one.number > other.number)
    };
    let identified = |place: &usize| {
        let image = &images[*place];
        match selection["countType"].as_str().unwrap() {
            "imageCountMoreThan" => {
                let newer = selected.iter().filter(|other| is_newer(&images[**other], image)).count();
                newer >= number as usize
            }
            "sinceImagePushed" => age_of(image) > limit,
            "sinceImagePulled" => match (image.pulled, image.restored) {
                (None, None) => image.pushed > limit,
                (Some(pulled), None) => pulled > limit,
                (None, Some(restored)) => restored.min(image.pushed) > limit,
                (Some(pulled), Some(restored)) => pulled.min(restored) > limit,
            },
            _ => image.archived.is_some_and(|archived| archived > limit),
        }
    };
    selected.iter().copied().filter(|place| identified(place)).collect()
}

fn naive(rules: &[Value], images: &[Stored]) -> Vec<Option<(u32, Action)>> {
    let mut rules: Vec<&Value> = rules.iter().collect();
    rules.sort_by_key(|rule| rule["rulePriority"].as_u64());
    let marks: Vec<BTreeSet<usize>> = rules.iter().map(|rule| marked(rule, images)).collect();
    let mut done: Vec<Option<(u32, Action)>> = vec![None; images.len()];
    for (order, rule) in rules.iter().enumerate() {
        for place in &marks[order] {
            let is_shielded = rules[..order].iter().any(|earlier| selects(earlier, &images[*place]));
            if !is_shielded && done[*place].is_none() {
                let action = if rule["action"]["type"] == "expire" { Action::Expire } else { Action::Archive };
                done[*place] = Some((u32::try_from(rule["rulePriority"].as_u64().unwrap()).unwrap(), action));
            }
        }
    }
    done
}

const TAGS: [&str; 6] = ["latest", "v1", "v2-rc", "prod-v1", "prod", "v10"];
const PATTERNS: [&str; 6] = ["*", "v*", "prod*", "*-rc", "*v1", "latest"];
const PREFIXES: [&str; 4] = ["v", "prod", "l", "v1"];

prop_compose! {
    fn an_image()(
        tags in prop::collection::btree_set(prop::sample::select(&TAGS), 0..4),
        pushed in 0..40_u32,
        times in (prop::option::of(0..40_u32), prop::option::weighted(0.2, 0..40_u32)),
        archived in prop::option::weighted(0.3, 80..100_u32),
    ) -> Stored {
        let (pulled, restored) = times;
        Stored {
            number: 0,
            tags: tags.into_iter().map(Box::from).collect(),
            class: if archived.is_some() { StorageClass::Archive } else { StorageClass::Standard },
            pushed: f64::from(pushed),
            pulled: pulled.map(f64::from),
            archived: archived.map(f64::from),
            restored: restored.map(f64::from),
        }
    }
}

prop_compose! {
    fn a_rule()(
        tags in prop_oneof![
            4 => prop::collection::vec(prop::sample::select(&PATTERNS), 1..3).prop_map(|it| tagged(&it)),
            2 => prop::collection::vec(prop::sample::select(&PREFIXES), 1..3)
                .prop_map(|it| json!({ "tagStatus": "tagged", "tagPrefixList": it })),
            1 => Just(status("untagged")),
            1 => Just(status("any")),
        ],
        exclude in prop::option::weighted(0.3, prop::sample::select(&PATTERNS)),
        count in prop_oneof![
            3 => (0..4_u32).prop_map(more_than),
            2 => (0..40_u32).prop_map(|number| days("sinceImagePushed", number)),
            2 => (0..40_u32).prop_map(|number| days("sinceImagePulled", number)),
            1 => (90..100_u32).prop_map(in_archive),
        ],
        archives in any::<bool>(),
        priority in 1..100_u32,
    ) -> Value {
        let mut tags = tags;
        if let Some(pattern) = exclude.filter(|_| tags["tagStatus"] != "untagged") {
            tags["tagPatternExcludeList"] = json!([pattern]);
        }
        let may_archive = count["countType"] != "sinceImageTransitioned";
        if archives && may_archive { archive(priority, &tags, &count) } else { expire(priority, &tags, &count) }
    }
}

#[test]
fn both_evaluators_agree() {
    let config = ProptestConfig { max_global_rejects: 1_000_000, ..seeded::config(5_000) };
    let rules = prop::collection::vec(a_rule(), 1..6);
    // Policies that ECR rejects are left out.
    let rules = rules.prop_filter("ECR rejects it", |rules| policy(rules).unread().is_empty());
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let world = (rules, prop::collection::vec(an_image(), 0..20));
    runner
        .run(&world, |(rules, images)| {
            let images: Vec<Stored> = (0..).zip(images).map(|(number, image)| Stored { number, ..image }).collect();
            prop_assert_eq!(taken(&rules, &images), naive(&rules, &images));
            Ok(())
        })
        .unwrap();
}
