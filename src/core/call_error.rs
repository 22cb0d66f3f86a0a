//! A call that failed: which, how, and what a person can do about it. No SDK type gets further than this.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

/// A call that did not succeed, after all retries.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error, Serialize, Deserialize)]
#[error("{api}: {code}: {message}")]
pub struct CallError {
    /// The call in IAM's notation, `ecr:DescribeImages`.
    pub api: Cow<'static, str>,
    /// AWS's error code, or what kept AWS from answering.
    pub code: String,
    /// What AWS, or the SDK, says of it.
    pub message: String,
}

/// Why a call was given up, or not begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GivenUp {
    /// The deadline is near.
    #[error("the function's deadline is near; give it more time, or less to do")]
    DeadlineReached,
    /// Somebody stopped the run.
    #[error("the run was interrupted")]
    Interrupted,
}

/// Something that a call names and that is not there. Each service has a code of its own for it.
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

/// The codes by which the services that run images say that what a call names, or what that belongs to, is not there.
const GONE: [&str; 5] = [
    "ClusterNotFoundException",
    "ServiceNotFoundException",
    "DaemonNotFoundException",
    "ResourceNotFoundException",
    GONE_BY_ITS_PARENT,
];
/// The code of what nothing names any more, whatever the call about it said.
const GONE_BY_ITS_PARENT: &str = "Gone";
/// The codes by which a service says that it is asked too fast: those that the SDK knows, and Image Builder's.
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
/// The codes of ECS for anything that is wrong with a request, be it that what it names was deleted.
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

    /// An answer that AWS's documentation rules out.
    pub fn unexpected(api: &'static str, message: &dyn fmt::Display) -> Self {
        Self::new(api, "UnexpectedResponse", message.to_string())
    }

    /// A listing that ended although it named a next page.
    #[must_use]
    pub fn broke_off(api: &'static str) -> Self {
        Self::unexpected(api, &"the listing broke off: a page names itself as the next")
    }

    /// A listing with images that nothing names.
    #[must_use]
    pub fn unnamed_images(number: u64) -> Self {
        Self::unexpected("ecr:DescribeImages", &format!("{number} images have no digest"))
    }

    /// A page of a listing without the list, which is not an empty one.
    #[must_use]
    pub fn no_list(api: &'static str) -> Self {
        Self::unexpected(api, &"the answer has no list, not even an empty one")
    }

    /// Whether the call was given up for the function's deadline.
    #[must_use]
    pub fn is_deadline(&self) -> bool {
        Self::is_deadline_code(&self.code)
    }

    /// Whether this is the code of such a call.
    #[must_use]
    pub fn is_deadline_code(code: &str) -> bool {
        code == DEADLINE_REACHED
    }

    /// Whether AWS may have said so since what the call names, or what that belongs to, went away in between. Then it is not
    /// there any more where it was listed.
    #[must_use]
    pub fn is_in_doubt(&self) -> bool {
        !self.is_denial() && !self.is_deadline() && !self.is_interruption()
    }

    /// Whether the call was not made, since the run was interrupted.
    #[must_use]
    pub fn is_interruption(&self) -> bool {
        self.code == INTERRUPTED
    }

    /// Whether the call says that this is not there.
    #[must_use]
    pub fn is_missing(&self, what: Missing) -> bool {
        self.code == what.code()
    }

    /// Whether what was listed, or what it belongs to, went away before it was asked about: then it uses nothing. Which of
    /// the codes a call answers with depends on how much of it went.
    #[must_use]
    pub fn says_gone(&self) -> bool {
        GONE.contains(&self.code.as_str())
    }

    /// Whether a call that has no code of its own for what is not there may mean that. Then whatever named it is asked
    /// once more.
    #[must_use]
    pub fn may_say_gone(&self) -> bool {
        self.says_gone() || self.is_doubtful()
    }

    /// Whether it may mean that what the call names went away, and may as well mean something else.
    #[must_use]
    pub fn is_doubtful(&self) -> bool {
        DOUBTFUL.contains(&self.code.as_str())
    }

    /// The same, once nothing names any more what the call was about.
    #[must_use]
    pub fn settled_as_gone(self) -> Self {
        Self { code: GONE_BY_ITS_PARENT.to_owned(), ..self }
    }

    /// Whether the service was asked too fast. It is asked again, however often: refused is only what fails otherwise.
    #[must_use]
    pub fn is_throttle_code(code: &str) -> bool {
        THROTTLES.contains(&code)
    }

    /// Whether the service does not know the operation, so that nothing of its kind can exist there.
    #[must_use]
    pub fn is_unknown_operation(&self) -> bool {
        matches!(self.code.as_str(), "UnknownOperationException" | "UnsupportedFeatureException" | "InvalidAction")
    }

    /// Whether the caller may not do this there at all.
    #[must_use]
    pub fn is_denial(&self) -> bool {
        self.is_refusal() || matches!(self.code.as_str(), "UnrecognizedClientException" | "InvalidClientTokenId")
    }

    /// Whether AWS knows the caller, and its policies do not let it do this.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        let code = self.code.as_str();
        code.contains("AccessDenied") || code.contains("NotAuthorized") || code == "UnauthorizedOperation"
    }

    /// What a person can do about it.
    #[must_use]
    pub fn remedy(&self) -> String {
        let code = self.code.as_str();
        if self.is_refusal() {
            return format!("grant {} to the role or user that this runs as", self.api);
        }
        match code {
            "UnrecognizedClientException" | "InvalidClientTokenId" => {
                "the credentials are not valid there: the region may be disabled, then leave it out".to_owned()
            }
            "ExpiredToken" | "ExpiredTokenException" => "renew the credentials".to_owned(),
            DEADLINE_REACHED => "give the function more time".to_owned(),
            INTERRUPTED => "run again".to_owned(),
            NO_CREDENTIALS => {
                "give it credentials; for a profile: eval \"$(aws configure export-credentials --format env)\""
                    .to_owned()
            }
            "TimeoutError" | "DispatchFailure" => {
                "check that the service can be reached from here: the network, or a VPC endpoint".to_owned()
            }
            "UnexpectedResponse" => "it is not what AWS documents, or newer than this version: report it".to_owned(),
            _ => "run again; if it persists, see the code in the service's API reference".to_owned(),
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
/// The code of a call that had no credentials to be made with.
pub const NO_CREDENTIALS: &str = "NoCredentials";
