//! Sending and waiting, never for longer than somebody waits for the answer.

use std::ffi::{CStr, CString};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::CallContext;
use crate::sql::Failure;

use super::connection::{Connection, Lost};
use super::failure::{of_confusion, of_loss, of_outcome, of_silence};
use super::outcome::{Outcome, Said};
use super::parameters::Parameters;

/// How often a call that waits looks whether anybody still waits for it. Most calls end before the first look.
const LOOK_MS: u16 = 50;

/// How long the server has for taking notice of a cancellation. After that the session is given up: the server
/// hangs, or cannot be reached.
const GRACE: Duration = Duration::from_millis(250);

/// A connection, and the call that it works for.
pub(super) struct Exchange<'x> {
    pub(super) connection: &'x mut Connection,
    pub(super) call: &'x CallContext,
}

/// How a call has waited for the server so far.
#[derive(Debug, Default)]
pub(super) struct Patience {
    waits: u32,
    /// Since when nobody waits for the answer any more.
    given_up: Option<Instant>,
}

/// While the server sends, one wait in so many is followed by a look whether anybody still waits.
const WAITS_PER_LOOK: u32 = 64;

impl Exchange<'_> {
    /// Sends all that is queued.
    ///
    /// # Errors
    ///
    /// The connection is lost, or the server does not take it in time.
    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        loop {
            match self.connection.flush() {
                Ok(true) => return Ok(()),
                // A server that sends may not read before somebody takes what it sends.
                Ok(false) => self.wait(PollFlags::POLLIN | PollFlags::POLLOUT)?,
                Err(lost) => return Err(self.lost(lost)),
            }
        }
    }

    /// What the server says next; `None` when the command has no more results.
    ///
    /// # Errors
    ///
    /// The connection is lost, or the server does not answer in time.
    pub(super) fn next(&mut self) -> Result<Option<Outcome>, Failure> {
        while self.connection.is_busy() {
            self.wait(PollFlags::POLLIN)?;
        }
        Ok(self.connection.next())
    }

    fn wait(&mut self, flags: PollFlags) -> Result<(), Failure> {
        let patience = &mut self.connection.patience;
        patience.waits = patience.waits.wrapping_add(1);
        if patience.waits.is_multiple_of(WAITS_PER_LOOK) {
            self.look()?;
        }
        loop {
            let Some(socket) = self.connection.socket() else {
                return Err(self.lost(Lost));
            };
            match poll(
                &mut [PollFd::new(socket, flags)],
                PollTimeout::from(LOOK_MS),
            ) {
                Ok(0) | Err(Errno::EINTR) => {}
                Ok(_) => break,
                Err(error) => return Err(of_confusion(&format!("poll: {error}"))),
            }
            self.look()?;
        }
        let consumed = self.connection.consume();
        consumed.map_err(|lost| self.lost(lost))
    }

    /// Gives up when nobody has waited for the answer for so long that the server should have stopped.
    fn look(&mut self) -> Result<(), Failure> {
        if self.is_over() {
            let patience = &mut self.connection.patience;
            let since = patience.given_up.get_or_insert_with(Instant::now);
            if since.elapsed() >= GRACE {
                return Err(of_silence());
            }
        }
        Ok(())
    }

    /// Whether nobody waits for the answer any more.
    fn is_over(&self) -> bool {
        let is_late = || self.call.remaining().is_some_and(|left| left.is_zero());
        self.call.is_cancelled() || is_late()
    }

    pub(super) fn lost(&self, lost: Lost) -> Failure {
        of_loss(lost, self.connection)
    }

    /// Reads what the server says to a command without rows, to its end: its last result, or its error. One
    /// that is skipped has neither: the one before has failed.
    ///
    /// # Errors
    ///
    /// As for [`next`](Self::next).
    pub(super) fn said(&mut self) -> Result<Result<Option<Outcome>, Outcome>, Failure> {
        let mut said = Ok(None);
        while let Some(outcome) = self.next()? {
            match outcome.said() {
                Said::Failed => said = Err(outcome),
                Said::Foreign | Said::InStep => {
                    return Err(of_confusion("an answer that belongs to nothing"));
                }
                Said::Row | Said::EndOfRows | Said::Done if said.is_ok() => {
                    said = Ok(Some(outcome))
                }
                _ => {}
            }
        }
        Ok(said)
    }

    /// As [`said`](Self::said).
    ///
    /// # Errors
    ///
    /// What the server says, and as for `said`.
    pub(super) fn ended(&mut self) -> Result<Option<Outcome>, Failure> {
        let said = self.said()?;
        said.map_err(|outcome| of_outcome(&outcome, self.connection))
    }

    /// Reads the end of a pipeline, where what runs without a BEGIN is committed: what was well until then may
    /// fail here.
    ///
    /// # Errors
    ///
    /// What the server says, as for [`next`](Self::next), and when something else comes.
    pub(super) fn in_step(&mut self) -> Result<(), Failure> {
        let mut failed = None;
        // The end itself, or an error, the end of that and the end itself.
        for _ in 0..3 {
            match self.next()? {
                Some(outcome) if outcome.said() == Said::InStep => {
                    return failed.map_or(Ok(()), Err);
                }
                Some(outcome) if outcome.said() == Said::Failed => {
                    failed = Some(of_outcome(&outcome, self.connection));
                    if !self.connection.is_open() {
                        break;
                    }
                }
                None => {}
                Some(_) => break,
            }
        }
        Err(failed.unwrap_or_else(|| of_confusion("the end of a pipeline is missing")))
    }

    /// Has one command run whose rows, if any, all fit into memory.
    ///
    /// # Errors
    ///
    /// What the server says, and as for [`next`](Self::next).
    pub(super) fn run(
        &mut self,
        sql: &CStr,
        parameters: &Parameters,
    ) -> Result<Option<Outcome>, Failure> {
        let sent = self.connection.send_sql(sql, parameters);
        let sent = sent.and_then(|()| self.connection.sync());
        sent.map_err(|lost| self.lost(lost))?;
        self.flush()?;
        let outcome = self.ended();
        match outcome {
            // Nothing more comes on it.
            Err(failure) if failure.error.breaks_session() => Err(failure),
            outcome => self.in_step().and(outcome),
        }
    }

    /// Has a statement prepared, and asks what it takes and gives.
    ///
    /// # Errors
    ///
    /// The connection is lost.
    pub(super) fn send_prepare(&mut self, name: &CString, sql: &CString) -> Result<(), Failure> {
        let connection = &mut *self.connection;
        let sent = connection
            .send_prepare(name, sql)
            .and_then(|()| connection.sync())
            .and_then(|()| connection.send_describe(name))
            .and_then(|()| connection.sync());
        sent.map_err(|lost| self.lost(lost))
    }
}
