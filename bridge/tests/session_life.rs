//! How sessions end: by age, by use, by idling, by what happens in them; and how leave is taken of them.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use common::{Gate, PATIENCE, eventually, outcome};
use pontoon_bridge::{BoxError, BuildError, CallError, Pool, PoolBuilder, SessionKind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread::{self, ThreadId};
use std::time::Duration;

/// Counts the sessions of a library, open and closed.
#[derive(Clone, Default)]
struct Library {
    opened: Arc<AtomicUsize>,
    closed: Arc<AtomicUsize>,
    dropped: Arc<AtomicUsize>,
    open_max: Arc<AtomicUsize>,
}

struct Connection {
    number: usize,
    home: ThreadId,
    library: Library,
}

impl Library {
    fn kind(&self) -> SessionKind<Connection> {
        let library = self.clone();
        let kind = SessionKind::new(move || {
            let number = library.opened.fetch_add(1, SeqCst);
            // Those that were opened and dropped since then make it too small, never too large.
            let open = (number + 1).saturating_sub(library.dropped.load(SeqCst));
            library.open_max.fetch_max(open, SeqCst);
            Ok::<_, BoxError>(Connection {
                number,
                home: thread::current().id(),
                library: library.clone(),
            })
        });
        kind.close(|connection| {
            assert_eq!(connection.home, thread::current().id());
            connection.library.closed.fetch_add(1, SeqCst);
        })
    }

    fn counts(&self) -> [usize; 3] {
        [&self.opened, &self.closed, &self.dropped].map(|count| count.load(SeqCst))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.library.dropped.fetch_add(1, SeqCst);
    }
}

fn pool(name: &str, kind: SessionKind<Connection>) -> PoolBuilder<Connection> {
    let pool = Pool::named(name).threads(1).session_kind(kind);
    pool.session_idle(Duration::MAX)
}

fn number(pool: &Pool<Connection>) -> usize {
    outcome(pool.call(|connection| connection.number).submit()).unwrap()
}

#[test]
fn a_session_is_replaced_after_so_many_uses() {
    let library = Library::default();
    let pool = pool("uses", library.kind()).session_max_uses(3);
    let pool = pool.build().unwrap();
    assert_eq!([(); 7].map(|()| number(&pool)), [0, 0, 0, 1, 1, 1, 2]);
    eventually("those that are used up are closed", || {
        library.counts() == [3, 2, 2]
    });
}

#[test]
fn an_old_session_is_replaced_but_not_while_a_call_runs_in_it() {
    let library = Library::default();
    let pool = pool("age", library.kind()).session_max_age(Duration::from_millis(1));
    let pool = pool.build().unwrap();
    let age = Duration::from_millis(1);
    let call = pool.call(move |connection| {
        let began = std::time::Instant::now();
        while began.elapsed() < age {
            thread::yield_now();
        }
        let dropped = connection.library.dropped.load(SeqCst);
        (connection.number, dropped)
    });
    assert_eq!(outcome(call.submit()).unwrap(), (0, 0));
    assert_eq!(number(&pool), 1);
}

#[test]
fn an_old_session_that_nobody_uses_is_closed_by_its_worker() {
    let library = Library::default();
    let pool = pool("old", library.kind()).session_max_age(Duration::from_millis(20));
    let pool = pool.build().unwrap();
    number(&pool);
    eventually("it is closed", || library.counts() == [1, 1, 1]);
}

#[test]
fn leave_is_taken_of_every_session_once_before_it_is_dropped() {
    let library = Library::default();
    let kind = library.kind().check(|connection| match connection.number {
        2 => Err("it broke"),
        _ => Ok(()),
    });
    let pool = pool("leave", kind).session_max_uses(5).build().unwrap();
    outcome(pool.call_with(|session, _| session.discard()).submit()).unwrap();
    let panicked = outcome(pool.call(|_| panic!("midway")).submit());
    assert!(matches!(panicked, Err::<(), _>(CallError::Panicked { .. })));
    eventually("both are closed", || library.counts() == [2, 2, 2]);
    outcome(pool.call_with(|session, _| session.suspect()).submit()).unwrap();
    assert_eq!(number(&pool), 3);
    assert_eq!(library.counts(), [4, 3, 3]);
    assert_eq!(pool.shutdown(PATIENCE).still_running, 0);
    assert_eq!(library.counts(), [4, 4, 4]);
}

#[test]
fn a_leave_taking_that_takes_its_time_delays_no_outcome() {
    let gate = common::Gate::default();
    let at_gate = gate.clone();
    let kind = SessionKind::new(|| Ok::<_, BoxError>(())).close(move |()| at_gate.pass());
    let pool = Pool::named("slow").threads(1).session_kind(kind);
    let pool = pool.session_max_uses(1).build().unwrap();
    outcome(pool.call(|()| ()).tag(7).submit()).unwrap();
    gate.wait_for(1);
    // It is still the library's, and does not go unseen.
    assert_eq!(pool.running()[0].tag, Some(7));
    gate.open();
    eventually("it ends", || pool.running().is_empty());
    let panicked = outcome(pool.call(|()| panic!("midway")).submit());
    assert!(matches!(panicked, Err::<(), _>(CallError::Panicked { .. })));
    assert_eq!(pool.shutdown(PATIENCE).still_running, 0);
}

/// Panics when leave is taken of it, and again when it is dropped.
struct Sore;

impl Drop for Sore {
    fn drop(&mut self) {
        panic!("in its drop");
    }
}

#[test]
fn a_session_that_panics_both_at_its_close_and_its_drop_hurts_nobody() {
    let kind = SessionKind::new(|| Ok::<_, BoxError>(Sore));
    let kind = kind.close(|_| panic!("at its close"));
    let pool = Pool::named("sore").threads(1).session_kind(kind);
    let pool = pool.session_max_uses(2).build().unwrap();
    for _ in 0..3 {
        outcome(pool.call(|_| ()).submit()).unwrap();
        outcome(pool.call(|_| ()).submit()).unwrap();
        let panicked = outcome(pool.call(|_| panic!("midway")).submit());
        assert!(matches!(panicked, Err::<(), _>(CallError::Panicked { .. })));
        outcome(pool.call_with(|session, _| session.discard()).submit()).unwrap();
    }
    let stats = pool.stats();
    // Only the calls that panicked themselves.
    assert_eq!((stats.panicked, stats.sessions_opened), (3, 9));
    assert_eq!(pool.shutdown(PATIENCE).still_running, 0);
}

#[test]
fn a_session_is_checked_after_it_idled_for_as_long_as_the_pool_says() {
    for (check_after, expected) in [(Duration::ZERO, 3), (Duration::MAX, 0)] {
        let checks = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&checks);
        let kind = Library::default().kind().check(move |_| {
            count.fetch_add(1, SeqCst);
            Ok::<_, BoxError>(())
        });
        let pool = pool("checks", kind).session_check_after(check_after);
        let pool = pool.build().unwrap();
        (0..4).for_each(|_| assert_eq!(number(&pool), 0));
        assert_eq!(checks.load(SeqCst), expected);
    }
}

