//! Faults: the calls that fail, and the way in which each fails.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::calls::Call;
use crate::model::member::Variation;
use crate::request::Request;

/// A fault, and the calls that it changes.
#[derive(Clone, Debug)]
pub struct Fault {
    operation: String,
    account: Option<String>,
    region: Option<String>,
    repository: Option<String>,
    mentions: Option<String>,
    parameters: Option<Value>,
    skip: usize,
    times: usize,
    pub(crate) effect: Effect,
}

#[derive(Clone, Debug)]
pub(crate) enum Effect {
    Error {
        status: u16,
        code: String,
        message: String,
    },
    /// The answer is late by this time.
    Slow(Duration),
    /// The answer is late by this time, and the account changes just before it.
    Before(Duration, Happening),
    /// Every list in the answer lacks the resource with this ARN.
    LeaveOut(String),
    /// A member of the answer is absent, empty, or has an unknown value.
    Varied(Variation),
    /// The connection stays open, and no answer comes.
    NoAnswer,
    /// The server closes the connection, before or after it carries out the call.
    Reset(Carried),
    /// The server carries out the call, and its answer ends in the middle.
    Truncated,
    /// The server doesn't carry out the call, and answers 200 with this text.
    Garbage(&'static str),
    /// The server rejects the token of a next page.
    ExpiredToken,
    /// The token of a page is the token of the same page.
    RepeatToken,
    /// The listing has unusual pages.
    Paged(Paging),
    /// The answer is 200 with these failure codes, by digest.
    ImageFailures(BTreeMap<String, String>),
}

/// Whether the server carried out a call before its answer was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carried {
    Out,
    NotOut,
}

/// Unusual pages of a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paging {
    /// The next page is the same page once more.
    Twice,
    /// An empty page with a token comes before the page.
    AfterAnEmptyOne,
}

/// A change of the account.
#[derive(Clone)]
pub(crate) struct Happening(pub(crate) Arc<dyn Fn() + Send + Sync>);

impl fmt::Debug for Happening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Happening")
    }
}

impl Effect {
    pub(crate) fn error(status: u16, code: &str, message: &str) -> Self {
        Self::Error { status, code: code.to_owned(), message: message.to_owned() }
    }
}

impl Fault {
    /// A fault of an operation in IAM's notation. With `*` at the end, of all operations that begin with the text before it.
    fn on(operation: &str, effect: Effect) -> Self {
        Self {
            operation: operation.to_owned(),
            account: None,
            region: None,
            repository: None,
            mentions: None,
            parameters: None,
            skip: 0,
            times: usize::MAX,
            effect,
        }
    }

    /// The service answers with this error.
    #[must_use]
    pub fn error(operation: &str, status: u16, code: &str) -> Self {
        let message = format!("simulated: {operation} answers {code}");
        Self::on(operation, Effect::error(status, code, &message))
    }

    /// The caller's IAM policy denies the call.
    #[must_use]
    pub fn denied(operation: &str) -> Self {
        Self::error(operation, 400, "AccessDeniedException")
    }

    /// The answer is late by this time.
    #[must_use]
    pub fn slow(operation: &str, delay: Duration) -> Self {
        Self::on(operation, Effect::Slow(delay))
    }

    /// The answer is late by this time, and this happens just before it.
    #[must_use]
    pub fn before(operation: &str, delay: Duration, happens: impl Fn() + Send + Sync + 'static) -> Self {
        Self::on(operation, Effect::Before(delay, Happening(Arc::new(happens))))
    }

    /// The answer lacks the resource with this ARN.
    #[must_use]
    pub fn leave_out(operation: &str, arn: &str) -> Self {
        Self::on(operation, Effect::LeaveOut(arn.to_owned()))
    }

    /// The answer has this variation, which its model allows.
    #[must_use]
    pub fn varied(operation: &str, variation: &Variation) -> Self {
        Self::on(operation, Effect::Varied(variation.clone()))
    }

    /// The service never answers.
    #[must_use]
    pub fn no_answer(operation: &str) -> Self {
        Self::on(operation, Effect::NoAnswer)
    }

    /// The service throttles the call.
    #[must_use]
    pub fn throttled(operation: &str) -> Self {
        Self::error(operation, 400, "ThrottlingException")
    }

    /// The server closes the connection and doesn't carry out the call.
    #[must_use]
    pub fn reset(operation: &str) -> Self {
        Self::on(operation, Effect::Reset(Carried::NotOut))
    }

