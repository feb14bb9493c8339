//! What happens to tasks, timers, messages and handles when a loop goes.

use crate::event_loop::{self, EventLoop, LoopGone, Timer, post};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

/// Notes on which thread it was dropped.
struct Noted(mpsc::Sender<ThreadId>);

impl Drop for Noted {
    fn drop(&mut self) {
        let _ = self.0.send(thread::current().id());
    }
}

/// The inbox, once closed, was opened again by the last look into it: posts were accepted and
/// never run.
#[test]
fn a_handle_of_a_loop_that_is_gone_says_so_and_drops_what_it_was_given() {
    let event_loop = EventLoop::new().unwrap();
    let handle = event_loop.handle();
    drop(event_loop);
    let witness = Arc::new(());
    let held = Arc::clone(&witness);
    assert_eq!(handle.post(move || drop(held)), Err(LoopGone));
    let held = Arc::clone(&witness);
    assert_eq!(
        handle.spawn(move || async move { drop(held) }),
        Err(LoopGone)
    );
    assert_eq!(Arc::strong_count(&witness), 1);
}

#[test]
fn what_was_posted_and_not_run_is_dropped_with_the_loop() {
    let event_loop = EventLoop::new().unwrap();
    let witness = Arc::new(());
    for _ in 0..10 {
        let held = Arc::clone(&witness);
        event_loop.handle().post(move || drop(held)).unwrap();
    }
    drop(event_loop);
    assert_eq!(Arc::strong_count(&witness), 1);
}

#[test]
fn parked_tasks_with_wakes_under_way_are_dropped_once_on_the_loops_thread() {
    const TASKS: usize = 200;
    let (noted, drops) = mpsc::channel();
    let stop = Arc::new(AtomicUsize::new(0));
    let event_loop = EventLoop::new().unwrap();
    let (to_waking, wakers) = mpsc::channel::<std::task::Waker>();
    let waking = {
        let stop = Arc::clone(&stop);
        thread::spawn(move || {
            let wakers: Vec<_> = wakers.into_iter().collect();
            while stop.load(SeqCst) == 0 {
                wakers.iter().for_each(std::task::Waker::wake_by_ref);
            }
        })
    };
    event_loop.block_on(async {
        for _ in 0..TASKS {
            let (noted, to_waking) = (Noted(noted.clone()), to_waking.clone());
            event_loop::spawn(async move {
                let _noted = noted;
                std::future::poll_fn(|context| {
                    let _ = to_waking.send(context.waker().clone());
                    std::task::Poll::<()>::Pending
                })
                .await;
            })
            .detach();
        }
        event_loop::yield_now().await;
        event_loop::yield_now().await;
    });
    drop(to_waking);
    drop(event_loop);
    stop.store(1, SeqCst);
    waking.join().unwrap();
    drop(noted);
    let drops: Vec<_> = drops.into_iter().collect();
    assert_eq!(drops.len(), TASKS);
    assert!(drops.iter().all(|id| *id == thread::current().id()));
}

#[test]
fn a_pending_timer_does_not_keep_a_loop_from_ending() {
    let began = Instant::now();
    let event_loop = EventLoop::new().unwrap();
    event_loop.block_on(async {
        event_loop::spawn(event_loop::sleep(Duration::from_secs(3600))).detach();
        let mut ticking = Timer::every(Duration::from_secs(3600));
        event_loop::spawn(async move { ticking.tick().await }).detach();
        event_loop::yield_now().await;
        assert_eq!(event_loop::stats().timers, 2);
    });
    drop(event_loop);
    assert!(began.elapsed() < Duration::from_secs(60));
}

/// Posts when dropped, as a guard might that logs on the loop.
struct PostsOnDrop(Arc<AtomicUsize>);

impl Drop for PostsOnDrop {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
        post(|| {});
    }
}

#[test]
fn a_posted_closure_that_posts_while_it_is_dropped_with_the_loop_is_harmless() {
    let drops = Arc::new(AtomicUsize::new(0));
    let event_loop = EventLoop::new().unwrap();
    let [first, second] = [(), ()].map(|()| PostsOnDrop(Arc::clone(&drops)));
    event_loop.block_on(async {
        post(move || drop(first));
        event_loop::post_next(move || drop(second));
    });
    drop(event_loop);
    assert_eq!(drops.load(SeqCst), 2);
}

#[test]
fn a_loop_runs_again_with_the_tasks_that_were_left() {
    let event_loop = EventLoop::new().unwrap();
    let left = event_loop.spawn(async {
        event_loop::yield_now().await;
        7
    });
    event_loop.block_on(async {});
    assert_eq!(event_loop.block_on(left), 7);
}
