//! One call to AWS, or one listing. It ends before the deadline, keeps to the pace of its quota, and its errors contain
//! the API name.

use std::error::Error;
use std::fmt;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_sdk_ecr::config::http::HttpResponse;
use aws_sdk_ecr::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_async::future::pagination_stream::PaginationStream;
use ecr_cleanup_core::call_error::{CallError, GivenUp, NO_CREDENTIALS};

use tokio::time::Instant;

use super::pace::Pace;
use crate::deadline::Deadline;

/// The maximum length of an error's text. A report may contain thousands of errors.
const MESSAGE_BYTES: usize = 1_000;
/// The longest time to retry throttled calls if the deadline is unknown. Lambda runs a function no longer than this.
const LONGEST: Duration = Duration::from_mins(15);
/// The HTTP status of a throttled call, for every error code.
const TOO_MANY_REQUESTS: u16 = 429;

/// Makes calls until a deadline, at the pace of their quotas.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    deadline: Deadline,
    pace: Option<&'a Pace>,
    /// Set once a call was answered.
    answered: Option<&'a AtomicBool>,
}

impl<'a> Caller<'a> {
    /// Calls without a pace: no other client shares the quota, or the number of concurrent calls bounds the rate.
    #[must_use]
    pub fn new(deadline: Deadline) -> Self {
        Self { deadline, pace: None, answered: None }
    }

    /// Calls at the pace of their quotas.
    #[must_use]
    pub fn paced(deadline: Deadline, pace: &'a Pace) -> Self {
        Self { deadline, pace: Some(pace), answered: None }
    }

    /// The same, and sets `answered` once a call was answered.
    #[must_use]
    pub fn noting(self, answered: &'a AtomicBool) -> Self {
        Self { answered: Some(answered), ..self }
    }

    fn note<T>(&self, answer: T) -> T {
        if let Some(answered) = self.answered {
            answered.store(true, Ordering::Relaxed);
        }
        answer
    }

    /// Waits for one call.
    ///
    /// # Errors
    /// When it fails after all retries, or the deadline is too near.
    pub async fn call<T, E, R>(
        &self,
        api: &'static str,
        call: impl Future<Output = Result<T, SdkError<E, R>>>,
    ) -> Result<T, CallError>
    where
        E: ProvideErrorMetadata + Error + 'static,
        R: fmt::Debug + 'static,
    {
        // The SDK's futures are large. Boxed, they don't enlarge the futures of all callers.
        let answer = self.at_its_pace(api, Box::pin(call)).await.map_err(|given_up| (api, given_up))?;
        answer.map(|answer| self.note(answer)).map_err(|error| from_sdk(api, &error))
    }

