//! A failure in parts, for programs: the place, the call, and the remedy.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::account::{AccountId, Region};
use crate::call_error::CallError;
use crate::usage::{self, UnreadableUse};

/// The code of a reference whose repository is unknown.
const UNREADABLE_REFERENCE: &str = "UnreadableReference";

/// A failure. Unknown parts are `None`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cause {
    /// The account in which the call failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountId>,
    /// The region in which the call failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Region>,
    /// What should have been read there: a title for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Cow<'static, str>>,
    /// The ARN or the name of the resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// The call in IAM's notation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api: Option<Cow<'static, str>>,
    /// AWS's error code, or a code for the reason that there was no response.
    pub code: String,
    /// The error message of AWS or the SDK.
    pub message: String,
    /// The next step for a person.
    pub remedy: String,
}

impl From<&CallError> for Cause {
    fn from(error: &CallError) -> Self {
        let CallError { api, code, message } = error;
        Self {
            account: None,
            region: None,
            source: None,
            resource: None,
            api: Some(api.clone()),
            code: code.clone(),
            message: message.clone(),
            remedy: error.remedy(),
        }
    }
}

impl From<&usage::Cause> for Cause {
    fn from(cause: &usage::Cause) -> Self {
        let remedy = cause.remedy();
        match cause {
            usage::Cause::Account { role, error } => Self {
                account: Some(role.account.clone()),
                resource: Some(role.as_str().to_owned()),
                remedy,
                ..Self::from(error)
            },
            usage::Cause::Regions { account, error } => {
                Self { account: Some(account.clone()), remedy, ..Self::from(error) }
            }
            usage::Cause::Source { place, title, error } => Self {
                account: Some(place.account.clone()),
                region: Some(place.region.clone()),
                source: Some(title.clone()),
                remedy,
                ..Self::from(error)
            },
            usage::Cause::Unlocated(UnreadableUse { reference, holder }) => Self {
                account: reference.registry_id.clone(),
                region: None,
                source: Some(holder.kind.as_str().to_owned().into()),
                resource: Some(holder.name.to_string()),
                api: None,
                code: UNREADABLE_REFERENCE.to_owned(),
                message: reference.to_string(),
                remedy,
            },
        }
    }
}
