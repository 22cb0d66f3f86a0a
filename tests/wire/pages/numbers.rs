//! Every number in the pages is one of the code, of the templates or of AWS's published prices. The measurements are in one
//! table, in `tests/README.md`.

use ecr_cleanup::discovery::FreshnessLimits;
use ecr_cleanup_core::clock_skew;
use ecr_cleanup_core::report::{RESPONSE_BYTES, metrics};
use ecr_cleanup_core::settings::{
    DEFAULT_IMAGES_TO_KEEP, DEFAULT_KEEP_BEFORE_IN_USE, DEFAULT_KEEP_PULLED_WITHIN_DAYS, DEFAULT_KEEP_USED_WITHIN_DAYS,
    DEFAULT_UNTAGGED_OLDER_THAN_DAYS,
};
use regex::Regex;
use serde_json::{Value, json};
use simulated_aws::SimulatedAws;

use super::page::{Page, root};
use crate::support::run_on;

/// Nightly runs of a month, and the hours of such a month.
const RUNS: f64 = 30.0;
const HOURS: f64 = 720.0;
/// AWS's published prices for us-east-1 in USD: a GB-second of Lambda, a metric a month, an alarm, a GB of log.
const GB_SECOND: &str = "0.0000166667";
const METRIC: f64 = 0.30;
const ALARM: f64 = 0.10;
const LOG_GB: f64 = 0.50;
/// What the page reckons with: regions of the second example, stale images of a run, and the bytes of one in the log.
const REGIONS: f64 = 17.0;
const STALE: f64 = 30_000.0;
const LOGGED: f64 = 200.0;

fn read(file: &str) -> String {
    std::fs::read_to_string(root().join(file)).unwrap()
}

/// What stands behind this in a file, up to the end of its line.
fn value(file: &str, before: &str) -> String {
    let text = read(file);
    let (_, rest) = text.split_once(before).unwrap_or_else(|| panic!("{file} lacks {before:?}"));
    rest.lines().next().unwrap().trim_matches([' ', '"', ';']).to_owned()
}

/// What nightly runs cost in a month.
struct Costs {
    function: f64,
    metrics: [f64; 2],
    alarms: f64,
    log: f64,
}

/// How many metrics a run writes for each region, and how many alarms the stack has.
async fn metrics_and_alarms() -> (usize, usize) {
    let report = run_on(&SimulatedAws::in_memory(), json!({})).await;
    let document: Value = serde_json::from_str(&metrics(&report)[0]).unwrap();
    let of_a_region = document["_aws"]["CloudWatchMetrics"][0]["Metrics"].as_array().unwrap().len();
    (of_a_region, read("infra/template.yaml").matches("Type: AWS::CloudWatch::Alarm").count())
}

fn costs((of_a_region, alarms): (usize, usize)) -> Costs {
    let number = |text: String| text.parse::<f64>().unwrap_or_else(|_| panic!("{text}"));
    let gigabytes = number(value("infra/template.yaml", "MemorySize:\n    Type: Number\n    Default: ")) / 1_024.0;
    let seconds = number(value("infra/template.yaml", "      Timeout: "));
    let of_a_region = f64::from(u32::try_from(of_a_region).unwrap());
    let metrics = [1.0, REGIONS].map(|regions| of_a_region * (1.0 + regions) * METRIC * RUNS / HOURS);
    Costs {
        function: RUNS * seconds * gigabytes * number(GB_SECOND.to_owned()),
        metrics,
        alarms: f64::from(u32::try_from(alarms).unwrap()) * ALARM,
        log: STALE * RUNS * LOGGED / 1e9 * LOG_GB,
    }
}

