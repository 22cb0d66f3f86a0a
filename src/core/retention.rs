//! Which images of a repository are stale, and why each of the others stays.
//!
//! Pure: it takes the images as they are, the usage, the rules and the time, and returns a decision for every image.
//! It reads no clock, calls nothing and logs nothing.
//!
//! - Retention decides per image, never per tag: deleting an image takes all its tags, so every tag is asked.
//! - Without policies, a tagged image is a candidate if it is not among the `images_to_keep` newest tagged ones by push time
//!   and digest, and an untagged one if it was pushed more than `untagged_older_than_days` ago. With policies, what a rule
//!   takes is a candidate, to be deleted or to be archived, and the newest tagged ones stay all the same.
//! - An index's untagged children and all referrers (signatures, SBOMs) take no place among the newest, no policy counts
//!   them, and they have no age of their own: what becomes of what they belong to becomes of them. A child with a tag is
//!   an image like others, which also stays while an index that names it stays.
//! - A referrer without its subject counts as untagged when its manifest names the subject, though it displaces nothing,
//!   and is kept when only its tag does, unless a rule of a policy names that tag by a pattern.
//! - Images that stay for their tags take no place among the newest either: they are often releases among builds.
//! - A candidate is stale unless anything holds it; see [`KeepReason`]. What a child is used for, or pulled for, holds
//!   every index above it.
//! - Unknown means keep. What an index names stands in its manifest; where that could not be read, every untagged image,
//!   and every image not pushed after the index, may be its child and is kept.

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
use crate::pattern::Pattern;
use crate::policy::{Action, Policy, RuleName, StorageClass};
use crate::usage::RepositoryUsage;
use candidates::{Candidate, Candidates, candidates, storage_class};
use closure::{
    hold_what_follows_the_held, hold_what_may_be_named, hold_what_names_the_held, hold_what_the_archived_name,
    spare_what_follows_the_archived,
};
use graph::Graph;
use rank::{hold_what_came_before, newest_tagged};

/// Seconds a day; "older than n days" means an age of more than n times this.
const DAY: i64 = 86_400;

/// What is kept, whatever would take it.
#[derive(Clone, Debug)]
pub struct Rules {
    /// How many of the newest tagged images stay.
    pub images_to_keep: u32,
    /// Of the tagged images pushed before one in use, so many of the newest stay.
    pub keep_before_in_use: u32,
    /// An image with a tag that it finds a match in stays.
    pub ignore_tags_regex: Option<Regex>,
    /// An image with a tag that matches one of these stays.
    pub keep_tags: Vec<Pattern>,
    /// An image pulled within so many days stays; 0 means that pulls don't count.
    pub keep_pulled_within_days: u32,
    /// An image pushed within so many days stays.
    pub keep_pushed_within_days: u32,
    /// Where this is given, an image without a tag that matches stays, unless it goes with one that has.
    pub only_tags: Option<Pattern>,
}

impl Rules {
    /// Whether an image is among those that may go for themselves.
    fn may_take(&self, image: &Image) -> bool {
        self.only_tags.as_ref().is_none_or(|only| image.image_tags.iter().any(|tag| only.matches(tag)))
    }
}

/// What would go from a repository if nothing kept it.
#[derive(Clone, Copy, Debug)]
pub enum Takes<'a> {
    /// Tagged images beyond the number that is kept, and untagged ones older than this.
    NumberAndAge {
        /// The age in days above which untagged images are candidates; `None` means never.
        untagged_older_than_days: Option<u32>,
    },
    /// What the rules of this policy take.
    Policy(&'a Policy),
    /// Nothing: no policy matches the repository.
    Nothing,
}

/// What is known of a repository.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// Its images, each digest once, in any order.
    pub images: &'a [Image],
    /// What its indexes name.
    pub manifests: &'a Manifests,
    /// What workloads use of it.
    pub usage: &'a RepositoryUsage<'a>,
    /// The images whose copies hold them, where deletes are carried on to other registries.
    pub replicated: Option<&'a HashSet<ImageDigest>>,
    /// What would go if nothing kept it.
    pub takes: Takes<'a>,
    /// The time that ages are counted to.
    pub now: DateTime<Utc>,
}

/// Whether an image stays where it is pulled from and billed: all that others need to know of its decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It stays.
    Stays,
    /// It goes to archive storage.
    IsArchived,
    /// It is deleted.
    IsDeleted,
}

/// What becomes of an image, with why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It stays.
    Keep {
        /// Why.
        reasons: KeepReasons,
        /// Why it would go without these.
        candidate: Option<StaleReason>,
    },
    /// It goes.
    Delete(StaleReason),
    /// It goes to archive storage.
    Archive(StaleReason),
}

