//! What a command that talks to AWS has at hand: clients, progress, and the way in which its report is printed.

use std::collections::BTreeSet;
use std::io::IsTerminal;

use clap::ArgMatches;
use ecr_cleanup_core::image::RepositoryName;
use ecr_cleanup_core::in_use_list;
use ecr_cleanup_core::plan::{ImageResult, Refusal, RegistryPlan, RepositoryPlan, StaleImage};
use ecr_cleanup_core::report::{Outcome, Report};
use ecr_cleanup_core::review::ReviewedPlan;
use ecr_cleanup_core::settings::Settings;

use super::given::Given;
use super::progress::{Loudness, Shown};
use super::trouble::{Access, idle_patterns};
use super::{Stream, Undone, account_of, interruption, no_region, tell, trouble, unwritten, width};
use crate::aws::Aws;
use crate::run::{self, Finished, Limits, Request, RunError};
use crate::show::figures;
use crate::show::quoted::quoted;
use crate::show::table::{Colours, Details, Look};
use crate::show::{html, markdown, table};

/// What a command that talks to AWS has at hand.
pub(super) struct Session {
    pub(super) aws: Aws,
    pub(super) shown: Shown,
    pub(super) format: String,
    details: Details,
    profile: Option<String>,
}

impl Session {
    /// Says at once that something goes on, then finds credentials and a region.
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
            format: matches.get_one::<String>("format").cloned().unwrap_or_default(),
            details: if has_details { Details::Images } else { Details::Repositories },
            profile: profile.or_else(|| std::env::var("AWS_PROFILE").ok()).filter(|profile| !profile.is_empty()),
        })
    }

    /// What a command asks of a run, with its progress shown and until somebody interrupts it.
    pub(super) fn request(&self, settings: &Settings) -> Request<'_> {
        let limits = Limits::until(interruption::deadline());
        Request { progress: &self.shown, ..Request::new(settings.clone(), limits) }
    }

    pub(super) async fn run(&self, settings: &Settings, reviewed: Option<&ReviewedPlan>) -> Result<Finished, Undone> {
        let finished = run::run(&Request { reviewed, ..self.request(settings) }, &self.aws).await;
        self.shown.end();
        finished.map_err(|error| self.undone(&error))
    }

    pub(super) fn undone(&self, error: &RunError) -> Undone {
        let text =
            trouble::of_run(error, &Access { profile: self.profile.as_deref(), endpoint_url: self.aws.endpoint_url() });
        match error {
            RunError::InvalidSettings(_) => Undone::WrongUsage(text),
            RunError::RegionsUnavailable(_) | RunError::AccountUnknown(_) | RunError::OtherAccount { .. } => {
                Undone::Failed(text)
            }
        }
    }

    /// How a table looks on a stream.
    pub(super) fn look(&self, stream: Stream) -> Look {
        let is_terminal = match stream {
            Stream::Stdout => std::io::stdout().is_terminal(),
            Stream::Stderr => std::io::stderr().is_terminal(),
        };
        let is_coloured = is_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Look {
            width: width(stream),
            colours: if is_coloured { Colours::Ansi } else { Colours::None },
            details: self.details,
        }
    }

    pub(super) fn print(&self, report: &Report) -> Result<(), Undone> {
        let mut text = match self.format.as_str() {
            "json" => report.to_json().map_err(|error| unwritten(&error))?,
            "markdown" => markdown::markdown(report),
            "html" => html::html(report),
            _ => table::table(report, &self.look(Stream::Stdout)),
        };
        if !text.ends_with('\n') {
            text.push('\n');
        }
        super::print(&text).inspect_err(|_| tell_done(report))?;
        match &report.outcome {
            // The report's warnings name each cause.
            Outcome::Refused(Refusal::UsageIncomplete { images_done, .. }) => {
                let more = if *images_done > 0 { " more" } else { "" };
                tell(&format!(
                    "error: nothing{more} was deleted, since what is in use is not known in full; see the warnings"
                ));
            }
            Outcome::Refused(refusal @ (Refusal::TooManyDeletions { .. } | Refusal::ClockSkew(_))) => {
                tell(&format!("error: {refusal}"));
            }
            Outcome::Planned | Outcome::Completed | Outcome::Partial | Outcome::DeadlineReached => {}
        }
        Ok(())
    }

    /// Says what came of lists of images, and what somebody may not have meant: patterns that match no repository, with
    /// the one that was probably meant.
    pub(super) fn hint(&self, report: &Report, given: &Given) {
        tell_listed(report, given);
        let Some(known) = self.repositories_of(report) else { return };
        let selection = &given.settings.repositories;
        for warning in idle_patterns(selection.patterns().chain(selection.exclusions()), &known) {
            tell(&quoted(&format!("warning: {warning}")));
        }
    }

    /// Refuses to go on with exclusions that exclude nothing: whoever wrote them wants something to stay.
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

/// Tells what a run has deleted and archived, one by one: nothing else would, where its report is not written.
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

/// Tells how much came of the images that files list: a list that names nothing here protects nothing.
pub(super) fn tell_listed(report: &Report, given: &Given) {
    let (listed, Some(account)) = (&given.listed, account_of(report)) else { return };
    if !listed.is_empty() {
        let found = in_use_list::found_in(&report.plan, account, listed.iter().map(String::as_str));
        let read = figures::counted(listed.len() as u64, "reference", "references");
        tell(&format!(
            "--in-use-file: {read} read, of which {} an image that is here",
            figures::counted(found as u64, "names", "name")
        ));
    }
}

fn refuse_idle_exclusions(given: &Given, known: &BTreeSet<RepositoryName>) -> Result<(), Undone> {
    match idle_patterns(given.settings.repositories.exclusions(), known).first() {
        Some(idle) => {
            Err(Undone::WrongUsage(quoted(&format!("--exclude-repositories: {idle} (so nothing was deleted)"))))
        }
        None => Ok(()),
    }
}
