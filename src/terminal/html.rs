//! A report as one page.

use crate::report::Report;

/// The report as HTML.
#[must_use]
pub fn html(report: &Report) -> String {
    format!("<p>{} of {} images are stale</p>\n", report.totals.images_stale, report.totals.images)
}
