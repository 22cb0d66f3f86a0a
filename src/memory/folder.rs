//! Memory in a folder, which only its owner may read.
//!
//! A run replaces a whole file by renaming another onto it. A killed run leaves the old file or the new one. A file's
//! version is the hash of its content. A run that replaces a version claims it first, by creating a file that can exist
//! only once. Of two runs that have read the same version, one writes, and the other reads again.

use std::collections::BTreeSet;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use ecr_cleanup_core::call_error::CallError;
use ecr_cleanup_core::image::ImageDigest;
use futures::FutureExt;
use futures::future::{LocalBoxFuture, ready};
use sha2::{Digest, Sha256};

use super::store::{Object, Put, Store, Version};

/// The end of the names of objects. Other files in the folder don't belong to memory.
const ENDING: &str = ".json.gz";
/// The begin of the names of incomplete files, and of claims. A killed run may leave them.
const UNFINISHED: &str = ".unfinished-";
const CLAIM: &str = ".claim-";
/// The folders of plans and reports, and how long their files are kept: as long as in the bucket of the stack.
const EXPIRING: [(&str, Duration); 2] =
    [("plans", Duration::from_hours(24 * 90)), ("reports", Duration::from_hours(24 * 400))];
/// A killed run left a claim that is older than this. A run needs less time between claiming and renaming.
const CLAIM_LASTS: Duration = Duration::from_mins(1);

/// The files below a folder.
#[derive(Debug)]
pub(super) struct InFolder {
    folder: PathBuf,
}

impl InFolder {
    pub(super) fn new(folder: &str) -> Self {
        Self { folder: folder.into() }
    }

    fn list(&self, prefix: &str) -> io::Result<BTreeSet<String>> {
        let mut keys = BTreeSet::new();
        let mut left = vec![(self.folder.join(prefix), prefix.to_owned())];
        while let Some((folder, prefix)) = left.pop() {
            let entries = match std::fs::read_dir(&folder) {
                // The first run that writes creates the folder.
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                entries => entries?,
            };
            for entry in entries {
                let entry = entry?;
                let Ok(name) = entry.file_name().into_string() else { continue };
                let key = format!("{prefix}{name}");
                if entry.file_type()?.is_dir() {
                    left.push((entry.path(), format!("{key}/")));
                } else if key.ends_with(ENDING) && !name.starts_with('.') {
                    keys.insert(key);
                }
            }
        }
        Ok(keys)
    }

    fn get(&self, key: &str) -> io::Result<Option<Object>> {
        match std::fs::read(self.folder.join(key)) {
            Ok(bytes) => Ok(Some(Object { version: version_of(&bytes), bytes })),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes expired files of the folder in which an object is put.
    fn expire(&self, key: &str) {
        let of_key = EXPIRING.into_iter().find(|(folder, _)| key.split('/').next() == Some(folder));
        if let Some((folder, than)) = of_key {
            _ = remove_old(&self.folder.join(folder), than);
        }
    }

    fn put(&self, key: &str, bytes: &[u8], unchanged: &Version) -> io::Result<Put> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let path = self.folder.join(key);
        let folder = path.parent().unwrap_or(&self.folder);
        make_folder(folder)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let own = format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let unfinished = folder.join(format!("{UNFINISHED}{own}-{name}"));
        let claim = folder.join(format!("{CLAIM}{}-{name}", short(unchanged)));
        let put = (|| {
            write_whole(&unfinished, bytes)?;
            if !claimed(&claim)? {
                return Ok(Put::Changed);
            }
            let is_unchanged = self.get(key)?.map_or(Version::Absent, |object| object.version) == *unchanged;
            if is_unchanged {
                std::fs::rename(&unfinished, &path)?;
            }
            // The claimed version no longer exists, or another run had replaced it before.
            std::fs::remove_file(&claim).or_else(unless_gone)?;
            Ok(if is_unchanged { Put::Written(version_of(bytes)) } else { Put::Changed })
        })();
        self.expire(key);
        if !matches!(put, Ok(Put::Written(_))) {
            std::fs::remove_file(&unfinished).or_else(unless_gone)?;
        }
        put
    }
}

/// Removes the files below a folder that are older than this, and folders that are empty for that reason: another run may
/// be about to write into any other. A file that can't be removed stays until the next time. Returns whether it removed any.
fn remove_old(folder: &Path, than: Duration) -> bool {
    let mut has_removed = false;
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(known) = entry.metadata() else { continue };
        if known.is_dir() {
            // This fails if files are left in it.
            has_removed |= remove_old(&entry.path(), than) && std::fs::remove_dir(entry.path()).is_ok();
        } else if known.modified().is_ok_and(|at| at.elapsed().is_ok_and(|age| age > than)) {
            has_removed |= std::fs::remove_file(entry.path()).is_ok();
        }
    }
    has_removed
}

