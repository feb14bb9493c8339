//! What becomes of what a reload replaces.

use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use pontoon::adapters::ResponseCompleter;
use pontoon::{
    Adapter, CallContext, CallbackAdapter, Error, Request, Response, Server, blocking, callback,
    on_pool,
};
use pontoon_tests::eventually;
use pontoon_tests::fixture::Fixture;
use pontoon_tests::gate::{Gate, gate};

use crate::{alone, at_gate, pool, reload, server, text, threads, usage_before, wait_for_usage};

/// Generous bound for what should take no time on an idle machine.
const QUICKLY: Duration = Duration::from_secs(5);

fn plain(name: &'static str) -> Server {
    server()
        .pool(pool(name))
        .location("/", blocking(name, text("plain")))
}

/// Tells on which thread it is dropped.
struct Tells(mpsc::Sender<Option<String>>);

impl Adapter for Tells {
    type Session = ();

    fn open(&self) -> Result<(), Error> {
        Ok(())
    }

    fn call(&self, (): &mut (), _: Request, _: &CallContext) -> Result<Response, Error> {
        Ok(Response::text("tells"))
    }
}

impl Drop for Tells {
    fn drop(&mut self) {
        // Nobody listens to those of other tests.
        let _ = self.0.send(thread::current().name().map(str::to_owned));
    }
}

#[test]
fn an_adapter_is_never_dropped_on_a_loop() {
    let _alone = alone();
    let (tell, told) = mpsc::channel();
    for on_kept_pool in [false, true] {
        let kept = pool("kept").build().unwrap();
        let name = if on_kept_pool { "kept" } else { "own" };
        let with = server()
            .pool(pool("own"))
            .pool(&kept)
            .location("/tells", on_pool(name, Tells(tell.clone())));
        let fixture = Fixture::start(with);
        let mut client = fixture.connect();
        client.send_request("GET", "/tells", &[], b"");
        assert_eq!(client.read_response("GET").status, 200);
        reload(&fixture, plain("p").pool(&kept));
        // Where the old site goes, or with the last session of the adapter, on its worker.
        let dropped_on = told.recv_timeout(QUICKLY).unwrap();
        let dropped_on = dropped_on.as_deref().unwrap_or_default();
        assert!(
            ["pontoon-drain", name].contains(&dropped_on),
            "{dropped_on}"
        );
    }
}

#[test]
fn a_pool_ends_when_the_last_request_that_uses_it_has() {
    let _alone = alone();
    let before = usage_before();
    let (opens, gate) = gate();
    let first = server()
        .pool(pool("hangs"))
        .pool(pool("idle"))
        .location("/gate", blocking("hangs", at_gate(&gate)))
        .location("/idle", blocking("idle", text("idle")));
    let fixture = Fixture::start(first.configure(|config| {
        config.shutdown_timeout = Duration::from_secs(60);
    }));
    let mut client = fixture.connect();
    client.send_request("GET", "/gate", &[], b"");
    gate.wait_for(1);
    let with_both = threads();
    let second = plain("p").configure(|config| {
        config.shutdown_timeout = Duration::from_secs(60);
    });
    reload(&fixture, second);
    // `p` has come with three threads, and with it one drain; `idle` has gone with three.
    eventually("the idle pool ends, whatever the other does", || {
        threads() <= with_both + 1
    });
    opens.open();
    assert_eq!(client.read_response("GET").text(), "done");
    eventually("the other one ends", || threads() <= with_both - 3);
    drop(client);
    assert_eq!(fixture.stop().stuck, []);
    wait_for_usage(before);
}

#[test]
fn a_pool_whose_calls_hang_is_left_behind_and_named_at_the_stop() {
    let _alone = alone();
    let before = usage_before();
    let (opens, gate) = gate();
    let limit = Duration::from_millis(200);
    let short = |server: Server| server.configure(move |config| config.shutdown_timeout = limit);
    let first = server()
        .pool(pool("hangs"))
        .location("/gate", blocking("hangs", at_gate(&gate)));
    let fixture = Fixture::start(short(first));
    let mut client = fixture.connect();
    client.send_request("GET", "/gate", &[], b"");
    gate.wait_for(1);
    let began = Instant::now();
    reload(&fixture, short(plain("p")));
    assert!(began.elapsed() < QUICKLY, "a reload waits for nobody");
    assert_eq!(fixture.get("/").status, 200);
    let began = Instant::now();
    let report = fixture.stop();
    assert!(began.elapsed() < limit + QUICKLY);
    let stuck: Vec<_> = report
        .stuck
        .iter()
        .map(|report| (report.pool.as_str(), report.still_running))
        .collect();
    assert_eq!(stuck, [("hangs", 1)]);
    assert_eq!(report.connections_cut, 1);
    opens.open();
    drop(client);
    wait_for_usage(before);
}

