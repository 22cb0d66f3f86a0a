//! The images of resources that never change, so that each is read once in its life.

use std::collections::BTreeMap;

use chrono::{NaiveDate, TimeDelta};
use serde::{Deserialize, Serialize};

use super::is_dropped;
use crate::usage::{Fact, FactImage};

/// A fact that is still needed is written again only after this time, so that a run without new data writes nothing.
const WRITTEN_AGAIN_AFTER: TimeDelta = TimeDelta::days(7);

/// The kind of a fact's resource. Each kind has an object of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FactKind {
    /// Revisions of ECS task definitions.
    TaskDefinitions,
    /// Revisions of ECS services.
    ServiceRevisions,
    /// Versions of Lambda functions.
    FunctionVersions,
}

/// Facts of one kind, by ARN.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Facts {
    facts: BTreeMap<Box<str>, Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    images: Box<[Image]>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    definition: Option<Box<str>>,
    /// The last day on which a run needed it, or up to a week before.
    last_needed: NaiveDate,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Image {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    image: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    image_digest: Option<Box<str>>,
}

impl FactKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::TaskDefinitions, Self::ServiceRevisions, Self::FunctionVersions];

    /// The kind of the fact that a source has under this key, which begins with an ARN; `None` for one that is not
    /// remembered.
    #[must_use]
    pub fn of(key: &str) -> Option<Self> {
        let mut parts = key.splitn(6, ':');
        let (Some("arn"), Some(_), Some(service), Some(_), Some(_), Some(resource)) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return None;
        };
        match service {
            // ECS never assigns the number of a revision again.
            "ecs" if resource.starts_with("task-definition/") => Some(Self::TaskDefinitions),
            // Its name is random.
            "ecs" if resource.starts_with("service-revision/") => Some(Self::ServiceRevisions),
            // Lambda can assign the number of a version again, to a new function of the same name. Only digest and revision
            // together identify a version for good.
            "lambda" if resource.matches('@').count() == 2 => Some(Self::FunctionVersions),
            _ => None,
        }
    }
}

impl Facts {
    /// All of them, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Fact)> {
        self.facts.iter().map(|(key, entry)| (&**key, entry.fact()))
    }

    /// The number of facts.
    #[must_use]
    pub fn len(&self) -> usize {
        self.facts.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.facts.is_empty()
    }

    /// Adds a fact that a run needed. Returns whether it has to be written.
    pub fn note(&mut self, key: &str, fact: &Fact, today: NaiveDate) -> bool {
        match self.facts.get_mut(key) {
            Some(known) if today - known.last_needed < WRITTEN_AGAIN_AFTER => false,
            Some(known) => {
                known.last_needed = today;
                true
            }
            None => {
                self.facts.insert(key.into(), Entry::of(fact, today));
                true
            }
        }
    }

    /// Drops the facts that no run needed for 90 days. Returns whether there were any.
    pub fn forget(&mut self, today: NaiveDate) -> bool {
        let before = self.facts.len();
        self.facts.retain(|_, entry| !is_dropped(entry.last_needed, today));
        self.facts.len() < before
    }

    /// Adds the facts of another run. The later date wins. Two texts of one fact are the same, since it never changes. If
    /// they differ, both runs choose the same one.
    pub fn merge(&mut self, other: Self) {
        for (key, entry) in other.facts {
            match self.facts.entry(key) {
                std::collections::btree_map::Entry::Vacant(place) => _ = place.insert(entry),
                std::collections::btree_map::Entry::Occupied(known) => {
                    let own = known.into_mut();
                    let last_needed = own.last_needed.max(entry.last_needed);
                    if (&entry.images, &entry.definition) > (&own.images, &own.definition) {
                        *own = entry;
                    }
                    own.last_needed = last_needed;
                }
            }
        }
    }
}

impl Entry {
    fn of(Fact { images, definition }: &Fact, today: NaiveDate) -> Self {
        let image = |FactImage { image, image_digest }: &FactImage| Image {
            image: image.clone(),
            image_digest: image_digest.clone(),
        };
        Self { images: images.iter().map(image).collect(), definition: definition.clone(), last_needed: today }
    }

    fn fact(&self) -> Fact {
        let image = |Image { image, image_digest }: &Image| FactImage {
            image: image.clone(),
            image_digest: image_digest.clone(),
        };
        Fact { images: self.images.iter().map(image).collect(), definition: self.definition.clone() }
    }
}
