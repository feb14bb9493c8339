//! Tasks of a loop: `!Send` futures that are polled on the loop's thread only.

use super::letter::Letter;
use super::local::Local;
use super::shared::Shared;
use crate::inbox::chain::Node;
use async_task::Runnable;
use std::fmt;
use std::future::Future;
use std::mem::ManuallyDrop;
use std::pin::Pin;
use std::ptr::{self, NonNull};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::AtomicPtr;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};

/// A task that is due to be polled.
pub(crate) type Due = Runnable<Link>;

/// A task's place in an inbox, inside the task's own allocation: waking a task from another
/// thread allocates nothing.
#[derive(Debug)]
pub(crate) struct Link {
    next: AtomicPtr<()>,
    /// What the task's own wakers point to; null for a task that nobody wakes.
    waker: AtomicPtr<()>,
    /// Whether the task's future must be dropped on the loop's thread.
    is_local: bool,
}

impl Link {
    /// For a task whose future never leaves its loop.
    pub(super) fn local() -> Self {
        Self {
            next: AtomicPtr::new(ptr::null_mut()),
            waker: AtomicPtr::new(ptr::null_mut()),
            is_local: true,
        }
    }

    /// What the task's own wakers point to, which tells them from those of executors inside it.
    pub(super) fn waker(&self) -> *const () {
        // Relaxed: set and read on the loop's thread.
        self.waker.load(Relaxed)
    }

    /// For a task whose future is `Send`.
    pub(super) fn send() -> Self {
        Self {
            is_local: false,
            ..Self::local()
        }
    }
}

// SAFETY: a `Runnable` is unique per task and is its own handle: `into_raw`/`from_raw` give up and
// take back that handle, whose pointer is aligned to at least a word. The link lives in the task,
// which the handle keeps alive, and is only used here. `Runnable<Link>` is `Send`.
unsafe impl Node for Due {
    fn into_raw(self) -> NonNull<()> {
        Runnable::into_raw(self)
    }

    unsafe fn from_raw(raw: NonNull<()>) -> Self {
        // SAFETY: the caller promises that `raw` came from `into_raw` and is taken back once.
        unsafe { Runnable::from_raw(raw) }
    }

    unsafe fn set_next(raw: NonNull<()>, next: *mut ()) {
        // SAFETY: the caller promises that `raw` is a given-up handle; `ManuallyDrop` keeps this
        // second look at it from ending it.
        let due = ManuallyDrop::new(unsafe { Runnable::<Link>::from_raw(raw) });
        // Relaxed: the chain's own word publishes it.
        due.metadata().next.store(next, Relaxed);
    }

    unsafe fn next(raw: NonNull<()>) -> *mut () {
        // SAFETY: as in `set_next`.
        let due = ManuallyDrop::new(unsafe { Runnable::<Link>::from_raw(raw) });
        // Relaxed: as in `set_next`.
        due.metadata().next.load(Relaxed)
    }
}

/// A handle to a spawned task: await it for the task's output. Dropping it lets the task go on.
#[must_use = "await it, `detach` it or keep it; to be explicit that nobody waits, call `detach`"]
pub struct Task<T>(Option<async_task::Task<T, Link>>);

impl<T> Task<T> {
    /// Lets the task go on by itself.
    pub fn detach(mut self) {
        if let Some(task) = self.0.take() {
            task.detach();
        }
    }

    /// Drops the task's future at its next turn, and with it the calls that it awaits.
    pub fn cancel(mut self) {
        drop(self.0.take());
    }

    /// Whether the task has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.0.as_ref().is_none_or(async_task::Task::is_finished)
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        if let Some(task) = self.0.take() {
            task.detach();
        }
    }
}

impl<T> Future for Task<T> {
    type Output = T;

    /// # Panics
    ///
    /// With the task's own panic, if it panicked.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        match &mut self.0 {
            Some(task) => Pin::new(task).poll(context),
            None => Poll::Pending,
        }
    }
}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task")
            .field("finished", &self.is_finished())
            .finish()
    }
}

/// Starts a task on the loop of this thread.
pub(super) fn spawn<F>(local: &Rc<Local>, future: F) -> Task<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    let registration = TaskRegistration {
        key: local.tasks.borrow_mut().insert(None),
        local: Rc::downgrade(local),
    };
    let key = registration.key;
    let future = async move {
        let _registration = registration;
        future.await
    };
    let (due, task) = async_task::Builder::new()
        .propagate_panic(true)
        .metadata(Link::local())
        .spawn_local(|_| future, schedule(local.shared()));
    let waker = due.waker();
    // Relaxed: set and read on the loop's thread.
    due.metadata().waker.store(waker.data().cast_mut(), Relaxed);
    local.tasks.borrow_mut()[key] = Some(waker);
    due.schedule();
    Task(Some(task))
}

/// How a task gets back to its loop: through the local queue on the loop's own thread, through
/// the inbox from any other.
pub(super) fn schedule(shared: &Arc<Shared>) -> impl Fn(Due) + Send + Sync + 'static {
    let shared = Arc::clone(shared);
    move |due| {
        if let Some(due) = super::local::push_if_current(&shared, due)
            && let Err(Letter::Task(orphan)) = shared.mailbox().push(Letter::Task(due))
        {
            if orphan.metadata().is_local {
                // This thread was held up in the middle of a wake for longer than the loop
                // waited when it ended. The future must not be dropped here, so it is leaked.
                tracing::error!("a task was woken while its loop ended, and is leaked");
                std::mem::forget(orphan);
            } else {
                drop(orphan);
            }
        }
    }
}

/// Keeps a task's waker with the loop while its future lives, so that the loop can drop it.
struct TaskRegistration {
    key: usize,
    local: Weak<Local>,
}

impl Drop for TaskRegistration {
    fn drop(&mut self) {
        if let Some(local) = self.local.upgrade() {
            let waker = local.tasks.borrow_mut().try_remove(self.key);
            drop(waker);
        }
    }
}
