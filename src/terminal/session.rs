//! The session of a command that talks to AWS: clients, progress, and the format of its report.

use std::collections::BTreeSet;

use clap::ArgMatches;
use ecr_cleanup_core::call_error::CallError;
use ecr_cleanup_core::image::RepositoryName;
use ecr_cleanup_core::in_use_list;
use ecr_cleanup_core::memory::PlanLocation;
use ecr_cleanup_core::plan::{ImageResult, Refusal, RegistryPlan, RepositoryPlan, StaleImage};
use ecr_cleanup_core::report::{Outcome, Report};
use ecr_cleanup_core::review::ReviewedPlan;
use ecr_cleanup_core::settings::Settings;
use ecr_cleanup_core::warning::Warning;

use super::given::Given;
use super::progress::{Loudness, Shown};
use super::trouble::{Access, Verbosity, idle_patterns};
use super::{Stream, Undone, account_of, flags, interruption, is_coloured, no_region, tell, trouble, unwritten, width};
use crate::aws::Aws;
use crate::memory::write_report;
use crate::run::{self, Finished, Limits, Request, RunError};
use crate::show::figures;
use crate::show::quoted::quoted;
use crate::show::table::{Colours, Details, Look};
use crate::show::view::{Images, ReviewedView, View};
use crate::show::{html, markdown, table};

/// The session of a command that talks to AWS.
pub(super) struct Session {
    pub(super) aws: Aws,
    pub(super) shown: Shown,
    pub(super) format: String,
    details: Details,
    profile: Option<String>,
    /// The plan file or the image of the command, where it has one.
    subject: Option<String>,
    verbosity: Verbosity,
}

/// Where the warnings of a report are, seen from its error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Warnings {
    Above,
    InReport,
}

impl Session {
    /// Shows at once that the command runs, then finds credentials and a Region.
    pub(super) async fn begin(matches: &ArgMatches, given: &Given) -> Result<Self, Undone> {
        let shown = Shown::begin(if matches.get_flag("quiet") { Loudness::Quiet } else { Loudness::Normal });
        let profile = matches.get_one::<String>("profile").cloned();
        let mut aws = Aws::from_profile(profile.as_deref()).await.with_somebody_waiting();
        if aws.region().is_none() {
            let first = given.settings.regions.as_ref().and_then(|regions| regions.first());
            let Some(first) = first else {
                shown.end();
                return Err(no_region());
            };
            aws = aws.at_home_in(first);
        }
        let has_details = matches.try_get_one::<bool>("details").ok().flatten().copied().unwrap_or_default();
        Ok(Self {
            aws,
            shown,
            format: if matches.get_flag("json") {
                "json".to_owned()
            } else {
                matches.get_one::<String>("format").cloned().unwrap_or_default()
            },
            details: if has_details { Details::Images } else { Details::Repositories },
            profile: profile.or_else(|| std::env::var("AWS_PROFILE").ok()).filter(|profile| !profile.is_empty()),
            subject: None,
            verbosity: if matches.get_flag("verbose") { Verbosity::Verbose } else { Verbosity::Brief },
        })
    }

    /// The same, for this plan file or image.
    pub(super) fn about(self, subject: &str) -> Self {
        Self { subject: Some(subject.to_owned()), ..self }
    }

    /// Whether the format of the report is a text that people read as it is.
    pub(super) fn is_for_people(&self) -> bool {
        ["table", "markdown"].contains(&self.format.as_str())
    }