/// Calls hang, panic, discard and wear out their sessions, spare workers come and go, and some sessions
/// are kept warm: there are never more sessions of a kind than workers.
#[test]
fn there_are_never_more_sessions_of_a_kind_than_workers() {
    const THREADS: usize = 3;
    const SPARE: usize = 2;
    let libraries = [Library::default(), Library::default()];
    let pool = Pool::named("bound").threads(THREADS).max_stuck(SPARE);
    let pool = pool
        .stuck_after(Duration::from_millis(5))
        .sessions_min(2)
        .session_max_uses(7)
        .session_idle(Duration::from_millis(2))
        .codel(None);
    let pool = pool.session_kind(libraries[0].kind()).build().unwrap();
    let pools = [pool.clone(), pool.with_sessions(libraries[1].kind())];
    for round in 0..20 {
        let gate = Gate::default();
        // So many hang that all spare workers come in.
        let hung: Vec<_> = (0..round % (SPARE + 1))
            .map(|n| {
                let at_gate = gate.clone();
                pools[n % 2].call(move |_| at_gate.pass()).submit()
            })
            .collect();
        let calls: Vec<_> = (0..100)
            .map(|n| {
                let call = pools[n % 2].call_with(move |session, _| match n % 10 {
                    3 => session.discard(),
                    7 => panic!("now and then"),
                    _ => thread::yield_now(),
                });
                call.submit()
            })
            .collect();
        calls.into_iter().for_each(|call| drop(outcome(call)));
        if !hung.is_empty() {
            eventually("they are stuck", || pool.stats().stuck == hung.len());
        }
        gate.open();
        hung.into_iter().for_each(|call| outcome(call).unwrap());
    }
    for library in &libraries {
        let most = library.open_max.load(SeqCst);
        assert!((2..=THREADS + SPARE).contains(&most), "{most}");
    }
    drop(pools);
    assert_eq!(pool.shutdown(PATIENCE).still_running, 0);
    for library in &libraries {
        let [opened, closed, dropped] = library.counts();
        assert_eq!((closed, dropped), (opened, opened));
    }
}

