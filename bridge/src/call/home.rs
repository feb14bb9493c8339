//! How an outcome gets home: through the inbox of the loop that waits for it, or by a plain waker.

use super::slot::Owed;
use crate::event_loop;
use crate::inbox::chain::Pushed;
use crate::inbox::envelope::{Envelope, Shared};
use crate::quiet::wake_quietly;
use std::any::Any;
use std::fmt;
use std::ptr;
use std::sync::Arc;

/// The loop on which a waker is best called: its tasks' state is in that CPU's cache.
pub(crate) type Home = Arc<event_loop::Shared>;

/// Keeps the inbox alive to which this thread sent last. While an outcome is pushed its cell may be
/// gone already, and the inbox with it (libuv#2226); a count on each push would bounce between
/// threads.
#[derive(Default)]
pub(crate) struct Posts(Option<Arc<dyn Any + Send + Sync>>);

impl Posts {
    pub(crate) fn keep<M: Any + Send + Sync>(&mut self, inbox: &Arc<M>) -> &M {
        let is_kept =
            |kept: &Arc<dyn Any + Send + Sync>| ptr::addr_eq(Arc::as_ptr(kept), Arc::as_ptr(inbox));
        if !self.0.as_ref().is_some_and(is_kept) {
            self.0 = Some(Arc::clone(inbox) as Arc<dyn Any + Send + Sync>);
        }
        self.0
            .as_deref()
            .and_then(<dyn Any + Send + Sync>::downcast_ref)
            .expect("one address holds one type while it is kept alive")
    }

    /// Keeps nothing any more; before a long pause.
    pub(crate) fn let_go(&mut self) {
        self.0 = None;
    }
}

impl fmt::Debug for Posts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Posts").field(&self.0.is_some()).finish()
    }
}

/// Wakes whoever waits for a completed call; any thread. The cell is the completing side's own
/// share, which travels home with the outcome and so is given back on the loop's thread.
///
/// Says how the loop was found; of other executors nobody knows, so they count as awake.
pub(crate) fn settle<C: Shared<()>>(cell: Arc<C>, owed: Owed<&event_loop::Shared>) -> Pushed {
    match owed {
        Owed::Nothing => {}
        Owed::Wake(waker) => wake_quietly(waker),
        Owed::Deliver(home) => match home.deliver(Envelope::new(cell)) {
            Ok(pushed) => return pushed,
            // The loop is gone; whoever waits may be elsewhere by now.
            Err(orphan) => orphan.open(),
        },
    }
    Pushed::Quiet
}
