//! The cases of a proof: which of them a test run selects. Each case has its own world and its own time.
//!
//! `PROOF=whole` selects all cases. Without it, a random seed selects a share of them and is printed. `PROOF_SEED`
//! selects the same share again. `PROOF_CASE` is the number of one case, which then runs alone.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use fastrand::Rng;

/// Concurrent cases: the number of cores of the usual test machine.
const THREADS: usize = 2;

/// A case by its number, and the command that repeats it alone.
#[derive(Clone, Debug)]
pub struct Case<T> {
    pub number: usize,
    pub of: T,
    pub repeat_with: String,
}

/// The cases of one test that this run selects: all of them, or one from every `one_of` in a row. `test` is the path of
/// its function below `proof`.
pub fn chosen<T>(test: &str, cases: impl IntoIterator<Item = T>, one_of: usize) -> Vec<Case<T>> {
    let case = |(number, of)| {
        let repeat_with =
            format!("PROOF_CASE={number} cargo test --features second-opinions --test wire proof::{test}");
        Case { number, of, repeat_with }
    };
    let mut cases: Vec<Case<T>> = cases.into_iter().enumerate().map(case).collect();
    if let Some(only) = number_in("PROOF_CASE") {
        cases.retain(|case| case.number as u64 == only);
        assert!(!cases.is_empty(), "{test} has no case {only}");
    } else if !is_whole() {
        let mut hasher = DefaultHasher::new();
        (seed(), test).hash(&mut hasher);
        let mut rng = Rng::with_seed(hasher.finish());
        let one_from = |first: usize| rng.usize(first..cases.len().min(first + one_of));
        let taken: Vec<usize> = (0..cases.len()).step_by(one_of).map(one_from).collect();
        cases.retain(|case| taken.contains(&case.number));
    }
    cases
}

/// Whether all cases are selected.
pub fn is_whole() -> bool {
    std::env::var("PROOF").is_ok_and(|extent| extent == "whole")
}

/// A number from the environment.
pub fn number_in(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number")))
}

/// The seed that selects the share of this run.
fn seed() -> u64 {
    static SEED: OnceLock<u64> = OnceLock::new();
    *SEED.get_or_init(|| {
        let seed = number_in("PROOF_SEED").unwrap_or_else(|| fastrand::u64(..1_000_000));
        // Not `println!`, whose output appears only if a test fails.
        _ = writeln!(
            std::io::stderr(),
            "the share of the proof is chosen by PROOF_SEED={seed}; `make prove` has all of it"
        );
        seed
    })
}

/// Runs each case, and returns the results in their order.
///
/// Time advances only when all tasks wait. With a shared runtime, that would depend on other worlds. So each world has
/// its own runtime, and always the same random numbers: the SDK draws them from the case's number.
pub fn each<C: Sync, T: Send>(cases: &[Case<C>], run: impl AsyncFn(&Case<C>) -> T + Sync) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let ends = Mutex::new(Vec::new());
    std::thread::scope(|threads| {
        for _ in 0..THREADS.min(cases.len()) {
            threads.spawn(|| {
                while let Some((place, case)) =
                    Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|it| Some((it, cases.get(it)?)))
                {
                    fastrand::seed(case.number as u64);
                    let end = alone(run(case));
                    ends.lock().unwrap_or_else(PoisonError::into_inner).push((place, end));
                }
            });
        }
    });
    let mut ends = ends.into_inner().unwrap_or_else(PoisonError::into_inner);
    ends.sort_by_key(|(place, _)| *place);
    ends.into_iter().map(|(_, end)| end).collect()
}

/// Runs this in its own time.
pub fn alone<T>(run: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap().block_on(run)
}
