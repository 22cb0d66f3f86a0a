//! What would go from a repository if nothing held it: by number and age, or by the rules of a policy.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::graph::{Graph, Relation};
use super::{DAY, KeepReason, Known, Rules, StaleReason, Takes, age_in_seconds};
use crate::image::{Image, ImageDigest, ImageStatus, subject_named_by_tag};
use crate::policy::{self, Action, Rule, RuleName, StorageClass, Subject, Verdict};

/// What would become of an image if nothing held it.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) reason: StaleReason,
    pub(super) action: Action,
}

/// Of every image, what would become of it, or why nothing would.
pub(super) struct Candidates {
    pub(super) each: Vec<Result<Candidate, KeepReason>>,
    pub(super) shielded_by: HashMap<usize, Arc<RuleName>>,
}

/// What would become of every image of a repository if nothing held it.
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
                // Whoever writes such a pattern knows what signatures are, and that these are left over.
                Verdict::Taken(rule) if !may_take(rule, place, images, graph) => {}
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

/// What becomes of an image that follows others; `None` for one that is judged for itself.
fn following(
    place: usize,
    images: &[Image],
    graph: &Graph,
    shared: &mut HashMap<ImageDigest, Arc<ImageDigest>>,
) -> Option<Result<Candidate, KeepReason>> {
    // The smallest, so that the reason does not depend on the order of the images. All that follow one share it.
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

/// Whether a rule may take what it takes: of what is about nothing here, only what it names by the tags that say so.
fn may_take(rule: &Rule, place: usize, images: &[Image], graph: &Graph) -> bool {
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

/// An image as a policy sees it; `None` for one that no policy may judge or count.
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
        // As one that was pushed since: the run that this one repeats could not see it.
        return None;
    }
    Some(Subject {
        image_digest: image.image_digest,
        // A referrer without its subject counts as untagged.
        image_tags: if *relation == Relation::WithoutSubject { &[] } else { &image.image_tags },
        storage_class: storage_class(image.image_status)?,
        image_pushed_at,
        // What was pushed again since its last pull may have been pushed to be pulled.
        last_pulled_at: pulls.get(&place).copied().unwrap_or(image.last_recorded_pull_time).max(Some(image_pushed_at)),
        last_archived_at: archival.and_then(|archival| archival.last_archived_at),
        last_activated_at,
        // What is about something displaces nothing that stands for itself, also not when its subject has gone.
        takes_a_place: *relation == Relation::Image,
    })
}

/// Where an image is stored; `None` while that changes.
pub(super) fn storage_class(status: ImageStatus) -> Option<StorageClass> {
    match status {
        ImageStatus::Active => Some(StorageClass::Standard),
        ImageStatus::Archived => Some(StorageClass::Archive),
        ImageStatus::Other => None,
    }
}

/// The days over which an image without tags is a candidate, if it is that old.
fn old(image: &Image, days: Option<u32>, now: DateTime<Utc>) -> Result<u32, KeepReason> {
    let pushed_at = image.image_pushed_at.ok_or(KeepReason::Unknown)?;
    days.filter(|days| age_in_seconds(pushed_at, now) > i64::from(*days) * DAY).ok_or(KeepReason::Untagged)
}
