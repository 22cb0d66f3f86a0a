//! The signing time of a request. AWS compares it with its own clock, whose time is in the `Date` of every answer.
//! See <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-troubleshooting.html>.

use aws_smithy_async::time::TimeSource;
use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};

use crate::clock::Clock;
use crate::request::{Request, ServiceError};

/// The largest difference between the signing time and AWS's time.
const TOLERANCE: TimeDelta = TimeDelta::minutes(5);

/// The `Date` of an answer.
pub(crate) fn date(clock: Clock) -> String {
    DateTime::<Utc>::from(clock.now()).format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// The error for a request whose signing time is too far from AWS's time.
pub(crate) fn refusal(request: &Request, signed_at: Option<&str>, clock: Clock) -> Option<ServiceError> {
    let signed_at = signed_at?;
    let at = NaiveDateTime::parse_from_str(signed_at, "%Y%m%dT%H%M%SZ").ok()?.and_utc();
    let now = DateTime::<Utc>::from(clock.now());
    let code = match request.service.as_str() {
        "sts" => "SignatureDoesNotMatch",
        "s3" => "RequestTimeTooSkewed",
        _ => "InvalidSignatureException",
    };
    let what = if at > now { "Signature not yet current" } else { "Signature expired" };
    let is_far = (now - at).abs() > TOLERANCE;
    is_far.then(|| ServiceError::new(403, code, &format!("{what}: {signed_at}, and it is {now} (5 min.)")))
}
