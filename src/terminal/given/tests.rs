use serde_json::json;

use super::*;
use crate::terminal::arguments;

fn gather(arguments: &[&str], environment: &[(&str, &str)]) -> Given {
    let matches = arguments::command().get_matches_from([&["ecr-cleanup", "plan"], arguments].concat());
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let (_, matches) = matches.subcommand().unwrap();
    Given::gather(matches, Mode::DryRun, &environment).unwrap_or_else(|error| panic!("{error:?}"))
}

#[test]
fn what_is_saved_makes_the_same_settings_without_the_environment() {
    let policies = format!("{}/events/policies/one-for-all.json", env!("CARGO_MANIFEST_DIR"));
    let environments: [&[(&str, &str)]; 4] = [
        &[],
        &[
            ("ECR_CLEANUP_REGION", "None"),
            ("ECR_CLEANUP_IMAGES_TO_KEEP", " 5 "),
            ("DRYRUN", "false"),
            ("ECR_CLEANUP_EXACT_SIZES", ""),
        ],
        &[
            ("ECR_CLEANUP_REGION", "us-west-2, eu-central-1"),
            ("ECR_CLEANUP_UNTAGGED_OLDER_THAN_DAYS", "Never"),
            ("ECR_CLEANUP_KEEP_TAGS", ","),
        ],
        &[
            ("ECR_CLEANUP_IMAGES_TO_KEEP", "7"),
            ("ECR_CLEANUP_IGNORE_TAGS_REGEX", "^v,1$"),
            ("ECR_CLEANUP_KEEP_TAGS", "a,b"),
            ("ECR_CLEANUP_KEEP_PULLED_WITHIN_DAYS", "1"),
            ("ECR_CLEANUP_KEEP_PUSHED_WITHIN_DAYS", "2"),
            ("ECR_CLEANUP_REPOSITORIES", "web/*,api/*"),
            ("ECR_CLEANUP_EXCLUDE_REPOSITORIES", "web/old"),
            ("ECR_CLEANUP_POLICIES_FILE", &policies),
            ("ECR_CLEANUP_AUDIT_LIFECYCLE_POLICIES", "False"),
            ("ECR_CLEANUP_IN_USE_IMAGES", "nginx redis,busybox"),
            ("ECR_CLEANUP_ACCEPT_UNSEEN_ACCOUNTS", "*"),
            ("ECR_CLEANUP_USAGE_REGIONS", "us-west-2"),
            ("ECR_CLEANUP_USAGE_ROLE_ARNS", "arn:aws:iam::999999999999:role/usage"),
            ("ECR_CLEANUP_TASK_DEFINITIONS_TO_KEEP", "3"),
            ("ECR_CLEANUP_LAMBDA_VERSIONS_TO_KEEP", "4"),
            ("ECR_CLEANUP_MAX_DELETIONS", "9"),
        ],
    ];
    for environment in environments {
        for flags in [&[][..], &["--images-to-keep", "3", "--keep-tags", "c", "--in-use-images", "mysql"]] {
            let given = gather(flags, environment);
            let mut saved = given.settings.to_event();
            assert!(!saved.contains_key("dryRun"));
            saved.insert("dryRun".to_owned(), true.into());
            let again = Settings::resolve(&saved, &Environment::new(), &|file| std::fs::read_to_string(file)).unwrap();
            let again = Settings { given_by: given.settings.given_by.clone(), ..again };
            assert_eq!(format!("{again:?}"), format!("{:?}", given.settings), "{flags:?} {environment:?}");
        }
    }
}

#[test]
fn an_external_id_is_not_saved() {
    let given = gather(&["--usage-external-id", "one-of-ours"], &[("ECR_CLEANUP_USAGE_EXTERNAL_ID", "another")]);
    assert!(!given.settings.to_event().contains_key("usageExternalId"));
    let told = given.settings.effective().into_iter().find(|setting| setting.name == "usageExternalId").unwrap();
    assert_eq!((told.value, told.from), (json!("set"), GivenBy::Flag));
}

#[test]
fn images_in_use_are_added_to_those_that_are_known() {
    let file = std::env::temp_dir().join(format!("ecr-cleanup-{}-in-use.txt", std::process::id()));
    std::fs::write(&file, "busybox # and no other\n\nredis mysql\n").unwrap();
    let file_name = file.to_str().unwrap();
    let of = |arguments: &[&str], environment: &[(&str, &str)]| {
        let arguments = [&["--in-use-file", file_name], arguments].concat();
        gather(&arguments, environment).settings.usage.in_use_images
    };
    assert_eq!(of(&[], &[("ECR_CLEANUP_IN_USE_IMAGES", "nginx")]), ["nginx", "busybox", "mysql", "redis"]);
    assert_eq!(
        of(&["--in-use-images", "a,b"], &[("ECR_CLEANUP_IN_USE_IMAGES", "nginx")]),
        ["a", "b", "busybox", "mysql", "redis"]
    );
    std::fs::remove_file(file).unwrap();
}
