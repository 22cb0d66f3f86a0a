//! The child images of each index, and the time at which this program read its manifest. ECR records that as a pull.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::is_dropped;
use crate::image::{Image, ImageDigest, RepositoryName};

/// ECR refreshes a recorded pull at least once in this time. A pull that is recorded longer than this after a reading is
/// another one.
/// See <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_ImageDetail.html>.
const RECORDED_WITHIN: TimeDelta = TimeDelta::days(1);

/// The known indexes of one registry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Indexes {
    repositories: BTreeMap<RepositoryName, BTreeMap<ImageDigest, KnownIndex>>,
}

/// An index whose manifest was read and matched its digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KnownIndex {
    /// Its child images.
    pub children: Box<[ImageDigest]>,
    /// The reading, if ECR may have recorded it as a pull.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own_reading: Option<OwnReading>,
    /// The last day on which its repository had it.
    pub last_there: NaiveDate,
}

/// A reading that ECR may have recorded as a pull.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OwnReading {
    /// When it began.
    pub at: DateTime<Utc>,
    /// The last pull that ECR had recorded before; `None` if there was none.
    pub pulled_before: Option<DateTime<Utc>>,
}

impl Indexes {
    /// An index, if it is known.
    #[must_use]
    pub fn get(&self, repository: &RepositoryName, index: ImageDigest) -> Option<&KnownIndex> {
        self.repositories.get(repository)?.get(&index)
    }

    /// Adds an index that was read.
    pub fn learn(&mut self, repository: &RepositoryName, index: ImageDigest, known: KnownIndex) {
        self.repositories.entry(repository.clone()).or_default().insert(index, known);
    }

    /// Notes which indexes a repository has, and drops those that are gone for 90 days. Returns whether anything has to be
    /// written.
    pub fn observe(
        &mut self,
        repository: &RepositoryName,
        has: impl Fn(ImageDigest) -> bool,
        today: NaiveDate,
    ) -> bool {
        /// An index that still exists is written again only after this time.
        const WRITTEN_AGAIN_AFTER: TimeDelta = TimeDelta::days(7);
        let Some(indexes) = self.repositories.get_mut(repository) else { return false };
        let (before, mut is_news) = (indexes.len(), false);
        for (_, known) in indexes.iter_mut().filter(|(digest, _)| has(**digest)) {
            if today - known.last_there >= WRITTEN_AGAIN_AFTER {
                known.last_there = today;
                is_news = true;
            }
        }
        indexes.retain(|_, known| !is_dropped(known.last_there, today));
        is_news |= indexes.len() < before;
        if indexes.is_empty() {
            self.repositories.remove(repository);
        }
        is_news
    }

    /// Replaces a recorded pull that was this program's own reading with the pull before it.
    pub fn discount_own_reading(&self, repository: &RepositoryName, image: &mut Image) {
        if let Some(reading) = self.get(repository, image.image_digest).and_then(|known| known.own_reading)
            && reading.explains(image.last_recorded_pull_time)
        {
            image.last_recorded_pull_time = reading.pulled_before;
        }
    }

    /// Adds the indexes of another run. The later date wins.
    pub fn merge(&mut self, other: Self) {
        for (name, indexes) in other.repositories {
            let known = self.repositories.entry(name).or_default();
            for (digest, index) in indexes {
                known.entry(digest).or_insert_with(|| index.clone()).merge(index);
            }
        }
    }
}

impl KnownIndex {
    fn merge(&mut self, other: Self) {
        // The two are the same, because a digest identifies its content.
        self.children = std::mem::take(&mut self.children).max(other.children);
        self.own_reading = self.own_reading.max(other.own_reading);
        self.last_there = self.last_there.max(other.last_there);
    }
}

impl OwnReading {
    /// Whether a recorded pull is this reading.
    #[must_use]
    pub fn explains(&self, recorded: Option<DateTime<Utc>>) -> bool {
        recorded.is_some_and(|recorded| recorded >= self.at && recorded - self.at <= RECORDED_WITHIN)
    }
}
