//! A value by key from Redis.

use super::{failed, off_loop};
use crate::Outcome;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use redis::aio::MultiplexedConnection;
use redis::{AsyncCommands as _, Client, Commands as _, Connection};
use std::cell::RefCell;

thread_local! {
    static CONNECTION: RefCell<Option<Connection>> = const { RefCell::new(None) };
}

pub(super) fn blocking(url: &str) -> Outcome<Router> {
    let client = Client::open(url)?;
    Ok(Router::new()
        .route("/keys/{key}", get(get_blocking))
        .with_state(client))
}

async fn get_blocking(
    State(client): State<Client>,
    Path(key): Path<String>,
) -> Result<String, StatusCode> {
    let value = off_loop(move || {
        CONNECTION.with_borrow_mut(|connection| {
            let connection = match connection {
                Some(connection) => connection,
                None => connection.insert(client.get_connection()?),
            };
            Ok(connection.get(&key)?)
        })
    });
    value.await
}

pub(super) async fn on_loop(url: &str) -> Outcome<Router> {
    let client = Client::open(url)?;
    let connection = client.get_multiplexed_async_connection().await?;
    Ok(Router::new()
        .route("/keys/{key}", get(get_multiplexed))
        .with_state(connection))
}

async fn get_multiplexed(
    State(mut connection): State<MultiplexedConnection>,
    Path(key): Path<String>,
) -> Result<String, StatusCode> {
    connection.get(&key).await.map_err(failed)
}
