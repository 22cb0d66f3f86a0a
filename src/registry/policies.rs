//! Reads the policies of a registry and of its repositories: which principals can pull, and which images ECR deletes
//! itself.

use ecr_cleanup_core::call_error::{CallError, Missing};
use ecr_cleanup_core::image::RepositoryName;
use ecr_cleanup_core::policy::Policy;
use ecr_cleanup_core::sharing::Pullers;

use super::Registry;

const GET_LIFECYCLE_POLICY: &str = "ecr:GetLifecyclePolicy";
const GET_REGISTRY_POLICY: &str = "ecr:GetRegistryPolicy";
const GET_REPOSITORY_POLICY: &str = "ecr:GetRepositoryPolicy";

impl Registry<'_> {
    /// The principals that can pull from a repository besides its own account, by its own policy and the registry's.
    ///
    /// # Errors
    /// When a policy can't be read or understood.
    pub async fn read_pullers(&self, name: &RepositoryName) -> Result<Pullers, CallError> {
        let of_repository = self.read_repository_policy(name).await?;
        Ok(of_repository.and(&self.pullers_of_registry().await?))
    }

    async fn read_repository_policy(&self, name: &RepositoryName) -> Result<Pullers, CallError> {
        let request = self.client.get_repository_policy().repository_name(name.as_str());
        let policy = match self.caller().call(GET_REPOSITORY_POLICY, request.send()).await {
            Ok(answer) => answer.policy_text.unwrap_or_default(),
            Err(error) if error.is_missing(Missing::RepositoryPolicy) => return Ok(Pullers::default()),
            Err(error) => return Err(error),
        };
        Pullers::of_policy(&policy).map_err(|error| CallError::unexpected(GET_REPOSITORY_POLICY, &error))
    }

    /// The principals that can pull from every repository, by the registry's own policy. It is read once.
    async fn pullers_of_registry(&self) -> Result<Pullers, CallError> {
        let mut pullers = self.pullers.lock().await;
        if let Some(known) = &*pullers {
            return known.clone();
        }
        pullers.insert(self.read_registry_policy().await).clone()
    }

    async fn read_registry_policy(&self) -> Result<Pullers, CallError> {
        let policy = match self.caller().call(GET_REGISTRY_POLICY, self.client.get_registry_policy().send()).await {
            Ok(answer) => answer.policy_text.unwrap_or_default(),
            Err(error) if error.is_missing(Missing::RegistryPolicy) => return Ok(Pullers::default()),
            Err(error) => return Err(error),
        };
        Pullers::of_policy(&policy).map_err(|error| CallError::unexpected(GET_REGISTRY_POLICY, &error))
    }

    /// The ECR lifecycle policy of a repository; `None` if it has none.
    ///
    /// # Errors
    /// When it can't be read or understood.
    pub async fn read_lifecycle_policy(&self, name: &RepositoryName) -> Result<Option<Policy>, CallError> {
        let request = self.client.get_lifecycle_policy().repository_name(name.as_str());
        let policy = match self.caller().call(GET_LIFECYCLE_POLICY, request.send()).await {
            Ok(answer) => answer.lifecycle_policy_text.unwrap_or_default(),
            Err(error) if error.is_missing(Missing::LifecyclePolicy) => return Ok(None),
            Err(error) => return Err(error),
        };
        Policy::of_repository(&policy).map(Some).map_err(|error| CallError::unexpected(GET_LIFECYCLE_POLICY, &error))
    }
}
