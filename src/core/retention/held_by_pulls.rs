//! Images that only recorded pulls keep. The pulls can be those of a scanner instead of a workload.

use chrono::{DateTime, TimeDelta, Utc};

use super::{Decision, Decisions, KeepReason, KeepReasons};
use crate::image::Image;

/// The minimum number of images pulled together for a warning.
const FEW: usize = 10;
/// The maximum time in which a scanner or a backup pulls all images.
const ONE_ROUND: TimeDelta = TimeDelta::days(1);

/// Most candidates of a repository are kept only because they were all pulled within a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PulledTogether {
    /// The number of candidates that were pulled within that day.
    pub images: usize,
    /// The number of all candidates, including the stale images.
    pub candidates: usize,
    /// The last of these pulls.
    pub until: DateTime<Utc>,
}

impl Decisions {
    /// The number of indexes that are kept only because of a recorded pull of their own.
    #[must_use]
    pub fn indexes_kept_by_their_pulls(&self, images: &[Image]) -> u64 {
        let is_pulled = |place: &usize| match &self.each[*place] {
            Decision::Keep { reasons, .. } => reasons.contains(KeepReason::PulledRecently),
            Decision::Delete(_) | Decision::Archive(_) => false,
        };
        let by_pulls_alone = |place: &usize| {
            let Decision::Keep { reasons, candidate: Some(_) } = &self.each[*place] else { return false };
            *reasons == KeepReasons::one(KeepReason::PulledRecently)
                && images[*place].manifest.may_name_others()
                && !self.graph.children(*place).iter().any(is_pulled)
        };
        (0..images.len()).filter(by_pulls_alone).count() as u64
    }

    /// Whether most candidates are kept only because of pulls within one day.
    #[must_use]
    pub fn pulled_together(&self, images: &[Image]) -> Option<PulledTogether> {
        let is_candidate = |decision: &&Decision| !matches!(decision, Decision::Keep { candidate: None, .. });
        let candidates = self.each.iter().filter(is_candidate).count();
        let mut pulls: Vec<DateTime<Utc>> = (self.each.iter().zip(images).enumerate())
            .filter(|(_, (decision, _))| is_held_by_pulls(decision))
            .filter_map(|(place, (_, image))| self.pulled_at(place, image))
            .collect();
        pulls.sort_unstable();
        // For each pull, the number of pulls within the day before it.
        let mut first = 0;
        let rounds = pulls.iter().enumerate().map(|(last, until)| {
            while *until - pulls[first] >= ONE_ROUND {
                first += 1;
            }
            PulledTogether { images: last + 1 - first, candidates, until: *until }
        });
        rounds.max_by_key(|round| round.images).filter(|round| round.images >= FEW && round.images * 2 > candidates)
    }
}

/// Whether only pulls keep a candidate: its own, or those of its parents and subjects.
fn is_held_by_pulls(decision: &Decision) -> bool {
    let Decision::Keep { reasons, candidate: Some(_) } = decision else { return false };
    let of_others = |reason| matches!(reason, KeepReason::ChildOfKept | KeepReason::ReferrerOfKept);
    reasons.contains(KeepReason::PulledRecently)
        && reasons.iter().all(|reason| reason == KeepReason::PulledRecently || of_others(reason))
}
