//! Tables of cases, including the examples of ECR's documentation.

mod document;
mod naive;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::*;
use crate::image::ImageDigest;

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_750_000_000, 0).unwrap()
}

fn ago(days: f64) -> DateTime<Utc> {
    #[expect(clippy::cast_possible_truncation, reason = "a test's days are few")]
    let seconds = (days * 86_400.0) as i64;
    now() - TimeDelta::seconds(seconds)
}

/// An image of a repository, with its events in days ago.
#[derive(Clone, Debug)]
struct Stored {
    number: u16,
    tags: Vec<Box<str>>,
    class: StorageClass,
    pushed: f64,
    pulled: Option<f64>,
    archived: Option<f64>,
    restored: Option<f64>,
}

impl Stored {
    fn new(tags: &[&str], pushed: f64) -> Self {
        let tags = tags.iter().map(|tag| Box::from(*tag)).collect();
        Self { number: 0, tags, class: StorageClass::Standard, pushed, pulled: None, archived: None, restored: None }
    }

    fn pulled(self, days: f64) -> Self {
        Self { pulled: Some(days), ..self }
    }

    fn restored(self, days: f64) -> Self {
        Self { restored: Some(days), ..self }
    }

    fn archived(self, days: f64) -> Self {
        Self { class: StorageClass::Archive, archived: Some(days), ..self }
    }

    fn subject(&self) -> Subject<'_> {
        let mut bytes = [0; 32];
        bytes[..2].copy_from_slice(&self.number.to_be_bytes());
        Subject {
            image_digest: ImageDigest::from_sha256(bytes),
            image_tags: &self.tags,
            storage_class: self.class,
            image_pushed_at: ago(self.pushed),
            last_pulled_at: self.pulled.map(ago),
            last_archived_at: self.archived.map(ago),
            last_activated_at: self.restored.map(ago),
            takes_a_place: true,
        }
    }
}

/// A rule with the action expire, and this priority, selection and count.
fn expire(priority: u32, tags: &Value, count: &Value) -> Value {
    rule(priority, tags, count, json!({ "type": "expire" }))
}

fn archive(priority: u32, tags: &Value, count: &Value) -> Value {
    rule(priority, tags, count, json!({ "type": "transition", "targetStorageClass": "archive" }))
}

fn rule(priority: u32, tags: &Value, count: &Value, action: Value) -> Value {
    let mut selection = tags.clone();
    for (name, value) in count.as_object().unwrap() {
        selection[name] = value.clone();
    }
    let mut rule = json!({ "rulePriority": priority, "selection": selection });
    rule["action"] = action;
    rule
}

fn tagged(patterns: &[&str]) -> Value {
    json!({ "tagStatus": "tagged", "tagPatternList": patterns })
}

fn status(status: &str) -> Value {
    json!({ "tagStatus": status })
}

fn more_than(number: u32) -> Value {
    json!({ "countType": "imageCountMoreThan", "countNumber": number })
}

fn days(count_type: &str, number: u32) -> Value {
    json!({ "countType": count_type, "countUnit": "days", "countNumber": number })
}

fn in_archive(number: u32) -> Value {
    let mut count = days("sinceImageTransitioned", number);
    count["storageClass"] = "archive".into();
    count
}

fn policy(rules: &[Value]) -> Policy {
    Policy::of_repository(&json!({ "rules": rules }).to_string()).unwrap()
}

/// For each image, the priority and the action of the rule that acts on it.
fn taken(rules: &[Value], images: &[Stored]) -> Vec<Option<(u32, Action)>> {
    let policy = policy(rules);
    let numbered: Vec<Stored> = (0..).zip(images).map(|(number, image)| Stored { number, ..image.clone() }).collect();
    let subjects: Vec<Subject<'_>> = numbered.iter().map(Stored::subject).collect();
    let verdicts = evaluate(&policy, &subjects, now());
    let taken = |verdict: &Verdict<'_>| match verdict {
        Verdict::Taken(rule) => Some((rule.name.priority, rule.action)),
        Verdict::Shielded(_) | Verdict::Unselected => None,
    };
    verdicts.iter().map(taken).collect()
}

/// The priorities of the rules that expire each image.
fn expired(rules: &[Value], images: &[Stored]) -> Vec<Option<u32>> {
    let expired = |(priority, action)| {
        assert_eq!(action, Action::Expire);
        priority
    };
    taken(rules, images).into_iter().map(|taken| taken.map(expired)).collect()
}

/// A [beta-1, prod-1] 10 days old, B [beta-2, prod-2] 9 days, C [beta-3] 8 days.
fn published() -> [Stored; 3] {
    [Stored::new(&["beta-1", "prod-1"], 10.0), Stored::new(&["beta-2", "prod-2"], 9.0), Stored::new(&["beta-3"], 8.0)]
}

