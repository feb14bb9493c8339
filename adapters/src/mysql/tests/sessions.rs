use std::fs;

use super::*;

#[test]
fn a_statement_survives_a_table_that_is_altered() {
    let Some(db) = Db::shared() else { return };
    let adapter = db.query("SELECT * FROM users WHERE id = 1");
    let mut session = adapter.open().unwrap();
    let mut ask = || in_session(&adapter, &mut session, get("/")).map(text);
    assert_eq!(ask().unwrap(), r#"[{"id":1,"name":"Ada","age":36}]"#);
    db.run("ALTER TABLE users ADD COLUMN mail TEXT DEFAULT 'a@b'");
    assert_eq!(
        ask().unwrap(),
        r#"[{"id":1,"name":"Ada","age":36,"mail":"a@b"}]"#
    );
    db.run(
        "ALTER TABLE users DROP COLUMN age, MODIFY id BIGINT UNSIGNED, RENAME COLUMN mail TO post",
    );
    assert_eq!(ask().unwrap(), r#"[{"id":1,"name":"Ada","post":"a@b"}]"#);
    db.run("RENAME TABLE users TO people");
    assert_eq!(ask().unwrap_err().kind(), ErrorKind::Internal);
    db.run("CREATE TABLE users (id INT); INSERT INTO users VALUES (1)");
    assert_eq!(ask().unwrap(), r#"[{"id":1}]"#);
}

#[test]
fn a_reset_session_has_nothing_of_the_call_before() {
    let Some(db) = Db::shared() else { return };
    let keys = "query = ['SET @a = COALESCE(@a, 0) + 1', 'SELECT CAST(@a AS INT) AS a, @@time_zone AS z']\nformat = 'object'";
    for (reset, second) in [("false", "2"), ("true", "1")] {
        let adapter = db.adapter(&format!("{keys}\nreset = {reset}"));
        let mut session = adapter.open().unwrap();
        let mut ask = || in_session(&adapter, &mut session, post("/", "text/plain", "")).unwrap();
        assert_eq!(text(ask()), r#"{"a":1,"z":"+00:00"}"#);
        assert_eq!(text(ask()), format!(r#"{{"a":{second},"z":"+00:00"}}"#));
    }
}

#[test]
fn a_session_is_checked_by_asking_the_server() {
    let Some(db) = Db::shared() else { return };
    let adapter = db.query("SELECT CONNECTION_ID() AS id");
    let mut session = adapter.open().unwrap();
    adapter.check(&mut session).unwrap();
    let answer = in_session(&adapter, &mut session, get("/")).unwrap();
    let answer: serde_json::Value = serde_json::from_slice(answer.body()).unwrap();
    db.run(&format!("KILL {}", answer[0]["id"]));
    assert!(adapter.check(&mut session).unwrap_err().breaks_session());
}

#[test]
fn a_unix_socket_and_a_url_lead_there_as_well() {
    let Some(db) = Db::shared() else { return };
    let socket = db.server.socket();
    let socket = socket.to_str().unwrap();
    let by_key = db.keys().replace(&db.server.address().to_string(), socket);
    let (user, password) = (MariaDb::USER, MariaDb::PASSWORD);
    let hosts = [db.server.address().to_string(), socket.replace('/', "%2F")];
    let urls = hosts.map(|host| format!("url = 'mysql://{user}:{password}@{host}/{}'\n", db.name));
    for keys in [by_key].into_iter().chain(urls) {
        let adapter = read(&format!("{keys}query = 'SELECT DATABASE() AS d'")).unwrap();
        let answer = call(&adapter, get("/")).unwrap();
        assert_eq!(text(answer), format!(r#"[{{"d":"{}"}}]"#, db.name));
    }
}

fn resident_bytes() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

#[test]
fn many_calls_and_many_sessions_leave_nothing_behind() {
    let Some(server) = MariaDb::start() else {
        return;
    };
    let db = Db::on(&server);
    let adapter = db.adapter("query = 'SELECT *, REPEAT(:a, 2000) AS t FROM users'");
    let calls = |session: &mut Session, count: usize| {
        for _ in 0..count {
            in_session(&adapter, session, get("/?a=xyz")).unwrap();
        }
    };
    let mut session = adapter.open().unwrap();
    calls(&mut session, 500);
    let before = resident_bytes();
    calls(&mut session, 10_000);
    drop(session);
    for _ in 0..100 {
        calls(&mut adapter.open().unwrap(), 2);
    }
    // A leak of one row's bytes for each call would be 60 MB; what other tests do at the same time is less.
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 40 << 20, "{grown} bytes more");
    pontoon_tests::eventually("all sessions end", || server.sessions() == 0);
    let statements = "SELECT variable_value FROM information_schema.global_status WHERE variable_name = 'Prepared_stmt_count'";
    assert_eq!(db.run(statements), "0");
}

#[test]
fn a_session_is_encrypted_as_the_key_says() {
    let Some(home) = MariaDb::start() else { return };
    let folder = tempfile::tempdir_in(home.folder()).unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let made = std::process::Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
        ])
        .args([
            "-addext",
            "subjectAltName=DNS:localhost,IP:127.0.0.1",
            "-keyout",
            &path("key"),
            "-out",
            &path("cert"),
        ])
        .output();
    if !made.is_ok_and(|made| made.status.success()) {
        return;
    }
    for name in [
        folder.path().to_str().unwrap().to_owned(),
        path("key"),
        path("cert"),
    ] {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(name, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let options = [
        format!("--ssl-key={}", path("key")),
        format!("--ssl-cert={}", path("cert")),
    ];
    let secure = MariaDb::start_with(&options.each_ref().map(String::as_str)).unwrap();
    let query = "query = 'SHOW SESSION STATUS LIKE \"Ssl_cipher\"'\nformat = 'object'\nconnect_timeout = '2s'\n";
    let is_encrypted = |server: &MariaDb, tls: &str| {
        let db = Db::on(server);
        let adapter = db.adapter(&format!("{query}{tls}"));
        let mut session = adapter.open()?;
        let answer = in_session(&adapter, &mut session, get("/")).map(text)?;
        Ok::<_, Error>(!answer.contains(r#""Value":"""#))
    };
    assert!(!is_encrypted(&secure, "tls = 'off'").unwrap());
    assert!(is_encrypted(&secure, "tls = 'prefer'").unwrap());
    assert!(is_encrypted(&secure, "tls = 'require'").unwrap());
    // Nobody vouches for its certificate.
    assert_eq!(
        is_encrypted(&secure, "tls = 'verify'").unwrap_err().kind(),
        ErrorKind::BadGateway
    );
    // The certificate is good, and for another host than the one that was asked for.
    let trusted = format!("tls = 'verify'\nca_file = '{}'", path("cert"));
    assert_eq!(
        is_encrypted(&secure, &trusted).unwrap_err().kind(),
        ErrorKind::BadGateway
    );
    // A server that cannot do it.
    assert!(!is_encrypted(&home, "tls = 'prefer'").unwrap());
    let error = is_encrypted(&home, "tls = 'require'").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BadGateway, "{}", explain(&error));
}
