//! Which images of a repository are stale, and why each of the others stays.
//!
//! Pure: it takes the images as they are, the usage, the rules and the time, and returns a decision for every image.
//! It reads no clock, calls nothing and logs nothing.
//!
//! - Retention decides per image, never per tag: deleting an image takes all its tags, so every tag is asked.
//! - A tagged image is a candidate if it is not among the `images_to_keep` newest tagged ones by push time and digest.
//! - An untagged image is a candidate if it was pushed more than `untagged_older_than_days` ago.
//! - An index's untagged children and all referrers (signatures, SBOMs) take no place among the newest and have no age
//!   of their own: they are candidates, and stay while anything that they belong to stays. A child with a tag is an image
//!   like others, which also stays while an index that names it stays.
//! - A referrer without its subject counts as untagged when its manifest names the subject, and is kept when only its
//!   tag does.
//! - A candidate is stale unless anything holds it; see [`KeepReason`]. What a child is used for, or pulled for, holds
//!   every index above it.
//! - Unknown means keep. What an index names stands in its manifest; where that could not be read, every untagged image,
//!   and every image not pushed after the index, may be its child and is kept.

mod graph;
mod reason;

use chrono::{DateTime, Utc};
use regex::Regex;

use graph::{Follows, Graph, Relation};
pub use reason::{KeepReason, KeepReasons, StaleReason};

use crate::image::{Image, ImageDigest, ImageStatus};
use crate::manifest::Manifests;
use crate::pattern::Pattern;
use crate::pull_time::IndexPulls;
use crate::usage::RepositoryUsage;

/// Seconds a day; "older than n days" means an age of more than n times this.
const DAY: i64 = 86_400;

/// What is kept and what is stale.
#[derive(Clone, Debug)]
pub struct Rules {
    /// How many of the newest tagged images stay.
    pub images_to_keep: u32,
    /// An image with a tag that it finds a match in stays.
    pub ignore_tags_regex: Option<Regex>,
    /// An image with a tag that matches one of these stays.
    pub keep_tags: Vec<Pattern>,
    /// The age in days above which untagged images are stale; `None` means never.
    pub untagged_older_than_days: Option<u32>,
    /// An image pulled within so many days stays; 0 means that pulls don't count.
    pub keep_pulled_within_days: u32,
    /// An image pushed within so many days stays.
    pub keep_pushed_within_days: u32,
}

/// What is known of a repository.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// Its images, each digest once, in any order.
    pub images: &'a [Image],
    /// What its indexes name.
    pub manifests: &'a Manifests,
    /// Whether pulls of indexes count.
    pub index_pulls: IndexPulls,
    /// What workloads use of it.
    pub usage: &'a RepositoryUsage<'a>,
    /// The time that ages are counted to.
    pub now: DateTime<Utc>,
}

/// What becomes of an image, with why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
}

/// What becomes of every image of a repository, and how they hang together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decisions {
    each: Vec<Decision>,
    graph: Graph,
}

/// The images that a stale image hangs together with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kin {
    /// The indexes that name it and the images it is about, all of them stale: it goes after them, and only if they go.
    pub follows: Box<[ImageDigest]>,
    /// What it names, and what that names: when one of these is used or pulled, it is needed.
    pub descendants: Box<[ImageDigest]>,
}

/// Whether the decisions depend on what the repository's indexes name.
#[must_use]
pub fn needs_manifests(known: &Known<'_>, rules: &Rules) -> bool {
    // Without any child there are no followers, and nothing is held by what an index names or is named by. What stays
    // even so stays whatever the manifests say; and what follows goes only where something else does.
    known.images.iter().any(|image| image.manifest.may_name_others())
        && decide(
            &Known { manifests: &Manifests::childless(known.images), index_pulls: IndexPulls::MayBeOwn, ..*known },
            rules,
        )
        .each
        .iter()
        .any(|decision| matches!(decision, Decision::Delete(_)))
}

