//! What a worker keeps between calls, by kind; never leaves its thread.

use super::kinds::Known;
use crate::call::Interrupt;
use crate::error::BoxError;
use crate::quiet::drop_quietly;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

type Open<S> = Box<dyn Fn() -> Result<S, BoxError> + Send + Sync>;
type Check<S> = Box<dyn Fn(&mut S) -> Result<(), BoxError> + Send + Sync>;
type Interrupter<S> = Box<dyn Fn(&S) -> Option<Box<dyn Interrupt>> + Send + Sync>;

/// How sessions of one kind are opened, checked and interrupted. One pool may serve several kinds.
pub struct SessionKind<S> {
    /// Never 0.
    pub(super) id: u64,
    /// Sessions know by it whether anybody can still use them.
    alive: Arc<()>,
    open: Open<S>,
    check: Option<Check<S>>,
    interrupter: Option<Interrupter<S>>,
    label: Option<Arc<str>>,
    takes_eintr: bool,
}

impl<S: 'static> SessionKind<S> {
    /// A kind whose sessions are opened by `open`, on the worker, on first use.
    pub fn new<E: Into<BoxError>>(open: impl Fn() -> Result<S, E> + Send + Sync + 'static) -> Self {
        static NEXT_ID: AtomicU64 = AtomicU64::new(1);
        Self {
            // Relaxed: only uniqueness counts.
            id: NEXT_ID.fetch_add(1, Relaxed),
            alive: Arc::new(()),
            open: Box::new(move || open().map_err(Into::into)),
            check: None,
            interrupter: None,
            label: None,
            takes_eintr: false,
        }
    }

    /// Checks a session before it is used again after it idled for a second or was
    /// [suspected](Session::suspect); on an error it is replaced by a new one.
    #[must_use]
    pub fn check<E: Into<BoxError>>(
        mut self,
        check: impl Fn(&mut S) -> Result<(), E> + Send + Sync + 'static,
    ) -> Self {
        self.check = Some(Box::new(move |session| check(session).map_err(Into::into)));
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

    pub(crate) fn is_interruptible(&self) -> bool {
        self.interrupter.is_some()
    }

    pub(crate) fn interrupter_of(&self, session: &S) -> Option<Box<dyn Interrupt>> {
        self.interrupter.as_ref().and_then(|make| make(session))
    }
}

/// Idle for longer than this, a session is checked before it is used again.
const CHECK_AFTER_IDLE: Duration = Duration::from_secs(1);

/// A session with the worker's notes about it.
#[derive(Debug)]
pub struct Session<S> {
    inner: S,
    kind: Weak<()>,
    suspect: bool,
    discard: bool,
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

    /// Has the session closed after this call, for instance after it lost its connection.
    pub fn discard(&mut self) {
        self.discard = true;
    }
}

/// A session of any kind.
trait Kept: Any {
    /// Whether its kind is gone, so that no call will ever use it.
    fn is_orphan(&self) -> bool;
}

impl<S: 'static> Kept for Session<S> {
    fn is_orphan(&self) -> bool {
        self.kind.strong_count() == 0
    }
}

struct Entry {
    kind: u64,
    session: Box<dyn Kept>,
    last_used: Instant,
}

/// All sessions of one worker.
pub(crate) struct Sessions {
    entries: Vec<Entry>,
    idle_limit: Duration,
    opened: u64,
}

impl Sessions {
    pub(crate) fn new(idle_limit: Duration) -> Self {
        Self {
            entries: Vec::new(),
            idle_limit,
            opened: 0,
        }
    }

    /// Takes the kind's session out, opening or checking it if need be. While it is out, a panic
    /// discards it.
    pub(crate) fn take<S: 'static>(
        &mut self,
        kind: &SessionKind<S>,
    ) -> Result<Box<Session<S>>, BoxError> {
        if let Some(at) = self.entries.iter().position(|entry| entry.kind == kind.id) {
            let entry = self.entries.swap_remove(at);
            let session: Box<dyn Any> = entry.session;
            if let Ok(session) = session.downcast::<Session<S>>()
                && let Some(session) = checked(kind, session, entry.last_used)
            {
                return Ok(session);
            }
        }
        // A new kind has often taken an old one's place; without this, a pool whose kinds change
        // every second would keep a minute's worth of them.
        self.close_orphans();
        fault_point!(SessionOpen);
        let inner = (kind.open)()?;
        self.opened += 1;
        Ok(Box::new(Session {
            inner,
            kind: Arc::downgrade(&kind.alive),
            suspect: false,
            discard: false,
        }))
    }

    /// Puts a session back, unless the call asked to have it closed; whether it was put back.
    pub(crate) fn put<S: 'static>(
        &mut self,
        kind: &SessionKind<S>,
        session: Box<Session<S>>,
        now: Instant,
    ) -> bool {
        if session.discard {
            drop_quietly(session);
            return false;
        }
        self.entries.push(Entry {
            kind: kind.id,
            session,
            last_used: now,
        });
        true
    }

    /// When the next session will have idled too long.
    pub(crate) fn close_time(&self) -> Option<Instant> {
        self.entries
            .iter()
            // A limit that passes the end of time is none.
            .filter_map(|entry| entry.last_used.checked_add(self.idle_limit))
            .min()
    }

    /// Closes what idled too long.
    pub(crate) fn close_idle(&mut self, now: Instant) {
        let limit = self.idle_limit;
        while let Some(at) = self
            .entries
            .iter()
            .position(|entry| now.saturating_duration_since(entry.last_used) >= limit)
        {
            drop_quietly(self.entries.swap_remove(at).session);
        }
    }

    /// Closes what no call can use any more.
    fn close_orphans(&mut self) {
        let orphan = |entry: &Entry| entry.session.is_orphan();
        while let Some(at) = self.entries.iter().position(orphan) {
            drop_quietly(self.entries.swap_remove(at).session);
        }
    }

    pub(crate) fn close_all(&mut self) {
        self.entries
            .drain(..)
            .for_each(|entry| drop_quietly(entry.session));
    }

    /// Sessions opened since the last look.
    pub(crate) fn take_opened(&mut self) -> u64 {
        std::mem::take(&mut self.opened)
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }
}

/// The session if it is still good.
fn checked<S: 'static>(
    kind: &SessionKind<S>,
    mut session: Box<Session<S>>,
    last_used: Instant,
) -> Option<Box<Session<S>>> {
    let Some(check) = &kind.check else {
        session.suspect = false;
        return Some(session);
    };
    if !session.suspect && last_used.elapsed() < CHECK_AFTER_IDLE {
        return Some(session);
    }
    // Caught here: if the session's drop panicked too while this one unwinds, the process would end.
    match catch_unwind(AssertUnwindSafe(|| check(session.get()))) {
        Ok(Ok(())) => {
            session.suspect = false;
            return Some(session);
        }
        Ok(Err(error)) => {
            tracing::info!(%error, "a session failed its check and is replaced");
        }
        Err(panic) => {
            tracing::error!("the check of a session panicked; the session is replaced");
            drop_quietly(panic);
        }
    }
    drop_quietly(session);
    None
}

impl<S> std::fmt::Debug for SessionKind<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionKind")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
