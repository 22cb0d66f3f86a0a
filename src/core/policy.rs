//! ECR lifecycle policies: their documents, and their effect on the images of a repository.
//!
//! Pure. The grammar and its meaning are ECR's, with three extensions: `tagPatternExcludeList`, a `countNumber` of 0, and
//! `sinceImagePulled` with `expire`.
//!
//! See <https://docs.aws.amazon.com/AmazonECR/latest/userguide/LifecyclePolicies.html> and
//! <https://docs.aws.amazon.com/AmazonECR/latest/userguide/lifecycle_policy_parameters.html>.

mod document;
mod evaluate;
mod invalid;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use evaluate::{Subject, Verdict, evaluate};
pub use invalid::InvalidPolicy;

use crate::image::{Image, RepositoryName};
use crate::pattern::Pattern;

/// The setting `policies`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policies {
    entries: Vec<Entry>,
    /// The original JSON.
    document: Value,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    repositories: Vec<Pattern>,
    rules: EntryRules,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum EntryRules {
    Given(Arc<Policy>),
    /// `"rules": "ecr"`.
    OfRepository,
}

/// The policy that applies to a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applicable {
    /// This policy of the settings.
    Policy(Arc<Policy>),
    /// The repository's own ECR lifecycle policy.
    OfRepository,
    /// None, so all its images are kept.
    None,
}

/// A lifecycle policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// In the order in which they are applied.
    rules: Vec<Rule>,
    /// The rules of a stored policy that can't be read, with the reason. `rules` has a substitute for each that acts on no
    /// image.
    unread: Vec<UnreadRule>,
}

/// A rule of a stored policy that can't be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadRule {
    /// Its name. The priority is 0 if it can't be read.
    pub name: Arc<RuleName>,
    /// Why it can't be read.
    pub why: InvalidPolicy,
}

/// A rule of a lifecycle policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its name.
    pub name: Arc<RuleName>,
    selection: Selection,
    count: Count,
    /// Its action.
    pub action: Action,
}

/// The policy, priority and description of a rule, which identify it in messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleName {
    /// The number of its policy in the settings, from 1; `None` for the repository's own ECR lifecycle policy.
    pub policy: Option<usize>,
    /// Its `rulePriority`.
    pub priority: u32,
    /// Its `description`, which can be empty.
    pub description: Box<str>,
}

/// The action of a rule, or of a plan, on an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Action {
    /// Move it to archive storage.
    Archive,
    /// Delete it.
    Expire,
}

/// The images that a rule selects.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Selection {
    tags: TagSelection,
    /// An image with a tag that matches any of these is not selected.
    exclude: Vec<Pattern>,
    /// `None` if it can't be read: then it can be either.
    storage_class: Option<StorageClass>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum TagSelection {
    Any,
    Untagged,
    /// Each of these patterns matches one of the image's tags.
    Tagged(Vec<Pattern>),
}

/// The storage class of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StorageClass {
    /// Standard storage: it can be pulled.
    Standard,
    /// Archive storage: it can't be pulled.
    Archive,
}

/// The count of a rule: which of the selected images the rule acts on. A day has 86,400 seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Count {
    ImageCountMoreThan(u32),
    SinceImagePushed(u32),
    SinceImagePulled(u32),
    SinceImageTransitioned(u32),
    /// No image, since the rule can't be read.
    Nothing,
}

impl Policies {
    /// The original JSON list.
    #[must_use]
    pub fn document(&self) -> &Value {
        &self.document
    }

    /// The policy that applies to a repository: that of the first entry whose patterns match its name.
    #[must_use]
    pub fn for_repository(&self, name: &RepositoryName) -> Applicable {
        match self.entries.iter().find(|entry| entry.applies_to(name)).map(|entry| &entry.rules) {
            Some(EntryRules::Given(policy)) => Applicable::Policy(Arc::clone(policy)),
            Some(EntryRules::OfRepository) => Applicable::OfRepository,
            None => Applicable::None,
        }
    }

