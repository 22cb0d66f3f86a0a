//! A store of objects by key. A run overwrites only objects that it has read.

use std::collections::BTreeSet;
use std::fmt;

use ecr_cleanup_core::call_error::CallError;
use futures::future::LocalBoxFuture;

/// A store of objects. Keys are relative, with slashes between their parts.
pub trait Store: fmt::Debug {
    /// The keys of all objects that begin with this prefix, which ends with a slash.
    ///
    /// # Errors
    /// When they can't be listed in full. Without a list, an object that can't be read looks like an object that does not
    /// exist, because S3 returns the same error for both.
    fn list<'a>(&'a self, prefix: &'a str) -> LocalBoxFuture<'a, Result<BTreeSet<String>, CallError>>;

    /// An object; `None` if it does not exist.
    ///
    /// # Errors
    /// When it can't be read.
    fn get<'a>(&'a self, key: &'a str) -> LocalBoxFuture<'a, Result<Option<Object>, CallError>>;

    /// Puts an object if its version is still this one.
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

/// An object that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Its version.
    pub version: Version,
}

/// The version of the object of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Version {
    /// There is no object.
    Absent,
    /// The store's name for the version.
    Is(String),
}

/// The result of a put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Put {
    /// The object is written, and this is its version.
    Written(Version),
    /// Another run has written the object in between, so nothing was written.
    Changed,
}
