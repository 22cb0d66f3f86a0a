//! Image references of workloads: `registry/repository` with `:tag`, `@sha256:…`, or both; or only a digest.
//!
//! Text that looks like an ECR reference and can't be parsed is an error, with the account and the repository if they can
//! still be read. It never counts as a foreign image: a wrong reading could delete an image in use.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::account::{AccountId, Region};
use crate::image::{ImageDigest, RepositoryName, is_image_tag};

/// A valid reference.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ImageReference {
    /// An image in an ECR private registry.
    Ecr(EcrReference),
    /// An image in any other registry.
    Foreign(ForeignReference),
}

/// A reference to an image in an ECR private registry. If it has a tag and a digest, both count as used.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EcrReference {
    host: Box<str>,
    /// The account of that registry.
    pub registry_id: AccountId,
    /// The region of that registry.
    pub region: Region,
    /// The repository.
    pub repository_name: RepositoryName,
    /// The tag, as written; see [`EcrReference::used_tag`].
    pub image_tag: Option<Box<str>>,
    /// The digest, if it has one.
    pub image_digest: Option<ImageDigest>,
}

/// A reference to an image outside ECR. Its name and tag are ignored, but its digest protects images here: a proxy or a
/// mirror serves the same content.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ForeignReference {
    name_and_tag: Box<str>,
    /// The digest, if it has one.
    pub image_digest: Option<ImageDigest>,
}

/// A reference that looks like one to ECR and can't be parsed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, thiserror::Error)]
#[error("invalid ECR image \"{reference}\": {problem}")]
pub struct UnreadableReference {
    /// The workload's text.
    pub reference: String,
    /// The account of the registry, if it can still be read.
    pub registry_id: Option<AccountId>,
    /// The images of the registry that it can refer to.
    pub reach: Reach,
    /// What is wrong: a clause without the reference.
    pub problem: Cow<'static, str>,
}

/// The images of a registry that an unreadable reference can refer to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Reach {
    /// None, since no repository can have this name.
    Nothing,
    /// Any image of this repository.
    Repository(RepositoryName),
    /// Any image.
    Everything,
}

impl EcrReference {
    /// The tag that this reference uses: its own, or `latest` if it has neither a tag nor a digest.
    #[must_use]
    pub fn used_tag(&self) -> Option<&str> {
        match (&self.image_tag, &self.image_digest) {
            (Some(tag), _) => Some(tag),
            (None, Some(_)) => None,
            (None, None) => Some("latest"),
        }
    }
}

impl ImageReference {
    /// The digest, if it has one.
    #[must_use]
    pub fn image_digest(&self) -> Option<ImageDigest> {
        match self {
            Self::Ecr(reference) => reference.image_digest,
            Self::Foreign(reference) => reference.image_digest,
        }
    }
}

impl UnreadableReference {
    /// The repository, if it can still be read.
    #[must_use]
    pub fn repository_name(&self) -> Option<&RepositoryName> {
        match &self.reach {
            Reach::Repository(name) => Some(name),
            Reach::Nothing | Reach::Everything => None,
        }
    }
}

impl FromStr for ImageReference {
    type Err = UnreadableReference;

    fn from_str(text: &str) -> Result<Self, UnreadableReference> {
        // `docker-pullable://` and similar prefixes describe the transport. They are not part of the reference.
        let image = text.split_once("://").map_or(text, |(_, image)| image);
        if let Ok(digest) = image.parse() {
            return Ok(Self::Foreign(ForeignReference { name_and_tag: Box::default(), image_digest: Some(digest) }));
        }
        let Some((host, path)) = split_ecr(image) else {
            return Ok(Self::Foreign(foreign(text)));
        };
        let named = NamedImage::split(path);
        let unreadable = |problem: &'static str| UnreadableReference {
            reference: text.to_owned(),
            registry_id: account_of(host),
            reach: reach_of(named.repository),
            problem: problem.into(),
        };
        let (registry_id, region) = parse_host(host).ok_or_else(|| {
            unreadable("the host is not that of an ECR registry, such as <account>.dkr.ecr.<region>.amazonaws.com")
        })?;
        let repository_name = named.repository.parse().map_err(|_| unreadable("the repository name is not valid"))?;
        if named.tag.is_some_and(|tag| !is_image_tag(tag)) {
            return Err(unreadable("the tag is not valid"));
        }
        let image_digest = named
            .digest
            .map(str::parse)
            .transpose()
            .map_err(|_| unreadable("the digest is not sha256:<64 lower-case hexadecimal digits>"))?;
        Ok(Self::Ecr(EcrReference {
            host: host.into(),
            registry_id,
            region,
            repository_name,
            image_tag: named.tag.map(Into::into),
            image_digest,
        }))
    }
}

