//! Random tests that can be repeated.

use proptest::test_runner::{Config, RngSeed};

/// Settings of a random test, whose seed is told where it fails.
pub(crate) fn config(cases: u32) -> Config {
    let seed = std::env::var("PROPTEST_RNG_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0));
    println!("PROPTEST_RNG_SEED={seed} repeats this");
    Config { cases, failure_persistence: None, rng_seed: RngSeed::Fixed(seed), ..Config::default() }
}
