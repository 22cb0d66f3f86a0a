//! Explains the decision on one image. No decision is made here.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::graph::Relation;
use super::rank::{may_be_newest, stays_for_its_tags};
use super::{Decision, Decisions, Fate, KeepReason, Known, Rules, StaleReason};
use crate::image::{Image, ImageDigest};
use crate::memory::LastUse;
use crate::policy::RuleName;

/// The decision on an image with all its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The image's data from ECR.
    pub image: Image,
    /// The last pull of it or of one of its child images.
    pub pulled_at: Option<DateTime<Utc>>,
    /// Its last use; `None` if memory knows none.
    pub last_use: Option<LastUse>,
    /// The decision.
    pub outlook: Outlook,
    /// Its rank among the tagged images; `None` if it doesn't count there.
    pub rank: Option<Rank>,
    /// The rule that selects it without acting on it, and so shields it from later rules.
    pub shielded_by: Option<Arc<RuleName>>,
    /// Its parent indexes.
    pub parents: Vec<Relative>,
    /// Its child images.
    pub children: Vec<Relative>,
    /// Its subjects, if it is an attached artifact.
    pub subjects: Vec<Relative>,
    /// Its attached artifacts.
    pub referrers: Vec<Relative>,
    /// Whether the parents and child images are complete.
    pub relations: Relations,
}

/// The decision on an image, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outlook {
    /// It is kept.
    Stays {
        /// The reasons, each in words, in the report's order.
        because: Vec<(KeepReason, String)>,
        /// Why it would be stale without these.
        otherwise: Option<StaleReason>,
    },
    /// It is to be deleted.
    Goes(StaleReason),
    /// It is to be moved to archive storage.
    IsArchived(StaleReason),
}

/// A rank by push time. The newest image has rank 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rank {
    /// The rank.
    pub place: usize,
    /// The number of images that count.
    pub of: usize,
}

/// A related image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relative {
    /// Its digest.
    pub image_digest: ImageDigest,
    /// Its tags.
    pub image_tags: Box<[Box<str>]>,
    /// The decision on it.
    pub fate: Fate,
}

/// Whether the child images of the repository's indexes are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relations {
    /// All of them are, or there are no indexes.
    Known,
    /// None are: no image of the repository is stale, so no manifest had to be read.
    NotNeeded,
    /// Not all are: a manifest could not be read.
    Unreadable,
}

/// Explains the decision on the image at a place.
#[must_use]
pub fn explain(known: &Known<'_>, rules: &Rules, decisions: &Decisions, place: usize) -> Explanation {
    let Known { images, manifests, usage: _, seen, replicated: _, takes: _, now } = *known;
    let (image, graph) = (&images[place], &decisions.graph);
    let relatives = |places: &[usize]| {
        let mut relatives: Vec<Relative> = places.iter().map(|place| relative(*place, images, decisions)).collect();
        relatives.sort_unstable_by_key(|relative| relative.image_digest);
        relatives.dedup();
        relatives
    };
    let is_ranked = |place: &usize| match &decisions.each[*place] {
        Decision::Keep { reasons, .. } => !stays_for_its_tags(*reasons),
        Decision::Delete(_) | Decision::Archive(_) => true,
    };
    let takes_a_place = |place: &usize| {
        may_be_newest(&images[*place], now) && *graph.relation(*place) == Relation::Image && is_ranked(place)
    };
    let newness = |place: usize| (images[place].image_pushed_at, images[place].image_digest);
    let ranked: Vec<usize> = (0..images.len()).filter(takes_a_place).collect();
    let newer = |place: usize| ranked.iter().filter(|other| newness(**other) > newness(place)).count();
    let rank = takes_a_place(&place).then(|| Rank { place: 1 + newer(place), of: ranked.len() });
    let last_use = seen.and_then(|seen| seen.last_use(image.image_digest));
    let outlook = match &decisions.each[place] {
        Decision::Keep { reasons, candidate } => Outlook::Stays {
            because: reasons
                .iter()
                .map(|reason| (reason, in_words(reason, image, rules, last_use.as_ref(), now)))
                .collect(),
            // An image that is kept for its tags has no rank. Without them it would have one, and could be among the newest.
            otherwise: candidate.clone().filter(|reason| match reason {
                StaleReason::NotAmongNewest { images_to_keep } => newer(place) >= *images_to_keep as usize,
                _ => true,
            }),
        },
        Decision::Delete(reason) => Outlook::Goes(reason.clone()),
        Decision::Archive(reason) => Outlook::IsArchived(reason.clone()),
    };
    Explanation {
        image: image.clone(),
        pulled_at: decisions.pulled_at(place, image),
        last_use,
        outlook,
        rank,
        shielded_by: decisions.shielded_by(place).cloned(),
        parents: relatives(graph.parents(place)),
        children: relatives(graph.children(place)),
        subjects: relatives(graph.relation(place).subjects()),
        referrers: relatives(graph.referrers(place)),
        relations: if manifests.are_assumed() {
            Relations::NotNeeded
        } else if graph.unread.is_empty() {
            Relations::Known
        } else {
            Relations::Unreadable
        },
    }
}

