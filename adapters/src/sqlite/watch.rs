//! What SQLite asks while a statement runs: go on? wait for this lock?
//!
//! The hooks are installed once for each connection and look at the call that the session has put
//! here; between calls there is none. So a call that is cancelled late cannot stop the statement
//! that runs next, as an interrupt from another thread could.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::hooks::Action;

use crate::CallContext;

/// How many steps of SQLite's virtual machine pass between two looks at the call. They take some
/// ten microseconds; the look takes well below one.
const STEPS_PER_LOOK: i32 = 1000;

/// The longest pause between two tries to get a lock: how late a cancellation may be noticed.
const LOCK_PAUSE_MAX: Duration = Duration::from_millis(10);

/// Shared by a connection's hooks and its session. All of them run on the session's thread.
#[derive(Debug)]
pub(super) struct Watch {
    busy_timeout: Duration,
    // Never held while SQLite runs: the hooks only look.
    watched: Mutex<Watched>,
    row_id_before: AtomicI64,
    same_row_id_inserted: AtomicBool,
}

#[derive(Debug, Default)]
struct Watched {
    callers: Callers,
    waited_for_locks: Duration,
}

/// For whom SQLite works.
#[derive(Debug, Default)]
enum Callers {
    #[default]
    Nobody,
    One(CallContext),
    /// For as long as any of them waits.
    Any(Vec<CallContext>),
}

/// The call is watched for as long as this lives.
#[derive(Debug)]
pub(super) struct Watching<'a>(&'a Watch);

impl Watch {
    /// Installs the hooks.
    pub(super) fn install(
        connection: &mut Connection,
        busy_timeout: Duration,
    ) -> rusqlite::Result<Arc<Self>> {
        let watch = Arc::new(Self {
            busy_timeout,
            watched: Mutex::default(),
            row_id_before: AtomicI64::new(0),
            same_row_id_inserted: AtomicBool::new(false),
        });
        let on_progress = Arc::clone(&watch);
        connection
            .progress_handler(STEPS_PER_LOOK, Some(move || on_progress.lock().must_stop()))?;
        let on_busy = Arc::clone(&watch);
        connection.busy_handler(Some(move |tries| on_busy.wait_for_lock(tries)))?;
        let on_update = Arc::clone(&watch);
        connection.update_hook(Some(move |action, _: &str, _: &str, row_id| {
            on_update.note(action, row_id);
        }))?;
        Ok(watch)
    }

    /// From now on the hooks look at this call.
    pub(super) fn begin(&self, call: &CallContext, connection: &Connection) -> Watching<'_> {
        self.watch(Callers::One(call.clone()));
        // All on one thread: the hooks run inside of calls into SQLite.
        let row_id = connection.last_insert_rowid();
        self.row_id_before.store(row_id, Ordering::Relaxed);
        self.same_row_id_inserted.store(false, Ordering::Relaxed);
        Watching(self)
    }

    /// From now on the hooks look at these calls: what is done for all of them stops when nobody waits any more.
    pub(super) fn begin_any(&self, calls: Vec<CallContext>) -> Watching<'_> {
        self.watch(Callers::Any(calls));
        Watching(self)
    }

    fn watch(&self, callers: Callers) {
        *self.lock() = Watched {
            callers,
            waited_for_locks: Duration::ZERO,
        };
    }

    /// The row that the watched call inserted. SQLite itself goes on reporting the one of an
    /// earlier call, which may have been somebody else's.
    pub(super) fn inserted_row_id(&self, connection: &Connection) -> Option<i64> {
        let row_id = connection.last_insert_rowid();
        let changed = row_id != self.row_id_before.load(Ordering::Relaxed);
        (changed || self.same_row_id_inserted.load(Ordering::Relaxed)).then_some(row_id)
    }

    fn lock(&self) -> MutexGuard<'_, Watched> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, action: Action, row_id: i64) {
        let before = self.row_id_before.load(Ordering::Relaxed);
        if action == Action::SQLITE_INSERT && row_id == before {
            self.same_row_id_inserted.store(true, Ordering::Relaxed);
        }
    }

    /// Whether SQLite shall try the lock again, after a pause.
    fn wait_for_lock(&self, tries: i32) -> bool {
        let pause = self.lock().pause(tries, self.busy_timeout);
        let Some(pause) = pause else {
            return false;
        };
        thread::sleep(pause);
        true
    }
}

impl Watched {
    fn must_stop(&self) -> bool {
        match &self.callers {
            Callers::Nobody => false,
            Callers::One(call) => call.is_cancelled(),
            Callers::Any(calls) => calls.iter().all(CallContext::is_cancelled),
        }
    }

    /// How long anybody will wait; `None` without an end.
    fn remaining(&self) -> Option<Duration> {
        match &self.callers {
            Callers::Nobody => None,
            Callers::One(call) => call.remaining(),
            Callers::Any(calls) => {
                let all: Option<Vec<_>> = calls.iter().map(CallContext::remaining).collect();
                all?.into_iter().max()
            }
        }
    }

    fn pause(&mut self, tries: i32, busy_timeout: Duration) -> Option<Duration> {
        let mut left = busy_timeout.saturating_sub(self.waited_for_locks);
        if let Some(remaining) = self.remaining() {
            left = left.min(remaining);
        }
        if left.is_zero() || self.must_stop() {
            return None;
        }
        let growing = Duration::from_millis(1 << tries.clamp(0, 10));
        let pause = growing.min(LOCK_PAUSE_MAX).min(left);
        self.waited_for_locks += pause;
        Some(pause)
    }
}

impl Drop for Watching<'_> {
    fn drop(&mut self) {
        *self.0.lock() = Watched::default();
    }
}
