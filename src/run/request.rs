//! The request for a run: settings, limits, and options of a user in a terminal.

use chrono::{DateTime, Utc};
use ecr_cleanup_core::account::AccountId;
use ecr_cleanup_core::memory::PlanLocation;
use ecr_cleanup_core::review::ReviewedPlan;
use ecr_cleanup_core::saved_plan::SavedPlan;
use ecr_cleanup_core::settings::{Environment, InvalidSettings, Settings};
use ecr_cleanup_core::wanted::WantedImage;

use crate::deadline::Deadline;
use crate::discovery::FreshnessLimits;
use crate::event::Event;
use crate::progress::{Progress, Silent};

/// The limits of a run.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// When it must have answered.
    pub deadline: Deadline,
    /// How old usage may be at a delete.
    pub freshness: FreshnessLimits,
}

/// The request for a run.
#[derive(Clone)]
pub struct Request<'a> {
    /// The settings.
    pub settings: Settings,
    /// The time at which the event was sent.
    pub sent_at: Option<DateTime<Utc>>,
    /// The limits.
    pub limits: Limits,
    /// Receives the progress.
    pub progress: &'a dyn Progress,
    /// A reviewed plan, to which deletes are limited. All other images are kept.
    pub reviewed: Option<&'a ReviewedPlan>,
    /// The location of that plan in a memory. It is carried out only once.
    pub saved_at: Option<&'a PlanLocation>,
    /// The image to explain.
    pub wanted: Option<&'a WantedImage>,
}

impl Limits {
    /// This deadline, and the contract's limits for usage.
    #[must_use]
    pub fn until(deadline: Deadline) -> Self {
        Self { deadline, freshness: FreshnessLimits::CONTRACT }
    }
}

impl<'a> Request<'a> {
    /// The request of an event, with the settings in the environment. An event that names a plan needs that plan.
    ///
    /// # Errors
    /// When a setting is invalid.
    pub fn of(
        event: &Event,
        saved: Option<(&'a PlanLocation, &'a SavedPlan)>,
        environment: &Environment,
        limits: Limits,
    ) -> Result<Self, InvalidSettings> {
        let Event { settings, plan: _, time } = event;
        let read_file = &|file: &str| std::fs::read_to_string(file);
        let settings = match saved {
            None => Settings::resolve(settings, environment, read_file)?,
            Some((_, plan)) => plan.settings_for(settings, environment, read_file)?,
        };
        let (saved_at, reviewed) = saved.map(|(location, plan)| (location, &plan.reviewed)).unzip();
        Ok(Self { sent_at: *time, saved_at, reviewed, ..Self::new(settings, limits) })
    }

    /// A request with these settings, for nothing but the report.
    #[must_use]
    pub fn new(settings: Settings, limits: Limits) -> Self {
        Self { settings, sent_at: None, limits, progress: &Silent, reviewed: None, saved_at: None, wanted: None }
    }
}

impl Request<'_> {
    /// The account that the wanted image or the reviewed plan belongs to, if it is not `account`.
    pub(super) fn other_account(&self, account: &AccountId) -> Option<&AccountId> {
        let named = self.wanted.and_then(|wanted| wanted.registry_id.as_ref());
        let reviewed = self.reviewed.map(|reviewed| &reviewed.account);
        named.into_iter().chain(reviewed).find(|expected| *expected != account)
    }
}
