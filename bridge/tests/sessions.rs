//! Sessions: opened lazily on their worker, never moved, checked, discarded, interrupted.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use common::{Bomb, Gate, PATIENCE, eventually, outcome};
use pontoon_bridge::{BoxError, CallError, Interrupt, Pool, SessionKind};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::thread::{self, ThreadId};
use std::time::Duration;

/// Knows its thread, and complains if it is dropped on another. Not `Send`, as many handles.
struct Connection {
    home: ThreadId,
    number: usize,
    drops: Arc<AtomicUsize>,
    _not_send: Rc<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        assert_eq!(self.home, thread::current().id());
        self.drops.fetch_add(1, SeqCst);
    }
}

#[derive(Clone, Default)]
struct Library {
    opened: Arc<AtomicUsize>,
    drops: Arc<AtomicUsize>,
}

impl Library {
    fn open(&self) -> Result<Connection, BoxError> {
        Ok(Connection {
            home: thread::current().id(),
            number: self.opened.fetch_add(1, SeqCst),
            drops: Arc::clone(&self.drops),
            _not_send: Rc::new(()),
        })
    }

    fn kind(&self) -> SessionKind<Connection> {
        let library = self.clone();
        SessionKind::new(move || library.open())
    }

    fn open_now(&self) -> usize {
        self.opened.load(SeqCst) - self.drops.load(SeqCst)
    }
}

#[test]
fn a_session_is_opened_on_first_use_and_stays_on_its_worker() {
    let library = Library::default();
    let pool = Pool::named("stay").threads(3).session_kind(library.kind());
    let pool = pool.session_idle(Duration::MAX).build().unwrap();
    assert_eq!(library.opened.load(SeqCst), 0);
    let calls: Vec<_> = (0..200)
        .map(|_| {
            pool.call(|connection| assert_eq!(connection.home, thread::current().id()))
                .submit()
        })
        .collect();
    calls.into_iter().for_each(|call| outcome(call).unwrap());
    assert!((1..=3).contains(&library.opened.load(SeqCst)));
    assert_eq!(pool.shutdown(PATIENCE).still_running, 0);
    assert_eq!((library.open_now(), pool.stats().sessions), (0, 0));
}

#[test]
fn an_idle_session_is_closed_and_the_next_call_opens_another() {
    let library = Library::default();
    let pool = Pool::named("idle").threads(1).session_kind(library.kind());
    let pool = pool
        .session_idle(Duration::from_millis(10))
        .build()
        .unwrap();
    assert_eq!(outcome(pool.call(|c| c.number).submit()).unwrap(), 0);
    eventually("it is closed", || library.open_now() == 0);
    assert_eq!(outcome(pool.call(|c| c.number).submit()).unwrap(), 1);
    assert_eq!(pool.stats().sessions_opened, 2);
}

#[test]
fn a_panic_discards_the_session_and_the_next_call_gets_a_new_one() {
    let library = Library::default();
    let pool = Pool::named("fresh").threads(1).session_kind(library.kind());
    let pool = pool.build().unwrap();
    let panicked = outcome(pool.call(|_| panic!("midway")).submit());
    assert!(matches!(panicked, Err::<(), _>(CallError::Panicked { .. })));
    eventually("the session is closed", || library.open_now() == 0);
    assert_eq!(outcome(pool.call(|c| c.number).submit()).unwrap(), 1);
}

#[test]
fn a_call_may_discard_its_session() {
    let library = Library::default();
    let pool = Pool::named("discard")
        .threads(1)
        .session_kind(library.kind());
    let pool = pool.build().unwrap();
    outcome(pool.call_with(|session, _| session.discard()).submit()).unwrap();
    assert_eq!(outcome(pool.call(|c| c.number).submit()).unwrap(), 1);
}

