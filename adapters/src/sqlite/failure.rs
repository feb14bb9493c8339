//! What an error of SQLite means to the client.
//!
//! SQLite's own messages name tables, columns, files and SQL; they go to the log as the source. The
//! client gets a sentence of ours.

use rusqlite::{ErrorCode, ffi};

use crate::Error;

/// What a client is told about a call that was stopped, if it is still there.
const STOPPED: &str = "the statement was stopped: its deadline passed or its client left";

/// Turns an error of SQLite into one that a client may see.
pub(super) fn from_sqlite(error: rusqlite::Error) -> Error {
    let shown = match error.sqlite_error() {
        Some(failure) => from_code(failure),
        None => Error::internal("the database could not run the statement"),
    };
    shown.with_source(error)
}

/// What a call that nobody waits for ends with when it does not even run.
pub(super) fn stopped() -> Error {
    Error::unavailable(STOPPED)
}

/// Whether the database is merely in use by somebody else.
pub(super) fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
    )
}

fn from_code(failure: &ffi::Error) -> Error {
    match failure.code {
        ErrorCode::ConstraintViolation => constraint(failure.extended_code),
        ErrorCode::TypeMismatch => {
            Error::unprocessable("a value is not of the type that the statement needs")
        }
        ErrorCode::TooBig => Error::too_large("a value is larger than the database takes"),
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => {
            Error::unavailable("the database is busy with another write; try again")
        }
        ErrorCode::OperationInterrupted => stopped(),
        ErrorCode::DatabaseCorrupt
        | ErrorCode::NotADatabase
        | ErrorCode::CannotOpen
        | ErrorCode::SystemIoFailure
        | ErrorCode::PermissionDenied
        | ErrorCode::FileLockingProtocolFailed => {
            Error::bad_gateway("the database cannot be used").breaking_session()
        }
        ErrorCode::ReadOnly => Error::internal("the database cannot be written"),
        ErrorCode::DiskFull => Error::internal("the database or its disk is full"),
        ErrorCode::OutOfMemory => {
            Error::internal("the database ran out of memory").breaking_session()
        }
        _ => Error::internal("the database could not run the statement"),
    }
}

fn constraint(extended_code: i32) -> Error {
    let rule = match extended_code {
        ffi::SQLITE_CONSTRAINT_UNIQUE
        | ffi::SQLITE_CONSTRAINT_PRIMARYKEY
        | ffi::SQLITE_CONSTRAINT_ROWID => {
            return Error::conflict("there is a row with this key already");
        }
        ffi::SQLITE_CONSTRAINT_NOTNULL => "a value that must not be null is null",
        ffi::SQLITE_CONSTRAINT_FOREIGNKEY => "a row that it refers to does not exist or is in use",
        ffi::SQLITE_CONSTRAINT_CHECK => "a value breaks a rule of the table",
        ffi::SQLITE_CONSTRAINT_DATATYPE => "a value is not of the type of its column",
        _ => "the values break a rule of the database",
    };
    Error::unprocessable(rule)
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;
    use crate::ErrorKind;

    fn shown(code: i32) -> Error {
        let message = Some("no such table: secret".to_owned());
        from_sqlite(rusqlite::Error::SqliteFailure(
            ffi::Error::new(code),
            message,
        ))
    }

    #[test]
    fn each_code_has_its_kind_and_says_whether_the_session_is_lost() {
        let cases = [
            (ffi::SQLITE_CONSTRAINT_UNIQUE, ErrorKind::Conflict, false),
            (
                ffi::SQLITE_CONSTRAINT_PRIMARYKEY,
                ErrorKind::Conflict,
                false,
            ),
            (
                ffi::SQLITE_CONSTRAINT_NOTNULL,
                ErrorKind::Unprocessable,
                false,
            ),
            (
                ffi::SQLITE_CONSTRAINT_TRIGGER,
                ErrorKind::Unprocessable,
                false,
            ),
            (ffi::SQLITE_MISMATCH, ErrorKind::Unprocessable, false),
            (ffi::SQLITE_TOOBIG, ErrorKind::TooLarge, false),
            (ffi::SQLITE_BUSY_SNAPSHOT, ErrorKind::Unavailable, false),
            (ffi::SQLITE_LOCKED, ErrorKind::Unavailable, false),
            (ffi::SQLITE_INTERRUPT, ErrorKind::Unavailable, false),
            (ffi::SQLITE_CORRUPT, ErrorKind::BadGateway, true),
            (ffi::SQLITE_NOTADB, ErrorKind::BadGateway, true),
            (ffi::SQLITE_CANTOPEN, ErrorKind::BadGateway, true),
            (ffi::SQLITE_IOERR, ErrorKind::BadGateway, true),
            (ffi::SQLITE_READONLY, ErrorKind::Internal, false),
            (ffi::SQLITE_FULL, ErrorKind::Internal, false),
            (ffi::SQLITE_ERROR, ErrorKind::Internal, false),
        ];
        for (code, kind, breaks_session) in cases {
            let error = shown(code);
            assert_eq!(error.kind(), kind, "code {code}");
            assert_eq!(error.breaks_session(), breaks_session, "code {code}");
        }
    }

    #[test]
    fn what_sqlite_says_is_for_the_log_only() {
        let error = shown(ffi::SQLITE_ERROR);
        assert!(!error.detail().contains("secret"));
        assert!(error.source().unwrap().to_string().contains("secret"));
    }
}
