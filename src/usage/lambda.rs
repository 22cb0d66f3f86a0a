//! Lambda functions of package type Image: `$LATEST`, every published version that an alias routes to or an event
//! source mapping names, and the newest published ones.
//!
//! A version keeps the digest that its tag named when it was published (`ResolvedImageUri`), whatever the tag names now.

use std::collections::BTreeSet;
use std::sync::Arc;

use aws_sdk_lambda::Client;
use aws_sdk_lambda::operation::list_aliases::ListAliasesOutput;
use aws_sdk_lambda::operation::list_event_source_mappings::ListEventSourceMappingsOutput;
use aws_sdk_lambda::operation::list_functions::ListFunctionsOutput;
use aws_sdk_lambda::operation::list_versions_by_function::ListVersionsByFunctionOutput;
use aws_sdk_lambda::types::PackageType;
use futures::stream::{self, StreamExt};

use super::cache::Cache;
use super::findings::{Findings, Source};
use super::snapshot::{HolderKind, holder};
use crate::aws::{CallError, Caller, Pace};
use crate::deadline::Deadline;

/// The most of a page, which is also the default.
const PER_PAGE: i32 = 50;
/// Functions read at a time.
const FUNCTIONS_AT_ONCE: usize = 8;
/// The version that is not published, and may change.
const LATEST: &str = "$LATEST";

const LIST_FUNCTIONS: &str = "lambda:ListFunctions";
const LIST_VERSIONS: &str = "lambda:ListVersionsByFunction";
const LIST_ALIASES: &str = "lambda:ListAliases";
const LIST_MAPPINGS: &str = "lambda:ListEventSourceMappings";
const GET_FUNCTION: &str = "lambda:GetFunction";

/// The image that a version was made from, as it was named and as it was resolved.
type Code = Arc<[String]>;

/// Lambda in one region of one account, with what a run need not read twice.
#[derive(Debug)]
pub(super) struct LambdaRegion {
    client: Client,
    published: Cache<Code>,
}

/// How the calls of one discovery are made.
#[derive(Clone, Copy)]
struct Callers<'a> {
    control: Caller<'a>,
    get_function: Caller<'a>,
}

impl LambdaRegion {
    pub(super) fn new(client: Client) -> Self {
        Self { client, published: Cache::default() }
    }

    /// Finds what the functions of the region run.
    pub(super) async fn discover(&self, versions_to_keep: u32, pace: &Pace, deadline: Deadline) -> Findings {
        let callers = Callers {
            control: Caller::paced(deadline, &pace.lambda_control),
            get_function: Caller::paced(deadline, &pace.get_function),
        };
        let mut findings = Findings::default();
        if let Err(error) = self.discover_into(&mut findings, versions_to_keep, callers).await {
            findings.fail(Source::Lambda, error);
        }
        findings
    }

    async fn discover_into(
        &self,
        findings: &mut Findings,
        versions_to_keep: u32,
        callers: Callers<'_>,
    ) -> Result<(), CallError> {
        let functions = self.list_image_functions(callers.control).await?;
        findings.answered = true;
        if functions.is_empty() {
            return Ok(());
        }
        let mapped = self.list_mapped_functions(callers.control).await?;
        let mut read = stream::iter(&functions)
            .map(|function| self.function(function, &mapped, versions_to_keep, callers))
            .buffered(FUNCTIONS_AT_ONCE);
        while let Some(of_function) = read.next().await {
            match of_function {
                Ok(found) => findings.merge(found),
                Err(error) => findings.fail(Source::Lambda, error),
            }
        }
        Ok(())
    }

    /// The ARNs of the functions that run images.
    async fn list_image_functions(&self, caller: Caller<'_>) -> Result<Vec<String>, CallError> {
        let listing = self.client.list_functions().into_paginator().page_size(PER_PAGE).send();
        let mut arns = Vec::new();
        caller
            .pages(LIST_FUNCTIONS, listing, ListFunctionsOutput::next_marker, |page| {
                let functions = page.functions?.into_iter();
                let of_image = functions.filter(|function| function.package_type == Some(PackageType::Image));
                arns.extend(of_image.filter_map(|function| function.function_arn));
                Some(())
            })
            .await?;
        Ok(arns)
    }

