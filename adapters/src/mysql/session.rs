//! One worker's connection, with the statements that are prepared on it.

use std::ffi::CStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::sql::{Answer, Database, Done, Failure, Statement, Task, from_sqlstate};
use crate::{CallContext, Error, Request, Response};

use super::MySql;
use super::connection::Connection;
use super::failure;
use super::gate::{Gate, Killer, is_over};
use super::login::Login;
use super::parameters::Parameters;
use super::prepared::Prepared;
use super::refusal::Refusal;
use super::rows::{Read, Rows, Unread};

/// How long after its deadline a call waits for its statement to be killed. A server that does not even do that
/// hangs.
const GRACE: Duration = Duration::from_secs(1);

/// How long a check may take.
const CHECK_TIME_MAX: Duration = Duration::from_secs(2);

/// Every server takes values of so many bytes. Larger ones are compared with what it takes: to a packet that is
/// too large it answers by closing the connection, often before its reason could be read.
const VALUES_BYTES_UNCHECKED: usize = 256 * 1024;

/// `CR_NEW_STMT_METADATA` of the library: the table was altered, and a `SELECT *` has more or fewer columns than
/// when it was prepared.
const COLUMNS_CHANGED: u32 = 2057;

/// What a packet has beside the values, in bytes, with room to spare.
const PACKET_BYTES_BESIDE: usize = 16 * 1024;

/// How many rows that nobody wants are read to keep a session, rather than to close it.
const ROWS_PASSED_MAX: usize = 100;

/// A connection and its statements.
#[derive(Debug)]
pub struct Session {
    pub(super) connection: Connection,
    /// By the transaction's place in the plan, and the statement's own in it.
    statements: Vec<Vec<Option<Known>>>,
    gate: Arc<Gate>,
    /// The largest packet that the server takes, in bytes; asked for when that first matters.
    packet_bytes_max: Option<usize>,
    /// A call runs, or has left something that the next one must not find: unread rows, or worse.
    is_unclean: bool,
}

/// A statement, and what is known of its results.
#[derive(Debug)]
struct Known {
    statement: Prepared,
    results: Vec<Rows>,
}

impl Session {
    /// Connects to one of the servers; gives its place among them as well.
    ///
    /// # Errors
    ///
    /// None of them can be used: what the first one said.
    pub(super) fn open(login: &Arc<Login>, preferred: usize) -> Result<(Self, usize), Error> {
        let password = login.password.read().map_err(|reason| {
            Error::bad_gateway("the database cannot be used").with_source(reason)
        })?;
        let count = login.servers.len();
        let mut first = None;
        for server in (0..count).map(|step| (preferred + step) % count) {
            match Self::open_at(login, server, password.as_deref()) {
                Ok(session) => return Ok((session, server)),
                Err(refusal) => {
                    if count > 1 {
                        tracing::warn!(server, reason = %refusal, "a server cannot be used");
                    }
                    first.get_or_insert(refusal);
                }
            }
        }
        Err(match first {
            Some(refusal) => failure::of_opening(refusal),
            None => Error::bad_gateway("there is no server"),
        })
    }

    fn open_at(
        login: &Arc<Login>,
        server: usize,
        password: Option<&CStr>,
    ) -> Result<Self, Refusal> {
        let until = Some(Instant::now() + login.connect_timeout);
        let connection = Connection::open(login, &login.servers[server], password, until)?;
        connection.set_up(until)?;
        let gate = Gate::new(Arc::clone(login), server, connection.id());
        Ok(Self {
            connection,
            statements: Vec::new(),
            gate: Arc::new(gate),
            packet_bytes_max: None,
            is_unclean: false,
        })
    }

    pub(super) fn killer(&self) -> Killer {
        Killer(Arc::clone(&self.gate))
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        let until = Some(Instant::now() + CHECK_TIME_MAX);
        self.connection
            .ping(until)
            .map_err(|refusal| failure::of(refusal).error.breaking_session())
    }