    /// Waits for one call that is safe to repeat. While the service throttles it, the call is repeated at a lower pace.
    ///
    /// # Errors
    /// When it fails for another reason, or the deadline is too near.
    pub async fn read<T, E, F>(&self, api: &'static str, call: impl Fn() -> F) -> Result<T, CallError>
    where
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
        E: ProvideErrorMetadata + Error + 'static,
    {
        let begun = Instant::now();
        let limiter = self.pace.and_then(|pace| pace.limiter_of(api));
        loop {
            let made = async {
                let turn = match limiter {
                    Some(limiter) => Some((limiter, limiter.until_ready().await)),
                    None => None,
                };
                self.deadline.allows_a_call()?;
                Ok((turn, Box::pin(call()).await))
            };
            let (turn, answer) =
                self.deadline.bound(made).await.flatten().map_err(|given_up: GivenUp| (api, given_up))?;
            match (answer, turn) {
                (Ok(answer), turn) => {
                    turn.inspect(|(limiter, _)| limiter.answered());
                    return Ok(self.note(answer));
                }
                (Err(error), Some((limiter, turn))) if is_throttle(&error) && begun.elapsed() <= LONGEST => {
                    limiter.throttled(turn);
                }
                // The SDK has already retried a call without its own quota. Waiting longer would delay all other calls.
                (Err(error), _) => return Err(from_sdk(api, &error)),
            }
        }
    }

    /// Reads a listing to its end, page by page. If a page has no list, `take` returns `None`.
    ///
    /// # Errors
    /// When a page can't be read or has no list; AWS always sends one, even if it is empty. Also when the listing
    /// breaks off: the SDK's paginator stops silently at a page whose next token is its own, and the following items
    /// would seem not to exist.
    pub async fn pages<P, E, R>(
        &self,
        api: &'static str,
        mut listing: PaginationStream<Result<P, SdkError<E, R>>>,
        next_token: impl Fn(&P) -> Option<&str>,
        mut take: impl FnMut(P) -> Option<()>,
    ) -> Result<(), CallError>
    where
        E: ProvideErrorMetadata + Error + 'static,
        R: fmt::Debug + 'static,
    {
        loop {
            let page = self.at_its_pace(api, listing.next()).await.map_err(|given_up| (api, given_up))?;
            let page = page.ok_or_else(|| CallError::broke_off(api))?.map_err(|error| from_sdk(api, &error))?;
            let page = self.note(page);
            let last = next_token(&page).is_none_or(str::is_empty);
            take(page).ok_or_else(|| CallError::no_list(api))?;
            if last {
                return Ok(());
            }
        }
    }

    /// Reads a listing without an SDK paginator, or one that may stop before its end.
    ///
    /// # Errors
    /// When a page can't be read, has no list, or has its own token as the next.
    pub async fn pages_by_token<P, E, F>(
        &self,
        api: &'static str,
        page_at: impl Fn(Option<String>) -> F,
        next_token: impl Fn(&P) -> Option<&str>,
        mut take: impl FnMut(P) -> Option<ControlFlow<()>>,
    ) -> Result<(), CallError>
    where
        F: Future<Output = Result<P, SdkError<E, HttpResponse>>>,
        E: ProvideErrorMetadata + Error + 'static,
    {
        let mut token = None;
        loop {
            let page = self.read(api, || page_at(token.clone())).await?;
            let next = next_token(&page).filter(|token| !token.is_empty()).map(str::to_owned);
            let enough = take(page).ok_or_else(|| CallError::no_list(api))?.is_break();
            if enough || next.is_none() {
                return Ok(());
            }
            if next == token {
                return Err(CallError::broke_off(api));
            }
            token = next;
        }
    }

    /// Waits for the call's turn and for its answer until the deadline. Makes no call after an interruption.
    async fn at_its_pace<T>(&self, api: &str, call: impl Future<Output = T>) -> Result<T, GivenUp> {
        let in_turn = async {
            if let Some(limiter) = self.pace.and_then(|pace| pace.limiter_of(api)) {
                _ = limiter.until_ready().await;
            }
            self.deadline.allows_a_call()?;
            Ok(call.await)
        };
        self.deadline.bound(in_turn).await?
    }
}

/// Whether the service throttled the call. Image Builder has its own code for that, and others may too, so the HTTP
/// status counts as well.
fn is_throttle<E>(error: &SdkError<E, HttpResponse>) -> bool
where
    E: ProvideErrorMetadata,
{
    error.code().is_some_and(CallError::is_throttle_code)
        || error.raw_response().is_some_and(|response| response.status().as_u16() == TOO_MANY_REQUESTS)
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
    // The chain of causes. `DisplayErrorContext` would add the whole response.
    let message = || {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        text
    };
    let mut message = service_message.unwrap_or_else(message);
    let mut code = service_code.unwrap_or_else(|| code.to_owned());
    if message.contains("credential") && matches!(code.as_str(), "DispatchFailure" | "ConstructionFailure") {
        NO_CREDENTIALS.clone_into(&mut code);
    }
    message.truncate(message.floor_char_boundary(MESSAGE_BYTES));
    CallError::new(api, &code, message)
}
