//! Callers of all kinds; each makes calls until all have been made.

use crate::common::PATIENCE;
use crate::measure::Payload;
use crate::tally::Ticket;
use crate::world::{World, doomed_pool};
use fastrand::Rng;
use mio::{Events, Interest, Poll, Token};
use pontoon_bridge::event_loop::{self, EventLoop};
use pontoon_bridge::{Call, CallError, inbox};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task;
use std::thread;
use std::time::Duration;

/// Awaits calls on no executor at all, several at once, in any order.
pub fn blocking(world: &World, mut rng: Rng) {
    let mut open = Vec::new();
    while let Some(ticket) = world.ticket() {
        let call = world.call(&mut rng, ticket.number());
        open.push((ticket, call));
        while open.len() > rng.usize(..32) {
            let (ticket, call) = open.swap_remove(rng.usize(..open.len()));
            if rng.u32(..8) == 0 {
                drop(call);
            } else {
                ticket.settle(futures_lite::future::block_on(call));
            }
        }
    }
    for (ticket, call) in open {
        ticket.settle(futures_lite::future::block_on(call));
    }
}

const TASKS: usize = 64;
/// Calls of the task whose end is the loop's.
const CALLS_PER_LOOP: usize = 1000;

/// Loops one after the other, each with many tasks; each ends while most of its calls are pending.
pub fn loops(world: &Arc<World>, mut rng: Rng) {
    while !world.is_over() {
        let event_loop = EventLoop::new().unwrap();
        let handle = event_loop.handle();
        world.loops.lock().unwrap().push(handle);
        event_loop.block_on(async {
            for _ in 1..TASKS {
                event_loop::spawn(task(Arc::clone(world), rng.fork(), usize::MAX)).detach();
            }
            let calls = rng.usize(..CALLS_PER_LOOP);
            event_loop::spawn(task(Arc::clone(world), rng.fork(), calls)).await;
        });
        let mut loops = world.loops.lock().unwrap();
        if rng.bool() {
            // Others may still be handing calls over to this one.
            loops.clear();
        }
        drop(loops);
        drop(event_loop);
    }
}

async fn task(world: Arc<World>, mut rng: Rng, calls: usize) {
    for _ in 0..calls {
        let Some(ticket) = world.ticket() else { return };
        let mut call = world.call(&mut rng, ticket.number());
        match rng.u32(..32) {
            0 => drop(call),
            1 => {
                if let Some(result) = poll_once(&mut call).await {
                    ticket.settle(result);
                }
                // Otherwise it is dropped with its waker in place.
            }
            2..4 => match poll_once(&mut call).await {
                Some(result) => ticket.settle(result),
                None => hand_over(&world, &mut rng, ticket, call),
            },
            _ => ticket.settle(call.await),
        }
        // A call that is refused is ready at once; without a pause they all would be.
        event_loop::yield_now().await;
    }
}

async fn poll_once(call: &mut Call<Payload>) -> Option<Result<Payload, CallError>> {
    poll_fn(|context| {
        task::Poll::Ready(match Pin::new(&mut *call).poll(context) {
            task::Poll::Ready(result) => Some(result),
            task::Poll::Pending => None,
        })
    })
    .await
}

/// Takes a call that waits on this loop to another one or to no loop at all.
fn hand_over(world: &World, rng: &mut Rng, ticket: Ticket, call: Call<Payload>) {
    let loops = world.loops.lock().unwrap();
    let other = rng.choice(loops.iter()).filter(|_| rng.bool()).cloned();
    drop(loops);
    match other {
        // If that one has ended, the call is dropped.
        Some(other) => drop(other.spawn(move || async move { ticket.settle(call.await) })),
        None => world.handed.send((ticket, call)).unwrap(),
    }
}

const UNDER_WAY_MAX: usize = 256;
const MESSAGES_PER_INBOX: usize = 5000;

/// Loops on bare mio one after the other; each ends while calls are under way to its inbox.
pub fn bare(world: &World, mut rng: Rng) {
    type Message = (Ticket, Result<Payload, CallError>);
    let mut events = Events::with_capacity(4);
    while !world.is_over() {
        let mut poll = Poll::new().unwrap();
        let (mut inbox, _sender) = inbox::<Message>().unwrap();
        poll.registry()
            .register(&mut inbox, Token(0), Interest::READABLE)
            .unwrap();
        let (arms_itself, messages) = (rng.bool(), rng.usize(..MESSAGES_PER_INBOX));
        let (mut came, mut under_way) = (0, 0);
        while came < messages {
            for _ in 0..rng.usize(..UNDER_WAY_MAX - under_way) {
                let Some(ticket) = world.ticket() else { break };
                let call = world
                    .pool
                    .call(world.counted_work(&mut rng, ticket.number()));
                let call = match rng.u32(..4) {
                    0 => call.deadline(Duration::from_micros(rng.u64(..500))),
                    _ => call,
                };
                // Refused, its ticket goes with what would have made the message.
                if call.submit_to(&inbox, |result| (ticket, result)).is_err() {
                    break;
                }
                under_way += 1;
            }
            if under_way == 0 && world.is_over() {
                break;
            }
            if under_way > 0 && (arms_itself || inbox.arm()) {
                poll.poll(&mut events, Some(PATIENCE)).unwrap();
                assert!(!events.is_empty(), "a wake was lost");
            }
            let limit = rng.usize(1..64);
            let settle = |(ticket, result): Message| ticket.settle(result);
            let handled = if arms_itself {
                inbox.drain(limit, settle)
            } else {
                inbox.drain_disarmed(limit, settle)
            };
            came += handled;
            under_way -= handled;
        }
    }
}

/// Replaces the doomed pool again and again, and ends the old one in one of all ways.
pub fn reaper(world: &World, mut rng: Rng) {
    while !world.is_over() {
        let new = doomed_pool(&mut rng);
        // Only a pace: calls come to it at any time.
        thread::sleep(Duration::from_micros(rng.u64(..5000)));
        let old = world.doomed.lock().unwrap().clone();
        match rng.u32(..4) {
            // Before others have stopped to submit to it.
            0 => drop(old.shutdown(Duration::ZERO)),
            1 => drop(old.shutdown(Duration::from_micros(rng.u64(..500)))),
            2 => old.begin_shutdown(),
            // By its last handle.
            _ => {}
        }
        *world.doomed.lock().unwrap() = new;
    }
}
