//! Clients that hang on one location, and what another location serves meanwhile.

use super::{SERVERS, Setting};
use crate::Outcome;
use crate::child::Server;
use crate::client::{Connection, request};
use crate::load::closed_loop;
use crate::table::{Bar, Column, MustBe, Table, column};
use std::time::{Duration, Instant};
use tokio::time::sleep;

const HUNG: [usize; 3] = [64, 256, 1_000];
/// Long enough to be for ever.
const HANG: &str = "/work?us=3600000000";
const TIME: Duration = Duration::from_secs(4);
const CLIENTS: usize = 64;
const THREADS: usize = 64;
const SETTLE_MAX: Duration = Duration::from_secs(30);
const PATIENCE: Duration = Duration::from_secs(1);

const COLUMNS: &[Column] = &[
    column("requests/s, nobody hung", 0),
    column("64 hung, %", 0),
    column("256 hung, %", 0),
    column("1,000 hung, %", 0),
    column("p99 ms, nobody hung", 1),
    column("64 hung, % p99", 0),
    column("256 hung, % p99", 0),
    column("1,000 hung, % p99", 0),
];

const BARS: &[Bar] = &[
    bar(1, MustBe::AtLeast(90.0)),
    bar(2, MustBe::AtLeast(90.0)),
    bar(3, MustBe::AtLeast(90.0)),
    bar(5, MustBe::AtMost(110.0)),
    bar(6, MustBe::AtMost(110.0)),
    bar(7, MustBe::AtMost(110.0)),
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
                 they have, of 128. Figures with clients hung are parts of those with nobody hung.";
    Table::new("Clients hung on another location", about, COLUMNS, BARS)
}

pub(super) async fn round(setting: &Setting, table: &mut Table) -> Outcome {
    for kind in SERVERS {
        let server = if kind == "pontoon" {
            Server::pontoon_command(&setting.pontoon, CONFIG, &setting.folder).await?
        } else {
            Server::start(
                kind,
                &[("--threads", THREADS), ("--other-threads", THREADS)],
            )?
        };
        table.add(kind, measure(&server, setting).await?);
    }
    Ok(())
}

async fn measure(server: &Server, setting: &Setting) -> Outcome<Vec<Option<f64>>> {
    let time = setting.at_most(TIME);
    let client = server.client();
    let other = async || {
        let ends = closed_loop(&client, CLIENTS, time, PATIENCE, "/other?").await;
        let p99 = ends.answered_p99_ms.unwrap_or(f64::INFINITY);
        (ends.answered as f64 / time.as_secs_f64(), p99)
    };
    // Once more than is counted: threads and connections are there.
    closed_loop(&client, CLIENTS, time / 4, PATIENCE, "/other?").await;
    let (rate, p99) = other().await;
    let (mut rates, mut p99s) = (vec![Some(rate)], vec![Some(p99)]);
    let mut hung = Vec::new();
    for count in HUNG {
        while hung.len() < count {
            let mut connection = Connection::open(server.address).await?;
            connection.send(request(HANG).as_bytes()).await?;
            hung.push(connection);
        }
        settle(server, count).await?;
        let (rate_now, p99_now) = other().await;
        rates.push(Some(100.0 * rate_now / rate));
        p99s.push(Some(100.0 * p99_now / p99));
    }
    rates.append(&mut p99s);
    Ok(rates)
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
