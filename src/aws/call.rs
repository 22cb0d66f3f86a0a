//! One call to AWS, or one listing, bounded by the deadline, with errors that name the call.

use std::error::Error;
use std::fmt;

use aws_sdk_ecr::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_smithy_async::future::pagination_stream::PaginationStream;

use super::error::{CallError, NO_CREDENTIALS};
use crate::deadline::Deadline;

/// More of an error's text than this helps no one, and a report may hold thousands.
const MESSAGE_BYTES: usize = 1_000;

/// Waits for one call.
///
/// # Errors
/// When it fails after all retries, or the deadline comes too near.
pub async fn call<T, E, R>(
    deadline: Deadline,
    api: &'static str,
    call: impl Future<Output = Result<T, SdkError<E, R>>>,
) -> Result<T, CallError>
where
    E: ProvideErrorMetadata + Error + 'static,
    R: fmt::Debug + 'static,
{
    match deadline.bound(call).await {
        Ok(answer) => answer.map_err(|error| from_sdk(api, &error)),
        Err(reached) => Err((api, reached).into()),
    }
}

/// Reads a listing to its end, a page at a time.
///
/// # Errors
/// When a page can't be read, or the listing breaks off: the SDK's paginator stops silently at a page that names
/// itself as the next, and what follows would be taken for not existing.
pub async fn pages<P, E, R>(
    deadline: Deadline,
    api: &'static str,
    mut listing: PaginationStream<Result<P, SdkError<E, R>>>,
    next_token: impl Fn(&P) -> Option<&str>,
    mut take: impl FnMut(P),
) -> Result<(), CallError>
where
    E: ProvideErrorMetadata + Error + 'static,
    R: fmt::Debug + 'static,
{
    let mut unfinished = false;
    while let Some(page) = deadline.bound(listing.next()).await.map_err(|reached| (api, reached))? {
        let page = page.map_err(|error| from_sdk(api, &error))?;
        unfinished = next_token(&page).is_some_and(|token| !token.is_empty());
        take(page);
    }
    if unfinished {
        return Err(CallError::unexpected(api, &"the listing broke off: a page names itself as the next"));
    }
    Ok(())
}

fn from_sdk<E, R>(api: &'static str, error: &SdkError<E, R>) -> CallError
where
    E: ProvideErrorMetadata + Error + 'static,
    R: fmt::Debug + 'static,
{
    let service_code = error.code().map(str::to_owned);
    let service_message = error.message().map(str::to_owned);
    let code = match error {
        SdkError::ConstructionFailure(_) => "ConstructionFailure",
        SdkError::TimeoutError(_) => "TimeoutError",
        SdkError::DispatchFailure(failure) if failure.is_user() => "ConstructionFailure",
        SdkError::DispatchFailure(_) => "DispatchFailure",
        SdkError::ResponseError(_) => "ResponseError",
        _ => "UnknownError",
    };
    // `{:?}` would put the whole response into the log; this is the chain of causes.
    let message = || DisplayErrorContext(error).to_string();
    let mut message = service_message.unwrap_or_else(message);
    let mut code = service_code.unwrap_or_else(|| code.to_owned());
    if message.contains("credential") && matches!(code.as_str(), "DispatchFailure" | "ConstructionFailure") {
        NO_CREDENTIALS.clone_into(&mut code);
    }
    message.truncate(message.floor_char_boundary(MESSAGE_BYTES));
    CallError { api, code, message }
}
