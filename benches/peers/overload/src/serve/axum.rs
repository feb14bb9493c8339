//! axum on tokio's multi_thread runtime, and `spawn_blocking`.

use super::ServeArguments;
use crate::Outcome;
use crate::work::{Counts, Work};
use axum::Router;
use axum::extract::RawQuery;
use axum::http::StatusCode;
use axum::routing::get;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::spawn_blocking;

/// What `#[tokio::main]` gives on two CPUs.
const ASYNC_WORKERS: usize = 2;

pub(super) fn serve(arguments: ServeArguments) -> Outcome {
    let runtime = Builder::new_multi_thread()
        .worker_threads(ASYNC_WORKERS)
        .max_blocking_threads(arguments.threads + arguments.other_threads)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let app = Router::new()
            .route("/work", get(work))
            .route("/other", get(|| blocking(Work::default())))
            .route("/counts", get(async || Counts::now().as_json()));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        peer_work::announce(listener.local_addr()?)?;
        // As the others do by themselves.
        let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
        let mut terminate = signal(SignalKind::terminate())?;
        let stop = async move {
            terminate.recv().await;
        };
        let served = axum::serve(listener, app).with_graceful_shutdown(stop);
        Ok(served.await?)
    })
}

async fn work(RawQuery(query): RawQuery) -> Result<&'static str, StatusCode> {
    blocking(Work::from_query(&query.unwrap_or_default())).await
}

async fn blocking(work: Work) -> Result<&'static str, StatusCode> {
    match spawn_blocking(move || work.run()).await {
        Ok(Ok(text)) => Ok(text),
        Ok(Err(_)) | Err(_) => Err(StatusCode::INTERNAL_SERVER_ERROR),
    }
}
