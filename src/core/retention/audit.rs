//! Which images in use ECR's own lifecycle policy of a repository would take: outages in waiting.
//!
//! ECR knows nothing of usage, counts every image, and goes by every pull that it recorded. It takes no child before the
//! indexes that name it.

use std::sync::Arc;

use super::candidates::storage_class;
use super::graph::Graph;
use super::{Known, Policy};
use crate::image::{Image, ManifestKind};
use crate::policy::{self, Action, RuleName, Subject, Verdict};

/// An image in use that a policy would take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doomed {
    /// Its place among the repository's images.
    pub place: usize,
    /// The rule that would take it.
    pub rule: Arc<RuleName>,
    /// What would become of it. An archived image can't be pulled either.
    pub action: Action,
}

/// The images in use that this policy would take, were it left to ECR.
#[must_use]
pub fn audit(known: &Known<'_>, policy: &Policy) -> Vec<Doomed> {
    let graph = Graph::of(known.images, known.manifests);
    let judged = known.images.iter().enumerate().filter_map(|(place, image)| Some((place, subject(image)?)));
    let (places, subjects): (Vec<usize>, Vec<Subject<'_>>) = judged.unzip();
    let mut taken = vec![None; known.images.len()];
    for (place, verdict) in places.into_iter().zip(policy::evaluate(policy, &subjects, known.now)) {
        if let Verdict::Taken(rule) = verdict {
            taken[place] = Some(rule);
        }
    }
    let in_use = known
        .images
        .iter()
        .enumerate()
        .filter(|(_, image)| known.usage.holder(image.image_digest, &image.image_tags).is_some());
    in_use
        .filter_map(|(place, image)| {
            let parents = graph.parents(place);
            // An untagged platform beside an index that was not read is its child, as a rule. To name it would cry wolf in
            // every repository of multi-arch images.
            let is_unknown = known.manifests.are_assumed() || !graph.unread.is_empty();
            let is_platform = image.is_untagged() && image.manifest == ManifestKind::Manifest;
            let may_be_a_child = is_platform && parents.is_empty() && is_unknown;
            let goes_with_its_parents = parents.iter().all(|parent| taken[*parent].is_some());
            let rule = taken[place].filter(|_| goes_with_its_parents && !may_be_a_child)?;
            Some(Doomed { place, rule: Arc::clone(&rule.name), action: rule.action })
        })
        .collect()
}

/// An image as ECR sees it.
fn subject(image: &Image) -> Option<Subject<'_>> {
    let archival = image.archival.as_deref();
    Some(Subject {
        image_digest: image.image_digest,
        image_tags: &image.image_tags,
        storage_class: storage_class(image.image_status)?,
        image_pushed_at: image.image_pushed_at?,
        last_pulled_at: image.last_recorded_pull_time,
        last_archived_at: archival.and_then(|archival| archival.last_archived_at),
        last_activated_at: archival.and_then(|archival| archival.last_activated_at),
        takes_a_place: true,
    })
}
