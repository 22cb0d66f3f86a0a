//! The columns that the terminal has room for, and their cells.

use comfy_table::{Attribute, Cell, CellAlignment, Color};
use ecr_cleanup_core::plan::ImageResult;
use ecr_cleanup_core::report::usd;
use ecr_cleanup_core::settings::Mode;
use ecr_cleanup_core::sizes::Freed;

use super::Colours;
use crate::show::figures::{self, age, bytes, count};
use crate::show::quoted::quoted;
use crate::show::view::{RepositoryView, View};

/// A name of this many characters can still be recognised, so columns are dropped before names get shorter.
const NAME: usize = 30;
/// Names are not cut below this.
const SHORTEST_NAME: usize = 8;

/// A column, in the order from left to right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    Region,
    Repository,
    Images,
    InUse,
    Kept,
    Stale,
    Deleted,
    NotDone,
    Size,
    Frees,
    SumOfSizes,
    Saves,
    Oldest,
}

/// The columns that the terminal has room for.
pub(super) struct Layout<'a> {
    view: &'a View,
    columns: Vec<Column>,
    /// The most characters of a repository's name.
    name: usize,
    /// Whether the terminal has room for these.
    fits: bool,
}

/// What the colour of a number means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tint {
    None,
    Used,
    Gained,
    Failed,
}

impl Column {
    const ALL: [Self; 13] = [
        Self::Region,
        Self::Repository,
        Self::Images,
        Self::InUse,
        Self::Kept,
        Self::Stale,
        Self::Deleted,
        Self::NotDone,
        Self::Size,
        Self::Frees,
        Self::SumOfSizes,
        Self::Saves,
        Self::Oldest,
    ];

    /// The columns that a narrow terminal lacks, first to last. Images that were not deleted are below the table as well.
    fn dispensable(mode: Mode) -> &'static [Self] {
        const ALWAYS: [Column; 9] = [
            Column::Oldest,
            Column::SumOfSizes,
            Column::Size,
            Column::Kept,
            Column::Images,
            Column::Saves,
            Column::InUse,
            Column::NotDone,
            Column::Stale,
        ];
        match mode {
            Mode::DryRun => &ALWAYS[..ALWAYS.len() - 1],
            Mode::Live => &ALWAYS,
        }
    }

    pub(super) fn alignment(self) -> CellAlignment {
        match self {
            Self::Region | Self::Repository => CellAlignment::Left,
            Self::Images
            | Self::InUse
            | Self::Kept
            | Self::Stale
            | Self::Deleted
            | Self::NotDone
            | Self::Size
            | Self::Frees
            | Self::SumOfSizes
            | Self::Saves
            | Self::Oldest => CellAlignment::Right,
        }
    }

    fn header(self, mode: Mode) -> &'static str {
        match (self, mode) {
            (Self::Region, _) => "region",
            (Self::Repository, _) => "repository",
            (Self::Images, _) => "images",
            (Self::InUse, _) => "in use",
            (Self::Kept, _) => "kept",
            (Self::Stale, _) => "stale",
            (Self::Deleted, _) => "deleted",
            (Self::NotDone, _) => "not done",
            (Self::Size, _) => "size",
            (Self::Frees, Mode::DryRun) => "frees",
            (Self::Frees, Mode::Live) => "freed",
            (Self::SumOfSizes, _) => "sum of sizes",
            (Self::Saves, _) => "a month",
            (Self::Oldest, _) => "oldest",
        }
    }

    /// Whether it has something to show for this report.
    fn applies(self, view: &View, stale: &[&RepositoryView]) -> bool {
        match self {
            Self::Region => stale.iter().any(|it| it.region != stale[0].region),
            Self::Deleted => view.mode == Mode::Live,
            Self::NotDone => view.mode == Mode::Live && stale.iter().any(|it| not_done(it) > 0),
            Self::SumOfSizes => view.any_is_exact(),
            Self::Repository
            | Self::Images
            | Self::InUse
            | Self::Kept
            | Self::Stale
            | Self::Size
            | Self::Frees
            | Self::Saves
            | Self::Oldest => true,
        }
    }

    fn tint(self) -> Tint {
        match self {
            Self::InUse => Tint::Used,
            Self::Frees | Self::Saves => Tint::Gained,
            Self::NotDone => Tint::Failed,
            Self::Region
            | Self::Repository
            | Self::Images
            | Self::Kept
            | Self::Stale
            | Self::Deleted
            | Self::Size
            | Self::SumOfSizes
            | Self::Oldest => Tint::None,
        }
    }
}

impl<'a> Layout<'a> {
    /// The columns for these repositories on a terminal of this width.
    pub(super) fn of(view: &'a View, stale: &[&RepositoryView], width: Option<u16>) -> Self {
        let mut layout = Self { view, columns: Vec::new(), name: usize::MAX, fits: true };
        layout.columns.extend(Column::ALL.into_iter().filter(|column| column.applies(view, stale)));
        let Some(width) = width else { return layout };
        let cells = |column: Column| stale.iter().map(move |it| layout_text(view, column, it).chars().count());
        let total = |column: Column| text_of_totals(view, column).chars().count();
        let widest = |column: Column| {
            cells(column).chain([total(column), column.header(view.mode).len()]).max().unwrap_or_default()
        };
        let longest_name = widest(Column::Repository);
        let mut dispensable = Column::dispensable(view.mode).iter();
        loop {
            let others = layout.columns.iter().filter(|column| **column != Column::Repository);
            // A blank on either side of each, and a line between them and around.
            let taken: usize = others.map(|column| widest(*column)).sum::<usize>() + layout.columns.len() * 3 + 1;
            let room = usize::from(width).saturating_sub(taken);
            if room >= longest_name.min(NAME) {
                layout.name = room;
                return layout;
            }
            let Some(dispensable) = dispensable.next() else {
                layout.name = room.max(SHORTEST_NAME);
                layout.fits = room >= Column::Repository.header(view.mode).len();
                return layout;
            };
            layout.columns.retain(|column| column != dispensable);
        }
    }