impl fmt::Display for ImageReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ecr(reference) => {
                write!(f, "{}/{}", reference.host, reference.repository_name)?;
                if let Some(tag) = &reference.image_tag {
                    write!(f, ":{tag}")?;
                }
            }
            Self::Foreign(reference) => f.write_str(&reference.name_and_tag)?,
        }
        match (self, self.image_digest()) {
            (Self::Foreign(reference), Some(digest)) if reference.name_and_tag.is_empty() => write!(f, "{digest}"),
            (Self::Ecr(_) | Self::Foreign(_), Some(digest)) => write!(f, "@{digest}"),
            (Self::Ecr(_) | Self::Foreign(_), None) => Ok(()),
        }
    }
}

/// The parts of `repository[:tag][@digest]`, not checked yet.
struct NamedImage<'a> {
    repository: &'a str,
    tag: Option<&'a str>,
    digest: Option<&'a str>,
}

impl<'a> NamedImage<'a> {
    fn split(path: &'a str) -> Self {
        let (name, digest) = match path.split_once('@') {
            Some((name, digest)) => (name, Some(digest)),
            None => (path, None),
        };
        let (repository, tag) = match name.split_once(':') {
            Some((repository, tag)) => (repository, Some(tag)),
            None => (name, None),
        };
        Self { repository, tag, digest }
    }
}

/// The prefix of references for containerd's ECR resolver; the rest of an ARN follows.
/// See <https://github.com/awslabs/amazon-ecr-containerd-resolver>.
const CONTAINERD: &str = "ecr.aws/arn:";
/// The separator of registry and repository name in an ARN.
const REPOSITORY: &str = ":repository/";

/// Splits text that looks like a reference to an ECR private registry, valid or not, into registry and path.
fn split_ecr(image: &str) -> Option<(&str, &str)> {
    if image.starts_with(CONTAINERD) {
        let end = image.find(REPOSITORY).map(|start| start + REPOSITORY.len() - 1);
        return Some(end.map_or((image, ""), |end| (&image[..end], &image[end + 1..])));
    }
    let (host, path) = image.split_once('/').unwrap_or((image, ""));
    let lower = host.to_ascii_lowercase();
    (lower.contains("dkr.ecr") || lower.contains("dkr-ecr")).then_some((host, path))
}

