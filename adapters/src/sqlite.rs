//! `sqlite`: one SQL statement on a location, answered as JSON.
//!
//! Mounted by the config name `sqlite`; each worker of the pool has its own connection and keeps
//! the statement prepared. What it promises:
//!
//! - **Values are bound, never spliced.** The statement's `:name` (or `@name`, `$name`) parameters
//!   are filled from path, query string and body: see [`params`](crate::params) for which wins.
//!   Values of path, query string and form are text: SQLite compares them with a typed column as
//!   numbers, elsewhere write `CAST(:n AS INTEGER)`. An object or array of a JSON body is its JSON
//!   text: `:user ->> 'name'` reaches into it.
//! - **Types survive.** Integers keep all their digits, a real that is no number is `null`, a blob
//!   is base64 (standard alphabet, padded). Text that is not UTF-8 shows U+FFFD where it is
//!   damaged, so that one bad value does not hide all other rows; `CAST(x AS BLOB)` gives its bytes.
//! - **A call that nobody waits for stops**, also while it waits for a lock: SQLite asks the
//!   call's own context every 1,000 steps of its virtual machine. Nothing from outside can stop
//!   the wrong statement.
//! - **All or nothing.** A statement that fails has changed nothing, also when it had `RETURNING`
//!   and its answer was too large.
//! - **GET is safe.** A statement that writes answers 405 to GET and HEAD, whatever prefetches
//!   links.
//!
//! With `batch = N` a worker writes up to N calls that wait in one transaction. Each call still has its own
//! answer, and it comes after the commit: a call that fails, is stopped or has passed its deadline takes
//! nothing of the others with it. If the commit fails, all of them fail and nothing was changed. One batch of
//! a location runs at a time, on one worker; calls that come meanwhile make up the next one.
//!
//! What the client sees when SQLite refuses:
//!
//! | SQLite says | status |
//! | --- | --- |
//! | UNIQUE or PRIMARY KEY constraint | 409 |
//! | any other constraint, a value of the wrong type | 422 |
//! | a value larger than SQLite takes | 413 |
//! | busy, locked, interrupted | 503 |
//! | damaged, not a database, cannot be opened, I/O error | 502; the session is closed |
//! | anything else | 500; the reason is in the log only |

mod batch;
mod connect;
mod failure;
mod keys;
mod rows;
mod session;
#[cfg(test)]
mod tests;
mod watch;

use std::path::PathBuf;
use std::time::Duration;

use http::StatusCode;

pub use connect::Problem;
pub use keys::spec;
pub use session::Session;

use crate::{Adapter, BatchCall, BatchLimits, CallContext, Error, Request, Response};

/// The largest response body, unless configured otherwise.
const MAX_RESPONSE_BYTES: usize = 64 * 1024 * 1024;

/// How long a call waits for locks in all, unless configured otherwise.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The most calls that one transaction may hold.
const MAX_BATCH: usize = 4096;

/// What the rows of a statement become.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rows {
    /// An array with an object for each row.
    #[default]
    Array,
    /// The first row as an object; 404 when there is none.
    Object,
}

/// How the database keeps its journal. Modes that give up durability are not offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JournalMode {
    /// The journal file is deleted after each transaction.
    Delete,
    /// The journal file is truncated after each transaction.
    Truncate,
    /// The journal file's header is overwritten after each transaction.
    Persist,
    /// A write-ahead log: readers and one writer do not wait for each other.
    Wal,
}

impl JournalMode {
    const ALL: [Self; 4] = [Self::Delete, Self::Truncate, Self::Persist, Self::Wal];

    const fn name(self) -> &'static str {
        match self {
            Self::Delete => "delete",
            Self::Truncate => "truncate",
            Self::Persist => "persist",
            Self::Wal => "wal",
        }
    }
}

