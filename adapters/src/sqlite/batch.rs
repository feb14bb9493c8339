//! Many calls in one transaction: what makes a commit dear, the sync of the disk, is done once for all.
//!
//! Each call has a savepoint, so one that fails takes nothing of the others with it. Nobody is told anything
//! before the commit, and if that fails nobody's changes were made.
//!
//! SQLite may give the whole transaction up because of one call: one that was stopped while it wrote, or one
//! whose SQL says `OR ROLLBACK`. And a foreign key that is checked late fails the commit, whoever broke it.
//! Then the calls run one by one, as they would without a batch, and each finds out by itself.

use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior};

use crate::mount::Outcome;
use crate::sql::Common;
use crate::{BatchCall, CallContext};

use super::failure::{from_sqlite, stopped};
use super::session::Session;

/// Why calls did not run in one transaction. Nothing of it lasts.
enum Apart {
    /// Because of one of them: the others may fare better by themselves.
    OneByOne,
    /// Because of the database.
    Failed(rusqlite::Error),
}

impl Session {
    pub(super) fn call_batch(&mut self, common: &Common, calls: &mut [BatchCall]) {
        if calls.len() > 1 {
            match self.together(common, calls) {
                Ok(outcomes) => {
                    let answered = calls.iter_mut().zip(outcomes);
                    return answered.for_each(|(call, outcome)| call.finish(outcome));
                }
                Err(Apart::Failed(error)) => {
                    let is_open = !self.connection().is_autocommit();
                    return calls.iter_mut().for_each(|call| {
                        let error = from_sqlite(again(&error));
                        call.finish(Err(if is_open {
                            error.breaking_session()
                        } else {
                            error
                        }));
                    });
                }
                Err(Apart::OneByOne) => {}
            }
        }
        for call in calls {
            let outcome = if call.context().is_cancelled() {
                Err(stopped())
            } else {
                self.call(common, call.request(), call.context())
            };
            call.finish(outcome);
        }
    }

    /// What each is to be told, once it is committed.
    fn together(&mut self, common: &Common, calls: &[BatchCall]) -> Result<Vec<Outcome>, Apart> {
        let mut work = self.work();
        let connection = work.connection();
        let contexts: Vec<CallContext> = calls.iter().map(|call| call.context().clone()).collect();
        let waiting = work.watch().begin_any(contexts.clone());
        let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)
            .map_err(Apart::Failed)?;
        drop(waiting);
        let mut outcomes = Vec::with_capacity(calls.len());
        for call in calls {
            outcomes.push(if call.context().is_cancelled() {
                Err(stopped())
            } else {
                in_savepoint(connection, || {
                    work.in_transaction(common, call.request(), call.context())
                })?
            });
        }
        let _committing = work.watch().begin_any(contexts);
        match transaction.commit() {
            Ok(()) => Ok(outcomes),
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
                Err(Apart::OneByOne)
            }
            Err(error) => Err(Apart::Failed(error)),
        }
    }
}

/// Undoes what the call has done if it fails. An error means that the transaction as a whole is lost.
fn in_savepoint(connection: &Connection, call: impl FnOnce() -> Outcome) -> Result<Outcome, Apart> {
    let control = |sql| {
        let done = connection
            .prepare_cached(sql)
            .and_then(|mut it| it.execute([]));
        done.map_err(|_| Apart::OneByOne)
    };
    control("SAVEPOINT call")?;
    let outcome = call();
    if connection.is_autocommit() {
        return Err(Apart::OneByOne);
    }
    if outcome.is_err() {
        control("ROLLBACK TO call")?;
    }
    control("RELEASE call")?;
    Ok(outcome)
}

/// The same error once more: each client is told, and each line of the log says why.
fn again(error: &rusqlite::Error) -> rusqlite::Error {
    match error {
        rusqlite::Error::SqliteFailure(failure, message) => {
            rusqlite::Error::SqliteFailure(*failure, message.clone())
        }
        other => rusqlite::Error::ToSqlConversionFailure(other.to_string().into()),
    }
}
