//! What an error of MySQL or MariaDB means to the client.
//!
//! Many of them share one SQLSTATE, `23000` or `HY000`, so the number decides first.

use std::time::Duration;

use crate::Error;
use crate::sql::{Failure, from_sqlstate, is_worth_a_retry};

use super::refusal::Refusal;

/// What a call fails with.
pub(super) fn of(refusal: Refusal) -> Failure {
    let state = state(&refusal);
    let error = match refusal.number {
        // The connection is lost, or was never there; CR_… of the client library.
        2002..=2006 | 2012 | 2013 | 2026 | 2055 | 2058..=2061 => {
            Error::bad_gateway("the database cannot be reached").breaking_session()
        }
        2020 => Error::internal(
            "a row is larger than the answers that this location may send; ask for less",
        )
        .breaking_session(),
        // The server closes the connection after these.
        1053 | 1077 | 1079 | 1927 | 4031 => {
            Error::unavailable("the database ended the connection; try again").breaking_session()
        }
        1153 => Error::too_large("the statement's values are larger than the database takes")
            .breaking_session(),
        // Prepared statements that the server does not know any more, or whose columns have changed.
        1243 | 1615 | 2057 => {
            Error::unavailable("the statement must be prepared anew; try again").breaking_session()
        }
        // Its sequence of packets is broken, or it has no memory: nobody knows what comes next.
        2000..=2999 | 5000..=5999 => {
            Error::internal("the database could not run the statement").breaking_session()
        }
        _ => from_sqlstate(state),
    };
    let is_worth_a_retry = is_worth_a_retry(state);
    Failure {
        error: error.with_source(refusal),
        is_worth_a_retry,
    }
}

/// Why a connection cannot be opened.
pub(super) fn of_opening(refusal: Refusal) -> Error {
    let error = of(refusal).error;
    match error.kind() {
        crate::ErrorKind::Unavailable => error.with_retry_after(Duration::from_secs(1)),
        // Whoever asks is not refused: we are.
        crate::ErrorKind::Forbidden => {
            let refused = Error::bad_gateway("the database cannot be used");
            match std::error::Error::source(&error) {
                Some(source) => refused.with_source(source.to_string()),
                None => refused,
            }
        }
        _ => error.while_opening(),
    }
}

/// The SQLSTATE that says what the number means, in the terms of PostgreSQL where the standard has none.
fn state(refusal: &Refusal) -> &str {
    match refusal.number {
        // A key is there already.
        1022 | 1062 | 1169 | 1557 | 1586 | 1859 => "23505",
        // A null, or nothing, where there must be a value.
        1048 | 1263 | 1364 => "23502",
        1216 | 1217 | 1451 | 1452 => "23503",
        3819 | 4025 => "23514",
        // A value of the wrong form.
        1366 | 1411 | 1525 | 3140..=3158 | 4036..=4039 => "22000",
        1044 | 1095 | 1142 | 1143 | 1227 | 1370 => "42501",
        // A deadlock; a row that changed under a snapshot.
        1020 | 1213 => "40001",
        1205 | 3572 => "55P03",
        1040 | 1203 | 1226 => "53300",
        // Memory, locks, files, space.
        1021 | 1037 | 1038 | 1041 | 1114 | 1135 | 1206 => "53000",
        1317 | 1969 | 3024 => "57014",
        1290 | 1792 | 1836 => "25006",
        _ => &refusal.state,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind::{
        BadGateway, Conflict, Forbidden, Internal, TooLarge, Unavailable, Unprocessable,
    };

    fn refusal(number: u32, state: &str) -> Refusal {
        Refusal {
            state: state.to_owned(),
            ..Refusal::of_client(number, "table `secret`")
        }
    }

    #[test]
    fn each_number_has_its_status_and_is_not_shown() {
        let cases = [
            (1062, "23000", Conflict, false),
            (1452, "23000", Unprocessable, false),
            (1048, "23000", Unprocessable, false),
            (4025, "23000", Unprocessable, false),
            (3819, "HY000", Unprocessable, false),
            (1366, "22007", Unprocessable, false),
            (1406, "22001", Unprocessable, false),
            (1644, "45000", Unprocessable, false),
            (1142, "42000", Forbidden, false),
            (1064, "42000", Internal, false),
            (1146, "42S02", Internal, false),
            (1205, "HY000", Unavailable, false),
            (1213, "40001", Unavailable, false),
            (1317, "70100", Unavailable, false),
            (1040, "08004", Unavailable, true),
            (1927, "70100", Unavailable, true),
            (1153, "08S01", TooLarge, true),
            (2006, "HY000", BadGateway, true),
            (2013, "HY000", BadGateway, true),
            (2014, "HY000", Internal, true),
        ];
        for (number, state, kind, breaks) in cases {
            let error = of(refusal(number, state)).error;
            assert_eq!(
                (error.kind(), error.breaks_session()),
                (kind, breaks),
                "{number}"
            );
            assert!(!error.detail().contains("secret"));
        }
    }

    #[test]
    fn only_what_clashed_is_worth_a_retry() {
        assert!(of(refusal(1213, "40001")).is_worth_a_retry);
        assert!(!of(refusal(1205, "HY000")).is_worth_a_retry);
        assert!(!of(refusal(1062, "23000")).is_worth_a_retry);
    }

    #[test]
    fn a_login_that_is_refused_is_not_the_fault_of_who_asks() {
        assert_eq!(of_opening(refusal(1045, "28000")).kind(), BadGateway);
        assert_eq!(of_opening(refusal(1044, "42000")).kind(), BadGateway);
        assert_eq!(of_opening(refusal(1049, "42000")).kind(), BadGateway);
        assert_eq!(of_opening(refusal(1040, "08004")).kind(), Unavailable);
    }
}
