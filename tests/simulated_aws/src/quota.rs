//! Quotas as AWS publishes them: a token bucket for each Region of each account. It refills at a steady rate.

use std::collections::BTreeMap;

use tokio::time::Instant;

use crate::calls::Call;

/// A quota that some operations share.
pub(crate) struct Quota {
    operations: Vec<String>,
    burst: f64,
    per_second: f64,
    buckets: BTreeMap<(String, String), Bucket>,
}

struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Quota {
    pub(crate) fn new(operations: &[&str], burst: u32, per_second: u32) -> Self {
        let operations = operations.iter().map(|operation| (*operation).to_owned()).collect();
        Self { operations, burst: burst.into(), per_second: per_second.into(), buckets: BTreeMap::new() }
    }

    /// Uses a token for this call, and returns whether there was one. Calls of other operations need no token.
    pub(crate) fn admits(&mut self, call: &Call) -> bool {
        if !self.operations.contains(&call.operation) {
            return true;
        }
        let place = (call.account.clone(), call.region.clone());
        let bucket = self.buckets.entry(place).or_insert(Bucket { tokens: self.burst, at: call.at });
        let elapsed = call.at.saturating_duration_since(bucket.at).as_secs_f64();
        bucket.tokens = (bucket.tokens + elapsed * self.per_second).min(self.burst);
        bucket.at = call.at.max(bucket.at);
        let admitted = bucket.tokens >= 1.0;
        bucket.tokens -= f64::from(u8::from(admitted));
        admitted
    }
}
