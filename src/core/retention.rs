//! Decides which images of a repository are stale, and why each other image is kept.
//!
//! Pure: the input is the images, the usage, the rules and the time, and the output is a decision for every image. It reads
//! no clock, calls nothing and logs nothing.
//!
//! - Retention decides per image, never per tag: deleting an image deletes all its tags, so one matching tag keeps it.
//! - Without policies, a tagged image is a candidate if it is not among the `images_to_keep` newest tagged images by push
//!   time and digest. An untagged image is a candidate if it was pushed more than `untagged_older_than_days` ago.
//! - With policies, an image is a candidate if a rule expires or archives it. The newest tagged images are kept in this case
//!   too.
//! - Untagged child images and referrers (attached artifacts such as signatures and SBOMs) don't count toward the newest
//!   images or toward a policy's count. Their age doesn't matter. They are kept or deleted together with their parents and
//!   subjects. A child image with a tag is an ordinary image that is also kept if one of its parents is kept.
//! - A referrer whose subject does not exist counts as untagged if its manifest has the subject, but doesn't displace other
//!   images. If only its tag has the subject, it is kept, unless a policy rule selects that tag by a pattern.
//! - Images that are kept by their tags don't count toward the newest images either: they are often releases among builds.
//! - A candidate is stale unless a [`KeepReason`] applies. The use or a pull of a child image keeps all its parents.
//! - Unknown means keep. If the manifest of an index could not be read, its child images are unknown. Then all untagged
//!   images and all images not pushed after the index are kept.

mod audit;
mod candidates;
mod closure;
mod explain;
mod graph;
mod held_by_pulls;
mod rank;
mod reason;
mod replicas;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use regex::Regex;
use serde::{Deserialize, Serialize};

pub use audit::{Doomed, audit};
pub use explain::{Explanation, Outlook, Rank, Relations, Relative, explain};
pub use held_by_pulls::PulledTogether;
pub use reason::{KeepReason, KeepReasons, StaleReason};
pub use replicas::held_by_copies;

use crate::image::{Image, ImageDigest};
use crate::manifest::Manifests;
use crate::memory::SeenRepository;
use crate::pattern::Pattern;
use crate::policy::{Action, Policy, RuleName, StorageClass};
use crate::usage::RepositoryUsage;
use candidates::{Candidate, Candidates, candidates, storage_class};
use closure::{
    archive_followers, keep_followers, keep_parents, keep_possible_children, keep_possible_children_of_archived,
};
use graph::Graph;
use rank::{keep_newest_before_in_use, newest_tagged};

/// Seconds a day; "older than n days" means an age of more than n times this.
const DAY: i64 = 86_400;

/// The rules that keep candidates.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The number of newest tagged images to keep.
    pub images_to_keep: u32,
    /// The number of days for which an image is kept after its last use; 0 disables this reason.
    pub keep_used_within_days: u32,
    /// The number of newest tagged images to keep among those pushed before an image in use.
    pub keep_before_in_use: u32,
    /// Keeps images with a tag in which it finds a match.
    pub ignore_tags_regex: Option<Regex>,
    /// Keeps images with a tag that matches one of these patterns.
    pub keep_tags: Vec<Pattern>,
    /// The number of days for which a pull keeps an image; 0 disables it.
    pub keep_pulled_within_days: u32,
    /// The number of days for which a push keeps an image; 0 disables it.
    pub keep_pushed_within_days: u32,
    /// Keeps images without a matching tag, unless they are child images or attached artifacts of stale images.
    pub only_tags: Option<Pattern>,
}

impl Rules {
    /// Whether `only_tags` allows the image to be stale by itself.
    fn allow(&self, image: &Image) -> bool {
        self.only_tags.as_ref().is_none_or(|only| image.image_tags.iter().any(|tag| only.matches(tag)))
    }
}

/// The images of a repository that are candidates.
#[derive(Clone, Copy, Debug)]
pub enum Takes<'a> {
    /// Tagged images beyond the number to keep, and untagged images older than a number of days.
    NumberAndAge {
        /// The age in days above which untagged images are candidates; `None` means never.
        untagged_older_than_days: Option<u32>,
    },
    /// The images that this policy expires or archives.
    Policy(&'a Policy),
    /// None: no policy matches the repository.
    Nothing,
}

