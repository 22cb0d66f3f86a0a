//! What a person in a terminal has of a run, and asks of it, besides its report. Lambda has nobody attending.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use crate::account::{AccountId, Region};
use crate::image::{ImageDigest, RepositoryName};
use crate::progress::{Progress, Unattended};
use crate::report::Report;
use crate::retention::{self, Decisions, Explanation, Known, Rules};
use crate::review::ReviewedPlan;
use crate::usage::{Holder, UsageSnapshot};

/// Who attends a run, and what they want of it.
#[derive(Clone, Copy)]
pub struct Attendance<'a> {
    /// Who is told how far it has come.
    pub progress: &'a dyn Progress,
    /// What may go, where that was reviewed. Everything else stays.
    pub reviewed: Option<&'a ReviewedPlan>,
    /// The image that is to be explained.
    pub wanted: Option<&'a WantedImage>,
}

/// An image that is to be explained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedImage {
    /// The account whose registry it is in, where that is told.
    pub registry_id: Option<AccountId>,
    /// Its repository.
    pub repository_name: RepositoryName,
    /// What names it.
    pub name: ImageName,
}

/// What names an image in its repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImageName {
    /// A tag.
    Tag(Box<str>),
    /// Its digest.
    Digest(ImageDigest),
}

/// A run, and what those who attended it asked for.
#[derive(Debug)]
pub struct Attended {
    /// What it did.
    pub report: Report,
    /// The image that was to be explained, if it is there.
    pub explained: Option<ExplainedImage>,
}

/// An image and why it stays or goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExplainedImage {
    /// The region of its registry.
    pub region: Region,
    /// Its repository.
    pub repository_name: RepositoryName,
    /// All who use it, each with the references by which they do.
    pub users: BTreeMap<Arc<Holder>, BTreeSet<String>>,
    /// What was decided on it.
    pub explanation: Explanation,
}

impl Attendance<'static> {
    /// Nobody attends.
    pub const NOBODY: Self = Self { progress: &Unattended, reviewed: None, wanted: None };
}

impl Attendance<'_> {
    /// The account that whoever attends takes this to be, if that is another.
    pub(super) fn other_account(&self, account: &AccountId) -> Option<&AccountId> {
        let named = self.wanted.and_then(|wanted| wanted.registry_id.as_ref());
        let reviewed = self.reviewed.map(|reviewed| &reviewed.registry_id);
        named.into_iter().chain(reviewed).find(|expected| *expected != account)
    }

    /// Explains the wanted image, if it is in this repository.
    pub(super) fn explain(
        &self,
        (registry_id, region, repository_name): (&AccountId, &Region, &RepositoryName),
        usage: &UsageSnapshot,
        (known, rules, decisions): (&Known<'_>, &Rules, &Decisions),
        explained: &OnceLock<ExplainedImage>,
    ) {
        let Some(wanted) = self.wanted.filter(|wanted| wanted.repository_name == *repository_name) else { return };
        let Some(place) = known.images.iter().position(|image| wanted.name.names(image)) else { return };
        let explanation = retention::explain(known, rules, decisions, place);
        let image = &explanation.image;
        let users = usage.users((registry_id, repository_name), image.image_digest, &image.image_tags);
        let (region, repository_name) = (region.clone(), repository_name.clone());
        _ = explained.set(ExplainedImage { region, repository_name, users, explanation });
    }
}

impl ImageName {
    fn names(&self, image: &crate::image::Image) -> bool {
        match self {
            Self::Tag(tag) => image.image_tags.contains(tag),
            Self::Digest(digest) => image.image_digest == *digest,
        }
    }
}
