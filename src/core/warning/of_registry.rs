//! Warnings for a registry, after the decisions on all its repositories.

use super::{About, Warning, WarningCode, counted};
use crate::account::Place;
use crate::call_error::CallError;
use crate::image::RepositoryName;
use crate::pull_time::{IndexPulls, RegisterCommand};

/// The data of a repository for the warnings of its registry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notes {
    /// Whether its indexes had to be read.
    pub read_indexes: bool,
    /// The number of its indexes that are kept only because of a recorded pull of their own.
    pub indexes_kept_by_pulls: u64,
    /// Whether exact sizes were not computed, since reading the manifests counts as a pull, or may count as one.
    pub exact_sizes_refused: bool,
    /// Why its ECR lifecycle policy was not compared with the images in use.
    pub not_audited: Option<CallError>,
}

/// The warnings for a registry. `index_pulls` is `None` if the run did not need it.
#[must_use]
pub fn of_registry(
    place: &Place,
    index_pulls: Option<&Result<IndexPulls, CallError>>,
    command: Option<&RegisterCommand>,
    notes: &[(RepositoryName, Notes)],
) -> Vec<Warning> {
    let may_be_own = match index_pulls {
        None | Some(Ok(IndexPulls::OfOthers)) => None,
        Some(Ok(IndexPulls::MayBeOwn)) => Some(None),
        Some(Err(error)) => Some(Some(error)),
    };
    let any = |is_noted: fn(&Notes) -> bool| notes.iter().any(|(_, notes)| is_noted(notes));
    let kept_by_pulls: u64 = notes.iter().map(|(_, notes)| notes.indexes_kept_by_pulls).sum();
    let is_of_interest = kept_by_pulls > 0 || any(|notes| notes.read_indexes);
    let of_pulls = may_be_own
        .filter(|_| is_of_interest)
        .map(|unknown| index_pulls_counted(place, unknown, kept_by_pulls, command));
    let refused =
        any(|notes| notes.exact_sizes_refused).then(|| exact_sizes_refused(place, may_be_own.flatten(), command));
    of_pulls.into_iter().chain(refused).chain(not_audited(place, notes)).collect()
}

fn index_pulls_counted(
    place: &Place,
    unknown: Option<&CallError>,
    kept_by_pulls: u64,
    command: Option<&RegisterCommand>,
) -> Warning {
    let region = &place.region;
    let (code, counts) = match unknown {
        None => (
            WarningCode::IndexPullsCounted,
            format!(
                "in {region}, this run's reading of indexes updates their last-pull time, so they can look recently used"
            ),
        ),
        Some(error) => (
            WarningCode::IndexPullsUnknown,
            format!(
                "can't determine whether reading indexes in {region} updates their last-pull time: {error} ({}). Every recorded pull counts",
                error.remedy()
            ),
        ),
    };
    let kept = match usize::try_from(kept_by_pulls).unwrap_or(usize::MAX) {
        0 => "Stale indexes that a run has read are kept for keepPulledWithinDays".to_owned(),
        indexes => {
            let indexes = counted(indexes, "index and its child images are", "indexes and their child images are");
            format!("{indexes} kept only because of such a pull")
        }
    };
    let remedy = match command {
        Some(command) => format!("To prevent this, use a memory, or run {}", registered_by(command)),
        None => "To prevent this, use a memory, or a role or user that can be registered as a pull-time exclusion"
            .to_owned(),
    };
    let warning = Warning::new(code, About::place(place), format!("{counts}. {kept}. {remedy}."));
    match unknown {
        Some(error) => warning.because_of(error),
        None => warning,
    }
}

/// The command, with what to change in it: the identity of a role's session does not have the role's path.
fn registered_by(command: &RegisterCommand) -> String {
    format!("`{command}`. If the role has a path, add it to the ARN")
}

fn exact_sizes_refused(place: &Place, unknown: Option<&CallError>, command: Option<&RegisterCommand>) -> Warning {
    let why = match unknown {
        None => "reading the manifests would update the last-pull time of every image".to_owned(),
        Some(error) => format!(
            "can't determine whether reading the manifests would update the last-pull time of every image: {error} ({})",
            error.remedy()
        ),
    };
    let remedy = match command {
        Some(command) => format!("To use it, run {}", registered_by(command)),
        None => "To use it, run as a role or user that can be registered as a pull-time exclusion".to_owned(),
    };
    let message = format!("exactSizes was not used in {}: {why}. Sizes are upper bounds. {remedy}.", place.region);
    Warning::new(WarningCode::ExactSizesRefused, About::place(place), message)
}

/// The ECR lifecycle policies of some repositories could not be read. The message has the error of the first repository by
/// name.
fn not_audited(place: &Place, notes: &[(RepositoryName, Notes)]) -> Option<Warning> {
    let unread = notes.iter().filter_map(|(name, notes)| Some((name, notes.not_audited.as_ref()?)));
    let (first, error) = unread.clone().min_by_key(|(name, _)| *name)?;
    let message = format!(
        "can't read the ECR lifecycle policies of {} in {}, such as {first}: {error} ({}). Images in use that they would expire aren't reported.",
        counted(unread.count(), "repository", "repositories"),
        place.region,
        error.remedy()
    );
    Some(Warning::new(WarningCode::NotAudited, About::place(place), message).because_of(error))
}