/// The data of a repository.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// Its images, each digest once, in any order.
    pub images: &'a [Image],
    /// The child images of its indexes.
    pub manifests: &'a Manifests,
    /// Its usage.
    pub usage: &'a RepositoryUsage<'a>,
    /// What earlier runs saw of the repository; `None` without a memory, or if no run saw it.
    pub seen: Option<&'a SeenRepository>,
    /// The images that are kept because of a replica that ECR would delete with them; `None` if replicas don't matter.
    pub replicated: Option<&'a HashSet<ImageDigest>>,
    /// Its candidates.
    pub takes: Takes<'a>,
    /// The time of the run, for ages.
    pub now: DateTime<Utc>,
}

/// A decision without its reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The image is kept.
    Stays,
    /// The image is moved to archive storage.
    IsArchived,
    /// The image is deleted.
    IsDeleted,
}

/// The decision on an image, with the reasons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Keep it.
    Keep {
        /// The reasons.
        reasons: KeepReasons,
        /// If it is a candidate: why it would be stale without these reasons.
        candidate: Option<StaleReason>,
    },
    /// Delete it.
    Delete(StaleReason),
    /// Move it to archive storage.
    Archive(StaleReason),
}

/// The decisions on all images of a repository, and the relations of the images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decisions {
    each: Vec<Decision>,
    /// By the place of an image: the rule that shields it from later rules.
    shielded_by: HashMap<usize, Arc<RuleName>>,
    /// By the place of an index: the last pull of the index or of one of its child images.
    pulls: HashMap<usize, Option<DateTime<Utc>>>,
    graph: Graph,
}

/// The images that are related to a stale image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edges {
    /// Its parents and subjects. All of them are stale. It is deleted after them, and only if they are deleted.
    pub follows: Box<[ImageDigest]>,
    /// Its child images.
    pub children: Box<[ImageDigest]>,
}

/// Whether the decisions depend on the manifests of the repository's indexes.
#[must_use]
pub fn needs_manifests(known: &Known<'_>, rules: &Rules) -> bool {
    // Without child images, no image is kept because of a parent or a child image. An image that is kept under this
    // assumption is kept for any content of the manifests, and child images are stale only if another image is stale.
    known.images.iter().any(|image| image.manifest.may_name_others())
        && decide(&Known { manifests: &Manifests::childless(known.images), ..*known }, rules).any_is_stale()
}

/// Decides for every image of one repository.
#[must_use]
pub fn decide(known: &Known<'_>, rules: &Rules) -> Decisions {
    let Known { images, manifests, usage: _, seen: _, replicated: _, takes: _, now } = *known;
    let graph = Graph::of(images, manifests);
    let mut reasons: Vec<KeepReasons> = images.iter().map(|image| protections(image, known, rules)).collect();
    keep_parents(&mut reasons, &graph);
    let named_by_archived = keep_possible_children(&mut reasons, images, &graph);
    graph.in_circles().for_each(|place| reasons[place].add(KeepReason::Unknown));

    keep_newest_before_in_use(&mut reasons, images, &graph, rules.keep_before_in_use, now);
    let newest = newest_tagged(images, &graph, &reasons, rules.images_to_keep, now);
    let pulls = pulls_of_indexes(images, &graph);
    let Candidates { mut each, shielded_by } = candidates(known, &graph, &pulls, &newest, rules);
    for (place, candidate) in each.iter().enumerate() {
        if let Err(reason) = candidate {
            reasons[place].add(*reason);
        }
        if newest[place] {
            reasons[place].add(KeepReason::Newest);
        }
        let is_own_candidate = candidate.as_ref().is_ok_and(|candidate| candidate.reason.owner().is_none());
        if is_own_candidate && !rules.allow(&images[place]) {
            reasons[place].add(KeepReason::Policy);
        }
    }
    archive_followers(&mut each, &mut reasons, images, &graph);
    keep_possible_children_of_archived(&named_by_archived, &each, &mut reasons);
    keep_followers(&mut reasons, &graph);

    let decide = |(reasons, candidate): (KeepReasons, Result<Candidate, KeepReason>)| match candidate {
        Ok(Candidate { reason, action: Action::Expire }) if reasons.is_empty() => Decision::Delete(reason),
        Ok(Candidate { reason, action: Action::Archive }) if reasons.is_empty() => Decision::Archive(reason),
        candidate => Decision::Keep { reasons, candidate: candidate.ok().map(|candidate| candidate.reason) },
    };
    Decisions { each: reasons.into_iter().zip(each).map(decide).collect(), shielded_by, pulls, graph }
}

