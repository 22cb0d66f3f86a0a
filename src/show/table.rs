//! A report as a table for a terminal: one line a repository with stale images, that which frees most first.
//!
//! A narrow terminal gets fewer columns, and names shortened in the middle. Where not even these fit, each repository has a
//! sentence. A wide terminal and a file get everything.

mod columns;
mod details;

use std::collections::BTreeMap;
use std::fmt::Write;

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use ecr_cleanup_core::report::Report;
use ecr_cleanup_core::settings::Mode;
use ecr_cleanup_core::sizes::Freed;

use super::coverage;
use super::figures::{bytes, count, counted, freed, usd};
use super::quoted::quoted;
use super::view::{Images, RepositoryView, ReviewedView, SettingView, View};
use super::wrapped::wrapped;
use columns::{Layout, shortened};

/// The most lines of what was not deleted; more are counted.
const UNDONE: usize = 20;

/// The most characters of a setting's value: policies have thousands.
const VALUE: usize = 60;

/// The blanks before a line that continues a sentence.
const INDENT: usize = 2;

/// How a table is to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// The columns of the terminal; `None` where there is none, and nothing is cut.
    pub width: Option<u16>,
    /// Whether it may be coloured.
    pub colours: Colours,
    /// How much is shown.
    pub details: Details,
}

/// Whether a table may be coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colours {
    /// With ANSI's escape sequences.
    Ansi,
    /// As text alone.
    None,
}

/// How much a table shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Details {
    /// The repositories.
    Repositories,
    /// Each stale image as well, with its reason and its result.
    Images,
}

/// The meaning of a piece of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    Text,
    Heading,
    Warning,
    Error,
}

/// A run's report as a table.
#[must_use]
pub fn table(report: &Report, look: &Look) -> String {
    let images = match look.details {
        Details::Repositories => Images::Counted,
        Details::Images => Images::Listed,
    };
    table_of(&View::of(report, images), look)
}

/// A report as a table, wherever it comes from.
#[must_use]
pub fn table_of(view: &View, look: &Look) -> String {
    let mut text = look.says(Meaning::Heading, &headline(view));
    let (stale, clean): (Vec<_>, Vec<_>) = view.repositories.iter().partition(|it| it.images_stale > 0);
    if !stale.is_empty() {
        text.push_str(&repositories(view, &stale, *look));
    }
    for line in without_stale(&clean).into_iter().chain(left_out(view)).chain(footer(view)) {
        text.push_str(&look.says(Meaning::Text, &line));
    }
    for (what, why) in &view.unread {
        text.push_str(&look.says(Meaning::Error, &format!("can't read {what}: {why}")));
    }
    for line in undone(&stale) {
        text.push_str(&look.says(Meaning::Error, &line));
    }
    match look.details {
        Details::Repositories => {}
        Details::Images => details::add(&mut text, view, &stale, *look),
    }
    for line in [view.coverage.checked(), format!("Not checked: {}.", coverage::not_checked())] {
        text.push_str(&look.says(Meaning::Text, &line));
    }
    for line in settings(view).iter().chain(&view.memory) {
        text.push_str(&look.says(Meaning::Text, line));
    }
    for warning in &view.warnings {
        text.push_str(&look.says(Meaning::Warning, &format!("warning: {warning}")));
    }
    text
}

/// The repositories with stale images: a row each, or, where a table does not fit, a sentence each.
fn repositories(view: &View, stale: &[&RepositoryView], look: Look) -> String {
    let layout = Layout::of(view, stale, look.width);
    if !layout.fits() {
        let lines = stale.iter().map(|repository| layout.line(repository)).chain([layout.line_of_totals()]);
        return lines.map(|line| look.says(Meaning::Text, &line)).collect();
    }
    let mut table = look.table(layout.header(), layout.columns().iter().map(|column| column.alignment()));
    for repository in stale {
        table.add_row(layout.row(repository, look.colours));
    }
    table.add_row(layout.totals(look.colours));
    drawn(&table)
}

/// What kind of run it was, and what it came to.
fn headline(view: &View) -> String {
    let totals = &view.totals;
    let images = counted(totals.images, "image", "images");
    let repositories = counted(totals.repositories, "repository", "repositories");
    let stale = count(totals.images_stale);
    match view.mode {
        Mode::DryRun => format!("Dry run, {}: {stale} of {images} in {repositories} are stale.", view.outcome),
        Mode::Live => match &view.reviewed {
            Some(reviewed) => format!("Live run, {}: {}.", view.outcome, reviewed.carried_out),
            None => format!("Live run, {}: {}, of {images} in {repositories}.", view.outcome, view.carried_out()),
        },
    }
}

