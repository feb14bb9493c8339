//! What a `Limiter` promises, whatever it is shown.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use pontoon_bridge::limit::{Limiter, Window};
use proptest::prelude::*;
use std::time::Duration;

const WINDOW: Duration = Duration::from_millis(100);
const SERVICE: Duration = Duration::from_millis(10);

/// A window of a backend with room for `room` calls, who share it if they are more.
fn full(limit: usize, room: usize) -> Window {
    let running = u32::try_from(limit).unwrap();
    let room = u32::try_from(room).unwrap();
    let service = SERVICE * running.max(room) / room;
    Window {
        length: WINDOW,
        completed: u64::from(running.min(room)) * 10,
        service,
        service_rms: service,
        busy: WINDOW * running,
        waiting: 40,
    }
}

/// A window in which so many calls came and none waited.
fn quiet(completed: u64) -> Window {
    Window {
        length: WINDOW,
        completed,
        service: SERVICE,
        service_rms: SERVICE,
        busy: SERVICE * u32::try_from(completed).unwrap(),
        waiting: 0,
    }
}

/// Serves under load for so many windows; the mean limit.
fn serve(limiter: &mut Limiter, room: usize, windows: u32) -> f64 {
    let mut sum = 0.0;
    for _ in 0..windows {
        let limit = limiter.limit();
        sum += limit as f64;
        limiter.observe(&full(limit, room));
    }
    sum / f64::from(windows)
}

fn any_duration() -> impl Strategy<Value = Duration> {
    prop_oneof![
        Just(Duration::ZERO),
        Just(Duration::MAX),
        (0..10_000_000_000_u64).prop_map(Duration::from_nanos),
        (any::<u64>(), 0..1_000_000_000_u32).prop_map(|(s, ns)| Duration::new(s, ns)),
    ]
}

fn any_count() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), 0..1000_u64, any::<u64>()]
}

/// Anything that the type can hold, also what no pool can see.
fn any_window() -> impl Strategy<Value = Window> {
    let durations = (
        any_duration(),
        any_duration(),
        any_duration(),
        any_duration(),
    );
    (durations, any_count(), any_count()).prop_map(
        |((length, service, service_rms, busy), completed, waiting)| Window {
            length,
            completed,
            service,
            service_rms,
            busy,
            waiting,
        },
    )
}

/// A full window of any length, with any number of calls that took any time.
fn any_full_window() -> impl Strategy<Value = Window> {
    any_window().prop_map(|window| Window {
        busy: Duration::MAX,
        waiting: window.waiting.max(1),
        ..window
    })
}

fn any_history() -> impl Strategy<Value = Vec<Window>> {
    let window = prop_oneof![
        any_window(),
        any_full_window(),
        (0..200_usize, 1..300_usize).prop_map(|(limit, room)| full(limit, room)),
        (0..100_u64).prop_map(quiet),
    ];
    prop::collection::vec((window, 1..30_usize), 0..60).prop_map(|runs| {
        let windows = |(window, times)| std::iter::repeat_n(window, times);
        runs.into_iter().flat_map(windows).collect()
    })
}

proptest! {
    #[test]
    fn the_limit_is_always_between_min_and_max(
        bounds in (any::<usize>(), any::<usize>()),
        history in any_history(),
    ) {
        let (min, max) = bounds;
        let mut limiter = Limiter::new(min, max);
        let (min, max) = (min.max(1), max.max(min).max(1));
        for window in &history {
            let limit = limiter.observe(window);
            prop_assert!((min..=max).contains(&limit), "{limit}");
            prop_assert_eq!(limit, limiter.limit());
        }
    }

    #[test]
    fn after_any_history_it_finds_the_backends_room(
        room in 3..100_usize,
        history in any_history(),
    ) {
        let mut limiter = Limiter::new(1, 128);
        for window in &history {
            limiter.observe(window);
        }
        // Half an hour: calls that took hours, as they may have in this history, make it wait for more.
        serve(&mut limiter, room, 20_000);
        let found = serve(&mut limiter, room, 600);
        prop_assert!(found > 0.75 * room as f64, "{found} of {room}");
        prop_assert!(found < 1.6 * room as f64, "{found} of {room}");
    }
}

#[test]
fn the_same_windows_give_the_same_limits() {
    let (mut one, mut two) = (Limiter::new(1, 128), Limiter::new(1, 128));
    for _ in 0..1000 {
        let window = full(one.limit(), 20);
        assert_eq!(one.observe(&window), two.observe(&window));
    }
}

#[test]
fn bounds_that_make_no_sense_are_put_right() {
    assert_eq!(Limiter::new(0, 0).limit(), 1);
    assert_eq!(Limiter::new(8, 2).limit(), 8);
    let mut only = Limiter::new(5, 5);
    assert_eq!(serve(&mut only, 20, 1000), 5.0);
}

#[test]
fn a_night_without_load_changes_nothing() {
    let mut limiter = Limiter::new(1, 128);
    serve(&mut limiter, 30, 3000);
    let evening = limiter.observe(&quiet(0));
    let night: Vec<usize> = (0..8 * 36_000)
        .map(|window| limiter.observe(&quiet(u64::from(window % 600 == 0))))
        .collect();
    let home = *night.last().unwrap();
    assert!((25..=40).contains(&home), "{home}");
    // A trial may have been under way.
    assert!(night[20..].iter().all(|limit| *limit == home), "{evening}");
    let morning = serve(&mut limiter, 30, 100);
    assert!((25.0..=40.0).contains(&morning), "{morning}");
}

#[test]
fn load_without_a_queue_teaches_nothing() {
    let mut limiter = Limiter::new(1, 128);
    let before = limiter.limit();
    let mut window = full(before, 1000);
    window.waiting = 0;
    assert!((0..1000).all(|_| limiter.observe(&window) == before));
}

#[test]
fn a_queue_that_the_limit_does_not_cause_teaches_nothing() {
    let mut limiter = Limiter::new(1, 128);
    let before = limiter.limit();
    let mut window = full(before, 1000);
    window.busy /= 2;
    assert!((0..1000).all(|_| limiter.observe(&window) == before));
}

#[test]
fn while_everything_hangs_the_limit_stays_near() {
    let mut limiter = Limiter::new(1, 128);
    serve(&mut limiter, 30, 3000);
    let hung = |limit: usize| Window {
        length: WINDOW,
        busy: WINDOW * u32::try_from(limit).unwrap(),
        waiting: 40,
        ..Window::default()
    };
    for _ in 0..600 {
        let limit = limiter.limit();
        limiter.observe(&hung(limit));
        assert!((15..=60).contains(&limit), "{limit}");
    }
}

#[test]
fn a_backend_that_shrinks_is_followed_down_and_up_again() {
    let mut limiter = Limiter::new(1, 128);
    for room in [40, 5, 80, 12] {
        serve(&mut limiter, room, 1200);
        let found = serve(&mut limiter, room, 300);
        assert!(
            found > 0.75 * room as f64 && found < 1.6 * room as f64,
            "{room}: {found}"
        );
    }
}
