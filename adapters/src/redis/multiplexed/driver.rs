//! The task that has the connection: connects, sends what waits, hands out the replies.
//!
//! It begins with a request and ends with its connection, or when that cannot be made. While it is
//! connected it always reads, so it learns at once that the server has gone.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread;
use std::time::{Duration, Instant};

use pontoon_bridge::event_loop::{Timer, timeout};
use pontoon_bridge::{Call, call};
use redis::Value;

use super::super::Redis;
use super::super::failure::Broken;
use super::super::handshake::Handshake;
use super::super::server::Prepared;
use super::Shared;
use super::link::Link;
use crate::Error;

/// Reads before other tasks have their turn.
const READS_PER_TURN: usize = 32;

/// More bytes of a reply than its JSON could have: lengths and types.
pub(super) const OVERHEAD_BYTES: usize = 64 * 1024;

/// A lookup that is under way.
pub(super) type Lookup = Call<io::Result<Prepared>>;

/// Connects and serves, until nothing is left to be done on a connection that has ended.
pub(super) async fn drive(shared: Rc<Shared>) {
    // Whatever ends this, nobody waits for it any more.
    let ending = Ending(&shared);
    loop {
        shared.is_retiring.set(false);
        let limit = shared.config.connect_timeout;
        let link = match connect_within(&shared.config, &shared.lookup, limit).await {
            Ok(link) => link,
            Err(broken) => break ending.down(broken),
        };
        let mut serving = Serving::new(&shared, link);
        let ended = poll_fn(|context| serving.poll(context)).await;
        let has_answered = serving.has_answered;
        drop(serving);
        if let Err(broken) = ended {
            let has_work = shared.queue.has_sent() || shared.queue.has_waiting();
            shared.queue.fail_sent(&broken);
            if !has_answered && has_work && broken.is_of_server() {
                // It lets us in and then does nothing: do not try again at once.
                break ending.down(broken);
            }
        }
        if !shared.queue.has_waiting() {
            break;
        }
    }
}

/// Ends what still waits when the driver does.
struct Ending<'s>(&'s Shared);

impl Ending<'_> {
    /// The server cannot be used: everybody is told, and nobody tries again for a while.
    fn down(&self, broken: Broken) {
        self.0
            .health
            .borrow_mut()
            .failed(broken.clone(), Instant::now());
        self.0.queue.fail_all(&broken);
    }
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0
            .queue
            .fail_all(&Broken::io(io::ErrorKind::ConnectionAborted.into()));
    }
}

/// Why there is no connection.
enum Refused {
    Broken(Broken),
    /// The server said so.
    Said(Error),
}

impl From<Broken> for Refused {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

/// A connection, ready for commands.
pub(super) async fn connect_within(
    config: &Arc<Redis>,
    lookup: &RefCell<Option<Lookup>>,
    limit: Duration,
) -> Result<Link, Broken> {
    match timeout(limit, connect(config, lookup)).await {
        Ok(Ok(link)) => Ok(link),
        Ok(Err(Refused::Broken(broken))) => Err(broken),
        Ok(Err(Refused::Said(error))) => Err(Broken::from_error(error)),
        Err(_) => {
            let late = io::ErrorKind::TimedOut.into();
            Err(Broken::unreachable(&config.server, &late))
        }
    }
}

async fn connect(config: &Arc<Redis>, lookup: &RefCell<Option<Lookup>>) -> Result<Link, Refused> {
    let server = &config.server;
    let unreachable = |error: io::Error| Broken::unreachable(server, &error);
    let connecting = |broken: Broken| broken.while_connecting(server);
    let prepared = poll_fn(|context| poll_lookup(config, lookup, context));
    let prepared = prepared.await.map_err(unreachable)?;
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for place in &prepared.places {
        match Link::connect(place, server).await {
            Ok(mut link) => {
                let mut handshake = Handshake::new(server, &prepared);
                while let Some(command) = handshake.command() {
                    let mut replies = link.ask(&command).await.map_err(connecting)?;
                    let reply = replies.pop().unwrap_or(Value::Nil);
                    if !replies.is_empty() {
                        let broken = Broken::protocol("two replies to one command");
                        return Err(connecting(broken).into());
                    }
                    handshake.reply(reply).map_err(Refused::Said)?;
                }
                return Ok(link);
            }
            Err(error) => last = io::Error::new(error.kind(), format!("{place}: {error}")),
        }
    }
    Err(unreachable(last).into())
}

/// Waits for the lookup. One that hangs is waited for again by the next try, instead of another one
/// being started beside it.
fn poll_lookup(
    config: &Arc<Redis>,
    lookup: &RefCell<Option<Lookup>>,
    context: &mut Context<'_>,
) -> Poll<io::Result<Prepared>> {
    let mut slot = lookup.borrow_mut();
    if slot.is_none() {
        match look_up(config) {
            Ok(lookup) => *slot = Some(lookup),
            Err(error) => return Poll::Ready(Err(error)),
        }
    }
    let Some(lookup) = slot.as_mut() else {
        return Poll::Pending;
    };
    let outcome = Pin::new(lookup).poll(context);
    if outcome.is_ready() {
        *slot = None;
    }
    outcome.map(|outcome| outcome.unwrap_or_else(|error| Err(io::Error::other(error))))
}

/// Reads names and files on a thread of its own: they may take as long as they like.
fn look_up(config: &Arc<Redis>) -> io::Result<Lookup> {
    let (lookup, completer) = call();
    let config = Arc::clone(config);
    thread::Builder::new()
        .name("pontoon-redis".to_owned())
        .spawn(move || completer.complete(config.server.prepare()))?;
    Ok(lookup)
}

/// A connection at work.
struct Serving<'s> {
    shared: &'s Shared,
    link: Link,
    /// What is being sent, and how much of it has been.
    wire: Vec<u8>,
    sent: usize,
    /// When the connection counts as hung, if nothing comes.
    hung_at: Option<(Instant, Timer)>,
    has_answered: bool,
}