/// Whether this run may replace a version, because no other run is about to.
fn claimed(claim: &Path) -> io::Result<bool> {
    for _ in 0..2 {
        match private(OpenOptions::new().write(true).create_new(true)).open(claim) {
            Ok(_) => return Ok(true),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        let age = std::fs::metadata(claim).and_then(|claim| claim.modified()).map(|at| at.elapsed());
        match age {
            // A killed run left it.
            Ok(Ok(age)) if age > CLAIM_LASTS => std::fs::remove_file(claim).or_else(unless_gone)?,
            Ok(_) => return Ok(false),
            Err(error) => unless_gone(error)?,
        }
    }
    Ok(false)
}

fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = private(OpenOptions::new().write(true).create(true).truncate(true)).open(path)?;
    file.write_all(bytes)?;
    File::sync_all(&file)
}

fn make_folder(folder: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// A file that only its owner may read.
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

fn unless_gone(error: io::Error) -> io::Result<()> {
    if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

fn version_of(bytes: &[u8]) -> Version {
    Version::Is(ImageDigest::from_sha256(Sha256::digest(bytes).into()).to_string())
}

fn short(version: &Version) -> &str {
    match version {
        Version::Absent => "none",
        Version::Is(hash) => hash.rsplit(':').next().and_then(|hex| hex.get(..16)).unwrap_or(hash),
    }
}

fn failed(error: &io::Error) -> CallError {
    CallError::new("file", &format!("{:?}", error.kind()), error.to_string())
}

impl Store for InFolder {
    fn list<'a>(&'a self, prefix: &'a str) -> LocalBoxFuture<'a, Result<BTreeSet<String>, CallError>> {
        ready(Self::list(self, prefix).map_err(|error| failed(&error))).boxed_local()
    }

    fn get<'a>(&'a self, key: &'a str) -> LocalBoxFuture<'a, Result<Option<Object>, CallError>> {
        ready(Self::get(self, key).map_err(|error| failed(&error))).boxed_local()
    }

    fn put<'a>(
        &'a self,
        key: &'a str,
        bytes: Vec<u8>,
        unchanged: &'a Version,
    ) -> LocalBoxFuture<'a, Result<Put, CallError>> {
        ready(Self::put(self, key, &bytes, unchanged).map_err(|error| failed(&error))).boxed_local()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "state/seen/123456789012/us-west-2.json.gz";

    fn store() -> (tempfile::TempDir, InFolder) {
        let folder = tempfile::tempdir().unwrap();
        let store = InFolder { folder: folder.path().join("memory") };
        (folder, store)
    }

    fn version(store: &InFolder) -> Version {
        store.get(KEY).unwrap().map_or(Version::Absent, |object| object.version)
    }

    fn written(put: io::Result<Put>) -> Version {
        let Ok(Put::Written(version)) = put else { panic!("{put:?}") };
        version
    }

    #[test]
    fn a_file_is_written_once_for_each_version_that_was_read() {
        let (_folder, store) = store();
        assert_eq!((store.list("").unwrap().len(), store.get(KEY).unwrap()), (0, None), "there is no folder yet");
        let first = written(store.put(KEY, b"one", &Version::Absent));
        assert_eq!(store.put(KEY, b"two", &Version::Absent).unwrap(), Put::Changed);
        assert_eq!(first, version(&store));
        written(store.put(KEY, b"two", &first));
        assert_eq!(store.put(KEY, b"three", &first).unwrap(), Put::Changed);
        assert_eq!(store.get(KEY).unwrap().unwrap().bytes, b"two");
        assert_eq!(store.list("").unwrap(), [KEY.to_owned()].into());
        let left: Vec<_> = std::fs::read_dir(store.folder.join("state/seen/123456789012")).unwrap().collect();
        assert_eq!(left.len(), 1, "nothing else is left: {left:?}");
    }

    #[test]
    fn of_runs_that_write_at_the_same_time_each_is_seen() {
        let (_folder, store) = store();
        // Each adds a line to the content that it has read, and repeats that until it succeeds.
        std::thread::scope(|scope| {
            for number in 0..8 {
                let store = &store;
                scope.spawn(move || {
                    loop {
                        let object = store.get(KEY).unwrap();
                        let version = object.as_ref().map_or(Version::Absent, |object| object.version.clone());
                        let mut bytes = object.map_or_else(Vec::new, |object| object.bytes);
                        writeln!(bytes, "{number}").unwrap();
                        if store.put(KEY, &bytes, &version).unwrap() != Put::Changed {
                            break;
                        }
                    }
                });
            }
        });
        let text = String::from_utf8(store.get(KEY).unwrap().unwrap().bytes).unwrap();
        let mut lines: Vec<&str> = text.lines().collect();
        lines.sort_unstable();
        assert_eq!(lines, ["0", "1", "2", "3", "4", "5", "6", "7"]);
    }

    #[test]
    fn what_a_killed_run_left_hinders_nobody_for_long() {
        let (_folder, store) = store();
        store.put(KEY, b"one", &Version::Absent).unwrap();
        let first = version(&store);
        let folder = store.folder.join("state/seen/123456789012");
        std::fs::write(folder.join(".unfinished-1-0-us-west-2.json.gz"), b"on").unwrap();
        let claim = folder.join(format!("{CLAIM}{}-us-west-2.json.gz", short(&first)));
        std::fs::write(&claim, b"").unwrap();
        assert_eq!(store.list("").unwrap().len(), 1);
        assert_eq!(store.put(KEY, b"two", &first).unwrap(), Put::Changed, "somebody may be at it");
        let long_ago = std::time::SystemTime::now() - CLAIM_LASTS * 2;
        File::options().write(true).open(&claim).unwrap().set_modified(long_ago).unwrap();
        written(store.put(KEY, b"two", &first));
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_may_read_it() {
        use std::os::unix::fs::PermissionsExt;
        let (_folder, store) = store();
        store.put(KEY, b"one", &Version::Absent).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&store.folder), mode(&store.folder.join(KEY))), (0o700, 0o600));
    }

    #[test]
    fn what_can_not_be_read_is_told_as_such() {
        let (folder, _) = store();
        let file = folder.path().join("file");
        std::fs::write(&file, b"").unwrap();
        let store = InFolder { folder: file };
        assert!(store.list("").is_err() && store.get(KEY).is_err());
        assert!(store.put(KEY, b"one", &Version::Absent).is_err());
    }

    #[test]
    fn plans_and_reports_expire_and_what_runs_learned_does_not() {
        let (_folder, store) = store();
        let keys = ["plans/a.json.gz", "reports/repositories/dt=2026-01-01/a.jsonl.gz", "reports/html/a.html", KEY];
        for (days, left) in [(89, &keys[..]), (91, &keys[1..]), (399, &keys[1..]), (401, &keys[3..])] {
            for key in keys {
                store.put(key, b"old", &Version::Absent).unwrap();
            }
            for key in keys {
                let at = std::time::SystemTime::now() - Duration::from_hours(24 * days);
                File::options().write(true).open(store.folder.join(key)).unwrap().set_modified(at).unwrap();
            }
            written(store.put(&format!("plans/{days}.json.gz"), b"new", &Version::Absent));
            written(store.put(&format!("reports/{days}.html"), b"new", &Version::Absent));
            let there: Vec<_> = keys.into_iter().filter(|key| store.folder.join(key).exists()).collect();
            assert_eq!(there, left, "after {days} days");
            assert!(store.folder.join(format!("reports/{days}.html")).exists());
        }
        assert!(!store.folder.join("reports/html").exists(), "an empty folder");
    }
}
