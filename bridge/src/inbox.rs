//! The loop's many-producer queue with its wake fd: how anything gets back onto a loop.
//!
//! Any thread, also one that a foreign library made, [sends](Sender::send); the loop's thread
//! [drains](Inbox::drain). At most one `eventfd` write is made per sleep of the loop and the fd
//! carries no data, so it can never fill. [`EventLoop`](crate::EventLoop) has one inside; on its own
//! an [`Inbox`] is a [`mio::event::Source`] and, through [`AsFd`], works with any loop that can
//! watch a file descriptor:
//!
//! ```
//! use mio::{Events, Interest, Poll, Token};
//!
//! let mut poll = Poll::new()?;
//! let (mut inbox, sender) = pontoon_bridge::inbox::<String>()?;
//! poll.registry().register(&mut inbox, Token(0), Interest::READABLE)?;
//!
//! std::thread::spawn(move || sender.send("from a foreign thread".to_owned()));
//!
//! let mut events = Events::with_capacity(16);
//! let mut got = Vec::new();
//! while got.is_empty() {
//!     poll.poll(&mut events, None)?;
//!     inbox.drain(256, |message| got.push(message));
//! }
//! assert_eq!(got, ["from a foreign thread"]);
//! # Ok::<(), std::io::Error>(())
//! ```

pub(crate) mod chain;
pub(crate) mod envelope;

use crate::spin::{Patience, Spin};
use crate::visits::{Tended, Visits};
use crate::wake::WakeFd;
use chain::{Chain, Node, Pushed, Taken};
use envelope::Envelope;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token, event};
use std::cell::RefCell;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Instant;

/// What producers and the consumer share: the chain and the wake fd.
///
/// Producers hold it by `Arc`, so the fd outlives a push that is under way while the loop goes
/// (libuv#2226 freed it between the two).
#[derive(Debug)]
pub(crate) struct Mailbox<N: Node> {
    chain: Chain<N>,
    wake: WakeFd,
    rings: AtomicU64,
    /// The last ring failed.
    mute: AtomicBool,
}

impl<N: Node> Mailbox<N> {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            chain: Chain::new(),
            wake: WakeFd::new()?,
            rings: AtomicU64::new(0),
            mute: AtomicBool::new(false),
        })
    }

    /// Adds a node and rings if the consumer sleeps; any thread. Says which of the two it was.
    ///
    /// # Errors
    ///
    /// Gives the node back when the consumer is gone.
    pub(crate) fn push(&self, node: N) -> Result<Pushed, N> {
        let pushed = self.chain.push(node)?;
        if pushed == Pushed::WakeOwed || self.is_mute() {
            self.ring();
        }
        Ok(pushed)
    }

    fn ring(&self) {
        // Relaxed: a statistic.
        self.rings.fetch_add(1, Relaxed);
        match self.wake.ring() {
            Ok(()) if self.is_mute() => {
                // Relaxed: as in `is_mute`.
                self.mute.store(false, Relaxed);
                tracing::warn!("the wake fd of an event loop can be written again");
            }
            Ok(()) => {}
            Err(error) => self.ring_failed(&error),
        }
    }

    #[cold]
    fn ring_failed(&self, error: &io::Error) {
        // Relaxed: as in `is_mute`.
        if !self.mute.swap(true, Relaxed) {
            tracing::error!(
                %error,
                "the wake fd of an event loop cannot be written, so the loop looks for messages now and \
                 then instead: does a library close descriptors that are not its own?"
            );
        }
    }

    /// Whether the last ring failed. Then each push tries again, and the consumer must not sleep for
    /// long: the nodes are here, but nobody may have told it.
    pub(crate) fn is_mute(&self) -> bool {
        // Relaxed: a hint that orders nothing. Who reads it too late rings, or looks, one time later;
        // the consumer's sleep is bounded whatever it says.
        self.mute.load(Relaxed)
    }

    /// The protocol's consumer side.
    pub(crate) fn chain(&self) -> &Chain<N> {
        &self.chain
    }

    pub(crate) fn wake_fd(&self) -> &WakeFd {
        &self.wake
    }

    /// Writes to the wake fd so far.
    pub(crate) fn rings(&self) -> u64 {
        // Relaxed: a statistic.
        self.rings.load(Relaxed)
    }
}

/// Makes an inbox and its first sender.
///
/// # Errors
///
/// When the process has no file descriptor left for the wake fd.
pub fn inbox<T: Send>() -> io::Result<(Inbox<T>, Sender<T>)> {
    let mailbox = Arc::new(Mailbox::new()?);
    mailbox.chain.arm();
    let sender = Sender {
        mailbox: Arc::clone(&mailbox),
    };
    Ok((
        Inbox {
            mailbox,
            rest: Taken::empty(),
            visits: RefCell::default(),
            patience: Patience::of_a_loop(Spin::Off),
            armed: true,
        },
        sender,
    ))
}

/// The receiving end; lives on the loop's thread. See the [module](self).
#[derive(Debug)]
pub struct Inbox<T: Send> {
    mailbox: Arc<Mailbox<Envelope<T>>>,
    /// Taken from the chain, not yet handled.
    rest: Taken<Envelope<T>>,
    /// The pools that were asked to answer here since it was last armed.
    visits: RefCell<Visits>,
    patience: Patience,
    /// Armed, and nothing taken since.
    armed: bool,
}

