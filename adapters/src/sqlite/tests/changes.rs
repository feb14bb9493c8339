//! Statements that write: what they answer, what they refuse, what they leave behind.

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use http::{Method, StatusCode};

use super::*;
use crate::test_support::{PATIENCE, Stoppable, request};

const INSERT: &str = "INSERT INTO users (name, age) VALUES (:name, :age)";
const UPDATE: &str = "UPDATE users SET age = age + 1 WHERE id = :id";

#[test]
fn an_insert_says_how_many_rows_and_which() {
    let database = Database::new();
    let adapter = database.sqlite(INSERT).changes(StatusCode::CREATED);
    let response = call(&adapter, json(r#"{"name":"Alan","age":41}"#)).unwrap();
    assert_eq!(response.status(), StatusCode::CREATED);
    assert_eq!(response.body(), r#"{"changes":1,"last_insert_id":3}"#);
    assert_eq!(database.number("SELECT age FROM users WHERE id = 3"), 41);
}

#[test]
fn an_update_of_nothing_changes_nothing_or_has_the_chosen_status() {
    let database = Database::new();
    let none = r#"{"changes":0}"#;
    assert_eq!(
        text(call(&database.sqlite(UPDATE), json(r#"{"id":99}"#))),
        none
    );
    let strict = database.sqlite(UPDATE).no_changes(StatusCode::NOT_FOUND);
    assert_eq!(
        kind(call(&strict, json(r#"{"id":99}"#))),
        ErrorKind::NotFound
    );
    assert!(call(&strict, json(r#"{"id":1}"#)).is_ok());
}

#[test]
fn no_call_is_told_the_id_that_another_one_inserted() {
    let database = Database::new();
    let sql = "INSERT INTO users (id, name) VALUES (:id, :name)
               ON CONFLICT (id) DO UPDATE SET name = excluded.name";
    let adapter = database.sqlite(sql);
    let mut session = adapter.open().unwrap();
    let mut put = |body: &str| text(adapter.call(&mut session, json(body), &context(&[])));
    let inserted = r#"{"changes":1,"last_insert_id":7}"#;
    assert_eq!(put(r#"{"id":7,"name":"Alan"}"#), inserted);
    let updated = r#"{"changes":1}"#;
    assert_eq!(put(r#"{"id":1,"name":"Augusta"}"#), updated);
    database.run("DELETE FROM users WHERE id = 7");
    assert_eq!(put(r#"{"id":7,"name":"Edsger"}"#), inserted);
}

#[test]
fn an_insert_with_returning_answers_its_rows() {
    let database = Database::new();
    let sql = "INSERT INTO users (name) VALUES (:name) RETURNING id, name";
    let adapter = database.sqlite(sql).format(Format::Object);
    let mut session = adapter.open().unwrap();
    for (name, id) in [("Alan", 3), ("Edsger", 4)] {
        let body = format!(r#"{{"name":"{name}"}}"#);
        let outcome = adapter.call(&mut session, json(&body), &context(&[]));
        assert_eq!(text(outcome), format!(r#"{{"id":{id},"name":"{name}"}}"#));
    }
    assert_eq!(database.number("SELECT count(*) FROM users"), 4);
}

#[test]
fn when_the_rows_of_returning_cannot_be_sent_the_changes_are_undone() {
    let database = Database::new();
    let adapter = database
        .sqlite("UPDATE users SET age = 0 RETURNING id, name")
        .max_response_bytes(20);
    let mut session = adapter.open().unwrap();
    for _ in 0..2 {
        let outcome = adapter.call(&mut session, json("{}"), &context(&[]));
        let error = outcome.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Internal);
        assert!(!error.breaks_session());
    }
    assert_eq!(database.number("SELECT sum(age) FROM users"), 121);
}

#[test]
fn a_broken_rule_is_409_for_a_key_and_422_for_the_rest() {
    let database = Database::new();
    let insert = |body: &str| call(&database.sqlite(INSERT), json(body)).unwrap_err();
    let twice = insert(r#"{"name":"Ada","age":1}"#);
    assert_eq!(twice.kind(), ErrorKind::Conflict);
    let negative = insert(r#"{"name":"Alan","age":-1}"#);
    assert_eq!(negative.kind(), ErrorKind::Unprocessable);
    let nameless = insert(r#"{"name":null,"age":1}"#);
    assert_eq!(nameless.kind(), ErrorKind::Unprocessable);
    for error in [twice, negative, nameless] {
        assert!(!error.detail().contains("users"), "{error}");
        assert!(!error.breaks_session());
    }
}

#[test]
fn foreign_keys_are_enforced() {
    let database = Database::new();
    database.run("CREATE TABLE pets (name TEXT, owner INTEGER REFERENCES users (id))");
    let adapter = database.sqlite("INSERT INTO pets VALUES ('Rex', :owner)");
    let outcome = call(&adapter, json(r#"{"owner":99}"#));
    assert_eq!(kind(outcome), ErrorKind::Unprocessable);
}

#[test]
fn get_and_head_never_write() {
    let database = Database::new();
    let adapter = database.sqlite("DELETE FROM users");
    for method in [Method::GET, Method::HEAD] {
        let outcome = call(&adapter, request(method, "/", None, ""));
        assert!(matches!(kind(outcome), ErrorKind::MethodNotAllowed(_)));
    }
    assert_eq!(database.number("SELECT count(*) FROM users"), 2);
    let outcome = call(&adapter, request(Method::DELETE, "/", None, ""));
    assert_eq!(text(outcome), r#"{"changes":2}"#);
}

#[test]
fn concurrent_writers_all_write_or_are_refused_and_the_file_stays_sound() {
    let database = Database::new();
    let sql = "INSERT INTO users (name) VALUES (:name)";
    let writers = 4;
    let each = 25;
    let impatient = database.sqlite(sql).busy_timeout(Duration::from_millis(1));
    let patient = database.sqlite(sql).busy_timeout(PATIENCE);
    let all_are_open = Barrier::new(4);
    let (mut written, mut refused) = (0, 0);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..writers)
            .map(|writer| {
                let adapter = if writer % 2 == 0 {
                    &patient
                } else {
                    &impatient
                };
                scope.spawn({
                    let all_are_open = &all_are_open;
                    move || write_names(adapter, all_are_open, writer, each)
                })
            })
            .collect();
        for thread in threads {
            let (ok, busy) = thread.join().unwrap();
            written += ok;
            refused += busy;
        }
    });
    assert_eq!(written + refused, writers * each);
    assert!(written >= writers / 2 * each, "the patient ones all write");
    let rows = database.number("SELECT count(*) FROM users");
    assert_eq!(rows, 2 + i64::from(written));
    let sound = "SELECT integrity_check = 'ok' FROM pragma_integrity_check";
    assert_eq!(database.number(sound), 1);
}

/// How many were written, and how many refused as busy.
fn write_names(adapter: &Sqlite, all_are_open: &Barrier, writer: i32, count: i32) -> (i32, i32) {
    let mut session = adapter.open().unwrap();
    all_are_open.wait();
    let mut written = 0;
    for number in 0..count {
        let body = format!(r#"{{"name":"{writer}-{number}"}}"#);
        match adapter.call(&mut session, json(&body), &context(&[])) {
            Ok(_) => written += 1,
            Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}"),
        }
    }
    (written, count - written)
}

#[test]
fn of_many_writers_of_one_key_exactly_one_wins() {
    let database = Database::new();
    let adapter = database
        .sqlite("INSERT INTO users (id, name) VALUES (50, 'x')")
        .busy_timeout(PATIENCE);
    let outcomes: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| call(&adapter, json("{}")).map_err(|error| error.kind())))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    let won = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    let lost = outcomes
        .iter()
        .filter(|outcome| matches!(outcome, Err(ErrorKind::Conflict)))
        .count();
    assert_eq!((won, lost), (1, 3));
}

#[test]
fn a_call_waits_for_a_lock_no_longer_than_its_busy_timeout_or_its_deadline() {
    let database = Database::new();
    let holder = database.connection();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();

    let short = database
        .sqlite(UPDATE)
        .busy_timeout(Duration::from_millis(30));
    let start = Instant::now();
    assert_eq!(
        kind(call(&short, json(r#"{"id":1}"#))),
        ErrorKind::Unavailable
    );
    assert!(start.elapsed() >= Duration::from_millis(30));

    let long = database.sqlite(UPDATE).busy_timeout(PATIENCE * 10);
    let mut session = long.open().unwrap();
    let deadline = Instant::now() + Duration::from_millis(30);
    let late = Stoppable::new(Some(deadline)).call(PathParams::default());
    let outcome = long.call(&mut session, json(r#"{"id":1}"#), &late);
    assert_eq!(kind(outcome), ErrorKind::Unavailable);
    assert!(Instant::now() >= deadline);
    assert!(start.elapsed() < PATIENCE);

    holder.execute_batch("ROLLBACK").unwrap();
    let after = long.call(&mut session, json(r#"{"id":1}"#), &context(&[]));
    assert!(after.is_ok(), "the same session goes on");
}

#[test]
fn several_statements_are_one_transaction() {
    let database = Database::new();
    let statements = [
        "UPDATE users SET age = age + 1 WHERE id = :id",
        "INSERT INTO users (name) VALUES (:name) RETURNING id, name",
    ];
    let mut common = Common::of_query("SELECT 1", Dialect::SQLITE).unwrap();
    common.plan = crate::sql::Plan::default();
    let texts = statements.map(str::to_owned);
    common.plan.add_for_any(&texts, Dialect::SQLITE).unwrap();
    let adapter = Sqlite::with(database.path(), common);
    let answer = text(call(&adapter, json(r#"{"id": 1, "name": "Joan"}"#)));
    assert_eq!(answer, r#"[{"id":3,"name":"Joan"}]"#);
    assert_eq!(database.number("SELECT age FROM users WHERE id = 1"), 37);
    let twice = call(&adapter, json(r#"{"id": 1, "name": "Joan"}"#));
    assert_eq!(kind(twice), ErrorKind::Conflict);
    assert_eq!(database.number("SELECT age FROM users WHERE id = 1"), 37);
    let missing = call(&adapter, json(r#"{"id": 1}"#));
    assert_eq!(kind(missing), ErrorKind::BadRequest);
    assert_eq!(database.number("SELECT age FROM users WHERE id = 1"), 37);
}

#[test]
fn typed_values_reach_the_database_as_what_they_are() {
    let query = "SELECT typeof(:i::int) AS i, typeof(:n::numeric) AS n, typeof(:t) AS t, typeof(:b::blob) AS b, \
                 typeof(:flag) AS flag, :deep.list AS list";
    let body =
        r#"{"i": "7", "n": 1.5, "t": "7", "b": "AP8=", "flag": true, "deep": {"list": [1, 2]}}"#;
    let answer = text(call(&Database::new().sqlite(query), json(body)));
    let expected =
        r#"[{"i":"integer","n":"real","t":"text","b":"blob","flag":"integer","list":"[1, 2]"}]"#;
    assert_eq!(answer, expected);
}
