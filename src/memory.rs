//! The data that runs share, in a bucket or in a folder. A run reads it first and writes it last. A live run also writes
//! the images in use before its first delete, because it may be killed after that.
//!
//! A run reads all objects that it may need at once. An object that can't be read is a [`MemoryTrouble`]: a live run is
//! refused, and a dry run warns. An object that can't be written is a warning. A run writes only objects that it has read
//! or that did not exist, and only if they have not changed. If another run has written an object in between, both are
//! merged.

mod bucket;
mod folder;
mod plans;
mod reports;
mod store;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::NaiveDate;
use ecr_cleanup_core::account::{AccountId, Place};
use ecr_cleanup_core::memory::{
    self, FactKind, Facts, Indexes, Kind, MemoryLocation, MemoryTrouble, PlanLocation, Seen, Stored,
};
use ecr_cleanup_core::run_id::RunId;
use ecr_cleanup_core::usage::Fact;
use futures::stream::{self, StreamExt};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use plans::{Claim, PlanNotUsable, claim_plan, read_plan};
pub use reports::write_report;
pub use store::{Object, Put, Store, Version};

use crate::aws::Aws;
use crate::deadline::Deadline;
use bucket::InBucket;
use folder::InFolder;

/// The number of objects to read at the same time.
const OBJECTS_AT_ONCE: usize = 16;
/// The number of attempts to write an object that other runs write as well.
const ATTEMPTS: usize = 5;

/// Facts that a run needed, by the keys of their sources.
pub type NeededFacts = Vec<(Box<str>, Arc<Fact>)>;

/// The memory of a run.
#[derive(Debug, Default)]
pub struct Memory {
    location: Option<MemoryLocation>,
    store: Option<Box<dyn Store>>,
    seen: BTreeMap<Place, Part<Seen>>,
    facts: BTreeMap<(FactKind, Place), Part<Facts>>,
    indexes: BTreeMap<Place, IndexMemory>,
    /// What this run has written since it has read `seen`. Its decisions rest on `seen` alone.
    seen_written: Mutex<BTreeMap<Place, Part<Seen>>>,
    trouble: Vec<MemoryTrouble>,
}

/// The known indexes of a registry, to which a run adds those that it reads.
#[derive(Debug)]
pub struct IndexMemory {
    known: Mutex<Indexes>,
    before: Part<Indexes>,
}

/// An object when the run began.
#[derive(Clone, Debug)]
struct Part<T> {
    content: T,
    version: Version,
    fate: PartFate,
}

/// Whether an object may be written again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PartFate {
    MayBeWritten,
    /// A newer version of this program wrote it.
    IsNewer,
    /// It could not be read.
    IsUnread,
}

impl<T: Default> Part<T> {
    fn absent() -> Self {
        Self { content: T::default(), version: Version::Absent, fate: PartFate::MayBeWritten }
    }

    fn unread() -> Self {
        Self { fate: PartFate::IsUnread, ..Self::absent() }
    }
}

impl Memory {
    /// No memory: it is empty, and nothing is written.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Reads the memory of these registries, and the facts of these accounts.
    pub async fn recall(
        location: Option<&MemoryLocation>,
        aws: &Aws,
        registries: &[Place],
        accounts: &BTreeSet<AccountId>,
        deadline: Deadline,
    ) -> Self {
        let Some(location) = location else { return Self::none() };
        let store = open(location, aws, deadline);
        let mut memory = Self { location: Some(location.clone()), ..Self::none() };
        let keys = match store.list(memory::STATE).await {
            Ok(keys) => keys,
            Err(error) => {
                memory.trouble.push(MemoryTrouble::of_call(location.to_string(), error));
                return memory;
            }
        };
        memory.seen = memory.read_all(&*store, &keys, registries.iter().map(|place| (Kind::Seen, place.clone()))).await;
        let facts = facts_in(&keys, accounts).map(|(kind, place)| ((kind, place.clone()), Kind::Facts(kind), place));
        let facts: Vec<_> = facts.collect();
        let wanted = facts.iter().map(|(_, kind, place)| (*kind, place.clone()));
        let read = memory.read_each(&*store, &keys, wanted).await;
        memory.facts = facts.into_iter().map(|(key, ..)| key).zip(read).collect();
        let wanted = registries.iter().map(|place| (Kind::Indexes, place.clone()));
        let indexes: BTreeMap<Place, Part<Indexes>> = memory.read_all(&*store, &keys, wanted).await;
        let of_registry = |before: Part<Indexes>| IndexMemory { known: Mutex::new(before.content.clone()), before };
        memory.indexes = indexes.into_iter().map(|(place, before)| (place, of_registry(before))).collect();
        memory.store = Some(store);
        memory
    }

