//! What a manifest says: of an index which images it names as its children, of an image which blobs it is made of.
//!
//! Pure, and strict where it matters: a manifest that is not what its digest says is not read. Of an index only the digests
//! of its entries matter, and what else is odd in it hinders nobody; an image whose blobs are counted has to be as the
//! specification says.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use oci_spec::image::{Descriptor, ImageManifest};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::call_error::CallError;
use crate::image::{Image, ImageDigest, ManifestKind};

/// The indexes of a repository whose manifests were read, each with its children. An index that is not here has
/// children that nobody knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifests {
    children: HashMap<ImageDigest, Box<[ImageDigest]>>,
    /// None was read, and no index is taken to name anything.
    are_assumed: bool,
}

/// A layer or a configuration, which ECR stores once a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blob {
    /// What names it.
    pub digest: ImageDigest,
    /// Its compressed bytes.
    pub bytes: u64,
}

/// What could be read of a repository's manifests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IndexContents {
    /// What the indexes name.
    pub manifests: Manifests,
    /// The indexes that could not be fetched.
    pub unfetched: Option<Unfetched>,
    /// The indexes whose manifests came and can't be used.
    pub unreadable: BTreeMap<ImageDigest, UnreadableManifest>,
}

/// Indexes whose manifests could not be fetched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unfetched {
    /// How many.
    pub indexes: u64,
    /// Why not, for one of them.
    pub error: CallError,
}

/// A manifest that can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnreadableManifest {
    /// ECR does not give it out: the image is archived, or was deleted in between.
    #[error("ECR does not give its manifest out: {0}")]
    NotGivenOut(String),
    /// The bytes are those of another image, or of none.
    #[error("the manifest that came has another digest")]
    AnotherDigest,
    /// It is not as the OCI image specification, or Docker's for manifest lists, has it.
    #[error("its manifest is not an index: {0}")]
    NotAnIndex(String),
    /// It is not as the OCI image specification, or Docker's for images, has it.
    #[error("its manifest is not that of an image: {0}")]
    NotAnImage(String),
    /// It names an image in a way that ECR does not.
    #[error("its manifest names `{0}`, which is no digest of ECR's")]
    UnknownDigest(String),
    /// It has a layer that is fetched from elsewhere, so that ECR may store it or not.
    #[error("its layer {0} may be stored elsewhere")]
    ForeignLayer(ImageDigest),
}

impl UnreadableManifest {
    /// ECR's code for an image that is not there.
    pub const GONE: &str = "ImageNotFound";

    /// The image was deleted in between.
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

    /// So many more indexes could not be fetched. The first error tells why.
    pub fn add_unfetched(&mut self, indexes: u64, error: CallError) {
        self.unfetched.get_or_insert(Unfetched { indexes: 0, error }).indexes += indexes;
    }
}

impl Manifests {
    /// As if no index named any image. What may not go even then may not go at all.
    #[must_use]
    pub fn childless(images: &[Image]) -> Self {
        let indexes = images.iter().filter(|image| image.manifest.may_name_others());
        let children: HashMap<_, _> = indexes.map(|image| (image.image_digest, Box::default())).collect();
        Self { are_assumed: !children.is_empty(), children }
    }

    /// Whether there are indexes of which none was read.
    #[must_use]
    pub fn are_assumed(&self) -> bool {
        self.are_assumed
    }

    /// What either knows.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let mut children = self.children.clone();
        children.extend(other.children.iter().map(|(index, children)| (*index, children.clone())));
        Self { children, are_assumed: self.are_assumed || other.are_assumed }
    }

    /// As if these indexes named these images.
    #[cfg(test)]
    pub(crate) fn naming(children: impl IntoIterator<Item = (ImageDigest, Vec<ImageDigest>)>) -> Self {
        let children = children.into_iter().map(|(index, children)| (index, children.into()));
        Self { children: children.collect(), are_assumed: false }
    }

    /// Adds the manifest of an image that may be an index.
    ///
    /// # Errors
    /// When the text is not that image's manifest, or not one that the specifications know.
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

    /// The children of an index; `None` where its manifest was not read.
    #[must_use]
    pub fn children_of(&self, index: ImageDigest) -> Option<&[ImageDigest]> {
        self.children.get(&index).map(|children| &**children)
    }
}

/// The blobs that an image's manifest names: its configuration and its layers. Of an index there are none: what it names
/// are images.
///
/// # Errors
/// When the text is not that image's manifest, or not one that the specifications know, or it names what may be stored
/// elsewhere.
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

/// What decides over other images, or is counted, is not taken on trust.
fn check_digest(image_digest: ImageDigest, manifest: &str) -> Result<(), UnreadableManifest> {
    if ImageDigest::from_sha256(Sha256::digest(manifest).into()) == image_digest {
        Ok(())
    } else {
        Err(UnreadableManifest::AnotherDigest)
    }
}

/// What is needed of an OCI image index or a Docker manifest list: the two name images alike.
///
/// See <https://specs.opencontainers.org/image-spec/image-index/>.
#[derive(Deserialize)]
struct Index<'a> {
    #[serde(borrow)]
    manifests: Vec<Named<'a>>,
}

/// An image that an index names: a platform, an attestation, a nested index.
#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    digest: Cow<'a, str>,
}

/// The images that an index names.
fn children_named_in(manifest: &str) -> Result<Box<[ImageDigest]>, UnreadableManifest> {
    let index: Index<'_> =
        serde_json::from_str(manifest).map_err(|error| UnreadableManifest::NotAnIndex(error.to_string()))?;
    let child = |named: Named<'_>| {
        named.digest.parse().map_err(|_| UnreadableManifest::UnknownDigest(named.digest.into_owned()))
    };
    index.manifests.into_iter().map(child).collect()
}

/// Whether a text has what makes it an index, however odd: a number in it may be too large for any type.
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
    fn an_index_names_its_children() {
        assert_eq!(read(ManifestKind::Index, &index_of(&[CHILD])), Ok(vec![CHILD.parse().unwrap()]));
        assert_eq!(read(ManifestKind::Index, &index_of(&[])), Ok(vec![]));
    }

    #[test]
    fn what_is_not_an_index_is_not_read() {
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
    fn what_else_is_odd_in_an_index_hinders_nobody() {
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
    fn what_may_be_an_index_and_can_not_be_read_is_not_taken_for_an_image() {
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
    fn a_manifest_of_a_kind_that_ecr_does_not_tell_is_either() {
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
    fn an_image_is_made_of_its_configuration_and_its_layers() {
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
    fn a_manifest_that_is_not_what_its_digest_says_is_not_read() {
        let mut manifests = Manifests::default();
        let other = CHILD.parse().unwrap();
        let read = manifests.add(other, ManifestKind::Index, &index_of(&[]));
        assert_eq!(read, Err(UnreadableManifest::AnotherDigest));
        assert_eq!(manifests.children_of(other), None);
    }
}
