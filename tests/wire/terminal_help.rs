//! The help of every command, as it is printed. A snapshot that is not up to date fails, so that the language check, which reads these files,
//! reads the help.

use ecr_cleanup_core::settings::KEYS;
use simulated_aws::SimulatedAws;

use crate::terminal::ecr_cleanup;

/// A screen.
const LINES: usize = 40;
const COLUMNS: usize = 100;

const COMMANDS: [&str; 5] = ["plan", "delete", "usage", "explain", "completions"];

async fn help(arguments: &[&str]) -> String {
    let aws = SimulatedAws::start().await;
    let ran = ecr_cleanup(&aws, arguments).await;
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{arguments:?}");
    assert!(aws.calls().is_empty(), "{arguments:?}");
    ran.stdout
}

#[tokio::test]
async fn the_short_help_fits_on_a_screen() {
    insta::assert_snapshot!("help_short", help(&["-h"]).await);
    for command in COMMANDS {
        insta::assert_snapshot!(format!("help_short_{command}"), help(&[command, "-h"]).await);
    }
    for command in [&[][..], &["plan"], &["delete"], &["usage"], &["explain"], &["completions"]] {
        let text = help(&[command, &["-h"]].concat()).await;
        assert!(text.lines().count() <= LINES, "{command:?} has {} lines", text.lines().count());
        assert!(text.lines().all(|line| line.chars().count() <= COLUMNS), "{command:?}\n{text}");
        let is_of_completions = command == ["completions"];
        assert_eq!(text.contains("--help\n"), !is_of_completions, "{command:?} says where all settings are\n{text}");
        assert_eq!(text.contains("Checks ECS and Lambda"), !is_of_completions, "{command:?}\n{text}");
    }
}

#[tokio::test]
async fn the_long_help_has_every_setting_that_matters_to_its_command() {
    insta::assert_snapshot!("help_long", help(&["--help"]).await);
    for command in COMMANDS {
        insta::assert_snapshot!(format!("help_long_{command}"), help(&[command, "--help"]).await);
    }
    let shown = async |command: &str| {
        let text = help(&[command, "--help"]).await;
        let is_shown =
            |flag: &str| [format!("  --{flag} "), format!("  --{flag}[=")].iter().any(|flag| text.contains(flag));
        KEYS.iter().filter(|key| is_shown(&key.flag())).map(|key| key.name).collect::<Vec<_>>()
    };
    let all: Vec<&str> = KEYS.iter().map(|key| key.name).filter(|name| *name != "dryRun").collect();
    assert_eq!(shown("plan").await, all);
    assert_eq!(shown("delete").await, all);
    let of_discovery = [
        "inUseImages",
        "usageRegions",
        "usageRoleArns",
        "usageExternalId",
        "taskDefinitionsToKeep",
        "lambdaVersionsToKeep",
    ];
    assert_eq!(shown("usage").await, of_discovery);
    let of_explain = shown("explain").await;
    for hidden in ["maxDeletions", "exactSizes", "pricePerGbMonth", "dryRun"] {
        assert!(!of_explain.contains(&hidden), "{hidden}");
    }
    assert_eq!(shown("completions").await, Vec::<&str>::new());
}

#[tokio::test]
async fn a_flag_that_the_help_does_not_show_is_accepted_all_the_same() {
    let aws = SimulatedAws::start().await;
    let app = aws.repository("web/app").daily_builds(2);
    aws.cluster("prod").runs(&app.uri("v2"));
    let flags = ["--quiet", "--images-to-keep", "3", "--max-deletions", "7", "--tags", "v*", "--dry-run"];
    for command in [&["plan"][..], &["explain", "web/app:v1"]] {
        let ran = ecr_cleanup(&aws, &[command, &flags].concat()).await;
        assert_eq!(ran.code, 0, "{command:?}: {}", ran.stderr);
    }
    // These would look like filters of `usage`.
    for flag in [["--region", "us-west-2"], ["--repositories", "web/*"], ["--tags", "v*"]] {
        let ran = ecr_cleanup(&aws, &[&["usage"][..], &flag].concat()).await;
        assert!(ran.code == 2 && ran.stderr.contains("unexpected argument"), "{flag:?}: {}", ran.stderr);
    }
}
