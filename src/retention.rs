//! Which images of a repository are stale, and why each of the others stays.
//!
//! Pure: it takes the images as they are, the usage, the rules and the time, and returns a decision for every image.
//! It reads no clock, calls nothing and logs nothing.
//!
//! - Retention decides per image, never per tag: deleting an image takes all its tags, so every tag is asked.
//! - A tagged image is a candidate if it is not among the `images_to_keep` newest tagged ones by push time and digest.
//! - An untagged image is a candidate if it was pushed more than `untagged_older_than_days` ago.
//! - A referrer (a signature, an SBOM) takes no place among the newest. It follows its subject; without one it counts
//!   as untagged when its manifest names the subject, and is kept when only its tag does.
//! - A candidate is stale unless anything holds it; see [`KeepReason`].
//! - Unknown means keep. An index's children are untagged, and which they are stands in its manifest. As long as no
//!   manifests are read, every untagged image beside an index may be its child, and is kept.

mod reason;

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use regex::Regex;

pub use reason::{KeepReason, KeepReasons, StaleReason};

use crate::image::{Image, ImageDigest, ImageStatus, ManifestKind, Subject, subject_named_by_tag};
use crate::pattern::Pattern;
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

/// Decides for every image of one repository, in the order of `images`.
#[must_use]
pub fn decide(images: &[Image], usage: &RepositoryUsage<'_>, rules: &Rules, now: DateTime<Utc>) -> Vec<Decision> {
    let relations = relations_of(images);
    let newest = newest_tagged(images, &relations, rules.images_to_keep, now);
    let protected: Vec<KeepReasons> = images.iter().map(|image| protections(image, usage, rules, now)).collect();
    // Kept for its own sake, an untagged image may be the child of any index.
    let child_may_be_held = images
        .iter()
        .zip(&protected)
        .any(|(image, reasons)| image.is_untagged() && image.manifest == ManifestKind::Manifest && !reasons.is_empty());
    let holds_an_index = images.iter().any(|image| image.manifest == ManifestKind::Index);

    let mut decisions: Vec<Decision> = images
        .iter()
        .enumerate()
        .map(|(place, image)| {
            let mut reasons = protected[place];
            if holds_an_index && (image.is_untagged() || (image.manifest == ManifestKind::Index && child_may_be_held)) {
                reasons.add(KeepReason::Unreadable);
            }
            let relation = &relations[place];
            let candidate = match relation {
                Relation::Image | Relation::ImageAbout(_) if newest[place] => None,
                Relation::Image | Relation::ImageAbout(_) if !image.is_untagged() => {
                    Some(StaleReason::NotAmongNewest { images_to_keep: rules.images_to_keep })
                }
                Relation::Image | Relation::ImageAbout(_) | Relation::WithoutSubject => {
                    untagged_for_long(image, rules, now)
                }
                Relation::About(subjects) => {
                    subjects.first().map(|subject| StaleReason::ReferrerOf(images[*subject].image_digest))
                }
                Relation::AboutSomethingElsewhere => None,
            };
            match candidate {
                Some(reason) if reasons.is_empty() => Decision::Delete(reason),
                Some(_) => Decision::Keep { reasons, candidate },
                None => {
                    reasons.add(match relation {
                        Relation::AboutSomethingElsewhere => KeepReason::Unknown,
                        _ if newest[place] => KeepReason::Newest,
                        _ if image.image_pushed_at.is_none() => KeepReason::Unknown,
                        Relation::Image | Relation::ImageAbout(_) | Relation::About(_) | Relation::WithoutSubject => {
                            KeepReason::Untagged
                        }
                    });
                    Decision::Keep { reasons, candidate }
                }
            }
        })
        .collect();
    keep_referrers_of_the_kept(&mut decisions, &relations);
    decisions
}

/// Keeps everything that would go, for a reason that the repository as a whole gives.
pub fn withhold(decisions: &mut [Decision], reason: KeepReason) {
    for decision in decisions {
        if let Decision::Delete(candidate) = *decision {
            *decision = Decision::Keep { reasons: KeepReasons::one(reason), candidate: Some(candidate) };
        }
    }
}

