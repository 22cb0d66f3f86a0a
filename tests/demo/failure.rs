//! Why the demo ends early, and with which exit code.

use std::io::{self, Write};
use std::process::ExitCode;

use simulated_aws::{StartError, plain};

/// Why the demo ends early. Each text is `what failed: cause. Next step.`
#[derive(Debug)]
pub enum Failure {
    /// The reader of stdout has closed it, as `head -1` does. That is no error.
    ReaderGone,
    /// The arguments are wrong: exit code 2.
    Usage(String),
    /// Something failed: exit code 1.
    Failed(String),
}

impl Failure {
    /// A file or folder could not be written.
    pub fn unwritten(what: &dyn std::fmt::Display, error: &io::Error, next: &str) -> Self {
        Self::Failed(format!("can't write {what}: {}. {next}", plain(error)))
    }

    /// A scene did not show what it promises.
    pub fn untrue(what: &str) -> Self {
        Self::Failed(format!("the demo shows something else than it promises: {what}. Please report this as a bug."))
    }

    /// Prints the error in one line, and returns the exit code.
    pub fn exit(self) -> ExitCode {
        let (text, code) = match self {
            Self::ReaderGone => return ExitCode::SUCCESS,
            Self::Usage(text) => (text, 2),
            Self::Failed(text) => (text, 1),
        };
        // If stderr is closed too, no one can read the error.
        _ = writeln!(io::stderr(), "error: {text}");
        ExitCode::from(code)
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        Self::Failed(error.to_string())
    }
}
