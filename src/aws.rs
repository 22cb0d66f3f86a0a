//! Clients for AWS services, per region. This module sets retries, timeouts and connections for all of them.

mod call;
mod first_date;
mod pace;
mod retries;
mod role;
mod s3;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_account::operation::list_regions::ListRegionsOutput;
use aws_sdk_account::types::RegionOptStatus;
use aws_sdk_ecr::config::SharedHttpClient;
use aws_smithy_http_client::tls;
use ecr_cleanup_core::account::{AccountId, ExternalId, Region, RoleArn};
use ecr_cleanup_core::call_error::CallError;
use ecr_cleanup_core::clock_skew::ClockSkew;
use futures::lock::{Mutex, MutexGuard};

pub use call::Caller;
pub use pace::{Haste, Pace, Quota};
pub(crate) use retries::paced_client;
pub use retries::{ThrottlesComeBack, unshared};
pub use s3::{Bucket, Got};

use crate::clock::Clock;
use crate::deadline::Deadline;
use first_date::FirstDate;
use role::AssumedRole;

/// Throttled calls are retried with backoff. Of many calls that compete for a small quota, one can fail ten times in a row.
/// The mode is `standard`, because `adaptive` slows all calls of a client down to the pace of its most throttled one.
const ATTEMPTS: u32 = 16;
/// A user in a terminal soon sees that the endpoint is wrong or the network is missing, already at the first call.
#[cfg(feature = "cli")]
const ATTEMPTS_WITH_SOMEBODY_WAITING: u32 = 3;
/// The SDK's own default.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(3_100);
/// A full page takes about two seconds to answer; the SDK has no read timeout of its own.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(20);
/// Time for several attempts without an answer, and for the pauses between them.
const OPERATION_TIMEOUT: Duration = Duration::from_mins(4);
/// The most regions of a page of `ListRegions`.
const REGIONS_PER_PAGE: i32 = 50;

/// How long a call waits for an answer, and between attempts.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// The time for the answer to an attempt.
    pub attempt: Duration,
    /// The time for the answer to a call, including all its attempts.
    pub operation: Duration,
    /// The pause before the second attempt. It doubles with every further one.
    pub first_pause: Duration,
    /// The longest pause before an attempt.
    pub longest_pause: Duration,
}

impl Patience {
    /// For AWS, whose slowest page takes seconds and whose throttling lasts as long. The pauses are the SDK's defaults.
    pub const WITH_AWS: Self = Self {
        attempt: ATTEMPT_TIMEOUT,
        operation: OPERATION_TIMEOUT,
        first_pause: Duration::from_secs(1),
        longest_pause: Duration::from_secs(20),
    };
}

/// One account, with the credentials of the environment.
#[derive(Clone, Debug)]
pub struct Aws {
    config: SdkConfig,
    haste: Haste,
    /// The number of attempts for the first calls of a run.
    first_attempts: u32,
    /// Locked during each call whose answer may be large, so that memory contains one such answer at a time.
    large_answers: Arc<Mutex<()>>,
}

fn https() -> SharedHttpClient {
    aws_smithy_http_client::Builder::new()
        .tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring))
        .build_https()
}

impl Aws {
    /// Reads credentials, region and endpoint from the environment, as every AWS tool does.
    pub async fn from_environment() -> Self {
        Self::new(aws_config::from_env().http_client(https()).load().await)
    }

    /// The same from a profile, as in the AWS CLI. If `profile` is set, credentials in the environment are ignored.
    #[cfg(feature = "cli")]
    pub async fn from_profile(profile: Option<&str>) -> Self {
        use aws_config::identity::IdentityCache;
        use aws_config::profile::ProfileFileCredentialsProvider;
        use aws_config::provider_config::ProviderConfig;

        // All clients share one login or assumed role.
        let https = https();
        let config = aws_config::from_env().http_client(https.clone()).identity_cache(IdentityCache::lazy().build());
        let Some(profile) = profile else {
            return Self::new(config.load().await);
        };
        let config = config.profile_name(profile).load().await;
        let provider_config =
            ProviderConfig::without_region().with_http_client(https).with_region(config.region().cloned());
        let credentials =
            ProfileFileCredentialsProvider::builder().configure(&provider_config).profile_name(profile).build();
        Self::new(config.into_builder().credentials_provider(SharedCredentialsProvider::new(credentials)).build())
    }

    /// The same, with few attempts for the first calls.
    #[cfg(feature = "cli")]
    #[must_use]
    pub fn with_somebody_waiting(self) -> Self {
        Self { first_attempts: ATTEMPTS_WITH_SOMEBODY_WAITING, ..self }
    }

    /// The endpoint that replaces AWS's own, if one is set.
    #[must_use]
    pub fn endpoint_url(&self) -> Option<&str> {
        self.config.endpoint_url()
    }

    /// The clock with which the SDK signs requests.
    #[must_use]
    pub fn clock(&self) -> Clock {
        self.config.time_source().map(Clock::of).unwrap_or_default()
    }

    /// The region for global services; `None` if neither the environment nor a profile sets one.
    #[must_use]
    pub fn region(&self) -> Option<&str> {
        self.config.region().map(AsRef::as_ref)
    }

