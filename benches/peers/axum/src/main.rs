//! The axum peer: the five routes as an axum user would write them, each through
//! `tokio::task::spawn_blocking`. The first line that it prints is its address.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use axum::{Json, Router};
use clap::{Parser, ValueEnum};
use peer_work::Settings;
use peer_work::database::{self, Note, User};
use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::spawn_blocking;

/// Threads that the multi_thread variant runs its tasks on, besides the blocking ones: what
/// `#[tokio::main]` gives on two CPUs.
const ASYNC_WORKERS: usize = 2;

#[derive(Parser)]
#[command(about = "axum + spawn_blocking, to compare Pontoon with")]
struct Arguments {
    /// Which tokio runtime to run on
    #[arg(long, value_enum)]
    runtime: Flavor,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Flavor {
    CurrentThread,
    MultiThread,
}

fn main() -> ExitCode {
    match serve(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where even that cannot be written there is nobody to tell.
            let _ = writeln!(io::stderr(), "peer-axum: {error}");
            ExitCode::FAILURE
        }
    }
}

fn runtime(arguments: &Arguments) -> io::Result<Runtime> {
    let mut builder = match arguments.runtime {
        Flavor::CurrentThread => Builder::new_current_thread(),
        Flavor::MultiThread => Builder::new_multi_thread(),
    };
    builder
        .worker_threads(ASYNC_WORKERS)
        .max_blocking_threads(arguments.settings.threads)
        .enable_all()
        .build()
}

fn serve(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    runtime(&arguments)?.block_on(async {
        let app = Router::new()
            .route("/noop", get(noop))
            .route("/sleep", get(sleep))
            .route("/cpu", get(cpu))
            .route("/users/{id}", get(user))
            .route("/notes", post(add_note))
            .with_state(Arc::new(arguments.settings));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        peer_work::announce(listener.local_addr()?)?;
        // Small responses must not wait for the client's acknowledgement; Pontoon does the same.
        // A connection that is gone already shows when it is read.
        let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        tokio::select! {
            served = axum::serve(listener, app) => served.map_err(Into::into),
            _ = terminate.recv() => Ok(()),
            _ = interrupt.recv() => Ok(()),
        }
    })
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, StatusCode> {
    let outcome = spawn_blocking(work).await;
    outcome.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}

async fn noop() -> Result<&'static str, StatusCode> {
    blocking(peer_work::noop).await
}

async fn sleep() -> Result<&'static str, StatusCode> {
    blocking(peer_work::sleep).await
}

async fn cpu(State(settings): State<Arc<Settings>>) -> Result<String, StatusCode> {
    blocking(move || peer_work::spin(settings.spin_rounds)).await
}

async fn user(
    State(settings): State<Arc<Settings>>,
    Path(id): Path<i64>,
) -> Result<Json<User>, StatusCode> {
    let find = move || database::find_user(&settings.database, id);
    match blocking(find).await? {
        Ok(Some(user)) => Ok(Json(user)),
        Ok(None) => Err(StatusCode::NOT_FOUND),
        Err(_) => Err(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

async fn add_note(
    State(settings): State<Arc<Settings>>,
    Json(note): Json<Note>,
) -> Result<StatusCode, StatusCode> {
    let add = move || database::add_note(&settings.database, &note);
    let added = blocking(add).await?;
    added.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    Ok(StatusCode::NO_CONTENT)
}
