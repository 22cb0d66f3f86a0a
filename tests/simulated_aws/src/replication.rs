//! Replication: the rules that `DescribeRegistry` returns, and the deletion of copies in other registries.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::request::Request;
use crate::world::Region;

pub(crate) fn describe_registry(region: &Region, request: &Request) -> Value {
    json!({
        "registryId": request.account,
        "replicationConfiguration": { "rules": region.replication_rules },
    })
}

/// Deletes the copies of the images that `BatchDeleteImage` deleted, each with all its tags, even if it is in use. Only the
/// destinations of this registry's own rules are changed. If only a tag was deleted, no copy is.
pub(crate) fn carry_deletes(regions: &mut BTreeMap<(String, String), Region>, request: &Request, answer: &Value) {
    let here = (request.account.clone(), request.region.clone());
    let (Some(registry), Some(name)) = (regions.get(&here), request.body["repositoryName"].as_str()) else { return };
    let left = registry.repositories.get(name);
    let deleted = answer["imageIds"].as_array().into_iter().flatten().filter_map(|id| id["imageDigest"].as_str());
    let deleted: BTreeSet<&str> =
        deleted.filter(|digest| left.is_none_or(|images| !images.contains_key(*digest))).collect();
    let applies = |rule: &&Value| {
        let filters = rule["repositoryFilters"].as_array().map_or(&[][..], Vec::as_slice);
        let matches = |filter: &Value| filter["filter"].as_str().is_some_and(|prefix| name.starts_with(prefix));
        rule["deleteReplication"]["enabled"] == true && (filters.is_empty() || filters.iter().any(matches))
    };
    let rules = registry.replication_rules.iter().filter(applies);
    let destinations: BTreeSet<(String, String)> = rules
        .flat_map(|rule| rule["destinations"].as_array().into_iter().flatten())
        .filter_map(|to| Some((to["registryId"].as_str()?.to_owned(), to["region"].as_str()?.to_owned())))
        .collect();
    for destination in destinations {
        if let Some(images) = regions.get_mut(&destination).and_then(|registry| registry.repositories.get_mut(name)) {
            images.retain(|digest, _| !deleted.contains(digest.as_str()));
        }
    }
}
