//! A report for a pull request or a chat.

use crate::report::Report;

/// The report as Markdown.
#[must_use]
pub fn markdown(report: &Report) -> String {
    format!("{} of {} images are stale\n", report.totals.images_stale, report.totals.images)
}
