//! Callback-style libraries: once, twice, late, inline, from another thread, never.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use common::{Bomb, outcome};
use pontoon_bridge::{CallError, CompleterStats, call, inbox};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

/// The counts are the process's, so tests that compare them take turns.
static TURN: Mutex<()> = Mutex::new(());

#[test]
fn a_callback_may_come_inline_or_from_another_thread() {
    let (inline, completer) = call();
    assert!(completer.complete("inline"));
    assert_eq!(outcome(inline).unwrap(), "inline");
    let (elsewhere, completer) = call();
    let thread = thread::spawn(move || completer.complete("elsewhere"));
    assert_eq!(outcome(elsewhere).unwrap(), "elsewhere");
    assert!(thread.join().unwrap());
}

#[test]
fn a_second_callback_changes_nothing_and_is_counted() {
    let _turn = TURN.lock().unwrap();
    let before = CompleterStats::read();
    let (call, completer) = call();
    assert!(completer.complete(1));
    assert!(!completer.complete(2));
    drop(completer);
    assert_eq!(outcome(call).unwrap(), 1);
    assert_eq!(CompleterStats::read().repeated, before.repeated + 1);
}

#[test]
fn a_late_callback_is_counted_and_its_value_dropped_even_if_that_panics() {
    let _turn = TURN.lock().unwrap();
    let before = CompleterStats::read();
    let (call, completer) = call();
    assert!(!completer.is_cancelled());
    drop(call);
    assert!(completer.is_cancelled());
    assert!(
        !completer.complete(Bomb("late")),
        "no panic gets into the library"
    );
    assert_eq!(CompleterStats::read().late, before.late + 1);
}

#[test]
fn a_callback_that_never_comes_is_an_abandoned_call() {
    let (call, completer) = call::<()>();
    drop(completer);
    assert!(matches!(outcome(call), Err(CallError::Abandoned)));
}

#[test]
fn a_deadline_holds_for_a_callback_too() {
    let _turn = TURN.lock().unwrap();
    let (call, completer) = call::<()>();
    let soon = Instant::now() + Duration::from_millis(10);
    let result = outcome(call.deadline_at(soon));
    assert!(matches!(
        result,
        Err(CallError::DeadlineExceeded { running: true })
    ));
    assert!(completer.context(None).is_cancelled());
    assert!(!completer.complete(()));
}

#[test]
fn callers_on_bare_mio_get_outcomes_of_a_pool_through_an_inbox() {
    use mio::{Events, Interest, Poll, Token};
    let pool = pontoon_bridge::Pool::named("bare")
        .threads(2)
        .build()
        .unwrap();
    let mut poll = Poll::new().unwrap();
    let (mut inbox, sender) = inbox().unwrap();
    poll.registry()
        .register(&mut inbox, Token(0), Interest::READABLE)
        .unwrap();
    // The calls are kept: dropping one would cancel it.
    let calls: Vec<_> = (0..100)
        .map(|n| {
            let sender = sender.clone();
            pool.call(move |()| sender.send(n).unwrap()).submit()
        })
        .collect();
    let (mut events, mut got) = (Events::with_capacity(8), Vec::new());
    while got.len() < 100 {
        poll.poll(&mut events, Some(common::PATIENCE)).unwrap();
        assert!(!events.is_empty(), "a wake was lost");
        inbox.drain(16, |n| got.push(n));
    }
    got.sort_unstable();
    assert_eq!(got, (0..100).collect::<Vec<_>>());
    drop(calls);
}
