//! Who else can pull from a repository by its resource policy, and whether the workloads of those accounts were read.
//!
//! Pure. Statements that deny are ignored, and an unknown principal counts as anyone.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::{Map, Value};

use crate::account::AccountId;

/// The actions that pull an image.
const PULL_ACTIONS: [&str; 2] = ["ecr:batchgetimage", "ecr:getdownloadurlforlayer"];

/// The service that pulls the images of Lambda functions.
const LAMBDA: &str = "lambda.amazonaws.com";

/// Condition keys for the account on whose behalf the call is made, or for a resource of it.
const ACCOUNT_CONDITIONS: [&str; 4] =
    ["aws:principalaccount", "aws:sourceaccount", "aws:sourcearn", "aws:principalarn"];

/// The accounts that a resource policy allows to pull.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pullers {
    accounts: BTreeSet<AccountId>,
    /// Everyone, an organization, or a service on behalf of anyone.
    anyone: bool,
}

/// The setting `acceptUnseenAccounts`: accounts that can pull although their workloads aren't read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AcceptedAccounts {
    /// These accounts.
    pub accounts: BTreeSet<AccountId>,
    /// Any account.
    pub anyone: bool,
}

/// The accounts that can pull and whose workloads aren't read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unseen {
    accounts: BTreeSet<AccountId>,
    anyone: bool,
}

/// Text that is not an IAM policy.
#[derive(Debug, thiserror::Error)]
#[error("the resource policy is not valid: {0}")]
pub struct NotAPolicy(String);

impl Pullers {
    /// Reads the resource policy of a repository, or that of the registry, which applies to all its repositories.
    ///
    /// See <https://docs.aws.amazon.com/AmazonECR/latest/userguide/repository-policies.html> and
    /// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/registry-permissions.html>.
    ///
    /// # Errors
    /// If it is not JSON with statements.
    pub fn of_policy(text: &str) -> Result<Self, NotAPolicy> {
        let policy: Value = serde_json::from_str(text).map_err(|error| NotAPolicy(error.to_string()))?;
        let statements = match &policy["Statement"] {
            Value::Array(statements) => statements.as_slice(),
            statement @ Value::Object(_) => std::slice::from_ref(statement),
            _ => return Err(NotAPolicy("it has no statement".to_owned())),
        };
        let mut pullers = Self::default();
        for statement in statements {
            if statement["Effect"] != "Deny" && lets_pull(statement) {
                pullers.add_statement(statement);
            }
        }
        Ok(pullers)
    }

    /// The union of both.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self { accounts: &self.accounts | &other.accounts, anyone: self.anyone || other.anyone }
    }

    /// Those whose workloads aren't read and that the settings don't accept.
    #[must_use]
    pub fn unseen(&self, seen: &BTreeSet<AccountId>, accepted: &AcceptedAccounts) -> Option<Unseen> {
        if accepted.anyone {
            return None;
        }
        let known = |account: &&AccountId| !seen.contains(*account) && !accepted.accounts.contains(*account);
        let accounts: BTreeSet<AccountId> = self.accounts.iter().filter(known).cloned().collect();
        (self.anyone || !accounts.is_empty()).then_some(Unseen { accounts, anyone: self.anyone })
    }

    fn add_statement(&mut self, statement: &Value) {
        // The conditions of a statement can limit it to accounts although its principal is everyone or a service.
        let by_conditions = |pullers: &mut Self| match accounts_of_conditions(&statement["Condition"]) {
            Some(accounts) => pullers.accounts.extend(accounts),
            None => pullers.anyone = true,
        };
        let Value::Object(principals) = &statement["Principal"] else {
            return by_conditions(self);
        };
        for (kind, names) in principals {
            for name in texts(names) {
                match (kind.as_str(), account_of_principal(name)) {
                    ("AWS", Some(account)) => _ = self.accounts.insert(account),
                    // AWS's documentation has this statement for functions of the same account. Functions of another
                    // account also need a statement for that account, and then that statement counts.
                    ("Service", None) if name == LAMBDA && has_no_condition(statement) => {}
                    _ => by_conditions(self),
                }
            }
        }
    }
}

impl AcceptedAccounts {
    /// Whether the replicas in an account don't have to be read. `*` does not include the source registry's account, which
    /// can be read: after a failed call there, run again, or list that account in the setting.
    #[must_use]
    pub fn cover_copies(&self, holder: &AccountId, own: &AccountId) -> bool {
        self.accounts.contains(holder) || (self.anyone && holder != own)
    }
}

impl Unseen {
    /// The value to add to `acceptUnseenAccounts`, with its noun.
    #[must_use]
    pub fn to_accept(&self) -> &'static str {
        match (self.anyone, self.accounts.len()) {
            (true, _) => "*",
            (false, 1) => "the account",
            (false, _) => "the accounts",
        }
    }
}

