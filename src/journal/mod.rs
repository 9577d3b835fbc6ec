//! What must not be forgotten: each step of a command before it is taken, each order update before a bot hears of it.
//!
//! One SQLite file, `synchronous=NORMAL` in a write-ahead log: the end of the process loses nothing that was written; after
//! the end of the power the venue is asked before anybody is served. One writer at a time; readers never wait for it. This is
//! the one room whose lock is held while a disk works: a thread in its place would cost two hand-overs a step.
//!
//! | file | what |
//! |---|---|
//! | `schema` | the tables |
//! | `updates` | order updates, numbered, and how far each stream got |
//! | `tail` | the newest of them, in memory |
//! | `orders` | the last known state of each order, and its executions |
//! | `commands` | what bots asked for and what became of it |
//! | `timeline` | what happened to one order, for people |
//! | `story` | where a name occurs, for people |
//!
//! Must not know what an update means, how it travels, or who asks.

mod commands;
mod error;
mod orders;
mod schema;
mod story;
mod tail;
mod text;
mod timeline;
mod updates;

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

pub use commands::{CommandRecord, CommandState};
pub use error::JournalError;
pub use orders::{Execution, Known};
pub use story::{Named, Told};
pub use timeline::Moment;
pub use updates::{Draft, Row, StreamState};

use tail::{News, Tails};

use crate::model::Timestamp;

/// Pages in the log at which a writer moves them into the file himself, because nobody has called [`Journal::tidy`].
const PAGES_AT_MOST: u32 = 100_000;
/// Pages in the log from which on it is made to begin anew.
const LONG_LOG: i64 = 32_000;
/// What an empty log keeps of the disk: more than a long one takes, for making it long anew costs more than writing over it.
const LOG_BYTES: i64 = 160 * 1024 * 1024;
/// How long another program that reads may hold us up.
const PATIENCE: Duration = Duration::from_millis(250);
const STATEMENTS: usize = 64;
/// For so long a failure is told; whoever waits for the disk tries again far sooner.
const LATELY: Duration = Duration::from_secs(15);

/// The open journal.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    id: String,
    writer: Mutex<Connection>,
    reader: Mutex<Connection>,
    /// Moves the log into the file, beside the writer.
    mover: Mutex<Connection>,
    /// Locked behind the writer, so that it hears of each step in order. Who only looks has none: another process writes.
    tails: Option<Mutex<Tails>>,
    trouble: Mutex<Option<(Instant, String)>>,
}

/// One transaction: all of it or nothing.
#[derive(Debug)]
pub struct Step<'a> {
    all: Transaction<'a>,
    path: &'a Path,
    trouble: &'a Mutex<Option<(Instant, String)>>,
    news: RefCell<Vec<News>>,
}

impl Journal {
    /// Opens the file, or makes it. A damaged one is moved aside, never deleted: its name is given with the journal.
    ///
    /// # Errors
    /// When it is of somebody else or newer, or the disk does not let us.
    pub fn open(path: &Path, now: Timestamp) -> Result<(Journal, Option<PathBuf>), JournalError> {
        match Journal::open_there(path, now) {
            Err(JournalError::Damaged { .. }) => {
                let aside = set_aside(path, now)?;
                Ok((Journal::open_there(path, now)?, Some(aside)))
            }
            opened => Ok((opened?, None)),
        }
    }

