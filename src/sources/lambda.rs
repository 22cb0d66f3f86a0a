//! Reads Lambda functions of package type Image: `$LATEST`, `$LATEST.PUBLISHED` and published versions. All of these
//! count as used, unless a setting limits the number.
//!
//! A version keeps the digest of its tag at publication, even after the tag moves. One listing returns all versions of
//! all functions, with that digest as `CodeSha256`.

mod code;
mod versions;

use std::collections::BTreeSet;

use aws_sdk_lambda::Client;
use ecr_cleanup_core::call_error::CallError;
use ecr_cleanup_core::usage::HolderKind;
use futures::FutureExt;
use futures::channel::mpsc;
use futures::future::join;
use futures::stream;

use super::{Reader, Source};
use crate::aws::{Quota, paced_client};
use code::Codes;

/// The maximum page size, which is also the default.
const PER_PAGE: i32 = 50;
/// Functions whose aliases are listed at a time.
const FUNCTIONS_AT_ONCE: usize = 8;

const LAMBDA: &str = "Lambda";

/// A version of a Lambda function.
const VERSION: HolderKind = HolderKind::new(5, "Lambda function");

const LIST_FUNCTIONS: &str = "lambda:ListFunctions";
const LIST_ALIASES: &str = "lambda:ListAliases";
const LIST_MAPPINGS: &str = "lambda:ListEventSourceMappings";
const GET_FUNCTION: &str = "lambda:GetFunction";

/// Three quarters of 100 calls per second for `GetFunction`, and of 15 per second for all other control calls together.
/// See <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html#api-requests>.
pub(super) static SOURCE: Source = Source {
    id: "lambda",
    parts: &[LAMBDA],
    quotas: &[
        Quota { calls: &[GET_FUNCTION], per_second: 75, burst: 75 },
        Quota { calls: &[LIST_FUNCTIONS, LIST_ALIASES, LIST_MAPPINGS], per_second: 11, burst: 11 },
    ],
    read: |reader| read(reader).boxed_local(),
};

/// The state of one reading of Lambda.
struct Lambda<'a> {
    reader: &'a Reader<'a>,
    client: Client,
}

/// Finds the images of the functions in the region.
async fn read(reader: &Reader<'_>) -> Result<(), CallError> {
    let lambda = Lambda { reader, client: reader.client(paced_client!(aws_sdk_lambda)) };
    let codes = Codes::default();
    match reader.keep.lambda_versions {
        // The listing and the calls for its versions have different quotas, so neither waits for the other.
        None => {
            let (found, versions) = mpsc::unbounded();
            let list = async {
                let listed = lambda.list_versions(|version| _ = found.unbounded_send(version)).await;
                found.close_channel();
                listed
            };
            join(list, codes.read(&lambda, versions)).await.0?;
        }
        Some(newest) => {
            let mut listed = BTreeSet::new();
            lambda.list_versions(|version| _ = listed.insert(version)).await?;
            let counted = lambda.counted(listed, newest).await?;
            codes.read(&lambda, stream::iter(counted)).await;
        }
    }
    codes.conclude(&lambda).await;
    Ok(())
}