impl fmt::Display for Unseen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let accounts: Vec<&str> = self.accounts.iter().map(AccountId::as_str).collect();
        match (self.anyone, accounts.as_slice()) {
            (true, _) => f.write_str("anyone, an organization, or a service for any account"),
            (false, [one]) => write!(f, "account {one}"),
            (false, some) => write!(f, "accounts {}", some.join(", ")),
        }
    }
}

fn lets_pull(statement: &Value) -> bool {
    let actions = &statement["Action"];
    if actions.is_null() {
        // NotAction allows every action that it doesn't list.
        return true;
    }
    texts(actions).any(|pattern| PULL_ACTIONS.iter().any(|action| matches(&pattern.to_ascii_lowercase(), action)))
}

fn has_no_condition(statement: &Value) -> bool {
    let condition = &statement["Condition"];
    condition.is_null() || condition.as_object().is_some_and(Map::is_empty)
}

/// The account of `123456789012`, or of an ARN in it.
fn account_of_principal(name: &str) -> Option<AccountId> {
    name.parse().ok().or_else(|| account_of_arn(name))
}

fn account_of_arn(arn: &str) -> Option<AccountId> {
    arn.strip_prefix("arn:")?.split(':').nth(3)?.parse().ok()
}

/// The accounts that the conditions limit a statement to. All conditions must be true, so one with accounts is enough.
fn accounts_of_conditions(conditions: &Value) -> Option<BTreeSet<AccountId>> {
    let limiting = ["stringequals", "stringlike", "stringequalsignorecase", "arnequals", "arnlike"];
    let operators = conditions.as_object()?.iter();
    operators
        .filter(|(operator, _)| limiting.contains(&operator.to_ascii_lowercase().as_str()))
        .filter_map(|(_, keys)| keys.as_object())
        .flatten()
        .filter(|(key, _)| ACCOUNT_CONDITIONS.contains(&key.to_ascii_lowercase().as_str()))
        .find_map(|(_, values)| texts(values).map(account_of_principal).collect())
}

/// A string, or the strings of a list. Any other value counts as an empty string, which is no account.
fn texts(value: &Value) -> impl Iterator<Item = &str> {
    let list = match value {
        Value::Array(list) => list.as_slice(),
        one => std::slice::from_ref(one),
    };
    list.iter().map(|text| text.as_str().unwrap_or_default())
}

