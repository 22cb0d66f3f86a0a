//! Reads the images of versions. The listing contains the digest of each. A call for one version of each digest returns
//! the repository, and shows whether the listing's digests are correct. If they are not, every version is requested.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ecr_cleanup_core::call_error::CallError;
use ecr_cleanup_core::reference::ImageReference;
use ecr_cleanup_core::usage::{Fact, Holder};
use futures::stream::{self, Stream, StreamExt};

use super::versions::{Version, digest_of};
use super::{GET_FUNCTION, LAMBDA, Lambda, VERSION};

/// Versions requested at a time. An answer takes longer than the interval of its quota.
const VERSIONS_AT_ONCE: usize = 16;

/// The known facts about the versions so far.
#[derive(Default)]
pub(super) struct Codes {
    by_digest: RefCell<BTreeMap<String, Group>>,
    /// Versions without a listed digest.
    others: RefCell<BTreeSet<Version>>,
}

/// The versions of one listed digest.
#[derive(Default)]
struct Group {
    asked: BTreeSet<Version>,
    not_asked: BTreeSet<Version>,
    proof: Proof,
}

/// Whether the listed digest is that of the image.
#[derive(Clone, Debug, Default)]
enum Proof {
    /// No version has shown it yet: it was deleted, or has new code.
    #[default]
    Missing,
    /// It is. This is the image with repository and digest.
    Given(Box<str>),
    /// It is not, or the answer has no digest.
    Refuted,
}

impl Codes {
    /// Requests as many of these versions as needed.
    pub(super) async fn read(&self, lambda: &Lambda<'_>, versions: impl Stream<Item = Version>) {
        let ask = async |version: Version| {
            if self.is_to_be_asked(&version) {
                self.ask(lambda, &version).await;
            }
        };
        versions.for_each_concurrent(VERSIONS_AT_ONCE, ask).await;
    }

    /// Requests the remaining versions that need it, and notes the images of all.
    pub(super) async fn conclude(self, lambda: &Lambda<'_>) {
        while let Some(next) = self.next_to_ask() {
            let ask = async |version: Version| self.ask(lambda, &version).await;
            stream::iter(next).for_each_concurrent(VERSIONS_AT_ONCE, ask).await;
        }
        for (digest, Group { asked, not_asked, proof }) in self.by_digest.into_inner() {
            let image = match &proof {
                Proof::Given(image) => image,
                Proof::Missing | Proof::Refuted => digest.as_str(),
            };
            for version in asked.iter().chain(&not_asked) {
                lambda.reader.uses(&Holder::of_arn(&VERSION, Some(&version.arn())), Some(image), None);
            }
        }
    }

    /// Whether this version has to be requested: the first of its digest, and every one without a digest.
    fn is_to_be_asked(&self, version: &Version) -> bool {
        let Some(digest) = &version.image_digest else {
            return self.others.borrow_mut().insert(version.clone());
        };
        let mut groups = self.by_digest.borrow_mut();
        let group = groups.entry(digest.clone()).or_default();
        if group.asked.is_empty() {
            return group.asked.insert(version.clone());
        }
        if !group.asked.contains(version) {
            group.not_asked.insert(version.clone());
        }
        false
    }

    /// Another version of each unproven digest, or all versions once a digest is refuted; `None` if none is left.
    fn next_to_ask(&self) -> Option<Vec<Version>> {
        let mut groups = self.by_digest.borrow_mut();
        let none_is_believed = groups.values().any(|group| matches!(group.proof, Proof::Refuted));
        let mut next = Vec::new();
        for group in groups.values_mut() {
            let versions = match group.proof {
                Proof::Missing | Proof::Given(_) | Proof::Refuted if none_is_believed => {
                    std::mem::take(&mut group.not_asked)
                }
                Proof::Missing => group.not_asked.pop_first().into_iter().collect(),
                Proof::Given(_) | Proof::Refuted => continue,
            };
            group.asked.extend(versions.iter().cloned());
            next.extend(versions);
        }
        (!next.is_empty()).then_some(next)
    }

    async fn ask(&self, lambda: &Lambda<'_>, version: &Version) {
        let answer = match lambda.code(version).await {
            // Deleted in between.
            Err(error) if error.says_gone() => Ok(Proof::Missing),
            answer => answer,
        };
        let mut groups = self.by_digest.borrow_mut();
        let group = version.image_digest.as_ref().and_then(|digest| groups.get_mut(digest));
        match (answer, group) {
            (Ok(proof), Some(group)) => {
                group.proof = match (&group.proof, proof) {
                    (Proof::Refuted, _) | (_, Proof::Refuted) => Proof::Refuted,
                    (Proof::Given(image), _) => Proof::Given(image.clone()),
                    (Proof::Missing, Proof::Given(image)) => Proof::Given(image),
                    (Proof::Missing, Proof::Missing) => Proof::Missing,
                };
            }
            (Ok(_), None) => {}
            (Err(error), group) => {
                lambda.reader.fail(LAMBDA, error);
                // Usage is incomplete from here on, so the others of this digest need no call.
                if let Some(Group { asked, not_asked, .. }) = group {
                    asked.append(not_asked);
                }
            }
        }
    }
}

impl Lambda<'_> {
    /// Notes the image of a version, as referenced and as resolved. Returns whether it agrees with the listing.
    async fn code(&self, version: &Version) -> Result<Proof, CallError> {
        let arn = version.arn();
        let key = version.code_key();
        let (code, proof) = match self.reader.fact(&key) {
            Some(code) => (Arc::clone(&code), proof(&code, version.image_digest.as_deref())),
            None => self.get_code(version, &arn, &key).await?,
        };
        self.reader.uses_all(&Holder::of_arn(&VERSION, Some(&arn)), &code);
        Ok(proof)
    }

    async fn get_code(&self, version: &Version, arn: &str, key: &str) -> Result<(Arc<Fact>, Proof), CallError> {
        let request = self.client.get_function().function_name(&version.function).qualifier(&version.qualifier);
        let answer = self.reader.calls.read(GET_FUNCTION, || request.clone().send()).await?;
        let code = answer
            .code
            .ok_or_else(|| CallError::unexpected(GET_FUNCTION, &format!("the answer has no code for {arn}")))?;
        let code = Arc::new(Fact::named(code.image_uri.into_iter().chain(code.resolved_image_uri)));
        if code.images.is_empty() {
            return Err(CallError::unexpected(GET_FUNCTION, &format!("the answer has no image for {arn}")));
        }
        let sum = answer.configuration.as_ref().and_then(|configuration| configuration.code_sha256());
        if version.number().is_none() && sum.and_then(digest_of) != version.image_digest {
            // It has had new code since the listing, so this says nothing about the old code.
            return Ok((code, Proof::Missing));
        }
        let proof = proof(&code, version.image_digest.as_deref());
        if version.number().is_some() || matches!(proof, Proof::Given(_)) {
            self.reader.learn(key, &code);
        }
        Ok((code, proof))
    }
}

/// Whether the image of a version, the resolved one if there is one, has the listed digest.
fn proof(code: &Fact, listed: Option<&str>) -> Proof {
    let Some(listed) = listed else {
        return Proof::Missing;
    };
    let image = code.images.last().and_then(|image| image.image.as_deref()).unwrap_or_default();
    let digest = image.parse().ok().and_then(|image: ImageReference| image.image_digest());
    if digest.is_some_and(|digest| digest.to_string() == listed) { Proof::Given(image.into()) } else { Proof::Refuted }
}
