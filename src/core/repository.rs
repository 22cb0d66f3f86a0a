//! The decisions on one repository. A study requests the data that it needs, receives it, and makes the decisions.
//!
//! The caller alternates between [`Study::still_needs`] and [`Study::learn`] until nothing is needed. The data can come from
//! ECR, a memory or a stored snapshot. The study requests only data on which its decisions depend, since each need is a call
//! to AWS, and some calls count as pulls.

mod elsewhere;

use std::collections::HashSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::account::Place;
use crate::call_error::{CallError, Missing};
use crate::image::{Image, ImageDigest, RepositoryName};
use crate::manifest::{IndexContents, Manifests, Unfetched};
use crate::memory::{Seen, SeenRepository};
use crate::plan::{AppliedPolicy, Decided, ImageAtRisk, MissingImage, PlannedCopies};
use crate::policy::{Applicable, Policy};
use crate::replication::Replica;
use crate::retention::{self, Decisions, Fate, Known, Takes};
use crate::review::{self, ReviewedPlan};
use crate::settings::{Candidates, Settings};
use crate::sharing::Pullers;
use crate::sizes::{ExactSizes, NotExact};
use crate::usage::{RepositoryUsage, Usage};
use crate::wanted::{ExplainedImage, WantedImage};
use crate::warning::{self, Notes, Warning};

/// The input that all repositories of a registry share.
#[derive(Clone, Copy, Debug)]
pub struct Standards<'a> {
    /// The registry.
    pub place: &'a Place,
    /// The settings of the run.
    pub settings: &'a Settings,
    /// The usage data.
    pub usage: &'a Usage,
    /// What earlier runs saw of the registry; `None` without a memory.
    pub seen: Option<&'a Seen>,
    /// The time of the run, for ages.
    pub now: DateTime<Utc>,
    /// The reviewed plan, if the run carries one out.
    pub reviewed: Option<&'a ReviewedPlan>,
    /// The image to explain, if there is one.
    pub wanted: Option<&'a WantedImage>,
}

/// Data that the decisions on a repository need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// The repository's own ECR lifecycle policy.
    OwnPolicy,
    /// The child images of its indexes.
    Indexes,
    /// Whether a recorded pull of an index can be a run's own reading, since only such a pull keeps an index.
    IndexPulls,
    /// Who else can pull from it, by its resource policy and that of the registry.
    Pullers,
    /// The images of the registries to which its deletes are replicated.
    Replicas,
    /// The stored bytes, each layer counted once.
    ExactSizes,
}

/// The answer to a need.
#[derive(Debug)]
pub enum Answer {
    /// To [`Need::OwnPolicy`]: `None` if it has none.
    OwnPolicy(Result<Option<Policy>, CallError>),
    /// To [`Need::Indexes`].
    Indexes(IndexContents),
    /// To [`Need::IndexPulls`]. Only the registry's warnings use the answer. No decision depends on it.
    IndexPulls,
    /// To [`Need::Pullers`].
    Pullers(Result<Pullers, CallError>),
    /// To [`Need::Replicas`]: empty if no deletes are replicated.
    Replicas(Result<Vec<Replica>, CallError>),
    /// To [`Need::ExactSizes`].
    ExactSizes(Exactness),
}

/// The result of counting each layer of a repository once.
#[derive(Debug)]
pub enum Exactness {
    /// The sizes, or why they are unknown.
    Read(Result<ExactSizes, NotExact>),
    /// No manifest was read, since reading would update the last-pull time of every image.
    Refused,
}

/// The result of the study of a repository.
#[derive(Debug)]
pub struct Judged {
    /// Its part of the plan.
    pub decided: Decided,
    /// The warnings about it.
    pub warnings: Vec<Warning>,
    /// The data for the warnings about its registry.
    pub notes: Notes,
    /// The image to explain, if it is in this repository.
    pub explained: Option<ExplainedImage>,
}

