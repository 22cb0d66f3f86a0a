//! Who asks again after a failure: the SDK, unless a service is asked too fast.

use aws_sdk_ecs::config::retry::{RetryPartition, TokenBucket};
use aws_smithy_runtime_api::client::interceptors::context::InterceptorContext;
use aws_smithy_runtime_api::client::retries::ErrorKind;
use aws_smithy_runtime_api::client::retries::classifiers::{
    ClassifyRetry, RetryAction, RetryClassifierPriority, RetryReason,
};

/// A budget of retries that never ends. The SDK's own is shared by all clients of a service in a region, so that a few
/// repositories that fail for good would use up what every other needs for a hiccup. How often one call is made again is
/// bounded all the same.
#[must_use]
pub fn unshared() -> RetryPartition {
    RetryPartition::custom("ecr-cleanup").token_bucket(TokenBucket::unlimited()).build()
}

/// Takes throttled calls out of the SDK's hands, for a [`Caller`](super::Caller) that lowers its pace and asks again.
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

    /// After all others, whose verdict it looks at.
    fn priority(&self) -> RetryClassifierPriority {
        RetryClassifierPriority::run_after(RetryClassifierPriority::transient_error_classifier())
    }

    fn name(&self) -> &'static str {
        "ThrottlesComeBack"
    }
}

/// What makes a client of a service for calls that a [`Caller`](super::Caller) makes at their pace.
macro_rules! paced_client {
    ($sdk:ident) => {
        |config: &aws_config::SdkConfig| {
            let config = $sdk::config::Builder::from(config).retry_partition($crate::aws::unshared());
            $sdk::Client::from_conf(config.retry_classifier($crate::aws::ThrottlesComeBack).build())
        }
    };
}

pub(crate) use paced_client;
