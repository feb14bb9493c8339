//! What an SQLSTATE means to the client.
//!
//! The classes are those of the SQL standard and of PostgreSQL's appendix of error codes; MySQL and
//! ODBC drivers use the same ones. What the database says names tables and values, so it goes to the log as
//! the source; the client gets a sentence of ours.

use crate::Error;

/// The error that a client may see. The caller adds what the database said as its source.
///
/// | class | status |
/// | --- | --- |
/// | 23505 unique violation | 409 |
/// | 22 data, the rest of 23 constraints, 44 view rules, P0001 raised by the database's own code | 422 |
/// | 42501 privileges | 403 |
/// | 40 rolled back (deadlock, serialization), 53 resources, 54 limits, 55P03, 57014, 57P0x | 503 |
/// | 08 connection, 28 authorisation | 502 |
/// | all else | 500 |
///
/// Those after which the session is of no more use say so.
pub fn from_sqlstate(state: &str) -> Error {
    match state {
        "23505" => Error::conflict("there is a row with this key already"),
        "23502" => Error::unprocessable("a value that must not be null is null"),
        "23503" => Error::unprocessable("a row that it refers to does not exist or is in use"),
        "23514" => Error::unprocessable("a value breaks a rule of the table"),
        "42501" => Error::forbidden("the database does not allow this"),
        "25006" => Error::internal("the database or the transaction is read-only"),
        "40001" | "40P01" => Error::unavailable(
            "the statement clashed with another one and was rolled back; try again",
        ),
        "53300" => Error::unavailable("the database has too many connections; try again later")
            .breaking_session(),
        "55P03" => Error::unavailable("the database is busy with another statement; try again"),
        "57014" => {
            Error::unavailable("the statement was stopped: its deadline passed or its client left")
        }
        "P0001" | "45000" => Error::unprocessable("the values break a rule of the database"),
        _ => from_class(state.get(..2).unwrap_or_default()),
    }
}

fn from_class(class: &str) -> Error {
    match class {
        "22" => Error::unprocessable("a value is not what the statement needs"),
        "23" | "44" => Error::unprocessable("the values break a rule of the database"),
        "40" => Error::unavailable("the transaction was rolled back; try again"),
        "53" => Error::unavailable("the database is short of resources; try again later"),
        "54" => Error::too_large("the statement or a value is larger than the database takes"),
        "57" | "58" => Error::unavailable("the database is stopping or starting; try again later")
            .breaking_session(),
        "08" | "28" => Error::bad_gateway("the database cannot be used").breaking_session(),
        // An error within the protocol, or none that anybody knows.
        "" | "XX" => Error::internal("the database could not run the statement").breaking_session(),
        _ => Error::internal("the database could not run the statement"),
    }
}

/// Whether the whole transaction may go well when it is run once more: it clashed with another one.
pub fn is_worth_a_retry(state: &str) -> bool {
    matches!(state, "40001" | "40P01")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind::{
        BadGateway, Conflict, Forbidden, Internal, TooLarge, Unavailable, Unprocessable,
    };

    #[test]
    fn each_class_has_its_status() {
        let cases = [
            ("23505", Conflict, false),
            ("23503", Unprocessable, false),
            ("23P01", Unprocessable, false),
            ("22P02", Unprocessable, false),
            ("P0001", Unprocessable, false),
            ("42501", Forbidden, false),
            ("40001", Unavailable, false),
            ("53300", Unavailable, true),
            ("53200", Unavailable, false),
            ("57014", Unavailable, false),
            ("57P01", Unavailable, true),
            ("54000", TooLarge, false),
            ("08006", BadGateway, true),
            ("28P01", BadGateway, true),
            ("42P01", Internal, false),
            ("XX000", Internal, true),
            ("", Internal, true),
            ("é", Internal, false),
        ];
        for (state, kind, breaks) in cases {
            let error = from_sqlstate(state);
            assert_eq!(
                (error.kind(), error.breaks_session()),
                (kind, breaks),
                "{state}"
            );
        }
    }

    #[test]
    fn what_clashed_is_worth_a_retry() {
        assert!(is_worth_a_retry("40001") && is_worth_a_retry("40P01"));
        assert!(!is_worth_a_retry("23505") && !is_worth_a_retry(""));
    }
}
