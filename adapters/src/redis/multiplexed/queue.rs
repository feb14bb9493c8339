//! Requests that share a connection, in the order in which they are sent.
//!
//! ```text
//!  enter ──▶ waiting ──(the driver has room)──▶ sent ──(as many replies as it expects)──▶ answered
//!               └── given up: never sent          └── given up: stays, so that the order is kept
//! ```
//!
//! All of it belongs to one loop. No waker is called while anything here is borrowed.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use pontoon_bridge::event_loop;
use redis::Value;

use super::super::failure::Broken;
use crate::Error;

/// What requests that have not been sent may hold, in bytes; a single one may be larger.
const WAITING_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The driver is given about so many bytes at a time, so that what is given up late is not sent.
const BATCH_BYTES: usize = 64 * 1024;

/// The requests of one connection, and of the one after it.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: RefCell<VecDeque<Rc<Exchange>>>,
    sent: RefCell<VecDeque<Rc<Exchange>>>,
    waiting_bytes: Cell<usize>,
    driver: RefCell<Option<Waker>>,
}

/// A request and its replies.
#[derive(Debug)]
struct Exchange {
    /// What is to be sent; empty once it has been handed to the driver.
    wire: RefCell<Vec<u8>>,
    expected: usize,
    received: Cell<usize>,
    replies: RefCell<Vec<Value>>,
    outcome: RefCell<Option<Result<(), Broken>>>,
    waker: RefCell<Option<Waker>>,
    /// When its caller left or its deadline passed.
    given_up: Cell<Option<Instant>>,
}

