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
        &[("REGION", "None"), ("IMAGES_TO_KEEP", " 5 "), ("DRYRUN", "false"), ("EXACT_SIZES", "")],
        &[("REGION", "us-west-2, eu-central-1"), ("UNTAGGED_OLDER_THAN_DAYS", "Never"), ("KEEP_TAGS", ",")],
        &[
            ("IMAGES_TO_KEEP", "7"),
            ("IGNORE_TAGS_REGEX", "^v,1$"),
            ("KEEP_TAGS", "a,b"),
            ("KEEP_PULLED_WITHIN_DAYS", "1"),
            ("KEEP_PUSHED_WITHIN_DAYS", "2"),
            ("REPOSITORIES", "web/*,api/*"),
            ("EXCLUDE_REPOSITORIES", "web/old"),
            ("POLICIES_FILE", &policies),
            ("AUDIT_LIFECYCLE_POLICIES", "False"),
            ("IN_USE_IMAGES", "nginx redis,busybox"),
            ("ACCEPT_UNSEEN_ACCOUNTS", "*"),
            ("USAGE_REGIONS", "us-west-2"),
            ("USAGE_ROLE_ARNS", "arn:aws:iam::999999999999:role/usage"),
            ("TASK_DEFINITIONS_TO_KEEP", "3"),
            ("LAMBDA_VERSIONS_TO_KEEP", "4"),
            ("MAX_DELETIONS", "9"),
        ],
    ];
    for environment in environments {
        for flags in [&[][..], &["--images-to-keep", "3", "--keep-tags", "c", "--in-use-images", "mysql"]] {
            let given = gather(flags, environment);
            let mut saved = given.to_save().unwrap();
            assert!(!saved.contains_key("dryRun"));
            saved.insert("dryRun".to_owned(), true.into());
            let again = Settings::resolve(&saved, &Environment::new(), &|file| std::fs::read_to_string(file)).unwrap();
            assert_eq!(format!("{again:?}"), format!("{:?}", given.settings), "{flags:?} {environment:?}");
        }
    }
}

#[test]
fn an_external_id_is_not_saved() {
    let given = gather(&["--usage-external-id", "one-of-ours"], &[("USAGE_EXTERNAL_ID", "another")]);
    assert_eq!(serde_json::Value::from(given.to_save().unwrap()), json!({}));
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
    assert_eq!(of(&[], &[("IN_USE_IMAGES", "nginx")]), ["nginx", "busybox", "redis", "mysql"]);
    assert_eq!(of(&["--in-use-images", "a,b"], &[("IN_USE_IMAGES", "nginx")]), ["a", "b", "busybox", "redis", "mysql"]);
    std::fs::remove_file(file).unwrap();
}
