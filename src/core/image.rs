//! An image in ECR: one digest in one repository, with any number of tags.
//!
//! The record is compact on purpose: an account can have a million images, and a run keeps a record of each.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The SHA-256 digest of an image's manifest. It identifies the image.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageDigest([u8; 32]);

/// The lower-case hexadecimal digits.
const DIGITS: [u8; 16] = *b"0123456789abcdef";
/// The value of a byte that is none of them.
const NO_DIGIT: u8 = u8::MAX;
/// The value of each byte as a digit. A table needs no branches, and the digits of a digest are too random to predict.
const DIGIT_VALUES: [u8; 256] = {
    let mut values = [NO_DIGIT; 256];
    let mut value: u8 = 0;
    while value < 16 {
        values[DIGITS[value as usize] as usize] = value;
        value += 1;
    }
    values
};

/// Text that is not `sha256:` and 64 lower-case hexadecimal digits.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not a digest of the form sha256:<64 lower-case hexadecimal digits>")]
pub struct NotADigest(String);

/// A repository's name, without its registry: `team/app`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RepositoryName(Arc<str>);

/// Text that ECR would not accept as a repository's name.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not a repository name")]
pub struct NotARepositoryName(String);

/// The data from `DescribeImages` that retention needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Its digest.
    pub image_digest: ImageDigest,
    /// Its tags, in order; empty when it is untagged.
    pub image_tags: Box<[Box<str>]>,
    /// When it was pushed. ECR always returns it. Without it, no rule applies, and the image is kept.
    pub image_pushed_at: Option<DateTime<Utc>>,
    /// The last pull ECR recorded, precise to about a day; `None` if it was never pulled.
    pub last_recorded_pull_time: Option<DateTime<Utc>>,
    /// Compressed bytes. Of an index, ECR returns the size of its largest child image.
    pub image_size_in_bytes: u64,
    /// Whether it can be pulled.
    pub image_status: ImageStatus,
    /// When it was archived or restored; `None` if it never was.
    pub archival: Option<Box<Archival>>,
    /// Whether its manifest is an index.
    pub manifest: ManifestKind,
    /// If it is an attached artifact, such as a signature or an SBOM: its subject, from `subjectManifestDigest`.
    pub subject: Subject,
}

/// The `subject` of a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// It has none.
    None,
    /// This image.
    Image(ImageDigest),
    /// It has one, but ECR returned a digest that can't be parsed.
    Unknown,
}

/// ECR's `imageStatus`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ImageStatus {
    /// It can be pulled. If ECR returns no status, the image is active.
    Active,
    /// It is in archive storage.
    Archived,
    /// It is being restored from archive storage, or has a status that this program does not know.
    Other,
}

/// When an image was last archived and restored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Archival {
    /// When it was last moved to archive storage.
    pub last_archived_at: Option<DateTime<Utc>>,
    /// When it was last restored.
    pub last_activated_at: Option<DateTime<Utc>>,
}

/// The kind of a manifest, from its media type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ManifestKind {
    /// An OCI image index or a Docker manifest list. Its manifest references child images.
    Index,
    /// Any other manifest, of an image for one platform or of an artifact.
    Manifest,
    /// ECR returned no media type, so it can be either.
    Unknown,
}

impl ImageDigest {
    /// The digest of these 32 bytes of SHA-256.
    #[must_use]
    pub fn from_sha256(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Reads 64 lower-case hexadecimal digits.
    fn from_hex(hex: &str) -> Option<Self> {
        let hex = <&[u8; 64]>::try_from(hex.as_bytes()).ok()?;
        let (mut bytes, mut all_digits) = ([0; 32], 0);
        for (byte, [high, low]) in bytes.iter_mut().zip(hex.as_chunks().0) {
            let (high, low) = (DIGIT_VALUES[usize::from(*high)], DIGIT_VALUES[usize::from(*low)]);
            all_digits |= high | low;
            *byte = high << 4 | low;
        }
        (all_digits != NO_DIGIT).then_some(Self(bytes))
    }
}

impl FromStr for ImageDigest {
    type Err = NotADigest;

