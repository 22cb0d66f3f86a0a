//! What a registry gives to know, once all its repositories were decided on.

use super::{About, Warning, WarningCode, counted};
use crate::account::Place;
use crate::call_error::CallError;
use crate::image::RepositoryName;
use crate::pull_time::{IndexPulls, RegisterCommand};

/// What a repository's study gives to know about its registry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notes {
    /// Whether its indexes had to be read.
    pub read_indexes: bool,
    /// How many of its indexes stay for nothing but a recorded pull of their own.
    pub indexes_kept_by_pulls: u64,
    /// Whether exact sizes were left out, since reading for them would count as pulling, or might.
    pub exact_sizes_refused: bool,
    /// Why its lifecycle policy was not held against what is in use.
    pub not_audited: Option<CallError>,
}

/// What the notes taken of a registry's repositories give to know. `index_pulls` is `None` where nobody had to ask for it.
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
                "in {region} reading an index, as this run does, is recorded as a pull, and any recorded pull counts"
            ),
        ),
        Some(error) => (
            WarningCode::IndexPullsUnknown,
            format!(
                "whether in {region} this run's reading of an index is recorded as a pull is not known, and any recorded pull counts: {error} ({})",
                error.remedy()
            ),
        ),
    };
    let holds = match usize::try_from(kept_by_pulls).unwrap_or(usize::MAX) {
        0 => "what a run like this one has read stays for keepPulledWithinDays".to_owned(),
        indexes => {
            let indexes = counted(indexes, "index, with what it names, stays", "indexes, with what they name, stay");
            format!("{indexes} for nothing but a pull that may be such a reading")
        }
    };
    let remedy = match command {
        Some(command) => format!("`{command}` ends that (a role's path belongs into the ARN), and so does a memory"),
        None => "a memory ends that, or running as a role or user that can be registered as a pull-time exclusion"
            .to_owned(),
    };
    let warning = Warning::new(code, About::place(place), format!("{counts}; {holds}; {remedy}"));
    match unknown {
        Some(error) => warning.because_of(error),
        None => warning,
    }
}

fn exact_sizes_refused(place: &Place, unknown: Option<&CallError>, command: Option<&RegisterCommand>) -> Warning {
    let why = match unknown {
        None => "this function's reading would count as pulling every image".to_owned(),
        Some(error) => format!(
            "whether this function's reading would count as pulling every image is not known: {error} ({})",
            error.remedy()
        ),
    };
    let remedy = match command {
        Some(command) => format!("to have them, run `{command}` (a role's path belongs into the ARN)"),
        None => "run as a role or user that can be registered as a pull-time exclusion".to_owned(),
    };
    let message = format!("exactSizes is left out in {}, and sizes stay upper bounds: {why}; {remedy}", place.region);
    Warning::new(WarningCode::ExactSizesRefused, About::place(place), message)
}

/// The lifecycle policies of some repositories could not be read. The first by name tells why.
fn not_audited(place: &Place, notes: &[(RepositoryName, Notes)]) -> Option<Warning> {
    let unread = notes.iter().filter_map(|(name, notes)| Some((name, notes.not_audited.as_ref()?)));
    let (first, error) = unread.clone().min_by_key(|(name, _)| *name)?;
    let message = format!(
        "the lifecycle policies of {} in {}, such as {first}, could not be read, so what they would take from under a workload is not known: {error} ({})",
        counted(unread.count(), "repository", "repositories"),
        place.region,
        error.remedy()
    );
    Some(Warning::new(WarningCode::NotAudited, About::place(place), message).because_of(error))
}
