//! Clients that hang on one location, and what another location serves meanwhile.

use super::{SERVERS, Setting};
use crate::Outcome;
use crate::child::Server;
use peer_load::client::{Client, Connection, request};
use peer_load::loops::closed_loop;
use peer_load::table::{Bar, Column, MustBe, Table, column, median};
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::time::sleep;

const HUNG: [usize; 3] = [64, 256, 1_000];
/// Long enough to be for ever.
const HANG: &str = "/work?us=3600000000";
/// All windows of one measurement, of both servers.
const TIME: Duration = Duration::from_secs(12);
/// Windows of each server.
const WINDOWS: usize = 24;
const CLIENTS: usize = 64;
const THREADS: usize = 64;
const SETTLE_MAX: Duration = Duration::from_secs(30);
const PATIENCE: Duration = Duration::from_secs(1);

const COLUMNS: &[Column] = &[
    column("requests/s, nobody hung", 0),
    column("nobody hung, %", 0),
    column("64 hung, %", 0),
    column("256 hung, %", 0),
    column("1,000 hung, %", 0),
    column("p99 ms, nobody hung", 1),
    column("nobody hung, % p99", 0),
    column("64 hung, % p99", 0),
    column("256 hung, % p99", 0),
    column("1,000 hung, % p99", 0),
];

const BARS: &[Bar] = &[
    bar(2, MustBe::AtLeast(90.0)),
    bar(3, MustBe::AtLeast(90.0)),
    bar(4, MustBe::AtLeast(90.0)),
    bar(7, MustBe::AtMost(110.0)),
    bar(8, MustBe::AtMost(110.0)),
    bar(9, MustBe::AtMost(110.0)),
];

const fn bar(column: usize, must_be: MustBe) -> Bar {
    let row = "pontoon";
    Bar {
        row,
        column,
        must_be,
    }
}

const CONFIG: &str = r#"
listen = "{listen}"
admin  = "{admin}"
[pool.other]
threads = 64
[pool.work]
threads   = 64
max_queue = 2000
[[location]]
path    = "/other"
adapter = "echo"
pool    = "other"
[[location]]
path     = "/work"
adapter  = "sleep"
pool     = "work"
duration = "1h"
deadline = "1h"
"#;

pub(super) fn table() -> Table {
    let about = "64 clients ask for a call that does nothing, each after the other, while others wait for a \
                 call that never returns. Pontoon has two pools of 64 threads, the peers the one that \
                 they have, of 128. Two servers of each kind run: clients hang on one of them, and both are \
                 measured in turns, 24 times each. Percentages are the median of one as part of the median \
                 of the other; *nobody hung, %* is the same with nobody hung on either, so it tells how exact \
                 the others are.";
    Table::new("Clients hung on another location", about, COLUMNS, BARS)
}

pub(super) async fn round(setting: &Setting, table: &mut Table) -> Outcome {
    for kind in SERVERS {
        let (quiet, hung) = (start(kind, setting).await?, start(kind, setting).await?);
        table.add(kind, measure(&quiet, &hung, setting).await?);
    }
    Ok(())
}

async fn start(kind: &str, setting: &Setting) -> Outcome<Server> {
    if kind == "pontoon" {
        return Server::pontoon_command(&setting.pontoon, CONFIG, &setting.folder).await;
    }
    Server::start(
        kind,
        &[("--threads", THREADS), ("--other-threads", THREADS)],
    )
}

async fn measure(quiet: &Server, hung: &Server, setting: &Setting) -> Outcome<Vec<Option<f64>>> {
    let window = setting.at_most(TIME) / (2 * WINDOWS as u32);
    let clients = [quiet.client(), hung.client()];
    // Once more than is counted: threads and connections are there.
    for client in &clients {
        closed_loop(client, CLIENTS, window * 2, PATIENCE, || {
            "/other?".to_owned()
        })
        .await;
    }
    let (mut rates, mut p99s) = (Vec::new(), Vec::new());
    let mut compare = async || {
        let [quiet, hung] = in_turns(&clients, window).await;
        if rates.is_empty() {
            (rates, p99s) = (vec![Some(quiet.rate)], vec![Some(quiet.p99_ms)]);
        }
        rates.push(Some(100.0 * hung.rate / quiet.rate));
        p99s.push(Some(100.0 * hung.p99_ms / quiet.p99_ms));
    };
    compare().await;
    let mut hanging = Vec::new();
    for count in HUNG {
        while hanging.len() < count {
            let mut connection = Connection::open(hung.address).await?;
            connection.send(request(HANG).as_bytes()).await?;
            hanging.push(connection);
        }
        settle(hung, count).await?;
        compare().await;
    }
    rates.append(&mut p99s);
    Ok(rates)
}

struct Served {
    rate: f64,
    p99_ms: f64,
}

/// What two servers serve, in turns, so that what else the machine does strikes both.
async fn in_turns(clients: &[Rc<Client>; 2], window: Duration) -> [Served; 2] {
    let mut windows = [Vec::new(), Vec::new()];
    for _ in 0..WINDOWS {
        for (client, windows) in clients.iter().zip(&mut windows) {
            windows.push(
                closed_loop(client, CLIENTS, window, PATIENCE, || "/other?".to_owned()).await,
            );
        }
    }
    windows.map(|windows| Served {
        rate: median(windows.iter().map(|ends| ends.answered as f64)) / window.as_secs_f64(),
        p99_ms: median(
            windows
                .iter()
                .map(|ends| ends.answered_p99_ms.unwrap_or(f64::INFINITY)),
        ),
    })
}

/// Waits until all that hang are inside; the others do not tell.
async fn settle(server: &Server, count: usize) -> Outcome {
    let until = Instant::now() + SETTLE_MAX;
    loop {
        match server.pool("work", "in_flight").await? {
            Some(inside) if inside >= count as u64 => return Ok(()),
            Some(inside) if Instant::now() > until => {
                return Err(
                    format!("of {count} clients that hang only {inside} are inside").into(),
                );
            }
            Some(_) => sleep(Duration::from_millis(10)).await,
            None => {
                sleep(Duration::from_millis(300)).await;
                return Ok(());
            }
        }
    }
}