    fn from_str(text: &str) -> Result<Self, NotADigest> {
        text.strip_prefix("sha256:").and_then(Self::from_hex).ok_or_else(|| NotADigest(text.to_owned()))
    }
}

impl fmt::Display for ImageDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = *b"sha256:0000000000000000000000000000000000000000000000000000000000000000";
        for (pair, byte) in text[7..].chunks_exact_mut(2).zip(self.0) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for ImageDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for ImageDigest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ImageDigest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl RepositoryName {
    /// A name that ECR returned. It is not checked, since the registry knows its own names.
    #[must_use]
    pub fn from_ecr(name: &str) -> Self {
        Self(name.into())
    }

    /// The name, as ECR writes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RepositoryName {
    type Err = NotARepositoryName;

    /// Checks ECR's rule for names: 2 to 256 characters, parts of lower-case letters and digits joined by one of
    /// `. _ -` inside a part and by `/` between parts.
    ///
    /// See <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_CreateRepository.html>.
    fn from_str(text: &str) -> Result<Self, NotARepositoryName> {
        let word = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        // Docker also accepts `__` and runs of `-`, which ECR's documentation does not allow. A reference with them still
        // refers to a repository of that name, so both count as one separator.
        let part = |part: &str| {
            let joined = part.replace("__", "_");
            let mut words = joined.split(['.', '_', '-']);
            let runs_of_hyphens = joined.contains("--");
            words.all(|w| word(w) || (runs_of_hyphens && w.is_empty()))
                && part.starts_with(|c: char| c.is_ascii_alphanumeric())
                && part.ends_with(|c: char| c.is_ascii_alphanumeric())
        };
        if (2..=256).contains(&text.len()) && text.split('/').all(part) {
            Ok(Self(text.into()))
        } else {
            Err(NotARepositoryName(text.to_owned()))
        }
    }
}

impl fmt::Display for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl ManifestKind {
    /// The bytes that an image of this kind and size adds to its repository. An index adds none: the size that ECR returns
    /// for it is that of its largest child image, which is counted as an image of its own.
    #[must_use]
    pub fn own_bytes(self, image_size_in_bytes: u64) -> u64 {
        match self {
            Self::Index => 0,
            Self::Manifest | Self::Unknown => image_size_in_bytes,
        }
    }

    /// Whether an image of this kind can have child images.
    #[must_use]
    pub fn may_name_others(self) -> bool {
        match self {
            Self::Index | Self::Unknown => true,
            Self::Manifest => false,
        }
    }
}

impl Image {
    /// Whether it has no tag.
    #[must_use]
    pub fn is_untagged(&self) -> bool {
        self.image_tags.is_empty()
    }
}

/// The subject whose digest a tag contains by convention: cosign's `sha256-<hex>.sig`, `.att` and `.sbom`, and the
/// referrers fallback tag `sha256-<hex>` of the OCI distribution specification.
#[must_use]
pub fn subject_named_by_tag(tag: &str) -> Option<ImageDigest> {
    let rest = tag.strip_prefix("sha256-")?;
    let hex = rest.get(..64)?;
    match rest.get(64..)? {
        "" | ".sig" | ".att" | ".sbom" => ImageDigest::from_hex(hex),
        _ => None,
    }
}

/// Whether this is a tag that ECR and the OCI distribution specification accept: up to 128 of `[A-Za-z0-9_.-]`, the
/// first neither `.` nor `-`.
#[must_use]
pub fn is_image_tag(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    (1..=128).contains(&text.len())
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|b| word(b) || b == b'.' || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn a_digest_prints_as_it_was_read() {
        let text = format!("sha256:{HEX}");
        assert_eq!(text.parse::<ImageDigest>().unwrap().to_string(), text);
    }

    #[test]
    fn text_that_is_not_a_sha256_digest_is_refused() {
        for text in [
            String::new(),
            HEX.to_owned(),
            format!("sha512:{HEX}{HEX}"),
            format!("sha256:{}", &HEX[1..]),
            format!("sha256:{HEX}0"),
            format!("sha256:{}", HEX.to_uppercase()),
            format!("sha256:é{}", &HEX[2..]),
        ] {
            assert!(text.parse::<ImageDigest>().is_err(), "{text}");
        }
    }

    #[test]
    fn only_lower_case_hexadecimal_digits_are_digits() {
        for byte in 0..=127_u8 {
            let is_digit = matches!(byte, b'0'..=b'9' | b'a'..=b'f');
            let digit = char::from(byte);
            for text in [format!("sha256:{digit}{}", &HEX[1..]), format!("sha256:{}{digit}", &HEX[1..])] {
                assert_eq!(text.parse::<ImageDigest>().is_ok(), is_digit, "{text:?}");
            }
        }
    }

    #[test]
    fn repository_names_follow_ecrs_rule() {
        for name in ["app", "team/app", "a1/b.c_d-e", "0x", "a--b", "a__b"] {
            assert!(name.parse::<RepositoryName>().is_ok(), "{name}");
        }
        for name in ["", "a", "App", "/app", "app/", "a//b", "-app", "app-", "a..b", "a b", "app:v1", "a___b"] {
            assert!(name.parse::<RepositoryName>().is_err(), "{name}");
        }
    }

    #[test]
    fn conventional_tags_have_the_digest_of_their_subject() {
        let subject = format!("sha256:{HEX}").parse().ok();
        for suffix in ["", ".sig", ".att", ".sbom"] {
            assert_eq!(subject_named_by_tag(&format!("sha256-{HEX}{suffix}")), subject, "{suffix}");
        }
        for tag in
            ["latest", "sha256-abc", "sha256-", &format!("sha256-{HEX}.tar"), &format!("sha256-{}", "é".repeat(40))]
        {
            assert_eq!(subject_named_by_tag(tag), None, "{tag}");
        }
    }
}
