//! Warnings about memory.

use super::{About, Warning, WarningCode};
use crate::memory::MemoryTrouble;

/// A configured memory can't be read. A live run would be refused.
#[must_use]
pub fn memory_unavailable(trouble: &MemoryTrouble) -> Warning {
    let message = format!(
        "can't read the memory, so images that were in use earlier can look stale: {trouble}. Until then, a live run deletes nothing."
    );
    Warning::new(WarningCode::MemoryUnavailable, About::RUN, message).because_of(&trouble.error)
}

/// The data of this run was not stored.
#[must_use]
pub fn memory_not_written(trouble: &MemoryTrouble) -> Warning {
    let message = format!("can't write to the memory, so the next run won't have this run's data: {trouble}.");
    Warning::new(WarningCode::MemoryNotWritten, About::RUN, message).because_of(&trouble.error)
}

/// The report of this run, or a part of it, was not stored.
#[must_use]
pub fn report_not_written(trouble: &MemoryTrouble) -> Warning {
    let message = format!("can't write the whole report of this run to the memory: {trouble}.");
    Warning::new(WarningCode::MemoryNotWritten, About::RUN, message).because_of(&trouble.error)
}
