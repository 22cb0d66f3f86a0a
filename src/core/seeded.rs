//! Random tests that can be repeated with the same seed.

use proptest::test_runner::{Config, RngSeed};

/// The configuration of a random test. The seed is printed, and the output of a failed test has it.
pub(crate) fn config(cases: u32) -> Config {
    // proptest itself reads the environment variable for the seed.
    let seed = match Config::default().rng_seed {
        RngSeed::Fixed(seed) => seed,
        RngSeed::Random => std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0),
    };
    println!("PROPTEST_RNG_SEED={seed} repeats this");
    Config { cases, failure_persistence: None, rng_seed: RngSeed::Fixed(seed), ..Config::default() }
}
