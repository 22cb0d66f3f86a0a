//! An object of memory that can't be read or written.

use serde::{Deserialize, Serialize};

use super::Damaged;
use crate::call_error::CallError;

/// The codes of errors that don't come from a service.
const DAMAGED: &str = "Damaged";
const TOO_NEW: &str = "NewerFormat";
const CHANGED: &str = "ChangedMeanwhile";

/// An object of memory that can't be read or written, with the cause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{object}: {error}. {remedy}", remedy = self.remedy())]
pub struct MemoryTrouble {
    /// The object: `s3://bucket/prefix/state/seen/123456789012/us-west-2.json.gz`, or all of memory.
    pub object: String,
    /// The cause.
    pub error: CallError,
}

impl MemoryTrouble {
    /// A call for an object, or the reading of a file, failed.
    #[must_use]
    pub fn of_call(object: String, error: CallError) -> Self {
        Self { object, error }
    }

    /// An object's bytes can't be read.
    #[must_use]
    pub fn damaged(object: String, damaged: &Damaged) -> Self {
        let code = if matches!(damaged, Damaged::TooNew(_)) { TOO_NEW } else { DAMAGED };
        Self { object, error: CallError::new("memory", code, damaged.to_string()) }
    }

    /// A newer version of this program wrote the object, so this one does not overwrite it.
    #[must_use]
    pub fn newer(object: String) -> Self {
        let message = "a newer version of ecr-cleanup wrote this object, so this run did not overwrite it".to_owned();
        Self { object, error: CallError::new("memory", TOO_NEW, message) }
    }

    /// Other runs wrote the object each time this one tried to.
    #[must_use]
    pub fn contended(object: String) -> Self {
        let message = "other runs kept writing this object".to_owned();
        Self { object, error: CallError::new("memory", CHANGED, message) }
    }

    /// What to do about it, in a sentence.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self.error.code.as_str() {
            DAMAGED => "Restore an earlier version of the object, or delete it and lose its data".to_owned(),
            TOO_NEW => "Update ecr-cleanup".to_owned(),
            CHANGED => "Run again".to_owned(),
            "NoSuchBucket" => "Create the bucket, or correct the setting memory".to_owned(),
            "PermissionDenied" | "ReadOnlyFilesystem" | "StorageFull" | "NotADirectory" => {
                "Correct the folder, or set memory to another one".to_owned()
            }
            _ => {
                let remedy = self.error.remedy();
                let mut letters = remedy.chars();
                letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
            }
        }
    }
}
