//! The adapter against real database files.

mod answers;
mod batches;
mod changes;
mod config;
mod stopping;

use rusqlite::Connection;
use tempfile::TempDir;

use super::*;
use crate::test_support::{get, post};
use crate::{ErrorKind, PathParams};

/// A database file with a few users, which goes with the test.
pub(super) struct Database {
    directory: TempDir,
}

impl Database {
    pub(super) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let database = Self { directory };
        database.run(
            "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, age INTEGER
                 CHECK (age >= 0));
             INSERT INTO users VALUES (1, 'Ada', 36), (2, 'Grace', 85);",
        );
        database
    }

    pub(super) fn path(&self) -> PathBuf {
        self.directory.path().join("users.db")
    }

    pub(super) fn connection(&self) -> Connection {
        Connection::open(self.path()).unwrap()
    }

    pub(super) fn run(&self, sql: &str) {
        self.connection().execute_batch(sql).unwrap();
    }

    pub(super) fn number(&self, sql: &str) -> i64 {
        self.connection()
            .query_row(sql, [], |row| row.get(0))
            .unwrap()
    }

    pub(super) fn sqlite(&self, query: &str) -> Sqlite {
        Sqlite::new(self.path(), query)
    }
}

/// One call on a new session.
pub(super) fn call(adapter: &Sqlite, request: Request) -> Result<Response, Error> {
    call_with(adapter, request, &[])
}

/// One call on a new session, with path parameters.
pub(super) fn call_with(
    adapter: &Sqlite,
    request: Request,
    path: &[(&str, &str)],
) -> Result<Response, Error> {
    let mut session = adapter.open()?;
    adapter.call(&mut session, request, &context(path))
}

pub(super) fn context(path: &[(&str, &str)]) -> CallContext {
    let params: PathParams = path.iter().copied().collect();
    CallContext::new(params, pontoon_bridge::CallContext::detached(), 1)
}

/// What a SELECT answers.
pub(super) fn select(query: &str) -> String {
    text(call(&Database::new().sqlite(query), get("/")))
}

pub(super) fn text(outcome: Result<Response, Error>) -> String {
    let response = outcome.unwrap();
    String::from_utf8(response.body().to_vec()).unwrap()
}

pub(super) fn kind(outcome: Result<Response, Error>) -> ErrorKind {
    outcome.unwrap_err().kind()
}

/// A POST with a JSON body.
pub(super) fn json(body: &str) -> Request {
    post("/", "application/json", body.to_owned())
}
