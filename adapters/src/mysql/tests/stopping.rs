use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use pontoon_bridge::Pool;
use pontoon_bridge::event_loop::timeout;
use pontoon_tests::eventually;

use super::*;
use crate::mount::{Bound, Job, Mounted};
use crate::test_support::{PATIENCE, Stoppable};

/// Far longer than any of these tests may take.
const SLEEP: &str = "SELECT SLEEP(600) AS s";

fn job(request: Request, deadline: Option<Duration>) -> Job {
    Job {
        request,
        params: PathParams::default(),
        request_id: 1,
        deadline: deadline.map(|deadline| Instant::now() + deadline),
        is_shortened: false,
        place: None,
    }
}

fn bound(pool: &Pool, adapter: MySql) -> std::sync::Arc<dyn crate::mount::Submit> {
    match Mounted::blocking(adapter).bind(Some(pool), &std::sync::Arc::from("/mysql")) {
        Some(Bound::Submit(bound)) => bound,
        _ => unreachable!("a blocking adapter is submitted to"),
    }
}

#[test]
fn a_call_whose_client_leaves_is_gone_from_the_server() {
    let Some(server) = MariaDb::start() else {
        return;
    };
    let db = Db::on(&server);
    let pool = Pool::named("left").threads(2).build().unwrap();
    let bound = bound(&pool, db.query(SLEEP));
    let call = bound.submit(job(get("/"), None));
    eventually("it runs", || server.running("SELECT SLEEP(600)%") == 1);
    drop(call);
    eventually("it is gone", || server.running("SELECT SLEEP(600)%") == 0);
    eventually("the worker is free", || pool.stats().running == 0);
}

#[test]
fn a_call_whose_deadline_passes_is_gone_from_the_server_and_its_changes_too() {
    let Some(server) = MariaDb::start() else {
        return;
    };
    let db = Db::on(&server);
    let adapter = db.adapter(
        "query = ['DELETE FROM users', 'UPDATE users SET age = SLEEP(600)', 'INSERT INTO users VALUES (SLEEP(600), 0, 0)']",
    );
    let pool = Pool::named("late").threads(2).build().unwrap();
    let bound = bound(&pool, adapter);
    let call = bound.submit(job(
        post("/", "text/plain", ""),
        Some(Duration::from_millis(300)),
    ));
    let outcome = pontoon_bridge::EventLoop::new()
        .unwrap()
        .block_on(timeout(Duration::from_millis(400), call));
    drop(outcome);
    eventually("it is gone", || server.running("%SLEEP(600)%") == 0);
    eventually("the worker is free", || pool.stats().running == 0);
    assert_eq!(db.run("SELECT COUNT(*) FROM users"), "2");
}

#[test]
fn a_server_that_hangs_frees_the_worker_soon_after_the_deadline() {
    let Some(server) = MariaDb::start() else {
        return;
    };
    let db = Db::on(&server);
    let adapter = db.query("SELECT 1 AS a");
    let mut session = adapter.open().unwrap();
    in_session(&adapter, &mut session, get("/")).unwrap();
    server.pause();
    let begun = Instant::now();
    let stoppable = Stoppable::new(Some(begun + Duration::from_millis(200)));
    let error = adapter
        .call(
            &mut session,
            get("/"),
            &stoppable.call(PathParams::default()),
        )
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.breaks_session()),
        (ErrorKind::TimedOut, true)
    );
    assert!(begun.elapsed() < PATIENCE);
    // Nor is the end of the session waited for, nor a check, nor a new session.
    drop(session);
    let error = adapter_with_timeout(&db).open().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BadGateway);
    server.resume();
    call(&adapter, get("/")).unwrap();
}

fn adapter_with_timeout(db: &Db<'_>) -> MySql {
    db.adapter("query = 'SELECT 1 AS a'\nconnect_timeout = '200ms'")
}

#[test]
fn an_interrupt_of_a_server_that_hangs_cuts_the_connection() {
    let Some(server) = MariaDb::start() else {
        return;
    };
    let db = Db::on(&server);
    let adapter = db.query("SELECT 1 AS a");
    let stoppable = Stoppable::new(None);
    let context = stoppable.call(PathParams::default());
    let (send, killers) = mpsc::channel();
    thread::scope(|scope| {
        let (server, adapter) = (&server, &adapter);
        let call = scope.spawn(move || {
            let mut session = adapter.open().unwrap();
            server.pause();
            send.send(session.killer()).unwrap();
            adapter.call(&mut session, get("/"), &context)
        });
        let killer = killers.recv().unwrap();
        // It waits for ever without this.
        killer.interrupt();
        stoppable.stop();
        while !call.is_finished() {
            killer.interrupt();
        }
        let error = call.join().unwrap().unwrap_err();
        assert_eq!(
            (error.kind(), error.breaks_session()),
            (ErrorKind::Unavailable, true)
        );
    });
    server.resume();
}

#[test]
fn a_kill_that_comes_late_or_early_hits_nobody() {
    let Some(db) = Db::shared() else { return };
    let adapter = db.query("SELECT COUNT(*) AS n FROM users");
    let (send, killers) = mpsc::channel();
    thread::scope(|scope| {
        let calls = scope.spawn(|| {
            let mut session = adapter.open().unwrap();
            send.send(session.killer()).unwrap();
            for _ in 0..3000 {
                in_session(&adapter, &mut session, get("/")).unwrap();
            }
        });
        let killer = killers.recv().unwrap();
        while !calls.is_finished() {
            killer.interrupt();
        }
        calls.join().unwrap();
    });
}

#[test]
fn calls_that_are_killed_all_around_leave_the_others_alone() {
    let Some(server) = MariaDb::start_with(&["--max-connections=500"]) else {
        return;
    };
    let db = Db::on(&server);
    let pool = Pool::named("hammered").threads(3).build().unwrap();
    let bound = bound(
        &pool,
        db.query("SELECT COUNT(*) AS n FROM users WHERE SLEEP(:s::float8) = 0"),
    );
    let loops = pontoon_bridge::EventLoop::new().unwrap();
    for round in 0..150_u64 {
        let mut left = Vec::new();
        for _ in 0..2 {
            left.push(bound.submit(job(get("/?s=0.02"), None)));
        }
        let kept = bound.submit(job(get("/?s=0"), None));
        // Some are left before they begin, some while they run, some as they end.
        thread::sleep(Duration::from_micros(round * 400));
        drop(left);
        let answer = loops.block_on(timeout(PATIENCE, kept));
        let answer = answer.unwrap().unwrap();
        let answer = answer.unwrap_or_else(|error| panic!("round {round}: {}", explain(&error)));
        assert_eq!(text(answer), r#"[{"n":2}]"#);
    }
}
