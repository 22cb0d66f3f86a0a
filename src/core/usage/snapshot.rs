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
mod tests {
    use super::*;
    use crate::usage::HolderKind;

    const HOST: &str = "123456789012.dkr.ecr.us-west-2.amazonaws.com";
    const OLD: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000001";
    const NEW: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000002";

    fn holder(name: &str) -> Arc<Holder> {
        Arc::new(Holder { kind: HolderKind::new(0, "ECS task"), name: name.into() })
    }

    /// A digest and tags.
    type Named = (ImageDigest, Vec<Box<str>>);

    fn image(digest: &str, tags: &[&str]) -> Named {
        (digest.parse().unwrap(), tags.iter().map(|tag| Box::from(*tag)).collect())
    }

    fn holds(usage: &UsageSnapshot, account: &str, repository: &str, (digest, tags): &Named) -> bool {
        usage.of_repository(&account.parse().unwrap(), &repository.parse().unwrap()).holder(*digest, tags).is_some()
    }

    #[test]
    fn a_moved_tag_holds_the_old_image_and_the_new_one() {
        let mut usage = UsageSnapshot::default();
        usage.add(Some(&format!("{HOST}/app:v1")), Some(OLD), &holder("t"));
        assert!(holds(&usage, "123456789012", "app", &image(OLD, &[])));
        assert!(holds(&usage, "123456789012", "app", &image(NEW, &["other", "v1"])));
    }

    #[test]
    fn a_tag_holds_in_its_registry_and_repository_alone() {
        let mut usage = UsageSnapshot::default();
        usage.add(Some(&format!("{HOST}/app:v1")), None, &holder("t"));
        assert!(!holds(&usage, "123456789012", "app2", &image(NEW, &["v1"])));
        assert!(!holds(&usage, "210987654321", "app", &image(NEW, &["v1"])));
        assert!(!holds(&usage, "123456789012", "app", &image(NEW, &["v10"])));
    }

    #[test]
    fn a_digest_holds_everywhere_also_one_that_a_proxy_serves() {
        let mut usage = UsageSnapshot::default();
        usage.add(Some(&format!("mirror.example.com/app@{NEW}")), None, &holder("t"));
        usage.add(Some("nginx:1"), Some(OLD), &holder("t"));
        for digest in [OLD, NEW] {
            assert!(holds(&usage, "210987654321", "copy/of-app", &image(digest, &[])), "{digest}");
        }
    }

    #[test]
    fn an_unreadable_reference_withholds_its_repository_or_is_unlocated() {
        let mut usage = UsageSnapshot::default();
        usage.add(Some(&format!("{HOST}/app:not a tag")), None, &holder("t"));
        usage.add(Some(&format!("{HOST}/web:v1")), Some("sha512:00"), &holder("t"));
        usage.add(Some(HOST), None, &holder("t"));
        let account = "123456789012".parse().unwrap();
        for (repository, withheld) in [("app", true), ("web", true), ("db", false)] {
            let usage = usage.of_repository(&account, &repository.parse().unwrap());
            assert_eq!(usage.is_withheld(), withheld, "{repository}");
        }
        assert_eq!(usage.unlocated(&account).count(), 1);
        assert!(holds(&usage, "123456789012", "web", &image(NEW, &["v1"])), "the tag counts nevertheless");
    }

    #[test]
    fn an_unreadable_reference_concerns_the_registry_that_its_host_names() {
        let mut usage = UsageSnapshot::default();
        usage.add(Some(&format!("{HOST}/app:${{TAG}}")), None, &holder("t"));
        usage.add(Some(&format!("{HOST}/${{REPOSITORY}}:v1")), None, &holder("t"));
        usage.add(Some(&format!("{HOST}/App:v1")), None, &holder("t"));
        usage.add(Some("${ACCOUNT}.dkr.ecr.us-west-2.amazonaws.com/anyones:v1"), None, &holder("t"));
        let mut merged = UsageSnapshot::default();
        merged.merge(usage);
        let told = |account: &str| {
            let account = account.parse().unwrap();
            let withheld: Vec<&str> = merged.withheld(&account).map(|(repository, _)| repository.as_str()).collect();
            (withheld, merged.unlocated(&account).count(), merged.impossible(&account).count())
        };
        // The repository without an account comes first.
        assert_eq!(told("123456789012"), (vec!["anyones", "app"], 1, 1));
        assert_eq!(told("210987654321"), (vec!["anyones"], 0, 0));
        let is_withheld = |account: &str, repository: &str| {
            merged.of_repository(&account.parse().unwrap(), &repository.parse().unwrap()).is_withheld()
        };
        assert!(is_withheld("123456789012", "app") && !is_withheld("210987654321", "app"));
        assert!(is_withheld("123456789012", "anyones") && is_withheld("210987654321", "anyones"));
        let read_back: UsageSnapshot = serde_json::from_str(&serde_json::to_string(&merged).unwrap()).unwrap();
        assert_eq!(read_back, merged);
    }

    #[test]
    fn a_digest_alone_holds_and_is_no_repository() {
        let mut usage = UsageSnapshot::default();
        let registry = "123456789012".parse().unwrap();
        usage.add(Some(OLD), None, &holder("t"));
        usage.hold_in_registry(&registry, OLD, &holder("t"));
        assert!(holds(&usage, "210987654321", "app", &image(OLD, &[])));
        assert!(usage.tags.is_empty());
    }

    #[test]
    fn all_users_of_an_image_are_told_and_each_only_of_what_it_was_resolved_to() {
        let mut usage = UsageSnapshot::default();
        usage.add(Some(&format!("{HOST}/app:v1")), Some(OLD), &holder("before the tag moved"));
        let mut later = UsageSnapshot::default();
        later.add(Some(&format!("{HOST}/app:v1")), Some(NEW), &holder("since"));
        later.add(Some(&format!("mirror.example.com/app@{OLD}")), None, &holder("by a mirror"));
        usage.merge(later);
        let (account, repository) = ("123456789012".parse().unwrap(), "app".parse().unwrap());
        let users = |digest: &str, tags: &[&str]| -> Vec<String> {
            let (digest, tags) = image(digest, tags);
            let users = usage.users((&account, &repository), digest, &tags);
            users.keys().map(|holder| holder.name.to_string()).collect()
        };
        assert_eq!(users(OLD, &[]), ["before the tag moved", "by a mirror"]);
        assert_eq!(users(NEW, &[]), ["since"]);
        assert_eq!(users(NEW, &["v1"]), ["before the tag moved", "since"], "both would start it now");
        let reference = format!("{HOST}/app:v1").parse().unwrap();
        assert_eq!(usage.digests_of(&reference).count(), 2);
        assert_eq!(usage.references().len(), 2, "a resolved digest is no reference of its own");
    }

    #[test]
    fn the_first_holder_does_not_depend_on_the_order_of_the_answers() {
        for order in [["a", "b"], ["b", "a"]] {
            let mut usage = UsageSnapshot::default();
            for name in order {
                let mut one = UsageSnapshot::default();
                one.add(Some(&format!("{HOST}/app:v1")), Some(OLD), &holder(name));
                usage.merge(one);
            }
            let of_repository = usage.of_repository(&"123456789012".parse().unwrap(), &"app".parse().unwrap());
            assert_eq!(&*of_repository.holder(image(OLD, &[]).0, &[]).unwrap().name, "a");
            assert_eq!(&*of_repository.holder(image(NEW, &[]).0, &["v1".into()]).unwrap().name, "a");
            assert_eq!(usage.references().values().next().unwrap().len(), 2);
        }
    }
}
