//! One-shot, periodic, cancelled and re-armed timers.

use super::run;
use crate::event_loop::{self, Timer, sleep, spawn, timeout, yield_now};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
fn timers_fire_in_order_and_never_early() {
    let fired = Rc::new(RefCell::new(Vec::new()));
    run(async {
        let began = Instant::now();
        let tasks: Vec<_> = [7, 1, 30, 0, 12]
            .into_iter()
            .map(|delay| {
                let fired = Rc::clone(&fired);
                spawn(async move {
                    sleep(ms(delay)).await;
                    assert!(began.elapsed() >= ms(delay), "{delay} ms came early");
                    fired.borrow_mut().push(delay);
                })
            })
            .collect();
        for task in tasks {
            task.await;
        }
    });
    assert_eq!(*fired.borrow(), [0, 1, 7, 12, 30]);
}

#[test]
fn a_periodic_timer_skips_the_ticks_it_missed_and_keeps_its_beat() {
    run(async {
        let mut timer = Timer::every(ms(10));
        let first = timer.due();
        timer.tick().await;
        let busy_until = Instant::now() + ms(45);
        while Instant::now() < busy_until {
            std::hint::spin_loop();
        }
        timer.tick().await;
        assert!(
            timer.due() > Instant::now() - ms(5),
            "missed ticks are not made up for"
        );
        let beats = (timer.due() - first).as_nanos();
        assert_eq!(beats % ms(10).as_nanos(), 0, "it keeps its beat");
        assert!(beats >= ms(50).as_nanos());
    });
}

#[test]
fn a_cancelled_timer_does_not_fire_until_it_is_set_anew() {
    run(async {
        let mut timer = Timer::after(ms(1));
        timer.cancel();
        assert!(timeout(ms(20), &mut timer).await.is_err());
        timer.rearm(ms(1));
        (&mut timer).await;
    });
}

#[test]
fn a_timer_is_set_earlier_later_and_again_after_it_fired() {
    run(async {
        let mut timer = Timer::after(Duration::from_secs(3600));
        timer.rearm(ms(2));
        (&mut timer).await;
        timer.rearm(ms(30));
        let due = timer.due();
        (&mut timer).await;
        assert!(Instant::now() >= due);
        timer.rearm(ms(5));
        assert!(timeout(ms(0), &mut timer).await.is_err());
        timer.rearm(ms(20));
        let due = timer.due();
        timer.await;
        assert!(Instant::now() >= due);
    });
}

#[test]
fn a_hundred_thousand_timers_pend_and_go_when_they_are_dropped() {
    run(async {
        let mut tasks = Vec::new();
        for n in 0..100_000 {
            tasks.push(spawn(sleep(Duration::from_secs(60 + n % 5000))));
        }
        while event_loop::stats().timers < 100_000 {
            yield_now().await;
        }
        sleep(ms(2)).await;
        tasks.into_iter().for_each(event_loop::Task::cancel);
        // The one that stays bounds this test.
        while event_loop::stats().timers > 1 {
            yield_now().await;
        }
    });
}

#[test]
fn delays_beyond_the_end_of_time_are_just_far() {
    run(async {
        let mut timer = Timer::after(Duration::MAX);
        assert!(timeout(ms(1), &mut timer).await.is_err());
        timer.rearm(Duration::MAX);
        assert!(timeout(Duration::MAX, async {}).await.is_ok());
    });
}

#[test]
fn a_waker_may_drop_timers_while_it_is_replaced() {
    use std::task::{Context, Waker};
    thread_local! {
        static HELD: RefCell<Option<Timer>> = const { RefCell::new(None) };
    }
    struct DropsTimer;
    impl std::task::Wake for DropsTimer {
        fn wake(self: std::sync::Arc<Self>) {}
    }
    impl Drop for DropsTimer {
        fn drop(&mut self) {
            drop(HELD.take());
        }
    }
    run(async {
        let mut held = Timer::after(Duration::from_secs(60));
        let mut timer = Timer::after(Duration::from_secs(60));
        let poll = |timer: &mut Timer, waker: Waker| {
            let mut context = Context::from_waker(&waker);
            assert!(std::pin::Pin::new(timer).poll(&mut context).is_pending());
        };
        poll(&mut held, Waker::noop().clone());
        HELD.set(Some(held));
        poll(&mut timer, Waker::from(std::sync::Arc::new(DropsTimer)));
        poll(&mut timer, Waker::noop().clone());
        assert!(HELD.take().is_none());
    });
}