impl Exchange {
    fn end(&self, outcome: Result<(), Broken>) {
        *self.outcome.borrow_mut() = Some(outcome);
        let waker = self.waker.borrow_mut().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Queue {
    /// Adds a request that has so many replies.
    ///
    /// # Errors
    ///
    /// 503 when `max` requests are inside already, or what waits is too large.
    pub(super) fn enter(
        self: &Rc<Self>,
        wire: Vec<u8>,
        expected: usize,
        max: usize,
    ) -> Result<Pending, Error> {
        let waiting_bytes = self.waiting_bytes.get();
        if self.len() >= max {
            let is_wanted = |exchange: &Rc<Exchange>| exchange.given_up.get().is_none();
            self.waiting.borrow_mut().retain(is_wanted);
        }
        let is_large = waiting_bytes > 0 && waiting_bytes + wire.len() > WAITING_BYTES_MAX;
        if is_large || self.len() >= max {
            let detail = "too many requests wait for Redis; nothing was done, try again later";
            return Err(Error::unavailable(detail));
        }
        self.waiting_bytes.set(waiting_bytes + wire.len());
        let exchange = Rc::new(Exchange {
            wire: RefCell::new(wire),
            expected,
            received: Cell::new(0),
            replies: RefCell::new(Vec::with_capacity(expected)),
            outcome: RefCell::new(None),
            waker: RefCell::new(None),
            given_up: Cell::new(None),
        });
        self.waiting.borrow_mut().push_back(Rc::clone(&exchange));
        self.wake_driver();
        Ok(Pending {
            queue: Rc::clone(self),
            exchange,
        })
    }

    fn len(&self) -> usize {
        self.waiting.borrow().len() + self.sent.borrow().len()
    }

    pub(super) fn has_waiting(&self) -> bool {
        !self.waiting.borrow().is_empty()
    }

    pub(super) fn has_sent(&self) -> bool {
        !self.sent.borrow().is_empty()
    }

    /// Who sends and receives, and is woken when there is something to do.
    pub(super) fn set_driver(&self, waker: &Waker) {
        let mut driver = self.driver.borrow_mut();
        if !driver.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *driver = Some(waker.clone());
        }
    }

    fn wake_driver(&self) {
        let driver = self.driver.borrow().clone();
        if let Some(driver) = driver {
            driver.wake();
        }
    }

    /// Moves requests into `wire`, until that is full or none is left. They count as sent.
    pub(super) fn take(&self, wire: &mut Vec<u8>) {
        let (mut waiting, mut sent) = (self.waiting.borrow_mut(), self.sent.borrow_mut());
        while wire.len() < BATCH_BYTES {
            let Some(exchange) = waiting.pop_front() else {
                return;
            };
            if exchange.given_up.get().is_some() {
                continue;
            }
            let bytes = exchange.wire.take();
            self.waiting_bytes
                .set(self.waiting_bytes.get() - bytes.len());
            if wire.is_empty() {
                *wire = bytes;
            } else {
                wire.extend_from_slice(&bytes);
            }
            sent.push_back(exchange);
        }
    }

    /// Gives a reply to the oldest request that was sent. Whether that request is answered now.
    ///
    /// # Errors
    ///
    /// Nobody waits for a reply.
    pub(super) fn reply(&self, reply: Value) -> Result<bool, Broken> {
        let mut sent = self.sent.borrow_mut();
        let Some(exchange) = sent.front() else {
            return Err(Broken::protocol("a reply came that nobody has asked for"));
        };
        if exchange.given_up.get().is_none() {
            exchange.replies.borrow_mut().push(reply);
        }
        exchange.received.set(exchange.received.get() + 1);
        if exchange.received.get() < exchange.expected {
            return Ok(false);
        }
        let exchange = sent.pop_front();
        drop(sent);
        if let Some(exchange) = exchange {
            exchange.end(Ok(()));
        }
        Ok(true)
    }

    /// Since when nobody wants the reply that comes next.
    pub(super) fn next_given_up(&self) -> Option<Instant> {
        self.sent.borrow().front()?.given_up.get()
    }

    /// Ends all requests that were sent.
    pub(super) fn fail_sent(&self, broken: &Broken) {
        let sent = self.sent.take();
        for exchange in sent {
            exchange.end(Err(broken.clone()));
        }
    }

    /// Ends all requests.
    pub(super) fn fail_all(&self, broken: &Broken) {
        self.fail_sent(broken);
        let waiting = self.waiting.take();
        self.waiting_bytes.set(0);
        for exchange in waiting {
            exchange.wire.take();
            exchange.end(Err(broken.clone()));
        }
    }
}

/// A request that waits for its replies. Dropping it gives it up.
#[derive(Debug)]
pub(super) struct Pending {
    queue: Rc<Queue>,
    exchange: Rc<Exchange>,
}

impl Future for Pending {
    type Output = Result<Vec<Value>, Broken>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &*self.exchange.outcome.borrow() {
            Some(Ok(())) => Poll::Ready(Ok(self.exchange.replies.take())),
            Some(Err(broken)) => Poll::Ready(Err(broken.clone())),
            None => {
                *self.exchange.waker.borrow_mut() = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        let exchange = &self.exchange;
        if exchange.outcome.borrow().is_some() {
            return;
        }
        exchange.given_up.set(Some(event_loop::now()));
        exchange.replies.take();
        let unsent = exchange.wire.take().len();
        let queue = &self.queue;
        queue.waiting_bytes.set(queue.waiting_bytes.get() - unsent);
        // How long the connection may go on waiting for this reply is counted from now.
        queue.wake_driver();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use pontoon_bridge::EventLoop;
    use pontoon_bridge::event_loop::timeout;

    use super::*;

    fn on_loop(test: impl AsyncFnOnce(Rc<Queue>)) {
        let event_loop = EventLoop::new().unwrap();
        event_loop.block_on(test(Rc::default()));
    }

    fn taken(queue: &Queue) -> String {
        let mut wire = Vec::new();
        queue.take(&mut wire);
        String::from_utf8(wire).unwrap()
    }

    async fn is_pending(pending: &mut Pending) -> bool {
        timeout(Duration::ZERO, pending).await.is_err()
    }

    #[test]
    fn replies_go_to_the_requests_in_their_order() {
        on_loop(async |queue| {
            let mut one = queue.enter(b"a".to_vec(), 1, 9).unwrap();
            let mut two = queue.enter(b"b".to_vec(), 2, 9).unwrap();
            assert_eq!(taken(&queue), "ab");
            assert!(queue.reply(Value::Int(1)).unwrap());
            assert_eq!((&mut one).await.unwrap(), [Value::Int(1)]);
            assert!(!queue.reply(Value::Int(2)).unwrap());
            assert!(is_pending(&mut two).await);
            assert!(queue.reply(Value::Int(3)).unwrap());
            assert_eq!((&mut two).await.unwrap(), [Value::Int(2), Value::Int(3)]);
            assert!(queue.reply(Value::Int(4)).is_err());
        });
    }

    #[test]
    fn what_is_given_up_is_not_sent_or_keeps_its_place() {
        on_loop(async |queue| {
            let sent = queue.enter(b"a".to_vec(), 1, 9).unwrap();
            assert_eq!(taken(&queue), "a");
            let unsent = queue.enter(b"b".to_vec(), 1, 9).unwrap();
            let kept = queue.enter(b"c".to_vec(), 1, 9).unwrap();
            assert_eq!(queue.next_given_up(), None);
            drop((sent, unsent));
            assert!(queue.next_given_up().is_some());
            assert_eq!(taken(&queue), "c");
            assert!(queue.reply(Value::Int(1)).unwrap());
            assert_eq!(queue.next_given_up(), None);
            assert!(queue.reply(Value::Int(2)).unwrap());
            assert_eq!(kept.await.unwrap(), [Value::Int(2)]);
            assert_eq!(queue.waiting_bytes.get(), 0);
        });
    }

    #[test]
    fn no_more_than_so_many_are_inside_and_those_given_up_unsent_do_not_count() {
        on_loop(async |queue| {
            let one = queue.enter(b"a".to_vec(), 1, 2).unwrap();
            let two = queue.enter(b"b".to_vec(), 1, 2).unwrap();
            let error = queue.enter(b"c".to_vec(), 1, 2).unwrap_err();
            assert_eq!(error.kind(), crate::ErrorKind::Unavailable);
            drop(one);
            let three = queue.enter(b"c".to_vec(), 1, 2).unwrap();
            assert_eq!(taken(&queue), "bc");
            drop(two);
            assert!(
                queue.enter(b"d".to_vec(), 1, 2).is_err(),
                "it keeps its place"
            );
            drop(three);
        });
    }

    #[test]
    fn large_requests_that_cannot_be_sent_are_refused_from_some_size_on() {
        on_loop(async |queue| {
            let large = vec![0; WAITING_BYTES_MAX + 1];
            let one = queue.enter(large, 1, 9).unwrap();
            assert!(queue.enter(vec![0], 1, 9).is_err());
            drop(one);
            let one = queue.enter(vec![0], 1, 9).unwrap();
            drop(one);
            assert_eq!(queue.waiting_bytes.get(), 0);
        });
    }

    #[test]
    fn what_breaks_the_connection_ends_what_was_sent_or_everything() {
        on_loop(async |queue| {
            let sent = queue.enter(b"a".to_vec(), 1, 9).unwrap();
            taken(&queue);
            let mut waiting = queue.enter(b"b".to_vec(), 1, 9).unwrap();
            queue.fail_sent(&Broken::late());
            assert!(sent.await.is_err());
            assert!(is_pending(&mut waiting).await);
            queue.fail_all(&Broken::late());
            assert!((&mut waiting).await.is_err());
            assert!(!queue.has_waiting() && !queue.has_sent());
        });
    }
}
