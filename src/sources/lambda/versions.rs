//! Lists versions, and selects those that count as used.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use aws_sdk_lambda::operation::list_aliases::ListAliasesOutput;
use aws_sdk_lambda::operation::list_event_source_mappings::ListEventSourceMappingsOutput;
use aws_sdk_lambda::operation::list_functions::ListFunctionsOutput;
use aws_sdk_lambda::types::{FunctionConfiguration, FunctionVersion, PackageType};
use ecr_cleanup_core::call_error::CallError;

use super::{FUNCTIONS_AT_ONCE, LAMBDA, LIST_ALIASES, LIST_FUNCTIONS, LIST_MAPPINGS, Lambda, PER_PAGE};

/// The version that is not published, and may change.
const LATEST: &str = "$LATEST";
/// The version that instances of a capacity provider run. It may change too.
const LATEST_PUBLISHED: &str = "$LATEST.PUBLISHED";
/// `arn:aws:lambda:REGION:ACCOUNT:function:NAME`, and then the qualifier.
const PARTS_OF_AN_ARN: usize = 7;

/// A version of a function.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version {
    /// The function's ARN, without a qualifier.
    pub(super) function: String,
    /// `$LATEST`, `$LATEST.PUBLISHED` or a number.
    pub(super) qualifier: String,
    /// The digest in the listing, if there is one.
    pub(super) image_digest: Option<String>,
    /// An ID that changes with the version's code and configuration, if the listing has it.
    revision: Option<String>,
}

impl Version {
    fn listed(configuration: &FunctionConfiguration) -> Option<Self> {
        let arn = configuration.function_arn()?;
        let end = arn.match_indices(':').nth(PARTS_OF_AN_ARN - 1).map(|(place, _)| place);
        let (function, qualifier) = end.map_or((arn, None), |end| (&arn[..end], Some(&arn[end + 1..])));
        let qualifier = configuration.version().or(qualifier).unwrap_or(LATEST);
        let image_digest = configuration.code_sha256().and_then(digest_of);
        let revision = configuration.revision_id().filter(|revision| !revision.is_empty()).map(str::to_owned);
        Some(Self { function: function.to_owned(), qualifier: qualifier.to_owned(), image_digest, revision })
    }

    fn unlisted(function: &str, qualifier: &str) -> Self {
        Self { function: function.to_owned(), qualifier: qualifier.to_owned(), image_digest: None, revision: None }
    }

    pub(super) fn arn(&self) -> String {
        format!("{}:{}", self.function, self.qualifier)
    }

    /// The key of its code. The code is the same as long as this key is. Without a revision this is true within one run only,
    /// because a new function can have the same name, and the same digest from another repository.
    pub(super) fn code_key(&self) -> String {
        let parts = [&self.image_digest, &self.revision].map(Option::as_deref);
        parts.into_iter().map_while(|part| part).fold(self.arn(), |key, part| format!("{key}@{part}"))
    }

    /// The number of a published version, whose code never changes.
    pub(super) fn number(&self) -> Option<u64> {
        self.qualifier.parse().ok()
    }
}

/// A function's `CodeSha256` as a digest: 64 hexadecimal digits. That of a zip is base64.
pub(super) fn digest_of(code_sha256: &str) -> Option<String> {
    let is_hex = code_sha256.len() == 64 && code_sha256.bytes().all(|b| b.is_ascii_hexdigit());
    is_hex.then(|| format!("sha256:{}", code_sha256.to_ascii_lowercase()))
}

