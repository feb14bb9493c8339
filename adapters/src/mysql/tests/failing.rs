use super::*;

#[test]
fn each_error_has_its_status_and_does_not_show_what_the_server_said() {
    let Some(db) = Db::shared() else { return };
    db.run(
        "CREATE TABLE mails (user_id INT NOT NULL, text VARCHAR(5) NOT NULL, n TINYINT, d DATE,
             FOREIGN KEY (user_id) REFERENCES users (id));
         INSERT INTO mails VALUES (1, 'x', 1, NULL);
         CREATE DATABASE IF NOT EXISTS secret; CREATE TABLE IF NOT EXISTS secret.t (a INT);",
    );
    let cases = [
        (
            "INSERT INTO users (name) VALUES ('Ada')",
            ErrorKind::Conflict,
        ),
        (
            "INSERT INTO users (name) VALUES (NULL)",
            ErrorKind::Unprocessable,
        ),
        (
            "INSERT INTO users (age) VALUES (1)",
            ErrorKind::Unprocessable,
        ),
        ("UPDATE users SET age = -1", ErrorKind::Unprocessable),
        (
            "INSERT INTO mails VALUES (99, 'x', 1, NULL)",
            ErrorKind::Unprocessable,
        ),
        ("DELETE FROM users WHERE id = 1", ErrorKind::Unprocessable),
        (
            "INSERT INTO mails VALUES (1, 'too long', 1, NULL)",
            ErrorKind::Unprocessable,
        ),
        (
            "INSERT INTO mails VALUES (1, 'x', 300, NULL)",
            ErrorKind::Unprocessable,
        ),
        (
            "INSERT INTO mails VALUES (1, 'x', 'y', NULL)",
            ErrorKind::Unprocessable,
        ),
        (
            "INSERT INTO mails VALUES (1, 'x', 1, '2024-02-30')",
            ErrorKind::Unprocessable,
        ),
        (
            "INSERT INTO mails VALUES (1, 'x', 1/0, NULL)",
            ErrorKind::Unprocessable,
        ),
        ("DELETE FROM secret.t", ErrorKind::Forbidden),
        ("DELETE FROM nowhere", ErrorKind::Internal),
        ("DELETE FROM users WHERE nothing = 1", ErrorKind::Internal),
        ("DELETE FRM users", ErrorKind::Internal),
    ];
    for (sql, kind) in cases {
        let adapter = db.query(sql);
        let mut session = adapter.open().unwrap();
        let error = in_session(&adapter, &mut session, post("/", "text/plain", "")).unwrap_err();
        assert_eq!(error.kind(), kind, "{sql}: {}", explain(&error));
        assert!(!error.breaks_session(), "{sql}");
        for word in ["users", "mails", "secret", "Ada"] {
            assert!(!error.detail().contains(word), "{sql}: {}", error.detail());
        }
        assert!(explain(&error).contains("SQLSTATE"), "{}", explain(&error));
        // The session is as good as before.
        adapter.check(&mut session).unwrap();
    }
}

#[test]
fn a_signal_of_the_databases_own_code_is_a_422() {
    let Some(db) = Db::shared() else { return };
    db.run(
        "CREATE TRIGGER no_more BEFORE INSERT ON users FOR EACH ROW SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no';",
    );
    let error = db.ask(
        "INSERT INTO users (name) VALUES ('x')",
        post("/", "text/plain", ""),
    );
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Unprocessable);
}

