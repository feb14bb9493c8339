//! What one call does on its session: statements are run, their results become its answer.

use std::ffi::CStr;
use std::time::Instant;

use crate::sql::{Answer, Database, Done, Failure, Statement, Task, from_sqlstate};
use crate::{CallContext, Error};

use super::failure;
use super::gate::is_over;
use super::parameters::Parameters;
use super::prepared::Prepared;
use super::refusal::Refusal;
use super::rows::{Read, Rows, Unread};
use super::session::{Known, Session};

/// How many rows that nobody wants are read to keep a session, rather than to close it.
const ROWS_PASSED_MAX: usize = 100;

/// Every server takes values of so many bytes. Larger ones are compared with what it takes: to a packet that is
/// too large it answers by closing the connection, often before its reason could be read.
const VALUES_BYTES_UNCHECKED: usize = 256 * 1024;

/// `CR_NEW_STMT_METADATA` of the library: the table was altered, and a `SELECT *` has more or fewer columns than
/// when it was prepared.
const COLUMNS_CHANGED: u32 = 2057;

/// What a packet has beside the values, in bytes, with room to spare.
const PACKET_BYTES_BESIDE: usize = 16 * 1024;

/// One call on a session.
#[derive(Debug)]
pub(super) struct Work<'w> {
    pub(super) session: &'w mut Session,
    pub(super) call: &'w CallContext,
    /// When its statement is given up.
    pub(super) until: Option<Instant>,
    /// The longest value that is read.
    pub(super) bytes_max: usize,
    pub(super) is_in_transaction: bool,
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

    fn needs_transaction(&self, statement: &Statement, _index: (usize, usize)) -> bool {
        // Without rows the answer is complete before anything is written. What a procedure does is its own
        // affair: it may have transactions.
        statement.gives_changes()
    }
}
