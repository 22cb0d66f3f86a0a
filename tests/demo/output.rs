//! What the demo prints on stdout.

use std::io::{self, Write};

use crate::failure::Failure;

/// Prints a line.
///
/// # Errors
/// When stdout is closed or its disk is full.
pub fn say(line: &str) -> Result<(), Failure> {
    writeln!(io::stdout(), "{line}").map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::ReaderGone,
        _ => Failure::unwritten(&"to stdout", &error, "Print to a terminal, or to a file on another disk."),
    })
}

/// Prints the heading of a scene: what it shows, and one sentence on what to look for.
pub fn announce(number: usize, title: &str, see: &str) -> Result<(), Failure> {
    let space = if number > 1 { "\n" } else { "" };
    say(&format!("{space}{number}. {title}\n   {see}"))
}
