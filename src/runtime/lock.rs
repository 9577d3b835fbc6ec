//! A file that one process holds at a time, and in which it says who it is.
//!
//! The lock is the system's and ends with its process, however that ends; what stands in the file is only for people.
//! Must not know what the lock is good for.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::clock::wall_now;

/// What is read of a holder's words at most.
const WORDS: u64 = 200;

/// Held until it is dropped or the process ends.
#[derive(Debug)]
pub struct FileLock {
    file: File,
}

/// Why a lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// `by` names the holder: a process and since when.
    #[error("{path} is held by {by}; stop that one first")]
    Held { path: PathBuf, by: String },
    #[error("{path}: {cause}; it has to be in a folder that this user may write to")]
    Io { path: PathBuf, cause: io::Error },
}

impl FileLock {
    /// Takes the lock without waiting; the file and its folder are made where they are missing, and the file stays.
    ///
    /// # Errors
    /// When another process (or another lock of this one) holds it, or the disk does not let us.
    pub fn take(path: &Path) -> Result<FileLock, LockError> {
        let failed = |cause| LockError::Io { path: path.to_path_buf(), cause };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        let mut file = File::options().create(true).truncate(false).read(true).write(true).open(path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(LockError::Held { path: path.to_path_buf(), by: holder(&mut file) }),
            Err(TryLockError::Error(cause)) => return Err(failed(cause)),
        }
        // A full disk takes no words, and is no reason to let two in.
        if let Err(error) = file.set_len(0).and_then(|()| writeln!(file, "process {} since {}", std::process::id(), wall_now())) {
            log::debug!("{}: who holds it is not written: {error}", path.display());
        }
        Ok(FileLock { file })
    }
}

impl Drop for FileLock {
    /// Closing alone would not do: a child that was forked a moment ago holds the lock with us until it runs its program.
    fn drop(&mut self) {
        if let Err(error) = self.file.unlock() {
            log::debug!("a lock is given back when its file is closed: {error}");
        }
    }
}

fn holder(file: &mut File) -> String {
    let mut words = String::new();
    let read = file.take(WORDS).read_to_string(&mut words);
    match words.lines().next() {
        Some(line) if read.is_ok() && !line.is_empty() => line.chars().filter(|c| !c.is_control()).collect(),
        _ => "another process".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holds_it_and_the_other_learns_who() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/a.lock");
        let held = FileLock::take(&path).unwrap();
        let refused = FileLock::take(&path).unwrap_err().to_string();
        assert!(refused.contains(&format!("process {} since 2", std::process::id())), "{refused}");
        drop(held);
        FileLock::take(&path).unwrap();
    }

    #[test]
    fn what_an_earlier_holder_wrote_is_written_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.lock");
        fs::write(&path, "x".repeat(1_000)).unwrap();
        let _held = FileLock::take(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 1);
        fs::write(&path, "").unwrap();
        assert!(matches!(FileLock::take(&path), Err(LockError::Held { by, .. }) if by == "another process"));
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_told() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), "").unwrap();
        assert!(matches!(FileLock::take(&dir.path().join("file/a.lock")), Err(LockError::Io { .. })));
    }
}
