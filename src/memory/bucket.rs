//! Memory in an S3 bucket, below a prefix.

use std::collections::BTreeSet;

use ecr_cleanup_core::call_error::CallError;
use futures::FutureExt;
use futures::future::LocalBoxFuture;

use super::store::{Object, Put, Store, Version};
use crate::aws::{Bucket, Got};

/// The objects of a bucket whose keys begin with a prefix.
#[derive(Debug)]
pub(super) struct InBucket {
    bucket: Bucket,
    /// With a slash at its end, unless it is empty.
    prefix: String,
}

impl InBucket {
    pub(super) fn new(bucket: Bucket, prefix: &str) -> Self {
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        Self { bucket, prefix }
    }
}

impl Store for InBucket {
    fn list<'a>(&'a self, prefix: &'a str) -> LocalBoxFuture<'a, Result<BTreeSet<String>, CallError>> {
        async move {
            let keys = self.bucket.list(&format!("{}{prefix}", self.prefix)).await?;
            Ok(keys.iter().filter_map(|key| key.strip_prefix(&self.prefix)).map(str::to_owned).collect())
        }
        .boxed_local()
    }

    fn get<'a>(&'a self, key: &'a str) -> LocalBoxFuture<'a, Result<Option<Object>, CallError>> {
        async move {
            let got = self.bucket.get(&format!("{}{key}", self.prefix)).await?;
            Ok(got.map(|Got { bytes, etag }| Object { bytes, version: Version::Is(etag) }))
        }
        .boxed_local()
    }

    fn put<'a>(
        &'a self,
        key: &'a str,
        bytes: Vec<u8>,
        unchanged: &'a Version,
    ) -> LocalBoxFuture<'a, Result<Put, CallError>> {
        async move {
            let etag = match unchanged {
                Version::Absent => None,
                Version::Is(etag) => Some(etag.as_str()),
            };
            let written = self.bucket.put(&format!("{}{key}", self.prefix), bytes, etag).await?;
            Ok(written.map_or(Put::Changed, |etag| Put::Written(Version::Is(etag))))
        }
        .boxed_local()
    }
}
