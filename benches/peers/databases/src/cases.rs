//! What is measured: for each database who serves the same thing, and what Pontoon must reach.

use crate::Outcome;
use crate::serve::Peer;
use clap::ValueEnum;
use peer_load::table::{Bar, Column, MustBe, column};
use pontoon_tests::backends::{MariaDb, Postgres, Redis};
use rusqlite::Connection;
use std::path::Path;

pub(crate) const POSTGRES_QUERY: &str = "SELECT id, name FROM users WHERE id = $1";
pub(crate) const MYSQL_QUERY: &str = "SELECT id, name FROM users WHERE id = ?";
pub(crate) const SQLITE_INSERT: &str = "INSERT INTO rows (note) VALUES (?1)";

/// Rows, and keys, that are asked for.
pub(crate) const ROWS: u64 = 10_000;

/// Which database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Case {
    /// An insert, durable before it is answered
    Sqlite,
    /// A row by primary key
    Postgres,
    /// A row by primary key
    Mysql,
    /// A value by key
    Redis,
}

/// A database that runs; dropping it ends it.
pub(crate) struct Backend {
    /// What peers and Pontoon are told.
    pub(crate) url: String,
    _server: Box<dyn std::any::Any>,
}

/// A server that is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Contender {
    /// The `pontoon` command: what the row is called, and its config.
    Pontoon(&'static str, &'static str),
    /// axum with a client library.
    Peer(&'static str, Peer),
}

impl Contender {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pontoon(name, _) | Self::Peer(name, _) => name,
        }
    }
}

pub(crate) const COLUMNS: &[Column] = &[
    column("requests/s", 0),
    column("p50 ms", 2),
    column("p99 ms", 2),
    column("server CPU µs/request", 1),
    column("without a 200", 0),
    column("times blocking peer", 2),
    column("times loop peer", 2),
];

const TIMES_BLOCKING: usize = 5;
const TIMES_LOOP: usize = 6;
const FAILED: usize = 4;

const fn bar(row: &'static str, column: usize, must_be: MustBe) -> Bar {
    Bar {
        row,
        column,
        must_be,
    }
}

