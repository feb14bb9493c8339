//! One worker's connection, with the statements prepared on it.

use http::Method;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, Row, Statement, ToSql};

use crate::sql::{Answer, Cell, Common, Database, Done, Failure, Task, Value, Wants};
use crate::{CallContext, Error, Request, Response};

use super::Sqlite;
use super::connect::{self, ConnectError, Connected, Facts};
use super::failure::from_sqlite;
use super::watch::Watch;

static METHODS_THAT_WRITE: [Method; 4] = [Method::POST, Method::PUT, Method::PATCH, Method::DELETE];

/// A connection and what is known of the statements.
#[derive(Debug)]
pub struct Session {
    connected: Connected,
    file: Option<FileId>,
}

impl Session {
    pub(super) fn open(config: &Sqlite) -> Result<Self, Error> {
        let connected = connect::connect(config).map_err(cannot_open)?;
        let connection = &connected.connection;
        if let Some(mode) = config.journal_mode {
            connect::set_journal_mode(connection, mode, config.busy_timeout)
                .map_err(|error| from_sqlite(error).while_opening())?;
        }
        if let Some(synchronous) = config.synchronous {
            connection
                .pragma_update(None, "synchronous", synchronous.name())
                .map_err(|error| from_sqlite(error).while_opening())?;
        }
        Ok(Self {
            file: FileId::of(config),
            connected,
        })
    }

    pub(super) fn call(
        &mut self,
        common: &Common,
        request: &Request,
        call: &CallContext,
    ) -> Result<Response, Error> {
        let mut work = self.work();
        work.check_method(common, request)?;
        let watching = work.watch.begin(call, work.connection);
        let outcome = common.answer(&mut work, request, call);
        drop(watching);
        if self.connection().is_autocommit() {
            return outcome;
        }
        // Whatever left a transaction open: nobody else may go on in it.
        let error = outcome.err().unwrap_or_else(|| {
            Error::internal("the statement left a transaction open; it is rolled back")
        });
        Err(error.breaking_session())
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.connected.connection
    }

    /// What calls need.
    pub(super) fn work(&mut self) -> Work<'_> {
        let Connected {
            connection,
            watch,
            facts,
        } = &mut self.connected;
        Work {
            connection,
            watch,
            facts,
        }
    }

    pub(super) fn check(&mut self, config: &Sqlite) -> Result<(), Error> {
        if FileId::of(config) != self.file {
            return Err(Error::bad_gateway("the database file was replaced").breaking_session());
        }
        let read = self
            .connected
            .connection
            .pragma_query_value(None, "schema_version", |row| row.get::<_, i64>(0));
        match read {
            Err(error) if !super::failure::is_busy(&error) => {
                Err(from_sqlite(error).breaking_session())
            }
            _ => Ok(()),
        }
    }
}

/// What one call needs.
pub(super) struct Work<'a> {
    connection: &'a Connection,
    watch: &'a Watch,
    facts: &'a mut [Vec<Facts>],
}

impl Database for Work<'_> {
    fn begin(&mut self, reads: bool) -> Result<(), Failure> {
        // A writer that began by reading could not be helped if another one comes first.
        self.execute(if reads { "BEGIN" } else { "BEGIN IMMEDIATE" })
    }

    fn commit(&mut self) -> Result<(), Failure> {
        self.execute("COMMIT")
    }

    fn roll_back(&mut self) -> Result<(), Failure> {
        // Some errors have rolled it back already.
        if self.connection.is_autocommit() {
            return Ok(());
        }
        self.execute("ROLLBACK")
    }

    /// With RETURNING the changes are made before the first row is seen. If the rows cannot be sent, the
    /// changes must go too.
    fn needs_transaction(
        &self,
        _: &crate::sql::Statement,
        (transaction, at): (usize, usize),
    ) -> bool {
        let facts = &self.facts[transaction][at];
        !facts.reads_only && facts.columns.is_some()
    }

    fn run(&mut self, task: Task<'_>, answer: &mut Answer<'_>) -> Result<(), Failure> {
        let prepared = self.connection.prepare_cached(task.statement.text());
        let mut statement = prepared.map_err(from_sqlite)?;
        for (index, value) in task.values.iter().enumerate() {
            statement
                .raw_bind_parameter(index + 1, Bound(value))
                .map_err(from_sqlite)?;
        }
        let (transaction, at) = task.index;
        let facts = &mut self.facts[transaction][at];
        if facts.columns.is_some() {
            return Ok(rows(&mut statement, facts, answer)?);
        }
        answer.begin(None)?;
        let done = self.change(&mut statement)?;
        Ok(answer.end(done)?)
    }
}

