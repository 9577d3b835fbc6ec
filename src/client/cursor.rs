//! A place in the order stream, and the executions seen so far; in a file they outlive the bot.
//!
//! The file has the form that `examples/python/alpaca_broker.py` writes too. Must not know Redis.

use std::collections::VecDeque;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Executions remembered, to know one that is told again.
const REMEMBERED: usize = 1_000;

/// The id of an entry: the journal's epoch, and its number in it, contiguous from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct StreamId {
    pub epoch: u64,
    pub number: u64,
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.number)
    }
}

impl FromStr for StreamId {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<StreamId, CursorError> {
        let parts = text.split_once('-').and_then(|(epoch, number)| Some(StreamId { epoch: epoch.parse().ok()?, number: number.parse().ok()? }));
        parts.ok_or(CursorError::Id)
    }
}

impl StreamId {
    /// Whether nothing is missing between the two. A new epoch begins with 1; from the very beginning anything follows.
    pub fn is_followed_by(self, next: StreamId) -> bool {
        self == StreamId::default() || next.number == if next.epoch == self.epoch { self.number + 1 } else { 1 }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum CursorError {
    #[error("the id of a stream entry is not of the form epoch-number")]
    Id,
    #[error("the cursor {} cannot be read: {source}; without it a bot begins with the oldest entry", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("the cursor {} cannot be written: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
}

#[derive(Serialize, Deserialize, Default)]
struct Saved {
    position: String,
    #[serde(default)]
    state: Value,
    #[serde(default)]
    seen: VecDeque<String>,
}

/// Where a bot stands, what it has seen, and in `state` what it made of it; saved in one, so that each event counts
/// once. The default one is forgotten with the program.
#[derive(Debug, Default)]
pub struct Cursor {
    path: Option<PathBuf>,
    pub position: StreamId,
    pub state: Value,
    seen: VecDeque<String>,
}

impl Cursor {
    /// The one in that file, or a new one.
    ///
    /// # Errors
    /// When there is a file and it is no cursor.
    pub fn open(path: &Path) -> Result<Cursor, CursorError> {
        let unreadable = |source| CursorError::Read { path: path.to_owned(), source };
        let text = match fs::read_to_string(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Cursor { path: Some(path.to_owned()), ..Cursor::default() }),
            text => text.map_err(unreadable)?,
        };
        let saved: Saved = serde_json::from_str(&text).map_err(|error| unreadable(error.into()))?;
        Ok(Cursor { path: Some(path.to_owned()), position: saved.position.parse()?, state: saved.state, seen: saved.seen })
    }

    pub(super) fn has_seen(&self, execution: &str) -> bool {
        self.seen.iter().any(|seen| seen == execution)
    }

    pub(super) fn see(&mut self, execution: String) {
        self.seen.push_back(execution);
        if self.seen.len() > REMEMBERED {
            self.seen.pop_front();
        }
    }

    /// Writes a whole new file, then puts it in the place of the old one.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn save(&self) -> Result<(), CursorError> {
        let Some(path) = &self.path else { return Ok(()) };
        let saved = Saved { position: self.position.to_string(), state: self.state.clone(), seen: self.seen.clone() };
        let mut new = path.clone().into_os_string();
        new.push(".new");
        let written = || -> io::Result<()> {
            let mut file = File::create(&new)?;
            file.write_all(serde_json::to_string(&saved)?.as_bytes())?;
            file.sync_all()?;
            fs::rename(&new, path)
        };
        written().map_err(|source| CursorError::Write { path: path.clone(), source })
    }
}
