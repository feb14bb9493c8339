//! A reload that fails changes nothing, whatever it fails at.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;

use pontoon::{
    CallContext, Error, LoopAdapter, LoopUnready, Request, Response, Server, ServerError, blocking,
    handler, on_loop,
};
use pontoon_tests::fixture::Fixture;
use pontoon_tests::gate::gate;
use pontoon_tests::process::descriptors;

use crate::{alone, pool, reload, server, text, threads, wait_for_usage};

fn good() -> Server {
    server()
        .pool(pool("good"))
        .location("/good", blocking("good", text("good")))
}

/// Something else, which is all right but for what the test adds.
fn other() -> Server {
    server()
        .pool(pool("other"))
        .location("/other", blocking("other", text("other")))
}

/// Has the reload fail, and holds it to having changed nothing.
fn fails(fixture: &Fixture, bad: Server) -> ServerError {
    let before = (threads(), descriptors());
    let mut client = fixture.connect();
    let error = fixture.running().reload(bad).expect_err("it fails");
    for (path, status) in [("/good", 200), ("/other", 404)] {
        client.send_request("GET", path, &[], b"");
        assert_eq!(client.read_response("GET").status, status);
        assert_eq!(fixture.get(path).status, status);
    }
    assert!(fixture.running().pool_stats("good").is_some());
    assert!(fixture.running().pool_stats("other").is_none());
    drop(client);
    wait_for_usage(before);
    error
}

#[test]
fn what_cannot_be_had_changes_nothing() {
    let _alone = alone();
    let fixture = Fixture::start(good());
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let error = fails(&fixture, other().listen(&address));
    assert!(matches!(error, ServerError::Listen { .. }), "{error}");
    let error = fails(&fixture, other().listen("nowhere"));
    assert!(matches!(error, ServerError::Setup(_)), "{error}");
    let error = fails(&fixture, other().pool(pool("more").threads(5000)));
    assert!(matches!(error, ServerError::Pool(_)), "{error}");
    let no_pool = blocking("missing", text("never"));
    let error = fails(&fixture, other().location("/x", no_pool));
    assert!(matches!(error, ServerError::Setup(_)), "{error}");
    let twice = blocking("other", text("never"));
    let error = fails(&fixture, other().location("/other", twice));
    assert!(matches!(error, ServerError::Setup(_)), "{error}");
    // And then one that is all right.
    reload(&fixture, other());
    assert_eq!(fixture.get("/other").status, 200);
}

/// An adapter that counts its instances, and may panic when it is made or dropped.
struct Instance {
    alive: Arc<AtomicUsize>,
    drop_panics: bool,
    // Not `Send`: it stays on its loop.
    _here: Rc<()>,
}

impl LoopAdapter for Instance {
    async fn call(&self, _request: Request, _call: &CallContext) -> Result<Response, Error> {
        Ok(Response::text("here"))
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // SeqCst: a test's own count, here and below.
        self.alive.fetch_sub(1, SeqCst);
        assert!(!self.drop_panics, "a drop that panics");
    }
}

/// Makes an instance for each loop, and panics for the one after `max`.
fn instances(
    alive: &Arc<AtomicUsize>,
    max: usize,
    drop_panics: bool,
) -> impl Fn() -> Instance + Send + Sync + 'static {
    let alive = Arc::clone(alive);
    let made = AtomicUsize::new(0);
    move || {
        assert!(made.fetch_add(1, SeqCst) < max, "no more than {max}");
        alive.fetch_add(1, SeqCst);
        Instance {
            alive: Arc::clone(&alive),
            drop_panics,
            _here: Rc::new(()),
        }
    }
}

#[test]
fn a_loop_adapter_that_cannot_be_made_on_one_loop_is_made_on_none() {
    let _alone = alone();
    let fixture = Fixture::start(good());
    let alive = Arc::new(AtomicUsize::new(0));
    for drop_panics in [false, true] {
        let bad = other().location("/loop", on_loop(instances(&alive, 1, drop_panics)));
        match fails(&fixture, bad) {
            ServerError::LoopUnready {
                source: LoopUnready::Panicked { message },
                ..
            } => assert_eq!(message, "no more than 1"),
            error => panic!("{error}"),
        }
        assert_eq!(alive.load(SeqCst), 0, "the other loop has dropped its own");
    }
}

#[test]
fn a_loop_adapter_lives_as_long_as_it_serves_and_its_drop_may_panic() {
    let _alone = alone();
    let alive = Arc::new(AtomicUsize::new(0));
    let with = |drop_panics| good().location("/loop", on_loop(instances(&alive, 2, drop_panics)));
    let fixture = Fixture::start(with(true));
    assert_eq!(alive.load(SeqCst), 2);
    reload(&fixture, with(true));
    assert_eq!(alive.load(SeqCst), 2, "the first two are gone");
    assert_eq!(fixture.get("/loop").text(), "here");
    reload(&fixture, good());
    assert_eq!(alive.load(SeqCst), 0);
    assert_eq!(fixture.get("/loop").status, 404);
    assert_eq!(fixture.get("/good").status, 200);
}

#[test]
fn a_loop_that_foreign_code_blocks_is_named_and_the_reload_can_be_done_again() {
    let _alone = alone();
    let (opens, gate) = gate();
    let blocks = {
        let gate = Arc::clone(&gate);
        handler(move |_, _| {
            // Against the rules: it blocks the loop.
            gate.pass();
            async { Ok(Response::text("passed")) }
        })
    };
    let fixture = Fixture::start(good().loops(1).location("/blocks", blocks));
    let mut client = fixture.connect();
    client.send_request("GET", "/blocks", &[], b"");
    gate.wait_for(1);
    let before = (threads(), descriptors());
    let elsewhere = other().loops(1).listen("127.0.0.2:0");
    let error = fixture.running().reload(elsewhere).unwrap_err();
    let busy = |error: &ServerError| {
        matches!(
            error,
            ServerError::LoopUnready {
                index: 0,
                source: LoopUnready::Busy { .. }
            }
        )
    };
    assert!(busy(&error), "{error}");
    // The new pool and the new listener are not left to the blocked loop.
    wait_for_usage(before);
    opens.open();
    assert_eq!(client.read_response("GET").text(), "passed");
    assert_eq!(fixture.get("/good").status, 200);
    assert_eq!(fixture.get("/other").status, 404);
    reload(&fixture, other().loops(1));
    assert_eq!(fixture.get("/other").status, 200);
}
