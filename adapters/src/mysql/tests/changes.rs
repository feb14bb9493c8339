use super::*;

fn put(target: &str) -> Request {
    post(target, "text/plain", "")
}

#[test]
fn changes_and_the_new_number_are_told() {
    let Some(db) = Db::shared() else { return };
    let insert = "INSERT INTO users (name) VALUES (:name)";
    let answer = db.ask(insert, put("/?name=Alan")).unwrap();
    assert_eq!(text(answer), r#"{"changes":1,"last_insert_id":3}"#);
    let update = "UPDATE users SET age = 40 WHERE id < 3";
    // Rows that have the value already count as well.
    for _ in 0..2 {
        assert_eq!(text(db.ask(update, put("/")).unwrap()), r#"{"changes":2}"#);
    }
    let none = db.adapter("query = 'DELETE FROM users WHERE id = 99'\nno_changes = 404");
    assert_eq!(
        call(&none, put("/")).unwrap_err().kind(),
        ErrorKind::NotFound
    );
}

#[test]
fn what_writes_is_not_for_get() {
    let Some(db) = Db::shared() else { return };
    let error = db.ask("DELETE FROM users", get("/")).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::MethodNotAllowed(_)));
    assert_eq!(db.run("SELECT COUNT(*) FROM users"), "2");
}

#[test]
fn several_statements_are_done_together_or_not_at_all() {
    let Some(db) = Db::shared() else { return };
    let adapter = db.adapter(
        "query = ['INSERT INTO users (name) VALUES (:a)', 'INSERT INTO users (name) VALUES (:b)']",
    );
    let mut session = adapter.open().unwrap();
    let mut ask = |target: &str| in_session(&adapter, &mut session, put(target));
    let clash = ask("/?a=Alan&b=Ada").unwrap_err();
    assert_eq!(
        (clash.kind(), clash.breaks_session()),
        (ErrorKind::Conflict, false)
    );
    assert_eq!(db.run("SELECT COUNT(*) FROM users"), "2");
    ask("/?a=Alan&b=Barbara").unwrap();
    assert_eq!(db.run("SELECT COUNT(*) FROM users"), "4");
}

#[test]
fn statements_that_read_see_one_state_and_write_nothing() {
    let Some(db) = Db::shared() else { return };
    db.run(
        "DELIMITER //\nCREATE FUNCTION sneaky() RETURNS INT MODIFIES SQL DATA
             BEGIN INSERT INTO users (name) VALUES ('x'); RETURN 1; END//\nDELIMITER ;",
    );
    let adapter = db.adapter("query = ['SELECT 1 AS a', 'SELECT sneaky() AS b']");
    let error = call(&adapter, get("/")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Internal);
    assert!(explain(&error).contains("25006"), "{}", explain(&error));
    assert_eq!(db.run("SELECT COUNT(*) FROM users"), "2");
}

#[test]
fn what_cannot_be_answered_is_not_done() {
    let Some(db) = Db::shared() else { return };
    let adapter = db.adapter(
        "query = \"INSERT INTO users (name) VALUES (:name) RETURNING REPEAT('x', 1000) AS t\"\nmax_response = '100B'",
    );
    assert_eq!(
        call(&adapter, put("/?name=Alan")).unwrap_err().kind(),
        ErrorKind::Internal
    );
    pontoon_tests::eventually("it is rolled back", || {
        db.run("SELECT COUNT(*) FROM users") == "2"
    });
    let adapter = db.adapter(
        "query = 'INSERT INTO users (name) VALUES (:name) RETURNING id'\nformat = 'object'\nchanges = 201",
    );
    let mut session = adapter.open().unwrap();
    let answer = in_session(&adapter, &mut session, put("/?name=Alan")).unwrap();
    assert!(!answer.breaks_session());
    assert!(text(answer).starts_with(r#"{"id":"#));
    assert_eq!(db.run("SELECT COUNT(*) FROM users"), "3");
}

#[test]
fn a_transaction_that_a_statement_leaves_open_is_rolled_back() {
    let Some(db) = Db::shared() else { return };
    db.run(
        "DELIMITER //\nCREATE PROCEDURE careless() BEGIN START TRANSACTION; DELETE FROM users; END//\nDELIMITER ;",
    );
    let adapter = db.query("CALL careless()");
    let mut session = adapter.open().unwrap();
    let error = in_session(&adapter, &mut session, put("/")).unwrap_err();
    assert!(error.breaks_session());
    assert!(error.detail().contains("left a transaction open"));
    drop(session);
    pontoon_tests::eventually("it is rolled back", || {
        db.run("SELECT COUNT(*) FROM users") == "2"
    });
}
