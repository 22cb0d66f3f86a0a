//! What a repository gives to know.

use super::{About, Warning, WarningCode, counted};
use crate::account::Place;
use crate::image::RepositoryName;
use crate::manifest::{IndexContents, Unfetched};
use crate::plan::ImageAtRisk;
use crate::policy::{Applicable, UnreadRule};
use crate::replication::UnreadCopies;
use crate::retention::PulledTogether;
use crate::sharing::Unseen;
use crate::sizes::NotExact;

/// What the manifests of a repository's indexes give to know.
#[must_use]
pub fn of_indexes(place: &Place, repository: &RepositoryName, indexes: &IndexContents) -> Vec<Warning> {
    let IndexContents { manifests: _, unfetched, unreadable } = indexes;
    let region = &place.region;
    let of_indexes = |code, indexes: usize, why: String| {
        let indexes = counted(indexes, "index", "indexes");
        let message = format!(
            "what {indexes} of {repository} in {region} names is not known, so every untagged image, and every image not pushed after that, is kept{why}"
        );
        Warning::new(code, About::repository(place, repository), message)
    };
    let unfetched = unfetched.iter().map(|Unfetched { indexes, error }| {
        let indexes = usize::try_from(*indexes).unwrap_or(usize::MAX);
        of_indexes(WarningCode::Unfetched, indexes, format!(": {error} ({})", error.remedy())).because_of(error)
    });
    let unreadable = unreadable
        .first_key_value()
        .map(|(index, error)| of_indexes(WarningCode::Unreadable, unreadable.len(), format!("; {index}: {error}")));
    unfetched.chain(unreadable).collect()
}

/// A repository is kept whole, since others may pull from it whose usage isn't read.
#[must_use]
pub fn shared_elsewhere(place: &Place, repository: &RepositoryName, unseen: &Unseen) -> Warning {
    let message = format!(
        "repository {repository} in {} is kept whole: its policy lets {unseen} pull, whose usage isn't read (add a role there to usageRoleArns, or the account to acceptUnseenAccounts)",
        place.region
    );
    Warning::new(WarningCode::SharedElsewhere, About::repository(place, repository), message)
}

/// A repository is kept whole, since deletes are carried on to these registries, whose images can't be read.
#[must_use]
pub fn replicas_unread(place: &Place, repository: &RepositoryName, unread: &[(Place, UnreadCopies)]) -> Warning {
    let why: Vec<String> = unread
        .iter()
        .map(|(elsewhere, why)| {
            let remedy = match why {
                UnreadCopies::OfAnotherAccount => "if nothing there needs them".to_owned(),
                UnreadCopies::Failed(error) => format!("{}; or, if nothing there needs them", error.remedy()),
            };
            let (account, region) = (&elsewhere.account, &elsewhere.region);
            format!("{region} of account {account}: {why} ({remedy}, add {account} to acceptUnseenAccounts)")
        })
        .collect();
    let message = format!(
        "repository {repository} in {} is kept whole: by the registry's replication rules, what is deleted there is deleted in other registries too, and what these hold is not known: {}",
        place.region,
        why.join("; ")
    );
    Warning::new(WarningCode::ReplicasUnread, About::repository(place, repository), message)
}

/// ECR's own policy of a repository would take these images in use; `None` where there are none.
#[must_use]
pub fn at_risk(place: &Place, repository: &RepositoryName, images: &[ImageAtRisk]) -> Option<Warning> {
    // What is deleted is worse than what is archived.
    let ImageAtRisk { image_digest, image_tags, held_by, rule, action } =
        images.iter().max_by_key(|image| image.action)?;
    let image = image_tags.first().map_or_else(|| image_digest.to_string(), ToString::to_string);
    let message = format!(
        "ECR's own lifecycle policy of {repository} in {} would take {} from under a workload: rule {} ({}) would {} {image}, held by {held_by}",
        place.region,
        counted(images.len(), "image", "images"),
        rule.priority,
        if rule.description.is_empty() { "without a description" } else { &rule.description },
        action.as_str(),
    );
    Some(Warning::new(WarningCode::AtRisk, About::repository(place, repository), message))
}

/// A rule of the repository's own policy can't be read. What that leaves open depends on what the policy is read for.
#[must_use]
pub fn rule_not_read(place: &Place, repository: &RepositoryName, rule: &UnreadRule, applied: &Applicable) -> Warning {
    let UnreadRule { name, why } = rule;
    let so = match applied {
        Applicable::OfRepository => {
            "It takes no image here, and images that it may select are kept from the rules after it"
        }
        Applicable::Policy(_) | Applicable::None => "Which images in use it would take is not known",
    };
    let message = format!("{name} of {repository} in {} can't be read: {why}. {so}.", place.region);
    Warning::new(WarningCode::RuleNotRead, About::repository(place, repository), message)
}

/// Something that is no workload, most likely, pulled nearly everything.
#[must_use]
pub fn pulled_together(place: &Place, repository: &RepositoryName, pulled: &PulledTogether) -> Warning {
    let PulledTogether { images, candidates, until } = pulled;
    let region = &place.region;
    let message = format!(
        "{images} of {candidates} candidates of {repository} in {region} stay only because they were pulled within one day, until {}. A scanner or a backup that pulls everything does that. `aws ecr register-pull-time-update-exclusion --principal-arn ITS_ROLE_ARN --region {region}` makes ECR ignore its later pulls.",
        until.format("%Y-%m-%d %H:%M UTC"),
    );
    Warning::new(WarningCode::PulledTogether, About::repository(place, repository), message)
}

/// The exact sizes of a repository could not be told.
#[must_use]
pub fn not_exact(place: &Place, repository: &RepositoryName, why: &NotExact) -> Warning {
    let message = format!(
        "the exact sizes of {repository} in {} are not known, and what is told of it stays an upper bound: {why}",
        place.region
    );
    Warning::new(WarningCode::NotExact, About::repository(place, repository), message)
}
