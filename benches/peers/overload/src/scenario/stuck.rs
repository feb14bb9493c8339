//! All threads of a pool hang: when it serves again.

use super::{SERVERS, Setting};
use crate::Outcome;
use crate::child::Server;
use peer_load::client::{Connection, request};
use peer_load::loops::{closed_loop, time_to_answer};
use peer_load::table::{Bar, Column, MustBe, Table, column};
use std::time::{Duration, Instant};

const HANG: &str = "/work?us=3600000000";
const CALL: &str = "/work?us=1000";
const THREADS: usize = 16;
const STUCK_AFTER_MS: usize = 500;
const TIME: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(10);

const COLUMNS: &[Column] = &[
    column("requests/s before", 0),
    column("serves again after s", 2),
    column("requests/s then, %", 0),
];

const BARS: &[Bar] = &[
    // `stuck_after`, and as long again for whoever looks.
    bar(1, MustBe::AtMost(2.0 * STUCK_AFTER_MS as f64 / 1e3)),
    bar(2, MustBe::AtLeast(90.0)),
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
    let about = "16 threads, and as many calls that never return, at once; then requests for calls of \
                 1 ms to the same location, 32 at once. Pontoon's pool has `stuck_after` 500 ms and \
                 16 spare workers (`max_stuck`). The time counts from the last call that hangs.";
    Table::new("All threads of the pool hang", about, COLUMNS, BARS)
}

pub(super) async fn round(setting: &Setting, table: &mut Table) -> Outcome {
    let arguments = [
        ("--threads", THREADS),
        ("--stuck-after-ms", STUCK_AFTER_MS),
        ("--max-stuck", THREADS),
    ];
    for kind in SERVERS {
        let server = Server::start(kind, &arguments)?;
        table.add(kind, measure(&server, setting).await?);
    }
    Ok(())
}

async fn measure(server: &Server, setting: &Setting) -> Outcome<Vec<Option<f64>>> {
    let client = server.client();
    let time = setting.at_most(TIME);
    let rate = async || {
        let ends = closed_loop(&client, 2 * THREADS, time, PATIENCE, || CALL.to_owned()).await;
        ends.answered as f64 / time.as_secs_f64()
    };
    let before = rate().await;
    let mut hung = Vec::new();
    for _ in 0..THREADS {
        let mut connection = Connection::open(server.address).await?;
        connection.send(request(HANG).as_bytes()).await?;
        hung.push(connection);
    }
    let began = Instant::now();
    while server.counts().await?.begun - server.counts().await?.ended < THREADS as u64 {
        if began.elapsed() > PATIENCE {
            return Err("not all threads hang".into());
        }
    }
    let again = time_to_answer(&client, CALL, PATIENCE).await;
    let then = if again.is_finite() { rate().await } else { 0.0 };
    Ok(vec![Some(before), Some(again), Some(100.0 * then / before)])
}