impl<T: Send> Inbox<T> {
    /// Handles at most `limit` messages, oldest first per sender; returns how many.
    ///
    /// Call it after every return of `poll`, whatever the events were, and let no `poll` wait without a limit:
    /// should a library close the inbox's descriptor, as one that closes its own twice may, messages still come. It leaves the inbox armed:
    /// the next message makes the fd readable. If messages are left over it rings itself, so the
    /// next `poll` returns at once and sockets and timers get their turn in between.
    pub fn drain(&mut self, limit: usize, handle: impl FnMut(T)) -> usize {
        let inbox = ArmedAgain(self);
        inbox.0.drain_disarmed(limit, handle)
    }

    /// As [`drain`](Self::drain), but leaves the inbox disarmed: senders write nothing until
    /// [`arm`](Self::arm). For a loop that arms just before it sleeps and so pays no write while
    /// it runs.
    pub fn drain_disarmed(&mut self, limit: usize, mut handle: impl FnMut(T)) -> usize {
        self.mailbox.wake.acknowledge_edge();
        self.look_at_pools();
        let mut handled = 0;
        while handled < limit {
            if self.rest.is_empty() {
                self.rest = self.mailbox.chain.take();
                self.armed = false;
            }
            let Some(envelope) = self.rest.next() else {
                break;
            };
            handled += 1;
            handle(envelope.open());
        }
        handled
    }

    /// Says that the loop is about to sleep: from now on a message rings the fd. False when
    /// messages wait: poll without sleeping and drain.
    ///
    /// With [`spin`](Self::spin) it looks again for a moment first.
    #[must_use = "when it is false the loop must not sleep"]
    pub fn arm(&mut self) -> bool {
        if !self.rest.is_empty() {
            return false;
        }
        self.look_at_pools();
        let crowding = self.visits.get_mut().crowding();
        let came = || self.mailbox.chain.is_waiting();
        if self.patience.wait(crowding, None, came, || false) {
            return false;
        }
        self.visits.get_mut().leave();
        self.armed = self.mailbox.chain.arm();
        self.armed
    }

    /// How long [`arm`](Self::arm) may look for messages again before the loop sleeps; default
    /// [`Spin::Off`], since it delays the loop's sockets and timers for as long.
    #[must_use]
    pub fn spin(mut self, spin: Spin) -> Self {
        self.patience = Patience::of_a_loop(spin);
        self
    }

    /// Where workers send.
    pub(crate) fn outlet(&self) -> Arc<Mailbox<Envelope<T>>> {
        Arc::clone(&self.mailbox)
    }

    /// Notes a call whose outcome comes here. This loop looks after the pool while it is awake; once
    /// it is armed it may sleep without another look.
    pub(crate) fn look_after<P: Tended + 'static>(&self, pool: &Arc<P>) {
        if self.armed {
            pool.work_was_queued();
        } else {
            self.visits.borrow_mut().submitted(pool);
        }
    }

    fn look_at_pools(&mut self) {
        let visits = self.visits.get_mut();
        if !visits.is_empty() {
            visits.turn_ended(Instant::now());
        }
    }

    /// Makes the fd unreadable again. Only loops that watch it level-triggered need this, before
    /// they drain; mio, tokio's `AsyncFd` and other edge-triggered ones do not.
    pub fn acknowledge(&mut self) {
        self.mailbox.wake.acknowledge();
    }

    /// Writes to the wake fd so far.
    #[must_use]
    pub fn wake_writes(&self) -> u64 {
        self.mailbox.rings()
    }
}

/// Arms the inbox again when its drain ends, also when it ends by a handler's panic: otherwise a
/// loop that survives the panic would sleep while messages wait.
struct ArmedAgain<'inbox, T: Send>(&'inbox mut Inbox<T>);

impl<T: Send> Drop for ArmedAgain<'_, T> {
    fn drop(&mut self) {
        if !self.0.arm() {
            self.0.mailbox.ring();
        }
    }
}

impl<T: Send> Drop for Inbox<T> {
    fn drop(&mut self) {
        drop(self.mailbox.chain.close());
    }
}

impl<T: Send> AsFd for Inbox<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.mailbox.wake.as_fd()
    }
}

impl<T: Send> event::Source for Inbox<T> {
    fn register(
        &mut self,
        registry: &Registry,
        token: Token,
        interests: Interest,
    ) -> io::Result<()> {
        fault_point!(PollAdd);
        SourceFd(&self.as_fd().as_raw_fd()).register(registry, token, interests)
    }

    fn reregister(
        &mut self,
        registry: &Registry,
        token: Token,
        interests: Interest,
    ) -> io::Result<()> {
        fault_point!(PollModify);
        SourceFd(&self.as_fd().as_raw_fd()).reregister(registry, token, interests)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        fault_point!(PollRemove);
        SourceFd(&self.as_fd().as_raw_fd()).deregister(registry)
    }
}

/// The sending end; any thread, cheap to clone.
#[derive(Debug)]
pub struct Sender<T: Send> {
    pub(crate) mailbox: Arc<Mailbox<Envelope<T>>>,
}

impl<T: Send> Sender<T> {
    /// Puts a message into the inbox and wakes the loop if it sleeps. Never blocks.
    ///
    /// # Errors
    ///
    /// Gives the message back when the inbox is gone.
    pub fn send(&self, message: T) -> Result<(), Closed<T>> {
        self.mailbox
            .push(Envelope::letter(message))
            .map(drop)
            .map_err(|envelope| Closed(envelope.open()))
    }
}

impl<T: Send> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self {
            mailbox: Arc::clone(&self.mailbox),
        }
    }
}

/// The inbox is gone; here is the message back.
#[derive(Debug, thiserror::Error)]
#[error("the inbox is gone: its event loop has ended, so the message was not sent")]
pub struct Closed<T>(pub T);

#[cfg(test)]
mod tests;