    /// The numbers, from 1, of the policies that apply to none of these repositories.
    #[must_use]
    pub fn without_repository<'a>(&self, names: impl Iterator<Item = &'a RepositoryName>) -> Vec<usize> {
        let mut left: Vec<usize> = (1..=self.entries.len()).collect();
        for name in names {
            if let Some(place) = self.entries.iter().position(|entry| entry.applies_to(name)) {
                left.retain(|number| *number != place + 1);
            }
        }
        left
    }

    /// The rules that select no image of any repository that their policy applies to, each with its patterns. The argument
    /// has, for each repository, the number of its policy and the priorities of the rules that select no image there.
    #[must_use]
    pub fn rules_without_image<'a>(
        &self,
        repositories: impl Iterator<Item = (usize, &'a [u32])>,
    ) -> Vec<(&Arc<RuleName>, &[Pattern])> {
        let mut idle: BTreeMap<usize, BTreeSet<u32>> = BTreeMap::new();
        for (number, here) in repositories {
            let here: BTreeSet<u32> = here.iter().copied().collect();
            let so_far = idle.entry(number).or_insert_with(|| here.clone());
            *so_far = &*so_far & &here;
        }
        let rules = idle.iter().flat_map(|(number, idle)| {
            let entry = number.checked_sub(1).and_then(|place| self.entries.get(place));
            let rules = match entry.map(|entry| &entry.rules) {
                Some(EntryRules::Given(policy)) => policy.rules.as_slice(),
                Some(EntryRules::OfRepository) | None => &[],
            };
            rules.iter().filter(|rule| idle.contains(&rule.name.priority))
        });
        rules
            .filter_map(|rule| match &rule.selection.tags {
                TagSelection::Tagged(patterns) => Some((&rule.name, patterns.as_slice())),
                TagSelection::Any | TagSelection::Untagged => None,
            })
            .collect()
    }
}

impl Entry {
    fn applies_to(&self, name: &RepositoryName) -> bool {
        self.repositories.iter().any(|pattern| pattern.matches(name.as_str()))
    }
}

impl Applicable {
    /// The policy of the settings, if it is one.
    #[must_use]
    pub fn given(self) -> Option<Arc<Policy>> {
        match self {
            Self::Policy(policy) => Some(policy),
            Self::OfRepository | Self::None => None,
        }
    }
}

impl Policy {
    /// Its number in the settings, from 1; `None` for a repository's own ECR lifecycle policy.
    #[must_use]
    pub fn number(&self) -> Option<usize> {
        self.rules.first().and_then(|rule| rule.name.policy)
    }

    /// The priorities of the rules whose tag patterns match none of these images. Patterns without a match can be a mistake.
    /// A rule without patterns is only waiting for its first image.
    #[must_use]
    pub fn rules_without_image(&self, images: &[Image]) -> Box<[u32]> {
        let is_idle = |rule: &&Rule| match &rule.selection.tags {
            TagSelection::Tagged(_) => !images.iter().any(|image| rule.selection.selects_tags(&image.image_tags)),
            TagSelection::Any | TagSelection::Untagged => false,
        };
        self.rules.iter().filter(is_idle).map(|rule| rule.name.priority).collect()
    }

    /// Whether a rule selects images of this storage class.
    #[must_use]
    pub fn selects(&self, storage_class: StorageClass) -> bool {
        self.rules.iter().any(|rule| rule.selection.storage_class == Some(storage_class))
    }

    /// The rules of a stored policy that can't be read.
    #[must_use]
    pub fn unread(&self) -> &[UnreadRule] {
        &self.unread
    }
}

impl Rule {
    /// Whether it selects these tags by patterns of which at least one doesn't match every tag.
    #[must_use]
    pub fn selects_by_pattern(&self, tags: &[Box<str>]) -> bool {
        match &self.selection.tags {
            TagSelection::Tagged(patterns) => {
                self.selection.selects_tags(tags) && patterns.iter().any(|pattern| !pattern.matches(""))
            }
            TagSelection::Any | TagSelection::Untagged => false,
        }
    }
}

impl Selection {
    fn selects(&self, tags: &[Box<str>], storage_class: StorageClass) -> bool {
        self.storage_class.is_none_or(|class| class == storage_class) && self.selects_tags(tags)
    }

    fn selects_tags(&self, tags: &[Box<str>]) -> bool {
        let matches_any = |pattern: &Pattern| tags.iter().any(|tag| pattern.matches(tag));
        let is_selected = match &self.tags {
            TagSelection::Any => true,
            TagSelection::Untagged => tags.is_empty(),
            TagSelection::Tagged(patterns) => !tags.is_empty() && patterns.iter().all(matches_any),
        };
        is_selected && !self.exclude.iter().any(matches_any)
    }
}

impl fmt::Display for RuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { policy, priority, description } = self;
        write!(f, "rule {priority} of ")?;
        match policy {
            Some(number) => write!(f, "policy {number}")?,
            None => f.write_str("the repository's ECR lifecycle policy")?,
        }
        if !description.is_empty() {
            write!(f, " ({description})")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
