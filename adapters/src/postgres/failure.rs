//! What an error of the server or of libpq means to the call.

use crate::Error;
use crate::sql::{Failure, from_sqlstate, is_worth_a_retry};

use super::connection::{Connection, Lost};
use super::outcome::Outcome;

/// What the server answered to a command that failed.
pub(super) fn of_outcome(outcome: &Outcome, connection: &Connection) -> Failure {
    match outcome.sqlstate() {
        Some(state) => {
            let source = format!("{} (SQLSTATE {state})", outcome.message());
            Failure {
                error: from_sqlstate(&state).with_source(source),
                is_worth_a_retry: is_worth_a_retry(&state),
            }
        }
        // It is libpq that says so.
        None if !connection.is_open() => of_loss(Lost, connection),
        None => Error::internal("the database could not run the statement")
            .with_source(outcome.message())
            .breaking_session()
            .into(),
    }
}

/// The connection is of no more use.
pub(super) fn of_loss(_: Lost, connection: &Connection) -> Failure {
    Error::bad_gateway("the connection to the database was lost")
        .with_source(connection.message())
        .breaking_session()
        .into()
}

/// Nothing came from the server, and nobody waits any more.
pub(super) fn of_silence() -> Failure {
    Error::timed_out("the database did not answer in time")
        .breaking_session()
        .into()
}

/// The server says something that it should not.
pub(super) fn of_confusion(what: &str) -> Failure {
    Error::internal("the database could not run the statement")
        .with_source(what)
        .breaking_session()
        .into()
}

/// Whether a prepared statement is gone or out of date: the table was changed, something between us and the
/// server has given us another session, or somebody has run DEALLOCATE.
pub(super) fn is_out_of_date(outcome: &Outcome) -> bool {
    match outcome.sqlstate().as_deref() {
        // No such statement.
        Some("26000") => true,
        // "cached plan must not change result type", in whatever language: raised only there.
        Some("0A000") => outcome.source_function().as_deref() == Some("RevalidateCachedQuery"),
        _ => false,
    }
}
