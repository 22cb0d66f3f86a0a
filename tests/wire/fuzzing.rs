//! A short version of `make fuzz`: the parsers of external input, on real texts and mutations of them.
//!
//! This makes no network calls. `FUZZ_SEED` repeats a run, and a failure prints it.

use std::path::Path;

use fastrand::Rng;

#[path = "../fuzz/parsers.rs"]
mod parsers;

/// The number of texts for each parser, for a few seconds.
const TEXTS: u32 = 20_000;

#[test]
fn events_are_read_or_refused_whatever_they_are() {
    mangle(&files(&["events", "events/policies"], ".json"), parsers::event);
}

#[test]
fn references_are_read_or_refused_whatever_they_are() {
    let references = std::fs::read_to_string(root().join("tests/fuzz/references.txt")).unwrap();
    mangle(&references.lines().map(str::to_owned).collect::<Vec<_>>(), parsers::reference);
}

#[test]
fn manifests_are_read_or_refused_whatever_they_are() {
    mangle(&files(&["tests/real_manifests"], ".json"), parsers::manifest);
}

#[test]
fn policies_are_read_or_refused_whatever_they_are() {
    let events = files(&["events/policies"], ".json");
    let events = events.iter().map(|text| serde_json::from_str::<serde_json::Value>(text).unwrap());
    let policies: Vec<String> = events
        .flat_map(|event| event["policies"].as_array().cloned().unwrap_or_default())
        .map(|entry| serde_json::json!({ "rules": entry["rules"] }).to_string())
        .collect();
    mangle(&policies, parsers::policy);
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The texts of all files in these folders with this ending, in the order of their names.
fn files(folders: &[&str], end: &str) -> Vec<String> {
    let mut paths: Vec<_> = folders
        .iter()
        .flat_map(|folder| std::fs::read_dir(root().join(folder)).unwrap())
        .map(|file| file.unwrap().path())
        .filter(|path| path.to_string_lossy().ends_with(end))
        .collect();
    paths.sort_unstable();
    assert!(!paths.is_empty());
    paths.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect()
}

/// Runs the parser on real texts and on mutations of them.
fn mangle(real: &[String], parse: fn(&str)) {
    let seed = std::env::var("FUZZ_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| fastrand::u64(..));
    // Shown if a parser panics.
    println!("repeat with: FUZZ_SEED={seed} cargo test --test wire fuzzing");
    let mut rng = Rng::with_seed(seed);
    for text in real {
        parse(text);
    }
    for _ in 0..TEXTS {
        let mut text = rng.choice(real).unwrap().clone().into_bytes();
        for _ in 0..rng.u32(1..5) {
            mangle_once(&mut rng, &mut text, real);
        }
        parse(&String::from_utf8_lossy(&text));
    }
}

fn mangle_once(rng: &mut Rng, text: &mut Vec<u8>, real: &[String]) {
    const PIECES: [&str; 14] = [
        "null",
        "{}",
        "[]",
        "-1",
        "1e999",
        "\"",
        "\\u0000",
        "*",
        "sha256:",
        "false",
        "é",
        ",",
        "[[[[[[[[",
        "18446744073709551616",
    ];
    let at = rng.usize(..=text.len());
    let end = rng.usize(at..=text.len().min(at + 40));
    match rng.u8(..6) {
        0 => _ = text.splice(at..end, []),
        1 => text.truncate(at),
        2 => _ = text.splice(at..end, PIECES[rng.usize(..PIECES.len())].bytes()),
        3 => {
            let other = rng.choice(real).unwrap().as_bytes();
            let from = rng.usize(..=other.len());
            let to = rng.usize(from..=other.len().min(from + 60));
            text.splice(at..end, other[from..to].iter().copied());
        }
        4 => {
            let again = text[at..end].to_vec();
            text.splice(at..at, again);
        }
        _ => {
            if let Some(byte) = text.get_mut(at) {
                *byte = rng.u8(..);
            }
        }
    }
}
