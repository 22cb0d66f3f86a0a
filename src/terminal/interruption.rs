//! Ctrl-C and other signals while images are deleted. The first one lets the current batch and the report end, because the
//! report is the only record of the deleted images. The second one ends the process at once. Before images are deleted, a
//! signal does what it always does.

use std::sync::atomic::AtomicBool;

use crate::deadline::Deadline;

/// A signal has come.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// A deadline that the first signal brings.
pub(super) fn deadline() -> Deadline {
    Deadline::unknown().unless(&INTERRUPTED)
}

/// Handles signals from now on, and calls `say` when the first has come.
#[cfg(unix)]
pub(super) fn heed(say: impl Fn() + Send + 'static) {
    // If that fails, a signal ends the process as it always does.
    _ = unix::heed(say);
}

/// Elsewhere a signal ends the process as it always does.
#[cfg(not(unix))]
pub(super) fn heed(_: impl Fn() + Send + 'static) {}

#[cfg(unix)]
mod unix {
    use std::sync::atomic::Ordering;

    use futures::StreamExt;
    use futures::stream::{self, SelectAll};
    use tokio::runtime::Builder;
    use tokio::signal::unix::{SignalKind, signal};

    /// A shell adds this to the number of the signal that ended a process.
    const ENDED_BY_A_SIGNAL: i32 = 128;

    pub(super) fn heed(say: impl Fn() + Send + 'static) -> std::io::Result<()> {
        // On a thread of its own, so that the second signal counts while the first thread waits.
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let guard = runtime.enter();
        let mut signals = SelectAll::new();
        for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
            if !is_ignored(kind) {
                let received = stream::unfold(signal(kind)?, async |mut signal| Some((signal.recv().await?, signal)));
                signals.push(Box::pin(received.map(move |()| kind.as_raw_value())));
            }
        }
        drop(guard);
        let wait = async move {
            signals.next().await;
            super::INTERRUPTED.store(true, Ordering::Relaxed);
            say();
            if let Some(number) = signals.next().await {
                std::process::exit(ENDED_BY_A_SIGNAL + number);
            }
        };
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || runtime.block_on(wait)).map(drop)
    }

    /// Whether the process was started with this signal ignored, as `nohup` does: then it stays ignored. Known on Linux only.
    fn is_ignored(kind: SignalKind) -> bool {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
        ignored >> (kind.as_raw_value() - 1) & 1 == 1
    }
}