    /// The ARNs, with their qualifiers, that event source mappings name.
    async fn list_mapped_functions(&self, caller: Caller<'_>) -> Result<BTreeSet<String>, CallError> {
        let listing = self.client.list_event_source_mappings().into_paginator().page_size(PER_PAGE).send();
        let mut arns = BTreeSet::new();
        caller
            .pages(LIST_MAPPINGS, listing, ListEventSourceMappingsOutput::next_marker, |page| {
                let mappings = page.event_source_mappings?;
                arns.extend(mappings.into_iter().filter_map(|mapping| mapping.function_arn));
                Some(())
            })
            .await?;
        Ok(arns)
    }

    async fn function(
        &self,
        function: &str,
        mapped: &BTreeSet<String>,
        versions_to_keep: u32,
        callers: Callers<'_>,
    ) -> Result<Findings, CallError> {
        // An alias that a mapping names is in the function's list of aliases with all that it routes to.
        let qualified = format!("{function}:");
        let named = mapped.range(qualified.clone()..).map_while(|arn| arn.strip_prefix(&qualified));
        let mut versions: BTreeSet<String> = named.filter(|name| is_number(name)).map(str::to_owned).collect();
        versions.insert(LATEST.to_owned());
        match self.routed_versions(function, callers.control).await {
            Err(error) if is_gone(&error) => return Ok(Findings::default()),
            routed => versions.extend(routed?),
        }
        match self.newest_versions(function, versions_to_keep, callers.control).await {
            Err(error) if is_gone(&error) => return Ok(Findings::default()),
            newest => versions.extend(newest?),
        }
        let mut findings = Findings::default();
        for version in versions {
            match self.code(function, &version, callers.get_function).await {
                Ok(code) => {
                    let holder = holder(HolderKind::LambdaVersion, Some(&format!("{function}:{version}")));
                    code.iter().for_each(|image| findings.usage.add(Some(image), None, &holder));
                }
                // Deleted in between.
                Err(error) if is_gone(&error) => {}
                Err(error) => findings.fail(Source::Lambda, error),
            }
        }
        Ok(findings)
    }

    /// The versions that aliases route to, by weight too.
    async fn routed_versions(&self, function: &str, caller: Caller<'_>) -> Result<Vec<String>, CallError> {
        let listing = self.client.list_aliases().function_name(function).into_paginator().page_size(PER_PAGE).send();
        let mut versions = Vec::new();
        caller
            .pages(LIST_ALIASES, listing, ListAliasesOutput::next_marker, |page| {
                for alias in page.aliases? {
                    let weights = alias.routing_config.and_then(|routing| routing.additional_version_weights);
                    versions.extend(weights.unwrap_or_default().into_keys());
                    versions.extend(alias.function_version);
                }
                Some(())
            })
            .await?;
        Ok(versions)
    }

    async fn newest_versions(&self, function: &str, keep: u32, caller: Caller<'_>) -> Result<Vec<String>, CallError> {
        if keep == 0 {
            return Ok(Vec::new());
        }
        let listing = self.client.list_versions_by_function().function_name(function).into_paginator();
        let mut versions: Vec<u64> = Vec::new();
        caller
            .pages(
                LIST_VERSIONS,
                listing.page_size(PER_PAGE).send(),
                ListVersionsByFunctionOutput::next_marker,
                |page| {
                    let listed = page.versions?.into_iter().filter_map(|version| version.version);
                    versions.extend(listed.filter_map(|version| version.parse::<u64>().ok()));
                    Some(())
                },
            )
            .await?;
        versions.sort_unstable_by(|a, b| b.cmp(a));
        versions.truncate(usize::try_from(keep).unwrap_or(usize::MAX));
        Ok(versions.iter().map(u64::to_string).collect())
    }

    async fn code(&self, function: &str, version: &str, caller: Caller<'_>) -> Result<Code, CallError> {
        let arn = format!("{function}:{version}");
        if let Some(code) = self.published.get(&arn) {
            return Ok(code);
        }
        let request = self.client.get_function().function_name(function).qualifier(version);
        let answer = caller.call(GET_FUNCTION, request.send()).await?;
        let code = answer.code.ok_or_else(|| CallError::unexpected(GET_FUNCTION, &format!("no code of {arn}")))?;
        let code: Code = code.image_uri.into_iter().chain(code.resolved_image_uri).collect();
        if code.is_empty() {
            return Err(CallError::unexpected(GET_FUNCTION, &format!("no image of {arn}")));
        }
        if version != LATEST {
            self.published.insert(&arn, Arc::clone(&code));
        }
        Ok(code)
    }
}

fn is_number(qualifier: &str) -> bool {
    !qualifier.is_empty() && qualifier.bytes().all(|b| b.is_ascii_digit())
}

fn is_gone(error: &CallError) -> bool {
    error.code == "ResourceNotFoundException"
}
