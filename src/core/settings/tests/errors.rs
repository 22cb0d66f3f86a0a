//! The messages for invalid settings.

use super::*;

#[test]
fn an_error_has_the_value_and_the_accepted_values() {
    let refused = |event| resolve(&event, &[]).unwrap_err().to_string();
    insta::assert_snapshot!(
        [
            refused(json!({ "imagesToKeep": "ten" })),
            refused(json!({ "dryRun": true, "dryrun": false })),
            refused(json!({ "ignoreTagsRegex": "v(" })),
            refused(json!({ "ignoreTagsRegex": "" })),
            refused(json!({ "keepTags": ["latest", "v?"] })),
            refused(json!({ "keepTags": [""] })),
            refused(json!({ "region": ["us-east-1", "Frankfurt"] })),
            refused(json!({ "usageRoleArns": [ROLE, "usage"] })),
            refused(json!({ "acceptUnseenAccounts": ["12"] })),
            refused(json!({ "usageExternalId": "!" })),
            refused(json!({ "inUseImages": ["nginx 123456789012.dkr.ecr.us-east-1.amazonaws.com/app:v1:v2"] })),
            refused(json!({ "inUseImages": ["<html>403"] })),
            refused(json!({ "policies": [{ "repositories": ["App"], "rules": "ecr" }] })),
            refused(json!({ "policies": [{ "repositories": ["*"] }] })),
            refused(json!({ "passwrd": "hunter2" })).split(" dryRun").next().unwrap().to_owned(),
        ]
        .join("\n"),
        @r#"
    invalid value "ten" for imagesToKeep: expected a whole number from 0 to 4294967295
    `dryRun` and `dryrun` are two spellings of one setting. Remove one
    invalid value "v(" for ignoreTagsRegex: unclosed group. For the syntax, see https://docs.rs/regex/#syntax
    invalid value "" for ignoreTagsRegex: an empty regular expression matches every tag. For none, leave it out
    invalid value "v?" for keepTags: only * is a wildcard, and all other characters must be A-Z a-z 0-9 . _ -
    invalid value "" for keepTags: it is empty
    invalid value "Frankfurt" for region: expected a Region code such as us-west-2
    invalid value "usage" for usageRoleArns: expected a role's ARN such as arn:aws:iam::123456789012:role/ecr-cleanup-usage
    invalid value "12" for acceptUnseenAccounts: expected an account id of twelve digits, or * for all
    `usageExternalId` can't be the given value: expected an external id of 2 to 1224 letters, digits and _+=,.@:/-
    invalid value "nginx 123456789012.dkr.ecr.us-east-1.amazonaws.com/app:v1:v2" for inUseImages: the tag is not valid
    invalid value "<html>403" for inUseImages: `<html>403` is not an image reference
    invalid value "App" for repositories[0] in policies[0]: only * is a wildcard, and all other characters must be a-z 0-9 . _ - /
    missing rules in policies[0]: expected a list of rules, or "ecr"
    unknown setting `passwrd`: expected one of
    "#
    );
}