/// Decides for every image of one repository.
#[must_use]
pub fn decide(known: &Known<'_>, rules: &Rules) -> Decisions {
    let Known { images, manifests, index_pulls: _, usage: _, now } = *known;
    let graph = Graph::of(images, manifests);
    let newest = newest_tagged(images, &graph, rules.images_to_keep, now);
    let mut reasons: Vec<KeepReasons> = images.iter().map(|image| protections(image, known, rules)).collect();
    hold_what_names_the_held(&mut reasons, &graph);
    hold_what_may_be_named(&mut reasons, images, &graph);
    graph.in_circles().for_each(|place| reasons[place].add(KeepReason::Unknown));

    let candidates: Vec<Option<StaleReason>> = (0..images.len())
        .map(|place| match candidate(place, newest[place], images, &graph, rules, now) {
            Ok(candidate) => Some(candidate),
            Err(reason) => {
                reasons[place].add(reason);
                None
            }
        })
        .collect();
    hold_what_follows_the_held(&mut reasons, &graph);

    let each = reasons.into_iter().zip(candidates).map(|(reasons, candidate)| match candidate {
        Some(reason) if reasons.is_empty() => Decision::Delete(reason),
        candidate => Decision::Keep { reasons, candidate },
    });
    Decisions { each: each.collect(), graph }
}

impl Decisions {
    /// The decisions in the order of the images.
    #[must_use]
    pub fn each(&self) -> &[Decision] {
        &self.each
    }

    /// Whether anything goes.
    #[must_use]
    pub fn any_goes(&self) -> bool {
        self.each.iter().any(|decision| matches!(decision, Decision::Delete(_)))
    }

    /// Keeps everything that would go, for a reason that the repository as a whole gives.
    pub fn withhold(&mut self, reason: KeepReason) {
        for decision in &mut self.each {
            if let Decision::Delete(candidate) = *decision {
                *decision = Decision::Keep { reasons: KeepReasons::one(reason), candidate: Some(candidate) };
            }
        }
    }

    /// When the image at a place, or what it names, was last pulled by others.
    #[must_use]
    pub fn pulled_at(&self, place: usize, images: &[Image], index_pulls: IndexPulls) -> Option<DateTime<Utc>> {
        let family = self.graph.descendants([place].into_iter());
        let counted = family.into_iter().chain([place]).filter(|place| index_pulls.count(images[*place].manifest));
        counted.filter_map(|place| images[place].last_recorded_pull_time).max()
    }

    /// What the image at a place hangs together with; `None` for one that stands alone.
    #[must_use]
    pub fn kin(&self, place: usize, images: &[Image]) -> Option<Box<Kin>> {
        let digests = |places: &mut dyn Iterator<Item = usize>| -> Box<[ImageDigest]> {
            let mut digests: Vec<ImageDigest> = places.map(|place| images[place].image_digest).collect();
            digests.sort_unstable();
            digests.dedup();
            digests.into()
        };
        let subjects = self.graph.relation(place).subjects();
        let follows = digests(&mut self.graph.parents(place).iter().chain(subjects).copied());
        let descendants = digests(&mut self.graph.descendants([place].into_iter()).into_iter());
        (!follows.is_empty() || !descendants.is_empty()).then(|| Box::new(Kin { follows, descendants }))
    }
}

/// Why an image would go if nothing held it, or why nothing would take it.
fn candidate(
    place: usize,
    is_newest: bool,
    images: &[Image],
    graph: &Graph,
    rules: &Rules,
    now: DateTime<Utc>,
) -> Result<StaleReason, KeepReason> {
    let image = &images[place];
    // The smallest, so that the reason does not depend on the order of the images.
    let parent = graph.parents(place).iter().map(|parent| images[*parent].image_digest).min();
    match (graph.relation(place), parent) {
        (Relation::AboutSomethingElsewhere, _) => Err(KeepReason::Unknown),
        (Relation::About(subjects), _) => {
            let subject = subjects.iter().map(|subject| images[*subject].image_digest).min();
            subject.map(StaleReason::ReferrerOf).ok_or(KeepReason::Unknown)
        }
        (_, Some(parent)) if image.is_untagged() => Ok(StaleReason::ChildOf(parent)),
        (Relation::Image | Relation::ImageAbout(_), _) if !image.is_untagged() => {
            if is_newest {
                return Err(KeepReason::Newest);
            }
            Ok(StaleReason::NotAmongNewest { images_to_keep: rules.images_to_keep })
        }
        (Relation::Image | Relation::ImageAbout(_) | Relation::WithoutSubject, _) => {
            match (rules.untagged_older_than_days, image.image_pushed_at) {
                (_, None) => Err(KeepReason::Unknown),
                (Some(days), Some(pushed_at)) if age_in_seconds(pushed_at, now) > i64::from(days) * DAY => {
                    Ok(StaleReason::UntaggedForLong { days })
                }
                (Some(_) | None, Some(_)) => Err(KeepReason::Untagged),
            }
        }
    }
}