    /// A run with these settings that shows its progress, until somebody interrupts it.
    pub(super) fn request(&self, settings: &Settings) -> Request<'_> {
        let limits = Limits::until(interruption::deadline());
        Request { progress: &self.shown, ..Request::new(settings.clone(), limits) }
    }

    pub(super) async fn run(&self, settings: &Settings, reviewed: Option<&ReviewedPlan>) -> Result<Finished, Undone> {
        self.run_saved(settings, reviewed, None).await
    }

    /// The same for a plan that is saved in a memory.
    pub(super) async fn run_saved(
        &self,
        settings: &Settings,
        reviewed: Option<&ReviewedPlan>,
        saved_at: Option<&PlanLocation>,
    ) -> Result<Finished, Undone> {
        let request = Request { reviewed, saved_at, ..self.request(settings) };
        let mut finished = run::run(&request, &self.aws).await;
        if let Ok(Finished { report, .. }) = &mut finished {
            let (memory, deadline) = (settings.memory.as_ref(), request.limits.deadline);
            report.warnings.extend(write_report(memory, &self.aws, deadline, report, html::PAGES).await);
        }
        self.shown.end();
        finished.map_err(|error| self.undone(&error))
    }

    pub(super) fn undone(&self, error: &RunError) -> Undone {
        let access = Access {
            profile: self.profile.as_deref(),
            endpoint_url: self.aws.endpoint_url(),
            subject: self.subject.as_deref(),
            verbosity: self.verbosity,
        };
        let text = trouble::of_run(error, &access);
        match error {
            RunError::InvalidSettings(_) => Undone::WrongUsage(text),
            RunError::RegionsUnavailable(_) | RunError::AccountUnknown(_) | RunError::OtherAccount { .. } => {
                Undone::Failed(text)
            }
        }
    }

    /// How a table looks on a stream.
    pub(super) fn look(&self, stream: Stream) -> Look {
        Look {
            width: width(stream),
            colours: if is_coloured(stream) { Colours::Ansi } else { Colours::None },
            details: self.details,
        }
    }

    /// A failed call as an error shows it.
    pub(super) fn told(&self, call: &CallError) -> String {
        match self.verbosity {
            Verbosity::Brief => trouble::with_remedy(call),
            Verbosity::Verbose => quoted(&format!("{call}. {}", call.remedy())),
        }
    }

    /// A warning as a terminal shows it: with the names of flags, and without the SDK's own errors unless `--verbose` is set.
    pub(super) fn warned(&self, warning: &Warning) -> String {
        let message = match (&warning.cause, self.verbosity) {
            (Some(cause), Verbosity::Brief) => {
                warning.message.replace(&cause.message, &trouble::message_of(&cause.code, &cause.message))
            }
            (Some(_) | None, _) => warning.message.clone(),
        };
        flags::named_in(&message)
    }

    /// The view of a report in this terminal.
    pub(super) fn view(&self, report: &Report, reviewed: Option<ReviewedView>) -> View {
        let images = match (self.format.as_str(), self.details) {
            ("markdown", _) | (_, Details::Images) => Images::Listed,
            (_, Details::Repositories) => Images::Counted,
        };
        let mut view = View::of(report, images);
        view.warnings = report.warnings.iter().map(|warning| self.warned(warning)).collect();
        if self.verbosity == Verbosity::Brief {
            for (_, why) in &mut view.unread {
                *why = trouble::brief(why);
            }
        }
        match reviewed {
            Some(reviewed) => view.with_reviewed(reviewed),
            None => view,
        }
    }

    /// Prints a report, and the error of one that was refused.
    pub(super) fn print(&self, report: &Report, reviewed: Option<ReviewedView>) -> Result<(), Undone> {
        let mut text = match self.format.as_str() {
            "json" => report.to_json().map_err(|error| unwritten(&error))?,
            "markdown" => markdown::markdown_of(&self.view(report, reviewed)),
            "html" => html::html(report),
            _ => table::table_of(&self.view(report, reviewed), &self.look(Stream::Stdout)),
        };
        if !text.ends_with('\n') {
            text.push('\n');
        }
        super::print(&text).inspect_err(|_| tell_done(report))?;
        match &report.outcome {
            // The report's warnings name each cause.
            Outcome::Refused(Refusal::UsageIncomplete { images_done, .. }) => {
                let warnings = if self.is_for_people() { Warnings::Above } else { Warnings::InReport };
                tell(&format!("error: {}", usage_unknown(warnings, *images_done)));
            }
            Outcome::Refused(Refusal::TooManyDeletions { stale, max_deletions }) => {
                tell(&format!("error: {}", too_many(*stale, *max_deletions)));
            }
            Outcome::Refused(
                refusal @ (Refusal::MemoryUnavailable(_) | Refusal::PlanCarriedOut(_) | Refusal::ClockSkew(_)),
            ) => {
                tell(&format!("error: {refusal}"));
            }
            Outcome::Planned | Outcome::Completed | Outcome::Partial | Outcome::DeadlineReached => {}
        }
        Ok(())
    }

    /// Writes how many listed images were found, and which patterns match no repository, with the one that was probably
    /// meant.
    pub(super) fn hint(&self, report: &Report, given: &Given) {
        tell_listed(report, given);
        let Some(known) = self.repositories_of(report) else { return };
        let selection = &given.settings.repositories;
        for warning in idle_patterns(selection.patterns().chain(selection.exclusions()), &known) {
            tell(&quoted(&format!("warning: {warning}")));
        }
    }

    /// Refuses exclusions that exclude nothing: their author wants to keep images.
    pub(super) fn refuse_idle_exclusions(&self, report: &Report, given: &Given) -> Result<(), Undone> {
        let Some(known) = self.repositories_of(report) else { return Ok(()) };
        refuse_idle_exclusions(given, &known)
    }

    /// The same before anything is read but the names of the repositories.
    pub(super) async fn refuse_idle_exclusions_at_once(&self, given: &Given) -> Result<(), Undone> {
        if given.settings.repositories.exclusions().len() == 0 {
            return Ok(());
        }
        let listed = run::repositories_alone(&self.request(&given.settings), &self.aws).await;
        let Ok(selected) = listed.map_err(|error| self.undone(&error))? else { return Ok(()) };
        let others = self.shown.passed_over();
        refuse_idle_exclusions(given, &selected.into_iter().chain(others).collect()).inspect_err(|_| self.shown.end())
    }

    /// The names of all repositories, cleaned or not; `None` where they could not be listed everywhere.
    fn repositories_of(&self, report: &Report) -> Option<BTreeSet<RepositoryName>> {
        let registries = report.plan.registries.iter();
        let read = registries.map(|registry| registry.repositories.as_ref().ok()).collect::<Option<Vec<_>>>()?;
        let read = read.into_iter().flatten().map(|repository| repository.repository_name.clone());
        Some(read.chain(self.shown.passed_over()).collect())
    }
}

