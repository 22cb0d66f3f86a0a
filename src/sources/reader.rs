//! What a source is given to read one region of one account: calls at their pace, what was learned before, and a place
//! for all that it finds.

use std::any::{Any, TypeId};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_config::SdkConfig;
use ecr_cleanup_core::account::Place;
use ecr_cleanup_core::call_error::CallError;
use ecr_cleanup_core::settings::KeepUnused;
use ecr_cleanup_core::usage::{Fact, Holder, UsageSnapshot};
use futures::stream::{self, StreamExt};

use super::Source;
use crate::aws::{Caller, Pace};
use crate::deadline::Deadline;

/// The most readings of a source in which something fails each time, and each time something else.
const READINGS: usize = 3;

/// One region of one account: made once a run, and read as often as usage has to be known anew.
#[derive(Debug)]
pub struct PlaceReader {
    /// Where it is.
    pub place: Place,
    config: SdkConfig,
    pace: Pace,
    clients: Mutex<HashMap<TypeId, Box<dyn Any + Send>>>,
    /// What never changes, by ARN. It is read once a run.
    facts: Mutex<HashMap<Box<str>, Arc<Fact>>>,
}

/// What sources found in one place.
#[derive(Debug, Default)]
pub struct Findings {
    /// What is in use.
    pub usage: UsageSnapshot,
    /// What could not be read, by what people call it.
    pub failures: Vec<(&'static str, CallError)>,
    /// Whether any call was answered. A place that answers none is closed to the function as a whole.
    pub answered: bool,
    /// How many there are of what a person may want to hear of.
    pub counts: BTreeMap<&'static str, usize>,
}

/// A source's way to everything that it needs, for one reading.
#[derive(Debug)]
pub struct Reader<'a> {
    /// How much of what is not running counts all the same.
    pub keep: KeepUnused,
    /// Its way to call AWS, which notes by itself that anything was answered.
    pub calls: Caller<'a>,
    source: &'static Source,
    place: &'a PlaceReader,
    found: Mutex<Findings>,
}

impl PlaceReader {
    /// A region of an account, by that account's credentials.
    #[must_use]
    pub fn new(place: Place, config: SdkConfig, quotas: Pace) -> Self {
        Self { place, config, pace: quotas, clients: Mutex::default(), facts: Mutex::default() }
    }

    /// How much was learned of what never changes.
    pub fn facts(&self) -> usize {
        lock(&self.facts).len()
    }

    /// Reads one source to its end. What can't be read may have gone away in between, whatever the code that the call
    /// answers with; then it is not listed any more. So what fails is listed and read once more, until what fails is what
    /// failed before.
    pub async fn read(&self, source: &'static Source, keep: KeepUnused, deadline: Deadline) -> Findings {
        let mut found = self.read_once(source, keep, deadline).await;
        for _ in 1..READINGS {
            if found.failures.is_empty() || !found.answered || found.is_given_up() {
                break;
            }
            let again = self.read_once(source, keep, deadline).await;
            if again.is_given_up() {
                break;
            }
            let is_settled = again.failures == found.failures;
            found = again;
            if is_settled {
                break;
            }
        }
        found
    }

    async fn read_once(&self, source: &'static Source, keep: KeepUnused, deadline: Deadline) -> Findings {
        let answered = AtomicBool::default();
        let calls = Caller::paced(deadline, &self.pace).noting(&answered);
        let reader = Reader { keep, calls, source, place: self, found: Mutex::default() };
        if let Err(error) = (source.read)(&reader).await {
            reader.fail(source.parts[0], error);
        }
        let mut found = reader.found.into_inner().unwrap_or_else(PoisonError::into_inner);
        found.answered = answered.into_inner();
        // Calls are answered in any order, and a report must not depend on it.
        let rank = |part: &str| source.parts.iter().position(|known| *known == part);
        found.failures.sort_by(|(a, failed), (b, other)| (rank(a), failed).cmp(&(rank(b), other)));
        found
    }
}

impl Findings {
    /// Whether time was up, or somebody has interrupted the run.
    fn is_given_up(&self) -> bool {
        self.failures.iter().any(|(_, error)| error.is_deadline() || error.is_interruption())
    }

    /// Adds what another source found in the same place.
    pub fn merge(&mut self, other: Self) {
        let Self { usage, failures, answered, counts } = other;
        self.usage.merge(usage);
        self.failures.extend(failures);
        self.answered |= answered;
        self.counts.extend(counts);
    }
}

