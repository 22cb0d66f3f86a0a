//! Account Management: <https://docs.aws.amazon.com/accounts/latest/reference/API_ListRegions.html>.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::page::{Limits, page};
use crate::request::{Request, ServiceError};

const PAGES: Limits = Limits { default: 50, max: 50, error: "ValidationException" };

pub(crate) fn answer(statuses: &BTreeMap<String, &'static str>, request: &Request) -> Result<Value, ServiceError> {
    if request.action != "ListRegions" {
        return Err(ServiceError::new(400, "UnknownOperationException", &request.action));
    }
    let asked = request.body["RegionOptStatusContains"].as_array().cloned();
    let regions: Vec<Value> = statuses
        .iter()
        .filter(|(_, status)| asked.as_ref().is_none_or(|asked| asked.contains(&json!(status))))
        .map(|(region, status)| json!({ "RegionName": region, "RegionOptStatus": status }))
        .collect();
    let (regions, next) = page(&request.body, &regions, PAGES)?;
    let mut listing = json!({ "Regions": regions });
    if let Some(next) = next {
        listing["NextToken"] = next.into();
    }
    Ok(listing)
}
