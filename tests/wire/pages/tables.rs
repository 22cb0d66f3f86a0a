//! The tables of the pages have a row for every value in the code.

use std::collections::BTreeSet;

use ecr_cleanup_core::report::metrics;
use ecr_cleanup_core::retention::KeepReason;
use ecr_cleanup_core::settings::KEYS;
use regex::Regex;
use serde_json::{Value, json};
use simulated_aws::SimulatedAws;

use super::page::{Page, root};
use crate::support::run_on;

fn read(file: &str) -> String {
    std::fs::read_to_string(root().join(file)).unwrap()
}

/// The words that a key of the schema may have, in their order.
fn words_of(pointer: &str) -> Vec<String> {
    let schema: Value = serde_json::from_str(&read("events/report.schema.json")).unwrap();
    let words = schema.pointer(pointer).unwrap_or_else(|| panic!("the schema has no {pointer}"));
    words.as_array().unwrap().iter().map(|word| word.as_str().unwrap().to_owned()).collect()
}

fn set(words: Vec<String>) -> BTreeSet<String> {
    words.into_iter().collect()
}

#[test]
fn settings_have_a_row_each_and_every_spelling() {
    let Page { text, .. } = Page::read("events/README.md");
    for key in KEYS {
        let variable = key.environment.map_or(String::new(), |variable| format!("`{variable}` "));
        let row = format!("| `{}` | {variable}|", key.name);
        let (_, rest) = text.split_once(&row).unwrap_or_else(|| panic!("{row}"));
        let default = rest.split('|').next().unwrap();
        match key.default.map(|default| default.split(';').next().unwrap()) {
            // In words, which the page has in words of its own.
            Some(words) if words.contains(' ') => assert!(default.contains("all enabled Regions"), "{row}{default}"),
            Some(value) => assert!(default.contains(value), "{row}{default}"),
            None => assert!([" none ", " `[]` ", " `true` "].contains(&default), "{row}{default}"),
        }
        for spelling in key.also {
            assert!(text.contains(&format!("`{spelling}`")), "{spelling}");
        }
    }
    assert_eq!(Page::read("events/README.md").keys("key").len(), KEYS.len());
}

#[test]
fn reasons_results_and_errors_have_a_row_each() {
    let reasons: Vec<String> = KeepReason::ALL.iter().map(|reason| reason.as_str().to_owned()).collect();
    assert_eq!(Page::read("events/README.md").keys("reason"), reasons, "in the order of the report");
    let report = Page::read("events/report.md");
    assert_eq!(report.keys("result"), words_of("/$defs/staleImage/properties/result/enum"));
    assert_eq!(set(report.keys("because")), set(words_of("/$defs/missingImage/properties/because/enum")));
    for pointer in ["/properties/outcome/enum", "/$defs/from/enum", "/$defs/staleImage/properties/reasonCode/enum"] {
        for word in words_of(pointer) {
            assert!(report.text.contains(&format!("`{word}`")), "{word}");
        }
    }
    let of_lambda = read("src/lambda.rs");
    let types = Regex::new(r#"(?:=>|error_type:) "([A-Z]\w+)""#).unwrap();
    let types = types.captures_iter(&of_lambda).map(|found| found[1].to_owned()).collect();
    assert_eq!(report.keys("error").into_iter().collect::<BTreeSet<_>>(), types);
}

#[tokio::test(start_paused = true)]
async fn every_metric_is_explained() {
    let report = run_on(&SimulatedAws::in_memory(), json!({})).await;
    let document: Value = serde_json::from_str(&metrics(&report)[0]).unwrap();
    let directive = &document["_aws"]["CloudWatchMetrics"][0];
    let names = directive["Metrics"].as_array().unwrap().iter().map(|metric| metric["Name"].as_str().unwrap());
    let code = Regex::new("`([^`]+)`").unwrap();
    let page = Page::read("events/report.md");
    let explained: Vec<String> = page
        .rows("metric")
        .iter()
        .flat_map(|row| code.captures_iter(&row[0]).map(|found| found[1].to_owned()).collect::<Vec<_>>())
        .collect();
    assert_eq!(set(explained), names.map(str::to_owned).collect());
    assert!(page.text.contains(&format!("`{}`", directive["Namespace"].as_str().unwrap())));
}

#[test]
fn every_alarm_says_what_to_do() {
    let template = read("infra/template.yaml");
    let alarm = Regex::new(r"\n  (\w+):\n    Type: AWS::CloudWatch::Alarm\n").unwrap();
    let alarms = alarm.captures_iter(&template).map(|found| found[1].to_owned()).collect();
    assert_eq!(set(Page::read("infra/README.md").keys("alarm")), alarms);
}

/// The names of the files of a folder that end so.
fn files(folder: &str, ending: &str) -> BTreeSet<String> {
    let names = std::fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().file_name());
    names.map(|name| name.into_string().unwrap()).filter(|name| name.ends_with(ending)).collect()
}

#[test]
fn every_file_that_users_take_has_a_row() {
    for (page, folder, ending) in [
        ("events/README.md", "events", ".json"),
        ("events/policies/README.md", "events/policies", ".json"),
        ("infra/README.md", "infra", ".yaml"),
    ] {
        let text = Page::read(page).text;
        for file in files(folder, ending).iter().filter(|file| *file != "report.schema.json") {
            assert!(text.contains(&format!("({file})")), "{page} lacks {file}");
        }
    }
}

#[test]
fn every_module_has_its_place_in_the_architecture() {
    let modules = read("src/lib.rs");
    let page = Page::read("src/README.md");
    for module in modules.lines().filter_map(|line| line.strip_prefix("pub mod ")) {
        let file = module.replace(';', ".rs");
        assert!(page.text.contains(&format!("({file})")), "{file}");
    }
}
