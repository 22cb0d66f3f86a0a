//! Architecture rules: no import cycle between files, and each module's role limits its imports.
//!
//! The compiler checks only the crate boundary of the pure core. These tests check the rest from the files' imports.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failing test may panic")]

mod imports;

use std::collections::{BTreeMap, BTreeSet};

use imports::{Module, modules};

/// The imports between sibling modules, below each parent. A module counts together with the modules below it, so a
/// folder may use the file of its name.
fn siblings(modules: &[Module]) -> BTreeMap<String, BTreeMap<String, BTreeSet<String>>> {
    let mut levels: BTreeMap<String, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    for module in modules {
        for import in &module.imports {
            let common = module.path.iter().zip(import).take_while(|(a, b)| a == b).count();
            if let (Some(from), Some(to)) = (module.path.get(common), import.get(common)) {
                let level = levels.entry(module.path[..common].join("::")).or_default();
                level.entry(from.clone()).or_default().insert(to.clone());
            }
        }
    }
    levels
}

/// A cycle, if there is one.
fn circle(edges: &BTreeMap<String, BTreeSet<String>>) -> Option<Vec<String>> {
    fn visit(
        at: &str,
        edges: &BTreeMap<String, BTreeSet<String>>,
        way: &mut Vec<String>,
        done: &mut BTreeSet<String>,
    ) -> Option<Vec<String>> {
        if let Some(place) = way.iter().position(|known| known == at) {
            return Some(way[place..].to_vec());
        }
        if !done.contains(at) {
            way.push(at.to_owned());
            for next in edges.get(at).into_iter().flatten() {
                if let Some(circle) = visit(next, edges, way, done) {
                    return Some(circle);
                }
            }
            way.pop();
            done.insert(at.to_owned());
        }
        None
    }
    let mut done = BTreeSet::new();
    edges.keys().find_map(|start| visit(start, edges, &mut Vec::new(), &mut done))
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    for (crate_name, root) in [("ecr-cleanup", "src"), ("ecr-cleanup-core", "src/core")] {
        let modules = modules(root);
        assert!(modules.len() > 20, "{crate_name} has {} modules", modules.len());
        for (level, edges) in siblings(&modules) {
            assert_eq!(circle(&edges), None, "{crate_name}, below `{level}`");
        }
    }
}

#[test]
fn a_circle_is_found() {
    let module = |name: &str, imports: &[&str]| Module {
        path: name.split("::").map(str::to_owned).collect(),
        imports: imports.iter().map(|import| import.split("::").map(str::to_owned).collect()).collect(),
        text: String::new(),
    };
    let straight = [module("a", &["b"]), module("b::x", &["c", "b", "b::y"]), module("c", &[])];
    assert!(siblings(&straight).values().all(|edges| circle(edges).is_none()));
    // Through a submodule.
    let round = [module("a", &["b::x"]), module("b::x", &["c"]), module("c", &["a"])];
    assert_eq!(siblings(&round).values().find_map(circle), Some(["a", "b", "c"].map(str::to_owned).to_vec()));
    let below = [module("b::x", &["b::y"]), module("b::y", &["b::x"])];
    assert_eq!(siblings(&below).values().find_map(circle), Some(["x", "y"].map(str::to_owned).to_vec()));
}

#[test]
fn the_core_is_given_nothing_that_could_act() {
    let manifest = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/src/core/Cargo.toml")).unwrap();
    let (_, dependencies) = manifest.split_once("\n[dependencies]\n").unwrap();
    let dependencies = dependencies.split("\n[").next().unwrap().lines();
    let named = dependencies.filter(|line| !line.starts_with('#')).filter_map(|line| line.split([' ', '.']).next());
    let named: BTreeSet<&str> = named.filter(|name| !name.is_empty()).collect();
    let pure = ["chrono", "flate2", "oci-spec", "regex", "serde", "serde_json", "sha2", "thiserror"];
    assert_eq!(named, pure.into(), "a new one must be as pure as these");
    // With this feature, chrono reads the clock.
    assert!(
        !manifest
            .lines()
            .any(|line| line.starts_with("chrono")
                && (line.contains("now") || !line.contains("default-features = false")))
    );
    let clippy = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/src/core/clippy.toml")).unwrap();
    for forbidden in ["SystemTime::now", "Instant::now", "Utc::now", "fs::read", "env::var"] {
        assert!(clippy.contains(&format!("{forbidden}\"")), "{forbidden}");
    }
}

/// The modules of the shell whose code contains this text.
fn modules_with(text: &str) -> BTreeSet<String> {
    let modules = modules("src").into_iter();
    modules.filter(|module| module.text.contains(text)).map(|module| module.path[0].clone()).collect()
}

#[test]
fn only_the_doors_to_aws_name_an_sdks_types() {
    let known = ["apply", "aws", "clock", "registry", "sources"].map(str::to_owned);
    let found = modules_with("aws_sdk_").into_iter().chain(modules_with("aws_smithy_")).collect::<BTreeSet<_>>();
    assert_eq!(found, known.into());
}

#[test]
fn only_apply_writes() {
    for writes in [".batch_delete_image()", ".update_image_storage_class()"] {
        assert_eq!(modules_with(writes), BTreeSet::from(["apply".to_owned()]), "{writes}");
    }
    for never in
        [".delete_repository()", ".put_lifecycle_policy()", ".put_image()", ".register_pull_time_update_exclusion()"]
    {
        let calls = modules_with(never);
        assert_eq!(calls, BTreeSet::new(), "{never}");
    }
}

#[test]
fn nothing_below_a_run_knows_whether_it_is_dry() {
    for word in ["dry_run", "dryRun", "DryRun"] {
        let known = ["run", "show", "terminal"].map(str::to_owned);
        let found = modules_with(word);
        assert!(found.is_subset(&known.into()), "{word}: {found:?}");
    }
}

#[test]
fn a_source_knows_its_reader_and_no_other_source() {
    let modules = modules("src");
    let sources = modules.iter().filter(|module| module.path.len() > 1 && module.path[0] == "sources");
    let mut read = 0;
    for module in sources.filter(|module| module.path[1] != "reader") {
        read += 1;
        for import in &module.imports {
            let allowed = match import[0].as_str() {
                "sources" => import.get(1).is_none_or(|name| *name == "reader" || *name == module.path[1]),
                name => name == "aws",
            };
            assert!(allowed, "{} imports {}", module.path.join("::"), import.join("::"));
        }
    }
    assert!(read >= 6, "{read} files of sources");
}

#[test]
fn the_edges_know_runs_and_no_stage() {
    for module in modules("src").iter().filter(|module| ["lambda", "terminal"].contains(&module.path[0].as_str())) {
        for import in &module.imports {
            let is_stage = ["apply", "discovery", "registry", "sources"].contains(&import[0].as_str());
            assert!(!is_stage, "{} imports {}", module.path.join("::"), import.join("::"));
        }
    }
}

#[test]
fn no_file_is_far_over_four_hundred_lines() {
    for root in ["src", "src/core"] {
        for module in modules(root) {
            let lines = module.text.lines().count();
            assert!(lines <= 420, "{} has {lines} lines", module.path.join("::"));
        }
    }
}
