//! Finds images in use that the ECR lifecycle policy of a repository would expire or archive: future outages.
//!
//! ECR has no usage data, counts every image, and uses every recorded pull. It acts on no child image before its parents.

use std::sync::Arc;

use super::candidates::storage_class;
use super::graph::Graph;
use super::{Known, Policy};
use crate::image::{Image, ManifestKind};
use crate::policy::{self, Action, RuleName, Subject, Verdict};

/// An image in use that a policy would expire or archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doomed {
    /// Its place among the repository's images.
    pub place: usize,
    /// The rule that would act on it.
    pub rule: Arc<RuleName>,
    /// The action. An archived image can't be pulled either.
    pub action: Action,
}

/// The images in use that ECR would expire or archive by this policy.
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
            // If an index was not read, an untagged image is probably its child image. A warning for it would be false in
            // every repository with multi-arch images.
            let is_unknown = known.manifests.are_assumed() || !graph.unread.is_empty();
            let is_platform = image.is_untagged() && image.manifest == ManifestKind::Manifest;
            let may_be_a_child = is_platform && parents.is_empty() && is_unknown;
            let goes_with_its_parents = parents.iter().all(|parent| taken[*parent].is_some());
            let rule = taken[place].filter(|_| goes_with_its_parents && !may_be_a_child)?;
            Some(Doomed { place, rule: Arc::clone(&rule.name), action: rule.action })
        })
        .collect()
}

/// The data of an image that ECR uses.
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
