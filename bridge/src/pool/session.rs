//! A session: what a worker keeps between calls. It never leaves its thread.

use super::breaker::Ended;
use super::kinds::Known;
use super::opening::Counted;
use crate::call::Interrupt;
use crate::error::{BoxError, describe, panic_message};
use crate::quiet::drop_quietly;
use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

type Open<S> = Box<dyn Fn() -> Result<S, BoxError> + Send + Sync>;
type Check<S> = Box<dyn Fn(&mut S) -> Result<(), BoxError> + Send + Sync>;
type Close<S> = Box<dyn Fn(&mut S) + Send + Sync>;
type Interrupter<S> = Box<dyn Fn(&S) -> Option<Box<dyn Interrupt>> + Send + Sync>;

/// How sessions of one kind are opened, checked, closed and interrupted. One pool may serve several
/// kinds.
///
/// What is given here runs on the workers and may block. A panic in any of it costs at most the one call
/// that the session was for.
pub struct SessionKind<S> {
    /// Never 0.
    pub(super) id: u64,
    open: Open<S>,
    check: Option<Check<S>>,
    close: Option<Close<S>>,
    interrupter: Option<Interrupter<S>>,
    label: Option<Arc<str>>,
    takes_eintr: bool,
}

impl<S: 'static> SessionKind<S> {
    /// A kind whose sessions are opened by `open`, on the worker: on first use, or ahead of it as far as
    /// [`sessions_min`](crate::PoolBuilder::sessions_min) says.
    ///
    /// When it fails, the call gets [`SessionFailed`](crate::CallError::SessionFailed), and further
    /// sessions of this kind are opened after a wait only: up to 100 ms at first, up to 10 s in the
    /// end, by one worker at a time. Calls that need one meanwhile end at once, with
    /// [`BackingOff`](crate::CallError::BackingOff).
    pub fn new<E: Into<BoxError>>(open: impl Fn() -> Result<S, E> + Send + Sync + 'static) -> Self {
        static NEXT_ID: AtomicU64 = AtomicU64::new(1);
        Self {
            // Relaxed: only uniqueness counts.
            id: NEXT_ID.fetch_add(1, Relaxed),
            open: Box::new(move || open().map_err(Into::into)),
            check: None,
            close: None,
            interrupter: None,
            label: None,
            takes_eintr: false,
        }
    }

    /// Checks a session before it is used again after it idled for
    /// [`session_check_after`](crate::PoolBuilder::session_check_after) or was
    /// [suspected](Session::suspect), and now and then one that is kept warm; on an error it is replaced
    /// by a new one.
    #[must_use]
    pub fn check<E: Into<BoxError>>(
        mut self,
        check: impl Fn(&mut S) -> Result<(), E> + Send + Sync + 'static,
    ) -> Self {
        self.check = Some(Box::new(move |session| check(session).map_err(Into::into)));
        self
    }

    /// Takes leave of a session before it is dropped, for instance to log off. It is called for every
    /// session, also for one that broke or in which a call panicked, so it must not rely on its state.
    ///
    /// It gets a reference and not the session, because the drop that follows may panic as well: two
    /// panics at once would end the process.
    #[must_use]
    pub fn close(mut self, close: impl Fn(&mut S) + Send + Sync + 'static) -> Self {
        self.close = Some(Box::new(close));
        self
    }

    /// How a call that runs in a session is stopped from outside.
    #[must_use]
    pub fn interrupter(
        mut self,
        interrupter: impl Fn(&S) -> Option<Box<dyn Interrupt>> + Send + Sync + 'static,
    ) -> Self {
        self.interrupter = Some(Box::new(interrupter));
        self
    }

    /// What its calls are called in the log and in [`Pool::running`](crate::Pool::running), such as the
    /// path of a location.
    #[must_use]
    pub fn label(mut self, label: impl Into<Arc<str>>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// The library gives up when a system call of its own ends with `EINTR`: a stuck call gets a signal
    /// (`SIGURG`) that does so, at each look of the pool's patrol. Off unless this is called: most
    /// libraries just try again, and some break.
    #[must_use]
    pub fn ends_on_eintr(mut self) -> Self {
        self.takes_eintr = true;
        self
    }

    pub(super) fn known(&self) -> Known {
        Known {
            id: self.id,
            label: self.label.clone(),
            takes_eintr: self.takes_eintr,
        }
    }

    pub(super) fn open(&self) -> Result<S, BoxError> {
        fault_point!(SessionOpen);
        (self.open)()
    }

    pub(crate) fn is_interruptible(&self) -> bool {
        self.interrupter.is_some()
    }

    pub(crate) fn interrupter_of(&self, session: &S) -> Option<Box<dyn Interrupt>> {
        self.interrupter.as_ref().and_then(|make| make(session))
    }
}

/// A session with the worker's notes about it.
pub struct Session<S> {
    inner: S,
    suspect: bool,
    discard: bool,
    /// What the call that runs says of the backend, if it is not what its end says.
    said: Option<Ended>,
    /// Calls that have run in it.
    uses: u64,
    /// When it is too old to be used again.
    expires_at: Option<Instant>,
    counted: Counted<S>,
}