impl<'a> Work<'a> {
    pub(super) fn connection(&self) -> &'a Connection {
        self.connection
    }

    pub(super) fn watch(&self) -> &'a Watch {
        self.watch
    }

    fn check_method(&self, common: &Common, request: &Request) -> Result<(), Error> {
        let transaction = common.plan.of(request.method())?;
        let is_safe = matches!(*request.method(), Method::GET | Method::HEAD);
        let writes = |facts: &Facts| !facts.reads_only;
        if is_safe && self.facts[transaction.index].iter().any(writes) {
            return Err(Error::method_not_allowed(&METHODS_THAT_WRITE));
        }
        Ok(())
    }

    /// Answers a call in a transaction that is there already.
    pub(super) fn in_transaction(
        &mut self,
        common: &Common,
        request: &Request,
        call: &CallContext,
    ) -> Result<Response, Error> {
        self.check_method(common, request)?;
        let _watching = self.watch.begin(call, self.connection);
        common.answer_within(self, request, call)
    }

    fn execute(&self, sql: &str) -> Result<(), Failure> {
        let prepared = self.connection.prepare_cached(sql);
        let done = prepared.and_then(|mut statement| statement.execute(()));
        Ok(done.map(drop).map_err(from_sqlite)?)
    }

    fn change(&self, statement: &mut Statement<'_>) -> Result<Done, Error> {
        let before = self.connection.total_changes();
        statement.raw_query().next().map_err(from_sqlite)?;
        // After a statement that changes no rows, SQLite goes on reporting the one before.
        let changes = if self.connection.total_changes() == before {
            0
        } else {
            self.connection.changes()
        };
        Ok(Done {
            changes,
            last_insert_id: self.watch.inserted_row_id(self.connection),
        })
    }
}

fn rows(
    statement: &mut Statement<'_>,
    facts: &mut Facts,
    answer: &mut Answer<'_>,
) -> Result<(), Error> {
    let mut rows = statement.raw_query();
    let first = rows.next().map_err(from_sqlite)?;
    if let Some(row) = first {
        facts.refresh(row.as_ref())?;
    }
    let columns = facts.columns.as_ref();
    let columns =
        columns.ok_or_else(|| Error::internal("the statement has no columns any more"))?;
    answer.begin(Some(columns))?;
    let mut wants = Wants::More;
    if let Some(row) = first {
        wants = answer.row(columns, |index| cell(row, index))?;
    }
    while wants == Wants::More
        && let Some(row) = rows.next().map_err(from_sqlite)?
    {
        wants = answer.row(columns, |index| cell(row, index))?;
    }
    if !facts.reads_only {
        // A statement that writes is run to its end, whatever of it is shown.
        while rows.next().map_err(from_sqlite)?.is_some() {}
    }
    answer.end(Done::default())
}

fn cell<'r>(row: &'r Row<'_>, index: usize) -> Result<Cell<'r>, Error> {
    Ok(match row.get_ref(index).map_err(from_sqlite)? {
        ValueRef::Null => Cell::Null,
        ValueRef::Integer(integer) => Cell::Integer(integer),
        ValueRef::Real(real) => Cell::Real(real),
        ValueRef::Text(text) => Cell::Text(text),
        ValueRef::Blob(blob) => Cell::Bytes(blob),
    })
}

/// A value, as SQLite takes it.
struct Bound<'v>(&'v Value<'v>);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self.0 {
            Value::Null => ToSqlOutput::Borrowed(ValueRef::Null),
            Value::Bool(flag) => ToSqlOutput::from(*flag),
            Value::Integer(integer) => ToSqlOutput::from(*integer),
            // SQLite has no decimals: what is not an integer is a REAL.
            Value::Number(number) => match (number.parse::<i64>(), number.parse::<f64>()) {
                (Ok(integer), _) => ToSqlOutput::from(integer),
                (_, Ok(real)) => ToSqlOutput::from(real),
                _ => ToSqlOutput::Borrowed(ValueRef::Text(number.as_bytes())),
            },
            Value::Text(text) | Value::Json(text) => {
                ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes()))
            }
            Value::Bytes(bytes) => ToSqlOutput::Borrowed(ValueRef::Blob(bytes)),
        })
    }
}

fn cannot_open(error: ConnectError) -> Error {
    match error {
        ConnectError::Sqlite(error) => from_sqlite(error).while_opening(),
        ConnectError::Problem(problem) => {
            Error::bad_gateway("the database cannot be used").with_source(problem)
        }
    }
}

/// Which file the path led to. A file that was replaced would otherwise be read for as long as
/// the connection lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    #[cfg(unix)]
    fn of(config: &Sqlite) -> Option<Self> {
        use std::os::unix::fs::MetadataExt;

        let metadata = std::fs::metadata(&config.database).ok()?;
        Some(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        })
    }

    #[cfg(not(unix))]
    fn of(_config: &Sqlite) -> Option<Self> {
        None
    }
}
