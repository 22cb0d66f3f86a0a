//! Why the simulated account can't listen on a port.

use std::fmt;
use std::io;

/// The simulated account can't listen on a port of loopback.
#[derive(Debug)]
pub struct StartError {
    port: u16,
    cause: io::Error,
}

impl StartError {
    pub(crate) fn new(port: u16, cause: io::Error) -> Self {
        Self { port, cause }
    }
}

/// An error of the operating system in plain words, without its number.
///
/// ```
/// let error = std::io::Error::from_raw_os_error(28);
/// assert_eq!(simulated_aws::plain(&error), "No space left on device");
/// ```
#[must_use]
pub fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    text.split_once(" (os error ").map_or(text.as_str(), |(cause, _)| cause).to_owned()
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { port, cause } = self;
        write!(f, "can't listen on port {port}: ")?;
        match cause.kind() {
            io::ErrorKind::AddrInUse => {
                f.write_str("another program uses it. Choose another port, or 0 for any free port.")
            }
            io::ErrorKind::PermissionDenied => {
                f.write_str("this user may not listen on it. Choose a port from 1024 to 65535, or 0 for any free port.")
            }
            _ => write!(f, "{}. Choose another port, or 0 for any free port.", plain(cause)),
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.cause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_is_said_in_plain_words_with_the_next_step() {
        for (port, cause, expected) in [
            (
                4566,
                io::ErrorKind::AddrInUse.into(),
                "can't listen on port 4566: another program uses it. Choose another port, or 0 for any free port.",
            ),
            (
                80,
                io::ErrorKind::PermissionDenied.into(),
                "can't listen on port 80: this user may not listen on it. Choose a port from 1024 to 65535, or 0 for any free port.",
            ),
            (
                0,
                io::Error::from_raw_os_error(24),
                "can't listen on port 0: Too many open files. Choose another port, or 0 for any free port.",
            ),
        ] {
            assert_eq!(StartError::new(port, cause).to_string(), expected);
        }
    }
}
