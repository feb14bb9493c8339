//! Opening the database and preparing the statement: at start, to find mistakes, and on each
//! worker, to have a session.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{fs, io, thread};

use rusqlite::{Connection, OpenFlags, Statement, StatementStatus};

use crate::Error;
use crate::sql::{self, Columns, SameName};

use super::failure::is_busy;
use super::watch::Watch;
use super::{JournalMode, Sqlite};

/// A mistake in the configuration.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{key}: {message}")]
pub struct Problem {
    /// The key that holds it.
    pub key: &'static str,
    /// What is wrong, and what to do.
    pub message: String,
}

/// What a prepared statement says about itself.
#[derive(Debug)]
pub(super) struct Facts {
    /// It changes nothing.
    pub(super) reads_only: bool,
    /// If it may have rows.
    pub(super) columns: Option<Columns>,
    reprepares: i32,
}

impl Facts {
    fn of(statement: &Statement<'_>) -> Result<Self, SameName> {
        let names = statement.column_names().map(str::to_owned);
        let columns = (statement.column_count() > 0).then(|| Columns::new(names));
        Ok(Self {
            reads_only: statement.readonly(),
            columns: columns.transpose()?,
            reprepares: reprepares(statement),
        })
    }

    /// When the schema changed, SQLite has prepared the statement anew: `*` may mean other columns.
    pub(super) fn refresh(&mut self, statement: &Statement<'_>) -> Result<(), Error> {
        if reprepares(statement) != self.reprepares {
            *self = Self::of(statement).map_err(|same| {
                let detail = "the answer has two columns of the same name";
                Error::internal(detail).with_source(same)
            })?;
        }
        Ok(())
    }
}

fn reprepares(statement: &Statement<'_>) -> i32 {
    statement.get_status(StatementStatus::RePrepare)
}

/// A connection on which the statements are prepared.
#[derive(Debug)]
pub(super) struct Connected {
    pub(super) connection: Connection,
    pub(super) watch: Arc<Watch>,
    /// By transaction and place in it.
    pub(super) facts: Vec<Vec<Facts>>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error(transparent)]
    Problem(#[from] Problem),
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
}

/// Opens the database as the statements, or the configuration, wants it.
pub(super) fn connect(config: &Sqlite) -> Result<Connected, ConnectError> {
    check_name(&config.database)?;
    let read_only = match (config.read_only, config.journal_mode) {
        (Some(read_only), _) => read_only,
        (None, Some(_)) => false,
        (None, None) => return connect_as_needed(config),
    };
    connect_with(config, read_only)
}

/// Read-only if the statements only read. A database that needs a repair first, after a crash of
/// its writer, cannot be read before somebody opened it for writing: then that is done here.
fn connect_as_needed(config: &Sqlite) -> Result<Connected, ConnectError> {
    match connect_with(config, true) {
        Ok(connected) if connected.reads_only() => Ok(connected),
        Err(ConnectError::Problem(problem)) => Err(problem.into()),
        // It has waited for the lock as long as it may.
        Err(ConnectError::Sqlite(error)) if is_busy(&error) => Err(error.into()),
        Ok(_) | Err(ConnectError::Sqlite(_)) => connect_with(config, false),
    }
}

fn connect_with(config: &Sqlite, read_only: bool) -> Result<Connected, ConnectError> {
    let access = if read_only {
        OpenFlags::SQLITE_OPEN_READ_ONLY
    } else {
        OpenFlags::SQLITE_OPEN_READ_WRITE
    };
    // A session stays on its thread: SQLite need not lock it.
    let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(&config.database, flags)?;
    let watch = Watch::install(&mut connection, config.busy_timeout)?;
    let common = config.common.as_ref().map_err(Problem::clone)?;
    // All of them stay prepared, and what begins and ends their transactions.
    let statements = common
        .plan
        .transactions()
        .iter()
        .map(|one| one.statements.len());
    connection
        .set_prepared_statement_cache_capacity(statements.sum::<usize>() + TRANSACTION_STATEMENTS);
    let transactions = common.plan.transactions().iter();
    let facts = transactions.map(|transaction| {
        let statements = transaction.statements.iter();
        statements
            .map(|statement| facts(&connection, statement, config))
            .collect()
    });
    let connected = Connected {
        facts: facts.collect::<Result<_, ConnectError>>()?,
        connection,
        watch,
    };
    if config.batch > 1 && connected.reads_only() {
        let message =
            "the query only reads, and a batch is one transaction for writes; remove `batch`";
        return Err(problem("batch", message).into());
    }
    Ok(connected)
}

/// BEGIN, BEGIN IMMEDIATE, COMMIT, ROLLBACK, and three for savepoints.
const TRANSACTION_STATEMENTS: usize = 7;

impl Connected {
    fn reads_only(&self) -> bool {
        self.facts.iter().flatten().all(|facts| facts.reads_only)
    }
}

