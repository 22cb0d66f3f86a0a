//! The repositories of a registry.

use aws_sdk_ecr::operation::describe_repositories::DescribeRepositoriesOutput;
use ecr_cleanup_core::call_error::{CallError, Missing};
use ecr_cleanup_core::image::RepositoryName;
use ecr_cleanup_core::settings::RepositorySelection;
use futures::stream::{self, StreamExt};

use super::{PER_PAGE, REPOSITORIES_AT_ONCE, Registry};
use crate::progress::{News, Progress};

const DESCRIBE_REPOSITORIES: &str = "ecr:DescribeRepositories";

impl Registry<'_> {
    /// Lists the repositories to clean, in the order of their names.
    ///
    /// # Errors
    /// When they can't be listed completely.
    pub async fn list_repositories(
        &self,
        selection: &RepositorySelection,
        progress: &dyn Progress,
    ) -> Result<Vec<RepositoryName>, CallError> {
        let is_selected = |name: &RepositoryName| {
            let is_selected = selection.contains(name);
            if !is_selected {
                progress.tell(News::PassedOver { repository: name });
            }
            is_selected
        };
        let listing = self.client.describe_repositories().into_paginator().page_size(PER_PAGE).send();
        let mut names = Vec::new();
        self.caller()
            .pages(DESCRIBE_REPOSITORIES, listing, DescribeRepositoriesOutput::next_token, |page| {
                let listed = page.repositories?;
                let listed = listed.iter().filter_map(|repository| repository.repository_name());
                names.extend(listed.map(RepositoryName::from_ecr).filter(is_selected));
                Some(())
            })
            .await?;
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    /// Whether a repository was deleted in the meantime, after a call for it failed with any error.
    pub async fn is_gone(&self, name: &RepositoryName, error: &CallError) -> bool {
        if error.is_missing(Missing::Repository) || !error.is_in_doubt() {
            return error.is_missing(Missing::Repository);
        }
        let request = self.client.describe_repositories().repository_names(name.as_str());
        let answer = self.caller().call(DESCRIBE_REPOSITORIES, request.send()).await;
        answer.is_err_and(|error| error.is_missing(Missing::Repository))
    }
}

/// Runs `act` for each of these repositories, several at a time. The results are in the order of the names.
pub async fn each_repository<T>(names: Vec<RepositoryName>, act: impl AsyncFn(RepositoryName) -> T) -> Vec<T> {
    let act = &act;
    let mut done: Vec<(usize, T)> = stream::iter(names.into_iter().enumerate())
        .map(async |(place, name)| (place, act(name).await))
        .buffer_unordered(REPOSITORIES_AT_ONCE)
        .collect()
        .await;
    done.sort_unstable_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, answer)| answer).collect()
}
