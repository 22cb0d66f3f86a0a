//! Invalid policy documents, and their error messages.

use super::*;

/// A valid rule.
fn right() -> Value {
    expire(1, &tagged(&["v*"]), &more_than(5))
}

/// The rule with a field set, or removed if the value is null.
fn with(mut rule: Value, path: &[&str], value: Value) -> Value {
    let (last, parents) = path.split_last().unwrap();
    let object = parents.iter().fold(&mut rule, |object, name| &mut object[*name]);
    match value {
        Value::Null => _ = object.as_object_mut().unwrap().remove(*last),
        value => object[*last] = value,
    }
    rule
}

#[test]
fn null_does_not_count_as_a_missing_field() {
    let null = |name: &str| {
        let mut rule = right();
        match name {
            "description" => rule[name] = Value::Null,
            "targetStorageClass" => rule["action"][name] = Value::Null,
            name => rule["selection"][name] = Value::Null,
        }
        vec![rule]
    };
    each_is_wrong_at(&[
        (null("targetStorageClass"), "[0].rules[0].action.targetStorageClass"),
        (null("countUnit"), "[0].rules[0].selection.countUnit"),
        (null("tagPatternList"), "[0].rules[0].selection.tagPatternList"),
        (null("tagPrefixList"), "[0].rules[0].selection.tagPrefixList"),
        (null("tagPatternExcludeList"), "[0].rules[0].selection.tagPatternExcludeList"),
        (null("storageClass"), "[0].rules[0].selection.storageClass"),
        (null("countType"), "[0].rules[0].selection.countType"),
        (null("description"), "[0].rules[0].description"),
    ]);
    let (_, problem) = wrong(&null("targetStorageClass"));
    assert_eq!(problem, "not allowed with the type expire");
}

/// The path at which the policy of these rules is invalid, and the problem.
fn wrong(rules: &[Value]) -> (String, String) {
    let error = Policies::read(&json!([{ "repositories": ["*"], "rules": rules }])).unwrap_err();
    (error.at, error.problem)
}

/// The valid rule with another field.
fn set(path: &[&str], value: Value) -> Vec<Value> {
    vec![with(right(), path, value)]
}

/// The valid rule with another field in its selection.
fn selection(name: &str, value: Value) -> Vec<Value> {
    set(&["selection", name], value)
}

/// The valid rule with an age of 90 days.
fn since(count_type: &str) -> Value {
    let mut selection = tagged(&["v*"]);
    for (name, value) in days(count_type, 90).as_object().unwrap() {
        selection[name] = value.clone();
    }
    with(right(), &["selection"], selection)
}

#[track_caller]
fn each_is_wrong_at(cases: &[(Vec<Value>, &str)]) {
    for (rules, expected) in cases {
        let (at, problem) = wrong(rules);
        assert_eq!(at, *expected, "{}", json!(rules));
        assert!(!problem.is_empty());
    }
}

#[test]
fn invalid_rules_and_tags_are_rejected_with_their_path() {
    each_is_wrong_at(&[
        (set(&["rulePriority"], Value::Null), "[0].rules[0].rulePriority"),
        (set(&["rulePriority"], json!(0)), "[0].rules[0].rulePriority"),
        (set(&["rulePriority"], json!("1")), "[0].rules[0].rulePriority"),
        (set(&["rulePriority"], json!(1.5)), "[0].rules[0].rulePriority"),
        (set(&["description"], json!(5)), "[0].rules[0].description"),
        (set(&["Description"], json!("x")), "[0].rules[0].Description"),
        (set(&["selection"], json!([])), "[0].rules[0].selection"),
        (set(&["action"], json!("expire")), "[0].rules[0].action"),
        (set(&["action"], json!({ "type": "delete" })), "[0].rules[0].action.type"),
        (set(&["action"], json!({ "type": "transition" })), "[0].rules[0].action"),
        (
            set(&["action"], json!({ "type": "transition", "targetStorageClass": "glacier" })),
            "[0].rules[0].action.targetStorageClass",
        ),
        (
            set(&["action"], json!({ "type": "expire", "targetStorageClass": "archive" })),
            "[0].rules[0].action.targetStorageClass",
        ),
        (selection("tagStatus", Value::Null), "[0].rules[0].selection.tagStatus"),
        (selection("tagStatus", json!("Tagged")), "[0].rules[0].selection.tagStatus"),
        (selection("tagStatus", json!("any")), "[0].rules[0].selection.tagPatternList"),
        (selection("tagStatus", json!("untagged")), "[0].rules[0].selection.tagPatternList"),
        (selection("tagPatternList", Value::Null), "[0].rules[0].selection"),
        (selection("tagPatternList", json!([])), "[0].rules[0].selection.tagPatternList"),
        (selection("tagPatternList", json!("v*")), "[0].rules[0].selection.tagPatternList"),
        (selection("tagPatternList", json!(["*1*2*3*4*"])), "[0].rules[0].selection.tagPatternList[0]"),
        (selection("tagPatternList", json!(["v*", "v[0-9]"])), "[0].rules[0].selection.tagPatternList[1]"),
        (selection("tagPrefixList", json!(["v"])), "[0].rules[0].selection.tagPrefixList"),
        (
            vec![with(
                with(right(), &["selection", "tagPatternList"], Value::Null),
                &["selection", "tagPrefixList"],
                json!(["v*"]),
            )],
            "[0].rules[0].selection.tagPrefixList[0]",
        ),
        (
            vec![with(
                with(right(), &["selection", "tagPatternList"], Value::Null),
                &["selection", "tagPrefixList"],
                json!([""]),
            )],
            "[0].rules[0].selection.tagPrefixList[0]",
        ),
        (selection("tagPatternExcludeList", json!([])), "[0].rules[0].selection.tagPatternExcludeList"),
        (
            vec![with(
                expire(1, &status("untagged"), &more_than(1)),
                &["selection", "tagPatternExcludeList"],
                json!(["v*"]),
            )],
            "[0].rules[0].selection.tagPatternExcludeList",
        ),
    ]);
}

