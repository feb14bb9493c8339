//! What the two ends of a body share: the bytes between them, and who waits for whom.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use pontoon_bridge::pool::wait_for_reader;

use super::{CutShort, Gone};

/// Between a body's producer and whoever sends it.
///
/// The lock is held for a few instructions: nobody is woken under it, and no chunk is dropped. The one
/// who is behind waits, the loop by its task's waker, a worker on the condition variable; the other
/// one wakes it once for each wait. So the loop's eventfd is written at most once for each of its sleeps.
#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    /// A producer that blocks waits here.
    room: Condvar,
    /// With so many bytes between the ends the producer waits, until half of them are left.
    max_bytes: usize,
}

#[derive(Debug, Default)]
struct State {
    chunks: VecDeque<Bytes>,
    bytes: usize,
    end: Option<End>,
    /// Nobody reads any more.
    is_closed: bool,
    /// Whoever reads has found nothing, and waits.
    reader: Option<Waker>,
    /// A task that produces waits for room; it also wants to know when nobody reads any more.
    task: Option<Waker>,
    /// A thread that produces waits for room.
    is_blocked: bool,
}

/// How a body ended.
#[derive(Debug)]
pub(super) enum End {
    Whole,
    /// What the log is to say of it, if there is anything.
    Cut(Option<String>),
}

impl Shared {
    pub(super) fn new(max_bytes: usize) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            room: Condvar::new(),
            max_bytes,
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().is_closed
    }

    pub(super) fn is_full(&self) -> bool {
        self.lock().bytes >= self.max_bytes
    }

    /// Adds a chunk; waits for room first, on this thread.
    pub(super) fn push_blocking(&self, chunk: Bytes) -> Result<(), Gone> {
        if self.is_full() {
            wait_for_reader(|| self.wait_for_room());
        }
        self.push(chunk)
    }

    fn wait_for_room(&self) {
        let mut state = self.lock();
        while !state.is_closed && state.bytes > self.max_bytes / 2 {
            state.is_blocked = true;
            let woken = self.room.wait(state);
            state = woken.unwrap_or_else(PoisonError::into_inner);
        }
        state.is_blocked = false;
    }

    /// Adds a chunk, whether there is room or not.
    pub(super) fn push(&self, chunk: Bytes) -> Result<(), Gone> {
        let mut state = self.lock();
        if state.is_closed {
            drop(state);
            return Err(Gone);
        }
        state.bytes += cost_bytes(&chunk);
        state.chunks.push_back(chunk);
        let reader = state.reader.take();
        drop(state);
        wake(reader);
        Ok(())
    }

    /// Ready when a task may add a chunk. The task is woken then, and when nobody reads any more.
    pub(super) fn poll_room(&self, context: &Context<'_>) -> Poll<Result<(), Gone>> {
        // Cloned before: a waker is code of an executor's.
        let task = context.waker().clone();
        let mut state = self.lock();
        if state.is_closed {
            return Poll::Ready(Err(Gone));
        }
        let before = state.task.replace(task);
        let has_room = state.bytes < self.max_bytes;
        drop(state);
        drop(before);
        if has_room {
            Poll::Ready(Ok(()))
        } else {
            Poll::Pending
        }
    }

    /// Nothing more comes; the first end counts.
    pub(super) fn end(&self, end: End) {
        let mut state = self.lock();
        let unused = if state.end.is_none() {
            state.end.replace(end)
        } else {
            Some(end)
        };
        let reader = state.reader.take();
        drop(state);
        drop(unused);
        wake(reader);
    }

    /// The next chunk, or how the body ended.
    pub(super) fn poll_chunk(
        &self,
        context: &Context<'_>,
    ) -> Poll<Option<Result<Bytes, CutShort>>> {
        if let Poll::Ready(taken) = self.take() {
            return Poll::Ready(taken);
        }
        let waker = context.waker().clone();
        let before = self.lock().reader.replace(waker);
        drop(before);
        // Whatever came before the waker was there has woken nobody.
        self.take()
    }

    fn take(&self) -> Poll<Option<Result<Bytes, CutShort>>> {
        let mut state = self.lock();
        let Some(chunk) = state.chunks.pop_front() else {
            return match &mut state.end {
                None => Poll::Pending,
                Some(End::Whole) => Poll::Ready(None),
                Some(End::Cut(reason)) => Poll::Ready(Some(Err(CutShort(reason.take())))),
            };
        };
        state.bytes -= cost_bytes(&chunk);
        let mut is_blocked = false;
        let mut task = None;
        if state.bytes <= self.max_bytes / 2 {
            is_blocked = mem::take(&mut state.is_blocked);
            task = state.task.take();
        }
        drop(state);
        if is_blocked {
            self.room.notify_one();
        }
        wake(task);
        Poll::Ready(Some(Ok(chunk)))
    }

    /// Nobody reads any more; whether there was still something to come.
    pub(super) fn close(&self) -> bool {
        let mut state = self.lock();
        state.is_closed = true;
        let is_blocked = mem::take(&mut state.is_blocked);
        let is_unfinished = state.end.is_none();
        let chunks = mem::take(&mut state.chunks);
        state.bytes = 0;
        let (reader, task) = (state.reader.take(), state.task.take());
        drop(state);
        drop((chunks, reader));
        if is_blocked {
            self.room.notify_one();
        }
        wake(task);
        is_unfinished
    }
}

/// What a chunk counts for. Not only its bytes: of empty ones there must not be any number either.
fn cost_bytes(chunk: &Bytes) -> usize {
    chunk.len() + CHUNK_COST_BYTES
}

/// What a chunk takes beside its bytes, roughly.
const CHUNK_COST_BYTES: usize = 64;

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}
