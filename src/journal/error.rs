//! What can go wrong with the journal, in words for whoever has to mend it.

use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

/// Why something was not read or not kept.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("{path}: {cause}; it has to be in a folder that this user may write to")]
    Path { path: PathBuf, cause: std::io::Error },
    #[error("{0} is no journal of this program; move it away, or name another data folder")]
    Foreign(PathBuf),
    #[error("{path} was written by a newer version (schema {found}, this one knows {known}); use that version")]
    Newer { path: PathBuf, found: i64, known: i64 },
    #[error("{path} is damaged: {cause}")]
    Damaged { path: PathBuf, cause: String },
    #[error("there is no room for {0} any more; make room on its disk")]
    Full(PathBuf),
    #[error("{0} cannot be written: its disk or its folder is read-only")]
    ReadOnly(PathBuf),
    #[error("{path}: {cause}")]
    Failed { path: PathBuf, cause: rusqlite::Error },
}

impl JournalError {
    pub(super) fn of(path: &Path, cause: rusqlite::Error) -> JournalError {
        let path = path.to_path_buf();
        match cause.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => JournalError::Full(path),
            Some(ErrorCode::ReadOnly) => JournalError::ReadOnly(path),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => JournalError::Damaged { path, cause: cause.to_string() },
            _ if matches!(cause, rusqlite::Error::FromSqlConversionFailure(..) | rusqlite::Error::InvalidColumnType(..)) => {
                JournalError::Damaged { path, cause: cause.to_string() }
            }
            _ => JournalError::Failed { path, cause },
        }
    }
}
