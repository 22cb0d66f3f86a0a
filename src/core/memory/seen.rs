//! The last use of each image, and the day since which it is stale.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use super::is_dropped;
use crate::image::{ImageDigest, RepositoryName};

/// The images of one registry that runs found in use or stale.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Seen {
    /// The day of the first run that wrote here; `None` before it.
    since: Option<NaiveDate>,
    repositories: BTreeMap<RepositoryName, SeenRepository>,
}

/// The images of one repository that runs found in use or stale.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SeenRepository {
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    used: BTreeMap<ImageDigest, UsedImage>,
    stale: StaleImages,
}

/// An image that was in use.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct UsedImage {
    last_used: NaiveDate,
    by: Arc<str>,
    /// The last day on which its repository had it.
    last_there: NaiveDate,
}

/// The stale images of a repository, as of its last decision.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct StaleImages {
    /// The day of that decision.
    as_of: Option<NaiveDate>,
    /// The day since which each of them was stale at every decision.
    since: BTreeMap<ImageDigest, NaiveDate>,
}

/// The last use of an image.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LastUse {
    /// The day, in UTC.
    pub day: NaiveDate,
    /// The workload, with its kind: `ECS service arn:…`.
    pub by: Arc<str>,
}

/// The images of a repository that a run found in use or stale.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// The images in use, with a workload each.
    pub used: Vec<(ImageDigest, Arc<str>)>,
    /// The images that were in use before and are still in the repository.
    pub there: Vec<ImageDigest>,
    /// The stale images, with the day since which memory lists them as stale.
    pub stale: Vec<(ImageDigest, Option<NaiveDate>)>,
}

impl Seen {
    /// The day of the first run that wrote here; `None` before it.
    #[must_use]
    pub fn since(&self) -> Option<NaiveDate> {
        self.since
    }

    /// The images of a repository, if it is known.
    #[must_use]
    pub fn of_repository(&self, name: &RepositoryName) -> Option<&SeenRepository> {
        self.repositories.get(name)
    }

    /// Adds the images that a run found in a repository.
    pub fn observe(&mut self, name: &RepositoryName, observed: Observed, today: NaiveDate) {
        self.begin(today);
        let repository = self.repositories.entry(name.clone()).or_default();
        for (digest, by) in observed.used {
            let image = UsedImage { last_used: today, by, last_there: today };
            let known = repository.used.entry(digest).or_insert_with(|| image.clone());
            known.merge(image);
        }
        for digest in observed.there {
            if let Some(known) = repository.used.get_mut(&digest) {
                known.last_there = known.last_there.max(today);
            }
        }
        let since = observed.stale.into_iter().map(|(digest, since)| (digest, since.unwrap_or(today))).collect();
        // The clock may have been set back. The later decision is still this one.
        let as_of = repository.stale.as_of.max(Some(today));
        repository.stale = StaleImages { as_of, since };
        self.forget_of(name, today);
    }

    /// Notes that a run wrote on this day.
    pub fn begin(&mut self, today: NaiveDate) {
        self.since = Some(self.since.map_or(today, |since| since.min(today)));
    }

    /// Drops the images that are gone for 90 days from repositories that no longer exist.
    pub fn forget_repositories(&mut self, exists: impl Fn(&RepositoryName) -> bool, today: NaiveDate) {
        let gone: Vec<RepositoryName> = self.repositories.keys().filter(|name| !exists(name)).cloned().collect();
        for name in gone {
            if let Some(repository) = self.repositories.get_mut(&name) {
                repository.stale.since.clear();
            }
            self.forget_of(&name, today);
        }
    }

    fn forget_of(&mut self, name: &RepositoryName, today: NaiveDate) {
        let Some(repository) = self.repositories.get_mut(name) else { return };
        repository.used.retain(|_, image| !is_dropped(image.last_there, today));
        if repository.used.is_empty() && repository.stale.since.is_empty() {
            self.repositories.remove(name);
        }
    }

    /// Adds the images of another run. The later date wins.
    pub fn merge(&mut self, other: Self) {
        let Self { since, repositories } = other;
        self.since = match (self.since, since) {
            (Some(own), Some(other)) => Some(own.min(other)),
            (own, other) => own.or(other),
        };
        for (name, SeenRepository { used, stale }) in repositories {
            let known = self.repositories.entry(name).or_default();
            for (digest, image) in used {
                known.used.entry(digest).or_insert_with(|| image.clone()).merge(image);
            }
            known.stale.merge(stale);
        }
    }
}

impl LastUse {
    /// A reason, followed by the last use if there is one.
    #[must_use]
    pub fn after(last_use: Option<&Self>, reason: String) -> String {
        match last_use {
            Some(Self { day, by }) => format!("{reason}; last used on {day} by {by}"),
            None => reason,
        }
    }

    /// The age of the last use, and the workload: `12 days ago by ECS task arn:…`.
    #[must_use]
    pub fn ago(&self, today: NaiveDate) -> String {
        let when = match (today - self.day).num_days() {
            ..0 => format!("on {}", self.day),
            0 => "today".to_owned(),
            1 => "1 day ago".to_owned(),
            days => format!("{days} days ago"),
        };
        format!("{when} by {}", self.by)
    }
}

impl SeenRepository {
    /// The last use of an image, on any day up to this one.
    #[must_use]
    pub fn last_use(&self, image: ImageDigest) -> Option<LastUse> {
        self.used.get(&image).map(|used| LastUse { day: used.last_used, by: Arc::clone(&used.by) })
    }

    /// Whether an image was in use in the last N days. A day in the future counts too, because a clock was wrong.
    #[must_use]
    pub fn was_used_within(&self, image: ImageDigest, days: u32, today: NaiveDate) -> bool {
        self.used.get(&image).is_some_and(|used| (today - used.last_used).num_days() <= i64::from(days))
    }

    /// The first day on which an image was stale, if it was stale at the last decision.
    #[must_use]
    pub fn stale_since(&self, image: ImageDigest) -> Option<NaiveDate> {
        self.stale.since.get(&image).copied()
    }
}

impl UsedImage {
    fn merge(&mut self, Self { last_used, by, last_there }: Self) {
        if (last_used, &by) > (self.last_used, &self.by) {
            (self.last_used, self.by) = (last_used, by);
        }
        self.last_there = self.last_there.max(last_there);
    }
}

impl StaleImages {
    fn merge(&mut self, other: Self) {
        if other.as_of > self.as_of {
            *self = other;
        } else if other.as_of == self.as_of {
            for (digest, since) in other.since {
                let known = self.since.entry(digest).or_insert(since);
                *known = since.min(*known);
            }
        }
    }
}