/// Writes each image that a run has deleted or archived: where its report can't be written, nothing else says so.
fn tell_done(report: &Report) {
    for RegistryPlan { place, index_pulls: _, repositories, missing: _ } in &report.plan.registries {
        for RepositoryPlan { repository_name, decided } in repositories.iter().flatten() {
            for image in decided.iter().flat_map(|decided| &decided.stale) {
                let StaleImage { image_digest, image_tags, result, .. } = image;
                if matches!(result, ImageResult::Deleted | ImageResult::Archived) {
                    let tags = if image_tags.is_empty() { String::new() } else { format!(":{}", image_tags.join(",")) };
                    let done = result.as_str();
                    tell(&format!("{done} {} {repository_name}{tags}@{image_digest}", place.region));
                }
            }
        }
    }
}

/// Writes how many of the images that files list exist: a list of other images protects nothing.
pub(super) fn tell_listed(report: &Report, given: &Given) {
    let (listed, Some(account)) = (&given.listed, account_of(report)) else { return };
    if !listed.is_empty() {
        let found = in_use_list::found_in(&report.plan, account, listed.iter().map(String::as_str));
        let read = figures::counted(listed.len() as u64, "reference", "references");
        if found == 0 {
            let names = listed.iter().next().map(|name| format!(", such as {}", quoted(name))).unwrap_or_default();
            tell(&format!(
                "warning: --in-use-file protects no image: {read} read{names}, and none matches an image of these repositories. Check the names."
            ));
            return;
        }
        let found = figures::counted(found as u64, "matches an image", "match images");
        tell(&format!("--in-use-file: {read} read, of which {found} of these repositories"));
    }
}

fn refuse_idle_exclusions(given: &Given, known: &BTreeSet<RepositoryName>) -> Result<(), Undone> {
    match idle_patterns(given.settings.repositories.exclusions(), known).first() {
        Some(idle) => {
            let end = if idle.ends_with('?') { "" } else { "." };
            Err(Undone::WrongUsage(format!("--exclude-repositories: {idle}{end} Nothing was deleted.")))
        }
        None => Ok(()),
    }
}

/// Why nothing, or nothing more, was deleted without full knowledge of the images in use.
pub(super) fn usage_unknown(warnings: Warnings, images_done: u64) -> String {
    let warnings = match warnings {
        Warnings::Above => "see the warnings above",
        Warnings::InReport => "see the report's warnings",
    };
    let more = if images_done > 0 { " more" } else { "" };
    format!("can't determine which images are in use ({warnings}). Nothing{more} was deleted.")
}

/// Why nothing was deleted where more images are stale than may be.
pub(super) fn too_many(stale: u64, max_deletions: u64) -> String {
    format!(
        "{} stale and --max-deletions is {}. Nothing was deleted. Check with `ecr-cleanup plan`, then raise --max-deletions.",
        figures::counted(stale, "image is", "images are"),
        figures::count(max_deletions)
    )
}
