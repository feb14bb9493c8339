//! The axum peer: the same two routes as `pontoon.toml`, written as an axum user would.
//!
//! `peer-axum serve` answers `GET /users/{id}` from SQLite and `/echo` with what it was sent, each
//! through `tokio::task::spawn_blocking`. Each blocking thread keeps a connection in a
//! `thread_local` with its statement prepared: the quickest way there is, so the comparison does
//! not live from a connection pool's lock. The first line that it prints is its address.
//! `peer-axum make-database` makes the file that all servers read.

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use axum::serve::ListenerExt;
use axum::{Json, Router};
use clap::{Args, Parser, ValueEnum};
use rusqlite::{Connection, OpenFlags, OptionalExtension};
use serde::Serialize;
use std::cell::RefCell;
use std::error::Error;
use std::io::{self, Write};
use std::path::{Path as FilePath, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::spawn_blocking;

/// Threads that the multi_thread variant runs its tasks on, besides the blocking ones.
const ASYNC_WORKERS: usize = 2;
/// A thread that ended would take its connection and its count of context switches with it.
const KEEP_THREADS: Duration = Duration::from_secs(3600);

const SCHEMA: &str = "
    PRAGMA journal_mode = wal;
    CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, email TEXT);
    WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n WHERE id < 10000)
        INSERT INTO users SELECT id, 'user ' || id, 'user' || id || '@example.org' FROM n;
";
const QUERY: &str = "SELECT id, name, email FROM users WHERE id = :id";

#[derive(Parser)]
#[command(about = "axum + spawn_blocking, to compare Pontoon with")]
enum Command {
    /// Serve until TERM or INT
    Serve(ServeArguments),
    /// Make the database; fails if it is there
    MakeDatabase {
        /// The file
        file: PathBuf,
    },
}

#[derive(Args)]
struct ServeArguments {
    /// The database
    #[arg(long)]
    database: PathBuf,
    /// Which tokio runtime to run on
    #[arg(long, value_enum)]
    runtime: Flavor,
    /// The most blocking threads
    #[arg(long, default_value_t = 64)]
    threads: usize,
}

#[derive(Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Flavor {
    CurrentThread,
    MultiThread,
}

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> ExitCode {
    let outcome = match Command::parse() {
        Command::Serve(arguments) => serve(&arguments),
        Command::MakeDatabase { file } => make_database(&file),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where even that cannot be written there is nobody to tell.
            let _ = writeln!(io::stderr(), "peer-axum: {error}");
            ExitCode::FAILURE
        }
    }
}

fn make_database(file: &FilePath) -> Outcome {
    Connection::open(file)?
        .execute_batch(SCHEMA)
        .map_err(|error| format!("cannot make {}: {error}", file.display()).into())
}

fn runtime(arguments: &ServeArguments) -> io::Result<Runtime> {
    let mut builder = match arguments.runtime {
        Flavor::CurrentThread => Builder::new_current_thread(),
        Flavor::MultiThread => Builder::new_multi_thread(),
    };
    builder
        .worker_threads(ASYNC_WORKERS)
        .max_blocking_threads(arguments.threads)
        .thread_keep_alive(KEEP_THREADS)
        .enable_io()
        .build()
}

fn serve(arguments: &ServeArguments) -> Outcome {
    let database: Arc<FilePath> = arguments.database.clone().into();
    runtime(arguments)?.block_on(async {
        let app = Router::new()
            .route("/users/{id}", get(user))
            .route("/echo", any(echo))
            .with_state(database);
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        writeln!(io::stdout(), "{}", listener.local_addr()?)?;
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

#[derive(Serialize)]
struct User {
    id: i64,
    name: String,
    email: Option<String>,
}

async fn user(
    State(database): State<Arc<FilePath>>,
    Path(id): Path<i64>,
) -> Result<Json<User>, StatusCode> {
    let found = spawn_blocking(move || find_user(&database, id)).await;
    match found {
        Ok(Ok(Some(user))) => Ok(Json(user)),
        Ok(Ok(None)) => Err(StatusCode::NOT_FOUND),
        Ok(Err(_)) | Err(_) => Err(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

thread_local! {
    static CONNECTION: RefCell<Option<Connection>> = const { RefCell::new(None) };
}

/// On a blocking thread, with its own connection.
fn find_user(database: &FilePath, id: i64) -> rusqlite::Result<Option<User>> {
    CONNECTION.with_borrow_mut(|slot| {
        let connection = match slot {
            Some(connection) => connection,
            None => slot.insert(Connection::open_with_flags(
                database,
                OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
            )?),
        };
        let mut statement = connection.prepare_cached(QUERY)?;
        let read = |row: &rusqlite::Row<'_>| {
            Ok(User {
                id: row.get(0)?,
                name: row.get(1)?,
                email: row.get(2)?,
            })
        };
        statement.query_row([id], read).optional()
    })
}

/// The body with its media type, or the method and target of a request without one.
async fn echo(method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let work = move || {
        if body.is_empty() {
            return format!("{method} {uri}\n").into_response();
        }
        let octets = HeaderValue::from_static("application/octet-stream");
        let media_type = headers.get(CONTENT_TYPE).cloned().unwrap_or(octets);
        ([(CONTENT_TYPE, media_type)], body).into_response()
    };
    match spawn_blocking(work).await {
        Ok(response) => response,
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
