//! Manifests: an index references its child images, and the manifest of an image references its blobs.
//!
//! Pure, and strict where it matters: a manifest whose content doesn't match its digest is rejected. Of an index only the
//! digests of its child images matter, and any other invalid field in it is ignored. A manifest whose blobs are counted
//! must comply with the specification.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use oci_spec::image::{Descriptor, ImageManifest};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::call_error::CallError;
use crate::image::{Image, ImageDigest, ManifestKind};

/// The child images of each index of a repository whose manifest was read. The child images of any other index are
/// unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifests {
    children: HashMap<ImageDigest, Box<[ImageDigest]>>,
    /// No manifest was read, and the indexes are assumed to have no child images.
    are_assumed: bool,
}

/// A layer or a configuration. ECR stores each once per repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blob {
    /// Its digest.
    pub digest: ImageDigest,
    /// Its compressed bytes.
    pub bytes: u64,
}

/// The result of reading the manifests of a repository's indexes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IndexContents {
    /// The child images of the indexes.
    pub manifests: Manifests,
    /// The indexes whose manifests could not be fetched.
    pub unfetched: Option<Unfetched>,
    /// The indexes whose manifests were fetched and can't be used, with the reason.
    pub unreadable: BTreeMap<ImageDigest, UnreadableManifest>,
}

/// Indexes whose manifests could not be fetched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unfetched {
    /// Their number.
    pub indexes: u64,
    /// The error for one of them.
    pub error: CallError,
}

/// A manifest that can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnreadableManifest {
    /// ECR returned a failure code instead: the image is archived, or was deleted since it was listed.
    #[error("ECR didn't return its manifest: {0}")]
    NotGivenOut(String),
    /// The text has another digest.
    #[error("ECR returned a manifest with another digest")]
    AnotherDigest,
    /// It is neither an OCI image index nor a Docker manifest list.
    #[error("its manifest is not a valid index: {0}")]
    NotAnIndex(String),
    /// It is neither an OCI nor a Docker image manifest.
    #[error("its manifest is not a valid image manifest: {0}")]
    NotAnImage(String),
    /// It has a digest that is not SHA-256.
    #[error("its manifest has the digest `{0}`, which ECR doesn't support")]
    UnknownDigest(String),
    /// It has a layer with download URLs, so ECR doesn't necessarily store it.
    #[error("its layer {0} may be stored outside ECR")]
    ForeignLayer(ImageDigest),
}

impl UnreadableManifest {
    /// ECR's code for an image that does not exist.
    pub const GONE: &str = "ImageNotFound";

    /// The image was deleted since it was listed.
    #[must_use]
    pub fn gone() -> Self {
        Self::NotGivenOut(Self::GONE.to_owned())
    }
}

impl IndexContents {
    /// Whether an index was deleted since the images were listed.
    #[must_use]
    pub fn any_is_gone(&self) -> bool {
        let is_gone = |why: &UnreadableManifest| matches!(why, UnreadableManifest::NotGivenOut(code) if code == UnreadableManifest::GONE);
        self.unreadable.values().any(is_gone)
    }

    /// Adds a number of indexes that could not be fetched. Only the first error is stored.
    pub fn add_unfetched(&mut self, indexes: u64, error: CallError) {
        self.unfetched.get_or_insert(Unfetched { indexes: 0, error }).indexes += indexes;
    }
}

impl Manifests {
    /// The assumption that no index has child images. An image that is kept under it is kept in any case.
    #[must_use]
    pub fn childless(images: &[Image]) -> Self {
        let indexes = images.iter().filter(|image| image.manifest.may_name_others());
        let children: HashMap<_, _> = indexes.map(|image| (image.image_digest, Box::default())).collect();
        Self { are_assumed: !children.is_empty(), children }
    }

    /// Whether there are indexes, and none of them was read.
    #[must_use]
    pub fn are_assumed(&self) -> bool {
        self.are_assumed
    }

