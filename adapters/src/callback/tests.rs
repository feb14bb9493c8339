//! What becomes of a call, for each way in which the library may treat its callback.

use std::panic::{self, AssertUnwindSafe};
use std::sync::Barrier;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::*;
use crate::ErrorKind;
use crate::test_support::{Ended, Outcome, PATIENCE, completer, get, post};

fn adapter(misbehave: Misbehave) -> Callback {
    with(Config {
        delay: Duration::from_millis(1),
        misbehave,
        ..Config::default()
    })
}

fn with(config: Config) -> Callback {
    Callback::start(config).unwrap()
}

fn submit(adapter: &Callback, request: Request) -> Outcome {
    let (completer, outcome) = completer();
    adapter.submit(request, &CallContext::detached(), completer);
    outcome
}

fn body(ended: Ended) -> Bytes {
    match ended {
        Ended::Completed(Ok(response)) => response.into_inner().into_body(),
        other => panic!("not answered but {other:?}"),
    }
}

#[test]
fn a_body_comes_back_through_the_callback_with_its_media_type() {
    let adapter = adapter(Misbehave::None);
    match submit(&adapter, post("/", "text/x-test", "abc")).wait() {
        Ended::Completed(Ok(response)) => {
            assert_eq!(response.body(), "abc");
            assert_eq!(response.headers()[CONTENT_TYPE], "text/x-test");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn without_a_body_it_says_that_it_called_back() {
    let adapter = adapter(Misbehave::None);
    assert_eq!(body(submit(&adapter, get("/")).wait()), "called back\n");
}

#[test]
fn many_calls_wait_at_once_on_two_threads() {
    let delay = Duration::from_millis(20);
    let adapter = with(Config {
        delay,
        ..Config::default()
    });
    let start = std::time::Instant::now();
    let outcomes: Vec<_> = (0..500).map(|_| submit(&adapter, get("/"))).collect();
    for outcome in outcomes {
        body(outcome.wait());
    }
    let one_after_the_other = delay * 500 / 2;
    assert!(start.elapsed() >= delay);
    assert!(start.elapsed() < one_after_the_other);
}

#[test]
fn of_two_callbacks_the_first_one_is_the_answer() {
    let adapter = adapter(Misbehave::Twice);
    let outcome = submit(&adapter, post("/", "text/plain", "x"));
    assert_eq!(body(outcome.wait()), "x");
    assert!(matches!(outcome.wait(), Ended::Abandoned));
}

#[test]
fn an_inline_callback_has_answered_before_submit_returns() {
    let outcome = submit(&adapter(Misbehave::Inline), get("/"));
    assert_eq!(body(outcome.now()), "called back\n");
}

#[test]
fn a_late_callback_takes_late_by_longer() {
    let adapter = with(Config {
        delay: Duration::ZERO,
        late_by: Duration::from_millis(30),
        misbehave: Misbehave::Late,
        ..Config::default()
    });
    let start = std::time::Instant::now();
    body(submit(&adapter, get("/")).wait());
    assert!(start.elapsed() >= Duration::from_millis(30));
}

#[test]
fn a_dropped_callback_abandons_the_call() {
    let adapter = adapter(Misbehave::Drop);
    let outcome = submit(&adapter, get("/"));
    assert!(matches!(outcome.wait(), Ended::Abandoned));
}

#[test]
fn a_hoarded_callback_stays_pending_until_it_is_the_oldest_of_too_many() {
    let adapter = with(Config {
        threads: 1,
        delay: Duration::ZERO,
        max_pending: foreign::HOARD_MAX + 1,
        misbehave: Misbehave::Never,
        ..Config::default()
    });
    let first = submit(&adapter, get("/"));
    let others: Vec<_> = (0..foreign::HOARD_MAX)
        .map(|_| submit(&adapter, get("/")))
        .collect();
    assert!(matches!(first.wait(), Ended::Abandoned));
    assert!(matches!(others[0].now(), Ended::Pending));
    drop(adapter);
    for outcome in others {
        assert!(matches!(outcome.now(), Ended::Abandoned));
    }
}

#[test]
fn a_panic_in_submit_reaches_the_caller_and_abandons_the_call() {
    let adapter = adapter(Misbehave::Panic);
    let (completer, outcome) = completer();
    let call = CallContext::detached();
    let submitted = panic::catch_unwind(AssertUnwindSafe(|| {
        adapter.submit(get("/"), &call, completer);
    }));
    assert!(submitted.is_err());
    assert!(matches!(outcome.now(), Ended::Abandoned));
}

#[test]
fn after_a_panic_on_its_thread_the_library_goes_on() {
    let adapter = with(Config {
        threads: 1,
        delay: Duration::ZERO,
        misbehave: Misbehave::ThreadPanic,
        ..Config::default()
    });
    for _ in 0..3 {
        let outcome = submit(&adapter, get("/"));
        assert!(matches!(outcome.wait(), Ended::Abandoned));
    }
}

#[test]
fn a_full_library_refuses_at_once_and_says_its_limit() {
    let adapter = with(Config {
        delay: PATIENCE * 10,
        max_pending: 2,
        ..Config::default()
    });
    let held = [submit(&adapter, get("/")), submit(&adapter, get("/"))];
    match submit(&adapter, get("/")).now() {
        Ended::Completed(Err(error)) => {
            assert_eq!(error.kind(), ErrorKind::Unavailable);
            assert!(error.detail().contains("2 calls pending"), "{error}");
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(held[0].now(), Ended::Pending));
}

#[test]
fn dropping_the_adapter_stops_its_threads_and_abandons_what_is_pending() {
    let adapter = with(Config {
        delay: PATIENCE * 10,
        ..Config::default()
    });
    let outcome = submit(&adapter, get("/"));
    let start = std::time::Instant::now();
    drop(adapter);
    assert!(start.elapsed() < PATIENCE);
    assert!(matches!(outcome.now(), Ended::Abandoned));
}

#[test]
fn no_lock_is_held_while_a_callback_runs() {
    let library = Arc::new(
        foreign::Library::start(Config {
            delay: Duration::ZERO,
            ..Config::default()
        })
        .unwrap(),
    );
    // Both threads must be inside a callback at the same time, and both submit from there.
    let meet = Arc::new(Barrier::new(2));
    let (sender, receiver) = mpsc::channel();
    for _ in 0..2 {
        let (meet, sender) = (Arc::clone(&meet), sender.clone());
        let inner = Arc::downgrade(&library);
        let done = Box::new(move |_: Bytes| {
            meet.wait();
            let sender = sender.clone();
            if let Some(library) = inner.upgrade() {
                let nested = Box::new(move |_: Bytes| sender.send(()).unwrap());
                library.submit(Bytes::new(), nested).unwrap();
            }
        });
        library.submit(Bytes::new(), done).unwrap();
    }
    for _ in 0..2 {
        receiver.recv_timeout(PATIENCE).unwrap();
    }
    // The last reference must not go on one of the library's own threads.
    while Arc::strong_count(&library) > 1 {
        thread::yield_now();
    }
}

#[test]
fn every_key_is_read() {
    let text = r#"
        delay = "5ms"
        threads = 3
        max_pending = 7
        misbehave = "thread_panic"
        late_by = "2s"
    "#;
    let read = |settings: &mut Settings<'_>| Some(config_from(settings));
    let config = Settings::parse(text, KEYS, read).unwrap();
    assert_eq!(config.delay, Duration::from_millis(5));
    assert_eq!(config.threads, 3);
    assert_eq!(config.max_pending, 7);
    assert_eq!(config.misbehave, Misbehave::ThreadPanic);
    assert_eq!(config.late_by, Duration::from_secs(2));
}

#[test]
fn the_defaults_are_those_that_the_keys_name() {
    let read = |settings: &mut Settings<'_>| Some(config_from(settings));
    let config = Settings::parse("", KEYS, read).unwrap();
    assert_eq!(config.delay, Duration::from_millis(10));
    assert_eq!((config.threads, config.max_pending), (2, 1024));
    assert_eq!(config.misbehave, Misbehave::None);
    assert_eq!(config.late_by, Duration::from_secs(1));
}
