//! Tagged images that are kept by their rank by push time: the newest, and the newest before an image in use.

use std::cmp::Reverse;
use std::collections::HashSet;

use chrono::{DateTime, Utc};

use super::graph::{Graph, Relation};
use super::{KeepReason, KeepReasons};
use crate::image::{Image, ImageDigest, ImageStatus};

type Newness = (Option<DateTime<Utc>>, ImageDigest);

fn newness(image: &Image) -> Newness {
    (image.image_pushed_at, image.image_digest)
}

/// Marks the newest tagged images. Images that no rule may act on don't count, and neither do images that are kept by their
/// tags, which are often releases among builds. An image that is a referrer by some of its tags doesn't count either. It is
/// marked if it is as new as the oldest marked image.
pub(super) fn newest_tagged(
    images: &[Image],
    graph: &Graph,
    reasons: &[KeepReasons],
    images_to_keep: u32,
    now: DateTime<Utc>,
) -> Vec<bool> {
    let rank = |place: &usize| newness(&images[*place]);
    let (mut ranked, others): (Vec<usize>, Vec<usize>) = (0..images.len())
        .filter(|place| may_be_newest(&images[*place], now) && !stays_for_its_tags(reasons[*place]))
        .filter(|place| matches!(graph.relation(*place), Relation::Image | Relation::ImageAbout(_)))
        .partition(|place| *graph.relation(*place) == Relation::Image);
    let kept = usize::try_from(images_to_keep).unwrap_or(usize::MAX).min(ranked.len());
    if 0 < kept && kept < ranked.len() {
        ranked.select_nth_unstable_by_key(kept - 1, |place| Reverse(rank(place)));
    }
    let oldest_kept = ranked[..kept].iter().map(rank).min();
    let all_are_kept = images_to_keep > 0 && kept == ranked.len();
    let mut newest = vec![false; images.len()];
    for place in &ranked[..kept] {
        newest[*place] = true;
    }
    for place in others {
        newest[place] = all_are_kept || oldest_kept.is_some_and(|oldest| rank(&place) >= oldest);
    }
    newest
}

/// Keeps the newest tagged images pushed before each image in use: the targets of a rollback. The child images of an image
/// in use are part of it and don't count. An index that can't be read, and its parents, may be in use. If there is such an
/// index, all images pushed before it or before an image in use are kept.
pub(super) fn keep_newest_before_in_use(
    reasons: &mut [KeepReasons],
    images: &[Image],
    graph: &Graph,
    keep_before_in_use: u32,
    now: DateTime<Utc>,
) {
    let is_used = |place: &usize| {
        reasons[*place].contains(KeepReason::InUse) || reasons[*place].contains(KeepReason::ParentOfInUse)
    };
    let mut used: Vec<usize> = (0..images.len()).filter(is_used).collect();
    if used.is_empty() || keep_before_in_use == 0 {
        return;
    }
    let unread = || graph.unread.iter().copied().filter(|place| images[*place].image_status != ImageStatus::Archived);
    used.extend(graph.ancestors(unread()).into_iter().chain(unread()));
    let mut part_of_used = HashSet::new();
    let mut left = used.clone();
    while let Some(place) = left.pop() {
        left.extend(graph.children(place).iter().copied().filter(|child| part_of_used.insert(*child)));
    }
    let mut ranked: Vec<usize> = (0..images.len())
        .filter(|place| may_be_newest(&images[*place], now) && !part_of_used.contains(place))
        .filter(|place| *graph.relation(*place) == Relation::Image)
        .collect();
    ranked.sort_unstable_by_key(|place| newness(&images[*place]));
    let keep = if unread().next().is_some() { u32::MAX } else { keep_before_in_use };
    let keep = usize::try_from(keep).unwrap_or(usize::MAX);
    // The number of images in use whose range of kept images begins or ends at each place. So the time doesn't grow with the
    // product of images and images in use.
    let (mut begin, mut end) = (vec![0_usize; ranked.len() + 1], vec![0_usize; ranked.len() + 1]);
    for used in used.into_iter().filter(|place| images[*place].image_pushed_at.is_some()) {
        let before = ranked.partition_point(|place| newness(&images[*place]) < newness(&images[used]));
        begin[before.saturating_sub(keep)] += 1;
        end[before] += 1;
    }
    let mut ranges = 0;
    for (at, place) in ranked.into_iter().enumerate() {
        ranges = ranges + begin[at] - end[at];
        if ranges > 0 {
            reasons[place].add(KeepReason::BeforeInUse);
        }
    }
}

/// Whether an image can be among the newest tagged images.
pub(super) fn may_be_newest(image: &Image, now: DateTime<Utc>) -> bool {
    !image.is_untagged()
        && image.image_status == ImageStatus::Active
        && image.image_pushed_at.is_some_and(|pushed_at| pushed_at <= now)
}

/// Whether the settings keep an image by its tags, regardless of its rank.
pub(super) fn stays_for_its_tags(reasons: KeepReasons) -> bool {
    reasons.contains(KeepReason::KeepTags) || reasons.contains(KeepReason::IgnoreTagsRegex)
}
