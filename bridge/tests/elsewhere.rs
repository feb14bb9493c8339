//! Calls that are made on a loop's thread and waited for by something else than the loop's tasks: an
//! executor inside a task, a waker of one's own, another loop.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use common::{Gate, PATIENCE, eventually};
use futures_lite::future::block_on;
use pontoon_bridge::event_loop::{self, EventLoop};
use pontoon_bridge::{Call, CallError, Pool};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::channel;
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

fn pool(threads: usize) -> Pool {
    Pool::named("else").threads(threads).build().unwrap()
}

/// A call that hangs until the gate is opened.
fn held(pool: &Pool, gate: &Gate) -> Call<()> {
    let gate = gate.clone();
    pool.call(move |()| gate.pass()).submit()
}

/// Runs `test` on a thread of its own, so that a hang is a failure and not the end of the run.
fn in_time(test: impl FnOnce() + Send + 'static) {
    let (done, is_done) = channel();
    let thread = thread::spawn(move || {
        test();
        done.send(()).unwrap();
    });
    let in_time = is_done.recv_timeout(PATIENCE);
    assert!(
        in_time.is_ok() || thread.is_finished(),
        "it still waits: a wake was lost"
    );
    thread.join().unwrap();
}

/// Was a deadlock: the loop would wake a worker at the end of its turn, and the outcome came home
/// through the loop's inbox.
#[test]
fn a_task_may_block_its_loop_on_a_call() {
    in_time(|| {
        let pool = pool(2);
        let sum = EventLoop::new().unwrap().block_on(async {
            event_loop::spawn(async move { block_on(pool.call(|()| 6 * 7).submit()).unwrap() })
                .await
        });
        assert_eq!(sum, 42);
    });
}

#[test]
fn a_deadline_holds_while_a_task_blocks_its_loop_on_a_call() {
    in_time(|| {
        let pool = pool(1);
        let gate = Gate::default();
        let hung = held(&pool, &gate);
        let outcome = EventLoop::new().unwrap().block_on(async {
            block_on(
                pool.call(|()| ())
                    .deadline(Duration::from_millis(20))
                    .submit(),
            )
        });
        assert!(matches!(
            outcome,
            Err(CallError::DeadlineExceeded { running: false })
        ));
        gate.open();
        block_on(hung).unwrap();
    });
}

/// The only worker that is awake hangs, so the loop's next look would be what wakes another one.
#[test]
fn a_task_may_block_its_loop_on_a_call_while_another_call_hangs() {
    in_time(|| {
        let pool = pool(2);
        for _ in 0..1000 {
            block_on(pool.call(|()| ()).submit()).unwrap();
        }
        let gate = Gate::default();
        EventLoop::new().unwrap().block_on(async {
            let hung = held(&pool, &gate);
            event_loop::yield_now().await;
            block_on(pool.call(|()| ()).submit()).unwrap();
            gate.open();
            hung.await.unwrap();
        });
    });
}

#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, SeqCst);
    }
}

/// `FuturesUnordered` and its kind give their children wakers of their own, and poll only those that
/// were woken: after the whole set has moved elsewhere the child is not polled again before.
#[test]
fn a_waker_that_is_not_the_loops_own_is_woken_although_the_loop_does_not_run() {
    let (pool, event_loop) = (pool(1), EventLoop::new().unwrap());
    let gate = Gate::default();
    let mut call = held(&pool, &gate);
    let flag = Arc::new(Flag::default());
    let waker = Waker::from(Arc::clone(&flag));
    event_loop.block_on(poll_fn(|_| {
        let polled = Pin::new(&mut call).poll(&mut Context::from_waker(&waker));
        assert!(polled.is_pending());
        Poll::Ready(())
    }));
    gate.open();
    eventually("the waker is called", || flag.0.load(SeqCst));
    block_on(call).unwrap();
}

/// The outcome lies in the inbox of a loop that does not run, and the call is asked for elsewhere.
#[test]
fn a_call_that_a_loop_polled_last_may_be_awaited_after_the_loop() {
    in_time(|| {
        let (pool, event_loop) = (pool(1), EventLoop::new().unwrap());
        let gate = Gate::default();
        let mut call = held(&pool, &gate);
        event_loop.block_on(poll_fn(|context| {
            assert!(Pin::new(&mut call).poll(context).is_pending());
            Poll::Ready(())
        }));
        gate.open();
        block_on(call).unwrap();
    });
}

/// Submissions are looked after at the end of a turn; a loop that stops running has had its last one.
#[test]
fn calls_that_a_loop_submitted_in_its_last_turn_are_run() {
    in_time(|| {
        let pool = pool(2);
        let ran = Arc::new(AtomicUsize::new(0));
        let event_loop = EventLoop::new().unwrap();
        let calls: Vec<_> = event_loop.block_on(async {
            let call = |_| {
                let ran = Arc::clone(&ran);
                pool.call(move |()| ran.fetch_add(1, SeqCst)).submit()
            };
            (0..100).map(call).collect()
        });
        eventually("all have run", || ran.load(SeqCst) == 100);
        drop(calls);
    });
}
