//! SQLite over a real socket: where parameters come from, what types become, and its refusals.

#![allow(clippy::unwrap_used, reason = "the helpers are part of the tests")]

use std::path::PathBuf;

use pontoon_tests::client::Connection;
use pontoon_tests::fixture::Fixture;
use pontoon_tests::problem::problem;
use serde_json::json;
use tempfile::TempDir;

const SCHEMA: &str = "
    CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, email TEXT);
    INSERT INTO users VALUES (1, 'Ada', 'ada@example.org'), (2, 'Grace', NULL);
    CREATE TABLE kinds (a INTEGER, b REAL, c BLOB, d TEXT, e TEXT);
    INSERT INTO kinds VALUES (9007199254740993, 0.5, x'00ff10', 'grüezi', NULL);
";

/// A database of the test's own.
struct Database {
    folder: TempDir,
}

impl Database {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = Self { folder };
        let connection = rusqlite::Connection::open(database.path()).unwrap();
        connection.execute_batch(SCHEMA).unwrap();
        database
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("test.db")
    }

    fn location(&self, path: &str, query: &str, rest: &str) -> String {
        format!(
            "[[location]]\npath = \"{path}\"\nadapter = \"sqlite\"\npool = \"db\"\n\
             database = {:?}\nquery = \"{query}\"\n{rest}\n",
            self.path()
        )
    }

    fn serve(&self, locations: &[(&str, &str, &str)]) -> Fixture {
        let locations: String = locations
            .iter()
            .map(|(path, query, rest)| self.location(path, query, rest))
            .collect();
        Fixture::from_toml(&format!("[pool.db]\nthreads = 2\n{locations}"))
    }
}

const BY_ID: (&str, &str, &str) = (
    "/users/{id}",
    "SELECT id, name, email FROM users WHERE id = :id",
    "format = 'object'",
);
const BY_NAME: (&str, &str, &str) = (
    "/users",
    "SELECT id FROM users WHERE name = :name",
    "methods = ['GET', 'QUERY']",
);
const INSERT: (&str, &str, &str) = (
    "/users",
    "INSERT INTO users (name, email) VALUES (:name, :email)",
    "methods = ['POST']\nchanges = 201",
);
const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");
const JSON: (&str, &str) = ("Content-Type", "application/json");

