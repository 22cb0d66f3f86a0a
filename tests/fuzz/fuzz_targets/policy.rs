//! See `parsers.rs`.
#![no_main]

#[path = "../parsers.rs"]
#[expect(dead_code, reason = "one parser a target")]
mod parsers;

libfuzzer_sys::fuzz_target!(|text: &str| parsers::policy(text));
