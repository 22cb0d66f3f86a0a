//! The references in use, arranged for the one question that retention asks: who holds this image?

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Holder;
use crate::account::{AccountId, Region};
use crate::image::{ImageDigest, RepositoryName};
use crate::reference::{EcrReference, ImageReference, Reach, UnreadableReference};

/// What workloads use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageSnapshot {
    #[serde(with = "pairs")]
    references: BTreeMap<ImageReference, BTreeSet<Arc<Holder>>>,
    /// The digests that references were resolved to, each with those it was resolved for.
    #[serde(with = "pairs")]
    resolved: BTreeMap<ImageReference, BTreeMap<ImageDigest, BTreeSet<Arc<Holder>>>>,
    digests: HashMap<ImageDigest, Arc<Holder>>,
    #[serde(with = "pairs")]
    tags: HashMap<(AccountId, RepositoryName), HashMap<Box<str>, Arc<Holder>>>,
    /// By the account whose registry is named; `None` stands for any.
    #[serde(with = "pairs")]
    withheld: BTreeMap<(Option<AccountId>, RepositoryName), UnreadableUse>,
    unlocated: Vec<UnreadableUse>,
    impossible: Vec<UnreadableUse>,
}

/// A use whose reference looks like ECR's and can't be read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct UnreadableUse {
    /// The reference and what is wrong with it.
    pub reference: UnreadableReference,
    /// Who holds it.
    pub holder: Arc<Holder>,
}

/// What workloads use of one repository.
#[derive(Clone, Copy, Debug)]
pub struct RepositoryUsage<'a> {
    digests: Option<&'a HashMap<ImageDigest, Arc<Holder>>>,
    tags: Option<&'a HashMap<Box<str>, Arc<Holder>>>,
    withheld: bool,
}

impl UsageSnapshot {
    /// Adds an image as a workload names it and, where the workload tells, the digest it resolved to. Both count: a tag
    /// that moved protects what it named then and what it names now.
    pub fn add(&mut self, image: Option<&str>, resolved_digest: Option<&str>, holder: &Arc<Holder>) {
        // The agent's digest is absent before the pull.
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
                    // Read as a reference by that digest, so that it is refused for what it is, with the repository.
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

    /// Holds what an image without a registry would be in this one. Reports name images so, and people copy from them.
    pub fn hold_in_registry(&mut self, registry_id: &AccountId, image: &str, holder: &Arc<Holder>) {
        if image.parse::<ImageDigest>().is_ok() {
            return;
        }
        // A tag in use is held in every region of its registry, so that any region will do.
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

    /// Adds everything that `other` holds.
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
        // In an order of their own, since sources answer in any.
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

    /// What is used of one repository of a registry. A digest counts wherever it is, and a tag in every region of its
    /// registry: replication copies images across regions and, where it is asked to, deletes too.
    #[must_use]
    pub fn of_repository(&self, registry_id: &AccountId, repository: &RepositoryName) -> RepositoryUsage<'_> {
        let names_it = |registry| self.withheld.contains_key(&(registry, repository.clone()));
        RepositoryUsage {
            digests: Some(&self.digests),
            tags: self.tags.get(&(registry_id.clone(), repository.clone())),
            withheld: names_it(Some(registry_id.clone())) || names_it(None),
        }
    }

    /// The references in use, with all who hold each.
    #[must_use]
    pub fn references(&self) -> &BTreeMap<ImageReference, BTreeSet<Arc<Holder>>> {
        &self.references
    }

    /// The digests that a reference names or was resolved to, each with those it was resolved for.
    pub fn digests_of(&self, reference: &ImageReference) -> impl Iterator<Item = (ImageDigest, Vec<&Arc<Holder>>)> {
        let named = reference.image_digest();
        let resolved = self.resolved.get(reference).into_iter().flatten();
        let resolved = resolved.filter(move |(digest, _)| Some(**digest) != named);
        let named = named.map(|digest| (digest, self.references.get(reference).into_iter().flatten().collect()));
        named.into_iter().chain(resolved.map(|(digest, holders)| (*digest, holders.iter().collect())))
    }

    /// All who use an image, each with the references by which they do.
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

    /// Whether any reference names a registry of this account in one of these regions.
    #[must_use]
    pub fn refers_to(&self, registry_id: &AccountId, regions: &BTreeSet<Region>) -> bool {
        self.references.keys().any(|reference| match reference {
            ImageReference::Ecr(ecr) => ecr.registry_id == *registry_id && regions.contains(&ecr.region),
            ImageReference::Foreign(_) => false,
        })
    }

    /// The repositories of this registry that are kept whole, each for a reference that can't be read. As with tags, the
    /// region makes no difference.
    pub fn withheld(&self, registry_id: &AccountId) -> impl Iterator<Item = (&RepositoryName, &UnreadableUse)> {
        self.withheld
            .iter()
            .filter(move |((registry, _), _)| registry.as_ref().is_none_or(|named| named == registry_id))
            .map(|((_, repository), unreadable)| (repository, unreadable))
    }

    /// The uses of this registry whose repository can't be told: with one of these, no image of it is known to be unused.
    pub fn unlocated(&self, registry_id: &AccountId) -> impl Iterator<Item = &UnreadableUse> {
        self.unlocated.iter().filter(move |unreadable| unreadable.may_be_of(registry_id))
    }

    /// The uses of this registry that name what no repository can be called.
    pub fn impossible(&self, registry_id: &AccountId) -> impl Iterator<Item = &UnreadableUse> {
        self.impossible.iter().filter(move |unreadable| unreadable.may_be_of(registry_id))
    }
}

impl UnreadableUse {
    /// Whether the registry of this account may be meant.
    fn may_be_of(&self, registry_id: &AccountId) -> bool {
        self.reference.registry_id.as_ref().is_none_or(|named| named == registry_id)
    }
}

impl RepositoryUsage<'_> {
    /// No use of anything.
    pub const NONE: Self = Self { digests: None, tags: None, withheld: false };

    /// Who uses the image of this digest and these tags, by any of them.
    #[must_use]
    pub fn holder(&self, image_digest: ImageDigest, image_tags: &[Box<str>]) -> Option<&Arc<Holder>> {
        let by_tag = || self.tags.and_then(|tags| image_tags.iter().find_map(|tag| tags.get(tag)));
        self.digests.and_then(|digests| digests.get(&image_digest)).or_else(by_tag)
    }

    /// Whether a reference to this repository can't be read, so that any of its images may be in use.
    #[must_use]
    pub fn is_withheld(&self) -> bool {
        self.withheld
    }
}

/// Maps whose keys are no text, as JSON has them: a list of pairs.
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

/// Sources answer in any order, and a report must not depend on it.
fn keep_first(known: &mut Arc<Holder>, other: &Arc<Holder>) {
    if other < known {
        *known = Arc::clone(other);
    }
}

#[cfg(test)]
mod tests;
