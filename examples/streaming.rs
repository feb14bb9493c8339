//! Answers that are too large to hold, or that come bit by bit: a table as CSV from a worker, and
//! server-sent events from the loop.
//!
//! `cargo run --example streaming`, then `curl localhost:8080/table` and `curl -N localhost:8080/ticks`

use bytes::Bytes;
use futures_lite::stream;
use http::HeaderValue;
use pontoon::event_loop::sleep;
use pontoon::{CallContext, Error, Pool, Request, Response, Server, blocking_with, handler};
use std::time::Duration;

const ROWS: u64 = 1_000_000;
const TICKS: u64 = 10;
const PAUSE: Duration = Duration::from_millis(20);

/// Runs on a worker. Before `stream` an error is an answer of its own; after it, it cuts the response, and
/// the client can see that.
fn table(_request: Request, call: &CallContext) -> Result<Response, Error> {
    let head = Response::bytes(HeaderValue::from_static("text/csv"), "n,square\n");
    call.stream(head, |body| {
        // A slow client holds this up here, and one that leaves ends it: `send` fails then.
        (1..=ROWS).try_for_each(|n| body.send(format!("{n},{}\n", n * n)))
    })
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

pub(crate) fn server() -> Server {
    Server::new()
        .pool(Pool::named("tables").threads(4))
        .location("/table", blocking_with("tables", table))
        .location("/ticks", handler(ticks))
}

fn main() -> pontoon::Result<()> {
    server().listen("127.0.0.1:8080").run()
}