    /// Whether a table of these columns fits the terminal.
    pub(super) fn fits(&self) -> bool {
        self.fits
    }

    /// A repository in a sentence.
    pub(super) fn line(&self, repository: &RepositoryView) -> String {
        let RepositoryView { region, name, images, images_stale, .. } = repository;
        let deleted = repository.results.get(ImageResult::Deleted.as_str()).copied().unwrap_or_default();
        let freed = figures::freed(repository.freed(self.view.mode));
        format!("{region} {name}: {}", self.sentence(*images, *images_stale, deleted, &freed))
    }

    /// The sums in a sentence.
    pub(super) fn line_of_totals(&self) -> String {
        let totals = &self.view.totals;
        let freed = figures::freed(self.view.freed());
        format!("total: {}", self.sentence(totals.images, totals.images_stale, totals.images_deleted, &freed))
    }

    fn sentence(&self, images: u64, stale: u64, deleted: u64, freed: &str) -> String {
        let [images, stale, deleted] = [images, stale, deleted].map(count);
        match self.view.mode {
            Mode::DryRun => format!("{stale} of {images} images stale, frees {freed}"),
            Mode::Live => format!("{deleted} of {stale} stale images deleted, freed {freed}"),
        }
    }

    pub(super) fn columns(&self) -> &[Column] {
        &self.columns
    }

    pub(super) fn header(&self) -> Vec<String> {
        self.columns.iter().map(|column| column.header(self.view.mode).to_owned()).collect()
    }

    pub(super) fn row(&self, repository: &RepositoryView, colours: Colours) -> Vec<Cell> {
        let cell = |column: &Column| {
            let text = layout_text(self.view, *column, repository);
            let text = if *column == Column::Repository { shortened(&text, self.name) } else { text };
            tinted(Cell::new(&text), &text, column.tint(), colours)
        };
        self.columns.iter().map(cell).collect()
    }

    pub(super) fn totals(&self, colours: Colours) -> Vec<Cell> {
        let cell = |column: &Column| {
            let cell = Cell::new(text_of_totals(self.view, *column));
            match colours {
                Colours::Ansi => cell.add_attribute(Attribute::Bold),
                Colours::None => cell,
            }
        };
        self.columns.iter().map(cell).collect()
    }
}

fn tinted(cell: Cell, text: &str, tint: Tint, colours: Colours) -> Cell {
    if text == "0" {
        return cell;
    }
    match (colours, tint) {
        (Colours::None, _) | (Colours::Ansi, Tint::None) => cell,
        (Colours::Ansi, Tint::Used) => cell.fg(Color::Cyan),
        (Colours::Ansi, Tint::Gained) => cell.fg(Color::Green),
        (Colours::Ansi, Tint::Failed) => cell.fg(Color::Red),
    }
}

fn layout_text(view: &View, column: Column, repository: &RepositoryView) -> String {
    let freed = repository.freed(view.mode);
    match column {
        Column::Region => quoted(&repository.region),
        Column::Repository => quoted(&repository.name),
        Column::Images => count(repository.images),
        Column::InUse => count(repository.images_in_use),
        Column::Kept => count(repository.images_kept),
        Column::Stale => count(repository.images_stale),
        Column::Deleted => count(repository.results.get(ImageResult::Deleted.as_str()).copied().unwrap_or_default()),
        Column::NotDone => count(not_done(repository)),
        Column::Size => bytes(repository.bytes),
        Column::Frees => figures::freed(freed),
        Column::SumOfSizes => bytes(repository.sum_of_sizes(view.mode)),
        Column::Saves => match freed {
            Freed::Exactly(bytes) => figures::usd(usd(bytes, view.price_per_gb_month)),
            Freed::AtMost(bytes) => format!("≤ {}", figures::usd(usd(bytes, view.price_per_gb_month))),
        },
        Column::Oldest => repository.oldest_stale.map_or_else(String::new, |at| age(at, view.finished_at)),
    }
}

fn text_of_totals(view: &View, column: Column) -> String {
    let totals = &view.totals;
    match column {
        Column::Region | Column::Oldest => String::new(),
        Column::Repository => "total".to_owned(),
        Column::Images => count(totals.images),
        Column::InUse => count(totals.images_in_use),
        Column::Kept => count(totals.images_kept),
        Column::Stale => count(totals.images_stale),
        Column::Deleted => count(totals.images_deleted),
        Column::NotDone => count(view.repositories.iter().map(not_done).sum()),
        Column::Size => bytes(totals.bytes),
        Column::Frees => figures::freed(view.freed()),
        Column::SumOfSizes => bytes(view.sum_of_sizes()),
        Column::Saves => view.saving().replace("up to", "≤"),
    }
}

/// The stale images that were not deleted, where the reason is of interest.
fn not_done(repository: &RepositoryView) -> u64 {
    repository.undone.values().sum()
}

/// A name in at most `most` characters, without its middle: names differ at their beginning and end.
pub(super) fn shortened(name: &str, most: usize) -> String {
    let length = name.chars().count();
    if length <= most {
        return name.to_owned();
    }
    let end = most.saturating_sub(1) / 2;
    let begin = most.saturating_sub(1) - end;
    let begin: String = name.chars().take(begin).collect();
    let end: String = name.chars().skip(length - end).collect();
    format!("{begin}…{end}")
}
