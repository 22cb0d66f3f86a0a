//! The effective value and the source of each setting.

use super::*;

const ACCOUNT: &str = "123456789012";

#[test]
fn every_setting_has_its_value_and_its_source() {
    let effective = settings(&json!({}), &[]).effective();
    let names: Vec<&str> = effective.iter().map(|setting| setting.name).collect();
    assert_eq!(names, KEYS.iter().map(|key| key.name).collect::<Vec<_>>());
    assert!(effective.iter().all(|setting| setting.from == GivenBy::Default));

    let value_of = |event: &Value, variables: &[(&str, &str)], name: &str| {
        let effective = settings(event, variables).effective();
        let setting = effective.into_iter().find(|setting| setting.name == name).unwrap();
        (setting.value, setting.from.as_str())
    };
    for (event, variables, name, value, from) in [
        (json!({ "imagestokeep": 5 }), &[("IMAGES_TO_KEEP", "7")][..], "imagesToKeep", json!(5), "event"),
        (json!({ "imagesToKeep": null }), &[("IMAGES_TO_KEEP", "7")], "imagesToKeep", json!(7), "environment"),
        (json!({ "keepTags": [] }), &[], "keepTags", json!([]), "event"),
        (json!({}), &[("KEEP_TAGS", "a, b")], "keepTags", json!(["a", "b"]), "environment"),
        (json!({ "untaggedOlderThanDays": null }), &[], "untaggedOlderThanDays", json!(null), "event"),
        (json!({}), &[("LAMBDA_VERSIONS_TO_KEEP", "all")], "lambdaVersionsToKeep", json!(null), "environment"),
        (json!({ "usageRegions": ["us-east-1"] }), &[], "region", json!(["us-east-1"]), "default"),
        (json!({ "region": "us-east-1" }), &[("REGION", "eu-west-1")], "region", json!(["us-east-1"]), "event"),
        (
            json!({ "acceptUnseenAccounts": ["*", ACCOUNT] }),
            &[],
            "acceptUnseenAccounts",
            json!(["*", ACCOUNT]),
            "event",
        ),
        (json!({ "usageExternalId": "ours-alone" }), &[], "usageExternalId", json!("set"), "event"),
        (json!({ "ignoreTagsRegex": "^v" }), &[], "ignoreTagsRegex", json!("^v"), "event"),
    ] {
        assert_eq!(value_of(&event, variables, name), (value, from), "{event} {variables:?} {name}");
    }

    let policies = json!([{ "repositories": ["*"], "rules": "ecr" }]);
    let event = json!({ "policies": policies, "untaggedOlderThanDays": 3 });
    assert_eq!(value_of(&event, &[], "policies"), (policies, "event"));
    assert_eq!(value_of(&event, &[], "untaggedOlderThanDays"), (json!(null), "default"), "it is not used");
    assert_eq!(value_of(&event, &[], "imagesToKeep"), (json!(0), "default"));
}

#[test]
fn of_several_layers_the_first_wins_key_by_key() {
    let [flags, file] =
        [json!({ "imagesToKeep": 1 }), json!({ "images-to-keep": 2, "keepTags": ["a"], "maxDeletions": null })];
    let layers = [(GivenBy::Flag, &flags), (GivenBy::File, &file)];
    let layers = layers.map(|(by, settings)| Layer { by, settings: settings.as_object().unwrap() });
    let variables = environment(&[("MAX_DELETIONS", "9"), ("KEEP_TAGS", "b")]);
    let settings = Settings::resolve_layers(&layers, &variables, &|_| unreachable!()).unwrap();
    for (key, value, by) in [
        ("imagesToKeep", "1", Some(GivenBy::Flag)),
        ("keepTags", "a", Some(GivenBy::File)),
        ("maxDeletions", "Some(9)", Some(GivenBy::Environment)),
        ("keepBeforeInUse", "1", None),
    ] {
        assert_eq!((shown(&settings, key).as_str(), settings.given_by.get(key).copied()), (value, by), "{key}");
    }
    assert_eq!(settings.commanded(Mode::Live).given_by.get("dryRun"), Some(&GivenBy::Flag));
}

#[test]
fn the_settings_as_an_event_have_the_same_effect() {
    let policies = json!([{ "repositories": ["*"], "rules": "ecr" }]);
    for event in [
        json!({}),
        json!({ "policies": policies, "imagesToKeep": 3, "keepTags": [], "lambdaVersionsToKeep": 4, "maxDeletions": 0 }),
        json!({ "memory": "s3://my-bucket/team", "keepUsedWithinDays": 7 }),
        json!({ "untaggedOlderThanDays": null, "usageRegions": ["us-east-1"], "ignoreTagsRegex": "(?i)v", "pricePerGbMonth": 0.2,
                "acceptUnseenAccounts": ["*"], "usageRoleArns": [ROLE], "inUseImages": ["a b", "c"], "excludeRepositories": ["x/*"] }),
    ] {
        let made = settings(&event, &[]);
        let again = Value::from(made.to_event());
        let again = Settings { given_by: made.given_by.clone(), ..settings(&again, &[]) };
        assert_eq!(format!("{again:?}"), format!("{made:?}"), "{event}");
    }
}