impl<'s> Serving<'s> {
    fn new(shared: &'s Shared, link: Link) -> Self {
        Self {
            shared,
            link,
            wire: Vec::new(),
            sent: 0,
            hung_at: None,
            has_answered: false,
        }
    }

    /// Ready when the connection is not to be used any more.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        self.shared.queue.set_driver(context.waker());
        // First, for the connection may have ended: what has not been sent goes onto the next one.
        self.receive(context)?;
        self.send(context)?;
        // Replies may have been all that kept it from ending.
        if self.shared.is_retiring.get() && !self.shared.queue.has_sent() {
            return Poll::Ready(Ok(()));
        }
        self.poll_hung(context).map(Err)
    }

    fn send(&mut self, context: &Context<'_>) -> Result<(), Broken> {
        loop {
            if self.sent == self.wire.len() {
                self.sent = 0;
                self.wire.clear();
                if !self.shared.is_retiring.get() {
                    self.shared.queue.take(&mut self.wire);
                }
                if self.wire.is_empty() {
                    return self.flush(context);
                }
            }
            match self.link.poll_write(context, &self.wire[self.sent..]) {
                Poll::Ready(wrote) => self.sent += wrote?,
                Poll::Pending => return Ok(()),
            }
        }
    }

    fn flush(&mut self, context: &Context<'_>) -> Result<(), Broken> {
        match self.link.poll_flush(context) {
            Poll::Ready(flushed) => flushed,
            Poll::Pending => Ok(()),
        }
    }

    fn receive(&mut self, context: &Context<'_>) -> Result<(), Broken> {
        let Self {
            shared,
            link,
            has_answered,
            ..
        } = self;
        let max_bytes = shared.config.answer.max_bytes;
        let mut take = |reply| {
            // What is pushed was asked for by nobody.
            if matches!(reply, Value::Push { .. }) {
                return Ok(());
            }
            if shared.queue.reply(reply)? && !std::mem::replace(has_answered, true) {
                shared.health.borrow_mut().succeeded();
            }
            Ok(())
        };
        for _ in 0..READS_PER_TURN {
            match link.poll_read(context, &mut take) {
                Poll::Ready(read) => read?,
                Poll::Pending => return Ok(()),
            }
            if link.bytes_since_reply > max_bytes.saturating_add(OVERHEAD_BYTES) {
                return Err(Broken::too_large(max_bytes));
            }
        }
        context.waker().wake_by_ref();
        Ok(())
    }

    /// Ready when the reply that comes next has been given up for so long that the connection counts as
    /// hung: it keeps all others waiting.
    fn poll_hung(&mut self, context: &mut Context<'_>) -> Poll<Broken> {
        let Some(since) = self.shared.queue.next_given_up() else {
            self.hung_at = None;
            return Poll::Pending;
        };
        let at = since + self.patience();
        if self.hung_at.as_ref().is_none_or(|(known, _)| *known != at) {
            self.hung_at = Some((at, Timer::at(at)));
        }
        match &mut self.hung_at {
            Some((_, timer)) => Pin::new(timer).poll(context).map(|()| Broken::late()),
            None => Poll::Pending,
        }
    }

    fn patience(&self) -> Duration {
        self.shared.config.connect_timeout
    }
}
