//! Patterns for names in settings. They match whole names, case-sensitively, and `*` is their only wildcard.

use std::fmt;

use crate::image::RepositoryName;

/// A pattern whose `*` matches any number of characters, including none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Box<str>);

/// A pattern that can't match any name.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("invalid {noun} pattern \"{pattern}\": {}", self.problem())]
pub struct UnusablePattern {
    pattern: String,
    noun: &'static str,
    accepted: &'static str,
}

impl UnusablePattern {
    /// What is wrong with the pattern: a clause without the pattern.
    #[must_use]
    pub fn problem(&self) -> String {
        if self.pattern.is_empty() {
            "it is empty".to_owned()
        } else {
            format!("only * is a wildcard, and all other characters must be {}", self.accepted)
        }
    }
}

impl Pattern {
    /// A pattern for the names of repositories.
    ///
    /// # Errors
    /// If it is empty or has a character that no repository name has, such as those of a regex or a shell glob.
    pub fn for_repositories(pattern: &str) -> Result<Self, UnusablePattern> {
        let is_allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-/*".contains(&b);
        Self::checked(pattern, is_allowed, "repository", "a-z 0-9 . _ - /")
    }

    /// A pattern that matches only this repository's name, which has no wildcard.
    #[must_use]
    pub fn exactly(repository: &RepositoryName) -> Self {
        Self(repository.as_str().into())
    }

    /// A pattern for image tags.
    ///
    /// # Errors
    /// If it is empty or has a character that no tag has.
    pub fn for_tags(pattern: &str) -> Result<Self, UnusablePattern> {
        let is_allowed = |b: u8| b.is_ascii_alphanumeric() || b"._-*".contains(&b);
        Self::checked(pattern, is_allowed, "tag", "A-Z a-z 0-9 . _ -")
    }

    fn checked(
        pattern: &str,
        is_allowed: impl Fn(u8) -> bool,
        noun: &'static str,
        accepted: &'static str,
    ) -> Result<Self, UnusablePattern> {
        if !pattern.is_empty() && pattern.bytes().all(is_allowed) {
            Ok(Self(pattern.into()))
        } else {
            Err(UnusablePattern { pattern: pattern.to_owned(), noun, accepted })
        }
    }

    /// Whether the whole `name` matches.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        let Some((start, rest)) = self.0.split_once('*') else {
            return *self.0 == *name;
        };
        let Some(mut name) = name.strip_prefix(start) else {
            return false;
        };
        // Each part between two wildcards matches at its first occurrence: a later one only leaves less for the rest.
        let mut rest = rest;
        while let Some((part, further)) = rest.split_once('*') {
            let Some(at) = name.find(part) else {
                return false;
            };
            name = &name[at + part.len()..];
            rest = further;
        }
        name.ends_with(rest)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn matches_whole_names_only() {
        for (pattern, name, expected) in [
            ("app", "app", true),
            ("app", "app2", false),
            ("app", "my-app", false),
            ("*", "", true),
            ("*", "anything/at.all", true),
            ("app-*", "app-", true),
            ("app-*", "app-v1", true),
            ("*-app", "my-app", true),
            ("*-app", "my-app2", false),
            ("a*b*c", "abc", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "acb", false),
            ("ab*ba", "aba", false),
            ("**", "x", true),
            ("latest", "not-latest-really", false),
            ("latest", "LATEST", false),
            (".", "x", false),
        ] {
            assert_eq!(Pattern(pattern.into()).matches(name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn patterns_that_match_no_name_are_rejected() {
        for pattern in ["", "^app", "app?", "[ab]", "App", "app:v1", "a b"] {
            assert!(Pattern::for_repositories(pattern).is_err(), "{pattern}");
        }
        for pattern in ["", "^v.+$", "v1/x", "(v1)", "v 1"] {
            assert!(Pattern::for_tags(pattern).is_err(), "{pattern}");
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_same_regex(pattern in "[ab*]{1,7}", name in "[ab]{0,9}") {
            let regex = regex::Regex::new(&format!("^{}$", pattern.replace('*', ".*"))).unwrap();
            prop_assert_eq!(Pattern(pattern.into()).matches(&name), regex.is_match(&name));
        }
    }
}
