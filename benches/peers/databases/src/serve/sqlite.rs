//! A row into an SQLite file, durable before it is answered.

use super::off_loop;
use crate::Outcome;
use crate::cases::SQLITE_INSERT;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use rusqlite::Connection;
use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

thread_local! {
    static CONNECTION: RefCell<Option<Connection>> = const { RefCell::new(None) };
}

pub(super) fn blocking(file: &str) -> Router {
    Router::new()
        .route("/rows", post(insert))
        .with_state(Arc::from(file))
}

async fn insert(State(file): State<Arc<str>>) -> Result<&'static str, StatusCode> {
    let done = off_loop(move || {
        CONNECTION.with_borrow_mut(|connection| {
            let connection = match connection {
                Some(connection) => connection,
                None => connection.insert(open(&file)?),
            };
            connection
                .prepare_cached(SQLITE_INSERT)?
                .execute(["text"])?;
            Ok("done\n")
        })
    });
    done.await
}

fn open(file: &str) -> Outcome<Connection> {
    let connection = Connection::open(file)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "synchronous", "full")?;
    Ok(connection)
}
