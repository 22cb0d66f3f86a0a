//! Patterns for names, as the settings take them: they match whole names, case-sensitively, and `*` is their only
//! wildcard.

use std::fmt;

use crate::image::RepositoryName;

/// A pattern whose `*` stands for any number of characters, none included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Box<str>);

/// Text that can't match any name.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{pattern}` can match no {noun}: only {accepted} and the wildcard * may stand in it")]
pub struct UnusablePattern {
    pattern: String,
    noun: &'static str,
    accepted: &'static str,
}

impl Pattern {
    /// A pattern for the names of repositories.
    ///
    /// # Errors
    /// When it is empty or holds a character that no repository's name has, such as those of a regex or a shell glob.
    pub fn for_repositories(pattern: &str) -> Result<Self, UnusablePattern> {
        let may_stand = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-/*".contains(&b);
        Self::checked(pattern, may_stand, "repository", "a-z 0-9 . _ - /")
    }

    /// A pattern that matches this repository's name alone, which holds no wildcard.
    #[must_use]
    pub fn exactly(repository: &RepositoryName) -> Self {
        Self(repository.as_str().into())
    }

    /// A pattern for image tags.
    ///
    /// # Errors
    /// When it is empty or holds a character that no tag has.
    pub fn for_tags(pattern: &str) -> Result<Self, UnusablePattern> {
        let may_stand = |b: u8| b.is_ascii_alphanumeric() || b"._-*".contains(&b);
        Self::checked(pattern, may_stand, "image tag", "A-Z a-z 0-9 . _ -")
    }

    fn checked(
        pattern: &str,
        may_stand: impl Fn(u8) -> bool,
        noun: &'static str,
        accepted: &'static str,
    ) -> Result<Self, UnusablePattern> {
        if !pattern.is_empty() && pattern.bytes().all(may_stand) {
            Ok(Self(pattern.into()))
        } else {
            Err(UnusablePattern { pattern: pattern.to_owned(), noun, accepted })
        }
    }

    /// Whether the whole of `name` matches.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        let Some((start, rest)) = self.0.split_once('*') else {
            return *self.0 == *name;
        };
        let Some(mut name) = name.strip_prefix(start) else {
            return false;
        };
        // Each part between two wildcards is taken at its first place: a later one could only leave less for the rest.
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
    fn refuses_what_can_match_nothing() {
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
