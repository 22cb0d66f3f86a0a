//! Why one image stays or goes, told from the decision itself: nothing is decided here.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::graph::Relation;
use super::rank::{may_be_newest, stays_for_its_tags};
use super::{Decision, Decisions, Fate, KeepReason, Known, Rules, StaleReason};
use crate::image::{Image, ImageDigest};
use crate::policy::RuleName;

/// All there is to say of what becomes of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The image as ECR describes it.
    pub image: Image,
    /// When it, or what it names, was last pulled.
    pub pulled_at: Option<DateTime<Utc>>,
    /// What becomes of it.
    pub outlook: Outlook,
    /// Its place among the tagged images; `None` for one that takes none there.
    pub rank: Option<Rank>,
    /// The rule that speaks of it without taking it, so that no other rule may.
    pub shielded_by: Option<Arc<RuleName>>,
    /// The indexes that name it.
    pub parents: Vec<Relative>,
    /// What it names.
    pub children: Vec<Relative>,
    /// What it is about.
    pub subjects: Vec<Relative>,
    /// What is about it.
    pub referrers: Vec<Relative>,
    /// Whether parents and children are all that there are.
    pub relations: Relations,
}

/// What becomes of an image, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outlook {
    /// It stays.
    Stays {
        /// Why, each with its sentence, in the report's order.
        because: Vec<(KeepReason, String)>,
        /// Why it would go without these.
        otherwise: Option<StaleReason>,
    },
    /// It is to be deleted.
    Goes(StaleReason),
    /// It is to go to archive storage.
    IsArchived(StaleReason),
}

/// A place by push time, the newest first, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rank {
    /// The place.
    pub place: usize,
    /// How many take one.
    pub of: usize,
}

/// An image that another hangs together with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relative {
    /// What names it.
    pub image_digest: ImageDigest,
    /// Its tags.
    pub image_tags: Box<[Box<str>]>,
    /// What becomes of it.
    pub fate: Fate,
}

/// What is known of what indexes name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relations {
    /// All of it, or there are no indexes.
    Known,
    /// Nothing: nothing of the repository goes, so no manifest had to be read.
    NotNeeded,
    /// Not all: a manifest could not be read.
    Unreadable,
}

/// Explains what was decided on the image at a place.
#[must_use]
pub fn explain(known: &Known<'_>, rules: &Rules, decisions: &Decisions, place: usize) -> Explanation {
    let Known { images, manifests, usage: _, replicated: _, takes: _, now } = *known;
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
    let rank = takes_a_place(&place).then(|| Rank {
        place: 1 + ranked.iter().filter(|other| newness(**other) > newness(place)).count(),
        of: ranked.len(),
    });
    let outlook = match &decisions.each[place] {
        Decision::Keep { reasons, candidate } => Outlook::Stays {
            because: reasons.iter().map(|reason| (reason, told(reason, image, rules))).collect(),
            otherwise: candidate.clone(),
        },
        Decision::Delete(reason) => Outlook::Goes(reason.clone()),
        Decision::Archive(reason) => Outlook::IsArchived(reason.clone()),
    };
    Explanation {
        image: image.clone(),
        pulled_at: decisions.pulled_at(place, image),
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

/// A reason in words, with what it goes by.
fn told(reason: KeepReason, image: &Image, rules: &Rules) -> String {
    let tag = |is_it: &dyn Fn(&str) -> bool| image.image_tags.iter().find(|tag| is_it(tag)).map_or("", |tag| &**tag);
    match reason {
        KeepReason::InUse => "a workload uses it".to_owned(),
        KeepReason::BeforeInUse => {
            let before = rules.keep_before_in_use;
            format!("it is among the {before} newest tagged images pushed before one in use (keepBeforeInUse)")
        }
        KeepReason::KeepTags => {
            let tag = tag(&|tag| rules.keep_tags.iter().any(|pattern| pattern.matches(tag)));
            format!("its tag {tag} matches keepTags")
        }
        KeepReason::IgnoreTagsRegex => {
            let tag = tag(&|tag| rules.ignore_tags_regex.as_ref().is_some_and(|regex| regex.is_match(tag)));
            format!("its tag {tag} matches ignoreTagsRegex")
        }
        KeepReason::Newest => format!("it is among the {} newest tagged images (imagesToKeep)", rules.images_to_keep),
        KeepReason::PulledRecently => {
            let days = rules.keep_pulled_within_days;
            format!("it, or what it names, was pulled within {days} days (keepPulledWithinDays), or restored")
        }
        KeepReason::PushedRecently => {
            let days = rules.keep_pushed_within_days;
            format!("it was pushed within {days} days (keepPushedWithinDays), or just now")
        }
        KeepReason::Policy if !rules.may_take(image) => {
            let only = rules.only_tags.as_ref().map(ToString::to_string).unwrap_or_default();
            format!("none of its tags matches {only}, and no others are asked for")
        }
        KeepReason::Policy => "no rule of a policy takes it, or no policy matches its repository".to_owned(),
        KeepReason::Untagged => {
            "it is untagged, and not older than untaggedOlderThanDays, or these are never taken".to_owned()
        }
        KeepReason::ParentOfInUse => "a workload uses an image that it names".to_owned(),
        KeepReason::ChildOfKept => "an index that stays names it".to_owned(),
        KeepReason::ReferrerOfKept => "it is about an image that stays".to_owned(),
        KeepReason::Replicated => {
            "deleting it would delete its copies in other registries, and one of them stays or can't be read".to_owned()
        }
        KeepReason::Archived => "it is archived or being restored, and no rule of a policy takes it there".to_owned(),
        KeepReason::SharedElsewhere => {
            "accounts whose usage isn't read may pull from its repository (usageRoleArns, acceptUnseenAccounts)"
                .to_owned()
        }
        KeepReason::Unreadable => {
            "a workload's reference to its repository, or the manifest of an index that may name it, can't be read"
                .to_owned()
        }
        KeepReason::Unknown => "ECR does not tell what would have to be known".to_owned(),
    }
}

impl Explanation {
    /// Why it stays or goes, in one sentence.
    #[must_use]
    pub fn sentence(&self) -> String {
        match &self.outlook {
            Outlook::Stays { because, otherwise } => {
                let because: Vec<&str> = because.iter().map(|(_, told)| told.as_str()).collect();
                let because = because.join("; ");
                match otherwise {
                    Some(otherwise) => format!("It stays, because {because}; otherwise it would go: {otherwise}."),
                    None => format!("It stays, because {because}."),
                }
            }
            Outlook::Goes(reason) => format!("It is stale: {reason}."),
            Outlook::IsArchived(reason) => format!("It is to go to archive storage: {reason}."),
        }
    }
}
