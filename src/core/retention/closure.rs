//! Relations that keep images: a kept image keeps others, over any number of steps.

use chrono::{DateTime, Utc};

use super::candidates::Candidate;
use super::graph::{Follows, Graph};
use super::{KeepReason, KeepReasons, StaleReason};
use crate::image::{Image, ImageStatus};
use crate::policy::Action;

/// Keeps the parents of child images that are in use, were in use recently or were pulled recently. Workloads find a child
/// image by the tag of its parent, after a rollback too, and a pull of a child image can have been a pull of its parent.
pub(super) fn keep_parents(reasons: &mut [KeepReasons], graph: &Graph) {
    for (of_child, of_index) in [
        (KeepReason::InUse, KeepReason::ParentOfInUse),
        (KeepReason::UsedRecently, KeepReason::UsedRecently),
        (KeepReason::PulledRecently, KeepReason::PulledRecently),
    ] {
        let held = (0..reasons.len()).filter(|place| reasons[*place].contains(of_child));
        for index in graph.ancestors(held) {
            reasons[index].add(of_index);
        }
    }
}

/// Keeps the possible child images of indexes whose manifests could not be read: all untagged images, and all images that
/// existed when the index was pushed. Also keeps the parents of such an index, since a child image may be in use.
///
/// Returns the images that can only be child images of archived indexes, whose manifests ECR doesn't return. If nothing keeps
/// such an index, its child images may still be archived with another parent: see [`keep_possible_children_of_archived`].
pub(super) fn keep_possible_children(reasons: &mut [KeepReasons], images: &[Image], graph: &Graph) -> Vec<usize> {
    let is_idle = |index: &&usize| {
        let idle = |reason| matches!(reason, KeepReason::Archived | KeepReason::Unreadable);
        images[**index].image_status == ImageStatus::Archived && reasons[**index].iter().all(idle)
    };
    let (archived, others): (Vec<usize>, Vec<usize>) = graph.unread.iter().partition(is_idle);
    // An index without a push time may have been pushed after any image.
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

/// Keeps the possible child images of archived indexes. Those that are archived with a known parent or subject are an
/// exception: they are then archived as their parents are. Without it, the first archived multi-arch image would keep the
/// child images of all that are archived later.
pub(super) fn keep_possible_children_of_archived(
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

/// Keeps the child images and referrers of kept images.
pub(super) fn keep_followers(reasons: &mut [KeepReasons], graph: &Graph) {
    let held: Vec<usize> = (0..reasons.len()).filter(|place| !reasons[*place].is_empty()).collect();
    graph.each_follower(held.into_iter(), |follower, follows| {
        reasons[follower].add(held_with(follows));
    });
}

/// An archived image still exists. So its child images and referrers are archived with it, and those that would be deleted
/// for another reason are kept.
pub(super) fn archive_followers(
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
