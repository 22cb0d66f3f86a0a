//! Every word that the pages write as code is one that the code, a template or the report's schema has.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::LazyLock;

use ecr_cleanup_core::settings::KEYS;
use ecr_cleanup_core::settings::keys::PREFIX;
use serde_json::Value;

use super::page::{Page, root};

/// Names of others: of AWS, of the shell, of tools, and of this program as it is written.
const OF_OTHERS: [&str; 28] = [
    "$LATEST",
    "$LATEST.PUBLISHED",
    "*",
    "-",
    "-dryrun",
    "-imagestokeep",
    "-ignoretagsregex",
    "-region",
    "AWS_PROFILE",
    "AWS_REGION",
    "DRAINING",
    "Input",
    "RUST_LOG=debug",
    "ROLE_ARN",
    "aws-sam-cli-managed-default",
    "ecr-cleanup",
    "ecr-cleanup-lambda",
    "ecr-cleanup: delete",
    "kubectl",
    "kubectl -o json",
    "latest",
    "not-latest-really",
    "null",
    "repository:tag",
    "samconfig.toml",
    "us-east-1",
    "x86_64",
    "~/.local/state",
];

/// Patterns and tags in examples, and what begins with a part of a name.
const EXAMPLES: [&str; 10] = [
    "app-v",
    "base/*",
    "exact",
    "sha256-*",
    "sha256-<hex>",
    "v*",
    "ecr",
    "plan.json",
    "policies.json",
    "s3://bucket/prefix",
];

/// The text of the code that the program is made of.
static CODE: LazyLock<String> = LazyLock::new(|| {
    let mut code = String::new();
    read_below(&root().join("src"), &mut code);
    code
});

fn read_below(folder: &Path, code: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_below(&path, code);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            // Names in tests don't count.
            code.push_str(text.split("#[cfg(test)]").next().unwrap());
        }
    }
}

/// The keys and the words of the report's schema.
static SCHEMA: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
    let text = std::fs::read_to_string(root().join("events/report.schema.json")).unwrap();
    let mut words = BTreeSet::new();
    gather(&serde_json::from_str(&text).unwrap(), &mut words);
    words
});

