//! Gone means gone: what waits never runs, what runs is asked to stop.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::mpsc::{self, Receiver, SyncSender};

use pontoon::{
    Adapter, CallContext, Error, Interrupt, Request, Response, Server, blocking_with, on_pool,
};
use pontoon_tests::client::Connection;
use pontoon_tests::fixture::Fixture;
use pontoon_tests::gate::OpensAtLast;
use pontoon_tests::{PATIENCE, eventually};

use crate::{LOOPS, gated, pool, server, stats, wait_disconnected, wait_in_flight};

/// How a client leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leave {
    /// It closes its socket.
    Fin,
    /// It ends its side only; nobody can tell that from the above.
    HalfClose,
    /// It resets the connection.
    Reset,
}

const WAYS: [Leave; 3] = [Leave::Fin, Leave::HalfClose, Leave::Reset];

/// A connection with a request on the way.
fn ask(server: &Fixture, target: &str) -> Connection {
    let mut client = server.connect();
    client.send_request("GET", target, &[], b"");
    client
}

/// Leaves; what comes back must be kept until the server has noticed.
fn leave(client: Connection, way: Leave) -> Option<Connection> {
    match way {
        Leave::Fin => drop(client),
        Leave::Reset => client.reset(),
        Leave::HalfClose => {
            client.end_sending();
            return Some(client);
        }
    }
    None
}

#[test]
fn a_queued_call_whose_client_left_never_runs_and_its_place_is_free_at_once() {
    for loops in LOOPS {
        let (server, gate) = gated(loops, 1, 2);
        let _opens = OpensAtLast(Arc::clone(&gate));
        let mut running = ask(&server, "/gate");
        gate.wait_for(1);
        let leaver = ask(&server, "/gate");
        wait_in_flight(&server, 2);
        let mut stayer = ask(&server, "/gate");
        wait_in_flight(&server, 3);
        assert_eq!(server.get("/gate").status, 503, "the queue is full");

        drop(leaver);
        wait_in_flight(&server, 2);
        let mut newcomer = ask(&server, "/gate");
        wait_in_flight(&server, 3);

        gate.open();
        for client in [&mut running, &mut stayer, &mut newcomer] {
            assert_eq!(client.read_response("GET").status, 200);
        }
        wait_in_flight(&server, 0);
        assert_eq!(gate.came(), 3, "the leaver's call never ran");
        let stats = stats(&server, "p");
        assert_eq!((stats.cancelled, stats.completed, stats.late), (1, 3, 0));
        assert_eq!((stats.submitted, stats.refused), (4, 1));
    }
}

/// A server whose `/until-cancelled` runs until it is told to stop, and then reports.
fn until_cancelled(loops: usize) -> (Fixture, Receiver<()>, Receiver<()>) {
    let (started, has_started) = mpsc::sync_channel(16);
    let (stopped, has_stopped) = mpsc::sync_channel(16);
    let run = move |_: Request, call: &CallContext| {
        let _ = started.send(());
        eventually("the call is cancelled", || call.is_cancelled());
        let _ = stopped.send(());
        Ok(Response::text("too late"))
    };
    let server = server(loops)
        .pool(pool(1, 4))
        .location("/until-cancelled", blocking_with("p", run));
    (Fixture::start(server), has_started, has_stopped)
}

#[test]
fn a_running_call_learns_that_its_client_left_however_it_leaves() {
    for loops in LOOPS {
        for (index, way) in WAYS.into_iter().enumerate() {
            let (server, started, stopped) = until_cancelled(loops);
            let client = ask(&server, "/until-cancelled");
            started.recv_timeout(PATIENCE).expect("it runs");
            let rest = leave(client, way);
            let told = stopped.recv_timeout(PATIENCE);
            told.unwrap_or_else(|error| panic!("{index}: {way:?}: {error}"));
            wait_in_flight(&server, 0);
            let stats = stats(&server, "p");
            assert_eq!((stats.cancelled, stats.late), (1, 1), "{way:?}");
            drop(rest);
            wait_disconnected(&server);
        }
    }
}

#[test]
fn a_client_that_leaves_behind_pipelined_requests_is_noticed() {
    // Little that is pipelined, more than one head, more than one read, more than the sockets'
    // buffers. The last ones end with a reset only: an orderly end cannot overtake what is before
    // it, and a server that reads all of it to see the end has no bound on its memory.
    use Leave::{Fin, Reset};
    let orderly = [1, 600, 1_200].map(|pipelined| (pipelined, Fin));
    let abrupt = [1, 600, 1_200, 4_000, 40_000].map(|pipelined| (pipelined, Reset));
    for (pipelined, way) in orderly.into_iter().chain(abrupt) {
        let (server, started, stopped) = until_cancelled(1);
        let mut client = ask(&server, "/until-cancelled");
        started.recv_timeout(PATIENCE).expect("it runs");
        let behind = b"GET /until-cancelled HTTP/1.1\r\nHost: test\r\n\r\n".repeat(pipelined);
        client
            .socket()
            .set_nonblocking(true)
            .expect("an open socket");
        client.send(&behind);
        drop(leave(client, way));
        let told = stopped.recv_timeout(PATIENCE);
        told.unwrap_or_else(|error| panic!("{pipelined} pipelined, {way:?}: {error}"));
        wait_in_flight(&server, 0);
        wait_disconnected(&server);
        assert_eq!(stats(&server, "p").submitted, 1, "{pipelined}, {way:?}");
    }
}

