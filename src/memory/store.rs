//! A store of objects by key, in which nobody overwrites what they have not read.

use std::collections::BTreeSet;
use std::fmt;

use ecr_cleanup_core::call_error::CallError;
use futures::future::LocalBoxFuture;

/// Where objects are kept. Keys are relative, with slashes between their parts.
pub trait Store: fmt::Debug {
    /// The keys of all objects.
    ///
    /// # Errors
    /// When they can't be listed in full. Without a list, an object that can't be read can't be told from one that is not
    /// there: S3 denies both alike.
    fn list(&self) -> LocalBoxFuture<'_, Result<BTreeSet<String>, CallError>>;

    /// An object; `None` where there is none.
    ///
    /// # Errors
    /// When it can't be read.
    fn get<'a>(&'a self, key: &'a str) -> LocalBoxFuture<'a, Result<Option<Object>, CallError>>;

    /// Puts an object if it is still of this version.
    ///
    /// # Errors
    /// When it can't be written.
    fn put<'a>(
        &'a self,
        key: &'a str,
        bytes: Vec<u8>,
        unchanged: &'a Version,
    ) -> LocalBoxFuture<'a, Result<Put, CallError>>;
}

/// An object as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Its version.
    pub version: Version,
}

/// Which object a key has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Version {
    /// None.
    Absent,
    /// The one that the store calls so.
    Is(String),
}

/// What became of a put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// The object is written.
    Written,
    /// Another has written it in between, so nothing was written.
    Changed,
}
