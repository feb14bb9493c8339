//! A call that hangs, though its kind is usually short, keeps no other call waiting while a worker
//! sleeps.
//!
//! Where calls are known to be short a pool wakes few workers: one serves many faster than others
//! wake. Each test first teaches the pool so, then has calls hang, and waits for further ones that
//! only another worker can serve. All are rounds of a race, so most runs see most orders.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use common::{Gate, PATIENCE, eventually};
use mio::{Events, Interest, Poll, Token};
use pontoon_bridge::event_loop::{self, EventLoop};
use pontoon_bridge::{Call, Inbox, Pool, inbox};
use std::cell::Cell;
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

const WORKERS: usize = 3;
const ROUNDS: usize = 100;
/// Makes up for what a hung call has taught the pool.
const LESSONS: usize = 1200;
const LESSONS_PER_TURN: usize = 50;

fn pool(name: &str) -> Pool {
    // Who waits for long here must be served, not refused.
    let pool = Pool::named(name).threads(WORKERS).codel(None);
    pool.build().unwrap()
}

/// Teaches the pool that its calls are short: most of them many in a turn, so that one worker serves
/// them all and wakes are seen not to pay.
async fn teach(pool: &Pool) {
    for _ in 0..LESSONS / LESSONS_PER_TURN {
        let calls: Vec<_> = (0..LESSONS_PER_TURN).map(|_| short(pool)).collect();
        all_end(calls).await;
    }
}

fn hang(pool: &Pool, gate: &Gate) -> Call<()> {
    let at_gate = gate.clone();
    pool.call(move |()| at_gate.pass()).submit()
}

fn short(pool: &Pool) -> Call<()> {
    pool.call(|()| ()).submit()
}

/// Awaits calls that must end although others hang.
async fn all_end(calls: impl IntoIterator<Item = Call<()>>) {
    let until = Instant::now() + PATIENCE;
    for call in calls {
        let ended = call.deadline_at(until).await;
        ended.expect("it waits for a worker while one sleeps");
    }
}

async fn let_go(gate: &Gate, hung: impl IntoIterator<Item = Call<()>>) {
    gate.open();
    all_end(hung).await;
}

#[test]
fn a_hung_call_does_not_hold_up_those_of_its_turn_whatever_its_place_among_them() {
    let pool = pool("same turn");
    EventLoop::new().unwrap().block_on(async {
        for round in 0..ROUNDS {
            teach(&pool).await;
            let gate = Gate::default();
            let before: Vec<_> = (0..round % 4).map(|_| short(&pool)).collect();
            let hung = hang(&pool, &gate);
            let after: Vec<_> = (0..1 + round % 7).map(|_| short(&pool)).collect();
            all_end(before).await;
            all_end(after).await;
            let_go(&gate, [hung]).await;
        }
    });
}

#[test]
fn a_hung_call_does_not_hold_up_those_of_later_turns() {
    let pool = pool("later turn");
    EventLoop::new().unwrap().block_on(async {
        for round in 0..ROUNDS {
            teach(&pool).await;
            let gate = Gate::default();
            let hung = hang(&pool, &gate);
            for turns in 0..4 {
                for _ in 0..(turns + round) % 5 {
                    event_loop::yield_now().await;
                }
                all_end([short(&pool), short(&pool)]).await;
            }
            let_go(&gate, [hung]).await;
        }
    });
}

#[test]
fn one_worker_left_serves_all_while_the_others_hang() {
    let pool = pool("all but one");
    EventLoop::new().unwrap().block_on(async {
        for round in 0..ROUNDS {
            teach(&pool).await;
            let gate = Gate::default();
            let (mut hung, mut calls) = (Vec::new(), Vec::new());
            for _ in 1..WORKERS {
                hung.push(hang(&pool, &gate));
                calls.extend((0..round % 3).map(|_| short(&pool)));
                if round % 2 == 0 {
                    event_loop::yield_now().await;
                }
            }
            calls.push(short(&pool));
            all_end(calls).await;
            let_go(&gate, hung).await;
        }
    });
}

