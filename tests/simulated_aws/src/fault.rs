//! What goes wrong: which calls, and how.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::request::Request;

/// A fault and the calls it befalls.
#[derive(Clone, Debug)]
pub struct Fault {
    operation: String,
    account: Option<String>,
    region: Option<String>,
    repository: Option<String>,
    mentions: Option<String>,
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
    /// The connection stays open and silent.
    NoAnswer,
    /// The listing's page names itself as the next.
    RepeatToken,
    /// The answer is 200 with these failure codes for these digests.
    ImageFailures(BTreeMap<String, String>),
}

/// Something that happens to the account.
#[derive(Clone)]
pub(crate) struct Happening(pub(crate) Arc<dyn Fn() + Send + Sync>);

impl fmt::Debug for Happening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Happening")
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
            skip: 0,
            times: usize::MAX,
            effect,
        }
    }

    /// The call is refused with this error.
    #[must_use]
    pub fn error(operation: &str, status: u16, code: &str) -> Self {
        let message = format!("simulated: {operation} answers {code}");
        Self::on(operation, Effect::Error { status, code: code.to_owned(), message })
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

    /// The call is never answered.
    #[must_use]
    pub fn no_answer(operation: &str) -> Self {
        Self::on(operation, Effect::NoAnswer)
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
