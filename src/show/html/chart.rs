//! The trend over runs as two charts, in SVG: they need no script, and print as they are.

use std::fmt::Write;

use ecr_cleanup_core::report::RunSummary;

use crate::show::figures::{bytes, count, counted};

/// The height of a chart, in units of its own.
const HEIGHT: u64 = 1_000;
/// A chart has room for at least this number of runs, so that few runs are no wide blocks.
const FEWEST: usize = 30;

/// The section with the trend of these runs, the oldest first. It is empty for fewer than two.
#[must_use]
pub(super) fn trend(runs: &[&RunSummary]) -> String {
    let [first, .., last] = runs else { return String::new() };
    let day = |run: &RunSummary| run.started_at.format("%Y-%m-%d").to_string();
    let days = format!("{} to {}", day(first), day(last));
    let images: Vec<Column> = runs.iter().map(|run| Column::of_images(run)).collect();
    let sizes: Vec<Column> = runs.iter().map(|run| Column::of_bytes(run)).collect();
    format!(
        "<section id=\"trend\" aria-label=\"Trend\">\n<h2>{}, {days}</h2>\n<div class=\"charts\">\n{}{}</div>\n</section>",
        counted(runs.len() as u64, "run", "runs"),
        chart("Size, with the stale part below", &sizes, bytes),
        chart("Stale images", &images, count),
    )
}

/// A run in a chart.
struct Column {
    title: String,
    whole: u64,
    stale: u64,
}

impl Column {
    fn of_bytes(run: &RunSummary) -> Self {
        let (whole, stale) = (run.totals.bytes, run.totals.bytes_stale);
        Self { title: format!("{}: {}, of which {} stale", time(run), bytes(whole), bytes(stale)), whole, stale }
    }

    fn of_images(run: &RunSummary) -> Self {
        let (stale, deleted) = (run.totals.images_stale, run.totals.images_deleted);
        let deleted = if run.dry_run { String::new() } else { format!(", {} deleted", count(deleted)) };
        Self { title: format!("{}: {} stale{deleted}", time(run), count(stale)), whole: stale, stale }
    }
}

fn time(run: &RunSummary) -> String {
    run.started_at.format("%Y-%m-%d %H:%M UTC").to_string()
}

fn chart(title: &str, columns: &[Column], shown: fn(u64) -> String) -> String {
    let most = columns.iter().map(|column| column.whole).max().unwrap_or_default();
    let width = columns.len().max(FEWEST) * 10;
    let now = columns.last().map(|column| shown(column.whole)).unwrap_or_default();
    let label = format!("{title}: {now} in the last run, at most {}", shown(most));
    let mut chart = format!(
        "<figure><svg role=\"img\" aria-label=\"{label}\" viewBox=\"0 0 {width} {HEIGHT}\" preserveAspectRatio=\"none\">\n"
    );
    for (place, Column { title, whole, stale }) in columns.iter().enumerate() {
        _ = write!(chart, "<g><title>{title}</title>");
        for (class, value) in [("kept", whole), ("stale-bytes", stale)] {
            let height = scaled(*value, most);
            let (x, y) = (place * 10, HEIGHT - height);
            _ = write!(chart, "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"9\" height=\"{height}\"/>");
        }
        chart.push_str("</g>\n");
    }
    _ = writeln!(chart, "</svg><figcaption>{label}</figcaption></figure>");
    chart
}

/// The height of a value in a chart with this highest value. A value that is not zero is visible.
fn scaled(value: u64, most: u64) -> u64 {
    let scaled = u128::from(value) * u128::from(HEIGHT) / u128::from(most.max(1));
    u64::try_from(scaled).unwrap_or(HEIGHT).clamp(u64::from(value > 0), HEIGHT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heights_are_in_proportion() {
        assert_eq!([0, 1, 5, 10].map(|value| scaled(value, 10)), [0, 100, 500, 1_000]);
        assert_eq!((scaled(0, 0), scaled(u64::MAX, u64::MAX), scaled(1, u64::MAX)), (0, HEIGHT, 1));
    }
}