    /// The union of both.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let mut children = self.children.clone();
        children.extend(other.children.iter().map(|(index, children)| (*index, children.clone())));
        Self { children, are_assumed: self.are_assumed || other.are_assumed }
    }

    /// These indexes with these child images.
    #[cfg(test)]
    pub(crate) fn naming(children: impl IntoIterator<Item = (ImageDigest, Vec<ImageDigest>)>) -> Self {
        let children = children.into_iter().map(|(index, children)| (index, children.into()));
        Self { children: children.collect(), are_assumed: false }
    }

    /// Adds the manifest of an image that may be an index.
    ///
    /// # Errors
    /// If the text doesn't match the image's digest, or does not comply with the specifications.
    pub fn add(
        &mut self,
        image_digest: ImageDigest,
        kind: ManifestKind,
        manifest: &str,
    ) -> Result<(), UnreadableManifest> {
        check_digest(image_digest, manifest)?;
        let children = match kind {
            ManifestKind::Manifest => Box::default(),
            ManifestKind::Index => children_named_in(manifest)?,
            ManifestKind::Unknown => match children_named_in(manifest) {
                Ok(children) => children,
                Err(error) if names_manifests(manifest) => return Err(error),
                Err(error) => {
                    serde_json::from_str::<ImageManifest>(manifest).map(|_| Box::default()).map_err(|_| error)?
                }
            },
        };
        self.children.insert(image_digest, children);
        Ok(())
    }

    /// Adds the child images of an index that an earlier run read and checked.
    pub fn recall(&mut self, index: ImageDigest, children: Box<[ImageDigest]>) {
        self.children.insert(index, children);
    }

    /// The child images of an index; `None` if its manifest was not read.
    #[must_use]
    pub fn children_of(&self, index: ImageDigest) -> Option<&[ImageDigest]> {
        self.children.get(&index).map(|children| &**children)
    }
}

/// The blobs of an image: its configuration and its layers. An index has none, only child images.
///
/// # Errors
/// If the text doesn't match the image's digest, does not comply with the specifications, or has a layer that may be
/// stored outside ECR.
pub fn blobs_of(
    image_digest: ImageDigest,
    kind: ManifestKind,
    manifest: &str,
) -> Result<Vec<Blob>, UnreadableManifest> {
    check_digest(image_digest, manifest)?;
    let image = match (serde_json::from_str::<ImageManifest>(manifest), kind) {
        (_, ManifestKind::Index) => return Ok(Vec::new()),
        (Ok(image), ManifestKind::Manifest | ManifestKind::Unknown) => image,
        (Err(_), ManifestKind::Unknown) => return children_named_in(manifest).map(|_| Vec::new()),
        (Err(error), ManifestKind::Manifest) => return Err(UnreadableManifest::NotAnImage(error.to_string())),
    };
    let blob = |descriptor: &Descriptor| {
        let digest = descriptor.digest();
        let digest: ImageDigest =
            digest.as_ref().parse().map_err(|_| UnreadableManifest::UnknownDigest(digest.to_string()))?;
        if descriptor.urls().as_ref().is_some_and(|urls| !urls.is_empty()) {
            return Err(UnreadableManifest::ForeignLayer(digest));
        }
        Ok(Blob { digest, bytes: descriptor.size() })
    };
    std::iter::once(image.config()).chain(image.layers()).map(blob).collect()
}

/// Checks the digest, since the manifest decides about other images or is counted.
fn check_digest(image_digest: ImageDigest, manifest: &str) -> Result<(), UnreadableManifest> {
    if ImageDigest::from_sha256(Sha256::digest(manifest).into()) == image_digest {
        Ok(())
    } else {
        Err(UnreadableManifest::AnotherDigest)
    }
}

/// The part of an OCI image index or a Docker manifest list that is needed. Both have the same form.
///
/// See <https://specs.opencontainers.org/image-spec/image-index/>.
#[derive(Deserialize)]
struct Index<'a> {
    #[serde(borrow)]
    manifests: Vec<Named<'a>>,
}

/// A child image of an index: a platform's image, an attestation, or a nested index.
#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    digest: Cow<'a, str>,
}

