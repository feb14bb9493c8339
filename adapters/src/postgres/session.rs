//! One worker's connection, with what is prepared on it.

use std::ffi::CStr;

use crate::{CallContext, Error, Request, Response};

use super::Postgres;
use super::cancel::Stop;
use super::connection::{Connection, Standing};
use super::exchange::{Exchange, Patience};
use super::parameters::Parameters;
use super::statements::Statements;
use super::work::Work;

/// Has the server look every second whether we are still there while it works. A cancel request that comes when
/// the server has not begun yet is lost, and a process that is killed sends none: then this ends the statement.
/// Servers before 14 do not have it.
const WATCHED: &CStr = c"SELECT set_config('client_connection_check_interval', '1s', false) \
    WHERE current_setting('client_connection_check_interval', true) = '0'";

/// A connection and what is prepared on it.
#[derive(Debug)]
pub struct Session {
    pub(super) connection: Connection,
    pub(super) statements: Statements,
    /// The values of each statement of the transaction that runs; kept for their room.
    pub(super) parameters: Vec<Parameters>,
    /// One for each column: values that are sent in another form than they came; kept for their room.
    pub(super) scratch: Vec<Vec<u8>>,
    /// A prepared statement was out of date: all are forgotten, and nothing was done.
    pub(super) is_out_of_date: bool,
}

impl Session {
    pub(super) fn open(config: &Postgres) -> Result<Self, Error> {
        let unreachable = |source: String| {
            Error::bad_gateway("the database cannot be reached").with_source(source)
        };
        let parameters = config.target.parameters().map_err(unreachable)?;
        let connection = Connection::open(&parameters).map_err(unreachable)?;
        let mut session = Self {
            connection,
            statements: Statements::default(),
            parameters: Vec::new(),
            scratch: Vec::new(),
            is_out_of_date: false,
        };
        session.be_watched(&config.own_call())?;
        Ok(session)
    }

    /// Not every system has what this needs; it is no error where it is missing.
    fn be_watched(&mut self, call: &CallContext) -> Result<(), Error> {
        match self.run(WATCHED, call) {
            Err(error) if error.breaks_session() => Err(error),
            _ => Ok(()),
        }
    }

    pub(super) fn call(
        &mut self,
        config: &Postgres,
        request: &Request,
        call: &CallContext,
    ) -> Result<Response, Error> {
        self.connection.patience = Patience::default();
        let mut outcome = Work::new(config, self, call).answer(request);
        if outcome.is_err() && self.is_out_of_date && self.connection.standing() == Standing::Idle {
            // Whatever had begun was rolled back, so that nothing is done twice.
            outcome = Work::new(config, self, call).answer(request);
        }
        self.is_out_of_date = false;
        if config.resets && !breaks_session(&outcome) {
            self.statements.forget();
            let reset = self.run(c"DISCARD ALL", call);
            if let Err(error) = reset.and_then(|()| self.be_watched(call)) {
                return broken(outcome, error);
            }
        }
        match self.connection.standing() {
            Standing::Idle => outcome,
            // Whatever left a transaction open: nobody else may go on in it.
            _ => broken(
                outcome,
                Error::internal("a statement left the session in a transaction"),
            ),
        }
    }

    /// Asks the server for nothing: an empty statement.
    pub(super) fn check(&mut self, config: &Postgres) -> Result<(), Error> {
        let call = config.own_call();
        self.run(c"", &call)
    }

    pub(super) fn stop(&self) -> Option<Stop> {
        self.connection.cancel().map(Stop)
    }

    fn run(&mut self, sql: &CStr, call: &CallContext) -> Result<(), Error> {
        let mut exchange = Exchange {
            connection: &mut self.connection,
            call,
        };
        let ran = exchange.run(sql, &Parameters::default());
        ran.map(drop).map_err(|failure| failure.error)
    }
}

fn breaks_session(outcome: &Result<Response, Error>) -> bool {
    match outcome {
        Ok(response) => response.breaks_session(),
        Err(error) => error.breaks_session(),
    }
}

/// The same outcome, after which nobody uses the session any more.
fn broken(outcome: Result<Response, Error>, why: Error) -> Result<Response, Error> {
    tracing::debug!(error = %why, "a PostgreSQL session is closed after its call");
    match outcome {
        Ok(response) => Ok(response.breaking_session()),
        Err(error) => Err(error.breaking_session()),
    }
}
