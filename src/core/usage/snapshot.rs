//! The references in use, indexed for the query of retention: which workload uses this image?

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Holder;
use crate::account::{AccountId, Region};
use crate::image::{ImageDigest, RepositoryName};
use crate::reference::{EcrReference, ImageReference, Reach, UnreadableReference};

/// The references of all workloads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageSnapshot {
    #[serde(with = "pairs")]
    references: BTreeMap<ImageReference, BTreeSet<Arc<Holder>>>,
    /// The digests that references were resolved to, each with the workloads for which it was resolved.
    #[serde(with = "pairs")]
    resolved: BTreeMap<ImageReference, BTreeMap<ImageDigest, BTreeSet<Arc<Holder>>>>,
    digests: HashMap<ImageDigest, Arc<Holder>>,
    #[serde(with = "pairs")]
    tags: HashMap<(AccountId, RepositoryName), HashMap<Box<str>, Arc<Holder>>>,
    /// By the account of the registry in the reference. `None` means any account.
    #[serde(with = "pairs")]
    withheld: BTreeMap<(Option<AccountId>, RepositoryName), UnreadableUse>,
    unlocated: Vec<UnreadableUse>,
    impossible: Vec<UnreadableUse>,
}

/// A workload's reference that looks like one to ECR and can't be parsed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct UnreadableUse {
    /// The reference and the problem with it.
    pub reference: UnreadableReference,
    /// The workload.
    pub holder: Arc<Holder>,
}

/// The usage of one repository.
#[derive(Clone, Copy, Debug)]
pub struct RepositoryUsage<'a> {
    digests: Option<&'a HashMap<ImageDigest, Arc<Holder>>>,
    tags: Option<&'a HashMap<Box<str>, Arc<Holder>>>,
    withheld: bool,
}

impl UsageSnapshot {
    /// Adds a workload's reference and, if the workload has it, the digest that the reference was resolved to. Both count:
    /// after a tag has moved, it protects the image that had the tag then and the image that has it now.
    pub fn add(&mut self, image: Option<&str>, resolved_digest: Option<&str>, holder: &Arc<Holder>) {
        // The ECS agent has no digest before the pull.
        if let Some(text) = resolved_digest.filter(|text| !text.is_empty()) {
            match text.parse() {
                Ok(digest) => {
                    self.add_digest(digest, holder);
                    if let Some(Ok(reference)) = image.map(str::parse) {
                        let digests: &mut BTreeMap<_, BTreeSet<_>> = self.resolved.entry(reference).or_default();
                        digests.entry(digest).or_default().insert(Arc::clone(holder));
                    }
                }
                Err(_) => {
                    // As part of the reference, the invalid digest makes it unreadable, with its repository.
                    self.add_reference(&format!("{}@{text}", image.unwrap_or_default()), holder);
                }
            }
        }
        if let Some(image) = image {
            self.add_reference(image, holder);
        }
    }

    fn add_reference(&mut self, image: &str, holder: &Arc<Holder>) {
        let reference = match image.parse::<ImageReference>() {
            Ok(reference) => reference,
            Err(reference) => {
                if let Some(Ok(digest)) = image.rsplit_once('@').map(|(_, digest)| digest.parse()) {
                    self.add_digest(digest, holder);
                }
                let unreadable = UnreadableUse { reference, holder: Arc::clone(holder) };
                return self.add_unreadable(unreadable);
            }
        };
        if let Some(digest) = reference.image_digest() {
            self.add_digest(digest, holder);
        }
        if let ImageReference::Ecr(ecr) = &reference
            && let Some(tag) = ecr.used_tag()
        {
            self.hold_tag(ecr, tag, holder);
        }
        self.references.entry(reference).or_default().insert(Arc::clone(holder));
    }

    /// Protects the image of this registry that a reference without a registry can mean. Reports have image names without a
    /// registry, and people copy them.
    pub fn hold_in_registry(&mut self, registry_id: &AccountId, image: &str, holder: &Arc<Holder>) {
        if image.parse::<ImageDigest>().is_ok() {
            return;
        }
        // A tag counts in every region of its registry, so any region works here.
        let Ok(ImageReference::Ecr(ecr)) = format!("{registry_id}.dkr.ecr.us-east-1.amazonaws.com/{image}").parse()
        else {
            return;
        };
        if let Some(tag) = ecr.used_tag() {
            self.hold_tag(&ecr, tag, holder);
        }
    }

