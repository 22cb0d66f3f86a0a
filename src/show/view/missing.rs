//! An image that is needed and can't be pulled, as the renderers read it.

use ecr_cleanup_core::account::Region;
use ecr_cleanup_core::image::RepositoryName;
use ecr_cleanup_core::plan::{MissingBecause, MissingImage};

/// An image that is needed and can't be pulled, to be shown.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MissingView {
    /// The region that it is to be pulled from.
    pub region: String,
    /// Its repository.
    pub repository_name: String,
    /// Its tag, or its digest.
    pub name: String,
    /// Why it can't be pulled.
    pub why: String,
    /// Who uses it, if anybody does.
    pub used_by: Option<String>,
}

impl MissingView {
    pub(super) fn of(region: &Region, repository_name: &RepositoryName, image: &MissingImage) -> Self {
        let MissingImage { name, because, used_by } = image;
        Self {
            region: region.to_string(),
            repository_name: repository_name.to_string(),
            name: name.to_string(),
            why: MissingBecause::sentence(because.code()).to_owned(),
            used_by: used_by.as_ref().map(ToString::to_string),
        }
    }
}