#[test]
fn a_stop_while_pools_drain_ends_them_too() {
    let _alone = alone();
    let before = usage_before();
    let (opens, gate) = gate();
    let gate_of = |name: &'static str| {
        server()
            .pool(pool(name))
            .location("/gate", blocking(name, at_gate(&gate)))
            .configure(|config| config.shutdown_timeout = Duration::from_secs(60))
    };
    let fixture = Fixture::start(gate_of("first"));
    let mut clients = Vec::new();
    for (count, name) in ["second", "third", "fourth"].into_iter().enumerate() {
        let mut client = fixture.connect();
        client.send_request("GET", "/gate", &[], b"");
        clients.push(client);
        gate.wait_for(count + 1);
        reload(&fixture, gate_of(name));
    }
    let address = fixture.address();
    thread::scope(|scope| {
        let stop = scope.spawn(|| fixture.stop());
        eventually("nobody listens", || {
            std::net::TcpStream::connect(address).is_err()
        });
        opens.open();
        for client in &mut clients {
            assert_eq!(client.read_response("GET").text(), "done");
        }
        let report = stop.join().unwrap();
        assert_eq!((report.connections_cut, report.stuck), (0, vec![]));
    });
    drop(clients);
    wait_for_usage(before);
}

#[test]
fn nothing_of_the_library_is_left_after_a_reload_and_a_stop() {
    let _alone = alone();
    let library = Arc::new(());
    let with = || {
        let library = Arc::clone(&library);
        server().pool(pool("p")).location(
            "/",
            blocking("p", move |_| {
                let _used = &library;
                Ok(Response::text("used"))
            }),
        )
    };
    let fixture = Fixture::start(with());
    assert_eq!(fixture.get("/").status, 200);
    reload(&fixture, with());
    assert_eq!(fixture.get("/").status, 200);
    eventually("the first is gone", || Arc::strong_count(&library) == 2);
    let _ = fixture.stop();
    eventually("the second as well", || Arc::strong_count(&library) == 1);
}

#[test]
fn a_request_finishes_on_a_replaced_pool_although_a_stop_would_not_wait() {
    let _alone = alone();
    let (opens, gate) = gate();
    let at_once = |server: Server| {
        server.configure(|config| {
            config.shutdown_timeout = Duration::ZERO;
        })
    };
    let one_by_one = pool("old").threads(1);
    let first = server()
        .pool(one_by_one)
        .location("/gate", blocking("old", at_gate(&gate)));
    let fixture = Fixture::start(at_once(first));
    // One runs and one waits: that one would be refused if the pool were shut down.
    let mut clients = [fixture.connect(), fixture.connect()];
    for client in &mut clients {
        client.send_request("GET", "/gate", &[], b"");
    }
    let queued = || {
        let stats = fixture.running().pool_stats("old");
        stats.is_some_and(|stats| (stats.running, stats.in_flight) == (1, 2))
    };
    eventually("one call runs and one waits", queued);
    reload(&fixture, at_once(plain("new")));
    let with_both = threads();
    reload(&fixture, at_once(plain("newer")));
    eventually("a drain that began later has ended", || {
        threads() <= with_both
    });
    opens.open();
    for client in &mut clients {
        let response = client.read_response("GET");
        assert_eq!((response.status, response.text().as_str()), (200, "done"));
    }
}

/// Tells on which thread it is dropped, and hangs there.
struct HangsAtTheEnd(mpsc::Sender<Option<String>>, Arc<Gate>);

impl CallbackAdapter for HangsAtTheEnd {
    fn submit(&self, _: Request, _: &CallContext, completer: ResponseCompleter) {
        completer.complete(Ok(Response::text("in its time")));
    }
}

impl Drop for HangsAtTheEnd {
    fn drop(&mut self) {
        let _ = self.0.send(thread::current().name().map(str::to_owned));
        self.1.pass();
    }
}

#[test]
fn a_destructor_that_hangs_does_not_hold_up_a_stop() {
    let _alone = alone();
    let before = usage_before();
    let (opens, gate) = gate();
    let (tell, told) = mpsc::channel();
    let hangs = callback(HangsAtTheEnd(tell, Arc::clone(&gate)));
    let fixture = Fixture::start(plain("p").location("/hangs", hangs));
    assert_eq!(fixture.get("/").status, 200);
    let report = fixture.stop();
    assert_eq!((report.connections_cut, report.stuck), (0, vec![]));
    assert_eq!(told.recv().unwrap().as_deref(), Some("pontoon-leave"));
    opens.open();
    wait_for_usage(before);
}