/// One statement on one database file.
///
/// ```
/// use std::time::Duration;
///
/// use pontoon_adapters::sqlite::{Rows, Sqlite};
///
/// let user = Sqlite::new("users.db", "SELECT id, name FROM users WHERE id = :id")
///     .rows(Rows::Object)
///     .busy_timeout(Duration::from_millis(100));
/// assert!(user.validate().unwrap_err().message.contains("does not exist"));
/// ```
#[derive(Clone, Debug)]
pub struct Sqlite {
    database: PathBuf,
    query: String,
    busy_timeout: Duration,
    rows: Rows,
    no_rows: Option<StatusCode>,
    changes: StatusCode,
    read_only: Option<bool>,
    journal_mode: Option<JournalMode>,
    max_response_bytes: usize,
    batch: usize,
}

impl Sqlite {
    /// This statement on this database file, which must exist.
    pub fn new(database: impl Into<PathBuf>, query: impl Into<String>) -> Self {
        Self {
            database: database.into(),
            query: query.into(),
            busy_timeout: BUSY_TIMEOUT,
            rows: Rows::default(),
            no_rows: None,
            changes: StatusCode::OK,
            read_only: None,
            journal_mode: None,
            max_response_bytes: MAX_RESPONSE_BYTES,
            batch: 1,
        }
    }

    /// How long a call waits for locks, in all. It never waits past its deadline.
    #[must_use]
    pub fn busy_timeout(mut self, busy_timeout: Duration) -> Self {
        self.busy_timeout = busy_timeout;
        self
    }

    /// What the rows become.
    #[must_use]
    pub fn rows(mut self, rows: Rows) -> Self {
        self.rows = rows;
        self
    }

    /// The status when there are no rows, or when a statement without rows changed nothing.
    #[must_use]
    pub fn no_rows(mut self, status: StatusCode) -> Self {
        self.no_rows = Some(status);
        self
    }

    /// The status after a statement without rows: 200 unless set.
    #[must_use]
    pub fn changes(mut self, status: StatusCode) -> Self {
        self.changes = status;
        self
    }

    /// Opens the file for reading only, or for writing too. Unless set, the statement decides.
    #[must_use]
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.read_only = Some(read_only);
        self
    }

    /// Changes the journal mode of the file, unless it has this mode already.
    #[must_use]
    pub fn journal_mode(mut self, journal_mode: JournalMode) -> Self {
        self.journal_mode = Some(journal_mode);
        self
    }

    /// The largest response body, in bytes. A larger answer is an error.
    #[must_use]
    pub fn max_response_bytes(mut self, max_response_bytes: usize) -> Self {
        self.max_response_bytes = max_response_bytes;
        self
    }

    /// How many calls one transaction may hold, 1 to 4,096: calls that wait are written together, each with
    /// its own answer. Only for a statement that writes.
    #[must_use]
    pub fn batch(mut self, calls: usize) -> Self {
        self.batch = calls.clamp(1, MAX_BATCH);
        self
    }

    /// Opens the database and prepares the statement, so that a mistake shows at start and not
    /// with the first request. It changes nothing.
    ///
    /// # Errors
    ///
    /// The first mistake found, with the config key that holds it.
    pub fn validate(&self) -> Result<(), Problem> {
        connect::validate(self)
    }
}

impl Adapter for Sqlite {
    type Session = Session;

    fn open(&self) -> Result<Session, Error> {
        Session::open(self)
    }

    fn call(
        &self,
        session: &mut Session,
        request: Request,
        call: &CallContext,
    ) -> Result<Response, Error> {
        session.call(self, &request, call)
    }

    fn batching(&self) -> Option<BatchLimits> {
        // One at a time: a second one would only wait for SQLite's one lock for writing.
        (self.batch > 1).then(|| BatchLimits::of(self.batch))
    }

    fn call_batch(&self, session: &mut Session, calls: &mut [BatchCall]) {
        session.call_batch(self, calls);
    }

    fn check(&self, session: &mut Session) -> Result<(), Error> {
        session.check(self)
    }
}