fn relative(place: usize, images: &[Image], decisions: &Decisions) -> Relative {
    let Image { image_digest, image_tags, .. } = &images[place];
    Relative { image_digest: *image_digest, image_tags: image_tags.clone(), fate: decisions.each[place].fate() }
}

/// A reason in words, with the setting.
fn in_words(
    reason: KeepReason,
    image: &Image,
    rules: &Rules,
    last_use: Option<&LastUse>,
    now: DateTime<Utc>,
) -> String {
    let tag = |is_it: &dyn Fn(&str) -> bool| image.image_tags.iter().find(|tag| is_it(tag)).map_or("", |tag| &**tag);
    match reason {
        KeepReason::InUse => "a workload uses it".to_owned(),
        KeepReason::UsedRecently => {
            let days = rules.keep_used_within_days;
            let of_child =
                || format!("one of its child images was in use in the last {days} days (keepUsedWithinDays)");
            let of_itself =
                |last: &LastUse| format!("it was last used {} (keepUsedWithinDays)", last.ago(now.date_naive()));
            last_use.map_or_else(of_child, of_itself)
        }
        KeepReason::BeforeInUse => {
            let newest = newest(rules.keep_before_in_use);
            format!("it is {newest} pushed before an image in use (keepBeforeInUse)")
        }
        KeepReason::KeepTags => {
            let tag = tag(&|tag| rules.keep_tags.iter().any(|pattern| pattern.matches(tag)));
            format!("its tag {tag} matches keepTags")
        }
        KeepReason::IgnoreTagsRegex => {
            let tag = tag(&|tag| rules.ignore_tags_regex.as_ref().is_some_and(|regex| regex.is_match(tag)));
            format!("its tag {tag} matches ignoreTagsRegex")
        }
        KeepReason::Newest => format!("it is {} (imagesToKeep)", newest(rules.images_to_keep)),
        KeepReason::PulledRecently => {
            let days = rules.keep_pulled_within_days;
            format!(
                "it or one of its child images was pulled or restored in the last {days} days (keepPulledWithinDays)"
            )
        }
        KeepReason::PushedRecently => match rules.keep_pushed_within_days {
            0 => "it was pushed after the time of this run".to_owned(),
            days => {
                format!("it was pushed in the last {days} days (keepPushedWithinDays), or after the time of this run")
            }
        },
        KeepReason::Policy if !rules.allow(image) => {
            let only = rules.only_tags.as_ref().map(ToString::to_string).unwrap_or_default();
            format!("none of its tags matches {only} (--tags)")
        }
        KeepReason::Policy => "no policy rule expires or archives it, or no policy matches its repository".to_owned(),
        KeepReason::Untagged => "it is untagged and not older than untaggedOlderThanDays, or that is never".to_owned(),
        KeepReason::ParentOfInUse => "a workload uses one of its child images".to_owned(),
        KeepReason::ChildOfKept => "it is a child image of a kept index".to_owned(),
        KeepReason::ReferrerOfKept => "it is an attached artifact of a kept image".to_owned(),
        KeepReason::Replicated => {
            "deleting it would delete its replicas in other registries, and one of them is kept or can't be read"
                .to_owned()
        }
        KeepReason::Archived => {
            "it is archived or being restored, and no policy rule selects archived images".to_owned()
        }
        KeepReason::SharedElsewhere => {
            "accounts whose workloads aren't read can pull from its repository (usageRoleArns, acceptUnseenAccounts)"
                .to_owned()
        }
        KeepReason::Unreadable => {
            "a workload's reference to its repository can't be read, or it may be a child image of an unreadable index"
                .to_owned()
        }
        KeepReason::Unknown => "ECR doesn't return all data that the decision needs".to_owned(),
    }
}

fn newest(images: u32) -> String {
    match images {
        1 => "the newest tagged image".to_owned(),
        images => format!("among the {images} newest tagged images"),
    }
}

impl Explanation {
    /// The decision and its reasons in a sentence or two.
    #[must_use]
    pub fn sentence(&self) -> String {
        match &self.outlook {
            Outlook::Stays { because, otherwise } => {
                let because: Vec<&str> = because.iter().map(|(_, words)| words.as_str()).collect();
                let because = because.join("; ");
                match otherwise {
                    Some(otherwise) => format!("It is kept: {because}. Otherwise it would be stale: {otherwise}."),
                    None => format!("It is kept: {because}."),
                }
            }
            Outlook::Goes(reason) => format!("It is stale: {reason}."),
            Outlook::IsArchived(reason) => format!("It is stale and will be archived: {reason}."),
        }
    }
}
