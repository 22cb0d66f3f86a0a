//! Whether a recorded pull of an index can be ecr-cleanup's own reading of its manifest.
//!
//! ecr-cleanup reads manifests with `BatchGetImage`, which clients also use to pull images. ECR therefore records it as a
//! pull, unless the caller is registered as an exclusion. Without an exclusion and without a record of own readings, every
//! recorded pull counts. The pulls of the child images are not enough: a node that has an image's layers already pulls
//! only its index.
//!
//! See <https://docs.aws.amazon.com/AmazonECR/latest/userguide/pull-time-update-exclusions.html>.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::account::Region;
use crate::image::ManifestKind;

/// Whether the recorded pulls of indexes can be ecr-cleanup's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum IndexPulls {
    /// ECR doesn't record own readings, so every recorded pull is somebody else's.
    #[default]
    OfOthers,
    /// They can be own readings. A pull of an index that was recorded since a run read it proves nothing. Other clients
    /// usually pull one of its child images too, and ecr-cleanup never reads those.
    MayBeOwn,
}

/// The caller of the API, as returned by `GetCallerIdentity`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    partition: Box<str>,
    account: Box<str>,
    kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    /// The name of an assumed role: the identity of a session does not have the role's path.
    Role(Box<str>),
    /// The ARN of a user.
    User(Box<str>),
    /// Any other caller, which can't be registered: the root user, a federated user, or an unknown one.
    Other,
}

/// The command that registers a principal as a pull-time exclusion, so that ECR ignores its pulls in a region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisterCommand(String);

impl IndexPulls {
    /// The value for this caller, if these principals are registered as exclusions.
    pub fn of<'a>(principal: &Principal, mut excluded: impl Iterator<Item = &'a str>) -> Self {
        if excluded.any(|arn| principal.is_named_by(arn)) { Self::OfOthers } else { Self::MayBeOwn }
    }

    /// Whether a pull of an image of this kind counts if it was recorded since this run read the manifests.
    #[must_use]
    pub fn count(self, manifest: ManifestKind) -> bool {
        match (self, manifest) {
            (Self::MayBeOwn, ManifestKind::Index) => false,
            // If the kind is unknown, even an own reading keeps the image: unknown means keep.
            (Self::MayBeOwn, ManifestKind::Manifest | ManifestKind::Unknown) | (Self::OfOthers, _) => true,
        }
    }
}

impl Principal {
    /// Parses the ARN of a caller's identity.
    #[must_use]
    pub fn of_identity(arn: &str) -> Self {
        let parts: Vec<&str> = arn.splitn(6, ':').collect();
        let [_, partition, service, _, account, resource] = parts[..] else {
            return Self { partition: "aws".into(), account: "".into(), kind: Kind::Other };
        };
        let kind = match (service, resource.split('/').collect::<Vec<_>>().as_slice()) {
            ("sts", ["assumed-role", name, _session]) => Kind::Role((*name).into()),
            ("iam", ["user", ..]) => Kind::User(arn.into()),
            _ => Kind::Other,
        };
        Self { partition: partition.into(), account: account.into(), kind }
    }

    /// Whether this is its IAM ARN, with or without a path.
    fn is_named_by(&self, arn: &str) -> bool {
        match &self.kind {
            Kind::User(user) => arn == &**user,
            Kind::Role(name) => {
                let parts: Vec<&str> = arn.splitn(6, ':').collect();
                // A role's name is unique in its account, so the path makes no difference.
                matches!(parts[..], [_, _, "iam", _, account, role] if account == &*self.account
                    && role.starts_with("role/") && role.rsplit('/').next() == Some(name))
            }
            Kind::Other => false,
        }
    }

    /// The command that registers it; `None` if it can't be registered.
    #[must_use]
    pub fn register_command(&self, region: &Region) -> Option<RegisterCommand> {
        let Self { partition, account, kind } = self;
        let arn = match kind {
            Kind::Role(name) => format!("arn:{partition}:iam::{account}:role/{name}"),
            Kind::User(arn) => arn.to_string(),
            Kind::Other => return None,
        };
        Some(RegisterCommand(format!(
            "aws ecr register-pull-time-update-exclusion --principal-arn {arn} --region {region}"
        )))
    }
}

impl fmt::Display for RegisterCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROLE: &str = "arn:aws:sts::123456789012:assumed-role/ecr-cleanup/run";
    const USER: &str = "arn:aws:iam::123456789012:user/admins/ann";

    #[test]
    fn an_exclusion_matches_the_roles_name_or_the_users_arn() {
        for (identity, excluded, pulls) in [
            (ROLE, "arn:aws:iam::123456789012:role/ecr-cleanup", IndexPulls::OfOthers),
            (ROLE, "arn:aws:iam::123456789012:role/a/path/ecr-cleanup", IndexPulls::OfOthers),
            (ROLE, "arn:aws:iam::999999999999:role/ecr-cleanup", IndexPulls::MayBeOwn),
            (ROLE, "arn:aws:iam::123456789012:role/not-ecr-cleanup", IndexPulls::MayBeOwn),
            (ROLE, "arn:aws:iam::123456789012:role/ecr-cleanup/other", IndexPulls::MayBeOwn),
            (ROLE, "arn:aws:iam::123456789012:user/ecr-cleanup", IndexPulls::MayBeOwn),
            (ROLE, "ecr-cleanup", IndexPulls::MayBeOwn),
            (USER, USER, IndexPulls::OfOthers),
            (USER, "arn:aws:iam::123456789012:user/ann", IndexPulls::MayBeOwn),
            ("arn:aws:iam::123456789012:root", "arn:aws:iam::123456789012:root", IndexPulls::MayBeOwn),
            ("", "", IndexPulls::MayBeOwn),
        ] {
            let principal = Principal::of_identity(identity);
            assert_eq!(IndexPulls::of(&principal, [excluded].into_iter()), pulls, "{identity}, {excluded}");
        }
        assert_eq!(IndexPulls::of(&Principal::of_identity(ROLE), [].into_iter()), IndexPulls::MayBeOwn);
    }

    #[test]
    fn the_command_has_the_iam_arn_of_the_principal() {
        let command = |identity| {
            let region = "eu-west-1".parse().unwrap();
            Principal::of_identity(identity).register_command(&region).map(|command| command.to_string())
        };
        let begin = "aws ecr register-pull-time-update-exclusion --principal-arn";
        let expected = format!("{begin} arn:aws:iam::123456789012:role/ecr-cleanup --region eu-west-1");
        assert_eq!(command(ROLE), Some(expected));
        assert_eq!(command(USER), Some(format!("{begin} {USER} --region eu-west-1")));
        let china = "arn:aws-cn:sts::123456789012:assumed-role/r/s";
        assert_eq!(command(china), Some(format!("{begin} arn:aws-cn:iam::123456789012:role/r --region eu-west-1")));
        assert_eq!(command("arn:aws:iam::123456789012:root"), None);
    }
}