fn gather(schema: &Value, words: &mut BTreeSet<String>) {
    match schema {
        Value::Object(fields) => {
            for (name, value) in fields {
                match (name.as_str(), value) {
                    ("properties", Value::Object(properties)) => words.extend(properties.keys().cloned()),
                    ("enum", Value::Array(items)) => {
                        words.extend(items.iter().filter_map(Value::as_str).map(str::to_owned));
                    }
                    ("const", Value::String(word)) => _ = words.insert(word.clone()),
                    _ => {}
                }
                gather(value, words);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| gather(item, words)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn read(file: &str) -> String {
    std::fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn is_setting(name: &str) -> bool {
    KEYS.iter().any(|key| {
        let variable = name.strip_prefix(PREFIX).unwrap_or(name);
        key.is_spelled(name) || key.environment == Some(variable)
    }) || name == PREFIX
}

/// A parameter, a resource or an output of a template, a placeholder or statement of the plain policies, or a table, a
/// partition or a folder of the queries.
fn is_in_infra(name: &str) -> bool {
    let templates = ["template.yaml", "usage-role.yaml", "pull-time-exclusion.yaml"];
    let declares = |template: &&str| read(&format!("infra/{template}")).contains(&format!("\n  {name}:"));
    let plain = read("infra/plain/policy-dry-run.json") + &read("infra/plain/schedule.json");
    let is_placeholder = name.chars().all(|letter| letter.is_ascii_uppercase() || letter == '_');
    let queries = read("infra/athena.sql");
    let in_queries = |between: &str| queries.contains(&between.replace("NAME", name));
    templates.iter().any(declares)
        || ["TABLE NAME (", "(NAME string", "/NAME/'"].iter().any(|between| in_queries(between))
        || plain.contains(&format!("\"Sid\": \"{name}\""))
        || (is_placeholder && [format!(":{name}:"), format!(":{name}\"")].iter().any(|placed| plain.contains(placed)))
}

fn is_file(name: &str, page: &Page) -> bool {
    let module = root().join("src").join(name).with_extension("rs");
    page.folder().join(name).exists() || root().join(name).exists() || module.exists()
}

/// A part of the benchmarks, or a command of `make` with the variables it has.
fn is_of_make(name: &str) -> bool {
    let part = format!("is_asked_for(\"{name}\")");
    is_command_of_make(name) || read("tests/bench/account/main.rs").contains(&part)
}

/// `make TARGET NAME=value`, as the Makefile has them.
fn is_command_of_make(command: &str) -> bool {
    let makefile = read("Makefile");
    let Some(rest) = command.strip_prefix("make ") else { return false };
    let (target, variables) = rest.split_once(' ').unwrap_or((rest, ""));
    let is_used = |variable: &str| {
        variable.split_once('=').is_some_and(|(name, value)| {
            !value.is_empty()
                && (makefile.contains(&format!("$({name})")) || makefile.contains(&format!("$(if $({name})")))
        })
    };
    makefile.lines().any(|line| line.starts_with(&format!("{target}:"))) && variables.split_whitespace().all(is_used)
}

/// A setting with its value, or a part of a policy.
fn is_json(text: &str) -> bool {
    let Ok(Value::Object(fields)) = serde_json::from_str::<Value>(&format!("{{{text}}}")) else { return false };
    fields.keys().all(|key| is_setting(key) || CODE.contains(&format!("\"{key}\"")))
}

/// Whether what a page writes as code is a name that exists. Commands and flags are tried elsewhere.
fn is_known(name: &str, page: &Page) -> bool {
    let is_in_schema = name.split('.').all(|part| SCHEMA.contains(part));
    let is_tried_elsewhere = ["--", "ecr-cleanup ", "cargo "].iter().any(|begin| name.starts_with(begin));
    // `sha256-<hex>.sig`: what the tag of a signature ends with.
    let is_ending = name.strip_prefix("sha256-<hex>").is_some_and(|ending| CODE.contains(&format!("\"{ending}\"")));
    OF_OTHERS.contains(&name)
        || EXAMPLES.contains(&name)
        || is_tried_elsewhere
        || is_in_schema
        || is_ending
        || is_setting(name)
        || is_in_infra(name)
        || is_of_make(name)
        || is_file(name, page)
        || is_json(name)
        || CODE.contains(&format!("\"{}\"", name.replace("RUN_ID", "{run_id}")))
        || is_value(name)
}

/// A value of a setting: a list, a number or a boolean.
fn is_value(name: &str) -> bool {
    serde_json::from_str::<Value>(name).is_ok_and(|value| !value.is_object())
}

#[test]
fn everything_that_is_written_as_code_exists() {
    let mut unknown = Vec::new();
    for page in Page::all() {
        let spans = page.spans().into_iter().filter(|span| !is_known(span, &page));
        unknown.extend(spans.map(|span| format!("{}: {span}", page.name)));
    }
    assert!(unknown.is_empty(), "{}", unknown.join("\n"));
}

#[test]
fn every_command_of_make_is_one_of_the_makefile() {
    let mut checked = 0;
    for page in Page::all() {
        let spans = page.spans();
        let commands = page.commands().chain(spans.iter().map(String::as_str));
        for command in commands.filter(|command| command.starts_with("make ")) {
            assert!(is_command_of_make(command), "{}: {command}", page.name);
            checked += 1;
        }
    }
    assert!(checked > 20, "{checked} commands");
    let (spans, ci) = (Page::read("src/README.md").spans(), read(".ci/run"));
    for step in ci.lines().filter(|line| line.starts_with("make ")) {
        assert!(spans.iter().any(|span| span == step), "{step}");
    }
}
