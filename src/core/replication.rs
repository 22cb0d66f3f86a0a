//! Delete replication: the replication rules that also delete an image's replicas in other registries.
//!
//! Pure. A rule counts as replicating deletes unless it is certain that it doesn't.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::account::{AccountId, Place, Region};
use crate::call_error::CallError;
use crate::image::{Image, RepositoryName};
use crate::manifest::Manifests;

/// The replication rules of a registry that replicate deletes.
///
/// A rule applies only to its own destinations: ECR does not replicate a replica further.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeleteReplication(Vec<Rule>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    destinations: BTreeSet<Place>,
    repositories: Repositories,
}

/// The repositories that a rule applies to.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Repositories {
    All,
    /// Those whose names start with one of these prefixes.
    Prefixed(Vec<String>),
}

/// A repository in a registry that deletes are replicated to.
#[derive(Clone, Debug)]
pub struct Replica {
    /// The registry.
    pub place: Place,
    /// Its images there.
    pub copies: Result<Copies, UnreadCopies>,
}

/// The images of a repository in another registry: replicas, and images that were pushed there.
#[derive(Clone, Debug, Default)]
pub struct Copies {
    /// The images.
    pub images: Vec<Image>,
    /// The child images of the indexes whose manifests were not read in the source repository.
    pub manifests: Manifests,
}

/// Why the images of a destination registry are unknown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnreadCopies {
    /// It belongs to another account, and the run has no credentials for that account.
    #[error("it belongs to another account, and its images can't be read")]
    OfAnotherAccount,
    /// It could not be read.
    #[error("{0}")]
    Failed(CallError),
}

/// A response that is not the configuration of a registry.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("ECR returned replication rules in an unknown format: {0}")]
pub struct NotAConfiguration(String);

impl DeleteReplication {
    /// Reads the response of `DescribeRegistry`.
    ///
    /// See <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_ReplicationRule.html>.
    ///
    /// # Errors
    /// If it has no list of rules, not even an empty one, or if a rule that replicates deletes has no valid destination.
    pub fn of_registry(answer: &str) -> Result<Self, NotAConfiguration> {
        let answer: Value = serde_json::from_str(answer).map_err(|error| NotAConfiguration(error.to_string()))?;
        let rules = answer["replicationConfiguration"]["rules"].as_array();
        let rules = rules.ok_or_else(|| NotAConfiguration("they are not a list".to_owned()))?;
        rules.iter().filter(|rule| carries_deletes(rule)).map(read_rule).collect::<Result<_, _>>().map(Self)
    }

    /// The registries where ECR also deletes the images that are deleted from this repository.
    #[must_use]
    pub fn destinations(&self, repository: &RepositoryName) -> BTreeSet<&Place> {
        self.0.iter().filter(|rule| rule.applies_to(repository)).flat_map(|rule| &rule.destinations).collect()
    }
}

impl Rule {
    fn applies_to(&self, repository: &RepositoryName) -> bool {
        match &self.repositories {
            Repositories::All => true,
            Repositories::Prefixed(prefixes) => prefixes.iter().any(|prefix| repository.as_str().starts_with(prefix)),
        }
    }
}

/// Whether a rule replicates deletes. It is off by default, and any value other than `false` counts as on.
fn carries_deletes(rule: &Value) -> bool {
    let setting = &rule["deleteReplication"];
    !(setting.is_null() || setting["enabled"] == false)
}

