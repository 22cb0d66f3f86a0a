//! Below a table, the stale images of each repository, with why they go and what became of them.

use comfy_table::{Cell, CellAlignment, ContentArrangement};
use ecr_cleanup_core::settings::Mode;

use super::{Look, Meaning, drawn};
use crate::show::figures::{age, bytes, counted, short_digests};
use crate::show::quoted::quoted;
use crate::show::view::{RepositoryView, StaleView, View};

/// From here on a line has room for whole digests.
const WIDE: u16 = 170;

/// Adds a table for each repository.
pub(super) fn add(text: &mut String, view: &View, stale: &[&RepositoryView], look: Look) {
    for repository in stale.iter().filter(|repository| !repository.stale.is_empty()) {
        let RepositoryView { region, name, images_stale, .. } = repository;
        let heading = format!("{region} {name}: {}", counted(*images_stale, "stale image", "stale images"));
        text.push('\n');
        text.push_str(&look.says(Meaning::Heading, &heading));
        text.push('\n');
        // Before it is done, all come to the same, and why they go says if that is to the archive.
        let columns = match view.mode {
            Mode::DryRun => 4,
            Mode::Live => 5,
        };
        let header =
            ["image", "pushed", "size", "why", "result"].into_iter().take(columns).map(str::to_owned).collect();
        let left = CellAlignment::Left;
        let mut table = look.table(header, [left, CellAlignment::Right, CellAlignment::Right, left, left].into_iter());
        if let Some(width) = look.width {
            // What does not fit into its column goes on in the next line.
            table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
        }
        for image in &repository.stale {
            table.add_row(row(image, view, look).into_iter().take(columns));
        }
        text.push_str(&drawn(&table));
    }
    if !stale.is_empty() {
        text.push('\n');
    }
}

fn row(image: &StaleView, view: &View, look: Look) -> [Cell; 5] {
    let StaleView { image_digest, image_tags, image_pushed_at, image_size_in_bytes, reason, result } = image;
    let shown = |text: &str| match look.width {
        Some(width) if width < WIDE => quoted(&short_digests(text)),
        Some(_) | None => quoted(text),
    };
    let digest = shown(image_digest);
    let name = if image_tags.is_empty() { digest } else { format!("{} {digest}", quoted(&image_tags.join(" "))) };
    let pushed = image_pushed_at.map_or_else(|| "unknown".to_owned(), |at| age(at, view.finished_at));
    [name, pushed, bytes(*image_size_in_bytes), shown(reason), shown(result)].map(Cell::new)
}
