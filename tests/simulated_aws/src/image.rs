//! Images with real manifests. Each digest is the hash of the manifest.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

pub(crate) const SECONDS_PER_DAY: f64 = 86_400.0;

/// The size of an image's configuration in bytes.
pub const CONFIG_SIZE: u64 = 2;

/// An image to push into a repository.
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

    /// An image for one platform with this content. The same content has the same digest.
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

    /// An image for one platform with a configuration of its own and these layers: each layer's content, and its size in
    /// bytes. As in ECR, the size of the image is the sum of the sizes in its manifest.
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

    /// An OCI image index with these child images.
    #[must_use]
    pub fn index_of<'a>(children: impl IntoIterator<Item = &'a Self>) -> Self {
        Self::list_of("application/vnd.oci.image.index.v1+json", children)
    }

    /// A Docker manifest list with these child images.
    #[must_use]
    pub fn manifest_list_of<'a>(children: impl IntoIterator<Item = &'a Self>) -> Self {
        Self::list_of("application/vnd.docker.distribution.manifest.list.v2+json", children)
    }

    /// An image with exactly these bytes as its manifest.
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
        // ECR returns the size of an index's largest child image, and not the sum.
        Self::of_manifest(media_type, &manifest.to_string()).size(size)
    }

    /// Its digest.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Adds a tag.
    #[must_use]
    pub fn and_tag(mut self, tag: &str) -> Self {
        self.tags.insert(tag.to_owned());
        self
    }

    /// Its age in days since its push.
    #[must_use]
    pub fn days_old(mut self, days: f64) -> Self {
        self.age_in_days = days;
        self
    }

    /// The days since its last pull.
    #[must_use]
    pub fn pulled_days_ago(mut self, days: f64) -> Self {
        self.pulled_days_ago = Some(days);
        self
    }

    /// Its compressed size in bytes.
    #[must_use]
    pub fn size(mut self, bytes: u64) -> Self {
        self.size = bytes;
        self
    }

    /// Archived N days ago.
    #[must_use]
    pub fn archived_days_ago(mut self, days: f64) -> Self {
        self.archived_days_ago = Some(days);
        self.status("ARCHIVED")
    }

    /// Restored from archive storage N days ago.
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

    /// Makes it an attached artifact: its manifest has this subject, and ECR returns it as `subjectManifestDigest`.
    #[must_use]
    pub fn about(self, subject: &str) -> Self {
        let mut manifest: Value = serde_json::from_str(&self.manifest).expect("a manifest of this builder");
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        manifest["subject"] = json!({ "mediaType": media_type, "digest": subject, "size": 2 });
        let Self { digest, children, manifest, subject, media_type, .. } =
            Self::of_manifest(self.media_type, &manifest.to_string());
        Self { digest, media_type, manifest, children, subject, ..self }
    }

    /// The tag of an artifact that cosign attaches to an image: the image's digest, and an end such as `.sig`.
    #[must_use]
    pub fn tag_about(subject: &str, end: &str) -> String {
        subject.replace(':', "-") + end
    }

    /// Makes every answer lack this field of `ImageDetail`.
    #[must_use]
    pub fn without(mut self, field: &'static str) -> Self {
        self.without.push(field);
        self
    }
}

fn sha256(text: &str) -> String {
    Sha256::digest(text).iter().fold("sha256:".to_owned(), |hex, byte| format!("{hex}{byte:02x}"))
}
