//! The peers: axum, and the client libraries that its users take.

mod mysql;
mod postgres;
mod redis;
mod sqlite;

use crate::Outcome;
use axum::Router;
use axum::http::StatusCode;
use axum::serve::ListenerExt;
use clap::{Args, ValueEnum};
use std::error::Error;
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::task::spawn_blocking;

/// What `#[tokio::main]` gives on two CPUs.
const ASYNC_WORKERS: usize = 2;

/// Which peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Peer {
    /// r2d2 and the `postgres` crate, in `spawn_blocking`
    PostgresSync,
    /// deadpool and tokio-postgres
    PostgresAsync,
    /// The `mysql` crate and its pool, in `spawn_blocking`
    MysqlSync,
    /// `mysql_async` and its pool
    MysqlAsync,
    /// The `redis` crate, a connection for each blocking thread, in `spawn_blocking`
    RedisSync,
    /// The `redis` crate's multiplexed connection
    RedisAsync,
    /// rusqlite, a connection for each blocking thread, in `spawn_blocking`; a commit for each insert
    Sqlite,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct ServeArguments {
    /// Which peer
    #[arg(value_enum)]
    pub(crate) kind: Peer,
    /// Where its backend is: a URL, or SQLite's file
    #[arg(long)]
    pub(crate) backend: String,
    /// Connections to the backend, and threads that may block
    #[arg(long, default_value_t = 16)]
    pub(crate) sessions: usize,
}

/// Serves until it is told to stop. The first line that it prints is its address.
pub(crate) fn serve(arguments: &ServeArguments) -> Outcome {
    let runtime = Builder::new_multi_thread()
        .worker_threads(ASYNC_WORKERS)
        .max_blocking_threads(arguments.sessions)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let app = app(arguments).await?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        peer_work::announce(listener.local_addr()?)?;
        // As Pontoon does by itself.
        let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
        Ok(axum::serve(listener, app).await?)
    })
}

async fn app(arguments: &ServeArguments) -> Outcome<Router> {
    let ServeArguments {
        kind,
        backend,
        sessions,
    } = arguments;
    match kind {
        Peer::PostgresSync => postgres::blocking(backend, *sessions).await,
        Peer::PostgresAsync => postgres::on_loop(backend, *sessions),
        Peer::MysqlSync => mysql::blocking(backend, *sessions),
        Peer::MysqlAsync => mysql::on_loop(backend, *sessions),
        Peer::RedisSync => redis::blocking(backend),
        Peer::RedisAsync => redis::on_loop(backend).await,
        Peer::Sqlite => Ok(sqlite::blocking(backend)),
    }
}

/// A row, as it is sent.
#[derive(Debug, serde::Serialize)]
struct User {
    id: i64,
    name: String,
}

/// Runs on a thread that may block; whatever goes wrong there is a 500.
async fn off_loop<T: Send + 'static>(
    call: impl FnOnce() -> Outcome<T> + Send + 'static,
) -> Result<T, StatusCode> {
    match spawn_blocking(call).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(failed(error)),
        Err(error) => Err(failed(error)),
    }
}

fn failed(error: impl Into<Box<dyn Error + Send + Sync>>) -> StatusCode {
    crate::say(&format!("peer: {}", error.into()));
    StatusCode::INTERNAL_SERVER_ERROR
}
