//! Private servers for tests: PostgreSQL, MariaDB and Redis, each on a Unix socket and on a loopback port of
//! its own.
//!
//! ```no_run
//! use pontoon_tests::backends::Postgres;
//!
//! // `None`, and one line that says why, where PostgreSQL is not installed.
//! let Some(postgres) = Postgres::start() else { return };
//! let database = postgres.database();
//! postgres.run(&database, "CREATE TABLE users (id int PRIMARY KEY)");
//! println!("{}", postgres.url(&database)); // for the adapter under test
//! postgres.kill(); // every process of it, at once
//! postgres.restart(); // on the same address, with the same data
//! ```
//!
//! A test that only needs some database takes the one server that all tests of its program share,
//! [`Postgres::shared`], and a database of its own in it. A test that kills, pauses or counts starts a server.
//!
//! What they promise:
//!
//! - **Nothing is left behind**, however the test ends: a dropped server is killed and its files are removed;
//!   those of a test program that exits, or is killed itself, end with it (see `keeper.rs` and `home.rs`).
//! - **The distribution's own servers are not touched.** Each has its own files, and its own address in
//!   127.0.0.0/8, so that nobody else gets its port while it is down.
//! - **Not as root**: for root they run as `nobody`, since PostgreSQL and MariaDB refuse root.
//! - **Quick rather than durable**: nothing is synced to disk, buffers are small. They survive `kill`, not a
//!   power cut.
//!
//! Tests look into a server with its own command line client, which takes about 20 ms.

mod find;
mod home;
mod keeper;
mod mariadb;
mod postgres;
mod processes;
mod redis;
mod server;
mod tool;

pub use mariadb::MariaDb;
pub use postgres::Postgres;
pub use redis::Redis;
pub use server::PrivateServer;
