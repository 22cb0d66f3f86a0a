//! Clients for AWS's services, per region: retries, timeouts and connections are settled here, once.

mod call;
mod error;

use std::collections::BTreeSet;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_account::operation::list_regions::ListRegionsOutput;
use aws_sdk_account::types::RegionOptStatus;
use aws_smithy_http_client::tls;

pub use call::{call, pages};
pub use error::CallError;

use crate::account::{AccountId, Region};
use crate::deadline::Deadline;

/// Throttled calls back off and come again; ten times is about two minutes. `standard`, since `adaptive` slows all
/// calls of a client down to the pace of its most throttled one.
const ATTEMPTS: u32 = 10;
/// The SDK's own default.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(3_100);
/// A full page takes about two seconds to answer; the SDK has no read timeout of its own.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(20);
/// Time for several attempts that get no answer, and for the pauses between them.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(150);
/// The most regions of a page of `ListRegions`.
const REGIONS_PER_PAGE: i32 = 50;

/// One account, as the credentials in the environment see it.
#[derive(Clone, Debug)]
pub struct Aws {
    config: SdkConfig,
}

impl Aws {
    /// Takes credentials, region and endpoint from the environment, as every AWS tool does.
    pub async fn from_environment() -> Self {
        let https = aws_smithy_http_client::Builder::new()
            .tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring))
            .build_https();
        Self::new(aws_config::from_env().http_client(https).load().await)
    }

    /// Takes them from `config`.
    #[must_use]
    pub fn new(config: SdkConfig) -> Self {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .operation_attempt_timeout(ATTEMPT_TIMEOUT)
            .operation_timeout(OPERATION_TIMEOUT)
            .build();
        let config = config
            .into_builder()
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
            .timeout_config(timeouts)
            .build();
        Self { config }
    }

    /// ECR in a region.
    #[must_use]
    pub fn ecr(&self, region: &Region) -> aws_sdk_ecr::Client {
        aws_sdk_ecr::Client::new(&self.in_region(region))
    }

    /// ECS in a region.
    #[must_use]
    pub fn ecs(&self, region: &Region) -> aws_sdk_ecs::Client {
        aws_sdk_ecs::Client::new(&self.in_region(region))
    }

    /// The account that the credentials belong to. Nothing needs to be granted for this call.
    ///
    /// # Errors
    /// When the credentials are missing or not accepted, or STS can't be reached.
    pub async fn account_id(&self, deadline: Deadline) -> Result<AccountId, CallError> {
        const API: &str = "sts:GetCallerIdentity";
        let identity = call(deadline, API, aws_sdk_sts::Client::new(&self.config).get_caller_identity().send()).await?;
        let account = identity.account().unwrap_or_default();
        account.parse().map_err(|error| CallError::unexpected(API, &error))
    }

    /// The regions that are enabled in the account.
    ///
    /// # Errors
    /// When they can't be listed.
    pub async fn enabled_regions(&self, deadline: Deadline) -> Result<BTreeSet<Region>, CallError> {
        const API: &str = "account:ListRegions";
        let listing = aws_sdk_account::Client::new(&self.config)
            .list_regions()
            .region_opt_status_contains(RegionOptStatus::Enabled)
            .region_opt_status_contains(RegionOptStatus::EnabledByDefault)
            .into_paginator()
            .page_size(REGIONS_PER_PAGE)
            .send();
        let mut names = Vec::new();
        pages(deadline, API, listing, ListRegionsOutput::next_token, |page| {
            names.extend(page.regions.unwrap_or_default());
        })
        .await?;
        names
            .iter()
            .map(|region| region.region_name().unwrap_or_default().parse())
            .collect::<Result<_, _>>()
            .map_err(|error| CallError::unexpected(API, &error))
    }

    fn in_region(&self, region: &Region) -> SdkConfig {
        self.config.to_builder().region(aws_config::Region::new(region.as_str().to_owned())).build()
    }
}
