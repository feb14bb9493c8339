//! A library that blocks, SQLite, wrapped by hand: a connection for each worker.
//!
//! `cargo run --example wrap_blocking notes.db`, then
//! `curl -d 'buy milk' localhost:8080/notes` and `curl localhost:8080/notes/1`

use pontoon::{Adapter, CallContext, Error, Request, Response};
use pontoon::{Location, Pool, Server, on_pool};
use rusqlite::{Connection, OptionalExtension};
use std::path::PathBuf;
use std::time::Duration;

struct Notes {
    file: PathBuf,
}

/// What SQLite says is for the log; the client gets a sentence of ours.
fn failed(error: rusqlite::Error) -> Error {
    Error::bad_gateway("the notes cannot be used").with_source(error)
}

impl Adapter for Notes {
    /// One for each worker: it never leaves its thread.
    type Session = Connection;

    fn open(&self) -> Result<Connection, Error> {
        let notes = Connection::open(&self.file).map_err(failed)?;
        let schema =
            "CREATE TABLE IF NOT EXISTS notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL)";
        notes.execute(schema, ()).map_err(failed)?;
        Ok(notes)
    }

    fn call(
        &self,
        notes: &mut Connection,
        request: Request,
        call: &CallContext,
    ) -> Result<Response, Error> {
        let Some(id) = call.param("id") else {
            let text = std::str::from_utf8(request.body());
            let text = text.map_err(|_| Error::bad_request("a note is UTF-8"))?;
            let added = notes.execute("INSERT INTO notes (text) VALUES (?1)", [text]);
            added.map_err(failed)?;
            return Ok(Response::text(format!("{}\n", notes.last_insert_rowid())));
        };
        let id: i64 = id
            .parse()
            .map_err(|_| Error::bad_request("`id` must be a number"))?;
        let query = "SELECT text FROM notes WHERE id = ?1";
        let found = notes.query_row(query, [id], |row| row.get::<_, String>(0));
        let note = found.optional().map_err(failed)?;
        note.map(Response::text)
            .ok_or_else(|| Error::not_found("no such note"))
    }
}

pub(crate) fn server(file: PathBuf) -> Server {
    let notes = || on_pool("notes", Notes { file: file.clone() });
    Server::new()
        .pool(Pool::named("notes").threads(4).max_queue(64))
        .route(Location::new("/notes", notes()).deadline(Duration::from_secs(1)))
        .route(Location::new("/notes/{id}", notes()).deadline(Duration::from_secs(1)))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = std::env::args_os().nth(1).ok_or("give the database file")?;
    Ok(server(file.into()).listen("127.0.0.1:8080").run()?)
}
