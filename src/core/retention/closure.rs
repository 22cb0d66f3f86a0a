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
///
/// Returns the images that only archived indexes may name, and only because those can't be read by anybody. Nothing keeps
/// such an index, so that what another index names may be archived with that one: see [`hold_what_the_archived_name`].
pub(super) fn hold_what_may_be_named(reasons: &mut [KeepReasons], images: &[Image], graph: &Graph) -> Vec<usize> {
    let is_idle = |index: &&usize| {
        let idle = |reason| matches!(reason, KeepReason::Archived | KeepReason::Unreadable);
        images[**index].image_status == ImageStatus::Archived && reasons[**index].iter().all(idle)
    };
    let (archived, others): (Vec<usize>, Vec<usize>) = graph.unread.iter().partition(is_idle);
    // An index of unknown age may have been pushed after any image.
    let pushed_at = |index: &usize| images[*index].image_pushed_at.unwrap_or(DateTime::<Utc>::MAX_UTC);
    let last_of = |indexes: &[usize]| indexes.iter().map(pushed_at).max();
    let (last_archived, last_of_others) = (last_of(&archived), last_of(&others));
    let mut named_by_archived = Vec::new();
    for (place, image) in images.iter().enumerate() {
        let may_be_named_by = |last: DateTime<Utc>| {
            image.is_untagged() || image.image_pushed_at.is_none_or(|pushed_at| pushed_at <= last)
        };
        if last_of_others.is_some_and(may_be_named_by) {
            reasons[place].add(KeepReason::Unreadable);
        } else if last_archived.is_some_and(may_be_named_by) {
            named_by_archived.push(place);
        }
    }
    for index in graph.ancestors(graph.unread.iter().copied()) {
        reasons[index].add(KeepReason::Unreadable);
    }
    named_by_archived
}

/// What archived indexes may name stays, unless it is archived with what it is known to belong to: it is then as they are.
/// Otherwise archiving one multi-arch image would tear apart all that are archived after it.
pub(super) fn hold_what_the_archived_name(
    named_by_archived: &[usize],
    candidates: &[Result<Candidate, KeepReason>],
    reasons: &mut [KeepReasons],
) {
    for place in named_by_archived {
        let is_archived_along = matches!(
            candidates[*place],
            Ok(Candidate { reason: StaleReason::ChildOf(_) | StaleReason::ReferrerOf(_), action: Action::Archive })
        );
        if !is_archived_along {
            reasons[*place].add(KeepReason::Unreadable);
        }
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
