//! Whatever a workload names is read without a panic, and what was read prints as it was given.
#![no_main]

use ecr_cleanup::reference::ImageReference;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(reference) = text.parse::<ImageReference>() {
        assert_eq!(reference.to_string(), text);
    }
});
