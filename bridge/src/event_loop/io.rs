//! Readiness of sockets and foreign file descriptors, edge-triggered by `mio`.

use super::local::{self, Local};
use crate::quiet::wake_quietly;
use crate::wake::WakeFd;
use mio::event::{Event, Source};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use slab::Slab;
use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::rc::{Rc, Weak};
use std::task::{self, Context, Waker};
use std::time::Duration;

/// Events taken per turn; the rest comes with the next.
const EVENTS_PER_TURN: usize = 1024;

/// The wake fd's token; sources count from 0 and never get there.
const WAKE: Token = Token(usize::MAX);

/// One direction of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Bytes to read, a connection to accept, or the end of the stream.
    Read,
    /// Room to write, or an error.
    Write,
}

/// What the loop knows of one registered source.
#[derive(Debug)]
struct Readiness {
    /// Distinguishes this source from earlier ones with the same index.
    generation: u32,
    ready: [Cell<bool>; 2],
    /// The peer has ended its side, or the connection is broken.
    read_closed: Cell<bool>,
    waiters: [RefCell<Waiters>; 2],
}

/// More tasks than this on one direction of one source are woken early, to ask again.
const OTHERS_MAX: usize = 16;

/// The tasks that wait for one direction: nearly always one.
#[derive(Debug, Default)]
struct Waiters {
    one: Option<Waker>,
    others: Vec<Waker>,
}

impl Waiters {
    fn knows(&self, waker: &Waker) -> bool {
        self.one
            .iter()
            .chain(&self.others)
            .any(|known| known.will_wake(waker))
    }

    /// Adds a task; gives those that have to ask again for lack of room.
    fn add(&mut self, waker: Waker) -> Vec<Waker> {
        if self.one.is_none() {
            self.one = Some(waker);
            return Vec::new();
        }
        let asked_again = if self.others.len() == OTHERS_MAX {
            std::mem::take(&mut self.others)
        } else {
            Vec::new()
        };
        self.others.push(waker);
        asked_again
    }
}

impl Readiness {
    fn note(&self, direction: Direction) {
        self.ready[direction as usize].set(true);
        let waiters = std::mem::take(&mut *self.waiters[direction as usize].borrow_mut());
        waiters
            .one
            .into_iter()
            .chain(waiters.others)
            .for_each(wake_quietly);
    }

    fn note_event(&self, event: &Event) {
        let broken = event.is_error();
        if event.is_read_closed() || broken {
            self.read_closed.set(true);
        }
        if event.is_readable() || event.is_read_closed() || broken {
            self.note(Direction::Read);
        }
        if event.is_writable() || event.is_write_closed() || broken {
            self.note(Direction::Write);
        }
    }
}

/// The loop's `mio::Poll` and the sources it watches.
pub(super) struct Driver {
    poll: RefCell<Poll>,
    events: RefCell<Events>,
    sources: RefCell<Slab<Rc<Readiness>>>,
    generation: Cell<u32>,
}

impl Driver {
    pub(super) fn new(wake: &WakeFd) -> io::Result<Self> {
        fault_point!(PollNew);
        let poll = Poll::new()?;
        let wake = wake.as_fd().as_raw_fd();
        fault_point!(PollAdd);
        poll.registry()
            .register(&mut SourceFd(&wake), WAKE, Interest::READABLE)?;
        Ok(Self {
            poll: poll.into(),
            events: Events::with_capacity(EVENTS_PER_TURN).into(),
            sources: RefCell::default(),
            generation: Cell::new(0),
        })
    }

    /// Waits for events for at most `timeout` (`None`: for ever) and wakes their tasks; whether
    /// there were any.
    pub(super) fn turn(&self, timeout: Option<Duration>) -> io::Result<bool> {
        let mut events = self.events.borrow_mut();
        match self.poll.borrow_mut().poll(&mut events, timeout) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            Err(_) => return Ok(false),
            Ok(()) => {}
        }
        let mut came = false;
        for event in events.iter().filter(|event| event.token() != WAKE) {
            came = true;
            let (index, generation) = unpack(event.token());
            let source = self.sources.borrow().get(index).cloned();
            // An event of a source that has just gone must not touch the one that took its place.
            if let Some(source) = source.filter(|source| source.generation == generation) {
                source.note_event(event);
            }
        }
        Ok(came)
    }

    fn add(
        &self,
        source: &mut dyn Source,
        interest: Interest,
    ) -> io::Result<(Token, Rc<Readiness>)> {
        let generation = self.generation.get().wrapping_add(1) & GENERATIONS;
        self.generation.set(generation);
        let readiness = Rc::new(Readiness {
            generation,
            ready: Default::default(),
            read_closed: Cell::new(false),
            waiters: Default::default(),
        });
        let index = self.sources.borrow_mut().insert(Rc::clone(&readiness));
        let token = pack(index, generation);
        match self.watch(source, token, interest) {
            Ok(()) => Ok((token, readiness)),
            Err(error) => {
                self.sources.borrow_mut().remove(index);
                Err(error)
            }
        }
    }

    fn watch(&self, source: &mut dyn Source, token: Token, interest: Interest) -> io::Result<()> {
        fault_point!(PollAdd);
        let poll = self.poll.borrow();
        poll.registry().register(source, token, interest)
    }

    fn forget(&self, source: &mut dyn Source) -> io::Result<()> {
        fault_point!(PollRemove);
        self.poll.borrow().registry().deregister(source)
    }
}

