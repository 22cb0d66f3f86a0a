//! The progress of a run on stderr: a line that changes in a terminal, and lines that stay elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{IsTerminal, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ecr_cleanup_core::image::RepositoryName;
use indicatif::{ProgressBar, ProgressStyle};

use super::{interruption, tell};
use crate::progress::{News, Progress};
use crate::show::figures::counted;

/// A wheel that turns slower looks stuck.
const TICK: Duration = Duration::from_millis(100);
/// A long list leaves at most this number of lines in the terminal.
const PARTS: usize = 10;

/// The progress of a run, on stderr.
#[derive(Debug)]
pub(super) struct Shown {
    look: Look,
    state: Mutex<State>,
}

#[derive(Debug)]
enum Look {
    Quiet,
    Lines,
    Bar(ProgressBar),
}

#[derive(Debug, Default)]
struct State {
    stage: Stage,
    done: usize,
    of: usize,
    counts: BTreeMap<&'static str, usize>,
    passed_over: BTreeSet<RepositoryName>,
}

/// What is being done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Identifying,
    Usage,
    Repositories,
    Images,
}

/// Whether progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loudness {
    Quiet,
    Normal,
}

impl Shown {
    /// Shows at once that the command runs.
    pub(super) fn begin(loudness: Loudness) -> Self {
        let look = match loudness {
            Loudness::Quiet => Look::Quiet,
            Loudness::Normal if std::io::stderr().is_terminal() => {
                let bar = ProgressBar::new_spinner();
                bar.enable_steady_tick(TICK);
                Look::Bar(bar)
            }
            Loudness::Normal => Look::Lines,
        };
        let shown = Self { look, state: Mutex::default() };
        shown.say("looking for AWS credentials");
        shown
    }

    /// Shows it once more, after something else was printed.
    pub(super) fn restart(&self) {
        *self.lock() = State::default();
        if let Look::Bar(bar) = &self.look {
            bar.set_style(ProgressStyle::default_spinner());
            bar.set_message("checking again");
            bar.reset();
            bar.enable_steady_tick(TICK);
        }
    }

    /// Removes the line that changes, before something else is printed.
    pub(super) fn end(&self) {
        if let Look::Bar(bar) = &self.look {
            bar.finish_and_clear();
        }
    }

    /// The repositories that the settings exclude.
    pub(super) fn passed_over(&self) -> BTreeSet<RepositoryName> {
        self.lock().passed_over.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn say(&self, text: &str) {
        match &self.look {
            Look::Quiet => {}
            Look::Bar(bar) => bar.set_message(text.to_owned()),
            // There is nowhere to write the error.
            Look::Lines => _ = writeln!(std::io::stderr(), "{text}"),
        }
    }

    /// From here on a signal would lose the record of the deleted images.
    fn heed_signals(&self) {
        const TOLD: &str =
            "interrupted: finishing the current batch, then printing the report. Press Ctrl-C again to quit now.";
        let bar = match &self.look {
            Look::Bar(bar) => Some(bar.clone()),
            Look::Quiet | Look::Lines => None,
        };
        interruption::heed(move || match &bar {
            Some(bar) => bar.suspend(|| tell(TOLD)),
            None => tell(TOLD),
        });
    }

    /// Begins a stage with this number of things.
    fn count(&self, stage: Stage, of: usize, text: &str) {
        {
            let mut counted = self.lock();
            (counted.stage, counted.done, counted.of) = (stage, 0, of);
        }
        if let Look::Bar(bar) = &self.look
            && let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {wide_bar} {pos}/{len}")
        {
            bar.set_message(text.to_owned());
            bar.set_position(0);
            bar.set_length(of as u64);
            bar.set_style(style);
        } else {
            self.say(text);
        }
    }

    /// Adds to the things of a stage that are done.
    fn advance(&self, stage: Stage, more: usize, name: &str) {
        let (before, done, of) = {
            let mut counted = self.lock();
            if counted.stage != stage {
                // The stage is over.
                return;
            }
            let before = counted.done;
            counted.done += more;
            (before, counted.done, counted.of)
        };
        match &self.look {
            Look::Quiet => {}
            Look::Bar(bar) => bar.inc(more as u64),
            Look::Lines => {
                let part = |done: usize| (done * PARTS).checked_div(of).unwrap_or_default();
                if part(before) < part(done) {
                    _ = writeln!(std::io::stderr(), "{name}: {done} of {of}");
                }
            }
        }
    }
}

impl Progress for Shown {
    fn tell(&self, news: News<'_>) {
        match news {
            News::Identifying => self.say("identifying the account and its Regions"),
            News::ReadingUsage { regions } => {
                let text = format!("searching for images in use in {}", counted(regions as u64, "Region", "Regions"));
                self.count(Stage::Usage, regions, &text);
            }
            News::UsageRead { place: _, counts } => {
                for (what, number) in counts {
                    *self.lock().counts.entry(what).or_default() += number;
                }
                self.advance(Stage::Usage, 1, "Regions read");
            }
            News::PassedOver { repository } => {
                let mut state = self.lock();
                state.passed_over.insert(repository.clone());
            }
            News::ReadingRepositories { repositories } => {
                let counts = self.lock().counts.clone();
                let counts =
                    counts.into_iter().map(|(what, number)| counted(number as u64, what.trim_end_matches('s'), what));
                let counts = counts.collect::<Vec<_>>().join(", ");
                let repositories_read = counted(repositories as u64, "repository", "repositories");
                let text = if counts.is_empty() {
                    format!("reading {repositories_read}")
                } else {
                    format!("{counts} read; reading {repositories_read}")
                };
                self.count(Stage::Repositories, repositories, &text);
            }
            News::RepositoryRead { .. } => self.advance(Stage::Repositories, 1, "repositories read"),
            News::Deleting { images } => {
                self.heed_signals();
                self.count(Stage::Images, images, &format!("deleting {}", counted(images as u64, "image", "images")));
            }
            News::Done { images } => self.advance(Stage::Images, images, "images processed"),
        }
    }
}
