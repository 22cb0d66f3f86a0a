//! The calls that a run made. Tests read them to learn what the function did.

use serde_json::Value;
use std::collections::BTreeMap;
use tokio::time::Instant;

use crate::model::member::Variation;

/// A call and its result.
#[derive(Clone, Debug)]
pub struct Call {
    /// The service and operation in IAM's notation.
    pub operation: String,
    /// The caller's account.
    pub account: String,
    /// The Region of the endpoint.
    pub region: String,
    /// The request's parameters.
    pub request: Value,
    /// The time of the call.
    pub at: Instant,
    /// The error code of the answer; `None` if the call succeeded.
    pub error: Option<String>,
    /// Other answers that the model allows, if a test turned on [`SimulatedAws::note_variations`].
    ///
    /// [`SimulatedAws::note_variations`]: crate::SimulatedAws::note_variations
    pub variations: Vec<Variation>,
}

/// The calls so far, and how many were in progress at once.
#[derive(Default)]
pub(crate) struct Calls {
    pub(crate) made: Vec<Call>,
    under_way: BTreeMap<(String, String, String), usize>,
    peak: BTreeMap<String, usize>,
}

impl Calls {
    pub(crate) fn begin(&mut self, call: Call) -> usize {
        let under_way = self.under_way.entry(bucket(&call)).or_default();
        *under_way += 1;
        let peak = self.peak.entry(call.operation.clone()).or_default();
        *peak = (*peak).max(*under_way);
        self.made.push(call);
        self.made.len() - 1
    }

    pub(crate) fn end(&mut self, place: usize, error: Option<&str>) {
        if let Some(under_way) = self.under_way.get_mut(&bucket(&self.made[place])) {
            *under_way -= 1;
        }
        self.made[place].error = error.map(str::to_owned);
    }

    pub(crate) fn may_vary(&mut self, place: usize, variations: Vec<Variation>) {
        self.made[place].variations = variations;
    }

    pub(crate) fn peak(&self, operation: &str) -> usize {
        self.peak.get(operation).copied().unwrap_or_default()
    }
}

fn bucket(call: &Call) -> (String, String, String) {
    (call.operation.clone(), call.account.clone(), call.region.clone())
}
