//! Everything that a source needs to read one region of one account: paced calls, known facts, and a place for its
//! findings.

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

/// The most readings of a source in which different things fail each time.
const READINGS: usize = 3;

/// One region of one account. Made once per run, and read whenever usage is needed again.
#[derive(Debug)]
pub struct PlaceReader {
    /// The account and region.
    pub place: Place,
    config: SdkConfig,
    pace: Pace,
    clients: Mutex<HashMap<TypeId, Box<dyn Any + Send>>>,
    /// Facts that never change, by ARN. Each is read once per run, or comes from an earlier run.
    facts: Mutex<HashMap<Box<str>, Known>>,
}

/// A fact, and whether this run needed it.
#[derive(Debug)]
struct Known {
    fact: Arc<Fact>,
    is_needed: bool,
}

/// The findings of sources in one place.
#[derive(Debug, Default)]
pub struct Findings {
    /// The images in use.
    pub usage: UsageSnapshot,
    /// The parts that could not be read, by their names.
    pub failures: Vec<(&'static str, CallError)>,
    /// Whether any call was answered. If none is, the place is closed to the function.
    pub answered: bool,
    /// Counts to show to the user.
    pub counts: BTreeMap<&'static str, usize>,
}

/// Access to everything that a source needs, for one reading.
#[derive(Debug)]
pub struct Reader<'a> {
    /// How many definitions and versions count as used although they are not running.
    pub keep: KeepUnused,
    /// Makes the calls to AWS, and notes that any was answered.
    pub calls: Caller<'a>,
    source: &'static Source,
    place: &'a PlaceReader,
    found: Mutex<Findings>,
}

impl PlaceReader {
    /// A region of an account, with the credentials of that account.
    #[must_use]
    pub fn new(place: Place, config: SdkConfig, quotas: Pace) -> Self {
        Self { place, config, pace: quotas, clients: Mutex::default(), facts: Mutex::default() }
    }

    /// The number of known facts.
    pub fn facts(&self) -> usize {
        lock(&self.facts).len()
    }

    /// Adds facts that earlier runs learned.
    pub fn recall<'a>(&self, facts: impl Iterator<Item = (&'a str, Fact)>) {
        let known = |fact| Known { fact: Arc::new(fact), is_needed: false };
        lock(&self.facts).extend(facts.map(|(key, fact)| (key.into(), known(fact))));
    }

    /// The facts that this run looked up or learned, for memory.
    pub fn needed(&self) -> Vec<(Box<str>, Arc<Fact>)> {
        let facts = lock(&self.facts);
        let needed = facts.iter().filter(|(_, known)| known.is_needed);
        needed.map(|(key, known)| (key.clone(), Arc::clone(&known.fact))).collect()
    }

    /// Reads one source to its end. A failed call, with any error code, may mean that the resource was deleted in the
    /// meantime; then a new listing does not contain it. So failures are followed by another reading, until the same
    /// failures repeat.
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
        // Calls are answered in any order, and the report must not depend on it.
        let rank = |part: &str| source.parts.iter().position(|known| *known == part);
        found.failures.sort_by(|(a, failed), (b, other)| (rank(a), failed).cmp(&(rank(b), other)));
        found
    }
}

impl Findings {
    /// Whether the deadline was reached, or the run was interrupted.
    fn is_given_up(&self) -> bool {
        self.failures.iter().any(|(_, error)| error.is_deadline() || error.is_interruption())
    }

    /// Adds the findings of another source in the same place.
    pub fn merge(&mut self, other: Self) {
        let Self { usage, failures, answered, counts } = other;
        self.usage.merge(usage);
        self.failures.extend(failures);
        self.answered |= answered;
        self.counts.extend(counts);
    }
}

impl Reader<'_> {
    /// The client of a service. Made once per place.
    pub fn client<C: Clone + Send + 'static>(&self, make: fn(&SdkConfig) -> C) -> C {
        let mut clients = lock(&self.place.clients);
        let client = clients.entry(TypeId::of::<C>()).or_insert_with(|| Box::new(make(&self.place.config)));
        client.downcast_ref::<C>().cloned().unwrap_or_else(|| make(&self.place.config))
    }

    /// Reads each of these, up to `at_once` concurrently. A deleted item is skipped. A failure is noted as one of
    /// `part`, and the others continue.
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

    /// Reads these, up to `per_call` per call. If an answer may mean that an item was deleted, it doesn't say which
    /// one, so each item is requested separately.
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

    /// Requests an item. If the answer may mean that it was deleted, `is_named` checks whether its parent still lists
    /// it. If so it is requested again, because it may be a new item by now.
    ///
    /// # Errors
    /// When it was deleted, or can't be read.
    pub async fn settled<T>(
        &self,
        ask: impl AsyncFn() -> Result<T, CallError>,
        is_named: impl AsyncFn() -> Result<bool, CallError>,
    ) -> Result<T, CallError> {
        /// Repeats after which an item that is listed but can't be read is an error.
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

    /// The item that was read; `None` if it was deleted in the meantime, or can't be read, which is noted as a failure.
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

    /// A workload uses an image, by its reference or by the digest to which it was resolved.
    pub fn uses(&self, holder: &Arc<Holder>, image: Option<&str>, image_digest: Option<&str>) {
        lock(&self.found).usage.add(image, image_digest, holder);
    }

    /// A workload uses the images of a known fact.
    pub fn uses_all(&self, holder: &Arc<Holder>, fact: &Fact) {
        for image in &fact.images {
            self.uses(holder, image.image.as_deref(), image.image_digest.as_deref());
        }
    }

    /// Notes a failure, so that usage is not known in full.
    pub fn fail(&self, part: &'static str, error: CallError) {
        debug_assert!(self.source.parts.contains(&part), "{part} is no part of {}", self.source.id);
        lock(&self.found).failures.push((part, error));
    }

    /// Notes a count to show to the user.
    pub fn count(&self, what: &'static str, number: usize) {
        lock(&self.found).counts.insert(what, number);
    }

    /// The fact of this ARN, if it is known.
    pub fn fact(&self, arn: &str) -> Option<Arc<Fact>> {
        let mut facts = lock(&self.place.facts);
        let known = facts.get_mut(arn)?;
        known.is_needed = true;
        Some(Arc::clone(&known.fact))
    }

    /// Keeps a fact that never changes.
    pub fn learn(&self, arn: &str, fact: &Arc<Fact>) {
        lock(&self.place.facts).insert(arn.into(), Known { fact: Arc::clone(fact), is_needed: true });
    }
}

/// Every lock holder in this file leaves the shared data valid, so a panic elsewhere does no harm.
fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
