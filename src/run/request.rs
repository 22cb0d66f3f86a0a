//! What is asked of a run: settings, limits, and what a person in a terminal wants of it besides its report.

use chrono::{DateTime, Utc};
use ecr_cleanup_core::account::AccountId;
use ecr_cleanup_core::review::ReviewedPlan;
use ecr_cleanup_core::settings::{Environment, InvalidSettings, Settings};
use ecr_cleanup_core::wanted::WantedImage;
use serde_json::Value;

use crate::deadline::Deadline;
use crate::discovery::FreshnessLimits;
use crate::event::Event;
use crate::progress::{Progress, Silent};

/// What a run is bound by.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// When it must have answered.
    pub deadline: Deadline,
    /// How old the usage may be that it deletes on.
    pub freshness: FreshnessLimits,
}

/// What is asked of a run.
#[derive(Clone)]
pub struct Request<'a> {
    /// What it is to do.
    pub settings: Settings,
    /// When the event was sent that it comes from.
    pub sent_at: Option<DateTime<Utc>>,
    /// What it is bound by.
    pub limits: Limits,
    /// Who is told how far it has come.
    pub progress: &'a dyn Progress,
    /// What may go, where that was reviewed. Everything else stays.
    pub reviewed: Option<&'a ReviewedPlan>,
    /// The image that is to be explained.
    pub wanted: Option<&'a WantedImage>,
}

impl Limits {
    /// Bound by this deadline, and by what the contract says of usage.
    #[must_use]
    pub fn until(deadline: Deadline) -> Self {
        Self { deadline, freshness: FreshnessLimits::CONTRACT }
    }
}

impl Request<'static> {
    /// Reads the text of an event, with what the environment gives.
    ///
    /// # Errors
    /// When something stands in it twice, or a setting can't be used.
    pub fn read(event: &str, environment: &Environment, limits: Limits) -> Result<Self, InvalidSettings> {
        Self::of(Event::read(event)?, environment, limits)
    }

    /// Takes an event that is read already, with what the environment gives.
    ///
    /// # Errors
    /// When a setting can't be used.
    pub fn parse(payload: Value, environment: &Environment, limits: Limits) -> Result<Self, InvalidSettings> {
        Self::of(Event::parse(payload)?, environment, limits)
    }

    fn of(event: Event, environment: &Environment, limits: Limits) -> Result<Self, InvalidSettings> {
        let Event { settings, time } = event;
        let settings = Settings::resolve(&settings, environment, &|file| std::fs::read_to_string(file))?;
        Ok(Self { sent_at: time, ..Self::new(settings, limits) })
    }

    /// These settings, and nobody who waits for more than the report.
    #[must_use]
    pub fn new(settings: Settings, limits: Limits) -> Self {
        Self { settings, sent_at: None, limits, progress: &Silent, reviewed: None, wanted: None }
    }
}

impl Request<'_> {
    /// The account that whoever asks takes this to be, if that is another.
    pub(super) fn other_account(&self, account: &AccountId) -> Option<&AccountId> {
        let named = self.wanted.and_then(|wanted| wanted.registry_id.as_ref());
        let reviewed = self.reviewed.map(|reviewed| &reviewed.account);
        named.into_iter().chain(reviewed).find(|expected| *expected != account)
    }
}
