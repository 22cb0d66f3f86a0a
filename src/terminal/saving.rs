//! Files that people keep: written beside the old one, and renamed to it once they are complete.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Writes a file, or leaves the one that is there as it was.
pub(super) fn save(file: &str, text: &str) -> io::Result<()> {
    // The target of a link, so that the link stays one.
    let file = fs::canonicalize(file).unwrap_or_else(|_| PathBuf::from(file));
    let there = fs::metadata(&file);
    if there.as_ref().is_ok_and(|there| !there.is_file()) {
        // A device or a pipe has no contents to lose, and must not be replaced.
        return fs::write(&file, text);
    }
    let beside = beside(&file);
    // A file that a killed process with this number has left.
    _ = fs::remove_file(&beside);
    let permissions = there.map(|there| there.permissions()).ok();
    let saved = write(&beside, text, permissions).and_then(|()| fs::rename(&beside, &file));
    saved.inspect_err(|_| _ = fs::remove_file(&beside))
}

fn write(file: &Path, text: &str, permissions: Option<fs::Permissions>) -> io::Result<()> {
    let mut written = File::create_new(file)?;
    if let Some(permissions) = permissions {
        written.set_permissions(permissions)?;
    }
    written.write_all(text.as_bytes())?;
    // A disk that is full may say so only here.
    written.sync_all()
}

/// A name of this process's own in the same folder, because a file can be renamed in one step only there.
fn beside(file: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(file.file_name().unwrap_or_default());
    name.push(format!(".{}.new", std::process::id()));
    file.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("ecr-cleanup-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn a_file_is_replaced_whole_and_nothing_is_left_beside_it() {
        let folder = folder("saved");
        let file = folder.join("plan.json");
        for text in ["one", "the other"] {
            save(file.to_str().unwrap(), text).unwrap();
            assert_eq!(fs::read_to_string(&file).unwrap(), text);
        }
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        fs::remove_dir_all(folder).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn a_link_stays_a_link_and_a_device_a_device() {
        let folder = folder("linked");
        let (file, link) = (folder.join("plan.json"), folder.join("latest.json"));
        fs::write(&file, "before").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        save(link.to_str().unwrap(), "after").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&file).unwrap(), "after");
        save("/dev/null", "nothing").unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
        fs::remove_dir_all(folder).unwrap();
    }
}