fn without_stale(clean: &[&RepositoryView]) -> Option<String> {
    match clean.len() {
        0 => None,
        1 => Some("One repository has no stale images.".to_owned()),
        many => Some(format!("{} repositories have no stale images.", count(many as u64))),
    }
}

fn left_out(view: &View) -> Option<String> {
    let images = (view.truncated_images > 0).then(|| counted(view.truncated_images, "stale image", "stale images"));
    let repositories =
        (view.truncated_repositories > 0).then(|| counted(view.truncated_repositories, "repository", "repositories"));
    let cut = images.into_iter().chain(repositories).collect::<Vec<_>>().join(" and ");
    (!cut.is_empty()).then(|| format!("The report omits {cut}. The totals include them."))
}

/// The sums, in words.
fn footer(view: &View) -> Vec<String> {
    let totals = &view.totals;
    let mut lines = Vec::new();
    let frees = match view.mode {
        Mode::DryRun => "Deleting them frees",
        Mode::Live => "That freed",
    };
    lines.extend(view.reviewed.as_ref().and_then(ReviewedView::not_in_plan));
    if view.deleted_nothing() {
        lines.push("Nothing was deleted.".to_owned());
    } else if view.deletes() {
        let mut line = format!("{frees} {} and saves {} a month", freed(view.freed()), view.saving());
        if let Freed::Exactly(_) = view.freed() {
            _ = write!(line, " (by the sum of the images' sizes {})", bytes(view.sum_of_sizes()));
        }
        lines.push(line + ".");
    }
    if let Some(stores) = view.storing() {
        lines.push(format!(
            "{stores} up to {}, which cost up to {} a month. {} in use, {} kept in total.",
            bytes(totals.bytes),
            usd(totals.monthly_cost_usd),
            counted(totals.images_in_use, "image is", "images are"),
            count(totals.images_kept),
        ));
    }
    if let Some(images) = view.to_archive() {
        lines.push(format!("{images} ({}). Archive storage is billed too.", bytes(totals.bytes_to_archive)));
    }
    if totals.images_at_risk > 0 {
        let images = counted(totals.images_at_risk, "image", "images");
        lines.push(format!("ECR lifecycle policies would expire {images} in use."));
    }
    if totals.images_missing > 0 {
        let images = counted(totals.images_missing, "image", "images");
        lines.push(format!("{images} in use can't be pulled. The next start fails."));
    }
    lines
}

/// The settings that are not the default.
fn settings(view: &View) -> Option<String> {
    let told = |SettingView { name, value, from, is_default: _ }: &SettingView| {
        format!("{name} {} ({})", shortened(value, VALUE), from.as_str())
    };
    let given: Vec<String> = view.changed_settings().map(told).collect();
    (!given.is_empty()).then(|| format!("Settings: {}. All others have their defaults.", given.join("; ")))
}

/// What was not deleted although it is stale, most frequent first.
fn undone(stale: &[&RepositoryView]) -> Vec<String> {
    let mut grouped: BTreeMap<(&str, &str, &str), u64> = BTreeMap::new();
    for repository in stale {
        for (why, images) in &repository.undone {
            grouped.insert((&repository.region, &repository.name, why), *images);
        }
    }
    let mut lines: Vec<_> = grouped.into_iter().collect();
    lines.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    let more = lines.split_off(lines.len().min(UNDONE));
    let told = lines
        .into_iter()
        .map(|((region, name, why), images)| format!("{region} {name}: {} {why}", counted(images, "image", "images")));
    let more = (!more.is_empty()).then(|| format!("and {} more such lines", count(more.len() as u64)));
    told.chain(more).collect()
}

/// A table without what would only be blank.
fn drawn(table: &Table) -> String {
    let mut text = String::new();
    for line in table.lines() {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

impl Look {
    fn table(self, header: Vec<String>, alignments: impl Iterator<Item = CellAlignment>) -> Table {
        let mut table = Table::new();
        table.load_style(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Disabled);
        match self.colours {
            Colours::Ansi => table.enforce_styling(),
            Colours::None => table.force_no_tty(),
        };
        table.set_header(header);
        for (place, alignment) in alignments.enumerate() {
            if let Some(column) = table.column_mut(place) {
                column.set_cell_alignment(alignment);
            }
        }
        table
    }

    /// A text in lines that fit the terminal.
    fn says(self, meaning: Meaning, text: &str) -> String {
        let text = wrapped(&quoted(text), self.width, INDENT);
        let code = match meaning {
            Meaning::Text => return text + "\n",
            Meaning::Heading => "1",
            Meaning::Warning => "33",
            Meaning::Error => "31",
        };
        match self.colours {
            Colours::Ansi => format!("\u{1b}[{code}m{text}\u{1b}[0m\n"),
            Colours::None => text + "\n",
        }
    }
}

#[cfg(test)]
mod tests;