#[test]
fn the_published_example_of_two_prefixes_in_both_orders() {
    let prefix = |prefix: &str| json!({ "tagStatus": "tagged", "tagPrefixList": [prefix] });
    for (prod, beta) in [(tagged(&["prod*"]), tagged(&["beta*"])), (prefix("prod"), prefix("beta"))] {
        let one = more_than(1);
        let prod_first = [expire(1, &prod, &one), expire(2, &beta, &one)];
        assert_eq!(expired(&prod_first, &published()), [Some(1), None, None]);
        let beta_first = [expire(1, &beta, &one), expire(2, &prod, &one)];
        assert_eq!(expired(&beta_first, &published()), [Some(1), Some(1), None]);
    }
}

#[test]
fn the_published_example_of_any_after_tags_and_after_untagged() {
    // The first rule shields the tagged images that it selects, even if it doesn't act on them.
    let images = [
        Stored::new(&["alpha-1"], 12.0),
        Stored::new(&[], 11.0),
        Stored::new(&["alpha-2"], 10.0),
        Stored::new(&["git-hash"], 9.0),
        Stored::new(&[], 8.0),
    ];
    let rules = [expire(1, &tagged(&["alpha*"]), &more_than(5)), expire(2, &status("any"), &more_than(1))];
    // The second rule counts all five. All but the newest exceed its count, and the first rule shields two of them.
    assert_eq!(expired(&rules, &images), [None, Some(2), None, Some(2), None]);
    let rules = [expire(1, &status("untagged"), &more_than(1)), expire(2, &status("any"), &more_than(1))];
    assert_eq!(expired(&rules, &images), [Some(2), Some(1), Some(2), Some(2), None]);
}

#[test]
fn rules_are_applied_by_priority_in_any_order_of_the_list() {
    let rules = [expire(9, &status("any"), &more_than(0)), expire(2, &tagged(&["v*"]), &more_than(1))];
    assert_eq!(
        expired(&rules, &[Stored::new(&["v1"], 2.0), Stored::new(&["v2"], 1.0), Stored::new(&[], 1.0)]),
        [Some(2), None, Some(9)]
    );
}

#[test]
fn all_patterns_of_a_list_must_match_each_by_any_tag() {
    let rules = [expire(1, &tagged(&["alpha*", "*-rc"]), &more_than(0))];
    let images = [
        Stored::new(&["alpha-rc"], 1.0),
        Stored::new(&["alpha-1", "one-rc"], 1.0),
        Stored::new(&["alpha-1", "alpha-2"], 1.0),
        Stored::new(&["one-rc"], 1.0),
        Stored::new(&[], 1.0),
    ];
    assert_eq!(expired(&rules, &images), [Some(1), Some(1), None, None, None]);
}

#[test]
fn patterns_match_whole_tags_with_up_to_four_wildcards() {
    for (pattern, tag, matches) in [
        ("prod", "prod", true),
        ("prod", "prod-1", false),
        ("prod*", "prod", true),
        ("*test*1*2*3", "a-test-1-2-3", true),
        ("*test*1*2*3", "a-test-1-2-34", false),
        ("Prod*", "prod-1", false),
    ] {
        let rules = [expire(1, &tagged(&[pattern]), &more_than(0))];
        assert_eq!(expired(&rules, &[Stored::new(&[tag], 1.0)])[0].is_some(), matches, "{pattern} {tag}");
    }
}

#[test]
fn an_excluded_image_is_not_selected_not_counted_and_not_shielded() {
    let mut all_but_snapshots = tagged(&["*"]);
    all_but_snapshots["tagPatternExcludeList"] = json!(["*-SNAPSHOT", "latest"]);
    let rules = [expire(1, &all_but_snapshots, &more_than(1)), expire(2, &status("any"), &more_than(3))];
    let images = [
        Stored::new(&["1.1-SNAPSHOT"], 1.0),
        Stored::new(&["1.0", "latest"], 2.0),
        Stored::new(&["0.9"], 3.0),
        Stored::new(&["0.8"], 4.0),
        Stored::new(&["0.1-SNAPSHOT"], 5.0),
    ];
    assert_eq!(expired(&rules, &images), [None, None, None, Some(1), Some(2)]);
}

#[test]
fn ages_are_counted_in_whole_days_of_86_400_seconds() {
    let second = 1.0 / 86_400.0;
    let push = days("sinceImagePushed", 14);
    for (pushed, expires) in [(14.0, false), (14.0 + second, true), (13.0, false), (-1.0, false)] {
        let images = [Stored::new(&[], pushed)];
        assert_eq!(expired(&[expire(1, &status("untagged"), &push)], &images)[0].is_some(), expires, "{pushed}");
    }
}