/// The worker that is awake relies on nobody and nobody relies on it; only the loop's last look can
/// see that another is needed.
#[test]
fn a_loop_that_goes_to_sleep_leaves_no_call_behind_the_one_that_hangs_the_only_awake_worker() {
    let pool = pool("last look");
    EventLoop::new().unwrap().block_on(async {
        for round in 0..ROUNDS {
            teach(&pool).await;
            let (first, gate) = (Gate::default(), Gate::default());
            let busy = hang(&pool, &first);
            event_loop::yield_now().await;
            first.wait_for(1);
            eventually("the others sleep", || pool.stats().idle == WORKERS - 1);
            let hung = hang(&pool, &gate);
            let waiting = [short(&pool), short(&pool)];
            if round % 2 == 0 {
                // Before this turn ends: the worker takes the hung call while the loop is awake.
                first.open();
                gate.wait_for(1);
                all_end(waiting).await;
            } else {
                // About when the loop goes to sleep.
                let opening = first.clone();
                let opener = thread::spawn(move || {
                    (0..round % 16).for_each(|_| thread::yield_now());
                    opening.open();
                });
                all_end(waiting).await;
                opener.join().unwrap();
            }
            all_end([busy]).await;
            let_go(&gate, [hung]).await;
        }
    });
}

/// Keeps the loop awake until the flag is lowered.
fn keep_awake() -> Rc<Cell<bool>> {
    let awake = Rc::new(Cell::new(true));
    let flag = Rc::clone(&awake);
    event_loop::spawn(async move {
        while flag.get() {
            event_loop::yield_now().await;
        }
    })
    .detach();
    awake
}

#[test]
fn a_loop_that_never_sleeps_sees_that_calls_stand_still_behind_a_hung_one() {
    let pool = pool("never sleeps");
    EventLoop::new().unwrap().block_on(async {
        let awake = keep_awake();
        event_loop::yield_now().await;
        let sleeps = event_loop::stats().sleeps;
        for round in 0..ROUNDS {
            teach(&pool).await;
            let gate = Gate::default();
            let hung = hang(&pool, &gate);
            let calls: Vec<_> = (0..1 + round % 5).map(|_| short(&pool)).collect();
            all_end(calls).await;
            let_go(&gate, [hung]).await;
        }
        assert_eq!(event_loop::stats().sleeps, sleeps, "it was kept awake");
        awake.set(false);
    });
}

/// A caller that leaves gives its place back; that must not look as if a worker had served somebody.
#[test]
fn callers_that_leave_are_no_progress_of_a_pool_that_stands_still() {
    // A short queue: those who left are swept out of it before they look like a backlog.
    let pool = Pool::named("leavers")
        .threads(2)
        .max_queue(LESSONS_PER_TURN);
    let pool = pool.build().unwrap();
    EventLoop::new().unwrap().block_on(async {
        teach(&pool).await;
        let awake = keep_awake();
        let gate = Gate::default();
        let hung = hang(&pool, &gate);
        event_loop::yield_now().await;
        gate.wait_for(1);
        eventually("the other sleeps", || pool.stats().idle == 1);
        let mut waiting = short(&pool).deadline_at(Instant::now() + PATIENCE);
        loop {
            drop(short(&pool));
            let ended = std::future::poll_fn(|context| {
                std::task::Poll::Ready(std::pin::Pin::new(&mut waiting).poll(context))
            });
            match ended.await {
                std::task::Poll::Pending => event_loop::yield_now().await,
                std::task::Poll::Ready(ended) => break ended.unwrap(),
            }
        }
        awake.set(false);
        let_go(&gate, [hung]).await;
    });
}

