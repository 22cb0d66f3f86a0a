//! A role in another account. Its credentials are renewed on long runs.

use std::sync::{Mutex, PoisonError};

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::future::ProvideCredentials as Provided;
use aws_credential_types::provider::{ProvideCredentials, Result as CredentialsResult};
use ecr_cleanup_core::account::{AccountId, ExternalId, RoleArn};
use ecr_cleanup_core::call_error::CallError;

use super::Caller;
use crate::deadline::Deadline;

const ASSUME_ROLE: &str = "sts:AssumeRole";

/// Credentials of an assumed role. The first ones are requested explicitly, so that a denied call keeps its error code.
/// The SDK requests later ones.
#[derive(Debug)]
pub(super) struct AssumedRole {
    sts: aws_sdk_sts::Client,
    role: RoleArn,
    external_id: Option<ExternalId>,
    session_name: String,
    first: Mutex<Option<Credentials>>,
}

impl AssumedRole {
    /// Assumes the role. The session name contains the caller's account, which the other account sees in its logs.
    pub(super) async fn assume(
        sts: aws_sdk_sts::Client,
        role: &RoleArn,
        external_id: Option<&ExternalId>,
        caller: &AccountId,
        deadline: Deadline,
    ) -> Result<Self, CallError> {
        let (role, external_id) = (role.clone(), external_id.cloned());
        let session_name = format!("ecr-cleanup@{caller}");
        let assumed = Self { sts, role, external_id, session_name, first: Mutex::default() };
        let credentials = assumed.assume_again(deadline).await?;
        Ok(Self { first: Mutex::new(Some(credentials)), ..assumed })
    }

    async fn credentials(&self) -> CredentialsResult {
        let first = self.first.lock().unwrap_or_else(PoisonError::into_inner).take();
        match first {
            Some(credentials) => Ok(credentials),
            None => self.assume_again(Deadline::unknown()).await.map_err(CredentialsError::provider_error),
        }
    }

    async fn assume_again(&self, deadline: Deadline) -> Result<Credentials, CallError> {
        let request = self.sts.assume_role().role_arn(self.role.as_str()).role_session_name(&self.session_name);
        let request = request.set_external_id(self.external_id.as_ref().map(|id| id.as_str().to_owned()));
        let answer = Caller::new(deadline).call(ASSUME_ROLE, request.send()).await?;
        let credentials =
            answer.credentials.ok_or_else(|| CallError::unexpected(ASSUME_ROLE, &"the answer has no credentials"))?;
        Ok(Credentials::new(
            credentials.access_key_id,
            credentials.secret_access_key,
            Some(credentials.session_token),
            credentials.expiration.try_into().ok(),
            "AssumedRole",
        ))
    }
}

impl ProvideCredentials for AssumedRole {
    fn provide_credentials<'a>(&'a self) -> Provided<'a>
    where
        Self: 'a,
    {
        Provided::new(self.credentials())
    }
}