impl Decision {
    /// The decision without its reasons.
    #[must_use]
    pub fn fate(&self) -> Fate {
        match self {
            Self::Keep { .. } => Fate::Stays,
            Self::Archive(_) => Fate::IsArchived,
            Self::Delete(_) => Fate::IsDeleted,
        }
    }
}

impl Decisions {
    /// The decisions, in the order of the images.
    #[must_use]
    pub fn each(&self) -> &[Decision] {
        &self.each
    }

    /// Whether any image is to be deleted or archived.
    #[must_use]
    pub fn any_is_stale(&self) -> bool {
        self.each.iter().any(|decision| matches!(decision, Decision::Delete(_) | Decision::Archive(_)))
    }

    /// Whether any image is to be deleted.
    #[must_use]
    pub fn any_is_deleted(&self) -> bool {
        self.each.iter().any(|decision| matches!(decision, Decision::Delete(_)))
    }

    /// The places of these images and of their known child images, over any number of steps.
    #[must_use]
    pub fn with_what_they_name(&self, places: &[usize]) -> HashSet<usize> {
        let mut reached: HashSet<usize> = places.iter().copied().collect();
        let mut left = places.to_vec();
        while let Some(place) = left.pop() {
            left.extend(self.graph.children(place).iter().copied().filter(|child| reached.insert(*child)));
        }
        reached
    }

    /// Whether the image at a place has known child images in its repository.
    #[must_use]
    pub fn names_others(&self, place: usize) -> bool {
        !self.graph.children(place).is_empty()
    }

    /// The rule that selects the image at a place without acting on it, and so shields it from later rules.
    #[must_use]
    pub fn shielded_by(&self, place: usize) -> Option<&Arc<RuleName>> {
        self.shielded_by.get(&place)
    }

    /// Keeps all images, for a reason that applies to the whole repository.
    pub fn keep_whole(&mut self, reason: KeepReason) {
        for decision in &mut self.each {
            if let Decision::Delete(candidate) | Decision::Archive(candidate) = decision {
                let (reasons, candidate) = (KeepReasons::one(reason), Some(candidate.clone()));
                *decision = Decision::Keep { reasons, candidate };
            }
        }
    }

    /// The last pull of the image at a place, or of one of its child images.
    #[must_use]
    pub fn pulled_at(&self, place: usize, image: &Image) -> Option<DateTime<Utc>> {
        self.pulls.get(&place).copied().unwrap_or(image.last_recorded_pull_time)
    }

    /// The kept indexes, each with its child images in this repository.
    pub fn kept_indexes(&self, images: &[Image]) -> impl Iterator<Item = (ImageDigest, Box<[ImageDigest]>)> {
        let stay = self.graph.indexes().filter(|place| matches!(self.each[*place], Decision::Keep { .. }));
        stay.map(|place| (images[place].image_digest, digests(self.graph.children(place).iter().copied(), images)))
    }

    /// The images that are related to the image at a place; `None` if there are none.
    #[must_use]
    pub fn edges(&self, place: usize, images: &[Image]) -> Option<Edges> {
        let subjects = self.graph.relation(place).subjects();
        let follows = digests(self.graph.parents(place).iter().chain(subjects).copied(), images);
        let children = digests(self.graph.children(place).iter().copied(), images);
        (!follows.is_empty() || !children.is_empty()).then_some(Edges { follows, children })
    }
}

/// The images in use that would be stale without any usage: only their use keeps them.
#[must_use]
pub fn kept_by_use_alone(known: &Known<'_>, rules: &Rules) -> HashSet<ImageDigest> {
    let is_used = |image: &&Image| known.usage.holder(image.image_digest, &image.image_tags).is_some();
    if !known.images.iter().any(|image| is_used(&image)) {
        return HashSet::new();
    }
    // An earlier use counts as use, too.
    let unused = decide(&Known { usage: &RepositoryUsage::NONE, seen: None, ..*known }, rules);
    // If no manifest was read, an untagged image is probably a child image of an index, which keeps it.
    let may_be_a_child = |image: &&Image| image.is_untagged() && known.manifests.are_assumed();
    let decided = known.images.iter().zip(unused.each());
    let goes = |(_, decision): &(&Image, &Decision)| matches!(decision, Decision::Delete(_) | Decision::Archive(_));
    let held = decided.filter(goes).map(|(image, _)| image).filter(is_used).filter(|image| !may_be_a_child(image));
    held.map(|image| image.image_digest).collect()
}

