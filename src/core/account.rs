//! Accounts and regions. Every registry, workload and call belongs to one of each.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// An AWS account id: twelve digits. It is also the id of that account's ECR registry.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct AccountId(Arc<str>);

/// A region's code, such as `eu-central-1`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Region(Arc<str>);

/// A region of an account: the location of a registry, and of workloads.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    /// The account.
    pub account: AccountId,
    /// The region.
    pub region: Region,
}

/// The ARN of an IAM role: `arn:aws:iam::123456789012:role/path/name`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RoleArn {
    arn: Arc<str>,
    /// The account that the role is in.
    pub account: AccountId,
}

/// The external id that a role's trust policy can require. It is not a secret, but reports and logs never show it.
#[derive(Clone, PartialEq, Eq)]
pub struct ExternalId(Arc<str>);

/// Text that is not an account id, a region code or a role's ARN.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{text}` is not {expected}")]
pub struct NotAName {
    text: String,
    expected: &'static str,
}

impl NotAName {
    /// A description of valid text, with an example.
    #[must_use]
    pub fn expected(&self) -> &'static str {
        self.expected
    }
}

impl AccountId {
    /// The twelve digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Region {
    /// The code, as AWS writes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl RoleArn {
    /// The ARN.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.arn
    }
}

impl ExternalId {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ExternalId {
    type Err = NotAName;

    /// Checks STS's rule: 2 to 1,224 letters, digits and `_+=,.@:/-`.
    ///
    /// See <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>.
    fn from_str(text: &str) -> Result<Self, NotAName> {
        let is_allowed = |b: u8| b.is_ascii_alphanumeric() || b"_+=,.@:/-".contains(&b);
        if (2..=1_224).contains(&text.len()) && text.bytes().all(is_allowed) {
            Ok(Self(text.into()))
        } else {
            let expected = "an external id of 2 to 1224 letters, digits and _+=,.@:/-";
            Err(NotAName { text: "the given value".to_owned(), expected })
        }
    }
}

impl fmt::Debug for ExternalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ExternalId(…)")
    }
}

impl FromStr for RoleArn {
    type Err = NotAName;

    fn from_str(text: &str) -> Result<Self, NotAName> {
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        let account = match parts[..] {
            ["arn", partition, "iam", "", account, role] if partition.starts_with("aws") => role
                .strip_prefix("role/")
                .filter(|name| !name.is_empty() && !name.ends_with('/') && !name.contains(char::is_whitespace))
                .and_then(|_| account.parse().ok()),
            _ => None,
        };
        account.map(|account| Self { arn: text.into(), account }).ok_or_else(|| NotAName {
            text: text.to_owned(),
            expected: "a role's ARN such as arn:aws:iam::123456789012:role/ecr-cleanup-usage",
        })
    }
}

impl FromStr for AccountId {
    type Err = NotAName;

    fn from_str(text: &str) -> Result<Self, NotAName> {
        if text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit()) {
            Ok(Self(text.into()))
        } else {
            Err(NotAName { text: text.to_owned(), expected: "an account id of twelve digits" })
        }
    }
}

impl FromStr for Region {
    type Err = NotAName;

    /// Accepts any code of the form `xx-word-…-n`, so that a region newer than this program works.
    fn from_str(text: &str) -> Result<Self, NotAName> {
        let parts: Vec<&str> = text.split('-').collect();
        let well_formed = match parts.as_slice() {
            [words @ .., number] if words.len() >= 2 => {
                words.iter().all(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase()))
                    && !number.is_empty()
                    && number.bytes().all(|b| b.is_ascii_digit())
            }
            _ => false,
        };
        if well_formed {
            Ok(Self(text.into()))
        } else {
            Err(NotAName { text: text.to_owned(), expected: "a Region code such as us-west-2" })
        }
    }
}

impl Place {
    /// A region of an account.
    #[must_use]
    pub fn new(account: AccountId, region: Region) -> Self {
        Self { account, region }
    }
}

/// Deserializes a name from text, with the same checks as for a name that a person wrote.
macro_rules! try_from_text {
    ($($name:ident),*) => {$(
        impl TryFrom<String> for $name {
            type Error = NotAName;

            fn try_from(text: String) -> Result<Self, NotAName> {
                text.parse()
            }
        }
    )*};
}

try_from_text!(AccountId, Region, RoleArn);

impl From<RoleArn> for String {
    fn from(role: RoleArn) -> Self {
        role.arn.as_ref().to_owned()
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.account, self.region)
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_of_every_partition_parse() {
        for region in ["us-west-2", "us-gov-east-1", "cn-north-1", "ap-southeast-7", "us-isob-east-1", "eusc-de-east-1"]
        {
            assert_eq!(region.parse::<Region>().unwrap().as_str(), region);
        }
    }

    #[test]
    fn text_that_is_not_a_region_is_refused() {
        for text in ["", "us", "us-west", "us-west-", "US-WEST-2", "us west 2", "us-west-2a", "None", "-west-2"] {
            assert!(text.parse::<Region>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_roles_arn_has_its_account() {
        for arn in ["arn:aws:iam::123456789012:role/usage", "arn:aws-cn:iam::123456789012:role/a/path/usage"] {
            let role: RoleArn = arn.parse().unwrap();
            assert_eq!((role.as_str(), role.account.as_str()), (arn, "123456789012"));
        }
        for text in [
            "",
            "usage",
            "arn:aws:iam::1234:role/usage",
            "arn:aws:iam::123456789012:user/usage",
            "arn:aws:iam::123456789012:role/",
            "arn:aws:sts::123456789012:assumed-role/usage/session",
            "arn:aws:iam::123456789012:role/a b",
        ] {
            assert!(text.parse::<RoleArn>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn an_account_has_twelve_digits() {
        assert!("123456789012".parse::<AccountId>().is_ok());
        for text in ["", "12345678901", "1234567890123", "12345678901x", "１２３４"] {
            assert!(text.parse::<AccountId>().is_err(), "{text:?}");
        }
    }
}