impl Case {
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite: an insert, `synchronous = FULL`",
            Self::Postgres => "PostgreSQL: a row by primary key",
            Self::Mysql => "MariaDB: a row by primary key",
            Self::Redis => "Redis: a value by key",
        }
    }

    /// The target of the n-th request.
    pub(crate) fn target(self, number: u64) -> String {
        match self {
            Self::Sqlite => "POST /rows".to_owned(),
            Self::Postgres | Self::Mysql => format!("/users/{}", number % ROWS),
            Self::Redis => format!("/keys/key{}", number % ROWS),
        }
    }

    pub(crate) fn contenders(self) -> &'static [Contender] {
        use Contender::{Peer as P, Pontoon};
        match self {
            Self::Sqlite => &[
                Pontoon("pontoon, batch", SQLITE_BATCH),
                Pontoon("pontoon, no batch", SQLITE_ALONE),
                P("axum, rusqlite", Peer::Sqlite),
            ],
            Self::Postgres => &[
                Pontoon("pontoon, blocking", POSTGRES),
                P("axum, r2d2 + postgres", Peer::PostgresSync),
                P("axum, deadpool + tokio-postgres", Peer::PostgresAsync),
            ],
            Self::Mysql => &[
                Pontoon("pontoon, blocking", MYSQL),
                P("axum, mysql", Peer::MysqlSync),
                P("axum, mysql_async", Peer::MysqlAsync),
            ],
            Self::Redis => &[
                Pontoon("pontoon, blocking", REDIS),
                Pontoon("pontoon, loop", REDIS_LOOP),
                P("axum, redis", Peer::RedisSync),
                P("axum, redis multiplexed", Peer::RedisAsync),
            ],
        }
    }

    pub(crate) fn bars(self) -> &'static [Bar] {
        const SQLITE: &[Bar] = &[
            bar("pontoon, batch", TIMES_BLOCKING, MustBe::AtLeast(10.0)),
            bar("pontoon, batch", FAILED, MustBe::AtMost(0.0)),
        ];
        const SQL: &[Bar] = &[
            bar("pontoon, blocking", TIMES_BLOCKING, MustBe::AtLeast(1.3)),
            bar("pontoon, blocking", FAILED, MustBe::AtMost(0.0)),
        ];
        const REDIS: &[Bar] = &[
            bar("pontoon, blocking", TIMES_BLOCKING, MustBe::AtLeast(2.0)),
            bar("pontoon, loop", TIMES_LOOP, MustBe::AtLeast(1.2)),
            bar("pontoon, loop", FAILED, MustBe::AtMost(0.0)),
        ];
        match self {
            Self::Sqlite => SQLITE,
            Self::Postgres | Self::Mysql => SQL,
            Self::Redis => REDIS,
        }
    }

    /// Starts the database and fills it; `None` where it is not installed, which is said.
    pub(crate) fn backend(self, folder: &Path) -> Outcome<Option<Backend>> {
        Ok(match self {
            Self::Sqlite => {
                let file = folder.join("rows.db");
                let connection = Connection::open(&file)?;
                connection.execute_batch(
                    "PRAGMA journal_mode = wal;
                     CREATE TABLE rows (id INTEGER PRIMARY KEY, note TEXT NOT NULL)",
                )?;
                let url = file.to_str().ok_or("a folder that is no text")?.to_owned();
                let _server = Box::new(());
                Some(Backend { url, _server })
            }
            Self::Postgres => Postgres::start().map(|server| {
                let database = server.database();
                server.run(
                    &database,
                    &format!(
                        "CREATE TABLE users (id int PRIMARY KEY, name text NOT NULL);
                     INSERT INTO users SELECT n, 'user ' || n FROM generate_series(0, {ROWS}) AS n;
                     GRANT SELECT ON users TO {};
                     ANALYZE users",
                        Postgres::USER
                    ),
                );
                Backend {
                    url: server.url(&database),
                    _server: Box::new(server),
                }
            }),
            Self::Mysql => MariaDb::start().map(|server| {
                let database = server.database();
                server.run(
                    &database,
                    &format!(
                        "CREATE TABLE users (id int PRIMARY KEY, name varchar(64) NOT NULL);
                     INSERT INTO users SELECT seq, CONCAT('user ', seq) FROM seq_0_to_{ROWS};
                     ANALYZE TABLE users"
                    ),
                );
                let (user, password) = (MariaDb::USER, MariaDb::PASSWORD);
                let address = server.address();
                Backend {
                    url: format!("mysql://{user}:{password}@{address}/{database}"),
                    _server: Box::new(server),
                }
            }),
            Self::Redis => Redis::start().map(|server| {
                for number in 0..ROWS {
                    let (key, value) = (format!("key{number}"), format!("value {number}"));
                    server.run(0, &["SET", &key, &value]);
                }
                Backend {
                    url: server.url(0),
                    _server: Box::new(server),
                }
            }),
        })
    }
}

const SQLITE_BATCH: &str = r#"
listen = "{listen}"
[pool.db]
threads   = 1
max_queue = 256
[[location]]
path        = "/rows"
adapter     = "sqlite"
pool        = "db"
database    = "{backend}"
synchronous = "full"
query       = "INSERT INTO rows (note) VALUES ('text')"
batch       = 64
"#;

const SQLITE_ALONE: &str = r#"
listen = "{listen}"
[pool.db]
threads   = 1
max_queue = 256
# One commit at a time takes longer for 64 clients than the target allows; none is to be refused here.
codel_target = "off"
[[location]]
path        = "/rows"
adapter     = "sqlite"
pool        = "db"
database    = "{backend}"
synchronous = "full"
query       = "INSERT INTO rows (note) VALUES ('text')"
"#;

const POSTGRES: &str = r#"
listen = "{listen}"
[pool.db]
threads   = {sessions}
max_queue = 256
[[location]]
path    = "/users/{id}"
adapter = "postgres"
pool    = "db"
url     = "{backend}"
query   = "SELECT id, name FROM users WHERE id = :id::int"
format  = "object"
"#;

const MYSQL: &str = r#"
listen = "{listen}"
[pool.db]
threads   = {sessions}
max_queue = 256
[[location]]
path    = "/users/{id}"
adapter = "mysql"
pool    = "db"
url     = "{backend}"
query   = "SELECT id, name FROM users WHERE id = :id::int"
format  = "object"
"#;

const REDIS: &str = r#"
listen = "{listen}"
[pool.db]
threads   = {sessions}
max_queue = 256
[[location]]
path    = "/keys/{key}"
adapter = "redis"
pool    = "db"
server  = "{backend}"
command = ["GET", ":key"]
output  = "raw"
"#;

const REDIS_LOOP: &str = r#"
listen = "{listen}"
[[location]]
path    = "/keys/{key}"
adapter = "redis"
mode    = "loop"
server  = "{backend}"
command = ["GET", ":key"]
output  = "raw"
"#;
