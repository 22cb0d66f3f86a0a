//! What became of a reviewed plan, counted against the plan and not against the images that are stale now.

use std::fmt::Write;

use ecr_cleanup_core::plan::{Decided, ImageResult, SkipReason};
use ecr_cleanup_core::report::Report;
use ecr_cleanup_core::review::{ReviewedImages, ReviewedPlan};

use crate::show::figures::count;
use crate::show::view::ReviewedView;

/// The images of a reviewed plan by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    images: u64,
    deleted: u64,
    archived: u64,
    /// In use by now, kept for another reason, or no longer there.
    not_stale: u64,
    /// Stale, and skipped, failed or not attempted.
    not_deleted: u64,
    /// In a repository that could not be read, or that the settings don't clean any more.
    not_checked: u64,
}

/// What became of a plan, and how many images are stale besides.
pub(super) fn of(reviewed: &ReviewedPlan, report: &Report) -> ReviewedView {
    let mut counts = Counts::default();
    for (place, repositories) in &reviewed.registries {
        let registry = report.plan.registries.iter().find(|registry| registry.place == *place);
        for (name, images) in repositories {
            let planned = registry.and_then(|registry| registry.repositories.as_ref().ok()).map(|planned| {
                planned.iter().find(|repository| repository.repository_name == *name).map(|it| it.decided.as_ref())
            });
            match planned {
                Some(Some(Ok(decided))) => counts.add(images, decided),
                // The repository was deleted, and its images with it.
                Some(None) => counts.add_all(images, |counts, images| counts.not_stale += images),
                Some(Some(Err(_))) | None => counts.add_all(images, |counts, images| counts.not_checked += images),
            }
        }
    }
    let others = report.plan.stale().filter(|image| image.result == ImageResult::Skipped(SkipReason::NotReviewed));
    ReviewedView { carried_out: counts.sentence(), others_stale: others.count() as u64 }
}

impl Counts {
    fn add_all(&mut self, images: &ReviewedImages, add: impl Fn(&mut Self, u64)) {
        let images = images.len() as u64;
        self.images += images;
        add(self, images);
    }

    fn add(&mut self, images: &ReviewedImages, decided: &Decided) {
        let mut stale = 0;
        for image in decided.stale.iter().filter(|image| images.contains_key(&image.image_digest)) {
            stale += 1;
            match image.result {
                ImageResult::Deleted => self.deleted += 1,
                ImageResult::Archived => self.archived += 1,
                ImageResult::Gone => self.not_stale += 1,
                ImageResult::Planned
                | ImageResult::Kept
                | ImageResult::Failed(_)
                | ImageResult::NotAllowed(_)
                | ImageResult::Skipped(_)
                | ImageResult::NotAttempted(_) => self.not_deleted += 1,
            }
        }
        self.images += images.len() as u64;
        self.not_stale += (images.len() as u64).saturating_sub(stale);
    }

    /// `121 of the plan's 130 images deleted, 9 not stale any more`.
    fn sentence(self) -> String {
        let Self { images, deleted, archived, not_stale, not_deleted, not_checked } = self;
        let mut done = vec![(deleted, "deleted"), (archived, "archived")];
        // A plan that only archives deletes nothing, which is no news.
        if archived > 0 && deleted == 0 {
            done.remove(0);
        }
        let (first, what) = done.remove(0);
        let mut sentence = format!("{} of the plan's {} images {what}", count(first), count(images));
        let others = [(not_stale, "not stale any more"), (not_deleted, "not deleted"), (not_checked, "not checked")];
        for (images, what) in done.into_iter().chain(others).filter(|(images, _)| *images > 0) {
            _ = write!(sentence, ", {} {what}", count(images));
        }
        sentence
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_counted_in_a_sentence() {
        let all = Counts { images: 1_300, deleted: 1_210, not_stale: 90, ..Counts::default() };
        assert_eq!(all.sentence(), "1,210 of the plan's 1,300 images deleted, 90 not stale any more");
        let archived = Counts { images: 3, archived: 3, ..Counts::default() };
        assert_eq!(archived.sentence(), "3 of the plan's 3 images archived");
        let mixed = Counts { images: 10, deleted: 2, archived: 1, not_stale: 3, not_deleted: 3, not_checked: 1 };
        assert_eq!(
            mixed.sentence(),
            "2 of the plan's 10 images deleted, 1 archived, 3 not stale any more, 3 not deleted, 1 not checked"
        );
        let none = Counts { images: 1, not_deleted: 1, ..Counts::default() };
        assert_eq!(none.sentence(), "0 of the plan's 1 images deleted, 1 not deleted");
    }
}
