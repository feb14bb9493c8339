//! Mistakes that show at start, and what a session does when its file changes.

use std::fs;
use std::time::Duration;

use super::*;

fn problem(adapter: &Sqlite) -> (&'static str, String) {
    let problem = adapter.validate().unwrap_err();
    (problem.key, problem.message)
}

fn query_problem(query: &str) -> String {
    let (key, message) = problem(&Database::new().sqlite(query));
    assert_eq!(key, "query");
    message
}

#[test]
fn a_good_statement_passes_and_changes_nothing() {
    let database = Database::new();
    database.sqlite("DELETE FROM users").validate().unwrap();
    assert_eq!(database.number("SELECT count(*) FROM users"), 2);
}

#[test]
fn a_typo_in_the_statement_names_the_file_the_reason_and_the_place() {
    let message = query_problem("SELECT nam FROM users");
    assert!(message.contains("users.db"), "{message}");
    assert!(message.contains("no such column: nam"), "{message}");
    assert!(message.contains("at character 8"), "{message}");
}

#[test]
fn a_missing_database_is_neither_ignored_nor_created() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("none.db");
    for query in ["SELECT 1", "CREATE TABLE t (a)"] {
        let adapter = Sqlite::new(&path, query);
        let (key, message) = problem(&adapter);
        assert_eq!(key, "database");
        assert!(message.contains("does not exist"), "{message}");
        let error = adapter.open().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadGateway);
        assert!(!error.detail().contains("none.db"), "{error}");
    }
    assert!(!path.exists());
}

#[test]
fn a_database_that_is_no_file_is_refused_with_the_reason() {
    let reason = |name: &str| {
        let adapter = Sqlite::new(name, "SELECT 1 AS one");
        let (key, message) = problem(&adapter);
        assert_eq!(key, "database");
        assert_eq!(adapter.open().unwrap_err().kind(), ErrorKind::BadGateway);
        message
    };
    assert!(reason(":memory:").contains("each worker has its own"));
    assert!(reason("").contains("empty"));
    assert!(reason("file:users.db?mode=memory").contains("URI"));
    let directory = tempfile::tempdir().unwrap();
    assert!(reason(directory.path().to_str().unwrap()).contains("directory"));
}

#[test]
fn a_file_that_is_no_database_is_found_at_start_and_breaks_a_session() {
    let database = Database::new();
    fs::write(
        database.path(),
        "this is a text and no database ".repeat(100),
    )
    .unwrap();
    let adapter = database.sqlite("SELECT id FROM users");
    let (key, message) = problem(&adapter);
    assert_eq!(key, "database");
    assert!(message.contains("not a database"), "{message}");
    let error = adapter.open().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BadGateway);
    assert!(error.breaks_session());
}

#[test]
fn parameters_must_have_names() {
    for query in ["SELECT ? AS a", "SELECT ?1 AS a", "SELECT :a AS a, ?2 AS b"] {
        let message = query_problem(query);
        assert!(message.contains("has no name"), "{query}: {message}");
    }
}

#[test]
fn there_must_be_exactly_one_statement_and_it_must_do_something() {
    assert!(query_problem("SELECT 1 AS a; SELECT 2 AS b").contains("more than one"));
    for query in ["", "-- nothing"] {
        assert!(query_problem(query).contains("empty"), "{query}");
    }
    for query in ["BEGIN", "COMMIT", "ATTACH 'x.db' AS x"] {
        let message = query_problem(query);
        assert!(message.contains("neither answers"), "{query}: {message}");
    }
    let database = Database::new();
    database.sqlite("SELECT 1 AS a;\n").validate().unwrap();
}

#[test]
fn two_columns_of_one_name_are_refused() {
    let message = query_problem("SELECT a.id, b.id FROM users AS a, users AS b");
    assert!(message.contains("two columns are called `id`"), "{message}");
}

#[test]
fn a_read_only_database_is_not_written() {
    let database = Database::new();
    let writing = database.sqlite("DELETE FROM users").read_only(true);
    assert_eq!(problem(&writing).0, "read_only");
    assert_eq!(writing.open().unwrap_err().kind(), ErrorKind::BadGateway);
    let wal = database
        .sqlite("SELECT id FROM users")
        .read_only(true)
        .journal_mode(JournalMode::Wal);
    assert_eq!(problem(&wal).0, "journal_mode");
}

#[test]
fn a_locked_database_does_not_keep_the_server_from_starting() {
    let database = Database::new();
    let holder = database.connection();
    holder.execute_batch("BEGIN EXCLUSIVE").unwrap();
    database.sqlite("SELECT id FROM users").validate().unwrap();
}

#[test]
fn the_journal_mode_is_set_once_and_only_when_it_differs() {
    let database = Database::new();
    let adapter = database
        .sqlite("SELECT id FROM users")
        .journal_mode(JournalMode::Wal);
    adapter.validate().unwrap();
    let is_wal = "SELECT journal_mode = 'wal' FROM pragma_journal_mode";
    assert_eq!(database.number(is_wal), 0, "validation changes nothing");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| call(&adapter, get("/")).unwrap());
        }
    });
    assert_eq!(database.number(is_wal), 1);
}

#[test]
fn readers_of_a_write_ahead_log_do_not_wait_for_its_writer() {
    let database = Database::new();
    database.run("PRAGMA journal_mode = wal");
    let holder = database.connection();
    holder
        .execute_batch("BEGIN IMMEDIATE; DELETE FROM users")
        .unwrap();
    let adapter = database
        .sqlite("SELECT count(*) AS n FROM users")
        .busy_timeout(Duration::ZERO);
    assert_eq!(text(call(&adapter, get("/"))), r#"[{"n":2}]"#);
}

#[test]
fn a_session_whose_file_was_replaced_is_no_longer_used() {
    let database = Database::new();
    let adapter = database.sqlite("SELECT count(*) AS n FROM users");
    let mut session = adapter.open().unwrap();
    adapter.check(&mut session).unwrap();
    let other = Database::new();
    other.run("DELETE FROM users");
    fs::rename(other.path(), database.path()).unwrap();
    assert!(adapter.check(&mut session).unwrap_err().breaks_session());
    assert_eq!(text(call(&adapter, get("/"))), r#"[{"n":0}]"#);
}

#[test]
fn a_dropped_table_is_a_500_that_tells_the_client_nothing() {
    let database = Database::new();
    let adapter = database.sqlite("SELECT id FROM users");
    let mut session = adapter.open().unwrap();
    database.run("DROP TABLE users");
    let error = adapter
        .call(&mut session, get("/"), &context(&[]))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Internal);
    assert!(!error.detail().contains("users"), "{error}");
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("no such table: users"), "{source}");
}
