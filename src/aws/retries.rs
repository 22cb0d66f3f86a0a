//! Retries: the SDK repeats failed calls, except throttled ones.

use aws_sdk_ecs::config::retry::{RetryPartition, TokenBucket};
use aws_smithy_runtime_api::client::interceptors::context::InterceptorContext;
use aws_smithy_runtime_api::client::retries::ErrorKind;
use aws_smithy_runtime_api::client::retries::classifiers::{
    ClassifyRetry, RetryAction, RetryClassifierPriority, RetryReason,
};

/// A retry budget that never ends. All clients of a service in a region share the SDK's default budget, so that a few
/// permanently failing repositories would use up the retries of all others. The number of attempts of each call is
/// still bounded.
#[must_use]
pub fn unshared() -> RetryPartition {
    RetryPartition::custom("ecr-cleanup").token_bucket(TokenBucket::unlimited()).build()
}

/// Stops the SDK from retrying throttled calls. A [`Caller`](super::Caller) lowers its pace and repeats them.
#[derive(Clone, Copy, Debug)]
pub struct ThrottlesComeBack;

impl ClassifyRetry for ThrottlesComeBack {
    fn classify_retry(&self, _: &InterceptorContext) -> RetryAction {
        RetryAction::NoActionIndicated
    }

    fn classify_retry_v2(&self, _: &InterceptorContext, previous: &RetryAction) -> RetryAction {
        match previous {
            RetryAction::RetryIndicated(RetryReason::RetryableError { kind: ErrorKind::ThrottlingError, .. }) => {
                RetryAction::RetryForbidden
            }
            _ => RetryAction::NoActionIndicated,
        }
    }

    /// After all other classifiers, because it changes their verdict.
    fn priority(&self) -> RetryClassifierPriority {
        RetryClassifierPriority::run_after(RetryClassifierPriority::transient_error_classifier())
    }

    fn name(&self) -> &'static str {
        "ThrottlesComeBack"
    }
}

/// Makes a client of a service whose calls a [`Caller`](super::Caller) paces.
macro_rules! paced_client {
    ($sdk:ident) => {
        |config: &aws_config::SdkConfig| {
            let config = $sdk::config::Builder::from(config).retry_partition($crate::aws::unshared());
            $sdk::Client::from_conf(config.retry_classifier($crate::aws::ThrottlesComeBack).build())
        }
    };
}

pub(crate) use paced_client;
