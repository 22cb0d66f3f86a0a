//! The promise of every parser of external input, for any text: no panic, and no value that the text does not contain.

use ecr_cleanup::event::Event;
use ecr_cleanup_core::image::{ImageDigest, ManifestKind};
use ecr_cleanup_core::manifest::Manifests;
use ecr_cleanup_core::policy::Policy;
use ecr_cleanup_core::reference::ImageReference;
use ecr_cleanup_core::settings::{Environment, Mode, Settings};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// An event is rejected with a key, or has settings. A run deletes only if the event contains an explicit false.
pub fn event(text: &str) {
    let Ok(payload) = serde_json::from_str::<Value>(text) else { return };
    let Ok(event) = Event::parse(payload) else { return };
    match Settings::resolve(&event.settings, &Environment::new(), &|file| std::fs::read_to_string(file)) {
        Ok(settings) => assert!(settings.mode == Mode::DryRun || text.to_ascii_lowercase().contains("false")),
        Err(refused) => assert!(!refused.key.is_empty() || event.settings.contains_key(""), "{refused}"),
    }
}

/// A reference prints as it was given, without a scheme, or an `@` before a digest alone. The printed text parses to
/// the same reference.
pub fn reference(text: &str) {
    if let Ok(reference) = text.parse::<ImageReference>() {
        let printed = reference.to_string();
        let before = text.strip_suffix(&printed);
        assert!(
            before.is_some_and(|before| matches!(before, "" | "@") || before.ends_with("://")),
            "{text}: {printed}"
        );
        assert_eq!(printed.parse(), Ok(reference), "{text}");
    }
}

/// The list of an index, with any other fields. Not all JSON fits into a value, for example the number 1e999.
#[derive(Deserialize)]
struct Listed {
    manifests: Vec<IgnoredAny>,
}

/// A parsed index has as many child images as its list has entries, and its text contains each of their digests.
pub fn manifest(text: &str) {
    let digest = ImageDigest::from_sha256(Sha256::digest(text).into());
    for kind in [ManifestKind::Index, ManifestKind::Manifest, ManifestKind::Unknown] {
        let mut manifests = Manifests::default();
        let read = manifests.add(digest, kind, text);
        let children = manifests.children_of(digest);
        assert_eq!(read.is_ok(), children.is_some());
        if let (ManifestKind::Index, Some(children)) = (kind, children) {
            let listed: Listed = serde_json::from_str(text).unwrap();
            assert_eq!(listed.manifests.len(), children.len(), "{text}");
            assert!(children.iter().all(|child| text.contains(&child.to_string())), "{text}");
        }
    }
}

/// A lifecycle policy is rejected with a place in it, or parsed.
pub fn policy(text: &str) {
    if let Err(refused) = Policy::of_repository(text) {
        assert!(!refused.to_string().is_empty());
    }
}
