//! What code that runs in a call can tell its pool, without a handle: the worker is the thread's own.
//!
//! It is for calls that [answer](crate::CallContext::answer) before they end. The rest of such a call goes
//! at the pace of whoever reads it, which may be slow for good reasons; the patrol must not take it for a
//! library that hangs, and must still see one that does.

use super::core::Core;
use super::record::Record;
use std::cell::RefCell;
use std::sync::Arc;
use std::time::Instant;

thread_local! {
    static HERE: RefCell<Option<(Arc<Core>, usize)>> = const { RefCell::new(None) };
}

/// This thread is a worker for as long as this lives.
pub(super) struct Here(());

impl Drop for Here {
    fn drop(&mut self) {
        HERE.take();
    }
}

/// This thread becomes worker `index` of the pool.
pub(super) fn enter(core: &Arc<Core>, index: usize) -> Here {
    HERE.set(Some((Arc::clone(core), index)));
    Here(())
}

/// Does something to the worker's record; nothing on a thread that is no worker.
fn with_record<T>(act: impl FnOnce(&Record) -> T) -> Option<T> {
    HERE.with_borrow(|here| {
        let (core, index) = here.as_ref()?;
        Some(act(core.counters.of(*index)))
    })
}

/// When the call on this thread began.
pub(super) fn call_began() -> Option<Instant> {
    with_record(Record::began).flatten()
}

/// The call on this thread has given its outcome, and goes on.
pub(super) fn call_answered() {
    with_record(Record::goes_on);
}

/// Says that the call on this thread gets on with what it does after its outcome: if the next part does not
/// come within [`stuck_after`](crate::PoolBuilder::stuck_after) the call counts as stuck. On a thread
/// that is no worker, and in a call that has not answered, it does nothing.
pub fn part_done() {
    with_record(|record| {
        if record.is_answered() {
            record.goes_on();
        }
    });
}

/// Waits, by `wait`, until whoever reads what the call on this thread does after its outcome has taken some
/// of it. Meanwhile the call is not stuck, however long that takes: whoever waits must see to it that the
/// wait ends.
pub fn wait_for_reader<T>(wait: impl FnOnce() -> T) -> T {
    with_record(|record| {
        if record.is_answered() {
            record.waits();
        }
    });
    let waited = wait();
    part_done();
    waited
}
