//! Below a table, the stale images of each repository, each with its reason and its result.

use comfy_table::CellAlignment;
use ecr_cleanup_core::settings::Mode;

use super::{Look, Meaning, drawn};
use crate::show::figures::{age, bytes, counted, short_digests};
use crate::show::quoted::quoted;
use crate::show::view::{RepositoryView, StaleView, View};
use crate::show::wrapped::{fitted, wrapped};

/// From this width on a line has room for whole digests.
const WIDE: u16 = 170;

/// The blanks before the lines on an image, where it has no row of a table.
const INDENT: usize = 2;

/// The text for a time that ECR doesn't return.
const UNKNOWN: &str = "unknown";

/// Adds a table for each repository.
pub(super) fn add(text: &mut String, view: &View, stale: &[&RepositoryView], look: Look) {
    for repository in stale.iter().filter(|repository| !repository.stale.is_empty()) {
        let RepositoryView { region, name, images_stale, .. } = repository;
        let heading = format!("{region} {name}: {}", counted(*images_stale, "stale image", "stale images"));
        text.push('\n');
        text.push_str(&look.says(Meaning::Heading, &heading));
        text.push_str(&images(view, repository, look));
    }
    if !stale.is_empty() {
        text.push('\n');
    }
}

/// The images of a repository: a row each, or, where a table would break words, lines of their own.
fn images(view: &View, repository: &RepositoryView, look: Look) -> String {
    // Before a live run all have the same result, and the reason says where it is the archive.
    let columns = match view.mode {
        Mode::DryRun => 4,
        Mode::Live => 5,
    };
    let header = ["image", "pushed", "size", "why", "result"].map(str::to_owned);
    let rows = repository.stale.iter().map(|image| row(image, view, look));
    let mut rows: Vec<Vec<String>> = [header].into_iter().chain(rows).map(|row| row[..columns].to_vec()).collect();
    if let Some(width) = look.width {
        let Some(broken) = fitted(&rows, width) else {
            return rows.iter().skip(1).map(|row| lines(row, look)).collect();
        };
        rows = broken;
    }
    let mut rows = rows.into_iter();
    let (left, right) = (CellAlignment::Left, CellAlignment::Right);
    let alignments = [left, right, right, left, left].into_iter().take(columns);
    let mut table = look.table(rows.next().unwrap_or_default(), alignments);
    table.add_rows(rows);
    drawn(&table)
}

/// An image in lines of its own.
fn lines(row: &[String], look: Look) -> String {
    let [image, pushed, size, why, result @ ..] = row else { return String::new() };
    let result = result.first().map(|result| format!("result: {result}"));
    let pushed =
        if *pushed == UNKNOWN { "pushed at an unknown time".to_owned() } else { format!("pushed {pushed} ago") };
    let about = [Some(format!("{pushed}, {size}")), Some(why.clone()), result];
    let about = about.into_iter().flatten().map(|line| format!("{:INDENT$}{line}", ""));
    let lines = [image.clone()].into_iter().chain(about).map(|line| wrapped(&line, look.width, 2 * INDENT) + "\n");
    lines.collect()
}

fn row(image: &StaleView, view: &View, look: Look) -> [String; 5] {
    let StaleView { image_digest, image_tags, image_pushed_at, image_size_in_bytes, reason, result } = image;
    let shown = |text: &str| match look.width {
        Some(width) if width < WIDE => quoted(&short_digests(text)),
        Some(_) | None => quoted(text),
    };
    let digest = shown(image_digest);
    let name = if image_tags.is_empty() { digest } else { format!("{} {digest}", quoted(&image_tags.join(" "))) };
    let pushed = image_pushed_at.map_or_else(|| UNKNOWN.to_owned(), |at| age(at, view.finished_at));
    [name, pushed, bytes(*image_size_in_bytes), shown(reason), shown(result)]
}