#[test]
fn a_suspected_session_that_fails_its_check_is_replaced() {
    let library = Library::default();
    let checks = Arc::new(AtomicUsize::new(0));
    let also_checks = Arc::clone(&checks);
    let kind = library.kind().check(move |connection| {
        also_checks.fetch_add(1, SeqCst);
        match connection.number {
            0 => Err("broken"),
            1 => panic!("worse"),
            _ => Ok(()),
        }
    });
    let pool = Pool::named("check")
        .threads(1)
        .session_kind(kind)
        .build()
        .unwrap();
    let use_and_suspect = || {
        let call = pool.call_with(|session, _| {
            session.suspect();
            session.get().number
        });
        outcome(call.submit()).unwrap()
    };
    assert_eq!([(); 4].map(|()| use_and_suspect()), [0, 1, 2, 2]);
    assert_eq!(checks.load(SeqCst), 3);
    assert_eq!(library.open_now(), 1);
}

#[test]
fn a_session_whose_drop_panics_hurts_nobody() {
    let kind = SessionKind::new(|| Ok::<_, BoxError>(Bomb("closing")));
    let kind = kind.check(|_| -> Result<(), BoxError> { panic!("checking") });
    let pool = Pool::named("closing")
        .threads(1)
        .session_kind(kind)
        .build()
        .unwrap();
    for _ in 0..2 {
        outcome(pool.call_with(|session, _| session.discard()).submit()).unwrap();
        let panicked = outcome(pool.call(|_| panic!("calling")).submit());
        assert!(matches!(panicked, Err::<(), _>(CallError::Panicked { .. })));
        // Its check panics as well, while it is still held.
        outcome(pool.call_with(|session, _| session.suspect()).submit()).unwrap();
        outcome(pool.call(|_| ()).submit()).unwrap();
    }
    assert_eq!(pool.shutdown(PATIENCE).still_running, 0);
}

#[test]
fn one_pool_serves_sessions_of_several_kinds() {
    let pool = Pool::named("kinds").threads(1).build().unwrap();
    let words = pool.with_sessions(SessionKind::new(|| Ok::<_, BoxError>("word")));
    let numbers = pool.with_sessions(SessionKind::new(|| Ok::<_, BoxError>(5)));
    for _ in 0..2 {
        assert_eq!(outcome(words.call(|word| *word).submit()).unwrap(), "word");
        assert_eq!(outcome(numbers.call(|number| *number).submit()).unwrap(), 5);
    }
    assert_eq!(pool.stats().sessions_opened, 2);
}

/// Notes the thread it runs on and sets the session's flag, as a cancel over the network would.
struct Cancel {
    cancelled: Arc<AtomicBool>,
    ran_on: mpsc::Sender<Option<String>>,
}

impl Interrupt for Cancel {
    fn interrupt(&self) {
        self.cancelled.store(true, SeqCst);
        let name = thread::current().name().map(str::to_owned);
        let _ = self.ran_on.send(name);
    }
}

type Flag = Arc<AtomicBool>;

fn interruptible(name: &str) -> (Pool<Flag>, mpsc::Receiver<Option<String>>) {
    let (ran_on, receiver) = mpsc::channel();
    let kind = SessionKind::new(|| Ok::<_, BoxError>(Flag::default()));
    let kind = kind.interrupter(move |cancelled: &Flag| {
        Some(Box::new(Cancel {
            cancelled: Arc::clone(cancelled),
            ran_on: ran_on.clone(),
        }) as Box<dyn Interrupt>)
    });
    let pool = Pool::named(name).threads(1).session_kind(kind);
    (pool.build().unwrap(), receiver)
}

#[test]
fn a_running_call_whose_client_left_is_interrupted_off_the_loop_and_its_session_discarded() {
    let (pool, interrupts) = interruptible("interrupt");
    let gate = Gate::default();
    let (at_gate, (say, caller)) = (gate.clone(), mpsc::channel());
    gate.open();
    let call = pool.call(move |cancelled| {
        at_gate.pass();
        while !cancelled.load(SeqCst) {
            thread::yield_now();
        }
        say.send(thread::current().id()).unwrap();
    });
    let call = call.submit();
    gate.wait_for(1);
    drop(call);
    caller.recv_timeout(PATIENCE).unwrap();
    let ran_on = interrupts.recv_timeout(PATIENCE).unwrap();
    assert_eq!(
        ran_on.as_deref(),
        Some("interrupt"),
        "the pool's own thread"
    );
    let clean = outcome(pool.call(|cancelled| !cancelled.load(SeqCst)).submit());
    assert!(clean.unwrap());
    assert_eq!(pool.stats().sessions_opened, 2);
}

