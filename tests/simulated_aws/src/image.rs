//! Images: real manifests, whose digests are true.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

pub(crate) const SECONDS_PER_DAY: f64 = 86_400.0;

/// The size of an image's configuration.
pub const CONFIG_SIZE: u64 = 2;

/// An image as it stands in a repository.
#[derive(Clone, Debug)]
pub struct Image {
    pub(crate) digest: String,
    pub(crate) tags: BTreeSet<String>,
    pub(crate) media_type: &'static str,
    pub(crate) manifest: String,
    pub(crate) children: Vec<String>,
    pub(crate) age_in_days: f64,
    pub(crate) pulled_days_ago: Option<f64>,
    pub(crate) size: u64,
    pub(crate) status: Option<String>,
    pub(crate) archived_days_ago: Option<f64>,
    pub(crate) restored_days_ago: Option<f64>,
    pub(crate) subject: Option<String>,
    pub(crate) without: Vec<&'static str>,
}

impl Image {
    /// An image for one platform, with a manifest of its own.
    #[must_use]
    pub fn untagged() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self::built_from(&NEXT.fetch_add(1, Ordering::Relaxed).to_string())
    }

    /// An image for one platform with this content: the same content has the same digest.
    #[must_use]
    pub fn built_from(content: &str) -> Self {
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json", "digest": sha256(content), "size": CONFIG_SIZE,
            },
            "layers": [],
        });
        Self::of_manifest("application/vnd.oci.image.manifest.v1+json", &manifest.to_string())
    }

    /// An image for one platform, made of a configuration of its own and of these layers, each known by its content. As
    /// in ECR, its size is the sum of theirs.
    #[must_use]
    pub fn of_layers(layers: &[(&str, u64)]) -> Self {
        let plain = Self::untagged();
        let mut manifest: Value = serde_json::from_str(&plain.manifest).expect("a manifest of this builder");
        let layer = |(content, size): &(&str, u64)| json!({ "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": sha256(content), "size": size });
        manifest["layers"] = layers.iter().map(layer).collect();
        let size = layers.iter().map(|(_, size)| size).sum::<u64>() + CONFIG_SIZE;
        Self::of_manifest(plain.media_type, &manifest.to_string()).size(size)
    }

    /// An image for one platform, with a tag.
    #[must_use]
    pub fn tagged(tag: &str) -> Self {
        Self::untagged().and_tag(tag)
    }

    /// An OCI image index that names these images.
    #[must_use]
    pub fn index_of<'a>(children: impl IntoIterator<Item = &'a Self>) -> Self {
        Self::list_of("application/vnd.oci.image.index.v1+json", children)
    }

    /// A Docker manifest list that names these images.
    #[must_use]
    pub fn manifest_list_of<'a>(children: impl IntoIterator<Item = &'a Self>) -> Self {
        Self::list_of("application/vnd.docker.distribution.manifest.list.v2+json", children)
    }

    /// An image with this manifest, byte by byte.
    #[must_use]
    pub fn of_manifest(media_type: &'static str, manifest: &str) -> Self {
        let parsed: Value = serde_json::from_str(manifest).unwrap_or_default();
        let children = parsed["manifests"].as_array().into_iter().flatten();
        let children = children.filter_map(|child| child["digest"].as_str()).map(str::to_owned).collect();
        Self {
            digest: sha256(manifest),
            children,
            tags: BTreeSet::new(),
            media_type,
            manifest: manifest.to_owned(),
            age_in_days: 0.0,
            pulled_days_ago: None,
            size: 50_000_000,
            status: Some("ACTIVE".to_owned()),
            archived_days_ago: None,
            restored_days_ago: None,
            subject: parsed["subject"]["digest"].as_str().map(str::to_owned),
            without: Vec::new(),
        }
    }

    fn list_of<'a>(media_type: &'static str, children: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut size = 0;
        let manifests: Vec<Value> = children
            .into_iter()
            .map(|child| {
                size = size.max(child.size);
                json!({ "mediaType": child.media_type, "digest": child.digest, "size": child.manifest.len() })
            })
            .collect();
        let manifest = json!({ "schemaVersion": 2, "mediaType": media_type, "manifests": manifests });
        // ECR tells the size of the largest of an index's manifests, not their sum.
        Self::of_manifest(media_type, &manifest.to_string()).size(size)
    }

    /// What names it.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// One more tag.
    #[must_use]
    pub fn and_tag(mut self, tag: &str) -> Self {
        self.tags.insert(tag.to_owned());
        self
    }

    /// When it was pushed.
    #[must_use]
    pub fn days_old(mut self, days: f64) -> Self {
        self.age_in_days = days;
        self
    }

    /// When it was pulled last.
    #[must_use]
    pub fn pulled_days_ago(mut self, days: f64) -> Self {
        self.pulled_days_ago = Some(days);
        self
    }

    /// Its compressed bytes.
    #[must_use]
    pub fn size(mut self, bytes: u64) -> Self {
        self.size = bytes;
        self
    }

    /// It is in archive storage since so many days.
    #[must_use]
    pub fn archived_days_ago(mut self, days: f64) -> Self {
        self.archived_days_ago = Some(days);
        self.status("ARCHIVED")
    }

    /// It was restored from archive storage so many days ago.
    #[must_use]
    pub fn restored_days_ago(mut self, days: f64) -> Self {
        self.restored_days_ago = Some(days);
        self
    }

    /// Its `imageStatus`.
    #[must_use]
    pub fn status(mut self, status: &str) -> Self {
        self.status = Some(status.to_owned());
        self
    }

    /// The same about another image: its manifest names that as its subject, and ECR as its `subjectManifestDigest`.
    #[must_use]
    pub fn about(self, subject: &str) -> Self {
        let mut manifest: Value = serde_json::from_str(&self.manifest).expect("a manifest of this builder");
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        manifest["subject"] = json!({ "mediaType": media_type, "digest": subject, "size": 2 });
        let Self { digest, children, manifest, subject, media_type, .. } =
            Self::of_manifest(self.media_type, &manifest.to_string());
        Self { digest, media_type, manifest, children, subject, ..self }
    }

    /// The tag by which cosign finds what it says of an image: its digest with this at the end, such as `.sig`.
    #[must_use]
    pub fn tag_about(subject: &str, end: &str) -> String {
        subject.replace(':', "-") + end
    }

    /// Leaves a field of `ImageDetail` out of every answer.
    #[must_use]
    pub fn without(mut self, field: &'static str) -> Self {
        self.without.push(field);
        self
    }
}

fn sha256(text: &str) -> String {
    Sha256::digest(text).iter().fold("sha256:".to_owned(), |hex, byte| format!("{hex}{byte:02x}"))
}
