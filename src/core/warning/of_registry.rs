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
    let of_pulls = may_be_own.filter(|_| any(|notes| notes.read_indexes)).map(|unknown| match unknown {
        None => index_pulls_ignored(place, command),
        Some(error) => index_pulls_unknown(place, error, command),
    });
    let refused =
        any(|notes| notes.exact_sizes_refused).then(|| exact_sizes_refused(place, may_be_own.flatten(), command));
    of_pulls.into_iter().chain(refused).chain(not_audited(place, notes)).collect()
}

fn index_pulls_ignored(place: &Place, command: Option<&RegisterCommand>) -> Warning {
    let remedy = match command {
        Some(command) => format!("to prevent both, run `{command}`; a role's path belongs into the ARN"),
        None => "run as a role or user that can be registered as a pull-time exclusion".to_owned(),
    };
    let message = format!(
        "in {} this run's reading of an index counts as a pull: here only pulls of its children are looked at, and runs by others whose reading does not count, such as the function, will take it for somebody's pull ({remedy})",
        place.region
    );
    Warning::new(WarningCode::IndexPullsIgnored, About::place(place), message)
}

fn index_pulls_unknown(place: &Place, error: &CallError, command: Option<&RegisterCommand>) -> Warning {
    let command = command.map(|command| format!("; `{command}` makes sure that it does not")).unwrap_or_default();
    let message = format!(
        "whether in {} this run's reading of an index counts as a pull is not known: here only pulls of its children are looked at, and runs by others may take it for somebody's pull: {error} ({}{command})",
        place.region,
        error.remedy()
    );
    Warning::new(WarningCode::IndexPullsUnknown, About::place(place), message)
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
    Some(Warning::new(WarningCode::NotAudited, About::place(place), message))
}