impl Lambda<'_> {
    /// Passes every version of every function with an image to `found`. A version on a repeated page is passed twice.
    pub(super) async fn list_versions(&self, mut found: impl FnMut(Version)) -> Result<(), CallError> {
        let page_at = |marker| {
            let request = self.client.list_functions().function_version(FunctionVersion::All);
            request.max_items(PER_PAGE).set_marker(marker).send()
        };
        let mut nameless = false;
        // AWS doesn't document whether the listing contains this version. Where it is absent and may exist, it is
        // added.
        let (mut on_capacity_providers, mut published) = (BTreeSet::new(), BTreeSet::new());
        self.reader
            .calls
            .pages_by_token(LIST_FUNCTIONS, page_at, ListFunctionsOutput::next_marker, |page| {
                // A function without a package type may have an image.
                let functions = page.functions?.into_iter();
                for configuration in functions.filter(|listed| listed.package_type != Some(PackageType::Zip)) {
                    let Some(version) = Version::listed(&configuration) else {
                        nameless = true;
                        continue;
                    };
                    if configuration.capacity_provider_config.is_some() {
                        on_capacity_providers.insert(version.function.clone());
                    }
                    if version.qualifier == LATEST_PUBLISHED {
                        published.insert(version.function.clone());
                    }
                    found(version);
                }
                Some(ControlFlow::Continue(()))
            })
            .await?;
        for function in on_capacity_providers.difference(&published) {
            found(Version::unlisted(function, LATEST_PUBLISHED));
        }
        if nameless {
            Err(CallError::unexpected(LIST_FUNCTIONS, &"the answer has a function without an ARN"))
        } else {
            Ok(())
        }
    }

    /// Selects the newest versions of each function, those that an alias or an event source mapping uses, and those
    /// without a number.
    pub(super) async fn counted(&self, listed: BTreeSet<Version>, newest: u32) -> Result<Vec<Version>, CallError> {
        let newest = usize::try_from(newest).unwrap_or(usize::MAX);
        let mut functions: BTreeMap<String, Vec<Version>> = BTreeMap::new();
        for version in listed {
            functions.entry(version.function.clone()).or_default().push(version);
        }
        if functions.is_empty() {
            return Ok(Vec::new());
        }
        let mapped = self.mapped_functions().await?;
        let count = async |(function, mut versions): (String, Vec<Version>)| {
            // The aliases of a function, with all versions to which they route, include the alias of a mapping.
            let qualified = format!("{function}:");
            let named = mapped.range(qualified.clone()..).map_while(|arn| arn.strip_prefix(&qualified));
            let mut named: BTreeSet<String> = named.filter(|name| is_number(name)).map(str::to_owned).collect();
            named.extend(self.routed_versions(&function).await?);
            let mut numbers: Vec<u64> = versions.iter().filter_map(Version::number).collect();
            numbers.sort_unstable_by(|a, b| b.cmp(a));
            numbers.truncate(newest);
            versions.retain(|version| {
                let is_named = named.remove(&version.qualifier);
                is_named || version.number().is_none_or(|number| numbers.contains(&number))
            });
            // Versions published since the listing.
            versions.extend(named.iter().map(|qualifier| Version::unlisted(&function, qualifier)));
            Ok(versions)
        };
        Ok(self.reader.each(LAMBDA, functions, FUNCTIONS_AT_ONCE, count).await.concat())
    }

    /// The ARNs, with qualifiers, in event source mappings.
    async fn mapped_functions(&self) -> Result<BTreeSet<String>, CallError> {
        let page_at = |marker| self.client.list_event_source_mappings().max_items(PER_PAGE).set_marker(marker).send();
        let mut arns = BTreeSet::new();
        self.reader
            .calls
            .pages_by_token(LIST_MAPPINGS, page_at, ListEventSourceMappingsOutput::next_marker, |page| {
                let mappings = page.event_source_mappings?;
                arns.extend(mappings.into_iter().filter_map(|mapping| mapping.function_arn));
                Some(ControlFlow::Continue(()))
            })
            .await?;
        Ok(arns)
    }

    /// The versions to which aliases route, even by weight.
    async fn routed_versions(&self, function: &str) -> Result<Vec<String>, CallError> {
        let page_at = |marker| {
            let request = self.client.list_aliases().function_name(function);
            request.max_items(PER_PAGE).set_marker(marker).send()
        };
        let mut versions = Vec::new();
        self.reader
            .calls
            .pages_by_token(LIST_ALIASES, page_at, ListAliasesOutput::next_marker, |page| {
                for alias in page.aliases? {
                    let weights = alias.routing_config.and_then(|routing| routing.additional_version_weights);
                    versions.extend(weights.unwrap_or_default().into_keys());
                    versions.extend(alias.function_version);
                }
                Some(ControlFlow::Continue(()))
            })
            .await?;
        Ok(versions)
    }
}

fn is_number(qualifier: &str) -> bool {
    !qualifier.is_empty() && qualifier.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FUNCTION: &str = "arn:aws:lambda:us-west-2:123456789012:function:resize";

    #[test]
    fn a_listed_version_is_named_by_function_and_qualifier() {
        for (arn, version, qualifier) in [
            (FUNCTION.to_owned(), Some("$LATEST"), "$LATEST"),
            (FUNCTION.to_owned(), None, "$LATEST"),
            (format!("{FUNCTION}:$LATEST"), Some("$LATEST"), "$LATEST"),
            (format!("{FUNCTION}:$LATEST.PUBLISHED"), Some("$LATEST.PUBLISHED"), "$LATEST.PUBLISHED"),
            (format!("{FUNCTION}:7"), Some("7"), "7"),
            (format!("{FUNCTION}:7"), None, "7"),
        ] {
            let listed = FunctionConfiguration::builder().function_arn(&arn).set_version(version.map(str::to_owned));
            let listed = Version::listed(&listed.build()).unwrap();
            assert_eq!((listed.function.as_str(), listed.qualifier.as_str()), (FUNCTION, qualifier), "{arn}");
        }
        assert_eq!(Version::listed(&FunctionConfiguration::builder().build()), None);
    }

    #[test]
    fn a_sum_is_a_digest_where_it_has_64_hexadecimal_digits() {
        let hex = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
        assert_eq!(digest_of(hex), Some(format!("sha256:{hex}")));
        assert_eq!(digest_of(&hex.to_uppercase()), Some(format!("sha256:{hex}")));
        for sum in ["", &hex[1..], "LCa0a2j/xo/5m0U8HTBBNBNCLXBkg7+g+YpeiGJm564="] {
            assert_eq!(digest_of(sum), None, "{sum}");
        }
    }
}