/// Reads the child images of an index.
fn children_named_in(manifest: &str) -> Result<Box<[ImageDigest]>, UnreadableManifest> {
    let index: Index<'_> =
        serde_json::from_str(manifest).map_err(|error| UnreadableManifest::NotAnIndex(error.to_string()))?;
    let child = |named: Named<'_>| {
        named.digest.parse().map_err(|_| UnreadableManifest::UnknownDigest(named.digest.into_owned()))
    };
    index.manifests.into_iter().map(child).collect()
}

/// Whether a text has the field `manifests`, which makes it an index. Other parts of it can be invalid, such as a number that
/// is too large for any type.
#[expect(clippy::zero_sized_map_values, reason = "serde reads an object's names into no set")]
fn names_manifests(manifest: &str) -> bool {
    serde_json::from_str::<HashMap<Cow<'_, str>, IgnoredAny>>(manifest)
        .is_ok_and(|members| members.contains_key("manifests"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHILD: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000001";

    fn descriptor(digest: &str) -> String {
        format!(r#"{{"mediaType":"application/vnd.oci.image.manifest.v1+json","size":7,"digest":"{digest}"}}"#)
    }

    fn index_of(digests: &[&str]) -> String {
        let manifests: Vec<String> = digests.iter().map(|digest| descriptor(digest)).collect();
        format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, manifests.join(","))
    }

    fn read(kind: ManifestKind, manifest: &str) -> Result<Vec<ImageDigest>, UnreadableManifest> {
        let digest = ImageDigest::from_sha256(Sha256::digest(manifest).into());
        let mut manifests = Manifests::default();
        manifests.add(digest, kind, manifest)?;
        Ok(manifests.children_of(digest).unwrap().to_vec())
    }

    #[test]
    fn an_index_has_its_child_images() {
        assert_eq!(read(ManifestKind::Index, &index_of(&[CHILD])), Ok(vec![CHILD.parse().unwrap()]));
        assert_eq!(read(ManifestKind::Index, &index_of(&[])), Ok(vec![]));
    }

    #[test]
    fn text_that_is_not_an_index_is_rejected() {
        let sha512 = format!("sha512:{}", "0".repeat(128));
        for manifest in [
            "",
            "null",
            "{}",
            "[]",
            "<html>503</html>",
            r#"{"schemaVersion":2}"#,
            r#"{"schemaVersion":2,"manifests":null}"#,
            r#"{"schemaVersion":2,"manifests":[{}]}"#,
            r#"{"schemaVersion":2,"manifests":[],"manifests":[]}"#,
            r#"{"schemaVersion":2,"Manifests":[]}"#,
            &format!(r#"{{"manifests":[{{"digest":"{CHILD}","digest":"{CHILD}"}}]}}"#),
            &format!(r#"{{"manifests":[{{"Digest":"{CHILD}"}}]}}"#),
            &index_of(&[CHILD, "not a digest"]),
            &index_of(&[CHILD, &sha512]),
            &index_of(&[CHILD])[..40],
        ] {
            assert!(read(ManifestKind::Index, manifest).is_err(), "{manifest}");
        }
    }

    #[test]
    fn other_invalid_fields_of_an_index_are_ignored() {
        for odd in [
            format!(r#"{{"manifests":[{{"digest":"{CHILD}"}}]}}"#),
            format!(r#"{{"schemaVersion":"two","manifests":[{{"digest":"{CHILD}"}}]}}"#),
            format!(r#"{{"manifests":[{{"digest":"{CHILD}","platform":{{"architecture":"amd64"}}}}]}}"#),
            format!(r#"{{"manifests":[{{"digest":"{CHILD}","platform":null,"size":-1,"mediaType":7,"urls":"x"}}]}}"#),
            format!(
                r#"{{"manifests":[{{"digest":"{CHILD}","annotations":{{"a":null}}}}],"annotations":[],"x":1,"x":2}}"#
            ),
            format!(r#"{{"manifests":[{{"digest":"\u0073{}"}}]}}"#, &CHILD[1..]),
        ] {
            for kind in [ManifestKind::Index, ManifestKind::Unknown] {
                assert_eq!(read(kind, &odd), Ok(vec![CHILD.parse().unwrap()]), "{kind:?} {odd}");
            }
        }
    }

    #[test]
    fn an_invalid_index_does_not_count_as_an_image_manifest() {
        let config = descriptor(CHILD);
        let both =
            |manifests: &str| format!(r#"{{"schemaVersion":2,"config":{config},"layers":[],"manifests":{manifests}}}"#);
        let named = both(&format!(r#"[{{"digest":"{CHILD}"}}]"#));
        assert_eq!(read(ManifestKind::Unknown, &named), Ok(vec![CHILD.parse().unwrap()]));
        for manifests in ["null", "[{}]", r#"[{"digest":null}]"#, r#"[{"digest":"sha256:1"}]"#, "{}", "[1e999]"] {
            assert!(read(ManifestKind::Unknown, &both(manifests)).is_err(), "{manifests}");
        }
    }

    #[test]
    fn a_manifest_without_a_media_type_can_be_either_kind() {
        let config = descriptor(CHILD);
        let manifest = format!(r#"{{"schemaVersion":2,"config":{config},"layers":[]}}"#);
        assert_eq!(read(ManifestKind::Unknown, &manifest), Ok(vec![]));
        assert_eq!(read(ManifestKind::Unknown, &index_of(&[CHILD])), Ok(vec![CHILD.parse().unwrap()]));
        assert!(read(ManifestKind::Unknown, "{}").is_err());
        assert!(read(ManifestKind::Index, &manifest).is_err());
    }

    fn blobs(kind: ManifestKind, manifest: &str) -> Result<Vec<u64>, UnreadableManifest> {
        let digest = ImageDigest::from_sha256(Sha256::digest(manifest).into());
        Ok(blobs_of(digest, kind, manifest)?.iter().map(|blob| blob.bytes).collect())
    }

    fn image_of(layers: &[String]) -> String {
        format!(r#"{{"schemaVersion":2,"config":{},"layers":[{}]}}"#, descriptor(CHILD), layers.join(","))
    }

    #[test]
    fn the_blobs_of_an_image_are_its_configuration_and_its_layers() {
        let image = image_of(&[descriptor(CHILD).replace("\"size\":7", "\"size\":900")]);
        for kind in [ManifestKind::Manifest, ManifestKind::Unknown] {
            assert_eq!(blobs(kind, &image), Ok(vec![7, 900]), "{kind:?}");
        }
        assert_eq!(blobs(ManifestKind::Index, &index_of(&[CHILD])), Ok(vec![]), "whose children are images");
        assert_eq!(blobs(ManifestKind::Unknown, &index_of(&[CHILD])), Ok(vec![]));
    }

    #[test]
    fn blobs_that_can_not_be_counted_are_not_guessed() {
        let foreign = descriptor(CHILD).replace('}', r#","urls":["https://example.com/layer"]}"#);
        let sha512 = descriptor(&format!("sha512:{}", "0".repeat(128)));
        let of_schema_1 = r#"{"schemaVersion":1,"fsLayers":[{"blobSum":"sha256:0"}]}"#;
        let negative = descriptor(CHILD).replace("\"size\":7", "\"size\":-7");
        for manifest in [
            &image_of(&[foreign]),
            &image_of(&[sha512]),
            &image_of(&[negative]),
            &image_of(&["{}".to_owned()]),
            of_schema_1,
            "",
        ] {
            for kind in [ManifestKind::Manifest, ManifestKind::Unknown] {
                assert!(blobs(kind, manifest).is_err(), "{kind:?} {manifest}");
            }
        }
        assert!(blobs(ManifestKind::Manifest, &index_of(&[CHILD])).is_err());
        let of_another = blobs_of(CHILD.parse().unwrap(), ManifestKind::Manifest, &image_of(&[]));
        assert_eq!(of_another, Err(UnreadableManifest::AnotherDigest));
    }

    #[test]
    fn a_manifest_with_another_digest_is_rejected() {
        let mut manifests = Manifests::default();
        let other = CHILD.parse().unwrap();
        let read = manifests.add(other, ManifestKind::Index, &index_of(&[]));
        assert_eq!(read, Err(UnreadableManifest::AnotherDigest));
        assert_eq!(manifests.children_of(other), None);
    }
}
