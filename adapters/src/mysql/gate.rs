//! How a running call is stopped from another thread: `KILL` from a side connection.
//!
//! The server stops the statement, rolls its transaction back and closes the connection; all of it is gone
//! when the client is. It is the connection that is killed, not the query: our session is not used again in
//! any case, and a server does not use numbers of connections twice, so a kill that comes late hits nobody. A
//! killed query could be the next one.
//!
//! Another server does use them: one that has started since, or one that the same name leads to now. A server that
//! has not come as far as our number is another one, and is left alone. Where several servers share one address
//! and their numbers are alike, nobody can tell them apart from here: give each of them its own.

use std::ffi::CString;
use std::os::fd::RawFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::{CallContext, Interrupt};

use super::connection::Connection;
use super::handle::hang_up;
use super::login::Login;

/// How long the side connection may take, login and `KILL` included.
const KILL_TIME_MAX: Duration = Duration::from_millis(600);

/// How long the worker may take to come back after that; then its connection is cut.
const RETURN_TIME_MAX: Duration = Duration::from_millis(300);

/// What a session's worker and those who interrupt it share.
#[derive(Debug)]
pub(super) struct Gate {
    login: Arc<Login>,
    // Held for moments only. While a call is here its socket is open: the worker takes the call away first.
    running: Mutex<Option<Running>>,
    has_ended: Condvar,
}

#[derive(Debug)]
struct Running {
    call: CallContext,
    line: Line,
}

/// A connection, as far as it can be ended by somebody else.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    /// Which of the login's servers it is.
    pub(super) server: usize,
    /// The server's number of it.
    pub(super) connection: u64,
    pub(super) socket: RawFd,
}

/// The call can be interrupted for as long as this lives.
#[derive(Debug)]
pub(super) struct Passage<'g>(&'g Gate);

impl Gate {
    pub(super) fn new(login: Arc<Login>) -> Self {
        Self {
            login,
            running: Mutex::default(),
            has_ended: Condvar::new(),
        }
    }

    /// The session begins to run this call on this connection.
    pub(super) fn begin(&self, call: &CallContext, line: Line) -> Passage<'_> {
        let call = call.clone();
        *self.lock() = Some(Running { call, line });
        Passage(self)
    }

    /// The connection, if the call that runs on it is of no more use to anybody.
    fn stale(&self) -> Option<Line> {
        let running = self.lock();
        let running = running.as_ref().filter(|running| is_over(&running.call));
        running.map(|running| running.line)
    }

    fn kill(&self, line: Line) -> Result<(), String> {
        let until = Some(Instant::now() + KILL_TIME_MAX);
        let password = self.login.password.read()?;
        let server = &self.login.servers[line.server];
        let side = Connection::open(&self.login, server, password.as_deref(), until);
        let side = side.map_err(|refusal| refusal.to_string())?;
        if side.id() < line.connection {
            return Err("another server answers at this address now".to_owned());
        }
        let sql = CString::new(format!("KILL {}", line.connection)).unwrap_or_default();
        side.run(&sql, until).map_err(|refusal| refusal.to_string())
    }

    fn lock(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Passage<'_> {
    fn drop(&mut self) {
        *self.0.lock() = None;
        self.0.has_ended.notify_all();
    }
}

/// Whether nobody waits for a call any more.
pub(super) fn is_over(call: &CallContext) -> bool {
    call.is_cancelled() || call.remaining().is_some_and(|left| left.is_zero())
}

/// Stops what runs on a session, if it is of no more use.
#[derive(Debug)]
pub(super) struct Killer(pub(super) Arc<Gate>);

impl Interrupt for Killer {
    fn time_limit(&self) -> Duration {
        KILL_TIME_MAX + RETURN_TIME_MAX + Duration::from_millis(100)
    }

    fn interrupt(&self) {
        let gate = &*self.0;
        let Some(line) = gate.stale() else {
            return;
        };
        let killed = gate.kill(line);
        if let Err(reason) = &killed {
            tracing::warn!(
                connection = line.connection,
                reason,
                "a statement that nobody waits for could not be killed; its connection is closed, and the server \
                 may go on with it until it notices"
            );
        }
        let running = gate.lock();
        let patience = if killed.is_ok() {
            RETURN_TIME_MAX
        } else {
            Duration::ZERO
        };
        let waited = gate
            .has_ended
            .wait_timeout_while(running, patience, |running| running.is_some());
        let (running, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = &*running
            && is_over(&running.call)
        {
            hang_up(running.line.socket);
        }
    }
}
