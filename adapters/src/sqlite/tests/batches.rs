//! Calls in one transaction: each has its own answer, and nobody is harmed by another.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Method, StatusCode};
use pontoon_bridge::Pool;
use proptest::prelude::*;

use super::*;
use crate::BatchCall;
use crate::mount::{Bound, Job, Mounted, Submit};
use crate::test_support::{PATIENCE, Stoppable, ended, request};

const INSERT: &str = "INSERT INTO users (name, age) VALUES (:name, :age)";
/// As many users as `:count` says, called `:name` and a number.
const MANY: &str = "INSERT INTO users (name) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL
                    SELECT i + 1 FROM n WHERE i < :count) SELECT :name || ' ' || i FROM n";

fn user(name: &str, age: i64) -> BatchCall {
    let body = format!(r#"{{"name":"{name}","age":{age}}}"#);
    BatchCall::new(json(&body), context(&[]))
}

fn users(name: &str, count: u64, context: CallContext) -> BatchCall {
    let body = format!(r#"{{"name":"{name}","count":{count}}}"#);
    BatchCall::new(json(&body), context)
}

fn run(
    adapter: &Sqlite,
    session: &mut Session,
    mut calls: Vec<BatchCall>,
) -> Vec<Result<Response, Error>> {
    adapter.call_batch(session, &mut calls);
    let outcomes = calls.into_iter().map(|call| call.into_parts().1.unwrap());
    outcomes.collect()
}

fn statuses(outcomes: &[Result<Response, Error>]) -> Vec<u16> {
    let status = |outcome: &Result<Response, Error>| match outcome {
        Ok(response) => response.status().as_u16(),
        Err(error) => error.kind().status().as_u16(),
    };
    outcomes.iter().map(status).collect()
}

fn body(outcome: &Result<Response, Error>) -> &str {
    std::str::from_utf8(outcome.as_ref().unwrap().body()).unwrap()
}

#[test]
fn each_call_has_its_own_answer() {
    let database = Database::new();
    let adapter = database
        .sqlite(INSERT)
        .changes(StatusCode::CREATED)
        .batch(8);
    let mut session = adapter.open().unwrap();
    let calls = vec![user("Alan", 41), user("Edsger", 72), user("Barbara", 85)];
    let outcomes = run(&adapter, &mut session, calls);
    assert_eq!(statuses(&outcomes), [201; 3]);
    for (outcome, id) in outcomes.iter().zip(3..) {
        let expected = format!(r#"{{"changes":1,"last_insert_id":{id}}}"#);
        assert_eq!(body(outcome), expected);
    }
    let names = "SELECT count(*) FROM users WHERE (id, name) IN
                 (VALUES (3, 'Alan'), (4, 'Edsger'), (5, 'Barbara'))";
    assert_eq!(database.number(names), 3);
}

#[test]
fn one_that_fails_takes_nothing_of_the_others_with_it() {
    let database = Database::new();
    let adapter = database.sqlite(INSERT).batch(8);
    let mut session = adapter.open().unwrap();
    let calls = vec![
        user("Alan", 41),
        user("Ada", 1),
        user("Edsger", -1),
        BatchCall::new(json(r#"{"name":"nobody's age"}"#), context(&[])),
        BatchCall::new(
            request(Method::GET, "/?name=x&age=1", None, ""),
            context(&[]),
        ),
        user("Alan", 42),
        user("Barbara", 85),
    ];
    let outcomes = run(&adapter, &mut session, calls);
    assert_eq!(statuses(&outcomes), [200, 409, 422, 400, 405, 409, 200]);
    assert!(
        outcomes
            .iter()
            .flat_map(|it| it.as_ref().err())
            .all(|it| !it.breaks_session())
    );
    assert_eq!(database.number("SELECT count(*) FROM users"), 4);
    assert_eq!(
        database.number("SELECT age FROM users WHERE name = 'Alan'"),
        41
    );
}

#[test]
fn when_all_fail_each_says_why_and_the_session_goes_on() {
    let database = Database::new();
    let adapter = database.sqlite(INSERT).batch(8);
    let mut session = adapter.open().unwrap();
    let calls = vec![user("Ada", 1), user("Alan", -1), user("Grace", 1)];
    assert_eq!(
        statuses(&run(&adapter, &mut session, calls)),
        [409, 422, 409]
    );
    let calls = vec![user("Alan", 1), user("Edsger", 1)];
    assert_eq!(statuses(&run(&adapter, &mut session, calls)), [200, 200]);
    assert_eq!(database.number("SELECT count(*) FROM users"), 4);
}

#[test]
fn an_answer_that_cannot_be_sent_undoes_only_its_own_changes() {
    let database = Database::new();
    let adapter = database
        .sqlite("INSERT INTO users (name) VALUES (:name) RETURNING name")
        .max_response_bytes(30)
        .batch(8);
    let mut session = adapter.open().unwrap();
    let calls = vec![user("Alan", 0), user(&"x".repeat(50), 0), user("Edsger", 0)];
    let outcomes = run(&adapter, &mut session, calls);
    assert_eq!(statuses(&outcomes), [200, 500, 200]);
    assert_eq!(body(&outcomes[2]), r#"[{"name":"Edsger"}]"#);
    assert_eq!(database.number("SELECT count(*) FROM users"), 4);
}

#[test]
fn a_call_whose_client_has_left_does_not_run() {
    let database = Database::new();
    let adapter = database.sqlite(INSERT).batch(8);
    let mut session = adapter.open().unwrap();
    let left = Stoppable::new(None);
    left.stop();
    let left = BatchCall::new(
        json(r#"{"name":"Alan","age":41}"#),
        left.call(PathParams::default()),
    );
    let outcomes = run(&adapter, &mut session, vec![left, user("Edsger", 72)]);
    assert_eq!(statuses(&outcomes), [503, 200]);
    assert_eq!(database.number("SELECT count(*) FROM users"), 3);
}

#[test]
fn a_call_that_is_stopped_while_the_batch_runs_stops_nobody_else() {
    let database = Database::new();
    let adapter = database.sqlite(MANY).batch(8);
    let mut session = adapter.open().unwrap();
    let deadline = Instant::now() + Duration::from_millis(30);
    let stopped = Stoppable::new(Some(deadline));
    // For some tens of seconds, if nobody stops it.
    let calls = vec![
        users("a", 2, context(&[])),
        users("b", 20_000_000, stopped.call(PathParams::default())),
        users("c", 3, context(&[])),
    ];
    let outcomes = run(&adapter, &mut session, calls);
    assert_eq!(statuses(&outcomes), [200, 503, 200]);
    assert_eq!(body(&outcomes[2]), r#"{"changes":3,"last_insert_id":7}"#);
    assert!(deadline.elapsed() < PATIENCE);
    assert_eq!(database.number("SELECT count(*) FROM users"), 2 + 2 + 3);
}

#[test]
fn a_deadline_that_passes_while_the_batch_waits_for_a_lock_is_for_its_own_call() {
    let database = Database::new();
    let holder = database.connection();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    let adapter = database.sqlite(INSERT).busy_timeout(PATIENCE).batch(8);
    let mut session = adapter.open().unwrap();
    let deadline = Instant::now() + Duration::from_millis(30);
    let late = Stoppable::new(Some(deadline));
    let late = BatchCall::new(
        json(r#"{"name":"Alan","age":41}"#),
        late.call(PathParams::default()),
    );
    let outcomes = std::thread::scope(|scope| {
        scope.spawn(move || {
            std::thread::sleep(deadline.saturating_duration_since(Instant::now()));
            holder.execute_batch("ROLLBACK").unwrap();
        });
        run(&adapter, &mut session, vec![late, user("Edsger", 72)])
    });
    assert_eq!(statuses(&outcomes), [503, 200]);
    assert_eq!(database.number("SELECT count(*) FROM users"), 3);
}

#[test]
fn a_batch_that_nobody_waits_for_does_not_wait_for_a_lock() {
    let database = Database::new();
    let holder = database.connection();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    let adapter = database.sqlite(MANY).busy_timeout(PATIENCE * 10).batch(8);
    let mut session = adapter.open().unwrap();
    let clients = [Stoppable::new(None), Stoppable::new(None)];
    let calls = clients
        .iter()
        .map(|client| users("a", 1, client.call(PathParams::default())));
    let calls = calls.collect();
    let start = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| clients.iter().for_each(Stoppable::stop));
        let outcomes = run(&adapter, &mut session, calls);
        assert_eq!(statuses(&outcomes), [503, 503]);
    });
    assert!(start.elapsed() < PATIENCE);
}

#[test]
fn a_lock_that_is_not_had_in_time_fails_all_and_changes_nothing() {
    let database = Database::new();
    let holder = database.connection();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    let adapter = database
        .sqlite(INSERT)
        .busy_timeout(Duration::from_millis(20))
        .batch(8);
    let mut session = adapter.open().unwrap();
    let calls = || vec![user("Alan", 41), user("Edsger", 72)];
    assert_eq!(statuses(&run(&adapter, &mut session, calls())), [503; 2]);
    holder.execute_batch("ROLLBACK").unwrap();
    assert_eq!(database.number("SELECT count(*) FROM users"), 2);
    assert_eq!(statuses(&run(&adapter, &mut session, calls())), [200; 2]);
}

#[test]
fn a_commit_that_fails_fails_all_and_changes_nothing() {
    let database = Database::new();
    let adapter = database
        .sqlite(INSERT)
        .busy_timeout(Duration::from_millis(20))
        .batch(8);
    let mut session = adapter.open().unwrap();
    // Without a write-ahead log a commit waits for all readers.
    let reader = database.connection();
    reader
        .execute_batch("BEGIN; SELECT count(*) FROM users;")
        .unwrap();
    let calls = || vec![user("Alan", 41), user("Ada", 1), user("Edsger", 72)];
    let outcomes = run(&adapter, &mut session, calls());
    assert_eq!(statuses(&outcomes), [503; 3]);
    reader.execute_batch("COMMIT").unwrap();
    assert_eq!(database.number("SELECT count(*) FROM users"), 2);
    let outcomes = run(&adapter, &mut session, calls());
    assert_eq!(statuses(&outcomes), [200, 409, 200]);
}

#[test]
fn a_foreign_key_that_is_checked_at_the_commit_fails_only_the_one_who_broke_it() {
    let database = Database::new();
    database.run(
        "CREATE TABLE pets (name TEXT, owner INTEGER REFERENCES users (id)
             DEFERRABLE INITIALLY DEFERRED)",
    );
    let adapter = database
        .sqlite("INSERT INTO pets VALUES (:name, :owner)")
        .batch(8);
    let mut session = adapter.open().unwrap();
    let pet = |owner: u32| {
        let body = format!(r#"{{"name":"Rex","owner":{owner}}}"#);
        BatchCall::new(json(&body), context(&[]))
    };
    let outcomes = run(&adapter, &mut session, vec![pet(1), pet(99), pet(2)]);
    assert_eq!(statuses(&outcomes), [200, 422, 200]);
    assert_eq!(database.number("SELECT sum(owner) FROM pets"), 3);
}

#[test]
fn a_statement_that_rolls_everything_back_does_so_for_itself() {
    let database = Database::new();
    let sql = "INSERT OR ROLLBACK INTO users (name, age) VALUES (:name, :age)";
    let adapter = database.sqlite(sql).batch(8);
    let mut session = adapter.open().unwrap();
    let calls = vec![user("Alan", 41), user("Ada", 1), user("Edsger", 72)];
    let outcomes = run(&adapter, &mut session, calls);
    assert_eq!(statuses(&outcomes), [200, 409, 200]);
    assert_eq!(database.number("SELECT count(*) FROM users"), 4);
}

#[test]
fn a_table_that_was_dropped_fails_all_of_them() {
    let database = Database::new();
    let adapter = database.sqlite(INSERT).batch(8);
    let mut session = adapter.open().unwrap();
    database.run("DROP TABLE users");
    let outcomes = run(
        &adapter,
        &mut session,
        vec![user("Alan", 41), user("Edsger", 72)],
    );
    assert_eq!(statuses(&outcomes), [500, 500]);
}

/// The adapter on a pool, as the server has it.
fn mounted(adapter: Sqlite, pool: &Pool) -> Arc<dyn Submit> {
    let bound = Mounted::blocking(adapter).bind(Some(pool), &Arc::from("/users"));
    match bound {
        Some(Bound::Submit(bound)) => bound,
        _ => unreachable!("a blocking adapter is submitted to"),
    }
}

fn job(name: &str) -> Job {
    Job {
        request: json(&format!(r#"{{"name":"{name}","age":1}}"#)),
        params: PathParams::default(),
        request_id: 1,
        deadline: Some(Instant::now() + PATIENCE),
        is_shortened: false,
        place: None,
    }
}

/// How many transactions have changed the file.
fn transactions(database: &Database) -> u32 {
    let file = fs::read(database.path()).unwrap();
    u32::from_be_bytes(file[24..28].try_into().unwrap())
}

#[test]
fn what_waits_is_written_in_one_transaction_and_other_locations_go_on() {
    let database = Database::new();
    let pool = Pool::named("group").threads(2).codel(None).build().unwrap();
    let writes = mounted(
        database.sqlite(INSERT).busy_timeout(PATIENCE).batch(64),
        &pool,
    );
    let reads = mounted(
        database.sqlite("SELECT count(*) AS count FROM users"),
        &pool,
    );
    let holder = database.connection();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    let before = transactions(&database);
    let calls: Vec<_> = (0..50)
        .map(|number| writes.submit(job(&format!("user {number}"))))
        .collect();
    // The batch waits for the lock, and everything else has the other worker.
    let read = ended(reads.submit(job("nobody"))).unwrap();
    assert_eq!(text(read), r#"[{"count":2}]"#);
    holder.execute_batch("ROLLBACK").unwrap();
    for call in calls {
        assert!(ended(call).unwrap().is_ok());
    }
    assert_eq!(database.number("SELECT count(*) FROM users"), 52);
    let transactions = transactions(&database) - before;
    assert!((1..=3).contains(&transactions), "{transactions}");
    assert_eq!(pool.stats().completed, 51);
}

#[test]
fn whoever_has_an_answer_finds_his_row_in_the_database() {
    let database = Database::new();
    let pool = Pool::named("durable")
        .threads(2)
        .codel(None)
        .build()
        .unwrap();
    let writes = mounted(
        database.sqlite(INSERT).busy_timeout(PATIENCE).batch(16),
        &pool,
    );
    std::thread::scope(|scope| {
        for writer in 0..6 {
            let (writes, database) = (&writes, &database);
            scope.spawn(move || {
                let connection = database.connection();
                connection.busy_timeout(PATIENCE).unwrap();
                for number in 0..25 {
                    let name = format!("{writer}-{number}");
                    let outcome = ended(writes.submit(job(&name)));
                    assert!(outcome.unwrap().is_ok());
                    let sql = "SELECT count(*) FROM users WHERE name = ?1";
                    let found: i64 = connection.query_row(sql, [name], |row| row.get(0)).unwrap();
                    assert_eq!(found, 1);
                }
            });
        }
    });
    assert_eq!(database.number("SELECT count(*) FROM users"), 2 + 6 * 25);
    assert_eq!(
        database.number("SELECT integrity_check = 'ok' FROM pragma_integrity_check"),
        1
    );
}

/// What a list of rows says to an insert of `id` and `amount`.
fn reference(rows: &mut BTreeMap<i64, i64>, id: i64, amount: i64, is_left: bool) -> u16 {
    if is_left {
        return 503;
    }
    if amount < 0 {
        return 422;
    }
    if rows.contains_key(&id) {
        return 409;
    }
    rows.insert(id, amount);
    200
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(64)
    })]

    /// Also where a conflict costs the whole transaction.
    #[test]
    fn any_batches_end_as_if_their_calls_had_run_one_by_one(
        rolls_back in any::<bool>(),
        batches in prop::collection::vec(
            prop::collection::vec((0..20_i64, -1..9_i64, prop::bool::weighted(0.1)), 1..12),
            1..6,
        ),
    ) {
        let database = Database::new();
        database.run("CREATE TABLE items (id INTEGER PRIMARY KEY, amount INTEGER CHECK (amount >= 0))");
        let verb = if rolls_back { "INSERT OR ROLLBACK" } else { "INSERT" };
        let adapter = database.sqlite(&format!("{verb} INTO items VALUES (:id, :amount)")).batch(16);
        let mut session = adapter.open().unwrap();
        let mut rows = BTreeMap::new();
        for batch in batches {
            let calls = batch.iter().map(|(id, amount, is_left)| {
                let client = Stoppable::new(None);
                if *is_left {
                    client.stop();
                }
                let body = format!(r#"{{"id":{id},"amount":{amount}}}"#);
                BatchCall::new(json(&body), client.call(PathParams::default()))
            });
            let outcomes = run(&adapter, &mut session, calls.collect());
            let expected: Vec<_> = batch
                .iter()
                .map(|(id, amount, is_left)| reference(&mut rows, *id, *amount, *is_left))
                .collect();
            prop_assert_eq!(statuses(&outcomes), expected);
        }
        let connection = database.connection();
        let mut statement = connection.prepare("SELECT id, amount FROM items").unwrap();
        let found = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        prop_assert_eq!(found.map(Result::unwrap).collect::<BTreeMap<i64, i64>>(), rows);
    }
}
