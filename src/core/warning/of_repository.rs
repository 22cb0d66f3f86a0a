//! Warnings for a repository.

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

/// The warnings about indexes of a repository that could not be read.
#[must_use]
pub fn of_indexes(place: &Place, repository: &RepositoryName, indexes: &IndexContents) -> Vec<Warning> {
    let IndexContents { manifests: _, unfetched, unreadable } = indexes;
    let region = &place.region;
    let of_indexes = |code, indexes: usize, why: String| {
        let pushed_before = if indexes == 1 { "it" } else { "them" };
        let indexes = counted(indexes, "index", "indexes");
        let message = format!(
            "can't read {indexes} of {repository} in {region}: {why}. Kept all untagged images and all images pushed before {pushed_before}, since they can be child images."
        );
        Warning::new(code, About::repository(place, repository), message)
    };
    let unfetched = unfetched.iter().map(|Unfetched { indexes, error }| {
        let indexes = usize::try_from(*indexes).unwrap_or(usize::MAX);
        of_indexes(WarningCode::Unfetched, indexes, format!("{error} ({})", error.remedy())).because_of(error)
    });
    let unreadable = unreadable
        .first_key_value()
        .map(|(index, error)| of_indexes(WarningCode::Unreadable, unreadable.len(), format!("{index}: {error}")));
    unfetched.chain(unreadable).collect()
}

/// All images of a repository are kept, since accounts whose workloads aren't read can pull from it.
#[must_use]
pub fn shared_elsewhere(place: &Place, repository: &RepositoryName, unseen: &Unseen) -> Warning {
    let message = format!(
        "all images of {repository} in {} are kept: its policy allows {unseen} to pull, and the workloads there aren't read. Add a role there to usageRoleArns, or {} to acceptUnseenAccounts.",
        place.region,
        unseen.to_accept()
    );
    Warning::new(WarningCode::SharedElsewhere, About::repository(place, repository), message)
}

/// All images of a repository are kept, since ECR replicates deletes to registries whose images can't be read.
#[must_use]
pub fn replicas_unread(place: &Place, repository: &RepositoryName, unread: &[(Place, UnreadCopies)]) -> Warning {
    let why: Vec<String> = unread
        .iter()
        .map(|(elsewhere, why)| {
            let remedy = match why {
                UnreadCopies::OfAnotherAccount => String::new(),
                UnreadCopies::Failed(error) => format!("{}; or, ", error.remedy()),
            };
            let (account, region) = (&elsewhere.account, &elsewhere.region);
            format!(
                "{region} of account {account}: {why} ({remedy}if no workload needs the images there, add {account} to acceptUnseenAccounts)"
            )
        })
        .collect();
    let message = format!(
        "all images of {repository} in {} are kept: the registry replicates deletes, and the replicas can't be read. {}",
        place.region,
        why.join("; ")
    );
    Warning::new(WarningCode::ReplicasUnread, About::repository(place, repository), message)
}

/// The ECR lifecycle policy of a repository would expire or archive these images in use; `None` if there are none.
#[must_use]
pub fn at_risk(place: &Place, repository: &RepositoryName, images: &[ImageAtRisk]) -> Option<Warning> {
    // The message has one image as an example. A deleted image is worse than an archived one.
    let ImageAtRisk { image_digest, image_tags, held_by, rule, action } =
        images.iter().max_by_key(|image| image.action)?;
    let image = image_tags.first().map_or_else(|| image_digest.to_string(), ToString::to_string);
    let is_one_action = images.iter().all(|image| image.action == *action);
    let message = format!(
        "the ECR lifecycle policy on {repository} in {} would {} {} in use. Rule {} ({}) would {} {image}, used by {held_by}. Change the policy.",
        place.region,
        if is_one_action { action.as_str() } else { "expire or archive" },
        counted(images.len(), "image", "images"),
        rule.priority,
        if rule.description.is_empty() { "without a description" } else { &rule.description },
        action.as_str(),
    );
    Some(Warning::new(WarningCode::AtRisk, About::repository(place, repository), message))
}

/// A rule of the repository's ECR lifecycle policy can't be read. The effect depends on whether that policy decides about
/// the images, or is only compared with the images in use.
#[must_use]
pub fn rule_not_read(place: &Place, repository: &RepositoryName, rule: &UnreadRule, applied: &Applicable) -> Warning {
    let UnreadRule { name, why } = rule;
    let so = match applied {
        Applicable::OfRepository => {
            "The rule deletes no image here, and later rules delete no image that it may select"
        }
        Applicable::Policy(_) | Applicable::None => "Images in use that it would expire aren't reported",
    };
    let message = format!("{repository} in {}: can't read {name}: {why}. {so}.", place.region);
    Warning::new(WarningCode::RuleNotRead, About::repository(place, repository), message)
}

/// Most candidates were pulled together, probably not by a workload.
#[must_use]
pub fn pulled_together(place: &Place, repository: &RepositoryName, pulled: &PulledTogether) -> Warning {
    let PulledTogether { images, candidates, until } = pulled;
    let region = &place.region;
    let message = format!(
        "{images} of {candidates} candidates for deletion of {repository} in {region} are kept only because they were pulled within one day, the last at {}. Usually a scanner or a backup pulls all images. To make ECR ignore its later pulls, run `aws ecr register-pull-time-update-exclusion --principal-arn ITS_ROLE_ARN --region {region}`.",
        until.format("%Y-%m-%d %H:%M UTC"),
    );
    Warning::new(WarningCode::PulledTogether, About::repository(place, repository), message)
}

/// The exact sizes of a repository could not be computed.
#[must_use]
pub fn not_exact(place: &Place, repository: &RepositoryName, why: &NotExact) -> Warning {
    let message = format!(
        "can't compute the exact sizes of {repository} in {}: {why}. Its sizes are upper bounds.",
        place.region
    );
    Warning::new(WarningCode::NotExact, About::repository(place, repository), message)
}
