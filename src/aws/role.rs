//! A role in another account, whose credentials are renewed on long runs.

use std::sync::{Mutex, PoisonError};

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::future::ProvideCredentials as Provided;
use aws_credential_types::provider::{ProvideCredentials, Result as CredentialsResult};

use super::{CallError, Caller};
use crate::account::{AccountId, RoleArn};
use crate::deadline::Deadline;

const ASSUME_ROLE: &str = "sts:AssumeRole";

/// Credentials of an assumed role. The first ones were taken explicitly, so that a refusal kept its error code; later
/// ones are taken when the SDK asks for them.
#[derive(Debug)]
pub(super) struct AssumedRole {
    sts: aws_sdk_sts::Client,
    role: RoleArn,
    session_name: String,
    first: Mutex<Option<Credentials>>,
}

impl AssumedRole {
    /// Assumes the role. The session's name says who asks, for the other account's trail.
    pub(super) async fn assume(
        sts: aws_sdk_sts::Client,
        role: &RoleArn,
        caller: &AccountId,
        deadline: Deadline,
    ) -> Result<Self, CallError> {
        let session_name = format!("ecr-cleanup@{caller}");
        let credentials = assume(&sts, role, &session_name, deadline).await?;
        Ok(Self { sts, role: role.clone(), session_name, first: Mutex::new(Some(credentials)) })
    }

    async fn credentials(&self) -> CredentialsResult {
        let first = self.first.lock().unwrap_or_else(PoisonError::into_inner).take();
        match first {
            Some(credentials) => Ok(credentials),
            None => assume(&self.sts, &self.role, &self.session_name, Deadline::unknown())
                .await
                .map_err(CredentialsError::provider_error),
        }
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

async fn assume(
    sts: &aws_sdk_sts::Client,
    role: &RoleArn,
    session_name: &str,
    deadline: Deadline,
) -> Result<Credentials, CallError> {
    let request = sts.assume_role().role_arn(role.as_str()).role_session_name(session_name);
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