/// What becomes of every image of a repository, and how they hang together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decisions {
    each: Vec<Decision>,
    /// Of the images that a rule speaks of and does not take, that rule.
    shielded_by: HashMap<usize, Arc<RuleName>>,
    /// Of the indexes, when they or what they name were last pulled.
    pulls: HashMap<usize, Option<DateTime<Utc>>>,
    graph: Graph,
}

/// The images that a stale image hangs together with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edges {
    /// The indexes that name it and the images it is about, all of them stale: it goes after them, and only if they go.
    pub follows: Box<[ImageDigest]>,
    /// What it names.
    pub children: Box<[ImageDigest]>,
}

/// Whether the decisions depend on what the repository's indexes name.
#[must_use]
pub fn needs_manifests(known: &Known<'_>, rules: &Rules) -> bool {
    // Without any child there are no followers, and nothing is held by what an index names or is named by. What stays
    // even so stays whatever the manifests say; and what follows goes only where something else does.
    known.images.iter().any(|image| image.manifest.may_name_others())
        && decide(&Known { manifests: &Manifests::childless(known.images), ..*known }, rules).any_goes()
}

/// Decides for every image of one repository.
#[must_use]
pub fn decide(known: &Known<'_>, rules: &Rules) -> Decisions {
    let Known { images, manifests, usage: _, replicated: _, takes: _, now } = *known;
    let graph = Graph::of(images, manifests);
    let mut reasons: Vec<KeepReasons> = images.iter().map(|image| protections(image, known, rules)).collect();
    hold_what_names_the_held(&mut reasons, &graph);
    let named_by_archived = hold_what_may_be_named(&mut reasons, images, &graph);
    graph.in_circles().for_each(|place| reasons[place].add(KeepReason::Unknown));

    hold_what_came_before(&mut reasons, images, &graph, rules.keep_before_in_use, now);
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
        let goes_by_itself = candidate.as_ref().is_ok_and(|candidate| candidate.reason.owner().is_none());
        if goes_by_itself && !rules.may_take(&images[place]) {
            reasons[place].add(KeepReason::Policy);
        }
    }
    spare_what_follows_the_archived(&mut each, &mut reasons, images, &graph);
    hold_what_the_archived_name(&named_by_archived, &each, &mut reasons);
    hold_what_follows_the_held(&mut reasons, &graph);

    let decide = |(reasons, candidate): (KeepReasons, Result<Candidate, KeepReason>)| match candidate {
        Ok(Candidate { reason, action: Action::Expire }) if reasons.is_empty() => Decision::Delete(reason),
        Ok(Candidate { reason, action: Action::Archive }) if reasons.is_empty() => Decision::Archive(reason),
        candidate => Decision::Keep { reasons, candidate: candidate.ok().map(|candidate| candidate.reason) },
    };
    Decisions { each: reasons.into_iter().zip(each).map(decide).collect(), shielded_by, pulls, graph }
}

impl Decision {
    /// The decision without why.
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
    /// The decisions in the order of the images.
    #[must_use]
    pub fn each(&self) -> &[Decision] {
        &self.each
    }

    /// Whether anything goes, be it to archive storage.
    #[must_use]
    pub fn any_goes(&self) -> bool {
        self.each.iter().any(|decision| matches!(decision, Decision::Delete(_) | Decision::Archive(_)))
    }

    /// Whether anything is to be deleted.
    #[must_use]
    pub fn any_is_deleted(&self) -> bool {
        self.each.iter().any(|decision| matches!(decision, Decision::Delete(_)))
    }

    /// The places of these images and of all that they name, over any number of steps, as far as that is known.
    #[must_use]
    pub fn with_what_they_name(&self, places: &[usize]) -> HashSet<usize> {
        let mut reached: HashSet<usize> = places.iter().copied().collect();
        let mut left = places.to_vec();
        while let Some(place) = left.pop() {
            left.extend(self.graph.children(place).iter().copied().filter(|child| reached.insert(*child)));
        }
        reached
    }

    /// Whether the image at a place is known to name others of its repository.
    #[must_use]
    pub fn names_others(&self, place: usize) -> bool {
        !self.graph.children(place).is_empty()
    }

    /// The rule that speaks of the image at a place without taking it, so that no other rule may.
    #[must_use]
    pub fn shielded_by(&self, place: usize) -> Option<&Arc<RuleName>> {
        self.shielded_by.get(&place)
    }

