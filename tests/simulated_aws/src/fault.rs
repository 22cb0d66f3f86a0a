//! What goes wrong: which calls, and how.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::calls::Call;
use crate::model::member::Variation;
use crate::request::Request;

/// A fault and the calls it befalls.
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
    /// The answer takes this much longer.
    Slow(Duration),
    /// The answer takes this long, and just before it something happens.
    Before(Duration, Happening),
    /// What has this ARN is left out of every list of the answer.
    LeaveOut(String),
    /// Something in the answer is not told, or in a word that nobody knows yet.
    Varied(Variation),
    /// The connection stays open and silent.
    NoAnswer,
    /// The connection is closed before the call is carried out, or after it.
    Reset(Carried),
    /// The call is carried out, and its answer breaks off in the middle.
    Truncated,
    /// The call is not carried out, and the answer is 200 with this text.
    Garbage(&'static str),
    /// What names a next page is refused.
    ExpiredToken,
    /// The listing's page names itself as the next.
    RepeatToken,
    /// The listing is paged in an unusual way.
    Paged(Paging),
    /// The answer is 200 with these failure codes for these digests.
    ImageFailures(BTreeMap<String, String>),
}

/// Whether a call had its effect before its answer was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carried {
    Out,
    NotOut,
}

/// How a listing may be paged besides one full page after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paging {
    /// The page comes once more.
    Twice,
    /// An empty page that names a next one comes before it.
    AfterAnEmptyOne,
}

/// Something that happens to the account.
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
    /// Operations are in IAM's notation, and `*` at the end stands for all that begin so.
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

    /// The call is refused with this error.
    #[must_use]
    pub fn error(operation: &str, status: u16, code: &str) -> Self {
        let message = format!("simulated: {operation} answers {code}");
        Self::on(operation, Effect::error(status, code, &message))
    }

    /// The caller's policy does not allow the call.
    #[must_use]
    pub fn denied(operation: &str) -> Self {
        Self::error(operation, 400, "AccessDeniedException")
    }

    /// The call is answered this much later.
    #[must_use]
    pub fn slow(operation: &str, delay: Duration) -> Self {
        Self::on(operation, Effect::Slow(delay))
    }

    /// The call is answered this much later, and just before that this happens.
    #[must_use]
    pub fn before(operation: &str, delay: Duration, happens: impl Fn() + Send + Sync + 'static) -> Self {
        Self::on(operation, Effect::Before(delay, Happening(Arc::new(happens))))
    }

    /// The answer leaves out whatever has this ARN.
    #[must_use]
    pub fn leave_out(operation: &str, arn: &str) -> Self {
        Self::on(operation, Effect::LeaveOut(arn.to_owned()))
    }

    /// The answer is varied as its model allows.
    #[must_use]
    pub fn varied(operation: &str, variation: &Variation) -> Self {
        Self::on(operation, Effect::Varied(variation.clone()))
    }

    /// The call is never answered.
    #[must_use]
    pub fn no_answer(operation: &str) -> Self {
        Self::on(operation, Effect::NoAnswer)
    }

    /// The service is asked too fast.
    #[must_use]
    pub fn throttled(operation: &str) -> Self {
        Self::error(operation, 400, "ThrottlingException")
    }

    /// The connection is closed before the call is carried out.
    #[must_use]
    pub fn reset(operation: &str) -> Self {
        Self::on(operation, Effect::Reset(Carried::NotOut))
    }

    /// The call is carried out, and the connection is closed before its answer.
    #[must_use]
    pub fn lost_answer(operation: &str) -> Self {
        Self::on(operation, Effect::Reset(Carried::Out))
    }

    /// The call is carried out, and its answer breaks off in the middle.
    #[must_use]
    pub fn truncated(operation: &str) -> Self {
        Self::on(operation, Effect::Truncated)
    }

    /// The call is not carried out, and the answer is 200 with a text that no service writes.
    #[must_use]
    pub fn garbage(operation: &str) -> Self {
        Self::on(operation, Effect::Garbage("<html>come back later</html>"))
    }

    /// The call is not carried out, and the answer is 200 with an object in which nothing stands.
    #[must_use]
    pub fn blank(operation: &str) -> Self {
        Self::on(operation, Effect::Garbage("{}"))
    }

    /// A call that asks for a next page is refused, since its token is too old.
    #[must_use]
    pub fn expired_token(operation: &str) -> Self {
        Self::on(operation, Effect::ExpiredToken)
    }

    /// A page of the listing comes twice.
    #[must_use]
    pub fn duplicated_page(operation: &str) -> Self {
        Self::on(operation, Effect::Paged(Paging::Twice))
    }

    /// Before a page of the listing comes an empty one that names a next.
    #[must_use]
    pub fn empty_page(operation: &str) -> Self {
        Self::on(operation, Effect::Paged(Paging::AfterAnEmptyOne))
    }

    /// A page of the listing names itself as the next one.
    #[must_use]
    pub fn repeated_token(operation: &str) -> Self {
        Self::on(operation, Effect::RepeatToken)
    }

    /// ECR can't delete these images, each for the reason of its code.
    #[must_use]
    pub fn image_failures<'a>(failures: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let failures = failures.into_iter().map(|(digest, code)| (digest.to_owned(), code.to_owned())).collect();
        Self::on("ecr:BatchDeleteImage", Effect::ImageFailures(failures))
    }

    /// ECR can't give out the manifest of this image.
    #[must_use]
    pub fn withheld_manifest(digest: &str, code: &str) -> Self {
        let failures = [(digest.to_owned(), code.to_owned())];
        Self::on("ecr:BatchGetImage", Effect::ImageFailures(failures.into()))
    }

    /// In this region alone.
    #[must_use]
    pub fn in_region(mut self, region: &str) -> Self {
        self.region = Some(region.to_owned());
        self
    }

    /// In this account alone.
    #[must_use]
    pub fn in_account(mut self, account: &str) -> Self {
        self.account = Some(account.to_owned());
        self
    }

    /// For this repository alone.
    #[must_use]
    pub fn for_repository(mut self, repository: &str) -> Self {
        self.repository = Some(repository.to_owned());
        self
    }

    /// For requests in which this text stands.
    #[must_use]
    pub fn mentioning(mut self, text: &str) -> Self {
        self.mentions = Some(text.to_owned());
        self
    }

    /// For calls with exactly these parameters, in the same place.
    #[must_use]
    pub fn of_call(self, call: &Call) -> Self {
        let Call { operation, account, region, request, .. } = call;
        let (operation, account, region) = (operation.clone(), Some(account.clone()), Some(region.clone()));
        Self { operation, account, region, parameters: Some(request.clone()), ..self }
    }

    /// After so many calls that go well.
    #[must_use]
    pub fn after(mut self, calls: usize) -> Self {
        self.skip = calls;
        self
    }

    /// So many times, then no more.
    #[must_use]
    pub fn times(mut self, times: usize) -> Self {
        self.times = times;
        self
    }

    /// Whether it befalls this call, counting it.
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