#[test]
fn an_interrupt_that_races_with_the_end_of_its_call_never_hits_the_next() {
    let (pool, _interrupts) = interruptible("late cancel");
    for _ in 0..5000 {
        let left = pool.call(|_| ()).submit();
        let next = pool.call(|cancelled| cancelled.load(SeqCst)).submit();
        thread::yield_now();
        drop(left);
        assert!(!outcome(next).unwrap(), "it hit the next call");
    }
}

#[test]
fn an_interrupt_hook_that_panics_does_not_end_the_watchdog() {
    struct Panics(AtomicUsize, mpsc::Sender<usize>);
    struct Hook(Arc<Panics>);
    impl Interrupt for Hook {
        fn interrupt(&self) {
            let times = self.0.0.fetch_add(1, SeqCst);
            let _ = self.0.1.send(times);
            panic!("in the hook");
        }
    }
    let (say, heard) = mpsc::channel();
    let hook = Arc::new(Panics(AtomicUsize::new(0), say));
    let kind = SessionKind::new(|| Ok::<_, BoxError>(()));
    let kind =
        kind.interrupter(move |()| Some(Box::new(Hook(Arc::clone(&hook))) as Box<dyn Interrupt>));
    let pool = Pool::named("hook")
        .threads(1)
        .session_kind(kind)
        .build()
        .unwrap();
    for times in 0..2 {
        let gate = Gate::default();
        let at_gate = gate.clone();
        let call = pool.call(move |()| at_gate.pass()).submit();
        gate.wait_for(1);
        drop(call);
        assert_eq!(heard.recv_timeout(PATIENCE).unwrap(), times);
        gate.open();
    }
}

#[test]
fn a_session_whose_kind_is_gone_makes_room_for_the_next_one_that_is_opened() {
    let library = Library::default();
    let pool = Pool::named("kinds").threads(1);
    let pool = pool.session_idle(Duration::MAX).build().unwrap();
    let stays = pool.with_sessions(library.kind());
    assert!(outcome(stays.call(|session| session.number).submit()).is_ok());
    for _ in 0..10 {
        let goes = pool.with_sessions(library.kind());
        assert!(outcome(goes.call(|session| session.number).submit()).is_ok());
        // The worker's part of the call may hold the kind for a moment longer.
        drop(goes);
    }
    eventually("the others are closed", || {
        let opens = pool.with_sessions(library.kind());
        assert!(outcome(opens.call(|_| ()).submit()).is_ok());
        library.open_now() <= 3
    });
    let number = outcome(stays.call(|session| session.number).submit());
    assert_eq!(number.unwrap(), 0, "the one that is used stays");
}

/// Hangs until the gate opens.
struct Hangs(Gate);

impl Interrupt for Hangs {
    fn time_limit(&self) -> Duration {
        Duration::from_millis(1)
    }

    fn interrupt(&self) {
        self.0.pass();
    }
}

#[test]
fn an_interrupt_hook_that_hangs_keeps_no_other_one_waiting() {
    let (hooks, calls) = (Gate::default(), Gate::default());
    let hang = hooks.clone();
    let is_first = AtomicBool::new(true);
    let (say, heard) = mpsc::channel();
    let kind = SessionKind::new(|| Ok::<_, BoxError>(Flag::default()));
    let kind = kind.interrupter(move |cancelled: &Flag| {
        let hook: Box<dyn Interrupt> = match is_first.swap(false, SeqCst) {
            true => Box::new(Hangs(hang.clone())),
            false => Box::new(Cancel {
                cancelled: Arc::clone(cancelled),
                ran_on: say.clone(),
            }),
        };
        Some(hook)
    });
    let pool = Pool::named("hangs").threads(2).session_kind(kind);
    let pool = pool.build().unwrap();
    for running in 1..=2 {
        let at_gate = calls.clone();
        let call = pool.call(move |_| at_gate.pass()).submit();
        calls.wait_for(running);
        drop(call);
        if running == 1 {
            hooks.wait_for(1);
        }
    }
    heard.recv_timeout(PATIENCE).unwrap();
    calls.open();
    hooks.open();
}