    fn open_there(path: &Path, now: Timestamp) -> Result<Journal, JournalError> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|cause| JournalError::Path { path: path.to_path_buf(), cause })?;
        }
        let failed = |cause| JournalError::of(path, cause);
        let mut writer = connect(path).map_err(failed)?;
        schema::migrate(&mut writer, path, now)?;
        let id = writer.query_row("SELECT id FROM journal", [], |row| row.get(0)).map_err(failed)?;
        let tails = updates::tails(&writer).map_err(failed)?;
        let (reader, mover) = (connect(path).map_err(failed)?, connect(path).map_err(failed)?);
        Ok(Journal {
            path: path.to_path_buf(),
            id,
            writer: Mutex::new(writer),
            reader: Mutex::new(reader),
            mover: Mutex::new(mover),
            tails: Some(Mutex::new(tails)),
            trouble: Mutex::default(),
        })
    }

    /// For looking only, beside a running broker or after its end.
    ///
    /// # Errors
    /// When there is no journal of ours.
    pub fn look(path: &Path) -> Result<Journal, JournalError> {
        let open = || -> rusqlite::Result<Connection> {
            let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
            db.busy_timeout(PATIENCE)?;
            Ok(db)
        };
        let failed = |cause| JournalError::of(path, cause);
        let writer = open().map_err(failed)?;
        schema::is_ours(&writer, path)?;
        let id = writer.query_row("SELECT id FROM journal", [], |row| row.get(0)).map_err(failed)?;
        let (reader, mover) = (open().map_err(failed)?, open().map_err(failed)?);
        Ok(Journal {
            path: path.to_path_buf(),
            id,
            writer: Mutex::new(writer),
            reader: Mutex::new(reader),
            mover: Mutex::new(mover),
            tails: None,
            trouble: Mutex::default(),
        })
    }

    /// What tells this journal from any other.
    pub fn id(&self) -> &str {
        &self.id
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Carries out `work` as one transaction; an error of it, or of the disk, leaves everything as it was.
    ///
    /// # Errors
    /// Those of `work`, and when the disk takes nothing.
    pub fn write<T, E: From<JournalError>>(&self, work: impl FnOnce(&Step<'_>) -> Result<T, E>) -> Result<T, E> {
        let mut writer = self.writer.lock();
        let failed = |cause| in_trouble(&self.trouble, JournalError::of(&self.path, cause));
        let all = writer.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        let step = Step { all, path: &self.path, trouble: &self.trouble, news: RefCell::default() };
        let done = work(&step)?;
        step.all.commit().map_err(failed)?;
        let news = step.news.into_inner();
        if let Some(tails) = self.tails.as_ref().filter(|_| !news.is_empty()) {
            tails.lock().hear(news);
        }
        *self.trouble.lock() = None;
        Ok(done)
    }

    /// Why it took nothing when it was last tried, if that was lately.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().as_ref().filter(|(at, _)| at.elapsed() < LATELY).map(|(_, cause)| cause.clone())
    }

    fn read<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, JournalError> {
        work(&self.reader.lock()).map_err(|cause| JournalError::of(&self.path, cause))
    }

    /// For one row, on which an order waits: without another's write in the way the pages are at hand where they were written.
    fn read_one<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, JournalError> {
        match self.writer.try_lock() {
            Some(writer) => work(&writer).map_err(|cause| JournalError::of(&self.path, cause)),
            None => self.read(work),
        }
    }

    /// What the tails know; `None` when it is in the file alone.
    fn newest<T>(&self, look: impl FnOnce(&Tails) -> Option<T>) -> Option<T> {
        look(&self.tails.as_ref()?.lock())
    }

    /// Moves what it can from the log into the file; writers do not wait for it.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn tidy(&self) -> Result<(), JournalError> {
        let mover = self.mover.lock();
        let move_some = |how: &str| mover.query_row(&format!("PRAGMA wal_checkpoint({how})"), [], |row| row.get::<_, i64>(1));
        let pages = move_some("PASSIVE").map_err(|cause| JournalError::of(&self.path, cause))?;
        // Written to without a pause the log never begins anew by itself, and finding a page in it takes ever longer. Little
        // is left to be moved by now: the writers wait for some milliseconds.
        if pages > LONG_LOG {
            move_some("RESTART").map_err(|cause| JournalError::of(&self.path, cause))?;
        }
        Ok(())
    }

    /// Lets the file grow no further, as a full disk would; 0 takes that back.
    #[cfg(test)]
    pub fn limit_pages(&self, more: u32) {
        let writer = self.writer.lock();
        let pages: u32 = writer.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
        writer.pragma_update(None, "max_page_count", if more == 0 { 1_000_000_000 } else { pages + more }).unwrap();
    }
}

impl Step<'_> {
    fn tell(&self, news: News) {
        self.news.borrow_mut().push(news);
    }

    fn of<T>(&self, done: rusqlite::Result<T>) -> Result<T, JournalError> {
        done.map_err(|cause| in_trouble(self.trouble, JournalError::of(self.path, cause)))
    }
}

fn in_trouble(trouble: &Mutex<Option<(Instant, String)>>, error: JournalError) -> JournalError {
    *trouble.lock() = Some((Instant::now(), error.to_string()));
    error
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let db = Connection::open(path)?;
    db.busy_timeout(PATIENCE)?;
    db.set_prepared_statement_cache_capacity(STATEMENTS);
    db.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
    db.pragma_update(None, "synchronous", "normal")?;
    db.pragma_update_and_check(None, "wal_autocheckpoint", PAGES_AT_MOST, |_| Ok(()))?;
    db.pragma_update_and_check(None, "journal_size_limit", LOG_BYTES, |_| Ok(()))?;
    // The log is as good as the file, and a stop must not wait for the disk.
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    Ok(db)
}

fn set_aside(path: &Path, now: Timestamp) -> Result<PathBuf, JournalError> {
    let named = |path: &Path, ending: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        PathBuf::from(name)
    };
    let aside = named(path, &format!(".damaged-{}", now.millis()));
    let failed = |cause| JournalError::Path { path: path.to_path_buf(), cause };
    std::fs::rename(path, &aside).map_err(failed)?;
    for ending in ["-wal", "-shm"] {
        match std::fs::rename(named(path, ending), named(&aside, ending)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
    }
    Ok(aside)
}

#[cfg(test)]
mod tests;