    pub(super) fn call(
        &mut self,
        config: &MySql,
        request: &Request,
        call: &CallContext,
    ) -> Result<Response, Error> {
        let gate = Arc::clone(&self.gate);
        let passage = gate.begin(call, self.connection.socket());
        let mut work = Work {
            session: self,
            call,
            until: call.deadline().map(|deadline| deadline + GRACE),
            bytes_max: config.common.output.max_bytes,
            is_in_transaction: false,
        };
        let outcome = config.common.answer(&mut work, request, call);
        drop(passage);
        let outcome = self.tidied(outcome, config.resets);
        match outcome {
            Ok(response) if self.is_unclean => Ok(response.breaking_session()),
            Err(error) if self.is_unclean => Err(error.breaking_session()),
            outcome => outcome,
        }
    }

    /// Sees to it that the next call finds a session as good as new, or none.
    fn tidied(
        &mut self,
        outcome: Result<Response, Error>,
        resets: bool,
    ) -> Result<Response, Error> {
        if self.is_unclean || outcome.as_ref().is_err_and(Error::breaks_session) {
            self.is_unclean = true;
            return outcome;
        }
        if self.connection.is_in_transaction() {
            self.is_unclean = true;
            return Err(outcome.err().unwrap_or_else(|| {
                Error::internal("the statement left a transaction open; it is rolled back")
            }));
        }
        if resets {
            // The server forgets them too.
            self.statements.clear();
            let until = Some(Instant::now() + CHECK_TIME_MAX);
            self.is_unclean = self.connection.reset(until).is_err();
        }
        outcome
    }

    fn packet_bytes_max(&mut self, until: Option<Instant>) -> Result<usize, Refusal> {
        if let Some(bytes) = self.packet_bytes_max {
            return Ok(bytes);
        }
        let handle = self.connection.handle();
        let bytes = Prepared::number(handle, "SELECT @@max_allowed_packet", until)?;
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        Ok(*self.packet_bytes_max.insert(bytes))
    }

    fn known(&mut self, task: Task<'_>, until: Option<Instant>) -> Result<&mut Known, Refusal> {
        let (transaction, index) = task.index;
        let all = &mut self.statements;
        if all.len() <= transaction {
            all.resize_with(transaction + 1, Vec::new);
        }
        let all = &mut all[transaction];
        if all.len() <= index {
            all.resize_with(index + 1, || None);
        }
        let place = &mut all[index];
        match place {
            Some(known) => Ok(known),
            None => {
                let handle = self.connection.handle();
                let statement = Prepared::new(handle, task.statement.text(), until)?;
                let results = Vec::new();
                Ok(place.insert(Known { statement, results }))
            }
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.is_unclean {
            // Otherwise the library would read what is left before it closes.
            self.connection.handle().hang_up();
        }
    }
}

/// One call on a session.
#[derive(Debug)]
struct Work<'w> {
    session: &'w mut Session,
    call: &'w CallContext,
    until: Option<Instant>,
    bytes_max: usize,
    is_in_transaction: bool,
}

