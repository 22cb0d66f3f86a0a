//! A failed call: the operation, the error code, and a remedy. The shell converts every SDK error into this type.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

/// A call that did not succeed, after all retries.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error, Serialize, Deserialize)]
#[error("{api}: {code}: {message}")]
pub struct CallError {
    /// The call in IAM's notation, `ecr:DescribeImages`.
    pub api: Cow<'static, str>,
    /// AWS's error code, or a code for the reason that there was no response.
    pub code: String,
    /// The error message of AWS or the SDK.
    pub message: String,
}

/// Why a call was cancelled, or not started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GivenUp {
    /// The deadline is near.
    #[error("the function's deadline is near")]
    DeadlineReached,
    /// A person or a signal interrupted the run.
    #[error("the run was interrupted")]
    Interrupted,
}

/// A resource that does not exist. ECR has an error code for each kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// An ECR repository.
    Repository,
    /// A repository's resource policy.
    RepositoryPolicy,
    /// The registry's resource policy.
    RegistryPolicy,
    /// A repository's lifecycle policy.
    LifecyclePolicy,
    /// An image.
    Image,
}

/// The error codes of services that run images for a resource, or its parent resource, that does not exist.
const GONE: [&str; 5] = [
    "ClusterNotFoundException",
    "ServiceNotFoundException",
    "DaemonNotFoundException",
    "ResourceNotFoundException",
    GONE_BY_ITS_PARENT,
];
/// Our code for a resource that is in no listing any more, in place of the code of the failed call.
const GONE_BY_ITS_PARENT: &str = "Gone";
/// The codes for throttling: those that the SDK knows, and Image Builder's.
const THROTTLES: [&str; 15] = [
    "BandwidthLimitExceeded",
    "CallRateLimitExceededException",
    "EC2ThrottledException",
    "LimitExceededException",
    "PriorRequestNotComplete",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "TooManyRequestsException",
    "TransactionInProgressException",
];
/// ECS's codes for any invalid request. A deleted resource is one possible reason among others.
const DOUBTFUL: [&str; 2] = ["ClientException", "InvalidParameterException"];

impl Missing {
    fn code(self) -> &'static str {
        match self {
            Self::Repository => "RepositoryNotFoundException",
            Self::RepositoryPolicy => "RepositoryPolicyNotFoundException",
            Self::RegistryPolicy => "RegistryPolicyNotFoundException",
            Self::LifecyclePolicy => "LifecyclePolicyNotFoundException",
            Self::Image => "ImageNotFoundException",
        }
    }
}

impl CallError {
    /// A call that failed with this code.
    #[must_use]
    pub fn new(api: &'static str, code: &str, message: String) -> Self {
        Self { api: api.into(), code: code.to_owned(), message }
    }

    /// A response that contradicts AWS's documentation.
    pub fn unexpected(api: &'static str, message: &dyn fmt::Display) -> Self {
        Self::new(api, "UnexpectedResponse", message.to_string())
    }

    /// A listing that can't be completed, since a page's token for the next page is its own token.
    #[must_use]
    pub fn broke_off(api: &'static str) -> Self {
        Self::unexpected(api, &"the listing can't be completed: a page points to itself as the next page")
    }

    /// A listing with images that have no digest.
    #[must_use]
    pub fn unnamed_images(number: u64) -> Self {
        Self::unexpected("ecr:DescribeImages", &format!("{number} images have no digest"))
    }

    /// A page without a list. That does not count as an empty list.
    #[must_use]
    pub fn no_list(api: &'static str) -> Self {
        Self::unexpected(api, &"the response has no list, not even an empty one")
    }

    /// Whether the call was cancelled because of the function's deadline.
    #[must_use]
    pub fn is_deadline(&self) -> bool {
        Self::is_deadline_code(&self.code)
    }

    /// Whether this is the code of a call that was cancelled because of the deadline.
    #[must_use]
    pub fn is_deadline_code(code: &str) -> bool {
        code == DEADLINE_REACHED
    }

    /// Whether the reason can be that the resource, or its parent, was deleted since it was listed. If so, a new listing
    /// doesn't have it.
    #[must_use]
    pub fn is_in_doubt(&self) -> bool {
        !self.is_denial() && !self.is_deadline() && !self.is_interruption()
    }

