//! Clients that send a request and leave at once.

use super::SERVERS;
use crate::Outcome;
use crate::child::Server;
use peer_load::client::{Connection, request};
use peer_load::loops::time_to_answer;
use peer_load::table::{Bar, Column, MustBe, Table, column};
use std::time::Duration;
use tokio::time::sleep;

const CLIENTS: usize = 500;
const THREADS: usize = 4;
const CALL: &str = "/work?us=100000";
/// Half a call: the first ones run.
const STAY: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_secs(30);

const COLUMNS: &[Column] = &[column("calls run, of 500", 0), column("next answer s", 2)];

const BARS: &[Bar] = &[
    // Those that ran already.
    bar(0, MustBe::AtMost(THREADS as f64)),
    // One of those that run, and its own.
    bar(1, MustBe::AtMost(0.25)),
];

const fn bar(column: usize, must_be: MustBe) -> Bar {
    let row = "pontoon";
    Bar {
        row,
        column,
        must_be,
    }
}

pub(super) fn table() -> Table {
    let about = "500 clients connect; then all send a request for a call of 100 ms, and 50 ms later all leave. Four threads. \
                 The next request comes right after them.";
    Table::new("Clients that send and leave", about, COLUMNS, BARS)
}

pub(super) async fn round(table: &mut Table) -> Outcome {
    for kind in SERVERS {
        let server = Server::start(
            kind,
            &[("--threads", THREADS), ("--max-queue", 2 * CLIENTS)],
        )?;
        table.add(kind, measure(&server).await?);
    }
    Ok(())
}

async fn measure(server: &Server) -> Outcome<Vec<Option<f64>>> {
    let client = server.client();
    // What calls take is known by then.
    for _ in 0..2 * THREADS {
        client.get(CALL).await?;
    }
    let before = server.counts().await?;
    let mut leaving = Vec::new();
    for _ in 0..CLIENTS {
        leaving.push(Connection::open(server.address).await?);
    }
    for connection in &mut leaving {
        connection.send(request(CALL).as_bytes()).await?;
    }
    sleep(STAY).await;
    drop(leaving);
    let next = time_to_answer(&client, CALL, PATIENCE).await;
    let after = server.settled_counts(PATIENCE).await?;
    // The next one ran as well.
    let ran = (after.begun - before.begun).saturating_sub(1);
    Ok(vec![Some(ran as f64), Some(next)])
}