/// The repository's own ECR lifecycle policy.
#[derive(Debug)]
enum OwnPolicy {
    Unread,
    /// `None` if there is none, or if it could not be read.
    Read(Option<Arc<Policy>>),
}

impl OwnPolicy {
    fn read(&self) -> Option<&Policy> {
        match self {
            Self::Unread => None,
            Self::Read(policy) => policy.as_deref(),
        }
    }
}

/// The data of a repository so far, and the decisions once they are made.
#[derive(Debug)]
pub struct Study<'a> {
    standards: Standards<'a>,
    repository_name: &'a RepositoryName,
    images: Vec<Image>,
    unnamed: u64,
    usage: RepositoryUsage<'a>,
    seen: Option<&'a SeenRepository>,
    is_audited: bool,
    applicable: Applicable,
    own_policy: OwnPolicy,
    indexes: Option<IndexContents>,
    asked_for_index_pulls: bool,
    /// The assumption that no index has child images. It is used until manifests are needed.
    childless: Manifests,
    decisions: Option<Decisions>,
    pullers: Option<Pullers>,
    /// The images that are kept because of a replica; `None` until that is known.
    replicated: Option<HashSet<ImageDigest>>,
    /// The replicas that ECR deletes too, by their registry.
    copies: Vec<(Place, Vec<Image>)>,
    exactness: Option<Exactness>,
    warnings: Vec<Warning>,
    notes: Notes,
}

impl<'a> Study<'a> {
    /// Starts the study with the repository's images. `unnamed` is the number of further images without a digest.
    #[must_use]
    pub fn begin(
        standards: Standards<'a>,
        repository_name: &'a RepositoryName,
        images: Vec<Image>,
        unnamed: u64,
    ) -> Self {
        let Standards { place, settings, usage, seen, .. } = standards;
        let usage = usage.known().of_repository(&place.account, repository_name);
        let is_used = |image: &Image| usage.holder(image.image_digest, &image.image_tags).is_some();
        Self {
            standards,
            repository_name,
            is_audited: settings.audit_lifecycle_policies && images.iter().any(is_used),
            applicable: match &settings.candidates {
                Candidates::NumberAndAge { .. } => Applicable::None,
                Candidates::Policies(policies) => policies.for_repository(repository_name),
            },
            childless: Manifests::childless(&images),
            images,
            unnamed,
            usage,
            seen: seen.and_then(|seen| seen.of_repository(repository_name)),
            own_policy: OwnPolicy::Unread,
            indexes: None,
            asked_for_index_pulls: false,
            decisions: None,
            pullers: None,
            replicated: None,
            copies: Vec::new(),
            exactness: None,
            warnings: Vec::new(),
            notes: Notes::default(),
        }
    }

    /// The repository's images.
    #[must_use]
    pub fn images(&self) -> &[Image] {
        &self.images
    }

    /// The number of images without a digest.
    #[must_use]
    pub fn unnamed(&self) -> u64 {
        self.unnamed
    }

    /// Whether an index was deleted while the repository was read. Then the data of the repository is outdated.
    #[must_use]
    pub fn is_outdated(&self) -> bool {
        self.indexes.as_ref().is_some_and(IndexContents::any_is_gone)
    }

    /// The decision on the image at a place. Before the decisions are made, every image is kept.
    #[must_use]
    pub fn fate(&self, place: usize) -> Fate {
        self.decisions.as_ref().map_or(Fate::Stays, |decisions| decisions.each()[place].fate())
    }

    /// The decisions; `None` until the study has all data for them.
    #[must_use]
    pub fn decisions(&self) -> Option<&Decisions> {
        self.decisions.as_ref()
    }

