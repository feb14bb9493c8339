//! A call that nobody waits for stops, and only that call.

use std::thread;
use std::time::{Duration, Instant};

use super::*;
use crate::test_support::{PATIENCE, Stoppable};

/// Counts until it is stopped; with `:stop`, until there.
const COUNT: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n
                     WHERE i < CAST(:stop AS INTEGER)) SELECT max(i) AS last FROM n";
/// For some tens of seconds: a statement that does not stop fails its test and does not hang it.
const FOR_LONG: &str = "/?stop=200000000";

#[test]
fn a_runaway_statement_stops_when_its_client_leaves_and_the_next_one_is_unharmed() {
    let database = Database::new();
    let adapter = database.sqlite(COUNT);
    let mut session = adapter.open().unwrap();
    let stoppable = Stoppable::new(None);
    let runaway = stoppable.call(PathParams::default());
    let start = Instant::now();
    thread::scope(|scope| {
        scope.spawn(|| stoppable.stop());
        let outcome = adapter.call(&mut session, get(FOR_LONG), &runaway);
        let error = outcome.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(!error.breaks_session());
    });
    assert!(start.elapsed() < PATIENCE);
    // The first call is still cancelled, and the next one long enough to be looked at.
    let next = adapter.call(&mut session, get("/?stop=100000"), &context(&[]));
    assert_eq!(text(next), r#"[{"last":100000}]"#);
}

#[test]
fn a_runaway_statement_stops_at_its_deadline() {
    let database = Database::new();
    let adapter = database.sqlite(COUNT);
    let mut session = adapter.open().unwrap();
    let deadline = Instant::now() + Duration::from_millis(20);
    let call = Stoppable::new(Some(deadline)).call(PathParams::default());
    let outcome = adapter.call(&mut session, get(FOR_LONG), &call);
    assert_eq!(kind(outcome), ErrorKind::Unavailable);
    assert!(Instant::now() >= deadline);
    assert!(Instant::now() < deadline + PATIENCE);
}

#[test]
fn a_stopped_write_leaves_nothing_behind() {
    let database = Database::new();
    let sql = "INSERT INTO users (name) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL
               SELECT i + 1 FROM n WHERE i < 5000000) SELECT 'user ' || i FROM n";
    for sql in [sql.to_owned(), format!("{sql} RETURNING id")] {
        let adapter = database.sqlite(&sql);
        let mut session = adapter.open().unwrap();
        let deadline = Instant::now() + Duration::from_millis(20);
        let call = Stoppable::new(Some(deadline)).call(PathParams::default());
        let outcome = adapter.call(&mut session, json("{}"), &call);
        assert_eq!(kind(outcome), ErrorKind::Unavailable);
        assert_eq!(database.number("SELECT count(*) FROM users"), 2);
    }
}

#[test]
fn a_call_that_waits_for_a_lock_stops_when_its_client_leaves() {
    let database = Database::new();
    let holder = database.connection();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    let adapter = database
        .sqlite("DELETE FROM users")
        .busy_timeout(PATIENCE * 10);
    let mut session = adapter.open().unwrap();
    let stoppable = Stoppable::new(None);
    let call = stoppable.call(PathParams::default());
    let start = Instant::now();
    thread::scope(|scope| {
        scope.spawn(|| stoppable.stop());
        let outcome = adapter.call(&mut session, json("{}"), &call);
        assert_eq!(kind(outcome), ErrorKind::Unavailable);
    });
    assert!(start.elapsed() < PATIENCE);
    holder.execute_batch("ROLLBACK").unwrap();
    let next = adapter.call(&mut session, json("{}"), &context(&[]));
    assert!(next.is_ok(), "{next:?}");
}
