//! `sqlite`: SQL statements on a location, answered as JSON or in another format.
//!
//! Mounted by the config name `sqlite`; each worker of the pool has its own connection and keeps
//! the statements prepared. What all SQL adapters promise is in [`sql`](crate::sql). Beyond that:
//!
//! - **Values of path, query string and form are text** unless their statement says `:id::int`: SQLite
//!   compares them with a typed column as numbers, elsewhere the type is needed. An object or array of a
//!   JSON body is its JSON text: `:user ->> 'name'` reaches into it, and so does `:user.name`. True and
//!   false are 1 and 0; a number with a fraction is a REAL.
//! - **A real that is no number is `null`**; text that is not UTF-8 shows U+FFFD where it is damaged, and
//!   `CAST(x AS BLOB)` gives its bytes.
//! - **A call that nobody waits for stops**, also while it waits for a lock: SQLite asks the
//!   call's own context every 1,000 steps of its virtual machine. Nothing from outside can stop
//!   the wrong statement.
//! - **All or nothing.** Statements that fail have changed nothing, also when they had `RETURNING`
//!   and their answer was too large.
//! - **GET is safe.** Whether a statement writes is what SQLite says of it.
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

use crate::sql::{Common, Dialect, Format};
use crate::{Adapter, BatchCall, BatchLimits, CallContext, Error, Request, Response};

/// How long a call waits for locks in all, unless configured otherwise.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The most calls that one transaction may hold.
const MAX_BATCH: usize = 4096;

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

/// How often a commit waits for the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Synchronous {
    /// Never: after a power failure the database may be damaged.
    Off,
    /// At the most critical moments: with a write-ahead log a commit may be lost, but nothing is damaged.
    Normal,
    /// At each commit.
    Full,
    /// At each commit, and the directory as well.
    Extra,
}

impl Synchronous {
    const ALL: [Self; 4] = [Self::Off, Self::Normal, Self::Full, Self::Extra];

    const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Normal => "normal",
            Self::Full => "full",
            Self::Extra => "extra",
        }
    }
}

/// Statements on one database file.
///
/// ```
/// use std::time::Duration;
///
/// use pontoon_adapters::sql::Format;
/// use pontoon_adapters::sqlite::Sqlite;
///
/// let user = Sqlite::new("users.db", "SELECT id, name FROM users WHERE id = :id")
///     .format(Format::Object)
///     .busy_timeout(Duration::from_millis(100));
/// assert!(user.validate().unwrap_err().message.contains("does not exist"));
/// ```
#[derive(Clone, Debug)]
pub struct Sqlite {
    database: PathBuf,
    common: Result<Common, Problem>,
    busy_timeout: Duration,
    read_only: Option<bool>,
    journal_mode: Option<JournalMode>,
    batch: usize,
    synchronous: Option<Synchronous>,
}

impl Sqlite {
    /// This statement on this database file, which must exist.
    pub fn new(database: impl Into<PathBuf>, query: impl AsRef<str>) -> Self {
        let common = Common::of_query(query.as_ref(), Dialect::SQLITE);
        Self::of(
            database,
            common.map_err(|wrong| connect::problem("query", wrong.message)),
        )
    }

    /// Statements for each method on this database file, which must exist.
    pub fn with(database: impl Into<PathBuf>, common: Common) -> Self {
        Self::of(database, Ok(common))
    }

    fn of(database: impl Into<PathBuf>, common: Result<Common, Problem>) -> Self {
        Self {
            database: database.into(),
            common,
            busy_timeout: BUSY_TIMEOUT,
            read_only: None,
            journal_mode: None,
            batch: 1,
            synchronous: None,
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
    pub fn format(self, format: Format) -> Self {
        self.set(|common| common.output.format = format)
    }

    /// The status when there are no rows.
    #[must_use]
    pub fn no_rows(self, status: StatusCode) -> Self {
        self.set(|common| common.output.no_rows = Some(status))
    }

    /// The status when a statement without rows changed nothing.
    #[must_use]
    pub fn no_changes(self, status: StatusCode) -> Self {
        self.set(|common| common.output.no_changes = Some(status))
    }

    /// The status after a statement without rows: 200 unless set.
    #[must_use]
    pub fn changes(self, status: StatusCode) -> Self {
        self.set(|common| common.output.changes = status)
    }

    /// The largest response body, in bytes. A larger answer is an error.
    #[must_use]
    pub fn max_response_bytes(self, max_response_bytes: usize) -> Self {
        self.set(|common| common.output.max_bytes = max_response_bytes)
    }

    /// A mistake in the statement is what [`validate`](Self::validate) says, whatever else is set.
    fn set(mut self, set: impl FnOnce(&mut Common)) -> Self {
        if let Ok(common) = &mut self.common {
            set(common);
        }
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

    /// How often a commit waits for the disk; unless set, it is as SQLite was built: `full`.
    #[must_use]
    pub fn synchronous(mut self, synchronous: Synchronous) -> Self {
        self.synchronous = Some(synchronous);
        self
    }

    /// How many calls one transaction may hold, 1 to 4,096: calls that wait are written together, each with
    /// its own answer. Only for a statement that writes.
    #[must_use]
    pub fn batch(mut self, calls: usize) -> Self {
        self.batch = calls.clamp(1, MAX_BATCH);
        self
    }

    /// Opens the database and prepares the statements, so that a mistake shows at start and not
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
        match &self.common {
            Ok(common) => session.call(common, &request, call),
            // No session was opened then.
            Err(problem) => {
                let detail = "the statements cannot be run";
                Err(Error::internal(detail).with_source(problem.clone()))
            }
        }
    }

    fn batching(&self) -> Option<BatchLimits> {
        // One at a time: a second one would only wait for SQLite's one lock for writing.
        (self.batch > 1).then(|| BatchLimits::of(self.batch))
    }

    fn call_batch(&self, session: &mut Session, calls: &mut [BatchCall]) {
        if let Ok(common) = &self.common {
            session.call_batch(common, calls);
        }
    }

    fn check(&self, session: &mut Session) -> Result<(), Error> {
        session.check(self)
    }
}