const INDEX_BITS: u32 = 32;
/// One bit less than there is room for, so that no source has the wake fd's token.
const GENERATIONS: u32 = u32::MAX >> 1;

fn pack(index: usize, generation: u32) -> Token {
    Token((generation as usize) << INDEX_BITS | index)
}

fn unpack(token: Token) -> (usize, u32) {
    let index = token.0 & ((1 << INDEX_BITS) - 1);
    (index, (token.0 >> INDEX_BITS) as u32)
}

/// A source's place in its loop. The owner deregisters it before the fd is closed.
#[derive(Debug)]
pub(super) struct Registration {
    local: Weak<Local>,
    token: Token,
    readiness: Rc<Readiness>,
}

impl Registration {
    pub(super) fn new(source: &mut dyn Source, interest: Interest) -> io::Result<Self> {
        let local = local::try_current().ok_or_else(|| {
            io::Error::other("no event loop runs on this thread: make sockets in a task of a loop")
        })?;
        let (token, readiness) = local.driver.add(source, interest)?;
        Ok(Self {
            local: Rc::downgrade(&local),
            token,
            readiness,
        })
    }

    /// Ready when the source may be ready; try it, and [`clear`](Self::clear) when it was not.
    ///
    /// A task that finds ready sources without end is told to wait once its share of the turn is
    /// used up, and woken at once: timers and other tasks come in between.
    pub(super) fn poll_ready(&self, direction: Direction, context: &Context<'_>) -> task::Poll<()> {
        if self.readiness.ready[direction as usize].get() {
            if self.spend() {
                return task::Poll::Ready(());
            }
            context.waker().wake_by_ref();
            return task::Poll::Pending;
        }
        self.leave_waker(direction, context);
        task::Poll::Pending
    }

    /// Ready once the peer has ended its side, whatever is still to be read. Every edge of the
    /// read direction wakes the task, since its end comes as one.
    pub(super) fn poll_read_closed(&self, context: &Context<'_>) -> task::Poll<()> {
        if self.readiness.read_closed.get() {
            return task::Poll::Ready(());
        }
        self.leave_waker(Direction::Read, context);
        task::Poll::Pending
    }

    fn leave_waker(&self, direction: Direction, context: &Context<'_>) {
        let waiters = &self.readiness.waiters[direction as usize];
        if !waiters.borrow().knows(context.waker()) {
            // Cloned and dropped with nothing borrowed: both are foreign code.
            let waker = context.waker().clone();
            let asked_again = waiters.borrow_mut().add(waker);
            asked_again.into_iter().for_each(wake_quietly);
        }
    }

    /// Takes one of the uses that the running task has left in this turn.
    fn spend(&self) -> bool {
        let Some(local) = self.local.upgrade() else {
            return true;
        };
        let left = local.budget.get();
        local.budget.set(left.saturating_sub(1));
        left > 0
    }

    /// The source would block: wait for the next edge.
    pub(super) fn clear(&self, direction: Direction) {
        self.readiness.ready[direction as usize].set(false);
    }

    /// The source gave less than was asked for, so its next try would block; not so once its end
    /// was seen, for which there is no further edge.
    pub(super) fn clear_after_partial(&self, direction: Direction) {
        if direction == Direction::Write || !self.readiness.read_closed.get() {
            self.clear(direction);
        }
    }

    pub(super) fn is_read_closed(&self) -> bool {
        self.readiness.read_closed.get()
    }

    /// Changes the interest, or repeats it: the OS then reports readiness that is already there.
    pub(super) fn rearm(&self, source: &mut dyn Source, interest: Interest) -> io::Result<()> {
        let Some(local) = self.local.upgrade() else {
            return Ok(());
        };
        fault_point!(PollModify);
        let poll = local.driver.poll.borrow();
        poll.registry().reregister(source, self.token, interest)
    }

    pub(super) fn remove(&self, source: &mut dyn Source) {
        let Some(local) = self.local.upgrade() else {
            return;
        };
        // An fd that the library has closed already is gone from the poll as well.
        let _ = local.driver.forget(source);
        let (index, generation) = unpack(self.token);
        let mut sources = local.driver.sources.borrow_mut();
        if sources
            .get(index)
            .is_some_and(|source| source.generation == generation)
        {
            drop(sources.remove(index));
        }
    }
}