/// Account and region of a private registry, in any partition: `ACCOUNT.dkr.ecr.REGION.amazonaws.com`, its FIPS form
/// `dkr.ecr-fips`, the dual-stack forms `dkr-ecr` and `dkr-ecr-fips` under `on.aws`, and containerd's
/// `ecr.aws/arn:PARTITION:ecr:REGION:ACCOUNT:repository`. AWS adds partitions with new suffixes, so any suffix is valid.
///
/// See <https://docs.aws.amazon.com/AmazonECR/latest/userguide/ecr-requests.html>.
fn parse_host(host: &str) -> Option<(AccountId, Region)> {
    if let Some(arn) = host.strip_prefix(CONTAINERD) {
        let [_partition, "ecr", region, account, "repository"] = arn.split(':').collect::<Vec<_>>()[..] else {
            return None;
        };
        return Some((account.parse().ok()?, region.parse().ok()?));
    }
    let (account, rest) = host.split_once('.')?;
    let rest =
        ["dkr.ecr.", "dkr.ecr-fips.", "dkr-ecr.", "dkr-ecr-fips."].iter().find_map(|form| rest.strip_prefix(form))?;
    let (region, suffix) = rest.split_once('.')?;
    let label = |label: &str| {
        !label.is_empty() && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    suffix.split('.').all(label).then_some(())?;
    Some((account.parse().ok()?, region.parse().ok()?))
}

/// The account of a registry, even if the rest of its host is not valid.
fn account_of(host: &str) -> Option<AccountId> {
    match host.strip_prefix(CONTAINERD) {
        Some(arn) => arn.split(':').nth(3)?.parse().ok(),
        None => host.split('.').next()?.parse().ok(),
    }
}

/// The images that an unreadable reference can refer to. A placeholder can become any name, but never one with capitals.
fn reach_of(repository: &str) -> Reach {
    match (repository.parse(), repository.to_ascii_lowercase().parse::<RepositoryName>()) {
        (Ok(name), _) => Reach::Repository(name),
        (Err(_), Ok(_)) => Reach::Nothing,
        (Err(_), Err(_)) => Reach::Everything,
    }
}

/// A digest that is not SHA-256 can't be that of an ECR image, so it counts as part of the name.
fn foreign(text: &str) -> ForeignReference {
    match text.rsplit_once('@').map(|(name, digest)| (name, digest.parse())) {
        Some((name, Ok(digest))) => ForeignReference { name_and_tag: name.into(), image_digest: Some(digest) },
        _ => ForeignReference { name_and_tag: text.into(), image_digest: None },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEX: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn ecr(text: &str) -> EcrReference {
        match text.parse() {
            Ok(ImageReference::Ecr(reference)) => reference,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn tag_and_digest_are_both_used() {
        let host = "123456789012.dkr.ecr.us-west-2.amazonaws.com";
        let digest = format!("sha256:{HEX}");
        let cases = [
            (format!("{host}/app:v1"), Some("v1"), false),
            (format!("{host}/app@{digest}"), None, true),
            (format!("{host}/app:v1@{digest}"), Some("v1"), true),
            (format!("{host}/app"), Some("latest"), false),
            (format!("{host}/team/web/app:v1"), Some("v1"), false),
        ];
        for (text, tag, has_digest) in cases {
            let reference = ecr(&text);
            assert_eq!(reference.used_tag(), tag, "{text}");
            assert_eq!(reference.image_digest.is_some(), has_digest, "{text}");
            assert_eq!(ImageReference::Ecr(reference).to_string(), text);
        }
    }

    #[test]
    fn every_form_of_host_names_its_account_and_region() {
        for (host, region) in [
            ("123456789012.dkr.ecr.us-west-2.amazonaws.com", "us-west-2"),
            ("123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1"),
            ("123456789012.dkr-ecr.eu-central-1.on.aws", "eu-central-1"),
            ("123456789012.dkr-ecr-fips.us-east-1.on.aws", "us-east-1"),
            ("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", "cn-north-1"),
            ("123456789012.dkr-ecr.cn-north-1.on.amazonwebservices.com.cn", "cn-north-1"),
            ("123456789012.dkr.ecr.us-iso-east-1.c2s.ic.gov", "us-iso-east-1"),
            ("123456789012.dkr.ecr.us-isob-east-1.sc2s.sgov.gov", "us-isob-east-1"),
            ("123456789012.dkr.ecr.eusc-de-east-1.amazonaws.eu", "eusc-de-east-1"),
            ("ecr.aws/arn:aws:ecr:us-west-2:123456789012:repository", "us-west-2"),
            ("ecr.aws/arn:aws-cn:ecr:cn-north-1:123456789012:repository", "cn-north-1"),
        ] {
            let reference = ecr(&format!("{host}/app:v1"));
            assert_eq!(ImageReference::Ecr(reference.clone()).to_string(), format!("{host}/app:v1"));
            assert_eq!(reference.registry_id.as_str(), "123456789012", "{host}");
            assert_eq!(reference.region.as_str(), region, "{host}");
        }
    }

    #[test]
    fn containerds_references_have_tags_and_digests_too() {
        let (arn, digest) = ("ecr.aws/arn:aws:ecr:us-west-2:123456789012:repository", format!("sha256:{HEX}"));
        for (text, tag, has_digest) in [
            (format!("{arn}/team/app:v1"), Some("v1"), false),
            (format!("{arn}/team/app@{digest}"), None, true),
            (format!("{arn}/team/app:v1@{digest}"), Some("v1"), true),
            (format!("{arn}/team/app"), Some("latest"), false),
        ] {
            let reference = ecr(&text);
            assert_eq!(reference.repository_name.as_str(), "team/app", "{text}");
            assert_eq!((reference.used_tag(), reference.image_digest.is_some()), (tag, has_digest), "{text}");
            assert_eq!(ImageReference::Ecr(reference).to_string(), text);
        }
    }

    #[test]
    fn a_scheme_is_not_part_of_the_image() {
        let image = format!("123456789012.dkr.ecr.us-west-2.amazonaws.com/app@sha256:{HEX}");
        for scheme in ["docker-pullable", "docker", "https", "containerd"] {
            assert_eq!(ecr(&format!("{scheme}://{image}")), ecr(&image), "{scheme}");
        }
        let foreign: ImageReference = format!("docker-pullable://nginx@sha256:{HEX}").parse().unwrap();
        assert!(foreign.image_digest().is_some());
    }

    #[test]
    fn a_digest_alone_is_a_digest() {
        let digest = format!("sha256:{HEX}");
        for text in [digest.clone(), format!("docker://{digest}"), format!("@{digest}")] {
            let reference: ImageReference = text.parse().unwrap();
            assert!(matches!(reference, ImageReference::Foreign(_)), "{text}");
            assert_eq!(reference.image_digest(), digest.parse().ok(), "{text}");
            assert_eq!(reference.to_string(), digest);
        }
        // These are not digests, so they protect nothing.
        for text in [format!("sha256:{}", &HEX[1..]), format!("sha256:{}", HEX.to_uppercase()), format!("sha1:{HEX}")] {
            assert_eq!(text.parse::<ImageReference>().unwrap().image_digest(), None, "{text}");
        }
    }

    #[test]
    fn an_invalid_ecr_reference_has_the_images_that_it_can_refer_to() {
        let host = "123456789012.dkr.ecr.us-west-2.amazonaws.com";
        let (ours, repository) = (Some("123456789012"), |name: &str| Reach::Repository(name.parse().unwrap()));
        for (text, account, reach) in [
            (format!("{host}/app:bad tag"), ours, repository("app")),
            (format!("{host}/app:"), ours, repository("app")),
            (format!("{host}/app:${{TAG}}"), ours, repository("app")),
            (format!("{host}/app@sha512:{HEX}{HEX}"), ours, repository("app")),
            (format!("{host}/app@sha256:{}", &HEX[1..]), ours, repository("app")),
            (format!("{host}/app:v1:v2"), ours, repository("app")),
            (format!("{host}:443/app:v1"), ours, repository("app")),
            (format!("docker://{host}:443/app:v1"), ours, repository("app")),
            ("12345.dkr.ecr.us-west-2.amazonaws.com/team/app:v1".to_owned(), None, repository("team/app")),
            ("${ACCOUNT}.dkr.ecr.us-west-2.amazonaws.com/app:v1".to_owned(), None, repository("app")),
            ("123456789012.dkr.ecr.amazonaws.com/app".to_owned(), ours, repository("app")),
            ("123456789012.DKR.ECR.us-west-2.amazonaws.com/app".to_owned(), ours, repository("app")),
            ("ecr.aws/arn:aws:ecr:us-west-2:123456789012:repository/app:${TAG}".to_owned(), ours, repository("app")),
            ("ecr.aws/arn:aws:ecr::123456789012:repository/app:v1".to_owned(), ours, repository("app")),
            ("ecr.aws/arn:aws:ecr:us-west-2:123456789012:app".to_owned(), ours, Reach::Everything),
            (format!("{host}/App:v1"), ours, Reach::Nothing),
            (format!("{host}/team/APP@sha256:{HEX}"), ours, Reach::Nothing),
            (format!("{host}/"), ours, Reach::Everything),
            (host.to_owned(), ours, Reach::Everything),
            (format!("{host}/${{REPOSITORY}}:v1"), ours, Reach::Everything),
            (format!("{host}/Team/${{REPOSITORY}}:v1"), ours, Reach::Everything),
        ] {
            let error = text.parse::<ImageReference>().unwrap_err();
            assert_eq!(error.registry_id.as_ref().map(AccountId::as_str), account, "{text}");
            assert_eq!(error.reach, reach, "{text}");
            assert!(error.to_string().contains(&text), "{error}");
        }
    }

    #[test]
    fn foreign_images_keep_only_their_digest() {
        let digest = format!("sha256:{HEX}");
        for (text, has_digest) in [
            ("nginx".to_owned(), false),
            ("nginx:1.27".to_owned(), false),
            ("public.ecr.aws/nginx/nginx:1.27".to_owned(), false),
            ("localhost:5000/app:v1".to_owned(), false),
            (format!("mirror.example.com/proxy/app:v1@{digest}"), true),
            (format!("nginx@sha512:{HEX}{HEX}"), false),
            ("mirror.example.com/123456789012.dkr.ecr.us-west-2.amazonaws.com/app:v1".to_owned(), false),
            (String::new(), false),
        ] {
            let reference: ImageReference = text.parse().unwrap();
            assert!(matches!(reference, ImageReference::Foreign(_)), "{text}");
            assert_eq!(reference.image_digest().is_some(), has_digest, "{text}");
            assert_eq!(reference.to_string(), text);
        }
    }

    proptest! {
        #[test]
        fn every_valid_reference_prints_as_it_was_read(
            text in prop_oneof![
                any::<String>(),
                r"[0-9]{11,12}\.dkr[.-]ecr(-fips)?\.[a-z]{2}-[a-z]{1,9}-[0-9]\.(amazonaws\.com(\.cn)?|on\.aws)(/[a-z0-9._-]{1,9}){0,3}(:[A-Za-z0-9_.-]{0,9})?(@sha(256|512):[0-9a-f]{64})?",
            ],
        ) {
            if let Ok(reference) = text.parse::<ImageReference>() {
                prop_assert_eq!(&reference.to_string(), &text);
                prop_assert_eq!(reference.clone(), reference.to_string().parse().unwrap());
            }
        }
    }
}
