//! The memory of a terminal. By default, it is a folder in the user's state directory.
//!
//! See <https://specifications.freedesktop.org/basedir-spec/latest/>.

use std::path::{Path, PathBuf};

use clap::ArgMatches;
use ecr_cleanup_core::memory::MemoryLocation;
use ecr_cleanup_core::settings::{Environment, Settings};

/// The settings with the memory of the command.
pub(super) fn applied(settings: Settings, matches: &ArgMatches, environment: &Environment) -> Settings {
    // `usage` has no such flag, because it reads no memory.
    let is_off = matches.try_get_one::<bool>("no-memory").ok().flatten().copied().unwrap_or_default();
    let memory = if is_off { None } else { settings.memory.or_else(|| default(environment)) };
    Settings { memory, ..settings }
}

/// The default folder; `None` if the user's home is unknown.
fn default(environment: &Environment) -> Option<MemoryLocation> {
    let folder = |variable: &str| environment.get(variable).map(PathBuf::from).filter(|folder| folder.is_absolute());
    let state = folder("XDG_STATE_HOME").or_else(|| folder("HOME").map(|home| home.join(".local/state")))?;
    let folder = state.join(Path::new("ecr-cleanup/memory"));
    folder.to_str().map(|folder| MemoryLocation::Folder(folder.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_in_the_users_state_directory() {
        let of = |variables: &[(&str, &str)]| {
            let environment = variables.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
            default(&environment).map(|location| location.to_string())
        };
        assert_eq!(of(&[("HOME", "/home/ann")]).as_deref(), Some("/home/ann/.local/state/ecr-cleanup/memory"));
        assert_eq!(of(&[("HOME", "/x"), ("XDG_STATE_HOME", "/state")]).as_deref(), Some("/state/ecr-cleanup/memory"));
        assert_eq!(
            of(&[("HOME", "/home/ann"), ("XDG_STATE_HOME", "state")]).as_deref(),
            Some("/home/ann/.local/state/ecr-cleanup/memory"),
            "a relative path is ignored"
        );
        assert_eq!(of(&[("HOME", "")]), None);
        assert_eq!(of(&[]), None);
    }
}