/// Whether an image stands for itself, or is about others.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Relation {
    /// It stands for itself.
    Image,
    /// It is about the images at these places.
    About(Vec<usize>),
    /// It has a tag of its own, and others that say it is about the images at these places.
    ImageAbout(Vec<usize>),
    /// Its manifest names a subject that this repository does not hold.
    WithoutSubject,
    /// What it is about is not here: signatures may live in a repository of their own. Or it can't be told.
    AboutSomethingElsewhere,
}

fn relations_of(images: &[Image]) -> Vec<Relation> {
    let places: HashMap<ImageDigest, usize> =
        images.iter().enumerate().map(|(place, image)| (image.image_digest, place)).collect();
    images
        .iter()
        .map(|image| match &image.subject {
            Subject::Image(subject) => match places.get(subject) {
                Some(place) => Relation::About(vec![*place]),
                None => Relation::WithoutSubject,
            },
            Subject::Unknown => Relation::AboutSomethingElsewhere,
            Subject::None => relation_by_tags(image, &places),
        })
        .collect()
}

fn relation_by_tags(image: &Image, places: &HashMap<ImageDigest, usize>) -> Relation {
    let named: Vec<ImageDigest> = image.image_tags.iter().filter_map(|tag| subject_named_by_tag(tag)).collect();
    if named.is_empty() {
        return Relation::Image;
    }
    let subjects: Option<Vec<usize>> = named.iter().map(|subject| places.get(subject).copied()).collect();
    match subjects {
        None => Relation::AboutSomethingElsewhere,
        Some(subjects) if named.len() == image.image_tags.len() => Relation::About(subjects),
        Some(subjects) => Relation::ImageAbout(subjects),
    }
}

/// Everything but its rank and its relations that keeps an image.
fn protections(image: &Image, usage: &RepositoryUsage<'_>, rules: &Rules, now: DateTime<Utc>) -> KeepReasons {
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
fn newest_tagged(images: &[Image], relations: &[Relation], images_to_keep: u32, now: DateTime<Utc>) -> Vec<bool> {
    let mut ranked: Vec<usize> = (0..images.len())
        .filter(|&place| {
            let image = &images[place];
            matches!(relations[place], Relation::Image | Relation::ImageAbout(_))
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

fn untagged_for_long(image: &Image, rules: &Rules, now: DateTime<Utc>) -> Option<StaleReason> {
    let days = rules.untagged_older_than_days?;
    let age = age_in_seconds(image.image_pushed_at?, now);
    (age > i64::from(days) * DAY).then_some(StaleReason::UntaggedForLong { days })
}

/// A referrer stays while any of its subjects does. A subject may itself be a referrer, so this goes on from each image
/// that is kept to what is about it.
fn keep_referrers_of_the_kept(decisions: &mut [Decision], relations: &[Relation]) {
    let mut referrers: HashMap<usize, Vec<usize>> = HashMap::new();
    for (place, relation) in relations.iter().enumerate() {
        if let Relation::About(subjects) | Relation::ImageAbout(subjects) = relation {
            for subject in subjects {
                referrers.entry(*subject).or_default().push(place);
            }
        }
    }
    let is_kept = |decision: &Decision| matches!(decision, Decision::Keep { .. });
    let mut kept: Vec<usize> = (0..decisions.len()).filter(|place| is_kept(&decisions[*place])).collect();
    while let Some(subject) = kept.pop() {
        // Each subject is taken once, so that this ends whatever a registry claims.
        for referrer in referrers.remove(&subject).unwrap_or_default() {
            decisions[referrer] = match decisions[referrer] {
                Decision::Keep { mut reasons, candidate } => {
                    reasons.add(KeepReason::ReferrerOfKept);
                    Decision::Keep { reasons, candidate }
                }
                Decision::Delete(candidate) => {
                    kept.push(referrer);
                    let reasons = KeepReasons::one(KeepReason::ReferrerOfKept);
                    Decision::Keep { reasons, candidate: Some(candidate) }
                }
            };
        }
    }
}

fn age_in_seconds(time: DateTime<Utc>, now: DateTime<Utc>) -> i64 {
    // Whole seconds would round an age of n days and a millisecond down to n days.
    let age = now.signed_duration_since(time);
    age.num_seconds() + i64::from(age.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests;
