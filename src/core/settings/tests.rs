mod effective;
mod errors;

use regex::Regex;
use serde_json::json;

use super::*;
use crate::account::{ExternalId, RoleArn};
use crate::image::RepositoryName;

fn environment(variables: &[(&str, &str)]) -> Environment {
    variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn resolve_with(
    event: &Value,
    variables: &[(&str, &str)],
    read_file: ReadFile<'_>,
) -> Result<Settings, InvalidSettings> {
    Settings::resolve(event.as_object().unwrap(), &environment(variables), read_file)
}

fn resolve(event: &Value, variables: &[(&str, &str)]) -> Result<Settings, InvalidSettings> {
    resolve_with(event, variables, &|file| Err(std::io::Error::other(format!("no file {file}"))))
}

fn settings(event: &Value, variables: &[(&str, &str)]) -> Settings {
    resolve(event, variables).unwrap_or_else(|error| panic!("{event} {variables:?}: {error}"))
}

/// A resolved setting as text, so that a case is short.
fn shown(settings: &Settings, key: &str) -> String {
    let list = |patterns: &[Pattern]| patterns.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let Settings {
        mode,
        regions,
        usage,
        accept_unseen_accounts,
        repositories,
        rules,
        candidates,
        audit_lifecycle_policies,
        exact_sizes,
        memory,
        unused: _,
        max_deletions,
        price_per_gb_month,
        given_by: _,
    } = settings;
    match key {
        "dryRun" => format!("{:?}", *mode == Mode::DryRun),
        "region" => format!("{regions:?}"),
        "usageRegions" => format!("{:?}", usage.regions),
        "usageRoleArns" => usage.role_arns.iter().map(RoleArn::as_str).collect::<Vec<_>>().join(","),
        "usageExternalId" => format!("{:?}", usage.external_id.as_ref().map(ExternalId::as_str)),
        "taskDefinitionsToKeep" => usage.keep.task_definitions.to_string(),
        "lambdaVersionsToKeep" => format!("{:?}", usage.keep.lambda_versions),
        "inUseImages" => usage.in_use_images.join(","),
        "acceptUnseenAccounts" => {
            format!("{:?} {}", accept_unseen_accounts.accounts, accept_unseen_accounts.anyone)
        }
        "imagesToKeep" => rules.images_to_keep.to_string(),
        "ignoreTagsRegex" => rules.ignore_tags_regex.as_ref().map_or("none", Regex::as_str).to_owned(),
        "keepTags" => list(&rules.keep_tags),
        "untaggedOlderThanDays" => match candidates {
            Candidates::NumberAndAge { untagged_older_than_days } => format!("{untagged_older_than_days:?}"),
            Candidates::Policies(_) => "not used".to_owned(),
        },
        "policies" => match candidates {
            Candidates::NumberAndAge { .. } => "none".to_owned(),
            Candidates::Policies(_) => "given".to_owned(),
        },
        "auditLifecyclePolicies" => audit_lifecycle_policies.to_string(),
        "exactSizes" => exact_sizes.to_string(),
        "keepPulledWithinDays" => rules.keep_pulled_within_days.to_string(),
        "memory" => memory.as_ref().map_or("none".to_owned(), ToString::to_string),
        "keepUsedWithinDays" => rules.keep_used_within_days.to_string(),
        "keepBeforeInUse" => rules.keep_before_in_use.to_string(),
        "keepPushedWithinDays" => rules.keep_pushed_within_days.to_string(),
        "repositories" => list(&repositories.include),
        "excludeRepositories" => list(&repositories.exclude),
        "maxDeletions" => format!("{max_deletions:?}"),
        "pricePerGbMonth" => price_per_gb_month.to_string(),
        _ => panic!("{key}"),
    }
}

const ROLE: &str = "arn:aws:iam::123456789012:role/usage";

#[test]
fn nothing_given_means_the_defaults_and_those_delete_nothing() {
    let settings = settings(&json!({}), &[]);
    for (key, expected) in [
        ("dryRun", "true"),
        ("region", "None"),
        ("usageRegions", "None"),
        ("imagesToKeep", "100"),
        ("ignoreTagsRegex", "none"),
        ("keepTags", "latest"),
        ("untaggedOlderThanDays", "Some(15)"),
        ("policies", "none"),
        ("auditLifecyclePolicies", "true"),
        ("exactSizes", "false"),
        ("keepPulledWithinDays", "45"),
        ("memory", "none"),
        ("keepUsedWithinDays", "30"),
        ("keepBeforeInUse", "1"),
        ("keepPushedWithinDays", "0"),
        ("repositories", "*"),
        ("excludeRepositories", ""),
        ("maxDeletions", "None"),
        ("pricePerGbMonth", "0.1"),
        ("usageRoleArns", ""),
        ("taskDefinitionsToKeep", "1"),
        ("lambdaVersionsToKeep", "None"),
        ("inUseImages", ""),
        ("acceptUnseenAccounts", "{} false"),
    ] {
        assert_eq!(shown(&settings, key), expected, "{key}");
    }
}

#[test]
fn every_key_is_read_from_the_event_in_every_spelling() {
    for (spellings, key, value, expected) in [
        (&["dryRun", "dry-run", "dryrun"][..], "dryRun", json!(false), "false"),
        (&["dryRun"], "dryRun", json!("false"), "false"),
        (&["dryRun"], "dryRun", json!("TRUE"), "true"),
        (&["region", "regions"], "region", json!("eu-west-1"), "Some({eu-west-1})"),
        (
            &["region", "regions"],
            "region",
            json!(["us-east-1", "eu-west-1", "us-east-1"]),
            "Some({eu-west-1, us-east-1})",
        ),
        (&["usageRegions"], "usageRegions", json!(["us-east-1"]), "Some({us-east-1})"),
        (&["usageRegions"], "region", json!(["us-east-1"]), "Some({us-east-1})"),
        (&["imagesToKeep", "images-to-keep", "imagestokeep"], "imagesToKeep", json!(0), "0"),
        (&["ignoreTagsRegex", "ignore-tags-regex", "ignoretagsregex"], "ignoreTagsRegex", json!("^v\\d"), "^v\\d"),
        (&["ignoreTagsRegex"], "ignoreTagsRegex", json!("(?i)release"), "(?i)release"),
        (&["keepTags"], "keepTags", json!(["prod-*", "x"]), "prod-*,x"),
        (&["keepTags"], "keepTags", json!([]), ""),
        (&["untaggedOlderThanDays"], "untaggedOlderThanDays", json!(0), "Some(0)"),
        (&["untaggedOlderThanDays"], "untaggedOlderThanDays", json!(null), "None"),
        (&["keepPulledWithinDays"], "keepPulledWithinDays", json!(7), "7"),
        (&["memory"], "memory", json!("s3://my-bucket/ecr-cleanup/"), "s3://my-bucket/ecr-cleanup"),
        (&["memory"], "memory", json!("/var/lib/ecr-cleanup"), "/var/lib/ecr-cleanup"),
        (&["keepUsedWithinDays"], "keepUsedWithinDays", json!(0), "0"),
        (&["keepBeforeInUse"], "keepBeforeInUse", json!(7), "7"),
        (&["keepPushedWithinDays"], "keepPushedWithinDays", json!(7), "7"),
        (&["repositories"], "repositories", json!(["team/*"]), "team/*"),
        (&["excludeRepositories"], "excludeRepositories", json!(["base/*"]), "base/*"),
        (&["maxDeletions"], "maxDeletions", json!(0), "Some(0)"),
        (&["pricePerGbMonth"], "pricePerGbMonth", json!(0.25), "0.25"),
        (&["usageRoleArns"], "usageRoleArns", json!([ROLE]), ROLE),
        (&["taskDefinitionsToKeep"], "taskDefinitionsToKeep", json!(3), "3"),
        (&["lambdaVersionsToKeep"], "lambdaVersionsToKeep", json!(0), "Some(0)"),
        (&["lambdaVersionsToKeep"], "lambdaVersionsToKeep", json!(null), "None"),
        (&["inUseImages"], "inUseImages", json!(["nginx", "x@y"]), "nginx,x@y"),
        (&["acceptUnseenAccounts"], "acceptUnseenAccounts", json!(["123456789012"]), "{123456789012} false"),
        (&["acceptUnseenAccounts"], "acceptUnseenAccounts", json!(["*"]), "{} true"),
    ] {
        for spelling in spellings {
            assert_eq!(shown(&settings(&json!({ *spelling: value }), &[]), key), expected, "{spelling}: {value}");
        }
    }
}

#[test]
fn every_key_is_read_from_the_environment_as_text() {
    for (variable, text, key, expected) in [
        ("DRYRUN", "False", "dryRun", "false"),
        ("DRYRUN", "", "dryRun", "true"),
        ("DRYRUN", " FALSE ", "dryRun", "false"),
        ("ECR_CLEANUP_DRYRUN", "false", "dryRun", "false"),
        ("ECR_CLEANUP_KEEP_TAGS", "a,b-*", "keepTags", "a,b-*"),
        ("ECR_CLEANUP_REGION", "None", "region", "None"),
        ("REGION", "None", "region", "None"),
        ("REGION", "us-east-1", "region", "Some({us-east-1})"),
        ("REGION", " us-east-1, eu-west-1,", "region", "Some({eu-west-1, us-east-1})"),
        ("USAGE_REGIONS", "us-east-1", "usageRegions", "Some({us-east-1})"),
        ("IMAGES_TO_KEEP", "7", "imagesToKeep", "7"),
        ("IGNORE_TAGS_REGEX", "release|prod", "ignoreTagsRegex", "release|prod"),
        ("KEEP_TAGS", "a,b-*", "keepTags", "a,b-*"),
        ("UNTAGGED_OLDER_THAN_DAYS", "never", "untaggedOlderThanDays", "None"),
        ("UNTAGGED_OLDER_THAN_DAYS", "3", "untaggedOlderThanDays", "Some(3)"),
        ("KEEP_PULLED_WITHIN_DAYS", "0", "keepPulledWithinDays", "0"),
        ("MEMORY", "s3://my-bucket", "memory", "s3://my-bucket"),
        ("KEEP_USED_WITHIN_DAYS", "90", "keepUsedWithinDays", "90"),
        ("KEEP_BEFORE_IN_USE", "3", "keepBeforeInUse", "3"),
        ("KEEP_PUSHED_WITHIN_DAYS", "2", "keepPushedWithinDays", "2"),
        ("REPOSITORIES", "team/*,app", "repositories", "team/*,app"),
        ("EXCLUDE_REPOSITORIES", "base/*", "excludeRepositories", "base/*"),
        ("MAX_DELETIONS", "500", "maxDeletions", "Some(500)"),
        ("USAGE_ROLE_ARNS", ROLE, "usageRoleArns", ROLE),
        ("TASK_DEFINITIONS_TO_KEEP", "2", "taskDefinitionsToKeep", "2"),
        ("LAMBDA_VERSIONS_TO_KEEP", "2", "lambdaVersionsToKeep", "Some(2)"),
        ("LAMBDA_VERSIONS_TO_KEEP", "All", "lambdaVersionsToKeep", "None"),
        ("IN_USE_IMAGES", "nginx, redis:7", "inUseImages", "nginx,redis:7"),
        (
            "IN_USE_IMAGES",
            "quay.io/argocd:v2 123456789012.dkr.ecr.us-east-1.amazonaws.com/app:v1\nnginx",
            "inUseImages",
            "quay.io/argocd:v2,123456789012.dkr.ecr.us-east-1.amazonaws.com/app:v1,nginx",
        ),
        ("ACCEPT_UNSEEN_ACCOUNTS", "123456789012,*", "acceptUnseenAccounts", "{123456789012} true"),
        ("KEEP_TAGS", " , ", "keepTags", "latest"),
    ] {
        assert_eq!(shown(&settings(&json!({}), &[(variable, text)]), key), expected, "{variable}={text}");
    }
}

#[test]
fn two_variables_of_one_setting_may_not_contradict_each_other() {
    for (plain, prefixed, expected) in
        [("5", "5", Some("5")), ("5", "", Some("5")), ("", "6", Some("6")), ("5", "6", None)]
    {
        let variables = [("IMAGES_TO_KEEP", plain), ("ECR_CLEANUP_IMAGES_TO_KEEP", prefixed)];
        match (resolve(&json!({}), &variables), expected) {
            (Ok(settings), Some(expected)) => assert_eq!(shown(&settings, "imagesToKeep"), expected),
            (Err(error), None) => {
                assert_eq!(error.key, "IMAGES_TO_KEEP");
                assert!(error.to_string().contains("ECR_CLEANUP_IMAGES_TO_KEEP"), "{error}");
            }
            (other, _) => panic!("{plain:?} and {prefixed:?}: {other:?}"),
        }
    }
    // Also if the event has the setting: one of the two variables is a mistake.
    let variables = [("DRYRUN", "true"), ("ECR_CLEANUP_DRYRUN", "false")];
    assert_eq!(resolve(&json!({ "dryRun": true }), &variables).unwrap_err().key, "DRYRUN");
}

#[test]
fn the_event_wins_over_the_environment_and_null_leaves_it() {
    let variables = [
        ("IMAGES_TO_KEEP", "7"),
        ("DRYRUN", "false"),
        ("UNTAGGED_OLDER_THAN_DAYS", "3"),
        ("LAMBDA_VERSIONS_TO_KEEP", "3"),
    ];
    for (event, key, expected) in [
        (json!({ "imagesToKeep": 9 }), "imagesToKeep", "9"),
        (json!({ "imagesToKeep": null }), "imagesToKeep", "7"),
        (json!({}), "imagesToKeep", "7"),
        (json!({ "dry-run": true }), "dryRun", "true"),
        (json!({ "untaggedOlderThanDays": null }), "untaggedOlderThanDays", "None"),
        (json!({ "lambdaVersionsToKeep": null }), "lambdaVersionsToKeep", "None"),
    ] {
        assert_eq!(shown(&settings(&event, &variables), key), expected, "{event}");
    }
}

#[test]
fn invalid_settings_are_rejected_by_name() {
    for (event, named) in [
        (json!({ "imageToKeep": 5 }), "imageToKeep"),
        (json!({ "dryRun": 0 }), "dryRun"),
        (json!({ "dryRun": "no" }), "dryRun"),
        (json!({ "dryRun": true, "dry-run": true }), "dryRun"),
        (json!({ "imagesToKeep": -1 }), "imagesToKeep"),
        (json!({ "imagesToKeep": 1.5 }), "imagesToKeep"),
        (json!({ "imagesToKeep": "100" }), "imagesToKeep"),
        (json!({ "imagesToKeep": 5_000_000_000_u64 }), "imagesToKeep"),
        (json!({ "region": "mars-1" }), "region"),
        (json!({ "region": [] }), "region"),
        (json!({ "region": "us-east-1,us-west-2" }), "region"),
        (json!({ "usageRegions": [] }), "usageRegions"),
        (json!({ "usageRegions": [1] }), "usageRegions"),
        (json!({ "ignoreTagsRegex": "(" }), "ignoreTagsRegex"),
        (json!({ "ignoreTagsRegex": "" }), "ignoreTagsRegex"),
        (json!({ "ignoreTagsRegex": ["a"] }), "ignoreTagsRegex"),
        (json!({ "keepTags": "latest" }), "keepTags"),
        (json!({ "keepTags": ["^v.*$"] }), "keepTags"),
        (json!({ "repositories": [] }), "repositories"),
        (json!({ "repositories": ["App"] }), "repositories"),
        (json!({ "excludeRepositories": [""] }), "excludeRepositories"),
        (json!({ "memory": "" }), "memory"),
        (json!({ "memory": "s3://B" }), "memory"),
        (json!({ "memory": ["/tmp"] }), "memory"),
        (json!({ "untaggedOlderThanDays": "never" }), "untaggedOlderThanDays"),
        (json!({ "lambdaVersionsToKeep": "all" }), "lambdaVersionsToKeep"),
        (json!({ "pricePerGbMonth": -1 }), "pricePerGbMonth"),
        (json!({ "policies": [] }), "policies"),
        (json!({ "usageRoleArns": ["usage"] }), "usageRoleArns"),
        (json!({ "inUseImages": ["123456789012.dkr.ecr.us-east-1.amazonaws.com/app:v1:v2"] }), "inUseImages"),
        (json!({ "inUseImages": ["<html>403"] }), "inUseImages"),
        (json!({ "acceptUnseenAccounts": ["1234"] }), "acceptUnseenAccounts"),
        (json!({ "usageRoleArns": [ROLE, ROLE] }), "usageRoleArns"),
        (json!({ "usageRoleArns": [ROLE, "arn:aws:iam::123456789012:role/another"] }), "usageRoleArns"),
        (json!({ "ignoreTagsRegex": "(?<=v)1" }), "ignoreTagsRegex"),
        (json!({ "usageExternalId": "a" }), "usageExternalId"),
        (json!({ "usageExternalId": 12 }), "usageExternalId"),
    ] {
        assert_eq!(resolve(&event, &[]).unwrap_err().key, named, "{event}");
    }
    for (variable, text) in [
        ("DRYRUN", "0"),
        ("DRYRUN", ",false,"),
        ("DRYRUN", "false,"),
        ("DRYRUN", "true false"),
        ("DRYRUN", ","),
        ("AUDIT_LIFECYCLE_POLICIES", ",false"),
        ("IMAGES_TO_KEEP", "5,"),
        ("MAX_DELETIONS", ","),
        ("MAX_DELETIONS", ",5"),
        ("UNTAGGED_OLDER_THAN_DAYS", "never,"),
        ("POLICIES_FILE", ","),
        ("USAGE_EXTERNAL_ID", ","),
        ("REGION", "us-east-1,none"),
        ("IMAGES_TO_KEEP", "+5"),
        ("IMAGES_TO_KEEP", "many"),
        ("UNTAGGED_OLDER_THAN_DAYS", "null"),
        ("LAMBDA_VERSIONS_TO_KEEP", "never"),
        ("KEEP_TAGS", "a b"),
        ("POLICIES_FILE", "policies.json"),
        ("EXACT_SIZES", "yes"),
    ] {
        assert_eq!(resolve(&json!({}), &[(variable, text)]).unwrap_err().key, variable, "{variable}={text}");
    }
}

#[test]
fn an_excluded_repository_stays_excluded_also_when_it_is_included() {
    let repositories =
        settings(&json!({ "repositories": ["team/*", "app"], "excludeRepositories": ["*/base"] }), &[]).repositories;
    for (name, expected) in [("app", true), ("app2", false), ("team/web", true), ("team/base", false)] {
        assert_eq!(repositories.contains(&RepositoryName::from_ecr(name)), expected, "{name}");
    }
}

#[test]
fn with_policies_the_images_to_keep_are_a_floor_of_none() {
    let policies = json!([{ "repositories": ["*"], "rules": "ecr" }]);
    let given = settings(&json!({ "policies": policies }), &[]);
    assert_eq!((shown(&given, "policies").as_str(), given.rules.images_to_keep), ("given", 0));
    assert_eq!(given.unused, None);
    let given = settings(&json!({ "policies": policies, "imagesToKeep": 3, "untaggedOlderThanDays": 5 }), &[]);
    assert_eq!(given.rules.images_to_keep, 3);
    assert_eq!(given.unused, Some(("untaggedOlderThanDays", "policies")));
}

#[test]
fn policies_can_be_a_file_which_the_event_wins_over() {
    const RIGHT: &str = r#"[{ "repositories": ["*"], "rules": "ecr" }]"#;
    let read = |event: Value, text: &'static str| {
        resolve_with(&event, &[("POLICIES_FILE", "p.json")], &|file| {
            assert_eq!(file, "p.json");
            Ok(text.to_owned())
        })
    };
    assert_eq!(shown(&read(json!({}), RIGHT).unwrap(), "policies"), "given");
    let event = json!({ "policies": [{ "repositories": ["*"], "rules": "another" }] });
    assert_eq!(read(event, RIGHT).unwrap_err().key, "policies[0].rules");

    let as_event = r#"{ "policies": [{ "repositories": ["*"], "rules": "ecr" }] }"#;
    assert_eq!(shown(&read(json!({}), as_event).unwrap(), "policies"), "given");
    assert!(read(json!({}), r#"{ "policies": [], "dryRun": false }"#).is_err());

    let error = read(json!({}), r#"[{ "repositories": ["*"], "rules": [] }]"#).unwrap_err();
    assert_eq!(error.key, "policies[0].rules");
    let expected = "invalid value [] for rules in policies[0] of p.json (POLICIES_FILE): expected 1 to 50 rules";
    assert_eq!(error.to_string(), expected);
    for text in ["{", "", r#"[{ "repositories": ["a"], "repositories": ["*"], "rules": "ecr" }]"#] {
        assert_eq!(read(json!({}), text).unwrap_err().key, "POLICIES_FILE", "{text}");
    }
}

#[test]
fn the_defaults_in_the_table_are_the_effective_defaults() {
    let by_default = settings(&json!({}), &[]);
    for key in KEYS {
        let Some(default) = key.default else { continue };
        // Some defaults are words instead of a value.
        let Some(variable) = key.environment.filter(|_| !default.contains(' ') || key.form == keys::Form::Integer)
        else {
            continue;
        };
        let value = default.split(';').next().unwrap();
        let given = settings(&json!({}), &[(variable, value)]);
        assert_eq!(shown(&given, key.name), shown(&by_default, key.name), "{}", key.name);
    }
    let priced = settings(&json!({ "pricePerGbMonth": 0.10 }), &[]);
    assert_eq!(
        (keys::PRICE_PER_GB_MONTH.default, priced.price_per_gb_month),
        (Some("0.10"), DEFAULT_PRICE_PER_GB_MONTH)
    );
}
