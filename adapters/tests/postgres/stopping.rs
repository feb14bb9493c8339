//! Calls that nobody waits for any more: they end in the server, and free their workers.

use std::time::{Duration, Instant};

use pontoon_adapters::{Adapter, CallContext, ErrorKind, PathParams};
use pontoon_bridge::CallError;
use pontoon_tests::backends::Postgres as Server;
use pontoon_tests::eventually;
use serde_json::json;

use crate::fixture::{Client, Pooled, adapter, database, get, outcome, post};

/// Its `:mark` tells the statements of one test from those of others.
const SLEEP: &str = "query = 'SELECT pg_sleep(:s::float8)::text AS slept, :mark::text AS mark'";

fn is_free(pooled: &Pooled) -> bool {
    pooled.pool.stats().running == 0
}

#[test]
fn at_the_deadline_the_statement_is_gone_from_the_server_and_the_worker_free() {
    let Some((server, database)) = database("SELECT 1") else {
        return;
    };
    let pooled = Pooled::new(
        adapter(server, &database, "query = 'SELECT pg_sleep(601)'"),
        1,
    );
    // The first call opens the session, whatever the machine does meanwhile.
    let call = pooled.submit(get("/"), Some(Duration::from_secs(1)));
    let error = outcome(call).unwrap_err();
    assert!(
        matches!(error, CallError::DeadlineExceeded { .. }),
        "{error:?}"
    );
    eventually("the worker is free", || is_free(&pooled));
    eventually("nothing runs", || server.running("%pg_sleep(601)%") == 0);
}

#[test]
fn when_the_client_leaves_the_statement_is_gone_from_the_server() {
    let Some((server, database)) = database("SELECT 1") else {
        return;
    };
    let pooled = Pooled::new(
        adapter(server, &database, "query = 'SELECT pg_sleep(602)'"),
        1,
    );
    let call = pooled.submit(get("/"), None);
    eventually("it runs", || server.running("%pg_sleep(602)%") == 1);
    drop(call);
    eventually("nothing runs", || server.running("%pg_sleep(602)%") == 0);
    eventually("the worker is free", || is_free(&pooled));
}

#[test]
fn a_transaction_whose_client_left_has_changed_nothing() {
    let Some((server, database)) = database("CREATE TABLE t (id int)") else {
        return;
    };
    let keys = "query = ['INSERT INTO t VALUES (1)', 'SELECT pg_sleep(603)']";
    let pooled = Pooled::new(adapter(server, &database, keys), 1);
    let call = pooled.submit(post(&json!({})), None);
    eventually("it runs", || server.running("%pg_sleep(603)%") == 1);
    drop(call);
    eventually("the worker is free", || is_free(&pooled));
    eventually("nothing runs", || server.running("%pg_sleep(603)%") == 0);
    assert_eq!(server.run(&database, "SELECT count(*) FROM t"), "0");
}

#[test]
fn a_server_that_hangs_frees_the_worker_soon_after_the_deadline() {
    let Some(server) = Server::start() else {
        return;
    };
    let database = server.database();
    let pooled = Pooled::new(adapter(&server, &database, "query = 'SELECT 1 AS one'"), 1);
    let one = |deadline| pooled.ask(get("/"), deadline);
    assert!(one(None).is_ok());
    server.pause();
    let began = Instant::now();
    let error = one(Some(Duration::from_millis(300))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    eventually("the worker is free", || is_free(&pooled));
    // Without the limit it would be as long as the server is paused: for ever.
    assert!(
        began.elapsed() < Duration::from_secs(20),
        "{:?}",
        began.elapsed()
    );
    server.resume();
    eventually("the pool recovers", || {
        one(Some(Duration::from_secs(5))).is_ok()
    });
}

/// Many calls are stopped at about the time at which they end by themselves, on the same workers as calls that
/// nobody stops. A cancel that came late would end one of those.
#[test]
fn a_late_cancel_never_ends_the_next_call() {
    let Some((server, database)) = database("SELECT 1") else {
        return;
    };
    let pooled = Pooled::new(adapter(server, &database, SLEEP), 4);
    let slept = |ms: u32, mark: &str| post(&json!({"s": f64::from(ms) / 1000.0, "mark": mark}));
    // Sessions are open, and the pool has learnt nothing that makes it refuse.
    for round in 0..150_u32 {
        let stopped: Vec<_> = (0..4)
            .map(|_| pooled.submit(slept(round % 6, "stopped"), Some(Duration::from_secs(20))))
            .collect();
        let kept: Vec<_> = (0..8)
            .map(|_| pooled.submit(slept(1, "kept"), Some(Duration::from_secs(30))))
            .collect();
        // Neither more nor less late than the calls end: that is what is tried here.
        std::thread::sleep(Duration::from_micros(u64::from(round % 10) * 500));
        drop(stopped);
        for call in kept {
            let response = outcome(call).unwrap().unwrap();
            assert_eq!(response.body(), r#"[{"slept":"","mark":"kept"}]"#);
        }
    }
    eventually("nothing runs", || is_free(&pooled));
}

#[test]
fn a_thousand_calls_share_a_few_sessions() {
    let Some((server, database)) = database("SELECT 1") else {
        return;
    };
    let pooled = Pooled::new(adapter(server, &database, SLEEP), 4);
    let calls: Vec<_> = (0..1000)
        .map(|number| pooled.submit(post(&json!({"s": 0.001, "mark": number})), None))
        .collect();
    let sessions = format!("SELECT count(*) FROM pg_stat_activity WHERE datname = '{database}'");
    let count: usize = server.run("postgres", &sessions).parse().unwrap();
    assert!(count <= 4, "{count}");
    for (number, call) in calls.into_iter().enumerate() {
        let body = outcome(call).unwrap().unwrap();
        assert_eq!(
            body.body(),
            &format!(r#"[{{"slept":"","mark":"{number}"}}]"#)
        );
    }
}

/// As after a kill of this process, or a cancel that came before the statement had begun.
#[test]
fn a_statement_that_is_given_up_without_a_cancel_ends_too() {
    let Some((server, database)) = database("SELECT 1") else {
        return;
    };
    for reset in ["false", "true"] {
        let keys = format!("reset = {reset}\nquery = 'SELECT pg_sleep(:s::float8), 604 AS mark'");
        let mut client = Client::new(server, &database, &keys);
        client.get("/?s=0").unwrap();
        let deadline = Instant::now() + Duration::from_millis(200);
        let call = pontoon_bridge::CallContext::detached().with_deadline(Some(deadline));
        let call = CallContext::new(PathParams::default(), call, 1);
        let Client {
            adapter,
            mut session,
        } = client;
        let error = adapter.call(&mut session, get("/?s=600"), &call);
        let error = error.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(error.breaks_session());
        drop(session);
        eventually("nothing runs", || server.running("%604 AS mark%") == 0);
    }
}
