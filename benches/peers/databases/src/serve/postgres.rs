//! A row by primary key from PostgreSQL.

use super::{User, failed, off_loop};
use crate::Outcome;
use crate::cases::POSTGRES_QUERY;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use deadpool_postgres::{Manager, ManagerConfig, RecyclingMethod};
use r2d2_postgres::PostgresConnectionManager;
use tokio::task::spawn_blocking;

type BlockingPool = r2d2::Pool<PostgresConnectionManager<postgres::NoTls>>;

pub(super) async fn blocking(url: &str, sessions: usize) -> Outcome<Router> {
    let manager = PostgresConnectionManager::new(url.parse()?, postgres::NoTls);
    let size = u32::try_from(sessions)?;
    let build = move || {
        r2d2::Pool::builder()
            .max_size(size)
            // Its default asks the server before every use.
            .test_on_check_out(false)
            .build(manager)
    };
    let pool = spawn_blocking(build).await??;
    Ok(Router::new()
        .route("/users/{id}", get(find_blocking))
        .with_state(pool))
}

async fn find_blocking(
    State(pool): State<BlockingPool>,
    Path(id): Path<i32>,
) -> Result<Json<User>, StatusCode> {
    let user = off_loop(move || {
        let mut client = pool.get()?;
        // As quick as it gets with this pool: the statement is prepared at each use.
        let row = client.query_one(POSTGRES_QUERY, &[&id])?;
        Ok(user_of(&row))
    });
    user.await.map(Json)
}

pub(super) fn on_loop(url: &str, sessions: usize) -> Outcome<Router> {
    let config = ManagerConfig {
        recycling_method: RecyclingMethod::Fast,
    };
    let manager = Manager::from_config(url.parse()?, tokio_postgres::NoTls, config);
    let pool = deadpool_postgres::Pool::builder(manager)
        .max_size(sessions)
        .build()?;
    Ok(Router::new()
        .route("/users/{id}", get(find))
        .with_state(pool))
}

async fn find(
    State(pool): State<deadpool_postgres::Pool>,
    Path(id): Path<i32>,
) -> Result<Json<User>, StatusCode> {
    let client = pool.get().await.map_err(failed)?;
    let statement = client
        .prepare_cached(POSTGRES_QUERY)
        .await
        .map_err(failed)?;
    let row = client.query_one(&statement, &[&id]).await.map_err(failed)?;
    Ok(Json(user_of(&row)))
}

fn user_of(row: &postgres::Row) -> User {
    User {
        id: row.get::<_, i32>(0).into(),
        name: row.get(1),
    }
}