    fn hold_tag(&mut self, ecr: &EcrReference, tag: &str, holder: &Arc<Holder>) {
        let tags = self.tags.entry((ecr.registry_id.clone(), ecr.repository_name.clone())).or_default();
        keep_first(tags.entry(tag.into()).or_insert_with(|| Arc::clone(holder)), holder);
    }

    fn add_digest(&mut self, digest: ImageDigest, holder: &Arc<Holder>) {
        keep_first(self.digests.entry(digest).or_insert_with(|| Arc::clone(holder)), holder);
    }

    /// Adds the content of `other`.
    pub fn merge(&mut self, other: Self) {
        let Self { references, resolved, digests, tags, withheld, unlocated, impossible } = other;
        for (reference, holders) in references {
            self.references.entry(reference).or_default().extend(holders);
        }
        for (reference, digests) in resolved {
            let known = self.resolved.entry(reference).or_default();
            for (digest, holders) in digests {
                known.entry(digest).or_default().extend(holders);
            }
        }
        for (digest, holder) in digests {
            self.add_digest(digest, &holder);
        }
        for (repository, tags) in tags {
            let known = self.tags.entry(repository).or_default();
            for (tag, holder) in tags {
                keep_first(known.entry(tag).or_insert_with(|| Arc::clone(&holder)), &holder);
            }
        }
        let unreadable = withheld.into_values().chain(unlocated).chain(impossible);
        unreadable.for_each(|unreadable| self.add_unreadable(unreadable));
    }

    fn add_unreadable(&mut self, unreadable: UnreadableUse) {
        // Sorted, since the order in which sources finish varies.
        let insert = |known: &mut Vec<UnreadableUse>, unreadable| {
            let place = known.partition_point(|known| *known < unreadable);
            known.insert(place, unreadable);
        };
        match &unreadable.reference.reach {
            Reach::Nothing => insert(&mut self.impossible, unreadable),
            Reach::Everything => insert(&mut self.unlocated, unreadable),
            Reach::Repository(repository) => {
                let place = (unreadable.reference.registry_id.clone(), repository.clone());
                match self.withheld.get_mut(&place) {
                    Some(known) => *known = unreadable.min(known.clone()),
                    None => _ = self.withheld.insert(place, unreadable),
                }
            }
        }
    }