#[test]
fn a_lock_that_is_not_released_is_a_503() {
    let Some(db) = Db::shared() else { return };
    let holder = db.query("UPDATE users SET age = age + 1 WHERE id = 1");
    let holding = holder.open().unwrap();
    holding.connection.run(c"START TRANSACTION", None).unwrap();
    let update = c"UPDATE users SET age = 5 WHERE id = 1";
    holding.connection.run(update, None).unwrap();
    let adapter = db.adapter(
        "query = ['SET innodb_lock_wait_timeout = 1', 'UPDATE users SET age = 0 WHERE id = 1']",
    );
    let error = call(&adapter, post("/", "text/plain", "")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", explain(&error));
}

#[test]
fn a_deadlock_is_run_again() {
    use std::sync::atomic::{AtomicBool, Ordering};

    let Some(db) = Db::shared() else { return };
    db.run("CREATE TABLE a (id INT PRIMARY KEY, n INT); INSERT INTO a VALUES (1, 0), (2, 0)");
    let keys = |first, second| {
        format!(
            "query = ['UPDATE a SET n = n + 1 WHERE id = {first}', 'UPDATE a SET n = n + 1 WHERE id = {second}']\n\
             retries = 100"
        )
    };
    let adapters = [db.adapter(&keys(1, 2)), db.adapter(&keys(2, 1))];
    let stop = AtomicBool::new(false);
    let done: u64 = std::thread::scope(|scope| {
        let threads = adapters.each_ref().map(|adapter| {
            let stop = &stop;
            scope.spawn(move || {
                let mut session = adapter.open().unwrap();
                let mut done = 0;
                // Relaxed: it may end one round later.
                while !stop.load(Ordering::Relaxed) {
                    let answer = in_session(adapter, &mut session, post("/", "text/plain", ""));
                    answer.unwrap_or_else(|error| panic!("{}", explain(&error)));
                    done += 1;
                }
                done
            })
        });
        pontoon_tests::eventually("they clash", || {
            let status = "SELECT variable_value FROM information_schema.global_status WHERE variable_name = 'Innodb_deadlocks'";
            db.run(status).parse::<u64>().unwrap() > 3
        });
        stop.store(true, Ordering::Relaxed);
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum()
    });
    assert_eq!(db.run("SELECT SUM(n) FROM a"), (done * 2).to_string());
}

#[test]
fn a_server_that_is_not_there_is_a_502_and_is_found_when_it_comes() {
    let Some(server) = MariaDb::start() else {
        return;
    };
    let db = Db::on(&server);
    let adapter = db.query("SELECT COUNT(*) AS n FROM users");
    server.kill();
    let error = adapter.open().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BadGateway);
    assert!(
        explain(&error).contains("error 2002"),
        "{}",
        explain(&error)
    );
    server.restart();
    let mut session = adapter.open().unwrap();
    in_session(&adapter, &mut session, get("/")).unwrap();
    server.restart();
    // It has closed the connection, which is replaced before anything is sent.
    assert!(adapter.check(&mut session).is_err());
    in_session(&adapter, &mut session, get("/")).unwrap();
    server.kill();
    let error = in_session(&adapter, &mut session, get("/")).unwrap_err();
    assert_eq!(
        (error.kind(), error.breaks_session()),
        (ErrorKind::BadGateway, true)
    );
}

#[test]
fn a_server_that_is_killed_during_a_call_is_a_502() {
    let Some(server) = MariaDb::start() else {
        return;
    };
    let db = Db::on(&server);
    let adapter = db.query("SELECT SLEEP(600) AS s");
    std::thread::scope(|scope| {
        let call = scope.spawn(|| call(&adapter, get("/")));
        pontoon_tests::eventually("it runs", || server.running("SELECT SLEEP(600)%") == 1);
        server.kill();
        let error = call.join().unwrap().unwrap_err();
        assert_eq!(
            (error.kind(), error.breaks_session()),
            (ErrorKind::BadGateway, true)
        );
    });
}

#[test]
fn a_login_that_is_refused_is_a_502_that_does_not_say_why() {
    let Some(db) = Db::shared() else { return };
    for (from, to) in [
        (MariaDb::PASSWORD, "wrong"),
        (db.name.as_str(), "test_none"),
    ] {
        let keys = db.keys().replace(from, to);
        let adapter = read(&format!("{keys}query = 'SELECT 1 AS a'")).unwrap();
        let error = adapter.open().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadGateway, "{}", explain(&error));
        assert!(!error.detail().contains("pontoon"), "{}", error.detail());
    }
}

#[test]
fn too_many_connections_are_a_503() {
    let Some(server) = MariaDb::start_with(&["--max-connections=10", "--extra-max-connections=1"])
    else {
        return;
    };
    let db = Db::on(&server);
    let adapter = db.query("SELECT 1 AS a");
    let mut sessions = Vec::new();
    let error = loop {
        match adapter.open() {
            Ok(session) => sessions.push(session),
            Err(error) => break error,
        }
        assert!(sessions.len() < 20);
    };
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", explain(&error));
}

#[test]
fn the_next_server_is_tried_and_kept() {
    let Some(db) = Db::shared() else { return };
    let address = db.server.address().to_string();
    let keys = db.keys().replace(
        &format!("\"{address}\""),
        &format!("[\"/nowhere/socket\", \"{address}\", \"127.0.0.1:1\"]"),
    );
    let adapter = read(&format!("{keys}query = 'SELECT 1 AS a'")).unwrap();
    call(&adapter, get("/")).unwrap();
    assert_eq!(adapter.preferred.load(Ordering::Relaxed), 1);
}