#[test]
fn an_image_counts_as_pulled_when_it_was_pushed_or_restored_if_not_since() {
    let pulled = days("sinceImagePulled", 28);
    for (behaviour, image, acts) in [
        ("pulled long ago", Stored::new(&[], 90.0).pulled(29.0), true),
        ("pulled lately", Stored::new(&[], 90.0).pulled(27.0), false),
        ("never pulled, pushed long ago", Stored::new(&[], 29.0), true),
        ("never pulled, pushed lately", Stored::new(&[], 27.0), false),
        ("restored lately and not pulled since", Stored::new(&[], 90.0).pulled(60.0).restored(20.0), false),
        ("restored lately and never pulled", Stored::new(&[], 90.0).restored(20.0), false),
        ("restored long ago", Stored::new(&[], 90.0).pulled(60.0).restored(40.0), true),
        ("pulled since it was restored", Stored::new(&[], 90.0).pulled(20.0).restored(40.0), false),
    ] {
        for rules in [[expire(1, &status("any"), &pulled)], [archive(1, &status("any"), &pulled)]] {
            assert_eq!(taken(&rules, std::slice::from_ref(&image))[0].is_some(), acts, "{behaviour}");
        }
    }
}

#[test]
fn a_restored_image_counts_as_pushed_when_it_was_restored() {
    let images = [Stored::new(&["old"], 400.0).restored(1.0), Stored::new(&["new"], 9.0), Stored::new(&["newer"], 5.0)];
    let two = [expire(1, &status("any"), &more_than(2))];
    assert_eq!(expired(&two, &images), [None, Some(1), None]);
    let aged = [expire(1, &status("any"), &days("sinceImagePushed", 7))];
    assert_eq!(expired(&aged, &images), [None, Some(1), None]);
}

#[test]
fn only_rules_for_the_archive_select_archived_images() {
    let rules = [archive(1, &status("any"), &days("sinceImagePulled", 60)), expire(2, &status("any"), &in_archive(90))];
    let images = [
        Stored::new(&["a"], 400.0),
        Stored::new(&["b"], 400.0).pulled(3.0),
        Stored::new(&["c"], 400.0).archived(91.0),
        Stored::new(&["d"], 400.0).archived(90.0),
        Stored { archived: None, ..Stored::new(&["e"], 400.0).archived(0.0) },
    ];
    assert_eq!(taken(&rules, &images), [Some((1, Action::Archive)), None, Some((2, Action::Expire)), None, None]);
}

#[test]
fn keeps_five_snapshots_ten_others_and_latest() {
    let mut others = tagged(&["*"]);
    others["tagPatternExcludeList"] = json!(["*SNAPSHOT*", "latest"]);
    let rules = [
        expire(1, &tagged(&["*SNAPSHOT*"]), &more_than(5)),
        expire(2, &others, &more_than(10)),
        expire(3, &status("untagged"), &more_than(0)),
    ];
    let snapshots = (0..20).map(|build| Stored::new(&[&format!("1.{build}-SNAPSHOT")], f64::from(build)));
    let releases = (0..20).map(|build| Stored::new(&[&format!("1.{build}")], 100.0 + f64::from(build)));
    let rest = [Stored::new(&["latest"], 900.0), Stored::new(&[], 0.5)];
    let images: Vec<Stored> = snapshots.chain(releases).chain(rest).collect();
    let expired = expired(&rules, &images);
    let count = |rule: Option<u32>| expired.iter().filter(|expired| **expired == rule).count();
    assert_eq!([count(Some(1)), count(Some(2)), count(Some(3)), count(None)], [15, 10, 1, 16]);
    assert!(expired[..5].iter().chain(&expired[20..30]).all(Option::is_none), "the newest of each are kept");
}

#[test]
fn the_first_entry_that_matches_a_repository_applies() {
    let rules = |priority| json!([expire(priority, &status("any"), &more_than(1))]);
    let policies = Policies::read(&json!([
        { "repositories": ["team/app", "web/*"], "rules": rules(1) },
        { "repositories": ["team/*"], "rules": "ecr" },
        { "repositories": ["*b*"], "rules": rules(3) },
    ]))
    .unwrap();
    let priority = |name: &str| match policies.for_repository(&RepositoryName::from_ecr(name)) {
        Applicable::Policy(policy) => Some(policy.rules[0].name.priority),
        Applicable::OfRepository => Some(0),
        Applicable::None => None,
    };
    for (name, expected) in [
        ("team/app", Some(1)),
        ("web/shop", Some(1)),
        ("team/web", Some(0)),
        ("db", Some(3)),
        ("cache", None),
        ("team", None),
    ] {
        assert_eq!(priority(name), expected, "{name}");
    }
}

#[test]
fn the_name_of_a_rule_has_policy_priority_and_description() {
    let name =
        |policy, description: &str| RuleName { policy, priority: 2, description: description.into() }.to_string();
    assert_eq!(name(Some(1), "keep five"), "rule 2 of policy 1 (keep five)");
    assert_eq!(name(None, ""), "rule 2 of the repository's ECR lifecycle policy");
}
