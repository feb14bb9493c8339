//! The door and the take, with numbers that can be reckoned by hand.

use super::{Admission, CoDel, Refusal, Typical, Unwanted};
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

/// For a location of which nothing is known.
fn enter(admission: &Admission, time_left: Option<Duration>) -> Result<u64, Refusal> {
    admission.enter(time_left, &Typical::default(), Duration::ZERO)
}

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
fn the_bound_is_exact_under_races() {
    let admission = Admission::new(2, 5, None);
    let inside = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..50_000 {
                    if enter(&admission, None).is_ok() {
                        // SeqCst: a test's own count.
                        assert!(inside.fetch_add(1, SeqCst) < 7);
                        // SeqCst: as above.
                        inside.fetch_sub(1, SeqCst);
                        admission.leave();
                    }
                }
            });
        }
    });
    assert_eq!(admission.in_flight(), 0);
    assert_eq!(
        (0..10).filter(|_| enter(&admission, None).is_ok()).count(),
        7
    );
    assert_eq!(enter(&admission, None), Err(Refusal::Full { inside: 7 }));
    // A stuck worker's place is not taken from the queue, and one more worker brings its own.
    admission.resize(3, 1, 3);
    assert!(enter(&admission, None).is_ok());
    assert_eq!(enter(&admission, None), Err(Refusal::Full { inside: 8 }));
}

#[test]
fn retry_after_follows_the_drain_rate() {
    let admission = Admission::new(2, 100, None);
    assert_eq!(admission.retry_after(), Duration::from_secs(1));
    (0..100).for_each(|_| admission.learn(ms(500)));
    assert!((0..42).all(|_| enter(&admission, None).is_ok()));
    // 40 wait and one more would: 41 calls × 0.5 s on 2 threads.
    assert_eq!(admission.retry_after(), Duration::from_secs(11));
    admission.resize(2, 1, 2);
    assert_eq!(
        admission.retry_after(),
        Duration::from_secs(21),
        "one serves"
    );
    (0..100).for_each(|_| admission.learn(Duration::from_secs(3600)));
    assert_eq!(admission.retry_after(), Duration::from_secs(60));
}

#[test]
fn who_would_be_late_is_refused_at_the_door() {
    let admission = Admission::new(2, 100, None);
    let enter = |left| super::tests::enter(&admission, Some(left));
    assert!(
        (0..12).all(|_| enter(ms(1)).is_ok()),
        "nothing is known yet"
    );
    (0..100).for_each(|_| admission.learn(ms(10)));
    // 10 wait: 11 × 10 ms / 2, and 10 ms for the call itself, or less if its location is quicker.
    let typical = Typical::default();
    typical.learn(ms(10));
    let mine = |left| admission.enter(Some(left), &typical, Duration::ZERO);
    assert_eq!(mine(ms(64)), Err(Refusal::TooLate { wait: ms(55) }));
    assert!(mine(ms(66)).is_ok());
    assert_eq!(enter(ms(59)), Err(Refusal::TooLate { wait: ms(60) }));
    assert!(enter(ms(61)).is_ok(), "nothing is known of its location");
    assert!(enter(Duration::ZERO).is_ok(), "its deadline answers");
    (0..14).for_each(|_| admission.leave());
    assert!(
        enter(ms(1)).is_ok(),
        "a worker is free: nobody knows better"
    );
}

#[test]
fn calls_that_are_stuck_are_no_queue() {
    let admission = Admission::new(8, 99, Some(CoDel::default()));
    (0..100).for_each(|_| admission.learn(ms(10)));
    assert!((0..6).all(|_| enter(&admission, None).is_ok()));
    admission.resize(8, 6, 8);
    assert!(
        enter(&admission, Some(ms(1))).is_ok(),
        "two workers are free"
    );
    assert!(enter(&admission, Some(ms(1))).is_ok(), "one is");
    let refused = enter(&admission, Some(ms(1)));
    assert!(
        matches!(refused, Err(Refusal::TooLate { .. })),
        "{refused:?}"
    );
}

#[test]
fn a_location_whose_calls_always_wait_is_tried_again() {
    let admission = Admission::new(1, 9, None);
    let typical = Typical::default();
    typical.learn(Duration::from_secs(5));
    let now = Instant::now();
    let judge = || {
        let deadline = Some(now + ms(500));
        admission.judge(now.checked_sub(ms(500)), deadline, now, &typical)
    };
    assert!(judge().is_err());
    assert!(
        (0..100).any(|_| judge().is_ok()),
        "what was learnt grows old"
    );
}

#[test]
fn one_call_that_hung_does_not_make_the_pool_look_slow() {
    let admission = Admission::new(2, 100, None);
    (0..100).for_each(|_| admission.learn(ms(1)));
    admission.learn(Duration::from_secs(60));
    assert!(admission.service().unwrap() < ms(2));
}

#[test]
fn what_has_less_time_left_than_a_call_takes_is_not_run() {
    let admission = Admission::new(1, 9, None);
    let typical = Typical::default();
    (0..100).for_each(|_| typical.learn(ms(30)));
    let now = Instant::now();
    let judge = |waited, left| {
        let deadline = Some(now + left);
        admission.judge(now.checked_sub(waited), deadline, now, &typical)
    };
    let too_late = Unwanted::Refused(Refusal::TooLate { wait: ms(80) });
    assert_eq!(judge(ms(80), ms(20)), Err(too_late));
    assert_eq!(judge(ms(60), ms(40)), Ok(()));
    assert_eq!(
        judge(ms(2), ms(20)),
        Ok(()),
        "a fair start: it has not waited"
    );
    assert_eq!(judge(ms(2), ms(0)), Err(Unwanted::Expired));
}

#[test]
fn a_queue_that_stands_is_refused_at_both_ends() {
    let admission = Admission::new(1, 99, Some(CoDel::default()));
    (0..100).for_each(|_| admission.learn(ms(1)));
    let typical = Typical::default();
    let start = Instant::now();
    let take = |at: u64, waited| {
        let now = start + ms(1_000 + at);
        admission.judge(now.checked_sub(waited), None, now, &typical)
    };
    let (long, short) = (ms(50), ms(9));
    assert!((0..100).step_by(10).all(|at| take(at, long).is_ok()));
    let overloaded = Unwanted::Refused(Refusal::Overloaded { wait: long });
    assert_eq!(take(110, long), Err(overloaded));
    assert_eq!(take(111, short), Ok(()));
    // One runs; seven that wait are fine, with a wait of 7 ms for the last.
    let let_in = (0..20).take_while(|_| enter(&admission, None).is_ok());
    assert_eq!(let_in.count(), 8);
    let refused = enter(&admission, None);
    assert!(
        matches!(refused, Err(Refusal::Overloaded { .. })),
        "{refused:?}"
    );
}
