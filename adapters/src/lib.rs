//! Libraries wrapped for Pontoon: what an adapter is, and those that come with it.
//!
//! A library is wrapped once, by implementing one of three traits of [`adapter`]: it blocks
//! ([`Adapter`]), it calls back ([`CallbackAdapter`]), or it is async ([`LoopAdapter`]). The
//! server then mounts it on a location. A plain function needs no trait: see [`blocking`].
//!
//! | module | what it wraps | feature |
//! | --- | --- | --- |
//! | [`echo`] | nothing: answers with the request | |
//! | [`sleep`] | nothing: takes time, or CPU, as a model of a slow library | |
//! | [`callback`] | a callback-style library in miniature, well behaved or not | |
//! | [`mod@file`] | the file system: files below a folder | |
//! | [`resolve`] | the system's resolver: the addresses of a name | |
//! | `curl` | libcurl: one upstream URL for each location | `curl` |
//! | `mysql` | MySQL and MariaDB: SQL statements, through MariaDB's Connector/C | `mysql` |
//! | `redis` | Redis: commands, lists of them or a script for each location | `redis` (default), `redis-tls` |
//! | `postgres` | PostgreSQL, through libpq | `postgres`, or `postgres-bundled` |
//! | `sqlite` | SQLite: one statement for each location | `sqlite` (default) |
//!
//! What SQL adapters have in common is in [`sql`].

pub mod adapter;
mod batch;
mod blocking;
pub mod body;
pub mod builtin;
pub mod callback;
mod context;
#[cfg(feature = "curl")]
pub mod curl;
pub mod echo;
mod error;
pub mod file;
pub mod mount;
#[cfg(feature = "mysql")]
pub mod mysql;
pub mod params;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "redis")]
pub mod redis;
pub mod registry;
mod request;
pub mod resolve;
pub mod response;
pub mod settings;
pub mod sleep;
pub mod sql;
#[cfg(feature = "sqlite")]
pub mod sqlite;
#[cfg(test)]
mod test_support;

pub use adapter::{Adapter, CallbackAdapter, LoopAdapter, ResponseCompleter};
pub use batch::BatchCall;
pub use blocking::{Blocking, BlockingWith, blocking, blocking_with};
pub use body::BodySink;
pub use context::{CallContext, PathParams};
pub use error::{Error, ErrorKind};
pub use pontoon_bridge::{BatchLimits, Interrupt};
pub use request::Request;
pub use response::Response;
