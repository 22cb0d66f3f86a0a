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
use ecr_cleanup_core::call_error::{CallError, Missing};
use ecr_cleanup_core::usage::{Fact, Holder, HolderKind};
use futures::FutureExt;

use super::{Reader, Source};
use crate::aws::Quota;

/// The most of a page, which is also the default.
const PER_PAGE: i32 = 50;
/// Functions read at a time.
const FUNCTIONS_AT_ONCE: usize = 8;
/// The version that is not published, and may change.
const LATEST: &str = "$LATEST";

const LAMBDA: &str = "Lambda";

/// A version of a Lambda function.
const VERSION: HolderKind = HolderKind::new(5, "Lambda function");

const LIST_FUNCTIONS: &str = "lambda:ListFunctions";
const LIST_VERSIONS: &str = "lambda:ListVersionsByFunction";
const LIST_ALIASES: &str = "lambda:ListAliases";
const LIST_MAPPINGS: &str = "lambda:ListEventSourceMappings";
const GET_FUNCTION: &str = "lambda:GetFunction";

/// Three quarters of 100 a second for `GetFunction`, and of 15 a second for all other control calls together.
/// See <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html#api-requests>.
pub(super) static SOURCE: Source = Source {
    id: "lambda",
    parts: &[LAMBDA],
    quotas: &[
        Quota { calls: &[GET_FUNCTION], per_second: 75, burst: 75 },
        Quota { calls: &[LIST_FUNCTIONS, LIST_VERSIONS, LIST_ALIASES, LIST_MAPPINGS], per_second: 11, burst: 11 },
    ],
    read: |reader| read(reader).boxed_local(),
};

/// Lambda as one reading sees it.
struct Lambda<'a> {
    reader: &'a Reader<'a>,
    client: Client,
}

/// Finds what the functions of the region run.
async fn read(reader: &Reader<'_>) -> Result<(), CallError> {
    let lambda = Lambda { reader, client: reader.client(Client::new) };
    let functions = lambda.image_functions().await?;
    if functions.is_empty() {
        return Ok(());
    }
    let mapped = lambda.mapped_functions().await?;
    let read = async |function: &String| match lambda.function(function, &mapped).await {
        // Deleted in between.
        Err(error) if error.is_missing(Missing::Function) => Ok(()),
        read => read,
    };
    reader.each(LAMBDA, &functions, FUNCTIONS_AT_ONCE, read).await;
    Ok(())
}

impl Lambda<'_> {
    /// The ARNs of the functions that run images.
    async fn image_functions(&self) -> Result<Vec<String>, CallError> {
        let listing = self.client.list_functions().into_paginator().page_size(PER_PAGE).send();
        let mut arns = Vec::new();
        self.reader
            .calls
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
    async fn mapped_functions(&self) -> Result<BTreeSet<String>, CallError> {
        let listing = self.client.list_event_source_mappings().into_paginator().page_size(PER_PAGE).send();
        let mut arns = BTreeSet::new();
        self.reader
            .calls
            .pages(LIST_MAPPINGS, listing, ListEventSourceMappingsOutput::next_marker, |page| {
                let mappings = page.event_source_mappings?;
                arns.extend(mappings.into_iter().filter_map(|mapping| mapping.function_arn));
                Some(())
            })
            .await?;
        Ok(arns)
    }

    async fn function(&self, function: &str, mapped: &BTreeSet<String>) -> Result<(), CallError> {
        // An alias that a mapping names is in the function's list of aliases with all that it routes to.
        let qualified = format!("{function}:");
        let named = mapped.range(qualified.clone()..).map_while(|arn| arn.strip_prefix(&qualified));
        let mut versions: BTreeSet<String> = named.filter(|name| is_number(name)).map(str::to_owned).collect();
        versions.insert(LATEST.to_owned());
        versions.extend(self.routed_versions(function).await?);
        versions.extend(self.newest_versions(function).await?);
        let read = async |version: String| match self.code(function, &version).await {
            Err(error) if error.is_missing(Missing::Function) => Ok(()),
            read => read,
        };
        self.reader.each(LAMBDA, versions, 1, read).await;
        Ok(())
    }

    /// The versions that aliases route to, by weight too.
    async fn routed_versions(&self, function: &str) -> Result<Vec<String>, CallError> {
        let listing = self.client.list_aliases().function_name(function).into_paginator().page_size(PER_PAGE).send();
        let mut versions = Vec::new();
        self.reader
            .calls
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

    async fn newest_versions(&self, function: &str) -> Result<Vec<String>, CallError> {
        let keep = usize::try_from(self.reader.keep.lambda_versions).unwrap_or(usize::MAX);
        if keep == 0 {
            return Ok(Vec::new());
        }
        let listing = self.client.list_versions_by_function().function_name(function).into_paginator();
        let listing = listing.page_size(PER_PAGE).send();
        let mut versions: Vec<u64> = Vec::new();
        self.reader
            .calls
            .pages(LIST_VERSIONS, listing, ListVersionsByFunctionOutput::next_marker, |page| {
                let listed = page.versions?.into_iter().filter_map(|version| version.version);
                versions.extend(listed.filter_map(|version| version.parse::<u64>().ok()));
                Some(())
            })
            .await?;
        versions.sort_unstable_by(|a, b| b.cmp(a));
        versions.truncate(keep);
        Ok(versions.iter().map(u64::to_string).collect())
    }

    /// The image that a version was made from, as it was named and as it was resolved.
    async fn code(&self, function: &str, version: &str) -> Result<(), CallError> {
        let arn = format!("{function}:{version}");
        let code = match self.reader.fact(&arn) {
            Some(code) => code,
            None => self.get_code(function, version, &arn).await?,
        };
        self.reader.uses_all(&Holder::of_arn(&VERSION, Some(&arn)), &code);
        Ok(())
    }

    async fn get_code(&self, function: &str, version: &str, arn: &str) -> Result<Arc<Fact>, CallError> {
        let request = self.client.get_function().function_name(function).qualifier(version);
        let answer = self.reader.calls.call(GET_FUNCTION, request.send()).await?;
        let code = answer.code.ok_or_else(|| CallError::unexpected(GET_FUNCTION, &format!("no code of {arn}")))?;
        let code = Arc::new(Fact::named(code.image_uri.into_iter().chain(code.resolved_image_uri)));
        if code.images.is_empty() {
            return Err(CallError::unexpected(GET_FUNCTION, &format!("no image of {arn}")));
        }
        if version != LATEST {
            self.reader.learn(arn, &code);
        }
        Ok(code)
    }
}

fn is_number(qualifier: &str) -> bool {
    !qualifier.is_empty() && qualifier.bytes().all(|b| b.is_ascii_digit())
}