impl<S> Session<S> {
    /// The library's own object.
    pub fn get(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Has the session checked before it is used again, for instance after an error.
    pub fn suspect(&mut self) {
        self.suspect = true;
    }

    /// Has the session closed after this call: it has lost its connection, or the call has left
    /// something in it that the next one must not find, such as an open transaction.
    pub fn discard(&mut self) {
        self.discard = true;
    }

    /// Says that the call fails because of what is behind the library: it cannot be reached, or does
    /// not answer in time. The pool's [breaker](crate::PoolBuilder::breaker) counts such calls. It
    /// says nothing about the session.
    pub fn backend_failed(&mut self) {
        self.said = Some(Ended::CallFailed);
    }

    /// Says that the end of the call tells nothing about what is behind the library, for instance because
    /// the call was stopped half-way when its caller left. The pool's
    /// [breaker](crate::PoolBuilder::breaker) counts it neither as a success nor as a failure.
    pub fn backend_unknown(&mut self) {
        self.said = Some(Ended::NoMatter);
    }
}

impl<S: 'static> Session<S> {
    pub(super) fn new(inner: S, counted: Counted<S>, expires_at: Option<Instant>) -> Self {
        Self {
            inner,
            suspect: false,
            discard: false,
            said: None,
            uses: 0,
            expires_at,
            counted,
        }
    }

    pub(super) fn expires_at(&self) -> Option<Instant> {
        self.expires_at
    }

    /// What the call that has just run said of the backend; the next one says nothing yet.
    pub(super) fn take_said(&mut self) -> Option<Ended> {
        self.said.take()
    }

    /// After a call: whether another one may run in it.
    pub(super) fn is_reusable(&mut self, max_uses: u64) -> bool {
        self.uses += 1;
        !self.discard && self.uses < max_uses
    }

    /// Whether it is as good as new: checked if it is suspected or `is_due` to be.
    pub(super) fn is_good(&mut self, is_due: bool) -> bool {
        let Some(check) = &self.counted.bound.kind.check else {
            self.suspect = false;
            return true;
        };
        if !self.suspect && !is_due {
            return true;
        }
        let pool = self.counted.bound.core.name();
        // Caught here: if the session's drop panicked too while this one unwinds, the process would end.
        match catch_unwind(AssertUnwindSafe(|| check(&mut self.inner))) {
            Ok(Ok(())) => {
                self.suspect = false;
                return true;
            }
            Ok(Err(error)) => {
                let text = describe(&*error);
                drop_quietly(error);
                tracing::info!(pool, error = %text, "a session failed its check and is replaced");
            }
            Err(panic) => {
                let message = panic_message(&*panic);
                drop_quietly(panic);
                tracing::error!(pool, %message, "the check of a session panicked; the session is replaced");
            }
        }
        false
    }
}

/// A session of whatever kind, as its worker keeps it.
pub(super) trait Kept: Any {
    /// Whether it still works; may take its time.
    fn is_good(&mut self) -> bool;
    /// Whether it may be closed for idling; then it counts as closed from now on.
    fn leave_if_spare(&mut self) -> bool;
    /// Whether nobody makes calls of its kind any more.
    fn is_orphan(&self) -> bool;
    /// No other one is kept warm in its place before this.
    fn put_off_warming(&self, until: Instant);
    /// It need not be kept, and does not count as one that is there.
    fn leave(&mut self);
    /// Calls may use it again, and it counts.
    fn come_back(&mut self);
    /// Closes and drops it. Never panics.
    fn close(self: Box<Self>);
}

impl<S: 'static> Kept for Session<S> {
    fn is_good(&mut self) -> bool {
        Session::is_good(self, true)
    }

    fn leave_if_spare(&mut self) -> bool {
        self.counted.leave_if_spare()
    }

    fn is_orphan(&self) -> bool {
        self.counted.bound.opening.is_orphaned()
    }

    fn put_off_warming(&self, until: Instant) {
        self.counted.bound.opening.put_off_warming(until);
    }

    fn leave(&mut self) {
        self.counted.leave();
    }

    fn come_back(&mut self) {
        self.counted.come_back();
    }

    fn close(self: Box<Self>) {
        let Self {
            mut inner, counted, ..
        } = *self;
        if let Some(close) = &counted.bound.kind.close
            && let Err(panic) = catch_unwind(AssertUnwindSafe(|| close(&mut inner)))
        {
            let (pool, message) = (counted.bound.core.name(), panic_message(&*panic));
            drop_quietly(panic);
            tracing::error!(pool, %message, "closing a session panicked");
        }
        drop_quietly(inner);
        // With it may go the last hold on the kind, and what its user gave.
        drop_quietly(counted);
    }
}

impl<S: fmt::Debug> fmt::Debug for Session<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("inner", &self.inner)
            .field("suspect", &self.suspect)
            .field("discard", &self.discard)
            .field("uses", &self.uses)
            .finish_non_exhaustive()
    }
}

impl<S> fmt::Debug for SessionKind<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionKind")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
