//! Builds the plan for a repository from the decisions on its images.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::{Decided, HeldImage, ImageAtRisk, ImageResult, StaleImage, bytes};
use crate::image::{Image, ImageDigest};
use crate::memory::SeenRepository;
use crate::policy::Action;
use crate::retention::{Decision, Decisions, Doomed, Edges, Fate, KeepReason, StaleReason};
use crate::usage::RepositoryUsage;

impl Decided {
    /// Builds the plan. `unnamed` is the number of images without a digest, which are kept.
    #[must_use]
    pub fn gather(
        mut images: Vec<Image>,
        unnamed: u64,
        decisions: &Decisions,
        usage: &RepositoryUsage<'_>,
        seen: Option<&SeenRepository>,
        kept_by_use_alone: &HashSet<ImageDigest>,
    ) -> Self {
        let stale = decisions.each().iter().filter(|decision| decision.fate() != Fate::Stays).count();
        let stale = Vec::with_capacity(stale);
        let mut decided = Self { images: images.len() as u64 + unnamed, stale, ..Self::default() };
        decided.kept_because.add(KeepReason::Unknown, unnamed);
        // The images for the platforms of an index have the same parents and subjects, so they share one value.
        let mut siblings: HashMap<Box<[ImageDigest]>, Arc<Edges>> = HashMap::new();
        let (mut in_use, mut used_before) = (Vec::new(), Vec::new());
        for (place, decision) in decisions.each().iter().enumerate() {
            let Image { image_digest, image_pushed_at, image_size_in_bytes, image_status, manifest, .. } =
                images[place];
            let image_tags = std::mem::take(&mut images[place].image_tags);
            let own_bytes = manifest.own_bytes(image_size_in_bytes);
            decided.bytes += own_bytes;
            let holder = usage.holder(image_digest, &image_tags);
            let last_use = seen.and_then(|seen| seen.last_use(image_digest));
            used_before.extend(last_use.as_ref().map(|_| image_digest));
            decided.images_in_use += u64::from(holder.is_some());
            match decision {
                Decision::Keep { reasons, .. } => {
                    decided.kept_because.add(reasons.first(), 1);
                    decided.bytes_kept += own_bytes;
                    if let Some(holder) = holder {
                        in_use.push(place);
                        let held_by = Arc::clone(holder);
                        let image = HeldImage { image_digest, image_tags, image_pushed_at, held_by };
                        let by_use_alone = kept_by_use_alone.contains(&image_digest);
                        if by_use_alone { &mut decided.held } else { &mut decided.also_in_use }.push(image);
                    }
                }
                Decision::Delete(reason) | Decision::Archive(reason) => decided.stale.push(StaleImage {
                    image_digest,
                    image_tags,
                    image_pushed_at,
                    pulled_at: decisions.pulled_at(place, &images[place]),
                    image_size_in_bytes,
                    image_status,
                    manifest,
                    action: match decision {
                        Decision::Archive(_) => Action::Archive,
                        Decision::Delete(_) | Decision::Keep { .. } => Action::Expire,
                    },
                    reason: reason.clone(),
                    last_use: last_use.map(Box::new),
                    stale_since: seen.and_then(|seen| seen.stale_since(image_digest)),
                    edges: decisions.edges(place, &images).filter(|edges| !names_all(reason, edges)).map(|edges| {
                        if edges.children.is_empty() {
                            Arc::clone(siblings.entry(edges.follows.clone()).or_insert_with(|| Arc::new(edges)))
                        } else {
                            Arc::new(edges)
                        }
                    }),
                    result: ImageResult::Planned,
                }),
            }
        }
        decided.used_before = used_before.into();
        decided.bytes_in_use = bytes::in_use(&in_use, &images, decisions).min(decided.bytes_kept);
        for held in [&mut decided.held, &mut decided.also_in_use] {
            held.sort_unstable_by_key(|image| (image.image_pushed_at, image.image_digest));
            held.shrink_to_fit();
        }
        // By cached keys, because stale images are large to move.
        decided.stale.sort_by_cached_key(|image| (image.image_pushed_at, image.image_digest));
        if decided.stale.iter().any(|image| !image.children().is_empty()) {
            decided.kept_indexes = decisions.kept_indexes(&images).collect();
        }
        decided
    }
}

/// Whether a reason names the only related image. A plan may have a million images, and most child images have one
/// parent: this spares them a value of their own.
fn names_all(reason: &StaleReason, Edges { follows, children }: &Edges) -> bool {
    children.is_empty() && follows.iter().eq(reason.owner())
}

impl ImageAtRisk {
    /// The images that a policy would expire or archive, with the workloads that use them.
    #[must_use]
    pub fn all(doomed: Vec<Doomed>, images: &[Image], usage: &RepositoryUsage<'_>) -> Vec<Self> {
        let at_risk = |Doomed { place, rule, action }| {
            let Image { image_digest, image_tags, .. } = &images[place];
            let held_by = Arc::clone(usage.holder(*image_digest, image_tags)?);
            Some(Self { image_digest: *image_digest, image_tags: image_tags.clone(), held_by, rule, action })
        };
        let mut at_risk: Vec<Self> = doomed.into_iter().filter_map(at_risk).collect();
        at_risk.sort_unstable_by_key(|image| image.image_digest);
        at_risk
    }
}
