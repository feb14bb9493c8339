//! TERM under 1,000 connections, while some calls hang.

use super::SERVERS;
use crate::Outcome;
use crate::child::Server;
use nix::sys::signal::Signal;
use peer_load::client::{Connection, request};
use peer_load::table::{Bar, Column, MustBe, Table, column};
use std::io::ErrorKind;
use std::time::{Duration, Instant};
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::{sleep, timeout};

const CONNECTIONS: usize = 1_000;
const THREADS: usize = 16;
const HUNG: usize = 4;
const CALL: &str = "/work?us=5000";
const HANG: &str = "/work?us=3600000000";
const LIMIT_MS: usize = 3_000;
/// What the stop's limit is judged by: the limit, and a second to notice.
const END_MAX_S: f64 = LIMIT_MS as f64 / 1e3 + 1.0;
const PATIENCE: Duration = Duration::from_secs(20);

const COLUMNS: &[Column] = &[
    column("answered", 0),
    column("refused with 503", 0),
    column("closed without a byte", 0),
    column("no end within 20 s", 0),
    column("ended after s", 2),
];

const BARS: &[Bar] = &[
    bar(2, MustBe::AtMost(0.0)),
    bar(3, MustBe::AtMost(0.0)),
    bar(4, MustBe::AtMost(END_MAX_S)),
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
    let about = "16 threads; four calls hang, then 1,000 connections send a request each for a call of 5 ms, and 30 ms \
                 after the last of them the server gets TERM. The limit is 3 s where there is one: axum's \
                 `with_graceful_shutdown` has none. The connections of the calls that hang do not count.";
    Table::new("TERM under 1,000 connections", about, COLUMNS, BARS)
}

pub(super) async fn round(table: &mut Table) -> Outcome {
    let arguments = [
        ("--threads", THREADS),
        ("--max-queue", 2 * CONNECTIONS),
        ("--stop-limit-ms", LIMIT_MS),
    ];
    for kind in SERVERS {
        let mut server = Server::start(kind, &arguments)?;
        table.add(kind, measure(&mut server).await?);
    }
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Answered,
    Refused,
    Closed,
    None,
}

async fn measure(server: &mut Server) -> Outcome<Vec<Option<f64>>> {
    let mut hung = Vec::new();
    for _ in 0..HUNG {
        let mut connection = Connection::open(server.address).await?;
        connection.send(request(HANG).as_bytes()).await?;
        hung.push(connection);
    }
    let began = Instant::now();
    while server.counts().await?.begun < HUNG as u64 {
        if began.elapsed() > PATIENCE {
            return Err("the calls that are to hang do not begin".into());
        }
        sleep(Duration::from_millis(10)).await;
    }
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        connections.push(Connection::open(server.address).await?);
    }
    // All are accepted before the first of them asks.
    server.counts().await?;
    let mut waiting: Vec<JoinHandle<End>> = Vec::new();
    for mut connection in connections {
        connection.send(request(CALL).as_bytes()).await?;
        waiting.push(spawn_local(end_of(connection)));
    }
    sleep(Duration::from_millis(30)).await;
    server.signal(Signal::SIGTERM)?;
    let ended = server.time_to_end(PATIENCE).await?;
    let mut ends = Vec::new();
    for one in waiting {
        ends.push(one.await?);
    }
    let count = |end| Some(ends.iter().filter(|one| **one == end).count() as f64);
    Ok(vec![
        count(End::Answered),
        count(End::Refused),
        count(End::Closed),
        count(End::None),
        Some(ended),
    ])
}

async fn end_of(mut connection: Connection) -> End {
    match timeout(PATIENCE, connection.answer()).await {
        Ok(Ok(answer)) if answer.status == 200 => End::Answered,
        Ok(Ok(_)) => End::Refused,
        Ok(Err(error)) if error.kind() == ErrorKind::InvalidData => End::None,
        Ok(Err(_)) => End::Closed,
        Err(_) => End::None,
    }
}
