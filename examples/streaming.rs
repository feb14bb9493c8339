//! Answers that are too large to hold, or that come bit by bit: a table as CSV from a worker, and
//! server-sent events from the loop.
//!
//! `cargo run --example streaming`, then `curl localhost:8080/table` and `curl -N localhost:8080/ticks`

use bytes::Bytes;
use futures_lite::stream;
use http::HeaderValue;
use pontoon::event_loop::sleep;
use pontoon::{Adapter, CallContext, Error, Pool, Request, Response, Server, handler, on_pool};
use rusqlite::Connection;
use std::time::Duration;

const ROWS: i64 = 1_000_000;
const SQUARES: &str = "WITH RECURSIVE numbers (n) AS (
    VALUES (1) UNION ALL SELECT n + 1 FROM numbers WHERE n < ?1
) SELECT n, n * n FROM numbers";
const TICKS: u64 = 10;
const PAUSE: Duration = Duration::from_millis(20);

/// A library that blocks, and gives a large result row by row.
struct Table;

impl Adapter for Table {
    type Session = Connection;

    fn open(&self) -> Result<Connection, Error> {
        Connection::open_in_memory().map_err(failed)
    }

    fn call(
        &self,
        database: &mut Connection,
        _: Request,
        call: &CallContext,
    ) -> Result<Response, Error> {
        let mut query = database.prepare(SQUARES).map_err(failed)?;
        let mut rows = query.query([ROWS]).map_err(failed)?;
        // Up to here an error is an answer of its own. From here on it cuts the response, and the client
        // can see that.
        let head = Response::bytes(HeaderValue::from_static("text/csv"), "n,square\n");
        call.stream(head, |body| {
            while let Some(row) = rows.next().map_err(failed)? {
                let n: i64 = row.get(0).map_err(failed)?;
                let square: i64 = row.get(1).map_err(failed)?;
                // A slow client holds this up, and one that leaves ends it: then it fails.
                body.send(format!("{n},{square}\n"))?;
            }
            Ok(())
        })
    }
}

/// Runs on the loop. When the client leaves, the stream is dropped.
async fn ticks(_request: Request, _call: CallContext) -> Result<Response, Error> {
    let ticks = stream::unfold(0, |tick| async move {
        sleep(PAUSE).await;
        let event = Bytes::from(format!("data: {tick}\n\n"));
        (tick < TICKS).then_some((Ok(event), tick + 1))
    });
    let content_type = HeaderValue::from_static("text/event-stream");
    Ok(Response::from_stream(content_type, ticks))
}

fn failed(error: rusqlite::Error) -> Error {
    Error::bad_gateway("the table cannot be read").with_source(error)
}

pub(crate) fn server() -> Server {
    Server::new()
        .pool(Pool::named("tables").threads(4))
        .location("/table", on_pool("tables", Table))
        .location("/ticks", handler(ticks))
}

fn main() -> pontoon::Result<()> {
    server().listen("127.0.0.1:8080").run()
}
