//! One worker's connection, with the statements that are prepared on it.

use std::ffi::CStr;
use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::sql::Task;
use crate::{CallContext, Error, Request, Response};

use super::MySql;
use super::connection::Connection;
use super::failure;
use super::gate::{Gate, Killer, Line};
use super::login::Login;
use super::prepared::Prepared;
use super::refusal::Refusal;
use super::rows::Rows;
use super::work::Work;

/// How long after its deadline a call waits for its statement to be killed. A server that does not even do that
/// hangs.
const GRACE: Duration = Duration::from_secs(1);

/// How long a check may take.
const CHECK_TIME_MAX: Duration = Duration::from_secs(2);

/// A connection and its statements.
#[derive(Debug)]
pub struct Session {
    pub(super) connection: Connection,
    /// By the transaction's place in the plan, and the statement's own in it.
    pub(super) statements: Vec<Vec<Option<Known>>>,
    gate: Arc<Gate>,
    /// Which of the login's servers it is.
    server: usize,
    /// The largest packet that the server takes, in bytes; asked for when that first matters.
    packet_bytes_max: Option<usize>,
    /// A call runs, or has left something that the next one must not find: unread rows, or worse.
    pub(super) is_unclean: bool,
}

/// A statement, and what is known of its results.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) statement: Prepared,
    pub(super) results: Vec<Rows>,
}

impl Session {
    /// Connects to one of the servers, the preferred one first, until then at most.
    ///
    /// # Errors
    ///
    /// None of them can be used: what the first one said.
    pub(super) fn open(
        login: &Arc<Login>,
        preferred: usize,
        limit: Option<Instant>,
    ) -> Result<Self, Error> {
        let password = login.password.read().map_err(|reason| {
            Error::bad_gateway("the database cannot be used").with_source(reason)
        })?;
        let count = login.servers.len();
        let mut first = None;
        for server in (0..count).map(|step| (preferred + step) % count) {
            let until = Instant::now() + login.connect_timeout;
            let until = limit.map_or(until, |limit| limit.min(until));
            match Self::open_at(login, server, password.as_deref(), until) {
                Ok(session) => return Ok(session),
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
        until: Instant,
    ) -> Result<Self, Refusal> {
        let until = Some(until);
        let connection = Connection::open(login, &login.servers[server], password, until)?;
        connection.set_up(until)?;
        Ok(Self {
            connection,
            statements: Vec::new(),
            gate: Arc::new(Gate::new(Arc::clone(login))),
            server,
            packet_bytes_max: None,
            is_unclean: false,
        })
    }

    /// Which of the login's servers it is.
    pub(super) fn server(&self) -> usize {
        self.server
    }

    /// Takes the place of a session whose server has closed it since the last call: by a restart, or for it was
    /// idle. That costs no call.
    fn renew(&mut self, login: &Arc<Login>, limit: Option<Instant>) -> Result<(), Error> {
        self.is_unclean = true;
        let mut old = Self::open(login, self.server, limit)?;
        mem::swap(self, &mut old);
        // Whoever interrupts has this one.
        mem::swap(&mut self.gate, &mut old.gate);
        Ok(())
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
        let until = call.deadline().map(|deadline| deadline + GRACE);
        if self.connection.is_closed() {
            self.renew(&config.login, until)
                .map_err(Error::breaking_session)?;
        }
        let gate = Arc::clone(&self.gate);
        let line = Line {
            server: self.server,
            connection: self.connection.id(),
            socket: self.connection.socket(),
        };
        let passage = gate.begin(call, line);
        let mut work = Work {
            session: self,
            call,
            until,
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

    pub(super) fn packet_bytes_max(&mut self, until: Option<Instant>) -> Result<usize, Refusal> {
        if let Some(bytes) = self.packet_bytes_max {
            return Ok(bytes);
        }
        let handle = self.connection.handle();
        let bytes = Prepared::number(handle, "SELECT @@max_allowed_packet", until)?;
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        Ok(*self.packet_bytes_max.insert(bytes))
    }

    pub(super) fn known(
        &mut self,
        task: Task<'_>,
        until: Option<Instant>,
    ) -> Result<&mut Known, Refusal> {
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