#[test]
fn calls_of_a_foreign_thread_pass_a_hung_one_whatever_the_loop_does() {
    let pool = pool("foreign");
    let event_loop = EventLoop::new().unwrap();
    for is_busy in [false, true] {
        let (of_thread, handle) = (pool.clone(), event_loop.handle());
        let (say, done) = mpsc::channel();
        let foreign = thread::spawn(move || {
            for round in 0..ROUNDS {
                futures_lite::future::block_on(teach(&of_thread));
                let gate = Gate::default();
                let hung = hang(&of_thread, &gate);
                let calls: Vec<_> = (0..1 + round % 3).map(|_| short(&of_thread)).collect();
                futures_lite::future::block_on(all_end(calls));
                futures_lite::future::block_on(let_go(&gate, [hung]));
            }
            say.send(()).unwrap();
            handle.post(|| {}).unwrap();
        });
        event_loop.block_on(async {
            // The loop has its own calls there all the time, and so looks after the pool.
            let awake = is_busy.then(keep_awake);
            while done.try_recv().is_err() {
                all_end([short(&pool)]).await;
            }
            awake.inspect(|awake| awake.set(false));
        });
        foreign.join().unwrap();
    }
}

/// The worker leaves the next one asleep, because a loop is to look again: but that loop has a long
/// turn.
#[test]
fn calls_of_a_foreign_thread_do_not_wait_for_the_turn_of_a_loop() {
    let pool = pool("long turn");
    EventLoop::new().unwrap().block_on(async {
        for _ in 0..ROUNDS / 4 {
            teach(&pool).await;
            eventually("all sleep", || pool.stats().idle == WORKERS);
            // From here on this loop looks after the pool, and its turn ends when all is done.
            let own = short(&pool);
            let of_thread = pool.clone();
            let foreign = thread::spawn(move || {
                let gate = Gate::default();
                let hung = hang(&of_thread, &gate);
                let calls = [short(&of_thread), short(&of_thread)];
                futures_lite::future::block_on(all_end(calls));
                futures_lite::future::block_on(let_go(&gate, [hung]));
            });
            foreign.join().unwrap();
            all_end([own]).await;
        }
    });
}

/// A loop on bare mio, which counts the calls that came back.
struct Bare {
    poll: Poll,
    events: Events,
    inbox: Inbox<()>,
    arms_itself: bool,
}

impl Bare {
    fn new(arms_itself: bool) -> Self {
        let poll = Poll::new().unwrap();
        let (mut inbox, _sender) = inbox().unwrap();
        poll.registry()
            .register(&mut inbox, Token(0), Interest::READABLE)
            .unwrap();
        let events = Events::with_capacity(4);
        Self {
            poll,
            events,
            inbox,
            arms_itself,
        }
    }

    fn submit(&self, pool: &Pool, work: impl FnOnce() + Send + 'static) {
        let call = pool.call(|()| work());
        call.submit_to(&self.inbox, |result| result.unwrap())
            .unwrap();
    }

    /// Turns until so many outcomes have come.
    fn run(&mut self, outcomes: usize) {
        let mut came = self.turn(false);
        while came < outcomes {
            came += self.turn(true);
        }
        assert_eq!(came, outcomes);
    }

    fn turn(&mut self, may_sleep: bool) -> usize {
        if may_sleep && (self.arms_itself || self.inbox.arm()) {
            self.poll.poll(&mut self.events, Some(PATIENCE)).unwrap();
            assert!(!self.events.is_empty(), "it waits while a worker sleeps");
        }
        if self.arms_itself {
            self.inbox.drain(64, drop)
        } else {
            self.inbox.drain_disarmed(64, drop)
        }
    }
}

#[test]
fn a_hung_call_does_not_hold_up_others_of_a_bare_mio_loop() {
    for arms_itself in [true, false] {
        let pool = pool("bare");
        let mut bare = Bare::new(arms_itself);
        for round in 0..ROUNDS {
            for _ in 0..LESSONS / LESSONS_PER_TURN {
                (0..LESSONS_PER_TURN).for_each(|_| bare.submit(&pool, || ()));
                bare.run(LESSONS_PER_TURN);
            }
            let gate = Gate::default();
            let at_gate = gate.clone();
            let (before, after) = (round % 3, 1 + round % 4);
            (0..before).for_each(|_| bare.submit(&pool, || ()));
            bare.submit(&pool, move || at_gate.pass());
            (0..after).for_each(|_| bare.submit(&pool, || ()));
            bare.run(before + after);
            // In a later turn.
            bare.submit(&pool, || ());
            bare.run(1);
            gate.open();
            bare.run(1);
        }
    }
}