    /// Reads the objects of one kind, by their places.
    async fn read_all<T: Default + DeserializeOwned>(
        &mut self,
        store: &dyn Store,
        keys: &BTreeSet<String>,
        wanted: impl Iterator<Item = (Kind, Place)> + Clone,
    ) -> BTreeMap<Place, Part<T>> {
        let read = self.read_each(store, keys, wanted.clone()).await;
        wanted.map(|(_, place)| place).zip(read).collect()
    }

    async fn read_each<T: Default + DeserializeOwned>(
        &mut self,
        store: &dyn Store,
        keys: &BTreeSet<String>,
        wanted: impl Iterator<Item = (Kind, Place)>,
    ) -> Vec<Part<T>> {
        let location = self.location_text();
        let read = async |(kind, place): (Kind, Place)| {
            let key = kind.key(&place);
            if !keys.contains(&key) {
                return Ok(Part::absent());
            }
            let object = format!("{location}/{key}");
            match store.get(&key).await {
                Ok(None) => Ok(Part::absent()),
                Ok(Some(Object { bytes, version })) => match memory::read(kind, &bytes) {
                    Ok(Stored { content, is_newer }) => {
                        let fate = if is_newer { PartFate::IsNewer } else { PartFate::MayBeWritten };
                        Ok(Part { content, version, fate })
                    }
                    Err(damaged) => Err(MemoryTrouble::damaged(object, &damaged)),
                },
                Err(error) => Err(MemoryTrouble::of_call(object, error)),
            }
        };
        let read: Vec<Result<Part<T>, MemoryTrouble>> =
            stream::iter(wanted).map(read).buffered(OBJECTS_AT_ONCE).collect().await;
        let mut parts = Vec::with_capacity(read.len());
        for part in read {
            parts.push(part.unwrap_or_else(|trouble| {
                self.trouble.push(trouble);
                Part::unread()
            }));
        }
        parts
    }

    /// The first object that could not be read. Memory is incomplete then.
    #[must_use]
    pub fn trouble(&self) -> Option<&MemoryTrouble> {
        self.trouble.first()
    }

    /// The location; `None` without a memory.
    #[must_use]
    pub fn location(&self) -> Option<&MemoryLocation> {
        self.location.as_ref()
    }

    /// The memory of a registry's images; `None` without a memory.
    #[must_use]
    pub fn seen(&self, registry: &Place) -> Option<&Seen> {
        self.seen.get(registry).map(|part| &part.content)
    }

    /// The first day of all registries; `None` if nothing was written yet.
    #[must_use]
    pub fn since(&self) -> Option<NaiveDate> {
        self.seen.values().filter_map(|part| part.content.since()).min()
    }

    /// The known indexes of a registry; `None` without a memory.
    #[must_use]
    pub fn indexes(&self, registry: &Place) -> Option<&IndexMemory> {
        self.indexes.get(registry)
    }

    /// The facts of a region of an account, by the keys of their sources.
    pub fn facts(&self, place: &Place) -> impl Iterator<Item = (&str, Fact)> {
        let of_place = FactKind::ALL.map(|kind| self.facts.get(&(kind, place.clone())));
        of_place.into_iter().flatten().flat_map(|part| part.content.iter())
    }

    /// Writes the memory of the registries' images, where it changed since it was read or written. Returns the objects
    /// that can't be written.
    pub async fn write_seen(&self, observe: impl Fn(&Place, &mut Seen)) -> Vec<MemoryTrouble> {
        let mut trouble = Vec::new();
        for (place, read) in &self.seen {
            let written = lock(&self.seen_written).get(place).cloned();
            let part = written.as_ref().unwrap_or(read);
            let mut seen = part.content.clone();
            observe(place, &mut seen);
            if seen == part.content {
                continue;
            }
            match self.write(Kind::Seen, place, part, seen, Seen::merge).await {
                Ok(None) => {}
                Ok(Some(part)) => _ = lock(&self.seen_written).insert(place.clone(), part),
                Err(error) => trouble.push(error),
            }
        }
        trouble
    }

    /// Writes the facts that a run needed, each with its place.
    pub async fn write_facts<'a>(
        &self,
        needed: impl Iterator<Item = (&'a Place, NeededFacts)>,
        today: NaiveDate,
    ) -> Vec<MemoryTrouble> {
        if self.store.is_none() {
            return Vec::new();
        }
        let mut trouble = Vec::new();
        for (place, facts) in needed {
            let mut by_kind: BTreeMap<FactKind, NeededFacts> = BTreeMap::new();
            for (key, fact) in facts {
                if let Some(kind) = FactKind::of(&key) {
                    by_kind.entry(kind).or_default().push((key, fact));
                }
            }
            for kind in FactKind::ALL {
                let absent = Part::absent();
                let part = self.facts.get(&(kind, place.clone())).unwrap_or(&absent);
                let mut known = part.content.clone();
                let mut is_news = false;
                for (key, fact) in by_kind.remove(&kind).unwrap_or_default() {
                    is_news |= known.note(&key, &fact, today);
                }
                is_news |= known.forget(today);
                if is_news {
                    trouble.extend(self.write(Kind::Facts(kind), place, part, known, Facts::merge).await.err());
                }
            }
        }
        trouble
    }

