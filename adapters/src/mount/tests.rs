use super::{Job, Mounted, Outcome};
use crate::test_support::{PATIENCE, ended, get};
use crate::{Adapter, BatchLimits, CallContext, Error, PathParams, Request, Response};
use pontoon_bridge::{EventLoop, Pool, PoolStats};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

/// A backend that answers only when it is too late, or at once, with an error of its own.
struct Unhelpful {
    is_slow: bool,
}

impl Adapter for Unhelpful {
    type Session = u8;

    fn open(&self) -> Result<u8, Error> {
        Ok(0)
    }

    fn call(&self, _: &mut u8, _: Request, call: &CallContext) -> Outcome {
        while self.is_slow && !call.remaining().is_some_and(|left| left.is_zero()) {
            thread::yield_now();
        }
        Err(Error::timed_out("the backend does not answer"))
    }
}

/// What a pool counts after one call with this deadline.
fn after_one_call(is_slow: bool, deadline: Duration, is_shortened: bool) -> PoolStats {
    let pool = Pool::named("judged").threads(1).build().unwrap();
    let bound = Mounted::blocking(Unhelpful { is_slow }).bind(Some(&pool), &Arc::from("/judged"));
    let Some(super::Bound::Submit(bound)) = bound else {
        unreachable!("a blocking adapter is submitted to")
    };
    let job = Job {
        request: get("/judged"),
        params: PathParams::default(),
        request_id: 1,
        deadline: Some(Instant::now() + deadline),
        is_shortened,
        place: None,
    };
    // Nobody polls it, so nobody leaves at the deadline.
    let _call = bound.submit(job);
    let until = Instant::now() + PATIENCE;
    while pool.stats().completed == 0 {
        assert!(Instant::now() < until, "the call ends");
        thread::yield_now();
    }
    pool.stats()
}

/// Long enough for a worker to begin.
const SOON: Duration = Duration::from_secs(2);

#[test]
fn a_call_that_ends_after_a_deadline_of_the_client_says_nothing_of_the_backend() {
    assert_eq!(after_one_call(true, SOON, true).backend_failed, 0);
}

#[test]
fn a_call_that_ends_after_the_deadline_of_its_location_was_failed_by_the_backend() {
    assert_eq!(after_one_call(true, SOON, false).backend_failed, 1);
}

#[test]
fn a_call_that_fails_before_a_deadline_of_the_client_was_failed_by_the_backend() {
    assert_eq!(after_one_call(false, PATIENCE, true).backend_failed, 1);
}

/// A backend that fails half-way: at once, or when the call is told to stop.
struct HalfWay {
    waits: bool,
}

impl Adapter for HalfWay {
    type Session = u8;

    fn open(&self) -> Result<u8, Error> {
        Ok(0)
    }

    fn call(&self, _: &mut u8, _: Request, call: &CallContext) -> Outcome {
        call.stream(Response::text(""), |_| {
            while self.waits && !call.is_cancelled() {
                thread::yield_now();
            }
            Err(Error::bad_gateway("the backend is gone"))
        })
    }
}

/// What a pool counts after a response that fails half-way, and whose client may leave before.
fn after_half_a_response(leaves: bool) -> PoolStats {
    let pool = Pool::named("half-way").threads(1).build().unwrap();
    let bound = Mounted::blocking(HalfWay { waits: leaves });
    let Some(super::Bound::Submit(bound)) = bound.bind(Some(&pool), &Arc::from("/half-way")) else {
        unreachable!("a blocking adapter is submitted to")
    };
    let call = bound.submit(Job {
        request: get("/half-way"),
        params: PathParams::default(),
        request_id: 1,
        deadline: None,
        is_shortened: false,
        place: None,
    });
    let response = EventLoop::new().unwrap().block_on(call).unwrap().unwrap();
    assert!(response.is_streamed());
    if leaves {
        drop(response);
    }
    let until = Instant::now() + PATIENCE;
    while pool.stats().completed == 0 {
        assert!(Instant::now() < until, "the call ends");
        thread::yield_now();
    }
    pool.stats()
}

#[test]
fn a_backend_that_fails_half_way_has_failed_unless_the_client_left() {
    assert_eq!(after_half_a_response(false).backend_failed, 1);
    assert_eq!(after_half_a_response(true).backend_failed, 0);
}

/// Answers each call with its path, together with the others; panics at `/panic`, after it has answered those
/// before it.
struct Together;

impl Adapter for Together {
    type Session = ();

    fn open(&self) -> Result<(), Error> {
        Ok(())
    }

    fn call(&self, (): &mut (), request: Request, call: &CallContext) -> Outcome {
        match request.uri().path() {
            "/panic" => std::panic::resume_unwind(Box::new("on purpose")),
            "/down" => Err(Error::bad_gateway("the backend is down")),
            path => Ok(Response::text(format!("{path} {}", call.request_id()))),
        }
    }

    fn batching(&self) -> Option<BatchLimits> {
        Some(BatchLimits::of(10))
    }

    /// As one that takes locks in an order of its own.
    fn call_batch(&self, session: &mut (), calls: &mut [crate::BatchCall]) {
        calls.sort_by_key(|call| call.request().uri().path() != "/b");
        for call in calls {
            let request = call.take_request();
            let outcome = self.call(session, request, call.context());
            call.finish(outcome);
        }
    }
}

/// Says whether it was given back.
struct Held(Arc<AtomicBool>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

#[test]
fn calls_that_run_together_keep_their_answers_their_places_and_their_verdicts() {
    let pool = Pool::named("together").threads(1).build().unwrap();
    let bound = Mounted::blocking(Together).bind(Some(&pool), &Arc::from("/together"));
    let Some(super::Bound::Submit(bound)) = bound else {
        unreachable!("a blocking adapter is submitted to")
    };
    // Until all wait.
    let (hold, held) = std::sync::mpsc::channel::<()>();
    let blocker = pool.call(move |()| held.recv().is_err()).submit();
    let paths = ["/a", "/down", "/b", "/panic", "/c"];
    let calls = paths.map(|path| {
        let given_back = Arc::new(AtomicBool::new(false));
        let job = Job {
            request: get(path),
            params: PathParams::default(),
            request_id: 7,
            deadline: None,
            is_shortened: false,
            place: Some(Box::new(Held(Arc::clone(&given_back)))),
        };
        (bound.submit(job), given_back)
    });
    drop(hold);
    assert!(ended(blocker).unwrap());
    let ends = calls.map(|(call, given_back)| {
        let end = ended(call);
        assert!(given_back.load(SeqCst));
        match end {
            Ok(Ok(response)) => String::from_utf8(response.body().to_vec()).unwrap(),
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        }
    });
    let panicked = "the call panicked: on purpose";
    assert_eq!(
        ends,
        ["/a 7", "the backend is down", "/b 7", panicked, panicked]
    );
    let stats = pool.stats();
    assert_eq!((stats.backend_failed, stats.panicked), (1, 2));
    assert_eq!((stats.completed, stats.in_flight), (6, 0));
}