    /// The usage of one repository of a registry. A digest counts in every registry, and a tag in every region of its
    /// registry: replication copies images, and can replicate deletes, across regions.
    #[must_use]
    pub fn of_repository(&self, registry_id: &AccountId, repository: &RepositoryName) -> RepositoryUsage<'_> {
        let has_unreadable = |registry| self.withheld.contains_key(&(registry, repository.clone()));
        RepositoryUsage {
            digests: Some(&self.digests),
            tags: self.tags.get(&(registry_id.clone(), repository.clone())),
            withheld: has_unreadable(Some(registry_id.clone())) || has_unreadable(None),
        }
    }

    /// The references in use, each with all its workloads.
    #[must_use]
    pub fn references(&self) -> &BTreeMap<ImageReference, BTreeSet<Arc<Holder>>> {
        &self.references
    }

    /// The digest in a reference and the digests that it was resolved to, each with its workloads.
    pub fn digests_of(&self, reference: &ImageReference) -> impl Iterator<Item = (ImageDigest, Vec<&Arc<Holder>>)> {
        let named = reference.image_digest();
        let resolved = self.resolved.get(reference).into_iter().flatten();
        let resolved = resolved.filter(move |(digest, _)| Some(**digest) != named);
        let named = named.map(|digest| (digest, self.references.get(reference).into_iter().flatten().collect()));
        named.into_iter().chain(resolved.map(|(digest, holders)| (*digest, holders.iter().collect())))
    }

    /// All workloads that use an image, each with its references to the image.
    #[must_use]
    pub fn users(
        &self,
        (registry_id, repository): (&AccountId, &RepositoryName),
        image_digest: ImageDigest,
        image_tags: &[Box<str>],
    ) -> BTreeMap<Arc<Holder>, BTreeSet<String>> {
        let mut users: BTreeMap<Arc<Holder>, BTreeSet<String>> = BTreeMap::new();
        for (reference, holders) in &self.references {
            let by_tag = match reference {
                ImageReference::Ecr(ecr) => {
                    ecr.registry_id == *registry_id
                        && ecr.repository_name == *repository
                        && ecr.used_tag().is_some_and(|used| image_tags.iter().any(|tag| **tag == *used))
                }
                ImageReference::Foreign(_) => false,
            };
            let by_digest = self.digests_of(reference).filter(|(digest, _)| *digest == image_digest);
            let by_digest = by_digest.flat_map(|(_, holders)| holders);
            for holder in by_digest.chain(holders.iter().filter(|_| by_tag)) {
                users.entry(Arc::clone(holder)).or_default().insert(reference.to_string());
            }
        }
        users
    }

    /// Whether any reference is to the registry of this account in one of these regions.
    #[must_use]
    pub fn refers_to(&self, registry_id: &AccountId, regions: &BTreeSet<Region>) -> bool {
        self.references.keys().any(|reference| match reference {
            ImageReference::Ecr(ecr) => ecr.registry_id == *registry_id && regions.contains(&ecr.region),
            ImageReference::Foreign(_) => false,
        })
    }

    /// The repositories of this registry to which a reference can't be parsed, so that all their images are kept. They
    /// count in every region, as tags do.
    pub fn withheld(&self, registry_id: &AccountId) -> impl Iterator<Item = (&RepositoryName, &UnreadableUse)> {
        self.withheld
            .iter()
            .filter(move |((registry, _), _)| registry.as_ref().is_none_or(|named| named == registry_id))
            .map(|((_, repository), unreadable)| (repository, unreadable))
    }

    /// The unreadable references to this registry whose repository is unknown: any image of the registry may be in use.
    pub fn unlocated(&self, registry_id: &AccountId) -> impl Iterator<Item = &UnreadableUse> {
        self.unlocated.iter().filter(move |unreadable| unreadable.may_be_of(registry_id))
    }

    /// The unreadable references to this registry with a name that no repository can have.
    pub fn impossible(&self, registry_id: &AccountId) -> impl Iterator<Item = &UnreadableUse> {
        self.impossible.iter().filter(move |unreadable| unreadable.may_be_of(registry_id))
    }
}

impl UnreadableUse {
    /// Whether the reference can be to the registry of this account.
    fn may_be_of(&self, registry_id: &AccountId) -> bool {
        self.reference.registry_id.as_ref().is_none_or(|named| named == registry_id)
    }
}

impl RepositoryUsage<'_> {
    /// No usage.
    pub const NONE: Self = Self { digests: None, tags: None, withheld: false };

    /// A workload that uses the image, by its digest or by one of its tags.
    #[must_use]
    pub fn holder(&self, image_digest: ImageDigest, image_tags: &[Box<str>]) -> Option<&Arc<Holder>> {
        let by_tag = || self.tags.and_then(|tags| image_tags.iter().find_map(|tag| tags.get(tag)));
        self.digests.and_then(|digests| digests.get(&image_digest)).or_else(by_tag)
    }

    /// Whether a reference to this repository can't be parsed, so that any of its images may be in use.
    #[must_use]
    pub fn is_withheld(&self) -> bool {
        self.withheld
    }
}

/// Serializes maps whose keys are not strings as lists of pairs.
mod pairs {
    use serde::de::DeserializeOwned;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<'a, K, V, M, S>(map: &'a M, serializer: S) -> Result<S::Ok, S::Error>
    where
        K: Serialize + 'a,
        V: Serialize + 'a,
        &'a M: IntoIterator<Item = (&'a K, &'a V)>,
        S: Serializer,
    {
        serializer.collect_seq(map)
    }

    pub(super) fn deserialize<'de, K, V, M, D>(deserializer: D) -> Result<M, D::Error>
    where
        K: DeserializeOwned,
        V: DeserializeOwned,
        M: FromIterator<(K, V)>,
        D: Deserializer<'de>,
    {
        Vec::<(K, V)>::deserialize(deserializer).map(|pairs| pairs.into_iter().collect())
    }
}

/// Keeps the smaller of two workloads, since reports must not depend on the order in which sources finish.
fn keep_first(known: &mut Arc<Holder>, other: &Arc<Holder>) {
    if other < known {
        *known = Arc::clone(other);
    }
}

#[cfg(test)]
mod tests;