    /// Writes the known indexes of each registry to which a run added any.
    pub async fn write_indexes(&self) -> Vec<MemoryTrouble> {
        let mut trouble = Vec::new();
        for (place, IndexMemory { known, before }) in &self.indexes {
            let known = lock(known).clone();
            if known != before.content {
                trouble.extend(self.write(Kind::Indexes, place, before, known, Indexes::merge).await.err());
            }
        }
        trouble
    }

    /// Saves the plan of a dry run by its id, for a later run to carry it out.
    ///
    /// # Errors
    /// When it can't be written.
    pub async fn write_plan(&self, id: &RunId, text: &str) -> Result<(), MemoryTrouble> {
        let (Some(store), Some(location)) = (&self.store, &self.location) else { return Ok(()) };
        plans::save_plan(&**store, &PlanLocation { memory: location.clone(), id: id.clone() }, text).await
    }

    /// Writes an object, and returns what is there then; `None` if this run must not write. Where another run has written
    /// the object since it was read, both are merged.
    async fn write<T: Serialize + DeserializeOwned>(
        &self,
        kind: Kind,
        place: &Place,
        read: &Part<T>,
        mut content: T,
        merge: fn(&mut T, T),
    ) -> Result<Option<Part<T>>, MemoryTrouble> {
        let Some(store) = &self.store else { return Ok(None) };
        let key = kind.key(place);
        let object = format!("{}/{key}", self.location_text());
        match read.fate {
            PartFate::MayBeWritten => {}
            PartFate::IsNewer => return Err(MemoryTrouble::newer(object)),
            // The run has reported that already.
            PartFate::IsUnread => return Ok(None),
        }
        let mut version = read.version.clone();
        for _ in 0..ATTEMPTS {
            let failed = |error| MemoryTrouble::of_call(object.clone(), error);
            let bytes = memory::write(kind, &content)
                .map_err(|error| failed(ecr_cleanup_core::call_error::CallError::unexpected("memory", &error)))?;
            if let Put::Written(version) = store.put(&key, bytes, &version).await.map_err(failed)? {
                return Ok(Some(Part { content, version, fate: PartFate::MayBeWritten }));
            }
            version = match store.get(&key).await.map_err(failed)? {
                None => Version::Absent,
                Some(Object { bytes, version }) => {
                    let theirs = memory::read(kind, &bytes);
                    let theirs = theirs.map_err(|damaged| MemoryTrouble::damaged(object.clone(), &damaged))?;
                    if theirs.is_newer {
                        return Err(MemoryTrouble::newer(object));
                    }
                    merge(&mut content, theirs.content);
                    version
                }
            };
        }
        Err(MemoryTrouble::contended(object))
    }

    fn location_text(&self) -> String {
        self.location.as_ref().map(ToString::to_string).unwrap_or_default()
    }
}

/// The store at a location.
fn open(location: &MemoryLocation, aws: &Aws, deadline: Deadline) -> Box<dyn Store> {
    match location {
        MemoryLocation::Bucket { bucket, prefix } => {
            Box::new(InBucket::new(aws.bucket(bucket, deadline.to_finish()), prefix))
        }
        MemoryLocation::Folder(folder) => Box::new(InFolder::new(folder)),
    }
}

impl IndexMemory {
    /// The known indexes.
    pub fn known(&self) -> MutexGuard<'_, Indexes> {
        lock(&self.known)
    }
}

/// The facts in memory of these accounts.
fn facts_in(keys: &BTreeSet<String>, accounts: &BTreeSet<AccountId>) -> impl Iterator<Item = (FactKind, Place)> {
    keys.iter().filter_map(|key| {
        let (folder, file) = key.rsplit_once('/')?;
        let (_, account) = folder.rsplit_once('/')?;
        let place = Place::new(account.parse().ok()?, file.strip_suffix(".json.gz")?.parse().ok()?);
        let kind = FactKind::ALL.into_iter().find(|kind| Kind::Facts(*kind).key(&place) == *key)?;
        accounts.contains(&place.account).then_some((kind, place))
    })
}

/// Every line of this file leaves shared data complete, so a panic elsewhere can't damage it.
fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
