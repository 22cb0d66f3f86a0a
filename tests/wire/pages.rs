//! The pages that people read: what they say is so. Every command in them works, every name in them exists, every number
//! in them is one of the code, and every link leads somewhere.

#[cfg(feature = "cli")]
mod commands;
mod examples;
mod language;
mod links;
mod names;
mod numbers;
mod page;
mod tables;

use std::collections::BTreeSet;
use std::path::Path;

use page::{PAGES, Page, root};

use crate::permissions::calls_of_a_full_run;

/// What fits on a screen.
const SCREEN: usize = 40;
/// Words that people read in a few minutes.
const README_WORDS: usize = 1_100;

fn markdown_below(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            markdown_below(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "md") {
            found.insert(path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned());
        }
    }
}

#[test]
fn every_page_is_checked() {
    let mut found = BTreeSet::from(["README.md", "CHANGELOG.md"].map(str::to_owned));
    for folder in ["events", "infra", "src", "tests"] {
        markdown_below(&root().join(folder), &mut found);
    }
    // It names the tools that made those manifests, and nothing of this program.
    found.remove("tests/real_manifests/README.md");
    assert_eq!(found, PAGES.map(str::to_owned).into());
}

#[test]
fn the_readme_is_short_and_its_first_screen_shows_the_way_without_risk() {
    let Page { text, .. } = Page::read("README.md");
    let words = text.split_whitespace().count();
    assert!(words <= README_WORDS, "{words} words");
    let screen = text.lines().take(SCREEN).collect::<Vec<_>>().join("\n");
    for shown in
        ["\ncargo install --locked --path .\n", "\necr-cleanup plan\n", "(infra/plain/policy-dry-run.json)", "#pulls)"]
    {
        assert!(screen.contains(shown), "{shown}");
    }
}

#[test]
fn cargo_installs_the_command_as_the_pages_say() {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    for declared in ["\ndefault = [\"cli\"]\n", "\n[[bin]]\nname = \"ecr-cleanup\"\n", "\nname = \"ecr-cleanup\"\n"] {
        assert!(manifest.contains(declared), "{declared}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_policy_that_the_readme_links_is_what_plan_needs_and_lets_nothing_be_changed() {
    let text = std::fs::read_to_string(root().join("infra/plain/policy-dry-run.json")).unwrap();
    let policy: serde_json::Value = serde_json::from_str(&text).unwrap();
    // Those that README says are for the function alone.
    let of_the_function = |statement: &&serde_json::Value| {
        ["Log", "ListMemory", "Memory"].into_iter().any(|name| statement["Sid"] == name)
    };
    let statements = policy["Statement"].as_array().unwrap().iter().filter(|it| !of_the_function(it));
    let granted: BTreeSet<String> = statements
        .flat_map(|statement| statement["Action"].as_array().unwrap())
        .map(|action| action.as_str().unwrap().to_owned())
        .collect();
    let reads = ["BatchGet", "Describe", "Get", "List"];
    for action in &granted {
        assert!(reads.iter().any(|read| action.split_once(':').unwrap().1.starts_with(read)), "{action}");
    }
    let called = calls_of_a_full_run().await.into_iter().map(|(_, operation)| operation);
    // The other calls of a live run and of a bucket as memory, and those that need no grant.
    let others = [
        "ecr:BatchDeleteImage",
        "ecr:UpdateImageStorageClass",
        "s3:GetObject",
        "s3:ListBucket",
        "s3:PutObject",
        "sts:AssumeRole",
        "sts:GetCallerIdentity",
    ];
    assert_eq!(granted, called.filter(|operation| !others.contains(&operation.as_str())).collect());
}
