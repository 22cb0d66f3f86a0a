//! A report as a table that fits the terminal.

use std::fmt::Write;

use crate::report::Report;

/// How the table is to look.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// Columns of the terminal; `None` where there is none.
    pub width: Option<u16>,
    /// Whether it is coloured.
    pub colours: Colours,
    /// How much of it is told.
    pub details: Details,
}

/// Whether colours are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colours {
    /// With ANSI's escape sequences.
    Ansi,
    /// As text alone.
    None,
}

/// How much is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Details {
    /// Repositories.
    Repositories,
    /// Every stale image as well.
    Images,
}

/// The report for people in a terminal.
#[must_use]
pub fn table(report: &Report, _: &Look) -> String {
    let totals = &report.totals;
    let mut text = format!(
        "{}: {} of {} images are stale, {} deleted, {} skipped\n",
        report.outcome.as_str(),
        totals.images_stale,
        totals.images,
        totals.images_deleted,
        totals.images_skipped,
    );
    for warning in &report.warnings {
        _ = writeln!(text, "warning: {warning}");
    }
    text
}