    /// The data that the study needs next; `None` if it can be concluded.
    #[must_use = "a need requires an answer"]
    pub fn still_needs(&mut self) -> Option<Need> {
        if matches!(self.own_policy, OwnPolicy::Unread)
            && (self.is_audited || self.applicable == Applicable::OfRepository)
        {
            return Some(Need::OwnPolicy);
        }
        if self.decisions.is_none() {
            if self.indexes.is_none() && retention::needs_manifests(&self.known(), &self.standards.settings.rules) {
                return Some(Need::Indexes);
            }
            self.decisions = Some(retention::decide(&self.known(), &self.standards.settings.rules));
        }
        let decisions = self.decisions.as_ref()?;
        if self.pullers.is_none() && decisions.any_is_stale() {
            return Some(Need::Pullers);
        }
        if self.replicated.is_none() && decisions.any_is_deleted() {
            return Some(Need::Replicas);
        }
        if self.indexes.is_none()
            && !self.asked_for_index_pulls
            && decisions.indexes_kept_by_their_pulls(&self.images) > 0
        {
            return Some(Need::IndexPulls);
        }
        let asks_for_sizes = self.standards.settings.exact_sizes && decisions.any_is_deleted();
        (self.exactness.is_none() && asks_for_sizes).then_some(Need::ExactSizes)
    }

    /// Adds an answer.
    ///
    /// # Errors
    /// If the answer is an error and the decisions depend on it.
    pub fn learn(&mut self, answer: Answer) -> Result<(), CallError> {
        match answer {
            Answer::OwnPolicy(Ok(policy)) => {
                let (place, name) = (self.standards.place, self.repository_name);
                let unread = policy.iter().flat_map(Policy::unread);
                self.warnings.extend(unread.map(|rule| warning::rule_not_read(place, name, rule, &self.applicable)));
                self.own_policy = OwnPolicy::Read(policy.map(Arc::new));
            }
            Answer::OwnPolicy(Err(error))
                if self.applicable == Applicable::OfRepository || error.is_missing(Missing::Repository) =>
            {
                return Err(error);
            }
            // The policy was only needed for a comparison with the images in use.
            Answer::OwnPolicy(Err(error)) => {
                self.own_policy = OwnPolicy::Read(None);
                self.notes.not_audited = Some(error);
            }
            Answer::IndexPulls => self.asked_for_index_pulls = true,
            Answer::Indexes(IndexContents { unfetched: Some(Unfetched { error, .. }), .. })
                if error.is_missing(Missing::Repository) =>
            {
                return Err(error);
            }
            Answer::Indexes(contents) => {
                let Standards { place, .. } = self.standards;
                self.warnings.extend(warning::of_indexes(place, self.repository_name, &contents));
                self.notes.read_indexes = true;
                self.indexes = Some(contents);
            }
            Answer::Pullers(pullers) => self.learn_pullers(pullers?),
            Answer::Replicas(replicas) => self.learn_replicas(replicas?),
            Answer::ExactSizes(exactness) => {
                self.notes.exact_sizes_refused = matches!(exactness, Exactness::Refused);
                self.exactness = Some(exactness);
            }
        }
        Ok(())
    }