    /// Keeps everything that would go, for a reason that the repository as a whole gives.
    pub fn keep_whole(&mut self, reason: KeepReason) {
        for decision in &mut self.each {
            if let Decision::Delete(candidate) | Decision::Archive(candidate) = decision {
                let (reasons, candidate) = (KeepReasons::one(reason), Some(candidate.clone()));
                *decision = Decision::Keep { reasons, candidate };
            }
        }
    }

    /// When the image at a place, or what it names, was last pulled.
    #[must_use]
    pub fn pulled_at(&self, place: usize, image: &Image) -> Option<DateTime<Utc>> {
        self.pulls.get(&place).copied().unwrap_or(image.last_recorded_pull_time)
    }

    /// What the indexes that stay name, as far as it is here.
    pub fn kept_indexes(&self, images: &[Image]) -> impl Iterator<Item = (ImageDigest, Box<[ImageDigest]>)> {
        let stay = self.graph.indexes().filter(|place| matches!(self.each[*place], Decision::Keep { .. }));
        stay.map(|place| (images[place].image_digest, digests(self.graph.children(place).iter().copied(), images)))
    }

    /// What the image at a place hangs together with; `None` for one that stands alone.
    #[must_use]
    pub fn edges(&self, place: usize, images: &[Image]) -> Option<Edges> {
        let subjects = self.graph.relation(place).subjects();
        let follows = digests(self.graph.parents(place).iter().chain(subjects).copied(), images);
        let children = digests(self.graph.children(place).iter().copied(), images);
        (!follows.is_empty() || !children.is_empty()).then_some(Edges { follows, children })
    }
}

/// The images in use that would go if no workload used any: each of them is kept by its use alone.
#[must_use]
pub fn kept_by_use_alone(known: &Known<'_>, rules: &Rules) -> HashSet<ImageDigest> {
    let is_used = |image: &&Image| known.usage.holder(image.image_digest, &image.image_tags).is_some();
    if !known.images.iter().any(|image| is_used(&image)) {
        return HashSet::new();
    }
    let unused = decide(&Known { usage: &RepositoryUsage::NONE, ..*known }, rules);
    // Where no manifest was read, an untagged image beside an index is its child, as a rule, and held by it.
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

/// When each index, or what it names, was last pulled. Whoever pulls an index pulls one of its children too, unless that
/// is there already.
fn pulls_of_indexes(images: &[Image], graph: &Graph) -> HashMap<usize, Option<DateTime<Utc>>> {
    let own = |place: usize| images[place].last_recorded_pull_time;
    let mut pulls: HashMap<usize, Option<DateTime<Utc>>> = HashMap::new();
    let indexes = (0..images.len()).filter(|place| images[*place].manifest.may_name_others());
    pulls.extend(indexes.map(|place| (place, own(place))));
    // From the innermost outwards; an index that has not been counted when it is asked for is part of a circle.
    for place in graph.indexes_from_within() {
        let named = graph.children(place).iter().map(|child| pulls.get(child).copied().unwrap_or_else(|| own(*child)));
        let newest = named.max().flatten().max(own(place));
        pulls.insert(place, newest);
    }
    pulls
}

/// Everything but its rank and its relations that keeps an image.
fn protections(image: &Image, known: &Known<'_>, rules: &Rules) -> KeepReasons {
    let Known { images: _, manifests: _, usage, replicated, takes, now } = *known;
    let within = |time: DateTime<Utc>, days: u32| age_in_seconds(time, now) <= i64::from(days) * DAY;
    let mut reasons = KeepReasons::none();
    if usage.holder(image.image_digest, &image.image_tags).is_some() {
        reasons.add(KeepReason::InUse);
    }
    if image.image_tags.iter().any(|tag| rules.keep_tags.iter().any(|pattern| pattern.matches(tag))) {
        reasons.add(KeepReason::KeepTags);
    }
    if let Some(regex) = &rules.ignore_tags_regex
        && image.image_tags.iter().any(|tag| regex.is_match(tag))
    {
        reasons.add(KeepReason::IgnoreTagsRegex);
    }
    // Who restores an image from the archive is about to pull it.
    let restored_at = image.archival.as_deref().and_then(|archival| archival.last_activated_at);
    if let Some(wanted_at) = image.last_recorded_pull_time.max(restored_at)
        && rules.keep_pulled_within_days > 0
        && within(wanted_at, rules.keep_pulled_within_days)
    {
        reasons.add(KeepReason::PulledRecently);
    }
    match image.image_pushed_at {
        // An image pushed after `now` is one that the run this one repeats could not see.
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
