//! Applies a policy to the images of a repository, as ECR's documentation describes.
//!
//! - Every rule is evaluated against the whole repository, then the rules are applied by priority.
//! - At most one rule acts on an image: the first rule that selects it, if the image exceeds that rule's count. If it
//!   doesn't, the rule shields the image: later rules don't act on it, but still count it. An unread rule shields all
//!   images that it may select. ECR may do the same, and no rule may act on more images here than in ECR.
//! - A rule counts images from the newest push to the oldest. An image that was archived and restored counts as pushed when
//!   it was restored.
//!
//! See <https://docs.aws.amazon.com/AmazonECR/latest/userguide/LifecyclePolicies.html#lp_evaluation_rules>.

use chrono::{DateTime, TimeDelta, Utc};

use super::{Count, Policy, Rule, StorageClass};
use crate::image::ImageDigest;

/// The data of an image that a policy evaluates.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Its digest. It orders images that were pushed at the same time.
    pub image_digest: ImageDigest,
    /// Its tags.
    pub image_tags: &'a [Box<str>],
    /// Its storage class.
    pub storage_class: StorageClass,
    /// When it was pushed.
    pub image_pushed_at: DateTime<Utc>,
    /// The last pull, if there was one.
    pub last_pulled_at: Option<DateTime<Utc>>,
    /// When it was moved to archive storage, if it was.
    pub last_archived_at: Option<DateTime<Utc>>,
    /// When it was restored from there, if it was.
    pub last_activated_at: Option<DateTime<Utc>>,
    /// Whether it counts toward `imageCountMoreThan`. If not, its rank is that of the next image that does.
    pub takes_a_place: bool,
}

/// The result of a policy for an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// This rule expires or archives it.
    Taken(&'a Rule),
    /// This rule selects it but doesn't act on it, and later rules must not act on it either.
    Shielded(&'a Rule),
    /// No rule selects it.
    Unselected,
}

/// The result of a policy for each image of a repository, in the order of the images.
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
    /// A restored image counts as pushed when it was restored.
    fn pushed_or_restored_at(&self) -> DateTime<Utc> {
        self.last_activated_at.map_or(self.image_pushed_at, |restored_at| restored_at.max(self.image_pushed_at))
    }
}

impl Count {
    /// Whether an image of this rank exceeds the count. The newest image has rank 1.
    fn identifies(self, image: &Subject<'_>, rank: u64, now: DateTime<Utc>) -> bool {
        let is_older = |than: DateTime<Utc>, days: u32| now.signed_duration_since(than) > TimeDelta::days(days.into());
        match self {
            Self::ImageCountMoreThan(number) => rank > u64::from(number),
            Self::SinceImagePushed(days) => is_older(image.pushed_or_restored_at(), days),
            // A push counts as a pull if there was none, and a restoration counts as a pull too.
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
