//! One worker's connection, with the statement prepared on it.

use http::{Method, StatusCode};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, Statement, ToSql, Transaction, TransactionBehavior};

use crate::params::{Params, Value};
use crate::{CallContext, Error, Request, Response};

use super::connect::{self, ConnectError, Connected, Facts};
use super::failure::from_sqlite;
use super::rows::{Body, Columns};
use super::watch::Watch;
use super::{Rows, Sqlite};

static METHODS_THAT_WRITE: [Method; 4] = [Method::POST, Method::PUT, Method::PATCH, Method::DELETE];

/// A connection and what is known of the statement.
#[derive(Debug)]
pub struct Session {
    connected: Connected,
    columns: Columns,
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
        let columns = {
            let statement = connection.prepare_cached(&config.query);
            Columns::of(&*statement.map_err(from_sqlite)?)?
        };
        Ok(Self {
            columns,
            file: FileId::of(config),
            connected,
        })
    }

    pub(super) fn call(
        &mut self,
        config: &Sqlite,
        request: &Request,
        call: &CallContext,
    ) -> Result<Response, Error> {
        let (work, columns) = self.work(config);
        work.check_method(request)?;
        let watching = work.watch.begin(call, work.connection);
        let outcome = work.run(request, call, columns);
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

    /// What calls need, and the columns of their answers.
    pub(super) fn work<'a>(&'a mut self, config: &'a Sqlite) -> (Work<'a>, &'a mut Columns) {
        let Connected {
            connection,
            watch,
            facts,
        } = &self.connected;
        let work = Work {
            config,
            connection,
            watch,
            facts,
        };
        (work, &mut self.columns)
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
    config: &'a Sqlite,
    connection: &'a Connection,
    watch: &'a Watch,
    facts: &'a Facts,
}

impl<'a> Work<'a> {
    pub(super) fn connection(&self) -> &'a Connection {
        self.connection
    }

    pub(super) fn watch(&self) -> &'a Watch {
        self.watch
    }

    fn check_method(&self, request: &Request) -> Result<(), Error> {
        if !self.facts.reads_only && matches!(*request.method(), Method::GET | Method::HEAD) {
            return Err(Error::method_not_allowed(&METHODS_THAT_WRITE));
        }
        Ok(())
    }

    /// Runs the statement in a transaction that is there already.
    pub(super) fn in_transaction(
        &self,
        request: &Request,
        call: &CallContext,
        columns: &mut Columns,
    ) -> Result<Response, Error> {
        self.check_method(request)?;
        let _watching = self.watch.begin(call, self.connection);
        self.execute(request, call, columns)
    }

    fn run(
        &self,
        request: &Request,
        call: &CallContext,
        columns: &mut Columns,
    ) -> Result<Response, Error> {
        if self.facts.reads_only || !self.facts.has_columns {
            return self.execute(request, call, columns);
        }
        // With RETURNING the changes are made before the first row is seen. If the rows cannot be
        // sent, the changes must go too.
        let transaction =
            Transaction::new_unchecked(self.connection, TransactionBehavior::Immediate)
                .map_err(from_sqlite)?;
        let response = self.execute(request, call, columns)?;
        transaction.commit().map_err(from_sqlite)?;
        Ok(response)
    }

    fn execute(
        &self,
        request: &Request,
        call: &CallContext,
        columns: &mut Columns,
    ) -> Result<Response, Error> {
        let prepared = self.connection.prepare_cached(&self.config.query);
        let mut statement = prepared.map_err(from_sqlite)?;
        self.bind(&mut statement, request, call)?;
        if !self.facts.has_columns {
            return self.change(&mut statement);
        }
        match self.config.rows {
            Rows::Array => self.all_rows(&mut statement, columns),
            Rows::Object => self.first_row(&mut statement, columns),
        }
    }

    fn bind(
        &self,
        statement: &mut Statement<'_>,
        request: &Request,
        call: &CallContext,
    ) -> Result<(), Error> {
        if self.facts.parameters.is_empty() {
            return Ok(());
        }
        let params = Params::collect(request, call)?;
        for (index, name) in self.facts.parameters.iter().enumerate() {
            let value = params.value(name)?;
            statement
                .raw_bind_parameter(index + 1, value)
                .map_err(from_sqlite)?;
        }
        Ok(())
    }

    fn all_rows(
        &self,
        statement: &mut Statement<'_>,
        columns: &mut Columns,
    ) -> Result<Response, Error> {
        let mut body = Body::new(self.config.max_response_bytes);
        let mut rows = statement.raw_query();
        let mut is_first = true;
        while let Some(row) = rows.next().map_err(from_sqlite)? {
            if is_first {
                columns.refresh(row.as_ref())?;
            }
            body.push(if is_first { b'[' } else { b',' });
            is_first = false;
            body.row(row, columns)?;
        }
        if is_first {
            return no_rows(self.config.no_rows.unwrap_or(StatusCode::OK), "[]");
        }
        body.push(b']');
        Ok(Response::json_text(body.into_bytes()))
    }

    fn first_row(
        &self,
        statement: &mut Statement<'_>,
        columns: &mut Columns,
    ) -> Result<Response, Error> {
        let mut body = Body::new(self.config.max_response_bytes);
        let mut rows = statement.raw_query();
        let Some(row) = rows.next().map_err(from_sqlite)? else {
            return no_rows(self.config.no_rows.unwrap_or(StatusCode::NOT_FOUND), "null");
        };
        columns.refresh(row.as_ref())?;
        body.row(row, columns)?;
        if !self.facts.reads_only {
            // A statement that writes is run to its end, whatever of it is shown.
            while rows.next().map_err(from_sqlite)?.is_some() {}
        }
        Ok(Response::json_text(body.into_bytes()))
    }

    fn change(&self, statement: &mut Statement<'_>) -> Result<Response, Error> {
        let before = self.connection.total_changes();
        statement.raw_query().next().map_err(from_sqlite)?;
        // After a statement that changes no rows, SQLite goes on reporting the one before.
        let changes = if self.connection.total_changes() == before {
            0
        } else {
            self.connection.changes()
        };
        let row_id = self.watch.inserted_row_id(self.connection);
        let body = serde_json::json!({ "changes": changes, "last_insert_id": row_id }).to_string();
        match self.config.no_rows {
            Some(status) if changes == 0 => no_rows(status, body),
            _ => Ok(with_status(self.config.changes, body)),
        }
    }
}

fn no_rows(status: StatusCode, body: impl Into<String>) -> Result<Response, Error> {
    if status == StatusCode::NOT_FOUND {
        return Err(Error::not_found("no row matches"));
    }
    Ok(with_status(status, body.into()))
}

fn with_status(status: StatusCode, body: String) -> Response {
    // These have no body, whatever there is to say.
    let bodiless = [
        StatusCode::NO_CONTENT,
        StatusCode::RESET_CONTENT,
        StatusCode::NOT_MODIFIED,
    ];
    if bodiless.contains(&status) {
        return Response::status(status);
    }
    Response::json_text(body).with_status(status)
}

fn cannot_open(error: ConnectError) -> Error {
    match error {
        ConnectError::Sqlite(error) => from_sqlite(error).while_opening(),
        ConnectError::Problem(problem) => {
            Error::bad_gateway("the database cannot be used").with_source(problem)
        }
    }
}

impl ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Integer(integer) => ValueRef::Integer(*integer),
            Self::Real(real) => ValueRef::Real(*real),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
        }))
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
