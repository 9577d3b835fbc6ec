//! What can go wrong with the file, in words for whoever has to mend it.

use std::path::PathBuf;

use rusqlite::ErrorCode;

/// Why the state was not read or not kept.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{path}: {cause}; it has to be in a folder that this user may write to")]
    Path { path: PathBuf, cause: std::io::Error },
    #[error("{path} is in use by {by}; stop that one, or give this one a file of its own")]
    InUse { path: PathBuf, by: String },
    #[error("{0} is no file of a paper broker; move it away, or name another")]
    Foreign(PathBuf),
    #[error("{path} was written by a newer version (schema {found}, this one knows {known}); use that version")]
    Newer { path: PathBuf, found: i64, known: i64 },
    #[error("{path} belongs to the {what} {found}, the configuration says {wanted}; correct it, or name another file")]
    OtherAccount { path: PathBuf, what: &'static str, found: String, wanted: String },
    #[error("{path} is damaged: {cause}; put a copy back, or move it away to begin anew")]
    Damaged { path: PathBuf, cause: String },
    #[error("there is no room for {0} any more; make room on its disk")]
    Full(PathBuf),
    #[error("{path}: {cause}")]
    Failed { path: PathBuf, cause: rusqlite::Error },
}

impl StoreError {
    pub(super) fn of(path: &std::path::Path, cause: rusqlite::Error) -> StoreError {
        let path = path.to_path_buf();
        match cause.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => StoreError::Full(path),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::InUse { path, by: "another program".to_owned() },
            Some(ErrorCode::NotADatabase) => StoreError::Foreign(path),
            Some(ErrorCode::DatabaseCorrupt) => StoreError::Damaged { path, cause: cause.to_string() },
            _ if matches!(cause, rusqlite::Error::FromSqlConversionFailure(..) | rusqlite::Error::InvalidColumnType(..)) => {
                StoreError::Damaged { path, cause: cause.to_string() }
            }
            _ => StoreError::Failed { path, cause },
        }
    }
}
