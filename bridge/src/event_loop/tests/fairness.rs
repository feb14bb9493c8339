//! Bounded work per turn: nothing starves anything else.

use super::run;
use crate::event_loop::{self, EventLoop, UnixStream, sleep, spawn, yield_now};
use futures_lite::{AsyncReadExt, AsyncWriteExt};
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

#[test]
fn a_task_that_wakes_itself_for_ever_starves_neither_timers_nor_sockets() {
    run(async {
        spawn(async {
            loop {
                yield_now().await;
            }
        })
        .detach();
        sleep(Duration::from_millis(5)).await;
        let (mut one, mut other) = UnixStream::pair().unwrap();
        let reading = spawn(async move {
            let mut byte = [0];
            other.read_exact(&mut byte).await.unwrap();
            byte[0]
        });
        yield_now().await;
        one.write_all(b"x").await.unwrap();
        assert_eq!(reading.await, b'x');
    });
}

#[test]
fn a_hundred_thousand_messages_do_not_hold_up_a_timer() {
    const MESSAGES: u64 = 100_000;
    let event_loop = EventLoop::new().unwrap();
    let handled = Arc::new(AtomicU64::new(0));
    let handle = event_loop.handle();
    let at_timer = event_loop.block_on(async {
        let due = spawn(sleep(Duration::ZERO));
        for _ in 0..MESSAGES {
            let handled = Arc::clone(&handled);
            handle
                .post(move || {
                    handled.fetch_add(1, SeqCst);
                })
                .unwrap();
        }
        due.await;
        handled.load(SeqCst)
    });
    assert!(
        at_timer < MESSAGES / 10,
        "{at_timer} messages came before it"
    );
    event_loop.block_on(async {
        while handled.load(SeqCst) < MESSAGES {
            yield_now().await;
        }
    });
}

#[test]
fn posted_closures_that_post_for_ever_do_not_hold_up_a_timer() {
    fn again(go_on: Rc<Cell<bool>>) {
        if go_on.get() {
            event_loop::post(move || again(go_on));
        }
    }
    let go_on = Rc::new(Cell::new(true));
    run(async {
        again(Rc::clone(&go_on));
        sleep(Duration::from_millis(2)).await;
        go_on.set(false);
    });
}

#[test]
fn a_turn_that_takes_long_shows_as_lag() {
    let event_loop = EventLoop::new().unwrap();
    let lag = event_loop.block_on(async {
        let until = std::time::Instant::now() + Duration::from_millis(20);
        while std::time::Instant::now() < until {
            std::hint::spin_loop();
        }
        yield_now().await;
        event_loop::stats().lag_max
    });
    assert!(lag >= Duration::from_millis(19), "{lag:?}");
    assert!(event_loop.stats().turns >= 1);
}