    /// The indexes among these images whose child images are unknown.
    pub fn unread_among<'i>(&self, images: &'i [Image]) -> impl Iterator<Item = &'i Image> {
        let manifests = self.known().manifests;
        images
            .iter()
            .filter(|image| image.manifest.may_name_others() && manifests.children_of(image.image_digest).is_none())
    }

    /// The policy that applies; `None` without policies.
    fn policy(&self) -> Option<&Policy> {
        match &self.applicable {
            Applicable::Policy(policy) => Some(policy),
            Applicable::OfRepository => self.own_policy.read(),
            Applicable::None => None,
        }
    }

    fn takes(&self) -> Takes<'_> {
        match (&self.standards.settings.candidates, self.policy()) {
            (Candidates::NumberAndAge { untagged_older_than_days }, _) => {
                Takes::NumberAndAge { untagged_older_than_days: *untagged_older_than_days }
            }
            (Candidates::Policies(_), Some(policy)) => Takes::Policy(policy),
            (Candidates::Policies(_), None) => Takes::Nothing,
        }
    }

    fn known(&self) -> Known<'_> {
        let manifests = self.indexes.as_ref().map_or(&self.childless, |contents| &contents.manifests);
        let (images, usage, takes, now) = (&self.images, &self.usage, self.takes(), self.standards.now);
        Known { images, manifests, usage, seen: self.seen, replicated: self.replicated.as_ref(), takes, now }
    }

    /// Concludes the study.
    #[must_use]
    pub fn conclude(mut self) -> Judged {
        let Standards { place, settings, usage: of_all, reviewed, wanted, .. } = self.standards;
        let (rules, name) = (&settings.rules, self.repository_name);
        let decisions = match self.decisions.take() {
            Some(decisions) => decisions,
            None => retention::decide(&self.known(), rules),
        };
        let known = self.known();
        let own_policy = self.own_policy.read().filter(|_| self.is_audited);
        let at_risk = own_policy.map_or_else(Vec::new, |policy| {
            ImageAtRisk::all(retention::audit(&known, policy), &self.images, &self.usage)
        });
        let wanted = wanted.filter(|wanted| wanted.repository_name == *name);
        let wanted = wanted.and_then(|wanted| self.images.iter().position(|image| wanted.name.names(image)));
        let explained = wanted.map(|at| {
            let explanation = retention::explain(&known, rules, &decisions, at);
            let Image { image_digest, image_tags, .. } = &explanation.image;
            let users = of_all.known().users((&place.account, name), *image_digest, image_tags);
            ExplainedImage { place: place.clone(), repository_name: name.clone(), users, explanation }
        });
        let reviewed = reviewed.and_then(|plan| plan.of_repository(place, name));
        let no_longer_stale = reviewed
            .map_or_else(Vec::new, |reviewed| review::no_longer_stale(reviewed, &self.images, &decisions, &self.usage));
        let missing = MissingImage::among(&self.images, known.manifests, &decisions, &self.usage);
        let pulled_together = decisions.pulled_together(&self.images);
        let indexes_kept_by_pulls = decisions.indexes_kept_by_their_pulls(&self.images);
        let kept_by_use_alone = retention::kept_by_use_alone(&known, rules);
        let policy = match known.takes {
            Takes::NumberAndAge { .. } => None,
            Takes::Policy(policy) => Some(policy.number().map_or(AppliedPolicy::OfRepository, AppliedPolicy::Given)),
            Takes::Nothing => Some(AppliedPolicy::None),
        };
        let rules_without_image = match (&known.takes, policy) {
            (Takes::Policy(rules), Some(AppliedPolicy::Given(_))) => rules.rules_without_image(&self.images),
            _ => Box::default(),
        };
        let mut warnings = self.warnings;
        warnings.extend(warning::at_risk(place, name, &at_risk));
        warnings.extend(pulled_together.map(|pulled| warning::pulled_together(place, name, &pulled)));
        let exact = match self.exactness {
            Some(Exactness::Read(Ok(sizes))) => Some(sizes),
            Some(Exactness::Read(Err(why))) => {
                warnings.push(warning::not_exact(place, name, &why));
                None
            }
            Some(Exactness::Refused) | None => None,
        };
        let unfetched = self.indexes.and_then(|contents| contents.unfetched);
        let of_place = |(place, copies)| PlannedCopies::of(place, copies, &self.images, &decisions);
        let mut copies: Vec<PlannedCopies> = self.copies.into_iter().map(of_place).collect();
        copies.retain(|copies| !copies.images.is_empty());
        let decided =
            Decided::gather(self.images, self.unnamed, &decisions, &self.usage, self.seen, &kept_by_use_alone);
        let decided = Decided {
            exact,
            policy,
            rules_without_image,
            copies,
            at_risk,
            missing,
            unfetched,
            no_longer_stale,
            ..decided
        };
        let notes = Notes { indexes_kept_by_pulls, ..self.notes };
        Judged { decided, warnings, notes, explained }
    }
}