#[test]
fn parameters_come_from_path_query_form_and_json() {
    let database = Database::new();
    let server = database.serve(&[BY_ID, BY_NAME, INSERT]);
    let ada = json!({"id": 1, "name": "Ada", "email": "ada@example.org"});
    let response = server.get("/users/1");
    assert_eq!((response.status, response.json()), (200, ada));
    assert_eq!(response.header("content-type"), Some("application/json"));
    assert_eq!(server.get("/users?name=Grace").json(), json!([{"id": 2}]));
    let response = server.request("QUERY", "/users", &[JSON], br#"{"name": "Ada"}"#);
    assert_eq!(response.json(), json!([{"id": 1}]));

    let form = server.request("POST", "/users", &[FORM], b"name=B%C3%A9a+B&email=b%40x");
    assert_eq!(form.status, 201, "{}", form.text());
    assert_eq!(form.json(), json!({"changes": 1, "last_insert_id": 3}));
    let row = json!({"id": 3, "name": "Béa B", "email": "b@x"});
    assert_eq!(server.get("/users/3").json(), row);

    let body = r#"{"name": "Linus", "email": null}"#;
    let response = server.request("POST", "/users", &[JSON], body.as_bytes());
    assert_eq!(response.status, 201, "{}", response.text());
    let row = json!({"id": 4, "name": "Linus", "email": null});
    assert_eq!(server.get("/users/4").json(), row);
}

#[test]
fn every_type_survives() {
    let database = Database::new();
    let server = database.serve(&[
        ("/kinds", "SELECT * FROM kinds", ""),
        (
            "/back",
            "SELECT :a AS a, :b AS b, :c AS c, :d AS d, :e AS e",
            "format = 'object'",
        ),
    ]);
    let kinds = r#"[{"a":9007199254740993,"b":0.5,"c":"AP8Q","d":"grüezi","e":null}]"#;
    assert_eq!(server.get("/kinds").text(), kinds);
    let body = r#"{"a":9007199254740993,"b":1.25,"c":null,"d":"ü","e":true}"#;
    let response = server.request("POST", "/back", &[JSON], body.as_bytes());
    let back = r#"{"a":9007199254740993,"b":1.25,"c":null,"d":"ü","e":1}"#;
    assert_eq!(response.text(), back);
}

#[test]
fn no_rows_are_an_empty_array_a_404_or_what_the_location_says() {
    let database = Database::new();
    let query = "SELECT id FROM users WHERE id = :id";
    let server = database.serve(&[
        ("/array/{id}", query, ""),
        ("/object/{id}", query, "format = 'object'"),
        ("/none/{id}", query, "no_rows = 204"),
        ("/gone/{id}", query, "format = 'object'\nno_rows = 410"),
        (
            "/delete/{id}",
            "DELETE FROM users WHERE id = :id",
            "no_changes = 404",
        ),
    ]);
    let response = server.get("/array/9");
    assert_eq!((response.status, response.text().as_str()), (200, "[]"));
    assert_eq!(problem(&server.get("/object/9"), 404), "no row matches");
    let response = server.get("/none/9");
    assert_eq!((response.status, response.body.len()), (204, 0));
    assert_eq!(response.header("content-length"), None);
    assert_eq!(server.get("/gone/9").status, 410);
    problem(&server.request("DELETE", "/delete/9", &[], b""), 404);
    let response = server.request("DELETE", "/delete/2", &[], b"");
    assert_eq!(
        (response.status, &response.json()["changes"]),
        (200, &json!(1))
    );
}

#[test]
fn what_sqlite_refuses_is_told_without_its_own_words() {
    let database = Database::new();
    let server = database.serve(&[BY_ID, INSERT, BY_NAME]);
    let twice = server.request("POST", "/users", &[FORM], b"name=Ada&email=x");
    assert!(problem(&twice, 409).contains("already"), "{}", twice.text());
    let missing = server.request("POST", "/users", &[FORM], b"name=Zoe");
    assert_eq!(problem(&missing, 400), "the parameter `email` is missing");
    let null = br#"{"name": null, "email": null}"#;
    let null = server.request("POST", "/users", &[JSON], null);
    assert!(problem(&null, 422).contains("null"));
    let broken = server.request("POST", "/users", &[JSON], b"{");
    assert!(problem(&broken, 400).contains("JSON"));
    let large = server.request(
        "POST",
        "/users",
        &[JSON],
        br#"{"name": 99999999999999999999, "email": 1}"#,
    );
    assert!(problem(&large, 400).contains("64-bit"));
    for response in [twice, missing, null, broken, large] {
        let text = response.text().to_lowercase();
        assert!(
            !text.contains("sqlite") && !text.contains("insert"),
            "{text}"
        );
    }
    // Nothing was changed.
    assert_eq!(problem(&server.get("/users/3"), 404), "no row matches");
}

#[test]
fn a_statement_that_writes_is_not_run_by_get() {
    let database = Database::new();
    let delete = ("/all", "DELETE FROM users", "");
    let server = database.serve(&[delete, BY_ID]);
    let refused = server.get("/all");
    problem(&refused, 405);
    assert_eq!(refused.header("allow"), Some("POST, PUT, PATCH, DELETE"));
    assert_eq!(server.request("HEAD", "/all", &[], b"").status, 405);
    assert_eq!(server.get("/users/1").status, 200);
}

#[test]
fn several_locations_share_a_path_by_method() {
    let database = Database::new();
    let server = database.serve(&[BY_NAME, INSERT]);
    assert_eq!(server.get("/users?name=Ada").json(), json!([{"id": 1}]));
    let response = server.request("POST", "/users", &[FORM], b"name=New&email=");
    assert_eq!(response.status, 201);
    let refused = server.request("PUT", "/users", &[], b"");
    problem(&refused, 405);
    assert_eq!(refused.header("allow"), Some("GET, QUERY, POST, HEAD"));
}

#[test]
fn writes_that_wait_are_committed_together_and_each_is_answered_for_itself() {
    let database = Database::new();
    let (path, insert, rest) = INSERT;
    let rest = format!("{rest}\nbatch = 32\nbusy_timeout = '30s'");
    let server = database.serve(&[BY_ID, (path, insert, &rest)]);
    let holder = rusqlite::Connection::open(database.path()).unwrap();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    let address = server.address();
    std::thread::scope(|scope| {
        // Two of each name: one of the two comes first.
        let clients: Vec<_> = (0..24)
            .map(|client| {
                let name = client / 2;
                scope.spawn(move || {
                    let mut connection = Connection::open(address);
                    let body = format!("name=user+{name}&email=x");
                    connection.send_request("POST", "/users", &[FORM], body.as_bytes());
                    connection.read_response("POST").status
                })
            })
            .collect();
        // While they wait for the lock, the pool's other thread reads.
        assert_eq!(server.get("/users/1").status, 200);
        holder.execute_batch("ROLLBACK").unwrap();
        let mut statuses: Vec<_> = clients
            .into_iter()
            .map(|client| client.join().unwrap())
            .collect();
        statuses.sort_unstable();
        assert_eq!(statuses, [[201; 12], [409; 12]].concat());
    });
    let count = "SELECT count(*) FROM users WHERE email = 'x'";
    let count: i64 = holder.query_row(count, [], |row| row.get(0)).unwrap();
    assert_eq!(count, 12);
}
