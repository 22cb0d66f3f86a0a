//! Random tests that can be repeated.

use proptest::test_runner::{Config, RngSeed};

/// Settings of a random test, whose seed is told where it fails.
pub(crate) fn config(cases: u32) -> Config {
    // proptest itself reads the variable that repeats a run.
    let seed = match Config::default().rng_seed {
        RngSeed::Fixed(seed) => seed,
        RngSeed::Random => std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0),
    };
    println!("PROPTEST_RNG_SEED={seed} repeats this");
    Config { cases, failure_persistence: None, rng_seed: RngSeed::Fixed(seed), ..Config::default() }
}
