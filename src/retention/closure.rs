//! What holds what: an image that stays needs others, over any number of steps.

use chrono::{DateTime, Utc};

use super::candidates::Candidate;
use super::graph::{Follows, Graph};
use super::{KeepReason, KeepReasons, StaleReason};
use crate::image::{Image, ImageStatus};
use crate::policy::Action;

/// A used child needs its index to be found by tag, and a pull of a child may have been one of the index.
pub(super) fn hold_what_names_the_held(reasons: &mut [KeepReasons], graph: &Graph) {
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
pub(super) fn hold_what_may_be_named(reasons: &mut [KeepReasons], images: &[Image], graph: &Graph) {
    let (archived, others): (Vec<usize>, Vec<usize>) =
        graph.unread.iter().partition(|index| images[**index].image_status == ImageStatus::Archived);
    // An index of unknown age may have been pushed after any image.
    let pushed_at = |index: &usize| images[*index].image_pushed_at.unwrap_or(DateTime::<Utc>::MAX_UTC);
    let last_of = |indexes: &[usize]| indexes.iter().map(pushed_at).max();
    let (last_archived, last_of_others) = (last_of(&archived), last_of(&others));
    for (place, image) in images.iter().enumerate() {
        let may_be_named_by = |last: DateTime<Utc>| {
            image.is_untagged() || image.image_pushed_at.is_none_or(|pushed_at| pushed_at <= last)
        };
        // An archived index can be read by nobody, and nothing runs by it. What another index is known to name goes with
        // that one, or archiving one multi-arch image would tear apart all that are archived after it.
        let is_free_of_archived = || !graph.parents(place).is_empty();
        if last_of_others.is_some_and(may_be_named_by)
            || (last_archived.is_some_and(may_be_named_by) && !is_free_of_archived())
        {
            reasons[place].add(KeepReason::Unreadable);
        }
    }
    for index in graph.ancestors(graph.unread.iter().copied()) {
        reasons[index].add(KeepReason::Unreadable);
    }
}

/// What belongs to an image that stays, stays.
pub(super) fn hold_what_follows_the_held(reasons: &mut [KeepReasons], graph: &Graph) {
    let held: Vec<usize> = (0..reasons.len()).filter(|place| !reasons[*place].is_empty()).collect();
    graph.each_follower(held.into_iter(), |follower, follows| {
        reasons[follower].add(held_with(follows));
    });
}

/// An image that is archived is still there. What follows it is archived with it; what would be deleted for its own sake
/// and belongs to it stays.
pub(super) fn spare_what_follows_the_archived(
    candidates: &mut [Result<Candidate, KeepReason>],
    reasons: &mut [KeepReasons],
    images: &[Image],
    graph: &Graph,
) {
    let is_archived = |place: &usize| matches!(candidates[*place], Ok(Candidate { action: Action::Archive, .. }));
    let archived: Vec<usize> = (0..images.len()).filter(is_archived).collect();
    graph.each_follower(archived.into_iter(), |follower, follows| {
        let Ok(Candidate { reason, action }) = &mut candidates[follower] else { return };
        match reason {
            StaleReason::ChildOf(_) | StaleReason::ReferrerOf(_) => {
                *action = Action::Archive;
                if images[follower].image_status != ImageStatus::Active {
                    reasons[follower].add(KeepReason::Archived);
                }
            }
            StaleReason::NotAmongNewest { .. }
            | StaleReason::UntaggedForLong { .. }
            | StaleReason::SubjectGoneForLong { .. }
            | StaleReason::Rule(..) => {
                if *action == Action::Expire {
                    reasons[follower].add(held_with(follows));
                }
            }
        }
    });
}

fn held_with(follows: Follows) -> KeepReason {
    match follows {
        Follows::Parent => KeepReason::ChildOfKept,
        Follows::Subject => KeepReason::ReferrerOfKept,
    }
}
