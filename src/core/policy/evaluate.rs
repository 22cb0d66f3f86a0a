//! What a policy takes from a repository, as ECR's documentation has it.
//!
//! - Every rule is evaluated against the whole repository, then the rules are applied by priority.
//! - An image is acted on by one rule or by none: by the first whose selection it matches, if that rule identifies it.
//!   A match shields it from all rules after that one, which still count it. So does what a rule may match that can't be
//!   read: ECR may shield it, and no rule may take more here than there.
//! - What a rule counts, it counts from the newest push to the oldest. An image that was archived and restored counts as
//!   pushed when it was restored.
//!
//! See <https://docs.aws.amazon.com/AmazonECR/latest/userguide/LifecyclePolicies.html#lp_evaluation_rules>.

use chrono::{DateTime, TimeDelta, Utc};

use super::{Count, Policy, Rule, StorageClass};
use crate::image::ImageDigest;

/// An image as a policy sees it.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// What names it, which orders images that were pushed at the same time.
    pub image_digest: ImageDigest,
    /// Its tags.
    pub image_tags: &'a [Box<str>],
    /// Where it is stored.
    pub storage_class: StorageClass,
    /// When it was pushed.
    pub image_pushed_at: DateTime<Utc>,
    /// The last pull, if there was one.
    pub last_pulled_at: Option<DateTime<Utc>>,
    /// When it was moved to archive storage, if it was.
    pub last_archived_at: Option<DateTime<Utc>>,
    /// When it was restored from there, if it was.
    pub last_activated_at: Option<DateTime<Utc>>,
    /// Whether it takes a place where images are counted. One that does not is judged by those that do.
    pub takes_a_place: bool,
}

/// What a policy says of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// This rule takes it.
    Taken(&'a Rule),
    /// This rule speaks of it and does not take it, and no other may.
    Shielded(&'a Rule),
    /// No rule speaks of it.
    Unselected,
}

/// What a policy says of each image of a repository, in their order.
#[must_use]
pub fn evaluate<'a>(policy: &'a Policy, images: &[Subject<'_>], now: DateTime<Utc>) -> Vec<Verdict<'a>> {
    let mut newest_first: Vec<usize> = (0..images.len()).collect();
    newest_first.sort_unstable_by_key(|place| {
        std::cmp::Reverse((images[*place].pushed_or_restored_at(), images[*place].image_digest))
    });
    let mut verdicts = vec![Verdict::Unselected; images.len()];
    for rule in &policy.rules {
        let mut counted = 0;
        for &place in &newest_first {
            let image = &images[place];
            if !rule.selection.selects(image.image_tags, image.storage_class) {
                continue;
            }
            counted += u64::from(image.takes_a_place);
            if verdicts[place] == Verdict::Unselected {
                let rank = counted + u64::from(!image.takes_a_place);
                let is_identified = rule.count.identifies(image, rank, now);
                verdicts[place] = if is_identified { Verdict::Taken(rule) } else { Verdict::Shielded(rule) };
            }
        }
    }
    verdicts
}

impl Subject<'_> {
    /// A restored image is as new as one that was pushed then.
    fn pushed_or_restored_at(&self) -> DateTime<Utc> {
        self.last_activated_at.map_or(self.image_pushed_at, |restored_at| restored_at.max(self.image_pushed_at))
    }
}

impl Count {
    /// Whether it identifies an image that is so far down from the newest, which is the first.
    fn identifies(self, image: &Subject<'_>, rank: u64, now: DateTime<Utc>) -> bool {
        let is_older = |than: DateTime<Utc>, days: u32| now.signed_duration_since(than) > TimeDelta::days(days.into());
        match self {
            Self::ImageCountMoreThan(number) => rank > u64::from(number),
            Self::SinceImagePushed(days) => is_older(image.pushed_or_restored_at(), days),
            // One that was never pulled counts as pulled when it was pushed, and one that was restored as then.
            Self::SinceImagePulled(days) => {
                let pulled_at = image.last_pulled_at.unwrap_or(image.image_pushed_at);
                is_older(image.last_activated_at.map_or(pulled_at, |restored_at| restored_at.max(pulled_at)), days)
            }
            Self::Nothing => false,
            Self::SinceImageTransitioned(days) => {
                image.last_archived_at.is_some_and(|archived_at| is_older(archived_at, days))
            }
        }
    }
}
