//! Serves blocking libraries over HTTP from an event loop.
//!
//! Three jobs: **wrap** a blocking client library as an adapter, **mount** the adapter on a location
//! of a server, and keep the rest of the server out of harm's way whatever the library does: a bounded
//! queue with a fast 503, deadlines that hold even when the library hangs, one pool per library.
//!
//! ```no_run
//! use pontoon::{Pool, Request, Response, Server, blocking};
//!
//! # fn slow_hash(_: &[u8]) -> String { String::new() }
//! fn main() -> pontoon::Result<()> {
//!     Server::new()
//!         .pool(Pool::named("hash").threads(8).max_queue(256))
//!         .location("/hash", blocking("hash", |request: Request| {
//!             Ok(Response::text(slow_hash(request.body())))
//!         }))
//!         .listen("127.0.0.1:8080")
//!         .run()
//! }
//! ```
//!
//! | to mount | use |
//! | --- | --- |
//! | a plain function that blocks | [`blocking`] |
//! | a library with a connection per worker | [`on_pool`] with an [`Adapter`] |
//! | a library that calls back | [`callback`] with a [`CallbackAdapter`] |
//! | an async function that makes several calls | [`handler`] |
//! | a library that is async or exposes a file descriptor | [`on_loop`] with a [`LoopAdapter`] |
//!
//! A response that is too large to hold, or that comes bit by bit, is produced while it is sent: see
//! [`adapters::body`].
//!
//! The `pontoon` command does the same from a config file.

mod access_log;
mod admin;
mod app;
mod bounded;
pub mod cli;
pub mod config;
#[cfg(feature = "sqlite")]
pub mod demo;
mod drain;
mod error;
mod farewell;
mod http;
mod listener;
mod location;
mod loops;
mod per_client;
mod places;
mod pools;
mod problem;
mod reload;
mod router;
mod running;
mod server;
mod signals;
mod site;
mod stuck;
mod swap;

pub use access_log::TARGET as ACCESS_LOG;
pub use error::{Result, ServerError};
pub use location::{Location, Mount, Mountable, callback, handler, on_loop, on_pool};
pub use per_client::{ClientKey, ClientKeyError};
pub use places::Share;
pub use pools::ServerPool;
pub use reload::ReloadReport;
pub use running::{Running, StopReport};
pub use server::Server;
pub use swap::LoopUnready;

pub use pontoon_adapters as adapters;
pub use pontoon_bridge as bridge;

pub use pontoon_adapters::{
    Adapter, BodySink, CallContext, CallbackAdapter, Error, ErrorKind, Interrupt, LoopAdapter,
    Request, Response, ResponseCompleter, blocking, blocking_with,
};
pub use pontoon_bridge::{CallError, Pool, PoolBuilder, PoolStats, Spin, event_loop};