/// A library that only ends when its interrupt hook is called.
struct Stubborn {
    started: SyncSender<()>,
}

struct Line {
    ring: SyncSender<()>,
    rung: Mutex<Receiver<()>>,
}

struct Hook(SyncSender<()>);

impl Interrupt for Hook {
    fn interrupt(&self) {
        let _ = self.0.send(());
    }
}

impl Adapter for Stubborn {
    type Session = Line;

    fn open(&self) -> Result<Line, Error> {
        let (ring, rung) = mpsc::sync_channel(1);
        let rung = Mutex::new(rung);
        Ok(Line { ring, rung })
    }

    fn call(&self, line: &mut Line, _: Request, _: &CallContext) -> Result<Response, Error> {
        let _ = self.started.send(());
        let rung = line.rung.lock().expect("no panic in here");
        rung.recv_timeout(PATIENCE)
            .map_err(|_| Error::internal("not interrupted"))?;
        Ok(Response::text("interrupted"))
    }

    fn interrupter(&self, line: &Line) -> Option<Box<dyn Interrupt>> {
        Some(Box::new(Hook(line.ring.clone())))
    }
}

#[test]
fn a_running_call_whose_client_left_is_interrupted_and_its_session_not_used_again() {
    let (started, has_started) = mpsc::sync_channel(4);
    let adapter = Stubborn { started };
    let server: Server = server(1)
        .pool(pool(1, 4))
        .location("/stubborn", on_pool("p", adapter));
    let server = Fixture::start(server);
    for round in 1..=2 {
        let client = ask(&server, "/stubborn");
        has_started.recv_timeout(PATIENCE).expect("it runs");
        drop(client);
        wait_in_flight(&server, 0);
        let stats = stats(&server, "p");
        assert_eq!((stats.late, stats.cancelled), (round, round));
        assert_eq!(
            stats.sessions_opened, round,
            "a late cancel must not hit the next call"
        );
    }
}

#[test]
fn an_interruptible_sleep_ends_when_its_client_leaves() {
    let server = Fixture::from_toml(
        "[pool.p]\nthreads = 1\n[[location]]\npath = \"/sleep\"\nadapter = \"sleep\"\npool = \"p\"\n\
         deadline = \"1h\"\nduration = \"1h\"\ninterruptible = true\n",
    );
    let client = ask(&server, "/sleep");
    eventually("the call has its session", || {
        stats(&server, "p").sessions_opened == 1
    });
    drop(client);
    wait_in_flight(&server, 0);
    assert_eq!(stats(&server, "p").cancelled, 1);
}

#[test]
fn of_500_clients_that_send_and_leave_only_the_running_calls_run() {
    for loops in LOOPS {
        let (server, gate) = gated(loops, 4, 1000);
        let _opens = OpensAtLast(Arc::clone(&gate));
        let clients: Vec<_> = (0..500).map(|_| ask(&server, "/gate")).collect();
        gate.wait_for(4);
        wait_in_flight(&server, 500);
        drop(clients);
        wait_in_flight(&server, 4);
        wait_disconnected(&server);
        gate.open();
        assert_eq!(server.get("/gate").status, 200);
        assert_eq!(gate.came(), 5, "four that ran already, and the last one");
        wait_in_flight(&server, 0);
        let stats = stats(&server, "p");
        assert_eq!((stats.cancelled, stats.completed), (500, 5));
        assert_eq!(stats.late, 4);
    }
}

#[test]
fn clients_that_come_and_go_while_all_workers_hang_do_not_hold_up_who_stays() {
    let (server, gate) = gated(1, 1, 8);
    let _opens = OpensAtLast(Arc::clone(&gate));
    let mut running = ask(&server, "/gate");
    gate.wait_for(1);
    for _ in 0..300 {
        let client = ask(&server, "/gate");
        wait_in_flight(&server, 2);
        drop(client);
        wait_in_flight(&server, 1);
    }
    gate.open();
    assert_eq!(running.read_response("GET").status, 200);
    assert_eq!(server.get("/gate").status, 200);
    assert_eq!(gate.came(), 2);
}