#[test]
fn invalid_counts_are_rejected_with_their_path() {
    each_is_wrong_at(&[
        (selection("countType", json!("imageCountLessThan")), "[0].rules[0].selection.countType"),
        (selection("countNumber", Value::Null), "[0].rules[0].selection.countNumber"),
        (selection("countNumber", json!(-1)), "[0].rules[0].selection.countNumber"),
        (selection("countUnit", json!("days")), "[0].rules[0].selection.countUnit"),
        (
            vec![with(since("sinceImagePushed"), &["selection", "countUnit"], json!("weeks"))],
            "[0].rules[0].selection.countUnit",
        ),
        (vec![with(since("sinceImagePushed"), &["selection", "countUnit"], Value::Null)], "[0].rules[0].selection"),
        (selection("storageClass", json!("archive")), "[0].rules[0].selection.storageClass"),
        (vec![since("sinceImageTransitioned")], "[0].rules[0].selection"),
        (
            vec![with(since("sinceImageTransitioned"), &["selection", "storageClass"], json!("standard"))],
            "[0].rules[0].selection.storageClass",
        ),
        (
            vec![with(
                with(since("sinceImageTransitioned"), &["selection", "storageClass"], json!("archive")),
                &["selection", "countNumber"],
                json!(89),
            )],
            "[0].rules[0].selection.countNumber",
        ),
        (vec![archive(1, &status("any"), &in_archive(90))], "[0].rules[0].selection.countType"),
    ]);
}

#[test]
fn invalid_combinations_of_rules_are_rejected_with_their_path() {
    each_is_wrong_at(&[
        (vec![], "[0].rules"),
        ((1..=51).map(|priority| with(right(), &["rulePriority"], json!(priority))).collect(), "[0].rules"),
        (vec![right(), right()], "[0].rules[1].rulePriority"),
        (
            vec![expire(1, &status("any"), &more_than(1)), with(right(), &["rulePriority"], json!(2))],
            "[0].rules[1].rulePriority",
        ),
        (
            vec![with(right(), &["rulePriority"], json!(2)), expire(1, &status("any"), &more_than(1))],
            "[0].rules[1].rulePriority",
        ),
        (
            vec![expire(1, &status("any"), &more_than(1)), expire(2, &status("any"), &more_than(2))],
            "[0].rules[1].selection.tagStatus",
        ),
        (
            vec![expire(1, &status("untagged"), &more_than(1)), expire(2, &status("untagged"), &more_than(2))],
            "[0].rules[1].selection.tagStatus",
        ),
        (
            (1..=2)
                .map(|priority| {
                    expire(priority, &json!({ "tagStatus": "tagged", "tagPrefixList": ["a", "b"] }), &more_than(1))
                })
                .collect(),
            "[0].rules[1].selection.tagPrefixList",
        ),
    ]);
}

#[test]
fn invalid_lists_of_policies_are_rejected_with_their_path() {
    let rules = json!([right()]);
    for (policies, expected) in [
        (json!({}), ""),
        (json!([]), ""),
        (json!(["ecr"]), "[0]"),
        (json!([{ "rules": rules }]), "[0].repositories"),
        (json!([{ "repositories": [], "rules": rules }]), "[0].repositories"),
        (json!([{ "repositories": ["App"], "rules": rules }]), "[0].repositories[0]"),
        (json!([{ "repositories": ["*"] }]), "[0].rules"),
        (json!([{ "repositories": ["*"], "rules": "ECR" }]), "[0].rules"),
        (
            json!([{ "repositories": ["*"], "rules": rules }, { "repositories": ["*"], "rules": rules, "more": 1 }]),
            "[1].more",
        ),
    ] {
        assert_eq!(Policies::read(&policies).unwrap_err().at, expected, "{policies}");
    }
}

#[test]
fn one_rule_per_storage_class_can_have_the_tag_status_any() {
    let rules = [
        archive(1, &status("any"), &days("sinceImagePulled", 60)),
        expire(2, &status("any"), &in_archive(90)),
        expire(3, &json!({ "tagStatus": "tagged", "tagPrefixList": ["a"] }), &in_archive(120)),
    ];
    assert_eq!(wrong(&rules).0, "[0].rules[2].rulePriority");
    assert!(policy(&rules[..2]).unread().is_empty());
}