#[test]
fn a_call_that_is_interrupted_costs_its_session_and_leave_is_taken_of_it() {
    struct Stop(Arc<AtomicBool>);
    impl pontoon_bridge::Interrupt for Stop {
        fn interrupt(&self) {
            self.0.store(true, SeqCst);
        }
    }
    let stop = Arc::new(AtomicBool::new(false));
    let (handle, gate, library) = (Arc::clone(&stop), Gate::default(), Library::default());
    let kind = library.kind().interrupter(move |_| {
        Some(Box::new(Stop(Arc::clone(&handle))) as Box<dyn pontoon_bridge::Interrupt>)
    });
    let pool = pool("stop", kind).build().unwrap();
    let at_gate = gate.clone();
    gate.open();
    let call = pool.call(move |_| {
        at_gate.pass();
        while !stop.load(SeqCst) {
            thread::yield_now();
        }
    });
    let call = call.submit();
    gate.wait_for(1);
    drop(call);
    assert_eq!(number(&pool), 1);
    assert_eq!(library.counts(), [2, 1, 1]);
}

#[test]
fn limits_that_make_no_sense_are_errors() {
    let build =
        |change: fn(PoolBuilder) -> PoolBuilder| change(Pool::named("db").threads(4)).build();
    let wrong: [fn(PoolBuilder) -> PoolBuilder; 3] = [
        |pool| pool.sessions_min(5),
        |pool| pool.session_max_uses(0),
        |pool| pool.session_max_age(Duration::ZERO),
    ];
    for change in wrong {
        let error = build(change).unwrap_err();
        assert!(matches!(error, BuildError::Invalid { .. }), "{error}");
    }
    build(|pool| pool.sessions_min(4)).unwrap();
}

#[test]
fn sessions_that_no_call_can_use_any_more_are_closed_at_once_and_their_kind_goes_with_them() {
    // The kind's own values are dropped after its last session, and may panic as well.
    let order = Arc::new(Mutex::new(Vec::new()));
    struct Says(&'static str, Arc<Mutex<Vec<&'static str>>>);
    impl Drop for Says {
        fn drop(&mut self) {
            self.1.lock().unwrap().push(self.0);
            assert_ne!(self.0, "kind", "its drop panics, as it was told to");
        }
    }
    let pool = Pool::named("kind").threads(1);
    let base = pool.session_idle(Duration::MAX).build().unwrap();
    let (of_kind, also) = (Says("kind", Arc::clone(&order)), Arc::clone(&order));
    let pool = base.with_sessions(SessionKind::new(move || {
        let _kept_by_the_kind = &of_kind;
        Ok::<_, BoxError>(Says("session", Arc::clone(&also)))
    }));
    outcome(pool.call(|_| ()).submit()).unwrap();
    drop(pool);
    eventually("both are gone", || order.lock().unwrap().len() == 2);
    assert_eq!(*order.lock().unwrap(), ["session", "kind"]);
    outcome(base.call(|()| ()).submit()).unwrap();
}