impl Work<'_> {
    fn command(&mut self, sql: &CStr) -> Result<(), Failure> {
        self.go_on()?;
        let outcome = self.session.connection.run(sql, self.until);
        outcome.map_err(|refusal| self.failure(refusal))
    }

    /// Begins nothing new for a call that nobody waits for: the kill may have come before.
    fn go_on(&mut self) -> Result<(), Failure> {
        if !is_over(self.call) {
            return Ok(());
        }
        self.session.is_unclean = true;
        Err(from_sqlstate("57014").breaking_session().into())
    }

    /// What a refusal means, also in view of the call.
    fn failure(&mut self, refusal: Refusal) -> Failure {
        let gave_up = self.session.connection.handle().gave_up();
        if !gave_up && !is_over(self.call) {
            let failure = failure::of(refusal);
            self.session.is_unclean |= failure.error.breaks_session();
            return failure;
        }
        self.session.is_unclean = true;
        let error = if gave_up {
            Error::timed_out("the database did not answer in time")
        } else {
            from_sqlstate("57014")
        };
        error.with_source(refusal).breaking_session().into()
    }

    /// Has a statement prepared anew for its next run.
    fn forget(&mut self, task: Task<'_>) -> Result<(), Refusal> {
        let until = self.until;
        let known = self.session.known(task, until)?;
        known.statement.clear(until)?;
        let (transaction, index) = task.index;
        self.session.statements[transaction][index] = None;
        self.session.connection.ping(until)
    }

    fn run_to_the_end(&mut self, task: Task<'_>, answer: &mut Answer<'_>) -> Result<(), Unread> {
        let (until, bytes_max) = (self.until, self.bytes_max);
        // What may be left unread: not what writes, nor what others of the transaction follow.
        let may_leave = task.statement.reads() && !self.is_in_transaction;
        let mut parameters = Parameters::new(task.values, task.statement.placeholders());
        if parameters.bytes() > VALUES_BYTES_UNCHECKED {
            let bytes_max = self.session.packet_bytes_max(until)?;
            if parameters.bytes().saturating_add(PACKET_BYTES_BESIDE) > bytes_max {
                self.session.is_unclean = false;
                return Err(Unread::Failed(
                    Error::too_large(format!(
                        "the values are larger than the {bytes_max} bytes that the database takes"
                    ))
                    .into(),
                ));
            }
        }
        let Known { statement, results } = self.session.known(task, until)?;
        statement.execute(&mut parameters, until)?;
        let mut index = 0;
        loop {
            let fields = statement.fields();
            if fields.is_empty() {
                // After its results a procedure has one more, which only says that it has ended.
                if index == 0 {
                    answer.begin(None)?;
                    answer.end(Done {
                        changes: statement.changes(),
                        last_insert_id: statement.insert_id(),
                    })?;
                }
            } else {
                let rows = rows_at(results, index, statement)?;
                index += 1;
                if rows.read(statement, answer, bytes_max, until)? == Read::Enough {
                    let rows_max = if may_leave {
                        ROWS_PASSED_MAX
                    } else {
                        usize::MAX
                    };
                    if !pass(statement, rows_max, until)? {
                        answer.end(Done::default())?;
                        return Ok(());
                    }
                }
                answer.end(Done::default())?;
            }
            if !statement.next_result(until)? {
                break;
            }
        }
        self.session.is_unclean = false;
        Ok(())
    }
}

/// What is known of a statement's result, learnt anew when its columns have changed.
fn rows_at<'r>(
    results: &'r mut Vec<Rows>,
    index: usize,
    statement: &Prepared,
) -> Result<&'r mut Rows, Error> {
    let fields = statement.fields();
    if results.get(index).is_none_or(|rows| !rows.fit(fields)) {
        results.truncate(index);
        results.push(Rows::of(fields)?);
    }
    Ok(&mut results[index])
}

/// Reads rows that nobody wants, at most so many; `true` when these were all.
fn pass(statement: &Prepared, rows_max: usize, until: Option<Instant>) -> Result<bool, Refusal> {
    for _ in 0..rows_max {
        if !statement.fetch(until)? {
            return Ok(true);
        }
    }
    Ok(false)
}

impl Database for Work<'_> {
    fn begin(&mut self, reads: bool) -> Result<(), Failure> {
        self.is_in_transaction = true;
        self.command(if reads {
            c"START TRANSACTION READ ONLY"
        } else {
            c"START TRANSACTION"
        })
    }

    fn commit(&mut self) -> Result<(), Failure> {
        self.command(c"COMMIT")
    }

    fn roll_back(&mut self) -> Result<(), Failure> {
        if self.session.is_unclean {
            // The server rolls back when the connection ends.
            return Err(Error::internal("the session is in the midst of a result").into());
        }
        self.command(c"ROLLBACK")
    }

    fn run(&mut self, task: Task<'_>, answer: &mut Answer<'_>) -> Result<(), Failure> {
        self.go_on()?;
        // Until all results have been read.
        self.session.is_unclean = true;
        let mut outcome = self.run_to_the_end(task, answer);
        if let Err(Unread::Refused(refusal)) = &outcome
            && refusal.number == COLUMNS_CHANGED
            && task.statement.reads()
            && self.forget(task).is_ok()
        {
            outcome = self.run_to_the_end(task, answer);
        }
        match outcome {
            Ok(()) => Ok(()),
            Err(Unread::Failed(failure)) => Err(failure),
            Err(Unread::Refused(refusal)) => {
                // The server ends a statement with its refusal: nothing is left unread.
                self.session.is_unclean = false;
                Err(self.failure(refusal))
            }
        }
    }

    fn needs_transaction(&self, statement: &Statement) -> bool {
        // Without rows the answer is complete before anything is written. What a procedure does is its own
        // affair: it may have transactions.
        !statement.reads() && statement.returns_rows()
    }
}
