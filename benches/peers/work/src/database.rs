//! A user by primary key, from a SQLite file that all peers read.
//!
//! Pontoon reads it with its own adapter; the others call [`find_user`]. That keeps a connection in
//! a `thread_local` of each blocking thread, with its statement prepared: the quickest way there is,
//! so that the comparison does not live from a connection pool's lock.

use rusqlite::{Connection, OpenFlags, OptionalExtension};
use serde::Serialize;
use std::cell::RefCell;
use std::path::Path;

/// What is asked. Pontoon's adapter is given the same text.
pub const QUERY: &str = "SELECT id, name, email FROM users WHERE id = :id";

const SCHEMA: &str = "
    PRAGMA journal_mode = wal;
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