/// The phrases with numbers that the pages may have, made from the code.
async fn phrases() -> Vec<String> {
    let (of_a_region, alarms) = metrics_and_alarms().await;
    let costs = costs((of_a_region, alarms));
    let total = costs.function + costs.metrics[0] + costs.alarms + costs.log;
    let template = "infra/template.yaml";
    let hour = value(template, "Default: cron(0 ");
    let hour = hour.split(' ').next().unwrap();
    assert_eq!(value(template, "ScheduleTimezone:\n    Type: String\n    Default: "), "UTC");
    let environments = value("tests/wire/proof/environments.rs", "const ENVIRONMENTS: usize = ");
    let schema: Value = serde_json::from_str(&read("events/report.schema.json")).unwrap();
    let (days, untagged) = (DEFAULT_KEEP_PULLED_WITHIN_DAYS, DEFAULT_UNTAGGED_OLDER_THAN_DAYS);
    assert!((5_500_000..6_000_000).contains(&RESPONSE_BYTES));
    assert_eq!(value("src/core/report.rs", "const GB: f64 = "), "1_073_741_824.0");
    assert_eq!(value("src/core/retention.rs", "const DAY: i64 = "), "86_400");
    vec![
        format!("{} or newer", value("Cargo.toml", "rust-version = ")),
        value("Cargo.toml", "license = "),
        value("Makefile", "PYTHON ?= ").replace("python", "Python "),
        format!("last {days} days"),
        format!("within {days} days"),
        format!("is {days} by default"),
        format!("newest {DEFAULT_IMAGES_TO_KEEP} tagged images"),
        format!("older than {untagged} days"),
        format!("waits {untagged} days"),
        format!("Default: {DEFAULT_KEEP_BEFORE_IN_USE}."),
        format!("Default: {DEFAULT_KEEP_USED_WITHIN_DAYS}."),
        format!("for {DEFAULT_KEEP_USED_WITHIN_DAYS} days after their last use"),
        format!(
            "gone for {} days",
            value("src/core/memory.rs", "DAYS_AFTER_GONE: TimeDelta = TimeDelta::days(").replace(')', "")
        ),
        format!("earlier versions for {} days", value(template, "NoncurrentDays: ")),
        format!("last {} runs", value("src/core/report/trend.rs", "const RUNS: usize = ")),
        format!(
            "more than {} stale images, or",
            value("src/memory/reports.rs", "const WHOLE_IMAGES: u64 = ").replace('_', ",")
        ),
        format!("after {} days, and saved", value(template, "ecr-cleanup/reports/\n            ExpirationInDays: ")),
        format!("plans after {} days", value(template, "ecr-cleanup/plans/\n            ExpirationInDays: ")),
        format!("every {} seconds", FreshnessLimits::CONTRACT.listing_max_age.as_secs()),
        format!("has `version` {}", schema["properties"]["version"]["const"]),
        format!("{environments} environments"),
        format!("0{hour}:00 UTC"),
        // What a zero means, which the settings' own tests show.
        "0 disables this check".to_owned(),
        "a minimum with default 0".to_owned(),
        "default of `imagesToKeep` is 0".to_owned(),
        "`countNumber` of 0".to_owned(),
        "2^30 bytes".to_owned(),
        "86,400 seconds".to_owned(),
        "Lambda's 6 MB".to_owned(),
        // A limit of AWS's, which `tests/infra/check.py` looks up.
        "8,192 characters".to_owned(),
        format!("About ${total:.0} a month"),
        format!("{} MB", value(template, "MemorySize:\n    Type: Number\n    Default: ")),
        format!("${GB_SECOND} a GB-second"),
        format!("at most ${:.2}, for {RUNS} runs of 15 minutes", costs.function),
        format!("metrics, {of_a_region} in all and {of_a_region} for each Region"),
        format!("${METRIC:.2} each, by the hours"),
        format!("${:.2} for one Region, ${:.2} for {REGIONS}", costs.metrics[0], costs.metrics[1]),
        format!("{alarms} alarms | ${ALARM:.2} each | ${:.2} |", costs.alarms),
        format!("${LOG_GB:.2} a GB | ${:.2} for 30,000 stale images in each run, at about {LOGGED} bytes", costs.log),
        "$3 each, after the first 3 of an account | $0 or $3".to_owned(),
    ]
}