/// IAM's wildcards: `*` matches any number of characters, `?` one. It backtracks only to the last `*`, so the time is
/// bounded by the product of the lengths.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    let mut last_star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                last_star = Some((p, t));
                p += 1;
            }
            Some(expected) if *expected == b'?' || *expected == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match &mut last_star {
                Some((star, from)) => {
                    *from += 1;
                    (p, t) = (*star + 1, *from);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|rest| *rest == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const OWN: &str = "111111111111";
    const OTHER: &str = "222222222222";

    fn unseen(statement: &Value, accepted: &AcceptedAccounts) -> Option<String> {
        let policy = json!({ "Version": "2012-10-17", "Statement": [statement] }).to_string();
        let seen = BTreeSet::from([OWN.parse().unwrap()]);
        Pullers::of_policy(&policy).unwrap().unseen(&seen, accepted).map(|unseen| unseen.to_string())
    }

    fn allow(principal: &Value, action: &Value, condition: &Value) -> Value {
        json!({ "Effect": "Allow", "Principal": principal, "Action": action, "Condition": condition })
    }

    #[test]
    fn accounts_that_can_pull_and_are_not_read_are_unseen() {
        let pull = json!(["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]);
        let none = json!({});
        let other = Some("account 222222222222");
        let anyone = Some("anyone, an organization, or a service for any account");
        let root = |account: &str| json!({ "AWS": format!("arn:aws:iam::{account}:root") });
        let service = json!({ "Service": "lambda.amazonaws.com" });
        let from = |account: &str| json!({ "StringLike": { "aws:sourceArn": format!("arn:aws:lambda:us-east-1:{account}:function:*") } });
        for (behaviour, principal, action, condition, expected) in [
            ("the own account", root(OWN), pull.clone(), none.clone(), None),
            ("another account", root(OTHER), pull.clone(), none.clone(), other),
            ("another account by its number", json!({ "AWS": OTHER }), pull.clone(), none.clone(), other),
            (
                "a role there",
                json!({ "AWS": [format!("arn:aws:iam::{OTHER}:role/x")] }),
                pull.clone(),
                none.clone(),
                other,
            ),
            ("another account that may only push", root(OTHER), json!("ecr:PutImage"), none.clone(), None),
            ("another account that may do all", root(OTHER), json!("ecr:*"), none.clone(), other),
            ("another account by a wildcard", root(OTHER), json!("ECR:batch?et*"), none.clone(), other),
            ("everyone", json!("*"), pull.clone(), none.clone(), anyone),
            ("everyone, spelled out", json!({ "AWS": "*" }), json!("*"), none.clone(), anyone),
            (
                "an organization",
                json!("*"),
                pull.clone(),
                json!({ "StringEquals": { "aws:PrincipalOrgID": "o-1" } }),
                anyone,
            ),
            (
                "everyone of an account",
                json!("*"),
                pull.clone(),
                json!({ "StringEquals": { "aws:PrincipalAccount": OTHER } }),
                other,
            ),
            ("a principal that was deleted", json!({ "AWS": "AROAEXAMPLE" }), pull.clone(), none.clone(), anyone),
            ("a service for the own account", service.clone(), pull.clone(), from(OWN), None),
            ("a service for another account", service.clone(), pull.clone(), from(OTHER), other),
            ("a service for any account", service.clone(), pull.clone(), from("*"), anyone),
            ("Lambda without condition", service.clone(), pull.clone(), none.clone(), None),
            ("Lambda without condition, in a list", json!({ "Service": [LAMBDA] }), pull.clone(), none.clone(), None),
            (
                "Lambda and another account",
                json!({ "Service": LAMBDA, "AWS": OTHER }),
                pull.clone(),
                none.clone(),
                other,
            ),
            (
                "Lambda and another service",
                json!({ "Service": [LAMBDA, "ecs-tasks.amazonaws.com"] }),
                pull.clone(),
                none.clone(),
                anyone,
            ),
            (
                "Lambda of an organization",
                service.clone(),
                pull.clone(),
                json!({ "StringEquals": { "aws:SourceOrgID": "o-1" } }),
                anyone,
            ),
            (
                "a principal with the name of Lambda that is not a service",
                json!({ "Federated": LAMBDA }),
                pull.clone(),
                none.clone(),
                anyone,
            ),
            (
                "another service without condition",
                json!({ "Service": "codebuild.amazonaws.com" }),
                pull.clone(),
                none.clone(),
                anyone,
            ),
            (
                "a condition that can be absent",
                json!("*"),
                pull.clone(),
                json!({ "StringEqualsIfExists": { "aws:PrincipalAccount": OWN } }),
                anyone,
            ),
            (
                "a condition that excludes",
                json!("*"),
                pull.clone(),
                json!({ "StringNotEquals": { "aws:PrincipalAccount": OTHER } }),
                anyone,
            ),
        ] {
            let statement = allow(&principal, &action, &condition);
            assert_eq!(unseen(&statement, &AcceptedAccounts::default()).as_deref(), expected, "{behaviour}");
        }
    }

    #[test]
    fn in_doubt_a_policy_allows_more() {
        let nobody = AcceptedAccounts::default();
        assert!(
            unseen(&json!({ "Effect": "Allow", "NotPrincipal": { "AWS": OWN }, "Action": "ecr:*" }), &nobody).is_some()
        );
        assert!(
            unseen(&json!({ "Effect": "Allow", "Principal": "*", "NotAction": "ecr:PutImage" }), &nobody).is_some()
        );
        assert_eq!(unseen(&json!({ "Effect": "Deny", "Principal": "*", "Action": "ecr:*" }), &nobody), None);
        for text in ["", "[]", "{}", "{\"Statement\": 3}"] {
            assert!(Pullers::of_policy(text).is_err(), "{text}");
        }
    }

    #[test]
    fn wildcards_match_as_iams_do_and_in_time() {
        for (pattern, expected) in [
            ("ecr:*", true),
            ("*", true),
            ("ecr:batch*image", true),
            ("ecr:batchgetimag?", true),
            ("ecr:?", false),
            ("ecr:*x", false),
            ("", false),
        ] {
            assert_eq!(matches(pattern, "ecr:batchgetimage"), expected, "{pattern}");
        }
        assert!(!matches(&format!("ecr:{}x", "*".repeat(1_000)), "ecr:batchgetimage"));
    }

    #[test]
    fn accepted_accounts_need_not_be_seen() {
        let accept =
            |account: &str| AcceptedAccounts { accounts: BTreeSet::from([account.parse().unwrap()]), anyone: false };
        let statement = allow(&json!({ "AWS": [OTHER, "333333333333"] }), &json!("ecr:*"), &json!({}));
        assert_eq!(unseen(&statement, &accept(OTHER)).as_deref(), Some("account 333333333333"));
        let everyone = allow(&json!("*"), &json!("ecr:*"), &json!({}));
        assert!(unseen(&everyone, &accept(OTHER)).is_some(), "one account is not everyone");
        assert_eq!(unseen(&everyone, &AcceptedAccounts { anyone: true, ..AcceptedAccounts::default() }), None);
    }
}
