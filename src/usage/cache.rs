//! What never changes is read once a run, however often usage is discovered in it.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

/// Things that never change, by ARN.
#[derive(Debug)]
pub(super) struct Cache<T>(Mutex<HashMap<String, T>>);

impl<T> Default for Cache<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone> Cache<T> {
    pub(super) fn get(&self, arn: &str) -> Option<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(arn).cloned()
    }

    /// Those of `arns` that are here.
    pub(super) fn get_all(&self, arns: &BTreeSet<String>) -> Vec<T> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        arns.iter().filter_map(|arn| known.get(arn).cloned()).collect()
    }

    pub(super) fn insert(&self, arn: &str, value: T) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(arn.to_owned(), value);
    }
}
