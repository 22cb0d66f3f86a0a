//! A failure in the parts that a program goes by: where it was, which call, and what to do about it.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::account::{AccountId, Region};
use crate::call_error::CallError;
use crate::usage::{self, UnreadableUse};

/// The code of a reference whose repository can't be told.
const UNREADABLE_REFERENCE: &str = "UnreadableReference";

/// A failure, as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cause {
    /// The account in which it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountId>,
    /// The region in which it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Region>,
    /// What was to be read there, as people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Cow<'static, str>>,
    /// The ARN or the name of the resource that it failed for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// The call in IAM's notation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api: Option<Cow<'static, str>>,
    /// AWS's error code, or what kept AWS from answering.
    pub code: String,
    /// What AWS, or the SDK, says of it.
    pub message: String,
    /// What a person can do about it.
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
