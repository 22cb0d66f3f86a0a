//! A call that failed: which, how, and what a person can do about it. No SDK type gets further than this.

use std::fmt;

use serde::Serialize;

use crate::deadline::GivenUp;

/// A call that did not succeed, after all retries.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error, Serialize)]
#[error("{api}: {code}: {message}")]
pub struct CallError {
    /// The call in IAM's notation, `ecr:DescribeImages`.
    pub api: &'static str,
    /// AWS's error code, or what kept AWS from answering.
    pub code: String,
    /// What AWS, or the SDK, says of it.
    pub message: String,
}

impl CallError {
    /// An answer that AWS's documentation rules out.
    pub fn unexpected(api: &'static str, message: &dyn fmt::Display) -> Self {
        Self { api, code: "UnexpectedResponse".to_owned(), message: message.to_string() }
    }

    /// A listing that ended although it named a next page.
    #[must_use]
    pub fn broke_off(api: &'static str) -> Self {
        Self::unexpected(api, &"the listing broke off: a page names itself as the next")
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

    /// Whether the call was not made, since the run was interrupted.
    #[must_use]
    pub fn is_interruption(&self) -> bool {
        self.code == INTERRUPTED
    }

    /// Whether the caller may not do this there at all.
    #[must_use]
    pub fn is_denial(&self) -> bool {
        let code = self.code.as_str();
        code.contains("AccessDenied")
            || code.contains("NotAuthorized")
            || matches!(code, "UnauthorizedOperation" | "UnrecognizedClientException" | "InvalidClientTokenId")
    }

    /// What a person can do about it.
    #[must_use]
    pub fn remedy(&self) -> String {
        let code = self.code.as_str();
        if code.contains("AccessDenied") || code.contains("NotAuthorized") || code == "UnauthorizedOperation" {
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
        Self { api, code: code.to_owned(), message: given_up.to_string() }
    }
}

pub(super) const DEADLINE_REACHED: &str = "DeadlineReached";
const INTERRUPTED: &str = "Interrupted";
pub(super) const NO_CREDENTIALS: &str = "NoCredentials";