impl Reader<'_> {
    /// The client of a service, made once for the place.
    pub fn client<C: Clone + Send + 'static>(&self, make: fn(&SdkConfig) -> C) -> C {
        let mut clients = lock(&self.place.clients);
        let client = clients.entry(TypeId::of::<C>()).or_insert_with(|| Box::new(make(&self.place.config)));
        client.downcast_ref::<C>().cloned().unwrap_or_else(|| make(&self.place.config))
    }

    /// Reads each of these, so many at a time. What went away in between is nothing; what can't be read is noted as a
    /// failure of `part`, and the others go on.
    pub async fn each<T, R>(
        &self,
        part: &'static str,
        items: impl IntoIterator<Item = T>,
        at_once: usize,
        read: impl AsyncFn(T) -> Result<R, CallError>,
    ) -> Vec<R> {
        let mut answers = stream::iter(items).map(|item| read(item)).buffered(at_once);
        let mut read = Vec::new();
        while let Some(answer) = answers.next().await {
            read.extend(self.unless_gone(part, answer));
        }
        read
    }

    /// Reads these so many a call. An answer that something went away does not say which, so that each is then asked for
    /// by itself.
    pub async fn each_batch<R>(
        &self,
        part: &'static str,
        arns: impl IntoIterator<Item = String>,
        per_call: usize,
        at_once: usize,
        read: impl AsyncFn(Vec<String>) -> Result<R, CallError>,
    ) -> Vec<R> {
        let arns: Vec<String> = arns.into_iter().collect();
        let read = async |batch: &[String]| match read(batch.to_vec()).await {
            Err(error) if error.may_say_gone() && batch.len() > 1 => {
                let one = async |arn: &String| read(vec![arn.clone()]).await;
                Ok(self.each(part, batch, 1, one).await)
            }
            answer => Ok(vec![answer?]),
        };
        self.each(part, arns.chunks(per_call), at_once, read).await.into_iter().flatten().collect()
    }

    /// Asks about something. Where the answer may say that it went away, `is_named` asks whether its parent still names it:
    /// if so it is asked about again, since it may be another by now.
    ///
    /// # Errors
    /// When it went away, or can't be read.
    pub async fn settled<T>(
        &self,
        ask: impl AsyncFn() -> Result<T, CallError>,
        is_named: impl AsyncFn() -> Result<bool, CallError>,
    ) -> Result<T, CallError> {
        /// What is always named, and never to be had, is no doubt any more.
        const DOUBTS: usize = 3;
        for _ in 0..DOUBTS {
            match ask().await {
                Err(error) if error.is_doubtful() => match is_named().await {
                    Ok(true) => {}
                    Ok(false) => return Err(error.settled_as_gone()),
                    Err(of_parent) if of_parent.is_doubtful() => {}
                    Err(of_parent) => return Err(of_parent),
                },
                answer => return answer,
            }
        }
        ask().await
    }

    /// What was read; nothing where it went away in between, or can't be read, which is noted.
    pub fn unless_gone<T>(&self, part: &'static str, answer: Result<T, CallError>) -> Option<T> {
        match answer {
            Ok(answer) => Some(answer),
            Err(error) if error.says_gone() => None,
            Err(error) => {
                self.fail(part, error);
                None
            }
        }
    }

    /// A workload names an image, or tells the digest that it was resolved to.
    pub fn uses(&self, holder: &Arc<Holder>, image: Option<&str>, image_digest: Option<&str>) {
        lock(&self.found).usage.add(image, image_digest, holder);
    }

    /// A workload uses the images of what never changes.
    pub fn uses_all(&self, holder: &Arc<Holder>, fact: &Fact) {
        for image in &fact.images {
            self.uses(holder, image.image.as_deref(), image.image_digest.as_deref());
        }
    }

    /// Something can't be read, so that usage is not known in full.
    pub fn fail(&self, part: &'static str, error: CallError) {
        debug_assert!(self.source.parts.contains(&part), "{part} is no part of {}", self.source.id);
        lock(&self.found).failures.push((part, error));
    }

    /// There are so many of something that a person may want to hear of.
    pub fn count(&self, what: &'static str, number: usize) {
        lock(&self.found).counts.insert(what, number);
    }

    /// What was learned of something that never changes.
    pub fn fact(&self, arn: &str) -> Option<Arc<Fact>> {
        lock(&self.place.facts).get(arn).cloned()
    }

    /// Keeps what was learned of something that never changes.
    pub fn learn(&self, arn: &str, fact: &Arc<Fact>) {
        lock(&self.place.facts).insert(arn.into(), Arc::clone(fact));
    }
}

/// What is shared is left whole by every line of this file, so that a panic elsewhere spoils nothing of it.
fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