#[test]
fn a_message_has_the_field_its_value_and_the_problem() {
    let rule = with(right(), &["selection", "countUnit"], json!("days"));
    let error = Policies::read(&json!([{ "repositories": ["*"], "rules": [rule] }])).unwrap_err();
    let expected = "invalid value \"days\" for countUnit in [0].rules[0].selection: not allowed with the countType imageCountMoreThan";
    assert_eq!(error.to_string(), expected);
    let error = Policies::read(&json!([{ "repositories": ["*"] }])).unwrap_err();
    assert_eq!(error.to_string(), "missing rules in [0]: expected a list of rules, or \"ecr\"");
}

#[test]
fn the_document_of_a_repository_is_read_as_ecr_returns_it() {
    let policy = json!({ "rules": [right()] }).to_string();
    assert_eq!(Policy::of_repository(&policy).unwrap().rules[0].name.policy, None);
    for text in
        ["", "{}", "[]", "{\"rules\":{}}", "{\"rules\":[],\"rules\":[]}", "{\"rules\":[],\"more\":1}", "not json"]
    {
        assert!(Policy::of_repository(text).is_err(), "{text}");
    }
}

/// Which of `v1`, `x1` and an untagged image a stored policy expires, and the path of its unread rule. The policy has this
/// rule first, and then one that expires every image.
fn before_one_for_all(odd: Value) -> (Vec<&'static str>, String) {
    let policy = policy(&[odd, expire(9, &status("any"), &more_than(0))]);
    let images = [Stored::new(&["v1"], 9.0), Stored::new(&["x1"], 9.0), Stored::new(&[], 9.0)];
    let images: Vec<Stored> = (0..).zip(images).map(|(number, image)| Stored { number, ..image }).collect();
    let subjects: Vec<Subject<'_>> = images.iter().map(Stored::subject).collect();
    let taken = evaluate(&policy, &subjects, now());
    let taken = ["v1", "x1", "untagged"].into_iter().zip(taken).filter(|(_, it)| matches!(it, Verdict::Taken(_)));
    let [UnreadRule { why, .. }] = policy.unread() else { panic!("{policy:?}") };
    (taken.map(|(name, _)| name).collect(), why.at.clone())
}

#[test]
fn an_unread_rule_acts_on_no_image_and_shields_all_that_it_may_select() {
    let (none, others): (&[&str], &[&str]) = (&[], &["x1", "untagged"]);
    for (odd, left, at) in [
        // Its tags can be read.
        (with(right(), &["action"], json!({ "type": "move" })), others, "action.type"),
        (with(right(), &["selection", "countType"], json!("sinceImageScanned")), others, "selection.countType"),
        (with(right(), &["selection", "countNumber"], json!("5")), others, "selection.countNumber"),
        (with(right(), &["selection", "storageClass"], json!("glacier")), others, "selection.storageClass"),
        (with(right(), &["description"], json!(7)), others, "description"),
        // Its tags can't be read, or an unknown field may select more images.
        (with(right(), &["selection", "tagStatus"], json!("signed")), none, "selection.tagStatus"),
        (with(right(), &["selection", "tagRegex"], json!("^v")), none, "selection.tagRegex"),
        (with(right(), &["selection", "tagPrefixList"], json!(["v"])), none, "selection.tagPrefixList"),
        (with(right(), &["selection"], json!("any")), none, "selection"),
        (with(right(), &["also"], json!({})), none, "also"),
        // Its priority can't be read, so it may come before any other rule.
        (with(right(), &["rulePriority"], json!("last")), others, "rulePriority"),
        (with(right(), &["rulePriority"], json!(9)), none, "rulePriority"),
        // It comes after the other rule.
        (with(with(right(), &["rulePriority"], json!(10)), &["also"], json!(1)), &["v1", "x1", "untagged"], "also"),
    ] {
        let (taken, why) = before_one_for_all(odd.clone());
        let expected = format!("lifecyclePolicyText.rules[0].{at}");
        // If two rules have one priority, the second is the invalid one.
        assert!(why == expected || why == "lifecyclePolicyText.rules[1].rulePriority", "{odd}: {why}");
        assert_eq!(taken, *left, "{odd}");
    }
}

#[test]
fn null_makes_a_stored_rule_unreadable_too() {
    for (path, left) in [
        (&["description"][..], &["x1", "untagged"][..]),
        (&["action", "targetStorageClass"], &["x1", "untagged"]),
        (&["selection", "countUnit"], &["x1", "untagged"]),
        (&["selection", "tagPrefixList"], &[]),
        (&["selection", "tagPatternExcludeList"], &[]),
    ] {
        let mut odd = right();
        let (last, parents) = path.split_last().unwrap();
        parents.iter().fold(&mut odd, |object, name| &mut object[*name])[*last] = Value::Null;
        assert_eq!(before_one_for_all(odd).0, *left, "{path:?}");
    }
}