fn facts(
    connection: &Connection,
    statement: &sql::Statement,
    config: &Sqlite,
) -> Result<Facts, ConnectError> {
    let prepared = connection.prepare_cached(statement.text())?;
    let facts = Facts::of(&prepared).map_err(|same| problem("query", same.to_string()))?;
    if facts.reads_only && facts.columns.is_none() {
        let message = "it neither answers nor changes anything, such as BEGIN or ATTACH; give SELECT, \
                       INSERT, UPDATE or DELETE";
        return Err(problem("query", message).into());
    }
    if !facts.reads_only && config.read_only == Some(true) {
        let message = "the query changes the database; remove `read_only` or change the query";
        return Err(problem("read_only", message).into());
    }
    Ok(facts)
}

/// What [`Sqlite::validate`] does.
pub(super) fn validate(config: &Sqlite) -> Result<(), Problem> {
    if let Err(problem) = &config.common {
        return Err(problem.clone());
    }
    check_name(&config.database)?;
    check_file(&config.database)?;
    if config.read_only == Some(true) && config.journal_mode.is_some() {
        let message = "changing the journal mode is a write; remove `journal_mode` or `read_only`";
        return Err(problem("journal_mode", message));
    }
    let impatient = config.clone().busy_timeout(Duration::ZERO);
    match connect(&impatient) {
        Ok(_) => Ok(()),
        Err(ConnectError::Problem(problem)) => Err(problem),
        Err(ConnectError::Sqlite(error)) if is_busy(&error) => {
            let database = config.database.display();
            tracing::warn!(%database, "the database is locked: its query is not checked at start");
            Ok(())
        }
        Err(ConnectError::Sqlite(error)) => Err(explain(config, &error)),
    }
}

/// A database that lives in memory would be another one for each worker.
fn check_name(database: &Path) -> Result<(), Problem> {
    let name = database.to_string_lossy();
    let message = if name.is_empty() {
        "it is empty; give the path of a database file"
    } else if name == ":memory:" {
        "each worker has its own connection, so each would have its own, empty database in \
         memory; give the path of a database file"
    } else if name.starts_with("file:") {
        "URIs are not taken; give the path of a database file"
    } else {
        return Ok(());
    };
    Err(problem("database", message))
}

fn check_file(database: &Path) -> Result<(), Problem> {
    let name = database.display();
    let message = match fs::metadata(database) {
        Ok(metadata) if metadata.is_dir() => {
            format!("`{name}` is a directory; give the path of a database file")
        }
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => format!(
            "the database file `{name}` does not exist; create it first, or correct the path"
        ),
        Err(error) => format!("the database file `{name}` cannot be reached: {error}"),
    };
    Err(problem("database", message))
}

fn explain(config: &Sqlite, error: &rusqlite::Error) -> Problem {
    let name = config.database.display();
    match error {
        rusqlite::Error::SqlInputError {
            msg, offset, sql, ..
        } => {
            // Behind a parameter the place is another one than in the file.
            let place = usize::try_from(*offset)
                .ok()
                .and_then(|offset| sql.get(..offset))
                .filter(|before| !before.contains('?'))
                .map(|before| format!(" (at character {})", before.chars().count() + 1))
                .unwrap_or_default();
            let message = format!("SQLite cannot prepare this statement on `{name}`: {msg}{place}");
            problem("query", message)
        }
        error => {
            let message = format!("SQLite cannot use the database file `{name}`: {error}");
            problem("database", message)
        }
    }
}

pub(super) fn problem(key: &'static str, message: impl Into<String>) -> Problem {
    let message = message.into();
    Problem { key, message }
}

/// Brings the file into this journal mode, if it is not in it already. Other workers may be about
/// to do the same, and SQLite does not wait for a lock here: so this does.
pub(super) fn set_journal_mode(
    connection: &Connection,
    mode: JournalMode,
    patience: Duration,
) -> rusqlite::Result<()> {
    let start = Instant::now();
    loop {
        match try_journal_mode(connection, mode) {
            Err(error) if is_busy(&error) && start.elapsed() < patience => {
                thread::sleep(Duration::from_millis(5));
            }
            outcome => return outcome,
        }
    }
}

fn try_journal_mode(connection: &Connection, mode: JournalMode) -> rusqlite::Result<()> {
    let current: String = connection.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
    if current == mode.name() {
        return Ok(());
    }
    // SQLite answers with the mode that it then has, which is the old one when it cannot.
    let granted: String =
        connection.pragma_update_and_check(None, "journal_mode", mode.name(), |row| row.get(0))?;
    if granted == mode.name() {
        return Ok(());
    }
    let message = format!("journal mode {} refused, it stays {granted}", mode.name());
    Err(rusqlite::Error::ToSqlConversionFailure(message.into()))
}
