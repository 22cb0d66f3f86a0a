//! The date of AWS's first answer, with the time of the run's clock at that moment.
//!
//! The SDK measures the difference too, and signs requests with the corrected time. It does not return the difference,
//! and a wrong clock makes all ages wrong.

use std::sync::{Arc, OnceLock};

use aws_sdk_sts::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_sts::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_sts::error::BoxError;
use chrono::{DateTime, Utc};
use ecr_cleanup_core::clock_skew::ClockSkew;

use crate::clock::Clock;

/// Notes the date of the first answer that has one, even of an error answer.
#[derive(Clone, Debug)]
pub(super) struct FirstDate {
    clock: Clock,
    noted: Arc<OnceLock<(DateTime<Utc>, DateTime<Utc>)>>,
}

impl FirstDate {
    pub(super) fn by(clock: Clock) -> Self {
        Self { clock, noted: Arc::default() }
    }

    /// The difference between the clocks, if it is too large; `None` without a date.
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
        // An answer from a cache has an old date.
        let date = headers.get("date").filter(|_| headers.get("age").is_none());
        if let Some(aws) = date.and_then(|date| DateTime::parse_from_rfc2822(date).ok()) {
            _ = self.noted.set((self.clock.utc(), aws.to_utc()));
        }
        Ok(())
    }
}