fn digests(places: impl Iterator<Item = usize>, images: &[Image]) -> Box<[ImageDigest]> {
    let mut digests: Vec<ImageDigest> = places.map(|place| images[place].image_digest).collect();
    digests.sort_unstable();
    digests.dedup();
    digests.into()
}

/// The last pull of each index or of one of its child images. A client that pulls an index also pulls one of its child
/// images, unless it has that already.
fn pulls_of_indexes(images: &[Image], graph: &Graph) -> HashMap<usize, Option<DateTime<Utc>>> {
    let own = |place: usize| images[place].last_recorded_pull_time;
    let mut pulls: HashMap<usize, Option<DateTime<Utc>>> = HashMap::new();
    let indexes = (0..images.len()).filter(|place| images[*place].manifest.may_name_others());
    pulls.extend(indexes.map(|place| (place, own(place))));
    // From the innermost index outwards. An index without a value at this point is part of a circle.
    for place in graph.indexes_from_within() {
        let named = graph.children(place).iter().map(|child| pulls.get(child).copied().unwrap_or_else(|| own(*child)));
        let newest = named.max().flatten().max(own(place));
        pulls.insert(place, newest);
    }
    pulls
}

/// The reasons to keep an image, except for those by rank and by relations.
fn protections(image: &Image, known: &Known<'_>, rules: &Rules) -> KeepReasons {
    let Known { images: _, manifests: _, usage, seen, replicated, takes, now } = *known;
    let within = |time: DateTime<Utc>, days: u32| age_in_seconds(time, now) <= i64::from(days) * DAY;
    let mut reasons = KeepReasons::none();
    if usage.holder(image.image_digest, &image.image_tags).is_some() {
        reasons.add(KeepReason::InUse);
    }
    let (days, today) = (rules.keep_used_within_days, now.date_naive());
    if days > 0 && seen.is_some_and(|seen| seen.was_used_within(image.image_digest, days, today)) {
        reasons.add(KeepReason::UsedRecently);
    }
    if image.image_tags.iter().any(|tag| rules.keep_tags.iter().any(|pattern| pattern.matches(tag))) {
        reasons.add(KeepReason::KeepTags);
    }
    if let Some(regex) = &rules.ignore_tags_regex
        && image.image_tags.iter().any(|tag| regex.is_match(tag))
    {
        reasons.add(KeepReason::IgnoreTagsRegex);
    }
    // An image is usually restored from archive storage to be pulled.
    let restored_at = image.archival.as_deref().and_then(|archival| archival.last_activated_at);
    if let Some(last_needed_at) = image.last_recorded_pull_time.max(restored_at)
        && rules.keep_pulled_within_days > 0
        && within(last_needed_at, rules.keep_pulled_within_days)
    {
        reasons.add(KeepReason::PulledRecently);
    }
    match image.image_pushed_at {
        // `now` can be the time of an event whose first run failed. That run could not see an image pushed after `now`.
        Some(pushed_at) if pushed_at > now => reasons.add(KeepReason::PushedRecently),
        Some(pushed_at) if rules.keep_pushed_within_days > 0 && within(pushed_at, rules.keep_pushed_within_days) => {
            reasons.add(KeepReason::PushedRecently);
        }
        Some(_) => {}
        None => reasons.add(KeepReason::Unknown),
    }
    let is_judged = match (storage_class(image.image_status), takes) {
        (Some(StorageClass::Standard), _) => true,
        (Some(StorageClass::Archive), Takes::Policy(policy)) => policy.selects(StorageClass::Archive),
        (Some(StorageClass::Archive), Takes::NumberAndAge { .. } | Takes::Nothing) | (None, _) => false,
    };
    if !is_judged {
        reasons.add(KeepReason::Archived);
    }
    if usage.is_withheld() {
        reasons.add(KeepReason::Unreadable);
    }
    if replicated.is_some_and(|replicated| replicated.contains(&image.image_digest)) {
        reasons.add(KeepReason::Replicated);
    }
    reasons
}

fn age_in_seconds(time: DateTime<Utc>, now: DateTime<Utc>) -> i64 {
    // Whole seconds would round an age of n days and a millisecond down to n days.
    let age = now.signed_duration_since(time);
    age.num_seconds() + i64::from(age.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests;
