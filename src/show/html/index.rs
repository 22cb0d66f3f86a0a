//! The page that lists the runs of a memory, each with a link to its own page.

use std::fmt::Write;

use ecr_cleanup_core::report::{RunSummary, Trend, key_of_page};

use super::{STYLE, chart, fill};
use crate::show::figures::{bytes, count, counted, usd};

const PAGE: &str = include_str!("index.html");
/// The folder of the page. Links are relative to it.
const FOLDER: &str = "reports/";

/// The index of a trend's runs. Its charts have the runs of the same scope as the newest.
#[must_use]
pub(super) fn index(trend: &Trend) -> String {
    let runs = trend.runs();
    fill(PAGE, |name| match name {
        "style" => STYLE.trim_end().to_owned(),
        "headline" => counted(runs.len() as u64, "run", "runs"),
        "trend" => runs.last().map(|newest| chart::trend(&trend.until(newest).collect::<Vec<_>>())).unwrap_or_default(),
        _ => runs.iter().rev().map(row).collect::<Vec<_>>().join("\n"),
    })
}

fn row(run: &RunSummary) -> String {
    let RunSummary { run_id, started_at, outcome, dry_run, scope, totals } = run;
    let key = key_of_page(run_id);
    let page = key.strip_prefix(FOLDER).unwrap_or(&key);
    let kind = if *dry_run { "dry run" } else { "live run" };
    let is_good = ["planned", "completed"].contains(&outcome.as_str());
    let mut row = format!(
        "<tr class=\"row\"><td class=\"day\"><a href=\"{}\">{}</a><small>{kind}</small></td>",
        escaped(page),
        started_at.format("%Y-%m-%d %H:%M"),
    );
    let badge = if is_good { "badge" } else { "badge bad" };
    _ = write!(row, "<td><span class=\"{badge}\">{}</span></td>", escaped(outcome));
    _ = write!(row, "<td class=\"why\">{}</td>", escaped(scope));
    let numbers = [
        count(totals.images),
        count(totals.images_stale),
        count(totals.images_deleted),
        bytes(totals.bytes),
        usd(totals.monthly_cost_usd),
    ];
    for number in numbers {
        _ = write!(row, "<td class=\"number\">{number}</td>");
    }
    row.push_str("</tr>");
    row
}

/// A text that is never markup, in an element or in a quoted attribute.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            character => escaped.push(character),
        }
    }
    escaped
}
