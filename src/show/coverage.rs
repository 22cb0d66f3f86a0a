//! Where ecr-cleanup searches for workloads, and where it doesn't: every report says both.

use ecr_cleanup_core::report::UsageSummary;

use super::figures::counted;

/// The services whose workloads are found.
pub const CHECKED: &str = "ECS and Lambda";

/// The services whose workloads are not found.
pub const UNCHECKED: [&str; 6] = ["EKS", "EC2", "Batch", "App Runner", "SageMaker", "CodeBuild"];

/// What else is not found.
const ALSO_UNCHECKED: &str = "schedules that pin older task definition revisions";

/// The workloads that a run searched for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Whether all of them could be read.
    pub complete: bool,
    /// The references to images that they have.
    pub references: u64,
    /// The number of Regions that were searched.
    pub regions: u64,
    /// The number of accounts that were searched.
    pub accounts: u64,
}

impl From<&UsageSummary> for Coverage {
    fn from(UsageSummary { complete, references, regions, accounts, .. }: &UsageSummary) -> Self {
        Self {
            complete: *complete,
            references: *references,
            regions: regions.len() as u64,
            accounts: accounts.len() as u64,
        }
    }
}

impl Coverage {
    /// Where the run searched, and what it found.
    #[must_use]
    pub fn checked(&self) -> String {
        let Self { complete, references, regions, accounts } = *self;
        let found = if complete { "found" } else { "not all could be read, found" };
        format!(
            "Checked {CHECKED} in {} of {}: {found} {}.",
            counted(regions, "Region", "Regions"),
            counted(accounts, "account", "accounts"),
            counted(references, "reference to an image", "references to images"),
        )
    }
}

/// Where no run searches.
#[must_use]
pub fn not_checked() -> String {
    format!("{}, and {ALSO_UNCHECKED}", UNCHECKED.join(", "))
}

/// The services where no run searches, as the end of a sentence: `EKS, EC2 or Batch`.
#[must_use]
pub fn unchecked_services() -> String {
    match UNCHECKED.split_last() {
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_says_where_it_searched_and_where_not() {
        let one = Coverage { complete: true, references: 1, regions: 1, accounts: 1 };
        assert_eq!(one.checked(), "Checked ECS and Lambda in 1 Region of 1 account: found 1 reference to an image.");
        let some = Coverage { complete: false, references: 1_200, regions: 3, accounts: 2 };
        assert_eq!(
            some.checked(),
            "Checked ECS and Lambda in 3 Regions of 2 accounts: not all could be read, found 1,200 references to images."
        );
        assert!(unchecked_services().ends_with("SageMaker or CodeBuild"));
    }

    #[test]
    fn the_readme_lists_the_same_services() {
        let readme = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md"));
        let lists_all = |paragraph: &str| UNCHECKED.iter().all(|service| paragraph.contains(service));
        assert!(readme.split("\n\n").any(lists_all), "no paragraph lists {UNCHECKED:?}");
    }
}