#[tokio::test(start_paused = true)]
async fn every_number_is_that_of_the_code() {
    let phrases = phrases().await;
    let (link, code) = (Regex::new(r"\]\([^)]*\)").unwrap(), Regex::new("`[^`]*`").unwrap());
    let (number, item) = (Regex::new(r".{0,30}\b[0-9].{0,30}").unwrap(), Regex::new(r"^[0-9]\. ").unwrap());
    let mut unused: Vec<&String> = phrases.iter().collect();
    for page in Page::all() {
        // The tables of what was measured, of examples and of exit codes have tests of their own.
        let own = [
            "| `calls`",
            "| `serial`",
            "| `quotas`",
            "| `growth`",
            "| `manifests`",
            "| `start`",
            "| `nights`",
            "| `make prove`",
            "| [",
            "| 0 ",
            "| 1 ",
            "| 2 ",
        ];
        let lines = page.lines.iter().filter(|line| !own.iter().any(|begin| line.starts_with(begin)));
        let lines: Vec<_> = lines.map(|line| item.replace(line, "")).collect();
        let mut text = link.replace_all(&lines.join(" "), "]").replace(['[', ']'], "");
        for phrase in &phrases {
            if text.contains(phrase.as_str()) {
                unused.retain(|unused| *unused != phrase);
                text = text.replace(phrase.as_str(), "");
            }
        }
        let text = code.replace_all(&text, "code");
        let left: Vec<&str> = number.find_iter(&text).map(|found| found.as_str()).collect();
        assert!(left.is_empty(), "{}: {left:?}", page.name);
    }
    assert!(unused.is_empty(), "no page has {unused:?}");
}

#[test]
fn five_minutes_are_the_limit_of_usage_plans_and_clocks() {
    let FreshnessLimits { max_age, plan_max_age, .. } = FreshnessLimits::CONTRACT;
    let tolerated = clock_skew::TOLERATED.to_std().unwrap();
    for limit in [max_age, plan_max_age, tolerated] {
        assert_eq!(limit.as_secs(), 5 * 60);
    }
}

#[test]
fn what_was_measured_is_measured_by_the_benchmarks() {
    let bench = read("tests/bench/account/main.rs");
    for row in Page::read("tests/README.md").rows("part") {
        let [part, what, measured, budget] = &row[..] else { panic!("{row:?}") };
        assert!(measured.contains(|letter: char| letter.is_ascii_digit()), "{what}");
        let part = part.trim_matches('`');
        assert!(part == "make prove" || bench.contains(&format!("is_asked_for(\"{part}\")")), "{part}");
        let budget = budget.replace('×', "x");
        assert!(bench.contains(&budget), "{what}: {budget}");
    }
}

/// The function's log of a dry run over the demo's company has about as many bytes for a stale image as the costs say.
#[cfg(feature = "cli")]
#[tokio::test]
async fn a_stale_image_has_about_as_many_bytes_in_the_log_as_the_costs_say() {
    use simulated_aws::Function;

    let aws = super::commands::company().await;
    let binary = std::path::Path::new(env!("CARGO_BIN_EXE_ecr-cleanup"));
    let function = Function::start(binary, aws.url(), &[]).await;
    let report = function.invoke(&json!({})).await.unwrap();
    let log = function.stop().await;
    let bytes: usize = log.iter().filter(|line| line.contains("\"stale\":[")).map(String::len).sum();
    let images = report["totals"]["imagesStale"].as_u64().unwrap();
    let each = f64::from(u32::try_from(bytes).unwrap()) / f64::from(u32::try_from(images).unwrap());
    assert!((LOGGED * 0.75..LOGGED * 1.25).contains(&each), "{each} bytes");
}
