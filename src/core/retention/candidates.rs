//! The candidates of a repository: the images that are stale unless something keeps them. They are found by number and age,
//! or by a policy.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::graph::{Graph, Relation};
use super::{DAY, KeepReason, Known, Rules, StaleReason, Takes, age_in_seconds};
use crate::image::{Image, ImageDigest, ImageStatus, subject_named_by_tag};
use crate::policy::{self, Action, Rule, RuleName, StorageClass, Subject, Verdict};

/// The reason and the action for a candidate.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) reason: StaleReason,
    pub(super) action: Action,
}

/// For every image, whether it is a candidate, or why not.
pub(super) struct Candidates {
    pub(super) each: Vec<Result<Candidate, KeepReason>>,
    pub(super) shielded_by: HashMap<usize, Arc<RuleName>>,
}

/// Finds the candidates among the images of a repository.
pub(super) fn candidates(
    known: &Known<'_>,
    graph: &Graph,
    pulls: &HashMap<usize, Option<DateTime<Utc>>>,
    newest: &[bool],
    rules: &Rules,
) -> Candidates {
    let images = known.images;
    let mut candidates = Candidates { each: Vec::with_capacity(images.len()), shielded_by: HashMap::new() };
    let (mut judged, mut shared) = (Vec::new(), HashMap::new());
    for (place, image) in images.iter().enumerate() {
        if *graph.relation(place) == Relation::AboutNothingHere {
            judged.push(place);
        }
        candidates.each.push(match following(place, images, graph, &mut shared) {
            Some(candidate) => candidate,
            None => match known.takes {
                Takes::NumberAndAge { untagged_older_than_days: days } => {
                    let candidate = if *graph.relation(place) == Relation::WithoutSubject {
                        old(image, days, known.now).map(|days| StaleReason::SubjectGoneForLong { days })
                    } else if image.is_untagged() {
                        old(image, days, known.now).map(|days| StaleReason::UntaggedForLong { days })
                    } else if newest[place] {
                        Err(KeepReason::Newest)
                    } else {
                        Ok(StaleReason::NotAmongNewest { images_to_keep: rules.images_to_keep })
                    };
                    candidate.map(|reason| Candidate { reason, action: Action::Expire })
                }
                Takes::Policy(_) => {
                    judged.push(place);
                    Err(KeepReason::Policy)
                }
                Takes::Nothing => Err(KeepReason::Policy),
            },
        });
    }
    if let Takes::Policy(policy) = known.takes {
        let subject = |place: &usize| subject(*place, known, graph, pulls).map(|subject| (*place, subject));
        let (places, subjects): (Vec<usize>, Vec<_>) = judged.iter().filter_map(subject).unzip();
        for (place, verdict) in places.into_iter().zip(policy::evaluate(policy, &subjects, known.now)) {
            match verdict {
                // A pattern for such tags shows that its author wants to delete signatures without a subject.
                Verdict::Taken(rule) if !may_act_on(rule, place, images, graph) => {}
                Verdict::Taken(rule) => {
                    let reason = StaleReason::Rule(Arc::clone(&rule.name), rule.action);
                    candidates.each[place] = Ok(Candidate { reason, action: rule.action });
                }
                Verdict::Shielded(rule) => _ = candidates.shielded_by.insert(place, Arc::clone(&rule.name)),
                Verdict::Unselected => {}
            }
        }
    }
    candidates
}

/// Whether an image that follows others is a candidate; `None` if it follows none and has to be evaluated by itself.
fn following(
    place: usize,
    images: &[Image],
    graph: &Graph,
    shared: &mut HashMap<ImageDigest, Arc<ImageDigest>>,
) -> Option<Result<Candidate, KeepReason>> {
    // The smallest digest, so that the reason does not depend on the order of the images. All followers of an image share
    // one value.
    let mut smallest = |places: &[usize]| {
        let digest = places.iter().map(|place| images[*place].image_digest).min()?;
        Some(Arc::clone(shared.entry(digest).or_insert_with(|| Arc::new(digest))))
    };
    let follows = |reason| Ok(Candidate { reason, action: Action::Expire });
    match graph.relation(place) {
        Relation::AboutNothingHere | Relation::AboutSomethingElsewhere => Some(Err(KeepReason::Unknown)),
        Relation::About(subjects) => {
            Some(smallest(subjects).map(StaleReason::ReferrerOf).ok_or(KeepReason::Unknown).and_then(follows))
        }
        Relation::Image | Relation::ImageAbout(_) | Relation::WithoutSubject if images[place].is_untagged() => {
            smallest(graph.parents(place)).map(StaleReason::ChildOf).map(follows)
        }
        Relation::Image | Relation::ImageAbout(_) | Relation::WithoutSubject => None,
    }
}

/// Whether a rule may act on an image. If the subjects in the image's tags don't exist here, the rule must select these tags
/// by a pattern.
fn may_act_on(rule: &Rule, place: usize, images: &[Image], graph: &Graph) -> bool {
    match graph.relation(place) {
        Relation::AboutNothingHere => {
            let tags = images[place].image_tags.iter();
            let about: Vec<Box<str>> = tags.filter(|tag| subject_named_by_tag(tag).is_some()).cloned().collect();
            rule.selects_by_pattern(&about)
        }
        Relation::Image
        | Relation::About(_)
        | Relation::ImageAbout(_)
        | Relation::WithoutSubject
        | Relation::AboutSomethingElsewhere => true,
    }
}

/// The data of an image for a policy; `None` if no policy may act on it or count it.
fn subject<'a>(
    place: usize,
    known: &Known<'a>,
    graph: &Graph,
    pulls: &HashMap<usize, Option<DateTime<Utc>>>,
) -> Option<Subject<'a>> {
    let image = &known.images[place];
    let archival = image.archival.as_deref();
    let relation = graph.relation(place);
    let image_pushed_at = image.image_pushed_at.filter(|pushed_at| *pushed_at <= known.now)?;
    let last_activated_at = archival.and_then(|archival| archival.last_activated_at);
    if last_activated_at.is_some_and(|restored_at| restored_at > known.now) {
        // As with an image pushed after `now`: the first run for this event could not see it.
        return None;
    }
    Some(Subject {
        image_digest: image.image_digest,
        // A referrer whose subject does not exist counts as untagged.
        image_tags: if *relation == Relation::WithoutSubject { &[] } else { &image.image_tags },
        storage_class: storage_class(image.image_status)?,
        image_pushed_at,
        // An image that was pushed again since its last pull has probably been pushed to be pulled.
        last_pulled_at: pulls.get(&place).copied().unwrap_or(image.last_recorded_pull_time).max(Some(image_pushed_at)),
        last_archived_at: archival.and_then(|archival| archival.last_archived_at),
        last_activated_at,
        // A referrer doesn't count toward a rule's number of images, even if its subject does not exist.
        takes_a_place: *relation == Relation::Image,
    })
}

/// The storage class of an image; `None` while it is being restored.
pub(super) fn storage_class(status: ImageStatus) -> Option<StorageClass> {
    match status {
        ImageStatus::Active => Some(StorageClass::Standard),
        ImageStatus::Archived => Some(StorageClass::Archive),
        ImageStatus::Other => None,
    }
}

/// The age limit in days, if the image is older and therefore a candidate.
fn old(image: &Image, days: Option<u32>, now: DateTime<Utc>) -> Result<u32, KeepReason> {
    let pushed_at = image.image_pushed_at.ok_or(KeepReason::Unknown)?;
    days.filter(|days| age_in_seconds(pushed_at, now) > i64::from(*days) * DAY).ok_or(KeepReason::Untagged)
}
