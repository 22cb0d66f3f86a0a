//! The location of memory: a bucket with a prefix, or a folder.

use std::fmt;
use std::str::FromStr;

/// The location of memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemoryLocation {
    /// Objects of an S3 bucket whose keys begin with a prefix.
    Bucket {
        /// The bucket's name.
        bucket: Box<str>,
        /// The prefix, without a slash at its ends; empty if it is the whole bucket.
        prefix: Box<str>,
    },
    /// Files below a folder.
    Folder(Box<str>),
}

/// The text is not a location.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotALocation(&'static str);

impl FromStr for MemoryLocation {
    type Err = NotALocation;

    /// Reads `s3://bucket/prefix` by S3's rules for names, or the path of a folder.
    ///
    /// See <https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html>.
    fn from_str(text: &str) -> Result<Self, NotALocation> {
        let Some(rest) = text.strip_prefix("s3://") else {
            return match text {
                "" => Err(NotALocation("the path is empty")),
                _ if text.contains("://") => Err(NotALocation("the only scheme is s3://")),
                // `s3:/bucket` is a typo, not a folder.
                _ if text.starts_with("s3:") => Err(NotALocation("expected s3://bucket/prefix")),
                _ => Ok(Self::Folder(text.into())),
            };
        };
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let of_bucket = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-".contains(&b);
        let ends_well = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
        let bytes = bucket.as_bytes();
        if !(3..=63).contains(&bytes.len())
            || !bytes.iter().copied().all(of_bucket)
            || !ends_well(bytes.first())
            || !ends_well(bytes.last())
        {
            return Err(NotALocation("a bucket name has 3 to 63 lower-case letters, digits, dots and hyphens"));
        }
        let prefix = prefix.trim_end_matches('/');
        let part = |part: &str| {
            let is_allowed = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
            !part.is_empty() && !matches!(part, "." | "..") && part.bytes().all(is_allowed)
        };
        if prefix.len() > 512 || (!prefix.is_empty() && !prefix.split('/').all(part)) {
            return Err(NotALocation(
                "a prefix has up to 512 letters, digits and ._- in parts joined by single slashes",
            ));
        }
        Ok(Self::Bucket { bucket: bucket.into(), prefix: prefix.into() })
    }
}

impl fmt::Display for MemoryLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bucket { bucket, prefix } if prefix.is_empty() => write!(f, "s3://{bucket}"),
            Self::Bucket { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
            Self::Folder(folder) => f.write_str(folder),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_a_bucket_or_a_folder() {
        let bucket =
            |bucket: &str, prefix: &str| MemoryLocation::Bucket { bucket: bucket.into(), prefix: prefix.into() };
        for (text, location) in [
            ("s3://my-bucket", bucket("my-bucket", "")),
            ("s3://my-bucket/", bucket("my-bucket", "")),
            ("s3://my.bucket/team/ecr-cleanup/", bucket("my.bucket", "team/ecr-cleanup")),
            ("/var/lib/ecr-cleanup", MemoryLocation::Folder("/var/lib/ecr-cleanup".into())),
            ("memory", MemoryLocation::Folder("memory".into())),
        ] {
            assert_eq!(text.parse(), Ok(location), "{text}");
        }
        for text in [
            "",
            "s3:",
            "s3:/b",
            "s3://",
            "s3://ab",
            "s3://Bucket",
            "s3://-bucket",
            "s3://bucket//x",
            "s3://bucket/a b",
            "s3://bucket/../x",
            "s3://bucket/ä",
            "https://bucket.s3.amazonaws.com",
            "gs://bucket",
        ] {
            assert!(text.parse::<MemoryLocation>().is_err(), "{text}");
        }
        for text in ["s3://my-bucket", "s3://my-bucket/a/b", "/var/x"] {
            assert_eq!(text.parse::<MemoryLocation>().unwrap().to_string(), text);
        }
    }
}