/// A used child needs its index to be found by tag, and a pull of a child may have been one of the index.
fn hold_what_names_the_held(reasons: &mut [KeepReasons], graph: &Graph) {
    for (of_child, of_index) in
        [(KeepReason::InUse, KeepReason::ParentOfInUse), (KeepReason::PulledRecently, KeepReason::PulledRecently)]
    {
        let held = (0..reasons.len()).filter(|place| reasons[*place].contains(of_child));
        for index in graph.ancestors(held) {
            reasons[index].add(of_index);
        }
    }
}

/// What an index names is not known where its manifest could not be read. It may be any untagged image, and any that
/// was there when the index was pushed; and an index above it may be one of something used.
fn hold_what_may_be_named(reasons: &mut [KeepReasons], images: &[Image], graph: &Graph) {
    // An index of unknown age may have been pushed after any image.
    let pushed_at = |index: &usize| images[*index].image_pushed_at.unwrap_or(DateTime::<Utc>::MAX_UTC);
    let Some(last_unread) = graph.unread.iter().map(pushed_at).max() else { return };
    for (image, reasons) in images.iter().zip(&mut *reasons) {
        if image.is_untagged() || image.image_pushed_at.is_none_or(|pushed_at| pushed_at <= last_unread) {
            reasons.add(KeepReason::Unreadable);
        }
    }
    for index in graph.ancestors(graph.unread.iter().copied()) {
        reasons[index].add(KeepReason::Unreadable);
    }
}

/// What belongs to an image that stays, stays.
fn hold_what_follows_the_held(reasons: &mut [KeepReasons], graph: &Graph) {
    let held: Vec<usize> = (0..reasons.len()).filter(|place| !reasons[*place].is_empty()).collect();
    graph.each_follower(held.into_iter(), |follower, follows| {
        reasons[follower].add(match follows {
            Follows::Parent => KeepReason::ChildOfKept,
            Follows::Subject => KeepReason::ReferrerOfKept,
        });
    });
}

/// Everything but its rank and its relations that keeps an image.
fn protections(image: &Image, known: &Known<'_>, rules: &Rules) -> KeepReasons {
    let Known { images: _, manifests: _, index_pulls, usage, now } = *known;
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
    if let Some(pulled_at) = image.last_recorded_pull_time
        && rules.keep_pulled_within_days > 0
        && index_pulls.count(image.manifest)
        && within(pulled_at, rules.keep_pulled_within_days)
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
    if image.image_status != ImageStatus::Active {
        reasons.add(KeepReason::Archived);
    }
    if usage.is_withheld() {
        reasons.add(KeepReason::Unreadable);
    }
    reasons
}

/// Marks the newest tagged images. Those that no rule may judge take no place, so that they displace none.
fn newest_tagged(images: &[Image], graph: &Graph, images_to_keep: u32, now: DateTime<Utc>) -> Vec<bool> {
    let mut ranked: Vec<usize> = (0..images.len())
        .filter(|&place| {
            let image = &images[place];
            matches!(graph.relation(place), Relation::Image | Relation::ImageAbout(_))
                && !image.is_untagged()
                && image.image_status == ImageStatus::Active
                && image.image_pushed_at.is_some_and(|pushed_at| pushed_at <= now)
        })
        .collect();
    let rank = |place: &usize| std::cmp::Reverse((images[*place].image_pushed_at, images[*place].image_digest));
    let kept = usize::try_from(images_to_keep).unwrap_or(usize::MAX).min(ranked.len());
    if 0 < kept && kept < ranked.len() {
        ranked.select_nth_unstable_by_key(kept - 1, rank);
    }
    let mut newest = vec![false; images.len()];
    for place in &ranked[..kept] {
        newest[*place] = true;
    }
    newest
}

fn age_in_seconds(time: DateTime<Utc>, now: DateTime<Utc>) -> i64 {
    // Whole seconds would round an age of n days and a millisecond down to n days.
    let age = now.signed_duration_since(time);
    age.num_seconds() + i64::from(age.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests;