    /// Whether the call was not made because the run was interrupted.
    #[must_use]
    pub fn is_interruption(&self) -> bool {
        self.code == INTERRUPTED
    }

    /// Whether the error code means that this resource does not exist.
    #[must_use]
    pub fn is_missing(&self, what: Missing) -> bool {
        self.code == what.code()
    }

    /// Whether a listed resource, or its parent, was deleted before it was described. Then it uses no image. The code
    /// depends on how much of the hierarchy was deleted.
    #[must_use]
    pub fn says_gone(&self) -> bool {
        GONE.contains(&self.code.as_str())
    }

    /// Whether the error can mean that the resource was deleted, including calls without a code of their own for that.
    /// Then the caller lists its parent once more.
    #[must_use]
    pub fn may_say_gone(&self) -> bool {
        self.says_gone() || self.is_doubtful()
    }

    /// Whether the error can mean that the resource was deleted, but can also have another reason.
    #[must_use]
    pub fn is_doubtful(&self) -> bool {
        DOUBTFUL.contains(&self.code.as_str())
    }

    /// The same error, after a new listing has shown that the resource was deleted.
    #[must_use]
    pub fn settled_as_gone(self) -> Self {
        Self { code: GONE_BY_ITS_PARENT.to_owned(), ..self }
    }

    /// Whether the service throttled the call. Throttled calls are retried without a limit, and are never a failure.
    #[must_use]
    pub fn is_throttle_code(code: &str) -> bool {
        THROTTLES.contains(&code)
    }

    /// Whether the service does not know the operation. Then resources of this kind can't exist there.
    #[must_use]
    pub fn is_unknown_operation(&self) -> bool {
        matches!(self.code.as_str(), "UnknownOperationException" | "UnsupportedFeatureException" | "InvalidAction")
    }

    /// Whether AWS denied the call: the caller has no permission, or its credentials are not valid in this region.
    #[must_use]
    pub fn is_denial(&self) -> bool {
        self.is_refusal() || matches!(self.code.as_str(), "UnrecognizedClientException" | "InvalidClientTokenId")
    }

    /// Whether AWS knows the caller, and the caller has no permission for this call.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        let code = self.code.as_str();
        code.contains("AccessDenied") || code.contains("NotAuthorized") || code == "UnauthorizedOperation"
    }

    /// The next step for a person: an imperative phrase without a period.
    #[must_use]
    pub fn remedy(&self) -> String {
        let code = self.code.as_str();
        if self.is_refusal() {
            return format!("grant {} to the role or user that runs ecr-cleanup", self.api);
        }
        match code {
            "UnrecognizedClientException" | "InvalidClientTokenId" => {
                "use credentials that are valid in this Region; if the Region is disabled or misspelled, remove it from the settings".to_owned()
            }
            "ExpiredToken" | "ExpiredTokenException" => "renew the credentials".to_owned(),
            DEADLINE_REACHED => "increase the function's timeout".to_owned(),
            INTERRUPTED => "run again".to_owned(),
            NO_CREDENTIALS => {
                "set AWS_PROFILE, or run: eval \"$(aws configure export-credentials --format env)\"".to_owned()
            }
            "TimeoutError" | "DispatchFailure" => "check the network, or the VPC endpoint of this service".to_owned(),
            "UnexpectedResponse" => "update ecr-cleanup; if the error persists, report it as a bug".to_owned(),
            _ => "run again; if the error persists, look up its code in the service's API reference".to_owned(),
        }
    }
}

impl From<(&'static str, GivenUp)> for CallError {
    fn from((api, given_up): (&'static str, GivenUp)) -> Self {
        let code = match given_up {
            GivenUp::DeadlineReached => DEADLINE_REACHED,
            GivenUp::Interrupted => INTERRUPTED,
        };
        Self::new(api, code, given_up.to_string())
    }
}

const DEADLINE_REACHED: &str = "DeadlineReached";
const INTERRUPTED: &str = "Interrupted";
/// The code of a call that was not made because there were no credentials.
pub const NO_CREDENTIALS: &str = "NoCredentials";
