//! Ctrl-C and the like while images are deleted: the first lets what is under way end and be told, since the report is the
//! only record of what is gone; the second ends the process at once. Before that, a signal does what it always does.

use std::sync::atomic::AtomicBool;

use crate::deadline::Deadline;

/// A signal has come.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// A deadline that comes with the first signal.
pub(super) fn deadline() -> Deadline {
    Deadline::unknown().unless(&INTERRUPTED)
}

/// Heeds signals from now on, and says so when the first has come.
#[cfg(unix)]
pub(super) fn heed(say: impl Fn() + Send + 'static) {
    // Without it a signal ends the process as it always does, and there is nothing better to do.
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

    /// What a shell tells of a process that was ended by a signal is its number and this.
    const ENDED_BY_A_SIGNAL: i32 = 128;

    pub(super) fn heed(say: impl Fn() + Send + 'static) -> std::io::Result<()> {
        // On a thread of its own, so that the second signal counts whatever the first thread waits for.
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

    /// Whether whoever started this lets it ignore a signal, as `nohup` does: then it stays ignored. Only Linux tells.
    fn is_ignored(kind: SignalKind) -> bool {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
        ignored >> (kind.as_raw_value() - 1) & 1 == 1
    }
}
