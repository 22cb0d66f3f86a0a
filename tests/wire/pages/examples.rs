//! The JSON in the pages works, and so do the policies of the gallery as its page describes them.

use std::collections::BTreeSet;
use std::path::Path;

use ecr_cleanup_core::report::Outcome;
use regex::Regex;
use serde_json::{Value, json};
use simulated_aws::{Image, SimulatedAws};

use super::page::{Page, root};
use crate::support::{run_on, with};

/// The JSON blocks of a page.
fn blocks(name: &'static str) -> Vec<Value> {
    let page = Page::read(name);
    let json = page.blocks.iter().filter(|block| block.language == "json");
    json.map(|block| serde_json::from_str(&block.text).unwrap_or_else(|error| panic!("{name}: {error}"))).collect()
}

#[tokio::test(start_paused = true)]
async fn every_event_in_a_page_is_one_that_works() {
    let mut tried = 0;
    for page in super::page::PAGES {
        for event in blocks(page) {
            let aws = SimulatedAws::in_memory();
            let app = aws.repository("app").daily_builds(3);
            aws.cluster("prod").runs(&app.uri("v1"));
            let report = run_on(&aws, with(event, &json!({ "dryRun": true }))).await;
            assert_eq!(report.outcome, Outcome::Planned, "{page}");
            tried += 1;
        }
    }
    assert!(tried >= 2, "{tried}");
    let known = ["json", "sh", "text", "console"];
    for block in Page::all().iter().flat_map(|page| &page.blocks) {
        assert!(known.contains(&block.language.as_str()), "a block of `{}` is not tried", block.language);
    }
}

#[tokio::test(start_paused = true)]
async fn the_policy_in_the_page_expires_and_archives_what_it_says() {
    let event = blocks("events/policies/README.md").remove(0);
    let aws = SimulatedAws::in_memory();
    let web = aws.repository("web/shop");
    web.push_all((1..=7).map(|build| Image::tagged(&format!("{build}-SNAPSHOT")).days_old(99.0 - f64::from(build))));
    web.push(Image::tagged("1.0").days_old(61.0));
    aws.cluster("prod").runs("nginx");
    let report = run_on(&aws, with(event, &json!({ "dryRun": false }))).await;
    assert_eq!(
        (report.outcome, report.totals.images_deleted, report.totals.images_archived),
        (Outcome::Completed, 2, 1)
    );
}

/// All numbers that the rules of a policy count to, days also as weeks.
fn counts(policy: &Value, found: &mut BTreeSet<u64>) {
    match policy {
        Value::Object(fields) => {
            if let Some(count) = fields.get("countNumber").and_then(Value::as_u64) {
                found.insert(count);
                found.extend((count % 7 == 0).then_some(count / 7));
            }
            fields.values().for_each(|value| counts(value, found));
        }
        Value::Array(items) => items.iter().for_each(|item| counts(item, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn the_numbers_of_the_gallery_are_those_of_its_policies() {
    let number = Regex::new(r"\b[0-9]+\b").unwrap();
    let code = Regex::new("`[^`]*`").unwrap();
    for row in Page::read("events/policies/README.md").rows("file") {
        let (_, file) = row[0].split_once("](").unwrap();
        let path = Path::new("events/policies").join(file.trim_end_matches(')'));
        let policy = serde_json::from_str(&std::fs::read_to_string(root().join(&path)).unwrap()).unwrap();
        let mut known = BTreeSet::new();
        counts(&policy, &mut known);
        let told = code.replace_all(&row[1], "").into_owned();
        for found in number.find_iter(&told) {
            assert!(known.contains(&found.as_str().parse().unwrap()), "{}: {}", path.display(), found.as_str());
        }
    }
}

#[test]
fn what_a_page_quotes_of_the_demo_is_what_it_prints() {
    let demo = Path::new(env!("CARGO_BIN_EXE_ecr-cleanup")).parent().unwrap().join("examples/demo");
    let output = std::process::Command::new(demo).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let printed = String::from_utf8(output.stdout).unwrap();
    let page = Page::read("README.md");
    let quoted = page.blocks.iter().filter(|block| block.language == "text").flat_map(|block| block.text.lines());
    let quoted: Vec<&str> = quoted.collect();
    assert!(quoted.len() >= 2, "{quoted:?}");
    for line in quoted {
        assert!(printed.lines().any(|printed| printed == line), "the demo does not print {line:?}");
    }
}
