//! A row by primary key from MariaDB.

use super::{User, failed, off_loop};
use crate::Outcome;
use crate::cases::MYSQL_QUERY;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use mysql::prelude::Queryable as _;
use mysql_async::prelude::Queryable as _;

pub(super) fn blocking(url: &str, sessions: usize) -> Outcome<Router> {
    let constraints = mysql::PoolConstraints::new(1, sessions).ok_or("no sessions")?;
    let options = mysql::OptsBuilder::from_opts(mysql::Opts::from_url(url)?)
        .pool_opts(mysql::PoolOpts::default().with_constraints(constraints));
    let pool = mysql::Pool::new(options)?;
    Ok(Router::new()
        .route("/users/{id}", get(find_blocking))
        .with_state(pool))
}

async fn find_blocking(
    State(pool): State<mysql::Pool>,
    Path(id): Path<i32>,
) -> Result<Json<User>, StatusCode> {
    let user = off_loop(move || {
        let mut connection = pool.get_conn()?;
        let row: Option<(i64, String)> = connection.exec_first(MYSQL_QUERY, (id,))?;
        let (id, name) = row.ok_or("no such user")?;
        Ok(User { id, name })
    });
    user.await.map(Json)
}

pub(super) fn on_loop(url: &str, sessions: usize) -> Outcome<Router> {
    let constraints = mysql_async::PoolConstraints::new(1, sessions).ok_or("no sessions")?;
    let options = mysql_async::OptsBuilder::from_opts(mysql_async::Opts::from_url(url)?)
        .pool_opts(mysql_async::PoolOpts::default().with_constraints(constraints));
    Ok(Router::new()
        .route("/users/{id}", get(find))
        .with_state(mysql_async::Pool::new(options)))
}

async fn find(
    State(pool): State<mysql_async::Pool>,
    Path(id): Path<i32>,
) -> Result<Json<User>, StatusCode> {
    let mut connection = pool.get_conn().await.map_err(failed)?;
    let row = connection.exec_first(MYSQL_QUERY, (id,));
    let row: Option<(i64, String)> = row.await.map_err(failed)?;
    let (id, name) = row.ok_or(StatusCode::NOT_FOUND)?;
    Ok(Json(User { id, name }))
}