    /// The same, with this region for global services.
    #[must_use]
    pub fn at_home_in(self, region: &Region) -> Self {
        Self { config: self.config_in(region), ..self }
    }

    /// Clients with the settings of `config`.
    #[must_use]
    pub fn new(config: SdkConfig) -> Self {
        let large_answers = Arc::default();
        Self { config, haste: Haste::NONE, first_attempts: ATTEMPTS, large_answers }.with_patience(Patience::WITH_AWS)
    }

    /// The same, with these timeouts and pauses.
    #[must_use]
    pub fn with_patience(self, patience: Patience) -> Self {
        let Patience { attempt, operation, first_pause, longest_pause } = patience;
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .operation_attempt_timeout(attempt)
            .operation_timeout(operation)
            .build();
        let retries = RetryConfig::standard()
            .with_max_attempts(ATTEMPTS)
            .with_initial_backoff(first_pause)
            .with_max_backoff(longest_pause);
        let config = self.config.into_builder().retry_config(retries).timeout_config(timeouts).build();
        Self { config, ..self }
    }

    /// The same, faster than the function's share of the quotas by this factor.
    #[must_use]
    pub fn with_haste(self, haste: Haste) -> Self {
        Self { haste, ..self }
    }

    /// The same, with the credentials of a role.
    ///
    /// # Errors
    /// When the role can't be assumed.
    pub async fn assuming(
        &self,
        role: &RoleArn,
        external_id: Option<&ExternalId>,
        caller: &AccountId,
        deadline: Deadline,
    ) -> Result<Self, CallError> {
        let sts = aws_sdk_sts::Client::new(&self.config);
        let assumed = AssumedRole::assume(sts, role, external_id, caller, deadline).await?;
        let credentials = SharedCredentialsProvider::new(assumed);
        Ok(Self { config: self.config.to_builder().credentials_provider(credentials).build(), ..self.clone() })
    }

    /// The quotas of one region of this account, all of them unused.
    #[must_use]
    pub fn pace<'a>(&self, quotas: impl Iterator<Item = &'a Quota>) -> Pace {
        Pace::new(self.haste, quotas)
    }

    /// ECR in a region.
    #[must_use]
    pub fn ecr(&self, region: &Region) -> aws_sdk_ecr::Client {
        let config = aws_sdk_ecr::config::Builder::from(&self.config_in(region)).retry_partition(unshared());
        aws_sdk_ecr::Client::from_conf(config.build())
    }

    /// Waits for the turn to request an answer that may be large. One such request runs at a time, over all registries.
    pub async fn turn_for_a_large_answer(&self) -> MutexGuard<'_, ()> {
        self.large_answers.lock().await
    }

    /// The account of the credentials, the ARN of their principal, and the difference between the clocks if it is too
    /// large. This call needs no permission.
    ///
    /// # Errors
    /// When the credentials are missing or invalid, or STS can't be reached.
    pub async fn caller_identity(
        &self,
        deadline: Deadline,
    ) -> Result<(AccountId, String, Option<ClockSkew>), CallError> {
        const API: &str = "sts:GetCallerIdentity";
        let first_date = FirstDate::by(self.clock());
        let request = aws_sdk_sts::Client::new(&self.at_first()).get_caller_identity();
        let request = request.customize().interceptor(first_date.clone());
        let identity = Caller::new(deadline).call(API, request.send()).await?;
        let account = identity.account().unwrap_or_default();
        let account = account.parse().map_err(|error| CallError::unexpected(API, &error))?;
        Ok((account, identity.arn().unwrap_or_default().to_owned(), first_date.skew()))
    }

    /// The regions that are enabled in the account.
    ///
    /// # Errors
    /// When they can't be listed.
    pub async fn enabled_regions(&self, deadline: Deadline) -> Result<BTreeSet<Region>, CallError> {
        const API: &str = "account:ListRegions";
        let listing = aws_sdk_account::Client::new(&self.at_first())
            .list_regions()
            .region_opt_status_contains(RegionOptStatus::Enabled)
            .region_opt_status_contains(RegionOptStatus::EnabledByDefault)
            .into_paginator()
            .page_size(REGIONS_PER_PAGE)
            .send();
        let mut names = Vec::new();
        Caller::new(deadline)
            .pages(API, listing, ListRegionsOutput::next_token, |page| page.regions.map(|listed| names.extend(listed)))
            .await?;
        if names.is_empty() {
            return Err(CallError::unexpected(API, &"the answer lists no enabled Region"));
        }
        names
            .iter()
            .map(|region| region.region_name().unwrap_or_default().parse())
            .collect::<Result<_, _>>()
            .map_err(|error| CallError::unexpected(API, &error))
    }

    fn at_first(&self) -> SdkConfig {
        let retries = self.config.retry_config().cloned().unwrap_or_else(RetryConfig::standard);
        self.config.to_builder().retry_config(retries.with_max_attempts(self.first_attempts)).build()
    }

    /// The configuration for a client in a region.
    #[must_use]
    pub fn config_in(&self, region: &Region) -> SdkConfig {
        self.config.to_builder().region(aws_config::Region::new(region.as_str().to_owned())).build()
    }
}