    /// The server carries out the call and closes the connection before it answers.
    #[must_use]
    pub fn lost_answer(operation: &str) -> Self {
        Self::on(operation, Effect::Reset(Carried::Out))
    }

    /// The server carries out the call, and its answer ends in the middle.
    #[must_use]
    pub fn truncated(operation: &str) -> Self {
        Self::on(operation, Effect::Truncated)
    }

    /// The server doesn't carry out the call, and answers 200 with HTML.
    #[must_use]
    pub fn garbage(operation: &str) -> Self {
        Self::on(operation, Effect::Garbage("<html>come back later</html>"))
    }

    /// The server doesn't carry out the call, and answers 200 with an empty object.
    #[must_use]
    pub fn blank(operation: &str) -> Self {
        Self::on(operation, Effect::Garbage("{}"))
    }

    /// The service rejects the token of a next page, because the token is too old.
    #[must_use]
    pub fn expired_token(operation: &str) -> Self {
        Self::on(operation, Effect::ExpiredToken)
    }

    /// The listing has a page twice.
    #[must_use]
    pub fn duplicated_page(operation: &str) -> Self {
        Self::on(operation, Effect::Paged(Paging::Twice))
    }

    /// The listing has an empty page with a token before a page.
    #[must_use]
    pub fn empty_page(operation: &str) -> Self {
        Self::on(operation, Effect::Paged(Paging::AfterAnEmptyOne))
    }

    /// The listing never ends: the token of each page leads to the same page.
    #[must_use]
    pub fn repeated_token(operation: &str) -> Self {
        Self::on(operation, Effect::RepeatToken)
    }

    /// ECR fails to delete these images. Each comes with its failure code.
    #[must_use]
    pub fn image_failures<'a>(failures: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let failures = failures.into_iter().map(|(digest, code)| (digest.to_owned(), code.to_owned())).collect();
        Self::on("ecr:BatchDeleteImage", Effect::ImageFailures(failures))
    }

    /// ECR fails to return the manifest of this image.
    #[must_use]
    pub fn withheld_manifest(digest: &str, code: &str) -> Self {
        let failures = [(digest.to_owned(), code.to_owned())];
        Self::on("ecr:BatchGetImage", Effect::ImageFailures(failures.into()))
    }

    /// Only in this Region.
    #[must_use]
    pub fn in_region(mut self, region: &str) -> Self {
        self.region = Some(region.to_owned());
        self
    }

    /// Only in this account.
    #[must_use]
    pub fn in_account(mut self, account: &str) -> Self {
        self.account = Some(account.to_owned());
        self
    }

    /// Only for this repository.
    #[must_use]
    pub fn for_repository(mut self, repository: &str) -> Self {
        self.repository = Some(repository.to_owned());
        self
    }

    /// Only for requests that contain this text.
    #[must_use]
    pub fn mentioning(mut self, text: &str) -> Self {
        self.mentions = Some(text.to_owned());
        self
    }

    /// Only for calls with the same parameters, account and Region.
    #[must_use]
    pub fn of_call(self, call: &Call) -> Self {
        let Call { operation, account, region, request, .. } = call;
        let (operation, account, region) = (operation.clone(), Some(account.clone()), Some(region.clone()));
        Self { operation, account, region, parameters: Some(request.clone()), ..self }
    }

    /// The first N calls succeed.
    #[must_use]
    pub fn after(mut self, calls: usize) -> Self {
        self.skip = calls;
        self
    }

    /// The fault ends after N calls.
    #[must_use]
    pub fn times(mut self, times: usize) -> Self {
        self.times = times;
        self
    }

    /// Whether the fault changes this call. Counts the call.
    pub(crate) fn strikes(&mut self, request: &Request) -> bool {
        let operation = request.operation();
        let befalls =
            self.operation.strip_suffix('*').map_or(self.operation == operation, |start| operation.starts_with(start))
                && self.parameters.as_ref().is_none_or(|parameters| *parameters == request.body)
                && self.mentions.as_ref().is_none_or(|text| request.body.to_string().contains(text))
                && self.account.as_ref().is_none_or(|account| *account == request.account)
                && self.region.as_ref().is_none_or(|region| *region == request.region)
                && self.repository.as_ref().is_none_or(|name| request.body["repositoryName"] == name.as_str());
        if !befalls || self.times == 0 {
            return false;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        self.times -= 1;
        true
    }
}
