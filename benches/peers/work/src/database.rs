//! A user by primary key, and a note that is added, in a SQLite file that all peers have.
//!
//! Pontoon uses its own adapter; the others call [`find_user`] and [`add_note`]. The first keeps a connection
//! in a `thread_local` of each blocking thread, with its statement prepared: the quickest way there is,
//! so that the comparison does not live from a connection pool's lock. The second has one connection for
//! all, behind a mutex: SQLite lets only one write at a time, and a mutex wakes the next one sooner
//! than SQLite's own lock does, which looks again after a pause.

use rusqlite::{Connection, OpenFlags, OptionalExtension};
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// What is asked. Pontoon's adapter is given the same text.
pub const QUERY: &str = "SELECT id, name, email FROM users WHERE id = :id";

/// What adds a note. Pontoon's adapter is given the same text.
pub const INSERT: &str = "INSERT INTO notes (text) VALUES (:text)";

const SCHEMA: &str = "
    PRAGMA journal_mode = wal;
    CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL);
    CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, email TEXT);
    WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n WHERE id < 10000)
        INSERT INTO users SELECT id, 'user ' || id, 'user' || id || '@example.org' FROM n;
";

/// A row, as it is sent.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct User {
    id: i64,
    name: String,
    email: Option<String>,
}

/// Makes the database.
///
/// # Errors
///
/// What SQLite says, also when the file is there already.
pub fn make(file: &Path) -> rusqlite::Result<()> {
    Connection::open(file)?.execute_batch(SCHEMA)
}

/// What a note is sent as.
#[derive(Debug, Deserialize)]
pub struct Note {
    /// What it says.
    pub text: String,
}

/// Who writes. Nothing but SQLite runs under the lock.
static WRITER: Mutex<Option<Connection>> = Mutex::new(None);

/// Blocks, until the note is on the disk. The first call opens the connection; later ones must name the
/// same file.
///
/// # Errors
///
/// What SQLite says.
pub fn add_note(file: &Path, note: &Note) -> rusqlite::Result<()> {
    let mut slot = WRITER.lock().unwrap_or_else(PoisonError::into_inner);
    let connection = match &mut *slot {
        Some(connection) => connection,
        None => {
            let connection = Connection::open_with_flags(
                file,
                OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
            )?;
            // As SQLite has it by default, for all peers and Pontoon.
            connection.pragma_update(None, "synchronous", "FULL")?;
            slot.insert(connection)
        }
    };
    connection.prepare_cached(INSERT)?.execute([&note.text])?;
    Ok(())
}

thread_local! {
    static CONNECTION: RefCell<Option<Connection>> = const { RefCell::new(None) };
}

/// Blocks. The first call on a thread opens its connection; later ones must name the same file.
///
/// # Errors
///
/// What SQLite says.
pub fn find_user(file: &Path, id: i64) -> rusqlite::Result<Option<User>> {
    CONNECTION.with_borrow_mut(|slot| {
        let connection = match slot {
            Some(connection) => connection,
            None => slot.insert(Connection::open_with_flags(
                file,
                OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
            )?),
        };
        let mut statement = connection.prepare_cached(QUERY)?;
        let read = |row: &rusqlite::Row<'_>| {
            Ok(User {
                id: row.get(0)?,
                name: row.get(1)?,
                email: row.get(2)?,
            })
        };
        statement.query_row([id], read).optional()
    })
}
