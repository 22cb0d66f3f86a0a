//! The date of AWS's first answer, with what the run's clock said when it came.
//!
//! The SDK measures the difference too, and signs by what it then takes for the time. Nobody else is told, and ages that
//! are told by a wrong clock are wrong.

use std::sync::{Arc, OnceLock};

use aws_sdk_sts::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_sts::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_sts::error::BoxError;
use chrono::{DateTime, Utc};
use ecr_cleanup_core::clock_skew::ClockSkew;

use crate::clock::Clock;

/// Notes the date of the first answer that has one, also of one that says no.
#[derive(Clone, Debug)]
pub(super) struct FirstDate {
    clock: Clock,
    noted: Arc<OnceLock<(DateTime<Utc>, DateTime<Utc>)>>,
}

impl FirstDate {
    pub(super) fn by(clock: Clock) -> Self {
        Self { clock, noted: Arc::default() }
    }

    /// How far the clocks are apart, where that is too far; without a date there is nothing to compare.
    pub(super) fn skew(&self) -> Option<ClockSkew> {
        self.noted.get().and_then(|(clock, aws)| ClockSkew::between(*clock, *aws))
    }
}

impl Intercept for FirstDate {
    fn name(&self) -> &'static str {
        "FirstDate"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let headers = context.response().headers();
        // What a cache in between has kept is as old as it says.
        let date = headers.get("date").filter(|_| headers.get("age").is_none());
        if let Some(aws) = date.and_then(|date| DateTime::parse_from_rfc2822(date).ok()) {
            _ = self.noted.set((self.clock.utc(), aws.to_utc()));
        }
        Ok(())
    }
}