fn read_rule(rule: &Value) -> Result<Rule, NotAConfiguration> {
    let destinations = rule["destinations"].as_array().filter(|destinations| !destinations.is_empty());
    let destinations = destinations.ok_or_else(|| NotAConfiguration("a rule has no destination".to_owned()))?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let place = |destination: &Value| {
        let account = text(&destination["registryId"]).parse::<AccountId>();
        let region = text(&destination["region"]).parse::<Region>();
        let unreadable = |error: &dyn std::fmt::Display| NotAConfiguration(error.to_string());
        Ok(Place::new(account.map_err(|error| unreadable(&error))?, region.map_err(|error| unreadable(&error))?))
    };
    let filters = rule["repositoryFilters"].as_array().map_or(&[][..], Vec::as_slice);
    // A filter of an unknown type can match any name.
    let prefix = |filter: &Value| match (filter["filterType"].as_str(), filter["filter"].as_str()) {
        (Some("PREFIX_MATCH"), Some(prefix)) => Some(prefix.to_owned()),
        _ => None,
    };
    let prefixes: Option<Vec<String>> = filters.iter().map(prefix).collect();
    Ok(Rule {
        destinations: destinations.iter().map(place).collect::<Result<_, _>>()?,
        repositories: match prefixes {
            Some(prefixes) if !prefixes.is_empty() => Repositories::Prefixed(prefixes),
            Some(_) | None => Repositories::All,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const OWN: &str = "111111111111";

    fn to(region: &str) -> Value {
        json!({ "region": region, "registryId": OWN })
    }

    fn destinations(rules: &Value, repository: &str) -> Result<Vec<String>, NotAConfiguration> {
        let answer = json!({ "registryId": OWN, "replicationConfiguration": { "rules": rules } });
        let replication = DeleteReplication::of_registry(&answer.to_string())?;
        let places = replication.destinations(&RepositoryName::from_ecr(repository));
        Ok(places.into_iter().map(|place| place.region.as_str().to_owned()).collect())
    }

    #[test]
    fn only_rules_that_replicate_deletes_count_and_in_doubt_they_do() {
        for (setting, expected) in [
            (json!(null), vec![]),
            (json!({ "enabled": false }), vec![]),
            (json!({ "enabled": true }), vec!["eu-west-1"]),
            (json!({ "enabled": null }), vec!["eu-west-1"]),
            (json!({ "enabled": "false" }), vec!["eu-west-1"]),
            (json!({}), vec!["eu-west-1"]),
            (json!({ "status": "DISABLED" }), vec!["eu-west-1"]),
            (json!(false), vec!["eu-west-1"]),
        ] {
            let rules = json!([{ "destinations": [to("eu-west-1")], "deleteReplication": setting }]);
            assert_eq!(destinations(&rules, "app").unwrap(), expected, "{setting}");
        }
        assert_eq!(destinations(&json!([{ "destinations": [to("eu-west-1")] }]), "app"), Ok(vec![]), "off by default");
        assert_eq!(destinations(&json!([]), "app"), Ok(vec![]));
    }

    #[test]
    fn a_rule_applies_to_the_repositories_that_its_filters_match() {
        let rule = |region: &str, filters: Value| json!({ "destinations": [to(region)], "repositoryFilters": filters, "deleteReplication": { "enabled": true } });
        let prefix = |prefix: &str| json!({ "filter": prefix, "filterType": "PREFIX_MATCH" });
        let rules = json!([
            rule("eu-west-1", json!([prefix("team/"), prefix("prod")])),
            rule("eu-west-2", json!([])),
            rule("eu-west-3", json!(null)),
            rule("eu-north-1", json!([{ "filter": "x", "filterType": "GLOB" }])),
            rule("eu-south-1", json!([prefix("web")])),
        ]);
        for (repository, expected) in [
            ("team/app", vec!["eu-north-1", "eu-west-1", "eu-west-2", "eu-west-3"]),
            ("production", vec!["eu-north-1", "eu-west-1", "eu-west-2", "eu-west-3"]),
            ("app", vec!["eu-north-1", "eu-west-2", "eu-west-3"]),
            ("my/web", vec!["eu-north-1", "eu-west-2", "eu-west-3"]),
        ] {
            assert_eq!(destinations(&rules, repository).unwrap(), expected, "{repository}");
        }
    }

    #[test]
    fn a_response_without_rules_does_not_count_as_no_rules() {
        for answer in
            ["", "{}", "[]", r#"{"replicationConfiguration":{}}"#, r#"{"replicationConfiguration":{"rules":null}}"#]
        {
            assert!(DeleteReplication::of_registry(answer).is_err(), "{answer}");
        }
        for rule in [
            json!({ "deleteReplication": { "enabled": true } }),
            json!({ "deleteReplication": { "enabled": true }, "destinations": [] }),
            json!({ "deleteReplication": { "enabled": true }, "destinations": [{ "region": "eu-west-1" }] }),
            json!({ "deleteReplication": { "enabled": true }, "destinations": [{ "registryId": OWN, "region": "*" }] }),
        ] {
            assert!(destinations(&json!([rule]), "app").is_err(), "{rule}");
        }
    }
}
